"""Metrics without some folds: what they have seen, on which scale they are, and which pairs each of them measures."""

import numpy as np
import pytest
from scipy.stats import f_oneway, pearsonr

from scggml._core.cohort import from_clouds
from scggml._core.evaluate.cross_fit import cross_fit, separation
from scggml._core.folds import TooFewDonorsError
from scggml._core.ids import array_target
from scggml._core.learn.canonical import Canonical
from scggml._core.learn.learner import Learner
from scggml._core.samples import Samples, blind
from scggml._core.transport.products import project

LEARNER = Learner(method=Canonical(ridge=0.05, ridge_scale="mean"), shrinkage=0.4, n_comps=2)


def study(n=12, *, groups=None, labels=None):
    rng = np.random.default_rng(0)
    d, shift = 4, 1.0
    labels = np.arange(n) % 2 if labels is None else np.asarray(labels)
    clouds = [rng.normal(size=(8, d)) + 0.3 * rng.normal(size=d) + shift * label * np.eye(d)[0] for label in labels]
    cohort = from_clouds(clouds)
    groups = np.arange(n) if groups is None else np.asarray(groups)
    return Samples(blind(cohort), groups), array_target([f"c{label}" for label in labels])


def fitted(samples, target, *, n_splits=4, seed=0):
    return cross_fit(LEARNER, samples, target, n_splits=n_splits, rng=np.random.default_rng(seed), n_jobs=1)


def test_each_metric_is_that_of_the_donors_it_has_seen():
    samples, target = study()
    fits = fitted(samples, target)
    assert fits.n_folds == 4
    assert len(fits.components) == 4 + 6
    for e, out in enumerate(fits.left_out):
        train = np.flatnonzero(~np.isin(fits.fold, out))
        W = fits.components[e]
        again = LEARNER.learn(samples.take(train), target.take(train), rng=np.random.default_rng(1)).components
        np.testing.assert_allclose(W, again, rtol=1e-6, atol=1e-8)


def test_a_held_out_donor_moves_no_metric_that_has_not_seen_it():
    samples, target = study()
    fits = fitted(samples, target)
    moved, _ = study()
    first = slice(moved.cohort.offsets[0], moved.cohort.offsets[1])
    moved.cohort.points[first] += 100.0
    others = fitted(moved, target)
    unseen = (fits.left_out == fits.fold[0]).any(axis=1)
    assert unseen.sum() == 4
    np.testing.assert_allclose(fits.components[unseen], others.components[unseen], rtol=1e-6, atol=1e-8)
    assert not np.allclose(fits.components[~unseen], others.components[~unseen], rtol=1e-2)


def test_donors_stay_together():
    groups = np.repeat(np.arange(6), 2)
    samples, target = study(groups=groups, labels=np.repeat([0, 1, 0, 1, 0, 1], 2))
    fits = cross_fit(LEARNER, samples, target, n_splits=3, rng=np.random.default_rng(0), n_jobs=1)
    for group in range(6):
        assert len(set(fits.fold[groups == group])) == 1


def test_training_cells_have_variance_1():
    samples, target = study()
    fits = fitted(samples, target)
    single, centers = fits.single()
    for f, (W, center) in enumerate(zip(single, centers, strict=True)):
        cohort = samples.cohort.take(np.flatnonzero(fits.fold != f))
        Z = project(cohort.points, W)
        np.testing.assert_allclose(Z.mean(axis=0), center, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(Z.std(axis=0), 1.0, rtol=1e-6)
    for e, W in enumerate(fits.double()):
        cohort = samples.cohort.take(np.flatnonzero(~np.isin(fits.fold, fits.left_out[4 + e])))
        assert project(cohort.points, W).var(axis=0).sum() == pytest.approx(1.0)


def test_each_pair_of_samples_is_measured_once_in_all_by_metrics_that_have_seen_neither():
    samples, target = study()
    fits = fitted(samples, target)
    weight = np.zeros((12, 12))
    for e, members, pairs, share in fits.pairs(fits.fold):
        out = fits.left_out[fits.n_folds + e]
        assert np.isin(fits.fold[members], out).all()
        for (p, q), part in zip(members[pairs], share, strict=True):
            weight[p, q] += part
    np.testing.assert_allclose(weight, np.triu(np.ones((12, 12)), 1), rtol=1e-12)


def test_too_few_donors_are_refused_in_words():
    samples, target = study(n=6)
    with pytest.raises(TooFewDonorsError, match="fewer than two of its samples are left where two folds are left out"):
        fitted(samples, target, n_splits=3)
    with pytest.raises(ValueError, match="n_splits=2 must be at least 3 folds"):
        fitted(samples, target, n_splits=2)
    samples, target = study(n=4, groups=[0, 0, 1, 1], labels=[0, 1, 0, 1])
    with pytest.raises(TooFewDonorsError, match="There are 2 donors; at least 3 are needed"):
        fitted(samples, target)


def test_separation_is_an_analysis_of_variance_of_donors():
    rng = np.random.default_rng(0)
    target = array_target(["a"] * 4 + ["b"] * 4 + ["c"] * 4)
    scores = rng.normal(size=(12, 2))
    found = separation(scores, target, np.arange(12))
    parts = scores.reshape(3, 4, 2)
    np.testing.assert_allclose(found.class_means, parts.mean(axis=1).T)
    np.testing.assert_allclose(found.p_values, f_oneway(*parts).pvalue)
    twice = separation(
        np.repeat(scores, 2, axis=0), array_target(np.repeat(list("abc"), 8)), np.repeat(np.arange(12), 2)
    )
    np.testing.assert_allclose(twice.p_values, found.p_values)


def test_separation_of_numbers_is_a_correlation():
    rng = np.random.default_rng(0)
    values = rng.normal(size=10)
    scores = np.stack([2 * values + 1, rng.normal(size=10), np.zeros(10)], axis=1)
    found = separation(scores, array_target(values, "numbers"), np.arange(10))
    np.testing.assert_allclose(found.class_means[0], [2, 1])
    assert found.p_values[1] == pytest.approx(pearsonr(values, scores[:, 1]).pvalue)
    assert found.p_values[2] == 1.0
