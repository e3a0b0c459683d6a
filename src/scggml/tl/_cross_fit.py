"""Show each donor under metrics that have not seen it."""

import numpy as np
from anndata import AnnData

from scggml._anndata.held_out import HeldOut, write_held_out
from scggml._anndata.messages import check_adata, logged, tell, warn
from scggml._anndata.metric import read_metric
from scggml._anndata.ownership import check_results
from scggml._anndata.results import params
from scggml._core.evaluate.cross_fit import cross_fit as fit_without
from scggml._core.evaluate.cross_fit import separation, split_donors
from scggml._core.seeds import as_seed
from scggml._core.threads import n_threads
from scggml._docs import documented


@documented
@logged("learning a metric without some donors")
def cross_fit(
    adata: AnnData,
    *,
    key: str = "ggml",
    n_splits: int = 5,
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Learn a metric again without some donors, to show these under metrics that have not seen them.

    On the samples that it was learned on a metric separates what it was told to separate, whether or not labels mean
    anything. What is shown of a sample here comes from metrics that have seen neither the sample nor any other one of
    its donor. Donors are split into K folds, and a metric is learned as the stored one was, ridge and shrinkage
    decided again, without each fold and without each two of them, K (K + 1) / 2 times in all.

    *Cells* are embedded by the metric without their fold. The components of each fold are oriented, ordered and brought
    to variance 1 by its own training donors; nothing is rotated onto the metric of all donors, which has seen the
    labels of the held-out ones. So component i of one fold need not be that of another where it was not really learned,
    and then classes do not differ along it. *Distances* between samples of two folds come from the metric without both,
    those within a fold from all metrics without it and another one (`tl.distances` with `held_out=True`, which also
    `tl.attribute` takes). Each metric is brought to variance 1 of its training cells before.

    Features that were computed of all cells, such as principal components, have seen all donors, though no labels;
    `cross_validate` with a `Preprocess` leaves donors out of these, too.

    Parameters
    ----------
    adata
        %(adata_learned)s
    key
        %(key_metric)s
    n_splits
        K, number of folds of donors, at least 3 (at most as many as there are donors).
    rng
        %(rng)s
    n_jobs
        %(n_jobs_processes)s
    progress
        %(progress)s
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written are

    `.obsm["X_ggml_held_out"]`
        (n_obs, k) float64, each cell under the metric without its donor, in standard deviations of the training cells;
        NaN for cells of samples that were left out. Plot it with
        `sc.pl.embedding(adata, basis="ggml_held_out")`.
    `.uns["ggml_held_out"]`
        dict: `class_means` (k, C) of held-out samples on each component (for numbers (k, 2), slope and correlation)
        and `p_values` (k,) of their difference between donors; `samples` and `fold` (P,); the metrics: `left_out`
        (n_fits, 2), `components` (n_fits, k, d), `centers` and `scales` (n_fits, k), with covariates `slopes` and
        `covariate_means`; `fingerprint`, `params`.

    Raises
    ------
    KeyError
        No such metric or column.
    ValueError
        Fewer than two samples of a class are left where two folds are left out, arguments out of range;
        slots of the result that hold something else.

    Warns
    -----
    UserWarning
        Held-out classes do not differ on any component.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.cross_fit(adata, n_splits=3, n_jobs=1, progress=False)
    >>> adata.obsm["X_ggml_held_out"].shape
    (540, 2)
    >>> samples = sg.tl.distances(adata, held_out=True, progress=False)
    >>> list(samples.obsp)
    ['ggml_held_out_distances']

    References
    ----------
    Chernozhukov et al., *Double/debiased machine learning for treatment and structural parameters*, The Econometrics
    Journal 2018, for cross-fitting.
    """
    check_adata(adata)
    seed = as_seed(rng)
    stored = read_metric(adata, key)
    check_results(adata, key, "held_out", copy=copy)
    n_threads(n_jobs)
    selection, target = stored.select(adata)
    split_donors(target, stored.reading.groups(selection), n_splits=n_splits, rng=np.random.default_rng(seed))
    samples = stored.samples(selection, n_jobs=n_jobs, progress=progress)
    fits = fit_without(
        stored.learner,
        samples,
        target,
        n_splits=n_splits,
        rng=np.random.default_rng(seed),
        n_jobs=n_jobs,
        progress=progress,
    )
    tell(f"    {len(fits.left_out)} metrics, each without one or two of {fits.n_folds} folds of donors")
    found = HeldOut(stored, selection.names, fits)
    everyone = stored.reading.of_everyone().select(adata)
    inside = np.isin(everyone.names, selection.names)
    if not inside.all():
        everyone = everyone.take(np.flatnonzero(inside))
    cells = found.embed(adata, everyone, n_jobs)
    weighted = cells[selection.rows] * selection.weights[:, None]
    scores = np.add.reduceat(weighted, selection.offsets[:-1], axis=0)
    separated = separation(scores, target, samples.groups)
    adata = adata.copy() if copy else adata
    write_held_out(adata, found, cells, separated, params(n_splits=fits.n_folds, seed=seed))
    if separated.p_values.min() * len(separated.p_values) > LEVEL:
        warn(
            f"Held-out donors of different {stored.reading.label_key!r} do not differ in their mean on any component "
            f"(smallest p = {separated.p_values.min():.2g}): what figures of the training samples show need not hold "
            "for new ones. Look at sg.tl.cross_validate and sg.tl.permutation_test."
        )
    return adata if copy else None


LEVEL = 0.05
"""P-value, times the number of components, above which class means on a component do not differ."""
