r"""Scatter of cells along optimal plans, and the plans under the Euclidean metric that refits share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from scggml._core.cohort import BLOCK, Cohort, Floats, Integers
from scggml._core.learn.spectrum import mean_cell, span
from scggml._core.threads import all_in_threads, one_blas_thread
from scggml._core.transport.bures import Moments
from scggml._core.transport.engine import engine_of
from scggml._core.transport.mixed import Mixtures
from scggml._core.transport.plans import Plans, Transport, without_entries
from scggml._core.transport.solver import Solver

PAIRS = 4096
"""Pairs whose plans are held at a time."""

ROUNDING = 1e-10
"""Share of the scatter of the cells below which scatter along the plans is rounding."""

BY_PAIR = 2**23
"""Numbers in the scatters of single pairs that refits keep (64 MB)."""


COLUMNS, PARTS = 256, 8
"""Fewest columns of a block of a matrix, and blocks up to which half of the products are spared."""

Nodes = NDArray[np.int32]


class Scatter:
    r"""The (d, d) weighted sum of :math:`T_{ij} (x_i - x_j)(x_i - x_j)^T`, as a matrix or by what it does to one.

    It equals :math:`X^T L X` with the Laplacian :math:`L = D - A - A^T` of the sparse flow A (cells x cells) with
    degrees D, so nothing of size n x m x d arises. Centred points keep the difference accurate.

    Parameters
    ----------
    points
        (n_cells, d) centred cells.
    flow
        A, the weighted mass from cell to cell.
    n_jobs
        Threads for the matrix, which is the same to the bit for any number.
    """

    def __init__(self, points: Floats, flow: coo_array, n_jobs: int | None = 1) -> None:
        self._points, self._n_jobs = points, n_jobs
        i, j = flow.coords
        self._degrees = np.bincount(i, flow.data, len(points)) + np.bincount(j, flow.data, len(points))
        n, own = len(points), np.arange(len(points), dtype=i.dtype)
        entries = np.concatenate([self._degrees, -flow.data, -flow.data])
        places = np.concatenate([own, i, j]), np.concatenate([own, j, i])
        self._laplacian = coo_array((entries, places), shape=(n, n)).tocsr()

    def __call__(self, v: Floats) -> Floats:
        """Return the scatter times v (d, m) in O(n d m)."""
        if not self._more_than_rounding:
            return np.zeros_like(v)
        out: Floats = self._points.T @ (self._laplacian @ (self._points @ v))
        return out

    @cached_property
    def matrix(self) -> Floats:
        """The scatter itself, in O(n d^2)."""
        n, d = self._points.shape
        out = np.empty((d, d))
        # It is symmetric: of each block of columns only the rows down to the diagonal are computed.
        step = min(max(1, BLOCK // n), max(COLUMNS, -(-d // PARTS)))
        starts = range(0, d, step)

        def fill(start: int) -> float:
            """Compute columns of the upper half, and copy them; return the trace that rounding is measured by."""
            columns, stop = slice(start, start + step), min(start + step, d)
            x = np.ascontiguousarray(self._points[:, columns])
            out[:stop, columns] = self._points[:, :stop].T @ (self._laplacian @ x)
            out[columns, :start] = out[:start, columns].T
            out[columns, columns] = (out[columns, columns] + out[columns, columns].T) / 2
            return float(np.einsum("i,ij,ij->", self._degrees, x, x))

        # Threads of a BLAS wait for each other at each block, these do not.
        if len(starts) > 1:
            with one_blas_thread():
                total = sum(all_in_threads(fill, starts[::-1], self._n_jobs))  # the longest columns first
        else:
            total = fill(0)
        # What is left of equal points is the rounding of the subtraction.
        return out if np.trace(out) > ROUNDING * total else np.zeros((d, d))

    @cached_property
    def _more_than_rounding(self) -> bool:
        """Return whether it is more than what is left of equal points, as far as one random direction tells."""
        y = self._points @ np.random.default_rng(0).standard_normal(self._points.shape[1])
        return float(y @ (self._laplacian @ y)) > ROUNDING * float(self._degrees @ y**2)


def as_matrix(scatter: Floats | Scatter) -> Floats:
    """Return a scatter as a matrix (d, d)."""
    return scatter.matrix if isinstance(scatter, Scatter) else scatter


def times(scatter: Floats | Scatter, v: Floats) -> Floats:
    """Return a scatter times v (d, m)."""
    return scatter(v) if isinstance(scatter, Scatter) else scatter @ v


def scatters(
    points: Floats, transport: Transport, pairs: Integers, kinds: Sequence[Floats], n_jobs: int | None = 1
) -> list[Floats] | list[Scatter]:
    """Return the scatter of the pairs just solved for each kind of weights (n_pairs,)."""
    if isinstance(transport, Moments | Mixtures):  # plans of Gaussians have entries everywhere
        return [transport.scatter(points, weights) for weights in kinds]
    parts = (slice(start, start + PAIRS) for start in range(0, len(pairs), PAIRS))
    found = ((transport.plans(part), [w[part] for w in kinds]) for part in parts)
    return _scatters_of(points, found, len(kinds), n_jobs)


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
        Plans of `pairs`, whose numbers stand in `place` (P, P); -1 for a pair that was not solved. Those of Gaussians,
        which have entries everywhere, are in `solved`.
    transport
        Where other metrics go on from; see `Transport.fork`.
    by_pair
        (n_pairs, d d) scatter along the plan of each pair, where refits are many and it is small.
    solved
        The transport between Gaussians that solved the pairs; None between points.
    moved
        (2, P, d) mean cell of each sample as the plans were computed and now, if whole samples were moved since.
    """

    points: Floats
    axes: Floats | None
    plans: Plans
    place: Integers
    transport: Transport
    exact: bool = True
    by_pair: Floats | None = None
    solved: Moments | Mixtures | None = None
    moved: Floats | None = None

    def for_many(self) -> "Start":
        """Return the start with the scatter of each pair, if these are small: many refits then sum few numbers."""
        n, d = len(self.plans.pairs), self.points.shape[1]
        if n * d * d > BY_PAIR:
            return self
        if self.solved is not None:
            return replace(self, by_pair=self.solved.each(self.points).reshape(n, d * d), solved=None)
        plans, out = self.plans, np.empty((n, d, d))
        edges = np.searchsorted(plans.owner, np.arange(n + 1))
        for e, own in enumerate(slice(*ends) for ends in pairwise(edges)):
            x, y, mass = self.points[plans.source[own]], self.points[plans.target[own]], plans.mass[own, None]
            out[e] = ((x - y) * mass).T @ (x - y)
            if np.trace(out[e]) <= ROUNDING * float((mass * (x**2 + y**2)).sum()):
                out[e] = 0.0
        return replace(self, by_pair=out.reshape(n, d * d))

    def move(self, cohort: Cohort, shifts: Floats) -> "Start":
        r"""Return the start with each sample of the cohort moved as a whole by its shift (P, n_features).

        Plans that are optimal for the squared metric stay so: in :math:`\|x + s - y - t\|^2` what is new depends on the
        means of both samples alone. The axes have to span the shifts as they span the cells.
        """
        shifts = shifts if self.axes is None else shifts @ self.axes.T
        means = np.add.reduceat(cohort.weights[:, None] * self.points, cohort.offsets[:-1], axis=0)
        points = self.points + np.repeat(shifts, cohort.sizes, axis=0)
        return replace(self, points=points, moved=np.stack([means, means + shifts]))

    def scatters(
        self, pairs: Integers, kinds: Sequence[Floats], n_jobs: int | None = 1
    ) -> list[Floats] | list[Scatter]:
        """Return the scatter along the plans of some pairs for each kind of weights (n_pairs,)."""
        number = self.place[pairs[:, 0], pairs[:, 1]]
        if (number < 0).any():
            raise ValueError("A pair of samples was not solved at the start that refits share.")
        # Pairs that this refit does not weigh stay at 0, and their plans are skipped.
        by_pair = np.zeros((len(kinds), len(self.plans.pairs)))
        by_pair[:, number] = kinds
        if self.by_pair is not None:
            d = self.points.shape[1]
            found = (by_pair @ self.by_pair).reshape(-1, d, d)
            if self.moved is not None:
                # Along any plan the mean difference is that of the means, so only its square has changed.
                before, now = self.moved[:, self.plans.pairs[:, 0]] - self.moved[:, self.plans.pairs[:, 1]]
                for kind, weights in enumerate(by_pair):
                    found[kind] += now.T @ (weights[:, None] * now) - before.T @ (weights[:, None] * before)
            return list(found)
        if self.solved is not None:
            return [self.solved.scatter(self.points, weights) for weights in by_pair]
        return _scatters_of(self.points, [(self.plans, list(by_pair))], len(kinds), n_jobs)


