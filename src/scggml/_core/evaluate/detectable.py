"""Differences that a cohort of some size can show, and those that it would miss."""

from collections.abc import Sequence
from math import lcm

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, t

from scggml._core.cohort import Floats, Integers

LEVEL, POWER = 0.05, 0.8
"""Error of the test, and the share of cohorts in which it finds what a cohort is said to be able to show."""

POINTS = 2048
"""Values of a balanced accuracy that are told apart at most, which keeps its distribution exact for small cohorts."""

PRECISION = 1e-9


def accuracy_distribution(counts: Sequence[int], rates: Sequence[float]) -> tuple[Floats, Floats]:
    r"""Return the values of a balanced accuracy, rising, and their probabilities.

    :math:`\frac{1}{C} \sum_c X_c / n_c` with independent :math:`X_c \sim \mathrm{Bin}(n_c, p_c)`, exact as far as the
    values are fractions of one number up to 2048; else the shares of a class are rounded to C / 2048.

    Parameters
    ----------
    counts, rates
        Donors of each class, and the probability that one of them is recognized.
    """
    C = len(counts)
    steps = min(lcm(*counts), POINTS // C)
    total = np.ones(1)
    for n, rate in zip(counts, rates, strict=True):
        recognized = np.arange(n + 1)
        own = np.zeros(steps + 1)
        np.add.at(own, np.rint(recognized * (steps / n)).astype(np.int64), binom.pmf(recognized, n, rate))
        total = np.convolve(total, own)
    return np.arange(len(total)) / (C * steps), total


def chance_p_value(accuracy: float, counts: Sequence[int]) -> float:
    """Return the probability that a method without skill has at least this balanced accuracy.

    It recognizes each donor with probability 1 / C, independently, which is the case of largest variance.
    """
    values, probabilities = accuracy_distribution(counts, [1 / len(counts)] * len(counts))
    return float(min(probabilities[values >= accuracy - 0.5 / POINTS].sum(), 1.0))


def detectable_from_chance(counts: Sequence[int], *, level: float = LEVEL, power: float = POWER) -> float:
    """Return the smallest difference of a balanced accuracy to chance that a cohort of this size would show.

    With a true balanced accuracy this much above 1 / C, the same in all classes, the one-sided test against chance at
    `level` is significant in a share `power` of cohorts. NaN where not even perfect predictions would be.

    Parameters
    ----------
    counts
        Donors of each class.
    """
    chance = 1 / len(counts)
    null = accuracy_distribution(counts, [chance] * len(counts))[1]
    tail = null[::-1].cumsum()[::-1]
    significant = tail <= level + PRECISION
    if not significant.any():
        return float("nan")

    def excess(difference: float) -> float:
        found = accuracy_distribution(counts, [chance + difference] * len(counts))[1]
        return float(found[significant].sum()) - power

    # A perfect method always ends up at the largest value, which is significant.
    return float(brentq(excess, 0.0, 1 - chance, xtol=1e-5))


def detectable_between(gaps: Floats, codes: Integers, *, level: float = LEVEL, power: float = POWER) -> float:
    r"""Return the smallest difference between the balanced accuracies of two methods that a cohort would show.

    In closed form for the paired comparison over n donors of C classes,

    .. math:: \delta = \frac{z m}{\sqrt{1 + z^2}}
        \quad\text{with}\quad z = (t_{1 - \alpha / 2} + t_{power}) \frac{1}{C} \sqrt{\sum_c \frac{1}{n_c}}
        \quad\text{and}\quad m^2 = \frac{1 + \sum_d g_d^2}{n + 1} ,

    where t are quantiles of Student's distribution with n - C degrees of freedom, and :math:`m^2 - \delta^2` is the
    variance of a gap whose mean is :math:`\delta`. The 1 stands for one more donor, on whom the methods disagree:
    those that agree on all donors of a small cohort may differ on others. Where methods disagree on few donors it is
    rather too large. NaN with no more donors than classes.

    Parameters
    ----------
    gaps
        (n,) difference of the success of both methods on each donor, in [-1, 1].
    codes
        (n,) classes of the donors.
    """
    counts = np.unique(codes, return_counts=True)[1]
    C, free = len(counts), len(codes) - len(counts)
    if free < 1:
        return float("nan")
    m = np.sqrt((1.0 + (gaps**2).sum()) / (len(gaps) + 1))
    z = (t.ppf(1 - level / 2, free) + t.ppf(power, free)) / C * np.sqrt((1 / counts).sum())
    return float(z * m / np.sqrt(1 + z**2))


def by_donor(values: Floats, codes: Integers, groups: Integers) -> tuple[Floats, Integers]:
    """Return the mean of the values of each donor's samples of a class, and that class.

    A donor with samples of two classes counts in both.

    Parameters
    ----------
    values, codes, groups
        (P,) values of the samples, their classes and their donors.
    """
    pairs, place = np.unique(np.stack([groups, codes], axis=1), axis=0, return_inverse=True)
    place = place.reshape(-1)
    return np.bincount(place, values) / np.bincount(place), pairs[:, 1].astype(np.int64)
