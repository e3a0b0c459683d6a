"""Transport between Gaussians in closed form: of each sample its mean and its covariance count, and nothing else."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.threads import in_threads, one_blas_thread
from scggml._core.transport.plans import GroundCost, Plan, Plans, Transport, ground_cost
from scggml._core.transport.problem import as_problem
from scggml._core.transport.solver import LAWS, Solver, Traits, gather

ROUNDING = 1e-10
"""Share of the largest singular value below which others are rounding."""

ENTRIES = 2**21
"""Numbers in the matrices of pairs that a thread holds at a time."""

CLOSE = 1e-6
"""Squared distances below this share of the variances are sums of squares, of which no digit cancels."""

COSTS = ("euclidean", "sqeuclidean")
"""Ground costs under which Gaussians have a closed form: the 2-Wasserstein distance, and its square."""


@dataclass(frozen=True)
class Bures(Solver):
    r"""Squared 2-Wasserstein distance between the Gaussians with the moments of two samples; with its root, a metric.

    .. math:: \|m_p - m_q\|^2 + \operatorname{tr}\left(S_p + S_q - 2 (S_p^{1/2} S_q S_p^{1/2})^{1/2}\right)

    A Gaussian is kept as weighted points with its moments, :math:`S_p = X_p^T X_p` with :math:`X_p` (n, k) the centered
    points times the roots of their weights. Then the last term is the nuclear norm of :math:`X_p X_q^T = U \Sigma V^T`,
    and :math:`X_p^T R X_q` with :math:`R = U V^T` is the covariance between both samples under the optimal map. So
    :math:`\pi = a b^T + a^{1/2} R\, b^{1/2}` couples the points (some entries are negative) with the marginals a and
    b: its cost is the distance, and gradients and scatters follow from it as from any plan.

    References
    ----------
    Dowson and Landau, *The Fréchet distance between multivariate normal distributions*, Journal of Multivariate
    Analysis 1982; Bhatia, Jain and Lim, *On the Bures-Wasserstein distance between positive definite matrices*,
    Expositiones Mathematicae 2019.
    """

    traits: ClassVar[Traits] = Traits(
        value="2-Wasserstein distance between two Gaussians",
        gradient="the distance",
        coupling="optimal",
        laws=frozenset(LAWS)
        - {
            "positive_between_different_samples",
            "of_one_cell_the_cost_itself",
            "optimal_assignment",
            "not_below_exact",
        },
    )

    def solve(self, a: ArrayLike, b: ArrayLike, cost: ArrayLike) -> Plan:
        """Couple weights `a` (n,) and `b` (m,), each of sum 1, whose squared distances are `cost` (n, m)."""
        first, second, C = as_problem(a, b, cost)
        gram = -(C - (C @ second)[:, None] - first @ C + first @ C @ second) / 2
        u, v = np.sqrt(first), np.sqrt(second)
        left, strengths, right = np.linalg.svd(u[:, None] * gram * v)
        kept = np.flatnonzero(strengths > ROUNDING * max(strengths[0], float(first @ C @ second)))
        coupling = np.outer(first, second) + u[:, None] * (left[:, kept] @ right[kept]) * v
        source, target = (places.ravel().astype(np.int32) for places in np.indices(coupling.shape))
        return Plan(max(float((coupling * C).sum()), 0.0), source, target, coupling.ravel(), optimal=True)

    def solve_pair(self, cohort: Cohort, points: Points, p: int, q: int, cost: GroundCost) -> Plan:
        """Couple two samples of a cohort."""
        check_closed_form(cost)
        a, b = (slice(cohort.offsets[s], cohort.offsets[s + 1]) for s in (p, q))
        plan = self.solve(cohort.weights[a], cohort.weights[b], ground_cost(points[a], points[b], "sqeuclidean"))
        value = plan.cost if cost == "sqeuclidean" else float(np.sqrt(plan.cost))
        return Plan(value, plan.source, plan.target, plan.mass, optimal=True)

    def distances(
        self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return (n_pairs,) distances, or their squares, all of them optimal."""
        return Moments(cohort, n_jobs=1).solve(points, pairs, cost), np.ones(len(pairs), dtype=np.bool_)

    def transport(self, cohort: Cohort, *, n_jobs: int | None = None) -> Transport:
        """Return transport within a cohort, on `n_jobs` threads."""
        return Moments(cohort, n_jobs=n_jobs)


def check_closed_form(cost: object, summary: str = "Gaussian()", *, called: str | None = None) -> None:
    """Raise unless Gaussians have a closed form under a ground cost, which messages may call otherwise."""
    if cost not in COSTS:
        raise ValueError(
            f"summary={summary} has a closed form under {' and '.join(map(repr, COSTS))} alone, not under "
            f"{called or repr(cost)}. Pass one of these, or summary=None (all cells)."
        )


