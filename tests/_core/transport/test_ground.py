import numpy as np
import pytest
from _oracles import cloud, cost_by_loops, lp_ot, random_cohort

from scggml._core.cohort import from_clouds
from scggml._core.samples import blind
from scggml._core.transport.exact import Exact
from scggml._core.transport.ground import Blended, GroundMetric, cross_distances, own_distances
from scggml._core.transport.pairs import all_pairs, solve_distances, square

RNG = np.random.default_rng(0)
CLOUDS = [RNG.normal(size=(n, 3)) + p for p, n in enumerate([3, 5, 4, 6, 2, 5])]
WHOLE = blind(from_clouds(CLOUDS))
TRAIN, TEST = np.array([0, 2, 3, 5]), np.array([4, 1])
PLAIN = GroundMetric(None, "euclidean")


def whole_distances(metric):
    pairs = all_pairs(6)
    return square(solve_distances(WHOLE, metric.embed(WHOLE), pairs, metric.cost, solver=Exact(), n_jobs=1), pairs, 6)


@pytest.mark.parametrize("metric", [PLAIN, GroundMetric(None, "cosine"), GroundMetric(np.eye(2, 3), "sqeuclidean")])
def test_cross_distances_are_blocks_of_the_whole_matrix(metric):
    D = whole_distances(metric)
    found = cross_distances(metric, WHOLE.take(TEST), WHOLE.take(TRAIN), solver=Exact())
    np.testing.assert_allclose(found, D[np.ix_(TEST, np.concatenate([TRAIN, TEST]))], atol=1e-12)
    np.testing.assert_allclose(own_distances(metric, WHOLE.take(TRAIN), solver=Exact()), D[np.ix_(TRAIN, TRAIN)])


def test_a_blend_is_the_mean_in_units_of_each_rows_median():
    parts = (PLAIN, GroundMetric(None, "cosine"))
    found = cross_distances(Blended(parts), WHOLE.take(TEST), WHOLE.take(TRAIN), solver=Exact())
    scaled = []
    for part in parts:
        D = whole_distances(part)[np.ix_(TEST, np.concatenate([TRAIN, TEST]))]
        scaled.append(D / np.median(D[:, :4], axis=1, keepdims=True))
    np.testing.assert_allclose(found, np.mean(scaled, axis=0))


@pytest.mark.parametrize("metric", [PLAIN, Blended((PLAIN, GroundMetric(None, "cosine")))])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_without_those_among_the_test_samples_the_first_columns_are_left(metric, n_jobs):
    whole = cross_distances(metric, WHOLE.take(TEST), WHOLE.take(TRAIN), solver=Exact())
    found = cross_distances(metric, WHOLE.take(TEST), WHOLE.take(TRAIN), solver=Exact(), n_jobs=n_jobs, among=False)
    assert found.shape == (2, 4)
    np.testing.assert_array_equal(found, whole[:, :4])


def test_one_test_sample_has_no_other_one():
    found = cross_distances(PLAIN, WHOLE.take(TEST[:1]), WHOLE.take(TRAIN), solver=Exact())
    assert found.shape == (1, 5)
    assert found[0, 4] == 0


@pytest.mark.parametrize("squared", [False, True])
def test_distances_under_components_are_those_of_the_linear_program(squared):
    cohort, W = random_cohort((3, 4, 2, 5), d=4, weighted=True), RNG.normal(size=(2, 4))
    metric = GroundMetric(W, "sqeuclidean" if squared else "euclidean")
    found = cross_distances(metric, cohort.take(np.array([3, 0])), cohort.take(np.array([1, 2])), solver=Exact())
    order = [1, 2, 3, 0]
    for row, p in enumerate((3, 0)):
        for column, q in enumerate(order):
            (x, a), (y, b) = cloud(cohort, p), cloud(cohort, q)
            truth = 0 if p == q else lp_ot(a, b, cost_by_loops(x, y, W, squared=squared))[0]
            assert found[row, column] == pytest.approx(truth, rel=1e-9, abs=1e-12)


def test_own_distances_of_a_blend_are_in_units_of_the_median_of_all():
    parts = (PLAIN, GroundMetric(None, "cosine"))
    found = own_distances(Blended(parts), WHOLE, solver=Exact())
    scaled = [D / np.median(D[~np.eye(6, dtype=bool)]) for D in map(whole_distances, parts)]
    np.testing.assert_allclose(found, np.mean(scaled, axis=0))


def test_where_all_samples_are_the_same_a_blend_is_zero():
    same = from_clouds([CLOUDS[0]] * 4)
    blend = Blended((PLAIN, GroundMetric(None, "cityblock")))
    np.testing.assert_allclose(own_distances(blend, same, solver=Exact()), 0.0, atol=1e-12)
    found = cross_distances(blend, same.take(TEST[1:]), same.take(np.array([0, 2])), solver=Exact())
    np.testing.assert_allclose(found, 0.0, atol=1e-12)
