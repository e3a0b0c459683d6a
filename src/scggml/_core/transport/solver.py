"""Interface of solvers, and transport pair by pair with any of them, without memory."""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.threads import ignored, in_threads
from scggml._core.transport.plans import GroundCost, Plan, Plans, Transport, check_differentiable, ground_cost

CHUNK = 64
"""Pairs that a thread solves at a time."""

ATOMS = 2**20
"""Entries of plans that are turned into gradients at a time."""


Coupling = Literal["optimal", "rounded", "relaxed", "cross"]

Law = Literal[
    "not_negative",
    "positive_between_different_samples",
    "symmetric",
    "zero_to_itself",
    "zero_to_a_copy",
    "ignores_the_order_of_cells",
    "ignores_the_order_of_samples",
    "depends_on_two_samples_only",
    "ignores_duplicates_of_halved_weight",
    "ignores_cells_without_weight",
    "of_one_cell_the_cost_itself",
    "triangle",
    "optimal_assignment",
    "not_below_exact",
]
"""Laws of distances between samples that not every solver holds to; `triangle` for ground costs that are metrics."""

LAWS: tuple[Law, ...] = get_args(Law)


@dataclass(frozen=True)
class Traits:
    """Say what a solver promises.

    Parameters
    ----------
    value
        What the distance is.
    gradient
        What its gradient is that of.
    coupling
        What its plans are: `"optimal"` and `"rounded"` ones have the marginals of the samples, and their cost is the
        distance; `"relaxed"` ones leave mass behind; `"cross"` is the plan of one of several terms.
    laws
        The laws that it holds to.
    """

    value: str
    gradient: str
    coupling: Coupling
    laws: frozenset[Law]

    @property
    def adds_up(self) -> bool:
        """Return whether the costs of the entries of a plan add up to the distance."""
        return self.coupling in ("optimal", "rounded")


class Solver(ABC):
    """Base of all solvers: `solve` is needed, and the rest may be overridden by something faster."""

    traits: ClassVar[Traits] = Traits(
        value="cost of an optimal plan",
        gradient="the distance",
        coupling="optimal",
        laws=frozenset(LAWS),
    )

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

    def measured(self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost) -> tuple[Floats, Floats]:
        """Return (n_pairs,) costs, and how far each is from what the solver promises: 0, or infinity if unknown."""
        values, optimal = self.distances(cohort, points, pairs, cost)
        return values, np.where(optimal, 0.0, np.inf)

    def warn(self, cohort: Cohort, pairs: Integers, errors: Floats) -> None:
        """Warn of the pairs, if there are any, that were left before the optimum."""
        warn_not_optimal(cohort, pairs, self)

    def require(self) -> None:
        """Raise unless all that the solver needs is installed, before any long work."""
        return

    def at_scale_of(self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost) -> "Solver":
        """Return the solver for pieces of these pairs: what is relative to all of them is settled."""
        return self

    @property
    def tolerance(self) -> float:
        """Error from which on a pair is warned of."""
        return 0.0

    def piece(self) -> float | None:
        """Return how many costs (cells times cells) one piece of work has; None for as many as suit a thread."""
        return None

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
        # POT warns of each pair without naming it; the warning below does.
        with ignored(UserWarning, "numItermax reached"):
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
    warnings.warn(
        f"{solver} stopped before the optimum for {len(pairs)} pair(s) of samples: {some_names(cohort, pairs)}. Their "
        "distances are wrong; raise max_iter.",
        stacklevel=2,
    )


def some_names(cohort: Cohort, pairs: Integers) -> str:
    """Return the names of the first pairs, and how many more there are."""
    shown = ", ".join(str((str(cohort.names[p]), str(cohort.names[q]))) for p, q in pairs[:5])
    return shown + (f" and {len(pairs) - 5} more" if len(pairs) > 5 else "")


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
