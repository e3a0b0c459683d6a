"""One batch (site) out at a time beside the random split: planted signals that hold at other sites and that do not."""

import numpy as np
import pandas as pd
import pytest
from _nulls import null_cohort
from _slots import assert_round_trip

import scggml as sg

QUIET = {"progress": False, "n_jobs": 1, "preprocess": None}
METHODS = ("canonical", "euclidean", "pseudobulk", "majority")
FEW = {"n_splits": 3, "n_repeats": 2}


def sited(seed=0, *, everywhere=0.0, own=0.0, n_donors=30, n_sites=3, per_donor=1):
    """Sites lie far apart; labels differ along feature 0 at all sites, and along a feature of its own at each site."""
    adata = null_cohort(seed, n_donors=n_donors, per_donor=per_donor, n_cells=8, n_genes=2 + 2 * n_sites)
    donor = adata.obs["donor"].astype(str).str[1:].astype(int).to_numpy()
    site, ill = donor % n_sites, donor // n_sites % 2
    adata.X *= 0.5
    adata.X[:, 0] += everywhere * ill
    for s in range(n_sites):
        adata.X[site == s, 2 + s] += own * ill[site == s]
        adata.X[site == s, 2 + n_sites + s] += 10.0
    adata.obs["label"], adata.obs["site"] = np.where(ill, "ill", "well"), [f"site{s}" for s in site]
    adata.obs = adata.obs.astype("category")
    return adata


def evaluate(adata, methods=METHODS, **options):
    sg.tl.cross_validate(adata, "sample", "label", methods=methods, **(QUIET | FEW | {"batch_key": "site"} | options))
    return sg.get.cross_validation(adata)


def test_a_signal_of_each_site_is_found_in_random_splits_and_not_at_other_sites():
    random, apart, verdicts = [], [], []
    for seed in range(4):
        found = evaluate(sited(seed, own=4.0), ["euclidean", "majority"], n_splits=5, n_repeats=4)
        random.append(found.summary.loc["euclidean", "balanced_accuracy"])
        apart.append(found.by_batch.summary.loc["euclidean", "balanced_accuracy"])
        verdicts.append(found.verdict.split("\n")[0])
    assert np.mean(random) >= 0.9
    assert np.mean(apart) == pytest.approx(0.5, abs=0.12)
    lost = "euclidean: no evidence that the labels can be predicted in another batch (balanced accuracy"
    assert sum(line.startswith(lost) for line in verdicts) >= 3
    assert all("leaving one 'site' out: " in line and "worst in 'site" in line for line in verdicts)


def test_a_signal_of_all_sites_is_found_by_both():
    found = evaluate(sited(0, everywhere=5.0))
    assert found.by_batch.summary.loc["canonical", "balanced_accuracy"] >= 0.9
    assert found.verdict.startswith("canonical: strong signal (balanced accuracy")
    assert "log_loss" in found.by_batch.summary
    assert set(found.batches["batch"]) == {"site0", "site1", "site2"}
    assert (found.batches["n_samples"] == 10).all()


def test_it_is_what_the_split_of_that_name_gives():
    both = evaluate(sited(1, everywhere=2.0)).by_batch
    alone = evaluate(sited(1, everywhere=2.0), split="leave_one_batch_out")
    pd.testing.assert_frame_equal(both.predictions, alone.predictions)
    pd.testing.assert_frame_equal(both.differences, alone.differences)
    pooled, truth = (found.scores[found.scores["metric"] != "seconds"] for found in (both, alone))
    pd.testing.assert_frame_equal(pooled.reset_index(drop=True), truth.reset_index(drop=True))
    pd.testing.assert_frame_equal(both.batches, alone.batches)
    assert alone.by_batch is None
    for fold, part in both.predictions.groupby("fold"):
        assert part["batch"].nunique() == 1, fold


def test_the_random_split_is_what_it_is_without_the_other():
    """What is drawn for the folds of batches changes nothing: rivals do not look at batches."""
    known = evaluate(sited(2, everywhere=2.0), ["euclidean", "pseudobulk", "majority"])
    plain = evaluate(sited(2, everywhere=2.0), ["euclidean", "pseudobulk", "majority"], batch_key=None)
    pd.testing.assert_frame_equal(known.predictions, plain.predictions)
    assert plain.by_batch is None
    assert plain.not_by_batch is None
    assert plain.batches.empty


@pytest.mark.parametrize(
    ("change", "options", "reason"),
    [
        (lambda d, ill: d, {"groups_key": "donor"}, "Each batch is one donor, and donors are left out in the"),
        (lambda d, ill: np.zeros_like(d), {}, "All samples are in one batch, 'site0'."),
        (
            lambda d, ill: np.where(ill & (d < 6), 0, d % 2 + 1),
            {"label_kind": ["well", "ill"]},
            None,
        ),
        (lambda d, ill: np.where(ill, 0, d % 2), {}, "All samples of class 'ill' are in batch 'site0', without which"),
    ],
)
def test_where_batches_cannot_be_left_out_the_result_says_why(change, options, reason):
    adata = sited(0, everywhere=3.0, n_donors=12, n_sites=2, per_donor=2)
    donor = adata.obs["donor"].astype(str).str[1:].astype(int).to_numpy()
    if options.get("groups_key") == "donor":  # before and after treatment in each donor
        adata.obs["label"] = np.where(adata.obs["sample"].astype(str).str[1:].astype(int) % 2, "ill", "well")
    ill = (adata.obs["label"] == "ill").to_numpy()
    adata.obs["site"] = [f"site{s}" for s in change(donor, ill)]
    found = evaluate(adata, ["euclidean", "majority"], n_repeats=1, **options)
    if reason is None:
        assert found.by_batch is not None
        return
    assert found.by_batch is None
    assert found.not_by_batch.startswith(reason)
    line = found.verdict.split("\n")[-1]
    assert line == f"One batch of 'site' at a time was not left out. {found.not_by_batch}"


