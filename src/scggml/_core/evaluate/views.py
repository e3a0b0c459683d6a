"""See a sample as a row of numbers that needs no label: shares of clusters, mean embedding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from scggml._arguments import shown
from scggml._core.checks import check_number, check_whole
from scggml._core.cohort import Cohort, Floats, Points
from scggml._core.evaluate.prediction import Need, Prediction
from scggml._core.evaluate.ridge import Ridge, fit_ridge
from scggml._core.evaluate.temperature import Temperature, at_most, fit_temperature, highest_probability
from scggml._core.samples import Samples, Target
from scggml._core.threads import ignored, one_blas_thread, one_thread

Rows = Callable[[Cohort], Floats]
"""From samples to a row of numbers each."""

SCALE_CELLS = 1000
"""Cells between which the typical distance is measured."""


@dataclass(frozen=True, eq=False)
class FittedRows:
    """A ridge regression on rows of numbers, and the temperature of its scores.

    Parameters
    ----------
    rows, ridge
        From samples to rows of numbers, and the regression on these.
    temperature, highest
        From scores to probabilities; None for numbers.
    """

    rows: Callable[[Samples], Floats]
    ridge: Ridge
    temperature: Temperature | None
    highest: float | None

    @property
    def held_out(self) -> Floats:
        """(1, P, C) probabilities (or numbers) of the training samples, each without its donor."""
        return self._said(self.ridge.held_out)[None]

    def predict(self, test: Samples) -> Prediction:
        """Predict samples whose labels are unknown."""
        return Prediction(self._said(self.ridge.predict(self.rows(test))))

    def _said(self, scores: Floats) -> Floats:
        if self.temperature is None or self.highest is None:
            return scores
        return at_most(self.temperature.probabilities(scores), self.highest)


def fit_rows(blocks: list[Rows], training: Samples, target: Target) -> FittedRows:
    """Fit a ridge regression on several blocks of features that count alike.

    Each is centred and divided by the root of its mean square: the sum of their linear kernels, each divided by its
    mean diagonal.
    """
    scaled = [_standardized(rows, rows(training.as_cells.cohort)) for rows in blocks]

    def together(samples: Samples) -> Floats:
        return np.hstack([rows(samples.as_cells.cohort) for rows in scaled])

    ridge = fit_ridge(together(training), target, training.groups)
    if target.kind == "numbers":
        return FittedRows(together, ridge, None, None)
    temperature = fit_temperature(ridge.held_out, target.codes, training.groups)
    return FittedRows(together, ridge, temperature, highest_probability(target.codes, training.groups))


def _standardized(rows: Rows, known: Floats) -> Rows:
    center = known.mean(axis=0)
    scale = float(np.sqrt(((known - center) ** 2).sum(axis=1).mean())) or 1.0
    return lambda cohort: (rows(cohort) - center) / scale


@dataclass(frozen=True)
class Frequencies:
    """Predict from how often cells of a sample fall into clusters, at several resolutions.

    Clusters are found by k-means on cells of the training samples, which count alike. A class-balanced ridge regression
    sees the square roots of the frequencies (Hellinger distance); its ridge is the one that predicts left-out donors
    best.

    Parameters
    ----------
    n_clusters
        Numbers of clusters.
    n_cells
        Most cells of each training sample that clusters are found on.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=30)
    >>> methods = {"coarse clusters": sg.tl.Frequencies(n_clusters=(5,)), "majority": "majority"}
    >>> options = {"n_splits": 3, "n_repeats": 1, "n_jobs": 1, "progress": False}
    >>> sg.tl.cross_validate(adata, "sample_id", "label", methods=methods, **options)
    >>> float(sg.get.cross_validation(adata).summary.loc["majority", "balanced_accuracy"].round(2))
    0.33

    References
    ----------
    Rao, *A review of canonical coordinates and an alternative to correspondence analysis using Hellinger distance*,
    Qüestiió 1995.
    """

    knows_held_out: ClassVar[bool] = True

    n_clusters: tuple[int, ...] = (10, 25, 60)
    n_cells: int = 60

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_clusters", _several("Frequencies: n_clusters", self.n_clusters))
        for n in self.n_clusters:
            check_whole("Frequencies: n_clusters", n, 2)
        check_whole("Frequencies: n_cells", self.n_cells, 1)

    @property
    def needs(self) -> frozenset[Need]:
        """Return that it counts cells, all of them if they are there beside a summary."""
        return frozenset({"points", "all_cells"})

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> FittedRows:
        """Find clusters, and fit the regression."""
        cells = training.as_cells.cohort
        drawn = np.concatenate([_drawn(cells, p, self.n_cells, rng) for p in range(cells.n_samples)])
        points = cells.points[drawn]
        seeds = rng.integers(2**31, size=len(self.n_clusters))
        blocks = [_shares(points, k, int(seed)) for k, seed in zip(self.n_clusters, seeds, strict=True)]
        return fit_rows(blocks, training, target)


def _drawn(cohort: Cohort, p: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows of some cells of a sample, drawn by weight."""
    own = np.arange(cohort.offsets[p], cohort.offsets[p + 1])
    weights = cohort.weights[own]
    n = int((weights > 0).sum())
    if n <= most:
        return own[weights > 0] if n < len(own) else own
    return np.sort(rng.choice(own, most, replace=False, p=weights / weights.sum()))


