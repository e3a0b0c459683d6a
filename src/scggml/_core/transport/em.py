"""Gaussian mixtures of weighted points by expectation maximization, with diagonal covariances."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from scggml._core.cohort import Floats
from scggml._core.threads import ignored, one_blas_thread, one_thread

FLOOR = 1e-3
"""Share of the variance of a feature over all points that is added to each variance: none falls to 0."""

MAX_ITER, TOL = 200, 1e-3
"""Most iterations, and the gain of the mean log likelihood below which they end."""

FAINT = 1e-6
"""Responsibility below which a point has no part in a Gaussian."""

PATIENCE = 2
"""Numbers of Gaussians without a better criterion after which larger ones are not tried."""


@dataclass(frozen=True)
class Diagonal:
    """A mixture of K Gaussians of d features without covariances between these.

    Parameters
    ----------
    center
        (d,) what is taken off points first.
    shares
        (K,) weights of the Gaussians.
    means, variances
        (K, d).
    """

    center: Floats
    shares: Floats
    means: Floats
    variances: Floats

    def joint(self, points: Floats) -> Floats:
        """Return (n, K) log densities of points under each Gaussian, times its weight."""
        x, precisions = points - self.center, 1 / self.variances
        squares = x**2 @ precisions.T - 2 * x @ (self.means * precisions).T + (self.means**2 * precisions).sum(axis=1)
        size = len(self.center) * np.log(2 * np.pi) + np.log(self.variances).sum(axis=1)
        out: Floats = np.log(self.shares) - (squares + size) / 2
        return out

    def responsibilities(self, points: Floats) -> Floats:
        """Return (n, K) shares of the points that belong to each Gaussian; faint ones are 0."""
        joint = self.joint(points)
        found = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        found[found < FAINT] = 0.0
        out: Floats = found / found.sum(axis=1, keepdims=True)
        return out

    def log_likelihood(self, points: Floats, weights: Floats) -> float:
        """Return the mean log density of points (n, d) with weights (n,) of sum 1."""
        return float(weights @ logsumexp(self.joint(points), axis=1))

    def criterion(self, points: Floats, weights: Floats) -> float:
        """Return the Bayesian information criterion, the smaller the better.

        Weighted points count as many as equal ones whose mean is as uncertain (Kish): 1 over the sum of squares.
        """
        n = 1 / float((weights**2).sum())
        K, d = self.means.shape
        return -2 * n * self.log_likelihood(points, weights) + (K * (2 * d + 1) - 1) * float(np.log(n))


def fit_diagonal(points: Floats, weights: Floats, n: int, seed: int) -> Diagonal:
    """Fit at most `n` Gaussians to points (n_points, d) with positive weights (n_points,) of sum 1.

    From weighted k-means, to a maximum of the weighted likelihood, in which a weight counts as that share of a point.
    """
    center = weights @ points
    x = points - center
    variance = weights @ x**2
    # a feature that is constant says nothing about any point
    floor = np.where(variance > 0, FLOOR * variance, 1.0)
    means = KMeans(n, n_init=1, random_state=seed)
    with ignored(ConvergenceWarning), one_thread("openmp"), one_blas_thread():  # fewer different points than centers
        owner = means.fit(x, sample_weight=weights * len(x)).labels_
        parts: Floats = np.eye(n)[owner][:, np.unique(owner)]
        last = -np.inf
        for _ in range(MAX_ITER):
            found = _maximize(x, weights, parts, center, floor)
            joint = found.joint(points)
            total = logsumexp(joint, axis=1, keepdims=True)
            now = float(weights @ total[:, 0])
            if now - last < TOL:
                break
            last, parts = now, np.exp(joint - total)
    return found


def _maximize(x: Floats, weights: Floats, parts: Floats, center: Floats, floor: Floats) -> Diagonal:
    """Return the most likely Gaussians of points around their center (n, d) with responsibilities (n, K)."""
    mass = weights @ parts
    kept = mass > FAINT / len(x)  # what no point belongs to is gone
    mass, counted = mass[kept], weights[:, None] * parts[:, kept]
    means = counted.T @ x / mass[:, None]
    variances = np.maximum(counted.T @ x**2 / mass[:, None] - means**2, 0.0) + floor
    return Diagonal(center, mass / mass.sum(), means, variances)


def choose_diagonal(points: Floats, weights: Floats, most: int, seed: int) -> Diagonal:
    """Return the mixture of 1 to `most` Gaussians with the smallest Bayesian information criterion."""
    best, lowest, waited = fit_diagonal(points, weights, 1, seed), np.inf, 0
    lowest = best.criterion(points, weights)
    for n in range(2, min(most, len(points)) + 1):
        found = fit_diagonal(points, weights, n, seed)
        criterion = found.criterion(points, weights)
        if criterion < lowest:
            best, lowest, waited = found, criterion, 0
            continue
        waited += 1
        if waited == PATIENCE:
            break
    return best
