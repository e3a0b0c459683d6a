import itertools
import math

import numpy as np
import pytest

from scggml._core.explain.resample import deal_labels, draw_donors, n_dealings

# donors of one label each, of which one gave two samples; and pairs of before and after
SINGLE = (np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0, 1, 2, 3, 4, 5, 5]))
PAIRED = (np.array([0, 1, 0, 1, 1, 0]), np.array([0, 0, 1, 1, 2, 2]))
MIXED = (np.array([0, 1, 0, 0, 1]), np.array([0, 0, 1, 2, 3]))


def distinct(labels, groups, n=3000):
    """Every labeling that comes up in many deals."""
    rng = np.random.default_rng(0)
    return {tuple(deal_labels(labels, groups, rng).tolist()) for _ in range(n)}


def test_donors_of_one_label_exchange_it_and_keep_their_samples_together():
    labels, groups = SINGLE
    found = distinct(labels, groups)
    assert all(dealt[5] == dealt[6] for dealt in found)
    donors = {(*dealt[:5], dealt[5]) for dealt in found}
    assert donors == set(itertools.permutations([0, 0, 0, 1, 1, 1]))


def test_donors_with_both_labels_keep_both():
    found = distinct(*PAIRED)
    pairs = [[(0, 1), (1, 0)]] * 3
    assert found == {sum(choice, ()) for choice in itertools.product(*pairs)}


def test_both_kinds_of_donors_are_dealt_apart():
    found = distinct(*MIXED)
    truth = {(*pair, *rest) for pair in [(0, 1), (1, 0)] for rest in set(itertools.permutations([0, 0, 1]))}
    assert found == truth


@pytest.mark.parametrize(("case", "renamings"), [(SINGLE, 1), (PAIRED, 2), (MIXED, 1)])
def test_the_number_of_deals_is_that_of_those_that_come_up(case, renamings):
    assert n_dealings(*case) == len(distinct(*case)) // renamings


def test_the_number_of_deals_of_many_donors_is_exact():
    labels = np.repeat([0, 1], 20)
    assert n_dealings(labels, np.arange(40)) == math.comb(40, 20) // 2
    three = np.repeat([0, 1, 2], 3)
    assert n_dealings(three, np.arange(9)) == math.factorial(9) // 6**3 // 6


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
    counts = sum(np.bincount(draw_donors(labels, groups, rng), minlength=10) for _ in range(2000))
    np.testing.assert_allclose(counts / 2000, 1.0, atol=0.1)


def test_the_same_seed_gives_the_same_deals_and_draws():
    for function in (deal_labels, draw_donors):
        one, other = (function(*MIXED, np.random.default_rng(7)) for _ in range(2))
        np.testing.assert_array_equal(one, other)
