"""Pairs of samples: their distances and their plans."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
from joblib.parallel import get_active_backend
from tqdm.auto import tqdm

from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.threads import ignored, in_threads, n_threads
from scggml._core.transport.bures import check_closed_form
from scggml._core.transport.engine import engine_of
from scggml._core.transport.free import FreeCost, at_free_scale, free_measured
from scggml._core.transport.plans import GroundCost, Plans
from scggml._core.transport.solver import Solver

TILE = 5e6
"""Costs (cells times cells) in one piece of work; how the pairs are split decides nothing about the result."""


def all_pairs(n_samples: int) -> Integers:
    """Return (P (P - 1) / 2, 2) unordered pairs p < q."""
    return np.stack(np.triu_indices(n_samples, k=1), axis=1).astype(np.int64)


def between_pairs(rows: Integers, columns: Integers) -> Integers:
    """Return (n_rows * n_columns, 2) pairs of samples of two groups, row by row, the smaller number first."""
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.sort(grid, axis=1).astype(np.int64)


def solve_distances(
    cohort: Cohort,
    points: Points,
    pairs: Integers,
    cost: GroundCost | FreeCost,
    *,
    solver: Solver,
    n_jobs: int | None = None,
    progress: str | None = None,
) -> Floats:
    """Return (n_pairs,) optimal transport costs; `points` (n_cells, m) are the cells where `cost` is taken.

    Tiles of pairs go to threads, or through joblib where `joblib.parallel_config` names another backend.
    """
    solver = engine_of(cohort, solver)
    if isinstance(cost, FreeCost) and cohort.of_moments:
        check_closed_form(cost, called=cost.name)
    # Epsilon is relative to the costs of all pairs, not to those of a tile.
    if isinstance(cost, FreeCost):
        solver = at_free_scale(solver, cohort, points, pairs, cost)
    else:
        solver = solver.at_scale_of(cohort, points, pairs, cost)
    out, errors = np.empty(len(pairs)), np.zeros(len(pairs))
    there = replace(cohort, points=points, origin=None)
    tiles = _tiles(pairs, cohort.sizes, solver.piece() or TILE)

    def job(tile: Integers) -> tuple[Any, ...]:
        return (*_tile_of(there, pairs[tile]), cost, solver)

    bar = tqdm(total=len(pairs), desc=progress, unit="pair", disable=progress is None, leave=False)
    # POT warns of each pair without naming it; the warning below does.
    with ignored(UserWarning, "numItermax reached"), bar:
        for tile, answer in zip(tiles, _answers(job, tiles, n_jobs), strict=True):
            out[tile], errors[tile] = answer
            bar.update(len(tile))
    late = errors > solver.tolerance
    solver.warn(cohort, pairs[late], errors[late])
    return out


def _answers(
    job: Callable[[Integers], tuple[Any, ...]], tiles: list[Integers], n_jobs: int | None
) -> Iterator[tuple[Floats, Floats]]:
    """Yield the results in the order of the tiles; joblib is left out where threads do the work, as its pools poll."""
    n = n_threads(n_jobs)
    backend, _ = get_active_backend(prefer="threads")
    if n == 1 or getattr(backend, "supports_sharedmem", False):
        # A tile is copied by the thread that solves it, so that few copies exist at a time.
        yield from in_threads(lambda tile: _solve_tile(*job(tile)), tiles, min(n, backend.effective_n_jobs(n)))
        return
    # the multiprocessing backend refuses to be asked for a generator
    lazy = getattr(backend, "supports_return_generator", False)
    pool = joblib.Parallel(n_jobs=n, prefer="threads", return_as="generator" if lazy else "list")
    yield from pool(joblib.delayed(_solve_tile)(*job(tile)) for tile in tiles)


def _solve_tile(part: Cohort, pairs: Integers, cost: GroundCost | FreeCost, solver: Solver) -> tuple[Floats, Floats]:
    if isinstance(cost, FreeCost):
        return free_measured(solver, part, pairs, cost)
    return solver.measured(part, part.points, pairs, cost)


def _tiles(pairs: Integers, sizes: Integers, piece: float) -> list[Integers]:
    """Return positions of pairs by tiles of the matrix of all pairs, so that few samples travel with many pairs."""
    if len(pairs) == 0:
        return []
    side = max(1, int(np.sqrt(piece) / max(1.0, float(sizes.mean()))))
    tile = pairs // side
    _, owner = np.unique(tile, axis=0, return_inverse=True)
    owner = owner.reshape(-1)  # numpy 2.0.0 returns it as a column
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.cumsum(np.bincount(owner))[:-1])


def _tile_of(cohort: Cohort, pairs: Integers) -> tuple[Cohort, Integers]:
    """Return the samples of some pairs, and the pairs among them."""
    samples, local = np.unique(pairs, return_inverse=True)
    return cohort.take(samples), local.reshape(pairs.shape).astype(np.int64)


def solve_plans(
    cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost, *, solver: Solver, n_jobs: int | None = None
) -> Plans:
    """Return optimal plans of different pairs; `points` (n_cells, m) are the cells where `cost` is taken."""
    transport = engine_of(cohort, solver).transport(cohort, n_jobs=n_jobs)
    transport.solve(points, pairs, cost)
    return transport.plans()


def distance_matrix(
    cohort: Cohort,
    cost: GroundCost | FreeCost,
    *,
    solver: Solver,
    n_jobs: int | None = None,
    progress: str | None = None,
) -> Floats:
    """Return (P, P) optimal transport costs between all samples, the cells being where the cost is taken."""
    pairs = all_pairs(cohort.n_samples)
    values = solve_distances(cohort, cohort.points, pairs, cost, solver=solver, n_jobs=n_jobs, progress=progress)
    return square(values, pairs, cohort.n_samples)


def square(values: Floats, pairs: Integers, n_samples: int) -> Floats:
    """Return (P, P) symmetric matrix with zero diagonal from the values of the pairs."""
    out = np.zeros((n_samples, n_samples))
    out[pairs[:, 0], pairs[:, 1]] = values
    out[pairs[:, 1], pairs[:, 0]] = values
    return out
