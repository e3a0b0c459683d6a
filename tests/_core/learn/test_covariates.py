"""Effects of covariates against least squares on the full design, written out."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from _oracles import random_cohort

from scggml._core.cohort import from_clouds
from scggml._core.learn.covariates import Adjustment, adjust, estimate
from scggml._core.samples import Samples, Target, blind

P, D = 14, 4
CODES = np.array([0, 1, 2, 0, 1, 2, 0, 0, 1, 1, 2, 2, 0, 1])


def target_of(kind, seed=0):
    if kind == "numbers":
        return Target("numbers", np.random.default_rng(seed).normal(size=P), np.array([]))
    return Target(kind, CODES.astype(float), np.array(["a", "b", "c"]))


def samples_of(covariates, *, weighted=True, seed=0, labels=CODES):
    sizes = np.random.default_rng(seed).integers(3, 7, len(labels))
    cohort = random_cohort(sizes, d=D, labels=labels, weighted=weighted, seed=seed)
    return Samples(blind(cohort), np.arange(len(labels)), covariates=np.asarray(covariates, dtype=float))


def means_of(cohort):
    rows = [slice(i, j) for i, j in pairwise(cohort.offsets)]
    return np.array([cohort.weights[own] @ cohort.points[own] for own in rows])


def slopes_by_full_design(samples, target):
    """Ordinary least squares with a dummy for each class (or the intercept and the number) beside the covariates."""
    fixed = (
        np.column_stack([np.ones(P), target.values])
        if target.kind == "numbers"
        else np.column_stack([target.codes == c for c in range(3)]).astype(float)
    )
    design = np.column_stack([fixed, samples.covariates])
    assert np.linalg.matrix_rank(design) == design.shape[1]
    return np.linalg.lstsq(design, means_of(samples.cohort), rcond=None)[0][fixed.shape[1] :]


@pytest.mark.parametrize("kind", ["classes", "ordered", "numbers"])
@pytest.mark.parametrize("q", [1, 3])
def test_slopes_are_those_of_the_full_design(kind, q):
    rng = np.random.default_rng(1)
    covariates = (rng.normal(size=(P, q)) + CODES[:, None] + 5) * [0.01, 1.0, -100.0][:q]
    samples, target = samples_of(covariates), target_of(kind)
    found = estimate(samples, target)
    np.testing.assert_allclose(found.slopes, slopes_by_full_design(samples, target), rtol=1e-8)
    np.testing.assert_allclose(found.center, covariates.mean(axis=0))


def planted(*, age_effect=0.5, label_effect=3.0, seed=0):
    """Patients are 20 years older than controls; age moves feature 0 alone, the label features 0 and 1."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], 10)
    age = 40 + 20 * labels + rng.uniform(-8, 8, 20)
    clouds = []
    for c, years in zip(labels, age, strict=True):
        half = rng.normal(size=(3, D))
        clouds.append(
            np.vstack([half, -half]) + age_effect * years * np.eye(D)[0] + label_effect * c * np.eye(D)[:2].sum(0)
        )
    samples = Samples(blind(from_clouds(clouds)), np.arange(20), covariates=age[:, None])
    return samples, Target("classes", labels.astype(float), np.array(["well", "ill"]))


def test_of_a_covariate_that_goes_with_the_label_the_slope_within_classes_is_found():
    samples, target = planted()
    found = estimate(samples, target)
    np.testing.assert_allclose(found.slopes, [[0.5, 0, 0, 0]], atol=1e-10)
    alone = np.polyfit(samples.covariates[:, 0], means_of(samples.cohort)[:, 0], 1)[0]
    assert alone > 0.6  # the slope over all samples holds a part of the difference between classes


def test_adjusted_samples_keep_the_effect_of_the_label_and_lose_that_of_the_covariate():
    samples, target = planted()
    means = means_of(adjust(samples, estimate(samples, target)).cohort)
    groups = [means[target.codes == c] for c in (0, 1)]
    np.testing.assert_allclose(groups[1].mean(axis=0) - groups[0].mean(axis=0), [3, 3, 0, 0], atol=1e-9)
    for group in groups:
        np.testing.assert_allclose(group, np.broadcast_to(group[0], group.shape), atol=1e-9)


