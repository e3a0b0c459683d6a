"""The typical cost of a cohort, which the parameters of entropic solvers are relative to."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.transport.masses import directions
from scggml._core.transport.plans import GroundCost

NUMBERS = 2**22
"""Numbers of pairs times coordinates that are held at a time."""

Kind = Literal["euclidean", "sqeuclidean", "cityblock", "chebyshev"]


@dataclass(frozen=True)
class Relative:
    """Cells (n_cells, k) at which a cost of this kind, times `unit`, is the ground cost between them.

    A difference between cells is `scale` times as large as that of the cells that were given.
    """

    points: Floats
    kind: Kind
    unit: float
    scale: float


def typical_cost(cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost) -> float:
    r"""Return the median over the pairs of the cost of their root mean square difference.

    For samples p and q it is :math:`c(s)` with :math:`s_f^2 = \sum_{ij} a_i b_j (x_{if} - y_{jf})^2`: for the Euclidean
    cost the root mean square distance between cells of p and of q, some 2 to 10 % above the median one, and for the
    squared cost its mean. It takes means and variances only, so it depends neither on a subsample nor on the order of
    cells, and a cell split into two changes nothing.
    """
    x = directions(points) if cost == "cosine" else np.asarray(points, dtype=np.float64)
    if len(pairs) == 0 or x.shape[1] == 0:
        return 1.0
    starts = cohort.offsets[:-1]
    weights = cohort.weights[:, None]
    # around the mean of all cells, so that no digit is lost to an offset that they share
    x = x - x.mean(axis=0)
    means = np.add.reduceat(weights * x, starts, axis=0)
    spread = np.add.reduceat(weights * (x - np.repeat(means, cohort.sizes, axis=0)) ** 2, starts, axis=0)
    found, step = np.empty(len(pairs)), max(1, NUMBERS // x.shape[1])
    for part in (slice(start, start + step) for start in range(0, len(pairs), step)):
        p, q = pairs[part].T
        found[part] = _cost_of((means[p] - means[q]) ** 2 + spread[p] + spread[q], cost)
    return float(np.median(found)) or 1.0  # cells at one place cost nothing in any unit


def _cost_of(squares: Floats, cost: GroundCost) -> Floats:
    """Return (n_pairs,) cost of differences whose squares (n_pairs, k) are given."""
    if cost in ("sqeuclidean", "cosine"):
        out: Floats = squares.sum(axis=1) / (2 if cost == "cosine" else 1)
        return out
    if cost == "euclidean":
        return np.sqrt(squares.sum(axis=1))
    sides = np.sqrt(squares)
    return sides.sum(axis=1) if cost == "cityblock" else sides.max(axis=1)


def relative(points: Points, cost: GroundCost, unit: float) -> Relative:
    """Return cells whose costs are in that unit, around their mean."""
    x = directions(points) if cost == "cosine" else np.asarray(points, dtype=np.float64)
    x = x - x.mean(axis=0)
    if cost == "cosine":  # half of the squared distance between directions
        return _scaled(x, "sqeuclidean", unit, 1 / np.sqrt(2 * unit))
    return _scaled(x, cost, unit, 1 / (np.sqrt(unit) if cost == "sqeuclidean" else unit))


def _scaled(x: Floats, kind: Kind, unit: float, scale: float) -> Relative:
    return Relative(x * scale, kind, unit, float(scale))


def entry_costs(cells: Relative, source: NDArray[Any], target: NDArray[Any]) -> Floats:
    """Return (n_entries,) costs between some cells and others."""
    out, step = np.empty(len(source)), max(1, NUMBERS // max(1, cells.points.shape[1]))
    for part in (slice(start, start + step) for start in range(0, len(source), step)):
        out[part] = _cost_of((cells.points[source[part]] - cells.points[target[part]]) ** 2, cells.kind)
    return out
