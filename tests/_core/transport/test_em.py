"""Weighted mixtures with diagonal covariances, against scikit-learn, which takes no weights."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from scggml._core.transport import em
from scggml._core.transport.em import Diagonal, choose_diagonal, fit_diagonal


@pytest.fixture
def points():
    """60 points around three places, of variance 1 in each feature, so that sklearn adds the same to each."""
    rng = np.random.default_rng(0)
    x = np.array([[0, 0, 0, 0], [3, 0, 3, 0], [0, 3, 0, 3]])[rng.integers(3, size=60)] + rng.normal(size=(60, 4))
    return (x - x.mean(axis=0)) / x.std(axis=0)


def of_sklearn(points, start, n):
    """The mixture of scikit-learn that goes on from ours, which is at its maximum."""
    return GaussianMixture(
        n, covariance_type="diag", reg_covar=em.FLOOR, tol=1e-7, max_iter=2000,
        weights_init=start.shares, means_init=start.means + start.center, precisions_init=1 / start.variances,
    ).fit(points)  # fmt: skip


@pytest.fixture(autouse=True)
def _to_the_maximum(monkeypatch):
    monkeypatch.setattr(em, "TOL", 1e-7)
    monkeypatch.setattr(em, "MAX_ITER", 2000)


@pytest.mark.parametrize("n", [1, 3, 5])
def test_equal_weights_give_the_mixture_of_scikit_learn(points, n):
    weights = np.full(len(points), 1 / len(points))
    found = fit_diagonal(points, weights, n, 0)
    truth = of_sklearn(points, found, n)
    np.testing.assert_allclose(found.means + found.center, truth.means_, atol=1e-2)
    np.testing.assert_allclose(found.variances, truth.covariances_, atol=1e-2)
    np.testing.assert_allclose(found.shares, truth.weights_, atol=1e-2)
    assert found.log_likelihood(points, weights) == pytest.approx(truth.score(points), abs=1e-4)
    assert found.criterion(points, weights) == pytest.approx(truth.bic(points), abs=1e-2)


def test_a_weight_counts_as_that_many_points(points):
    counts = np.random.default_rng(1).integers(1, 4, size=len(points))
    twice = np.repeat(points, counts, axis=0)
    found = fit_diagonal(points, counts / counts.sum(), 3, 0)
    spread = fit_diagonal(twice, np.full(len(twice), 1 / len(twice)), 3, 0)
    order, other = (np.argsort(each.means[:, 0]) for each in (found, spread))
    np.testing.assert_allclose(found.means[order] + found.center, spread.means[other] + spread.center, atol=1e-2)
    np.testing.assert_allclose(found.shares[order], spread.shares[other], atol=1e-2)


def test_the_density_is_that_of_scipy(points):
    from scipy.stats import multivariate_normal  # noqa: PLC0415

    rng = np.random.default_rng(2)
    mixture = Diagonal(rng.normal(size=4), np.array([0.3, 0.7]), rng.normal(size=(2, 4)), rng.uniform(1, 2, (2, 4)))
    parts = [
        share * multivariate_normal(mixture.center + mean, np.diag(variance)).pdf(points)
        for share, mean, variance in zip(mixture.shares, mixture.means, mixture.variances, strict=True)
    ]
    np.testing.assert_allclose(np.exp(mixture.joint(points)), np.stack(parts, axis=1), rtol=1e-10)
    found = mixture.responsibilities(points)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found, np.stack(parts, axis=1) / np.sum(parts, axis=0)[:, None], atol=2 * em.FAINT)


@pytest.mark.parametrize("n", [1, 3])
def test_the_criterion_finds_how_many_places_there_are(n):
    rng = np.random.default_rng(3)
    points = 8 * np.arange(n)[rng.integers(n, size=300)][:, None] + rng.normal(size=(300, 2))
    found = choose_diagonal(points, np.full(300, 1 / 300), 8, 0)
    assert len(found.shares) == n


def test_equal_points_and_constant_features_are_one_gaussian():
    points = np.tile([[1.0, 2.0]], (6, 1))
    weights = np.full(6, 1 / 6)
    for found in (fit_diagonal(points, weights, 3, 0), choose_diagonal(points, weights, 3, 0)):
        np.testing.assert_allclose(found.means + found.center, [[1.0, 2.0]])
        np.testing.assert_allclose(found.responsibilities(points), np.ones((6, 1)))
    points[:, 0] = [0, 0, 0, 9, 9, 9]
    np.testing.assert_allclose(np.sort(fit_diagonal(points, weights, 2, 0).shares), [0.5, 0.5])


def test_the_same_seed_gives_the_same_bytes(points):
    weights = np.full(len(points), 1 / len(points))
    one, two = (choose_diagonal(points, weights, 5, 7) for _ in range(2))
    np.testing.assert_array_equal(one.means, two.means)
