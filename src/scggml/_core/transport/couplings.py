"""Plans of many small problems of which the costs are known, by any solver."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scggml._core.cohort import Floats, Integers
from scggml._core.threads import all_in_threads, in_threads
from scggml._core.transport.batches import Batch, groups_of, log_of
from scggml._core.transport.blurred import Options, check_moved
from scggml._core.transport.dense import DenseBlock, Terms
from scggml._core.transport.devices import Place, alone, as_array, place_of
from scggml._core.transport.plans import GroundCost
from scggml._core.transport.rounding import sparse_plan
from scggml._core.transport.scaling import optimal_potentials
from scggml._core.transport.solver import CHUNK, Solver

Problem = tuple[Floats, Floats, Floats]
"""Weights (n,) and (m,) of two samples, and the costs (n, m) between them."""


@dataclass(frozen=True)
class Couplings:
    """Solutions of problems.

    Parameters
    ----------
    values, regularized
        (n_problems,) what the solver reports, and the objective whose gradient is the plan.
    errors
        (n_problems,) how far each is from what the solver promises.
    masses
        Plan (n, m) of each problem.
    terms
        Weights of the entropy and of the marginals, None of an exact solver.
    """

    values: Floats
    regularized: Floats
    errors: Floats
    masses: list[Floats]
    terms: Terms | None = None

    def rounded(self, e: int, a: Floats, b: Floats) -> Floats:
        """Return the plan (n, m) of a problem with exact marginals, and without faint entries."""
        T = self.masses[e]
        if self.terms is None:
            return T
        marginals = (a, b) if np.isinf(self.terms.rho) else (T.sum(axis=1), T.sum(axis=0))
        source, target, mass = sparse_plan(T, *marginals)
        out = np.zeros_like(T)
        out[source, target] = mass
        return out


def couple(solver: Solver, problems: list[Problem], cost: GroundCost, *, unit: float, n_jobs: int | None) -> Couplings:
    """Solve problems whose costs are of a kind, and relative to `unit` where the solver has parameters that are."""
    options: Any = solver
    if hasattr(solver, "terms"):
        return _blurred(options, problems, cost, unit, n_jobs)

    def solve_chunk(chunk: list[Problem]) -> list[tuple[float, float, Floats]]:
        out = []
        for a, b, costs in chunk:
            plan, mass = solver.solve(a, b, costs), np.zeros_like(costs)
            mass[plan.source, plan.target] = plan.mass
            out.append((plan.cost, 0.0 if plan.optimal else np.inf, mass))
        return out

    chunks = [problems[start : start + CHUNK] for start in range(0, len(problems), CHUNK)]
    solved = [each for part in in_threads(solve_chunk, chunks, n_jobs) for each in part]
    values = np.array([value for value, *_ in solved], dtype=np.float64)
    return Couplings(values, values, np.array([error for _, error, _ in solved]), [mass for *_, mass in solved])


def _blurred(options: Options, problems: list[Problem], cost: GroundCost, unit: float, n_jobs: int | None) -> Couplings:
    """Solve problems with an entropy, many of similar size at a time."""
    place, terms = place_of(options.device), options.terms(cost)
    sizes = np.array([costs.shape for *_, costs in problems], dtype=np.int64).reshape(-1, 2)
    values, regularized, errors = (np.empty(len(problems)) for _ in range(3))
    masses: list[Floats] = [np.empty((0, 0))] * len(problems)

    def solve_group(group: Integers) -> None:
        batch, costs = _batch(problems, group, sizes, place)
        block = DenseBlock(batch, place, None, costs / unit)
        f, g, error = optimal_potentials(
            block, *block.nothing(), terms, tol=options.tol, max_iter=options.max_iter, warm=False
        )
        totals, plans = block.totals(f, g, terms), as_array(block.plan(f, g, terms.epsilon))
        values[group], regularized[group] = (unit * as_array(x) for x in (totals.value, totals.regularized))
        errors[group] = as_array(error)
        for e, plan in zip(group, plans, strict=True):
            masses[e] = plan[: sizes[e, 0], : sizes[e, 1]]

    # Each pair is a problem of two samples of its own.
    pairs = np.arange(2 * len(problems)).reshape(-1, 2)
    groups = groups_of(pairs, sizes.ravel(), np.zeros(len(pairs), dtype=np.bool_), place.budget)
    all_in_threads(lambda group: alone(place, solve_group, group), groups, n_jobs if place.device == "cpu" else 1)
    check_moved(options, terms, unit, values)
    return Couplings(values, regularized, errors, masses, terms)


def _batch(problems: list[Problem], group: Integers, sizes: Integers, place: Place) -> tuple[Batch, Any]:
    """Return some problems, padded to one shape, and their costs (B, n, m)."""
    n, m = sizes[group].max(axis=0)
    a, b, costs = np.zeros((len(group), n)), np.zeros((len(group), m)), np.zeros((len(group), n, m))
    for row, e in enumerate(group):
        first, second, between = problems[e]
        a[row, : len(first)], b[row, : len(second)] = first, second
        costs[row, : len(first), : len(second)] = between
    none, places = place.tensor(np.empty((len(group), 0, 0))), np.empty((len(group), 0), dtype=np.int64)
    weights = (place.tensor(a), place.tensor(b), place.tensor(log_of(a)), place.tensor(log_of(b)))
    return Batch(none, none, *weights, sizes[group], places, places), place.tensor(costs)
