import itertools
import math
from collections import Counter

import numpy as np
import pytest

from scggml._core.labelings import (
    draw_counts,
    draw_donors,
    n_labelings,
    p_value,
    permutation_blocks,
    permute,
    smallest_p,
)
from scggml._core.samples import LABEL_KINDS

# donors of one label each, of which one gave two samples; pairs of before and after; both together
SINGLE = (np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0, 1, 2, 3, 4, 5, 5]))
PAIRED = (np.array([0, 1, 0, 1, 1, 0]), np.array([0, 0, 1, 1, 2, 2]))
MIXED = (np.array([0, 1, 0, 0, 1]), np.array([0, 0, 1, 2, 3]))


def blocks_of(values, groups=None, strata=None):
    groups = np.arange(len(values)) if groups is None else np.asarray(groups)
    return permutation_blocks(values, groups, np.zeros(len(values), dtype=int) if strata is None else strata)


def count(values, groups=None, strata=None, *, kind="classes"):
    return n_labelings(values, blocks_of(values, groups, strata), kind=kind)


def draws(values, groups=None, strata=None, n=300):
    values = np.asarray(values, dtype=float)
    blocks, rng = blocks_of(values, groups, strata), np.random.default_rng(0)
    return Counter(tuple(permute(values, blocks, rng)) for _ in range(n))


# What is permuted


def test_single_samples_take_all_labelings_equally_often():
    found = draws([0, 0, 1, 1], n=6000)
    assert len(found) == 6
    assert min(found.values()) > 850
    assert max(found.values()) < 1150


def test_samples_of_a_donor_keep_a_common_label():
    found = draws([0, 0, 0, 1, 1, 1], [0, 0, 1, 2, 2, 3])
    assert all(labels[0] == labels[1] and labels[3] == labels[4] for labels in found)
    assert len(found) == 6


def test_labels_that_vary_within_donors_are_permuted_within_them():
    found = draws([0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2])
    assert set(found) == {sum(choice, ()) for choice in itertools.product([(0, 1), (1, 0)], repeat=3)}


def test_both_kinds_of_donors_are_permuted_apart():
    pairs, rests = [(0, 1), (1, 0)], set(itertools.permutations([0, 0, 1]))
    assert set(draws(*MIXED)) == {(*pair, *rest) for pair in pairs for rest in rests}


def test_strata_keep_their_labels():
    found = draws([0, 1, 1, 0, 0, 0, 1], strata=np.array([0, 0, 0, 1, 1, 1, 1]))
    assert all(sum(labels[:3]) == 2 and sum(labels[3:]) == 1 for labels in found)
    assert len(found) == 12


def test_numbers_are_permuted_too():
    assert set(draws([1.5, 2.5, 3.5])) == set(itertools.permutations([1.5, 2.5, 3.5]))


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_labels_keep_their_type_and_the_argument_its_values(dtype):
    values = np.array([0, 0, 1, 2], dtype=dtype)
    found = permute(values, blocks_of(values), np.random.default_rng(0))
    assert found.dtype == dtype
    assert sorted(found) == values.tolist() == [0, 0, 1, 2]


# How many labelings there are


