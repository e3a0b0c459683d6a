"""Predict labels of new samples, with probabilities, the nearest neighbors, and a warning about unlike samples."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from anndata import AnnData

from scggml._anndata.composition import shares_of_both
from scggml._anndata.copies import check_new
from scggml._anndata.features import Features, find_basis
from scggml._anndata.keys import PREDICTION
from scggml._anndata.loadings import warn_of_axes, with_axes
from scggml._anndata.messages import check_adata, choices, logged
from scggml._anndata.metric import StoredMetric, read_metric
from scggml._anndata.predicted import (
    RESULTS,
    check_abstain,
    write_neighbors,
    write_novelty,
    write_possible,
    write_predicted,
)
from scggml._anndata.reading import Reading, Stored, reread, seed_of
from scggml._anndata.results import params, write_result
from scggml._anndata.samples import constant_columns, samples_adata
from scggml._anndata.scales import warn_of_other_scale
from scggml._anndata.selection import Selection
from scggml._arguments import shown
from scggml._core.checks import check_whole
from scggml._core.cohort import Cohort, Floats
from scggml._core.evaluate.conformal import conformal_p_values
from scggml._core.evaluate.ensemble import Ensemble as EnsembleOfMethods
from scggml._core.evaluate.methods import ByDistance, FixedMetric, Learned, MetricSource, Relearned
from scggml._core.evaluate.novelty import novelty
from scggml._core.folds import make_folds
from scggml._core.learn.covariates import adjust
from scggml._core.samples import Samples, Target
from scggml._core.threads import n_threads
from scggml._core.transport.coreset import Summary, as_summary
from scggml._core.transport.ground import GroundMetric, cross_distances, own_distances
from scggml._core.transport.solver import Solver
from scggml._docs import documented
from scggml.tl._methods import Ensemble, check_needs, ensemble_of, wants_cells


@documented
@logged("predicting labels of samples")
def predict(
    adata: AnnData,
    reference: AnnData,
    *,
    key: str = "ggml",
    method: Literal["ensemble", "metric"] | Ensemble = "ensemble",
    sample_key: str | None = None,
    groups_key: str | None = None,
    cell_type_key: str | None = None,
    n_neighbors: int = 3,
    n_splits: int = 5,
    n_repeats: int = 1,
    abstain: float | None = None,
    n_cells: int | Stored | None = "stored",
    rng: int | np.random.Generator | Stored = "stored",
    n_jobs: int | None = None,
    progress: bool = True,
) -> AnnData:
    r"""Predict the labels of new samples by several views, of which the learned metric is one.

    The probability of a class is the mean over the views (see `Ensemble`): votes of the nearest reference samples under
    the learned metric, logistic regression on the mean profile, the frequencies of clusters of cells, and the mean
    embedding of the cells; it is what `cross_validate` evaluates as `"ensemble"`. Each view is as sure, and weighs as
    much, as its predictions of reference donors that were left out allow, the metric refitted without them, since on
    its training samples it is always confident. All classes count as equally likely beforehand. The number of donors
    bounds the confidence: if the smallest class of the reference has n of them, no probability is above
    (n + 1/2) / (n + 1). Which genes and cells tell the classes apart is the matter of the metric, not of the ensemble;
    the neighbors that are named are those under it.

    Parameters
    ----------
    adata
        New cells x genes, with the features that the metric was learned on. A PCA that they lack is that of the
        reference, through the genes of `.X`, which are on the scale that it saw, as in `project`.
    reference
        AnnData on which `tl.ggml` has learned the metric.
    key
        Metric in `reference.uns`.
    method
        `"ensemble"`, `"metric"` (the votes under the learned metric alone), or an `Ensemble` of views of your own.
    sample_key
        Column of `adata.obs` with the new samples; by default that of the reference.
    groups_key
        Column of `reference.obs` with donors, which are held out together; by default that of the metric.
    cell_type_key
        Column of `.obs` of both with cell types, whose shares are one more view.
    n_neighbors
        Neighbors that are named; for numbers also those whose mean the metric predicts.
    n_splits, n_repeats
        Folds of the calibration; an `Ensemble` has its own `n_splits`.
    abstain
        :math:`\alpha`, such as 0.1: say of each new sample which classes it may be of, so that the true one is among
        them with a chance of at least :math:`1 - \alpha`, whichever it is (full conformal prediction within classes).
        Each new sample joins the reference with each label in turn, and everything that predicts is learned anew, the
        metric included: seconds for each. With n donors in the smallest class of the reference no :math:`\alpha` below
        1 / (n + 1) can rule that class out. The guarantee is for donors who are like those of the reference: a new
        site, another protocol or other patients void it, as may `unlike_reference` show. None does nothing of this.
    n_cells
        %(n_cells)s
        By default as the metric was learned, as are weights, `min_cells`, summary, batches and covariates.
    rng
        Seed or generator of draws and folds; by default the seed of the metric.
    n_jobs
        %(n_jobs_processes)s
    progress
        %(progress)s

    Returns
    -------
    AnnData with one row per new sample.

    `.obs`
        `prediction`, `probability` (of the predicted class), `neighbors` (names of the nearest reference samples with
        their labels), `novelty` (robust z-score of the Euclidean transport distance to the nearest reference samples)
        and `unlike_reference` (novelty above 3.5), besides what is constant within samples. For numbers `prediction` is
        the mean over the views, and `low`, `high` an interval that holds 90 % of the held-out donors
        of the reference; there is no `probability`.
        With `abstain` also `possible`, the classes that are possible, and `abstains`, whether these are not exactly
        one: several (the donors at hand cannot tell) or none (unlike every class).
    `.obsm["prediction"]`
        (n, C) class probabilities (not for numbers).
    `.obsm["prediction_p_values"]`
        (n, C) with `abstain`, the p-value of each class; those above it are possible.
    `.uns["prediction"]`
        dict: `classes`, `neighbors` and `neighbor_labels` (n, k) names, `neighbor_distances` (n, k), `views` and
        `view_weights` (n_views,), `view_scores` (n_views, n, C), what each view says; `held_out_accuracy`,
        `held_out_log_loss` (chance is log C) and `calibration_error` of the reference's held-out donors (for numbers
        `held_out_error`, the mean absolute one); `fingerprint`, `params`.

    Raises
    ------
    KeyError
        No such metric or column.
    ValueError
        Features are missing, a class of the reference has too few donors, a column of the new cells that is constant
        within samples has the name of a result, `abstain` for numbers (which have intervals).

    Warns
    -----
    UserWarning
        Samples that are unlike any reference sample; their predictions mean little. `abstain` below what so few donors
        can give. New cells with a PCA whose loadings are missing and that is not what their genes give.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> new = sg.datasets.synthetic(n_noise=3, n_samples=2, n_cells=10, rng=1)
    >>> samples = sg.tl.predict(new, adata, n_splits=3, n_repeats=1, n_jobs=1, progress=False)
    >>> bool((samples.obs["prediction"].astype(str) == samples.obs["label"].astype(str)).all())
    True

    References
    ----------
    Guo et al., *On calibration of modern neural networks*, ICML 2017; Vovk, Gammerman and Shafer, *Algorithmic learning
    in a random world*, 2005, for sets of classes; Iglewicz and Hoaglin, *How to detect and handle
    outliers*, 1993.
    """
    check_adata(adata)
    check_adata(reference, "reference")
    for name, number, least in (
        ("n_neighbors", n_neighbors, 1),
        ("n_splits", n_splits, 2),
        ("n_repeats", n_repeats, 1),
    ):
        check_whole(name, number, least)
    n_threads(n_jobs)
    stored = read_metric(reference, key)
    # What is not given is read as it was for learning: a metric of coresets, say, is calibrated on coresets.
    reading = reread(stored.reading, groups_key=groups_key, n_cells=n_cells, seed=seed_of(rng))
    stored = replace(stored, reading=reading)
    how: dict[str, Any] = {"n_jobs": n_jobs, "progress": progress}
    selection, target = stored.select(reference)
    reading_of_new = _reading_of_new(stored, sample_key)
    adata = with_axes(adata, reference, stored)
    selection_of_new = _select_new(reading_of_new, adata, target)
    _check_neighbors(n_neighbors, selection.n_samples)
    features = stored.locate(adata)
    warn_of_axes(adata, reference, stored)
    warn_of_other_scale(features, stored.record.get("scale"), key)
    groups = reading.groups(selection)
    # the default must not fail where there are fewer donors
    folds: dict[str, Any] = {"n_splits": min(n_splits, len(np.unique(groups))), "n_repeats": n_repeats}
    # What is wrong with folds is said before any cell is read. One seed, several streams: 0 draws cells, 1 summaries, 2
    # is for learning, 3 for folds and 4 for views.
    make_folds(target, groups, rng=np.random.default_rng([reading.seed, 3]), **folds)
    shares = None if cell_type_key is None else shares_of_both(selection, selection_of_new, cell_type_key, target)
    summary = as_summary(reading.summary, selection.sizes, len(features.names))
    views = {"n_neighbors": n_neighbors, "composition": shares is not None, "summary": summary} | folds
    ensemble = _views(method, stored, selection.n_samples, **views)
    check_needs(
        dict(ensemble.views), numbers=target.kind == "numbers", summary=summary, weights_key=reading.weights_key
    )
    if abstain is not None:
        check_abstain(abstain, target, groups)
    check_new(selection_of_new, features, selection, stored.locate(reference))
    how["everything"] = wants_cells(dict(ensemble.views))
    known = stored.samples(selection, **how)
    new, out = _read_new(stored, reading_of_new, selection_of_new, features, **how)
    if shares is not None:
        known, new = replace(known, composition=shares[0]), replace(new, composition=shares[1])
    fitted = ensemble.fit(known, target, rng=np.random.default_rng([reading.seed, 4]), n_jobs=n_jobs, progress=progress)
    entry = write_predicted(out, known, target, fitted.predict(new), fitted.held_out)
    entry["view_weights"] = fitted.weights
    if abstain is not None:
        progress_of = "labels of new samples" if progress else None
        anew = _views(method, stored, None, **views)
        p = conformal_p_values(anew, known, target, new, seed=reading.seed, n_jobs=n_jobs, progress=progress_of)
        entry |= write_possible(out, target, p, abstain)

    # The stored metric was learned from adjusted cells. New samples are adjusted by the effects of the reference, since
    # their own labels, within which effects are estimated, are unknown.
    if stored.adjustment is not None:
        known, new = adjust(known, stored.adjustment), adjust(new, stored.adjustment)
    metric, solver = GroundMetric(stored.components, stored.cost), stored.learner.engine
    # To the reference only: what is predicted of a sample does not depend on the other new ones.
    D = cross_distances(metric, new.cohort, known.cohort, solver=solver, n_jobs=n_jobs, among=False)
    entry |= write_neighbors(out, D, selection.names, target, n_neighbors)
    write_novelty(out, _novelty(new.cohort, known, n_neighbors, solver=solver, n_jobs=n_jobs))
    asked = params(
        key=key,
        method="ensemble" if isinstance(method, Ensemble) else method,
        cell_type_key=cell_type_key,
        n_neighbors=n_neighbors,
        abstain=abstain,
        **folds,
    )
    record = {"kind": "prediction", "fingerprint": stored.fingerprint, "params": reading.to_params() | asked}
    write_result(out, PREDICTION, entry | record)
    return out


def _check_neighbors(n_neighbors: int, n_samples: int) -> None:
    if n_neighbors > n_samples:
        raise ValueError(
            f"n_neighbors={n_neighbors} is more than the {n_samples} samples of the reference; pass at most as many."
        )


def _views(
    method: str | Ensemble,
    stored: StoredMetric,
    n_samples: int | None,
    *,
    n_neighbors: int,
    n_splits: int,
    n_repeats: int,
    composition: bool,
    summary: Summary,
) -> EnsembleOfMethods:
    """Return the views that predict; for all `n_samples` the one of the metric takes what is stored (None: never)."""
    if not isinstance(method, Ensemble) and not (isinstance(method, str) and method in ("ensemble", "metric")):
        raise ValueError(
            f"method={shown(method)} is not known; choose from ('ensemble', 'metric'), or pass an Ensemble(...) of "
            "views."
        )
    learner = stored.learner
    source: MetricSource = Learned(learner)
    if n_samples is not None:
        source = Relearned(learner, GroundMetric(stored.components, stored.cost), n_samples)
    base = ByDistance(FixedMetric("euclidean"), n_neighbors=n_neighbors, solver=learner.engine, among=False)
    view = replace(base, source=source, classifier="soft_knn")
    if method == "metric":
        return EnsembleOfMethods(((stored.key, view),), n_splits, n_repeats)
    given = method if isinstance(method, Ensemble) else Ensemble(n_splits=n_splits)
    return ensemble_of(given, base, (stored.key, view), composition=composition, summary=summary, n_repeats=n_repeats)


def _reading_of_new(stored: StoredMetric, sample_key: str | None) -> Reading:
    """Return how new samples are read: as those of the reference, but for labels, donors and batches."""
    # These columns need not exist for new samples, and must not matter if they do: labels are what is predicted.
    return replace(
        reread(stored.reading, sample_key=sample_key),
        label_key=None,
        label_kind="auto",
        reference_class=None,
        groups_key=None,
        batch_key=None,
    )


def _select_new(reading: Reading, adata: AnnData, target: Target) -> Selection:
    """Choose the new samples; raise if they have columns of the user's in the place of the results."""
    selection = reading.select(adata)
    reading.design(selection)
    results = RESULTS + (("low", "high") if target.kind == "numbers" else ("probability",))
    taken = [name for name in constant_columns(selection) if name in results]
    if taken:
        others = {name: f"other_{name}" for name in taken}
        raise ValueError(
            f"adata.obs[{taken[0]!r}] has one value in each sample, so that the samples would have it, too, where "
            f"sg.tl.predict writes {choices(results)}. Rename it: adata.obs = adata.obs.rename(columns={others!r})."
        )
    return selection


def _read_new(
    stored: StoredMetric, reading: Reading, selection: Selection, features: Features, **how: Any
) -> tuple[Samples, AnnData]:
    """Return new samples and their AnnData."""
    adata = selection.adata
    samples = reading.samples(selection, features, **how)
    return samples, samples_adata(
        selection,
        samples.cohort,
        stored.features,
        slot=None if reading.use_rep in (None, "X") else find_basis(adata, str(reading.use_rep)),
        layer=reading.layer,
        genes=True,
        n_jobs=how.get("n_jobs"),
    )


def _novelty(new: Cohort, known: Samples, n_neighbors: int, *, solver: Solver, n_jobs: int | None) -> Floats:
    """Return novelty under the Euclidean distance: what a learned metric overlooks can be unusual, too."""
    # A learned metric keeps few directions, and a sample that is unusual in all others looks usual to it.
    metric = GroundMetric(None, "euclidean")
    to_known = cross_distances(metric, new, known.cohort, solver=solver, n_jobs=n_jobs, among=False)
    among = own_distances(metric, known.cohort, solver=solver, n_jobs=n_jobs)
    return novelty(to_known, among, known.groups, n_neighbors)
