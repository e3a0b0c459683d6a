"""Mixtures of Gaussians: values of POT, gradients by differences, plans and scatters, laws of a metric."""

from dataclasses import replace

import numpy as np
import ot
import pytest
from scipy.optimize import approx_fprime
from scipy.sparse import coo_array

from scggml._core.cohort import from_clouds
from scggml._core.learn.choice import summarize
from scggml._core.learn.objective import Objective, Problem
from scggml._core.learn.scatter import Scatter, euclidean_start, scatters
from scggml._core.transport.divergence import SinkhornDivergence
from scggml._core.transport.engine import engine_of
from scggml._core.transport.exact import Exact
from scggml._core.transport.gaussian import Gaussian
from scggml._core.transport.mixed import Mixed, Mixtures
from scggml._core.transport.mixture import Gaussians, Mixture, mixtures_of
from scggml._core.transport.pairs import all_pairs, distance_matrix, solve_distances, solve_plans
from scggml._core.transport.plans import GROUND_COSTS
from scggml._core.transport.products import project
from scggml._core.transport.sinkhorn import Sinkhorn
from scggml._core.transport.unbalanced import Unbalanced

P, D = 5, 4
PAIRS = all_pairs(P)
COSTS = ["euclidean", "sqeuclidean"]
SUMMARIES = {"own": Mixture(3), "shared": Mixture(3, shared=True)}
ENTROPIC = [Sinkhorn, SinkhornDivergence, Unbalanced]


