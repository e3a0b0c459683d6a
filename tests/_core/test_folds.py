import numpy as np
import pytest
from sklearn.model_selection import StratifiedShuffleSplit

from scggml._core.folds import BINS, make_folds, strata_of
from scggml._core.samples import Target, mixed_batches


def classes(*counts):
    codes = np.repeat(np.arange(len(counts)), counts).astype(float)
    return Target("classes", codes, np.array([f"c{i}" for i in range(len(counts))]))


def folds(target, groups=None, seed=0, **options):
    groups = np.arange(len(target.values)) if groups is None else groups
    return make_folds(target, groups, rng=np.random.default_rng(seed), **options)


@pytest.mark.parametrize("split", ["stratified", "leave_one_group_out"])
def test_each_repeat_holds_each_sample_out_once_and_no_donor_is_on_both_sides(split):
    target = classes(14, 10)
    groups = np.repeat(np.arange(12), 2)
    found = folds(target, groups, split=split, n_splits=4, n_repeats=3)
    for repeat in {fold.repeat for fold in found}:
        held_out = np.concatenate([fold.test for fold in found if fold.repeat == repeat])
        assert sorted(held_out) == list(range(24))
    for fold in found:
        assert sorted(np.concatenate([fold.train, fold.test])) == list(range(24))
        assert not set(groups[fold.train]) & set(groups[fold.test])
    assert len(found) == 12  # 3 repeats of 4 folds, or 12 donors


def test_classes_are_in_proportion():
    target = classes(20, 10)
    for fold in folds(target, n_splits=5):
        assert np.bincount(target.codes[fold.test]).tolist() == [4, 2]


