"""Confidence intervals of the difference between two methods in repeated cross-validation."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from scggml._core.checks import check_number
from scggml._core.cohort import Floats

ROUNDING = 1e-12
"""Differences below this are none."""


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval and the two-sided p-value of the mean being 0."""

    mean: float
    low: float
    high: float
    p_value: float


def corrected_interval(differences: Floats, *, test_share: float, confidence: float = 0.95) -> Interval:
    r"""Return the confidence interval of the mean of paired differences over the folds of repeated cross-validation.

    Training sets overlap, so differences of folds are not independent and the usual standard error is too small. The
    corrected variance of the mean of J differences with sample variance :math:`s^2` is

    .. math:: \left( \frac{1}{J} + \frac{n_{test}}{n_{train}} \right) s^2

    and the interval follows Student's t with J - 1 degrees of freedom.

    Parameters
    ----------
    differences
        (J,) one per fold and repeat.
    test_share
        n_test / n_train.

    References
    ----------
    Nadeau and Bengio, *Inference for the generalization error*, Machine Learning 2003.
    """
    check_number("confidence", confidence, "a share in (0, 1)", 0, 1, open_low=True)
    J = len(differences)
    mean = float(np.mean(differences))
    if J < 2:
        return Interval(mean, float("nan"), float("nan"), float("nan"))
    error = float(np.sqrt((1 / J + test_share) * np.var(differences, ddof=1)))
    if error <= ROUNDING:
        return Interval(mean, mean, mean, 1.0 if abs(mean) <= ROUNDING else 0.0)
    reach = float(t.ppf(0.5 + confidence / 2, J - 1)) * error
    return Interval(mean, mean - reach, mean + reach, float(2 * t.sf(abs(mean) / error, J - 1)))
