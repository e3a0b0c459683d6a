import warnings
from typing import get_args

import numpy as np
import ot
import pytest
from _oracles import assignment_ot, cost_by_loops, line_ot, lp_ot

from scggml._core.transport.exact import Backend, Exact
from scggml._core.transport.plans import GROUND_COSTS, GroundCost, Plan, ground_cost


def problem(n, m, seed=0, *, weighted=True):
    rng = np.random.default_rng(seed)
    a, b = (rng.uniform(0.2, 1, size) if weighted else np.ones(size) for size in (n, m))
    return a / a.sum(), b / b.sum(), rng.uniform(0, 3, (n, m))


def dense(plan: Plan, shape):
    out = np.zeros(shape)
    out[plan.source, plan.target] = plan.mass
    return out


@pytest.fixture(params=get_args(Backend))
def exact(request):
    return Exact(backend=request.param)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [1, 2, 17])
def test_equal_sizes_and_weights_are_an_assignment(exact, n, seed):
    a, b, cost = problem(n, n, seed, weighted=False)
    plan = exact.solve(a, b, cost)
    assert plan.cost == pytest.approx(assignment_ot(cost), rel=1e-12)
    assert sorted(plan.source) == sorted(plan.target) == list(range(n))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "m"), [(8, 8), (5, 13), (12, 1)])
def test_the_line_is_solved_by_sorting(exact, n, m, weighted):
    a, b, _ = problem(n, m, weighted=weighted)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal(n), rng.standard_normal(m) + 0.3
    found = exact.solve(a, b, ground_cost(x[:, None], y[:, None], "euclidean")).cost
    assert found == pytest.approx(line_ot(x, y, a, b), rel=1e-12)


@pytest.mark.parametrize("n", [4, 9])
def test_the_squared_cost_on_the_line_pairs_ranks(exact, n):
    a, b, _ = problem(n, n, weighted=False)
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal(n), rng.standard_normal(n)
    found = exact.solve(a, b, ground_cost(x[:, None], y[:, None], "sqeuclidean")).cost
    assert found == pytest.approx(((np.sort(x) - np.sort(y)) ** 2).mean(), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "m"), [(1, 6), (6, 9), (9, 6)])
def test_weights_and_sizes_that_differ_are_a_linear_program(exact, n, m, seed):
    a, b, cost = problem(n, m, seed)
    plan = exact.solve(a, b, cost)
    value, truth = lp_ot(a, b, cost)
    assert plan.cost == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(dense(plan, cost.shape), truth, atol=1e-9)


@pytest.mark.parametrize(("n", "m"), [(7, 7), (6, 11)])
def test_a_plan_is_a_sparse_coupling_and_pays_its_cost(exact, n, m):
    a, b, cost = problem(n, m)
    plan = exact.solve(a, b, cost)
    assert plan.optimal
    assert (plan.mass > 0).all()
    assert len(plan.mass) == len(plan.source) == len(plan.target) <= n + m - 1
    T = dense(plan, cost.shape)
    np.testing.assert_allclose(T.sum(axis=1), a, atol=1e-14)
    np.testing.assert_allclose(T.sum(axis=0), b, atol=1e-14)
    assert plan.cost == pytest.approx((T * cost).sum(), rel=1e-12)


