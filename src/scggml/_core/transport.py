"""Solvers of optimal transport between two samples, and the ground costs that they work on."""

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import ot
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from scggml._core.cohort import Floats, Points

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


class Solver(Protocol):
    """What every solver answers: the coupling of two weighted samples under a ground cost."""

    def solve(self, a: Floats, b: Floats, cost: Floats) -> Plan:
        """Couple weights `a` (n,) and `b` (m,) under `cost` (n, m)."""
        ...


@dataclass(frozen=True)
class Exact:
    r"""Exact optimal transport by the network simplex of POT.

    Solves :math:`\min_T \sum_{ij} T_{ij} C_{ij}` subject to :math:`T 1 = a,\ T^T 1 = b,\ T \ge 0`. The plan is a
    vertex of the feasible set, so it has at most n + m - 1 non-zero entries.

    Parameters
    ----------
    max_iter
        Limit of pivots per pair. A pair that reaches it is reported by a warning that names its two samples.

    Examples
    --------
    >>> import numpy as np
    >>> import scggml as sg
    >>> solver = sg.tl.Exact()
    >>> plan = solver.solve(np.array([0.5, 0.5]), np.array([1.0]), np.array([[1.0], [3.0]]))
    >>> plan.cost
    2.0

    References
    ----------
    Bonneel et al., *Displacement interpolation using Lagrangian mass transport*, SIGGRAPH Asia 2011; Flamary et al.,
    *POT: Python Optimal Transport*, JMLR 2021.
    """

    max_iter: int = 10_000_000

    def __post_init__(self) -> None:
        if self.max_iter < 1:
            raise ValueError(
                f"Exact(max_iter={self.max_iter!r}): at least one pivot is needed; the default is 10_000_000."
            )

    def solve(self, a: Floats, b: Floats, cost: Floats) -> Plan:
        """Couple weights `a` (n,) and `b` (m,), each of sum 1, under `cost` (n, m)."""
        # POT compares reduced costs with absolute tolerances: bring the largest cost to 1.
        unit = float(cost.max()) or 1.0
        coupling, log = ot.emd(
            a, b, cost / unit, numItermax=self.max_iter, log=True, center_dual=False, check_marginals=False
        )
        source, target = np.nonzero(coupling)
        return Plan(
            cost=float(log["cost"]) * unit,
            source=source.astype(np.int32),
            target=target.astype(np.int32),
            mass=coupling[source, target],
            optimal=log["warning"] is None,
        )


SolverName = Literal["exact"]


def as_solver(solver: SolverName | Solver) -> Solver:
    """Solver of that name with its default options, or the solver itself."""
    if isinstance(solver, str):
        if solver not in get_args(SolverName):
            raise ValueError(f"solver={solver!r} is not known; choose from {get_args(SolverName)} or pass an Exact().")
        return Exact()
    if not isinstance(solver, Exact):
        raise TypeError(f"solver is a {type(solver).__name__}; pass a name of {get_args(SolverName)} or an Exact().")
    return solver


def ground_cost(x: Points, y: Points, metric: GroundCost) -> Floats:
    """(n, m) cost of moving each point of `x` (n, d) to each point of `y` (m, d).

    The cosine distance to the origin, which has no direction, is 1.
    """
    cost: Floats = cdist(x, y, metric)
    return np.maximum(np.nan_to_num(cost, nan=1.0), 0.0) if metric == "cosine" else cost
