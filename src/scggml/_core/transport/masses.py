"""Input of the kernels of optimal transport: rows of a cohort, whole masses, and cells at a good scale."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scggml._core.cohort import Cohort, Floats, Integers, Points

TOTAL = 2**60
"""Whole mass of a sample whose cells have different weights: one of 1e-9 is rounded by a billionth of itself."""


@dataclass(frozen=True)
class Clouds:
    """Samples as the kernels want them; cells without weight are left out.

    Parameters
    ----------
    offsets
        (P + 1,) where each sample begins.
    units
        (N,) whole mass of each cell, with sum `TOTAL` in each sample.
    uniform
        (P,) whether the cells of a sample weigh the same: pairs of such samples take the smallest whole masses instead.
    kept
        Rows of the cohort that have weight; None for all.
    """

    offsets: Integers
    units: Integers
    uniform: NDArray[np.bool_]
    kept: Integers | None

    def rows(self, points: Points) -> Points:
        """Return the rows of the cells that have weight."""
        return points if self.kept is None else points[self.kept]

    def shares(self, pairs: Integers) -> Integers:
        """Return (n_pairs, 2) smallest whole mass of either's cells where all cells of both weigh the same; else 0."""
        if not self.uniform.any():
            return np.zeros((len(pairs), 2), dtype=np.int64)
        n, m = np.diff(self.offsets)[pairs].T
        divisor = np.gcd(n, m)
        both = self.uniform[pairs].all(axis=1)
        return np.where(both, [m // divisor, n // divisor], 0).T.copy()


def clouds_of(cohort: Cohort) -> Clouds:
    """Return rows and masses of a cohort."""
    weights, offsets, kept = cohort.weights, cohort.offsets, None
    if not weights.all():
        kept = np.flatnonzero(weights)
        offsets = np.searchsorted(kept, offsets).astype(np.int64)
        weights = weights[kept]
    samples = [weights[start:stop] for start, stop in pairwise(offsets)]
    # Equal weights that come from divisions may differ in their last digits.
    uniform = np.array([own.max() - own.min() <= 4 * np.finfo(float).eps * own.max() for own in samples])
    if uniform.all():
        # Not read: all pairs take `shares`.
        units = np.ones(len(weights), dtype=np.int64)
    else:
        units = np.concatenate([whole_masses(own) for own in samples])
    return Clouds(offsets.astype(np.int64), units, uniform, kept)


def whole_masses(weights: Floats) -> Integers:
    """Return positive weights of sum 1 as whole numbers of sum `TOTAL`, none below 1; the largest takes the rest."""
    # A cell that is rounded to no mass would bring an arc without flow that leads away from the root. The rest from
    # rounding goes where it is the smallest share.
    units = np.maximum(np.rint(weights * (TOTAL / weights.sum())), 1).astype(np.int64)
    units[np.argmax(units)] += TOTAL - int(units.sum())
    return units


@dataclass(frozen=True)
class Scaled:
    """Cells at a scale that suits single precision: divided by a power of two, which changes no digit.

    Parameters
    ----------
    points
        (N, k) cells in double precision.
    singles, turned
        (N, k) the same in single precision, moved to the origin, and transposed, (k, N).
    unit
        A distance between `points` times `unit` is the one between the cells.
    reach
        (P,) largest norm, of the order asked for, of a row of `singles` in each sample.
    """

    points: Floats
    singles: NDArray[np.float32]
    turned: NDArray[np.float32]
    unit: float
    reach: Floats


def scaled(clouds: Clouds, points: Points, order: float) -> Scaled:
    """Scale the cells (n_cells, k) of a cohort, without those that have no weight."""
    cells = np.asarray(clouds.rows(points), dtype=np.float64)
    # Distances do not depend on the origin, but single precision has 7 digits: around the mean none of them is spent on
    # an offset that all cells share. In double precision the cells stay where they are, as moving them would round
    # them.
    moved = cells - cells.mean(axis=0)
    extent = float(np.abs(moved).max(initial=0.0))
    unit = float(2.0 ** np.ceil(np.log2(extent))) if extent > 0 else 1.0
    moved /= unit
    singles = moved.astype(np.float32)
    reach = np.maximum.reduceat(np.linalg.norm(moved, order, axis=1), clouds.offsets[:-1])
    return Scaled(np.ascontiguousarray(cells / unit), singles, np.ascontiguousarray(singles.T), unit, reach)


def directions(points: Points) -> Floats:
    """Return (N, d + 1) points whose squared distances are twice the cosine distances; the origin has its own axis.

    The cosine distance of the origin to all other points is 1, and to itself 0.
    """
    x = np.asarray(points, dtype=np.float64)
    # Scaled by the largest coordinate first, so that no square overflows or vanishes.
    x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(float).tiny)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    out: Floats = np.hstack([x / np.where(lengths > 0, lengths, 1.0), lengths == 0])
    return out
