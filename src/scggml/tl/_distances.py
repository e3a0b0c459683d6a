"""Optimal transport distances between samples."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import ArrayLike, NDArray

from scggml._anndata.costs import cell_slots, numbers_of, stored_cost
from scggml._anndata.features import AUTO, Features, Mask, find_basis, read_features
from scggml._anndata.held_out import read_held_out
from scggml._anndata.keys import Keys
from scggml._anndata.messages import check_adata, choices, columns, logged, tell
from scggml._anndata.metric import StoredMetric, read_metric, stored_keys
from scggml._anndata.reading import STORED, Reading, Stored, reread, seed_of
from scggml._anndata.samples import samples_adata, write_distances
from scggml._anndata.scales import are_genes, look, warn_of_scale
from scggml._anndata.selection import Selection
from scggml._arguments import shown
from scggml._core.cohort import Cohort, Points
from scggml._core.threads import n_threads
from scggml._core.transport.coreset import Summary, as_summary
from scggml._core.transport.exact import Exact
from scggml._core.transport.free import FreeCost, check_solver
from scggml._core.transport.ground import GroundMetric
from scggml._core.transport.pairs import distance_matrix
from scggml._core.transport.plans import GROUND_COSTS
from scggml._core.transport.solver import Solver
from scggml._core.transport.solvers import AnySolver, SolverName, as_solver
from scggml._core.transport.summaries import check_combination
from scggml._core.transport.summary import Summarizer
from scggml._docs import documented
from scggml.tl._fixed import FIXED, Fixed, as_fixed


@documented
@logged("computing distances between samples")
def distances(
    adata: AnnData,
    *,
    key: str = "ggml",
    held_out: bool = False,
    metric: str | Callable[[Points, Points], ArrayLike] | NDArray[np.floating[Any]] | pd.DataFrame | None = None,
    sample_key: str | None = None,
    label_key: str | None = None,
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = "auto",
    n_cells: int | Stored | None = "stored",
    min_cells: int | Stored = "stored",
    weights_key: str | None = None,
    genes: bool = True,
    solver: SolverName | AnySolver | Stored = "stored",
    summary: Summary | Stored = "stored",
    rng: int | np.random.Generator | Stored = "stored",
    n_jobs: int | None = None,
    progress: bool = True,
) -> AnnData:
    r"""Compute distances between all samples by optimal transport, as an AnnData of samples.

    .. math:: D_{pq} = \min_{T \in U(a_p, a_q)} \sum_{ij} T_{ij}\, d(x_i, y_j)

    where d is the learned metric, another stored metric, or a fixed one. (A metric learned with `squared=True` has the
    squared ground cost here too.) On the samples that a metric was learned on it separates what it was told to
    separate; `held_out=True` shows what holds for new donors.

    Parameters
    ----------
    adata
        %(adata_cells)s
    key
        %(key_metric)s
    held_out
        Measure each pair of samples by metrics that have seen neither donor (`tl.cross_fit` comes first). The triangle
        inequality holds within each of these metrics only, so a few percent of all triples violate it.
    metric
        Another metric than that of `key`, learned or fixed. One of

        - the key of another stored metric;
        - `"euclidean"`, `"cosine"`, `"cityblock"`, `"sqeuclidean"`, `"chebyshev"`, `"correlation"`, or another name of
          `scipy.spatial.distance.cdist`, which takes longer; `"mahalanobis"` and `"seuclidean"` are a matrix;
        - the name of a slot of `adata.obsp` with costs between all cells that were computed elsewhere, dense and the
          same in both directions; `summary` is None then;
        - a function of two arrays of cells, (n, d) and (m, d), that returns their costs (n, m): finite, at least 0, the
          same in both directions;
        - a matrix M (d, d), symmetric with eigenvalues of at least 0, for :math:`\sqrt{(x - y)^T M (x - y)}`. In a
          DataFrame rows and columns are matched with the features by name.
    sample_key, label_key, weights_key
        %(keys_cells)s
        Without a metric `sample_key` is needed.
    use_rep, layer, mask_var
        Features for a fixed metric, as in `ggml`; by default those of the metric `key`. A learned metric always takes
        the features that it was learned on, found by name.
    n_cells
        %(n_cells)s
        By default that of the metric `key` (or all).
    min_cells
        %(min_cells)s
        By default that of the metric `key` (or 1).
    genes
        Read the mean expression of all genes, too, which takes a pass over `.X`.
    solver
        %(solver)s
        By default that of the metric `key` (or `Exact()`).
    summary
        `None` takes all cells, `Coreset(n_points)` few weighted points instead, found in the space of the metric,
        `Groups(key)` shares of groups of cells, `Gaussian()` mean and covariance, `Mixture(n)` several Gaussians.
        %(summary_auto)s
        By default that of the metric `key` (or `"auto"`).
    rng
        %(rng_cells)s
        Without a metric it is 0.
    n_jobs
        %(n_jobs_threads)s
        Inside `joblib.parallel_config(backend="dask")` pairs go through joblib to a Dask cluster.
    progress
        %(progress)s

    Returns
    -------
    AnnData with one row per sample in order of first appearance.

    `.obs`
        Every column of `adata.obs` that is constant within samples, and `n_cells` (`scggml_n_cells` where such a
        column is one of `adata.obs`).
    `.obsp["ggml_distances"]`
        (P, P) float64, symmetric with zero diagonal, in units of the metric. A fixed or other metric gives the slot
        its name, such as `"euclidean_distances"`, a function that of its own, a matrix `"matrix_distances"`. Held-out
        distances are in `"ggml_held_out_distances"`, so that `key="ggml_held_out"` names them to all other functions.
    `.X`, `.layers["fraction"]`
        (P, n_vars) mean expression of each gene (of `.X`, or the layer of the metric; raw counts are brought to 10,000
        per cell and to log(1 + x) first) and the share of cells that express it, so that `sc.pl.heatmap`,
        `sc.pl.umap(samples, color=gene)` and others draw genes of samples. Without `genes`, or without a matrix of
        them, (P, d) mean features.
    `.obsm`
        (P, d) mean features, under the name of the representation, if these are no genes. With `summary=Gaussian()`
        and a learned metric `"ggml_means"` (P, k) and `"ggml_covariances"` (P, k, k), the Gaussians in its space.
    `.uns["ggml_mixture"]`
        With `summary=Mixture(n)` and a learned metric the Gaussians of each sample in its space, as `Mixture` says.
    `.uns["ggml_distances"]`
        dict: `metric`, `sample_key`, `seen` ("training", "held out", "other": samples that the metric was learned on,
        left out of, or that are others) and, if known, `label_key`.

    Raises
    ------
    KeyError
        No such metric, column or slot; `held_out` without `tl.cross_fit`.
    ValueError
        Missing ids, features that are missing or not finite, arguments out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> samples = sg.tl.distances(adata, progress=False)
    >>> samples.obsp["ggml_distances"].shape
    (9, 9)
    >>> euclidean = sg.tl.distances(adata, metric="euclidean", progress=False)
    >>> list(euclidean.obsp)
    ['euclidean_distances']
    >>> list(sg.tl.distances(adata, metric=np.eye(adata.n_vars), progress=False).obsp)
    ['matrix_distances']

    References
    ----------
    Peyré and Cuturi, *Computational Optimal Transport*, 2019, chapter 2.
    """
    check_adata(adata)
    fixed = _fixed(adata, metric)
    name = fixed.name if fixed is not None else key if metric is None else str(metric)
    stored = _find_stored(adata, key, name, fixed, use_rep=use_rep, layer=layer, mask_var=mask_var)
    reading = _reading(
        adata,
        stored,
        key,
        sample_key=sample_key,
        label_key=label_key,
        weights_key=weights_key,
        n_cells=n_cells,
        min_cells=min_cells,
        summary=summary,
        seed=seed_of(rng),
    )
    engine = _engine(solver, stored, fixed, reading.summary)
    n_threads(n_jobs)
    if held_out and metric is not None:
        raise ValueError(
            f"held_out=True goes with the learned metric {key!r}, not with metric={shown(metric)}; leave metric out."
        )
    reading = _by_cell(reading, fixed, summary, given_features=_given(use_rep, layer, mask_var))
    selection = reading.select(adata)
    if reading.label_key is not None:  # one label for each sample, whatever it says; new samples may have none
        selection.check_one_value(reading.label_key, "label_key")
    if held_out and stored is not None:
        how: dict[str, Any] = {"genes": genes, "n_jobs": n_jobs, "progress": progress}
        return _held_out(adata, replace(stored, reading=reading), selection, engine, **how)
    learned = fixed is None and stored is not None
    bar = f"{name} distances" if progress else None
    how = {"n_jobs": n_jobs, "progress": progress}
    if fixed is None and stored is not None:
        stored = replace(stored, reading=reading)
        summary = as_summary(reading.summary, selection.sizes, len(stored.components))
        cohort = stored.cohort(selection, summary=summary, **how)
        names = stored.features if stored.has_features(adata) else np.array(_axes(stored))
        ground = GroundMetric(None, stored.cost)
    else:
        features = _features(adata, stored, fixed, use_rep=use_rep, layer=layer, mask_var=mask_var)
        names = features.names
        ground = GroundMetric(None, "euclidean") if fixed is None else fixed.on(names)
        summary = as_summary(reading.summary, selection.sizes, len(names))
        cohort = _read(selection, features, summary, reading.seed, **how)
    tell(f"    {name}: {cohort.n_samples} samples, {summary or 'all cells'}, {engine!r}")
    there = replace(cohort, points=ground.embed(cohort))
    D = distance_matrix(there, ground.cost, solver=engine, n_jobs=n_jobs, progress=bar)
    names, cohort = (names, cohort) if fixed is None or not fixed.by_cell else (names[:0], _without_profiles(cohort))
    given = stored is None or _given(use_rep, layer, mask_var)
    slot = _slot(adata, use_rep if given and not learned else reading.use_rep, stored if learned else None)
    samples = samples_adata(selection, cohort, names, slot=slot, layer=reading.layer, genes=genes, n_jobs=n_jobs)
    entry: dict[str, Any] = {"metric": name, "sample_key": reading.sample_key}
    if reading.label_key is not None:
        entry["label_key"] = reading.label_key
    if learned and stored is not None:
        entry |= {"fingerprint": stored.fingerprint, "seen": stored.seen(selection.names)}
    else:
        if _given(use_rep, layer, mask_var):
            reading = replace(reading, use_rep=use_rep, layer=layer)
        entry["reading"] = reading.to_params()
        if len(names):
            entry["features"] = names.astype(object)
    write_distances(samples, name, D, entry, cohort if learned else None)
    return samples


def _engine(
    solver: SolverName | AnySolver | Stored, stored: StoredMetric | None, fixed: Fixed | None, summary: Summary
) -> Solver:
    """Return the solver, which is installed and can do with the costs of the metric and what stands for samples."""
    if isinstance(solver, str) and solver == STORED:
        engine: Solver = Exact() if stored is None else stored.learner.engine
    else:
        engine = as_solver(solver)
    cost = "euclidean" if fixed is None else fixed.ground.cost
    name = None if fixed is None else repr(fixed.name)
    check_combination(summary, engine, cost=cost, called=cost.name if isinstance(cost, FreeCost) else name)
    if isinstance(cost, FreeCost):
        check_solver(engine, cost)
    return engine


def _read(
    selection: Selection,
    features: Features,
    summary: Summarizer | None,
    seed: int,
    *,
    n_jobs: int | None,
    progress: bool,
) -> Cohort:
    """Return the samples with the features that a fixed metric takes."""
    if are_genes(features):
        warn_of_scale(features.slot, look(features))
    rng, bar = np.random.default_rng([seed, 1]), "coresets" if progress else None
    return selection.read(features, summary=summary, rng=rng, n_jobs=n_jobs, progress=bar)


def _held_out(
    adata: AnnData,
    stored: StoredMetric,
    selection: Selection,
    engine: Solver,
    *,
    genes: bool,
    n_jobs: int | None,
    progress: bool,
) -> AnnData:
    """Return the samples with distances under metrics that have seen neither donor."""
    found = read_held_out(adata, stored)
    fold, name = found.folds(selection), Keys(stored.key).held_out
    summary = as_summary(stored.reading.summary, selection.sizes, len(stored.components))
    cohort = found.cohort(selection, summary=summary, n_jobs=n_jobs, progress=progress)
    tell(f"    {name}: {cohort.n_samples} samples, {summary or 'all cells'}, {engine!r}")
    D = found.distances(cohort, fold, engine, n_jobs=n_jobs, progress=f"{name} distances" if progress else None)
    samples = samples_adata(selection, cohort, stored.features, layer=stored.reading.layer, genes=genes, n_jobs=n_jobs)
    entry = {"metric": name, "sample_key": stored.reading.sample_key, "fingerprint": stored.fingerprint}
    if stored.reading.label_key is not None:
        entry["label_key"] = stored.reading.label_key
    write_distances(samples, name, D, entry | {"fold": fold, "seen": "held out"})
    return samples


def _slot(adata: AnnData, use_rep: str | None, stored: StoredMetric | None) -> str | None:
    """Return the slot of `.obsm` that features come from; None for genes."""
    if stored is not None and not stored.has_features(adata):
        return Keys(stored.key).cells
    return None if use_rep in (None, "X") else find_basis(adata, str(use_rep))


def _axes(stored: StoredMetric) -> list[str]:
    """Return names of the coordinates in the learned space."""
    return [f"{Keys(stored.key).cells}_{i}" for i in range(len(stored.components))]


def _by_cell(reading: Reading, fixed: Fixed | None, summary: Summary | Stored, *, given_features: bool) -> Reading:
    """Return how samples are read where costs are by cell: without features, and cells alone stand for samples."""
    if fixed is None or not fixed.by_cell:
        return reading
    name = fixed.name
    if given_features:
        raise ValueError(
            f"metric={name!r} names the costs between cells in adata.obsp, which need no features; leave use_rep, "
            "layer and mask_var out."
        )
    if not (summary is None or (isinstance(summary, str) and summary in (STORED, AUTO))):
        raise ValueError(
            f"summary={shown(summary)}: adata.obsp[{name!r}] knows the costs of cells alone, not of what stands for "
            "them; pass summary=None, and n_cells for fewer of them."
        )
    return replace(reading, summary=None, use_rep=None, layer=None)


def _without_profiles(cohort: Cohort) -> Cohort:
    """Return the cohort without mean features."""
    origin = cohort.origin
    return cohort if origin is None else replace(cohort, origin=replace(origin, profiles=origin.profiles[:, :0]))


def _fixed(adata: AnnData, metric: object) -> Fixed | None:
    """Return the fixed metric that is asked for; None for a stored one."""
    fixed, learned = as_fixed(metric), stored_keys(adata)
    if fixed is not None and fixed.name in learned:
        if not isinstance(metric, str):  # its slots would pass for those of the stored metric
            return replace(fixed, name=f"given_{fixed.name}")
        return fixed if metric in GROUND_COSTS else None  # the key of a stored metric goes before other names
    if fixed is not None or metric is None:
        return fixed
    if not isinstance(metric, str):
        raise TypeError(
            f"metric={shown(metric)} is a {type(metric).__name__}; pass a name such as 'euclidean', the key of a "
            "stored metric, a function of two arrays of cells, or a (d, d) array."
        )
    if metric not in learned and metric in cell_slots(adata):
        return Fixed(metric, GroundMetric(None, stored_cost(adata, metric)), by_cell=True)
    if metric not in learned:
        raise KeyError(
            f"metric={metric!r} is neither a fixed metric ({choices(GROUND_COSTS)}) nor a learned one in adata.uns "
            f"({choices(learned)}) nor costs of cells in adata.obsp ({choices(cell_slots(adata))}). Slower fixed ones "
            f"are {choices(FIXED[len(GROUND_COSTS) :])}; a function or a matrix can be passed, too."
        )
    return None


def _find_stored(
    adata: AnnData,
    key: str,
    name: str,
    fixed: Fixed | None,
    *,
    use_rep: str | None,
    layer: str | None,
    mask_var: Mask,
) -> StoredMetric | None:
    """Return the metric that is asked for, or the one beside a fixed metric, if there is one."""
    if fixed is not None:
        return read_metric(adata, key) if key in stored_keys(adata) else None
    stored = read_metric(adata, name)
    if _given(use_rep, layer, mask_var):
        asked = {"use_rep": use_rep, "layer": layer, "mask_var": mask_var}
        raise ValueError(
            f"{', '.join(f'{name}={shown(value)}' for name, value in asked.items())}: the learned metric "
            f"{stored.key!r} has features of its own; use_rep and layer go with a fixed metric such as "
            'metric="euclidean", and so does mask_var.'
        )
    return stored


def _given(use_rep: str | None, layer: str | None, mask_var: Mask) -> bool:
    return use_rep is not None or layer is not None or not (isinstance(mask_var, str) and mask_var == AUTO)


def _features(
    adata: AnnData,
    stored: StoredMetric | None,
    fixed: Fixed | None,
    *,
    use_rep: str | None,
    layer: str | None,
    mask_var: Mask,
) -> Features:
    """Return the features that a fixed metric takes: the numbers of the cells, where costs are by cell."""
    if fixed is not None and fixed.by_cell:
        return numbers_of(adata, fixed.name)
    if stored is None or _given(use_rep, layer, mask_var):
        return read_features(adata, use_rep=use_rep, layer=layer, mask_var=mask_var)
    return stored.locate(adata)


def _reading(adata: AnnData, stored: StoredMetric | None, key: str, **given: Any) -> Reading:
    """Return how samples are read: as for the stored metric, as far as nothing else is said."""
    if stored is None:
        if given["sample_key"] is None:
            raise ValueError(
                f"sample_key is needed: adata.uns[{key!r}] holds no learned metric to take it from. Pass the column "
                f"of adata.obs with the samples ({choices(columns(adata))})."
            )
        usual = {"n_cells": None, "min_cells": 1, "summary": "auto", "seed": 0}
        given |= {name: value for name, value in usual.items() if given[name] == STORED}
        return Reading(**given)
    reading = reread(stored.reading, **given)
    there = reading.label_key in columns(adata) and given["sample_key"] in (None, stored.reading.sample_key)
    return reading if given["label_key"] is not None or there else replace(reading, label_key=None)
