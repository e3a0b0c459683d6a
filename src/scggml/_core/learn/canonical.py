"""Where learning starts: orthonormal rows, principal axes, or canonical variates in Wasserstein space."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, eigsh
from tqdm.auto import tqdm

from scggml._core.checks import check_whole
from scggml._core.cohort import Cohort, Floats, Integers, Points, blocks
from scggml._core.transport.pairs import all_pairs
from scggml._core.transport.plans import Transport
from scggml._core.transport.products import project
from scggml._core.transport.solver import Solver

FAINT = 0.001
"""Least scale of a canonical variate, as a share of the largest eigenvalue: a row of zeros could never be learned."""

PAIRS = 4096
"""Pairs whose plans are held at a time."""

ROUNDING = 1e-10
"""Share of the scatter of the cells below which scatter along the plans is rounding; the same for eigenvalues."""

Product = Callable[[Floats], Floats]
"""A symmetric matrix by what it does to another one."""

InitialName = Literal["canonical", "orthonormal", "pca"]


@dataclass(frozen=True)
class Canonical:
    r"""Canonical variates in Wasserstein space: a closed-form metric, and the default start of learning.

    Alternates two steps. Optimal plans :math:`T^{pq}` at fixed metric give the between- and within-class scatter

    .. math:: S_b, S_w = \operatorname{mean}_{pq} \sum_{ij} T^{pq}_{ij} (x_i - y_j)(x_i - y_j)^T

    over pairs of samples of different and of the same class (classes and pairs of classes count equally). The metric
    is then the top `n_comps` solutions of :math:`S_b v = \lambda (S_w + r \operatorname{tr}(S_w) / d\; I) v`, the rows
    of W scaled by :math:`\sqrt{\lambda - 1}`: samples of different classes differ by all that those of one class differ
    by, so only what exceeds :math:`\lambda = 1` tells classes apart. (At least 0.1 % of the largest :math:`\lambda` is
    kept along every direction in which samples differ, so that no useful row starts at zero.) Plans are optimal for
    the squared metric, so that each step improves the same ratio; the first ones are those of the Euclidean metric.

    Parameters
    ----------
    ridge
        r, a share of the mean within-class variance that is added in every direction; keeps the answer finite when
        there are more features than cells.
    n_alternations
        How often plans and metric are recomputed.
    max_features
        With more features than this the problem is solved among that many leading principal axes of the cells, since
        it takes time cubic in the number of features.
    max_pairs
        In cohorts with more pairs of samples than this, about that many are drawn at random, as many of each class and
        each pair of classes where there are enough. (200 samples have 19,900 pairs.)

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, init=sg.tl.Canonical(ridge=0.01), max_iter=0, progress=False)
    >>> sg.get.metric(adata).gene_importance.idxmax()
    'signal'

    References
    ----------
    Li and Lin, *Canonical variates in Wasserstein metric space*, 2024 (arXiv 2405.15768).
    """

    ridge: float = 0.05
    n_alternations: int = 3
    max_features: int = 2048
    _: KW_ONLY
    max_pairs: int = 20_000

    def __post_init__(self) -> None:
        if not (np.isfinite(self.ridge) and self.ridge > 0):
            raise ValueError(f"Canonical(ridge={self.ridge!r}): the ridge is a positive number; 0.01 to 0.1 are usual.")
        if self.n_alternations < 1:
            raise ValueError(f"Canonical(n_alternations={self.n_alternations!r}): at least 1; 3 are usual.")
        if self.max_features < 1:
            raise ValueError(f"Canonical(max_features={self.max_features!r}): at least 1; the default is 2048.")
        check_whole("max_pairs", self.max_pairs, 1, " pair of samples; the default is 20000")

    def components(
        self,
        cohort: Cohort,
        n_comps: int,
        *,
        solver: Solver,
        n_jobs: int | None = None,
        rng: np.random.Generator | None = None,
        transport: Transport | None = None,
        weighted: tuple[Integers, Floats, Floats] | None = None,
        progress: bool = False,
    ) -> Floats:
        """(k, d) components for a cohort whose labels name at least two classes.

        `rng` draws the pairs where there are too many. `transport` may know its pairs. `weighted` replaces what the
        labels say: pairs (n_pairs, 2), and their weights (n_pairs,) within and between.
        """
        if transport is None:
            transport = solver.transport(cohort, n_jobs=n_jobs)
        if cohort.n_features > self.max_features:
            axes = principal_axes(cohort, min(self.max_features, len(cohort.points) - 1))
            reduced = Cohort(
                points=project(cohort.points, axes),
                weights=cohort.weights,
                offsets=cohort.offsets,
                labels=cohort.labels,
                names=cohort.names,
                classes=cohort.classes,
            )
            # the ridge stays the same share of the variance per feature
            same = replace(self, ridge=self.ridge * len(axes) / cohort.n_features)
            found = same.components(
                reduced, n_comps, solver=solver, rng=rng, transport=transport, weighted=weighted, progress=progress
            )
            return found @ axes

        points = cohort.points.astype(np.float64) - _mean(cohort)
        if weighted is None:
            pairs = some_pairs(cohort, self.max_pairs, np.random.default_rng(0) if rng is None else rng)
            weighted = pairs, *pair_weights(cohort, pairs)
        pairs, within, between = weighted
        embedded = points
        rounds = range(self.n_alternations)
        for _ in tqdm(rounds, desc="canonical variates", unit="round", disable=not progress, leave=False):
            transport.solve(embedded, pairs, "sqeuclidean")
            S_b, S_w = scatter(points, transport, pairs, between), scatter(points, transport, pairs, within)
            W = canonical_variates(S_b, S_w, n_comps, self.ridge)
            embedded = points @ W.T
        return W


def some_pairs(cohort: Cohort, most: int, rng: np.random.Generator) -> Integers:
    """(n_pairs, 2) all pairs of samples, or about `most` of them, as many of each kind where there are enough."""
    pairs = all_pairs(cohort.n_samples)
    if len(pairs) <= most:
        return pairs
    kind, counts = _kinds(cohort, pairs)
    level = _level(counts, most)
    drawn = [rng.choice(np.flatnonzero(kind == k), min(count, level), False) for k, count in enumerate(counts)]
    return pairs[np.sort(np.concatenate(drawn))]


def _level(counts: Integers, most: int) -> int:
    """How many to take of each kind (all, where there are fewer) for `most` in all; at least one."""
    left, level = most, 0
    for n_kinds, count in zip(range(len(counts), 0, -1), np.sort(counts), strict=True):
        level = left // n_kinds
        if count > level:
            break
        left -= int(count)
    return max(level, 1)


def _kinds(cohort: Cohort, pairs: Integers) -> tuple[Integers, Integers]:
    """Which classes the samples of each pair have, as a code, and the number of pairs of each code."""
    first, second = np.sort(cohort.labels[pairs], axis=1).T
    _, kind, counts = np.unique(first * len(cohort.classes) + second, return_inverse=True, return_counts=True)
    return kind, counts


def pair_weights(cohort: Cohort, pairs: Integers) -> tuple[Floats, Floats]:
    """Weights of the pairs in the within- and the between-class mean; classes, and pairs of them, count equally."""
    kind, counts = _kinds(cohort, pairs)
    alike = cohort.labels[pairs[:, 0]] == cohort.labels[pairs[:, 1]]
    weights = 1.0 / counts[kind]
    within, between = np.where(alike, weights, 0.0), np.where(alike, 0.0, weights)
    return within / max(within.sum(), 1.0), between / max(between.sum(), 1.0)


def scatter(points: Floats, transport: Transport, pairs: Integers, weights: Floats) -> Floats:
    r"""(d, d) weighted sum of :math:`T_{ij} (x_i - x_j)(x_i - x_j)^T` over the pairs (n_pairs, 2) just solved.

    It equals :math:`X^T (D - A - A^T) X` with the sparse flow matrix A (cells x cells) and its degrees D, so nothing
    of size n x m x d arises; A is taken a few pairs at a time. Centred points keep the difference accurate.
    """
    n = len(points)
    degrees, moved = np.zeros(n), np.zeros_like(points)
    for start in range(0, len(pairs), PAIRS):
        part = slice(start, start + PAIRS)
        if not weights[part].any():
            continue
        plans = transport.plans(part)
        flow = plans.mass * weights[part][plans.owner]
        A = csr_array((flow, (plans.source, plans.target)), shape=(n, n))
        degrees += A.sum(axis=0) + A.sum(axis=1)
        moved += A @ points
    crossed, total = points.T @ moved, points.T @ (points * degrees[:, None])
    out: Floats = total - crossed - crossed.T
    # What is left of equal points is the rounding of the subtraction.
    return out if np.trace(out) > ROUNDING * np.trace(total) else np.zeros_like(out)


def canonical_variates(between: Floats, within: Floats, n_comps: int, ridge: float) -> Floats:
    """(k, d) top solutions of between v = lambda (within + ridge tr(within) / d I) v, scaled by sqrt(lambda - 1)."""
    d = len(between)
    # Classes without any spread inside (one sample each, or copies) leave the scale of the ridge to the other scatter.
    scale = np.trace(within) if np.trace(within) > 0 else np.trace(between)
    if scale <= 0:
        raise ValueError("All samples of the cohort are the same point cloud: there is no difference to learn from.")
    regular = within + ridge * scale / d * np.eye(d)
    values, vectors = eigh(between, regular, subset_by_index=[max(d - n_comps, 0), d - 1])
    excess = np.where(values > ROUNDING * values[-1], np.maximum(values - 1.0, FAINT * values[-1]), 0.0)
    rows: Floats = (vectors * np.sqrt(excess)).T[::-1]
    return np.pad(rows, ((0, n_comps - len(rows)), (0, 0)))


def _mean(cohort: Cohort) -> Floats:
    """(d,) mean cell, samples counting equally."""
    out = np.zeros(cohort.n_features)
    for rows in blocks(cohort.points):
        out += cohort.weights[rows] @ cohort.points[rows].astype(np.float64, copy=False)
    return out / cohort.n_samples


def covariance_of(cohort: Cohort) -> Product:
    """The (d, d) covariance of the cells, samples counting equally, as what it does to a matrix (d, m)."""
    mean = _mean(cohort)

    def times(v: Floats) -> Floats:
        out = np.zeros(v.shape)
        for rows in blocks(cohort.points):
            x: Points = cohort.points[rows].astype(np.float64, copy=False) - mean
            out += x.T @ (cohort.weights[rows, None] * (x @ v))
        return out / cohort.n_samples

    return times


def total_variance(cohort: Cohort) -> float:
    """Summed variance of the features, samples counting equally."""
    mean = _mean(cohort)
    parts = (cohort.weights[rows] @ ((cohort.points[rows] - mean) ** 2).sum(axis=1) for rows in blocks(cohort.points))
    return float(sum(parts)) / cohort.n_samples


def leading_axes(times: Product, size: int, k: int) -> Floats:
    """(k, size) orthonormal leading eigenvectors of a symmetric matrix that is known by its products."""
    if size <= 2048 or k > size // 2:
        axes = eigh(times(np.eye(size)), subset_by_index=[size - k, size - 1])[1]
    else:
        operator = LinearOperator((size, size), matvec=lambda v: times(v.reshape(-1, 1))[:, 0], dtype=np.float64)
        axes = eigsh(operator, k, v0=np.ones(size))[1]
    out: Floats = axes.T[::-1]
    return out


def principal_axes(cohort: Cohort, n_comps: int) -> Floats:
    """(k, d) orthonormal leading principal axes of the cells, samples counting equally; zero rows beyond d."""
    k = min(n_comps, cohort.n_features)
    axes = leading_axes(covariance_of(cohort), cohort.n_features, k)
    return np.pad(axes, ((0, n_comps - k), (0, 0)))


def orthonormal(n_comps: int, n_features: int, rng: np.random.Generator) -> Floats:
    """(k, d) random rows with W W^T = I (or orthonormal columns when k > d), uniform over such matrices."""
    tall = rng.standard_normal((max(n_comps, n_features), min(n_comps, n_features)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return q.T if n_comps <= n_features else q


def is_canonical(init: object) -> bool:
    """Whether a start is that of canonical variates."""
    return isinstance(init, Canonical) or (isinstance(init, str) and init == "canonical")


def initial_components(
    init: InitialName | Canonical | Floats,
    cohort: Cohort,
    n_comps: int,
    *,
    solver: Solver,
    rng: np.random.Generator,
    n_jobs: int | None = None,
    transport: Transport | None = None,
    progress: bool = False,
) -> Floats:
    """(k, d) components that learning starts from."""
    if isinstance(init, np.ndarray):
        return init.astype(np.float64)
    if init == "orthonormal":
        return orthonormal(n_comps, cohort.n_features, rng)
    if init == "pca":
        return principal_axes(cohort, n_comps)
    canonical = Canonical() if init == "canonical" else init
    return canonical.components(
        cohort, n_comps, solver=solver, n_jobs=n_jobs, rng=rng, transport=transport, progress=progress
    )
