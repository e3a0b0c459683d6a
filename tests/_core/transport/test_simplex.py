"""The network simplex against POT, exact whole numbers and proofs of optimality; a hang would be a limit of pivots."""

from decimal import Decimal, getcontext
from fractions import Fraction
from math import gcd

import numpy as np
import pytest
from _hard import SHAPES, WEIGHTS, careful_cost, cohort_of, each, hard_cohort, lower_bound, pot_values
from _oracles import line_ot
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from scggml._core.transport import simplex
from scggml._core.transport.exact import Exact
from scggml._core.transport.masses import clouds_of
from scggml._core.transport.pairs import all_pairs
from scggml._core.transport.plans import GROUND_COSTS
from scggml._core.transport.warm import MODES, Warm, prepared, solve_once

fill = simplex._fill


def limit(cohort):
    """Pivots that are never needed, at any size."""
    return 200 * 2 * int(cohort.sizes.max())


def solve(cohort, cost, pairs=None):
    pairs = all_pairs(cohort.n_samples) if pairs is None else pairs
    return solve_once(cohort, cohort.points, pairs, cost, limit(cohort))


# As POT, on all that is hard

SIZES = [(7, 7, 7, 7), (1, 12, 5, 18)]


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_distances_are_those_of_pot(shape, weights):
    for cost in GROUND_COSTS:
        for seed, sizes in enumerate(SIZES):
            for d in (1, 3):
                cohort = hard_cohort(shape, weights, sizes, d, seed)
                truth = pot_values(cohort, all_pairs(4), cost)
                nothing = 1e-15 * truth.max()  # equal samples whose weights differ in the last digit
                np.testing.assert_allclose(solve(cohort, cost), truth, rtol=1e-9, atol=nothing, err_msg=f"{cost} {d}")


@pytest.mark.parametrize("cost", GROUND_COSTS)
@pytest.mark.parametrize("weights", ["uniform", "from 1e-6 to 1"])
def test_larger_samples_of_many_features_are_those_of_pot(cost, weights):
    cohort = hard_cohort("normal", weights, (90, 150, 90), 40, 3)
    np.testing.assert_allclose(solve(cohort, cost), pot_values(cohort, all_pairs(3), cost), rtol=1e-9)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_costs_from_nothing_to_1e12_in_one_matrix(weights):
    rng = np.random.default_rng(0)
    for seed in range(20):
        n, m = rng.integers(2, 15, 2)
        cost = 10.0 ** rng.integers(0, 13, (n, m)) * (rng.random((n, m)) < 0.7)
        a, b = (WEIGHTS[weights](np.random.default_rng(seed), size) for size in (n, m))
        a, b = a / a.sum(), b / b.sum()
        plan = Exact(max_iter=limit(cohort_of([cost]))).solve(a, b, cost)
        truth = Exact(backend="pot").solve(a, b, cost).cost
        # digits of the largest cost are what there is of the sum
        assert plan.cost == pytest.approx(truth, rel=1e-9, abs=1e-14 * cost.max())
        assert Exact().solve(a, b, 0 * cost).cost == 0.0


# Exactly, in whole numbers


def whole(cohort, p, q):
    """Whole masses of two samples of equal weights."""
    n, m = int(cohort.sizes[p]), int(cohort.sizes[q])
    total = n // gcd(n, m) * m
    return np.full(n, total // n), np.full(m, total // m), total


POINTS = st.integers(1, 9).flatmap(
    lambda n: st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=n, max_size=n)
)


@given(POINTS, POINTS, st.sampled_from(["sqeuclidean", "cityblock", "chebyshev"]), st.sampled_from([1, 2**20, 2**-40]))
@settings(max_examples=400)
def test_on_a_grid_the_answer_is_exact_and_proved(x, y, cost, unit):
    cohort = cohort_of([np.array(x, dtype=float), np.array(y, dtype=float)])
    C = careful_cost(np.array(x), np.array(y), cost).astype(np.int64)
    transport = Warm(cohort, max_iter=limit(cohort), cache_size=1.0, n_jobs=1)
    (value,) = transport.solve(unit * cohort.points, all_pairs(2), cost)
    plans = transport.plans()
    a, b, total = whole(cohort, 0, 1)
    T = np.zeros(C.shape, dtype=np.int64)
    np.add.at(T, (plans.source, plans.target - len(x)), np.rint(plans.mass * total).astype(np.int64))
    np.testing.assert_array_equal(T.sum(axis=1), a)
    np.testing.assert_array_equal(T.sum(axis=0), b)
    spent = int((T * C).sum())
    assert spent == int(lower_bound(a, b, C, T))
    degree = 2 if cost == "sqeuclidean" else 1
    truth = Fraction(spent, total) * Fraction(unit) ** degree
    assert value == pytest.approx(float(truth), rel=1e-15)


