from typing import get_args

import numpy as np
import pytest
from _oracles import (
    finite_differences,
    list_hinge,
    ordered_list_hinge,
    relative_error,
    triplets,
    weighted_list_hinge,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from scggml._core.learn.loss import Anchors, draw_triplets, listed_hinge, ordered_hinge, triplet_hinge

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


# Batches


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=9),
    st.sampled_from(ANCHORS),
    st.integers(0, 4),
    st.integers(0, 10**6),
)
@settings(max_examples=100)
def test_with_batches_the_far_sample_is_of_the_batch_of_the_anchor(rows, anchors, margin, seed):
    labels, batch = (np.array(column) for column in zip(*rows, strict=True))
    D = random_distances(len(labels), seed, high=4)
    truth = list_hinge(D, labels, float(margin), anchors, batch)
    same(triplet_hinge(D, labels, float(margin), anchors, batch), truth)


@pytest.mark.parametrize("anchors", ANCHORS)
def test_one_batch_is_no_batch(anchors):
    labels, D = np.array([0, 1, 0, 2, 1, 1]), random_distances(6)
    one, none = (triplet_hinge(D, labels, 0.3, anchors, batch) for batch in (np.full(6, 4), None))
    assert one.value == none.value
    np.testing.assert_array_equal(one.slopes, none.slopes)


def test_an_anchor_without_others_in_its_batch_does_not_count_whatever_its_distances():
    """Samples 0 and 1 are of one class in batches without another one, so their distance need not be known."""
    labels, batch = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    D = random_distances(4)
    truth = list_hinge(D, labels, 0.7, "all", batch)
    D[0, 1] = D[1, 0] = np.inf
    same(triplet_hinge(D, labels, 0.7, "all", batch), truth)


# Labels with an order


VALUES = {
    "levels": np.array([0.0, 2.0, 1.0, 1.0, 0.0, 2.0, 2.0]),
    "numbers": np.array([0.3, -1.5, 2.25, 7.0, 0.9, 0.3, 3.5]),
    "one value": np.full(7, 3.0),
}


@pytest.mark.parametrize("anchors", ANCHORS)
@pytest.mark.parametrize("margin", [0.0, 0.1, 10.0])
@pytest.mark.parametrize("batch", [None, np.array([0, 1, 0, 1, 1, 0, 0])], ids=["no batch", "batch"])
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_ordered_hinge_is_the_weighted_mean_over_the_list_of_triplets(values, batch, margin, anchors):
    D = random_distances(7)
    truth = ordered_list_hinge(D, values, margin, anchors, batch)
    assert margin > 1 or len(np.unique(values)) == 1 or 0 < truth[2] < 1
    same(ordered_hinge(D, values, margin, anchors, batch), truth)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=8),
    st.sampled_from(ANCHORS),
    st.integers(0, 4),
    st.booleans(),
    st.integers(0, 10**6),
)
@settings(max_examples=100)
def test_ties_of_values_and_distances_are_as_in_the_list(rows, anchors, margin, in_batches, seed):
    values, batch = (np.array(column) for column in zip(*rows, strict=True))
    batch = batch if in_batches else None
    D = random_distances(len(values), seed, high=4)
    truth = ordered_list_hinge(D, values.astype(float), float(margin), anchors, batch)
    same(ordered_hinge(D, values.astype(float), float(margin), anchors, batch), truth)


@pytest.mark.parametrize("anchors", ANCHORS)
@pytest.mark.parametrize("values", [(0.0, 1.0), (-2.0, 5.5)])
@pytest.mark.parametrize("batch", [None, np.array([0, 1, 0, 0, 1, 1])], ids=["no batch", "batch"])
def test_with_two_values_the_ordered_hinge_is_that_of_two_classes(batch, values, anchors):
    labels, D = np.array([0, 1, 1, 0, 1, 0]), random_distances(6)
    truth = triplet_hinge(D, labels, 0.4, anchors, batch)
    same(ordered_hinge(D, np.array(values)[labels], 0.4, anchors, batch), (truth.value, truth.slopes, truth.active))


def test_the_unit_of_the_values_and_their_direction_do_not_matter():
    D, values = random_distances(7), VALUES["numbers"]
    truth = ordered_hinge(D, values, 0.4)
    for other in (64 * values, -values, values + 8):
        found = ordered_hinge(D, other, 0.4)
        same(found, (truth.value, truth.slopes, truth.active))


# Listed triplets


