"""Probabilities out of scores, as sure as held-out donors allow."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from scggml._core.cohort import Floats, Integers

LOWEST, HIGHEST = 1e-3, 20.0
"""Bounds of the temperature on scores of size 1. The lower one keeps their order where they say nothing."""


@dataclass(frozen=True)
class Temperature:
    r"""Softmax of scores times one number, :math:`p = \operatorname{softmax}(t s)`.

    Parameters
    ----------
    t
        The number, at least 0: scores that say nothing about held-out donors give equal probabilities. There is no
        intercept, which would favor a class.
    """

    t: float

    def probabilities(self, scores: Floats) -> Floats:
        """Return (n, C) probabilities from scores (n, C)."""
        out: Floats = softmax(self.t * scores, axis=1)
        return out


def highest_probability(codes: Integers, groups: Integers) -> float:
    """Return (n + 1/2) / (n + 1), n the donors of the smallest class: no more can be said by so few, however clearly.

    It is the mean of a probability under the prior of Jeffreys after n successes in n trials.

    Parameters
    ----------
    codes, groups
        (P,) classes and donors of the samples.
    """
    # Donors, not samples: several samples of a donor are one independent observation.
    n = min(len(np.unique(groups[codes == c])) for c in np.unique(codes))
    return (n + 0.5) / (n + 1)


def fit_temperature(scores: Floats, codes: Integers, groups: Integers) -> Temperature:
    """Return the temperature with the least class-balanced log loss on held-out donors.

    The truth is smoothed as Platt does it: a sample is of its class with `highest_probability`.

    Parameters
    ----------
    scores
        (n, C) of held-out samples, higher for what is more likely.
    codes, groups
        (n,) their classes and donors.

    References
    ----------
    Platt, *Probabilistic outputs for support vector machines*, 1999; Guo et al., *On calibration of modern neural
    networks*, ICML 2017.
    """
    n_classes = scores.shape[1]
    centred = scores - scores.mean(axis=1, keepdims=True)
    unit = float(np.abs(centred).mean()) or 1.0
    highest = highest_probability(codes, groups)
    truth = np.full(scores.shape, (1 - highest) / (n_classes - 1))
    truth[np.arange(len(codes)), codes] = highest
    counts = np.bincount(codes, minlength=n_classes)
    truth /= counts[codes, None] * (counts > 0).sum()

    def loss(t: float) -> float:
        return -float((truth * log_softmax(t * centred / unit, axis=1)).sum())

    # the loss is convex in t
    best = minimize_scalar(loss, bounds=(LOWEST, HIGHEST), method="bounded", options={"xatol": 1e-6}).x
    return Temperature(float(LOWEST if loss(LOWEST) <= loss(best) else best) / unit)


def at_most(probabilities: Floats, highest: float) -> Floats:
    """Return probabilities (n, C) of which none is above the highest; the rest goes to the other classes."""
    out: Floats = np.minimum(probabilities, highest)
    # `highest` is at least 3/4, and there are two classes or more: the others have room for all that was cut off.
    room = highest - out
    out += room * ((1 - out.sum(axis=1)) / room.sum(axis=1))[:, None]
    return out
