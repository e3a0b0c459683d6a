from math import log

import numpy as np
import pytest
from _evaluations import cross_validated

import scggml as sg
from scggml._core.evaluate.reliability import reliability
from scggml._core.evaluate.scores import log_loss
from scggml.pl._calibration import calibration_table


def stored(**more):
    """The fixture, with donors and probabilities of several confidences that follow what was said."""
    adata = cross_validated(groups=np.array([3, 3, 5, 6]), **more)
    p = np.random.default_rng(0).uniform(0.55, 1.0, 24)
    ill = (adata.uns["cross_validation"]["predictions"]["prediction"] == "ill").to_numpy()
    adata.uns["cross_validation"]["probabilities"] = np.where(ill[:, None], [1.0, 0.0], [0.0, 1.0])
    adata.uns["cross_validation"]["probabilities"] *= (2 * p - 1)[:, None]
    adata.uns["cross_validation"]["probabilities"] += (1 - p)[:, None]
    return adata


def test_the_table_has_the_bins_of_each_method():
    adata = stored()
    table = calibration_table(adata, "cross_validation", None, 3)
    assert list(dict.fromkeys(table["method"])) == ["canonical", "euclidean"]
    codes, groups = np.tile([0, 0, 1, 1], 2), np.tile([3, 3, 5, 6], 2)
    p = adata.uns["cross_validation"]["probabilities"][8:16]
    truth = reliability(codes, p, groups, 3)
    mine = table[table["method"] == "euclidean"]
    for name, values in vars(truth).items():
        np.testing.assert_allclose(mine[name], values)
    assert table.attrs["error"]["euclidean"] == pytest.approx(truth.error)
    assert table.attrs["log_loss"]["euclidean"] == pytest.approx(log_loss(codes, p))
    np.testing.assert_allclose(table.attrs["confidences"]["euclidean"], p.max(axis=1))


def test_curve_diagonal_and_frequencies_are_where_they_belong():
    adata = stored()
    table = calibration_table(adata, "cross_validation", "euclidean", 3)
    (ax,) = sg.pl.calibration(adata, methods="euclidean", n_bins=3)
    diagonal, curve = ax.lines
    assert diagonal.get_xydata().tolist() == [[0.5, 0.5], [1.0, 1.0]]
    np.testing.assert_allclose(curve.get_xydata(), table[["confidence", "right"]])
    ends = [path.vertices[:, 1].tolist() for path in ax.collections[0].get_paths()]
    np.testing.assert_allclose(ends, table[["low", "high"]])
    heights = [bar.get_height() for bar in ax.patches]
    counts = np.histogram(table.attrs["confidences"]["euclidean"], bins=np.linspace(0.5, 1.0, 21))[0]
    np.testing.assert_allclose(np.array(heights) / max(heights), counts / counts.max())
    error, loss = table.attrs["error"]["euclidean"], table.attrs["log_loss"]["euclidean"]
    assert ax.get_title() == f"euclidean\nECE {error:.2f}\nlog loss {loss:.2f}, chance {log(2):.2f}"
    assert "held-out donors" in [text.get_text() for text in ax.texts]


def test_the_majority_class_is_drawn_where_it_is_asked_for_or_alone():
    assert len(sg.pl.calibration(stored())) == 2
    assert [ax.get_title().split("\n")[0] for ax in sg.pl.calibration(stored(), methods=["majority"])] == ["majority"]


def test_batches_that_were_left_out_are_drawn_on_demand(evaluated_by_batch):
    entry = evaluated_by_batch.uns["cross_validation"]["by_batch"]
    rows = (entry["predictions"]["method"] == "canonical").to_numpy()
    table = calibration_table(evaluated_by_batch, "cross_validation", None, 5, by_batch=True)
    np.testing.assert_allclose(table.attrs["confidences"]["canonical"], entry["probabilities"][rows].max(axis=1))
    (ax,) = sg.pl.calibration(evaluated_by_batch, by_batch=True)
    assert "batch left out,\n95 % interval" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_numbers_and_unknown_methods_are_refused():
    adata = cross_validated(classes=np.array([], dtype=object), probabilities=np.zeros((24, 1)))
    with pytest.raises(ValueError, match=r"The labels are numbers, so there are no probabilities; use sg\.pl"):
        sg.pl.calibration(adata)
    with pytest.raises(KeyError, match="methods='ggml': pass names of what was evaluated, 'canonical', 'euclidean'"):
        sg.pl.calibration(stored(), methods="ggml")
    with pytest.raises(KeyError, match=r"by_batch=True: .* has no predictions of batches that were left out"):
        sg.pl.calibration(stored(), by_batch=True)
