"""Sinkhorn divergences against their definition by the plans of POT."""

import numpy as np
import ot
import pytest
from _oracles import cloud, random_cohort

from scggml._core.transport.divergence import SinkhornDivergence
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_distances
from scggml._core.transport.plans import ground_cost
from scggml._core.transport.sinkhorn import Sinkhorn

pytest.importorskip("torch")

COHORT = random_cohort((9, 12, 1, 7), d=3, weighted=True)
PAIRS = all_pairs(4)


def objective(p, q, cost, reg):
    (x, a), (y, b) = cloud(COHORT, p), cloud(COHORT, q)
    C = ground_cost(x, y, cost)
    T = ot.sinkhorn(a, b, C, reg=reg, stopThr=1e-13, numItermax=200_000, warn=False)
    return (T * C).sum() + reg * (T * np.log(T / np.outer(a, b))).sum()


@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean"])
def test_it_is_entropic_transport_less_half_of_that_to_itself(cost):
    solver = SinkhornDivergence(epsilon=0.3, unit=2.0, tol=1e-9, max_iter=20_000)
    found = solve_distances(COHORT, COHORT.points, PAIRS, cost, solver=solver, n_jobs=1)
    own = [objective(p, p, cost, 0.6) for p in range(4)]
    truth = [objective(p, q, cost, 0.6) - (own[p] + own[q]) / 2 for p, q in PAIRS]
    np.testing.assert_allclose(found, truth, rtol=1e-6)


@pytest.mark.parametrize("epsilon", [0.5, 0.02])
def test_equal_samples_are_at_distance_0_at_the_usual_tolerance(epsilon):
    twice = COHORT.take(np.array([0, 0, 1, 1]))
    pairs = all_pairs(4)
    found = solve_distances(
        twice, twice.points, pairs, "euclidean", solver=SinkhornDivergence(epsilon=epsilon), n_jobs=1
    )
    np.testing.assert_allclose(found[[0, 5]], 0.0, atol=1e-14)
    assert (found[1:5] > 0.01).all()


def test_epsilon_leads_from_the_exact_to_the_energy_distance():
    values = {
        epsilon: solve_distances(
            COHORT, COHORT.points, PAIRS, "euclidean", n_jobs=1,
            solver=SinkhornDivergence(epsilon=epsilon, tol=1e-6, max_iter=50_000),
        )
        for epsilon in (0.002, 1000.0)
    }  # fmt: skip
    exact = solve_distances(COHORT, COHORT.points, PAIRS, "euclidean", solver=Exact(), n_jobs=1)
    np.testing.assert_allclose(values[0.002], exact, rtol=5e-3)
    energy = []
    for p, q in PAIRS:
        clouds = [cloud(COHORT, s) for s in (p, q)]
        means = [[a @ ground_cost(x, y, "euclidean") @ b for y, b in clouds] for x, a in clouds]
        energy.append(means[0][1] - (means[0][0] + means[1][1]) / 2)
    np.testing.assert_allclose(values[1000.0], energy, rtol=1e-3)


def test_plans_are_those_of_the_first_term_and_values_those_of_the_divergence():
    one = SinkhornDivergence().transport(COHORT, n_jobs=1)
    other = Sinkhorn().transport(COHORT, n_jobs=1)
    values = one.solve(COHORT.points, PAIRS, "euclidean")
    other.solve(COHORT.points, PAIRS, "euclidean")
    for part in (slice(None), slice(2, 5)):
        found, truth = one.plans(part), other.plans(part)
        np.testing.assert_array_equal(found.pairs, PAIRS[part])
        np.testing.assert_array_equal(found.values, values[part])
        np.testing.assert_array_equal(found.source, truth.source)
        np.testing.assert_allclose(found.mass, truth.mass, rtol=1e-9)


def test_a_matrix_of_costs_is_not_enough():
    with pytest.raises(TypeError, match=r"SinkhornDivergence needs the cells of both samples.*Sinkhorn\(\)\.solve"):
        SinkhornDivergence().solve([1.0], [1.0], [[1.0]])
