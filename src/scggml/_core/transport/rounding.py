"""Sparse plans out of dense ones, with exact marginals."""

import numpy as np
from numpy.typing import NDArray

from scggml._core.cohort import Floats

DROP = 1e-4
"""Share of the mass of either cell below which an entry of a plan is dropped."""

ROUNDS = 3
"""How often rows and columns of the entries that are left are scaled to their masses."""

Entries = tuple[NDArray[np.int32], NDArray[np.int32], Floats]


def sparse_plan(plan: Floats, a: Floats, b: Floats) -> Entries:
    """Return source, target and mass of the entries of a plan with the marginals a (n,) and b (m,), of one sum.

    Faint entries are dropped, the others scaled. As in the rounding of Altschuler, Weed and Rigollet (2017) no cell
    then gives or gets too much; what is missing goes from the cells that have it to those that lack it, in their order,
    with at most n + m - 1 entries (where the rounding of the paper fills the whole matrix).
    """
    n, m = plan.shape
    source, target = np.nonzero(plan > DROP * np.minimum(a[:, None], b))
    mass = plan[source, target]
    for _ in range(ROUNDS):
        mass *= _ratio(a, _sums(source, mass, n))[source]
        mass *= _ratio(b, _sums(target, mass, m))[target]
    mass *= np.minimum(_ratio(a, _sums(source, mass, n)), 1.0)[source]
    mass *= np.minimum(_ratio(b, _sums(target, mass, m)), 1.0)[target]
    left = np.maximum(a - _sums(source, mass, n), 0.0)
    right = np.maximum(b - _sums(target, mass, m), 0.0)
    rows, columns, extra = _in_order(left, right)
    # A pair of cells may be in both parts; entries of a plan are different.
    both, place = np.unique(np.concatenate([source * m + target, rows * m + columns]), return_inverse=True)
    total = _sums(place.ravel(), np.concatenate([mass, extra]), len(both))
    return (both // m).astype(np.int32), (both % m).astype(np.int32), total


def _sums(owner: NDArray[np.signedinteger], mass: Floats, n: int) -> Floats:
    """Return (n,) sums of masses by owner."""
    return np.bincount(owner, mass, n).astype(np.float64, copy=False)


def _ratio(wanted: Floats, found: Floats) -> Floats:
    """Return by what to multiply, 1 where there is nothing."""
    return np.divide(wanted, found, out=np.ones_like(wanted), where=found > 0)


def _in_order(left: Floats, right: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return the coupling of two masses that keeps the order of their cells (the northwest corner rule)."""
    total = min(float(left.sum()), float(right.sum()))
    if total <= 0:
        none = np.empty(0, dtype=np.int64)
        return none, none, np.empty(0)
    ends = [np.minimum(np.cumsum(part), total) for part in (left, right)]
    cuts = np.unique(np.concatenate([[0.0], *ends]))
    middle = (cuts[:-1] + cuts[1:]) / 2
    # Rounding may leave a sliver beyond the end of the shorter one, which goes to its last cell that has mass.
    rows, columns = (
        np.minimum(np.searchsorted(end, middle), np.flatnonzero(part)[-1])
        for end, part in zip(ends, (left, right), strict=True)
    )
    return rows, columns, np.diff(cuts)