def _shares(points: Points, n_clusters: int, seed: int) -> Rows:
    """Return what gives (P, K) square roots of the shares of clusters that are found in the points."""
    K = min(n_clusters, len(points))
    means = KMeans(K, n_init=1, random_state=seed)
    with ignored(ConvergenceWarning), one_thread("openmp"), one_blas_thread():
        means.fit(points)

    def rows(cohort: Cohort) -> Floats:
        with one_thread("openmp"), one_blas_thread():
            owner = means.predict(np.asarray(cohort.points, dtype=means.cluster_centers_.dtype))
        out = np.zeros((cohort.n_samples, K))
        np.add.at(out, (np.repeat(np.arange(cohort.n_samples), cohort.sizes), owner), cohort.weights)
        return np.sqrt(out)

    return rows


@dataclass(frozen=True)
class MeanEmbedding:
    r"""Predict from the mean of the cells of a sample in the feature space of Gaussian kernels (kernel mean embedding).

    .. math:: \phi_j(p) = \sum_i a_{pi} \cos(\omega_j^T x_{pi} + b_j), \qquad
        \omega_j \sim N(0, I / h^2), \quad b_j \sim U(0, 2\pi)

    at bandwidths h that are multiples of the median distance between training cells: squared distances between such
    means are estimates of the maximum mean discrepancy. A class-balanced ridge regression sees them.

    Parameters
    ----------
    bandwidths
        Multiples of the median distance.
    n_features
        Random features for each bandwidth.
    n_cells
        Most cells of a sample that the mean is over; more are drawn from.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=30)
    >>> methods = {"wide kernels": sg.tl.MeanEmbedding(bandwidths=(1.2,)), "majority": "majority"}
    >>> options = {"n_splits": 3, "n_repeats": 1, "n_jobs": 1, "progress": False}
    >>> sg.tl.cross_validate(adata, "sample_id", "label", methods=methods, **options)
    >>> float(sg.get.cross_validation(adata).summary.loc["majority", "balanced_accuracy"].round(2))
    0.33

    References
    ----------
    Rahimi and Recht, *Random features for large-scale kernel machines*, NeurIPS 2007; Muandet et al., *Kernel mean
    embedding of distributions*, Foundations and Trends in Machine Learning 2017.
    """

    knows_held_out: ClassVar[bool] = True

    bandwidths: tuple[float, ...] = (0.3, 0.6, 1.2)
    n_features: int = 400
    n_cells: int = 300

    def __post_init__(self) -> None:
        object.__setattr__(self, "bandwidths", _several("MeanEmbedding: bandwidths", self.bandwidths))
        for h in self.bandwidths:
            check_number("MeanEmbedding: bandwidths", h, "multiples of the median distance above 0", 0, open_low=True)
        check_whole("MeanEmbedding: n_features", self.n_features, 1)
        check_whole("MeanEmbedding: n_cells", self.n_cells, 1)

    @property
    def needs(self) -> frozenset[Need]:
        """Return that it needs points, all cells if they are there beside a summary."""
        return frozenset({"points", "all_cells"})

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> FittedRows:
        """Draw the features, and fit the regression."""
        cohort = training.as_cells.cohort
        some = rng.choice(len(cohort.points), min(SCALE_CELLS, len(cohort.points)), replace=False)
        typical = float(np.median(pdist(np.asarray(cohort.points[some], dtype=np.float64)))) or 1.0
        seed = int(rng.integers(2**31))
        blocks = [_waves(self, cohort.n_features, h * typical, seed, rng) for h in self.bandwidths]
        return fit_rows(blocks, training, target)


def _waves(options: MeanEmbedding, n_inputs: int, bandwidth: float, seed: int, rng: np.random.Generator) -> Rows:
    """Return what gives (P, m) mean random Fourier features."""
    slopes = rng.normal(scale=1 / bandwidth, size=(n_inputs, options.n_features))
    shifts = rng.uniform(0, 2 * np.pi, options.n_features)

    def rows(cohort: Cohort) -> Floats:
        dtype = cohort.points.dtype
        out = np.empty((cohort.n_samples, options.n_features))
        for p in range(cohort.n_samples):
            # the same draw for each bandwidth and each time that a sample is seen
            own = _drawn(cohort, p, options.n_cells, np.random.default_rng(seed))
            weights = cohort.weights[own] if len(own) == cohort.sizes[p] else np.full(len(own), 1 / len(own))
            waves = np.cos(cohort.points[own] @ slopes.astype(dtype) + shifts.astype(dtype))
            out[p] = weights @ waves
        return out

    return rows


def _several(name: str, given: Any) -> tuple[Any, ...]:
    """Return the numbers of a sequence; a single one is a sequence of itself."""
    if isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool):
        return (given,)
    if isinstance(given, str | bytes) or not isinstance(given, Sequence) or not given:
        raise TypeError(f"{name}={shown(given)} is a {type(given).__name__}; pass a tuple of numbers.")
    return tuple(given)