@given(
    st.integers(1, 7),
    st.lists(st.tuples(*[st.integers(0, 6)] * 3), max_size=20),
    st.integers(0, 4),
    st.integers(0, 10**6),
)
@settings(max_examples=100)
def test_the_hinge_of_a_list_is_its_mean_and_repeated_triplets_count_as_often(n, rows, margin, seed):
    found = np.array(rows, dtype=np.int64).reshape(-1, 3) % n
    D = random_distances(n, seed, high=4)
    truth = weighted_list_hinge(D, found.tolist(), [1.0] * len(found), float(margin))
    same(listed_hinge(D, found, float(margin)), truth)


@pytest.mark.parametrize("anchors", ANCHORS)
def test_the_hinge_of_the_list_of_all_triplets_is_that_of_all(anchors):
    labels, D = np.array([0, 1, 0, 2, 1, 1, 2]), random_distances(7)
    truth = triplet_hinge(D, labels, 0.3, anchors)
    found = listed_hinge(D, np.array(triplets(labels, anchors)), 0.3)
    same(found, (truth.value, truth.slopes, truth.active))


PAIRS = np.triu_indices(7, 1)
HINGES = {
    "batches": lambda D: triplet_hinge(D, np.array([0, 1, 0, 2, 1, 1, 2]), 0.4, "all", np.array([0, 0, 1, 0, 1, 1, 1])),
    "levels": lambda D: ordered_hinge(D, VALUES["levels"], 0.4),
    "numbers": lambda D: ordered_hinge(D, VALUES["numbers"], 0.4, "distinct", np.array([0, 0, 1, 0, 1, 1, 1])),
    "listed": lambda D: listed_hinge(D, np.random.default_rng(0).integers(0, 7, (40, 3)), 0.4),
}


@pytest.mark.parametrize("hinge", HINGES.values(), ids=HINGES)
def test_slopes_of_every_hinge_are_the_derivatives_by_unordered_pairs(hinge):
    D = random_distances(7)

    def value(entries):
        full = np.zeros((7, 7))
        full[PAIRS] = entries
        return hinge(full + full.T).value

    found = hinge(D)
    assert 0 < found.active < 1
    np.testing.assert_array_equal(found.slopes, found.slopes.T)
    np.testing.assert_array_equal(np.diag(found.slopes), 0.0)
    assert relative_error(found.slopes[PAIRS], finite_differences(value, D[PAIRS])) < 1e-8


@pytest.mark.parametrize("anchors", ANCHORS)
@pytest.mark.parametrize("batch", [None, np.array([0, 0, 0, 1, 1, 1, 1, 0])], ids=["no batch", "batch"])
def test_so_many_triplets_are_drawn_for_each_anchor_and_each_other_class(batch, anchors):
    labels = np.array([0, 1, 2, 0, 0, 1, 1, 3])
    found = draw_triplets(labels, 6, anchors, np.random.default_rng(0), batch)
    assert {*map(tuple, found.tolist())} <= {*triplets(labels, anchors, batch)}
    for j in range(8):
        lonely = anchors == "distinct" and (labels == labels[j]).sum() == 1
        met = labels[(labels != labels[j]) & (True if batch is None else batch == batch[j])]
        own = found[found[:, 1] == j]
        counts = {int(c): int((labels[own[:, 2]] == c).sum()) for c in np.unique(labels[own[:, 2]])}
        assert counts == ({} if lonely else dict.fromkeys(np.unique(met).tolist(), 6))


def test_every_triplet_is_drawn_as_often_as_the_next():
    labels = np.array([0, 0, 0, 1, 1])
    found = draw_triplets(labels, 6000, "all", np.random.default_rng(0))
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == len(triplets(labels, "all"))
    own = np.unique(found, axis=0)[:, 1] < 3
    np.testing.assert_allclose(counts[own], 6000 / 6, rtol=0.1)
    np.testing.assert_allclose(counts[~own], 6000 / 6, rtol=0.1)


def test_the_seed_decides_which_triplets_are_drawn():
    labels = np.arange(8) % 2
    one, same_seed, other = (draw_triplets(labels, 3, "all", np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same_seed)
    assert not np.array_equal(one, other)


def test_of_one_class_no_triplet_is_drawn():
    found = draw_triplets(np.zeros(4, dtype=np.int64), 3, "all", np.random.default_rng(0))
    assert found.shape == (0, 3)
    assert listed_hinge(random_distances(4), found, 1.0).value == 0.0
