"""What a method is given in a fold."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from _oracles import random_cohort

from scggml._core.evaluate.methods import ByDistance, FixedMetric, Learned
from scggml._core.evaluate.prediction import Prediction
from scggml._core.evaluate.run import evaluate_fold
from scggml._core.folds import Fold, make_folds
from scggml._core.learn.covariates import adjust, estimate
from scggml._core.learn.learner import Learner
from scggml._core.samples import Samples, Target, blind

P = 10
LABELS = np.arange(P) % 2
COHORT = random_cohort((4, 5, 3, 4, 3, 4, 5, 3, 4, 4), d=4, labels=LABELS, weighted=True)
TARGET = Target("classes", LABELS.astype(float), np.array(["a", "b"]))
GROUPS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 8])
COVARIATES = np.random.default_rng(1).normal(size=(P, 2)) + LABELS[:, None]
FOLD = Fold(0, 1, np.array([0, 1, 2, 3, 4, 5, 6]), np.array([7, 8, 9]))


@dataclass
class Watch:
    """A method that notes what it is given."""

    seen: list = field(default_factory=list)

    def fit(self, training, target, *, rng):
        self.seen.append((training, target, rng.integers(2**31)))
        return self

    def predict(self, test):
        self.seen.append(test)
        return Prediction(np.full((test.n_samples, 2), 0.5))


def watched(samples, seed=3, fold=FOLD):
    methods = {"one": Watch(), "two": Watch()}
    found = evaluate_fold(samples, TARGET, fold, methods, seed)
    return methods, found


def test_a_method_gets_the_training_samples_with_their_labels_and_the_others_without():
    samples = Samples(blind(COHORT), GROUPS, batch=np.arange(P) % 3)
    methods, found = watched(samples)
    for method in methods.values():
        (training, target, _), test = method.seen
        np.testing.assert_array_equal(training.cohort.names, COHORT.names[FOLD.train])
        np.testing.assert_array_equal(target.values, TARGET.values[FOLD.train])
        np.testing.assert_array_equal(test.cohort.names, COHORT.names[FOLD.test])
        np.testing.assert_array_equal(test.batch, FOLD.test % 3)
        assert not test.cohort.labels.any()
    assert list(found) == ["one", "two"]
    assert all(result.fold is FOLD and result.seconds >= 0 for result in found.values())


def test_each_method_and_fold_draws_from_a_seed_of_its_own():
    samples = Samples(blind(COHORT), GROUPS)
    draws = []
    for seed, number in ((3, 1), (3, 1), (3, 2), (4, 1)):
        methods, _ = watched(samples, seed, Fold(0, number, FOLD.train, FOLD.test))
        draws.append(tuple(int(method.seen[0][2]) for method in methods.values()))
    assert draws[0] == draws[1]
    assert len({draw for pair in draws[1:] for draw in pair}) == 6


def test_effects_of_covariates_come_from_the_training_samples_alone():
    samples = Samples(blind(COHORT), GROUPS, covariates=COVARIATES)
    methods, _ = watched(samples)
    effects = estimate(samples.take(FOLD.train), TARGET.take(FOLD.train))
    for method in methods.values():
        (training, _, _), test = method.seen
        for found, rows in ((training, FOLD.train), (test, FOLD.test)):
            truth = adjust(samples.take(rows), effects)
            np.testing.assert_array_equal(found.cohort.points, truth.cohort.points)
            assert found.covariates is None
    whole = estimate(samples, TARGET)
    assert not np.allclose(whole.slopes, effects.slopes)


@pytest.mark.parametrize("covariates", [None, COVARIATES], ids=["none", "covariates"])
def test_predictions_with_shared_work_are_those_without(covariates):
    learner = Learner(n_comps=2)
    samples = Samples(blind(COHORT), GROUPS, covariates=covariates)
    prepared = learner.with_work(samples, rng=np.random.default_rng(0))
    methods = {"canonical": ByDistance(Learned(learner)), "euclidean": ByDistance(FixedMetric("euclidean"))}
    for fold in make_folds(TARGET, GROUPS, n_splits=3, n_repeats=1, rng=np.random.default_rng(0)):
        one, two = (evaluate_fold(given, TARGET, fold, methods, 5) for given in (samples, prepared))
        for name in methods:
            np.testing.assert_allclose(one[name].prediction.scores, two[name].prediction.scores, atol=1e-12)
            np.testing.assert_allclose(one[name].prediction.distances, two[name].prediction.distances, atol=1e-7)
