import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scggml._core.cohort import from_clouds
from scggml._core.evaluate.methods import (
    Blend,
    Blended,
    ByDistance,
    FixedMetric,
    GroundMetric,
    Majority,
    Profiles,
    cross_distances,
    own_distances,
)
from scggml._core.samples import Samples, Target, blind, join, mean_profiles
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_distances, square

RNG = np.random.default_rng(0)
CLOUDS = [RNG.normal(size=(n, 3)) + p for p, n in enumerate([3, 5, 4, 6, 2, 5])]
WHOLE = blind(from_clouds(CLOUDS))
TRAIN, TEST = np.array([0, 2, 3, 5]), np.array([4, 1])
TARGET = Target("classes", np.array([0.0, 0.0, 1.0, 1.0]), np.array(["a", "b"]))
PLAIN = GroundMetric(None, "euclidean")


def samples(rows, **more):
    return Samples(WHOLE.take(rows), rows, **more)


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


def test_blends_of_blends_are_flat():
    inner = Blend((FixedMetric("euclidean"), FixedMetric("cosine")))
    found = Blend((inner, FixedMetric("cityblock"))).learn(samples(TRAIN), TARGET, rng=RNG)
    assert [part.cost for part in found.parts] == ["euclidean", "cosine", "cityblock"]


def test_a_prediction_of_one_sample_does_not_depend_on_the_others_that_are_held_out():
    for learner in (FixedMetric("euclidean"), Blend((FixedMetric("euclidean"), FixedMetric("cosine")))):
        fitted = ByDistance(learner).fit(samples(TRAIN), TARGET, rng=RNG)
        both = fitted.predict(samples(TEST)).scores
        np.testing.assert_array_equal(fitted.predict(samples(TEST[:1])).scores, both[:1])


def test_pseudobulk_is_logistic_regression_on_mean_profiles():
    means = np.stack([cloud.mean(axis=0) for cloud in CLOUDS])
    np.testing.assert_allclose(mean_profiles(WHOLE), means)
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    truth = model.fit(means[TRAIN], [0, 0, 1, 1]).predict_proba(means[TEST])
    found = Profiles("pseudobulk").fit(samples(TRAIN), TARGET, rng=RNG).predict(samples(TEST))
    np.testing.assert_allclose(found.scores, truth)
    assert found.distances is None


def test_the_majority_says_the_shares_of_the_training_samples():
    target = Target("classes", np.array([0.0, 1, 1, 1]), np.array(["a", "b"]))
    found = Majority().fit(samples(TRAIN), target, rng=RNG).predict(samples(TEST))
    assert found.scores.tolist() == [[0.25, 0.75]] * 2
    numbers = Target("numbers", np.array([1.0, 2.0, 9.0, 3.0]), np.array([]))
    assert Majority().fit(samples(TRAIN), numbers, rng=RNG).predict(samples(TEST)).scores.tolist() == [[2.5]] * 2


def test_joined_cohorts_lie_behind_each_other():
    both = join(WHOLE.take(TRAIN), WHOLE.take(TEST))
    order = WHOLE.take(np.concatenate([TRAIN, TEST]))
    for name in ("points", "weights", "offsets", "names"):
        np.testing.assert_array_equal(getattr(both, name), getattr(order, name))


@pytest.mark.parametrize("options", [{"classifier": "svm"}, {"n_neighbors": 0}])
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match=r"svm|n_neighbors=0"):
        ByDistance(FixedMetric("euclidean"), **options)
