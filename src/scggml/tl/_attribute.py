"""Attribute the gap between classes to cells and cell types."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from tqdm.auto import tqdm

from scggml._anndata.keys import Keys
from scggml._anndata.messages import check_adata
from scggml._anndata.metric import read_metric
from scggml._anndata.reading import STORED, Stored, read_target, reread, seed_of
from scggml._anndata.results import write_cells, write_uns
from scggml._core.cohort import Cohort, Floats, Integers, Names, Points
from scggml._core.explain.attribution import cell_contributions, excess, mean_flows, type_flows
from scggml._core.learn.pair_weights import weigh_pairs
from scggml._core.samples import labelled
from scggml._core.threads import n_threads
from scggml._core.transport.coreset import Coreset, Summary, centers_of
from scggml._core.transport.exact import Exact, SolverName, as_solver
from scggml._core.transport.pairs import solve_plans
from scggml._core.transport.solver import Solver
from scggml._docs import documented

PAIRS = 2048
"""Pairs of samples that are solved at a time."""


@documented
def attribute(
    adata: AnnData,
    *,
    key: str = "ggml",
    cell_type_key: str | None = None,
    sample_key: str | None = None,
    label_key: str | None = None,
    weights_key: str | None = None,
    n_cells: int | Stored | None = "stored",
    min_cells: int | Stored = "stored",
    summary: Summary | Stored = "stored",
    solver: SolverName | Exact | Stored = "stored",
    rng: int | np.random.Generator | Stored = "stored",
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Find out how much each cell, and each cell type, adds to the gap between classes under a learned metric.

    The optimal plan T of two samples moves the mass :math:`T_{ij}` over the distance :math:`d_{ij}`. Half of what this
    costs is put down to cell i, half to cell j, so that the cells of two samples add up to their distance:

    .. math:: D_{pq} = \sum_{i \in p} c_i + \sum_{j \in q} c_j, \qquad c_i = \tfrac12 \sum_j T_{ij}\, d_{ij}

    The contribution of a cell to the **gap**, the mean distance between classes less the mean distance within them
    (classes and pairs of classes count equally), is the mean of its :math:`c_i` over the pairs between less that over
    the pairs within. It is negative for a cell that is as far from its own class as from others. All cells add up to
    the gap, exactly.

    With cell types, what a type adds is split by where its mass goes: to the same type of the other sample (the type
    itself looks different) or to another one (there is more or less of it). Plans are optimal for samples, not for
    cells: with many equal cells another plan may be as good. Sums over types are more stable than single cells.

    Parameters
    ----------
    adata
        %(adata_metric)s
    key
        %(key_metric)s
    cell_type_key
        Column of `.obs` with the type of each cell, for the tables of types.
    sample_key, label_key, weights_key
        %(keys_cells)s
    n_cells
        %(n_cells)s
        By default as the metric was learned.
    min_cells
        %(min_cells)s
        By default as the metric was learned.
    summary
        `None` takes all cells, `Coreset(n_points)` few weighted points of each sample and cell type, whose contribution
        is shared among their cells. By default as the metric was learned.
    solver
        %(solver)s
        By default that of the metric.
    rng
        %(rng_cells)s
    n_jobs
        %(n_jobs_threads)s
    progress
        %(progress)s
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written are

    `.obs["ggml_attribution"]`
        float64, contribution of each cell to the gap, in units of the distance; NaN for cells that were not used.
    `.obs["ggml_excess"]`
        float64, the same for one whole sample's mass: how much farther the cell travels to other classes than within
        its own. Unlike the contribution it does not shrink with the number of cells and samples, so it is what to
        draw. Its mean over cells, samples and classes is the gap.
    `.uns["ggml_attribution"]`
        dict: `between`, `within`, `gap` (floats), `params`, and with `cell_type_key` two DataFrames:

        `types`
            a row for each pair of classes (`class_a`, `class_b`) and type (`cell_type`): `mass`, its share of the cells
            (mean of both classes); `moved`, the share of that mass that goes to or comes from another type;
            `distance`, what it adds to the mean distance, as a sum of `same_type` and `other_type`; `excess`, what it
            adds beyond the mean of the distances within the two classes (0 within a class), as a sum of
            `excess_same_type` and `excess_other_type`.
        `flows`
            the same by pair of types (`type_a`, `type_b`): `mass` and `distance`, which add up to 1 and the mean
            distance.

    Raises
    ------
    KeyError
        No such metric or column.
    ValueError
        Missing ids, one class only, a class with one sample, arguments out of range.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.attribute(adata, cell_type_key="mode", progress=False)
    >>> types = adata.uns["ggml_attribution"]["types"]
    >>> types.loc[types["excess"].idxmax(), "cell_type"]
    'specific'

    References
    ----------
    Peyré and Cuturi, *Computational Optimal Transport*, 2019, chapter 2, for optimal plans.
    """
    check_adata(adata)
    stored = read_metric(adata, key)
    engine = stored.learner.engine if isinstance(solver, str) and solver == STORED else as_solver(solver)
    n_threads(n_jobs)
    reading = reread(
        stored.reading,
        sample_key=sample_key,
        label_key=label_key,
        weights_key=weights_key,
        n_cells=n_cells,
        min_cells=min_cells,
        summary=summary,
        seed=seed_of(rng),
    )
    selection = reading.select(adata)
    reading = reading.settled(selection, len(stored.components))
    target = read_target(reading, selection)
    if target.kind == "numbers":
        raise ValueError(
            f"label_key={reading.label_key!r} holds numbers, so that there are no classes whose gap cells could add "
            "to. Pass a label_key with classes, such as ranges of these numbers (pd.cut)."
        )
    types = None if cell_type_key is None else selection.categories(cell_type_key, "cell_type_key")
    cells = labelled(replace(stored, reading=reading).cohort(selection), target)
    cohort, owner, own_types = cells, np.arange(len(cells.points)), None if types is None else types[0]
    if isinstance(reading.summary, Coreset):
        rng_of_summary = np.random.default_rng([reading.seed, 1])
        cohort, owner, own_types = _summarize(cells, reading.summary, own_types, rng_of_summary)
    batch = None if reading.batch_key is None else selection.codes(reading.batch_key, "batch_key")

    weights = weigh_pairs(target, batch=batch)
    values, contributions, flows = _add_up(
        cohort,
        cohort.points.astype(np.float64),
        weights.pairs,
        weights.between - weights.within,
        types=own_types,
        n_types=0 if types is None else len(types[1]),
        squared=stored.squared,
        solver=engine,
        n_jobs=n_jobs,
        progress=progress,
    )
    # a cell gets a share of its center's contribution in proportion to its weight
    mass = np.append(cohort.weights, 1.0)
    shared = np.append(contributions, 0.0)[owner] * cells.weights / mass[owner]
    given = reading.to_params() | ({} if cell_type_key is None else {"cell_type_key": cell_type_key})
    entry: dict[str, Any] = {
        "between": float(weights.between @ values),
        "within": float(weights.within @ values),
        "gap": float((weights.between - weights.within) @ values),
        "params": given,
        "fingerprint": stored.fingerprint,
    }
    if types is not None:
        entry["types"], entry["flows"] = _type_tables(cohort.classes, types[1], *mean_flows(*flows))

    adata = adata.copy() if copy else adata
    write_cells(adata, Keys(key).attribution, selection.rows, shared)
    write_cells(adata, Keys(key).excess, selection.rows, excess(cells, shared))
    write_uns(adata, Keys(key).attribution, entry)
    return adata if copy else None


