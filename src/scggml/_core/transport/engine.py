"""Choose what compares the samples of a cohort: a solver, a closed form, or a solver between closed forms."""

from scggml._core.cohort import Cohort
from scggml._core.transport.bures import Bures
from scggml._core.transport.exact import Exact
from scggml._core.transport.mixed import Mixed
from scggml._core.transport.solver import Solver


def engine_of(cohort: Cohort, solver: Solver) -> Solver:
    """Return what compares the samples of a cohort: the solver, unless their points stand for Gaussians."""
    if cohort.atoms is not None:
        return solver if isinstance(solver, Mixed) else Mixed(solver)
    if not cohort.gaussian:
        return solver
    if not isinstance(solver, Bures | Exact):
        raise ValueError(
            f'Gaussians have a closed form, in which {type(solver).__name__} has no part. Pass solver="exact", or '
            "summary=None (all cells)."
        )
    return Bures()
