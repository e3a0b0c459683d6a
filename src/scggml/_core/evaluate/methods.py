"""Methods that predict samples: learned and fixed metrics with a classifier on distances, and their rivals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scggml._core.checks import check_choice, check_whole
from scggml._core.cohort import Floats, Integers
from scggml._core.evaluate.classify import CLASSIFIERS, ClassifierName, kernel_logistic, knn_mean, knn_votes
from scggml._core.evaluate.estimators import FittedEstimator, fit_estimator
from scggml._core.evaluate.prediction import Fitted, Method, Need, Prediction
from scggml._core.learn.learner import Learner
from scggml._core.learn.shared import Work
from scggml._core.samples import Samples, Target, mean_profiles, type_profiles
from scggml._core.transport.exact import Exact
from scggml._core.transport.free import FreeCost
from scggml._core.transport.ground import Blended, Ground, GroundMetric, cross_distances, own_distances
from scggml._core.transport.plans import GroundCost
from scggml._core.transport.solver import Solver
from scggml._core.votes import soft_votes


class MetricSource(Protocol):
    """A source of distances between cells: training samples in, a distance or a blend of several out."""

    def ground(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Ground:
        """Return the distance that training samples alone give."""
        ...


@dataclass(frozen=True)
class FixedMetric:
    """A ground cost on the features, whatever the samples."""

    cost: GroundCost

    def ground(self, training: Samples, target: Target, *, rng: np.random.Generator) -> GroundMetric:
        """Return the cost."""
        return GroundMetric(None, self.cost)


@dataclass(frozen=True, eq=False)
class Given:
    """A distance that a user passes, from the number of features on; whatever the samples."""

    on: Callable[[int], GroundMetric]

    def ground(self, training: Samples, target: Target, *, rng: np.random.Generator) -> GroundMetric:
        """Return the distance."""
        return self.on(training.cohort.n_features)


@dataclass(frozen=True)
class Learned:
    """A metric that is learned from the training samples."""

    learner: Learner

    def ground(self, training: Samples, target: Target, *, rng: np.random.Generator) -> GroundMetric:
        """Learn the metric."""
        found = self.learner.learn(training, target, rng=rng)
        return GroundMetric(found.components, self.learner.cost)


@dataclass(frozen=True, eq=False)
class Relearned:
    """A metric that is known for all samples, and is learned anew where some are left out.

    Parameters
    ----------
    learner, metric
        How it is learned, and what it has found in all samples.
    n_samples
        How many these are.
    """

    learner: Learner
    metric: GroundMetric
    n_samples: int

    def ground(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Ground:
        """Return the known metric for all samples; learn one from fewer."""
        if training.n_samples == self.n_samples:
            return self.metric
        return Learned(self.learner).ground(training, target, rng=rng)


@dataclass(frozen=True)
class Blend:
    """The mean of the distances of several sources."""

    sources: tuple[MetricSource, ...]

    def ground(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Blended:
        """Return each distance of the training samples."""
        found = [source.ground(training, target, rng=rng) for source in self.sources]
        flat = [part for one in found for part in (one.parts if isinstance(one, Blended) else (one,))]
        return Blended(tuple(flat))


def needs_of(method: Method | MetricSource) -> frozenset[Need]:
    """Return what a method needs beside samples and labels; for those made of others what any of these needs."""
    if isinstance(method, ByDistance):
        return needs_of(method.source)
    if isinstance(method, Blend):
        return frozenset().union(*map(needs_of, method.sources))
    found: frozenset[Need] = getattr(method, "needs", frozenset())
    return found


def learners_of(method: Method) -> list[Learner]:
    """Return the learners of the metrics that a method predicts by."""
    found: list[Learner] | None = getattr(method, "learners", None)
    if found is not None:
        return found
    source = method.source if isinstance(method, ByDistance) else None
    parts = source.sources if isinstance(source, Blend) else (source,)
    return [part.learner for part in parts if isinstance(part, Learned | Relearned)]


@dataclass(frozen=True)
class ByDistance:
    """A metric, learned or fixed, and a classifier (or regressor) on the distances that it gives.

    Parameters
    ----------
    source
        Where the metric comes from.
    classifier, n_neighbors
        Class-balanced `"knn"` with this many votes, `"soft_knn"` (the mean over votes of 1, 2, 3 and 5), or
        `"kernel_logistic"`.
    solver
        Solver of optimal transport.
    among
        Whether distances among the predicted samples are wanted, too.
    """

    source: MetricSource
    classifier: ClassifierName = "knn"
    n_neighbors: int = 3
    solver: Solver = Exact()  # noqa: RUF009 - frozen, so it can be shared
    among: bool = True

    def __post_init__(self) -> None:
        check_choice("classifier", self.classifier, CLASSIFIERS)
        check_whole("n_neighbors", self.n_neighbors, 1)

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Fitted:
        """Learn the metric from the training samples."""
        return _FittedByDistance(self, self.source.ground(training, target, rng=rng), training, target)


@dataclass(frozen=True)
class _FittedByDistance:
    method: ByDistance
    metric: Ground
    training: Samples
    target: Target

    def predict(self, test: Samples) -> Prediction:
        D = self._distances(test)
        by = self.method
        return Prediction(classify(D, self.target, by.classifier, by.n_neighbors, self._known), D)

    def _known(self) -> Floats:
        """Return (P, P) distances among the training samples."""
        return own_distances(self.metric, self.training.cohort, solver=self.method.solver)

    def _distances(self, test: Samples) -> Floats:
        """Return (n, P + n) distances to the training samples and among the n samples (these if they are wanted)."""
        work, training, metric = self.training.work, self.training, self.metric
        usable = isinstance(work, Work) and test.work is work and work.solver == self.method.solver
        if usable and isinstance(metric, GroundMetric) and not isinstance(metric.cost, FreeCost):
            rows, columns = test.positions, training.positions
            if rows is not None and columns is not None and _all_different(np.concatenate([rows, columns])):
                return work.cross_distances(metric, rows, columns)
        return cross_distances(metric, test.cohort, training.cohort, solver=self.method.solver, among=self.method.among)


def classify(
    D: Floats, target: Target, classifier: ClassifierName, n_neighbors: int, known: Callable[[], Floats]
) -> Floats:
    """Return scores (n, C), or numbers (n, 1), from distances whose first P columns lead to the training samples.

    `known` computes those among the training samples, where the classifier wants them.
    """
    D = D[:, : len(target.values)]
    if target.kind == "numbers":
        return knn_mean(D, target.values, n_neighbors)[:, None]
    if classifier == "knn":
        return knn_votes(D, target.codes, target.n_classes, n_neighbors)
    if classifier == "soft_knn":
        return soft_votes(np.argsort(D, axis=1, kind="stable"), target.codes, target.n_classes)
    return kernel_logistic(D, known(), target.codes, target.n_classes)


def _all_different(positions: Integers) -> bool:
    return len(np.unique(positions)) == len(positions)


@dataclass(frozen=True)
class Profiles:
    """A linear model on one row of numbers per sample: mean profiles or cell-type composition.

    Class-balanced logistic regression, or ridge regression for numbers, on features brought to unit variance.

    Parameters
    ----------
    kind
        `"pseudobulk"`, the mean cell; `"cell_type_pseudobulk"`, the mean cell of each cell type, where types that a
        sample lacks have the mean of the training samples; `"composition"`, the shares of cell types.
    """

    kind: Literal["pseudobulk", "cell_type_pseudobulk", "composition"]

    @property
    def needs(self) -> frozenset[Need]:
        """Return that it needs cell types, for what is by cell type."""
        by_kind: dict[str, frozenset[Need]] = {
            "composition": frozenset({"cell_types"}),
            "cell_type_pseudobulk": frozenset({"cell_types", "cells"}),
        }
        return by_kind.get(self.kind, frozenset())

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Fitted:
        """Fit the linear model to the training samples."""
        estimator = (
            make_pipeline(StandardScaler(), Ridge(alpha=1.0))
            if target.kind == "numbers"
            else make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
        )
        rows = self._filled(training) if self.kind == "cell_type_pseudobulk" else self._rows
        return FittedEstimator(fit_estimator(estimator, rows(training), target), rows, target)

    def _rows(self, samples: Samples) -> Floats:
        """Return (P, m) what the model sees."""
        if self.kind == "pseudobulk":
            return mean_profiles(samples.cohort)
        if samples.composition is None:
            raise ValueError("The method 'composition' needs cell types; pass cell_type_key.")
        return samples.composition

    def _filled(self, training: Samples) -> Callable[[Samples], Floats]:
        """Return what gives (P, n_types * d) means by cell type, gaps filled from the training samples."""
        known = type_profiles(training)
        there = ~np.isnan(known)
        # a type that no training sample has is 0 throughout, of which the model learns nothing
        usual = np.where(there, known, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)

        def rows(samples: Samples) -> Floats:
            found = type_profiles(samples)
            return np.where(np.isnan(found) | ~there.any(axis=0), usual, found).reshape(len(found), -1)

        return rows


@dataclass(frozen=True)
class Majority:
    """Always the most frequent class of the training samples (or their median number)."""

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Fitted:
        """Look up the most frequent class, or the median."""
        if target.kind == "numbers":
            return _Constant(np.array([np.median(target.values)]))
        counts = np.bincount(target.codes, minlength=target.n_classes)
        return _Constant(counts / counts.sum())


@dataclass(frozen=True)
class _Constant:
    scores: Floats

    def predict(self, test: Samples) -> Prediction:
        return Prediction(np.tile(self.scores, (test.n_samples, 1)))
