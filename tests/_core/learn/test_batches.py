import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scggml._core.learn.batches import stratified_batches

LABELS = st.lists(st.integers(0, 3), min_size=2, max_size=40).map(np.array)


@given(LABELS, st.integers(2, 40), st.integers(0, 1000))
@settings(max_examples=150)
def test_every_pass_shows_every_sample_and_no_batch_shows_one_twice(labels, batch_size, seed):
    batches = stratified_batches(labels, batch_size, np.random.default_rng(seed))
    assert set(np.concatenate(batches)) == set(range(len(labels)))
    assert all(len(np.unique(batch)) == len(batch) for batch in batches)


@given(LABELS, st.integers(2, 40), st.integers(0, 1000))
@settings(max_examples=150)
def test_every_batch_holds_two_samples_of_each_class_that_has_two(labels, batch_size, seed):
    for batch in stratified_batches(labels, batch_size, np.random.default_rng(seed)):
        for code in np.unique(labels):
            assert (labels[batch] == code).sum() >= min(2, (labels == code).sum())


def test_a_class_of_three_in_four_batches_puts_two_into_each():
    labels = np.array([0] * 3 + [1] * 12)
    for seed in range(50):
        batches = stratified_batches(labels, 4, np.random.default_rng(seed))
        assert len(batches) == 4
        assert min((labels[batch] == 0).sum() for batch in batches) == 2


def test_batches_have_the_size_asked_for_and_the_classes_in_proportion():
    labels = np.repeat([0, 1, 2], [40, 20, 40])
    batches = stratified_batches(labels, 20, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [20] * 5
    for batch in batches:
        np.testing.assert_array_equal(np.bincount(labels[batch]), [8, 4, 8])


def test_sizes_that_do_not_divide_are_nearly_equal():
    labels = np.arange(103) % 2
    sizes = [len(batch) for batch in stratified_batches(labels, 25, np.random.default_rng(0))]
    assert sum(sizes) == 103
    assert len(sizes) == 5
    assert max(sizes) <= 25
    assert min(sizes) >= 19


@pytest.mark.parametrize("batch_size", [None, 7, 100])
def test_the_whole_cohort_is_one_batch_in_its_own_order_and_draws_nothing(batch_size):
    rng = np.random.default_rng(0)
    (batch,) = stratified_batches(np.array([1, 0, 1, 0, 0, 1, 1]), batch_size, rng)
    np.testing.assert_array_equal(batch, np.arange(7))
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_the_seed_decides():
    labels = np.arange(30) % 3
    first, again, other = (stratified_batches(labels, 10, np.random.default_rng(seed)) for seed in (4, 4, 5))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(set(one) != set(two) for one, two in zip(first, other, strict=True))


def test_passes_differ():
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    first, second = (stratified_batches(labels, 10, rng) for _ in range(2))
    assert any(set(one) != set(two) for one, two in zip(first, second, strict=True))
