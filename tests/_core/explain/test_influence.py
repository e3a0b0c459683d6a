"""Outliers against a published example, and strangeness that composition does not change."""

from itertools import pairwise

import numpy as np
import pytest
from _hard import cohort_of

from scggml._core.explain.influence import centered, outliers, separation, similarity, strangeness
from scggml._core.samples import Target

# Rosner (1983), as printed in the NIST/SEMATECH e-handbook, 1.3.5.17.3: three outliers at the 5 % level.
ROSNER = [
    -0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58, 1.65, 1.69, 1.70, 1.76,
    1.77, 1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24, 2.26, 2.35, 2.37, 2.40, 2.47, 2.54,
    2.62, 2.64, 2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59, 3.68, 4.30, 4.64, 5.34, 5.42, 6.01,
]  # fmt: skip


def test_outliers_are_those_of_the_published_example():
    values = np.array(ROSNER)
    assert sorted(values[outliers(values, 0.05)]) == [5.34, 5.42, 6.01]


def test_outliers_of_one_side_and_of_missing_values():
    values = np.append(np.random.default_rng(0).normal(size=30), [9.0, -9.0, np.nan])
    assert list(np.flatnonzero(outliers(values, 0.01, side=1))) == [30]
    assert list(np.flatnonzero(outliers(values, 0.01, side=-1))) == [31]
    assert list(np.flatnonzero(outliers(values, 0.01))) == [30, 31]
    assert not outliers(np.ones(10), 0.05).any()
    assert not outliers(np.array([0.0, 0.0, 0.0, 50.0]), 0.05).any()  # too few to tell


def test_a_normal_sample_has_an_outlier_as_often_as_the_level_says():
    rng = np.random.default_rng(0)
    found = [outliers(rng.normal(size=25), 0.05).any() for _ in range(1000)]
    assert 0.03 <= np.mean(found) <= 0.07


def test_similarity_is_the_cosine_of_the_two_matrices():
    rng = np.random.default_rng(0)
    W, other = rng.normal(size=(3, 8)), rng.normal(size=(2, 8))
    A, B = W.T @ W, other.T @ other
    assert similarity(W, other) == pytest.approx((A * B).sum() / np.sqrt((A * A).sum() * (B * B).sum()))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert similarity(W, 5.0 * turn @ W) == pytest.approx(1.0)
    assert similarity(0 * W, W) == 0.0


def test_separation_of_classes_and_of_numbers():
    pairs = np.array([[0, 1], [0, 2], [1, 2], [2, 3]])
    classes = Target("classes", np.array([0.0, 0.0, 1.0, 1.0]), np.array(["a", "b"]))
    assert separation(np.array([1.0, 4.0, 2.0, 1.0]), pairs, classes) == pytest.approx((3 - 1) / (3 + 1))
    numbers = Target("numbers", np.array([0.0, 1.0, 3.0, 7.0]), np.array([]))
    assert separation(np.array([1.0, 3.0, 2.0, 9.0]), pairs, numbers) == pytest.approx(1.0)
    assert np.isnan(separation(np.ones(4), pairs, Target("classes", np.zeros(4), np.array(["a"]))))


def clouds(rng: np.random.Generator, n: int, n_cells: int, *, shares: np.ndarray) -> list[np.ndarray]:
    """Cells of two types, one narrow and one wide, far from each other; `shares` of the wide one in each sample."""
    out = []
    for share in shares:
        wide = rng.random(n_cells) < share
        x = rng.normal(size=(n_cells, 5)) * np.where(wide, 3.0, 0.3)[:, None]
        out.append(x + 20.0 * wide[:, None])
    return out


def test_composition_does_not_make_a_sample_strange_and_a_shift_does():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(10):
        shares = rng.uniform(0.2, 0.4, 20)
        shares[0] = 0.9
        cells = clouds(rng, 20, 60, shares=shares)
        plain = outliers(strangeness(cohort_of(cells), np.arange(20), rng), 0.01, side=1)
        assert not plain[0]
        cells[1] = cells[1] + np.where(cells[1].mean(axis=1) > 10, 3.0, 0.6)[:, None]
        hits += bool(outliers(strangeness(cohort_of(cells), np.arange(20), rng), 0.01, side=1)[1])
    assert hits >= 9


def test_strangeness_is_that_of_loops():
    rng = np.random.default_rng(1)
    cells = [rng.normal(size=(12, 3)) for _ in range(4)]
    weights = [rng.uniform(0.5, 1.5, 12) for _ in range(4)]
    cohort, groups = cohort_of(cells, weights), np.array([0, 0, 1, 2])
    X, owner = np.concatenate(cells), np.repeat(np.arange(4), 12)
    near, mean = [], []
    for c in range(48):
        other = np.flatnonzero(groups[owner] != groups[owner[c]])
        D = np.linalg.norm(X[other] - X[c], axis=1)
        best = np.argsort(D)[:10]
        near.append(other[best])
        mean.append(D[best].mean())
    logs = np.log(mean)
    factor = np.array([logs[c] - logs[near[c]].mean() for c in range(48)])
    truth = [np.average(factor[a:b], weights=w) for (a, b), w in zip(pairwise(cohort.offsets), weights, strict=True)]
    np.testing.assert_allclose(strangeness(cohort, groups, rng), truth, atol=1e-9)


def test_copies_of_cells_have_finite_strangeness():
    cells = [np.zeros((5, 2)), np.zeros((5, 2)), np.ones((5, 2))]
    assert np.isfinite(strangeness(cohort_of(cells), np.arange(3), np.random.default_rng(0))).all()


def test_values_are_centered_by_class_where_classes_are_large():
    values, codes = np.array([1.0, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]), np.repeat([0, 1], 6)
    np.testing.assert_allclose(centered(values, codes), np.tile(np.arange(6) - 2.5, 2))
    np.testing.assert_allclose(centered(values[:8], codes[:8]), values[:8] - 4.5)


def test_in_very_many_samples_few_cells_stand_for_all_others():
    rng = np.random.default_rng(0)
    cells = [rng.normal(size=(12, 3)) for _ in range(60)]
    cells[7] = cells[7] + 4.0
    found = strangeness(cohort_of(cells), np.arange(60), rng, most=100)
    assert found.shape == (60,)
    assert np.argmax(found) == 7
    assert outliers(found, 0.01, side=1)[7]
