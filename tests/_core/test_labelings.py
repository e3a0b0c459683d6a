from collections import Counter

import numpy as np
import pytest

from scggml._core.labelings import n_labelings, p_value, permutation_blocks, permute


def draws(values, groups, strata=None, n=300):
    values, groups = np.asarray(values, dtype=float), np.asarray(groups)
    strata = np.zeros(len(values), dtype=int) if strata is None else np.asarray(strata)
    blocks = permutation_blocks(values, groups, strata)
    rng = np.random.default_rng(0)
    return Counter(tuple(permute(values, blocks, rng)) for _ in range(n)), n_labelings(values, blocks)


def test_single_samples_take_all_labelings_equally_often():
    found, possible = draws([0, 0, 1, 1], [0, 1, 2, 3], n=6000)
    assert len(found) == possible == 6
    assert min(found.values()) > 850
    assert max(found.values()) < 1150


def test_samples_of_a_donor_keep_a_common_label():
    found, possible = draws([0, 0, 0, 1, 1, 1], [0, 0, 1, 2, 2, 3])
    assert all(labels[0] == labels[1] and labels[3] == labels[4] for labels in found)
    assert len(found) == possible == 6


def test_labels_that_vary_within_donors_are_shuffled_within_them():
    found, possible = draws([0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2])
    assert all(labels[i] + labels[i + 1] == 1 for labels in found for i in (0, 2, 4))
    assert len(found) == possible == 8


def test_strata_keep_their_labels():
    found, possible = draws([0, 1, 1, 0, 0, 0, 1], range(7), strata=[0, 0, 0, 1, 1, 1, 1])
    assert all(sum(labels[:3]) == 2 and sum(labels[3:]) == 1 for labels in found)
    assert len(found) == possible == 12


def test_numbers_are_shuffled_too():
    found, possible = draws([1.5, 2.5, 3.5], range(3))
    assert len(found) == possible == 6
    assert all(sorted(labels) == [1.5, 2.5, 3.5] for labels in found)


def test_large_cohorts_have_too_many_labelings_to_count():
    values = np.arange(400) % 2
    assert n_labelings(values, permutation_blocks(values, np.arange(400), np.zeros(400, dtype=int))) > 1e100


@pytest.mark.parametrize(("observed", "truth"), [(0.9, 1 / 5), (0.5, 3 / 5), (0.0, 1.0)])
def test_the_p_value_counts_the_true_labels_and_ties(observed, truth):
    assert p_value(observed, np.array([0.5, 0.4, 0.6, 0.3])) == pytest.approx(truth)