class Moments:
    """Transport within one cohort of Gaussians; what samples have alone is computed once per solve."""

    def __init__(self, cohort: Cohort, *, n_jobs: int | None) -> None:
        self._cohort, self._n_jobs = cohort, n_jobs

    def solve(self, points: Points, pairs: Integers, cost: GroundCost) -> Floats:
        """Return (n_pairs,) 2-Wasserstein distances, squared if the cost is, and remember the optimal maps."""
        check_closed_form(cost)
        self.place(points, np.unique(pairs))
        return self.map(pairs, cost)

    def map(self, pairs: Integers, cost: GroundCost) -> Floats:
        """Do the same for samples that are in their places."""
        self._pairs, self._cost, r = pairs, cost, self._roots.shape[1]
        with one_blas_thread():
            solved = list(in_threads(self._solve_chunk, self._chunks(pairs), self._n_jobs))
        self._maps = np.concatenate([maps for maps, _ in solved] or [np.empty((0, r, r))])
        squares: Floats = np.concatenate([values for _, values in solved] or [np.empty(0)])
        self._values = squares if cost == "sqeuclidean" else np.sqrt(squares)
        return self._values

    def squares(self, pairs: Integers) -> Floats:
        """Return (n_pairs,) squared distances between samples in their places, and remember no maps."""
        with one_blas_thread():
            return np.concatenate([*in_threads(self._squares_of, self._chunks(pairs), self._n_jobs), np.empty(0)])

    @property
    def numbers(self) -> int:
        """Number of entries of the map of a pair."""
        return max(1, self._roots.shape[1] ** 2)

    def _chunks(self, pairs: Integers) -> list[Integers]:
        r = self._roots.shape[1]
        step = max(1, ENTRIES // max(1, r * max(r, self._points.shape[1])))
        return [pairs[start : start + step] for start in range(0, len(pairs), step)]

    def place(self, points: Points, used: Integers) -> None:
        """Put some samples where their points are now."""
        self._points = np.asarray(points, dtype=np.float64)
        with one_blas_thread():
            self._factor(used)

    def _factor(self, used: Integers) -> None:
        """Split the points of each of these samples: X_p = U_p B_p, with U_p (n, r) orthonormal, B_p (r, k)."""
        cohort = self._cohort
        P, k = cohort.n_samples, self._points.shape[1]
        r = int(min(k, cohort.sizes[used].max(initial=1)))
        self._means, self._roots = np.zeros((P, k)), np.zeros((P, r, k))
        self._axes = np.zeros((len(cohort.points), r))
        for p, own in zip(used, cohort.spans(used), strict=True):
            weights = cohort.weights[own]
            self._means[p] = weights @ self._points[own]
            X = np.sqrt(weights)[:, None] * (self._points[own] - self._means[p])
            left, strengths, right = np.linalg.svd(X, full_matrices=False)
            # An axis without extent could be any, also one along the weights, which would change the marginals.
            m = int((strengths > ROUNDING * np.linalg.norm(X)).sum()) if strengths[0] > 0 else 0
            self._axes[own, :m], self._roots[p, :m] = left[:, :m], strengths[:m, None] * right[:m]

    def _solve_chunk(self, pairs: Integers) -> tuple[Floats, Floats]:
        """Return the maps (n, r, r) of some pairs, and their squared distances (n,)."""
        first, second = self._roots[pairs[:, 0]], self._roots[pairs[:, 1]]
        left, _, right = np.linalg.svd(first @ second.transpose(0, 2, 1))
        apart = self._means[pairs[:, 0]] - self._means[pairs[:, 1]]
        # As a sum of squares nothing cancels: a sample has distance 0 to a copy of it.
        rest = left.transpose(0, 2, 1) @ first - right @ second
        return left @ right, (apart**2).sum(axis=1) + (rest**2).sum(axis=(1, 2))

    def _squares_of(self, pairs: Integers) -> Floats:
        """Return the squared distances (n,) of some pairs by singular values alone, three times as fast."""
        first, second = self._roots[pairs[:, 0]], self._roots[pairs[:, 1]]
        apart = ((self._means[pairs[:, 0]] - self._means[pairs[:, 1]]) ** 2).sum(axis=1)
        spread = (first**2).sum(axis=(1, 2)) + (second**2).sum(axis=(1, 2))
        shared = np.linalg.svd(first @ second.transpose(0, 2, 1), compute_uv=False).sum(axis=1)
        out: Floats = apart + spread - 2 * shared
        close = np.flatnonzero(out <= CLOSE * spread)  # where digits have cancelled
        if len(close):
            out[close] = self._solve_chunk(pairs[close])[1]
        return out

    def gradient(self, slopes: Floats) -> Floats:
        """Return dL/dpoints (n_cells, k) of the last `solve`, given dL/dcost of its pairs (n_pairs,)."""
        if self._cost == "euclidean":  # of the root; a distance of 0 adds nothing
            slopes = np.divide(slopes, 2 * self._values, out=np.zeros(len(slopes)), where=self._values > 0)
        p, q = self._pairs.T
        total, others, pull = np.zeros(len(self._means)), np.zeros_like(self._means), np.zeros_like(self._roots)
        for own, other, maps in ((p, q, self._maps), (q, p, self._maps.transpose(0, 2, 1))):
            np.add.at(total, own, slopes)
            np.add.at(others, own, slopes[:, None] * self._means[other])
            for e in np.flatnonzero(slopes):
                pull[own[e]] += slopes[e] * (maps[e] @ self._roots[other[e]])
        out = np.zeros_like(self._points)
        for s in np.unique(self._pairs):
            own = self._cohort.spans(np.array([s]))[0]
            a = self._cohort.weights[own, None]
            out[own] = 2 * a * (total[s] * self._points[own] - others[s]) - 2 * np.sqrt(a) * (self._axes[own] @ pull[s])
        return out

    def plans(self, part: slice = slice(None)) -> Plans:
        """Return plans of the last `solve`, or of some of its pairs; all entries of each, some of them negative."""
        found = list[Plan]()
        for e in np.arange(len(self._pairs))[part]:
            mass = self.coupling(int(e))
            source, target = (places.ravel().astype(np.int32) for places in np.indices(mass.shape))
            found.append(Plan(float(self._values[e]), source, target, mass.ravel(), optimal=True))
        return gather(self._cohort, self._pairs[part], found)

    def coupling(self, e: int) -> Floats:
        """Return the coupling (n, m) of the points of a pair."""
        a, b = self._cohort.spans(self._pairs[e])
        first, second = self._cohort.weights[a], self._cohort.weights[b]
        rotation = self._axes[a] @ self._maps[e] @ self._axes[b].T
        return np.outer(first, second) + np.sqrt(first)[:, None] * rotation * np.sqrt(second)

    def scatter(self, points: Floats, weights: Floats) -> Floats:
        """Return (d, d), the sum over the pairs of weights (n_pairs,) times the scatter of `points` (n_cells, d).

        It is that along the plans, by moments: of each pair the second moment of x - y under its coupling.
        """
        cohort, (p, q) = self._cohort, self._pairs.T
        total = np.zeros(cohort.n_samples)
        np.add.at(total, p, weights)
        np.add.at(total, q, weights)
        means = np.add.reduceat(cohort.weights[:, None] * points, cohort.offsets[:-1], axis=0)
        rows = points - np.repeat(means, cohort.sizes, axis=0)
        inside = rows.T @ ((np.repeat(total, cohort.sizes) * cohort.weights)[:, None] * rows)
        shared = np.zeros_like(inside)
        scaled = np.sqrt(cohort.weights)[:, None] * rows
        parts = {s: self._axes[own].T @ scaled[own] for s, own in zip(*self._spans(), strict=True)}
        for s in np.unique(p):
            mine = np.flatnonzero((p == s) & (weights != 0))
            if len(mine):
                shared += parts[s].T @ sum(weights[e] * (self._maps[e] @ parts[q[e]]) for e in mine)
        apart = means[p] - means[q]
        out: Floats = inside - shared - shared.T + apart.T @ (weights[:, None] * apart)
        return (out + out.T) / 2

    def each(self, points: Floats) -> Floats:
        """Return (n_pairs, d, d), the scatter of `points` (n_cells, d) along the plan of each pair."""
        d = points.shape[1]
        out = np.empty((len(self._pairs), d, d))
        means, inside, parts = dict[int, Floats](), dict[int, Floats](), dict[int, Floats]()
        for s, own in zip(*self._spans(), strict=True):
            weights = self._cohort.weights[own]
            means[s] = weights @ points[own]
            rows = np.sqrt(weights)[:, None] * (points[own] - means[s])
            inside[s], parts[s] = rows.T @ rows, self._axes[own].T @ rows
        for e, (p, q) in enumerate(self._pairs):
            shared = parts[p].T @ (self._maps[e] @ parts[q])
            out[e] = inside[p] + inside[q] - shared - shared.T + np.outer(means[p] - means[q], means[p] - means[q])
        return out

    def _spans(self) -> tuple[Integers, list[slice]]:
        """Return the samples that are in a pair, and their rows."""
        used = np.unique(self._pairs)
        return used, self._cohort.spans(used)

    def fork(self, n_jobs: int | None) -> "Moments":
        """Return a transport of the same cohort."""
        return Moments(self._cohort, n_jobs=n_jobs)
