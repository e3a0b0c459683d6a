"""Add up what cells and cell types add to the gap between classes, under a stored metric or held-out ones."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from scggml._anndata.held_out import HeldOut
from scggml._anndata.messages import warn
from scggml._anndata.metric import StoredMetric
from scggml._anndata.selection import Selection
from scggml._core.cohort import Floats, Integers, Names
from scggml._core.explain.attribution import (
    cell_contributions,
    excess,
    kind_weights,
    type_costs,
    type_flows,
    within_types,
)
from scggml._core.explain.points import points_of_cells
from scggml._core.labelings import n_labelings, permutation_blocks, permute
from scggml._core.learn.pair_weights import PairWeights, weigh_pairs
from scggml._core.samples import Target, labelled
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.pairs import all_pairs, solve_plans
from scggml._core.transport.solver import Solver

PAIRS = 2048
"""Pairs of samples that are solved at a time."""

UNLIKE = 0.2
"""Share of the gap that must change places between types before in-sample attribution warns."""

ROUNDING = 1e-9
"""Share of a statistic up to which others are equal to it."""


@dataclass(frozen=True)
class Study:
    """Samples with their labels, and the types of their cells.

    Parameters
    ----------
    weights
        Pairs of samples, and how they count.
    types, type_names
        (n_cells,) type of each chosen cell (None without types), and (n_types,) names.
    groups, strata
        (P,) donor of each sample, and what labels are permuted within.
    """

    stored: StoredMetric
    selection: Selection
    target: Target
    weights: PairWeights
    types: Integers | None
    type_names: Names
    groups: Integers
    strata: Integers

    @classmethod
    def of(cls, stored: StoredMetric, selection: Selection, target: Target, cell_type_key: str | None) -> "Study":
        """Return the study of chosen cells."""
        types, names = None, np.array([], dtype=str)
        if cell_type_key is not None:
            types, names = selection.categories(cell_type_key, "cell_type_key")
        design = stored.reading.design(selection)
        batch = design["batch"]
        strata = np.zeros(selection.n_samples, dtype=np.int64) if batch is None else batch
        weights = _all_weights(weigh_pairs(target, batch=batch), selection.n_samples)
        return cls(stored, selection, target, weights, types, names, design["groups"], strata)

    @property
    def kinds(self) -> Integers:
        """(n_kinds, 2) pairs of different classes."""
        return all_pairs(self.target.n_classes)


@dataclass(frozen=True)
class Contributions:
    """Sums over plans.

    Parameters
    ----------
    between, within
        Mean distances.
    cells, excess
        (n_cells,) contributions to the gap, and the same for one whole sample's mass.
    flows
        See `type_flows`; empty without types.
    costs
        (n_pairs, n_types, 2) what pairs pay for each type because its cells differ (state), and the rest of what they
        pay for it (composition).
    masses
        (P, n_types) share of each type in each sample.
    """

    between: float
    within: float
    cells: Floats
    excess: Floats
    flows: list[Floats]
    costs: Floats
    masses: Floats


def add_up(study: Study, found: HeldOut | None, *, solver: Solver, n_jobs: int | None, progress: bool) -> Contributions:
    """Add up plans under the stored metric, or under those that have seen neither donor of a pair (`found`)."""
    stored, selection, weights = study.stored, study.selection, study.weights
    reading, n_types = stored.reading, len(study.type_names)
    cells = labelled((stored if found is None else found).cohort(selection, n_jobs=n_jobs), study.target)
    cohort, owner, of_point = cells, np.arange(len(cells.points)), study.types
    if isinstance(reading.summary, Coreset):
        rng = np.random.default_rng([reading.seed, 1])
        cohort, owner, of_point = points_of_cells(cells, reading.summary, of_point, rng)
    place = _places(weights.pairs, selection.n_samples)
    values, contributions = np.zeros(len(weights.pairs)), np.zeros(len(cohort.points))
    flows, costs = list[Floats](), np.zeros((len(weights.pairs), n_types, 2))  # no types: nothing in it
    total = sum(len(pairs) for _, pairs, _ in _fits(found, selection))
    with tqdm(total=total, desc="plans", unit="pair", disable=not progress, leave=False) as bar:
        for number, every, shares in _fits(found, selection):
            Z = cohort.points.astype(np.float64) if found is None else found.points(cohort, number)
            for start in range(0, len(every), PAIRS):
                pairs, share = every[start : start + PAIRS], shares[start : start + PAIRS]
                at = place[pairs[:, 0], pairs[:, 1]]
                plans = solve_plans(cohort, Z, pairs, stored.cost, solver=solver, n_jobs=n_jobs)
                values[at] += share * plans.values
                difference = (weights.between - weights.within)[at] * share
                contributions += cell_contributions(Z, plans, difference, squared=stored.squared)
                if of_point is not None:
                    used = share * ((weights.between + weights.within)[at] > 0)
                    more = type_flows(cohort, of_point, n_types, Z, plans, squared=stored.squared, share=used)
                    flows = [old + new for old, new in zip(flows, more, strict=True)] if flows else list(more)
                    paid = type_costs(Z, plans, of_point, n_types, squared=stored.squared)
                    state = within_types(
                        cohort, Z, pairs, of_point, n_types, cost=stored.cost, solver=solver, n_jobs=n_jobs
                    )
                    costs[at] += np.stack([state, paid - state], axis=2) * share[:, None, None]
                bar.update(len(pairs))
    # a cell gets a share of its center's contribution in proportion to its weight
    mass = np.append(cohort.weights, 1.0)
    part = np.divide(cells.weights, mass[owner], out=np.zeros(len(owner)), where=mass[owner] > 0)
    shared = np.append(contributions, 0.0)[owner] * part
    between, within = float(weights.between @ values), float(weights.within @ values)
    masses = np.zeros((selection.n_samples, n_types))
    if study.types is not None:
        np.add.at(masses, (np.repeat(np.arange(selection.n_samples), cells.sizes), study.types), cells.weights)
    return Contributions(between, within, shared, excess(cells, shared), flows, costs, masses)


def _all_weights(found: PairWeights, n_samples: int) -> PairWeights:
    """Return weights of all pairs, 0 for those that do not count: under permuted labels these are others."""
    pairs = all_pairs(n_samples)
    at = _places(pairs, n_samples)[found.pairs[:, 0], found.pairs[:, 1]]
    within, between = np.zeros(len(pairs)), np.zeros(len(pairs))
    within[at], between[at] = found.within, found.between
    return PairWeights(pairs, within, between)


def _places(pairs: Integers, n_samples: int) -> Integers:
    """Return (P, P) the number of each pair."""
    place = np.full((n_samples, n_samples), -1, dtype=np.int64)
    place[pairs[:, 0], pairs[:, 1]] = np.arange(len(pairs))
    return place


def _fits(found: HeldOut | None, selection: Selection) -> Iterator[tuple[int, Integers, Floats]]:
    """Yield the number of each metric, its pairs of samples, and the share of each."""
    if found is None:
        pairs = all_pairs(selection.n_samples)
        yield 0, pairs, np.ones(len(pairs))
        return
    for number, samples, pairs, share in found.fits.pairs(found.folds(selection)):
        yield number, samples[pairs], share


def _by_type(study: Study, result: Contributions) -> Floats:
    """Return (n_types,) what each type adds to the gap, all classes together."""
    out: Floats = np.einsum("e,etp->t", study.weights.between - study.weights.within, result.costs)
    return out


def parts_of(study: Study, result: Contributions) -> Floats:
    """Return (n_kinds, n_types, 2) what state and composition add beyond the mean within two classes."""
    return _beyond(study, result.costs, study.target.values)


def p_values(study: Study, result: Contributions, n_perm: int, rng: np.random.Generator) -> Floats:
    """Return (n_kinds, n_types, 2) p-values of both parts of each type, from labels permuted among donors.

    Distances stay as they are, so they must be held-out ones. A composition that differs does so in the share of the
    type as well as in what this costs, and its p-value is the larger one of both: where the cells of one type have
    changed, those of others make room for them, which costs although no share differs.
    """
    target = study.target
    blocks = permutation_blocks(target.values, study.groups, study.strata)
    one, other = (result.masses[study.weights.pairs[:, end]] for end in (0, 1))
    measures = np.concatenate([result.costs, (one - other)[:, :, None] ** 2], axis=2)
    observed = _beyond(study, measures, target.values)
    least = observed - ROUNDING * np.abs(observed)
    reached = np.ones(observed.shape)
    for _ in range(n_perm):
        reached += _beyond(study, measures, permute(target.values, blocks, rng)) >= least
    p = np.maximum(reached / (n_perm + 1), 1 / n_labelings(target.values, blocks, kind=target.kind))
    return np.stack([p[:, :, 0], p[:, :, 1:].max(axis=2)], axis=2)


def _beyond(study: Study, measures: Floats, values: Floats) -> Floats:
    """Return (n_kinds, n_types, m) measures (n_pairs, n_types, m) between classes beyond those within, by labels."""
    weights = kind_weights(study.weights.pairs, values.astype(np.int64), study.kinds, study.strata)
    found: Floats = weights @ measures.reshape(len(measures), -1)
    return found.reshape(len(study.kinds), *measures.shape[1:])


def warn_of_difference(study: Study, training: Contributions, held_out: Contributions) -> None:
    """Warn if cell types share the gap otherwise on held-out donors than on those that the metric was learned on."""
    shares = []
    for found in (training, held_out):
        positive = np.maximum(_by_type(study, found), 0.0)
        shares.append(positive / max(positive.sum(), np.finfo(float).tiny))
    apart = shares[0] - shares[1]
    if np.abs(apart).sum() / 2 > UNLIKE:
        t = int(np.abs(apart).argmax())
        warn(
            f"On the training samples {str(study.type_names[t])!r} has {shares[0][t]:.0%} of the gap between classes, "
            f"on held-out donors {shares[1][t]:.0%}: what the metric separates here does not hold for new donors. Call "
            f"sg.tl.attribute(adata, key={study.stored.key!r}, held_out=True)."
        )
