"""Which law holds for which solver: each law of the table holds, and each other one has a counterexample."""

import _laws as laws
import numpy as np
import pytest
from _oracles import assignment_ot, cost_by_loops, random_cohort

from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_distances, square
from scggml._core.transport.solver import LAWS
from scggml._core.transport.solvers import SOLVERS, TRAITS

pytest.importorskip("torch")

# So that laws hold to the 10 digits that they ask for; at this epsilon it takes few iterations.
TIGHT = {"epsilon": 0.2, "tol": 1e-13, "max_iter": 3000}
OPTIONS = {name: {} if name == "exact" else TIGHT for name in SOLVERS}
COSTS = ("euclidean", "sqeuclidean")
COHORTS = {
    "uniform": random_cohort((5, 5, 5, 5), d=3),
    "weighted": random_cohort((3, 6, 1, 4), d=3, weighted=True, seed=1),
}


def distances_by(name, cost, **options):
    solver = SOLVERS[name](**OPTIONS[name] | options)

    def distances(cohort):
        pairs = all_pairs(cohort.n_samples)
        values = solve_distances(cohort, cohort.points, pairs, cost, solver=solver, n_jobs=1)
        return square(values, pairs, cohort.n_samples)

    return distances


def optimal_assignment(distances, cohort):
    cost = cost_by_loops(cohort.points[:5], cohort.points[5:10])
    np.testing.assert_allclose(distances(cohort)[0, 1], assignment_ot(cost), rtol=1e-9)


def not_below_exact(distances, cohort):
    exact = distances_by("exact", "euclidean")(cohort)
    assert (distances(cohort) >= exact * (1 - 1e-12)).all()


LAW = {name: getattr(laws, name, None) or globals()[name] for name in LAWS}
UNSQUARED = {"triangle", "optimal_assignment", "not_below_exact"}
HELD = [
    (name, law, cost)
    for name, traits in TRAITS.items()
    for law in LAWS
    for cost in COSTS
    if law in traits.laws and not (cost != "euclidean" and law in UNSQUARED)
]
BROKEN = [(name, law) for name, traits in TRAITS.items() for law in LAWS if law not in traits.laws]


def cohorts(law):
    return [COHORTS["uniform"]] if law == "optimal_assignment" else list(COHORTS.values())


@pytest.mark.filterwarnings("ignore:.*stopped before the marginals")
@pytest.mark.parametrize(("name", "law", "cost"), HELD, ids=["-".join(case) for case in HELD])
def test_a_law_of_the_table_holds(name, law, cost):
    for cohort in cohorts(law):
        LAW[law](distances_by(name, cost), cohort)


# Samples one behind the other.
ROW = random_cohort((4, 4, 4), d=1, labels=(0, 1, 2), shift=0.3, seed=3)


def ladder():
    """Two cells side by side in each of three samples: from the first to the last one they are harder to tell apart."""
    cohort = random_cohort((2, 2, 2), d=2)
    cohort.points[:] = [[0, 0], [0, 2], [1, 0], [1, 2], [2, 0], [2, 2]]
    return cohort


def one_between_two():
    """A cell, the same cell and another one at halved weights, and the other one."""
    cohort = random_cohort((1, 2, 1), d=1)
    cohort.points[:] = [[0], [0], [1], [1]]
    return cohort


@pytest.mark.filterwarnings("ignore:.*stopped before the marginals")
@pytest.mark.parametrize(("name", "law"), BROKEN, ids=["-".join(case) for case in BROKEN])
def test_a_law_that_is_not_in_the_table_has_a_counterexample(name, law):
    found = []
    for cohort in [*cohorts(law), *([ROW, ladder(), one_between_two()] if law == "triangle" else [])]:
        try:
            LAW[law](distances_by(name, "euclidean"), cohort)
        except AssertionError:
            found.append(cohort)
    assert found


@pytest.mark.filterwarnings("ignore:.*stopped before the marginals")
@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "exact"])
def test_with_a_unit_a_distance_depends_on_two_samples_only(name):
    for cohort in COHORTS.values():
        laws.depends_on_two_samples_only(distances_by(name, "euclidean", unit=1.5), cohort)


@pytest.mark.parametrize("cost", ["cosine", "cityblock", "chebyshev"])
@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "exact"])
def test_other_ground_costs_keep_the_laws_that_follow_from_no_space(name, cost):
    for law in ("not_negative", "symmetric", "ignores_the_order_of_samples", "ignores_duplicates_of_halved_weight"):
        LAW[law](distances_by(name, cost, tol=1e-12), COHORTS["weighted"])


def test_the_exact_solver_is_the_default():
    assert distances_by("exact", "euclidean")(ROW)[0, 1] == pytest.approx(
        solve_distances(ROW, ROW.points, np.array([[0, 1]]), "euclidean", solver=Exact(), n_jobs=1)[0]
    )
