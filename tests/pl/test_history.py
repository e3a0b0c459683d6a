import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from _slots import assert_same, slots

import scggml as sg
from scggml.pl._history import history_table

RECORD = {"loss": [4.0, 2.0, 1.0, 3.0], "gradient_norm": [1.0, 0.5, 0.1, 0.2], "active": [1.0, 0.75, 0.5, 0.25]}


@pytest.fixture
def adata(make_metric):
    return make_metric(history=RECORD, tol=1e-3)


def dotted(axes):
    """Where the dotted line of each panel stands."""
    lines = [[line for line in ax.lines if line.get_linestyle() == ":"] for ax in axes]
    return [[float(line.get_xdata()[0]) for line in each] for each in lines]


def test_the_table_holds_a_row_for_each_pass(adata):
    pd.testing.assert_frame_equal(history_table(adata, "ggml"), pd.DataFrame(RECORD))


def test_the_history_of_the_key_is_read(adata, make_metric):
    adata.uns["other"] = make_metric(key="other", history={name: v[:2] for name, v in RECORD.items()}).uns["other"]
    assert history_table(adata, "other")["loss"].tolist() == [4.0, 2.0]
    assert sg.pl.history(adata, key="other")[0].lines[0].get_ydata().tolist() == [4.0, 2.0]


def test_each_panel_draws_a_column_of_the_table_against_the_pass(adata):
    axes = sg.pl.history(adata)
    assert [ax.get_title() for ax in axes] == ["objective", "gradient norm", "active triplets"]
    for ax, column in zip(axes, ("loss", "gradient_norm", "active"), strict=True):
        line = ax.lines[0]
        np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), RECORD[column])
        assert ax.get_xlabel() == "pass"


def test_the_dotted_line_marks_the_pass_with_the_lowest_objective(adata):
    assert dotted(sg.pl.history(adata)) == [[2.0]] * 3


def test_without_a_stopping_rule_no_pass_is_marked(make_metric):
    axes = sg.pl.history(make_metric(history=RECORD, tol=0.0))
    assert dotted(axes) == [[]] * 3
    assert [len(ax.lines) for ax in axes] == [1] * 3


def test_the_marked_pass_is_the_one_whose_metric_learning_kept():
    adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10, rng=1)
    options = {"sample_key": "sample_id", "label_key": "label", "n_comps": 2, "progress": False}
    with pytest.warns(UserWarning, match="max_iter=6"):
        sg.tl.ggml(adata, tol=0.05, max_iter=6, **options)
    (marked,) = dotted(sg.pl.history(adata))[0]
    # pass i is measured with the metric of i steps; 6 are too few for the rule to change any of them
    sg.tl.ggml(adata, tol=0, max_iter=int(marked), key_added="steps", **options)
    np.testing.assert_allclose(adata.uns["ggml"]["components"], adata.uns["steps"]["components"], rtol=1e-6)


@pytest.mark.parametrize("tol", [0.0, 1e-3])
def test_of_a_refined_metric_the_best_of_the_last_passes_is_marked(make_metric, tol):
    adata = make_metric(history=RECORD | {"loss": [1.0, 0.5, 3.0, 2.0]}, tol=tol)
    adata.uns["ggml"]["refined"] = 2
    axes = sg.pl.history(adata)
    assert dotted(axes) == [[3.0]] * 3  # the first passes are of another objective, however low it is
    for ax in axes:
        (ground,) = ax.patches
        assert (ground.get_x(), ground.get_x() + ground.get_width()) == (1.5, 3.5)
        assert ground.get_zorder() < ax.lines[0].get_zorder()


def test_without_refinement_there_is_no_gray_ground(adata):
    adata.uns["ggml"]["refined"] = 0
    assert [len(ax.patches) for ax in sg.pl.history(adata)] == [0, 0, 0]


def test_the_marked_pass_of_a_refinement_is_the_one_whose_metric_was_kept():
    adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=20, rng=1)
    sg.tl.ggml(
        adata, "sample_id", "label", n_comps=2, summary=sg.tl.Coreset(8), refine=4, max_iter=5, tol=0, progress=False
    )
    assert adata.uns["ggml"]["refined"] == 5
    axes = sg.pl.history(adata)
    (marked,) = dotted(axes)[0]
    assert marked >= 5
    loss = adata.uns["ggml"]["history"]["loss"]
    assert loss[int(marked)] == loss[5:].min()
    assert axes[0].patches[0].get_x() == 4.5


