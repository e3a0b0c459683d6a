"""Conclusions in words, from numbers that are given."""

import numpy as np
import pandas as pd
import pytest

from scggml.get._verdict import Evidence, donors_of_classes, evidence, judgement, limits

SITES = ("leaving one 'site' out", ", worst in 'b' (0.40, 5 samples)")


def known(accuracy, *, low=0.6, high=1.0, p=0.001, **others):
    return Evidence(pd.Series({"balanced_accuracy": accuracy} | others), low, high, p)


def said(usual, apart=None, n_classes=2, main="balanced_accuracy"):
    return judgement(usual, apart, main, n_classes, SITES)


@pytest.mark.parametrize(
    ("usual", "apart", "conclusion"),
    [
        (known(0.95), None, "strong signal ("),
        (known(0.7), None, "weak signal ("),
        (known(0.7, low=0.45), None, "no evidence that the labels can be predicted ("),
        (known(0.2, low=0.1, high=0.3), None, "no evidence that the labels can be predicted ("),
        (known(0.95), known(0.9), "strong signal ("),
        (known(0.95), known(0.7), "weak signal ("),  # the worse of both decides
        (known(0.7), known(0.95), "weak signal ("),
        (known(0.95), known(0.6, p=0.2), "no evidence that the labels can be predicted in another batch ("),
        (known(0.7, low=0.45), known(0.95), "no evidence that the labels can be predicted ("),
    ],
)
def test_the_worse_of_both_splits_decides(usual, apart, conclusion):
    assert said(usual, apart).startswith(conclusion)


def test_scores_stand_side_by_side_and_overconfidence_is_named():
    assert said(known(0.9, auroc=0.95, log_loss=0.31), known(0.8, auroc=0.7, log_loss=0.95)) == (
        "strong signal (balanced accuracy 0.90, chance 0.50; 95 % interval 0.60 to 1.00, AUROC 0.95, log loss 0.31 "
        "(chance 0.69); leaving one 'site' out: 0.80, AUROC 0.70, log loss 0.95 (above the 0.69 of chance: "
        "probabilities are overconfident), worst in 'b' (0.40, 5 samples))"
    )
    assert "(chance 1.10)" in said(known(0.9, log_loss=1.0986), n_classes=3)  # chance itself is not overconfident
    assert "AUROC" not in said(known(0.9, log_loss=1.0), n_classes=3)


def test_numbers_have_both_correlations_and_no_conclusion():
    usual, apart = (Evidence(pd.Series({"spearman": value})) for value in (0.7, 0.1))
    assert said(usual, apart, 0, "spearman") == (
        "spearman 0.70, chance 0.00; leaving one 'site' out: 0.10, worst in 'b' (0.40, 5 samples)"
    )


def test_evidence_is_read_from_the_tables():
    scores = pd.DataFrame(
        [("m", 0, -1, "balanced_accuracy", 0.8), ("m", 1, -1, "balanced_accuracy", 0.9), ("m", 0, 0, "seconds", 7.0)],
        columns=["method", "repeat", "fold", "metric", "value"],
    )
    columns = ["method", "other", "mean", "low", "high"]
    differences = pd.DataFrame([("m", "majority", 0.35, 0.1, 0.6)], columns=columns)
    found = evidence(scores, differences, "m", {"a": 10, "b": 10})
    assert found.scores.to_dict() == {"balanced_accuracy": pytest.approx(0.85)}
    assert (found.low, found.high) == pytest.approx((0.6, 1.1))
    assert found.p_value == pytest.approx(0.00129, abs=1e-5)  # 17 or more of 20
    nothing = evidence(scores, differences.iloc[:0], "m", {"a": 10})
    assert np.isnan([nothing.low, nothing.high, nothing.p_value]).all()


def test_the_interval_holds_the_score_where_the_majority_is_worse_than_chance():
    # the larger class of the training donors is often the smaller one of those held out
    scores = pd.DataFrame(
        [("m", 0, -1, "balanced_accuracy", 0.6)], columns=["method", "repeat", "fold", "metric", "value"]
    )
    differences = pd.DataFrame([("m", "majority", 0.4, 0.15, 0.65)], columns=["method", "other", "mean", "low", "high"])
    found = evidence(scores, differences, "m", {"a": 10, "b": 10})
    assert (found.low, found.high) == pytest.approx((0.35, 0.85))
    assert said(found).startswith("no evidence")


def test_donors_are_counted_in_each_class():
    labels = pd.Series(["b", "a", "b", "b", "a"])
    assert donors_of_classes(labels, np.array([1, 1, 1, 2, 3]), ["a", "b", "c"]) == {"a": 2, "b": 2}


def test_what_could_not_be_shown_is_said_with_numbers():
    assert limits({"ill": 10, "well": 10}, ("canonical", "euclidean", 0.2468), 20) == (
        "With 20 donors (10 'ill', 10 'well') balanced accuracies that are less than 0.30 above chance cannot be told "
        "from it, nor differences below 0.25 between canonical and euclidean: a test at 5 % would miss them in more "
        "than one of five such cohorts."
    )
    assert "differences below" not in limits({"ill": 10, "well": 10}, None, 20)
    assert limits({"ill": 2, "well": 2}, None, 4).endswith("even perfect predictions cannot be told from chance.")
