"""Optimal transport of many pairs of samples: values, plans, and the gradient that plans give."""

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from scggml._core.checks import check_whole
from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.transport import GroundCost, Plan, Solver, ground_cost

CHUNK = 64
"""Pairs that a thread solves before it reports."""

ATOMS = 2**20
"""Entries of plans that are turned into gradients at a time."""


@dataclass(frozen=True)
class Plans:
    """Plans of many pairs, entry by entry; `source` and `target` are rows of the cohort.

    Parameters
    ----------
    pairs
        (n_pairs, 2) samples p < q.
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


def all_pairs(n_samples: int) -> Integers:
    """(P (P - 1) / 2, 2) unordered pairs p < q."""
    return np.stack(np.triu_indices(n_samples, k=1), axis=1).astype(np.int64)


def n_threads(n_jobs: int | None) -> int:
    """Number of threads: all cores that this process may use if None or -1."""
    if n_jobs is not None and n_jobs != -1:
        check_whole("n_jobs", n_jobs, 1, " thread, or None (or -1) for all cores")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return available if n_jobs is None or n_jobs == -1 else n_jobs


def _solve(
    cohort: Cohort,
    points: Points,
    pairs: Integers,
    cost: GroundCost,
    *,
    solver: Solver,
    n_jobs: int | None,
    progress: str | None,
) -> Iterator[list[Plan]]:
    """Yield the plans of the pairs chunk by chunk, in order; the solver releases the GIL, so threads serve."""
    offsets, weights = cohort.offsets, cohort.weights

    def solve_chunk(chunk: Integers) -> list[Plan]:
        plans = []
        for p, q in chunk:
            a, b = slice(offsets[p], offsets[p + 1]), slice(offsets[q], offsets[q + 1])
            plans.append(solver.solve(weights[a], weights[b], ground_cost(points[a], points[b], cost)))
        return plans

    chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
    stopped_early: list[int] = []
    pool = ThreadPoolExecutor(max_workers=n_threads(n_jobs))
    bar = tqdm(total=len(pairs), desc=progress, unit="pair", disable=progress is None, leave=False)
    try:
        with warnings.catch_warnings(), bar:
            # POT warns of each pair without naming it; the warning below does.
            warnings.filterwarnings("ignore", message="numItermax reached", category=UserWarning)
            for index, plans in enumerate(pool.map(solve_chunk, chunks)):
                stopped_early += [index * CHUNK + i for i, plan in enumerate(plans) if not plan.optimal]
                yield plans
                bar.update(len(plans))
    finally:
        pool.shutdown(cancel_futures=True)
    if stopped_early:
        _warn_not_optimal(cohort, pairs[stopped_early], solver)


def _warn_not_optimal(cohort: Cohort, pairs: Integers, solver: Solver) -> None:
    shown = ", ".join(str((str(cohort.names[p]), str(cohort.names[q]))) for p, q in pairs[:5])
    more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    warnings.warn(
        f"{solver} stopped before the optimum for {len(pairs)} pair(s) of samples: {shown}{more}. Their distances are "
        "wrong; raise max_iter.",
        stacklevel=2,
    )


def solve_distances(
    cohort: Cohort,
    points: Points,
    pairs: Integers,
    cost: GroundCost,
    *,
    solver: Solver,
    n_jobs: int | None = None,
    progress: str | None = None,
) -> Floats:
    """(n_pairs,) optimal transport costs; `points` (n_cells, m) are the cells in the space where `cost` is taken."""
    chunks = _solve(cohort, points, pairs, cost, solver=solver, n_jobs=n_jobs, progress=progress)
    return np.array([plan.cost for plans in chunks for plan in plans], dtype=np.float64)


def solve_plans(
    cohort: Cohort,
    points: Points,
    pairs: Integers,
    cost: GroundCost,
    *,
    solver: Solver,
    n_jobs: int | None = None,
    progress: str | None = None,
) -> Plans:
    """Optimal plans of the pairs; `points` (n_cells, m) are the cells in the space where `cost` is taken."""
    solved = [
        plan
        for plans in _solve(cohort, points, pairs, cost, solver=solver, n_jobs=n_jobs, progress=progress)
        for plan in plans
    ]
    sizes = np.array([len(plan.mass) for plan in solved], dtype=np.int64)
    starts = cohort.offsets[pairs].astype(np.int32)
    return Plans(
        pairs=pairs,
        values=np.array([plan.cost for plan in solved], dtype=np.float64),
        source=np.concatenate([plan.source + start for plan, start in zip(solved, starts[:, 0], strict=True)]),
        target=np.concatenate([plan.target + start for plan, start in zip(solved, starts[:, 1], strict=True)]),
        mass=np.concatenate([plan.mass for plan in solved]),
        owner=np.repeat(np.arange(len(pairs), dtype=np.int32), sizes),
    )


def square(values: Floats, pairs: Integers, n_samples: int) -> Floats:
    """(P, P) symmetric matrix with zero diagonal from the values of the pairs."""
    out = np.zeros((n_samples, n_samples))
    out[pairs[:, 0], pairs[:, 1]] = values
    out[pairs[:, 1], pairs[:, 0]] = values
    return out


def plan_gradient(points: Floats, plans: Plans, slopes: Floats, *, squared: bool) -> Floats:
    r"""Gradient by the projected cells, dL/dZ (n_cells, k), at fixed optimal plans (envelope theorem).

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
        for axis in range(k):
            out[:, axis] += np.bincount(source, moves[:, axis], n) - np.bincount(target, moves[:, axis], n)
    return out
