import numpy as np
import pytest
from _evaluations import cross_validated

import scggml as sg


@pytest.fixture
def result():
    return sg.get.cross_validation(cross_validated())


def test_the_summary_holds_means_and_the_spread_over_repeats(result):
    assert list(result.summary.index) == ["canonical", "euclidean", "majority"]
    assert list(result.summary.columns) == ["balanced_accuracy", "sd", "seconds"]
    assert result.summary.loc["canonical"].tolist() == [0.875, pytest.approx(np.std([1.0, 0.75], ddof=1)), 1.0]
    assert result.main_metric == "balanced_accuracy"
    assert result.chance == 0.5


def test_probabilities_stand_beside_the_predictions(result):
    first = result.predictions.iloc[0]
    assert first[["method", "sample", "label", "prediction"]].tolist() == ["canonical", "s0", "ill", "ill"]
    assert first[["p:ill", "p:well"]].tolist() == [0.8, 0.2]


def test_distances_and_labels_carry_the_names_of_the_samples(result):
    assert result.distances["canonical"].loc["s1", "s2"] == 6.0
    assert result.labels.to_dict() == {"s0": "ill", "s1": "ill", "s2": "well", "s3": "well"}
    assert result.labels.name == "label"


def test_the_verdict_says_what_may_be_said(result):
    strong, nothing = result.verdict.split("\n")
    assert strong == "canonical: strong signal (balanced accuracy 0.88, chance 0.50; 95 % interval 0.60 to 1.00)"
    assert nothing == (
        "euclidean: no evidence that the labels can be predicted "
        "(balanced accuracy 0.50, chance 0.50; 95 % interval 0.20 to 0.80)"
    )


def test_a_small_but_certain_signal_is_called_weak():
    adata = cross_validated()
    scores = adata.uns["cross_validation"]["scores"]
    scores.loc[scores["method"] == "canonical", "value"] = 0.65
    assert sg.get.cross_validation(adata).verdict.startswith("canonical: weak signal (balanced accuracy 0.65")


def test_a_missing_result_is_answered_with_those_that_are_there():
    adata = cross_validated()
    with pytest.raises(KeyError, match=r"holds no cross validation; stored ones: 'cross_validation'\. Make one with"):
        sg.get.cross_validation(adata, key="other")
    adata.uns["ggml"] = {"params": {}}
    with pytest.raises(KeyError, match="holds no cross validation"):
        sg.get.cross_validation(adata, key="ggml")


def test_reading_hands_out_copies(result):
    adata = cross_validated()
    found = sg.get.cross_validation(adata)
    found.scores["value"] = 0.0
    assert sg.get.cross_validation(adata).summary.equals(result.summary)
