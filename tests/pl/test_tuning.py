import pandas as pd
import pytest
from _evaluations import cross_validated

import scggml as sg
from scggml.pl._tuning import MOST, tuning_table


def stored(n=2):
    names = [f"n_comps={i + 1}" for i in range(n)]
    rows = [
        (0, f, name, 0.5 + 0.1 * f + 0.01 * i, i == (f if n > f else 0))
        for f in range(2)
        for i, name in enumerate(names)
    ]
    rows += [(-1, -1, name, 0.6, i == 1) for i, name in enumerate(names)]
    choices = pd.DataFrame(rows, columns=["repeat", "fold", "setting", "inner_score", "chosen"])
    adata = cross_validated(choices=choices)
    scores = adata.uns["cross_validation"]["scores"]
    scores["method"] = scores["method"].replace("canonical", "tuned")
    return adata


def test_the_table_holds_inner_scores_and_knows_the_outer_one():
    table = tuning_table(stored(), "cross_validation")
    assert table["setting"].tolist() == ["n_comps=1", "n_comps=2"] * 2
    assert table["inner_score"].tolist() == pytest.approx([0.5, 0.51, 0.6, 0.61])
    assert table["chosen"].tolist() == [True, False, False, True]
    assert table.attrs == {"outer": 0.875, "best": "n_comps=2", "metric": "balanced_accuracy"}


def test_chosen_settings_are_filled_and_the_last_choice_is_bold():
    ax = sg.pl.tuning(stored(), key="cross_validation")
    assert [label.get_fontweight() for label in ax.get_yticklabels()] == ["normal", "bold"]
    filled = [len(points.get_facecolors()) > 0 and points.get_facecolors()[0, 3] > 0 for points in ax.collections]
    counts = [len(points.get_offsets()) for points in ax.collections]
    assert list(zip(filled, counts, strict=True)) == [(False, 1), (True, 1), (False, 1), (True, 1)]
    assert ax.lines[0].get_xdata()[0] == 0.875
    assert ax.get_xlabel() == "held-out balanced accuracy"


def test_of_many_settings_the_best_are_drawn():
    table = tuning_table(stored(30), "cross_validation")
    assert table["setting"].nunique() == MOST
    assert "n_comps=30" in set(table["setting"])
    ax = sg.pl.tuning(stored(30), key="cross_validation")
    assert len(ax.get_yticks()) == MOST


def test_a_cross_validation_without_a_choice_is_refused():
    with pytest.raises(KeyError, match="holds a cross-validation without a choice"):
        sg.pl.tuning(cross_validated(), key="cross_validation")
