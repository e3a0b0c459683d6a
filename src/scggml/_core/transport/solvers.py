"""The solvers by name, and what each of them is good for."""

from typing import Any, Literal, get_args

from scggml._core.transport.divergence import SinkhornDivergence
from scggml._core.transport.exact import Exact
from scggml._core.transport.sinkhorn import Sinkhorn
from scggml._core.transport.solver import Solver, Traits
from scggml._core.transport.unbalanced import Unbalanced

SolverName = Literal["exact", "sinkhorn", "sinkhorn_divergence", "unbalanced"]

AnySolver = Exact | Sinkhorn | SinkhornDivergence | Unbalanced

SOLVERS: dict[str, type[Any]] = {
    "exact": Exact,
    "sinkhorn": Sinkhorn,
    "sinkhorn_divergence": SinkhornDivergence,
    "unbalanced": Unbalanced,
}
"""Classes of the solvers by name."""

TRAITS: dict[str, Traits] = {name: kind.traits for name, kind in SOLVERS.items()}
"""What each solver promises: the table that tests and the documentation read."""


def as_solver(solver: object) -> Solver:
    """Return the solver of that name with its default options, or the solver itself."""
    kinds = ", ".join(f"{kind.__name__}()" for kind in SOLVERS.values())
    if isinstance(solver, str):
        if solver not in SOLVERS:
            raise ValueError(
                f"solver={solver!r} is not known; choose from {get_args(SolverName)} or pass one of {kinds}."
            )
        found: Solver = SOLVERS[solver]()
        return found
    if not isinstance(solver, tuple(SOLVERS.values())):
        kind = "class" if isinstance(solver, type) else type(solver).__name__
        raise TypeError(f"solver is a {kind}; pass a name of {get_args(SolverName)}, or one of {kinds}.")
    return solver  # type: ignore[return-value]  # of one of the classes above


def check_adds_up(solver: Solver, what: str) -> None:
    """Raise unless the costs of the entries of a plan add up to the distance, which `what` shows entry by entry."""
    if solver.traits.adds_up:
        return
    able = [name for name, traits in TRAITS.items() if traits.adds_up]
    raise ValueError(
        f"{what} splits a distance into what the entries of a plan cost, but the distance of {type(solver).__name__} "
        f"is the {solver.traits.value}. Pass solver= one of {able}."
    )


def check_plan(solver: Solver) -> None:
    """Raise unless a plan of the solver is one between two samples, whose distance follows from it."""
    if solver.traits.coupling != "cross":
        return
    able = [name for name, traits in TRAITS.items() if traits.coupling != "cross"]
    raise ValueError(
        f"{type(solver).__name__} has no plan of its own: its distance is the {solver.traits.value}. Pass solver= one "
        f"of {able}."
    )
