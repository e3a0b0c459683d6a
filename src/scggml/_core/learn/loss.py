"""The triplet hinge on a matrix of distances, without a list of triplets."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scggml._core.cohort import Floats, Integers

Anchors = Literal["all", "distinct"]

SMALL = 40
"""Samples up to which all triplets are compared at once."""


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


def near_and_far(
    labels: Integers, anchors: Anchors, batch: Integers | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (P, P) masks of which samples should be close, and which apart, seen from each anchor (row)."""
    own = labels[:, None] == labels
    near = own if anchors == "all" else own & ~np.eye(len(labels), dtype=np.bool_)
    return near, ~own if batch is None else ~own & (batch[:, None] == batch)


def triplet_hinge(
    distances: Floats, labels: Integers, margin: float, anchors: Anchors = "all", batch: Integers | None = None
) -> Hinge:
    r"""Average relu(D_ij - D_jk + margin) over ordered triplets with c(i) = c(j) != c(k).

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
    batch
        (P,) batches; k must be of the batch of j, i need not.
    """
    near, far = near_and_far(labels, anchors, batch)
    n_triplets = int((near.sum(axis=1) * far.sum(axis=1)).sum())
    slopes = np.zeros_like(distances)
    if n_triplets == 0:
        return Hinge(0.0, slopes, 0.0)

    if len(labels) <= SMALL:
        # All triplets at once: for few samples a loop over anchors is slower than P^3 comparisons.
        reaches = distances + margin
        violated = near[:, :, None] & far[:, None, :] & (distances[:, None, :] < reaches[:, :, None])
        anchor, one, other = np.nonzero(violated)
        slopes += violated.sum(axis=2) - violated.sum(axis=1)
        slopes += slopes.T
        np.fill_diagonal(slopes, 0.0)
        value = float((reaches[anchor, one] - distances[anchor, other]).sum())
        return Hinge(value / n_triplets, slopes / n_triplets, len(anchor) / n_triplets)

    total, n_active = 0.0, 0
    for j, row in enumerate(distances):
        others = np.flatnonzero(far[j])
        if len(others) == 0:  # bounds need not know the distances of such an anchor
            continue
        others = others[np.argsort(row[others], kind="stable")]
        reach = row[near[j]] + margin
        # Violated are the `n_below` nearest others; their hinges add up to n_below * reach less a prefix sum.
        n_below = np.searchsorted(row[others], reach, side="left")  # a tie is not active: relu'(0) = 0
        sums = np.concatenate([[0.0], np.cumsum(row[others])])
        total += float((n_below * reach - sums[n_below]).sum())
        n_active += int(n_below.sum())
        slopes[j, near[j]] += n_below
        # the r-th nearest of another class is violated by every i that reaches beyond r of them
        slopes[j, others] -= len(reach) - np.cumsum(np.bincount(n_below, minlength=len(others) + 1))[:-1]
    # (j, k) and (k, j) are slopes of one distance, seen from either anchor.
    slopes += slopes.T
    np.fill_diagonal(slopes, 0.0)  # D_jj is 0 whatever W is
    return Hinge(total / n_triplets, slopes / n_triplets, n_active / n_triplets)


def ordered_hinge(
    distances: Floats, values: Floats, margin: float, anchors: Anchors = "all", batch: Integers | None = None
) -> Hinge:
    r"""Average relu(D_ij - D_jk + margin) over triplets in which i is nearer to j in label than k is.

    A triplet counts by how much nearer, :math:`w_{ijk} = |y_k - y_j| - |y_i - y_j| > 0`. With two values of the label
    these are the triplets of two classes.

    Parameters
    ----------
    values
        (P,) codes of ordered classes, or numbers.
    """
    P = len(values)
    slopes = np.zeros_like(distances)
    gaps = np.abs(values[:, None] - values)
    total = weight = active = 0.0
    for j in range(P):
        far = np.flatnonzero((gaps[j] > 0) if batch is None else (gaps[j] > 0) & (batch == batch[j]))
        near = np.arange(P) if anchors == "all" else np.flatnonzero(np.arange(P) != j)
        # No sorting here: each pair of i and k has a weight of its own, so that prefix sums of distances do not help.
        weights = np.maximum(gaps[j][far] - gaps[j][near, None], 0.0)  # (n_near, n_far)
        reach = distances[j][near, None] - distances[j][far] + margin
        violated = weights * (reach > 0)
        total += float((violated * reach).sum())
        weight, active = weight + float(weights.sum()), active + float(violated.sum())
        slopes[j, near] += violated.sum(axis=1)
        slopes[j, far] -= violated.sum(axis=0)
    if weight == 0:
        return Hinge(0.0, slopes, 0.0)
    slopes += slopes.T
    np.fill_diagonal(slopes, 0.0)
    return Hinge(total / weight, slopes / weight, active / weight)


def listed_hinge(distances: Floats, triplets: Integers, margin: float) -> Hinge:
    """Average relu(D_ij - D_jk + margin) over a list of triplets (i, j, k), (n_triplets, 3)."""
    slopes = np.zeros_like(distances)
    if len(triplets) == 0:
        return Hinge(0.0, slopes, 0.0)
    i, j, k = triplets.T
    reach = distances[i, j] - distances[j, k] + margin
    violated = reach > 0
    # A pair is in several triplets: `slopes[i, j] += 1` would count it once.
    np.add.at(slopes, (i[violated], j[violated]), 1.0)
    np.add.at(slopes, (j[violated], k[violated]), -1.0)
    slopes += slopes.T
    np.fill_diagonal(slopes, 0.0)
    n = len(triplets)
    return Hinge(float(reach[violated].sum()) / n, slopes / n, float(violated.mean()))


def draw_triplets(
    labels: Integers,
    n_triplets: int,
    anchors: Anchors,
    rng: np.random.Generator,
    batch: Integers | None = None,
) -> Integers:
    """Draw triplets (i, j, k) at random, `n_triplets` for each anchor j and each other class.

    i is drawn from the class of j, k from the other class (and the batch of j, where there are batches).
    """
    near, far = near_and_far(labels, anchors, batch)
    found = []
    for j in range(len(labels)):
        own = np.flatnonzero(near[j])
        for code in np.unique(labels[far[j]]):
            other = np.flatnonzero(far[j] & (labels == code))
            if len(own):
                drawn = rng.choice(own, n_triplets), np.full(n_triplets, j), rng.choice(other, n_triplets)
                found.append(np.stack(drawn, axis=1))
    return np.concatenate(found).astype(np.int64) if found else np.empty((0, 3), dtype=np.int64)
