import numpy as np
import pytest
from _oracles import random_cohort

from scggml._core.learn import canonical as initial
from scggml._core.learn.shrinkage import as_share, shrink


def theta(W):
    return W.T @ W


def covariance(cohort):
    """Covariance of the cells by loops, samples counting equally."""
    weights = cohort.weights / cohort.n_samples
    mean = sum(w * x for w, x in zip(weights, cohort.points, strict=True))
    return sum(w * np.outer(x - mean, x - mean) for w, x in zip(weights, cohort.points, strict=True))


def mixture(W, share, S):
    return (1 - share) * theta(W) + share * np.trace(W @ S @ W.T) / np.trace(S) * np.eye(len(S))


METRIC = np.random.default_rng(1).normal(size=(2, 5))


@pytest.fixture
def cohort():
    return random_cohort(d=5, weighted=True)


@pytest.mark.parametrize("share", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_it_is_the_best_embedding_of_the_mixture_of_that_rank(cohort, share, k):
    W = np.random.default_rng(1).normal(size=(k, 5))
    S = covariance(cohort)
    wanted = mixture(W, share, S)
    root = np.linalg.cholesky(wanted).T  # cells in the full space of the mixture
    values, axes = np.linalg.eigh(root @ S @ root.T)
    best = axes[:, ::-1][:, :k].T @ root
    found = shrink(W, share, cohort)
    assert found.shape == W.shape
    np.testing.assert_allclose(theta(found), theta(best), atol=1e-10)
    np.testing.assert_allclose(np.trace(found @ S @ found.T), values[::-1][:k].sum(), rtol=1e-10)
    if k == 5:
        np.testing.assert_allclose(theta(found), wanted, atol=1e-10)


def test_no_share_changes_nothing(cohort):
    assert shrink(METRIC, 0.0, cohort) is METRIC


def test_a_metric_that_sees_nothing_stays(cohort):
    np.testing.assert_array_equal(shrink(np.zeros((2, 5)), 0.5, cohort), np.zeros((2, 5)))


def test_the_whole_share_is_that_of_the_principal_axes(cohort):
    found = shrink(METRIC, 1.0, cohort)
    axes = initial.principal_axes(cohort, 2)
    np.testing.assert_allclose(theta(found) / np.trace(theta(found)), theta(axes) / 2, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_units_of_the_metric_stay(cohort, scale):
    np.testing.assert_allclose(
        theta(shrink(scale * METRIC, 0.5, cohort)), scale**2 * theta(shrink(METRIC, 0.5, cohort)), rtol=1e-8
    )


def test_a_turned_metric_is_the_same(cohort):
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(2, 2)))[0]
    np.testing.assert_allclose(
        theta(shrink(turn @ METRIC, 0.5, cohort)), theta(shrink(METRIC, 0.5, cohort)), atol=1e-10
    )


def test_many_features_are_never_a_matrix_of_their_own():
    d = 2100
    cohort = random_cohort(d=d)
    wide = np.random.default_rng(1).normal(size=(2, d))
    found = shrink(wide, 0.5, cohort)
    weights = cohort.weights / cohort.n_samples
    X = (cohort.points - weights @ cohort.points) * np.sqrt(weights)[:, None]
    share = np.sum((X @ wide.T) ** 2) / np.sum(X**2)
    mixed = 0.5 * (X @ wide.T) @ (X @ wide.T).T + 0.5 * share * X @ X.T  # inner products of the cells under the mixture
    best = np.linalg.eigvalsh(mixed)[::-1][:2]
    np.testing.assert_allclose(np.linalg.eigvalsh((X @ found.T).T @ (X @ found.T))[::-1], best, rtol=1e-8)


@pytest.mark.parametrize(
    ("shrinkage", "scale_free", "share"),
    [("auto", True, 0.4), ("auto", False, 0.0), (0.2, True, 0.2), (0.2, False, 0.2), (1, False, 1.0), (0, True, 0.0)],
)
def test_the_paper_has_no_shrinkage(shrinkage, scale_free, share):
    assert as_share(shrinkage, scale_free=scale_free) == share


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan, None, "some"])
def test_bad_shares_are_refused(bad):
    with pytest.raises((TypeError, ValueError), match=r"shrinkage=.* must be a share between 0 and 1, or \"auto\""):
        as_share(bad, scale_free=True)