def centred(cohort: Cohort, max_features: int) -> tuple[Floats, Floats | None]:
    """Return cells less their mean (n_cells, m), and the orthonormal axes (m, d) that they were reduced to, if any.

    n cells less their mean span n - 1 dimensions at most. With more features than that the axes of this span lose
    nothing; beyond `max_features` principal axes of the cells take their place.
    """
    n, d = cohort.points.shape
    if d <= min(max_features, n):
        axes, points = None, cohort.points.astype(np.float64)
    else:
        axes, points = span(cohort, max_features)
    points -= mean_cell(cohort, points)  # in place: another copy could be the most that is ever held
    return points, axes


def euclidean_start(
    cohort: Cohort, pairs: Integers, *, solver: Solver, n_jobs: int | None = 1, max_features: int
) -> Start:
    """Solve the pairs of a cohort under the Euclidean metric of its features."""
    points, axes = centred(cohort, max_features)
    transport = engine_of(cohort, solver).transport(cohort, n_jobs=n_jobs)
    values = transport.solve(points, pairs, "sqeuclidean")
    # Refits look up some of the pairs, in any order.
    place = np.full((cohort.n_samples, cohort.n_samples), -1, dtype=np.int64)
    place[pairs[:, 0], pairs[:, 1]] = np.arange(len(pairs))
    exact = axes is None or len(cohort.points) <= max_features
    if isinstance(transport, Moments | Mixtures):
        found = Start(points, axes, without_entries(pairs, values), place, transport.fork(n_jobs), exact)
        return replace(found, solved=transport).for_many()
    # A fork has the trees that are kept alone, neither the others nor the plans.
    return Start(points, axes, transport.plans(), place, transport.fork(n_jobs), exact)


def _scatters_of(
    points: Floats, parts: Iterable[tuple[Plans, list[Floats]]], n_kinds: int, n_jobs: int | None
) -> list[Scatter]:
    """Return the scatter for each kind of weights (n_pairs,) of the plans, which come a few pairs at a time."""
    entries: list[list[tuple[Floats, Nodes, Nodes]]] = [[] for _ in range(n_kinds)]
    for plans, kinds in parts:
        for found, weights in zip(entries, kinds, strict=True):
            mass = plans.mass * weights[plans.owner]
            used = np.flatnonzero(mass)  # the others are of pairs that do not count here
            found.append((mass[used], plans.source[used], plans.target[used]))
    shape = (len(points), len(points))
    out = []
    for found in entries:
        mass, source, target = (np.concatenate(part) for part in zip(*found, strict=True))
        out.append(Scatter(points, coo_array((mass, (source, target)), shape=shape), n_jobs))
    return out