def test_the_objective_is_drawn_from_zero_and_active_triplets_as_a_share(adata):
    axes = sg.pl.history(adata)
    assert axes[0].get_ylim() == (0.0, 1.05 * 4.0)
    assert axes[2].get_ylim() == (0.0, 1.0)
    assert axes[2].yaxis.get_major_formatter()(0.5) == "50%"


@pytest.mark.parametrize(("norms", "scale"), [([1.0, 0.5, 0.1, 0.2], "log"), ([1.0, 0.5, 0.1, 0.0], "linear")])
def test_the_gradient_norm_is_drawn_on_a_log_scale_unless_it_is_zero(make_metric, norms, scale):
    axes = sg.pl.history(make_metric(history=RECORD | {"gradient_norm": norms}))
    assert [ax.get_yscale() for ax in axes] == ["linear", scale, "linear"]


@pytest.mark.parametrize(
    ("norms", "names"),
    [
        ([0.16, 0.12, 0.07, 0.09], ["0.08", "0.1", "0.12", "0.14", "0.16"]),
        ([0.8, 0.3, 0.05, 0.06], ["0.05", "0.1", "0.2", "0.5"]),
        ([4.0, 0.3, 0.02, 0.009], ["0.01", "0.1", "1"]),
    ],
)
def test_the_gradient_norm_is_labelled_in_plain_numbers(make_metric, norms, names):
    record = RECORD | {"gradient_norm": norms}
    panel = sg.pl.history(make_metric(history=record))[1]
    panel.figure.canvas.draw()
    low, high = panel.get_ylim()
    shown = [t.label1.get_text() for t in panel.yaxis.get_major_ticks() if low <= t.get_loc() <= high]
    assert shown == names
    assert not any(t.label1.get_text() for t in panel.yaxis.get_minor_ticks())


@pytest.mark.parametrize("n", [1, 2, 100])
def test_passes_are_counted_in_whole_numbers(make_metric, n):
    axes = sg.pl.history(make_metric(history={name: np.linspace(1.0, 0.5, n) for name in RECORD}))
    axes[0].figure.canvas.draw()
    for ax in axes:
        ticks = ax.get_xticks()
        np.testing.assert_array_equal(ticks, np.round(ticks))
        assert len(ticks) <= 7


def test_the_given_axes_are_drawn_on_and_handed_back(adata):
    figure, axes = plt.subplots(1, 4)
    assert sg.pl.history(adata, ax=axes[:3]) == list(axes[:3])
    assert axes[2].lines[0].get_ydata().tolist() == RECORD["active"]
    assert not axes[3].has_data()
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_wrong_number_of_axes_is_refused(adata, n):
    _, axes = plt.subplots(1, n)
    with pytest.raises(ValueError, match=rf"^ax has {n} axes; this plot has 3 panels\.$"):
        sg.pl.history(adata, ax=axes)


def test_a_saved_file_has_the_size_of_the_figure(adata, tmp_path):
    sg.pl.history(adata, save=tmp_path / "history.png")
    image = plt.imread(tmp_path / "history.png")
    np.testing.assert_allclose(image.shape[:2], (540, 1920), rtol=0.1)  # 3 panels of 3.2 by 2.7 inches
    assert image[..., :3].std() > 0.02


def test_the_plot_is_shown_once(adata, shown):
    sg.pl.history(adata, show=True)
    assert len(shown) == 1


def test_plotting_changes_nothing_in_adata(adata):
    before = slots(adata)
    sg.pl.history(adata)
    assert_same(slots(adata), before)


def test_what_comes_back_from_a_file_is_drawn_the_same(adata, reread):
    read = reread(adata)
    pd.testing.assert_frame_equal(history_table(read, "ggml"), pd.DataFrame(RECORD))
    assert dotted(sg.pl.history(read)) == [[2.0]] * 3


def test_a_missing_metric_is_answered_with_those_that_are_there(adata):
    with pytest.raises(KeyError, match=r"No learned metric in adata\.uns\['other'\]; stored metrics: 'ggml'\. Learn"):
        sg.pl.history(adata, key="other")


def test_a_metric_without_gradient_steps_is_one_point(make_metric):
    axes = sg.pl.history(make_metric(history={name: [0.5] for name in RECORD}, tol=1e-3))
    assert [ax.lines[0].get_marker() for ax in axes] == ["o"] * 3
    assert dotted(axes) == [[]] * 3
