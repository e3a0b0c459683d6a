from dataclasses import replace

import numpy as np
import pytest
from _nulls import null_cohort
from _slots import assert_round_trip
from joblib import parallel_config
from scipy.stats import kstest

import scggml as sg

QUIET = {"progress": False, "n_jobs": 1}
QUICK = {"preprocess": None, "n_splits": 2} | QUIET
USUAL = sg.tl.Canonical(ridge=0.05, ridge_scale="mean")


def run(adata, **options):
    options = QUICK | options
    sg.tl.permutation_test(adata, "sample", "label", **options)
    return adata.uns["permutation_test"]


def planted_cohort(n_cells):
    adata = sg.datasets.synthetic(n_noise=9, noise_scale=1.0, n_samples=5, n_cells=n_cells)
    adata.obs = adata.obs.rename(columns={"sample_id": "sample"})
    return adata


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "n_cells", "n"), [(None, 5, 119), (sg.tl.Learner(method=USUAL, shrinkage=0.4), 12, 199)]
)
def test_a_planted_signal_is_found(method, n_cells, n):
    found = run(planted_cohort(n_cells), n_permutations=n, n_splits=3, method=method)
    assert found["observed"] >= 0.95
    assert found["p_value"] < 0.01
    assert found["null"].shape == (n,)
    assert 0.25 < found["null"].mean() < 0.42  # chance is 1 / 3
    assert found["verdict"].startswith(
        "The labels are predicted better than random ones: held-out balanced accuracy 1.00"
    )


def test_the_p_value_counts_scores_of_permuted_labels_that_are_as_good():
    found = run(null_cohort(3), n_permutations=49, method="pseudobulk")
    at_least, above = (
        (found["null"] >= found["observed"] - 1e-9).sum(),
        (found["null"] > found["observed"] + 1e-9).sum(),
    )
    assert (1 + above) / 50 <= found["p_value"] <= (1 + at_least) / 50


@pytest.mark.parametrize("method", ["pseudobulk", sg.tl.Learner(method=USUAL, shrinkage=0.4)])
def test_the_observed_score_is_that_of_cross_validation(method):
    adata = planted_cohort(2)
    options = {"split": "leave_one_group_out"}
    found = run(adata, n_permutations=1, method=method, **options)
    options |= {"methods": {"tested": method}, "preprocess": None} | QUIET
    sg.tl.cross_validate(adata, "sample", "label", **options)
    truth = sg.get.cross_validation(adata).summary.loc["tested", "balanced_accuracy"]
    assert found["metric"] == "balanced_accuracy"
    assert found["observed"] == pytest.approx(truth)
    assert truth < 1


@pytest.mark.slow
def test_p_values_without_signal_are_uniform():
    """200 cohorts without signal; equal scores are few, since what resolves them is fine."""
    p = [
        run(null_cohort(seed, n_donors=10, n_cells=3, n_genes=2), n_permutations=19, method=MINI, rng=seed)["p_value"]
        for seed in range(200)
    ]
    # p takes the values 1/20, 2/20, ..., 1: spread each over its step
    spread = np.array(p) - np.random.default_rng(0).uniform(0, 1 / 20, size=200)
    assert kstest(spread, "uniform").pvalue > 0.05
    assert np.mean(np.array(p) <= 0.05) <= 0.10


MINI = sg.tl.Learner(method=replace(USUAL, n_alternations=1), n_comps=1, shrinkage=0.4)


def test_labels_that_vary_within_donors_are_permuted_within_them():
    adata = null_cohort(0, n_donors=5, per_donor=2)
    second = adata.obs["sample"].str[1:].astype(int) % 2
    adata.obs["label"] = second.map({0: "before", 1: "after"})
    found = run(adata, groups_key="donor", n_permutations=200, method="euclidean", n_splits=5)
    assert found["n_labelings"] == 16  # 2^5, half of which are the other half under other names
    assert found["smallest_p"] == 1 / 16
    assert found["p_value"] >= 1 / 16
    assert "Only 16 labelings can differ, so a small p-value cannot come out" in found["verdict"]


def test_strata_that_fix_all_labels_leave_nothing_to_test():
    adata = null_cohort(0)
    adata.obs["site"] = adata.obs["label"].map({"c0": "north", "c1": "south"})
    with pytest.raises(ValueError, match=r"Donors, strata and batches leave no other labeling of adata.obs\['label'\]"):
        run(adata, strata_key="site")


def test_a_site_that_goes_with_the_label_is_no_signal_within_sites():
    """Sites differ, and so does the mix of labels in them: permuted at large this looks like a signal."""
    adata = null_cohort(1, n_donors=24, n_cells=4)
    donor = adata.obs["donor"].str[1:].astype(int)
    adata.obs["site"] = (donor % 2).map({0: "north", 1: "south"})
    adata.obs["label"] = np.where(donor < 18, donor % 2, 1 - donor % 2).astype(str)
    adata.X[:, 0] += 15 * (donor % 2)
    assert run(adata.copy(), n_permutations=99, method="euclidean")["p_value"] <= 0.05
    assert run(adata.copy(), n_permutations=99, method="euclidean", strata_key="site")["p_value"] > 0.05


