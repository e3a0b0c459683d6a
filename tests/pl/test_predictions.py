import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

import scggml as sg
from scggml._anndata.forms import sealed
from scggml.pl._colors import MISSING
from scggml.pl._predictions import predictions_table, true_classes, wrong

P = np.array([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1], [0.45, 0.55]])


def stored(p=P, strange=(False, True, False, False)):
    obs = pd.DataFrame({"unlike_reference": strange}, index=[f"n{i}" for i in range(len(p))])
    samples = AnnData(np.zeros((len(p), 1)), obs=obs, obsm={"prediction": p})
    classes = np.array([f"c{i}" for i in range(p.shape[1])], dtype=object)
    samples.uns["prediction"] = {"kind": "prediction", "classes": classes, "params": {"label_key": "state"}}
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


def with_abstaining(abstains, p=P, **options):
    samples = stored(p, **options)
    samples.obs["abstains"] = abstains
    samples.uns["prediction"]["abstain"] = 0.1
    return samples


def test_a_circle_stands_before_each_sample_that_gets_no_class():
    ax = sg.pl.predictions(with_abstaining([True, False, False, True]))  # drawn as n2, n1, n0, n3
    (circles,) = ax.lines
    assert circles.get_ydata().tolist() == [2, 3]
    assert (circles.get_xdata() < 0).all()
    assert ax.get_xlim()[0] < circles.get_xdata().min()
    assert [t.get_text() for t in ax.get_legend().get_texts()][-1] == "no class (error 0.1)"
    assert len(sg.pl.predictions(with_abstaining([False] * 4)).lines) == 0


def test_flags_of_abstaining_that_are_none_are_refused():
    match = r"samples.obs\['abstains'\] holds float64, where flags are needed; call samples = sg"
    with pytest.raises(ValueError, match=match):
        sg.pl.predictions(with_abstaining([0.1, 1.0, 0.0, 0.0]))
    samples = with_abstaining([True] * 4)
    del samples.obs["abstains"]
    with pytest.raises(KeyError, match=r"column='abstains' is not a column of samples\.obs"):
        sg.pl.predictions(samples)


def with_truth(truth, p=P, **options):
    samples = stored(p, **options)
    samples.obs["state"] = truth
    return samples


@pytest.mark.parametrize("n", [9, 23, 40])
def test_each_of_many_classes_has_a_color_of_its_own(n):
    ax = sg.pl.predictions(stored(np.full((4, n), 1 / n)))
    assert len({to_hex(bars[0].get_facecolor()) for bars in ax.containers}) == n
    assert [t.get_text() for t in ax.get_legend().get_texts()][:n] == [f"c{i}" for i in range(n)]


def test_true_classes_are_drawn_in_their_colors_and_wrong_predictions_are_crossed():
    ax = sg.pl.predictions(with_truth(["c1", "c1", None, "c9"]))  # drawn as n2, n1, n0, n3
    *bars, truth = ax.containers
    colors = [to_hex(bar[0].get_facecolor(), keep_alpha=False) for bar in bars]
    places = [round(bar.get_y() + bar.get_height() / 2) for bar in truth]
    drawn = dict(zip(places, (to_hex(bar.get_facecolor()) for bar in truth), strict=True))
    assert drawn == {1: colors[1], 2: colors[1], 3: MISSING.lower()}
    assert ax.lines[0].get_ydata().tolist() == [1, 3]  # n1 is of c1 and called c0, n3 of no known class
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["c0", "c1", "* unlike the reference", "wrong"]
    assert [t.get_text() for t in ax.get_xticklabels()][-2:] == ["1", "true"]


def test_without_true_classes_none_are_drawn():
    for truth in ([None] * 4, None):
        ax = sg.pl.predictions(stored() if truth is None else with_truth(truth))
        assert (len(ax.containers), len(ax.lines)) == (2, 0)


