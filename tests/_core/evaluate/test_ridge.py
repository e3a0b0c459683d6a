import numpy as np
import pytest

from scggml._core.evaluate.ridge import PENALTIES, fit_ridge
from scggml._core.samples import Target

GROUPS = np.array([0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10])


def targets():
    rng = np.random.default_rng(3)
    classes = Target("classes", rng.integers(0, 3, 14).astype(float), np.array(["a", "b", "c"]))
    return {"classes": classes, "numbers": Target("numbers", rng.normal(size=14), np.array([], dtype=str))}


def refitted(X, T, weights, ridge, kept):
    """Solve the normal equations of the kept samples, intercept free."""
    A = np.column_stack([np.ones(kept.sum()), X[kept]])
    penalty = ridge * np.eye(A.shape[1])
    penalty[0, 0] = 0
    weighted = A.T * weights[kept]
    return np.linalg.solve(weighted @ A + penalty, weighted @ T[kept])


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize("m", [3, 30])
def test_predictions_without_a_donor_are_those_of_a_fit_without_it(kind, m):
    target, X = targets()[kind], np.random.default_rng(0).normal(size=(14, m))
    found = fit_ridge(X, target, GROUPS)
    if kind == "classes":
        T, weights = 2 * np.eye(3)[target.codes] - 1, 1 / np.bincount(target.codes)[target.codes]
    else:
        T, weights = target.values[:, None], np.ones(14)
    weights = weights / weights.sum()
    total = (weights[:, None] * (X - weights @ X) ** 2).sum()
    every, errors = [], []
    for ridge in PENALTIES * total:
        held_out = np.empty_like(T)
        for g in np.unique(GROUPS):
            own = GROUPS == g
            held_out[own] = np.column_stack([np.ones(own.sum()), X[own]]) @ refitted(X, T, weights, ridge, ~own)
        every.append(held_out)
        errors.append((weights[:, None] * (T - held_out) ** 2).sum())
    best = int(np.argmin(errors))
    np.testing.assert_allclose(found.held_out, every[best], atol=1e-8)
    whole = refitted(X, T, weights, PENALTIES[best] * total, np.ones(14, dtype=bool))
    np.testing.assert_allclose(found.predict(X), np.column_stack([np.ones(14), X]) @ whole, atol=1e-8)


def test_the_order_of_samples_does_not_matter():
    target, X = targets()["classes"], np.random.default_rng(0).normal(size=(14, 4))
    order = np.random.default_rng(1).permutation(14)
    found, other = fit_ridge(X, target, GROUPS), fit_ridge(X[order], target.take(order), GROUPS[order])
    np.testing.assert_allclose(other.held_out, found.held_out[order], atol=1e-10)


def test_features_that_do_not_vary_predict_the_mean():
    target = targets()["numbers"]
    found = fit_ridge(np.ones((14, 3)), target, GROUPS)
    np.testing.assert_allclose(found.predict(np.ones((2, 3))), target.values.mean())
