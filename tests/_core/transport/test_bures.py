"""Gaussians in closed form: values of POT, gradients by differences, scatters by plans, laws of a metric."""

from dataclasses import replace

import numpy as np
import ot
import pytest
from scipy.linalg import sqrtm
from scipy.optimize import approx_fprime
from scipy.sparse import coo_array

from scggml._core.cohort import from_clouds
from scggml._core.learn.choice import summarize
from scggml._core.learn.objective import Objective, Problem
from scggml._core.learn.scatter import Scatter, scatters
from scggml._core.transport.bures import Bures, Moments
from scggml._core.transport.exact import Exact
from scggml._core.transport.gaussian import Gaussian
from scggml._core.transport.pairs import all_pairs, distance_matrix, solve_distances, solve_plans
from scggml._core.transport.plans import GROUND_COSTS
from scggml._core.transport.products import project

PAIRS = all_pairs(5)
COSTS = ["euclidean", "sqeuclidean"]


def moments(points, weights):
    mean = weights @ points / weights.sum()
    return mean, (points - mean).T @ ((weights / weights.sum())[:, None] * (points - mean))


@pytest.fixture
def cells():
    """Samples of 30, 20, 4, 1 and 25 weighted cells of 6 features: fewer than needed for a full covariance, too."""
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(n, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6) for n in (30, 20, 4, 1, 25)]
    cohort = from_clouds(clouds, np.array([0, 0, 1, 1, 1]))
    weights = rng.uniform(0.2, 1.0, len(cohort.points))
    weights[3] = 0.0
    return replace(cohort, weights=weights / np.repeat(np.add.reduceat(weights, cohort.offsets[:-1]), cohort.sizes))


@pytest.fixture
def gaussians(cells):
    return summarize(cells, Gaussian(), np.random.default_rng(0))


@pytest.fixture(name="W")
def components():
    return np.random.default_rng(1).normal(size=(3, 6))


