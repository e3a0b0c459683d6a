import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import cdist, squareform

import scggml as sg
from scggml.pl import _annotations
from scggml.pl._clustermap import ANNOTATIONS, LEGIBLE, color_limit

LABELS = ["well", "ill", "ill", "well", "other", "ill"]
AGES = [30.0, 70.0, 50.0, 40.0, 60.0, 35.0]


def color_table(samples, keys):
    return _annotations.color_table(samples, keys, numbers=ANNOTATIONS)


@pytest.fixture
def samples(make_samples):
    return make_samples(label=LABELS, age=AGES)


def leaves(samples, method="average", key="ggml"):
    return leaves_list(linkage(squareform(samples.obsp[f"{key}_distances"]), method))


def names_of(entries):
    """Names in the legend as a reader sees them, titles (which have no mark) between < and >."""
    return [each.get_label() if each.get_marker() == "s" else f"<{each.get_label()}>" for each in entries]


def colors_of(entries):
    return [to_hex(each.get_color()) for each in entries if each.get_marker() == "s"]


def boxes(grid):
    grid.figure.canvas.draw()
    return grid.figure.legends[0].get_window_extent(), grid.ax_heatmap.get_tightbbox()


def tick_texts(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


@pytest.mark.parametrize("letters", [1, 20, 60])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("n", [2, 6])
def test_the_color_bar_stands_in_the_corner_of_the_trees(samples, letters, scale, n):
    few = samples[:n].copy()
    few.obs_names = [name.ljust(letters, "x") for name in few.obs_names]
    few.obsp["ggml_distances"] = scale * few.obsp["ggml_distances"]
    grid = sg.pl.clustermap(few, color=["label", "age"])
    grid.figure.canvas.draw()
    bar = grid.ax_cbar.get_tightbbox()
    for other in (grid.ax_row_dendrogram, grid.ax_col_dendrogram, grid.ax_row_colors, grid.ax_col_colors):
        assert not bar.overlaps(other.get_window_extent())
    assert bar.x0 >= 0
    assert bar.y1 <= grid.figure.bbox.y1


# The table of colors


def test_groups_have_a_color_and_a_legend_entry_each(samples):
    table, legend = color_table(samples, ["label"])
    colors = {"ill": "#0072B2", "other": "#D55E00", "well": "#009E73"}
    truth = pd.DataFrame({"label": [colors[label] for label in LABELS]}, index=samples.obs_names)
    pd.testing.assert_frame_equal(table, truth)
    assert names_of(legend) == ["<label>", "ill", "other", "well"]
    assert colors_of(legend) == ["#0072b2", "#d55e00", "#009e73"]


def test_numbers_lie_on_a_scale_whose_ends_are_named(make_samples):
    table, legend = color_table(make_samples(3, age=[30.0, 70.0, 50.0]), ["age"])
    assert table["age"].tolist() == ["#fee4c0", "#7f0000", "#f4754f"]
    assert names_of(legend) == ["<age>", "30", "70"]
    assert colors_of(legend) == ["#fee4c0", "#7f0000"]


def test_the_ends_of_a_scale_have_four_digits(make_samples):
    legend = color_table(make_samples(2, age=[0.123456, 1234.56]), ["age"])[1]
    assert names_of(legend) == ["<age>", "0.1235", "1235"]


def test_equal_numbers_have_one_color_and_one_entry(make_samples):
    table, legend = color_table(make_samples(3, age=[5, 5, 5]), ["age"])
    assert table["age"].tolist() == ["#fee4c0"] * 3
    assert names_of(legend) == ["<age>", "5"]


def test_ordered_groups_lie_on_a_scale_in_their_order(make_samples):
    stage = pd.Categorical(["II", "III", "I"], categories=["I", "II", "III"], ordered=True)
    table, legend = color_table(make_samples(3, stage=stage), ["stage"])
    assert table["stage"].tolist() == ["#21918c", "#bddf26", "#482475"]
    assert names_of(legend) == ["<stage>", "I", "II", "III"]


def test_stored_colors_are_taken(samples):
    samples.uns["label_colors"] = np.array(["red", "lime", "blue"])
    table, legend = color_table(samples, ["label"])
    assert table["label"].tolist() == ["#0000ff", "#ff0000", "#ff0000", "#0000ff", "#00ff00", "#ff0000"]
    assert colors_of(legend) == ["#ff0000", "#00ff00", "#0000ff"]


def test_nine_groups_have_nine_colors(make_samples):
    table, legend = color_table(make_samples(9, label=list("abcdefghi")), ["label"])
    assert table["label"].nunique() == 9
    assert colors_of(legend) == [color.lower() for color in table["label"]]


@pytest.mark.parametrize(
    ("values", "truth"),
    [
        (["a", None, "b"], ["#0072B2", "#BBBBBB", "#D55E00"]),
        ([1.0, np.nan, 2.0], ["#fee4c0", "#BBBBBB", "#7f0000"]),
        (pd.array([1, None, 2], dtype="Int64"), ["#fee4c0", "#BBBBBB", "#7f0000"]),
    ],
    ids=["group", "number", "nullable integer"],
)
def test_a_missing_value_is_gray(make_samples, values, truth):
    assert color_table(make_samples(3, c=values), ["c"])[0]["c"].tolist() == truth


@pytest.mark.parametrize("values", [["a", None, "b"], [1.0, np.nan, 2.0]], ids=["group", "number"])
def test_a_missing_value_is_named_in_the_legend(make_samples, values):
    legend = color_table(make_samples(3, c=values), ["c"])[1]
    assert names_of(legend)[-1] == "missing"
    assert colors_of(legend)[-1] == "#bbbbbb"


def test_a_column_of_missing_numbers_has_no_scale(make_samples):
    assert "nan" not in names_of(color_table(make_samples(3, c=[np.nan] * 3), ["c"])[1])


def test_several_columns_stand_side_by_side_with_a_title_each(samples):
    table, legend = color_table(samples, ["age", "label"])
    assert table.columns.tolist() == ["age", "label"]
    assert names_of(legend) == ["<age>", "30", "70", "<label>", "ill", "other", "well"]


def test_without_columns_there_are_no_colors(samples):
    table, legend = color_table(samples, [])
    assert table.shape == (6, 0)
    assert legend == []


# What is drawn


@pytest.mark.parametrize("method", ["average", "complete", "single", "weighted"])
def test_rows_and_columns_follow_the_leaves_of_scipy(make_samples, method):
    samples = make_samples(12)
    D = samples.obsp["ggml_distances"]
    grid = sg.pl.clustermap(samples, linkage_method=method)
    order = leaves(samples, method)
    tree = linkage(squareform(D), method)
    for dendrogram in (grid.dendrogram_row, grid.dendrogram_col):
        np.testing.assert_array_equal(dendrogram.linkage, tree)
        np.testing.assert_array_equal(dendrogram.reordered_ind, order)
    drawn = np.asarray(grid.ax_heatmap.collections[0].get_array()).reshape(12, 12)
    np.testing.assert_allclose(drawn, D[np.ix_(order, order)])
    names = samples.obs_names[order].tolist()
    assert tick_texts(grid.ax_heatmap.xaxis) == names
    assert tick_texts(grid.ax_heatmap.yaxis) == names


def test_linkage_methods_join_these_samples_differently(make_samples):
    D = squareform(make_samples(12).obsp["ggml_distances"])
    trees = [linkage(D, method) for method in ("average", "complete", "single", "weighted")]
    assert len({tree.tobytes() for tree in trees}) == 4  # else the test above could not tell them apart


def test_the_distances_of_the_key_are_drawn(samples):
    samples.obsp["line_distances"] = np.abs(np.subtract.outer(np.array(AGES), np.array(AGES)))
    grid = sg.pl.clustermap(samples, key="line")
    order = leaves(samples, key="line")
    np.testing.assert_array_equal(grid.data2d, samples.obsp["line_distances"][np.ix_(order, order)])
    assert leaves(samples).tolist() != order.tolist()


def test_color_bars_follow_the_order_of_the_heatmap(samples):
    table, _ = color_table(samples, ["label", "age"])
    grid = sg.pl.clustermap(samples, color=["label", "age"])
    sorted_colors = table.iloc[leaves(samples)].map(str.lower)
    rows = [to_hex(color) for color in grid.ax_row_colors.collections[0].get_facecolors()]
    columns = [to_hex(color) for color in grid.ax_col_colors.collections[0].get_facecolors()]
    assert rows == sorted_colors.to_numpy().ravel().tolist()
    assert columns == sorted_colors.to_numpy().T.ravel().tolist()


def test_color_bars_are_named_at_the_rows_alone(samples):
    grid = sg.pl.clustermap(samples, color=["label", "age"])
    grid.figure.canvas.draw()
    assert tick_texts(grid.ax_row_colors.xaxis) == ["label", "age"]
    assert not any(
        tick.label1.get_visible() or tick.label2.get_visible() for tick in grid.ax_col_colors.yaxis.get_major_ticks()
    )


def test_without_a_color_there_is_neither_bar_nor_legend(samples):
    grid = sg.pl.clustermap(samples)
    assert grid.ax_row_colors is None
    assert grid.ax_col_colors is None
    assert grid.figure.legends == []


def test_one_column_may_be_given_as_text(samples):
    grid = sg.pl.clustermap(samples, color="label")
    assert names_of(grid.figure.legends[0].legend_handles) == ["<label>", "ill", "other", "well"]
    assert tick_texts(grid.ax_row_colors.xaxis) == ["label"]


def test_the_bar_of_distances_is_named_and_the_heatmap_is_not(samples):
    grid = sg.pl.clustermap(samples, color="label")
    assert grid.ax_cbar.get_ylabel() == "distance"
    assert (grid.ax_heatmap.get_xlabel(), grid.ax_heatmap.get_ylabel()) == ("", "")


@pytest.mark.parametrize(("options", "name"), [({}, "viridis_r"), ({"cmap": "magma"}, "magma")])
def test_distances_have_the_colors_asked_for_and_close_is_dark_by_default(samples, options, name):
    assert sg.pl.clustermap(samples, **options).ax_heatmap.collections[0].cmap.name == name


@pytest.mark.parametrize(("n", "named"), [(60, True), (61, False)])
def test_up_to_60_samples_are_named(make_samples, n, named):
    samples = make_samples(n)
    grid = sg.pl.clustermap(samples)
    order = leaves(samples)
    expected = samples.obs_names[order].tolist() if named else []
    assert tick_texts(grid.ax_heatmap.xaxis) == expected
    assert tick_texts(grid.ax_heatmap.yaxis) == expected
    np.testing.assert_allclose(grid.data2d, samples.obsp["ggml_distances"][np.ix_(order, order)])


@pytest.mark.parametrize(
    ("n", "options", "size"),
    [(6, {}, (5.16, 4.66)), (61, {}, (8.5, 8.0)), (6, {"figsize": (7.0, 3.0)}, (7.0, 3.0))],
)
def test_the_figure_grows_with_the_samples_as_long_as_they_are_named(make_samples, n, options, size):
    grid = sg.pl.clustermap(make_samples(n), **options)
    np.testing.assert_allclose(grid.figure.get_size_inches(), size)


def test_numbers_have_no_color_of_the_distances(make_samples):
    table, _ = color_table(make_samples(50, age=np.linspace(0.0, 1.0, 50)), ["age"])
    ages = np.array([to_rgb(color) for color in table["age"]])
    distances = plt.get_cmap("viridis_r")(np.linspace(0.0, 1.0, 50))[:, :3]
    assert cdist(ages, distances).min() > 0.15


@pytest.fixture
def with_outlier(make_samples):
    """Thirty samples, the last of which is ten times as far from all others as the farthest of these."""
    samples = make_samples(30, label=["a", "b"] * 15)
    D = samples.obsp["ggml_distances"]
    D[-1, :-1] = D[:-1, -1] = 10.0 * D[:-1, :-1].max()
    return samples


def test_one_outlier_does_not_own_the_colors(with_outlier, overlaps):
    grid = sg.pl.clustermap(with_outlier, color="label")
    D = with_outlier.obsp["ggml_distances"]
    low, high = grid.ax_heatmap.collections[0].get_clim()
    np.testing.assert_allclose((low, high), (0.0, color_limit(D)))
    assert 0.5 * D[:-1, :-1].max() < high <= D[:-1, :-1].max()
    np.testing.assert_array_equal(np.sort(grid.data2d, axis=None), np.sort(D, axis=None))
    assert grid.ax_heatmap.collections[0].colorbar.extend == "max"
    assert grid.ax_cbar.get_ylabel() == f"distance\n(largest {D.max():.3g})"
    assert overlaps(grid.figure, grid.ax_cbar, grid.ax_row_dendrogram.patch, grid.ax_col_dendrogram.patch) == []


@pytest.mark.parametrize(("factor", "cut"), [(1.2, False), (1.3, True)])
def test_colors_end_before_what_is_much_larger(factor, cut):
    D = squareform(np.array([*np.linspace(1.0, 1.1, 54), *[1.1 * factor]]))
    assert color_limit(D) == pytest.approx(1.1 if cut else 1.1 * factor)


def test_one_outlier_does_not_own_the_tree(with_outlier):
    grid = sg.pl.clustermap(with_outlier)
    end = 1.05 * color_limit(with_outlier.obsp["ggml_distances"])
    assert grid.ax_row_dendrogram.get_xlim() == pytest.approx((1.05 * end, 0.0))
    assert grid.ax_col_dendrogram.get_ylim() == pytest.approx((0.0, 1.05 * end))
    for axes, height in ((grid.ax_row_dendrogram, 0), (grid.ax_col_dendrogram, 1)):
        (lines,) = axes.collections
        heights = np.sort([segment[1, height] for segment in lines.get_segments()])
        np.testing.assert_allclose(heights, np.minimum(np.sort(grid.dendrogram_row.linkage[:, 2]), end))


def test_without_outliers_colors_reach_the_largest_distance(make_samples):
    samples = make_samples(30)
    grid = sg.pl.clustermap(samples)
    assert grid.ax_heatmap.collections[0].get_clim() == (0.0, samples.obsp["ggml_distances"].max())
    assert grid.ax_heatmap.collections[0].colorbar.extend == "neither"


@pytest.mark.parametrize(
    ("n", "letters", "figsize"), [(6, 40, None), (60, 8, None), (60, 40, None), (60, 8, (4.0, 4.0))]
)
def test_names_of_samples_do_not_overlap(make_samples, overlaps, n, letters, figsize):
    samples = make_samples(n, names=[f"{i} ".ljust(letters, "x") for i in range(n)], label=["a", "b"] * (n // 2))
    grid = sg.pl.clustermap(samples, color="label", figsize=figsize)
    for labels in (grid.ax_heatmap.get_xticklabels(), grid.ax_heatmap.get_yticklabels()):
        assert overlaps(grid.figure, *labels) == []
        assert len(labels) == n or (figsize is not None and not labels)
        assert all(label.get_fontsize() >= LEGIBLE for label in labels)


def test_two_samples_are_enough(make_samples):
    samples = make_samples(2, label=["a", "b"])
    np.testing.assert_array_equal(sg.pl.clustermap(samples, color="label").data2d, samples.obsp["ggml_distances"])


# The legend has room


COHORTS = {
    "few samples": {"label": LABELS},
    "two columns": {"label": LABELS, "a longer name": AGES},
    "long names of samples": {"label": LABELS, "names": [f"biopsy {i} of the second study" for i in range(6)]},
    "two samples": {"label": ["a", "b"]},
    "unnamed samples": {"label": [f"group{i % 9}" for i in range(61)]},
    "legend in two columns": {"label": [f"group{i:02d}" for i in range(30)]},
}


@pytest.mark.parametrize("kind", COHORTS)
def test_the_legend_lies_inside_the_figure_and_apart_from_the_heatmap(make_samples, kind):
    columns = dict(COHORTS[kind])
    names = columns.pop("names", None)
    grid = sg.pl.clustermap(make_samples(len(columns["label"]), names=names, **columns), color=list(columns))
    legend, heatmap = boxes(grid)
    outer = grid.figure.bbox
    assert heatmap.x1 <= legend.x0
    assert outer.x0 <= legend.x0
    assert legend.x1 <= outer.x1
    assert outer.y0 <= legend.y0
    assert legend.y1 <= outer.y1
    for other in (grid.ax_row_colors, grid.ax_col_colors, grid.ax_col_dendrogram, grid.ax_cbar):
        assert not legend.overlaps(other.get_tightbbox())
    assert grid.ax_heatmap.get_window_extent().width > 0.25 * outer.width


@pytest.mark.parametrize("n_groups", [24, 25])
def test_a_legend_has_up_to_25_entries_in_a_column(make_samples, n_groups):
    samples = make_samples(25, label=[f"group{i % n_groups:02d}" for i in range(25)])
    legend = sg.pl.clustermap(samples, color="label").figure.legends[0]
    assert len(legend.get_texts()) == n_groups + 1  # the title
    legend.figure.canvas.draw()
    columns = {round(text.get_window_extent().x0) for text in legend.get_texts()}
    assert len(columns) == (1 if n_groups == 24 else 2)


def test_long_names_of_groups_leave_room_for_the_heatmap(make_samples):
    labels = ["chronic obstructive pulmonary disease with emphysema"] * 3 + ["healthy"] * 3
    grid = sg.pl.clustermap(make_samples(label=labels), color="label")
    boxes(grid)
    assert grid.ax_heatmap.get_window_extent().width > 0.25 * grid.figure.bbox.width


def test_long_names_of_groups_and_samples_can_be_drawn(make_samples):
    labels = ["chronic obstructive pulmonary disease with emphysema, second stage"] * 3 + ["healthy"] * 3
    names = [f"biopsy {i} of the second study, before treatment" for i in range(6)]
    grid = sg.pl.clustermap(make_samples(names=names, label=labels), color="label")
    assert len(grid.figure.legends) == 1


def test_the_bar_of_distances_lies_inside_the_figure_apart_from_the_heatmap(samples):
    grid = sg.pl.clustermap(samples, color="label")
    _, heatmap = boxes(grid)
    bar, outer = grid.ax_cbar.get_tightbbox(), grid.figure.bbox
    assert outer.x0 <= bar.x0
    assert bar.y1 <= outer.y1
    assert not bar.overlaps(heatmap)
    assert not bar.overlaps(grid.ax_col_dendrogram.get_window_extent())
    assert not bar.overlaps(grid.ax_row_dendrogram.get_window_extent())


@pytest.mark.parametrize("name", ["label", "cell_type", "a b", "100%", "$x$", "a{b}", "#1"])
def test_the_title_in_the_legend_shows_the_name_of_the_column(make_samples, name):
    grid = sg.pl.clustermap(make_samples(**{name: LABELS}), color=name)
    grid.figure.canvas.draw()
    assert names_of(grid.figure.legends[0].legend_handles)[0] == f"<{name}>"
    assert grid.figure.legends[0].get_texts()[0].get_window_extent().width > 0


@pytest.mark.parametrize("name", ["age & sex", "a\\b"])
def test_a_column_with_any_character_in_its_name_can_be_drawn(make_samples, name):
    grid = sg.pl.clustermap(make_samples(**{name: LABELS}), color=name)
    grid.figure.canvas.draw()
    assert len(grid.figure.legends) == 1


@pytest.mark.parametrize("character", ["^", "~"])
def test_a_character_in_the_name_of_a_column_takes_room_of_its_own(make_samples, character):
    widths = []
    for name in (f"a{character}b", "ab"):
        grid = sg.pl.clustermap(make_samples(2, **{name: ["x", "y"]}), color=name)
        grid.figure.canvas.draw()
        widths.append(grid.figure.legends[0].get_texts()[0].get_window_extent().width)
    assert widths[0] > widths[1] + 2


def test_the_legend_is_in_the_saved_file(samples, tmp_path):
    sg.pl.clustermap(samples, color="label", save=tmp_path / "clustermap.png")
    image = plt.imread(tmp_path / "clustermap.png")[..., :3]
    corner = image[: image.shape[0] // 4, -image.shape[1] // 8 :]
    for color in ("#0072B2", "#D55E00", "#009E73"):
        wanted = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        assert (np.abs(corner - wanted).max(axis=2) < 0.01).sum() > 20


# What is refused


@pytest.mark.parametrize("color", ["sex", ["label", "sex"]])
def test_a_missing_column_is_answered_with_those_that_are_there(samples, color):
    message = r"color='sex' is not a column of samples\.obs, which has 'label', 'age'\."
    with pytest.raises(KeyError, match=message):
        sg.pl.clustermap(samples, color=color)


def test_one_sample_is_refused(make_samples):
    with pytest.raises(ValueError, match=r"^samples has 1 row; at least two samples can be clustered\.$"):
        sg.pl.clustermap(make_samples(1))


# Beside the heatmap


@pytest.mark.parametrize("color", [None, "label", ["age", "label"]])
def test_the_samples_are_drawn_in_the_plane_beside_the_heatmap(make_samples, color, overlaps):
    samples = make_samples(6, label=list("aabbab"), age=[1.0, 2, 3, 4, 5, 6])
    grid = sg.pl.clustermap(samples, color=color, basis="mds")
    (plane,) = [ax for ax in grid.figure.axes if ax.get_label() == "embedding"]
    drawn = plane.collections[0].get_offsets()
    assert {tuple(point) for point in drawn} == {tuple(point) for point in samples.obsm["X_mds"][:, :2]}
    assert plane.get_xlabel() == "MDS1 (50%)"
    assert plane.bbox.x0 > grid.ax_heatmap.get_tightbbox().x1
    parts = [grid.ax_heatmap, plane, *grid.figure.legends]
    assert overlaps(grid.figure, *parts) == []
    assert plane.get_legend() is None  # that of the heatmap holds the same colors
    if color == "label":
        faces = dict(zip(map(tuple, drawn), map(to_hex, plane.collections[0].get_facecolors()), strict=True))
        rows = dict(zip(grid.data.index, grid.row_colors[0], strict=True))
        for name, point in zip(samples.obs_names, samples.obsm["X_mds"], strict=True):
            assert faces[tuple(point[:2])] == to_hex(rows[name])


def test_without_a_basis_there_is_no_plane(make_samples):
    grid = sg.pl.clustermap(make_samples(5))
    assert [ax for ax in grid.figure.axes if ax.get_label() == "embedding"] == []


def test_coordinates_that_are_not_there_are_refused_before_anything_is_drawn(make_samples):
    with pytest.raises(KeyError, match=r"no 'X_tsne' in samples\.obsm.*sg\.tl\.tsne\(samples\)"):
        sg.pl.clustermap(make_samples(5), basis="tsne")
    assert plt.get_fignums() == []