def _summarize(
    cells: Cohort, summary: Coreset, types: Integers | None, rng: np.random.Generator
) -> tuple[Cohort, Integers, Integers | None]:
    """Return few points of each sample, of one cell type each, the point of each cell (-1: none), and their types."""
    points, weights, kinds, sizes = list[Points](), list[Floats](), list[Integers](), list[int]()
    owner = np.full(len(cells.points), -1, dtype=np.int64)
    first = 0
    for span in cells.spans(np.arange(cells.n_samples)):
        own = summary.owners(cells.points[span], cells.weights[span], rng)
        kept = np.flatnonzero(own >= 0)
        marks = own[kept] if types is None else own[kept] * (int(types.max()) + 1) + types[span][kept]
        found, place = np.unique(marks, return_inverse=True)
        centers, mass = centers_of(cells.points[span][kept], cells.weights[span][kept], place.ravel())
        owner[np.arange(span.start, span.stop)[kept]] = first + place.ravel()
        points.append(centers)
        weights.append(mass)
        sizes.append(len(found))
        if types is not None:
            kinds.append(found % (int(types.max()) + 1))
        first += len(found)
    summarized = replace(
        cells,
        points=np.concatenate(points),
        weights=np.concatenate(weights),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
    )
    return summarized, owner, np.concatenate(kinds) if types is not None else None