def test_held_out_samples_are_adjusted_by_the_effects_of_training_samples():
    samples, target = planted()
    train, test = np.arange(0, 20, 2), np.arange(1, 20, 2)
    effects = estimate(samples.take(train), target.take(train))
    found = adjust(samples.take(test), effects)
    own = samples.covariates[train].mean()
    truth = means_of(samples.cohort)[test] - np.outer(samples.covariates[test, 0] - own, effects.slopes[0])
    np.testing.assert_allclose(means_of(found.cohort), truth, atol=1e-10)
    assert found.covariates is None


def test_a_sample_of_typical_covariates_is_not_moved():
    effects = Adjustment(np.array([[2.0, 0, -1, 0]]), np.array([50.0]))
    np.testing.assert_array_equal(effects.shifts(np.array([[50.0], [51.0]])), [[0] * 4, [2, 0, -1, 0]])


@pytest.mark.parametrize("kind", ["classes", "ordered", "numbers"])
@pytest.mark.parametrize("value", [0.0, 0.1, 7.3e5])
def test_a_constant_covariate_moves_nothing(kind, value):
    samples, target = samples_of(np.full((P, 1), value)), target_of(kind)
    found = estimate(samples, target)
    np.testing.assert_allclose(found.slopes, 0.0, atol=1e-12)
    np.testing.assert_allclose(found.shifts(np.array([[value], [value + 10]])), 0.0, atol=1e-10)
    truth = estimate(replace(samples, covariates=np.arange(P, dtype=float)[:, None]), target)
    beside = np.column_stack([np.full(P, value), np.arange(P)])
    both = estimate(replace(samples, covariates=beside), target)
    np.testing.assert_allclose(both.slopes, [np.zeros(D), truth.slopes[0]], atol=1e-10)


@pytest.mark.parametrize("kind", ["classes", "ordered", "numbers"])
def test_a_covariate_that_is_the_label_in_other_words_moves_nothing(kind):
    target = target_of(kind)
    values = target.values if kind == "numbers" else np.array([0.1, 7.3, 2.2])[CODES]
    samples = samples_of(1 / 3 * values[:, None] + 0.7)
    np.testing.assert_allclose(estimate(samples, target).slopes, 0.0, atol=1e-10)


def test_a_covariate_in_two_units_is_taken_off_once():
    age = np.random.default_rng(2).normal(size=P) + CODES
    target = target_of("classes")
    once = samples_of(age[:, None])
    twice = replace(once, covariates=np.column_stack([age, 365.25 * age]))
    np.testing.assert_allclose(
        estimate(twice, target).shifts(twice.covariates), estimate(once, target).shifts(once.covariates), atol=1e-8
    )


def test_more_covariates_than_samples_leave_finite_slopes():
    samples = samples_of(np.random.default_rng(3).normal(size=(P, 20)))
    target = target_of("classes")
    effects = estimate(samples, target)
    assert np.isfinite(effects.slopes).all()
    means = means_of(adjust(samples, effects).cohort)
    for c in range(3):  # nothing is left within the classes
        group = means[CODES == c]
        np.testing.assert_allclose(group, np.broadcast_to(group.mean(axis=0), group.shape), atol=1e-8)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_all_cells_of_a_sample_move_alike_and_keep_their_precision(precision):
    samples, target = planted()
    cohort = replace(samples.cohort, points=samples.cohort.points.astype(precision))
    whole = from_clouds([x[:2] for x in np.split(cohort.points, cohort.offsets[1:-1])])
    samples = replace(samples, cohort=cohort, everything=whole)
    effects = estimate(samples, target)
    found = adjust(samples, effects)
    for before, after in ((cohort, found.cohort), (whole, found.everything)):
        assert after.points.dtype == precision
        shifts = np.repeat(effects.shifts(samples.covariates), before.sizes, axis=0)
        np.testing.assert_allclose(after.points, before.points - shifts, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(cohort.points, samples.cohort.points)


def test_what_was_shared_by_refits_is_dropped_with_the_covariates():
    samples, target = planted()
    samples = replace(samples, work="plans", positions=np.arange(20))
    found = adjust(samples, estimate(samples, target))
    assert (found.work, found.positions, found.covariates) == (None, None, None)


def test_without_covariates_there_is_nothing_to_estimate_or_take_off():
    samples, target = planted()
    effects = estimate(samples, target)
    without = replace(samples, covariates=None)
    with pytest.raises(ValueError, match=r"samples.covariates is None; there is nothing to regress on"):
        estimate(without, target)
    with pytest.raises(ValueError, match=r"samples.covariates is None; the effects of covariates cannot be taken off"):
        adjust(without, effects)
