"""Subsets of donors: classes and batches in proportion, everybody held out, scores of donors by their definition."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from scggml._core.evaluate.prediction import Prediction
from scggml._core.evaluate.run import HeldOut
from scggml._core.evaluate.subsets import donors_of, draw_subsets, placement, success, units_of
from scggml._core.folds import Fold, TooFewDonorsError
from scggml._core.samples import Target


def target_of(codes, kind="classes"):
    codes = np.asarray(codes)
    return Target(kind, codes.astype(float), np.array([f"c{c}" for c in range(codes.max() + 1)]))


@pytest.mark.parametrize("n_draws", [2, 20])
def test_classes_are_in_proportion_and_everybody_is_held_out_equally_often(n_draws):
    codes = np.repeat([0, 1], [12, 28])
    donors = donors_of(target_of(codes), np.arange(40), None)
    rng = np.random.default_rng(0)
    folds = draw_subsets(donors, ["c0", "c1"], n_sizes=6, n_draws=n_draws, rng=rng)
    assert len({fold.fold for fold in folds}) == 6
    for place in range(6):
        own = [fold for fold in folds if fold.fold == place]
        assert len(own) >= n_draws
        assert len({tuple(fold.train) for fold in own}) > 1
        n = len(own[0].train)
        for fold in own:
            np.testing.assert_array_equal(np.sort(np.concatenate([fold.train, fold.test])), np.arange(40))
            counts = np.bincount(codes[fold.train], minlength=2)
            assert counts.sum() == n
            assert np.abs(counts - n * np.array([0.3, 0.7])).max() <= 0.5 + 1e-9
            assert counts.min() >= 2
        times = np.sum([np.isin(np.arange(40), fold.test) for fold in own], axis=0)
        assert times.min() >= 1
        assert max(np.ptp(times[codes == c]) for c in (0, 1)) <= 1
    sizes = [len(next(fold for fold in folds if fold.fold == place).train) for place in range(6)]
    assert sizes == sorted(sizes)
    assert sizes[0] == min(donors.sizes())
    assert sizes[-1] <= 36


def test_batches_are_in_proportion():
    codes, batch = np.repeat([0, 1], 20), np.tile([0, 0, 0, 1], 10)
    donors = donors_of(target_of(codes), np.arange(40), batch)
    for fold in draw_subsets(donors, ["a", "b"], n_sizes=4, n_draws=10, rng=np.random.default_rng(1)):
        for c in (0, 1):
            held_out = batch[fold.test][codes[fold.test] == c]
            assert abs((held_out == 1).sum() - len(held_out) / 4) <= 1


def test_samples_of_a_donor_stay_together_and_paired_donors_are_in_both_classes():
    codes, groups = np.tile([0, 1, 1], 8), np.repeat(np.arange(8), 3)
    target = target_of(codes)
    donors = donors_of(target, groups, None)
    assert donors.counts.tolist() == [8, 8]
    for fold in draw_subsets(donors, ["a", "b"], n_sizes=4, n_draws=5, rng=np.random.default_rng(0)):
        assert not np.intersect1d(groups[fold.train], groups[fold.test]).size
    units = units_of(target, donors)
    assert len(units.code) == 16
    scores = np.zeros((6, 2))
    scores[:, 1] = [0.1, 0.9, 0.2, 0.9, 0.8, 0.7]  # donors 2 and 5
    test = np.flatnonzero(np.isin(groups, [2, 5]))
    scores[:, 0] = 1 - scores[:, 1]
    found = success(
        HeldOut(Fold(0, 0, np.flatnonzero(~np.isin(groups, [2, 5])), test), Prediction(scores), 0.0), target, units
    )
    truth = {(2, 0): 1.0, (2, 1): 0.5, (5, 0): 0.0, (5, 1): 1.0}
    seen = {(int(d), int(c)): v for d, c, v in zip(units.donor, units.code, found, strict=True) if np.isfinite(v)}
    assert seen == truth


def test_placements_average_to_the_area_under_the_curve():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], [7, 9])
    target = target_of(codes)
    units = units_of(target, donors_of(target, np.arange(16), None))
    p = np.round(rng.uniform(size=10), 1)  # with ties
    test = rng.permutation(16)[:10]
    fold = Fold(0, 0, np.setdiff1d(np.arange(16), test), test)
    found = placement(HeldOut(fold, Prediction(np.stack([1 - p, p], axis=1)), 0.0), target, units)
    truth = roc_auc_score(codes[test], p)
    for c in (0, 1):
        assert np.nanmean(found[codes == c]) == pytest.approx(truth)
    assert np.isnan(found[fold.train]).all()


@pytest.mark.parametrize("counts", [(3, 20), (3, 3), (4, 4), (2, 2, 9)], ids=str)
def test_too_few_donors_are_told_of_by_class(counts):
    codes = np.repeat(np.arange(len(counts)), counts)
    donors = donors_of(target_of(codes), np.arange(len(codes)), None)
    with pytest.raises(TooFewDonorsError, match=f"Class 'c0' has {counts[0]} donors, too few"):
        draw_subsets(donors, [f"c{c}" for c in range(len(counts))], n_sizes=4, n_draws=3, rng=np.random.default_rng(0))


def test_the_smallest_classes_that_are_taken():
    donors = donors_of(target_of(np.repeat([0, 1], 5)), np.arange(10), None)
    folds = draw_subsets(donors, ["a", "b"], n_sizes=6, n_draws=2, rng=np.random.default_rng(0))
    assert sorted({len(fold.train) for fold in folds}) == [4, 6, 8]