def _add_up(
    cohort: Cohort,
    Z: Floats,
    pairs: Integers,
    weights: Floats,
    *,
    types: Integers | None,
    n_types: int,
    squared: bool,
    solver: Solver,
    n_jobs: int | None,
    progress: bool,
) -> tuple[Floats, Floats, list[Floats]]:
    """Return distances of all pairs, contributions of the cells, and flows between types, some pairs at a time."""
    values, contributions, flows = np.empty(len(pairs)), np.zeros(len(Z)), list[Floats]()
    with tqdm(total=len(pairs), desc="plans", unit="pair", disable=not progress, leave=False) as bar:
        for start in range(0, len(pairs), PAIRS):
            part = slice(start, start + PAIRS)
            plans = solve_plans(
                cohort, Z, pairs[part], "sqeuclidean" if squared else "euclidean", solver=solver, n_jobs=n_jobs
            )
            values[part] = plans.values
            contributions += cell_contributions(Z, plans, weights[part], squared=squared)
            if types is not None:
                found = type_flows(cohort, types, n_types, Z, plans, squared=squared)
                flows = [old + new for old, new in zip(flows, found, strict=True)] if flows else list(found)
            bar.update(len(plans.pairs))
    return values, contributions, flows


def _type_tables(
    class_names: Names, names: Names, classes: Integers, mass: Floats, distance: Floats
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of cell types and of flows between them."""
    same = np.eye(len(names), dtype=bool)
    ends = _by_type(mass), _by_type(np.where(same, 0.0, mass))
    parts = [_by_type(np.where(same, distance, 0.0)), _by_type(np.where(same, 0.0, distance))]
    own = {int(a): k for k, (a, b) in enumerate(classes) if a == b}
    beyond = [
        np.stack([part[k] - (part[own[int(a)]] + part[own[int(b)]]) / 2 for k, (a, b) in enumerate(classes)])
        for part in parts
    ]
    type_names = names.astype(object)
    sides = {
        "class_a": np.repeat(class_names[classes[:, 0]].astype(object), len(names)),
        "class_b": np.repeat(class_names[classes[:, 1]].astype(object), len(names)),
    }
    moved = np.divide(ends[1], ends[0], out=np.zeros_like(ends[0]), where=ends[0] > 0)
    types = pd.DataFrame(
        sides
        | {
            "cell_type": np.tile(type_names, len(classes)),
            "mass": ends[0].ravel(),
            "moved": moved.ravel(),
            "distance": (parts[0] + parts[1]).ravel(),
            "same_type": parts[0].ravel(),
            "other_type": parts[1].ravel(),
            "excess": (beyond[0] + beyond[1]).ravel(),
            "excess_same_type": beyond[0].ravel(),
            "excess_other_type": beyond[1].ravel(),
        }
    )
    n = len(names)
    flows = pd.DataFrame(
        {side: np.repeat(values, n) for side, values in sides.items()}
        | {
            "type_a": np.tile(np.repeat(type_names, n), len(classes)),
            "type_b": np.tile(type_names, n * len(classes)),
            "mass": mass.ravel(),
            "distance": distance.ravel(),
        }
    )
    return types, flows[flows["mass"] > 0].reset_index(drop=True)


def _by_type(flows: Floats) -> Floats:
    """Return (n_kinds, n_types) half of what leaves a type and half of what arrives at it."""
    out: Floats = (flows.sum(axis=2) + flows.sum(axis=1)) / 2
    return out
