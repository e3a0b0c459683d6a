"""The coupling of two samples."""

from dataclasses import replace

import numpy as np
from anndata import AnnData
from scipy.sparse import csr_matrix

from scggml._anndata.forms import sealed
from scggml._anndata.messages import check_adata, choices, logged
from scggml._anndata.metric import read_metric
from scggml._anndata.reading import STORED, Stored, reread
from scggml._core.explain.attribution import entry_distances
from scggml._core.transport.pairs import solve_plans
from scggml._core.transport.solvers import AnySolver, SolverName, as_solver, check_plan
from scggml._docs import documented


@documented
@logged("computing the coupling of two samples")
def plan(
    adata: AnnData,
    sample_a: str,
    sample_b: str,
    *,
    key: str = "ggml",
    sample_key: str | None = None,
    weights_key: str | None = None,
    solver: SolverName | AnySolver | Stored = "stored",
) -> AnnData:
    r"""Solve for the optimal plan of two samples under a learned metric: which cells of one go to which of the other.

    .. math:: \min_{T \in U(a, b)} \sum_{ij} T_{ij}\, d_W(x_i, y_j)

    The cells are those that the metric was learned from (`n_cells`, `min_cells` and seed as then); all of these are
    coupled where it was learned on a summary.

    Parameters
    ----------
    adata
        %(adata_metric)s
    sample_a, sample_b
        Names of the two samples.
    key
        %(key_metric)s
    sample_key, weights_key
        Columns of `.obs` with the sample and the weight of each cell; by default those that the metric was learned
        with.
    solver
        %(solver)s
        By default that of the metric.

    Returns
    -------
    AnnData, cells of `sample_a` (rows) x cells of `sample_b` (columns).

    `.X`
        (n_a, n_b) CSR float64, the mass that goes from cell to cell, of sum 1 and, with `Exact`, at most n_a + n_b - 1
        entries. With `Unbalanced` some of the mass stays behind.
    `.layers["distance"]`
        (n_a, n_b) CSR float64, the distance of the cells of each entry (squared if the metric is), so that
        `(plan.X.multiply(plan.layers["distance"])).sum()` is the distance of the samples (with `Unbalanced` less the
        price of what stays behind).
    `.obs`, `.var`
        The columns of `adata.obs` for the cells of either sample.
    `.uns["plan"]`
        dict: `key`, `sample_key`, `sample_a`, `sample_b`, `distance`.

    Raises
    ------
    KeyError
        No such metric or column.
    ValueError
        No such sample, or the same one twice; a solver that has no plan of its own.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> first, second = adata.obs["sample_id"].unique()[:2]
    >>> plan = sg.tl.plan(adata, first, second)
    >>> plan.shape, round(float(plan.X.sum()), 9)
    ((30, 30), 1.0)

    References
    ----------
    Peyré and Cuturi, *Computational Optimal Transport*, 2019, chapter 2.
    """
    check_adata(adata)
    stored = read_metric(adata, key)
    engine = stored.learner.engine if isinstance(solver, str) and solver == STORED else as_solver(solver)
    check_plan(engine)
    engine.require()
    names = [sample_a, sample_b]
    reading = reread(stored.reading, sample_key=sample_key, weights_key=weights_key)
    selection = reading.select(adata, quiet=True)
    known = list(selection.names)
    for argument, name in zip(("sample_a", "sample_b"), names, strict=True):
        if name not in known:
            left_out = f" with at least {reading.min_cells} cells" if reading.min_cells > 1 else ""
            raise ValueError(
                f"No sample {name!r}{left_out} in adata.obs[{reading.sample_key!r}], which has {choices(known)}; pass "
                f"one of these as {argument}."
            )
    if names[0] == names[1]:
        raise ValueError(f"sample_a and sample_b are both {names[0]!r}; a plan couples two samples.")
    both = selection.take(np.array([known.index(name) for name in names]))
    cohort = replace(stored, reading=reading).cohort(both)
    Z = cohort.points.astype(np.float64)
    plans = solve_plans(cohort, Z, np.array([[0, 1]]), stored.cost, solver=engine, n_jobs=1)

    n_a, n_b = (int(n) for n in cohort.sizes)
    places = (plans.source, plans.target - n_a)
    distance = entry_distances(Z, plans, squared=stored.squared)
    obs = both.cells()
    return AnnData(
        csr_matrix((plans.mass, places), shape=(n_a, n_b)),
        obs=obs.iloc[:n_a].copy(),
        var=obs.iloc[n_a:].copy(),
        layers={"distance": csr_matrix((distance, places), shape=(n_a, n_b))},
        uns={
            "plan": sealed(
                {
                    "key": key,
                    "sample_key": reading.sample_key,
                    "sample_a": names[0],
                    "sample_b": names[1],
                    "distance": float(plans.values[0]),
                    "seen": stored.seen(np.array(names)),
                    "fingerprint": stored.fingerprint,
                }
            )
        },
    )
