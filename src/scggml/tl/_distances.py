"""Optimal transport distances between samples."""

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.keys import Keys
from scggml._anndata.metric import Stored, read_stored, stored_features, stored_keys
from scggml._anndata.read import AUTO, Features, Mask, choices, read_cohort, read_features
from scggml._anndata.write import samples_adata
from scggml._core.cohort import Floats
from scggml._core.transport.coreset import Summary
from scggml._core.transport.exact import Exact, SolverName, as_solver
from scggml._core.transport.pairs import all_pairs, solve_distances, square
from scggml._core.transport.plans import GROUND_COSTS, GroundCost


def distances(
    adata: AnnData,
    *,
    key: str = "ggml",
    metric: GroundCost | str | None = None,
    sample_key: str | None = None,
    label_key: str | None = None,
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = "auto",
    n_cells: int | None = None,
    min_cells: int = 1,
    weights_key: str | None = None,
    solver: SolverName | Exact = "exact",
    summary: Summary = "auto",
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
) -> AnnData:
    r"""Distances between all samples by optimal transport, as an AnnData of samples.

    .. math:: D_{pq} = \min_{T \in U(a_p, a_q)} \sum_{ij} T_{ij}\, d(x_i, y_j)

    where d is the learned metric, another stored metric, or a fixed one. (A metric learned with `squared=True` has the
    squared ground cost here too.)

    Parameters
    ----------
    adata
        Cells x genes.
    key
        Learned metric in `.uns`.
    metric
        Instead of the metric `key`: `"euclidean"`, `"cosine"`, `"cityblock"`, `"sqeuclidean"`, `"chebyshev"`, or the
        key of another stored metric.
    sample_key, label_key, weights_key
        Columns of `.obs`: sample of each cell, class of each sample, weights of the cells. By default those that the
        metric `key` was learned with, where there is one.
    use_rep, layer, mask_var
        Features for a fixed metric, as in `ggml`; by default those of the metric `key`. A learned metric always takes
        the features that it was learned on, found by name.
    n_cells
        Draw this many cells of each sample at random; None takes all of them, also where learning did not.
    min_cells
        Leave out samples with fewer cells, with a warning that lists them.
    solver
        Solver of optimal transport, by name or as an object with options.
    summary
        `None` takes all cells, `Coreset(n_points)` few weighted points instead, found in the space of the metric.
        `"auto"` takes all cells unless the median sample has 1000 or more; then it is `Coreset(200)`, or `Coreset(100)`
        in cohorts of more than 200 samples.
    rng
        Seed or generator for `n_cells` and `summary`.
    n_jobs
        Threads; None for all cores. Pairs go through joblib: inside `joblib.parallel_config(backend="dask")` they run
        on a Dask cluster.
    progress
        Show a progress bar in pairs per second.

    Returns
    -------
    AnnData with one row per sample in order of first appearance.

    `.obs`
        Every column of `adata.obs` that is constant within samples, and `n_cells`.
    `.obsp["ggml_distances"]`
        (P, P) float64, symmetric with zero diagonal, in units of the metric. A fixed or other metric gives the slot
        its name, such as `"euclidean_distances"`.
    `.X`
        (P, d) mean profile of each sample over the features.
    `.uns["ggml_distances"]`
        dict: `metric`, `sample_key` and, if known, `label_key`.

    Raises
    ------
    KeyError
        No such metric, column or slot.
    ValueError
        Missing ids, features that are missing or not finite, arguments out of range.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> samples = sg.tl.distances(adata, progress=False)
    >>> samples.obsp["ggml_distances"].shape
    (9, 9)
    >>> euclidean = sg.tl.distances(adata, metric="euclidean", progress=False)
    >>> list(euclidean.obsp)
    ['euclidean_distances']

    References
    ----------
    Peyré and Cuturi, *Computational Optimal Transport*, 2019, chapter 2.
    """
    name = key if metric is None else metric
    stored, features, W, cost = _find_metric(adata, key, metric, use_rep=use_rep, layer=layer, mask_var=mask_var)
    sample_key = _default(sample_key, stored, "sample_key")
    if sample_key is None:
        raise ValueError(
            f"sample_key is needed: adata.uns[{key!r}] holds no learned metric that could tell it. Pass the column of "
            f"adata.obs with the samples ({choices(adata.obs)})."
        )
    if label_key is None and stored is not None and sample_key == stored.param("sample_key"):
        label_key = stored.param("label_key") if stored.param("label_key") in adata.obs else None
    cohort = read_cohort(
        adata,
        features,
        sample_key,
        label_key,
        weights_key=_default(weights_key, stored, "weights_key"),
        n_cells=n_cells,
        min_cells=min_cells,
        summary=summary,
        components=W,
        rng=np.random.default_rng(rng),
    )
    pairs = all_pairs(cohort.n_samples)
    values = solve_distances(
        cohort,
        cohort.points,
        pairs,
        cost,
        solver=as_solver(solver),
        n_jobs=n_jobs,
        progress=f"{name} distances" if progress else None,
    )
    samples = samples_adata(adata, cohort, features, sample_key)
    slot = Keys(name).distances
    samples.obsp[slot] = square(values, pairs, cohort.n_samples)
    samples.uns[slot] = {"metric": name, "sample_key": sample_key} | (
        {} if label_key is None else {"label_key": label_key}
    )
    return samples


def _find_metric(
    adata: AnnData, key: str, metric: str | None, *, use_rep: str | None, layer: str | None, mask_var: Mask
) -> tuple[Stored | None, Features, Floats | None, GroundCost]:
    """The stored metric with its defaults (if any), the features, W if they need it, and the ground cost after it."""
    learned = stored_keys(adata)
    given = use_rep is not None or layer is not None or not (isinstance(mask_var, str) and mask_var == AUTO)
    if metric in GROUND_COSTS:
        stored = read_stored(adata, key) if key in learned else None
        if stored is None or given:
            return stored, read_features(adata, use_rep=use_rep, layer=layer, mask_var=mask_var), None, metric
        return stored, stored_features(adata, stored), None, metric
    if metric is not None and metric not in learned:
        raise KeyError(
            f"metric={metric!r} is neither a fixed metric ({choices(GROUND_COSTS)}) nor a learned one in adata.uns "
            f"({choices(learned)})."
        )
    stored = read_stored(adata, key if metric is None else metric)
    if given:
        raise ValueError(
            f"The learned metric {stored.key!r} has features of its own; use_rep and layer go with a fixed metric "
            'such as metric="euclidean", and so does mask_var.'
        )
    cost: GroundCost = "sqeuclidean" if stored.squared else "euclidean"
    cells = Keys(stored.key).cells
    if stored.param("use_rep") not in (None, "X", *adata.obsm) and cells in adata.obsm:
        # cells that `project` brought in through their genes: their coordinates are there, their features are not
        return stored, read_features(adata, use_rep=cells), None, cost
    return stored, stored_features(adata, stored), stored.components, cost


def _default(value: str | None, stored: Stored | None, name: str) -> str | None:
    """The argument, or what the stored metric was learned with."""
    return value if value is not None or stored is None else stored.param(name)
