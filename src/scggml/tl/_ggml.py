"""Learn a ground metric from labels of samples."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.keys import Keys
from scggml._anndata.read import Features, check_classes, check_finite, read_cohort, read_features
from scggml._anndata.write import embed_cells, gene_loadings, write_metric
from scggml._core.checks import check_whole
from scggml._core.cohort import Cohort
from scggml._core.learn.canonical import Canonical, InitialName
from scggml._core.learn.loss import Anchors
from scggml._core.learn.objective import Objective
from scggml._core.learn.penalty import PenaltyName
from scggml._core.learn.shrinkage import Shrinkage, as_share, shrink
from scggml._core.learn.triplets import Fit, Schedule, fit
from scggml._core.learn.triplets import refine as refine_fit
from scggml._core.metric import canonical_form
from scggml._core.transport.coreset import Summary, as_summary
from scggml._core.transport.exact import Exact, SolverName, as_solver


def ggml(
    adata: AnnData,
    sample_key: str,
    label_key: str,
    *,
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = "auto",
    n_comps: int = 5,
    margin: float | Literal["auto"] = "auto",
    penalty: PenaltyName = "fro",
    reg: float = 0.1,
    squared: bool = False,
    anchors: Anchors = "all",
    solver: SolverName | Exact = "exact",
    summary: Summary = "auto",
    refine: int = 0,
    n_cells: int | None = None,
    min_cells: int = 1,
    weights_key: str | None = None,
    init: InitialName | Canonical | NDArray[np.float64] = "canonical",
    lr: float = 0.1,
    max_iter: int = 0,
    tol: float = 1e-3,
    batch_size: int | None = 128,
    shrinkage: Shrinkage = "auto",
    key_added: str = "ggml",
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Learn the ground metric under which samples of one class are close and classes are apart.

    Finds W (k x d) for the metric :math:`d_W(x, y) = \|W (x - y)\|` on cells from labels of samples alone, in up to
    three steps. The start (`init`) is by default a closed form, the canonical variates of :class:`Canonical`.
    With `max_iter` passes, gradient steps go on from there and minimize

    .. math::
        L(W) = \operatorname{mean}_{ijk}\,\max(0, D_{ij}(W) - D_{jk}(W) + \alpha) + r\,\|W\|

    over triplets of samples with labels :math:`c(i) = c(j) \ne c(k)`, where :math:`D_{ij}(W)` is the optimal transport
    distance between the cells of two samples under :math:`d_W`. In the end the metric is shrunk towards the Euclidean
    one (`shrinkage`).

    By default no gradient step is taken. Steps separate the samples at hand further, but in held-out samples of real
    cohorts this did not last (the page *Benchmarks* has the figures). `max_iter=300` minimizes L to convergence.

    Parameters
    ----------
    adata
        Cells x genes. A view becomes an AnnData of its own; sparse, backed and dask-backed matrices are read one
        sample at a time.
    sample_key, label_key
        Columns of `.obs`: the sample that a cell belongs to, and the class of that sample.
    use_rep
        Slot of `.obsm` with the features of the cells, such as `"X_pca"`. By default genes of `.X` are used.
    layer
        Layer to use instead of `.X`.
    mask_var
        Genes of `.X` or the layer to use: a boolean column of `.var` or a mask. `"auto"` takes
        `.var["highly_variable"]` where it exists, None all genes. (With `use_rep` it has no part.)
    n_comps
        k, the number of components.
    margin
        :math:`\alpha`. With `"auto"` it is the median distance between samples of different classes at the start, and
        all is scale-free: learned distances are in units of the margin, the penalty is `reg` margins at the start,
        `lr` counts in root mean squares of the entries of the start, and the start has the scale (1 to 10 times the
        unit) that serves L best. A number makes all three absolute, as in the paper (there `margin=10`, `reg=0.1`,
        `lr=0.01`, and many steps: pass `max_iter`, too).
    penalty
        Norm of W: `"fro"` Frobenius, `"l1"` sparse loadings, `"l21"` switches whole features off, `"nuc"` low rank.
    reg
        r, weight of the penalty.
    squared
        Use the squared distance :math:`\|W(x-y)\|^2` as ground cost.
    anchors
        `"all"` includes triplets with i = j (as the paper's code does), `"distinct"` does not.
    solver
        Solver of optimal transport, by name or as an object with options.
    summary
        `None` learns on all cells, `Coreset(n_points)` on few weighted points of each sample. `"auto"` takes all cells
        unless the median sample has 1000 or more; then it is `Coreset(200)`, or `Coreset(100)` in
        cohorts of more than 200 samples.
    refine
        Passes over all cells after learning on a summary; the best metric by its objective on all cells is kept.
    n_cells
        Draw this many cells of each sample at random; samples with fewer keep all of theirs. None takes all cells.
    min_cells
        Leave out samples with fewer cells, with a warning that lists them.
    weights_key
        Column of `.obs` with non-negative weights of the cells; they are normalized within samples.
    init
        Start: `"canonical"` variates in Wasserstein space (with options: `Canonical(...)`), `"pca"`, random
        `"orthonormal"` rows, or an array (k, d).
    lr
        Step of Adam (see `margin` for its unit).
    max_iter
        Most passes over the cohort with gradient steps; 0 takes none.
    tol
        L stands still when five passes have not lowered it by more than this share; then the step is halved. Standing
        still after the fifth halving is convergence, and the best W is kept. With 0 exactly `max_iter`
        plain steps are taken and the last W is kept.
    batch_size
        Samples per step. A larger cohort is learned in mini-batches with classes in proportion; None always takes all
        samples in one step.
    shrinkage
        s in [0, 1], the share of the Euclidean metric in the variance of the cells:
        :math:`\theta = (1 - s)\, W^T W + s\, v_W / v_I\; I`, where v is the total variance of the cells under each. Of
        this the k principal axes of the cells are kept. `"auto"` is 0.4, but 0 where the margin is a number,
        which asks for the method of the paper.
    key_added
        Key of the result in all slots below.
    rng
        Seed or generator; the same seed gives the same result.
    n_jobs
        Threads; None for all cores.
    progress
        Show a progress bar.
    copy
        Write into a copy and return it.

    Returns
    -------
    None, or the copy if `copy`. Written are

    `.uns["ggml"]`
        dict: `components` (k, d) in canonical form (rows by falling singular value, largest absolute loading
        positive), `singular_values` (k,), `features` (d,), `history` (`loss`, `gradient_norm`, `active` per pass),
        `converged`, `stop` (why learning ended: `"closed form"`, `"converged"`, `"no active triplet"` or
        `"max_iter"`), `refined` (how many of the last passes were over all cells), `margin` and `reg` in units of W,
        `params`. The history is that of L before shrinkage; without gradient steps it has the entry of the start.
    `.obsm["X_ggml"]`
        (n_obs, k) float64, cells in the learned space; plot with `sc.pl.embedding(adata, basis="ggml")`.
    `.varm["ggml"]`
        (n_vars, k) float64, gene loadings, NaN for genes that took no part. PCA features are carried back to genes
        through `.varm["PCs"]`; features that cannot be mapped to genes have no such slot.

    Raises
    ------
    KeyError
        A key is not in its slot.
    ValueError
        Missing ids or labels, a sample with two labels, one class only, a class with one sample, values that are not
        finite, `n_comps` above the rank, duplicated observation names, arguments out of range.

    Warns
    -----
    UserWarning
        `max_iter` came before convergence; samples were left out by `min_cells`; a pair was not solved to optimality.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> adata.obsm["X_ggml"].shape
    (360, 2)
    >>> str(adata.uns["ggml"]["stop"])
    'closed form'
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, max_iter=300, progress=False)
    >>> str(adata.uns["ggml"]["stop"])
    'converged'

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258); Li and
    Lin, *Canonical variates in Wasserstein metric space*, 2024 (arXiv 2405.15768).
    """
    share = as_share(shrinkage, scale_free=margin == "auto")
    schedule = Schedule(lr=lr, max_iter=max_iter, tol=tol, batch_size=batch_size)
    objective = Objective(
        margin=1.0 if margin == "auto" else margin,
        penalty=penalty,
        reg=reg,
        squared=squared,
        anchors=anchors,
        solver=as_solver(solver),
        n_jobs=n_jobs,
    )
    adata = adata.copy() if copy else adata
    features = read_features(adata, use_rep=use_rep, layer=layer, mask_var=mask_var)
    if n_cells is not None or min_cells != 1:  # cells that take no part in learning are embedded in the end, too
        check_finite(features)
    check_whole("refine", refine, 0, " passes over all cells")
    generator = np.random.default_rng(rng)
    read = partial(read_cohort, adata, features, sample_key, label_key, weights_key=weights_key, min_cells=min_cells)
    cohort = read(n_cells=n_cells, summary=summary, rng=generator)
    check_classes(cohort, label_key)
    _check_start(init, n_comps, cohort, features.slot)
    coreset = as_summary(summary, cohort.counts)

    result = fit(
        cohort,
        init,
        objective,
        schedule,
        n_comps=n_comps,
        scale_free=margin == "auto",
        rng=generator,
        progress=progress,
    )
    if refine > 0 and coreset is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="min_cells=")  # told when the cells were read first
            cohort = read(n_cells=n_cells, rng=generator)
        result = refine_fit(
            result,
            cohort,
            objective,
            schedule,
            passes=refine,
            scale_free=margin == "auto",
            rng=generator,
            progress=progress,
        )

    if share > 0:
        components, singular_values = canonical_form(shrink(result.components, share, cohort))
        result = replace(result, components=components, singular_values=singular_values)
    params = {
        "sample_key": sample_key,
        "label_key": label_key,
        "use_rep": use_rep,
        "layer": layer,
        "n_comps": n_comps,
        "margin": margin,
        "penalty": penalty,
        "reg": reg,
        "squared": squared,
        "anchors": anchors,
        "solver": repr(objective.solver),
        "summary": None if coreset is None else repr(coreset),
        "refine": refine,
        "n_cells": n_cells,
        "min_cells": min_cells,
        "weights_key": weights_key,
        "init": "array" if isinstance(init, np.ndarray) else str(init),
        "lr": lr,
        "max_iter": max_iter,
        "tol": tol,
        "batch_size": batch_size,
        "shrinkage": shrinkage,
        "seed": rng if isinstance(rng, int) else None,
    }
    write_metric(
        adata,
        Keys(key_added),
        entry=_entry(result, features, params),
        embedded=embed_cells(features, result.components),
        loadings=gene_loadings(adata, features, result.components, use_rep),
    )
    if tol > 0 and max_iter > 0 and not result.converged:
        warnings.warn(
            f"Learning reached max_iter={max_iter} before it converged; the best metric so far is stored. Look at "
            "sg.pl.history(adata), then raise max_iter, tol or lr.",
            stacklevel=2,
        )
    return adata if copy else None


