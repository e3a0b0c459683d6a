"""Detect samples that are unlike all known ones."""

import numpy as np

from scggml._core.cohort import Floats, Integers

USUAL = 0.05
"""Least spread of log distances among known samples that a new one is measured by."""


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
