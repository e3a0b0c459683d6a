"""Problems of optimal transport and their solutions."""

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from scggml._core.cohort import Floats, Integers, Points

GroundCost = Literal["euclidean", "sqeuclidean", "cosine", "cityblock", "chebyshev"]
GROUND_COSTS: tuple[GroundCost, ...] = get_args(GroundCost)


@dataclass(frozen=True)
class Plan:
    """Sparse coupling of two samples of n and m cells; `mass[e]` goes from cell `source[e]` to cell `target[e]`."""

    cost: float
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    mass: Floats
    optimal: bool


@dataclass(frozen=True)
class Plans:
    """Plans of many pairs, entry by entry; `source` and `target` are rows of the cohort.

    Parameters
    ----------
    pairs
        (n_pairs, 2) samples.
    values
        (n_pairs,) optimal transport cost of each pair.
    source, target, mass, owner
        (n_entries,) cells, mass moved between them, and the pair that the entry belongs to.
    """

    pairs: Integers
    values: Floats
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    mass: Floats
    owner: NDArray[np.int32]


def without_entries(pairs: Integers, values: Floats) -> Plans:
    """Return the distances of pairs alone."""
    nothing = np.empty(0, dtype=np.int32)
    return Plans(pairs, values, nothing, nothing, np.empty(0), nothing)


class Transport(Protocol):
    """Transport within one cohort, again and again while its cells move."""

    def solve(self, points: Points, pairs: Integers, cost: GroundCost) -> Floats:
        """Return (n_pairs,) costs of different pairs (n_pairs, 2), the cells being at `points` (n_cells, k)."""
        ...

    def gradient(self, slopes: Floats) -> Floats:
        """Return dL/dpoints (n_cells, k) of the last `solve`, given dL/dcost of its pairs (n_pairs,)."""
        ...

    def plans(self, part: slice = slice(None)) -> Plans:
        """Return plans of the last `solve`, or of some of its pairs."""
        ...

    def fork(self, n_jobs: int | None) -> "Transport":
        """Return a transport of the same cohort that goes on from here, and leaves this one as it is."""
        ...


def check_differentiable(cost: GroundCost) -> None:
    """Raise unless gradients by the cells are known for a ground cost."""
    if cost not in ("euclidean", "sqeuclidean"):
        raise ValueError(f"The ground cost {cost!r} has no gradient here; choose from 'euclidean' and 'sqeuclidean'.")


def ground_cost(x: Points, y: Points, metric: GroundCost) -> Floats:
    """Return (n, m) cost of moving each point of `x` (n, d) to each point of `y` (m, d).

    The cosine distance to the origin, which has no direction, is 1 (0 from the origin itself).
    """
    cost: Floats = cdist(x, y, metric)
    if metric != "cosine":
        return cost
    origin = ~np.logical_or.outer(x.any(axis=1), y.any(axis=1))
    return np.where(origin, 0.0, np.maximum(np.nan_to_num(cost, nan=1.0), 0.0))
