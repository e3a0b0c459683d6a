"""Interface of solvers, and transport pair by pair with any of them, without memory."""

import warnings
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.threads import in_threads
from scggml._core.transport.plans import GroundCost, Plan, Plans, Transport, check_differentiable, ground_cost

CHUNK = 64
"""Pairs that a thread solves at a time."""

ATOMS = 2**20
"""Entries of plans that are turned into gradients at a time."""


class Solver(ABC):
    """Base of all solvers: `solve` is needed, and the rest may be overridden by something faster."""

    @abstractmethod
    def solve(self, a: ArrayLike, b: ArrayLike, cost: ArrayLike) -> Plan:
        """Couple weights `a` (n,) and `b` (m,), each of sum 1, under `cost` (n, m)."""

    def distances(
        self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return (n_pairs,) costs, and whether each is optimal: one piece of work for one thread or machine."""
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
        """Return transport within a cohort, on `n_jobs` threads."""
        return Cold(self, cohort, n_jobs=n_jobs)


class Cold:
    """Transport within one cohort; each pair is solved from nothing each time."""

    def __init__(self, solver: Solver, cohort: Cohort, *, n_jobs: int | None) -> None:
        self._solver, self._cohort, self._n_jobs = solver, cohort, n_jobs

    def solve(self, points: Points, pairs: Integers, cost: GroundCost) -> Floats:
        """Solve the pairs and remember their plans."""

        def solve_chunk(chunk: Integers) -> list[Plan]:
            return [self._solver.solve_pair(self._cohort, points, p, q, cost) for p, q in chunk]

        chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
        # Around all threads: filters of warnings are not their own.
        with warnings.catch_warnings():
            # POT warns of each pair without naming it; the warning below does.
            warnings.filterwarnings("ignore", message="numItermax reached", category=UserWarning)
            solved = [plan for plans in in_threads(solve_chunk, chunks, self._n_jobs) for plan in plans]
        warn_not_optimal(self._cohort, pairs[[not plan.optimal for plan in solved]], self._solver)
        self._last = np.asarray(points, dtype=np.float64), pairs, solved, cost
        return np.array([plan.cost for plan in solved], dtype=np.float64)

    def gradient(self, slopes: Floats) -> Floats:
        """Return dL/dpoints at the remembered plans."""
        points, *_, cost = self._last
        check_differentiable(cost)
        return plan_gradient(points, self.plans(), slopes, squared=cost == "sqeuclidean")

    def fork(self, n_jobs: int | None) -> "Cold":
        """Return a transport of the same cohort."""
        return Cold(self._solver, self._cohort, n_jobs=n_jobs)

    def plans(self, part: slice = slice(None)) -> Plans:
        """Return the remembered plans."""
        _, pairs, solved, _ = self._last
        return gather(self._cohort, pairs[part], solved[part])


def gather(cohort: Cohort, pairs: Integers, solved: list[Plan]) -> Plans:
    """Join the plans of single pairs."""
    # Plans count cells within their samples; the offsets turn them into rows of the cohort.
    sizes = np.array([len(plan.mass) for plan in solved], dtype=np.int64)
    starts = cohort.offsets[pairs].astype(np.int32)
    none = [np.empty(0, dtype=np.int32)]
    return Plans(
        pairs=pairs,
        values=np.array([plan.cost for plan in solved], dtype=np.float64),
        source=np.concatenate([plan.source + start for plan, start in zip(solved, starts[:, 0], strict=True)] or none),
        target=np.concatenate([plan.target + start for plan, start in zip(solved, starts[:, 1], strict=True)] or none),
        mass=np.concatenate([plan.mass for plan in solved] or [np.empty(0)]),
        owner=np.repeat(np.arange(len(pairs), dtype=np.int32), sizes),
    )


def warn_not_optimal(cohort: Cohort, pairs: Integers, solver: Solver) -> None:
    """Warn of the pairs, if there are any, that a solver left before the optimum."""
    # One warning for all pairs, with their names: what to do about them is the same.
    if len(pairs) == 0:
        return
    shown = ", ".join(str((str(cohort.names[p]), str(cohort.names[q]))) for p, q in pairs[:5])
    more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    warnings.warn(
        f"{solver} stopped before the optimum for {len(pairs)} pair(s) of samples: {shown}{more}. Their distances are "
        "wrong; raise max_iter.",
        stacklevel=2,
    )


def plan_gradient(points: Floats, plans: Plans, slopes: Floats, *, squared: bool) -> Floats:
    r"""Return the gradient by the projected cells, dL/dZ (n_cells, k), at fixed optimal plans (envelope theorem).

    An entry of mass t between z_i and z_j, u = z_i - z_j, adds :math:`t\,u/\|u\|` (or :math:`2\,t\,u` for the squared
    cost) times the slope of its pair to cell i and takes it from cell j. A zero distance adds nothing.

    Parameters
    ----------
    points
        (n_cells, k) projected cells.
    slopes
        (n_pairs,) dL/dD of each pair.
    squared
        Whether the ground cost is the squared distance.
    """
    # Pairs with slope 0 (in no active triplet) are left out. The others come in blocks, which bound the memory.
    n, k = points.shape
    out = np.zeros((n, k))
    entries = np.flatnonzero(slopes[plans.owner] != 0)
    for start in range(0, len(entries), ATOMS):
        part = entries[start : start + ATOMS]
        source, target = plans.source[part], plans.target[part]
        flow = plans.mass[part] * slopes[plans.owner[part]]
        moves = points[source] - points[target]
        if squared:
            flow = 2 * flow
        else:
            lengths = np.linalg.norm(moves, axis=1)
            flow = np.divide(flow, lengths, out=np.zeros_like(flow), where=lengths > 0)
        moves *= flow[:, None]
        # A cell is in several entries: with `out[source] += moves` all but one of them would be lost.
        for axis in range(k):
            out[:, axis] += np.bincount(source, moves[:, axis], n) - np.bincount(target, moves[:, axis], n)
    return out
