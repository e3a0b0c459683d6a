"""Count how often predictions of some confidence are right."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from scggml._core.checks import check_whole
from scggml._core.cohort import Floats, Integers
from scggml._core.evaluate.scores import class_weights

DIGITS = 4
"""Confidences that agree so far are the same: votes differ by what resolves their ties."""

CONFIDENCE = 0.95
"""Of the intervals."""


@dataclass(frozen=True)
class Reliability:
    """Bins of predictions by their confidence, the probability of the class that is predicted.

    Parameters
    ----------
    confidence, right
        (B,) mean confidence of each bin, rising, and the share of its predictions that are right; classes count
        equally.
    low, high
        (B,) 95 % interval of that share.
    weight
        (B,) share of all predictions; their sum is 1.
    donors
        (B,) number of donors with predictions in the bin.
    """

    confidence: Floats
    right: Floats
    low: Floats
    high: Floats
    weight: Floats
    donors: Integers

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of confidence and share right."""
        return float(self.weight @ np.abs(self.confidence - self.right))


def reliability(codes: Integers, probabilities: Floats, groups: Integers, n_bins: int = 5) -> Reliability:
    r"""Return how often predictions are right in bins of equal size by confidence.

    Predictions of one confidence stay in one bin, so there may be fewer. Intervals are those of Wilson for as many
    independent predictions as the donors of a bin are worth, :math:`(\sum_d w_d)^2 / \sum_d w_d^2` with their weights.

    Parameters
    ----------
    codes, groups
        (n,) true class and donor of each prediction; a sample may be predicted repeatedly.
    probabilities
        (n, C) of the classes.
    """
    check_whole("n_bins", n_bins, 1)
    weights = class_weights(codes)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == codes
    place = _bins(confidence, weights, n_bins)
    B = int(place.max()) + 1
    total: Floats = np.bincount(place, weights, B).astype(np.float64)
    share = np.bincount(place, weights * right, B) / total
    donor = np.unique(groups, return_inverse=True)[1].reshape(-1)
    by_donor = np.zeros((B, int(donor.max()) + 1))
    np.add.at(by_donor, (place, donor), weights)
    low, high = wilson(share, total**2 / (by_donor**2).sum(axis=1))
    return Reliability(
        confidence=np.bincount(place, weights * confidence, B) / total,
        right=share,
        low=low,
        high=high,
        weight=total,
        donors=(by_donor > 0).sum(axis=1),
    )


def _bins(confidence: Floats, weights: Floats, n_bins: int) -> Integers:
    """Return the bin of each prediction, counted from 0 without gaps."""
    value = np.unique(np.round(confidence, DIGITS), return_inverse=True)[1].reshape(-1)
    own = np.bincount(value, weights)
    middle = np.cumsum(own) - own / 2
    which = np.minimum((n_bins * middle).astype(np.int64), n_bins - 1)
    return np.unique(which, return_inverse=True)[1].reshape(-1)[value]


def wilson(share: Floats, n: Floats, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """Return both ends of the interval of Wilson of shares among n independent trials."""
    z = float(norm.ppf(0.5 + confidence / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(middle - reach, 0.0, 1.0), np.clip(middle + reach, 0.0, 1.0)
