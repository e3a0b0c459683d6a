"""Votes of the nearest known samples for classes, balanced by the size of each class."""

import numpy as np

from scggml._core.cohort import Floats, Integers

NEIGHBORS = (1, 2, 3, 5)
"""Numbers of nearest samples whose votes are averaged: those of a single number take few values."""

LEAST = 0.025
"""Least share of a class: the logarithm of 0 would outweigh all other samples."""


def soft_votes(nearest: Integers, codes: Integers, n_classes: int) -> Floats:
    """Return (n, C) shares of the votes of the nearest samples, the mean over several numbers of them.

    A vote counts 1 / (samples of its class): no class is more likely beforehand because it is larger.

    Parameters
    ----------
    nearest
        (n, m) known samples, nearest first.
    codes
        (P,) classes of the known samples.
    """
    counts = np.bincount(codes, minlength=n_classes)
    found = codes[nearest]
    out = np.zeros((len(nearest), n_classes))
    for k in (min(k, nearest.shape[1]) for k in NEIGHBORS):  # a small fold may train on fewer samples
        part = np.zeros_like(out)
        np.add.at(part, (np.arange(len(out))[:, None], found[:, :k]), 1.0 / counts[found[:, :k]])
        out += part / part.sum(axis=1, keepdims=True) / len(NEIGHBORS)
    return out


def clipped(shares: Floats, least: float = LEAST) -> Floats:
    """Return shares (n, C) of which none is below the least, brought back to sum 1."""
    p = np.clip(shares, least, 1 - least)
    out: Floats = p / p.sum(axis=1, keepdims=True)
    return out
