import numpy as np
import pytest

from scggml._core.evaluate.folds import make_folds
from scggml._core.samples import Target


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
    target = Target("numbers", np.arange(40.0), np.array([]))
    for fold in folds(target, n_splits=5):
        assert np.bincount((target.values[fold.test] // 10).astype(int), minlength=4).tolist() == [2, 2, 2, 2]


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_splits": 9}, "n_splits=9 is more than the 8 groups"),
        ({"n_splits": 1}, "n_splits=1 must be at least 2"),
        ({"n_repeats": 0}, "n_repeats=0 must be at least 1"),
        ({"split": "random"}, "split='random' is not known; choose from"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        folds(classes(4, 4), **options)
