"""Labels of new samples, with probabilities, neighbors that explain them, and a warning where nothing is alike."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.columns import columns_of
from scggml._anndata.keys import PREDICTION
from scggml._anndata.metric import read_stored, stored_features
from scggml._anndata.read import check_classes, choices, read_cohort
from scggml._anndata.results import params
from scggml._anndata.write import samples_adata
from scggml._core.checks import check_whole
from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.evaluate.calibrate import calibrate, calibration_error, class_reach, novelty
from scggml._core.evaluate.folds import Fold, make_folds
from scggml._core.evaluate.methods import FixedMetric
from scggml._core.learn.learner import LearnedMetric
from scggml._core.runner import in_parallel
from scggml._core.samples import Samples, Target, blind
from scggml._core.transport.exact import Exact
from scggml._core.transport.ground import GroundMetric, cross_distances, own_distances
from scggml.tl._refit import learner_of

UNLIKE = 3.5
"""Robust z-score from which on a sample counts as unlike the reference (Iglewicz and Hoaglin)."""


def predict(
    adata: AnnData,
    reference: AnnData,
    *,
    key: str = "ggml",
    sample_key: str | None = None,
    groups_key: str | None = None,
    n_neighbors: int = 3,
    n_splits: int = 5,
    n_repeats: int = 3,
    n_cells: int | None = 100,
    rng: int = 0,
    n_jobs: int | None = None,
    progress: bool = True,
) -> AnnData:
    r"""Predict the labels of new samples by their distances to the samples of a reference.

    With :math:`m_c` the mean distance to the k nearest reference samples of class c under the learned metric, the class
    probabilities are a logistic function of the :math:`m_c`, relative to their mean. That function is learned inside
    the reference from held-out donors: the metric is refitted without them, since on its own training samples it is
    always sure. All classes count as equally likely beforehand. The number of donors bounds the confidence: if the
    smallest class of the reference has n of them, no probability is above (n + 1/2) / (n + 1).

    Parameters
    ----------
    adata
        New cells x genes, with the features that the metric was learned on.
    reference
        AnnData on which `tl.ggml` has learned the metric.
    key
        Metric in `reference.uns`.
    sample_key
        Column of `adata.obs` with the new samples; by default that of the reference.
    groups_key
        Column of `reference.obs` with donors, which are held out together.
    n_neighbors
        k.
    n_splits, n_repeats
        Folds of the calibration.
    n_cells
        Draw this many cells of each sample at random; None takes all.
    rng
        Seed of draws and folds.
    n_jobs
        Processes for the folds; None for what `joblib.parallel_config` says, or else all cores.
    progress
        Show a progress bar.

    Returns
    -------
    AnnData with one row per new sample.

    `.obs`
        `prediction`, `probability` (of the predicted class), `neighbors` (names of the nearest reference samples with
        their labels), `novelty` (robust z-score of the Euclidean transport distance to the nearest reference samples)
        and `unlike_reference` (novelty above 3.5), besides what is constant within samples.
    `.obsm["prediction"]`
        (n, C) class probabilities.
    `.uns["prediction"]`
        dict: `classes`, `neighbors` and `neighbor_labels` (n, k) names, `neighbor_distances` (n, k),
        `held_out_accuracy` and `calibration_error` of the reference's held-out donors, `params`.

    Raises
    ------
    KeyError
        No such metric or column.
    ValueError
        Features are missing, a class of the reference has too few donors.

    Warns
    -----
    UserWarning
        Samples that are unlike any reference sample; their predictions mean little.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, max_iter=0, progress=False)
    >>> new = sg.datasets.synthetic(n_noise=3, n_samples=2, n_cells=10, rng=1)
    >>> samples = sg.tl.predict(new, adata, n_splits=3, n_repeats=1, n_jobs=1, progress=False)
    >>> bool((samples.obs["prediction"].astype(str) == samples.obs["label"].astype(str)).all())
    True

    References
    ----------
    Platt, *Probabilistic outputs for support vector machines*, 1999; Guo et al., *On calibration of modern neural
    networks*, ICML 2017; Iglewicz and Hoaglin, *How to detect and handle outliers*, 1993.
    """
    check_whole("rng", rng, 0, "; the same seed gives the same result")
    stored = read_stored(reference, key)
    known_key, label_key = str(stored.params["sample_key"]), str(stored.params["label_key"])
    sample_key = known_key if sample_key is None else sample_key
    generator = np.random.default_rng(rng)
    known_features, features = stored_features(reference, stored), stored_features(adata, stored)
    known = read_cohort(reference, known_features, known_key, label_key, n_cells=n_cells, rng=generator)
    check_classes(known, label_key)
    new = read_cohort(adata, features, sample_key, None, n_cells=n_cells, rng=generator)
    groups = np.arange(known.n_samples)
    if groups_key is not None:
        groups = columns_of(reference, known_key, known.names).codes(groups_key, "groups_key")
    target = Target("classes", known.labels.astype(np.float64), known.classes)
    samples = Samples(blind(known), groups)

    folds = make_folds(
        target, groups, n_splits=min(n_splits, len(np.unique(groups))), n_repeats=n_repeats, rng=generator
    )
    learner = learner_of(stored)
    hold_out = partial(_hold_out, learner=learner, n_neighbors=n_neighbors, seed=rng)
    tasks = [(samples, target, fold) for fold in folds]
    parts = in_parallel(hold_out, tasks, n_jobs=n_jobs, progress="calibration" if progress else None, unit="fold")
    held_out = np.concatenate([fold.test for fold in folds])
    reach = np.concatenate(parts)
    n_donors = min(len(np.unique(groups[target.codes == c])) for c in range(target.n_classes))
    model = calibrate(reach, target.codes[held_out], n_donors)
    own = model.probabilities(reach)

    metric = GroundMetric(stored.components, "sqeuclidean" if stored.squared else "euclidean")
    D = cross_distances(metric, blind(new), samples.cohort, solver=Exact())[:, : known.n_samples]
    probabilities = model.probabilities(class_reach(D, target.codes, target.n_classes, n_neighbors))
    strange = _novelty(new, samples, n_neighbors)

    out = samples_adata(adata, new, features, sample_key)
    nearest = np.argsort(D, axis=1, kind="stable")[:, :n_neighbors]
    _write(out, known, probabilities, nearest, strange)
    out.uns[PREDICTION] = {
        "kind": "prediction",
        "classes": known.classes.astype(object),
        "neighbors": known.names[nearest].astype(object),
        "neighbor_labels": known.classes[known.labels[nearest]].astype(object),
        "neighbor_distances": np.take_along_axis(D, nearest, axis=1),
        "held_out_accuracy": float((own.argmax(axis=1) == target.codes[held_out]).mean()),
        "calibration_error": calibration_error(own, target.codes[held_out]),
        "params": params(
            key=key, sample_key=sample_key, label_key=label_key, groups_key=groups_key, n_neighbors=n_neighbors,
            n_splits=n_splits, n_repeats=n_repeats, n_cells=n_cells, seed=rng,
        ),
    }  # fmt: skip
    flagged = out.obs_names[out.obs["unlike_reference"]]
    if len(flagged):
        warnings.warn(
            f"{len(flagged)} of {out.n_obs} samples are unlike any sample of the reference, so that their predictions "
            f"mean little: {choices(flagged)}. Look at .obs['novelty'].",
            stacklevel=2,
        )
    return out


def _hold_out(
    samples: Samples, target: Target, fold: Fold, *, learner: LearnedMetric, n_neighbors: int, seed: int
) -> Floats:
    """(n_test, C) reach of the classes of the training samples, under a metric that was learned from these alone."""
    training, known = samples.take(fold.train), target.take(fold.train)
    metric = learner.learn(training, known, rng=np.random.default_rng([seed, fold.repeat, fold.fold]))
    D = cross_distances(metric, samples.take(fold.test).cohort, training.cohort, solver=Exact())[:, : len(fold.train)]
    return class_reach(D, known.codes, known.n_classes, n_neighbors)


def _novelty(new: Cohort, samples: Samples, n_neighbors: int) -> Floats:
    """Novelty under the Euclidean distance: what a learned metric overlooks can be strange, too."""
    plain = FixedMetric("euclidean").cost
    metric = GroundMetric(None, plain)
    to_known = cross_distances(metric, blind(new), samples.cohort, solver=Exact())[:, : samples.n_samples]
    among = own_distances(metric, samples.cohort, solver=Exact())
    return novelty(to_known, among, samples.groups, n_neighbors)


def _write(out: AnnData, known: Cohort, probabilities: Floats, nearest: Integers, strange: Floats) -> None:
    best = probabilities.argmax(axis=1)
    labels = known.classes[known.labels]
    out.obs["prediction"] = pd.Categorical(known.classes[best], categories=list(known.classes))
    out.obs["probability"] = probabilities.max(axis=1)
    out.obs["neighbors"] = [", ".join(f"{known.names[q]} ({labels[q]})" for q in row) for row in nearest]
    out.obs["novelty"] = strange
    out.obs["unlike_reference"] = strange > UNLIKE
    out.obsm[PREDICTION] = probabilities
