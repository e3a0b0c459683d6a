"""Bounds of distances that move with the metric, and the pairs that they rule out."""

import numpy as np
from numpy.typing import NDArray

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.learn.loss import Anchors, near_and_far

ROUNDING = 1e-9
"""Share by which bounds are widened, so that rounding cannot make them wrong."""


class Bounds:
    """Lower and upper bounds of all transport costs of a cohort while its cells move.

    The cost (its root, if squared) is a Wasserstein distance of order 1 (2) and obeys the triangle inequality. Moving
    the cells of sample p by delta_i changes its distance to any other sample by no more than the distance between p
    before and after, which is at most what leaving each cell with itself costs: the weighted mean of |delta_i| (the
    root of the mean square). Moving all samples by one vector changes nothing, so the mean move is taken off first.
    These drifts add up from step to step.
    """

    def __init__(self, cohort: Cohort, *, squared: bool) -> None:
        n = cohort.n_samples
        self._weights, self._offsets, self._squared = cohort.weights, cohort.offsets, squared
        self._points: Floats | None = None
        self._drift = np.zeros(n)
        self._seen = np.full((n, n), -np.inf)  # drift of both samples when the pair was solved
        self._values = np.zeros((n, n))

    def at(self, points: Floats) -> tuple[Floats, Floats]:
        """Return bounds (P, P) of the costs with the cells at `points` (n_cells, k), and 0 on the diagonal."""
        if self._points is not None:
            moves = points - self._points
            # Any vector would do. The mean move takes off what all cells do together, so that bounds stay close.
            moves -= moves.mean(axis=0)
            lengths = np.einsum("ij,ij->i", moves, moves)
            if not self._squared:
                lengths = np.sqrt(lengths)
            # One path length per sample instead of the cells as they were when each of the P^2 pairs was solved. A path
            # may lead back, so bounds are wider than they could be, but they hold.
            drift = np.add.reduceat(self._weights * lengths, self._offsets[:-1])
            self._drift = self._drift + (np.sqrt(drift) if self._squared else drift)
        self._points = points
        # Infinite for pairs that were never solved: between 0 and infinity nothing is ruled out.
        slack = (self._drift[:, None] + self._drift - self._seen) * (1 + ROUNDING) + ROUNDING * self._values
        lower, upper = np.maximum(self._values - slack, 0.0), self._values + slack
        np.fill_diagonal(lower, 0.0)
        np.fill_diagonal(upper, 0.0)
        return (lower**2, upper**2) if self._squared else (lower, upper)

    def learn(self, pairs: Integers, values: Floats) -> None:
        """Note the costs of pairs (n_pairs, 2) with the cells where they were bounded last."""
        p, q = pairs.T
        # Only the root of the squared cost obeys the triangle inequality, so that drifts can be added to it.
        values = np.sqrt(np.maximum(values, 0.0)) if self._squared else values
        self._values[p, q] = self._values[q, p] = values
        self._seen[p, q] = self._seen[q, p] = self._drift[p] + self._drift[q]


def may_be_active(
    lower: Floats,
    upper: Floats,
    labels: Integers,
    margin: float,
    anchors: Anchors,
    *,
    batch: Integers | None = None,
) -> NDArray[np.bool_]:
    """Return (P, P) whether a pair can be in a triplet with D_ij + margin > D_jk, given bounds of all distances.

    A pair {j, k} of different classes cannot if D_jk is at least the largest D_ij + margin, and D_kj the largest
    D_ik + margin. A pair {i, j} of one class cannot if D_ij + margin is at most the least D_jk, and the least D_ik.
    """
    # A pair is seen from both of its samples as anchors, and must be ruled out from both.
    near, far = near_and_far(labels, anchors, batch)
    farthest = np.where(near, upper, -np.inf).max(axis=1) + margin
    nearest = np.where(far, lower, np.inf).min(axis=1)
    between = far & (lower < np.maximum(farthest[:, None], farthest))
    within = upper + margin > np.minimum(nearest[:, None], nearest)
    return np.where(labels[:, None] == labels, within, between)