def test_points_of_a_gaussian_have_the_moments_of_the_cells(cells, gaussians):
    assert gaussians.gaussian
    assert list(gaussians.sizes) == [7, 7, 4, 1, 7]
    for before, after in zip(cells.spans(np.arange(5)), gaussians.spans(np.arange(5)), strict=True):
        found = moments(gaussians.points[after], gaussians.weights[after])
        for one, other in zip(found, moments(cells.points[before], cells.weights[before]), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
        assert gaussians.weights[after].sum() == pytest.approx(1)
        assert (gaussians.weights[after] > 0).all()


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("projected", [False, True])
def test_values_are_those_of_pot(cells, gaussians, W, cost, projected):
    L = W if projected else np.eye(6)
    found = solve_distances(gaussians, project(gaussians.points, L), PAIRS, cost, solver=Exact(), n_jobs=2)
    spans = cells.spans(np.arange(5))
    regular = [0, 1, 2, 4] if projected else [0, 1, 4]  # of the others POT takes roots of eigenvalues below 0
    for (p, q), value in zip(PAIRS, found, strict=True):
        if p not in regular or q not in regular:
            continue
        (m, S), (n, T) = (moments(cells.points[spans[s]] @ L.T, cells.weights[spans[s]]) for s in (p, q))
        truth = float(ot.gaussian.bures_wasserstein_distance(m, n, S, T))
        assert value == pytest.approx(truth if cost == "euclidean" else truth**2, rel=1e-8)


@pytest.mark.parametrize("cost", COSTS)
def test_a_sample_of_one_cell_is_at_the_mean_square_distance(gaussians, cost):
    found = solve_distances(gaussians, gaussians.points, np.array([[2, 3]]), cost, solver=Exact(), n_jobs=1)
    few, one = gaussians.spans(np.array([2, 3]))
    squares = ((gaussians.points[few] - gaussians.points[one]) ** 2).sum(axis=1)
    truth = gaussians.weights[few] @ squares
    assert found[0] == pytest.approx(truth if cost == "sqeuclidean" else np.sqrt(truth), rel=1e-10)


def test_one_feature_has_the_formula_of_means_and_deviations(gaussians):
    z = gaussians.points[:, :1].astype(np.float64)
    found = solve_distances(gaussians, z, PAIRS, "sqeuclidean", solver=Exact(), n_jobs=1)
    numbers = [moments(z[own], gaussians.weights[own]) for own in gaussians.spans(np.arange(5))]
    for (p, q), value in zip(PAIRS, found, strict=True):
        (m, S), (n, T) = numbers[p], numbers[q]
        assert value == pytest.approx(float(((m - n) ** 2 + (np.sqrt(S) - np.sqrt(T)) ** 2).item()), rel=1e-10)


@pytest.mark.parametrize("cost", COSTS)
def test_the_gradient_is_that_of_the_value(gaussians, W, cost):
    slopes = np.random.default_rng(2).normal(size=len(PAIRS))
    transport = Moments(gaussians, n_jobs=1)

    def value(flat):
        return float(slopes @ transport.solve(gaussians.points @ flat.reshape(W.shape).T, PAIRS, cost))

    numeric = approx_fprime(W.ravel(), value, 1e-6).reshape(W.shape)
    value(W.ravel())
    exact = transport.gradient(slopes).T @ gaussians.points
    np.testing.assert_allclose(exact, numeric, atol=1e-4 * np.abs(numeric).max())


@pytest.mark.parametrize("squared", [False, True])
def test_the_objective_of_triplets_has_the_gradient_of_its_value(gaussians, W, squared):
    objective = Objective(5.0, reg=0.1, squared=squared)
    problem = Problem(objective, gaussians)

    def value(flat):
        return problem.evaluate(objective, flat.reshape(W.shape)).value

    numeric = approx_fprime(W.ravel(), value, 1e-6).reshape(W.shape)
    found = problem.evaluate(objective, W)
    assert found.active > 0
    np.testing.assert_allclose(found.gradient, numeric, atol=1e-4 * np.abs(numeric).max())


@pytest.mark.parametrize("cost", COSTS)
def test_plans_have_the_marginals_and_cost_the_distance(gaussians, W, cost):
    Z = project(gaussians.points, W)
    plans = solve_plans(gaussians, Z, PAIRS, cost, solver=Exact(), n_jobs=1)
    values = plans.values**2 if cost == "euclidean" else plans.values
    squares = ((Z[plans.source] - Z[plans.target]) ** 2).sum(axis=1)
    np.testing.assert_allclose(np.bincount(plans.owner, plans.mass * squares), values, rtol=1e-9)
    for e, (p, q) in enumerate(PAIRS):
        own = plans.owner == e
        for s, rows in ((p, plans.source), (q, plans.target)):
            found = np.bincount(rows[own], plans.mass[own], len(Z))[gaussians.spans(np.array([s]))[0]]
            np.testing.assert_allclose(found, gaussians.weights[gaussians.spans(np.array([s]))[0]], atol=1e-12)


def test_the_map_is_the_optimal_one_between_gaussians(gaussians, W):
    """Covariance of both under T = S^-1/2 (S^1/2 R S^1/2)^1/2 S^-1/2, which is S T where S is regular."""
    Z = project(gaussians.points, W)
    plans = solve_plans(gaussians, Z, np.array([[0, 1]]), "sqeuclidean", solver=Exact(), n_jobs=1)
    (m, S), (n, R) = (moments(Z[own], gaussians.weights[own]) for own in gaussians.spans(np.arange(2)))
    cross = (Z[plans.source] - m).T @ (plans.mass[:, None] * (Z[plans.target] - n))
    root = sqrtm(S).real
    inverse = np.linalg.inv(root)
    T = inverse @ sqrtm(root @ R @ root).real @ inverse
    np.testing.assert_allclose(cross, S @ T, atol=1e-9)


def test_the_scatter_by_moments_is_that_along_the_plans(gaussians, W):
    weights = np.random.default_rng(3).uniform(size=(2, len(PAIRS)))
    weights[0, 4] = 0.0
    points = gaussians.points - gaussians.points.mean(axis=0)
    transport = Moments(gaussians, n_jobs=1)
    transport.solve(project(points, W), PAIRS, "sqeuclidean")
    plans = transport.plans()
    for found, kind in zip(scatters(points, transport, PAIRS, list(weights)), weights, strict=True):
        flow = coo_array((plans.mass * kind[plans.owner], (plans.source, plans.target)), shape=(len(points),) * 2)
        np.testing.assert_allclose(found, Scatter(points, flow).matrix, atol=1e-10 * np.abs(found).max())
        assert np.linalg.eigvalsh(found).min() > -1e-10 * np.abs(found).max()


def test_a_cost_matrix_of_squared_distances_is_enough(gaussians, W):
    Z = project(gaussians.points, W)
    for cost in COSTS:
        fast = solve_distances(gaussians, Z, PAIRS, cost, solver=Exact(), n_jobs=1)
        slow = [Bures().solve_pair(gaussians, Z, p, q, cost).cost for p, q in PAIRS]
        np.testing.assert_allclose(fast, slow, rtol=1e-8)


def test_laws_of_a_metric(cells, gaussians, W):
    moved = project(gaussians.points, W)
    D = distance_matrix(replace(gaussians, points=moved), "euclidean", solver=Exact(), n_jobs=1)
    assert (D[:, None, :] <= D[:, :, None] + D[None, :, :] + 1e-9).all()
    Q = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    for points, factor in ((moved @ Q, 1.0), (moved + 7.0, 1.0), (3 * moved, 3.0)):
        again = distance_matrix(replace(gaussians, points=points), "euclidean", solver=Exact(), n_jobs=1)
        np.testing.assert_allclose(again, factor * D, rtol=1e-9)
    at = np.array([3, 1, 4, 0, 2])
    again = distance_matrix(replace(gaussians, points=moved).take(at), "euclidean", solver=Exact(), n_jobs=1)
    np.testing.assert_allclose(again, D[np.ix_(at, at)], rtol=1e-9)
    twice = distance_matrix(gaussians.take(np.array([0, 0])), "euclidean", solver=Exact(), n_jobs=1)
    assert twice[0, 1] < 1e-6 * D.max()
    exact = solve_distances(cells, project(cells.points, W), PAIRS, "sqeuclidean", solver=Exact(), n_jobs=1)
    assert (D[tuple(PAIRS.T)] ** 2 <= exact * (1 + 1e-9)).all()  # the moments are part of what moves


@pytest.mark.parametrize("cost", [cost for cost in GROUND_COSTS if cost not in COSTS])
def test_other_ground_costs_have_no_closed_form(gaussians, cost):
    with pytest.raises(ValueError, match=rf"summary=Gaussian\(\) has a closed form under .*not under '{cost}'. Pass"):
        distance_matrix(gaussians, cost, solver=Exact(), n_jobs=1)
