import numpy as np
import pytest

import scggml as sg
from scggml._core.cohort import from_clouds
from scggml._core.evaluate.calibrated import Calibrated
from scggml._core.evaluate.methods import ByDistance, FixedMetric, Learned, Profiles
from scggml._core.evaluate.run import evaluate_fold
from scggml._core.evaluate.temperature import fit_temperature
from scggml._core.folds import make_folds
from scggml._core.samples import Samples, Target, class_target, plain_samples
from scggml._core.votes import clipped

KNN = ByDistance(FixedMetric("euclidean"))
FIXED = {"method": sg.tl.Canonical(ridge=0.05), "shrinkage": 0.4}
BAGGED = ByDistance(Learned(sg.tl.Learner(n_comps=1, bags=8, **FIXED)), classifier="soft_knn")


def shifted(seed, *, shift=1.0, n=24):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    clouds = [rng.normal(size=(20, 3)) + 0.6 * rng.normal(size=3) + [shift * label, 0, 0] for label in labels]
    return from_clouds(clouds, labels)


def test_the_temperature_comes_from_folds_inside_the_training_samples():
    cohort = shifted(0)
    samples, target = plain_samples(cohort), class_target(cohort)
    found = Calibrated(KNN, n_splits=4).fit(samples, target, rng=np.random.default_rng(5))
    rng = np.random.default_rng(5)
    rng.integers(2**63)  # for plans that are shared
    seed = int(rng.integers(2**31))
    scores = np.empty((24, 2))
    for fold in make_folds(target, samples.groups, n_splits=4, n_repeats=1, rng=rng):
        scores[fold.test] = evaluate_fold(samples, target, fold, {"": KNN}, seed)[""].prediction.scores
    truth = fit_temperature(np.log(clipped(scores)), target.codes, samples.groups)
    assert found.temperature.t == pytest.approx(truth.t)
    np.testing.assert_allclose(found.held_out[0], truth.probabilities(np.log(clipped(scores))))


def test_what_is_predicted_and_the_distances_stay():
    known, new = shifted(0), shifted(1)
    target, test = class_target(known), plain_samples(new)
    plain = KNN.fit(plain_samples(known), target, rng=np.random.default_rng(0)).predict(test)
    found = Calibrated(KNN).fit(plain_samples(known), target, rng=np.random.default_rng(0)).predict(test)
    np.testing.assert_array_equal(found.scores.argmax(axis=1), plain.scores.argmax(axis=1))
    np.testing.assert_array_equal(found.distances, plain.distances)
    assert found.scores.max() < plain.scores.max()


@pytest.mark.parametrize("method", [KNN, ByDistance(Learned(sg.tl.Learner(n_comps=1))), BAGGED])
def test_votes_on_shuffled_labels_lose_no_more_than_chance(method):
    losses = {"plain": [], "calibrated": []}
    for seed in range(8):
        cohort = shifted(seed, shift=0.0)
        samples, target = plain_samples(cohort), class_target(cohort)
        methods = {"plain": method, "calibrated": Calibrated(method)}
        for fold in make_folds(target, samples.groups, n_splits=3, n_repeats=1, rng=np.random.default_rng(seed)):
            for name, held_out in evaluate_fold(samples, target, fold, methods, 0).items():
                p = clipped(held_out.prediction.scores)[np.arange(len(fold.test)), target.codes[fold.test]]
                losses[name] += list(-np.log(p))
    assert np.mean(losses["calibrated"]) <= np.log(2) + 0.05 < np.mean(losses["plain"])


def test_too_few_donors_for_inner_folds_leave_votes_below_their_bound():
    cohort = from_clouds([np.full((2, 1), float(i)) for i in (0, 1, 10)], np.array([0, 0, 1]))
    found = Calibrated(KNN).fit(plain_samples(cohort), class_target(cohort), rng=np.random.default_rng(0))
    assert found.temperature is None
    assert found.held_out is None
    said = found.predict(plain_samples(cohort)).scores
    assert said.max() <= 0.75 + 1e-12  # one donor of the smaller class


def test_effects_of_covariates_are_estimated_without_the_held_out_donors():
    """Cells follow the covariate alone; taken off with labels of held-out donors, labels would come back."""
    rng = np.random.default_rng(0)
    age = rng.normal(size=20)
    labels = np.arange(20) % 2
    clouds = [rng.normal(size=(10, 2)) * 0.1 + [3 * a, 0] for a in age]
    cohort = from_clouds(clouds, labels)
    samples = Samples(plain_samples(cohort).cohort, np.arange(20), covariates=age[:, None])
    target = class_target(cohort)
    calls = []

    class Noted(Profiles):
        def fit(self, training, target, *, rng):
            calls.append((training.covariates, training.n_samples))
            return super().fit(training, target, rng=rng)

    found = Calibrated(Noted("pseudobulk"), n_splits=4).fit(samples, target, rng=np.random.default_rng(0))
    assert calls == [(None, 15)] * 4 + [(None, 20)]
    said = found.predict(samples).scores
    np.testing.assert_allclose(said.sum(axis=1), 1.0)


def test_numbers_are_held_out_and_stay_as_they_are():
    cohort = shifted(0)
    target = Target("numbers", np.linspace(0, 1, 24), np.array([], dtype=str))
    found = Calibrated(KNN, n_splits=3, n_repeats=2).fit(plain_samples(cohort), target, rng=np.random.default_rng(0))
    assert found.held_out.shape == (2, 24, 1)
    plain = KNN.fit(plain_samples(cohort), target, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(
        found.predict(plain_samples(cohort)).scores, plain.predict(plain_samples(cohort)).scores
    )
