import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scggml as sg
from scggml.pl._predictions import predictions_table

P = np.array([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1], [0.45, 0.55]])


def stored(p=P, strange=(False, True, False, False)):
    obs = pd.DataFrame({"unlike_reference": strange}, index=[f"n{i}" for i in range(len(p))])
    samples = AnnData(np.zeros((len(p), 1)), obs=obs, obsm={"prediction": p})
    samples.uns["prediction"] = {"classes": np.array([f"c{i}" for i in range(p.shape[1])], dtype=object)}
    return samples


def test_samples_are_grouped_by_class_and_the_surest_come_first():
    table = predictions_table(stored())
    assert table.index.tolist() == ["n2", "n1", "n0", "n3"]
    assert table.columns.tolist() == ["c0", "c1", "unlike_reference"]
    np.testing.assert_array_equal(table[["c0", "c1"]], P[[2, 1, 0, 3]])


def test_bars_are_stacked_to_one_and_strange_samples_are_pale_and_marked():
    ax = sg.pl.predictions(stored())
    first, second = ax.containers
    np.testing.assert_allclose([bar.get_width() for bar in first], P[[2, 1, 0, 3], 0])
    np.testing.assert_allclose([a.get_width() + b.get_width() for a, b in zip(first, second, strict=True)], 1.0)
    np.testing.assert_allclose([bar.get_x() for bar in second], P[[2, 1, 0, 3], 0])
    assert [bar.get_alpha() for bar in first] == [1.0, 0.3, 1.0, 1.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["n2", "n1 *", "n0", "n3"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["c0", "c1", "* unlike the reference"]


def test_without_strange_samples_nothing_is_marked():
    ax = sg.pl.predictions(stored(strange=(False,) * 4))
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["c0", "c1"]


def test_more_classes_than_colors_are_refused():
    with pytest.raises(ValueError, match="There are 9 classes, but only 8 distinct colors"):
        sg.pl.predictions(stored(np.full((4, 9), 1 / 9)))
