import numpy as np
import pytest
from _evaluations import NUMBERS, planned

import scggml as sg


def lines(ax):
    return {str(line.get_linestyle()): line for line in ax.lines}


@pytest.mark.parametrize(
    ("metric", "up", "name"), [("balanced_accuracy", 0, "balanced accuracy"), ("auroc", 0.1, "AUROC")]
)
def test_the_curve_is_solid_where_donors_were_drawn_and_dashed_beyond(metric, up, name):
    ax = sg.pl.power(planned(), metric=metric)
    value = np.array([0.6, 0.7, 0.72, 0.75, 0.76]) + up
    solid, dashed, points = ax.lines[:3]
    np.testing.assert_allclose(solid.get_xydata(), np.stack([NUMBERS[:2], value[:2]], axis=1))
    assert dashed.get_linestyle() == "--"
    np.testing.assert_allclose(dashed.get_xydata(), np.stack([NUMBERS[1:], value[1:]], axis=1))
    np.testing.assert_allclose(points.get_xydata(), np.stack([NUMBERS[:2], value[:2]], axis=1))
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.5)
    assert band[:, 1].max() == pytest.approx(0.96)
    assert ax.get_ylabel() == name
    assert "held-out donors" in [text.get_text() for text in ax.texts]
    assert lines(ax)[":"].get_ydata()[0] == 0.5


def legend(ax):
    return [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()]


def test_the_donors_that_a_test_needs_are_marked():
    ax = sg.pl.power(planned())
    mark = ax.lines[3]
    assert mark.get_xdata()[0] == 8
    span = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    np.testing.assert_allclose([span.x0, span.x1], [4, 20])
    assert "test significant in 80% of cohorts: 8 donors (4 to more than 20)" in legend(ax)
    assert "95% interval" in legend(ax)


@pytest.mark.parametrize(
    ("signal", "said"),
    [(True, "test significant in 80% of cohorts: not up to 20 donors"), (False, "no signal: nothing can be planned")],
)
def test_no_mark_where_none_can_be_told(signal, said):
    ax = sg.pl.power(planned(needed=np.full(3, np.nan), signal=signal))
    assert len(ax.lines) == 4  # the last one is chance
    assert said in legend(ax)


def test_other_scores_are_told_of():
    with pytest.raises(KeyError, match=r"metric='f1' is not among the scores.*'balanced_accuracy', 'auroc'"):
        sg.pl.power(planned(), metric="f1")
