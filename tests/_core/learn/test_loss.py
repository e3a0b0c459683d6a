from typing import get_args

import numpy as np
import pytest
from _oracles import finite_differences, list_hinge, relative_error, triplets
from hypothesis import given, settings
from hypothesis import strategies as st

from scggml._core.learn.loss import Anchors, triplet_hinge

ANCHORS = get_args(Anchors)


def random_distances(n, seed=0, high=None):
    """Symmetric with zero diagonal; whole numbers up to `high`, so with many ties, if it is given."""
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.uniform(0.5, 2, (n, n)) if high is None else rng.integers(0, high + 1, (n, n)), 1)
    return (upper + upper.T).astype(np.float64)


def same(found, truth):
    value, slopes, active = truth
    assert found.value == pytest.approx(value, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(found.slopes, slopes, atol=1e-14)
    assert found.active == pytest.approx(active, abs=1e-15)


@pytest.mark.parametrize("anchors", ANCHORS)
@pytest.mark.parametrize("margin", [0.0, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("labels", [[0, 1, 0, 1, 0, 1], [0, 0, 0, 0, 1], [2, 0, 1, 1, 0, 2, 2, 5]])
def test_the_hinge_is_the_mean_over_the_list_of_triplets(labels, margin, anchors):
    labels = np.array(labels)
    D = random_distances(len(labels))
    truth = list_hinge(D, labels, margin, anchors)
    assert margin > 1 or 0 < truth[2] < 1
    same(triplet_hinge(D, labels, margin, anchors), truth)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.sampled_from(ANCHORS), st.integers(0, 4), st.integers())
@settings(max_examples=60)
def test_ties_and_any_labels_are_as_in_the_list(labels, anchors, margin, seed):
    labels = np.array(labels)
    D = random_distances(len(labels), seed % 2**32, high=4)
    same(triplet_hinge(D, labels, float(margin), anchors), list_hinge(D, labels, float(margin), anchors))


@pytest.mark.parametrize("anchors", ANCHORS)
def test_slopes_are_the_derivatives_by_unordered_pairs(anchors):
    labels = np.array([0, 0, 0, 1, 1, 2])
    D = random_distances(6)
    pairs = np.triu_indices(6, 1)

    def value(entries):
        full = np.zeros((6, 6))
        full[pairs] = entries
        return triplet_hinge(full + full.T, labels, 0.4, anchors).value

    slopes = triplet_hinge(D, labels, 0.4, anchors).slopes
    np.testing.assert_array_equal(slopes, slopes.T)
    np.testing.assert_array_equal(np.diag(slopes), 0.0)
    assert relative_error(slopes[pairs], finite_differences(value, D[pairs])) < 1e-8


def test_a_tie_is_not_active():
    labels = np.array([0, 0, 1])
    D = np.array([[0.0, 1.0, 3.0], [1.0, 0.0, 3.0], [3.0, 3.0, 0.0]])
    tied = triplet_hinge(D, labels, 2.0, "distinct")
    assert (tied.value, tied.active) == (0.0, 0.0)
    np.testing.assert_array_equal(tied.slopes, 0.0)
    beyond = triplet_hinge(D, labels, 2.5, "distinct")
    assert (beyond.value, beyond.active) == (0.5, 1.0)


def test_a_class_of_one_sample_counts_only_where_an_anchor_may_be_its_own_neighbor():
    labels = np.array([0, 1])
    D = np.array([[0.0, 1.0], [1.0, 0.0]])
    both = triplet_hinge(D, labels, 3.0, "all")
    assert (both.value, both.active) == (2.0, 1.0)
    np.testing.assert_allclose(both.slopes, [[0.0, -1.0], [-1.0, 0.0]])
    none = triplet_hinge(D, labels, 3.0, "distinct")
    assert (none.value, none.active) == (0.0, 0.0)
    np.testing.assert_array_equal(none.slopes, 0.0)


@pytest.mark.parametrize("anchors", ANCHORS)
def test_one_class_has_no_triplets(anchors):
    found = triplet_hinge(random_distances(4), np.zeros(4, dtype=np.int64), 1.0, anchors)
    assert (found.value, found.active) == (0.0, 0.0)
    np.testing.assert_array_equal(found.slopes, np.zeros((4, 4)))


def test_the_oracle_lists_the_triplets_of_the_formula():
    assert triplets(np.array([0, 0, 1]), "distinct") == [(0, 1, 2), (1, 0, 2)]
    assert triplets(np.array([0, 0, 1]), "all") == [(0, 0, 2), (0, 1, 2), (1, 0, 2), (1, 1, 2), (2, 2, 0), (2, 2, 1)]


@pytest.mark.parametrize("anchors", ANCHORS)
def test_distances_and_margin_share_one_unit(anchors):
    labels = np.array([0, 1, 0, 1, 1])
    D = random_distances(5)
    small, large = triplet_hinge(D, labels, 0.5, anchors), triplet_hinge(64 * D, labels, 32.0, anchors)
    assert large.value == pytest.approx(64 * small.value)
    np.testing.assert_array_equal(large.slopes, small.slopes)


def test_the_hinge_leaves_the_distances_alone():
    D = random_distances(5)
    before = D.copy()
    triplet_hinge(D, np.array([0, 1, 0, 1, 1]), 1.0, "all")
    np.testing.assert_array_equal(D, before)
