import numpy as np
import pytest
from _oracles import random_cohort

from scggml._core.transport import products as module
from scggml._core.transport.products import project, project_samples, pull_back, pull_back_samples


def material(n=50, d=7, k=3, precision=np.float64):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d)).astype(precision), rng.standard_normal((k, d)), rng.standard_normal((n, k))


@pytest.mark.parametrize("rows", [1, 30, 2**21])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 3, 4, 50])
def test_projection_and_its_transpose_are_the_matrix_products(monkeypatch, rows, precision, n):
    monkeypatch.setattr(module, "ROWS", rows)
    X, W, G = material(n, precision=precision)
    Z, back = project(X, W), pull_back(G, X)
    assert Z.dtype == back.dtype == np.float64
    np.testing.assert_allclose(Z, np.einsum("nd,kd->nk", X.astype(np.float64), W), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(back, np.einsum("nk,nd->kd", G, X.astype(np.float64)), rtol=1e-13, atol=1e-13)


def test_cells_in_single_precision_are_multiplied_in_double():
    X, W, _ = material(precision=np.float32)
    assert np.abs(X.astype(np.float64) @ W.T - X @ W.T.astype(np.float32)).max() > 1e-8
    np.testing.assert_allclose(project(X, W), project(X.astype(np.float64), W), rtol=1e-13, atol=1e-14)


def test_threads_change_no_bit(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 30)
    X, W, G = material()
    np.testing.assert_array_equal(project(X, W, 1), project(X, W, 2))
    np.testing.assert_array_equal(pull_back(G, X, 1), pull_back(G, X, 2))


def test_projection_takes_components_of_any_layout():
    X, W, _ = material()
    np.testing.assert_array_equal(project(X, np.asfortranarray(W)), project(X, W))


def test_some_samples_are_projected_where_they_are_and_the_others_are_zero():
    cohort = random_cohort((3, 1, 4, 2), d=3, weighted=True)
    W, G = np.random.default_rng(1).standard_normal((2, 3)), np.random.default_rng(2).standard_normal((10, 2))
    whole = project_samples(cohort, W, None, 1)
    np.testing.assert_array_equal(whole, project(cohort.points, W))
    part = project_samples(cohort, W, np.array([2, 0]), 1)
    inside = np.array([True] * 3 + [False] + [True] * 4 + [False] * 2)
    np.testing.assert_array_equal(part[inside], whole[inside])
    np.testing.assert_array_equal(part[~inside], 0.0)
    back = pull_back_samples(G, cohort, np.array([2, 0]), 1)
    np.testing.assert_allclose(back, G[inside].T @ cohort.points[inside], rtol=1e-13)
    np.testing.assert_array_equal(pull_back_samples(G, cohort, None, 1), pull_back(G, cohort.points))