def test_cells_without_weight_take_no_part(exact):
    a, b, cost = problem(4, 5)
    padded = np.insert(cost, 2, 0.0, axis=0)
    plan = exact.solve(np.insert(a, 2, 0.0), b, padded)
    assert 2 not in plan.source
    assert plan.cost == pytest.approx(exact.solve(a, b, cost).cost, rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_small_problems_with_cells_without_weight_are_those_of_pot(exact, seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 9, 2)
    a, b, cost = problem(n, m, seed)
    a[rng.permutation(n)[: n // 2]] = 0.0
    b[rng.permutation(m)[: m // 2]] = 0.0
    a, b = a / a.sum(), b / b.sum()
    plan = exact.solve(a, b, cost)
    kept = np.ix_(a > 0, b > 0)  # POT itself may read beyond its arrays where a weight is 0
    assert plan.cost == pytest.approx(ot.emd2(a[a > 0], b[b > 0], np.ascontiguousarray(cost[kept])), rel=1e-9)
    T = dense(plan, cost.shape)
    np.testing.assert_allclose(T.sum(axis=1), a, atol=1e-12)
    np.testing.assert_allclose(T.sum(axis=0), b, atol=1e-12)


def test_lists_and_other_types_of_numbers_are_arrays(exact):
    a, b, cost = [0.5, 0.5], np.array([0.25, 0.75], dtype=np.float32), [[0, 3], [1, 2]]
    plan = exact.solve(a, b, cost)
    assert plan.cost == pytest.approx(ot.emd2(np.array(a), b.astype(float), np.array(cost, dtype=float)), rel=1e-12)
    for column in (np.asfortranarray(cost), np.array(cost, dtype=np.uint8), np.repeat(cost, 2, axis=0)[::2]):
        assert exact.solve(a, b, column).cost == plan.cost


HALF, UNEVEN, COST = [0.5, 0.5], [0.2, 0.3, 0.5], np.arange(6.0).reshape(2, 3)
FAULTS = {
    "a sum": ([1.0, 1.0], UNEVEN, COST, ValueError, r"^a sums to 2; pass weights that sum to 1, such as a / a\.sum"),
    "no mass": ([0.0, 0.0], UNEVEN, COST, ValueError, "^a sums to 0; pass weights that sum to 1"),
    "negative": (HALF, [0.7, 0.5, -0.2], COST, ValueError, r"^b has negative weights; the first is b\[2\]=-0\.2\."),
    "NaN weight": ([np.nan, 1.0], UNEVEN, COST, ValueError, r"^a has 1 values that are NaN .* the first is a\[0\]"),
    "NaN cost": (
        HALF,
        UNEVEN,
        COST * np.array([1, 1, np.nan]),
        ValueError,
        r"^cost has 2 values .* the first is cost\[0, 2\]",
    ),
    "infinite": (
        HALF,
        UNEVEN,
        COST + np.array([0, np.inf, 0]),
        ValueError,
        r"^cost has 2 values .* first is cost\[0, 1\]",
    ),
    "turned": (HALF, UNEVEN, COST.T, ValueError, r"^cost has shape \(3, 2\), but a has 2 weights and b has 3; pass a"),
    "flat": (HALF, UNEVEN, COST.ravel(), ValueError, r"^cost has shape \(6,\); pass an array \(n, m\) of costs"),
    "column": (np.array([HALF]), UNEVEN, COST, ValueError, r"^a has shape \(1, 2\); pass an array \(n,\) of weights"),
    "number": (1.0, UNEVEN, COST, ValueError, r"^a has shape \(\); pass an array"),
    "empty": ([], UNEVEN, COST[:0], ValueError, r"^a has shape \(0,\); pass an array"),
    "ragged": (HALF, UNEVEN, [[0, 1, 2], [3, 4]], ValueError, "^cost is no regular array"),
    "text": (HALF, ["0.2", "0.3", "0.5"], COST, ValueError, r"^b has shape .* and dtype <U3; pass an array"),
    "None": (None, UNEVEN, COST, ValueError, r"^a has shape .* and dtype object; pass an array"),
    "objects": (HALF, UNEVEN, COST.astype(object), ValueError, r"^cost has shape .* and dtype object; pass an array"),
    "complex": (
        HALF,
        UNEVEN,
        COST + 1j,
        ValueError,
        r"^cost has shape .* and dtype complex128; pass an array .* as real numbers",
    ),
    "truth": ([True, False], UNEVEN, COST, ValueError, r"^a has shape .* and dtype bool; pass an array"),
    "masked": (HALF, UNEVEN, np.ma.masked_greater(COST, 4), ValueError, "^cost is a masked array; pass an array"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_no_problem_of_transport_is_refused(exact, name):
    a, b, cost, error, message = FAULTS[name]
    with pytest.raises(error, match=message):
        exact.solve(a, b, cost)


@pytest.mark.parametrize("unit", [1e-100, 1e-20, 1e-12, 1e-6, 1e6, 1e20, 1e100])
def test_the_unit_of_the_cost_does_not_matter(exact, unit):
    a, b, cost = problem(20, 25)
    found, truth = exact.solve(a, b, unit * cost), exact.solve(a, b, cost)
    assert found.cost == pytest.approx(unit * truth.cost, rel=1e-9, abs=0)
    np.testing.assert_allclose(dense(found, cost.shape), dense(truth, cost.shape), atol=1e-12)


def test_the_cost_is_a_plain_number(exact):
    assert type(exact.solve(*problem(4, 6)).cost) is float


def test_a_cost_of_zero_everywhere_is_solved(exact):
    a, b, cost = problem(4, 6)
    plan = exact.solve(a, b, 0 * cost)
    assert (plan.cost, plan.optimal) == (0.0, True)
    np.testing.assert_allclose(dense(plan, cost.shape).sum(axis=1), a, atol=1e-14)


def test_too_few_pivots_are_told_of():
    a, b, cost = problem(9, 9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of POT; the solver of many pairs has its own
        stopped = Exact(max_iter=1, backend="pot").solve(a, b, cost)
    assert not stopped.optimal
    with pytest.raises(
        RuntimeError, match=r"Exact\(max_iter=1\) did not reach the optimal plan between the two samples"
    ):
        Exact(max_iter=1).solve(a, b, cost)


@pytest.mark.parametrize("max_iter", [0, -5])
def test_a_limit_below_one_pivot_is_refused(max_iter):
    with pytest.raises(ValueError, match=rf"Exact: max_iter={max_iter} must be at least 1 pivot; the default"):
        Exact(max_iter=max_iter)


def test_the_ground_costs_are_the_names_of_the_type():
    assert GROUND_COSTS == get_args(GroundCost)


ENTRIES = {
    "euclidean": lambda x, y: np.sqrt(((x - y) ** 2).sum()),
    "sqeuclidean": lambda x, y: ((x - y) ** 2).sum(),
    "cosine": lambda x, y: 1 - x @ y / np.sqrt((x @ x) * (y @ y)),
    "cityblock": lambda x, y: np.abs(x - y).sum(),
    "chebyshev": lambda x, y: np.abs(x - y).max(),
}


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("metric", GROUND_COSTS)
def test_ground_costs_are_their_formulas(metric, precision):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((4, 3)).astype(precision), rng.standard_normal((5, 3)).astype(precision)
    cost = ground_cost(x, y, metric)
    truth = [[ENTRIES[metric](u, v) for v in y.astype(np.float64)] for u in x.astype(np.float64)]
    assert cost.dtype == np.float64
    np.testing.assert_allclose(cost, truth, rtol=1e-12)


def test_the_costs_of_the_oracle_are_those_of_the_formulas():
    rng = np.random.default_rng(4)
    x, y, W = rng.standard_normal((4, 3)), rng.standard_normal((5, 3)), rng.standard_normal((2, 3))
    for metric, squared in (("euclidean", False), ("sqeuclidean", True)):
        np.testing.assert_allclose(ground_cost(x, y, metric), cost_by_loops(x, y, squared=squared))
        np.testing.assert_allclose(ground_cost(x @ W.T, y @ W.T, metric), cost_by_loops(x, y, W, squared=squared))


def test_the_origin_has_no_direction_and_cosine_one_to_all_but_itself():
    x = np.array([[0.0, 0.0], [1.0, 0.0]])
    y = np.array([[0.0, 2.0], [3.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(ground_cost(x, y, "cosine"), [[1, 1, 1, 0], [1, 0, 2, 1]], atol=1e-15)


def test_the_cosine_distance_of_a_cell_to_itself_is_never_below_zero():
    x = np.random.default_rng(5).uniform(0, 1, (200, 30))
    diagonal = ground_cost(x, x, "cosine").diagonal()
    assert (diagonal >= 0).all()
    np.testing.assert_allclose(diagonal, 0.0, atol=1e-14)
