import numpy as np
import pytest
from _evaluations import ACCURACY, cross_validated

import scggml as sg
from scggml.pl._cross_validation import cross_validation_table


def vertical(ax):
    """Where the dashed and dotted lines stand, by label."""
    return {line.get_label(): line.get_xdata()[0] for line in ax.lines if line.get_linestyle() != "-"}


def test_the_table_has_a_value_for_each_method_and_repeat():
    table = cross_validation_table(cross_validated(), "cross_validation", None)
    found = table.groupby("method", sort=False)["value"].apply(list).to_dict()
    assert found == ACCURACY
    assert table.attrs == {"metric": "balanced_accuracy", "lines": {"chance, majority class": 0.5}}


def test_scores_of_folds_are_averaged_over_the_folds():
    table = cross_validation_table(cross_validated(), "cross_validation", "seconds")
    assert table["value"].tolist() == [1.0] * 6
    assert table.attrs["lines"] == {}


def test_points_means_and_chance_are_where_they_belong():
    ax = sg.pl.cross_validation(cross_validated())
    assert [label.get_text() for label in ax.get_yticklabels()] == list(ACCURACY)
    for points, values in zip(ax.collections, ACCURACY.values(), strict=True):
        assert points.get_offsets()[:, 0].tolist() == values
    bars = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "-"]
    assert bars == [np.mean(values) for values in ACCURACY.values()]
    assert vertical(ax) == {"chance, majority class": 0.5}
    assert ax.yaxis_inverted()
    assert ax.get_xlabel() == "balanced accuracy"


def test_a_metric_that_is_not_there_is_named():
    with pytest.raises(KeyError, match=r"metric='auroc' was not computed; choose from 'balanced_accuracy', 'seconds'"):
        sg.pl.cross_validation(cross_validated(), metric="auroc")


def test_batches_that_were_left_out_have_a_diamond(evaluated_by_batch):
    entry = evaluated_by_batch.uns["cross_validation"]["by_batch"]["scores"]
    table = cross_validation_table(evaluated_by_batch, "cross_validation", "log_loss")
    apart = table[table["by_batch"]].set_index("method")["value"]
    truth = entry[entry["metric"] == "log_loss"].set_index("method")["value"]
    assert apart.to_dict() == truth.to_dict()
    assert table.attrs["lines"]["chance, majority class"] == pytest.approx(np.log(3))
    ax = sg.pl.cross_validation(evaluated_by_batch, metric="log_loss")
    diamonds = ax.collections[-1]
    assert diamonds.get_offsets()[:, 0].tolist() == apart.tolist()
    assert diamonds.get_offsets()[:, 1].tolist() == [0, 1]
    assert "one 'site' out at a time" in [text.get_text() for text in ax.get_legend().get_texts()]
    seconds = cross_validation_table(evaluated_by_batch, "cross_validation", "seconds")
    assert not seconds["by_batch"].any()  # of single folds
