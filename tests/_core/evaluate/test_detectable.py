"""Differences that cohorts can show, held to simulated cohorts."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, binomtest, ttest_1samp

from scggml._core.evaluate.detectable import (
    accuracy_distribution,
    by_donor,
    chance_p_value,
    detectable_between,
    detectable_from_chance,
)

DESIGNS = [(10, 10), (4, 16), (3, 7, 12), (40, 41), (150, 90), (5, 5, 5, 5)]


def drawn(counts, rate, n, rng):
    """Balanced accuracies of many cohorts, each donor recognized at one rate."""
    return np.mean([rng.binomial(size, rate, n) / size for size in counts], axis=0)


@pytest.mark.parametrize("counts", [(2, 3), (4, 4), (1, 2, 3)])
def test_the_distribution_is_that_of_all_outcomes(counts):
    rates = np.linspace(0.3, 0.8, len(counts))
    truth: dict[float, float] = {}
    for outcome in product(*(range(n + 1) for n in counts)):
        value = round(float(np.mean([x / n for x, n in zip(outcome, counts, strict=True)])), 9)
        p = np.prod([binom.pmf(x, n, r) for x, n, r in zip(outcome, counts, rates, strict=True)])
        truth[value] = truth.get(value, 0.0) + float(p)
    values, p = accuracy_distribution(counts, rates)
    assert {round(v, 9): pytest.approx(q) for v, q in zip(values, p, strict=True) if q > 0} == truth


def test_the_p_value_of_a_balanced_cohort_is_the_binomial_one():
    for right in (10, 14, 15, 20):
        truth = binomtest(right, 20, 0.5, alternative="greater").pvalue
        assert chance_p_value(right / 20, [10, 10]) == pytest.approx(truth)
    assert chance_p_value(0.0, [10, 10]) == pytest.approx(1.0)


@pytest.mark.parametrize("counts", DESIGNS, ids=str)
def test_the_difference_is_found_in_four_of_five_simulated_cohorts(counts):
    rng = np.random.default_rng(0)
    found = detectable_from_chance(counts)
    chance = 1 / len(counts)
    p_values: dict[float, float] = {}  # cohorts have few values

    def share(difference):
        every = np.round(drawn(counts, chance + difference, 4000, rng), 9)
        for value in np.unique(every):
            p_values.setdefault(value, chance_p_value(value, counts))
        return np.mean([p_values[value] <= 0.05 for value in every])

    assert share(found) == pytest.approx(0.8, abs=0.025)  # 4 standard errors
    assert share(0.0) <= 0.05 + 0.014
    assert share(0.7 * found) < 0.7


@pytest.mark.parametrize(("counts", "least"), [((12, 18), 0.68), ((50, 70), 0.71)], ids=str)
def test_a_test_by_permuted_labels_finds_it_about_as_often(counts, least):
    """Predictions are fixed and labels are permuted: no binomial enters. It is a little less powerful."""
    rng = np.random.default_rng(1)
    codes = np.repeat([0, 1], counts)
    labels = np.stack([codes, *(rng.permutation(codes) for _ in range(399))])
    right = rng.uniform(size=(2000, len(codes))) < 0.5 + detectable_from_chance(counts)
    predicted = np.where(right, codes, 1 - codes)
    accuracy = (predicted @ labels.T / counts[1] + (1 - predicted) @ (1 - labels).T / counts[0]) / 2
    p_values = (accuracy >= accuracy[:, :1] - 1e-9).mean(axis=1)
    assert least <= np.mean(p_values <= 0.05) <= 0.84


@pytest.mark.parametrize(
    ("counts", "agree", "most"),
    [((60, 60), 0.5, 0.84), ((30, 50, 40), 0.5, 0.84), ((20, 20), 0.5, 0.88), ((15, 40), 0.8, 1.0)],
    ids=str,
)
def test_a_difference_between_two_methods_is_found_in_four_of_five_simulated_cohorts(counts, agree, most):
    """Where methods disagree, the first one is right more often; `most` allows for few such donors."""
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(len(counts)), counts)

    def cohorts(difference, n):
        differ = rng.uniform(size=(n, len(codes))) > agree
        better = rng.uniform(size=differ.shape) < 0.5 + difference / (2 * (1 - agree))
        return differ * np.where(better, 1.0, -1.0)

    difference = float(np.mean([detectable_between(gaps, codes) for gaps in cohorts(0.0, 100)]))
    weights = len(codes) / (len(counts) * np.bincount(codes)[codes])

    def share(d):
        return np.mean(ttest_1samp(cohorts(d, 3000) * weights, 0.0, axis=1).pvalue <= 0.05)

    assert 0.77 <= share(difference) <= most
    assert share(0.5 * difference) < 0.5


def test_methods_that_agree_on_a_small_cohort_may_still_differ():
    codes = np.repeat([0, 1], 5)
    alike = detectable_between(np.zeros(10), codes)
    assert 0.2 < alike < detectable_between(np.tile([1.0, -1.0], 5), codes)
    assert np.isnan(detectable_between(np.zeros(2), np.array([0, 1])))


def test_samples_of_a_donor_count_once_in_each_class():
    values, codes = np.array([1.0, 0.0, 1.0, 1.0, 0.0]), np.array([0, 0, 1, 0, 1])
    means, of = by_donor(values, codes, np.array([7, 7, 7, 9, 9]))
    assert means.tolist() == [0.5, 1.0, 1.0, 0.0]
    assert of.tolist() == [0, 1, 0, 1]
