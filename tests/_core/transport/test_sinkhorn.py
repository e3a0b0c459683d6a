"""Entropic transport against POT, against the exact optimum, and against its own definition."""

from itertools import pairwise

import numpy as np
import ot
import pytest
from _oracles import cloud, random_cohort
from hypothesis import given, settings
from hypothesis import strategies as st

from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_distances
from scggml._core.transport.plans import GROUND_COSTS, ground_cost
from scggml._core.transport.sinkhorn import Sinkhorn
from scggml._core.transport.typical import typical_cost

pytest.importorskip("torch")

COHORT = random_cohort((9, 14, 1, 11), d=3, weighted=True)
PAIRS = all_pairs(4)
TIGHT = {"epsilon": 0.1, "tol": 1e-12, "max_iter": 20_000}


def values_of(solver, cohort=COHORT, cost="euclidean", pairs=PAIRS):
    return solve_distances(cohort, cohort.points, pairs, cost, solver=solver, n_jobs=1)


def problem(p, q, cost):
    (x, a), (y, b) = cloud(COHORT, p), cloud(COHORT, q)
    return a, b, ground_cost(x, y, cost)


@pytest.mark.parametrize("cost", GROUND_COSTS)
def test_plans_and_objective_are_those_of_pot(cost):
    unit = typical_cost(COHORT, COHORT.points, PAIRS, cost)
    transport = Sinkhorn(**TIGHT).transport(COHORT, n_jobs=1)
    values = transport.solve(COHORT.points, PAIRS, cost)
    for e, (p, q) in enumerate(PAIRS):
        a, b, C = problem(p, q, cost)
        T = ot.sinkhorn(a, b, C, reg=0.1 * unit, stopThr=1e-13, numItermax=100_000)
        kl = (T * np.log(T / np.outer(a, b))).sum()
        assert values[e] == pytest.approx((T * C).sum(), rel=1e-8)
        assert transport.regularized[e] == pytest.approx((T * C).sum() + 0.1 * unit * kl, rel=1e-8)
        plan = Sinkhorn(**TIGHT, unit=unit).solve(a, b, C)
        dense = np.zeros_like(C)
        dense[plan.source, plan.target] = plan.mass
        np.testing.assert_allclose(dense, T, atol=2e-4 / len(a))  # without the faintest entries


@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean"])
def test_towards_epsilon_0_the_value_falls_to_the_exact_one(cost):
    exact = values_of(Exact(), cost=cost)
    excess = []
    for epsilon in (0.4, 0.1, 0.025, 0.00625):
        found = values_of(Sinkhorn(epsilon=epsilon, tol=1e-7, max_iter=50_000), cost=cost)
        assert (found >= exact * (1 - 1e-12)).all()
        excess.append((found / exact - 1).max())
    # at least in proportion to epsilon, once the blur is smaller than the distance between cells
    assert all(after < before / 3 for before, after in pairwise(excess[1:]))
    assert excess[-1] < 2e-3


@given(
    st.lists(st.integers(1, 7), min_size=2, max_size=4),
    st.sampled_from([0.5, 0.05, 0.003]),
    st.sampled_from([1, 3, 40]),
    st.sampled_from(["euclidean", "sqeuclidean"]),
    st.integers(0, 1000),
)
@settings(max_examples=25)
@pytest.mark.filterwarnings("ignore:.*stopped before the marginals")
def test_a_value_is_never_below_the_exact_one_however_early_iterations_stop(sizes, epsilon, max_iter, cost, seed):
    cohort = random_cohort(sizes, d=2, weighted=True, seed=seed)
    pairs = all_pairs(len(sizes))
    exact = values_of(Exact(), cohort, cost, pairs)
    found = values_of(Sinkhorn(epsilon=epsilon, max_iter=max_iter), cohort, cost, pairs)
    assert (found >= exact * (1 - 1e-9)).all()


def test_plans_have_exact_marginals_and_add_up_to_their_values():
    transport = Sinkhorn(tol=0.1).transport(COHORT, n_jobs=1)
    rough = transport.solve(COHORT.points, PAIRS, "euclidean")
    plans = transport.plans()
    assert (plans.mass > 0).all()
    for e, (p, q) in enumerate(PAIRS):
        own = plans.owner == e
        for side, sample in ((plans.source, p), (plans.target, q)):
            masses = np.bincount(side[own], plans.mass[own], len(COHORT.weights))
            rows = slice(COHORT.offsets[sample], COHORT.offsets[sample + 1])
            np.testing.assert_allclose(masses[rows], COHORT.weights[rows], atol=1e-15)
            assert masses.sum() == pytest.approx(1)
        places = np.stack([plans.source[own], plans.target[own]])
        assert len(np.unique(places, axis=1).T) == own.sum()
        moves = np.linalg.norm(COHORT.points[plans.source[own]] - COHORT.points[plans.target[own]], axis=1)
        assert plans.values[e] == pytest.approx((plans.mass[own] * moves).sum())
    np.testing.assert_allclose(plans.values, rough, rtol=0.02)
    part = transport.plans(slice(1, 3))
    np.testing.assert_array_equal(part.pairs, PAIRS[1:3])
    np.testing.assert_allclose(part.values, plans.values[1:3], rtol=1e-13)