@pytest.fixture(scope="module")
def cells():
    """Samples of 30, 25, 7, 1 and 40 weighted cells around three places."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(3, D)) * 3
    clouds = []
    for n in (30, 25, 7, 1, 40):
        spread = rng.normal(size=(3, D, D)) * 0.7
        kind = rng.integers(3, size=n)
        clouds.append(
            places[kind] + rng.normal(size=D) + np.einsum("nd,nde->ne", rng.normal(size=(n, D)), spread[kind])
        )
    cohort = from_clouds(clouds, np.array([0, 0, 1, 1, 1]))
    weights = rng.uniform(0.2, 1.0, len(cohort.points))
    weights[3] = 0.0
    return replace(cohort, weights=weights / np.repeat(np.add.reduceat(weights, cohort.offsets[:-1]), cohort.sizes))


def mixed(cells, name):
    summary = SUMMARIES[name]
    return summary.share(cells, 0) if summary.shared else summarize(cells, summary, np.random.default_rng(0))


@pytest.fixture(params=SUMMARIES)
def mixtures(cells, request):
    return mixed(cells, request.param)


@pytest.fixture(name="W", scope="module")
def components():
    return np.random.default_rng(1).normal(size=(2, D))


def given(mixtures, L):
    """Weights, means and covariances of each sample after a linear map."""
    owner, found = mixtures_of(mixtures)
    return [
        (found.weights[own], found.means[own] @ L.T, L @ found.covariances[own] @ L.T)
        for own in (owner == p for p in range(mixtures.n_samples))
    ]


def regular(parts):
    """Whether all covariances are; of others POT takes roots of eigenvalues below 0."""
    return all(np.linalg.eigvalsh(S).min() > 1e-8 for S in parts[2])


@pytest.mark.parametrize("cost", COSTS)
def test_values_are_those_of_pot(mixtures, W, cost):
    found = solve_distances(mixtures, project(mixtures.points, W), PAIRS, cost, solver=Exact(), n_jobs=2)
    parts, compared = given(mixtures, W), 0
    for (p, q), value in zip(PAIRS, found, strict=True):
        (a, m, S), (b, n, T) = parts[p], parts[q]
        if not (regular(parts[p]) and regular(parts[q])):
            continue
        compared += 1
        if cost == "sqeuclidean":
            truth = float(ot.gmm.gmm_ot_loss(m, n, S, T, a, b))
        else:
            C = ot.gmm.dist_bures_squared(m, n, S, T)
            truth = float(ot.emd2(a / a.sum(), b / b.sum(), np.sqrt(np.maximum(C, 0.0))))
        assert value == pytest.approx(truth, rel=1e-6, abs=1e-6)
    assert compared >= 3


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("solver", [Exact, *ENTROPIC])
def test_the_gradient_is_that_of_its_value(mixtures, W, cost, solver):
    options = {} if solver is Exact else {"tol": 1e-8, "epsilon": 0.2, "unit": 3.0 if cost == "euclidean" else 9.0}
    if options:
        pytest.importorskip("torch")
    slopes = np.random.default_rng(2).normal(size=len(PAIRS))
    transport = Mixtures(solver(**options), mixtures, n_jobs=1)

    def value(flat):
        values = transport.solve(project(mixtures.points, flat.reshape(W.shape)), PAIRS, cost)
        own = values if solver in (Exact, SinkhornDivergence) else transport._found.regularized
        return float(slopes @ own)

    numeric = approx_fprime(W.ravel(), value, 1e-6).reshape(W.shape)
    value(W.ravel())
    exact = transport.gradient(slopes).T @ mixtures.points
    np.testing.assert_allclose(exact, numeric, atol=1e-4 * np.abs(numeric).max())


@pytest.mark.parametrize("squared", [False, True])
def test_the_objective_of_triplets_has_the_gradient_of_its_value(mixtures, W, squared):
    objective = Objective(5.0, reg=0.1, squared=squared)
    problem = Problem(objective, mixtures)

    def value(flat):
        return problem.evaluate(objective, flat.reshape(W.shape)).value

    numeric = approx_fprime(W.ravel(), value, 1e-6).reshape(W.shape)
    found = problem.evaluate(objective, W)
    assert found.active > 0
    np.testing.assert_allclose(found.gradient, numeric, atol=1e-4 * np.abs(numeric).max())
    some = np.array([1, 2, 4])  # a mini-batch, of which the other samples are not projected
    part = Problem(objective, mixtures.take(some))
    truth = part.evaluate(objective, W)
    batch = problem.evaluate(objective, W, some)
    assert batch.value == pytest.approx(truth.value)
    np.testing.assert_allclose(batch.gradient, truth.gradient, atol=1e-9)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("solver", [Exact, *ENTROPIC])
def test_plans_have_the_marginals_and_cost_the_distance(mixtures, W, cost, solver):
    if solver is not Exact:
        pytest.importorskip("torch")
    Z = project(mixtures.points, W)
    plans = solve_plans(mixtures, Z, PAIRS, cost, solver=solver(), n_jobs=1)
    squares = ((Z[plans.source] - Z[plans.target]) ** 2).sum(axis=1)
    paid = np.bincount(plans.owner, plans.mass * squares)
    if solver in (Exact, Sinkhorn) and cost == "sqeuclidean":
        np.testing.assert_allclose(paid, plans.values, rtol=1e-8)
        pair = Mixed(solver()).solve_pair(mixtures, Z, 1, 4, cost)
        if solver is Exact:
            assert pair.cost == pytest.approx(plans.values[[tuple(each) for each in PAIRS].index((1, 4))])
    if solver is Unbalanced:
        assert np.bincount(plans.owner, plans.mass).max() < 1
        return
    for e, (p, q) in enumerate(PAIRS):
        own = plans.owner == e
        for s, rows in ((p, plans.source), (q, plans.target)):
            there = mixtures.spans(np.array([s]))[0]
            found = np.bincount(rows[own], plans.mass[own], len(Z))
            np.testing.assert_allclose(found[there], mixtures.weights[there], atol=1e-10)


@pytest.mark.parametrize("solver", [Exact, SinkhornDivergence, Unbalanced])
def test_the_scatter_by_moments_is_that_along_the_plans(mixtures, W, solver):
    if solver is not Exact:
        pytest.importorskip("torch")
    weights = np.random.default_rng(3).uniform(size=(2, len(PAIRS)))
    weights[0, 4] = 0.0
    points = mixtures.points - mixtures.points.mean(axis=0)
    transport = Mixtures(solver(), mixtures, n_jobs=1)
    transport.solve(project(points, W), PAIRS, "sqeuclidean")
    plans, each = transport.plans(), transport.each(points)
    for found, kind in zip(scatters(points, transport, PAIRS, list(weights)), weights, strict=True):
        flow = coo_array((plans.mass * kind[plans.owner], (plans.source, plans.target)), shape=(len(points),) * 2)
        np.testing.assert_allclose(found, Scatter(points, flow).matrix, atol=1e-10 * np.abs(found).max())
        np.testing.assert_allclose(np.einsum("e,eij->ij", kind, each), found, atol=1e-10 * np.abs(found).max())


@pytest.mark.parametrize("room", [True, False])
def test_the_start_that_refits_share_has_the_same_scatters(cells, monkeypatch, room):
    if not room:
        monkeypatch.setattr("scggml._core.learn.scatter.BY_PAIR", 0)
        monkeypatch.setattr("scggml._core.transport.mixed.KEPT", 1)
    weights = np.random.default_rng(3).uniform(size=len(PAIRS) - 3)
    for cohort in (mixed(cells, "own"), summarize(cells, Gaussian(), np.random.default_rng(0))):
        start = euclidean_start(cohort, PAIRS, solver=Exact(), max_features=2048)
        assert (start.by_pair is not None) == room
        transport = start.transport.fork(1)
        transport.solve(start.points, PAIRS[3:], "sqeuclidean")
        truth = scatters(start.points, transport, PAIRS[3:], [weights])[0]
        found = start.scatters(PAIRS[3:], [weights])[0]
        np.testing.assert_allclose(found, truth, atol=1e-10 * np.abs(truth).max())


def test_laws_of_a_metric(cells, mixtures, W):
    moved = project(mixtures.points, W)
    D = distance_matrix(replace(mixtures, points=moved), "euclidean", solver=Exact(), n_jobs=1)
    root = np.sqrt(distance_matrix(replace(mixtures, points=moved), "sqeuclidean", solver=Exact(), n_jobs=1))
    for each in (D, root):
        np.testing.assert_array_equal(each, each.T)
        assert (each[:, None, :] <= each[:, :, None] + each[None, :, :] + 1e-9).all()
        assert each[~np.eye(P, dtype=bool)].min() > 0
    Q = np.linalg.qr(np.random.default_rng(4).normal(size=(2, 2)))[0]
    for points, factor in ((moved @ Q, 1.0), (moved + 7.0, 1.0), (3 * moved, 3.0)):
        again = distance_matrix(replace(mixtures, points=points), "euclidean", solver=Exact(), n_jobs=1)
        np.testing.assert_allclose(again, factor * D, rtol=1e-7)
    at = np.array([3, 1, 4, 0, 2])
    again = distance_matrix(replace(mixtures, points=moved).take(at), "euclidean", solver=Exact(), n_jobs=1)
    np.testing.assert_allclose(again, D[np.ix_(at, at)], rtol=1e-7)
    twice = distance_matrix(mixtures.take(np.array([0, 0])), "euclidean", solver=Exact(), n_jobs=1)
    assert twice[0, 1] == 0


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("solver", [Exact, *ENTROPIC])
def test_laws_are_those_of_the_solver(mixtures, cost, solver):
    options = {} if solver is Exact else {"tol": 1e-6, "epsilon": 0.1, "unit": 3.0 if cost == "euclidean" else 9.0}
    if options:
        pytest.importorskip("torch")
    inner = solver(**options)
    engine = engine_of(mixtures, inner)
    assert engine.traits.laws <= inner.traits.laws
    D = distance_matrix(mixtures, cost, solver=inner, n_jobs=1)
    near, laws = 1e-4 * D.max(), engine.traits.laws
    assert {"not_negative", "symmetric", "positive_between_different_samples"} <= laws
    np.testing.assert_allclose(D, D.T, atol=near)
    assert D[~np.eye(P, dtype=bool)].min() > 0
    at = np.array([2, 4, 1])
    part = distance_matrix(mixtures.take(at), cost, solver=inner, n_jobs=1)
    np.testing.assert_allclose(part, D[np.ix_(at, at)], atol=near)  # the unit is given
    if "triangle" in laws and cost == "euclidean":
        assert (D[:, None, :] <= D[:, :, None] + D[None, :, :] + near).all()
    copies = distance_matrix(mixtures.take(np.array([0, 0])), cost, solver=inner, n_jobs=1)
    if "zero_to_a_copy" in laws:
        assert copies[0, 1] < near
    if solver is Sinkhorn:  # a plan that is feasible
        assert (D >= distance_matrix(mixtures, cost, solver=Exact(), n_jobs=1) - 1e-9).all()


def test_mixtures_are_no_closer_than_gaussians(cells, W):
    cohort = mixed(cells, "own")
    Z = project(cohort.points, W)
    found = solve_distances(cohort, Z, PAIRS, "sqeuclidean", solver=Exact(), n_jobs=1)
    one = summarize(cells, Gaussian(), np.random.default_rng(0))
    least = solve_distances(one, project(one.points, W), PAIRS, "sqeuclidean", solver=Exact(), n_jobs=1)
    assert (found >= least * (1 - 1e-9)).all()


@pytest.mark.parametrize("cost", COSTS)
def test_one_gaussian_is_that_of_gaussian(cells, W, cost):
    parts = [summarize(cells, each, np.random.default_rng(0)) for each in (Mixture(1), Gaussian())]
    found, truth = (
        solve_distances(part, project(part.points, W), PAIRS, cost, solver=Exact(), n_jobs=1) for part in parts
    )
    np.testing.assert_allclose(found, truth, rtol=1e-9)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("solver", [Exact, *ENTROPIC])
def test_point_masses_are_transported_as_points(W, cost, solver):
    options = {} if solver is Exact else {"tol": 1e-9, "epsilon": 0.2, "unit": 1.0}
    if options:
        pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    clouds = [rng.normal(size=(n, D)) for n in (4, 6, 5)]
    points, pairs = from_clouds(clouds), all_pairs(3)
    parts = [Gaussians(np.full(len(x), 1 / len(x)), x, np.zeros((len(x), D, D))) for x in clouds]
    mixtures = summarize(points, Mixture(key="given"), rng, given=parts)
    found, truth = (
        solve_distances(each, project(each.points, W), pairs, cost, solver=solver(**options), n_jobs=1)
        for each in (mixtures, points)
    )
    np.testing.assert_allclose(found, truth, rtol=1e-6)


@pytest.mark.parametrize("cost", [cost for cost in GROUND_COSTS if cost not in COSTS])
def test_other_ground_costs_have_no_closed_form(cells, cost):
    with pytest.raises(ValueError, match=rf"summary=Mixture\(\) has a closed form under .*not under '{cost}'. Pass"):
        distance_matrix(mixed(cells, "own"), cost, solver=Exact(), n_jobs=1)


def test_any_number_of_threads_gives_the_same(mixtures, W):
    Z = project(mixtures.points, W)
    one, two = (solve_distances(mixtures, Z, PAIRS, "euclidean", solver=Exact(), n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_unfinished_pairs_are_warned_of_by_name(mixtures):
    pytest.importorskip("torch")
    solver = Sinkhorn(max_iter=1, tol=1e-12, epsilon=1e-3)
    with pytest.warns(UserWarning, match=r"Sinkhorn\(.*stopped before the marginals of .*\('0', '1'\)"):
        solve_distances(mixtures, mixtures.points, PAIRS, "euclidean", solver=solver, n_jobs=1)
    with pytest.warns(UserWarning, match=r"Sinkhorn\(.*stopped before the marginals"):
        Mixtures(solver, mixtures, n_jobs=1).solve(mixtures.points, PAIRS, "euclidean")
