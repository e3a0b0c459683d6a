import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.stats import false_discovery_control, ortho_group

from scggml._core.explain.significance import align, benjamini_hochberg, in_top, pooled_significance


@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=40))
def test_benjamini_hochberg_is_that_of_scipy(p):
    np.testing.assert_allclose(benjamini_hochberg(np.array(p)), false_discovery_control(p), rtol=1e-12)


def test_p_values_count_every_number_that_is_as_large():
    rng = np.random.default_rng(0)
    observed, dealt = rng.normal(size=5).round(1), rng.normal(size=(7, 5)).round(1)
    p, rates = pooled_significance(observed, dealt)
    every = [*observed, *dealt.ravel()]
    assert p.tolist() == [sum(other >= value for other in every) / 40 for value in observed]
    assert (rates >= benjamini_hochberg(p)).all()


def test_a_gene_far_beyond_all_others_has_the_smallest_rate_there_is():
    rng = np.random.default_rng(0)
    observed = rng.normal(size=30)
    observed[:3] += 20.0
    p, rates = pooled_significance(observed, rng.normal(size=(49, 30)))
    np.testing.assert_allclose(p[np.argsort(-observed)[:3]], np.array([1, 2, 3]) / 1500)
    np.testing.assert_allclose(rates[:3], 1 / 50)
    assert (rates[3:] > 0.05).all()


def test_the_smallest_rate_is_no_smaller_than_its_rank_among_dealt_labels():
    rng = np.random.default_rng(1)
    numbers = rng.normal(size=(21, 30)) * rng.lognormal(size=(21, 1))  # genes of one deal hang together
    smallest = []
    for b in range(21):
        _, rates = pooled_significance(numbers[b], np.delete(numbers, b, axis=0))
        smallest.append(rates.min())
    for level in (0.05, 0.1, 0.2, 0.5):
        assert np.mean(np.array(smallest) <= level) <= level


@pytest.mark.parametrize("spread", ["alike", "unlike", "together"])
def test_labels_that_mean_nothing_give_findings_in_5_percent_of_cohorts_at_most(spread):
    """400 cohorts of 40 genes whose numbers are alike, of different spread, or large all at once."""
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(400):
        numbers = rng.normal(size=(40, 40)) ** 3
        if spread == "unlike":
            numbers *= rng.lognormal(sigma=2.0, size=40)
        if spread == "together":
            numbers *= rng.lognormal(sigma=1.0, size=(40, 1))
        found += pooled_significance(numbers[0], numbers[1:])[1].min() <= 0.05
    assert found / 400 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_a_rotation_and_a_scale_are_undone():
    reference = np.random.default_rng(0).normal(size=(3, 12))
    turned = 2.5 * ortho_group.rvs(3, random_state=1) @ reference
    np.testing.assert_allclose(align(turned, reference), reference, rtol=1e-12, atol=1e-12)


def test_the_turn_is_that_of_scipy():
    rng = np.random.default_rng(3)
    reference, loadings = rng.normal(size=(2, 3, 12))
    turn, _ = orthogonal_procrustes(loadings.T, reference.T)
    truth = (loadings.T @ turn).T * np.linalg.norm(reference) / np.linalg.norm(loadings)
    np.testing.assert_allclose(align(loadings, reference), truth, rtol=1e-10)


def test_a_metric_of_zeros_stays_zero():
    np.testing.assert_array_equal(align(np.zeros((2, 5)), np.ones((2, 5))), 0.0)


def test_the_top_are_the_largest_that_are_not_zero():
    found = in_top(np.array([[3.0, 1.0, 2.0, 0.0], [0.0, 0.0, 5.0, 0.0], [1.0, 1.0, 1.0, 2.0]]), 2)
    assert found.tolist() == [[1, 0, 1, 0], [0, 0, 1, 0], [1, 0, 0, 1]]
    assert in_top(np.array([2.0, 1.0]), 5).tolist() == [1.0, 1.0]
