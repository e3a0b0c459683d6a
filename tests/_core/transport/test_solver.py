"""Solvers without a memory of pairs, and the same question to those with one."""

from dataclasses import dataclass

import numpy as np
import pytest
from _oracles import random_cohort

from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs
from scggml._core.transport.plans import GROUND_COSTS, Plan
from scggml._core.transport.solver import Cold, Solver, gather
from scggml._core.transport.warm import Warm

COHORT = random_cohort((5, 8, 1, 6), d=3, weighted=True)
PAIRS = all_pairs(4)


@dataclass(frozen=True)
class Own(Solver):
    """A solver that says no more than how one pair is solved."""

    def solve(self, a, b, cost):
        return Exact(backend="pot").solve(a, b, cost)


@pytest.mark.parametrize("cost", GROUND_COSTS)
def test_one_method_is_enough_for_a_solver(cost):
    values, optimal = Own().distances(COHORT, COHORT.points, PAIRS, cost)
    truth, all_optimal = Exact().distances(COHORT, COHORT.points, PAIRS, cost)
    np.testing.assert_allclose(values, truth, rtol=1e-12)
    assert optimal.all()
    assert all_optimal.all()


def test_transport_has_a_memory_where_the_solver_has_one():
    assert isinstance(Own().transport(COHORT), Cold)
    assert isinstance(Exact(backend="pot").transport(COHORT), Cold)
    assert isinstance(Exact().transport(COHORT), Warm)


@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean"])
def test_with_and_without_memory_the_answers_are_the_same(cost):
    slopes = np.random.default_rng(0).standard_normal(6)
    one, two = Own().transport(COHORT, n_jobs=1), Exact().transport(COHORT, n_jobs=1)
    for factor in (1.0, -2.0, 1e-3):
        points = factor * COHORT.points[:, :2] + 7
        np.testing.assert_allclose(one.solve(points, PAIRS, cost), two.solve(points, PAIRS, cost), rtol=1e-11)
        np.testing.assert_allclose(one.gradient(slopes), two.gradient(slopes), atol=1e-12)
        for part in (slice(None), slice(1, 4)):
            found, truth = one.plans(part), two.plans(part)
            np.testing.assert_array_equal(found.pairs, truth.pairs)
            order, other = (np.lexsort((p.target, p.source, p.owner)) for p in (found, truth))
            for name in ("source", "target", "owner"):
                np.testing.assert_array_equal(getattr(found, name)[order], getattr(truth, name)[other])
            np.testing.assert_allclose(found.mass[order], truth.mass[other], rtol=1e-12)


def test_plans_are_put_together_as_rows_of_the_cohort():
    solved = [
        Plan(1.0, np.array([0, 4], np.int32), np.array([0, 7], np.int32), np.array([0.4, 0.6]), True),
        Plan(2.0, np.array([2], np.int32), np.array([5], np.int32), np.array([1.0]), True),
    ]
    plans = gather(COHORT, np.array([[0, 1], [1, 3]]), solved)
    np.testing.assert_array_equal(plans.source, [0, 4, 5 + 2])
    np.testing.assert_array_equal(plans.target, [5 + 0, 5 + 7, 14 + 5])
    np.testing.assert_array_equal(plans.owner, [0, 0, 1])
    np.testing.assert_array_equal(plans.values, [1.0, 2.0])
    none = gather(COHORT, np.empty((0, 2), dtype=np.int64), [])
    assert none.mass.shape == none.source.shape == (0,)
