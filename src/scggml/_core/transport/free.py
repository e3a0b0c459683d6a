"""Ground costs that no kernel knows: any function of two arrays of cells, and those of scipy by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from scipy.spatial.distance import cdist

from scggml._core.checks import as_real, usable
from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.transport.solver import Solver

SCIPY_NAMES = (
    "braycurtis", "canberra", "dice", "hamming", "jaccard", "jensenshannon", "minkowski", "rogerstanimoto",
    "russellrao", "sokalsneath", "yule",
)  # fmt: skip
"""Names of `scipy.spatial.distance.cdist` beyond those that kernels know.

`"mahalanobis"` and `"seuclidean"` are none: scipy reads their scales from the two arrays, so that each pair of samples
would have another metric.
"""

ROUNDING = 1e-9
"""Share of the largest cost up to which a function may be below 0, or differ from one direction to the other."""

TRIED = 50
"""Pairs from which the typical cost is read."""


@dataclass(frozen=True)
class FreeCost:
    """A cost between cells by a function from two arrays (n, d) and (m, d) to (n, m).

    Parameters
    ----------
    name
        What messages call it.
    function
        Finite costs of at least 0, the same in both directions.
    """

    name: str
    function: Callable[[Points, Points], Any]

    def between(self, x: Points, y: Points) -> Floats:
        """Return (n, m) costs, checked."""
        wanted = f"an array of shape ({len(x)}, {len(y)}), the cost from each cell of the first to each of the second"
        found: Floats = as_real(f"metric={self.name}: its result", self.function(x, y), wanted).astype(np.float64)
        if found.shape != (len(x), len(y)):
            raise ValueError(f"metric={self.name}: its result has shape {found.shape}; return {wanted}.")
        least = -ROUNDING * float(np.abs(found).max(initial=0.0))
        bad = ~usable(found) | (found < least)
        if bad.any():
            i, j = np.argwhere(bad)[0]
            raise ValueError(
                f"metric={self.name} gives {int(bad.sum())} costs that are negative, NaN or infinite; the first is "
                f"{found[i, j]:g}. A cost must be a finite number of at least 0: check the features (some metrics "
                "take no negative values), or pass another metric."
            )
        return np.maximum(found, 0.0)

    def check_symmetric(self, x: Points, y: Points) -> None:
        """Raise unless the costs of these cells are the same in both directions."""
        forth, back = self.between(x, y), self.between(y, x).T
        if not np.allclose(forth, back, rtol=ROUNDING, atol=ROUNDING * float(forth.max(initial=0.0))):
            raise ValueError(
                f"metric={self.name} is not the same in both directions, so that the distance of two samples would "
                "depend on their order; pass a symmetric one, such as the mean of f(x, y) and f(y, x).T."
            )


def scipy_cost(name: str) -> FreeCost:
    """Return a cost of scipy."""

    def function(x: Points, y: Points) -> Floats:
        out: Floats = cdist(x, y, name)
        return out

    return FreeCost(repr(name), function)


def check_solver(solver: Solver, cost: FreeCost) -> None:
    """Raise unless the solver takes matrices of costs."""
    if solver.traits.coupling == "cross":
        raise ValueError(
            f"solver={type(solver).__name__} needs cells at places, and metric={cost.name} gives costs between two "
            "samples only; pass solver='exact', 'sinkhorn' or 'unbalanced', or a fixed metric such as 'euclidean'."
        )


def at_free_scale(solver: Solver, cohort: Cohort, points: Points, pairs: Integers, cost: FreeCost) -> Solver:
    """Return the solver with the median of the mean costs of some pairs as its unit, where it has one to be found."""
    check_solver(solver, cost)
    if len(pairs):
        p, q = pairs[0]
        cost.check_symmetric(*_cells(cohort, points, p, q))
    if getattr(solver, "unit", 0.0) is not None:
        return solver
    some = pairs[np.unique(np.linspace(0, len(pairs) - 1, min(TRIED, len(pairs))).astype(np.int64))]
    means = [
        float(_weights(cohort, p) @ cost.between(*_cells(cohort, points, p, q)) @ _weights(cohort, q)) for p, q in some
    ]
    unit = float(np.median(means)) if means else 1.0
    scaled: Any = replace(cast("Any", solver), unit=unit or 1.0)
    return cast("Solver", scaled)


def free_measured(solver: Solver, cohort: Cohort, pairs: Integers, cost: FreeCost) -> tuple[Floats, Floats]:
    """Return (n_pairs,) transport costs, and 0 or infinity where a plan may not be what the solver promises."""
    plans = [
        solver.solve(_weights(cohort, p), _weights(cohort, q), cost.between(*_cells(cohort, cohort.points, p, q)))
        for p, q in pairs
    ]
    values = np.array([plan.cost for plan in plans], dtype=np.float64)
    return values, np.where([plan.optimal for plan in plans], 0.0, np.inf)


def _cells(cohort: Cohort, points: Points, p: int, q: int) -> tuple[Points, Points]:
    first, second = (points[cohort.offsets[s] : cohort.offsets[s + 1]] for s in (p, q))
    return first, second


def _weights(cohort: Cohort, p: int) -> Floats:
    return cohort.weights[cohort.offsets[p] : cohort.offsets[p + 1]]
