"""Both matrix products of a step, in double precision whatever the precision of the cells.

They read the cells once, without a copy in double precision and without threads of a BLAS, which stall each other on a
busy machine.
"""

from typing import Any

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.compiled import compiled
from scggml._core.threads import in_threads

ROWS = 2**21
"""Numbers in the rows that one piece of work holds; fixed, so that sums do not depend on the number of threads."""

_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": True,
    "no_cfunc_wrapper": True,
}


@compiled(**_OPTIONS)
def _project(points, components, out):
    # Fastmath allows sums over features in several lanes at once, which the order of additions in the code would not.
    for i in range(points.shape[0]):
        for a in range(components.shape[0]):
            total = 0.0
            for j in range(points.shape[1]):
                total += components[a, j] * points[i, j]
            out[i, a] = total


@compiled(**_OPTIONS)
def _pull_back(gradient, points, out):
    # Four cells at a time: `out` (k, d) is read and written a quarter as often.
    n, d = points.shape
    for i in range(0, n - 3, 4):
        for a in range(out.shape[0]):
            g0, g1, g2, g3 = gradient[i, a], gradient[i + 1, a], gradient[i + 2, a], gradient[i + 3, a]
            for j in range(d):
                out[a, j] += g0 * points[i, j] + g1 * points[i + 1, j] + g2 * points[i + 2, j] + g3 * points[i + 3, j]
    for i in range(n - n % 4, n):
        for a in range(out.shape[0]):
            for j in range(d):
                out[a, j] += gradient[i, a] * points[i, j]


def _pieces(points: Points) -> list[slice]:
    step = max(4, ROWS // max(1, points.shape[1]))
    return [slice(start, start + step) for start in range(0, len(points), step)]


def project(points: Points, components: Floats, n_jobs: int | None = 1) -> Floats:
    """Compute Z = X W^T: (n, d), (k, d) -> (n, k)."""
    out = np.empty((len(points), len(components)))
    components = np.ascontiguousarray(components, dtype=np.float64)
    for _ in in_threads(lambda rows: _project(points[rows], components, out[rows]), _pieces(points), n_jobs):
        pass
    return out


def pull_back(gradient: Floats, points: Points, n_jobs: int | None = 1) -> Floats:
    """Compute dL/dW = (dL/dZ)^T X: (n, k), (n, d) -> (k, d)."""

    def piece(rows: slice) -> Floats:
        out = np.zeros((gradient.shape[1], points.shape[1]))
        _pull_back(gradient[rows], points[rows], out)
        return out

    # Pieces of fixed size, summed in their order: the same bits for any number of threads.
    return np.sum(list(in_threads(piece, _pieces(points), n_jobs)), axis=0)


def project_samples(cohort: Cohort, components: Floats, samples: Integers | None, n_jobs: int | None) -> Floats:
    """Return (n_cells, k) projected cells of a cohort; zeros for samples other than the given ones."""
    if samples is None:
        return project(cohort.points, components, n_jobs)
    # Mini-batches read the cells of their samples only; the others are never looked at.
    out = np.zeros((len(cohort.points), len(components)))
    for span in cohort.spans(samples):
        out[span] = project(cohort.points[span], components)
    return out


def pull_back_samples(gradient: Floats, cohort: Cohort, samples: Integers | None, n_jobs: int | None) -> Floats:
    """Return the (k, d) gradient by W from that by the projected cells (n_cells, k) of all or the given samples."""
    if samples is None:
        return pull_back(gradient, cohort.points, n_jobs)
    parts = [pull_back(gradient[span], cohort.points[span]) for span in cohort.spans(samples)]
    return np.sum(parts, axis=0)
