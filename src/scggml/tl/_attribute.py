"""Attribute the gap between classes to cells and cell types."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.composition import warn_of_leaks
from scggml._anndata.contributions import (
    Contributions,
    Study,
    add_up,
    p_values,
    parts_of,
    warn_of_difference,
)
from scggml._anndata.held_out import has_held_out, read_held_out
from scggml._anndata.keys import Keys
from scggml._anndata.messages import check_adata, logged
from scggml._anndata.metric import read_metric
from scggml._anndata.ownership import check_results
from scggml._anndata.reading import STORED, Stored, reread, seed_of
from scggml._anndata.results import write_cells, write_result
from scggml._anndata.tested import Gate
from scggml._core.checks import check_whole
from scggml._core.cohort import Floats, Integers, Names
from scggml._core.explain.attribution import mean_flows
from scggml._core.explain.significance import benjamini_hochberg
from scggml._core.threads import n_threads
from scggml._core.transport.coreset import Summary
from scggml._core.transport.solvers import AnySolver, SolverName, as_solver, check_adds_up
from scggml._core.transport.summaries import check_shares
from scggml._docs import documented


@documented
@logged("dividing the gap between classes among cells and cell types")
def attribute(
    adata: AnnData,
    *,
    key: str = "ggml",
    held_out: bool = False,
    cell_type_key: str | None = None,
    n_perm: int = 999,
    sample_key: str | None = None,
    label_key: str | None = None,
    weights_key: str | None = None,
    n_cells: int | Stored | None = "stored",
    min_cells: int | Stored = "stored",
    summary: Summary | Stored = "stored",
    solver: SolverName | AnySolver | Stored = "stored",
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

    With cell types, what a type adds has two parts. Its *state*: what is left if all samples had the same composition,
    the gap between classes of the distances between the cells of this type alone, by their share. And *composition*,
    the rest: there is more or less of it, or room is made for others (it is negative where cells of other types make a
    way around that shortens distances). With `held_out` either part has a p-value: the share of permutations of the
    labels among donors (within batches, and among all classes) that give as large a part, at unchanged distances. The
    one of composition is at least that of the shares of the type: where the cells of one type have changed, other types
    make room for them, although the share of none of them differs.
    Plans are optimal for samples, not for cells: with many equal cells another plan may be as good. Sums over types are
    more stable than single cells.

    Parameters
    ----------
    adata
        %(adata_metric)s
    key
        %(key_metric)s
    held_out
        Take the plans of each pair of samples from metrics that have seen neither donor (`tl.cross_fit` comes first).
        On the samples that a metric was learned on all types seem to differ, as each helps to tell these samples apart.
    cell_type_key
        Column of `.obs` with the type of each cell, for the tables of types.
    n_perm
        Permutations of labels among donors for the p-values of types with `held_out`; 0 for none.
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
        dict: `between`, `within`, `gap` (floats), `seen` ("training", "held out", "other"), `params`, and with
        `cell_type_key` two DataFrames:

        `types`
            a row for each pair of classes (`class_a`, `class_b`) and type (`cell_type`): `mass`, its share of the cells
            (mean of both classes); `moved`, the share of that mass that goes to or comes from another type;
            `distance`, what it adds to the mean distance, as a sum of `same_type` and `other_type`; `excess`, what it
            adds beyond the mean of the distances within the two classes (0 within a class), as a sum of
            `excess_same_type` and `excess_other_type` (by where the mass goes), and as a sum of `excess_state` and
            `excess_composition`. With `held_out`: `p_value_state`, `p_value_composition`, and false discovery rates
            (Benjamini and Hochberg, over types and parts of a pair of classes; none below the p-value of the first
            component, if the label is that of the metric) `p_adjusted_state`, `p_adjusted_composition`.
        `flows`
            the same by pair of types (`type_a`, `type_b`): `mass` and `distance`, which add up to 1 and the mean
            distance.

    `.uns["ggml_components"]`
        With p-values, unless it is there: what :func:`~scggml.tl.component_test` finds.

    Raises
    ------
    KeyError
        No such metric or column; `held_out` without `tl.cross_fit`.
    ValueError
        Labels that are numbers; with `held_out` samples that the metric was not learned on; missing ids, one class
        only, a class with one sample, arguments out of range; slots of the result that hold something else.

    Warns
    -----
    UserWarning
        Types that occur in one class only; p-values although no component is real. Without `held_out`, after
        `tl.cross_fit`: types share the gap otherwise on held-out donors.

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
    check_adds_up(engine, "tl.attribute")
    engine.require()
    n_threads(n_jobs)
    check_whole("n_perm", n_perm, 0)
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
    check_shares(reading.summary, "tl.attribute")
    written = ("attribution", "components") if held_out and cell_type_key is not None and n_perm else ("attribution",)
    check_results(adata, key, *written, copy=copy)
    selection = reading.select(adata)
    reading = reading.settled(selection, len(stored.components))
    target = replace(stored, reading=reading).target(selection)
    if target.kind == "numbers":
        raise ValueError(
            f"label_key={reading.label_key!r} holds numbers, so that there are no classes whose gap cells could add "
            "to. Pass a label_key with classes, such as ranges of these numbers (pd.cut)."
        )
    metric, gate, stored = stored, None, replace(stored, reading=reading)
    study = Study.of(stored, selection, target, cell_type_key)
    if study.types is not None:
        warn_of_leaks(study.selection, study.target, study.types, study.type_names, str(cell_type_key))
    options: dict[str, Any] = {"solver": engine, "n_jobs": n_jobs, "progress": progress}
    result = add_up(study, read_held_out(adata, stored) if held_out else None, **options)
    given = reading.to_params() | ({} if cell_type_key is None else {"cell_type_key": cell_type_key})
    entry: dict[str, Any] = {
        "between": result.between,
        "within": result.within,
        "gap": result.between - result.within,
        "seen": "held out" if held_out else stored.seen(selection.names),
        "params": given,
        "fingerprint": stored.fingerprint,
    }
    if study.types is not None:
        types, entry["flows"] = _type_tables(target.classes, study.type_names, *mean_flows(*result.flows))
        p = None
        if held_out and n_perm:
            p = p_values(study, result, n_perm, np.random.default_rng([reading.seed, 4]))
            if reading.label_key == metric.reading.label_key:  # the components say nothing about another label
                gate = Gate.of(adata, metric, seed=reading.seed, own=True, n_jobs=n_jobs, progress=progress)
        elif not held_out and has_held_out(adata, stored):
            warn_of_difference(study, result, add_up(study, read_held_out(adata, stored), **options))
        types = _with_parts(types, study, result, p, 0.0 if gate is None else gate.p)
        entry["types"] = types

    adata = adata.copy() if copy else adata
    write_cells(adata, Keys(key).attribution, selection.rows, result.cells)
    write_cells(adata, Keys(key).excess, selection.rows, result.excess)
    write_result(adata, Keys(key).attribution, entry)
    if gate is not None:
        gate.write(adata, "cell type")
    return adata if copy else None


def _with_parts(
    table: pd.DataFrame, study: Study, result: Contributions, p: Floats | None, least: float
) -> pd.DataFrame:
    """Return the table with both parts of each type, p-values (n_kinds, n_types, 2) and rates, none below `least`."""
    columns = {"excess": parts_of(study, result)}
    if p is not None:
        columns["p_value"] = p
        rates = np.stack([benjamini_hochberg(found.ravel()).reshape(found.shape) for found in p])
        columns["p_adjusted"] = np.maximum(rates, least)
    names = [str(name) for name in study.target.classes]
    kind_of = {(names[a], names[b]): k for k, (a, b) in enumerate(study.kinds)}
    type_of = {str(name): t for t, name in enumerate(study.type_names)}
    places = [
        (kind_of.get((a, b), -1), type_of[t])
        for a, b, t in zip(table["class_a"], table["class_b"], table["cell_type"], strict=True)
    ]
    out = table.copy()
    for name, values in columns.items():
        for part, kind in enumerate(("state", "composition")):
            nothing = 0.0 if name == "excess" else np.nan  # within a class
            out[f"{name}_{kind}"] = [nothing if k < 0 else values[k, t, part] for k, t in places]
    return out


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
