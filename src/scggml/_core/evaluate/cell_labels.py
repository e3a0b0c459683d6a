"""Metrics that push the label of a sample on each of its cells: LFDA and NCA, rivals of what learns from samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import cdist
from sklearn.neighbors import NeighborhoodComponentsAnalysis

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.evaluate.prediction import Need
from scggml._core.samples import Samples, Target
from scggml._core.transport.ground import GroundMetric

CellMetricName = Literal["lfda", "nca"]
CELL_METRICS: tuple[CellMetricName, ...] = get_args(CellMetricName)

MOST_CELLS = 1000
"""Cells that a metric is learned from: both methods compare each with each other, NCA again and again."""

FEWEST = 2
"""Components that are kept at least; with more classes one less than these. More are noise, to which NCA overfits."""

LOCAL = 7
"""Neighbor whose distance is the local scale of a cell, as Sugiyama has it."""

RIDGE = 1e-6
"""What is added to the within-class scatter, times its mean diagonal: directions in which no cells differ have none."""


@dataclass(frozen=True)
class LabelledCells:
    """A metric between cells, each labelled as its sample; samples are then compared by transport under it.

    Up to 1000 cells are drawn, as many of each sample, by weight. Features are brought to a common scale, the root of
    the mean variance, and two components are kept, or one less than there are classes if that is more.

    Parameters
    ----------
    name
        `"lfda"`, see `lfda`, or `"nca"`, that of scikit-learn started from principal components, 50 steps.
    """

    name: CellMetricName

    @property
    def needs(self) -> frozenset[Need]:
        """Return that it needs classes: neither method knows of numbers."""
        return frozenset({"classes"})

    def ground(self, training: Samples, target: Target, *, rng: np.random.Generator) -> GroundMetric:
        """Learn the metric from cells of the training samples."""
        rows, owner = _drawn(training.cohort, rng)
        X = training.cohort.points[rows].astype(np.float64)
        unit = float(np.sqrt(X.var(axis=0).mean())) or 1.0
        X, codes = (X - X.mean(axis=0)) / unit, target.codes[owner]
        k = min(max(FEWEST, target.n_classes - 1), *X.shape)
        if self.name == "lfda":
            return GroundMetric(lfda(X, codes, k) / unit, "euclidean")
        seed = int(rng.integers(2**31))
        found = NeighborhoodComponentsAnalysis(n_components=k, init="pca", max_iter=50, random_state=seed)
        return GroundMetric(found.fit(X, codes).components_ / unit, "euclidean")


def _drawn(cohort: Cohort, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Return rows of drawn cells and the sample of each."""
    most = max(1, MOST_CELLS // cohort.n_samples)
    rows = [_of_sample(cohort, p, most, rng) for p in range(cohort.n_samples)]
    return np.concatenate(rows), np.repeat(np.arange(len(rows)), [len(part) for part in rows])


def _of_sample(cohort: Cohort, p: int, most: int, rng: np.random.Generator) -> Integers:
    own = np.arange(cohort.offsets[p], cohort.offsets[p + 1])
    weights = cohort.weights[own]
    own, weights = own[weights > 0], weights[weights > 0]
    drawn = rng.choice(own, min(most, len(own)), replace=False, p=weights / weights.sum())
    return np.sort(drawn)


def lfda(X: Floats, codes: Integers, n_comps: int) -> Floats:
    r"""Return components (k, d) of local Fisher discriminant analysis, each scaled by the root of its eigenvalue.

    .. math:: S^{(b)} \varphi = \lambda S^{(w)} \varphi, \qquad
        S = \tfrac12 \sum_{ij} V_{ij} (x_i - x_j)(x_i - x_j)^T

    with :math:`V^{(w)}_{ij} = A_{ij} / n_c` and :math:`V^{(b)}_{ij} = A_{ij} (1 / n - 1 / n_c)` for two cells of class
    c, 0 and :math:`1 / n` for others, and the affinity :math:`A_{ij} = \exp(-|x_i - x_j|^2 / \sigma_i \sigma_j)`, where
    :math:`\sigma_i` is the distance to the seventh neighbor of the class: far parts of one class stay apart.

    Parameters
    ----------
    X, codes
        Cells (n, d) and the class of each (n,).
    n_comps
        Components, k; at most d.

    References
    ----------
    Sugiyama, *Dimensionality reduction of multimodal labeled data by local Fisher discriminant analysis*, JMLR 2007.
    """
    n, d = X.shape
    within, between = np.zeros((d, d)), n * _covariance(X)  # all pairs at 1 / n
    for part, A in _affinities(X, codes):
        # sum_ij A_ij (x_i - x_j)(x_i - x_j)^T / 2 by the Laplacian of A
        local = (part.T * A.sum(axis=1)) @ part - part.T @ A @ part
        within += local / len(part)
        # pairs of one class count by their affinity instead
        between += (1 / n - 1 / len(part)) * local - len(part) ** 2 / n * _covariance(part)
    ridge = RIDGE * (np.trace(within) / d or 1.0)
    values, vectors = eigh(between, within + ridge * np.eye(d))
    strongest = np.argsort(-values, kind="stable")[:n_comps]
    out: Floats = np.sqrt(np.maximum(values[strongest], 0.0))[:, None] * vectors[:, strongest].T
    return out


def _covariance(X: Floats) -> Floats:
    centred = X - X.mean(axis=0)
    out: Floats = centred.T @ centred / len(X)
    return out


def _affinities(X: Floats, codes: Integers) -> Iterator[tuple[Floats, Floats]]:
    """Yield the cells of each class and their affinities."""
    for code in np.unique(codes):
        part = X[codes == code]
        D = cdist(part, part)
        scale = np.sort(D, axis=1)[:, min(LOCAL, len(part) - 1)]
        product = np.outer(scale, scale)
        # cells with as many copies have no scale: they are close to these copies, and to no others
        ratio = np.divide(D**2, product, out=np.where(D > 0, np.inf, 0.0), where=product > 0)
        yield part, np.exp(-ratio)
