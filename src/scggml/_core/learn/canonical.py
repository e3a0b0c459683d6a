"""Canonical variates in Wasserstein space: a metric in closed form."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import csr_array
from tqdm.auto import tqdm

from scggml._core.checks import check_number, check_whole
from scggml._core.cohort import Cohort, Floats, Integers, blocks
from scggml._core.learn.pair_weights import PairWeights
from scggml._core.learn.spectrum import leading_eigenvectors, mean_cell, span
from scggml._core.transport.plans import Plans, Transport
from scggml._core.transport.solver import Solver

FAINT = 0.001
"""Least scale of a canonical variate, as a share of the largest eigenvalue: a row of zeros could never be learned."""

PAIRS = 4096
"""Pairs whose plans are held at a time."""

ROUNDING = 1e-10
"""Share of the scatter of the cells below which scatter along the plans is rounding; the same for eigenvalues."""

RidgeScale = Literal["mean", "feature"]


@dataclass(frozen=True, kw_only=True)
class Canonical:
    r"""Canonical variates in Wasserstein space: a closed-form metric, and the default method.

    Alternates two steps. Optimal plans :math:`T^{pq}` at fixed metric give the between- and within-class scatter

    .. math:: S_b, S_w = \operatorname{mean}_{pq} \sum_{ij} T^{pq}_{ij} (x_i - y_j)(x_i - y_j)^T

    over pairs of samples of different and of the same class (classes and pairs of classes count equally). The metric
    is then the top `n_comps` solutions of :math:`S_b v = \lambda (S_w + R) v`, the rows of W scaled by
    :math:`\sqrt{\lambda - 1}`: samples of different classes differ by all that those of one class differ by, so only
    what exceeds :math:`\lambda = 1` tells classes apart. (At least 0.1 % of the largest :math:`\lambda` is kept along
    every direction in which samples differ, so that no useful row starts at zero.) Plans are optimal for the squared
    metric, so that each step improves the same ratio; the first ones are those of the Euclidean metric.

    The ridge R keeps the solution finite and stable. As a share of the mean within-class variance it is the same in
    every direction and leaves small features to large ones; as a share of the within-class variance of each feature it
    does not depend on the units of features.

    Parameters
    ----------
    ridge
        r, the share of the within-class variance that is added. `"auto"` decides among few values inside the training
        donors (see `tl.ggml`).
    ridge_scale
        `"mean"` for :math:`R = r \operatorname{tr}(S_w) / d\; I`, `"feature"` for
        :math:`R = r \operatorname{diag}(S_w)`; `"auto"` decides inside the training donors.
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
    >>> method = sg.tl.Canonical(ridge=0.01, ridge_scale="feature")
    >>> sg.tl.ggml(adata, "sample_id", "label", method=method, n_comps=2, shrinkage=0.0, progress=False)
    >>> sg.get.metric(adata).gene_importance.idxmax()
    'signal'

    References
    ----------
    Li and Lin, *Canonical variates in Wasserstein metric space*, 2024 (arXiv 2405.15768).
    """

    ridge: float | Literal["auto"] = "auto"
    ridge_scale: RidgeScale | Literal["auto"] = "auto"
    n_alternations: int = 3
    max_features: int = 2048
    max_pairs: int = 20_000

    def __post_init__(self) -> None:
        if self.ridge != "auto":
            check_number(
                "Canonical: ridge", self.ridge, '"auto" or a positive number; 0.001 to 0.1 are usual', 0, open_low=True
            )
        if self.ridge_scale not in ("auto", *get_args(RidgeScale)):
            raise ValueError(
                f"Canonical: ridge_scale={self.ridge_scale!r} is not known; choose from "
                f"{('auto', *get_args(RidgeScale))}."
            )
        check_whole("Canonical: n_alternations", self.n_alternations, 1, "; 3 are usual")
        check_whole("Canonical: max_features", self.max_features, 1, "; the default is 2048")
        check_whole("Canonical: max_pairs", self.max_pairs, 1, " pair of samples; the default is 20000")

    @property
    def is_fixed(self) -> bool:
        """Return whether nothing of it is left to be decided."""
        return self.ridge != "auto" and self.ridge_scale != "auto"


@dataclass(frozen=True)
class Start:
    """Cells of a cohort and their optimal plans under the Euclidean metric, which no label enters.

    Refits of the same cells (folds, permuted labels, bootstraps of donors) share it: they differ in the weights of
    pairs only.

    Parameters
    ----------
    points
        (n_cells, d) cells less their mean, in double precision.
    axes
        (d, n_features) orthonormal axes that the cells were reduced to; None if they were not.
    exact
        Whether the axes span all cells, so that nothing was lost and no cell decided about another one.
    plans
        Plans of `pairs`, whose numbers stand in `place` (P, P); -1 for a pair that was not solved.
    """

    points: Floats
    axes: Floats | None
    plans: Plans
    place: Integers
    exact: bool = True


def centred(cohort: Cohort, max_features: int) -> tuple[Floats, Floats | None]:
    """Return cells less their mean (n_cells, m), and the orthonormal axes (m, d) that they were reduced to, if any.

    n cells less their mean span n - 1 dimensions at most. With more features than that the axes of this span lose
    nothing; beyond `max_features` principal axes of the cells take their place.
    """
    n, d = cohort.points.shape
    if d <= min(max_features, n):
        return cohort.points.astype(np.float64) - mean_cell(cohort), None
    axes, points = span(cohort, max_features)
    return points - mean_cell(cohort, points), axes


def euclidean_start(
    cohort: Cohort, pairs: Integers, *, solver: Solver, n_jobs: int | None = 1, max_features: int
) -> Start:
    """Solve the pairs of a cohort under the Euclidean metric of its features."""
    points, axes = centred(cohort, max_features)
    transport = solver.transport(cohort, n_jobs=n_jobs)
    transport.solve(points, pairs, "sqeuclidean")
    # Refits look up some of the pairs, in any order.
    place = np.full((cohort.n_samples, cohort.n_samples), -1, dtype=np.int64)
    place[pairs[:, 0], pairs[:, 1]] = np.arange(len(pairs))
    exact = axes is None or len(cohort.points) <= max_features
    return Start(points, axes, transport.plans(), place, exact)


@dataclass(frozen=True)
class Variates:
    """Canonical variates (k, d) and, for each alternation, the eigenvalues (n_alternations, k) that scale them."""

    components: Floats
    eigenvalues: Floats


def canonical_metric(
    options: Canonical,
    cohort: Cohort,
    weights: PairWeights,
    n_comps: int,
    *,
    transport: Transport | None = None,
    solver: Solver,
    n_jobs: int | None = 1,
    start: Start | None = None,
    progress: bool = False,
) -> Variates:
    """Compute canonical variates of a cohort whose pairs of samples are weighed.

    With `start` the first alternation needs no transport; `transport` may already hold trees of the pairs.
    """
    pairs = weights.pairs
    if transport is None:
        transport = solver.transport(cohort, n_jobs=n_jobs)
    points, axes = centred(cohort, options.max_features) if start is None else (start.points, start.axes)
    ridge, scale = float(options.ridge), options.ridge_scale
    if scale == "auto":
        raise ValueError("ridge_scale is still to be decided.")
    embedded = points
    values = np.zeros((options.n_alternations, n_comps))
    rounds = range(options.n_alternations)
    for i in tqdm(rounds, desc="canonical variates", unit="round", disable=not progress, leave=False):
        if i == 0 and start is not None:
            S_b, S_w = (shared_scatter(start, pairs, part) for part in (weights.between, weights.within))
        else:
            transport.solve(embedded, pairs, "sqeuclidean")
            S_b, S_w = (scatter(points, transport, pairs, part) for part in (weights.between, weights.within))
        # Plans are those under W, scatters those of all features: a direction that W leaves out can come back.
        unit = unit_ridge(S_b, S_w, scale, axes)
        W, values[i] = canonical_variates(S_b, S_w, n_comps, ridge, unit)
        embedded = points @ W.T
    return Variates(unit.lift(W), values)


def shared_scatter(start: Start, pairs: Integers, weights: Floats) -> Floats:
    """Return the (d, d) weighted scatter along the Euclidean plans of some pairs; see `scatter`."""
    number = start.place[pairs[:, 0], pairs[:, 1]]
    if (number < 0).any():
        raise ValueError("A pair of samples was not solved at the start that refits share.")
    # Pairs that this refit does not weigh stay at 0, and their plans are skipped.
    by_pair = np.zeros(len(start.plans.pairs))
    by_pair[number] = weights
    return _scatter_of(start.points, [(start.plans, by_pair)])


def scatter(points: Floats, transport: Transport, pairs: Integers, weights: Floats) -> Floats:
    r"""Return the (d, d) weighted sum of :math:`T_{ij} (x_i - x_j)(x_i - x_j)^T` over the pairs just solved.

    It equals :math:`X^T (D - A - A^T) X` with the sparse flow matrix A (cells x cells) and its degrees D, so nothing
    of size n x m x d arises; A is taken a few pairs at a time. Centred points keep the difference accurate.
    """
    parts = (slice(start, start + PAIRS) for start in range(0, len(pairs), PAIRS))
    return _scatter_of(points, ((transport.plans(part), weights[part]) for part in parts if weights[part].any()))


def _scatter_of(points: Floats, parts: Iterable[tuple[Plans, Floats]]) -> Floats:
    n, d = points.shape
    A: Any = None
    for plans, weights in parts:
        flow = plans.mass * weights[plans.owner]
        used = flow > 0  # entries of pairs that do not count here
        part = csr_array((flow[used], (plans.source[used], plans.target[used])), shape=(n, n))
        A = part if A is None else A + part
    if A is None:
        return np.zeros((d, d))
    degrees = A.sum(axis=0) + A.sum(axis=1)
    half = np.zeros((d, d))
    for rows in blocks(points):  # beside the cells nothing of their size is held
        half += points[rows].T @ (points[rows] * (degrees[rows, None] / 2) - A[rows] @ points)
    out: Floats = half + half.T  # D is symmetric: one product serves both halves
    # What is left of equal points is the rounding of the subtraction.
    total = float(degrees @ np.einsum("ij,ij->i", points, points))
    return out if np.trace(out) > ROUNDING * total else np.zeros_like(out)


@dataclass(frozen=True)
class Ridge:
    """The ridge R (m, m) of size 1 on the axes that the cells were projected onto.

    Parameters
    ----------
    matrix
        R.
    axes
        (m, d) the axes, None for the features themselves.
    features
        (d,) the ridge of each feature; None where it is the same in all directions.
    """

    matrix: Floats
    axes: Floats | None
    features: Floats | None

    def lift(self, rows: Floats) -> Floats:
        """Return rows (k, m) on the axes as rows (k, d) on the features."""
        if self.axes is None:
            return rows
        if self.features is None:
            return rows @ self.axes
        # Of all v with the same products with the axes the one with the smallest v' R v.
        return (rows @ self.matrix) @ (self.axes / self.features)


def unit_ridge(between: Floats, within: Floats, scale: RidgeScale, axes: Floats | None = None) -> Ridge:
    """Return the ridge that is as large as the within-class variance, on average or of each feature."""
    m = len(within)
    d = m if axes is None else axes.shape[1]
    # Classes without any spread inside (one sample each, or copies) leave the scale of the ridge to the other scatter.
    measure = within if np.trace(within) > 0 else between
    mean = np.trace(measure) / d
    if mean <= 0:
        raise ValueError("All samples of the cohort are the same point cloud: there is no difference to learn from.")
    if scale == "mean":
        return Ridge(mean * np.eye(m), axes, None)
    spread = np.diag(measure) if axes is None else np.einsum("if,if->f", axes, measure @ axes)
    # a feature that is constant within classes still gets a sliver of the mean, so that the problem stays regular
    own = np.maximum(spread, ROUNDING * mean)
    if axes is None:
        return Ridge(np.diag(own), None, own)
    # What is outside of the axes is free to lower v' R v, see `lift`.
    scaled = axes / np.sqrt(own)
    inverse = np.linalg.inv(scaled @ scaled.T)
    return Ridge((inverse + inverse.T) / 2, axes, own)


def canonical_variates(
    between: Floats, within: Floats, n_comps: int, ridge: float, scale: RidgeScale | Ridge = "mean"
) -> tuple[Floats, Floats]:
    """Solve between v = lambda (within + r R) v: the top rows (k, m), scaled by sqrt(lambda - 1), and lambda (k,)."""
    m = len(between)
    unit = unit_ridge(between, within, scale) if isinstance(scale, str) else scale
    # Without a ridge a direction in which samples of one class happen not to differ would have any ratio it likes.
    values, vectors = _leading_pencil(between, within + ridge * unit.matrix, min(n_comps, m))
    excess = np.where(values > ROUNDING * values[0], np.maximum(values - 1.0, FAINT * values[0]), 0.0)
    rows: Floats = (vectors * np.sqrt(excess)).T
    # More components than features: W keeps the shape that was asked for, its last rows are 0.
    missing = n_comps - len(rows)
    return np.pad(rows, ((0, missing), (0, 0))), np.pad(np.maximum(values, 0.0), (0, missing))


def _leading_pencil(A: Floats, B: Floats, k: int) -> tuple[Floats, Floats]:
    """Return the k largest lambda of A v = lambda B v, falling, and their vectors (m, k) with v' B v = 1."""
    # To B = L L', L^-1 A L^-T has the same eigenvalues. O(m^3), hence `max_features`.
    L = cholesky(B, lower=True)
    half = solve_triangular(L, A, lower=True)
    C = solve_triangular(L, half.T, lower=True)
    vectors = leading_eigenvectors((C + C.T) / 2, len(A), k).T
    values = np.einsum("ij,ij->j", vectors, C @ vectors)
    order = np.argsort(values)[::-1]
    return values[order], solve_triangular(L, vectors[:, order], lower=True, trans="T")
