"""Ordered labels, numbers and batches, end to end."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from _nulls import null_cohort

import scggml as sg

QUIET = {"progress": False, "n_jobs": 1}


def evaluate(adata, methods, **options):
    options = {"preprocess": None, "n_splits": 4, "n_repeats": 2, "groups_key": "donor"} | QUIET | options
    sg.tl.cross_validate(adata, "sample", "label", methods=methods, **options)
    return sg.get.cross_validation(adata)


def severity(n_donors=24, noise=3.0, seed=0):
    """Feature 0 rises with severity; the other features differ more, for reasons of their own."""
    adata = null_cohort(seed, n_donors=n_donors, n_cells=8)
    grade = adata.obs["donor"].astype(str).str[1:].astype(int) % 3
    adata.X[:, 1:] *= noise
    adata.X[:, 0] += 3.0 * grade
    adata.obs["grade"] = grade.to_numpy()
    adata.obs["label"] = pd.Categorical.from_codes(grade, ["mild", "moderate", "severe"], ordered=True)
    return adata


def test_an_ordered_column_is_taken_as_ordered_and_scored_by_ranks():
    adata = severity()
    canonical = sg.tl.Learner(method=sg.tl.Canonical(ridge=0.03, ridge_scale="mean"), shrinkage=0.0)
    rivals = {name: name for name in ("euclidean", "pseudobulk", "majority")}
    result = evaluate(adata, {"canonical": canonical} | rivals)
    assert adata.uns["cross_validation"]["params"]["label_kind"] == "ordered"
    assert {"spearman", "kappa", "balanced_accuracy"} <= set(result.summary.columns)
    assert result.summary.loc["canonical", "spearman"] > 0.75
    assert result.summary.loc["canonical", "spearman"] > result.summary.loc["euclidean", "spearman"]
    assert result.summary.loc["majority", "kappa"] == 0.0


def test_the_default_follows_the_order_where_other_features_mislead_more():
    result = evaluate(severity(noise=5.0), ["canonical", "triplets", "euclidean"], n_repeats=1)
    for method in ("canonical", "triplets"):
        assert result.summary.loc[method, "spearman"] > max(0.7, 0.2 + result.summary.loc["euclidean", "spearman"])


def test_the_order_can_be_ignored_or_asked_for():
    adata = severity()
    assert "spearman" not in evaluate(adata, ["euclidean"], label_kind="classes").summary.columns
    given = adata.obs["label"].astype(str)
    adata.obs["label"] = given
    assert "spearman" not in evaluate(adata, ["euclidean"]).summary.columns  # no order is known
    levels = ["mild", "moderate", "severe"]
    truth = evaluate(adata, ["euclidean"], label_kind=levels).summary
    assert adata.uns["cross_validation"]["classes"].tolist() == levels
    adata.obs["label"] = given.map({name: 2**i for i, name in enumerate(levels)})
    with pytest.raises(ValueError, match=r"holds numbers with 3 different values \(1 to 4\).* three ways"):
        evaluate(adata, ["euclidean"])
    found = evaluate(adata, ["euclidean"], label_kind="ordered").summary
    assert found.loc["euclidean", "spearman"] == truth.loc["euclidean", "spearman"]


def test_numbers_are_predicted_by_their_neighbors():
    adata = null_cohort(0, n_donors=30, n_cells=8)
    donor = adata.obs["donor"].astype(str).str[1:].astype(int)
    adata.X[:, 1:] *= 3
    adata.X[:, 0] += donor / 4
    adata.obs["label"] = (20 + 2.0 * donor).to_numpy()
    result = evaluate(adata, ["canonical", "euclidean", "pseudobulk", "majority"], label_kind="numbers")
    assert result.main_metric == "spearman"
    assert result.summary.loc["canonical", "spearman"] > 0.7
    assert result.summary.loc["canonical", "spearman"] > result.summary.loc["euclidean", "spearman"]
    errors = result.summary["mean_absolute_error"]
    assert errors["canonical"] < 0.7 * errors["majority"]
    assert result.predictions["prediction"].dtype == np.float64


def test_a_prediction_without_skill_has_no_positive_rank_correlation():
    """Leaving one out, the median of the others falls where the held-out number rises: not a correlation of 1."""
    adata = null_cohort(0, n_donors=14)
    adata.obs["label"] = adata.obs["donor"].astype(str).str[1:].astype(float).to_numpy()
    result = evaluate(adata, ["majority"], split="leave_one_group_out", label_kind="numbers")
    assert result.summary.loc["majority", "spearman"] <= 0


def batched(seed=0, n_donors=24):
    """A batch moves feature 0 by far, the label feature 1 a little, and most of the ill are in one batch."""
    adata = null_cohort(seed, n_donors=n_donors, n_cells=8)
    donor = adata.obs["donor"].astype(str).str[1:].astype(int).to_numpy()
    batch = donor % 2
    label = np.where(donor % 12 < 10, batch, 1 - batch)
    adata.X *= 0.7
    adata.X[:, 0] += 12.0 * batch
    adata.X[:, 1] += 2.5 * label
    adata.obs["batch"], adata.obs["label"] = np.where(batch, "b1", "b0"), np.where(label, "ill", "well")
    return adata


def test_a_planted_batch_effect_is_kept_out_of_the_metric():
    adata = batched()
    methods = {"canonical": sg.tl.Learner(n_comps=1)}
    naive = evaluate(adata, methods, technical_keys=["batch"])
    aware = evaluate(adata, methods, technical_keys=["batch"], batch_key="batch")
    column = "batch_removal:batch"
    assert naive.summary.loc["canonical", column] < 0.4  # its neighbors are those of the batch
    assert aware.summary.loc["canonical", column] > naive.summary.loc["canonical", column] + 0.1
    assert aware.summary.loc["canonical", "balanced_accuracy"] >= 0.9
    assert aware.summary.loc["canonical", "balanced_accuracy"] > naive.summary.loc["canonical", "balanced_accuracy"]


def test_a_batch_that_is_the_label_is_refused():
    adata = batched()
    adata.obs["batch"] = adata.obs["label"]
    with pytest.raises(ValueError, match="batch and label cannot be told apart"):
        evaluate(adata, ["canonical"], batch_key="batch")


@pytest.mark.real
@pytest.mark.slow
def test_kidney_function_is_an_ordered_label(data_dir):
    """Categories of the column are alphabetical; with the levels, ordered learning ranks donors at least as well."""
    adata = ad.read_h5ad(data_dir / "kidney_igan_pilot.h5ad")
    order = ["eGFR<30", "eGFR30-60", "eGFR>60"]
    samples = adata.obs.groupby("sample_id", observed=True)["label"].agg(["first", "size"])
    large = samples[samples["size"] >= 20]
    drawn = large.groupby("first", observed=True).sample(16, random_state=0).index
    adata = adata[adata.obs["sample_id"].isin(drawn)].copy()
    adata.obs = adata.obs.rename(columns={"sample_id": "sample"})
    options = {"preprocess": "auto", "groups_key": None, "n_cells": 30, "n_repeats": 2}
    found = {}
    for kind in ("classes", order):
        result = evaluate(adata, ["canonical"], label_kind=kind, **options)
        known = result.predictions.filter([f"p:{name}" for name in order]).to_numpy() @ np.arange(3)
        truth = result.predictions["label"].astype(str).map(order.index)
        by_repeat = pd.DataFrame({"repeat": result.predictions["repeat"], "known": known, "truth": truth})
        found[str(kind)] = by_repeat.groupby("repeat").corr("spearman")["known"].xs("truth", level=1).mean()
    assert list(adata.uns["cross_validation"]["classes"]) == order
    assert result.summary.loc["canonical", "spearman"] == pytest.approx(found[str(order)])
    assert found[str(order)] > 0.3
    assert found[str(order)] >= found["classes"] - 0.02
