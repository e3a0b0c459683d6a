from dataclasses import replace

import numpy as np
import pytest
from _oracles import random_cohort

from scggml._core import cohort as module
from scggml._core.cohort import Cohort, blocks, from_clouds


@pytest.fixture(scope="module")
def cohort():
    return random_cohort((3, 1, 4, 2), d=3, labels=(0, 1, 1, 0), weighted=True)


def test_sizes_and_counts_follow_the_offsets(cohort):
    assert (cohort.n_samples, cohort.n_features) == (4, 3)
    np.testing.assert_array_equal(cohort.sizes, [3, 1, 4, 2])


def test_take_brings_the_samples_in_the_order_asked_for(cohort):
    taken = cohort.take(np.array([2, 0, 2]))
    rows = [4, 5, 6, 7, 0, 1, 2, 4, 5, 6, 7]
    np.testing.assert_array_equal(taken.points, cohort.points[rows])
    np.testing.assert_array_equal(taken.weights, cohort.weights[rows])
    np.testing.assert_array_equal(taken.offsets, [0, 4, 7, 11])
    np.testing.assert_array_equal(taken.labels, [1, 0, 1])
    assert taken.names.tolist() == ["s2", "s0", "s2"]
    assert taken.classes is cohort.classes


def test_take_of_all_samples_changes_nothing(cohort):
    taken = cohort.take(np.arange(4))
    for name in Cohort.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(taken, name), getattr(cohort, name))


def test_plain_clouds_get_uniform_weights_and_names_by_position():
    clouds = [np.ones((2, 3)), np.zeros((4, 3))]
    cohort = from_clouds(clouds, np.array([1, 0]))
    np.testing.assert_array_equal(cohort.points, np.concatenate(clouds))
    np.testing.assert_array_equal(cohort.weights, [0.5, 0.5, 0.25, 0.25, 0.25, 0.25])
    np.testing.assert_array_equal(cohort.offsets, [0, 2, 6])
    np.testing.assert_array_equal(cohort.labels, [1, 0])
    assert cohort.names.tolist() == ["0", "1"]
    assert cohort.classes.tolist() == ["0", "1"]


def test_clouds_without_labels_are_one_class():
    cohort = from_clouds([np.ones((2, 1)), np.ones((1, 1))])
    np.testing.assert_array_equal(cohort.labels, [0, 0])
    assert cohort.classes.tolist() == ["0"]


@pytest.mark.parametrize(("block", "step"), [(1, 1), (6, 2), (9, 3), (10**6, 10)])
def test_blocks_cut_all_rows_once_and_keep_to_the_limit(cohort, monkeypatch, block, step):
    monkeypatch.setattr(module, "BLOCK", block)
    cut = [np.arange(10)[rows] for rows in blocks(cohort.points)]
    np.testing.assert_array_equal(np.concatenate(cut), np.arange(10))
    assert max(map(len, cut)) == step


def test_spans_are_the_rows_of_samples(cohort):
    assert cohort.spans(None) == [slice(0, 10)]
    assert cohort.spans(np.array([3, 1])) == [slice(8, 10), slice(3, 4)]


def test_a_cohort_cannot_be_changed_by_accident(cohort):
    with pytest.raises(AttributeError, match="labels"):
        cohort.labels = np.zeros(4)
    assert replace(cohort, labels=np.zeros(4, dtype=np.int64)).labels.sum() == 0
