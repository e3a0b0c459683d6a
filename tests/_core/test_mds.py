import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from scggml._core.mds import classical_mds


@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 1000))
@settings(max_examples=30)
def test_distances_of_euclidean_points_are_reproduced(n, d, seed):
    points = np.random.default_rng(seed).standard_normal((n, d))
    D = cdist(points, points)
    coordinates, eigenvalues = classical_mds(D, d)
    np.testing.assert_allclose(cdist(coordinates, coordinates), D, atol=1e-7 * D.max())
    np.testing.assert_allclose(coordinates.mean(axis=0), 0.0, atol=1e-7)
    assert eigenvalues.shape == (n,)
    assert (np.diff(eigenvalues) <= 0).all()
    np.testing.assert_allclose(eigenvalues[d:], 0.0, atol=1e-10)
    assert eigenvalues.sum() == pytest.approx(((points - points.mean(axis=0)) ** 2).sum())


def test_axes_are_the_principal_axes_of_the_points():
    points = np.random.default_rng(0).standard_normal((7, 3))
    coordinates, eigenvalues = classical_mds(cdist(points, points), 2)
    left, singular_values, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    assert coordinates.shape == (7, 2)
    np.testing.assert_allclose(np.abs(coordinates), np.abs(left * singular_values)[:, :2], atol=1e-12)
    np.testing.assert_allclose(eigenvalues[:3], singular_values**2)


def test_two_points_lie_on_one_axis():
    coordinates, eigenvalues = classical_mds(np.array([[0.0, 6.0], [6.0, 0.0]]), 1)
    np.testing.assert_allclose(np.abs(coordinates), [[3.0], [3.0]])
    np.testing.assert_allclose(coordinates.sum(), 0.0, atol=1e-14)
    np.testing.assert_allclose(eigenvalues, [18.0, 0.0], atol=1e-14)


def test_distances_that_no_space_holds_have_negative_eigenvalues():
    """Four points on a circle, measured around it: 1, 2, 1, ... The axes of the square remain, the rest is negative."""
    D = np.array([[0, 1, 2, 1], [1, 0, 1, 2], [2, 1, 0, 1], [1, 2, 1, 0]], dtype=np.float64)
    coordinates, eigenvalues = classical_mds(D, 4)
    np.testing.assert_allclose(eigenvalues, [2, 2, 0, -1], atol=1e-12)
    np.testing.assert_array_equal(coordinates[:, 3], 0.0)
    np.testing.assert_allclose(coordinates @ coordinates.T, 1 - D, atol=1e-12)


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_the_largest_coordinate_of_each_axis_is_positive(seed):
    points = np.random.default_rng(seed).standard_normal((6, 3))
    coordinates, _ = classical_mds(cdist(points, points), 3)
    peaks = coordinates[np.abs(coordinates).argmax(axis=0), np.arange(3)]
    assert (peaks > 0).all()


def test_the_distances_are_left_alone():
    points = np.random.default_rng(1).standard_normal((5, 2))
    D = cdist(points, points)
    before = D.copy()
    classical_mds(D, 2)
    np.testing.assert_array_equal(D, before)
