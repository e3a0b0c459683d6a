import numpy as np
import pytest
from scipy.special import log_softmax

from scggml._core.evaluate.temperature import LOWEST, at_most, fit_temperature, highest_probability


def smoothed(codes, groups, n_classes):
    highest = highest_probability(codes, groups)
    truth = np.full((len(codes), n_classes), (1 - highest) / (n_classes - 1))
    truth[np.arange(len(codes)), codes] = highest
    return truth / np.bincount(codes, minlength=n_classes)[codes, None] / n_classes


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_temperature_is_the_best_of_a_fine_grid(n_classes):
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(n_classes), [20, 7, 9][:n_classes])
    scores = 3 * (np.eye(n_classes)[codes] + rng.normal(size=(len(codes), n_classes)))
    groups = np.arange(len(codes))
    truth = smoothed(codes, groups, n_classes)
    grid = np.linspace(0, 5, 20001)
    losses = [-(truth * log_softmax(t * scores, axis=1)).sum() for t in grid]
    assert fit_temperature(scores, codes, groups).t == pytest.approx(grid[int(np.argmin(losses))], abs=1e-3)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_unit_of_the_scores_does_not_matter(unit):
    rng = np.random.default_rng(0)
    codes = np.arange(40) % 2
    scores = np.eye(2)[codes] + rng.normal(size=(40, 2))
    p = fit_temperature(scores, codes, np.arange(40)).probabilities(scores)
    other = fit_temperature(unit * scores, codes, np.arange(40)).probabilities(unit * scores)
    np.testing.assert_allclose(other, p, atol=1e-5)


def test_scores_that_mislead_give_equal_probabilities_in_their_order():
    codes = np.arange(30) % 2
    scores = -np.eye(2)[codes]
    found = fit_temperature(scores, codes, np.arange(30))
    p = found.probabilities(scores)
    np.testing.assert_allclose(p, 0.5, atol=LOWEST)
    assert (p.argmax(axis=1) == scores.argmax(axis=1)).all()


def test_scores_of_shuffled_labels_are_hardly_believed():
    """Mean log loss of new samples, over 200 cohorts of 20 whose scores are noise, is near chance."""
    losses = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        codes = rng.permutation(np.arange(20) % 2)
        found = fit_temperature(3 * rng.normal(size=(20, 2)), codes, np.arange(20))
        new = found.probabilities(3 * rng.normal(size=(20, 2)))
        losses.append(-np.log(new[np.arange(20), codes]).mean())
    assert np.mean(losses) <= np.log(2) + 0.05


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_donors", [1, 4, 40])
def test_confidence_is_bounded_by_the_number_of_donors(n_classes, n_donors):
    codes = np.repeat(np.arange(n_classes), 2 * n_donors)
    highest = highest_probability(codes, np.arange(len(codes)) // 2)
    assert highest == pytest.approx((n_donors + 0.5) / (n_donors + 1))
    p = at_most(np.eye(n_classes)[codes], highest)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert (p.argmax(axis=1) == codes).all()
    assert p.max() == pytest.approx(highest)
    assert p.min() > 0


def test_classes_of_different_size_are_equally_likely_beforehand():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], [90, 10])
    scores = np.eye(2)[codes] + 0.1 * rng.standard_normal((100, 2))
    found = fit_temperature(scores, codes, np.arange(100))
    np.testing.assert_allclose(found.probabilities(np.full((1, 2), 0.5)), 0.5)
