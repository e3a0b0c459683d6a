import numpy as np
import pandas as pd
import pytest
from _evaluations import cross_validated

import scggml as sg
from scggml._core.evaluate.detectable import detectable_between


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
    strong, nothing, limits = result.verdict.split("\n")
    assert strong == "canonical: strong signal (balanced accuracy 0.88, chance 0.50; 95 % interval 0.60 to 1.00)"
    assert nothing == (
        "euclidean: no evidence that the labels can be predicted "
        "(balanced accuracy 0.50, chance 0.50; 95 % interval 0.20 to 0.80)"
    )
    assert limits == "With 4 donors (2 'ill', 2 'well') even perfect predictions cannot be told from chance."
    assert np.isnan(result.detectable)


def test_differences_come_with_the_smallest_one_that_these_donors_would_show(result):
    # success of canonical less that of euclidean by sample, mean of both repeats: s0 .5, s1 -.5, s2 .5, s3 1
    gaps, codes = np.array([0.5, -0.5, 0.5, 1.0]), np.array([0, 0, 1, 1])
    found = result.differences.set_index(["method", "other"])["detectable"]
    assert found["canonical", "euclidean"] == pytest.approx(detectable_between(gaps, codes))
    assert found["euclidean", "majority"] == pytest.approx(detectable_between(np.array([-0.5, 0, 0.5, 0]), codes))


def test_samples_of_one_donor_count_once():
    adata = cross_validated(groups=np.array([5, 5, 7, 7]))
    found = sg.get.cross_validation(adata)
    assert found.donors == {"ill": 1, "well": 1}
    assert np.isnan(found.differences["detectable"]).all()

    paired = sg.get.cross_validation(cross_validated(groups=np.array([5, 7, 5, 7])))
    assert (paired.donors, paired.n_donors) == ({"ill": 2, "well": 2}, 2)
    assert "With 2 donors (2 'ill', 2 'well')" in paired.verdict


# ---- one batch out at a time


def by_batch(**accuracies):
    """The fixture with batches, s0 and s2 in one and s1 and s3 in the other; euclidean is right throughout there."""
    entry = cross_validated().uns["cross_validation"]
    apart = {name: entry[name].copy() for name in ("scores", "predictions", "probabilities", "differences")}
    predictions = apart["predictions"]
    once = (predictions["repeat"] == 0).to_numpy()
    predictions = predictions[once].reset_index(drop=True)
    predictions["batch"] = predictions["sample"].map({"s0": "north", "s2": "north", "s1": "south", "s3": "south"})
    mine = predictions["method"] == "euclidean"
    predictions.loc[mine, "prediction"] = predictions.loc[mine, "label"]
    scores = [(m, 0, -1, name, v) for m, found in accuracies.items() for name, v in found.items()]
    apart |= {
        "scores": pd.DataFrame(scores, columns=["method", "repeat", "fold", "metric", "value"]),
        "predictions": predictions,
        "probabilities": apart["probabilities"][once],
    }
    params = {"label_key": "label", "label_kind": "classes", "batch_key": "site"}
    return cross_validated(by_batch=apart, params=params, groups=np.arange(4))


BOTH = {
    "canonical": {"balanced_accuracy": 1.0, "auroc": 1.0, "log_loss": 0.2},
    "euclidean": {"balanced_accuracy": 1.0, "auroc": 1.0, "log_loss": 0.9},
    "majority": {"balanced_accuracy": 0.5},
}


def test_batches_that_were_left_out_are_a_cross_validation_of_their_own():
    found = sg.get.cross_validation(by_batch(**BOTH))
    assert found.by_batch.summary.loc["euclidean", "log_loss"] == 0.9
    assert found.by_batch.distances == {}
    assert found.by_batch.by_batch is None
    assert found.by_batch.chance == 0.5
    table = found.batches.set_index(["method", "batch"])
    assert table.loc[("euclidean", "north")].tolist() == [2, 2, 1.0]
    assert table.loc[("majority", "south")].tolist() == [2, 2, 0.5]
    pd.testing.assert_frame_equal(found.by_batch.batches, found.batches)
    assert sg.get.cross_validation(cross_validated()).batches.empty


def test_the_hardest_batch_comes_first():
    adata = by_batch(**BOTH)
    said = adata.uns["cross_validation"]["by_batch"]["predictions"]
    said.loc[(said["method"] == "euclidean") & (said["sample"] == "s3"), "prediction"] = "ill"
    table = sg.get.cross_validation(adata).batches
    assert table.loc[table["method"] == "euclidean", ["batch", "value"]].to_numpy().tolist() == [
        ["south", 0.5],
        ["north", 1.0],
    ]
    assert list(dict.fromkeys(table["method"])) == ["canonical", "euclidean", "majority"]
    line = sg.get.cross_validation(adata).verdict.split("\n")[1]
    assert line.endswith("leaving one 'site' out: 1.00, AUROC 1.00, log loss 0.90 (above the 0.69 of chance: "
                         "probabilities are overconfident), worst in 'south' (0.50, 2 samples))")  # fmt: skip


def test_why_batches_were_not_left_out_is_said():
    params = {"label_key": "label", "label_kind": "classes", "batch_key": "site"}
    found = sg.get.cross_validation(cross_validated(not_by_batch="Each batch is one donor.", params=params))
    assert found.by_batch is None
    last = found.verdict.split("\n")[-1]
    assert last == "One batch of 'site' at a time was not left out. Each batch is one donor."


@pytest.mark.parametrize("edit", ["scores", "predictions", "probabilities", "differences"])
def test_a_damaged_part_is_named(edit):
    adata = by_batch(**BOTH)
    del adata.uns["cross_validation"]["by_batch"][edit]
    with pytest.raises(ValueError, match=rf"\['cross_validation'\]\['by_batch'\] lacks '{edit}'; call sg.tl.cross_val"):
        sg.get.cross_validation(adata)


def test_a_small_but_certain_signal_is_called_weak():
    adata = cross_validated()
    scores = adata.uns["cross_validation"]["scores"]
    scores.loc[scores["method"] == "canonical", "value"] = 0.65
    adata.uns["cross_validation"]["differences"]["mean"] = 0.15  # 0.10 at least
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
