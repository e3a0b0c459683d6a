import numpy as np
import pytest
from scipy.stats import beta, t, ttest_1samp

from scggml._core.evaluate.intervals import corrected_interval, least_error


def test_without_overlap_it_is_the_interval_of_students_t():
    d = np.random.default_rng(0).normal(0.3, 1.0, size=12)
    truth = ttest_1samp(d, 0.0)
    found = corrected_interval(d, test_share=0.0)
    assert found.p_value == pytest.approx(truth.pvalue)
    low, high = truth.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_the_correction_widens_by_the_factor_of_the_paper():
    d = np.random.default_rng(1).normal(size=25)
    plain, wide = corrected_interval(d, test_share=0.0), corrected_interval(d, test_share=0.25)
    assert wide.mean == plain.mean == pytest.approx(d.mean())
    assert (wide.high - wide.low) / (plain.high - plain.low) == pytest.approx(np.sqrt(1 + 25 * 0.25))


def test_equal_differences_have_an_interval_of_no_width():
    assert corrected_interval(np.full(5, 0.5), test_share=0.25).p_value == 0.0
    found = corrected_interval(np.zeros(5), test_share=0.25)
    assert (found.low, found.high, found.p_value) == (0.0, 0.0, 1.0)


def test_donors_who_all_agree_leave_room_for_others():
    """The least error is the standard deviation of the posterior of Jeffreys, averaged over the classes."""
    spread = [beta(n + 0.5, 0.5).std() for n in (6, 9)]
    assert least_error([6, 9]) == pytest.approx(np.hypot(*spread) / 2)
    found = corrected_interval(np.full(5, 0.5), test_share=0.25, least=least_error([6, 9]))
    reach = t.ppf(0.975, 4) * least_error([6, 9])
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5 - reach, 0.5 + reach))
    assert found.p_value == pytest.approx(2 * t.sf(0.5 / least_error([6, 9]), 4))
    same = corrected_interval(np.zeros(5), test_share=0.25, least=least_error([6, 9]))
    assert same.p_value == 1.0
    assert same.low < 0 < same.high
    wide = np.array([0.0, 1.0, 0.0, 1.0])
    assert corrected_interval(wide, test_share=0.25, least=0.01) == corrected_interval(wide, test_share=0.25)


def test_one_fold_has_no_interval():
    assert np.isnan(corrected_interval(np.array([0.2]), test_share=0.25).low)


def test_coverage_under_the_correlation_that_the_correction_assumes():
    """Differences of folds with correlation rho = n_test / (n_test + n_train): the interval holds the truth as said."""
    rng = np.random.default_rng(0)
    rho, J, n = 0.2, 10, 2000
    d = np.sqrt(rho) * rng.normal(size=(n, 1)) + np.sqrt(1 - rho) * rng.normal(size=(n, J))
    share = rho / (1 - rho)
    held = np.mean([(i := corrected_interval(row, test_share=share)).low <= 0 <= i.high for row in d])
    naive = np.mean([(i := corrected_interval(row, test_share=0.0)).low <= 0 <= i.high for row in d])
    assert 0.93 <= held <= 0.97
    assert naive < 0.85


def test_a_confidence_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match=r"confidence=1.0 must be a share in \(0, 1\)"):
        corrected_interval(np.zeros(3), test_share=0.25, confidence=1.0)
