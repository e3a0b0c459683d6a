"""Solvers of optimal transport between samples, and what they answer."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import ot
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from scggml._core.checks import check_number, check_whole
from scggml._core.cohort import Cohort, Floats, Integers, Points

GroundCost = Literal["euclidean", "sqeuclidean", "cosine", "cityblock", "chebyshev"]
GROUND_COSTS: tuple[GroundCost, ...] = get_args(GroundCost)
Backend = Literal["simplex", "pot"]


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


class Transport(Protocol):
    """Transport within one cohort, again and again while its cells move."""

    def solve(self, points: Points, pairs: Integers, cost: GroundCost) -> Floats:
        """(n_pairs,) costs of different pairs (n_pairs, 2) of samples, the cells being at `points` (n_cells, k)."""
        ...

    def gradient(self, slopes: Floats) -> Floats:
        """dL/dpoints (n_cells, k) of the last `solve`, given dL/dcost of its pairs (n_pairs,)."""
        ...

    def plans(self, part: slice = slice(None)) -> Plans:
        """Plans of the last `solve`, or of some of its pairs."""
        ...


class Solver(ABC):
    """What every solver answers; only `solve` depends on how it works, the rest can be done faster."""

    @abstractmethod
    def solve(self, a: Floats, b: Floats, cost: Floats) -> Plan:
        """Couple weights `a` (n,) and `b` (m,), each of sum 1, under `cost` (n, m)."""

    def distances(
        self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """(n_pairs,) costs of the pairs, and whether each is optimal: one piece of work for one thread or machine."""
        plans = [self.solve_pair(cohort, points, p, q, cost) for p, q in pairs]
        return (
            np.array([plan.cost for plan in plans], dtype=np.float64),
            np.array([plan.optimal for plan in plans], dtype=np.bool_),
        )

    def solve_pair(self, cohort: Cohort, points: Points, p: int, q: int, cost: GroundCost) -> Plan:
        """Couple two samples of a cohort."""
        a, b = (slice(cohort.offsets[s], cohort.offsets[s + 1]) for s in (p, q))
        return self.solve(cohort.weights[a], cohort.weights[b], ground_cost(points[a], points[b], cost))

    def transport(self, cohort: Cohort, *, n_jobs: int | None = None) -> Transport:
        """Transport within a cohort, on `n_jobs` threads."""
        from scggml._core.cold import Cold  # noqa: PLC0415 - it is built on this module

        return Cold(self, cohort, n_jobs=n_jobs)


@dataclass(frozen=True)
class Exact(Solver):
    r"""Exact optimal transport by the network simplex.

    Solves :math:`\min_T \sum_{ij} T_{ij} C_{ij}` subject to :math:`T 1 = a,\ T^T 1 = b,\ T \ge 0`. The plan is a
    vertex of the feasible set, so it has at most n + m - 1 non-zero entries. While a metric is learned, each pair goes
    on from the basis of its last solution.

    Parameters
    ----------
    max_iter
        Limit of pivots per pair. A pair that reaches it is an error with `"simplex"`, a warning with `"pot"`; both name
        its two samples.
    backend
        `"simplex"` is scggml's own, compiled at first use; `"pot"` that of POT, slower, without memory.
    cache_size
        Megabytes for the bases that are kept from step to step, about 2 bytes per cell and pair. Pairs that find no
        room start anew each time: slower, with the same result.

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
    Cunningham, *A network simplex method*, Mathematical Programming 1976; Bonneel et al., *Displacement interpolation
    using Lagrangian mass transport*, SIGGRAPH Asia 2011; Flamary et al., *POT: Python Optimal Transport*, JMLR 2021.
    """

    max_iter: int = 10_000_000
    backend: Backend = "simplex"
    cache_size: float = 512.0

    def __post_init__(self) -> None:
        if self.backend not in get_args(Backend):
            raise ValueError(f"Exact(backend={self.backend!r}) is not known; choose from {get_args(Backend)}.")
        check_whole("Exact: max_iter", self.max_iter, 1, " pivot; the default is 10_000_000")
        check_number("Exact: cache_size", self.cache_size, "a number of megabytes", 0, open_low=False)

    def solve(self, a: Floats, b: Floats, cost: Floats) -> Plan:
        """Couple weights `a` (n,) and `b` (m,), each of sum 1, under `cost` (n, m)."""
        # Tolerances are absolute: bring the largest cost to 1.
        unit = float(np.abs(cost).max()) or 1.0
        return self._pot(a, b, cost / unit, unit) if self.backend == "pot" else self._simplex(a, b, cost / unit, unit)

    def _pot(self, a: Floats, b: Floats, cost: Floats, unit: float) -> Plan:
        coupling, log = ot.emd(a, b, cost, numItermax=self.max_iter, log=True, center_dual=False, check_marginals=False)
        source, target = np.nonzero(coupling)
        return Plan(
            cost=float(log["cost"]) * unit,
            source=source.astype(np.int32),
            target=target.astype(np.int32),
            mass=coupling[source, target],
            optimal=log["warning"] is None,
        )

    def _simplex(self, a: Floats, b: Floats, cost: Floats, unit: float) -> Plan:
        from scggml._core.warm import solve_matrix  # noqa: PLC0415 - numba takes a while

        value, source, target, mass = solve_matrix(a, b, cost, self.max_iter)
        return Plan(value * unit, source, target, mass, optimal=True)

    def distances(
        self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """(n_pairs,) costs of the pairs, and whether each is optimal: one piece of work for one thread or machine."""
        if self.backend == "pot":
            return super().distances(cohort, points, pairs, cost)
        from scggml._core.warm import solve_once  # noqa: PLC0415 - numba takes a while

        return solve_once(cohort, points, pairs, cost, self.max_iter), np.ones(len(pairs), dtype=np.bool_)

    def transport(self, cohort: Cohort, *, n_jobs: int | None = None) -> Transport:
        """Transport within a cohort, on `n_jobs` threads."""
        if self.backend == "pot":
            return super().transport(cohort, n_jobs=n_jobs)
        from scggml._core.warm import Warm  # noqa: PLC0415 - numba takes a while

        return Warm(cohort, max_iter=self.max_iter, cache_size=self.cache_size, n_jobs=n_jobs)


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

    The cosine distance to the origin, which has no direction, is 1 (0 from the origin itself).
    """
    cost: Floats = cdist(x, y, metric)
    if metric != "cosine":
        return cost
    origin = ~np.logical_or.outer(x.any(axis=1), y.any(axis=1))
    return np.where(origin, 0.0, np.maximum(np.nan_to_num(cost, nan=1.0), 0.0))
