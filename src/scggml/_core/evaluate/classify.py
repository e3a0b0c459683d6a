"""Classifiers and regressors on distances to samples that are known."""

from typing import Literal, get_args

import numpy as np
from sklearn.linear_model import LogisticRegression

from scggml._core.cohort import Floats, Integers

ClassifierName = Literal["knn", "soft_knn", "kernel_logistic"]
CLASSIFIERS: tuple[ClassifierName, ...] = get_args(ClassifierName)

TIE = 1e-6
"""What a vote loses with each rank, so that the nearer sample decides a tie."""


def knn_votes(distances: Floats, codes: Integers, n_classes: int, n_neighbors: int) -> Floats:
    """Return class-balanced votes of the nearest known samples: one of a class with n known samples counts 1 / n.

    Parameters
    ----------
    distances
        (n, P) from each sample to the P known ones.
    codes
        (P,) classes of the known samples.
    n_neighbors
        Votes; at most P.

    Returns
    -------
    (n, C) shares of the votes, rows of sum 1.
    """
    k = min(n_neighbors, len(codes))
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
    counts = np.bincount(codes, minlength=n_classes)
    weights = 1.0 / counts[codes[nearest]] * (1.0 - TIE * np.arange(k))
    votes = np.zeros((len(distances), n_classes))
    np.add.at(votes, (np.arange(len(distances))[:, None], codes[nearest]), weights)
    out: Floats = votes / votes.sum(axis=1, keepdims=True)
    return out


def knn_mean(distances: Floats, values: Floats, n_neighbors: int) -> Floats:
    """Return (n,) mean number of the nearest known samples, out of distances (n, P) and values (P,)."""
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : min(n_neighbors, len(values))]
    out: Floats = values[nearest].mean(axis=1)
    return out


def kernel_logistic(distances: Floats, known: Floats, codes: Integers, n_classes: int) -> Floats:
    r"""Return (n, C) class probabilities of logistic regression on :math:`\exp(-D^2 / (2 h^2))`, classes balanced.

    h is the median distance between known samples. `distances` (n, P) lead to the known samples, `known` (P, P) lie
    between them.
    """
    off = known[~np.eye(len(known), dtype=bool)]
    bandwidth = float(np.median(off)) or 1.0
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    model.fit(np.exp(-0.5 * (known / bandwidth) ** 2), codes)
    out = np.zeros((len(distances), n_classes))
    out[:, model.classes_] = model.predict_proba(np.exp(-0.5 * (distances / bandwidth) ** 2))
    return out
