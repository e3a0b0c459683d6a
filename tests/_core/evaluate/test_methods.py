import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scggml._core.cohort import from_clouds
from scggml._core.evaluate.classify import kernel_logistic, knn_mean, knn_votes
from scggml._core.evaluate.methods import Blend, ByDistance, FixedMetric, Learned, Majority, Profiles
from scggml._core.learn.canonical import Canonical
from scggml._core.learn.learner import Learner
from scggml._core.samples import Samples, Target, blind, join, mean_profiles
from scggml._core.transport.exact import Exact
from scggml._core.transport.ground import GroundMetric, cross_distances, own_distances

RNG = np.random.default_rng(0)
CLOUDS = [RNG.normal(size=(n, 3)) + p for p, n in enumerate([3, 5, 4, 6, 2, 5])]
WHOLE = blind(from_clouds(CLOUDS))
TRAIN, TEST = np.array([0, 2, 3, 5]), np.array([4, 1])
TARGET = Target("classes", np.array([0.0, 0.0, 1.0, 1.0]), np.array(["a", "b"]))
LEARNER = Learner(method=Canonical(ridge=0.05, ridge_scale="mean"), shrinkage=0.4, n_comps=2)


def samples(rows, **more):
    return Samples(WHOLE.take(rows), rows, **more)


def test_blends_of_blends_are_flat():
    inner = Blend((FixedMetric("euclidean"), FixedMetric("cosine")))
    found = Blend((inner, FixedMetric("cityblock"))).ground(samples(TRAIN), TARGET, rng=RNG)
    assert [part.cost for part in found.parts] == ["euclidean", "cosine", "cityblock"]


def test_a_prediction_of_one_sample_does_not_depend_on_the_others_that_are_held_out():
    for source in (
        FixedMetric("euclidean"),
        Blend((FixedMetric("euclidean"), FixedMetric("cosine"))),
        Learned(LEARNER),
    ):
        fitted = ByDistance(source).fit(samples(TRAIN), TARGET, rng=RNG)
        both = fitted.predict(samples(TEST)).scores
        np.testing.assert_array_equal(fitted.predict(samples(TEST[:1])).scores, both[:1])


@pytest.mark.parametrize("squared", [False, True])
def test_a_learned_metric_is_that_of_the_training_samples(squared):
    learner = Learner(n_comps=2, squared=squared)
    found = Learned(learner).ground(samples(TRAIN), TARGET, rng=np.random.default_rng(3))
    truth = learner.learn(samples(TRAIN), TARGET, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(found.components, truth.components)
    assert found.cost == ("sqeuclidean" if squared else "euclidean")


def test_a_learned_metric_may_be_a_part_of_a_blend():
    found = Blend((Learned(LEARNER), FixedMetric("cosine"))).ground(samples(TRAIN), TARGET, rng=RNG)
    assert [part.cost for part in found.parts] == ["euclidean", "cosine"]
    assert found.parts[0].components.shape == (2, 3)


def test_distances_are_classified_as_asked_for():
    metric = GroundMetric(None, "euclidean")
    D = cross_distances(metric, WHOLE.take(TEST), WHOLE.take(TRAIN), solver=Exact())
    known = own_distances(metric, WHOLE.take(TRAIN), solver=Exact())
    numbers = Target("numbers", np.array([1.0, 2.0, 9.0, 3.0]), np.array([]))
    for options, target, truth in (
        ({"n_neighbors": 2}, TARGET, knn_votes(D[:, :4], TARGET.codes, 2, 2)),
        ({"classifier": "kernel_logistic"}, TARGET, kernel_logistic(D[:, :4], known, TARGET.codes, 2)),
        ({"n_neighbors": 3}, numbers, knn_mean(D[:, :4], numbers.values, 3)[:, None]),
    ):
        fitted = ByDistance(FixedMetric("euclidean"), **options).fit(samples(TRAIN), target, rng=RNG)
        found = fitted.predict(samples(TEST))
        np.testing.assert_allclose(found.scores, truth)
        np.testing.assert_allclose(found.distances, D)


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
