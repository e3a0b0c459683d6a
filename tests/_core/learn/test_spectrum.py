import dataclasses

import numpy as np
import pytest
from _oracles import cloud, random_cohort
from sklearn.decomposition import PCA

from scggml._core import cohort as cohort_module
from scggml._core.cohort import from_clouds
from scggml._core.learn import spectrum as module
from scggml._core.learn.spectrum import (
    Covariance,
    leading_eigenvectors,
    mean_cell,
    orthonormal,
    principal_axes,
    span,
    variances,
)

COHORT = random_cohort((4, 5, 3, 4, 6), labels=(0, 0, 1, 1, 2), weighted=True)


def up_to_sign(rows):
    return rows * np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])[:, None]


# Orthonormal rows


@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 7), (4, 4), (6, 2)])
def test_random_rows_are_orthonormal(k, d):
    W = orthonormal(k, d, np.random.default_rng(0))
    assert W.shape == (k, d)
    product = W @ W.T if k <= d else W.T @ W
    np.testing.assert_allclose(product, np.eye(min(k, d)), atol=1e-14)


def test_random_rows_follow_the_seed():
    one, same, other = (orthonormal(2, 5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_random_rows_prefer_no_orientation_and_no_direction():
    rng = np.random.default_rng(0)
    drawn = np.array([orthonormal(2, 2, rng) for _ in range(2000)])
    assert 0.45 < (np.linalg.det(drawn) > 0).mean() < 0.55
    angles = np.arctan2(drawn[:, 0, 1], drawn[:, 0, 0])
    np.testing.assert_allclose(np.histogram(angles, bins=8, range=(-np.pi, np.pi))[0] / 2000, 1 / 8, atol=0.03)


# Principal axes


def test_principal_axes_are_those_of_the_pca_where_samples_have_one_size():
    cohort = random_cohort((6, 6, 6), d=5, shift=2.0)
    truth = PCA(n_components=3, svd_solver="full").fit(cohort.points).components_
    np.testing.assert_allclose(up_to_sign(principal_axes(cohort, 3)), up_to_sign(truth), atol=1e-12)


def weighted_covariance(cohort):
    """Samples count equally: the mean over samples of their weighted outer products about the mean of their means."""
    clouds = [cloud(cohort, p) for p in range(cohort.n_samples)]
    mean = np.mean([a @ x for x, a in clouds], axis=0)
    return np.mean([sum(w * np.outer(u, u) for u, w in zip(x - mean, a, strict=True)) for x, a in clouds], axis=0)


@pytest.mark.parametrize("block", [1, 20, 2**22])
def test_samples_count_equally_in_principal_axes(monkeypatch, block):
    monkeypatch.setattr(cohort_module, "BLOCK", block)
    vectors = np.linalg.eigh(weighted_covariance(COHORT))[1].T[::-1]
    np.testing.assert_allclose(up_to_sign(principal_axes(COHORT, 3)), up_to_sign(vectors[:3]), atol=1e-10)


def test_more_cells_of_a_sample_do_not_turn_the_principal_axes():
    rng = np.random.default_rng(0)
    narrow, wide = rng.standard_normal((10, 2)) * [1, 5], rng.standard_normal((10, 2)) * [20, 1]
    once, often = from_clouds([narrow, wide]), from_clouds([np.tile(narrow, (50, 1)), wide])
    np.testing.assert_allclose(principal_axes(often, 1), principal_axes(once, 1), atol=1e-10)
    plain = PCA(n_components=1).fit(often.points).components_[0]
    assert abs(plain[1]) > abs(plain[0])
    assert abs(principal_axes(once, 1)[0, 0]) > 0.9


@pytest.mark.parametrize("n_comps", [1, 4, 19])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_of_many_features_the_principal_axes_are_found_without_their_covariance(n_comps, precision):
    rng = np.random.default_rng(0)
    points = (rng.standard_normal((20, 20)) * 0.8 ** np.arange(20) @ rng.standard_normal((20, 2100))).astype(precision)
    cohort = from_clouds([points[:10], points[10:]])
    centered = points.astype(np.float64) - points.astype(np.float64).mean(axis=0)
    truth = np.linalg.svd(centered, full_matrices=False)[2][:n_comps]
    found = principal_axes(cohort, n_comps)
    np.testing.assert_allclose(found @ found.T, np.eye(n_comps), atol=1e-10)
    np.testing.assert_allclose(up_to_sign(found), up_to_sign(truth), atol=1e-8)
    np.testing.assert_array_equal(principal_axes(cohort, n_comps), found)


def test_of_many_features_that_sum_to_one_the_principal_axes_are_found():
    """The vector of ones, a usual start of an eigensolver, is then in the kernel."""
    points = np.random.default_rng(0).dirichlet(np.ones(2100), size=20)
    truth = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][:3]
    found = principal_axes(from_clouds([points[:10], points[10:]]), 3)
    np.testing.assert_allclose(up_to_sign(found), up_to_sign(truth), atol=1e-6)


def test_axes_beyond_the_features_are_zero():
    W = principal_axes(random_cohort(d=3), 5)
    assert W.shape == (5, 3)
    np.testing.assert_allclose(W[:3] @ W[:3].T, np.eye(3), atol=1e-14)
    np.testing.assert_array_equal(W[3:], 0.0)


# Means and variances


@pytest.mark.parametrize("block", [1, 20, 2**22])
def test_samples_count_equally_in_means_and_variances(monkeypatch, block):
    monkeypatch.setattr(cohort_module, "BLOCK", block)
    S = weighted_covariance(COHORT)
    mean = np.mean([a @ x for x, a in (cloud(COHORT, p) for p in range(5))], axis=0)
    np.testing.assert_allclose(mean_cell(COHORT), mean, rtol=1e-12)
    np.testing.assert_allclose(mean_cell(COHORT, 2 * COHORT.points[:, :3] + 1), 2 * mean[:3] + 1, rtol=1e-12)
    np.testing.assert_allclose(variances(COHORT), np.diag(S), rtol=1e-12)
    assert Covariance(COHORT).total == pytest.approx(np.trace(S), rel=1e-12)
    v = np.random.default_rng(0).standard_normal((4, 3))
    np.testing.assert_allclose(Covariance(COHORT)(v), S @ v, rtol=1e-10)


def test_the_variance_of_cells_far_from_the_origin_keeps_its_digits():
    far = from_clouds([x + 1e6 for x in np.split(COHORT.points, COHORT.offsets[1:-1])])
    near = from_clouds(np.split(COHORT.points, COHORT.offsets[1:-1]))
    np.testing.assert_allclose(variances(far), variances(near), rtol=1e-8)
    assert Covariance(far).total == pytest.approx(Covariance(near).total, rel=1e-8)


@pytest.mark.parametrize("kept", [0, 2**25])
def test_many_features_have_the_same_covariance_without_a_matrix(monkeypatch, kept):
    truth = Covariance(COHORT)
    monkeypatch.setattr(module, "MATRIX", 3)
    monkeypatch.setattr(module, "KEPT", kept)
    monkeypatch.setattr(cohort_module, "BLOCK", 20)
    found = Covariance(COHORT)
    np.testing.assert_allclose(found(np.eye(4)), truth(np.eye(4)), rtol=1e-12, atol=1e-14)
    assert found.total == pytest.approx(truth.total, rel=1e-12)


@pytest.mark.parametrize("known", ["matrix", "products"])
@pytest.mark.parametrize("k", [1, 5])
def test_few_eigenvectors_of_a_large_matrix_are_those_of_all(monkeypatch, known, k):
    root = np.random.default_rng(0).standard_normal((90, 120))
    S = root @ root.T
    truth = leading_eigenvectors(S, 90, k)
    monkeypatch.setattr(module, "DENSE", 10)
    found = leading_eigenvectors(S if known == "matrix" else lambda v: S @ v, 90, k)
    np.testing.assert_allclose(up_to_sign(found), up_to_sign(truth), atol=1e-9)


# Axes of few cells with many features


@pytest.mark.parametrize(("noise", "size"), [(None, 11), (0.0, 12), (1e-13, 12), (1e-7, 12), (0.1, 11)])
def test_axes_span_all_cells_where_there_are_fewer_than_features(noise, size):
    """12 cells less their mean span 11 dimensions; copies, and what is nearly one, take the way that is always safe."""
    cohort = random_cohort((4, 5, 3), d=40, weighted=True)
    if noise is not None:
        X = cohort.points.copy()
        X[7] = X[2] + noise * np.random.default_rng(0).standard_normal(40)
        cohort = dataclasses.replace(cohort, points=X)
    axes, points = span(cohort, 2048)
    assert axes.shape == (size, 40)
    np.testing.assert_allclose(axes @ axes.T, np.eye(size), atol=1e-9 if size == 11 else 1e-12)
    X = cohort.points - mean_cell(cohort)
    np.testing.assert_allclose(X @ axes.T @ axes, X, atol=1e-9 if size == 11 else 1e-12)
    np.testing.assert_allclose(points, X @ axes.T, atol=1e-9 if size == 11 else 1e-12)


@pytest.mark.parametrize(("sizes", "d", "small"), [((30, 25, 20), 90, 4096), ((60, 50), 80, 4096), ((60, 50), 80, 5)])
def test_beyond_the_limit_axes_are_the_principal_ones(monkeypatch, sizes, d, small):
    """From the cells, from the features, and by random vectors where both are many."""
    rng = np.random.default_rng(1)
    cohort = from_clouds([rng.standard_normal((n, d)) * 1.5 ** -np.arange(d) + 3 for n in sizes])
    truth = principal_axes(cohort, 6)
    monkeypatch.setattr(module, "SMALL", small)
    nearly_all, _ = span(cohort, d - 1)
    np.testing.assert_allclose(nearly_all @ nearly_all.T, np.eye(len(nearly_all)), atol=1e-9)
    axes, points = span(cohort, 6)
    np.testing.assert_allclose(points, cohort.points @ axes.T, atol=1e-9)
    np.testing.assert_allclose(axes @ axes.T, np.eye(6), atol=1e-10)
    np.testing.assert_allclose(axes.T @ axes, truth.T @ truth, atol=1e-6)
