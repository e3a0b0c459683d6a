import numpy as np
import pytest
from anndata import AnnData

import scggml as sg
from scggml.pl._permutation_test import BINS, permutation_table


def stored(null, observed=0.9, p_value=0.05):
    entry = {"kind": "permutation_test", "null": np.asarray(null), "observed": observed, "p_value": p_value}
    return AnnData(np.zeros((2, 1)), uns={"permutation_test": entry | {"metric": "balanced_accuracy"}})


@pytest.mark.parametrize(
    "null",
    [[0.4, 0.5, 0.5, 0.6, 0.6, 0.6], [0.5] * 9, np.random.default_rng(0).uniform(size=200), [0.1, 0.1001, 0.9]],
    ids=["steps", "constant", "many", "far"],
)
def test_every_score_is_in_a_bin(null):
    table = permutation_table(stored(null), "permutation_test")
    assert table["count"].sum() == len(null)
    assert len(table) <= 4 * BINS
    np.testing.assert_allclose(table["left"][1:], table["right"][:-1])


def test_few_values_are_in_the_middle_of_their_bins():
    table = permutation_table(stored([0.4, 0.5, 0.5, 0.6, 0.6, 0.6]), "permutation_test")
    assert table["count"].tolist()[:3] == [1, 2, 3]
    np.testing.assert_allclose((table["left"] + table["right"])[:3] / 2, [0.4, 0.5, 0.6])


def test_the_true_labels_are_a_line_among_the_bars():
    ax = sg.pl.permutation_test(stored([0.4, 0.5, 0.6]))
    assert ax.lines[0].get_xdata()[0] == 0.9
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["true labels, p = 0.05", "3 permutations of the labels"]
    assert sum(bar.get_height() for bar in ax.patches) == 3
    assert ax.get_xlabel() == "held-out balanced accuracy"