NUMBERS = st.floats(-1e3, 1e3).map(lambda number: round(number, 3))
WEIGHT = st.floats(1e-6, 1.0)


@st.composite
def samples(draw):
    d = draw(st.integers(1, 3))
    cells = st.lists(st.tuples(*[NUMBERS] * d, WEIGHT), min_size=1, max_size=8)
    return [np.array(draw(cells)) for _ in range(2)]


@given(samples(), st.sampled_from(GROUND_COSTS))
@settings(max_examples=300)
def test_any_answer_is_a_coupling_with_a_proof_that_none_is_cheaper(drawn, cost):
    cohort = cohort_of([x[:, :-1] for x in drawn], [x[:, -1] for x in drawn])
    transport = Warm(cohort, max_iter=limit(cohort), cache_size=1.0, n_jobs=1)
    (value,) = transport.solve(cohort.points, all_pairs(2), cost)
    plans = transport.plans()
    ((a, b, x, y),) = each(cohort, all_pairs(2))
    C = careful_cost(x, y, cost)
    T = np.zeros(C.shape)
    T[plans.source, plans.target - len(x)] = plans.mass
    np.testing.assert_allclose(T.sum(axis=1), a, atol=1e-14)
    np.testing.assert_allclose(T.sum(axis=0), b, atol=1e-14)
    assert np.count_nonzero(T) <= len(a) + len(b) - 1
    rounding = 1e-14 * C.max()
    assert value == pytest.approx((T * C).sum(), rel=1e-12, abs=rounding)
    assert value <= lower_bound(a, b, C, T) + 1e-9 * value + rounding


# Where digits are few


def test_small_angles_are_told_apart_where_one_minus_the_cosine_has_no_digits_left():
    getcontext().prec = 50
    x, y = np.array([[1.0, 1e-5]]), np.array([[1.0, 3e-5]])
    u, v = ([Decimal(float(c)) for c in z[0]] for z in (x, y))
    norms = (u[0] ** 2 + u[1] ** 2).sqrt() * (v[0] ** 2 + v[1] ** 2).sqrt()
    truth = float(1 - (u[0] * v[0] + u[1] * v[1]) / norms)
    assert solve(cohort_of([x, y]), "cosine")[0] == pytest.approx(truth, rel=1e-9)
    usual = 1 - (x[0] @ y[0]) / (np.linalg.norm(x) * np.linalg.norm(y))
    assert abs(usual - truth) > 1e-8 * truth


@pytest.mark.parametrize(("far", "cost"), [(1e7, "euclidean"), (1e3, "sqeuclidean"), (1e5, "sqeuclidean")])
def test_a_far_cell_in_each_sample_costs_the_others_no_digit(far, cost):
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = (np.append(rng.standard_normal(6), far) for _ in range(2))
        found = solve(cohort_of([x[:, None], y[:, None]]), cost)[0]
        moves = np.abs(np.sort(x) - np.sort(y))
        assert found == pytest.approx((moves**2 if cost == "sqeuclidean" else moves).mean(), rel=1e-9)


