"""The summaries by name, and what each of them can be combined with."""

from itertools import product
from typing import Any, get_args

from scggml._core.transport.bures import check_closed_form
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.gaussian import Gaussian
from scggml._core.transport.groups import Groups
from scggml._core.transport.mixture import Mixture
from scggml._core.transport.solver import Solver
from scggml._core.transport.solvers import SOLVERS, SolverName
from scggml._core.transport.summary import Summarizer, SummaryTraits

SUMMARIES: dict[str, type[Any]] = {"coreset": Coreset, "groups": Groups, "gaussian": Gaussian, "mixture": Mixture}
"""Classes of the summaries by name."""

WHOLE = "cells"
"""Name of no summary."""

SUMMARY_TRAITS: dict[str, SummaryTraits] = {
    WHOLE: SummaryTraits(sample="all of its cells", atoms="points", approximates=True, solvers=tuple(SOLVERS)),
    **{name: kind.traits for name, kind in SUMMARIES.items()},
}
"""What each summary makes of a sample: the table that tests and the documentation read."""

COMBINATIONS: dict[tuple[str, str, str], bool] = {
    (name, solver, method): solver in traits.solvers and method in traits.methods
    for name, traits in SUMMARY_TRAITS.items()
    for solver, method in product(get_args(SolverName), ("canonical", "triplets", "paper"))
}
"""Whether a summary, a solver and a method go together."""


def check_shares(summary: object, what: str) -> None:
    """Raise unless a summary stands for all cells, among which `what` shares contributions."""
    if not isinstance(summary, Summarizer) or summary.traits.approximates:
        return
    raise ValueError(
        f"{what} shares a distance among cells, but with summary={summary!r} a sample is the {summary.traits.sample}. "
        "Pass summary=None (all cells) or a Coreset(n_points)."
    )


def check_cost(summary: object, cost: object, *, called: str | None = None) -> None:
    """Raise unless what a summary makes of samples can be compared under a ground cost."""
    if isinstance(summary, Summarizer) and summary.traits.atoms != "points":
        check_closed_form(cost, repr(summary), called=called)


def check_combination(
    summary: object, solver: Solver, *, cost: object = "euclidean", called: str | None = None
) -> None:
    """Raise unless a solver compares what a summary makes of samples, and all that it needs is installed."""
    check_cost(summary, cost, called=called)
    if isinstance(summary, Summarizer):
        names = {kind: name for name, kind in SOLVERS.items()}
        able = summary.traits.solvers
        if names.get(type(solver), able[0]) not in able:
            raise ValueError(
                f"summary={summary!r} goes with solver= one of {list(able)}, not with {type(solver).__name__}: a "
                f"sample is the {summary.traits.sample}. Pass one of these, or summary=None (all cells)."
            )
    solver.require()
