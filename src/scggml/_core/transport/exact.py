"""The available solvers."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scggml._arguments import shown
from scggml._core.checks import check_number, check_whole
from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.transport.plans import GroundCost, Plan, Transport
from scggml._core.transport.problem import as_problem
from scggml._core.transport.solver import Solver
from scggml._core.transport.warm import Warm, solve_matrix, solve_once

Backend = Literal["simplex", "pot"]


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
        room start from scratch each time: slower, with the same result.

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
        if not isinstance(self.backend, str) or self.backend not in get_args(Backend):
            raise ValueError(f"Exact(backend={shown(self.backend)}) is not known; choose from {get_args(Backend)}.")
        check_whole("Exact: max_iter", self.max_iter, 1, " pivot; the default is 10_000_000")
        check_number("Exact: cache_size", self.cache_size, "a number of megabytes", 0, open_low=False)

    def solve(self, a: ArrayLike, b: ArrayLike, cost: ArrayLike) -> Plan:
        """Couple weights `a` (n,) and `b` (m,), each of sum 1, under `cost` (n, m).

        Raises
        ------
        ValueError
            Shapes that do not fit, arrays that do not hold real numbers, values that are not finite, weights that are
            negative or do not sum to 1.
        """
        first, second, costs = as_problem(a, b, cost)
        # Tolerances are absolute: bring the largest cost to 1.
        unit = float(np.abs(costs).max()) or 1.0
        solve = self._pot if self.backend == "pot" else self._simplex
        return solve(first, second, costs / unit, unit)

    def _pot(self, a: Floats, b: Floats, cost: Floats, unit: float) -> Plan:
        import ot  # noqa: PLC0415 - it brings torch along, where that is installed: more than a second

        rows, columns = np.flatnonzero(a), np.flatnonzero(b)  # POT reads beyond its arrays where a weight is 0
        coupling, log = ot.emd(
            a[rows],
            b[columns],
            np.ascontiguousarray(cost[np.ix_(rows, columns)]),
            numItermax=self.max_iter,
            log=True,
            center_dual=False,
            check_marginals=False,
        )
        source, target = np.nonzero(coupling)
        return Plan(
            cost=float(log["cost"]) * unit,
            source=rows[source].astype(np.int32),
            target=columns[target].astype(np.int32),
            mass=coupling[source, target],
            optimal=log["warning"] is None,
        )

    def _simplex(self, a: Floats, b: Floats, cost: Floats, unit: float) -> Plan:
        value, source, target, mass = solve_matrix(a, b, cost, self.max_iter)
        return Plan(value * unit, source, target, mass, optimal=True)

    def distances(
        self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return (n_pairs,) costs, and whether each is optimal: one piece of work for one thread or machine."""
        if self.backend == "pot":
            return super().distances(cohort, points, pairs, cost)
        return solve_once(cohort, points, pairs, cost, self.max_iter), np.ones(len(pairs), dtype=np.bool_)

    def transport(self, cohort: Cohort, *, n_jobs: int | None = None) -> Transport:
        """Return transport within a cohort, on `n_jobs` threads."""
        if self.backend == "pot":
            return super().transport(cohort, n_jobs=n_jobs)
        return Warm(cohort, max_iter=self.max_iter, cache_size=self.cache_size, n_jobs=n_jobs)
