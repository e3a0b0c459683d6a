import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from _evaluations import cross_validated

import scggml as sg
from scggml.pl._tuning import MOST, score_map, tuning_table


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


# A map of two options


def mapped(values):
    """Settings of three options with scores by hand on all donors: a + 10 * position of b + 100 * c."""
    rows, settings = [], []
    for a, b, c in values:
        name = f"a={a}, b={b}, c={c}"
        settings.append((name, float(a), b, float(c)))
        score = a + 10 * "xyz".index(b) + 100 * c
        rows += [(0, 0, name, -1.0, False), (0, 1, name, -2.0, False)]
        rows.append((-1, -1, name, score, (a, b, c) == (2, "y", 1)))
    choices = pd.DataFrame(rows, columns=["repeat", "fold", "setting", "inner_score", "chosen"])
    adata = cross_validated(choices=choices, settings=pd.DataFrame(settings, columns=["setting", "a", "b", "c"]))
    scores = adata.uns["cross_validation"]["scores"]
    scores["method"] = scores["method"].replace("canonical", "tuned")
    return adata


def test_the_map_holds_the_inner_score_of_each_pair_with_other_options_as_chosen():
    every = [(a, b, c) for a in (10, 2, 3) for b in "xyz" for c in (0, 1)]
    table = score_map(mapped(every), "cross_validation", ("a", "b"))
    assert (list(table.columns), list(table.index)) == ([2.0, 3.0, 10.0], ["x", "y", "z"])
    assert (table.columns.name, table.index.name) == ("a", "b")
    truth = [[100.0 + a + 10 * row for a in (2, 3, 10)] for row in range(3)]
    np.testing.assert_allclose(table, truth)
    assert table.attrs == {"chosen": (1, 0), "metric": "balanced_accuracy"}
    other = score_map(mapped(every), "cross_validation", ("c", "b"))
    np.testing.assert_allclose(other, [[2.0 + 10 * row, 102.0 + 10 * row] for row in range(3)])


def test_pairs_that_were_not_tried_stay_empty():
    adata = mapped([(2, "y", 1), (3, "x", 1), (3, "y", 0)])
    table = score_map(adata, "cross_validation", ("a", "b"))
    np.testing.assert_array_equal(table.isna(), [[False, True], [True, False]])
    ax = sg.pl.tuning(adata, key="cross_validation", options=("a", "b"))
    assert sorted(text.get_text() for text in ax.texts) == ["103.00", "112.00"]


def test_the_chosen_pair_has_a_frame_and_axes_have_values():
    ax = sg.pl.tuning(mapped([(a, b, 1) for a in (2, 3) for b in "xyz"]), key="cross_validation", options=("a", "b"))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "3"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x", "y", "z"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")
    (frame,) = ax.patches
    assert frame.get_xy() == (-0.5, 0.5)
    assert ax.figure.axes[1].get_ylabel() == "inner balanced accuracy"
    assert ax.images[0].get_array().shape == (3, 2)


def test_a_tuning_of_before_there_were_maps_says_what_to_do():
    with pytest.raises(KeyError, match=r"holds no settings .* by their options; make it with sg\.tl\.tune"):
        sg.pl.tuning(stored(), key="cross_validation", options=("a", "b"))


def test_numbers_fit_into_the_fields_of_given_axes():
    figure, ax = plt.subplots(figsize=(2.4, 2.0))
    adata = mapped([(a, b, 1) for a in range(4) for b in "xyz"])
    sg.pl.tuning(adata, key="cross_validation", options=("a", "b"), ax=ax)
    figure.canvas.draw()
    assert len(ax.texts) == 12
    for text in ax.texts:
        assert not text.get_visible() or text.get_window_extent().width <= ax.bbox.width / 4
