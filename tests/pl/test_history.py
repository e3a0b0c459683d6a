import numpy as np
import pandas as pd
import pytest

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml.pl._history import eigenvalue_table, setting_table, step_table

RECORD = {"loss": [4.0, 2.0, 1.0, 3.0], "gradient_norm": [1.0, 0.5, 0.1, 0.2], "active": [1.0, 0.75, 0.5, 0.25]}


@pytest.fixture
def adata(make_metric):
    return make_metric(history=RECORD, tol=1e-3)


def dotted(axes):
    """Where the dotted line of each panel stands."""
    lines = [[line for line in ax.lines if line.get_linestyle() == ":"] for ax in axes]
    return [[float(line.get_xdata()[0]) for line in each] for each in lines]


def test_the_table_holds_a_row_for_each_pass(adata):
    pd.testing.assert_frame_equal(step_table(read_metric(adata, "ggml")), pd.DataFrame(RECORD))


def test_the_history_of_the_key_is_read(adata, make_metric):
    adata.uns["other"] = make_metric(key="other", history={name: v[:2] for name, v in RECORD.items()}).uns["other"]
    assert step_table(read_metric(adata, "other"))["loss"].tolist() == [4.0, 2.0]
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


def test_the_marked_pass_is_the_one_whose_metric_learning_kept(learn, make_cohort):
    adata = make_cohort(rng=1)
    with pytest.warns(UserWarning, match="max_iter=6"):
        learn(adata, passes=6, tol=0.05)
    (marked,) = dotted(sg.pl.history(adata))[0]
    # pass i is measured with the metric of i steps; 6 are too few for the rule to change any of them
    learn(adata, passes=int(marked), key_added="steps")
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


def test_the_marked_pass_of_a_refinement_is_the_one_whose_metric_was_kept(refined):
    assert refined.uns["ggml"]["refined"] == 5
    axes = sg.pl.history(refined)
    (marked,) = dotted(axes)[0]
    assert marked >= 5
    loss = refined.uns["ggml"]["history"]["loss"]
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


def test_three_panels_have_a_size_each(adata):
    np.testing.assert_allclose(sg.pl.history(adata)[0].figure.get_size_inches(), (9.6, 2.7))


def test_a_metric_without_gradient_steps_is_one_point(make_metric):
    axes = sg.pl.history(make_metric(history={name: [0.5] for name in RECORD}, tol=1e-3))
    assert [ax.lines[0].get_marker() for ax in axes] == ["o"] * 3
    assert dotted(axes) == [[]] * 3


# Canonical variates


def test_of_canonical_variates_eigenvalues_and_settings_are_drawn(learned):
    left, right = sg.pl.history(learned)
    values = learned.uns["ggml"]["history"]["eigenvalues"]
    for i, line in enumerate(left.lines[: values.shape[1]]):
        np.testing.assert_array_equal(line.get_ydata(), values[:, i])
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, len(values) + 1))
    choice = learned.uns["ggml"]["choice"]
    table = setting_table(read_metric(learned, "ggml"))
    np.testing.assert_array_equal(table["gain"], choice["score"] - choice["score"][0])
    assert table["kept"].tolist() == [i == choice["chosen"] for i in range(len(choice["score"]))]
    np.testing.assert_allclose(right.collections[0].get_offsets()[:, 0], table["gain"])
    assert [text.get_text() for text in right.get_yticklabels()] == table["setting"].tolist()
    assert eigenvalue_table(read_metric(learned, "ggml")).shape == values.shape


def test_where_nothing_was_held_out_the_reason_stands_instead_of_settings(make_cohort):
    adata = make_cohort()
    method = sg.tl.Canonical(ridge=0.05, ridge_scale="mean")
    sg.tl.ggml(adata, "sample_id", "label", method=method, shrinkage=0.4, n_comps=1, progress=False)
    right = sg.pl.history(adata)[1]
    assert [text.get_text() for text in right.texts] == ["given"]


def test_a_setting_that_was_given_up_is_a_hollow_point():
    adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    adata.uns["ggml"]["choice"]["given_up"] = np.array([False, True, False, False, True])
    del adata.uns["ggml"]["checksums"]  # as if written by hand
    points = sg.pl.history(adata)[1].collections[0]
    hollow = (points.get_facecolors() == 1).all(axis=1)
    np.testing.assert_array_equal(hollow, adata.uns["ggml"]["choice"]["given_up"])
    assert not (points.get_edgecolors()[hollow] == 1).all(axis=1).any()