def _check_start(init: object, n_comps: int, cohort: Cohort, slot: str) -> None:
    """Raise unless the cells can carry `n_comps` components and `init` is a start for them."""
    first = cohort.points[0]
    n_varying = int((cohort.points != first).any(axis=0).sum())
    rank = min(n_varying, len(cohort.points) - 1)
    if not isinstance(n_comps, int | np.integer) or not 1 <= n_comps <= rank:
        raise ValueError(
            f"n_comps={n_comps!r} is not between 1 and {rank}, the rank of {slot} ({len(cohort.points)} cells, "
            f"{n_varying} of {cohort.n_features} features vary); pass n_comps={min(5, rank)}."
        )
    if isinstance(init, np.ndarray):
        if (
            not np.issubdtype(init.dtype, np.number)
            or init.shape != (n_comps, cohort.n_features)
            or not np.isfinite(init).all()
            or not init.any()
        ):
            raise ValueError(
                f"init is an array of shape {init.shape}; finite numbers of shape (n_comps, n_features) = "
                f"({n_comps}, {cohort.n_features}), not all 0, are needed."
            )
    elif not (isinstance(init, Canonical) or (isinstance(init, str) and init in get_args(InitialName))):
        raise ValueError(
            f"init={init!r} is not known; choose from {get_args(InitialName)}, a Canonical(...) or an array."
        )


def _entry(result: Fit, features: Features, params: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `.uns`, of plain values that h5ad and zarr can hold (so no None)."""
    return {
        "components": result.components,
        "singular_values": result.singular_values,
        "features": features.names.astype(object),
        "history": {"loss": result.loss, "gradient_norm": result.gradient_norm, "active": result.active},
        "margin": result.margin,
        "reg": result.reg,
        "converged": result.converged,
        "stop": result.stop,
        "refined": result.refined,
        "params": {name: value for name, value in params.items() if value is not None},
    }
