from itertools import pairwise

import numpy as np
import pytest
from _oracles import random_cohort

from scggml._core.cohort import from_clouds
from scggml._core.learn.shrinkage import MOST, batch_directions, check_shrinkage, shrink
from scggml._core.learn.spectrum import principal_axes
from scggml._core.samples import Target


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
    axes = principal_axes(cohort, 2)
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


@pytest.mark.parametrize("share", [0, 0.0, 0.4, 1, 1.0, np.float32(0.5), "auto"])
def test_shares_and_what_is_to_be_decided_pass(share):
    check_shrinkage(share)


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan, None, "some", True])
def test_bad_shares_are_refused(bad):
    with pytest.raises((TypeError, ValueError), match=r"shrinkage=.* must be a share between 0 and 1, or \"auto\""):
        check_shrinkage(bad)


# Directions that are kept out of the Euclidean part

KEPT_OUT = np.linalg.qr(np.random.default_rng(7).normal(size=(5, 2)))[0].T


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_with_directions_kept_out_it_is_the_best_embedding_of_the_mixture_without_them(cohort, share, k):
    W = np.random.default_rng(1).normal(size=(k, 5))
    S, P = covariance(cohort), np.eye(5) - KEPT_OUT.T @ KEPT_OUT
    wanted = (1 - share) * theta(W) + share * np.trace(W @ S @ W.T) / np.trace(P @ S @ P) * P
    values, axes = np.linalg.eigh(wanted)
    root = np.sqrt(np.maximum(values, 0))[:, None] * axes.T
    best = np.linalg.eigh(root @ S @ root.T)[1][:, ::-1][:, :k].T @ root
    np.testing.assert_allclose(theta(shrink(W, share, cohort, kept_out=KEPT_OUT)), theta(best), atol=1e-10)


def test_directions_that_are_kept_out_have_no_euclidean_share(cohort):
    """They are seen only as far as the learned metric sees them: not at all here."""
    W = METRIC - METRIC @ KEPT_OUT.T @ KEPT_OUT
    for share in (0.2, 0.9, 1.0):
        np.testing.assert_allclose(shrink(W, share, cohort, kept_out=KEPT_OUT) @ KEPT_OUT.T, 0.0, atol=1e-12)
        assert np.abs(shrink(W, share, cohort) @ KEPT_OUT.T).max() > 0.01


def test_no_directions_kept_out_change_nothing(cohort):
    truth = shrink(METRIC, 0.4, cohort)
    np.testing.assert_array_equal(shrink(METRIC, 0.4, cohort, kept_out=None), truth)
    none = shrink(METRIC, 0.4, cohort, kept_out=np.empty((0, 5)))
    np.testing.assert_allclose(theta(none), theta(truth), atol=1e-12)


def test_up_to_its_scale_a_learned_metric_stays_where_all_variance_is_kept_out(cohort):
    found = theta(shrink(METRIC, 0.4, cohort, kept_out=np.eye(5)))
    np.testing.assert_allclose(found / np.trace(found), theta(METRIC) / np.trace(theta(METRIC)), atol=1e-7)


# Directions in which batches differ

D = 8


def in_batches(labels, batch, *, label_shift=3.0, batch_shift=3.0, noise=0.3, seed=0):
    """Classes are apart along feature 0, batches along feature 1; besides, the means of samples differ by `noise`."""
    rng = np.random.default_rng(seed)
    clouds = []
    for c, b in zip(labels, batch, strict=True):
        center = noise * rng.normal(size=D) + label_shift * c * np.eye(D)[0] + batch_shift * b * np.eye(D)[1]
        half = rng.normal(size=(3, D))
        clouds.append(center + np.vstack([half, -half]))
    target = Target("classes", np.asarray(labels, dtype=float), np.array([f"c{c}" for c in range(max(labels) + 1)]))
    return from_clouds(clouds, np.asarray(labels)), target