@pytest.mark.parametrize("far", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean"])
def test_a_far_sample_costs_the_others_no_digit(cost, far):
    rng = np.random.default_rng(1)
    clouds = [rng.standard_normal((9, 2)) for _ in range(4)]
    alone = cohort_of(clouds)
    crowd = cohort_of([*clouds, far + clouds[0], far - 3 * clouds[1]])
    found = solve(crowd, cost, all_pairs(4))
    np.testing.assert_allclose(found, solve(alone, cost), rtol=1e-12)


@pytest.mark.parametrize("small", [1e-12, 1e-18, 1e-25, 1e-40])
@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean", "cityblock"])
def test_costs_that_single_precision_cannot_hold_are_compared_in_double(cost, small):
    """Two samples near the middle of a cohort that is very much wider."""
    rng = np.random.default_rng(2)
    clouds = [rng.standard_normal((12, 2)) for _ in range(2)]
    ends = [np.array([[1.0, 1.0]]), np.array([[-1.0, -1.0]])]
    truth = solve(cohort_of(clouds), cost)[0] * small ** (2 if cost == "sqeuclidean" else 1)
    found = solve(cohort_of([*(small * (x - x.mean(axis=0)) for x in clouds), *ends]), cost, np.array([[0, 1]]))
    shifted = solve(cohort_of([x - x.mean(axis=0) for x in clouds]), cost)[0]
    np.testing.assert_allclose(found[0], shifted * small ** (2 if cost == "sqeuclidean" else 1), rtol=1e-9)
    assert truth > 0


@pytest.mark.parametrize("unit", [1e-250, 1e-200, 1e-160, 1e160, 1e200, 1e250])
@pytest.mark.parametrize("cost", ["euclidean", "cosine", "cityblock", "chebyshev"])
def test_coordinates_whose_squares_are_no_numbers(cost, unit):
    cohort = hard_cohort("normal", "from 1e-6 to 1", (8, 11, 6), 3, 4)
    scaled = cohort_of([unit * x for x in np.split(cohort.points, cohort.offsets[1:-1])])
    plain = cohort_of(np.split(cohort.points, cohort.offsets[1:-1]))
    factor = 1 if cost == "cosine" else unit
    np.testing.assert_allclose(solve(scaled, cost), solve(plain, cost) * factor, rtol=1e-12)


# Deep trees, where a potential is the sum of many roundings


@pytest.mark.parametrize("weights", ["uniform", "from 1e-6 to 1", "few different"])
@pytest.mark.parametrize("step", [0.1, 0.0])
def test_a_long_line_is_solved_with_few_pivots(step, weights):
    rng = np.random.default_rng(5)
    x, y = (step * np.arange(n) + (rng.standard_normal(n) if step == 0 else 0) for n in (600, 500))
    cohort = cohort_of([x[:, None], y[:, None]], [WEIGHTS[weights](rng, n) for n in (600, 500)])
    truth = line_ot(x, y, cohort.weights[:600], cohort.weights[600:])
    found = solve_once(cohort, cohort.points, np.array([[0, 1]]), "euclidean", 20 * 1100)
    assert found[0] == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("cost", GROUND_COSTS)
def test_nothing_but_ties(cost):
    rng = np.random.default_rng(6)
    cohort = cohort_of([rng.integers(0, 3, (n, 2)).astype(float) for n in (300, 300, 299)])
    np.testing.assert_allclose(
        solve_once(cohort, cohort.points, all_pairs(3), cost, 6000), pot_values(cohort, all_pairs(3), cost), rtol=1e-9
    )


@pytest.mark.parametrize("n", [60, 300])
@pytest.mark.parametrize("far", [1e3, 1e4, 1e5, 1e6])
def test_a_far_cell_in_each_sample_costs_the_squared_distance_no_digit(n, far):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((2, n))
        x[0] += far
        y[0] += far
        truth = np.mean((np.sort(x) - np.sort(y)) ** 2)
        found = solve(cohort_of([x[:, None], y[:, None]]), "sqeuclidean")[0]
        np.testing.assert_allclose(found, truth, rtol=1e-9)


# Single precision is only ever a filter


@pytest.mark.parametrize("mode", ["euclidean", "sqeuclidean", "cityblock", "chebyshev"])
@pytest.mark.parametrize("d", [1, 5, 40, 700])
def test_costs_in_single_precision_are_as_close_as_the_bound_of_rounding_says(mode, d):
    rng = np.random.default_rng(d)
    for shift in (0.0, 3.0, 1e4):
        x = rng.standard_normal((40, d)) + shift
        y = np.where(rng.random((40, d)) < 0.5, x, rng.standard_normal((40, d)) + shift)
        cohort = cohort_of([x, y, 30 * rng.standard_normal((5, d))])
        cells = prepared(clouds_of(cohort), cohort.points, mode)
        C, part = np.empty((40, 40), dtype=np.float32), np.empty(80, dtype=np.float32)
        rows = (slice(0, 40), slice(40, 80))
        found = filled(MODES[mode], cells, rows, C, part)
        unit = cells.unit ** (2 if mode == "sqeuclidean" else 1)
        truth = careful_cost(x, y, mode) / unit
        reach = cells.reach[0] + cells.reach[1]
        assert truth.max() <= reach * (1 + 1e-12)
        assert np.abs(found - truth).max() <= simplex.UNIT * (24 + d / 16) * reach + simplex.FAINT


@njit(error_model="numpy")
def call(mode, samples, singles, C, part):
    fill(mode, samples[0], samples[1], singles[0], singles[1], C, part)


def filled(mode, cells, rows, C, part):
    """Costs in single precision as the solver prices with them."""
    turned = np.ascontiguousarray(cells.turned[:, rows[1]])
    call(mode, (cells.points[rows[0]], cells.points[rows[1]]), (cells.singles[rows[0]], turned), C, part)
    return C.astype(np.float64)


def test_a_limit_of_pivots_raises_and_never_gives_a_wrong_answer():
    cohort = hard_cohort("normal", "uniform", (30, 25), 3, 7)
    truth = solve(cohort, "euclidean")[0]
    answers = []
    for most in (1, 3, 10, 30, 100, 1000):
        try:
            answers.append(solve_once(cohort, cohort.points, all_pairs(2), "euclidean", most)[0])
        except RuntimeError:
            assert not answers
    assert answers
    np.testing.assert_array_equal(answers, truth)
