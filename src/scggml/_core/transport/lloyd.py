"""Weighted k-means of the cells of one sample in torch, for a GPU."""

import numpy as np

from scggml._core.cohort import Floats, Integers, Points
from scggml._core.transport.devices import Place, Tensor, alone

TOL = 1e-4
"""Share of the mean variance of the features that all centers together may still move, as in scikit-learn."""


def owners(place: Place, points: Points, weights: Floats, n_points: int, *, max_iter: int, seed: int) -> Integers:
    """Return (n,) the center of each cell after Lloyd's algorithm, from `n_points` cells that are drawn by weight.

    Parameters
    ----------
    points, weights
        (n, d) more cells than centers, and (n,) positive.
    """
    drawn = np.random.RandomState(seed).choice(len(points), n_points, replace=False, p=weights / weights.sum())

    def run(task: tuple[Points, Floats]) -> Integers:
        X, w = place.tensor(task[0]), place.tensor(task[1])
        X = X - X.mean(dim=0)
        own = _lloyd(place, X, w, X[place.index(drawn)], max_iter)
        out: Integers = own.cpu().numpy()
        return out

    return alone(place, run, (points, weights))


def _lloyd(place: Place, X: Tensor, w: Tensor, centers: Tensor, max_iter: int) -> Tensor:
    """Return (n,) nearest centers; one that loses all of its cells stays where it was."""
    torch, least = place.torch, TOL * X.var(dim=0, unbiased=False).mean()
    own = _nearest(X, centers)
    for _ in range(max_iter):
        mass = torch.zeros(len(centers), dtype=X.dtype, device=X.device).index_add_(0, own, w)
        sums = torch.zeros_like(centers).index_add_(0, own, w[:, None] * X)
        moved = torch.where(mass[:, None] > 0, sums / torch.where(mass > 0, mass, 1.0)[:, None], centers)
        shift, centers, before = (moved - centers).square().sum(), moved, own
        own = _nearest(X, centers)
        if bool((own == before).all()) or bool(shift <= least):
            break
    return own


def _nearest(X: Tensor, centers: Tensor) -> Tensor:
    return (centers.square().sum(dim=1) - 2 * X @ centers.T).argmin(dim=1)
