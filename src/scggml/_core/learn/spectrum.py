"""Principal axes, variances and random rows: what a metric may start from, and what it is shrunk towards."""

from collections.abc import Callable

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, eigsh

from scggml._core.cohort import Cohort, Floats, Points, blocks

Product = Callable[[Floats], Floats]
"""A symmetric matrix by what it does to another one."""


def mean_cell(cohort: Cohort, points: Points | None = None) -> Floats:
    """Return the (d,) mean cell, samples counting equally; `points` (n_cells, d) may place the cells elsewhere."""
    points = cohort.points if points is None else points
    out = np.zeros(points.shape[1])
    for rows in blocks(points):
        out += cohort.weights[rows] @ points[rows].astype(np.float64, copy=False)
    return out / cohort.n_samples


def covariance_of(cohort: Cohort) -> Product:
    """Return the (d, d) covariance of the cells, samples counting equally, as what it does to a matrix (d, m)."""
    mean = mean_cell(cohort)

    def times(v: Floats) -> Floats:
        out = np.zeros(v.shape)
        for rows in blocks(cohort.points):
            x: Points = cohort.points[rows].astype(np.float64, copy=False) - mean
            out += x.T @ (cohort.weights[rows, None] * (x @ v))
        return out / cohort.n_samples

    return times


def total_variance(cohort: Cohort) -> float:
    """Return the summed variance of the features, samples counting equally."""
    mean = mean_cell(cohort)
    parts = (cohort.weights[rows] @ ((cohort.points[rows] - mean) ** 2).sum(axis=1) for rows in blocks(cohort.points))
    return float(sum(parts)) / cohort.n_samples


def leading_axes(times: Product, size: int, k: int) -> Floats:
    """Return (k, size) orthonormal leading eigenvectors of a symmetric matrix that is known by its products."""
    if size <= 2048 or k > size // 2:
        axes = eigh(times(np.eye(size)), subset_by_index=[size - k, size - 1])[1]
    else:
        operator = LinearOperator((size, size), matvec=lambda v: times(v.reshape(-1, 1))[:, 0], dtype=np.float64)
        axes = eigsh(operator, k, v0=np.ones(size))[1]
    out: Floats = axes.T[::-1]
    return out


def principal_axes(cohort: Cohort, n_comps: int) -> Floats:
    """Return (k, d) orthonormal leading principal axes of the cells, samples counting equally; zero rows beyond d."""
    k = min(n_comps, cohort.n_features)
    axes = leading_axes(covariance_of(cohort), cohort.n_features, k)
    return np.pad(axes, ((0, n_comps - k), (0, 0)))


def orthonormal(n_comps: int, n_features: int, rng: np.random.Generator) -> Floats:
    """Return (k, d) random rows with W W^T = I (or orthonormal columns when k > d), uniform over such matrices."""
    tall = rng.standard_normal((max(n_comps, n_features), min(n_comps, n_features)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return q.T if n_comps <= n_features else q


def variances(cohort: Cohort) -> Floats:
    """Return the (d,) variance of each feature over the cells, samples counting equally."""
    mean = mean_cell(cohort)
    out = np.zeros(cohort.n_features)
    for rows in blocks(cohort.points):
        out += cohort.weights[rows] @ (cohort.points[rows].astype(np.float64, copy=False) - mean) ** 2
    return out / cohort.n_samples