SEVENTY = np.array([0] * 7 + [1] * 3 + [1] * 7 + [0] * 3), np.array([0] * 10 + [1] * 10)


def means_of(cohort):
    return np.array([cohort.points[i:j].mean(axis=0) for i, j in pairwise(cohort.offsets)])


def effects_by_dummies(cohort, fixed, batch):
    """Batch effects of least squares with the first batch as reference, less their mean over samples, each times the
    root of its number of samples."""
    codes = np.unique(batch)
    design = np.column_stack([*fixed, *[(batch == b).astype(float) for b in codes[1:]]])
    slopes = np.linalg.lstsq(design, means_of(cohort), rcond=None)[0][-(len(codes) - 1) :]
    effects = np.vstack([np.zeros(D), slopes])
    sizes = np.array([(batch == b).sum() for b in codes])
    return np.sqrt(sizes)[:, None] * (effects - sizes @ effects / len(batch))


@pytest.mark.parametrize("kind", ["classes", "ordered", "numbers"])
def test_they_are_those_of_least_squares_with_labels_beside_them(kind):
    labels, batch = np.array([0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 1, 1]), np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 2])
    cohort, target = in_batches(labels, batch, noise=1.0)
    values = np.random.default_rng(3).normal(size=12) if kind == "numbers" else target.values
    target = Target(kind, values, target.classes if kind != "numbers" else np.array([]))
    fixed = [np.ones(12), values] if kind == "numbers" else [labels == c for c in range(3)]
    _, strengths, axes = np.linalg.svd(effects_by_dummies(cohort, fixed, batch), full_matrices=False)
    m = int((np.cumsum(strengths**2) < MOST * (strengths**2).sum()).sum()) + 1
    found = batch_directions(cohort, target, batch)
    assert found.shape == (m, D)
    np.testing.assert_allclose(theta(found), theta(axes[:m]), atol=1e-8)


@pytest.mark.parametrize("n_batches", [2, 3, 9])
def test_they_are_orthonormal_and_at_most_half_of_all(n_batches):
    labels, batch = np.arange(36) % 2, np.arange(36) // 2 % n_batches
    found = batch_directions(*in_batches(labels, batch, noise=2.0), batch)
    np.testing.assert_allclose(found @ found.T, np.eye(len(found)), atol=1e-12)
    assert 1 <= len(found) <= min(n_batches - 1, D // 2)


def test_a_shift_of_a_batch_is_among_them_and_a_label_that_goes_with_it_is_not():
    """Seven of ten samples of each batch have one label."""
    labels, batch = SEVENTY
    cohort, target = in_batches(labels, batch)
    found = batch_directions(cohort, target, batch)
    assert np.linalg.norm(found[:, 1]) > 0.99
    assert np.linalg.norm(found[:, 0]) < 0.1
    exact = batch_directions(*in_batches(labels, batch, noise=0.0), batch)
    np.testing.assert_allclose(theta(exact), np.diag(np.eye(D)[1]), atol=1e-12)
    means = means_of(cohort)
    naive = means[batch == 1].mean(axis=0) - means[batch == 0].mean(axis=0)
    assert abs(naive[0]) / np.linalg.norm(naive) > 0.3


def test_batches_that_do_not_differ_have_none():
    labels = np.arange(8) % 2
    cohort, target = in_batches(labels, np.zeros(8, dtype=int))
    assert batch_directions(cohort, target, np.zeros(8, dtype=int)) is None
    twice = cohort.take(np.tile(np.arange(8), 2))
    both = Target("classes", np.tile(target.values, 2), target.classes)
    assert batch_directions(twice, both, np.repeat([0, 1], 8)) is None


def test_batches_without_samples_here_change_nothing():
    labels, batch = SEVENTY
    cohort, target = in_batches(labels, batch)
    found = batch_directions(cohort, target, np.where(batch == 1, 5, 0))
    np.testing.assert_allclose(theta(found), theta(batch_directions(cohort, target, batch)), atol=1e-10)
