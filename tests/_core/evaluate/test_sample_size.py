"""The power of a permutation test, held to permutation tests of simulated cohorts."""

import numpy as np
import pytest

from scggml._core.evaluate.learning_curve import PowerLaw
from scggml._core.evaluate.sample_size import Plan, in_proportion, plan, power_of_test

# Shares of 150 simulated cohorts in which a permutation test (59 permutations, five stratified folds) of nearest
# centroids was significant, and the true accuracy of what four fifths of the donors give: donors normal around the mean
# of their class, 10 features and a shift of 1.4; 8 features, three classes and 2.2; 15 features, 3 : 7 and 2.5.
SIMULATED = [
    ((4, 4), 0.710, 0.233),
    ((6, 6), 0.741, 0.447),
    ((8, 8), 0.758, 0.633),
    ((10, 10), 0.778, 0.713),
    ((14, 14), 0.790, 0.873),
    ((3, 3, 2), 0.748, 0.660),
    ((4, 4, 4), 0.802, 0.933),
    ((4, 8), 0.899, 0.840),
    ((5, 11), 0.914, 0.927),
]


@pytest.mark.parametrize(("counts", "accuracy", "share"), SIMULATED, ids=str)
def test_the_power_is_that_of_simulated_permutation_tests(counts, accuracy, share):
    found = float(power_of_test(np.array(counts), np.array([accuracy]))[0])
    assert share - 0.13 <= found <= share + 0.08  # 2 to 3 standard errors, and a little less power rather than more


def test_the_power_rises_with_accuracy_and_donors_and_is_the_level_by_chance():
    accuracies = np.linspace(0.5, 1.0, 21)
    few, many = (power_of_test(np.array([n, n]), accuracies) for n in (8, 30))
    assert (np.diff(few) >= -1e-9).all()
    assert (many[2:] >= few[2:]).all()
    assert 0.02 <= few[0] <= 0.06
    assert many[-1] == pytest.approx(1.0)
    stricter = power_of_test(np.array([8, 8]), accuracies, level=0.01)
    assert (stricter[:-1] <= few[:-1] + 1e-9).all()
    assert not power_of_test(np.array([1, 1]), accuracies).any()  # four outcomes, none rarer than 5 %


def test_donors_are_divided_in_proportion():
    assert in_proportion(10, np.array([12, 28]), 40).tolist() == [3, 7]
    for n in range(4, 80):
        found = in_proportion(n, np.array([13, 9, 10]), 32)
        assert found.sum() == n
        assert np.abs(found - n * np.array([13, 9, 10]) / 32).max() < 1
    assert in_proportion(7, np.array([12, 12]), 12).tolist() == [7, 7]  # paired donors are in both classes


def test_the_donors_needed_are_the_first_from_which_on_the_power_is_there():
    numbers = np.array([8, 10, 12, 14])
    power = np.array([[0.5, 0.85, 0.7, 0.9], [0.9, 0.9, 0.9, 0.9], [0.1, 0.2, 0.3, 0.79]])
    assert Plan(numbers, power).needed().tolist() == [14, 8, np.inf]
    assert Plan(numbers, power).needed(0.6).tolist() == [10, 8, 14]


def test_a_plan_asks_for_what_four_fifths_of_the_donors_give():
    curve = PowerLaw(np.array([0.9]), np.array([1.5]), np.array([1.0]))
    numbers = np.array([10, 20])
    found = plan(curve, numbers, np.array([10, 30]), 40).power[0]
    truth = [power_of_test(np.array(c), np.array([0.9 - 1.5 / (0.8 * n)]))[0] for n, c in ((10, (3, 7)), (20, (5, 15)))]
    np.testing.assert_allclose(found, truth)