@pytest.mark.parametrize(
    ("labels", "groups", "truth"),
    [
        (np.repeat([0, 1], 3), None, 10),
        (np.repeat([0, 1], [4, 3]), None, 35),
        (np.tile([0, 1], 5), np.repeat(np.arange(5), 2), 16),
        (np.repeat([0, 1], 20), None, math.comb(40, 20) // 2),
        (np.repeat([0, 1, 2], 3), None, math.factorial(9) // 6**3 // 6),
        (np.repeat([0, 1, 2], [3, 3, 2]), None, math.factorial(8) // (6 * 6 * 2) // 2),
        (*SINGLE, 10),  # classes have as many donors, though not as many samples
        (*PAIRED, 4),
        (*MIXED, 6),
        (np.array([0, 1]), None, 1),
        (np.array([4, 4, 4]), None, 1),
    ],
)
def test_labelings_of_classes_are_counted_up_to_names(labels, groups, truth):
    assert count(labels, groups) == count(labels.astype(float), groups) == truth


def test_classes_of_equal_size_that_strata_tell_apart_are_not_renamed():
    labels, strata = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 0, 0, 1, 1, 1])
    assert count(labels, strata=strata) == 3 * 3
    assert count(np.array([0, 1, 0, 1]), strata=np.array([0, 0, 1, 1])) == 2 * 2 / 2


@pytest.mark.parametrize("kind", ["ordered", "numbers"])
@pytest.mark.parametrize(
    ("values", "truth"),
    [
        ([0.0, 0.0, 1.0, 1.0, 2.0, 2.0], 90 // 2),
        ([0.0, 1.0, 1.0, 2.0, 2.0], 30),
        ([0.0, 0.0, 1.0, 3.0, 3.0], 30),
        ([0.1, 0.2, 0.3], 3),  # 0.1 + 0.3 - 0.1 is not 0.3 in floating point
        ([2019.7, 2020.1, 2020.5, 2020.9], 12),
        ([1.0, 2.0, 4.0], 6),
        ([5.0, 5.0], 1),
    ],
)
def test_labelings_of_ordered_values_are_counted_up_to_direction(values, truth, kind):
    assert count(np.array(values), kind=kind) == truth


def test_the_reversed_order_must_fit_every_stratum():
    values = np.array([0.0, 0.0, 2.0, 2.0, 2.0, 0.0])
    assert count(values, strata=np.array([0, 0, 0, 1, 1, 1]), kind="ordered") == 9
    assert count(values, strata=np.array([0, 1, 0, 1, 2, 2]), kind="ordered") == 2**3 / 2


def test_the_count_is_exact_where_no_other_number_could_hold_it():
    found = count(np.arange(400) % 2)
    assert isinstance(found, int)
    assert found == math.comb(400, 200) // 2
    assert count(np.arange(300.0), kind="numbers") == math.factorial(300) // 2


def enumerated(values, groups, strata):
    """All labelings that keep what permuting must keep, found by trying every vector of the values."""
    members = {g: np.flatnonzero(groups == g) for g in set(groups.tolist())}
    whole = [own for own in members.values() if len(set(values[own])) == len(set(strata[own])) == 1]
    mixed = [p for own in members.values() if not any(own is other for other in whole) for p in own]

    def margins(labels):
        donors = Counter((strata[own[0]], labels[own[0]]) for own in whole)
        return donors, Counter((groups[p], strata[p], labels[p]) for p in mixed)

    for labels in itertools.product(np.unique(values).tolist(), repeat=len(values)):
        if all(len({labels[p] for p in own}) == 1 for own in whole) and margins(labels) == margins(values):
            yield labels


def canonical(labels, kind):
    """One and the same for all labelings that are renamings (or reversals) of each other."""
    if kind == "classes":
        names = {label: name for name, label in enumerate(dict.fromkeys(labels))}
        return tuple(names[label] for label in labels)
    ends = min(labels) + max(labels)
    return min(labels, tuple(ends - label for label in labels))


def random_design(seed):
    """Up to six samples with up to four labels; donors with one or several samples and labels; one or two strata."""
    rng = np.random.default_rng(seed)
    n_samples = int(rng.integers(2, 7))
    groups = np.arange(n_samples)
    if rng.random() < 0.5:
        groups = np.sort(rng.integers(n_samples, size=n_samples))
    if rng.random() < 0.5:
        values = rng.choice([0.0, 1.0, 2.0, 4.0][: rng.integers(1, 5)], size=n_samples)
    else:  # as many of each label, so that names and the order of labels mean little
        values = rng.permutation(np.arange(n_samples) % rng.integers(2, 4)).astype(float)
    strata = rng.integers(0, rng.integers(1, 3), size=n_samples)
    if rng.random() < 0.5:  # donors have one label and belong to one stratum
        values, strata = values[groups % n_samples], strata[groups % n_samples]
    return values, groups, strata


@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_the_count_is_that_of_brute_force(kind):
    fewer = 0
    for seed in range(120):
        values, groups, strata = random_design(seed)
        all_of_them = list(enumerated(values, groups, strata))
        different = {canonical(labels, kind) for labels in all_of_them}
        assert count(values, groups, strata, kind=kind) == len(different), (values, groups, strata)
        fewer += 1 < len(different) < len(all_of_them)
    assert fewer >= 15  # it did not agree because nothing could be renamed or reversed


def test_what_is_permuted_is_what_is_counted():
    designs = [random_design(seed) for seed in range(30)]
    few = [design for design in designs if len(set(enumerated(*design))) <= 36]
    assert len(few) >= 15
    for values, groups, strata in few:
        assert set(draws(values, groups, strata, n=600)) == set(enumerated(values, groups, strata))


# p-values


@pytest.mark.parametrize(("observed", "truth"), [(0.9, 1 / 5), (0.5, 3 / 5), (0.0, 1.0)])
def test_the_p_value_counts_the_true_labels_and_ties(observed, truth):
    assert p_value(observed, np.array([0.5, 0.4, 0.6, 0.3])) == pytest.approx(truth)


def test_the_smallest_p_value_is_that_of_labelings_or_of_permutations():
    assert smallest_p(10, 199) == 1 / 10
    assert smallest_p(35, 19) == 1 / 20
    assert smallest_p(math.factorial(400), 99) == 1 / 100
    assert smallest_p(1, 99) == 1
    assert p_value(1.0, np.zeros(19)) == smallest_p(10**9, 19)


# Donors drawn with replacement


@pytest.mark.parametrize("case", [SINGLE, PAIRED, MIXED])
def test_as_many_donors_of_each_kind_are_drawn_with_all_their_samples(case):
    labels, groups = case
    rng = np.random.default_rng(0)
    kinds = {d: tuple(sorted(labels[groups == d])) for d in set(groups.tolist())}
    seen = set()
    for _ in range(200):
        drawn = draw_donors(labels, groups, rng)
        times = {d: np.sum(groups[drawn] == d) / np.sum(groups == d) for d in kinds}
        assert all(float(n).is_integer() for n in times.values())
        for kind in set(kinds.values()):
            members = [d for d in kinds if kinds[d] == kind]
            assert sum(times[d] for d in members) == len(members)
        seen.add(tuple(sorted(drawn.tolist())))
    assert len(seen) >= 3


def test_each_donor_is_as_likely_as_the_next():
    labels, groups = np.repeat([0, 1], 5), np.arange(10)
    rng = np.random.default_rng(1)
    counts = sum(draw_counts(labels, groups, rng) for _ in range(2000))
    np.testing.assert_allclose(counts / 2000, 1.0, atol=0.1)


@pytest.mark.parametrize("case", [SINGLE, PAIRED, MIXED])
def test_counts_and_positions_are_the_same_draw(case):
    positions, counts = (draw(*case, np.random.default_rng(5)) for draw in (draw_donors, draw_counts))
    assert counts.shape == case[0].shape
    assert sorted(np.repeat(np.arange(len(counts)), counts)) == sorted(positions)


def test_codes_of_donors_may_have_gaps():
    labels, groups = MIXED
    found, truth = (draw_counts(labels, codes, np.random.default_rng(2)) for codes in (3 * groups + 4, groups))
    np.testing.assert_array_equal(found, truth)


def test_the_same_seed_gives_the_same_permutations_and_draws():
    labels, groups = MIXED
    blocks = blocks_of(labels, groups)
    np.testing.assert_array_equal(*(permute(labels, blocks, np.random.default_rng(7)) for _ in range(2)))
    np.testing.assert_array_equal(*(draw_donors(labels, groups, np.random.default_rng(7)) for _ in range(2)))
