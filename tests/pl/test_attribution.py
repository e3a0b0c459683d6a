import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import scggml as sg
from scggml.pl._attribution import COMPOSITION, MOST, STATE, attribution_cells, attribution_types


@pytest.fixture
def adata(make_metric):
    """Four cells in two components, and two cell types in three pairs of two classes and one more."""
    adata = make_metric(np.diag([2.0, 1.0]), cells="wxyz")
    adata.obsm["X_ggml"] = np.arange(8.0).reshape(4, 2)
    adata.X = adata.obsm["X_ggml"] / [2.0, 1.0]
    adata.obs["ggml_attribution"] = [0.1, -0.3, np.nan, 0.2]
    adata.obs["ggml_excess"] = [1.0, -3.0, np.nan, 2.0]
    types = pd.DataFrame(
        {
            "class_a": ["p", "p", "p", "p", "q", "q"],
            "class_b": ["p", "p", "q", "q", "r", "r"],
            "cell_type": ["T", "B"] * 3,
            "excess_state": [0.0, 0.0, 1.0, 3.0, 2.0, 1.0],
            "excess_composition": [0.0, 0.0, 0.5, -1.0, 0.5, -3.0],
            "excess": [0.0, 0.0, 1.5, 2.0, 2.5, -2.0],
        }
    )
    adata.uns["ggml_attribution"] = {"gap": 1.0, "types": types, "fingerprint": adata.uns["ggml"]["fingerprint"]}
    return adata


def test_cells_are_drawn_strongest_last(adata):
    table = attribution_cells(adata, "ggml", (1, 2))
    assert table.index.tolist() == ["w", "z", "x"]  # y took no part
    assert table["x"].tolist() == [0.0, 6.0, 2.0]
    assert table["y"].tolist() == [1.0, 7.0, 3.0]
    assert table["excess"].tolist() == [1.0, 2.0, -3.0]
    assert attribution_cells(adata, "ggml", (2, 1))["x"].tolist() == [1.0, 7.0, 3.0]


def test_a_metric_of_one_component_is_drawn_over_the_excess(adata, make_metric):
    adata.uns["ggml"] = make_metric([[2.0, 0.0]]).uns["ggml"]
    adata.uns["ggml_attribution"]["fingerprint"] = adata.uns["ggml"]["fingerprint"]
    adata.obsm["X_ggml"] = adata.obsm["X_ggml"][:, :1]
    table = attribution_cells(adata, "ggml", (1, 2))
    assert table["y"].tolist() == table["excess"].tolist()
    ax = sg.pl.attribution(adata)[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("ggml1", "excess")


def test_types_are_means_over_pairs_of_classes_or_one_pair(adata):
    table = attribution_types(adata, "ggml", None).set_index("cell_type")
    assert table.to_dict("index") == {
        "T": {"state": 1.5, "composition": 0.5, "excess": 2.0},
        "B": {"state": 2.0, "composition": -2.0, "excess": 0.0},
    }
    assert table.index.tolist() == ["T", "B"]
    assert attribution_types(adata, "ggml", ("q", "p"))["cell_type"].tolist() == ["B", "T"]


def test_what_is_drawn_is_the_tables(adata):
    left, right = sg.pl.attribution(adata, classes=("p", "q"))
    cells = attribution_cells(adata, "ggml", (1, 2))
    np.testing.assert_allclose(left.collections[0].get_offsets(), cells[["x", "y"]])
    np.testing.assert_allclose(left.collections[0].get_array(), cells["excess"])
    low, high = left.collections[0].get_clim()
    assert low == -high
    assert (left.get_xlabel(), left.get_ylabel()) == ("ggml1 (80%)", "ggml2 (20%)")
    assert [label.get_text() for label in right.get_yticklabels()] == ["B", "T"]
    bars = {
        (round(b.get_y() + b.get_height() / 2), to_name(b)): (b.get_x(), b.get_width())
        for b in right.patches
        if b.get_width()
    }
    assert bars == {
        (0, "same"): (0.0, 3.0),
        (0, "other"): (0.0, -1.0),  # to the other side of 0
        (1, "same"): (0.0, 1.0),
        (1, "other"): (1.0, 0.5),  # on top of the first
    }
    np.testing.assert_allclose(right.lines[0].get_xdata(), [2.0, 1.5])
    texts = [text.get_text() for text in right.get_legend().get_texts()]
    assert texts == ["state", "composition", "sum"]


def to_name(bar):
    return {STATE.lower(): "same", COMPOSITION.lower(): "other"}[to_hex(bar.get_facecolor())]


def test_without_types_there_is_one_panel(adata):
    del adata.uns["ggml_attribution"]["types"]
    assert len(sg.pl.attribution(adata)) == 1


def with_types(adata, n, letters=8):
    """The same with `n` cell types whose names have `letters` letters; the first ones add most."""
    names = [f"{i} ".ljust(letters, "x") for i in range(n)]
    parts = {"excess_state": np.arange(n, 0.0, -1.0), "excess_composition": np.where(np.arange(n) % 2, 0.5, -0.5)}
    table = pd.DataFrame({"class_a": "p", "class_b": "q", "cell_type": names, **parts})
    adata.uns["ggml_attribution"]["types"] = table.assign(excess=table.iloc[:, 3:].sum(axis=1))
    return names


def test_of_many_types_the_strongest_are_drawn_and_the_sum_of_the_others(adata):
    names = with_types(adata, MOST + 4)
    adata.uns["ggml_attribution"]["types"].loc[MOST + 3, ["excess_state", "excess_composition"]] = 99.0, -99.0
    table = attribution_types(adata, "ggml", None)
    assert sorted(table["cell_type"]) == sorted([*names[: MOST - 1], names[-1], "4 more (sum)"])
    last = table.iloc[-1]
    assert (last["cell_type"], last["state"]) == ("4 more (sum)", 5.0 + 4.0 + 3.0 + 2.0)
    whole = adata.uns["ggml_attribution"]["types"]
    np.testing.assert_allclose(table["excess"].sum(), whole["excess"].sum())
    _, right = sg.pl.attribution(adata)
    assert [label.get_text() for label in right.get_yticklabels()] == table["cell_type"].tolist()
    assert len(attribution_types(adata, "ggml", None)) == MOST + 1


@pytest.mark.parametrize("n", [2, 16, MOST, 100])
@pytest.mark.parametrize("letters", [8, 40])
def test_names_of_types_and_the_legend_do_not_overlap(adata, overlaps, n, letters):
    with_types(adata, n, letters)
    _, ax = sg.pl.attribution(adata)
    assert overlaps(ax.figure, *ax.get_yticklabels()) == []
    assert overlaps(ax.figure, ax.get_legend(), ax.xaxis, ax.title) == []
    assert ax.figure.get_size_inches()[1] < 6.0
    assert ax.get_window_extent().width > 1.5 * ax.figure.dpi
    low, high = ax.get_xlim()
    assert all(low < end < high for bar in ax.patches for end in bar.get_bbox().intervalx)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"components": (1, 3)}, r"components=\(1, 3\): the metric 'ggml' has components 1 to 2"),
        ({"classes": ("p", "s")}, r"classes=\('p', 's'\) are not two of the classes 'p', 'q', 'r'"),
    ],
)
def test_bad_input_is_refused(adata, options, message):
    with pytest.raises(ValueError, match=message):
        sg.pl.attribution(adata, **options)


def test_nothing_attributed_is_told(adata):
    del adata.obs["ggml_excess"]
    with pytest.raises(KeyError, match=r"compute it with sg\.tl\.attribute\(adata, key='ggml'\)"):
        sg.pl.attribution(adata)
