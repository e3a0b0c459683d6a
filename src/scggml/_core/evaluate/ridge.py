"""Linear models on a row of numbers per sample, with predictions of held-out donors in closed form."""

from dataclasses import dataclass

import numpy as np

from scggml._core.cohort import Floats, Integers
from scggml._core.samples import Target

PENALTIES = np.logspace(-3.0, 1.0, 13)
"""Ridges that are tried, as shares of the trace of the features' scatter."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """A ridge regression that is fitted, one column for each class (or one for numbers).

    Parameters
    ----------
    coefficients, center, intercept
        (m, C), (m,) and (C,).
    held_out
        (P, C) what it says of each training sample when its donor is left out.
    """

    coefficients: Floats
    center: Floats
    intercept: Floats
    held_out: Floats

    def predict(self, features: Floats) -> Floats:
        """Return (n, C) scores of classes, or (n, 1) numbers, from features (n, m)."""
        out: Floats = (features - self.center) @ self.coefficients + self.intercept
        return out


def fit_ridge(features: Floats, target: Target, groups: Integers) -> Ridge:
    r"""Fit a class-balanced ridge regression to -1 and 1 for each class, with the ridge that predicts donors best.

    .. math:: \min_{\beta, b} \sum_p w_p (y_p - b - \beta^T x_p)^2 + \lambda \lVert\beta\rVert^2, \qquad
        y_G - \hat y_{-G} = (I - H_{GG})^{-1} (y_G - \hat y_G)

    where samples of a class with n of them weigh 1 / n. The second equation gives what the model says of a donor with
    the samples G without it; H is the hat matrix of the fit, free intercept included. (Centring the features with the
    donor, in place of an intercept, would tell its label.) The ridge is the one of `PENALTIES` with the least squared
    error of these.

    Parameters
    ----------
    features
        (P, m) of the training samples.
    target
        Their labels.
    groups
        (P,) their donors.
    """
    truth, weights = _truth(target)
    root = np.sqrt(weights)[:, None]
    center, mean = weights @ features, weights @ truth
    U, s, Vt = np.linalg.svd((features - center) * root, full_matrices=False)
    total = float((s**2).sum()) or 1.0
    donors = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    hats = [(U * (s**2 / (s**2 + ridge * total))) @ U.T + root @ root.T for ridge in PENALTIES]
    found = [_held_out(hat, truth, root, donors) for hat in hats]
    errors = [float((weights[:, None] * (truth - held_out) ** 2).sum()) for held_out in found]
    best = int(np.argmin(errors))
    shrunk = s / (s**2 + PENALTIES[best] * total)
    coefficients = Vt.T @ (shrunk[:, None] * (U.T @ ((truth - mean) * root)))
    return Ridge(coefficients, center, mean, found[best])


def _truth(target: Target) -> tuple[Floats, Floats]:
    """Return (P, C) what is regressed on and (P,) weights of sum 1."""
    if target.kind == "numbers":
        return target.values[:, None], np.full(len(target.values), 1 / len(target.values))
    weights = 1.0 / np.bincount(target.codes, minlength=target.n_classes)[target.codes]
    return 2 * target.design - 1, weights / weights.sum()


def _held_out(hat: Floats, truth: Floats, root: Floats, donors: list[Integers]) -> Floats:
    """Return (P, C) predictions without the donor of each sample; hat matrix and root weights are those of the fit."""
    rest = root * truth - hat @ (root * truth)
    out = np.empty_like(truth)
    for own in donors:
        alone = np.eye(len(own)) - hat[np.ix_(own, own)]
        # A donor that holds a whole dimension alone leaves nothing that could predict it: the least-norm answer.
        out[own] = truth[own] - np.linalg.lstsq(alone, rest[own], rcond=None)[0] / root[own]
    return out
