"""Metrics of several draws of donors, and their mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.folds import strata_of
from scggml._core.learn.spectrum import Covariance, leading_eigenvectors
from scggml._core.samples import Target

SHARE = 0.7
"""Of the donors of each class (or range of numbers) in a bag."""


@dataclass(frozen=True, eq=False)
class Bags:
    """Hold what was learned from several draws of donors.

    Parameters
    ----------
    metrics
        (B, k, d) before they are shrunk; rows of zeros where fewer components could be learned.
    drawn
        (B, P) whether each sample was learned from.
    """

    metrics: Floats
    drawn: NDArray[np.bool_]

    @staticmethod
    def of(metrics: Sequence[Floats], bags: Sequence[Integers], k: int, n_samples: int) -> "Bags":
        """Put metrics (at most k, d) and the positions of their samples together."""
        filled = np.zeros((len(metrics), k, metrics[0].shape[1]))
        drawn = np.zeros((len(metrics), n_samples), dtype=bool)
        for b, (W, bag) in enumerate(zip(metrics, bags, strict=True)):
            filled[b, : len(W)] = W
            drawn[b, bag] = True
        return Bags(filled, drawn)

    def without(self, samples: Integers) -> Floats:
        """Return (B', k, d) metrics that were learned without any of the samples."""
        out: Floats = self.metrics[~self.drawn[:, samples].any(axis=1)]
        return out


def draw_bags(target: Target, groups: Integers, n_bags: int, rng: np.random.Generator) -> list[Integers]:
    """Return positions of the samples in each bag: those of 70 % of the donors of each class, and two samples at least.

    Who is left out goes through the donors in a random order, so that each is left out about as often.

    Parameters
    ----------
    groups
        (P,) donors. One with samples of several classes is drawn for each class apart.
    """
    strata = strata_of(target)
    by_class = [_draw(np.flatnonzero(strata == s), groups, n_bags, rng) for s in np.unique(strata)]
    return [np.sort(np.concatenate(parts)) for parts in zip(*by_class, strict=True)]


def _draw(own: Integers, groups: Integers, n_bags: int, rng: np.random.Generator) -> list[Integers]:
    """Return positions of the samples in each bag, among the given ones of a class."""
    donors = np.unique(groups[own])
    n_left_out = len(donors) - int(np.ceil(SHARE * len(donors)))
    order, out = list[int](), list[Integers]()
    for _ in range(n_bags):
        if len(order) < n_left_out:  # whoever is left comes last again: nobody is twice in what a bag leaves out
            order += sorted(rng.permutation(donors).tolist(), key=order.__contains__)
        left_out, order = order[:n_left_out], order[n_left_out:]
        kept = own[~np.isin(groups[own], left_out)]
        while len(kept) < 2 and left_out:  # nothing is learned from a single sample
            left_out.pop()
            kept = own[~np.isin(groups[own], left_out)]
        out.append(kept)
    return out


def mean_metric(metrics: Sequence[Floats], n_comps: int, cohort: Cohort) -> Floats:
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
