"""Solvers by name, and the table of what each promises."""

from pathlib import Path
from typing import get_args

import pytest

from scggml._core.learn.learner import KINDS
from scggml._core.transport.exact import Exact
from scggml._core.transport.solver import LAWS
from scggml._core.transport.solvers import SOLVERS, TRAITS, SolverName, as_solver, check_adds_up, check_plan


@pytest.mark.parametrize("name", get_args(SolverName))
def test_a_solver_is_known_by_name_or_is_itself(name):
    assert as_solver(name) == SOLVERS[name]()
    mine = SOLVERS[name](max_iter=7)
    assert as_solver(mine) is mine
    assert KINDS[name] is SOLVERS[name]


def test_other_names_and_kinds_are_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"solver='simplex' is not known; choose from \('exact', 'sinkhorn', .* Exact"):
        as_solver("simplex")
    with pytest.raises(TypeError, match=r"solver is a int; pass a name of \('exact', .* one of Exact\(\), Sinkhorn"):
        as_solver(3)
    with pytest.raises(TypeError, match=r"solver is a class; pass"):
        as_solver(Exact)


def test_the_table_has_all_solvers_and_known_laws():
    assert tuple(TRAITS) == get_args(SolverName) == tuple(SOLVERS)
    assert all(traits.laws <= set(LAWS) for traits in TRAITS.values())
    assert TRAITS["exact"].laws == set(LAWS)


def test_what_splits_distances_among_cells_takes_solvers_whose_plans_add_up():
    for name in ("exact", "sinkhorn"):
        check_adds_up(SOLVERS[name](), "tl.attribute")
    for name in ("unbalanced", "sinkhorn_divergence"):
        with pytest.raises(ValueError, match=r"tl.attribute splits .*Pass solver= one of \['exact', 'sinkhorn'\]"):
            check_adds_up(SOLVERS[name](), "tl.attribute")


def test_a_divergence_has_no_plan_of_its_own():
    for name in ("exact", "sinkhorn", "unbalanced"):
        check_plan(SOLVERS[name]())
    with pytest.raises(ValueError, match=r"SinkhornDivergence has no plan of its own: .*\['exact', 'sinkhorn', 'unb"):
        check_plan(SOLVERS["sinkhorn_divergence"]())


def test_the_documentation_has_the_table():
    text = (Path(__file__).parents[3] / "docs" / "method.md").read_text(encoding="utf-8")
    for name, traits in TRAITS.items():
        cells = (f"{{class}}`~scggml.tl.{SOLVERS[name].__name__}`", traits.value, traits.gradient, traits.coupling)
        assert f"| {' | '.join(cells)} |" in text
