"""Methods that predict samples: learned and fixed metrics with a classifier on distances, and their rivals."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scggml._arguments import shown
from scggml._core.checks import as_real, check_choice, check_whole
from scggml._core.cohort import Floats, Integers, Points
from scggml._core.evaluate.classify import CLASSIFIERS, ClassifierName, kernel_logistic, knn_mean, knn_votes
from scggml._core.learn.learner import Learner
from scggml._core.learn.shared import Work
from scggml._core.samples import Samples, Target, mean_profiles
from scggml._core.transport.exact import Exact
from scggml._core.transport.ground import Blended, Ground, GroundMetric, cross_distances, own_distances
from scggml._core.transport.plans import GroundCost
from scggml._core.transport.solver import Solver

RivalName = Literal["pseudobulk", "composition", "majority"]
RIVALS: tuple[RivalName, ...] = get_args(RivalName)


@dataclass(frozen=True)
class Prediction:
    """Prediction of a method for n samples.

    Parameters
    ----------
    scores
        (n, C) class probabilities, or (n, 1) numbers.
    distances
        (n, P + n) to the P training samples and then among the n samples; None for methods without distances.
    choice, inner
        Candidate that was chosen inside the training samples, and the name and score of each there, if any was.
    """

    scores: Floats
    distances: Floats | None = None
    choice: str | None = None
    inner: tuple[tuple[str, float], ...] = ()


class Fitted(Protocol):
    """A method after it has seen its training samples."""

    def predict(self, test: Samples) -> Prediction:
        """Predict samples whose labels it has not seen."""
        ...


class Method(Protocol):
    """A method before it has seen anything."""

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Fitted:
        """Learn from the training samples alone."""
        ...


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


@dataclass(frozen=True)
class Learned:
    """A metric that is learned from the training samples."""

    learner: Learner

    def ground(self, training: Samples, target: Target, *, rng: np.random.Generator) -> GroundMetric:
        """Learn the metric."""
        found = self.learner.learn(training, target, rng=rng)
        return GroundMetric(found.components, self.learner.cost)


@dataclass(frozen=True)
class Blend:
    """The mean of the distances of several sources."""

    sources: tuple[MetricSource, ...]

    def ground(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Blended:
        """Return each distance of the training samples."""
        found = [source.ground(training, target, rng=rng) for source in self.sources]
        flat = [part for one in found for part in (one.parts if isinstance(one, Blended) else (one,))]
        return Blended(tuple(flat))


def learners_of(method: Method) -> list[Learner]:
    """Return the learners of the metrics that a method predicts by."""
    source = method.source if isinstance(method, ByDistance) else None
    parts = source.sources if isinstance(source, Blend) else (source,)
    return [part.learner for part in parts if isinstance(part, Learned)]


@dataclass(frozen=True)
class ByDistance:
    """A metric, learned or fixed, and a classifier (or regressor) on the distances that it gives.

    Parameters
    ----------
    source
        Where the metric comes from.
    classifier, n_neighbors
        Class-balanced `"knn"` with this many votes, or `"kernel_logistic"`.
    solver
        Solver of optimal transport.
    """

    source: MetricSource
    classifier: ClassifierName = "knn"
    n_neighbors: int = 3
    solver: Solver = Exact()  # noqa: RUF009 - frozen, so it can be shared

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
        return Prediction(self.classify(D[:, : self.training.n_samples]), D)

    def _distances(self, test: Samples) -> Floats:
        """Return (n, P + n) distances to the training samples and among the n samples."""
        work, training, metric = self.training.work, self.training, self.metric
        usable = isinstance(work, Work) and test.work is work and work.solver == self.method.solver
        if usable and isinstance(metric, GroundMetric):
            rows, columns = test.positions, training.positions
            if rows is not None and columns is not None and _all_different(np.concatenate([rows, columns])):
                return work.cross_distances(metric, rows, columns)
        return cross_distances(metric, test.cohort, training.cohort, solver=self.method.solver)

    def classify(self, D: Floats) -> Floats:
        if self.target.kind == "numbers":
            return knn_mean(D, self.target.values, self.method.n_neighbors)[:, None]
        codes, n_classes = self.target.codes, self.target.n_classes
        if self.method.classifier == "knn":
            return knn_votes(D, codes, n_classes, self.method.n_neighbors)
        known = own_distances(self.metric, self.training.cohort, solver=self.method.solver)
        return kernel_logistic(D, known, codes, n_classes)


def _all_different(positions: Integers) -> bool:
    return len(np.unique(positions)) == len(positions)


@dataclass(frozen=True)
class Profiles:
    """A linear model on one row of numbers per sample: mean profiles or cell-type composition.

    Class-balanced logistic regression, or ridge regression for numbers, on features brought to unit variance.
    """

    kind: Literal["pseudobulk", "composition"]

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Fitted:
        """Fit the linear model to the training samples."""
        estimator = (
            make_pipeline(StandardScaler(), Ridge(alpha=1.0))
            if target.kind == "numbers"
            else make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
        )
        return _FittedEstimator(_fit_estimator(estimator, self.rows(training), target), self.rows, target)

    def rows(self, samples: Samples) -> Floats:
        """Return (P, m) what the model sees."""
        if self.kind == "pseudobulk":
            return mean_profiles(samples.cohort)
        if samples.composition is None:
            raise ValueError("The method 'composition' needs cell types; pass cell_type_key.")
        return samples.composition


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


@dataclass(frozen=True)
class Clouds:
    """Any estimator with the interface of scikit-learn; each of its observations is an (n_cells, d) array.

    Parameters
    ----------
    estimator
        An object with `fit(clouds, y)` and `predict_proba(clouds)` (or `predict(clouds)` for numbers); it is cloned
        for each fit.
    """

    estimator: Any

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Fitted:
        """Fit a clone to the training samples."""
        if target.kind == "numbers" and not hasattr(self.estimator, "predict"):
            raise TypeError(
                f"The labels are numbers, and the method {_name_of(self.estimator)} has no predict(clouds), which "
                "returns one number for each sample; add it, or leave the method out."
            )
        return _FittedEstimator(_fit_estimator(clone(self.estimator), clouds(training), target), clouds, target)


def clouds(samples: Samples) -> list[Points]:
    """Return the cells of each sample."""
    return np.split(samples.cohort.points, samples.cohort.offsets[1:-1])


def _fit_estimator(estimator: Any, rows: Any, target: Target) -> Any:
    return estimator.fit(rows, target.values if target.kind == "numbers" else target.codes)


def _name_of(estimator: Any) -> str:
    return type(estimator).__name__


@dataclass(frozen=True)
class _FittedEstimator:
    estimator: Any
    rows: Any
    target: Target

    def predict(self, test: Samples) -> Prediction:
        rows, n = self.rows(test), test.n_samples
        if self.target.kind == "numbers":
            return Prediction(self._answer("predict", rows, (n,), (n, 1)).reshape(-1, 1))
        scores = np.zeros((n, self.target.n_classes))
        if not hasattr(self.estimator, "predict_proba"):
            codes = self._answer("predict", rows, (n,), (n, 1)).ravel()
            self._check(np.isin(codes, np.arange(self.target.n_classes)), codes, "a code of y for each sample")
            scores[np.arange(n), codes.astype(np.int64)] = 1.0
            return Prediction(scores)
        known = self._known()
        found = self._answer("predict_proba", rows, (n, len(known)))
        self._check(found >= 0, found, "probabilities of at least 0")
        self._check(found.sum(axis=1) > 0, found.sum(axis=1), "probabilities that do not sum to 0")
        scores[:, known] = found
        return Prediction(scores)

    def _known(self) -> Integers:
        """Return the codes of the classes that columns of probabilities stand for, all in order unless it says so."""
        every = np.arange(self.target.n_classes)
        known = np.asarray(getattr(self.estimator, "classes_", every))
        if known.ndim != 1 or len(set(known.tolist())) < len(known) or not np.isin(known, every).all():
            raise ValueError(
                f"The method {_name_of(self.estimator)} has classes_={shown(known)}; they must be different codes of "
                f"the y that fit(clouds, y) was given, which are 0 to {len(every) - 1}."
            )
        return known.astype(np.int64)

    def _answer(self, call: str, rows: Any, *shapes: tuple[int, ...]) -> Floats:
        """Return what the estimator says, as finite numbers of one of the shapes."""
        name = f"The method {_name_of(self.estimator)}: {call}(clouds)"
        wanted = f"an array of shape {shapes[0]}, one row for each of the {len(rows)} held-out samples"
        found: Floats = as_real(name, getattr(self.estimator, call)(rows), wanted).astype(np.float64)
        if found.shape not in shapes:
            raise ValueError(f"{name} has shape {found.shape}; return {wanted}.")
        if not np.isfinite(found).all():
            raise ValueError(
                f"{name} has {int((~np.isfinite(found)).sum())} values that are NaN or infinite; return {wanted}, all "
                "finite."
            )
        return found

    def _check(self, right: NDArray[np.bool_], values: Floats, wanted: str) -> None:
        if not right.all():
            raise ValueError(f"The method {_name_of(self.estimator)} predicts {values[~right][0]:g}; return {wanted}.")


def rival(name: RivalName) -> Method:
    """Return the method of that name."""
    return Majority() if name == "majority" else Profiles(name)