def test_the_same_seed_gives_the_same_null_on_any_backend():
    truth = run(null_cohort(2), n_permutations=9)
    with parallel_config("threading", n_jobs=2):
        found = run(null_cohort(2), n_permutations=9, n_jobs=None)
    np.testing.assert_array_equal(found["null"], truth["null"])
    assert not np.array_equal(run(null_cohort(2), n_permutations=9, rng=1)["null"], truth["null"])


@pytest.mark.parametrize("seeds", [(np.int64(4), 4), (np.random.default_rng(7), np.random.default_rng(7))])
def test_the_same_seed_gives_the_same_result_whatever_its_type(seeds):
    truth, found = (
        run(null_cohort(2), n_permutations=9, rng=seed, n_jobs=n_jobs)
        for seed, n_jobs in zip(seeds, (1, 2), strict=True)
    )
    np.testing.assert_array_equal(found["null"], truth["null"])
    assert (found["observed"], found["p_value"]) == (truth["observed"], truth["p_value"])
    again = run(null_cohort(2), n_permutations=9, rng=truth["params"]["seed"])  # what was drawn is stored
    np.testing.assert_array_equal(again["null"], truth["null"])


def test_preprocessing_is_fitted_anew_for_each_labeling():
    adata = sg.datasets.synthetic_counts(n_samples=4, n_cells=10, n_genes=80, n_planted=20)
    sg.tl.permutation_test(
        adata,
        "sample_id",
        "label",
        preprocess=sg.tl.Preprocess(n_top_genes=30, n_comps=4),
        n_permutations=9,
        n_splits=2,
        **QUIET,
    )
    assert len(np.unique(adata.uns["permutation_test"]["null"])) > 1


def test_numbers_are_tested_by_their_rank_correlation():
    adata = null_cohort(0, n_donors=16)
    age = adata.obs["donor"].str[1:].astype(float) + 20
    adata.obs["label"] = age.to_numpy()
    adata.X[:, 0] = age + np.random.default_rng(0).normal(size=adata.n_obs)
    found = run(adata, n_permutations=49, method="euclidean", n_splits=4, label_kind="numbers")
    assert found["metric"] == "spearman"
    assert found["observed"] > 0.8
    assert found["p_value"] == 0.02


def test_what_was_stored_survives_a_file(tmp_path):
    adata = null_cohort(0)
    found = run(adata, n_permutations=9)
    for read in assert_round_trip(adata, tmp_path):
        assert read.uns["permutation_test"]["p_value"] == found["p_value"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_permutations": 0}, ValueError, "n_permutations=0 must be at least 1"),
        ({"strata_key": "site"}, KeyError, "strata_key='site' is not a column of adata.obs"),
        ({"method": "magic"}, ValueError, "method 'magic' is not known"),
    ],
)
def test_bad_input_is_named(options, error, message):
    with pytest.raises(error, match=message):
        run(null_cohort(0), **options)


# Preprocessing


def test_preprocessing_that_sees_no_labels_is_fitted_once_and_said_to_be():
    adata, step = null_cohort(3), sg.tl.Preprocess(n_comps=3)
    found = run(adata, preprocess=step, n_permutations=9)
    assert found["verdict"].endswith(" (Features were fitted once to all cells, without labels.)")
    assert (found["features"]["refitted"], found["features"]["seen"]) == (False, True)
    prepared = step.prepare(adata)
    other = adata.copy()
    other.obsm["X_prepared"] = np.asarray(step(prepared, prepared[:0])[0])
    truth = run(other, use_rep="X_prepared", n_permutations=9)
    np.testing.assert_allclose(found["null"], truth["null"])
    assert found["observed"] == pytest.approx(truth["observed"])
    assert found["p_value"] == truth["p_value"]


def test_a_function_of_the_user_is_fitted_to_the_training_cells_of_each_fold():
    adata, sizes = null_cohort(3), []

    def step(training, held_out):
        sizes.append((training.n_obs, held_out.n_obs))
        return np.asarray(training.X), np.asarray(held_out.X)

    found = run(adata, preprocess=step, n_permutations=2)
    assert {sum(each) for each in sizes} == {adata.n_obs}
    assert all(held_out > 0 for _, held_out in sizes)
    assert found["features"]["refitted"]
    assert "fitted once" not in found["verdict"]


def test_rivals_that_need_cells_are_tested_on_cells():
    adata = planted_cohort(6)
    adata.obs["type"] = np.where(np.arange(adata.n_obs) % 3, "a", "b")
    for method in ("gloscope", "pilot"):
        options = {"n_permutations": 2, "n_repeats": 1, "method": method, "cell_type_key": "type"}
        assert 0 < run(adata, **options)["p_value"] <= 1
        every, few = (run(adata, summary=summary, **options) for summary in (None, sg.tl.Coreset(3)))
        assert few["observed"] == every["observed"]  # all cells are there beside a coreset
        with pytest.raises(ValueError, match=f"'{method}' needs the cells themselves, not summary=Groups"):
            run(adata, summary=sg.tl.Groups("type"), **options)
    with pytest.raises(ValueError, match="'clr' needs cell types"):
        run(adata, method="clr", n_permutations=2)
