"""From a learned metric to one that also holds for new samples: a share of the Euclidean metric, at the same rank."""

from typing import Literal

import numpy as np

from scggml._core.checks import check_number, is_auto
from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.learn.spectrum import Covariance, leading_eigenvectors
from scggml._core.samples import Target, mean_profiles

Shrinkage = float | Literal["auto"]

MOST = 0.9
"""Share of the variance between batches that is kept out of the Euclidean part."""


def check_shrinkage(shrinkage: Shrinkage) -> None:
    """Raise unless it is a share, or left to be decided."""
    if not is_auto(shrinkage):
        check_number("shrinkage", shrinkage, 'a share between 0 and 1, or "auto"', 0, 1 + 1e-12, open_low=False)


def shrink(
    W: Floats,
    share: float,
    cohort: Cohort,
    *,
    kept_out: Floats | None = None,
    covariance: Covariance | None = None,
) -> Floats:
    """Return (k, d), the metric between W (k, d) and the Euclidean metric, of the same rank; see `mixture`."""
    return mixture(W, share, cohort, kept_out=kept_out, covariance=covariance)[0]


def mixture(
    W: Floats,
    share: float,
    cohort: Cohort,
    *,
    kept_out: Floats | None = None,
    covariance: Covariance | None = None,
) -> tuple[Floats, Floats]:
    r"""Return (k, d), the metric between W (k, d) and the Euclidean metric, and how much of W is in each of its rows.

    The mixture :math:`\theta = (1 - s)\, W^T W + s\, v_W / v_I\; I` gives W and the Euclidean metric their shares of
    the variance of the cells, where v is the total variance under each. (Shares of the trace would not do: with many
    features that only mislead, nearly all of the distance would be theirs.) Theta has full rank; kept are the k
    principal axes of the cells under it, the best embedding of rank k.

    Parameters
    ----------
    kept_out
        (m, d) orthonormal directions that the Euclidean part does not see; see `batch_directions`.
    covariance
        That of the cohort, if it is known.

    Returns
    -------
    The metric, and coefficients (k, k): a row of them is what comes from W of a row of the metric; the squares of all
    that it is made of have sum 1.
    """
    k, d = W.shape
    if share == 0:
        return W, np.eye(k)
    if covariance is None:
        covariance = Covariance(cohort)
    learned, plain = float(np.sum(W * covariance(W.T).T)), covariance.total
    if kept_out is not None:
        plain -= float(np.sum(kept_out * covariance(kept_out.T).T))
    # A metric without variance has no scale by which to mix it with another.
    if learned <= 0 or plain <= 0:
        return W, np.eye(k)
    first, rest = np.sqrt(1 - share) * W, np.sqrt(share * learned / plain)

    def seen(v: Floats) -> Floats:
        """Take the directions that are kept out off the columns of v (d, m)."""
        return v if kept_out is None else v - kept_out.T @ (kept_out @ v)

    def mixed_covariance(v: Floats) -> Floats:
        """Return the covariance of the cells under [first; rest P], times v (k + d, m)."""
        moved = covariance(first.T @ v[:k] + rest * seen(v[k:]))
        return np.concatenate([first @ moved, rest * seen(moved)])

    # [first; rest P] maps the cells to k + d dimensions in which the mixture is the plain distance. The k leading
    # principal axes there keep the most of it. The covariance is known by its products, so nothing of size d x d is
    # needed for large d.
    axes = leading_eigenvectors(mixed_covariance, k + d, k)
    coefficients = axes[:, :k]
    return coefficients @ first + rest * seen(axes[:, k:].T).T, coefficients


def learned_share(components: Floats, W: Floats, coefficients: Floats) -> Floats:
    """Return (k,) how much of each component was learned rather than shrunk in, between 0 and 1.

    `components` are W (k, d) after a rotation of its rows, of which `coefficients` came from what was learned.
    """
    squares = np.einsum("kd,kd->k", components, components)
    turned = np.divide(components @ W.T, squares[:, None], out=np.zeros((len(W), len(W))), where=squares[:, None] > 0)
    out: Floats = np.minimum(((turned @ coefficients) ** 2).sum(axis=1), 1.0)
    return out


def batch_directions(cohort: Cohort, target: Target, batch: Integers) -> Floats | None:
    """Return (m, d) orthonormal directions in which batches differ within classes, at most half of all directions.

    Batch and class are fitted side by side to the mean cells of the samples, so that a batch in which one class is
    frequent does not take the difference between the classes with it.
    """
    means = mean_profiles(cohort).astype(np.float64)
    in_batch = np.eye(int(batch.max()) + 1)[batch]
    fixed = target.design
    # The constant is in both parts, so the design lacks full rank and lstsq takes the solution of smallest norm. It
    # leaves the mean effect open, which is taken off: only differences between batches count, each batch by its
    # samples.
    effects = np.linalg.lstsq(np.concatenate([fixed, in_batch], axis=1), means, rcond=1e-8)[0][fixed.shape[1] :]
    effects = np.sqrt(in_batch.sum(axis=0))[:, None] * (effects - in_batch.mean(axis=0) @ effects)
    _, strengths, axes = np.linalg.svd(effects, full_matrices=False)
    shares = np.cumsum(strengths**2)
    if shares[-1] <= 1e-20 * max(float((means**2).sum()), np.finfo(float).tiny):
        return None
    m = int(np.searchsorted(shares, MOST * shares[-1])) + 1
    # With few features and many batches nothing would be left of the Euclidean part.
    return axes[: min(m, max(1, cohort.n_features // 2))]
