"""Calibrate class probabilities, and detect samples that are unlike all known ones."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from scggml._core.cohort import Floats, Integers

STRENGTH = 30.0
"""Inverse penalty of the calibration on unit variance: a clear separation may be said to be clear."""

USUAL = 0.05
"""Least spread of log distances among known samples that a new one is measured by."""


def class_reach(distances: Floats, codes: Integers, n_classes: int, n_neighbors: int) -> Floats:
    r"""Return (n, C) how near each class is, :math:`1 - m_c / \bar m`, m the mean distance to its k nearest samples.

    Parameters
    ----------
    distances
        (n, P) to the known samples.
    codes
        (P,) their classes.
    """
    means = np.empty((len(distances), n_classes))
    for c in range(n_classes):
        own = np.sort(distances[:, codes == c], axis=1)[:, :n_neighbors]
        means[:, c] = own.mean(axis=1)
    # Relative, since each fold learns a metric of its own scale, and since how far a sample is from all classes says
    # nothing about which one it belongs to.
    typical = means.mean(axis=1, keepdims=True)
    out: Floats = 1.0 - means / np.where(typical > 0, typical, 1.0)
    return out


@dataclass(frozen=True)
class Calibration:
    """Logistic regression from the relative nearness of classes to probabilities, all equally likely beforehand.

    None is above `highest`, the bound that the number of donors sets; the regression alone would exceed it far away.
    """

    scale: float
    model: LogisticRegression
    highest: float

    def probabilities(self, reach: Floats) -> Floats:
        """Return (n, C) class probabilities; what is above the highest goes to the other classes."""
        out: Floats = np.minimum(self.model.predict_proba(reach / self.scale), self.highest)
        # `highest` is at least 3/4, and there are two classes or more: the others have room for all that was cut off.
        room = self.highest - out
        out += room * ((1 - out.sum(axis=1)) / room.sum(axis=1))[:, None]
        return out


def calibrate(reach: Floats, codes: Integers, n_donors: int) -> Calibration:
    """Learn class probabilities from the relative nearness of the classes to samples that were held out.

    The targets are smoothed as Platt does it, with the prior of Jeffreys: with n donors a sample counts as
    (n + 1/2) / (n + 1) of its class, and the rest goes to the other classes. That is also the highest probability:
    however well the known donors are separated, confidence grows only with their number.

    Parameters
    ----------
    reach
        (n, C) relative nearness of the classes (`class_reach`), a row for each time that a sample was held out.
    codes
        (n,) their classes.
    n_donors
        Independent donors of the smallest class: of no class can more be said than of that one.
    """
    n, n_classes = reach.shape
    # In units of its spread, so that STRENGTH means the same for all metrics.
    scale = float(reach.std()) or 1.0
    highest = (n_donors + 0.5) / (n_donors + 1)
    targets = np.full((n, n_classes), (1 - highest) / (n_classes - 1))
    targets[np.arange(n), codes] = highest
    targets *= n / n_classes / np.bincount(codes, minlength=n_classes)[codes, None]  # classes count the same
    model = LogisticRegression(C=STRENGTH, max_iter=2000)
    # scikit-learn takes no shares as targets: each sample comes once for each class, with its share as weight.
    model.fit(
        np.repeat(reach / scale, n_classes, axis=0), np.tile(np.arange(n_classes), n), sample_weight=targets.ravel()
    )
    return Calibration(scale, model, highest)


def calibration_error(probabilities: Floats, codes: Integers, n_bins: int = 5) -> float:
    """Return the expected calibration error, the mean difference of confidence and accuracy over bins of equal size.

    Parameters
    ----------
    probabilities
        (n, C).
    codes
        (n,) true classes.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == codes
    # Bins of equal width would be almost empty where samples are few.
    bins = np.array_split(np.argsort(confidence, kind="stable"), min(n_bins, len(codes)))
    return float(sum(len(b) * abs(confidence[b].mean() - right[b].mean()) for b in bins) / len(codes))


def novelty(new: Floats, known: Floats, groups: Integers, n_neighbors: int) -> Floats:
    r"""Return (n,) how far new samples are from known ones, compared with how far these are from each other.

    With d the mean distance to the k nearest known samples (of other donors), this is the robust z-score
    :math:`(\log d - \operatorname{median}) / \max(1.48\, \mathrm{MAD}, 0.05)` of its logarithm among the known samples.

    Parameters
    ----------
    new, known
        (n, P) distances of new samples to known ones, and (P, P) among these.
    groups
        (P,) donors of the known samples.
    """
    # A known sample is near to others of its donor, as a new one of a new donor cannot be.
    other = np.where(groups[:, None] == groups[None, :], np.inf, known)
    k = min(n_neighbors, int(np.isfinite(other).sum(axis=1).min()))
    tiny = np.finfo(float).tiny  # equal samples have no logarithm of their distance
    usual = np.log(np.maximum(np.sort(other, axis=1)[:, : max(k, 1)].mean(axis=1), tiny))
    center = float(np.median(usual))
    # The logarithm makes ratios of distances symmetric. Median and MAD, so that known outliers do not hide new ones. A
    # floor, since a few known samples can be equally far from each other by chance.
    spread = max(1.4826 * float(np.median(np.abs(usual - center))), USUAL)
    near = np.sort(new, axis=1)[:, : max(k, 1)].mean(axis=1)
    out: Floats = (np.log(np.maximum(near, tiny)) - center) / spread
    return out
