"""LFDA against sums over all pairs, NCA against scikit-learn, and both on a direction that is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import eigh
from sklearn.neighbors import NeighborhoodComponentsAnalysis

from scggml._core.cohort import from_clouds
from scggml._core.evaluate.cell_labels import CELL_METRICS, RIDGE, LabelledCells, lfda
from scggml._core.samples import Samples, Target, blind

RNG = np.random.default_rng(0)
CODES = np.repeat([0, 1, 2], [12, 9, 15])
X = RNG.normal(size=(36, 4)) + CODES[:, None] * [1.0, 0.0, 0.5, 0.0]


def scatters(X, codes):
    """Both scatters of Sugiyama (2007), pair by pair."""
    n, d = X.shape
    counts = np.bincount(codes)
    scale = np.empty(n)
    for i in range(n):
        scale[i] = np.sort([np.linalg.norm(X[i] - X[j]) for j in range(n) if codes[j] == codes[i]])[7]
    within, between = np.zeros((d, d)), np.zeros((d, d))
    for i in range(n):
        for j in range(n):
            outer = np.outer(X[i] - X[j], X[i] - X[j]) / 2
            if codes[i] == codes[j]:
                A = np.exp(-((X[i] - X[j]) ** 2).sum() / (scale[i] * scale[j]))
                within += A / counts[codes[i]] * outer
                between += A * (1 / n - 1 / counts[codes[i]]) * outer
            else:
                between += outer / n
    return within, between


def test_lfda_solves_the_problem_of_all_pairs():
    within, between = scatters(X, CODES)
    values, vectors = eigh(between, within + RIDGE * np.trace(within) / 4 * np.eye(4))
    W = np.sqrt(np.maximum(values[::-1][:2], 0))[:, None] * vectors[:, ::-1][:, :2].T
    found = lfda(X, CODES, 2)
    np.testing.assert_allclose(found.T @ found, W.T @ W, rtol=1e-7, atol=1e-10)


def test_lfda_tells_a_class_between_the_two_modes_of_another():
    """Both classes have the same mean, so that a discriminant of class means sees nothing along the first feature."""
    rng = np.random.default_rng(1)
    centers = np.repeat([-4.0, 4.0, 0.0, 0.0], 40)
    cells = np.stack([centers + 0.5 * rng.normal(size=160), 3 * rng.normal(size=160)], axis=1)
    found = lfda(cells, np.repeat([0, 1], 80), 1)[0]
    assert abs(found[0]) > 10 * abs(found[1])


def test_copies_of_cells_and_constant_features_are_no_error():
    cells = np.zeros((20, 3))
    cells[10:, 0] = 1.0
    assert np.isfinite(lfda(cells, np.repeat([0, 1], 10), 3)).all()


def cohort(n=6, size=20, d=4, shift=3.0):
    rng = np.random.default_rng(2)
    clouds = [rng.normal(size=(size, d)) + np.eye(d)[1] * shift * (p % 2) for p in range(n)]
    target = Target("classes", np.arange(n) % 2.0, np.array(["a", "b"]))
    return Samples(blind(from_clouds(clouds)), np.arange(n)), target


@pytest.mark.parametrize("name", CELL_METRICS)
def test_the_planted_direction_weighs_most(name):
    samples, target = cohort(size=80, shift=1.5)
    found = LabelledCells(name).ground(samples, target, rng=np.random.default_rng(0))
    weight = (found.components**2).sum(axis=0)
    assert weight.argmax() == 1
    assert weight[1] > 2 * np.delete(weight, 1).max()
    assert found.cost == "euclidean"


@pytest.mark.parametrize("name", CELL_METRICS)
def test_distances_do_not_depend_on_the_unit_of_the_features(name):
    samples, target = cohort()
    clouds = np.split(samples.cohort.points * 1000.0, 6)
    large = Samples(blind(from_clouds(clouds)), samples.groups)
    one, other = (LabelledCells(name).ground(each, target, rng=np.random.default_rng(0)) for each in (samples, large))
    W, V = one.components, 1000.0 * other.components
    np.testing.assert_allclose(W.T @ W, V.T @ V, rtol=1e-3, atol=1e-5)


def test_nca_is_that_of_scikit_learn():
    samples, target = cohort()
    points = samples.cohort.points
    unit = np.sqrt(points.var(axis=0).mean())
    rng = np.random.default_rng(3)
    for _ in range(6):
        rng.choice(np.arange(20), 20, replace=False, p=np.full(20, 0.05))
    seed = int(rng.integers(2**31))
    model = NeighborhoodComponentsAnalysis(n_components=2, init="pca", max_iter=50, random_state=seed)
    truth = model.fit((points - points.mean(axis=0)) / unit, np.repeat(np.arange(6) % 2, 20)).components_ / unit
    found = LabelledCells("nca").ground(samples, target, rng=np.random.default_rng(3)).components
    np.testing.assert_allclose(found.T @ found, truth.T @ truth, rtol=1e-6, atol=1e-9)


def test_few_cells_of_each_sample_are_drawn_and_few_components_kept():
    samples, target = cohort(n=4, size=600, d=12)
    found = LabelledCells("lfda").ground(samples, target, rng=np.random.default_rng(0))
    assert found.components.shape == (2, 12)
    four = replace(target, values=np.arange(4.0), classes=np.array(list("abcd")))
    assert len(LabelledCells("lfda").ground(samples, four, rng=np.random.default_rng(0)).components) == 3
    again = LabelledCells("lfda").ground(samples, target, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(found.components, again.components)
    other = LabelledCells("lfda").ground(samples, target, rng=np.random.default_rng(1))
    assert not np.allclose(found.components, other.components)  # 250 of 600 cells, others
