"""Predict the donors of a metric of bags, each by the bags that have not seen it."""

from dataclasses import replace

import numpy as np

from scggml._core.cohort import Floats
from scggml._core.evaluate.methods import ByDistance, Learned, Relearned
from scggml._core.evaluate.prediction import Method
from scggml._core.learn.bags import mean_metric
from scggml._core.learn.learner import shrunk
from scggml._core.samples import Samples, Target, labelled
from scggml._core.transport.ground import GroundMetric


def out_of_bag(method: Method, training: Samples, target: Target, *, rng: np.random.Generator) -> Floats | None:
    """Return (P, C) scores, or numbers (P, 1), of training samples, each without its donor.

    The bags are learned once. For each donor the mean is taken of those without it, which are fewer, and its samples
    are predicted from all others. (Ridge and shrinkage, if they are open, are decided with all donors.)

    Returns None for methods without bags, if a donor is in all bags, which those of small classes are, and with
    covariates, whose effects have seen all donors.
    """
    source = method.source if isinstance(method, ByDistance) else None
    if not isinstance(method, ByDistance) or not isinstance(source, Learned | Relearned):
        return None
    learner = source.learner
    if learner.bags is None or training.covariates is not None:
        return None
    found = learner.learn(training, target, rng=rng)
    donors = [np.flatnonzero(training.groups == donor) for donor in np.unique(training.groups)]
    unseen = [] if found.bags is None else [found.bags.without(own) for own in donors]
    if not all(map(len, unseen)):
        return None
    parts = np.empty((len(target.values), 1 if target.kind == "numbers" else target.n_classes))
    for own, metrics in zip(donors, unseen, strict=True):
        rest = np.setdiff1d(np.arange(len(parts)), own)
        others, labels = training.take(rest), target.take(rest)
        W = mean_metric(list(metrics), len(found.components), labelled(others.cohort, labels))
        metric = GroundMetric(shrunk(W, found.shrinkage, others, labels)[0], learner.cost)
        known = replace(method, source=Relearned(learner, metric, len(rest)))
        parts[own] = known.fit(others, labels, rng=rng).predict(training.take(own)).scores
    return parts
