"""Score how much distances between samples know of what is known about these."""

from typing import Literal, get_args

import numpy as np
from sklearn.metrics import f1_score

from scggml._core.cohort import Floats, Integers
from scggml._core.evaluate.scores import spearman

Task = Literal["classification", "regression", "ranking"]
TASKS: tuple[Task, ...] = get_args(Task)


def nearest_of(distances: Floats, n_neighbors: int) -> tuple[Integers, Floats]:
    """Return (P, k) nearest other samples of each sample, and their weights: one over the distance.

    Among samples at distance 0 these alone count, alike.
    """
    D = distances.astype(np.float64)
    np.fill_diagonal(D, np.inf)
    near = np.argsort(D, axis=1, kind="stable")[:, :n_neighbors]
    apart = np.take_along_axis(D, near, axis=1)
    same = apart == 0
    with np.errstate(divide="ignore"):
        weights = np.where(same.any(axis=1, keepdims=True), same.astype(np.float64), 1 / apart)
    return near, weights


def retention(distances: Floats, values: Floats, task: Task, n_neighbors: int = 3) -> float:
    r"""Return how well the neighbors of a sample tell a value of it, from 0 (not at all) to 1.

    Classes are predicted by the weighted vote of the nearest other samples and scored by
    :math:`C / (C - 1) \cdot (F_1 - 1 / C)`, the macro F1 corrected for chance; numbers and ranks by their weighted mean
    and the rank correlation. What is below 0 counts as 0.

    Parameters
    ----------
    distances
        (P, P)
    values
        (P,) codes of classes from 0, or numbers.
    """
    near, weights = nearest_of(distances, n_neighbors)
    if task != "classification":
        return max(0.0, spearman(values, (weights * values[near]).sum(axis=1) / weights.sum(axis=1)))
    codes = values.astype(np.int64)
    C = int(codes.max()) + 1
    votes = np.zeros((len(codes), C))
    np.add.at(votes, (np.arange(len(codes))[:, None], codes[near]), weights)
    macro = float(f1_score(codes, votes.argmax(axis=1), average="macro", zero_division=0))
    return max(0.0, C / (C - 1) * (macro - 1 / C))


def replicate_robustness(distances: Floats, replicates: Integers) -> float:
    """Return 1 - the mean number of samples that are nearer to a sample than its nearest replicate.

    1 is perfect; it falls below 0 where more than one foreign sample is nearer on average. Samples without a replicate
    do not count.

    Parameters
    ----------
    replicates
        (P,) code that replicates share.
    """
    D = distances.astype(np.float64)
    np.fill_diagonal(D, np.inf)
    own = replicates[:, None] == replicates
    np.fill_diagonal(own, False)
    some = own.any(axis=1)
    nearest = np.where(own, D, np.inf).min(axis=1)
    return float(1 - (D < nearest[:, None]).sum(axis=1)[some].mean())
