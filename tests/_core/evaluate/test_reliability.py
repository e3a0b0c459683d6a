import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve

from scggml._core.evaluate.reliability import reliability, wilson


def simulated(n=4000, seed=0, power=1.0):
    """Two balanced classes whose probabilities are true, or exaggerated by a power."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.02, 0.98, n)
    codes = (rng.uniform(size=n) < p).astype(np.int64)
    stretched = p**power / (p**power + (1 - p) ** power)
    return codes, np.stack([1 - stretched, stretched], axis=1)


def test_shares_of_bins_are_those_of_scikit_learn():
    codes = np.tile([0, 1], 100)  # classes of one size, so that weights are equal
    p = np.random.default_rng(0).uniform(size=200)
    probabilities = np.stack([1 - p, p], axis=1)
    found = reliability(codes, probabilities, np.arange(200), n_bins=5)
    right = probabilities.argmax(axis=1) == codes
    share, confidence = calibration_curve(right, probabilities.max(axis=1), n_bins=5, strategy="quantile")
    np.testing.assert_allclose(found.right, share)
    np.testing.assert_allclose(found.confidence, confidence)
    np.testing.assert_allclose(found.weight, 0.2)
    assert found.donors.tolist() == [40] * 5


def test_true_probabilities_are_calibrated_and_exaggerated_ones_are_not():
    assert reliability(*simulated(), np.arange(4000)).error < 0.03
    found = reliability(*simulated(power=4.0), np.arange(4000))
    assert found.error > 0.1
    assert (found.right < found.confidence)[1:].all()


def test_the_error_is_the_mean_distance_of_confidence_and_share():
    codes = np.array([0, 0, 1, 1])
    p = np.array([[0.6, 0.4], [0.4, 0.6], [0.1, 0.9], [0.1, 0.9]])
    found = reliability(codes, p, np.arange(4), n_bins=2)
    np.testing.assert_allclose([found.confidence, found.right, found.weight], [[0.6, 0.9], [0.5, 1.0], [0.5, 0.5]])
    assert found.error == pytest.approx((0.1 + 0.1) / 2)


def test_classes_count_equally():
    codes = np.array([0] * 9 + [1])
    found = reliability(codes, np.tile([0.7, 0.3], (10, 1)), np.arange(10))
    assert (found.right[0], found.confidence[0]) == (pytest.approx(0.5), pytest.approx(0.7))


def test_predictions_of_one_confidence_stay_together():
    votes = np.array([1.0, 1.0, 1.0, 2 / 3, 2 / 3 + 1e-6, 1.0, 1.0, 1.0])
    found = reliability(np.tile([0, 1], 4), np.stack([votes, 1 - votes], axis=1), np.arange(8), n_bins=5)
    np.testing.assert_allclose(found.confidence, [2 / 3, 1.0], atol=1e-5)
    np.testing.assert_allclose(found.weight, [0.25, 0.75])


@pytest.mark.parametrize(("right", "n"), [(0, 5), (3, 10), (19, 20), (20, 20)])
def test_intervals_are_those_of_wilson(right, n):
    truth = binomtest(right, n).proportion_ci(method="wilson")
    low, high = wilson(np.array([right / n]), np.array([n]))
    assert (low[0], high[0]) == (pytest.approx(truth.low, abs=1e-12), pytest.approx(truth.high, abs=1e-12))


def test_repeated_predictions_of_a_donor_make_no_interval_narrower():
    codes, p = simulated(30)
    once = reliability(codes, p, np.arange(30), n_bins=1)
    often = reliability(np.tile(codes, 5), np.tile(p, (5, 1)), np.tile(np.arange(30), 5), n_bins=1)
    np.testing.assert_allclose([often.low, often.high], [once.low, once.high])
    paired = reliability(codes, p, np.arange(30) // 2, n_bins=1)
    assert (paired.high - paired.low)[0] > (once.high - once.low)[0]


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside = []
    for seed in range(300):
        codes, p = simulated(60, seed)
        found = reliability(codes, p, np.arange(60), n_bins=3)
        inside += list((found.low <= found.confidence) & (found.confidence <= found.high))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)