def test_from_known_potentials_the_values_are_those_from_none():
    rng = np.random.default_rng(0)
    warm = Sinkhorn(tol=1e-9, max_iter=50_000).transport(COHORT, n_jobs=1)
    for size in (0.0, 0.01, 0.3):
        points = COHORT.points + size * rng.standard_normal(COHORT.points.shape)
        cold = Sinkhorn(tol=1e-9, max_iter=50_000).transport(COHORT, n_jobs=1)
        found, truth = (t.solve(points, PAIRS, "euclidean") for t in (warm, cold))
        np.testing.assert_allclose(found, truth, rtol=1e-7)
        fork = warm.fork(1)
        np.testing.assert_allclose(fork.solve(points, PAIRS[2:5], "euclidean").shape, (3,))
    np.testing.assert_allclose(warm.values, found)


def test_without_room_for_potentials_nothing_changes_but_the_work():
    roomy, narrow = (Sinkhorn(cache_size=size).transport(COHORT, n_jobs=1) for size in (1.0, 0.0))
    slopes = np.random.default_rng(1).standard_normal(len(PAIRS))
    for transport in (roomy, narrow):
        transport.solve(COHORT.points, PAIRS, "sqeuclidean")
    np.testing.assert_array_equal(roomy.values, narrow.values)
    np.testing.assert_array_equal(roomy.gradient(slopes), narrow.gradient(slopes))
    again = narrow.solve(COHORT.points, PAIRS, "sqeuclidean")  # from nothing, as there was no room
    np.testing.assert_array_equal(again, roomy.values)


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_numbers_do_not_depend_on_the_number_of_threads(n_jobs):
    cohort = random_cohort((60, 70, 65, 30, 80), d=3)
    pairs, slopes = all_pairs(5), np.arange(10.0)
    one, more = (Sinkhorn().transport(cohort, n_jobs=n) for n in (1, n_jobs))
    np.testing.assert_array_equal(
        *(transport.solve(cohort.points, pairs, "euclidean") for transport in (one, more)), strict=True
    )
    np.testing.assert_array_equal(one.gradient(slopes), more.gradient(slopes))


def test_cells_that_are_far_from_all_others_do_not_underflow():
    cohort = random_cohort((6, 8, 5), d=2)
    cohort.points[0] += 1e6
    pairs = all_pairs(3)
    found = values_of(Sinkhorn(epsilon=0.02, unit=1.0, max_iter=20_000), cohort, "euclidean", pairs)
    np.testing.assert_allclose(found, values_of(Exact(), cohort, "euclidean", pairs), rtol=0.05)


def test_cells_at_one_place_are_at_distance_0():
    cohort = random_cohort((3, 4), d=2)
    cohort.points[:] = 7.0
    transport = Sinkhorn().transport(cohort, n_jobs=1)
    for cost in GROUND_COSTS:
        np.testing.assert_allclose(transport.solve(cohort.points, np.array([[0, 1]]), cost), 0.0, atol=1e-12)
    transport.solve(cohort.points, np.array([[0, 1]]), "euclidean")
    np.testing.assert_array_equal(transport.gradient(np.ones(1)), 0.0)


def test_no_pairs_are_no_work():
    transport = Sinkhorn().transport(COHORT, n_jobs=1)
    none = np.empty((0, 2), dtype=np.int64)
    assert transport.solve(COHORT.points, none, "euclidean").shape == (0,)
    assert transport.gradient(np.empty(0)).shape == COHORT.points.shape
    assert transport.plans().mass.shape == (0,)


def test_pairs_that_do_not_fit_are_named_with_the_error():
    solver = Sinkhorn(epsilon=0.002, tol=1e-9, max_iter=20)
    with pytest.warns(UserWarning, match=r"before the marginals of . pair.*\('s0', 's1'\).*largest error is \d"):
        values_of(solver)
    with pytest.warns(UserWarning, match=r"fitted to tol=1e-09: .* raise max_iter, epsilon or tol"):
        solver.transport(COHORT, n_jobs=1).solve(COHORT.points, PAIRS, "euclidean")
    values, fitted = Sinkhorn().distances(COHORT, COHORT.points, PAIRS, "euclidean")
    assert fitted.all()
    np.testing.assert_allclose(values, values_of(Sinkhorn()), rtol=1e-13)
    a, b, C = problem(0, 1, "euclidean")
    assert not solver.solve(a, b, C).optimal
    assert Sinkhorn().solve(a, b, C).optimal


def test_problems_that_are_none_are_refused():
    a, b, C = problem(0, 1, "euclidean")
    with pytest.raises(ValueError, match=r"cost has shape \(14, 9\), but a has 9 weights"):
        Sinkhorn().solve(a, b, C.T)
    with pytest.raises(ValueError, match=r"a sums to 2"):
        Sinkhorn().solve(2 * a, b, C)


def test_a_device_that_is_not_there_is_refused_with_those_that_are():
    torch = pytest.importorskip("torch")
    if torch.backends.mps.is_available():
        pytest.skip("there is an mps device")
    with pytest.raises(ValueError, match=r"device='mps' is not available to torch here; choose from 'cpu'"):
        Sinkhorn(device="mps").require()


def test_ground_costs_without_a_gradient_are_refused():
    transport = Sinkhorn().transport(COHORT, n_jobs=1)
    transport.solve(COHORT.points, PAIRS, "cosine")
    with pytest.raises(ValueError, match=r"'cosine' has no gradient here"):
        transport.gradient(np.ones(6))
