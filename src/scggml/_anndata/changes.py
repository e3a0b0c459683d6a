"""Compute how genes change along the components of a stored metric: patterns and shifts, whole and by cell type."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from anndata import AnnData
from tqdm.auto import tqdm

from scggml._anndata.copies import check_copies
from scggml._anndata.expression import Expression, deviations, read_expression, read_sums
from scggml._anndata.messages import choices
from scggml._anndata.metric import StoredMetric
from scggml._anndata.reading import Reading
from scggml._anndata.selection import Selection
from scggml._core.cohort import Cohort, Floats, Integers, Names
from scggml._core.explain.patterns import Changes, Contrast, Moves, changes, contrasts_of, moves
from scggml._core.explain.points import points_of_cells
from scggml._core.folds import strata_of
from scggml._core.learn.covariates import regress
from scggml._core.learn.pair_weights import PairWeights, some_pairs, weigh_pairs
from scggml._core.samples import Target, labelled
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.pairs import solve_plans

PAIRS = 2048
"""Pairs of samples that are solved at a time."""

MOST = 20_000
"""Pairs of samples that are solved; of larger cohorts about as many are drawn."""


@dataclass(frozen=True)
class GeneChanges:
    """Changes of all genes of an AnnData.

    Parameters
    ----------
    names
        (n_genes,) the genes of `.var`, or the features of a metric without expression.
    whole, by_type
        Over all cells (a single type), and by type where there are types.
    types
        (n_types,) their names.
    contrasts, of_component
        Ends of the directions, and (k,) which one is that of each component.
    importance
        (k,) share of each component in what tells labels apart.
    deviations
        (n_genes,) standard deviations of the genes over the cells, in which patterns are.
    seen
        Whether samples are of those that the metric was learned on ("training", "other").
    counts, of_genes
        Whether raw counts were brought to a logarithmic scale, and whether the names are the genes of `.var`.
    """

    names: Names
    whole: Changes
    by_type: Changes | None
    types: Names
    contrasts: list[Contrast]
    of_component: Integers
    importance: Floats
    deviations: Floats
    counts: bool
    of_genes: bool
    seen: str


def read_changes(
    adata: AnnData,
    stored: StoredMetric,
    *,
    cell_type_key: str | None = None,
    contrast: Sequence[str] | None = None,
    layer: str | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> GeneChanges:
    """Solve the plans of a metric and multiply the expression of the cells with what moves along them."""
    reading = stored.reading
    selection = reading.select(adata, quiet=True)
    target = stored.target(selection)
    ends = _checked(contrast, target, reading.label_key)
    types = None if cell_type_key is None else selection.categories(cell_type_key, "cell_type_key")
    design = reading.design(selection)
    expression = read_expression(adata, stored, layer)
    check_copies(selection, stored.locate(adata), design["groups"])

    cells = labelled(stored.cohort(selection, n_jobs=n_jobs, progress=progress), target)
    points = _points(cells, reading, types)
    weights = _weights(reading, target, design["batch"], ends)
    contrasts, of_component = contrasts_of(target, weights, stored.oriented_to, ends, label=str(reading.label_key))
    found = _solve(stored, points, weights, contrasts, n_jobs=n_jobs, progress=progress)

    sums = _read(expression, selection, points, found, n_jobs=n_jobs, progress=progress)
    shifts = None
    if design["covariates"] is not None:
        shifts = regress(sums.means, design["covariates"], target).shifts(design["covariates"])
    products, parts = sums.without(shifts)
    codes = _donors(design["groups"], target)
    columns = _columns(target, design["batch"])[np.unique(codes, return_index=True)[1]]
    parts, masses = _by_donor(parts, codes), _by_donor(sums.masses, codes)
    given: dict[str, Any] = {"found": found, "deviations": sums.deviations}
    every = (array.sum(axis=1, keepdims=True) for array in (parts, masses))
    whole = changes(products.sum(axis=0, keepdims=True), *every, design=columns, **given)
    return GeneChanges(
        names=expression.features.names,
        whole=whole,
        by_type=None if types is None else changes(products, parts, masses, design=columns, **given),
        types=np.array([""]) if types is None else types[1],
        contrasts=contrasts,
        of_component=of_component,
        importance=found.importance,
        deviations=sums.deviations,
        counts=expression.counts,
        of_genes=expression.of_genes,
        seen=stored.seen(selection.names),
    )


def _checked(contrast: Sequence[str] | None, target: Target, label_key: str | None) -> tuple[str, str] | None:
    """Return the two classes of a contrast."""
    if contrast is None:
        return None
    names = [str(name) for name in target.classes]
    if not names:
        raise ValueError(
            f"contrast={contrast!r}: adata.obs[{label_key!r}] holds numbers, which have no classes; leave contrast out."
        )
    pair = [str(name) for name in contrast] if isinstance(contrast, list | tuple | np.ndarray) else []
    if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(names):
        raise ValueError(
            f"contrast={contrast!r} must name two classes of adata.obs[{label_key!r}], which has {choices(names)}, "
            f"such as contrast=({names[1]!r}, {names[0]!r})."
        )
    return pair[0], pair[1]


def _weights(reading: Reading, target: Target, batch: Integers | None, ends: tuple[str, str] | None) -> PairWeights:
    """Return the pairs that are solved, with their weights; those of two classes alone if these are the ends."""
    rng = np.random.default_rng([reading.seed, 3])
    chosen = np.ones(len(target.values), dtype=bool)
    if ends is not None:
        chosen = np.isin(target.classes[target.codes], ends)
    samples = np.flatnonzero(chosen)
    pairs = samples[some_pairs(strata_of(target.take(samples)), MOST, rng)]
    return weigh_pairs(target, batch=batch, pairs=pairs)


@dataclass(frozen=True)
class _Points:
    """Hold what is moved: `cohort`, the type of each point, and which cells of what weight each stands for."""

    cohort: Cohort
    types: Integers | None
    n_types: int
    owner: Integers
    weights: Floats

    def numbers(self, of_points: Floats, cells: slice) -> Floats:
        """Return (n, m) numbers of cells: the weight of each, and its share of those (n_points, m - 1) of its point."""
        owner, weights = self.owner[cells], self.weights[cells]
        out = np.zeros((len(owner), 1 + of_points.shape[1]))
        out[:, 0] = weights
        used = owner >= 0  # cells without weight may stand for nothing
        own = owner[used]
        mass = self.cohort.weights[own]
        share = np.divide(weights[used], mass, out=np.zeros(len(own)), where=mass > 0)
        out[used, 1:] = of_points[own] * share[:, None]
        return out


def _points(cells: Cohort, reading: Reading, types: tuple[Integers, Names] | None) -> _Points:
    """Return the cells as they are, or few points for them."""
    cohort, owner, of_cell = cells, np.arange(len(cells.points)), None if types is None else types[0]
    if isinstance(reading.summary, Coreset):
        rng = np.random.default_rng([reading.seed, 1])
        cohort, owner, of_cell = points_of_cells(cells, reading.summary, of_cell, rng)
    return _Points(cohort, of_cell, 1 if types is None else len(types[1]), owner, cells.weights)


def _solve(
    stored: StoredMetric,
    points: _Points,
    weights: PairWeights,
    contrasts: list[Contrast],
    *,
    n_jobs: int | None,
    progress: bool,
) -> Moves:
    """Solve the pairs, some at a time, and sum over the entries of their plans."""
    cohort, found = points.cohort, list[Moves]()
    Z = cohort.points.astype(np.float64)
    with tqdm(total=len(weights.pairs), desc="plans", unit="pair", disable=not progress, leave=False) as bar:
        for start in range(0, len(weights.pairs), PAIRS):
            part = slice(start, start + PAIRS)
            own = PairWeights(weights.pairs[part], weights.within[part], weights.between[part])
            signed = [replace(contrast, weights=contrast.weights[part]) for contrast in contrasts]
            plans = solve_plans(cohort, Z, own.pairs, stored.cost, solver=stored.learner.engine, n_jobs=n_jobs)
            more = moves(Z, plans, own, signed, types=points.types, n_types=points.n_types)
            found = [found[0] + more] if found else [more]
            bar.update(len(own.pairs))
    return found[0]


@dataclass(frozen=True)
class _Read:
    """Sums over the cells of each sample: `products` (T, k, n_genes) over all, `parts` (P, T, m, n_genes) by sample.

    `along` (P, T, k) and `masses` (P, T, m) are the sums of the numbers alone; `means` (P, n_genes).
    """

    products: Floats
    parts: Floats
    along: Floats
    masses: Floats
    means: Floats
    deviations: Floats

    def without(self, shifts: Floats | None) -> tuple[Floats, Floats]:
        """Return products and parts after the effects of covariates (P, n_genes) were taken off the cells."""
        if shifts is None:
            return self.products, self.parts
        return self.products - np.einsum("ptk,pg->tkg", self.along, shifts), self.parts - (
            self.masses[..., None] * shifts[:, None, None]
        )


def _read(
    expression: Expression, selection: Selection, points: _Points, found: Moves, *, n_jobs: int | None, progress: bool
) -> _Read:
    """Multiply the expression of each sample with what moves; a cell moves as its point does, by its weight."""
    T, k = found.along.shape[1:]
    m, P, n_genes = found.shifted.shape[2], selection.n_samples, expression.n_genes
    of_points = np.concatenate([found.along.reshape(-1, T * k), found.shifted.reshape(-1, T * m)], axis=1)
    spans = [slice(start, stop) for start, stop in pairwise(selection.offsets)]
    numbers = (points.numbers(of_points, own) for own in spans)
    products, parts, means = np.zeros((T * k, n_genes)), np.empty((P, T, m, n_genes)), np.empty((P, n_genes))
    squares, totals = np.zeros(n_genes), np.empty((P, T * (k + m)))
    every = read_sums(expression, [selection.rows[own] for own in spans], numbers, n_jobs)
    bar = tqdm(total=P, desc="genes", unit="sample", disable=not progress, leave=False)
    with bar, closing(every):
        for p, sums in enumerate(every):
            means[p] = sums.products[0]
            products += sums.products[1 : 1 + T * k]
            parts[p] = sums.products[1 + T * k :].reshape(T, m, n_genes)
            squares += sums.squares / P
            totals[p] = sums.totals[1:]
            bar.update()
    return _Read(
        products=products.reshape(T, k, n_genes),
        parts=parts,
        along=totals[:, : T * k].reshape(P, T, k),
        masses=totals[:, T * k :].reshape(P, T, m),
        means=means,
        deviations=deviations(means.mean(axis=0), squares),
    )


def _donors(groups: Integers, target: Target) -> Integers:
    """Return (P,) a code for the samples of one donor with one label, which are not independent of each other."""
    return np.unique(np.stack([groups, target.values], axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _by_donor(values: Floats, codes: Integers) -> Floats:
    """Return sums over the samples of each donor."""
    if len(values) == int(codes.max()) + 1:
        return values[np.argsort(codes)]
    out = np.zeros((int(codes.max()) + 1, *values.shape[1:]))
    np.add.at(out, codes, values)
    return out


def _columns(target: Target, batch: Integers | None) -> Floats:
    """Return (P, q) label and batch of the samples, as columns of a design."""
    return target.design if batch is None else np.hstack([target.design, np.eye(int(batch.max()) + 1)[batch]])
