"""What methods said in each fold, as tables of `.uns`."""

import numpy as np
import pytest
from _nulls import null_cohort

from scggml._anndata.cross_validated import compared, entry
from scggml._anndata.evaluation import read_evaluation
from scggml._anndata.subject import read_design, read_subject
from scggml._core.evaluate.prediction import Prediction
from scggml._core.evaluate.run import HeldOut
from scggml._core.evaluate.scores import log_loss
from scggml._core.folds import Fold

FOLDS = [Fold(0, 0, np.arange(2, 4), np.arange(2)), Fold(0, 1, np.arange(2), np.arange(2, 4))]
SAID = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])


@pytest.fixture
def evaluation():
    adata = null_cohort(n_donors=4)
    of = dict(zip(["s0", "s1", "s2", "s3"], ["a", "b", "a", "b"], strict=True))
    adata.obs["label"] = adata.obs["sample"].astype(str).map(of)
    given = {"key": "ggml", "preprocess": None, "mask_var": None, "n_cells": None, "seed": 0, "given": {}}
    subject = read_subject(adata, "sample", "label", **given)
    return read_evaluation(subject, read_design(adata, subject))


@pytest.fixture
def results():
    """One method by hand with distances, and its opposite without."""
    D = np.arange(8.0).reshape(2, 4)
    mine = [HeldOut(fold, Prediction(SAID[fold.test], D + fold.fold), 0.5) for fold in FOLDS]
    other = [HeldOut(fold, Prediction(1 - SAID[fold.test]), 0.1) for fold in FOLDS]
    return {"mine": mine, "other": other}


def test_predictions_stand_in_the_order_of_methods_and_folds(evaluation, results):
    found = entry(evaluation, results, {"n_splits": 2})
    table = found["predictions"]
    assert table["method"].tolist() == ["mine"] * 4 + ["other"] * 4
    assert table["fold"].tolist() == [0, 0, 1, 1] * 2
    assert table["sample"].tolist() == ["s0", "s1", "s2", "s3"] * 2
    assert table["label"].tolist() == ["a", "b", "a", "b"] * 2
    assert table["prediction"].tolist() == ["a", "a", "b", "a", "b", "b", "a", "b"]
    np.testing.assert_array_equal(found["probabilities"], np.concatenate([SAID, 1 - SAID]))
    assert "batch" not in table
    assert found["params"] == {"n_splits": 2}
    assert found["groups"].tolist() == [0, 1, 2, 3]


def test_scores_are_those_of_all_held_out_samples(evaluation, results):
    scores = compared(evaluation, results)["scores"].set_index(["method", "metric"])["value"]
    codes = np.array([0, 1, 0, 1])
    assert scores["mine", "log_loss"].item() == pytest.approx(log_loss(codes, SAID))
    assert scores["mine", "balanced_accuracy"].item() == 0.25
    assert scores["other", "balanced_accuracy"].item() == 0.75
    assert scores["other", "seconds"].tolist() == [0.1, 0.1]


def test_differences_are_those_of_the_first_method_less_the_second(evaluation, results):
    table = compared(evaluation, results)["differences"]
    assert table[["method", "other"]].to_numpy().tolist() == [["mine", "other"]]
    assert table["mean"].tolist() == [-0.5]


def test_distances_of_each_fold_are_rows_from_its_held_out_samples(evaluation, results):
    found = entry(evaluation, results, {})
    assert found["distance_methods"].tolist() == ["mine"]
    # columns of a fold: its training samples, then the held-out ones
    assert found["distances"][0].tolist() == [[2, 3, 0, 1], [6, 7, 4, 5], [1, 2, 3, 4], [5, 6, 7, 8]]


def test_batches_that_were_left_out_are_named(evaluation, results):
    table = compared(evaluation, results, batches=np.array(["x", "x", "y", "y"]))["predictions"]
    assert table["batch"].tolist() == ["x", "x", "y", "y"] * 2
