"""From a learned metric to one that also holds for new samples: a share of the Euclidean metric, at the same rank."""

from typing import Literal

import numpy as np

from scggml._core.checks import check_number
from scggml._core.cohort import Cohort, Floats
from scggml._core.learn.canonical import covariance_of, leading_axes, total_variance

Shrinkage = float | Literal["auto"]

AUTO = 0.4
"""Share with `shrinkage="auto"`; the evidence is on the page *Benchmarks*."""


def as_share(shrinkage: Shrinkage, *, scale_free: bool, batch: bool = False) -> float:
    """The share of the Euclidean metric.

    `"auto"` has none where the margin is a number, as in the paper, and where batches are to be kept out, which the
    Euclidean metric sees.
    """
    if shrinkage == "auto":
        return AUTO if scale_free and not batch else 0.0
    check_number("shrinkage", shrinkage, 'a share between 0 and 1, or "auto"', 0, 1 + 1e-12, open_low=False)
    return float(shrinkage)


def shrink(W: Floats, share: float, cohort: Cohort) -> Floats:
    r"""(k, d) metric between W (k, d) and the Euclidean metric, of the same rank.

    The mixture :math:`\theta = (1 - s)\, W^T W + s\, v_W / v_I\; I` gives W and the Euclidean metric their shares of
    the variance of the cells, where v is the total variance under each. (Shares of the trace would not do: with many
    features that only mislead, nearly all of the distance would be theirs.) Theta has full rank; kept are the k
    principal axes of the cells under it, the best embedding of rank k.
    """
    k, d = W.shape
    covariance = covariance_of(cohort)
    learned, plain = float(np.sum(W * covariance(W.T).T)), total_variance(cohort)
    if share == 0 or learned <= 0:
        return W
    first, rest = np.sqrt(1 - share) * W, np.sqrt(share * learned / plain)

    def mixed_covariance(v: Floats) -> Floats:
        """The covariance of the cells under [first; rest I], times v (k + d, m)."""
        moved = covariance(first.T @ v[:k] + rest * v[k:])
        return np.concatenate([first @ moved, rest * moved])

    axes = leading_axes(mixed_covariance, k + d, k)
    out: Floats = axes[:, :k] @ first + rest * axes[:, k:]
    return out
