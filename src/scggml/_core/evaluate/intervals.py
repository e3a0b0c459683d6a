"""Confidence intervals of the difference between two methods in repeated cross-validation."""

from collections.abc import Sequence
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


def least_error(donors: Sequence[int]) -> float:
    r"""Return the standard error of a balanced accuracy where all donors (n of each class) agree.

    That all of few donors are recognized, or none, or by both of two methods, does not say that all others are: the
    share of these has the posterior of Jeffreys, Beta(n + 1/2, 1/2), with the variance

    .. math:: \frac{(n + 1/2) / 2}{(n + 1)^2 (n + 2)}.
    """
    n = np.asarray(donors, dtype=np.float64)
    return float(np.sqrt(((n + 0.5) / 2 / ((n + 1) ** 2 * (n + 2))).sum()) / len(n))


def corrected_interval(
    differences: Floats, *, test_share: float, confidence: float = 0.95, least: float = 0.0
) -> Interval:
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
    least
        Least standard error: folds that all say the same would have none. See `least_error`.

    References
    ----------
    Nadeau and Bengio, *Inference for the generalization error*, Machine Learning 2003; Brown, Cai and DasGupta,
    *Interval estimation for a binomial proportion*, Statistical Science 2001, for the prior.
    """
    check_number("confidence", confidence, "a share in (0, 1)", 0, 1, open_low=True)
    J = len(differences)
    mean = float(np.mean(differences))
    if J < 2:
        return Interval(mean, float("nan"), float("nan"), float("nan"))
    error = max(float(np.sqrt((1 / J + test_share) * np.var(differences, ddof=1))), least)
    if error <= ROUNDING:
        return Interval(mean, mean, mean, 1.0 if abs(mean) <= ROUNDING else 0.0)
    reach = float(t.ppf(0.5 + confidence / 2, J - 1)) * error
    return Interval(mean, mean - reach, mean + reach, float(2 * t.sf(abs(mean) / error, J - 1)))
