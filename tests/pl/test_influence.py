"""What is drawn of single donors, by value."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

import scggml as sg
from scggml.pl._influence import NAMED, beeswarm

COLUMNS = ("similarity", "separation", "fit", "strangeness")


@pytest.fixture
def influenced(make_metric):
    """A metric with four numbers for each of twelve donors, of whom one stands out."""
    adata = make_metric()
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.uniform(0.4, 0.6, 12) for name in COLUMNS})
    table["donor"] = [f"donor {i}" for i in range(12)]
    table["reason"] = ["" if i != 4 else "its cells are unlike those of others" for i in range(12)]
    table.loc[4, "strangeness"] = 3.0
    adata.uns["ggml_influence"] = {
        "table": table,
        "separation": 0.5,
        "fingerprint": adata.uns["ggml"]["fingerprint"],
    }
    return adata


def test_each_panel_shows_one_number_of_every_donor(influenced):
    axes = sg.pl.influence(influenced)
    table = influenced.uns["ggml_influence"]["table"]
    for ax, column in zip(axes, COLUMNS, strict=True):
        np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 1], table[column])
    assert axes[0].get_title(loc="left") == "1 of 12 donors stands out"
    assert axes[1].lines[0].get_ydata()[0] == 0.5


def test_donors_that_stand_out_have_their_name_and_color(influenced):
    axes = sg.pl.influence(influenced)
    for ax in axes:
        assert [text.get_text() for text in ax.texts] == ["donor 4"]
        everyone, named = ax.collections
        np.testing.assert_array_equal(named.get_offsets(), everyone.get_offsets()[[4]])
        assert to_hex(named.get_facecolors()[0]).upper() == ax.texts[0].get_color() == NAMED
        assert named.get_zorder() > everyone.get_zorder()
    assert not [text for ax in sg.pl.influence(influenced, n_names=0) for text in ax.texts]


def test_names_keep_apart(influenced):
    table = influenced.uns["ggml_influence"]["table"]
    table["reason"] = "its cells are unlike those of others"
    table["fit"] = 0.5 + 1e-4 * np.arange(12)
    axes = sg.pl.influence(influenced, n_names=12)
    axes[0].figure.canvas.draw()
    for ax in axes:
        boxes = sorted((Text.get_window_extent(text) for text in ax.texts), key=lambda box: box.y0)  # without the lines
        assert len(boxes) == 12
        assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))


def test_near_values_stand_beside_each_other():
    np.testing.assert_allclose(beeswarm(np.array([0.0, 1.0, 1.0, 1.0])), [0.0, -0.16, 0.0, 0.16])
    assert np.abs(beeswarm(np.ones(500))).max() == 1.0


def test_a_metric_without_the_result_says_what_to_call(make_metric):
    with pytest.raises(KeyError, match=r"sg\.tl\.influence"):
        sg.pl.influence(make_metric())