def test_numbers_are_spread_over_their_range():
    target = Target("numbers", np.arange(45.0), np.array([]))
    for fold in folds(target, n_splits=5):
        assert np.bincount((target.values[fold.test] // 15).astype(int), minlength=3).tolist() == [3, 3, 3]


def test_repeats_differ_and_the_seed_decides():
    target = classes(10, 10)
    first, again, other = (folds(target, n_repeats=2, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(first[0].test, first[5].test)


def test_a_class_with_fewer_samples_than_folds_is_always_among_the_training_samples():
    target = classes(16, 4)
    for fold in folds(target, n_splits=5):
        assert set(target.codes[fold.train]) == {0, 1}


def test_small_classes_everywhere_are_split_all_the_same():
    target = classes(3, 3, 3)
    assert sorted(np.concatenate([fold.test for fold in folds(target, n_splits=5, n_repeats=1)])) == list(range(9))


def test_a_class_of_a_single_donor_is_refused():
    groups = np.array([0, 1, 2, 3, 4, 5, 5])
    with pytest.raises(ValueError, match="Class 'c1' has too few groups"):
        folds(classes(5, 2), groups, n_splits=3)


def test_one_batch_after_the_other_is_held_out():
    target, batch = classes(8, 7), np.arange(15) % 3
    groups = np.array([0, 1, 2, 0, 1, 2, *range(3, 12)])
    found = folds(target, groups, split="leave_one_batch_out", batch=batch)
    assert [(fold.repeat, fold.fold) for fold in found] == [(0, 0), (0, 1), (0, 2)]
    for code, fold in enumerate(found):
        np.testing.assert_array_equal(fold.test, np.flatnonzero(batch == code))
        np.testing.assert_array_equal(fold.train, np.flatnonzero(batch != code))


@pytest.mark.parametrize("train_size", [0.5, 0.6, 0.8])
@pytest.mark.parametrize("counts", [(12, 8), (5, 5, 5, 5), (18, 2)])
def test_a_split_of_a_given_size_keeps_donors_together_and_classes_in_proportion(counts, train_size):
    target = classes(*(2 * n for n in counts))  # two samples of each donor
    groups, P = np.arange(2 * sum(counts)) // 2, 2 * sum(counts)
    found = folds(target, groups, n_repeats=4, train_size=train_size)
    assert [(fold.repeat, fold.fold) for fold in found] == [(0, 0), (1, 0), (2, 0), (3, 0)]
    for fold in found:
        assert sorted(np.concatenate([fold.train, fold.test])) == list(range(P))
        assert not set(groups[fold.train]) & set(groups[fold.test])
        held_out = np.bincount(target.codes[fold.test], minlength=len(counts)) / 2
        assert held_out.sum() == round((1 - train_size) * sum(counts))
        expected = held_out.sum() * np.array(counts) / sum(counts)
        assert np.abs(held_out - expected).max() <= 1.0
        assert (held_out >= 1).all()
        assert (held_out < counts).all()
    assert len({tuple(fold.test) for fold in found}) > 1


def test_a_split_of_a_given_size_is_that_of_scikit_learn_in_number():
    target = classes(17, 9, 4)
    for train_size in np.linspace(0.3, 0.9, 7):
        (fold,) = folds(target, n_repeats=1, train_size=train_size)
        splitter = StratifiedShuffleSplit(1, test_size=1 - train_size, random_state=0)
        _, test = next(splitter.split(np.zeros((30, 1)), target.codes))
        counts = [np.bincount(target.codes[part], minlength=3) for part in (fold.test, test)]
        assert abs(counts[0] - counts[1]).max() <= 1  # which rounds up


def test_a_split_spreads_numbers_over_their_range():
    target = Target("numbers", np.arange(30.0), np.array([]))
    (fold,) = folds(target, n_repeats=1, train_size=0.7)
    assert np.bincount((target.values[fold.test] // 10).astype(int), minlength=3).tolist() == [3, 3, 3]


def test_a_donor_with_samples_of_both_classes_stays_on_one_side():
    target, groups = Target("classes", np.array([0.0, 1] * 8), np.array(["a", "b"])), np.arange(16) // 2
    for fold in folds(target, groups, n_repeats=3, train_size=0.5):
        assert len(fold.test) == 8
        assert not set(groups[fold.train]) & set(groups[fold.test])


@pytest.mark.parametrize("batch", [None, np.zeros(8, dtype=int)])
def test_a_batch_to_hold_out_needs_another_one(batch):
    with pytest.raises(ValueError, match='split="leave_one_batch_out" needs a batch_key with two or more batches'):
        folds(classes(4, 4), split="leave_one_batch_out", batch=batch)


def test_a_batch_that_shares_donors_with_another_cannot_be_held_out():
    with pytest.raises(ValueError, match="some donors have samples in several batches, so that a held-out batch would"):
        folds(classes(4, 4), np.array([0, 1, 2, 3, 4, 5, 6, 0]), split="leave_one_batch_out", batch=np.arange(8) // 4)


def test_a_class_of_a_single_batch_cannot_be_held_out():
    with pytest.raises(ValueError, match="Class 'c0' has too few groups"):
        folds(classes(4, 4), split="leave_one_batch_out", batch=np.arange(8) // 4)


def test_strata_are_classes_or_thirds_of_the_range_of_numbers():
    assert strata_of(classes(2, 1)).tolist() == [0, 0, 1]
    ordered = Target("ordered", np.array([2.0, 0, 1]), np.array(["a", "b", "c"]))
    assert strata_of(ordered).tolist() == [2, 0, 1]
    values = np.random.default_rng(0).normal(size=18)
    found = strata_of(Target("numbers", values, np.array([])))
    assert len(np.unique(found)) == BINS == 3
    assert max(np.bincount(found)) - min(np.bincount(found)) <= 1
    assert (np.diff(found[np.argsort(values)]) >= 0).all()


@pytest.mark.parametrize("n", [2, 3, 7, 12, 25])
def test_numbers_give_the_same_folds_from_either_end(n):
    values = np.round(np.random.default_rng(n).normal(size=n), 1)  # with ties
    up, down = (Target("numbers", sign * values, np.array([])) for sign in (1, -1))
    np.testing.assert_array_equal(strata_of(up), BINS - 1 - strata_of(down))
    for one, other in zip(folds(up, n_splits=2), folds(down, n_splits=2), strict=True):
        np.testing.assert_array_equal(one.test, other.test)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_splits": 9}, "n_splits=9 is more than the 8 groups"),
        ({"n_splits": 1}, "n_splits=1 must be at least 2"),
        ({"n_repeats": 0}, "n_repeats=0 must be at least 1"),
        ({"split": "random"}, "split='random' is not known; choose from"),
        ({"train_size": 1.0}, "train_size=1.0 must be a share of the donors"),
        ({"train_size": 0}, "train_size=0 must be a share of the donors"),
        ({"train_size": 0.1}, "train_size=0.1 learns from 1 of 8 groups.*share between 0.25 and 0.88"),
        ({"train_size": 0.99}, "train_size=0.99 learns from 8 of 8 groups .* holds out 0"),
        ({"train_size": 0.5, "split": "leave_one_group_out"}, "leave out split='leave_one_group_out'"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        folds(classes(4, 4), **options)


@pytest.mark.parametrize("options", [{"n_splits": 2, "n_repeats": 40}, {"train_size": 0.5, "n_repeats": 40}])
def test_training_samples_of_matched_pairs_keep_a_batch_with_different_labels(options):
    target, batch = classes(4, 4), np.tile(np.arange(4), 2)

    def usable(found):
        return [mixed_batches(target.take(fold.train), batch[fold.train]) for fold in found]

    assert not all(usable(folds(target, **options)))
    assert all(usable(folds(target, batch=batch, **options)))


def test_where_no_batch_can_stay_mixed_the_split_is_the_usual_one():
    target, batch = classes(3, 3), np.array([0, 1, 2, 0, 3, 4])
    for one, other in zip(folds(target, n_splits=3), folds(target, batch=batch, n_splits=3), strict=True):
        np.testing.assert_array_equal(one.test, other.test)
