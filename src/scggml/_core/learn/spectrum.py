"""Principal axes, variances and random rows: what a metric may start from, and what it is shrunk towards."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.linalg import eigh, solve_triangular
from scipy.sparse.linalg import LinearOperator, eigsh

from scggml._core.cohort import Cohort, Floats, Points, blocks

Product = Callable[[Floats], Floats]
"""A symmetric matrix by what it does to another one."""

MATRIX, FEW = 2048, 1024
"""Features up to which the covariance is held as a matrix, and up to which this pays if the cells can be kept."""

KEPT = 2**25
"""Numbers of cells in double precision that are kept from product to product (256 MB)."""

DENSE = 400
"""Size up to which all eigenvectors are as fast as a few."""

LANCZOS, RESIDUAL = 20, 1e-12
"""Vectors among which few eigenvectors are looked for, and the share of an eigenvalue by which they may be wrong."""

TINY = 32
"""Size up to which the plainest routine is the fastest."""

ORTHONORMAL = 1e-10
"""Error of orthonormal axes up to which the fast way is taken."""

ENOUGH = 512
"""Cells that mostly tell already that there are as many directions as are asked for."""

ROUNDED = 16.0
"""How far beyond the rounding of the cells a direction must reach to count."""

SMALL = 4096
"""Cells or features whose products with each other may be decomposed as a whole."""


def mean_cell(cohort: Cohort, points: Points | None = None) -> Floats:
    """Return the (d,) mean cell, samples counting equally; `points` (n_cells, d) may place the cells elsewhere."""
    points = cohort.points if points is None else points
    out = np.zeros(points.shape[1])
    for rows in blocks(points):
        out += cohort.weights[rows] @ points[rows].astype(np.float64, copy=False)
    return out / cohort.n_samples


class Covariance:
    """The (d, d) covariance of the cells, samples counting equally, by what it does to a matrix (d, m).

    With few features it is computed once. Beyond, cells are multiplied each time, and nothing of size d x d is made: it
    would take longer than the products that few eigenvectors need.
    """

    def __init__(self, cohort: Cohort) -> None:
        self._cohort, self._mean = cohort, mean_cell(cohort)
        self._matrix: Floats | None = None
        self._factor: Floats | None = None
        n, d = cohort.points.shape
        if d <= (FEW if n * d <= KEPT else MATRIX):
            self._matrix = np.zeros((d, d))
            for rows in blocks(cohort.points):
                x = self._scaled(rows)
                self._matrix += x.T @ x
        elif n * d <= KEPT:
            self._factor = self._scaled(slice(0, n))

    def __call__(self, v: Floats) -> Floats:
        """Return the covariance times v (d, m)."""
        if self._matrix is not None:
            return self._matrix @ v
        out = np.zeros(v.shape)
        for x in self._parts():
            out += x.T @ (x @ v)
        return out

    @property
    def total(self) -> float:
        """Summed variance of the features."""
        if self._matrix is not None:
            return float(np.trace(self._matrix))
        return float(sum(np.einsum("ij,ij->", x, x) for x in self._parts()))

    def _parts(self) -> Iterator[Floats]:
        """Yield the cells in blocks, scaled so that the covariance is the sum of their products."""
        if self._factor is not None:
            yield self._factor
            return
        for rows in blocks(self._cohort.points):
            yield self._scaled(rows)

    def _scaled(self, rows: slice) -> Floats:
        weights = np.sqrt(self._cohort.weights[rows, None] / self._cohort.n_samples)
        out: Floats = (self._cohort.points[rows].astype(np.float64, copy=False) - self._mean) * weights
        return out


def leading_eigenvectors(times: Product | Floats, size: int, k: int) -> Floats:
    """Return (k, size) orthonormal leading eigenvectors of a symmetric matrix, or of one known by its products."""
    if size <= DENSE or k > size // 4:
        matrix = times if isinstance(times, np.ndarray) else times(np.eye(size))
        if size <= TINY:
            axes = np.linalg.eigh(matrix)[1][:, size - k :]
        else:
            axes = eigh(matrix, subset_by_index=[size - k, size - 1])[1]
    else:
        product = (lambda v: times @ v) if isinstance(times, np.ndarray) else (lambda v: times(v[:, None])[:, 0])
        operator = LinearOperator((size, size), matvec=lambda v: product(v.reshape(-1)), dtype=np.float64)
        # A start of its own, so that the answer depends on the matrix alone.
        axes = eigsh(operator, k, v0=np.ones(size), ncv=min(size, max(2 * k + 1, LANCZOS)), tol=RESIDUAL)[1]
    out: Floats = axes.T[::-1]
    return out


def principal_axes(cohort: Cohort, n_comps: int) -> Floats:
    """Return (k, d) orthonormal leading principal axes of the cells, samples counting equally; zero rows beyond d."""
    k = min(n_comps, cohort.n_features)
    axes = leading_eigenvectors(Covariance(cohort), cohort.n_features, k)
    return np.pad(axes, ((0, n_comps - k), (0, 0)))


def span(cohort: Cohort, most: int) -> tuple[Floats, Floats]:
    """Return orthonormal axes (m, d) that span the cells less their mean, and the cells on them (n_cells, m).

    Beyond `most` axes the principal ones are taken. The cost follows the smaller number of cells and features. Where
    both are large, principal axes are found by products with random vectors (Halko, Martinsson and Tropp 2011).
    """
    n, d = cohort.points.shape
    if n > min(most, d):
        axes = _many_principal_axes(cohort, most)
        return axes, np.concatenate([cohort.points[rows] @ axes.T for rows in blocks(cohort.points)])
    cells = cohort.points.astype(np.float64) - mean_cell(cohort)
    found = _by_cholesky(cells)
    if found is not None:
        return found
    # Dependent cells bring axes on which all cells are 0, which harms nothing.
    q, r = np.linalg.qr(cells.T)
    return np.ascontiguousarray(q.T), np.ascontiguousarray(r.T)


def _by_cholesky(cells: Floats) -> tuple[Floats, Floats] | None:
    """Return orthonormal axes of centred cells and the cells on them, in a third of the time; None if not accurate."""
    # The last cell is left out: the others give it, since their weighted sum is 0.
    try:
        lower = np.linalg.cholesky(cells[:-1] @ cells[:-1].T)
    except np.linalg.LinAlgError:
        return None
    axes = solve_triangular(lower, cells[:-1], lower=True, check_finite=False)
    probe = np.ones(len(axes))
    if not np.abs(axes @ (probe @ axes) - probe).max(initial=0.0) <= ORTHONORMAL:
        return None
    return axes, np.concatenate([lower, (cells[-1] @ axes.T)[None]])


def _many_principal_axes(cohort: Cohort, most: int) -> Floats:
    n, d = cohort.points.shape
    if n <= min(SMALL, d):
        weights = np.sqrt(cohort.weights / cohort.n_samples)
        x = (cohort.points.astype(np.float64) - mean_cell(cohort)) * weights[:, None]
        return orthonormal_rows(leading_eigenvectors(x @ x.T, n, most) @ x)
    covariance = Covariance(cohort)
    if d <= SMALL:
        return leading_eigenvectors(covariance(np.eye(d)), d, min(most, d))
    basis = np.random.default_rng(0).standard_normal((min(most + 20, d), d))
    for _ in range(4):
        basis = orthonormal_rows(covariance(basis.T).T)
    return leading_eigenvectors(basis @ covariance(basis.T), len(basis), min(most, d)) @ basis


def orthonormal_rows(rows: Floats) -> Floats:
    """Return orthonormal rows (m, d) that span the given ones."""
    return np.ascontiguousarray(np.linalg.qr(rows.T)[0].T)


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


def usable_rank(cohort: Cohort, at_most: int) -> int:
    """Return the most components that the cells can carry, as far as `at_most`.

    That is the rank of the cells around their mean. It is told from the cells along few random
    directions, which have the same rank, beyond what rounding of the cells can explain. One component can always be
    asked for.
    """
    n, d = cohort.points.shape
    most = min(at_most, d, n - 1)
    found = 0
    for step in dict.fromkeys((max(1, n // ENOUGH), 1)):  # if some cells carry that many, all do
        found = _rank_of(cohort.points[::step], most)
        if found == most:
            break
    return max(1, found)


def _rank_of(points: Points, most: int) -> int:
    """Return the rank of cells around their mean, as far as `most`."""
    n, d = points.shape
    unit = float(np.abs(points).max(initial=0.0))
    if most < 1 or unit == 0:
        return 0
    directions = np.random.default_rng(0).standard_normal((d, most)) / np.sqrt(d) if d > most else np.eye(d)
    moved, size = np.empty((n, directions.shape[1])), 0.0
    for rows in blocks(points):
        block = points[rows].astype(np.float64) / unit
        moved[rows] = (block - points[0].astype(np.float64) / unit) @ directions
        size += float((block**2).sum())
    rounding = float(np.finfo(points.dtype).eps) * np.sqrt(size)
    if points.dtype != np.float64:  # errors of single values cancel out along a direction, those of sums do not
        rounding /= np.sqrt(d)
    moved -= moved.mean(axis=0)
    return min(most, int((np.linalg.svd(moved, compute_uv=False) > ROUNDED * rounding).sum()))