def test_long_names_of_samples_leave_the_legend_of_long_classes_inside():
    samples = stored()
    samples.obs_names = [name.ljust(60, "x") for name in samples.obs_names]
    samples.uns["prediction"]["classes"] = np.array([f"c{i}".ljust(60, "x") for i in range(2)])
    ax = sg.pl.predictions(samples)
    ax.figure.canvas.draw()
    legend, figure = ax.get_legend().get_window_extent(), ax.figure.bbox
    assert figure.x0 <= legend.x0 <= legend.x1 <= figure.x1


def test_crosses_and_circles_are_seen_on_dark_paper():
    samples = with_truth(["c0", "c1", "c1", "c0"])
    samples.obs["abstains"] = True
    samples.uns["prediction"]["abstain"] = 0.1
    with plt.style.context("dark_background"):
        ax = sg.pl.predictions(samples)
    marks = [*ax.lines, *(entry for entry in ax.get_legend().legend_handles if isinstance(entry, Line2D))]
    assert {to_hex(line.get_markeredgecolor()) for line in marks} == {"#ffffff"}
    assert len(marks) == 4


def test_a_correct_prediction_is_not_crossed():
    ax = sg.pl.predictions(with_truth(["c1", "c0", "c0", "c1"]))
    assert len(ax.lines[0].get_ydata()) == 0
    assert "wrong" not in [t.get_text() for t in ax.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("n", "n_classes", "letters"), [(1, 2, 4), (1, 12, 40), (30, 2, 40), (30, 40, 4), (130, 2, 4), (130, 12, 40)]
)
def test_the_figure_is_at_most_nine_inches_tall_and_nothing_overlaps(overlaps, n, n_classes, letters):
    p = np.random.default_rng(0).dirichlet(np.ones(n_classes), n)
    samples = with_truth(["c0"] * n, p, strange=[i % 7 == 0 for i in range(n)])
    samples.uns["prediction"]["classes"] = np.array([f"c{i}".ljust(letters, "x") for i in range(n_classes)])
    samples.uns["prediction"]["abstain"] = 0.125
    samples.obs["abstains"] = [i % 3 == 0 for i in range(n)]
    ax = sg.pl.predictions(samples)
    assert ax.figure.get_size_inches()[1] <= 9.0
    assert overlaps(ax.figure, *ax.get_yticklabels()) == []
    assert overlaps(ax.figure, *ax.get_xticklabels(), ax.xaxis.label) == []
    assert overlaps(ax.figure, ax.get_legend(), ax.patch, ax.xaxis, ax.yaxis) == []
    assert ax.get_window_extent().width > 1.5 * ax.figure.dpi
    assert ax.get_window_extent().height > min(0.2 * n, 3.0) * ax.figure.dpi
    legend, figure = ax.get_legend().get_window_extent(), ax.figure.bbox
    assert figure.x0 <= legend.x0 <= legend.x1 <= figure.x1
    assert (len(ax.get_yticks()), ax.get_ylabel()) == ((0, "130 samples") if n == 130 else (n, ""))


def test_true_classes_that_became_floats_are_the_same_classes(predicted):
    """A missing label makes whole numbers floats, and classes are text."""
    samples = predicted.copy()
    classes = [str(name) for name in samples.uns["prediction"]["classes"]]
    names = np.array([str(i) for i in range(len(classes))], dtype=object)
    samples.uns["prediction"] = sealed(samples.uns["prediction"] | {"classes": names})
    samples.obs["prediction"] = (
        samples.obs["prediction"].astype(str).map({name: str(i) for i, name in enumerate(classes)})
    )
    label_key = samples.uns["prediction"]["params"]["label_key"]
    samples.obs[label_key] = [np.nan, *samples.obs["prediction"].astype(float)[1:]]
    table = predictions_table(samples)
    assert not wrong(table, true_classes(samples)[table.index]).any()
    assert true_classes(samples).isna().sum() == 1
