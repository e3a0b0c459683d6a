"""The triplet hinge on a matrix of distances, without a list of triplets."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scggml._core.cohort import Floats, Integers

Anchors = Literal["all", "distinct"]


@dataclass(frozen=True)
class Hinge:
    """Mean hinge over triplets.

    Parameters
    ----------
    value
        The mean.
    slopes
        (P, P) symmetric; entry (p, q) is the derivative by the distance of the unordered pair {p, q}.
    active
        Share of the triplets whose hinge is positive.
    """

    value: float
    slopes: Floats
    active: float


def triplet_hinge(distances: Floats, labels: Integers, margin: float, anchors: Anchors = "all") -> Hinge:
    r"""Mean of relu(D_ij - D_jk + margin) over ordered triplets with c(i) = c(j) != c(k).

    For an anchor j the distances to other classes are sorted once; each distance to the own class then finds by
    bisection how many of them it violates, and prefix sums give the value: O(P^2 log P) in all.

    Parameters
    ----------
    distances
        (P, P) symmetric with zero diagonal.
    labels
        (P,) class codes.
    margin
        Non-negative, in units of the distances.
    anchors
        `"all"` counts i = j as well (D_ij = 0, so between-class distances below the margin are pushed up even when a
        class has a single sample), `"distinct"` leaves these triplets out.
    """
    own = labels[:, None] == labels[None, :]
    near = own if anchors == "all" else own & ~np.eye(len(labels), dtype=bool)
    n_triplets = int((near.sum(axis=1) * (~own).sum(axis=1)).sum())
    slopes = np.zeros_like(distances)
    if n_triplets == 0:
        return Hinge(0.0, slopes, 0.0)

    total, n_active = 0.0, 0
    for j, row in enumerate(distances):
        others = np.flatnonzero(~own[j])
        others = others[np.argsort(row[others], kind="stable")]
        reach = row[near[j]] + margin
        n_below = np.searchsorted(row[others], reach, side="left")  # a tie is not active: relu'(0) = 0
        sums = np.concatenate([[0.0], np.cumsum(row[others])])
        total += float((n_below * reach - sums[n_below]).sum())
        n_active += int(n_below.sum())
        slopes[j, near[j]] += n_below
        # the r-th nearest of another class is violated by every i that reaches beyond r of them
        slopes[j, others] -= len(reach) - np.cumsum(np.bincount(n_below, minlength=len(others) + 1))[:-1]
    slopes += slopes.T
    np.fill_diagonal(slopes, 0.0)  # D_jj is 0 whatever W is
    return Hinge(total / n_triplets, slopes / n_triplets, n_active / n_triplets)
