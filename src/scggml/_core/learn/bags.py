"""Metrics of several draws of donors, and their mean."""

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.folds import strata_of
from scggml._core.learn.spectrum import Covariance, leading_eigenvectors
from scggml._core.samples import Target

SHARE = 0.7
"""Of the donors of each class (or range of numbers) in a bag."""


def draw_bags(target: Target, groups: Integers, n_bags: int, rng: np.random.Generator) -> list[Integers]:
    """Return positions of the samples in each bag: those of 70 % of the donors of each class, and two samples at least.

    Parameters
    ----------
    groups
        (P,) donors. One with samples of several classes is drawn for each class apart.
    """
    strata = strata_of(target)
    return [
        np.sort(np.concatenate([_draw(np.flatnonzero(strata == s), groups, rng) for s in np.unique(strata)]))
        for _ in range(n_bags)
    ]


def _draw(own: Integers, groups: Integers, rng: np.random.Generator) -> Integers:
    """Return positions of the samples of drawn donors, among the given ones."""
    donors = rng.permutation(np.unique(groups[own]))
    n = int(np.ceil(SHARE * len(donors)))
    while n < len(donors) and np.isin(groups[own], donors[:n]).sum() < 2:  # nothing is learned from a single sample
        n += 1
    found: Integers = own[np.isin(groups[own], donors[:n])]
    return found


def mean_metric(metrics: list[Floats], n_comps: int, cohort: Cohort) -> Floats:
    r"""Return (k, d), the k principal axes of the cells under the mean of metrics that count alike.

    .. math:: \theta = \frac1B \sum_b W_b^T W_b / v_b

    with the variance :math:`v_b` of the cells under each, times the mean of these variances; one without variance is
    left out.

    Parameters
    ----------
    metrics
        W (k, d) of each bag.
    """
    covariance = Covariance(cohort)
    variances = [float(np.sum(W * covariance(W.T).T)) for W in metrics]
    kept = [W / np.sqrt(v) for W, v in zip(metrics, variances, strict=True) if v > 0]
    if not kept:
        return metrics[0]
    usual = float(np.mean([v for v in variances if v > 0]))
    S = np.concatenate(kept) * np.sqrt(usual / len(kept))
    axes = leading_eigenvectors(lambda v: S @ covariance(S.T @ v), len(S), n_comps)
    out: Floats = axes @ S
    return out
