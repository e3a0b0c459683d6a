"""Costs by functions: the same transport as by kernels, and answers that are none are refused."""

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist

from scggml._core.cohort import from_clouds
from scggml._core.transport.exact import Exact
from scggml._core.transport.free import SCIPY_NAMES, FreeCost, check_solver, scipy_cost
from scggml._core.transport.ground import GroundMetric, cross_distances, own_distances
from scggml._core.transport.pairs import all_pairs, distance_matrix, solve_distances
from scggml._core.transport.sinkhorn import Sinkhorn
from scggml._core.transport.solvers import as_solver
from scggml._core.transport.unbalanced import Unbalanced

RNG = np.random.default_rng(0)
CLOUDS = [RNG.uniform(0.1, 1.0, size=(n, 3)) for n in (5, 7, 4, 6)]
COHORT = from_clouds(CLOUDS)


def plain(x, y):
    return cdist(x, y)


@pytest.mark.parametrize("name", SCIPY_NAMES)
def test_names_are_those_of_scipy_and_transport_is_that_of_pot(name):
    D = distance_matrix(COHORT, scipy_cost(name), solver=Exact())
    for p, q in all_pairs(4):
        truth = ot.emd2([], [], cdist(CLOUDS[p], CLOUDS[q], name).astype(float))
        assert D[p, q] == pytest.approx(truth, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("solver", [Exact(), Exact(backend="pot"), Sinkhorn(tol=1e-4), Unbalanced(tol=1e-4)], ids=repr)
def test_a_function_gives_what_the_kernel_gives(solver):
    pairs = all_pairs(4)
    cost = FreeCost("plain", plain)
    found = solve_distances(COHORT, COHORT.points, pairs, cost, solver=solver)
    if isinstance(solver, Exact):
        truth = solve_distances(COHORT, COHORT.points, pairs, "euclidean", solver=solver)
        np.testing.assert_allclose(found, truth, rtol=1e-6)
        return
    # epsilon is relative to the median over the pairs of their mean costs, the same for all of them
    unit = np.median([cdist(CLOUDS[p], CLOUDS[q]).mean() for p, q in pairs])
    scaled = type(solver)(tol=1e-4, unit=float(unit))
    truth = solve_distances(COHORT, COHORT.points, pairs, "euclidean", solver=scaled)
    np.testing.assert_allclose(found, truth, rtol=1e-3)


def test_weights_count_and_many_tiles_give_the_same():
    weights = np.concatenate([RNG.dirichlet(np.ones(len(cloud))) for cloud in CLOUDS])
    cohort = type(COHORT)(COHORT.points, weights, COHORT.offsets, COHORT.labels, COHORT.names, COHORT.classes)
    one, four = (distance_matrix(cohort, FreeCost("plain", plain), solver=Exact(), n_jobs=n) for n in (1, 4))
    np.testing.assert_array_equal(one, four)
    np.testing.assert_allclose(one, distance_matrix(cohort, "euclidean", solver=Exact()), rtol=1e-6)


def test_test_samples_are_measured_as_all_are():
    metric = GroundMetric(None, FreeCost("plain", plain))
    whole = own_distances(metric, COHORT, solver=Exact())
    training, test = np.array([0, 2]), np.array([3, 1])
    found = cross_distances(metric, COHORT.take(test), COHORT.take(training), solver=Exact())
    np.testing.assert_allclose(found, whole[np.ix_(test, np.concatenate([training, test]))], rtol=1e-9)


def test_centred_cells_have_the_correlation_distance():
    metric = GroundMetric(None, "cosine", centred=True)
    D = own_distances(metric, COHORT, solver=Exact())
    for p, q in all_pairs(4):
        assert D[p, q] == pytest.approx(ot.emd2([], [], cdist(CLOUDS[p], CLOUDS[q], "correlation")), rel=1e-6)


BAD = [
    (lambda x, y: x, r"its result has shape \(5, 3\); return an array of shape \(5, 7\)"),
    (lambda x, y: None, "its result has shape"),
    (lambda x, y: plain(x, y).astype(str), "dtype <U"),
    (lambda x, y: plain(x, y) - 9.0, "35 costs that are negative, NaN or infinite; the first is -"),
    (lambda x, y: np.where(plain(x, y) > 0, np.nan, 0), "the first is nan"),
    (lambda x, y: plain(x, y) + x[:, :1], "not the same in both directions"),
]


@pytest.mark.parametrize(("function", "message"), BAD, ids=[message for _, message in BAD])
def test_answers_that_are_no_costs_are_refused(function, message):
    with pytest.raises(ValueError, match=f"metric=mine.*{message}"):
        distance_matrix(COHORT, FreeCost("mine", function), solver=Exact())


def test_what_is_below_zero_by_rounding_alone_is_zero():
    cost = FreeCost("mine", lambda x, y: plain(x, y) - 1e-14)
    assert cost.between(CLOUDS[0], CLOUDS[0]).min() == 0.0


def test_a_divergence_needs_more_than_costs_between_two_samples():
    cost = FreeCost("mine", plain)
    with pytest.raises(ValueError, match=r"SinkhornDivergence needs cells at places, and metric=mine.*'exact'"):
        check_solver(as_solver("sinkhorn_divergence"), cost)
    for name in ("exact", "sinkhorn", "unbalanced"):
        check_solver(as_solver(name), cost)
