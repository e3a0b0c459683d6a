"""Predict labels of new samples, with probabilities, the nearest neighbors, and a warning about unlike samples."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.composition import shares_of_both
from scggml._anndata.copies import check_new
from scggml._anndata.features import Features, find_basis
from scggml._anndata.keys import PREDICTION
from scggml._anndata.loadings import warn_of_axes
from scggml._anndata.messages import check_adata, choices, logged, warn
from scggml._anndata.metric import StoredMetric, read_metric
from scggml._anndata.reading import Reading, Stored, reread, seed_of
from scggml._anndata.results import params, write_obs, write_obsm, write_result
from scggml._anndata.samples import constant_columns, samples_adata
from scggml._anndata.scales import warn_of_other_scale
from scggml._anndata.selection import Selection
from scggml._core.checks import check_choice, check_whole
from scggml._core.cohort import Cohort, Floats, Names
from scggml._core.evaluate.calibrate import calibration_error, novelty
from scggml._core.evaluate.ensemble import Ensemble as EnsembleOfMethods
from scggml._core.evaluate.methods import ByDistance, FixedMetric, Relearned
from scggml._core.evaluate.prediction import Prediction
from scggml._core.evaluate.scores import log_loss
from scggml._core.folds import make_folds
from scggml._core.learn.covariates import adjust
from scggml._core.samples import Samples, Target
from scggml._core.threads import n_threads
from scggml._core.transport.coreset import as_summary
from scggml._core.transport.ground import GroundMetric, cross_distances, own_distances
from scggml._core.transport.solver import Solver
from scggml._docs import documented
from scggml.tl._methods import Ensemble, check_needs, ensemble_of, wants_cells

UNLIKE = 3.5
"""Robust z-score from which on a sample counts as unlike the reference (Iglewicz and Hoaglin)."""

RESULTS = (PREDICTION, "neighbors", "novelty", "unlike_reference")
"""Columns that are written for labels of any kind."""

COVERED = 0.9
"""Share of held-out donors that the interval of a predicted number holds."""


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
        New cells x genes, with the features that the metric was learned on.
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
        Folds of the calibration.
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
    `.obsm["prediction"]`
        (n, C) class probabilities (not for numbers).
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
        within samples has the name of a result.

    Warns
    -----
    UserWarning
        Samples that are unlike any reference sample; their predictions mean little. New cells with a PCA whose loadings
        are missing and that is not what their genes give.

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
    Guo et al., *On calibration of modern neural networks*, ICML 2017; Iglewicz and Hoaglin, *How to detect and handle
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
    selection_of_new = _select_new(reading_of_new, adata, target)
    if n_neighbors > selection.n_samples:
        raise ValueError(
            f"n_neighbors={n_neighbors} is more than the {selection.n_samples} samples of the reference; pass at most "
            "as many."
        )
    features = stored.locate(adata)
    warn_of_axes(adata, reference, stored)
    warn_of_other_scale(features, stored.record.get("scale"), key)
    groups = reading.groups(selection)
    n_splits = min(n_splits, len(np.unique(groups)))  # the default must not fail where there are fewer donors
    folds: dict[str, Any] = {"n_splits": n_splits, "n_repeats": n_repeats}
    # What is wrong with folds is said before any cell is read. One seed, several streams: 0 draws cells, 1 summaries, 2
    # is for learning, 3 for folds and 4 for views.
    generator = np.random.default_rng([reading.seed, 3])
    make_folds(target, groups, rng=generator, **folds)
    shares = None if cell_type_key is None else shares_of_both(selection, selection_of_new, cell_type_key, target)
    ensemble = _views(method, stored, selection, n_neighbors=n_neighbors, composition=shares is not None, **folds)
    summary = as_summary(reading.summary, selection.sizes, len(features.names))
    check_needs(
        dict(ensemble.views), numbers=target.kind == "numbers", summary=summary, weights_key=reading.weights_key
    )
    check_new(selection_of_new, features, selection, stored.locate(reference))
    how["everything"] = wants_cells(dict(ensemble.views))
    known = stored.samples(selection, **how)
    new, out = _read_new(stored, reading_of_new, selection_of_new, features, **how)
    if shares is not None:
        known, new = replace(known, composition=shares[0]), replace(new, composition=shares[1])
    fitted = ensemble.fit(known, target, rng=np.random.default_rng([reading.seed, 4]), n_jobs=n_jobs, progress=progress)
    entry = _write_predicted(out, known, target, fitted.predict(new), fitted.held_out)
    entry["view_weights"] = fitted.weights

    # The stored metric was learned from adjusted cells. New samples are adjusted by the effects of the reference, since
    # their own labels, within which effects are estimated, are unknown.
    if stored.adjustment is not None:
        known, new = adjust(known, stored.adjustment), adjust(new, stored.adjustment)
    metric, solver = GroundMetric(stored.components, stored.cost), stored.learner.engine
    # To the reference only: what is predicted of a sample does not depend on the other new ones.
    D = cross_distances(metric, new.cohort, known.cohort, solver=solver, n_jobs=n_jobs, among=False)
    entry |= _write_neighbors(out, D, selection.names, target, n_neighbors)
    strange = _novelty(new.cohort, known, n_neighbors, solver=solver, n_jobs=n_jobs)
    write_obs(out, {"novelty": strange, "unlike_reference": strange > UNLIKE})
    asked = params(
        key=key,
        method="ensemble" if isinstance(method, Ensemble) else method,
        cell_type_key=cell_type_key,
        n_neighbors=n_neighbors,
        n_splits=n_splits,
        n_repeats=n_repeats,
    )
    record = {"kind": "prediction", "fingerprint": stored.fingerprint, "params": reading.to_params() | asked}
    write_result(out, PREDICTION, entry | record)
    # A classifier must choose among the classes it knows, and can be confident far from all of them.
    flagged = out.obs_names[strange > UNLIKE]
    if len(flagged):
        warn(
            f"{len(flagged)} of {out.n_obs} samples are unlike any sample of the reference, so that their predictions "
            f"mean little: {choices(flagged)}. Look at .obs['novelty']."
        )
    return out


def _views(
    method: str | Ensemble,
    stored: StoredMetric,
    selection: Selection,
    *,
    n_neighbors: int,
    n_splits: int,
    n_repeats: int,
    composition: bool,
) -> EnsembleOfMethods:
    """Return the views that predict; the stored metric is what the one of its name takes for all samples."""
    if not isinstance(method, Ensemble):
        check_choice("method", method, ("ensemble", "metric"))
    learner = stored.learner
    metric = GroundMetric(stored.components, stored.cost)
    base = ByDistance(FixedMetric("euclidean"), n_neighbors=n_neighbors, solver=learner.engine, among=False)
    view = replace(base, source=Relearned(learner, metric, selection.n_samples), classifier="soft_knn")
    if method == "metric":
        return EnsembleOfMethods(((stored.key, view),), n_splits, n_repeats)
    given = method if isinstance(method, Ensemble) else Ensemble(n_splits=n_splits)
    return ensemble_of(given, base, (stored.key, view), composition=composition, n_repeats=n_repeats)


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


def _write_neighbors(out: AnnData, D: Floats, names: Names, target: Target, n_neighbors: int) -> dict[str, Any]:
    """Write the nearest reference samples of each new one with their labels, from distances (n, P)."""
    # Stable, so that equally near samples come in the order of the reference on every machine.
    nearest = np.argsort(D, axis=1, kind="stable")[:, :n_neighbors]
    labels = target.values.astype(str) if target.kind == "numbers" else target.classes[target.codes]
    write_obs(out, {"neighbors": [", ".join(f"{names[q]} ({labels[q]})" for q in row) for row in nearest]})
    return {
        "neighbors": names[nearest].astype(object),
        "neighbor_labels": labels[nearest].astype(object),
        "neighbor_distances": np.take_along_axis(D, nearest, axis=1),
    }


def _write_predicted(
    out: AnnData, known: Samples, target: Target, said: Prediction, held_out: Floats | None
) -> dict[str, Any]:
    """Write what is predicted; return what each view says, and what is known from held-out donors."""
    views = {
        "views": np.array([name for name, _ in said.parts], dtype=object),
        "view_scores": np.stack([scores for _, scores in said.parts]),
    }
    if held_out is None:
        raise TypeError("no donor was held out")  # `make_folds` has raised before
    if target.kind == "numbers":
        return views | _write_numbers(out, known, target, said.scores[:, 0], held_out)
    return views | _write_classes(out, target, said.scores, held_out)


def _write_classes(out: AnnData, target: Target, probabilities: Floats, held_out: Floats) -> dict[str, Any]:
    """Write predicted classes with their probabilities; return what is known about the calibration."""
    # Not the class of the nearest sample, with which the probability might disagree.
    best = probabilities.argmax(axis=1)
    # All classes are categories, predicted or not, so that results of several calls can be compared and joined.
    predicted = pd.Categorical(target.classes[best], categories=list(target.classes), ordered=target.kind == "ordered")
    write_obs(out, {"prediction": predicted, "probability": probabilities.max(axis=1)})
    write_obsm(out, PREDICTION, probabilities)
    own, codes = np.concatenate(held_out), np.tile(target.codes, len(held_out))
    return {
        "classes": target.classes.astype(object),
        "held_out_accuracy": float((own.argmax(axis=1) == codes).mean()),
        "held_out_log_loss": log_loss(codes, own),
        "calibration_error": calibration_error(own, codes),
    }


def _write_numbers(out: AnnData, known: Samples, target: Target, predicted: Floats, held_out: Floats) -> dict[str, Any]:
    """Write predicted numbers with intervals of the errors of held-out donors; return their mean error."""
    # Split conformal prediction: a new sample is one more, hence (n + 1) / n, and the next larger error instead of one
    # in between. n counts donors: errors of one donor and of repeats are not independent. Few take their largest error.
    errors = np.abs(held_out[:, :, 0] - target.values).ravel()
    n = len(np.unique(known.groups))
    reach = float(np.quantile(errors, min(1.0, COVERED * (n + 1) / n), method="higher"))
    write_obs(out, {"prediction": predicted, "low": predicted - reach, "high": predicted + reach})
    return {"held_out_error": float(errors.mean())}
