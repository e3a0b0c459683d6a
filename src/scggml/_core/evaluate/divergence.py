"""Kullback-Leibler divergences between samples of points, by distances to nearest neighbors."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from scggml._core.cohort import Cohort, Floats, Points

NEIGHBORS = 25
"""Neighbors that the density at a cell is read from, as in GloScope; fewer where a sample has no more cells."""

CLOSEST = 1e-6
"""Distance, in units of the spread of all cells, below which two cells are at one place: copies have no density."""


def symmetric_divergences(first: Cohort, second: Cohort, *, spread: float, n_neighbors: int = NEIGHBORS) -> Floats:
    r"""Return (n, m) sums of the divergences in both directions between n and m samples.

    .. math:: \widehat{KL}(p \| q) = \frac{d}{n_p} \sum_{i=1}^{n_p} \log \frac{\nu_k(x_i)}{\rho_k(x_i)}
        + \log \frac{n_q}{n_p - 1}

    with the distances :math:`\rho_k` and :math:`\nu_k` of a cell of p to its k-th neighbor among the other cells of p
    and among those of q. Both densities are read from as many neighbors, so that their biases nearly cancel.

    Parameters
    ----------
    first, second
        Samples of at least two cells of d features; all cells count alike.
    spread
        Distance that is typical of the cells: what is below a millionth of it counts as that.
    n_neighbors
        Neighbors, k; one less than the cells of the smaller sample where there are no more.

    Raises
    ------
    ValueError
        A sample with a single cell.

    References
    ----------
    Wang, Kulkarni and Verdu, *Divergence estimation for multidimensional densities via k-nearest-neighbor distances*,
    IEEE Transactions on Information Theory 2009; Perez-Cruz, *Kullback-Leibler divergence estimation of continuous
    distributions*, ISIT 2008.
    """
    least = CLOSEST * spread or float(np.finfo(np.float64).tiny)
    forth = _directed(first, second, n_neighbors, least)
    back = forth if first is second else _directed(second, first, n_neighbors, least)
    return forth + back.T


def _directed(first: Cohort, second: Cohort, n_neighbors: int, least: float) -> Floats:
    """Return (n, m) divergences of the first samples from the second ones."""
    largest = _largest(first, n_neighbors)
    own = [_neighbors(points, k).kneighbors()[0] for points, k in zip(_clouds(first), largest, strict=True)]
    out = np.empty((first.n_samples, second.n_samples))
    for q, (points, most) in enumerate(zip(_clouds(second), _largest(second, n_neighbors), strict=True)):
        # the cells of all samples at once: a call costs more than what it finds
        there = np.split(_neighbors(points, most).kneighbors(first.points)[0], first.offsets[1:-1])
        for p, (near, far) in enumerate(zip(own, there, strict=True)):
            k = min(near.shape[1], most) - 1
            ratios = np.log(np.maximum(far[:, k], least)) - np.log(np.maximum(near[:, k], least))
            out[p, q] = first.n_features * ratios.mean() + np.log(len(points) / (len(near) - 1))
    return out


def _clouds(cohort: Cohort) -> list[Points]:
    return np.split(cohort.points, cohort.offsets[1:-1])


def _neighbors(points: Points, k: int) -> NearestNeighbors:
    return NearestNeighbors(n_neighbors=k).fit(points)


def _largest(cohort: Cohort, n_neighbors: int) -> list[int]:
    """Return how many neighbors each sample can have."""
    alone = cohort.names[cohort.sizes < 2]
    if len(alone):
        raise ValueError(
            f"Sample {str(alone[0])!r} has a single cell, which has no neighbor to read a density from; the method "
            "'gloscope' needs two or more. Pass min_cells=2, or leave the method out."
        )
    return [min(n_neighbors, int(size) - 1) for size in cohort.sizes]
