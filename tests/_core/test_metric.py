import numpy as np
import pytest
from _oracles import theta
from hypothesis import given, settings
from hypothesis import strategies as st

from scggml._core.metric import canonical_form, effective_rank, importance, shares


def draw(k, d, seed=0):
    return np.random.default_rng(seed).standard_normal((k, d))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 100))
@settings(max_examples=40)
def test_the_canonical_form_is_the_same_metric_in_orthogonal_sorted_axes(k, d, seed):
    W = draw(k, d, seed)
    canonical, singular_values = canonical_form(W)
    assert canonical.shape == (k, d)
    assert singular_values.shape == (k,)
    np.testing.assert_allclose(theta(canonical), theta(W), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(canonical @ canonical.T, np.diag(singular_values**2), atol=1e-12)
    assert (np.diff(singular_values) <= 0).all()
    peaks = canonical[np.arange(k), np.abs(canonical).argmax(axis=1)]
    assert (peaks >= 0).all()
    assert (peaks[: min(k, d)] > 0).all()


@pytest.mark.parametrize(("k", "d"), [(1, 5), (3, 5), (5, 3)])
def test_rotations_and_reflections_of_components_have_one_canonical_form(k, d):
    W = draw(k, d)
    turn = -np.linalg.qr(draw(k, k, seed=1))[0]
    flip = np.diag(np.where(np.arange(k) % 2, 1.0, -1.0))
    for other in (turn @ W, flip @ W, -W[::-1]):
        assert not np.allclose(other, W)
        for found, truth in zip(canonical_form(other), canonical_form(W), strict=True):
            np.testing.assert_allclose(found, truth, atol=1e-12)


def test_the_canonical_form_of_a_known_matrix():
    W = np.array([[0.0, -3.0, -4.0], [2.0, 0.0, 0.0]])
    canonical, singular_values = canonical_form(W)
    np.testing.assert_allclose(canonical, [[0.0, 3.0, 4.0], [2.0, 0.0, 0.0]], atol=1e-15)
    np.testing.assert_allclose(singular_values, [5.0, 2.0])


def test_the_canonical_form_is_its_own_canonical_form():
    canonical, _ = canonical_form(draw(3, 6))
    np.testing.assert_allclose(canonical_form(canonical)[0], canonical, atol=1e-13)


def test_rows_beyond_the_features_are_zero():
    canonical, singular_values = canonical_form(draw(5, 2))
    np.testing.assert_array_equal(canonical[2:], 0.0)
    np.testing.assert_array_equal(singular_values[2:], 0.0)
    assert (singular_values[:2] > 0).all()


def test_rows_beyond_the_rank_are_zero():
    canonical, singular_values = canonical_form(np.outer([1.0, 2.0, -1.0], [3.0, 0.0, 4.0, 0.0]))
    np.testing.assert_allclose(singular_values, [5 * np.sqrt(6), 0, 0], atol=1e-14)
    np.testing.assert_allclose(canonical[0], np.sqrt(6) * np.array([3.0, 0.0, 4.0, 0.0]))
    np.testing.assert_allclose(canonical[1:], 0.0, atol=1e-14)


def test_the_canonical_form_of_nothing_is_nothing():
    canonical, singular_values = canonical_form(np.zeros((2, 3)))
    np.testing.assert_array_equal(canonical, 0.0)
    np.testing.assert_array_equal(singular_values, 0.0)


def test_shares_are_those_of_the_squares():
    np.testing.assert_allclose(shares(np.array([3.0, 2.0, 1.0])), np.array([9, 4, 1]) / 14)
    np.testing.assert_array_equal(shares(np.zeros(2)), 0.0)


@pytest.mark.parametrize("k", [1, 2, 7])
def test_equal_singular_values_have_full_effective_rank(k):
    assert effective_rank(np.full(k, 0.3)) == pytest.approx(k)
    assert effective_rank(np.append(np.full(k, 0.3), 0.0)) == pytest.approx(k)


def test_the_effective_rank_of_shares_three_to_one():
    # the entropy of (3/4, 1/4) is 2 log 2 - 3/4 log 3
    assert effective_rank(np.array([np.sqrt(3), 1.0])) == pytest.approx(4 / 3**0.75)


def test_the_effective_rank_has_no_unit_and_is_zero_of_nothing():
    values = np.array([3.0, 2.0, 0.1])
    assert effective_rank(1e4 * values) == pytest.approx(effective_rank(values))
    assert effective_rank(np.zeros(3)) == 0.0


def test_importance_is_the_diagonal_of_theta():
    W = draw(3, 5)
    np.testing.assert_allclose(importance(W), np.diag(theta(W)))
    np.testing.assert_allclose(importance(canonical_form(W)[0]), importance(W))