def test_few_donors_of_a_class_that_are_left_are_learned_from_all_the_same():
    """Each site has one donor of the ill, so one is left in training."""
    adata = sited(0, everywhere=5.0, n_donors=8, n_sites=2)
    donor = adata.obs["donor"].astype(str).str[1:].astype(int)
    adata.obs["label"] = np.where(donor.isin([0, 1]), "ill", "well")
    found = evaluate(adata, ["canonical", "triplets", "blend", "lfda", "pseudobulk"], n_splits=2)
    assert np.isfinite(found.by_batch.predictions.filter(like="p:").to_numpy()).all()


def test_numbers_are_ranked_by_batch_too():
    adata = sited(0, n_donors=24)
    donor = adata.obs["donor"].astype(str).str[1:].astype(int)
    adata.X[:, 0] += donor / 2
    adata.obs["label"] = donor.astype(float).to_numpy()
    found = evaluate(adata, ["canonical", "majority"], label_kind="numbers", n_repeats=1)
    value = found.by_batch.summary.loc["canonical", "spearman"]
    assert value > 0.6
    assert f"spearman {found.summary.loc['canonical', 'spearman']:.2f}, chance 0.00" in found.verdict
    assert f"leaving one 'site' out: {value:.2f}, worst in 'site" in found.verdict
    assert np.isnan(found.detectable)


def test_features_are_fitted_without_the_batch_that_is_left_out():
    seen = []

    def step(training, held_out):
        seen.append((set(training.obs["site"]), set(held_out.obs["site"])))
        return training.X, held_out.X

    evaluate(sited(0, everywhere=3.0), ["euclidean"], preprocess=step)
    assert [one & other for one, other in seen[6:]] == [set()] * 3
    assert sorted(next(iter(held_out)) for _, held_out in seen[6:]) == ["site0", "site1", "site2"]
    assert len(seen) == 9


def test_files_keep_it(tmp_path):
    adata = sited(0, everywhere=5.0)
    truth = evaluate(adata)
    for read in assert_round_trip(adata, tmp_path):
        found = sg.get.cross_validation(read)
        assert found.verdict == truth.verdict
        pd.testing.assert_frame_equal(found.by_batch.summary, truth.by_batch.summary)
        pd.testing.assert_frame_equal(found.batches, truth.batches)


def test_a_stored_metric_with_a_batch_is_evaluated_by_batch():
    adata = sited(0, everywhere=5.0)
    sg.tl.ggml(adata, "sample", "label", batch_key="site", n_comps=2, progress=False)
    sg.tl.cross_validate(adata, methods=["ggml", "majority"], **FEW, **QUIET)
    assert sg.get.cross_validation(adata).by_batch.summary.loc["ggml", "balanced_accuracy"] >= 0.9
    sg.tl.tune(adata, space={"shrinkage": [0.4]}, n_splits=2, n_inner_splits=2, **QUIET)
    assert sg.get.cross_validation(adata, key="tuning").by_batch is None


@pytest.mark.parametrize("method", ["canonical", sg.tl.Learner(bags=4)])
def test_matched_pairs_of_few_sites_can_be_evaluated_whatever_the_folds(method):
    """Case and control of each site: folds, inner folds and bags may split all pairs, which leaves nothing to learn."""
    adata = sg.datasets.synthetic(n_classes=2, n_samples=4, n_cells=6, n_noise=3)
    adata.obs["site"] = adata.obs["sample_id"].astype(str).str[-2:]
    options = {"batch_key": "site", "preprocess": None, "n_splits": 3, "n_repeats": 1, "n_jobs": 1, "progress": False}
    for seed in range(6):
        sg.tl.cross_validate(adata, "sample_id", "label", methods={"mine": method}, rng=seed, **options)
        assert np.isfinite(adata.uns["cross_validation"]["probabilities"]).all()


def test_matched_pairs_of_few_sites_can_be_tuned():
    adata = sg.datasets.synthetic(n_classes=2, n_samples=4, n_cells=6, n_noise=3)
    adata.obs["site"] = adata.obs["sample_id"].astype(str).str[-2:]
    options = {"space": {"n_comps": [1, 2]}, "n_splits": 3, "n_repeats": 1, "batch_key": "site"}
    for seed in range(3):
        sg.tl.tune(adata, "sample_id", "label", rng=seed, **options, **QUIET)
        assert np.isfinite(sg.get.cross_validation(adata, key="tuning").scores["value"]).all()
