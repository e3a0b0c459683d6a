import itertools
from dataclasses import dataclass, field

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from _slots import assert_same_table
from matplotlib.colors import to_hex
from matplotlib.legend import Legend
from matplotlib.markers import MarkerStyle

import scggml as sg
from scggml.pl._colors import OKABE_ITO
from scggml.pl._embedding import MARKERS, areas, embedding_table

CELLS = [10, 20, 60, 35, 10, 60]
AREAS = [25.0, 64.0, 220.0, 122.5, 25.0, 220.0]  # 25 + 195 * (n - 10) / 50
LABELS = ["well", "ill", "ill", "well", "other", "ill"]
DRAWN = [2, 5, 3, 1, 0, 4]  # the largest first
COLORS = {"ill": "#0072b2", "other": "#d55e00", "well": "#009e73"}


@pytest.fixture
def samples(make_samples):
    return make_samples(label=LABELS, n_cells=CELLS, age=[30.0, 70.0, 50.0, 40.0, 60.0, 35.0])


def drawn_colors(ax):
    return [to_hex(color) for color in ax.collections[0].get_facecolors()]


@dataclass
class Section:
    """Entries of the legend below one heading."""

    legend: Legend
    texts: list = field(default_factory=list)
    legend_handles: list = field(default_factory=list)

    def get_texts(self):
        return self.texts

    def get_window_extent(self):
        return self.legend.get_window_extent()


def legends(ax):
    found, legend = {}, ax.get_legend()
    for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True) if legend else ():
        if text.get_fontweight() == "bold":
            section = found[text.get_text()] = Section(legend)
        else:
            section.texts.append(text)
            section.legend_handles.append(handle)
    return found


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def boxes(ax):
    ax.figure.canvas.draw()
    return {title: legend.get_window_extent() for title, legend in legends(ax).items()}


def assert_inside(box, figure):
    outer = figure.bbox
    assert box.x0 >= outer.x0
    assert box.y0 >= outer.y0
    assert box.x1 <= outer.x1
    assert box.y1 <= outer.y1


# The table


def test_the_table_holds_a_row_for_each_sample(samples):
    found = embedding_table(samples, "mds", "label", (1, 2))
    X = samples.obsm["X_mds"]
    truth = pd.DataFrame({"x": X[:, 0], "y": X[:, 1], "color": LABELS, "area": AREAS}, index=samples.obs_names)
    assert_same_table(found, truth)


@pytest.mark.parametrize("components", [(1, 2), (3, 1), (2, 2)])
def test_components_are_counted_from_one(samples, components):
    found = embedding_table(samples, "mds", None, components)
    np.testing.assert_array_equal(found["x"], samples.obsm["X_mds"][:, components[0] - 1])
    np.testing.assert_array_equal(found["y"], samples.obsm["X_mds"][:, components[1] - 1])
    assert "color" not in found


def test_numbers_stay_numbers_and_groups_become_text(make_samples):
    samples = make_samples(3, age=[1.5, np.nan, 2.0], batch=pd.Categorical([10, 9, None]))
    np.testing.assert_array_equal(embedding_table(samples, "mds", "age", (1, 2))["color"], [1.5, np.nan, 2.0])
    batch = embedding_table(samples, "mds", "batch", (1, 2))["color"]
    assert batch.tolist()[:2] == ["10", "9"]
    assert batch.isna().tolist() == [False, False, True]


def test_without_numbers_of_cells_there_are_no_areas(samples):
    del samples.obs["n_cells"]
    assert embedding_table(samples, "mds", None, (1, 2)).columns.tolist() == ["x", "y"]


def test_areas_grow_linearly_from_the_smallest_to_the_largest_sample():
    np.testing.assert_allclose(areas(np.array(CELLS), np.array(CELLS)), AREAS)
    np.testing.assert_allclose(areas(np.array([30]), np.array(CELLS)), [103.0])


def test_samples_of_one_size_have_one_area():
    np.testing.assert_array_equal(areas(np.array([7, 7]), np.array([7, 7])), [60.0, 60.0])


@pytest.mark.parametrize(("n", "factor"), [(6, 1.0), (100, 1.0), (400, 0.5), (10_000, 0.1)])
def test_points_are_smaller_among_many_samples(make_samples, n, factor):
    n_cells = np.arange(n)
    found = areas(n_cells, n_cells)
    np.testing.assert_allclose([found[0], found[-1]], [25.0 * factor, 220.0 * factor])
    np.testing.assert_allclose(areas(np.full(n, 7), np.full(n, 7)), 60.0 * factor)
    ax = sg.pl.embedding(make_samples(n), size_by_cells=False)
    np.testing.assert_allclose(ax.collections[0].get_sizes(), [60.0 * factor])


# What is drawn


@pytest.mark.parametrize("color", [None, "label", "age"])
def test_points_and_areas_are_those_of_the_table(samples, color):
    ax = sg.pl.embedding(samples, color=color, components=(3, 1))
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), samples.obsm["X_mds"][DRAWN][:, [2, 0]])
    np.testing.assert_allclose(ax.collections[0].get_sizes(), sorted(AREAS, reverse=True))


def test_a_point_has_the_color_of_its_group(samples):
    ax = sg.pl.embedding(samples, color="label")
    assert drawn_colors(ax) == [COLORS[LABELS[i]] for i in DRAWN]


def test_without_a_color_all_points_are_blue(samples):
    ax = sg.pl.embedding(samples)
    assert drawn_colors(ax) == ["#0072b2"] * 6
    assert list(legends(ax)) == ["cells"]


def test_numbers_are_drawn_on_a_scale_with_a_bar(samples):
    ax = sg.pl.embedding(samples, color="age")
    points = ax.collections[0]
    np.testing.assert_array_equal(points.get_array(), samples.obs["age"].iloc[DRAWN])
    assert points.get_clim() == (30.0, 70.0)
    ax.figure.canvas.draw()
    assert [drawn_colors(ax)[DRAWN.index(i)] for i in (0, 2, 1)] == ["#440154", "#21918c", "#fde725"]
    (bar,) = [other for other in ax.figure.axes if other is not ax]
    assert bar.get_ylabel() == "age"
    np.testing.assert_allclose(bar.get_ylim(), (30.0, 70.0))
    assert list(legends(ax)) == ["cells"]


def test_nullable_integers_are_drawn_as_numbers(make_samples):
    samples = make_samples(3, age=pd.array([1, 2, 3], dtype="Int64"))
    np.testing.assert_array_equal(sg.pl.embedding(samples, color="age").collections[0].get_array(), [1.0, 2.0, 3.0])


def test_ordered_groups_are_drawn_on_a_scale(make_samples):
    stage = pd.Categorical(["II", "III", "I"], categories=["I", "II", "III"], ordered=True)
    ax = sg.pl.embedding(make_samples(3, stage=stage), color="stage")
    assert drawn_colors(ax) == ["#21918c", "#bddf26", "#482475"]
    assert texts(legends(ax)["stage"]) == ["I", "II", "III"]


def test_stored_colors_are_drawn(samples):
    samples.uns["label_colors"] = ["red", "lime", "blue"]
    ax = sg.pl.embedding(samples, color="label")
    truth = {"ill": "#ff0000", "other": "#00ff00", "well": "#0000ff"}
    assert drawn_colors(ax) == [truth[LABELS[i]] for i in DRAWN]
    assert [to_hex(mark.get_color()) for mark in legends(ax)["label"].legend_handles] == list(truth.values())


def test_nine_groups_are_drawn_in_nine_colors_that_the_legend_names(make_samples):
    labels = [f"group{i}" for i in range(9)]
    ax = sg.pl.embedding(make_samples(9, label=labels, n_cells=range(9)), color="label")
    assert len(set(drawn_colors(ax))) == 9
    marks = legends(ax)["label"].legend_handles
    assert {mark.get_label(): to_hex(mark.get_color()) for mark in marks} == dict(
        zip(labels[::-1], drawn_colors(ax), strict=True)  # the last one has most cells
    )


def test_a_missing_group_is_gray_and_named_in_the_legend(make_samples):
    ax = sg.pl.embedding(make_samples(3, label=["well", None, "ill"]), color="label")
    assert drawn_colors(ax) == ["#d55e00", "#bbbbbb", "#0072b2"]
    assert texts(legends(ax)["label"]) == ["ill", "well", "missing"]
    assert to_hex(legends(ax)["label"].legend_handles[-1].get_color()) == "#bbbbbb"


def test_no_missing_group_is_named_where_none_is_missing(samples):
    assert texts(legends(sg.pl.embedding(samples, color="label"))["label"]) == ["ill", "other", "well"]


def test_a_missing_number_stays_on_the_plot_as_a_point(make_samples):
    ax = sg.pl.embedding(make_samples(3, age=[1.0, np.nan, 3.0]), color="age")
    assert len(ax.collections[0].get_offsets()) == 3
    assert ax.collections[0].get_clim() == (1.0, 3.0)


def test_a_missing_number_is_gray(make_samples):
    ax = sg.pl.embedding(make_samples(3, age=[1.0, np.nan, 3.0]), color="age")
    ax.figure.canvas.draw()
    assert drawn_colors(ax)[1] == "#bbbbbb"
    assert ax.collections[0].get_facecolors()[1, 3] > 0.5


@pytest.mark.parametrize("size_by_cells", [True, False])
def test_points_have_one_size_where_cells_do_not_count(samples, size_by_cells):
    if size_by_cells:
        del samples.obs["n_cells"]
    ax = sg.pl.embedding(samples, color="label", size_by_cells=size_by_cells)
    np.testing.assert_array_equal(ax.collections[0].get_sizes(), [60.0])
    assert list(legends(ax)) == ["label"]


def test_samples_of_one_size_need_no_legend_of_sizes(samples):
    samples.obs["n_cells"] = 12
    ax = sg.pl.embedding(samples)
    assert legends(ax) == {}
    np.testing.assert_array_equal(ax.collections[0].get_sizes(), [60.0] * 6)


@pytest.mark.parametrize(
    ("cells", "named", "sizes"),
    [
        (CELLS, ["10", "35", "60"], [25.0, 122.5, 220.0]),
        ([1000, 1500, 3000], ["1,000", "2,000", "3,000"], [25.0, 122.5, 220.0]),
        ([4, 5, 4], ["4", "5"], [25.0, 220.0]),
    ],
)
def test_the_legend_of_sizes_shows_the_smallest_a_middle_and_the_largest_sample(make_samples, cells, named, sizes):
    ax = sg.pl.embedding(make_samples(len(cells), n_cells=cells))
    legend = legends(ax)["cells"]
    assert texts(legend) == named
    np.testing.assert_allclose([handle.get_sizes()[0] for handle in legend.legend_handles], sizes)


# Axes


@pytest.mark.parametrize(
    ("components", "labels"), [((1, 2), ("MDS1 (50%)", "MDS2 (30%)")), ((3, 1), ("MDS3 (20%)", "MDS1 (50%)"))]
)
def test_axes_name_the_share_of_each_component(samples, components, labels):
    ax = sg.pl.embedding(samples, components=components)
    assert (ax.get_xlabel(), ax.get_ylabel()) == labels


def test_coordinates_without_shares_are_named_without_them(samples):
    del samples.uns["mds"]
    ax = sg.pl.embedding(samples)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("MDS1", "MDS2")


def test_only_distances_are_drawn_to_scale(samples):
    samples.obsm["X_umap"] = samples.obsm["X_mds"][:, 1:]
    mds, umap = sg.pl.embedding(samples), sg.pl.embedding(samples, basis="umap")
    assert (mds.get_aspect(), umap.get_aspect()) == (1.0, "auto")
    assert (umap.get_xlabel(), umap.get_ylabel()) == ("UMAP1", "UMAP2")
    np.testing.assert_array_equal(umap.collections[0].get_offsets(), samples.obsm["X_umap"][DRAWN])


def test_a_small_share_of_a_component_does_not_read_as_nothing(samples):
    samples.uns["mds"]["variance_ratio"] = np.array([0.996, 0.004, 0.0])
    ax = sg.pl.embedding(samples)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("MDS1 (100%)", "MDS2 (<1%)")
    assert sg.pl.embedding(samples, components=(1, 3)).get_ylabel() == "MDS3 (0%)"


def test_the_figure_has_a_size_of_its_own(samples):
    np.testing.assert_allclose(sg.pl.embedding(samples).figure.get_size_inches(), (4.8, 3.6))


# Legends have room


def test_points_in_the_legend_of_sizes_do_not_touch(samples):
    ax = sg.pl.embedding(samples, color="label")
    ax.figure.canvas.draw()
    marks = [
        (text.get_window_extent(), np.sqrt(handle.get_sizes()[0]) * ax.figure.dpi / 72)
        for text, handle in zip(legends(ax)["cells"].texts, legends(ax)["cells"].legend_handles, strict=True)
    ]
    for (upper, one), (lower, other) in itertools.pairwise(marks):
        middles = (upper.y0 + upper.y1) / 2 - (lower.y0 + lower.y1) / 2
        assert middles > (one + other) / 2


@pytest.mark.parametrize("n_groups", [2, 5, 9])
def test_legends_lie_inside_the_figure_beside_the_points_and_apart(make_samples, n_groups):
    samples = make_samples(18, label=[f"g{i % n_groups}" for i in range(18)], n_cells=range(100, 118))
    ax = sg.pl.embedding(samples, color="label")
    found = boxes(ax)
    for box in found.values():
        assert_inside(box, ax.figure)
        assert box.x0 > ax.get_window_extent().x1
    assert list(found) == ["label", "cells"]


@pytest.mark.parametrize("name", ["healthy", "chronic lymphocytic leukemia"])
def test_the_legend_of_groups_lies_inside_the_figure_beside_that_of_sizes(make_samples, name):
    samples = make_samples(label=[name] * 3 + ["ill"] * 3, n_cells=CELLS)
    ax = sg.pl.embedding(samples, color="label")
    assert_inside(boxes(ax)["label"], ax.figure)


def test_the_only_legend_lies_inside_the_figure_with_long_names(make_samples):
    ax = sg.pl.embedding(make_samples(label=["chronic lymphocytic leukemia"] * 3 + ["healthy"] * 3), color="label")
    assert_inside(boxes(ax)["label"], ax.figure)


def test_legends_of_twenty_groups_and_of_sizes_lie_inside_the_figure_and_apart(make_samples):
    samples = make_samples(20, label=[f"g{i}" for i in range(20)], n_cells=range(100, 120))
    ax = sg.pl.embedding(samples, color="label")
    found = boxes(ax)
    assert list(found) == ["label", "cells"]
    for box in found.values():
        assert_inside(box, ax.figure)


LONG = "chronic lymphocytic leukemia of the elderly, treated"


@pytest.mark.parametrize(
    ("values", "n_cells"),
    [
        (["ill", "well"] * 30, None),
        ([LONG, "well"] * 30, range(60)),
        ([f"{LONG} {i % 40}" for i in range(60)], range(60)),
        ([f"group {i}" for i in range(60)], range(1000, 1060)),
        (list(range(60)), range(60)),
    ],
    ids=["short", "long", "many long", "many", "numbers"],
)
def test_the_axes_keep_their_size_whatever_the_legend(make_samples, values, n_cells):
    columns = {"c": values} | ({} if n_cells is None else {"n_cells": n_cells})
    ax = sg.pl.embedding(make_samples(60, **columns), color="c")
    ax.figure.canvas.draw()
    box, figure = ax.get_window_extent(), ax.figure.bbox
    assert 3.55 < box.width / ax.figure.dpi < 4.3
    assert 2.9 < box.height / ax.figure.dpi < 9.0
    if ax.get_legend() is not None:
        legend = ax.get_legend().get_window_extent()
        assert box.x1 < legend.x0 < legend.x1 <= figure.x1
        assert figure.y0 <= legend.y0 < legend.y1 <= figure.y1


def test_long_names_are_wrapped_in_the_legend(make_samples):
    legend = sg.pl.embedding(make_samples(label=[LONG, "ill"] * 3), color="label").get_legend()
    names = [text.get_text() for text in legend.get_texts()[1:]]
    assert [name.replace("\n", " ") for name in names] == [LONG, "ill"]
    assert max(len(line) for name in names for line in name.split("\n")) <= 24


@pytest.mark.parametrize("sized", [True, False])
def test_rare_groups_are_drawn_last_and_the_rarest_on_top(make_samples, sized):
    labels = ["rarest", "rare", "rare", *["half"] * 8, *["most"] * 9]
    ax = sg.pl.embedding(
        make_samples(20, label=labels, n_cells=range(120, 100, -1)), color="label", size_by_cells=sized
    )
    colors = {mark.get_label(): to_hex(mark.get_color()) for mark in legends(ax)["label"].legend_handles}
    assert drawn_colors(ax)[-3:] == [colors["rare"], colors["rare"], colors["rarest"]]
    sizes = ax.collections[0].get_sizes()
    assert (np.diff(sizes[:17]) <= 0).all()  # the others as ever


def test_a_saved_file_grows_with_the_legend_of_groups(make_samples, tmp_path):
    _, ax = plt.subplots()
    samples = make_samples(label=["chronic lymphocytic leukemia of the elderly"] * 3 + ["healthy"] * 3, n_cells=CELLS)
    sg.pl.embedding(samples, color="label", ax=ax, save=tmp_path / "embedding.png")
    right = boxes(ax)["label"].x1 / ax.figure.dpi
    assert plt.imread(tmp_path / "embedding.png").shape[1] / 200 > right - ax.get_tightbbox().x0 / ax.figure.dpi


# What is refused


def test_a_missing_column_is_answered_with_those_that_are_there(samples):
    message = r"color='sex' is not a column of samples\.obs, which has 'label', 'n_cells', 'age', and not a gene"
    with pytest.raises(KeyError, match=message):
        sg.pl.embedding(samples, color="sex")


@pytest.mark.parametrize(
    ("basis", "hint"),
    [
        ("mds", r"which holds 'X_pca'\. Compute it with sg\.tl\.mds\(samples\)\."),
        ("umap", r"which holds 'X_pca'\. Compute it with sg\.tl\.neighbors\(samples\); sc\.tl\.umap\(samples\)\."),
        ("tsne", r"which holds 'X_pca'\. Compute it with sg\.tl\.tsne\(samples\)\."),
        ("phate", r"""which holds 'X_pca'\.["']$"""),
    ],
)
def test_missing_coordinates_are_answered_with_the_next_step(samples, basis, hint):
    samples.obsm["X_pca"] = samples.obsm["X_mds"]
    del samples.obsm["X_mds"]
    with pytest.raises(KeyError, match=rf"basis='{basis}': no 'X_{basis}' in samples\.obsm, {hint}"):
        sg.pl.embedding(samples, basis=basis)


@pytest.mark.parametrize("components", [(0, 1), (1, 4), (-1, 2)])
def test_a_component_that_is_not_there_is_refused(samples, components):
    shown = str(components).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"components={shown}: "):
        sg.pl.embedding(samples, components=components)


@pytest.mark.parametrize("components", [(1,), (1, 2, 3)])
def test_another_number_of_components_than_two_is_refused(samples, components):
    with pytest.raises(ValueError, match="components="):
        sg.pl.embedding(samples, components=components)


def test_several_colors_have_panels_of_their_own(make_samples):
    samples = make_samples(6, label=list("aabbcc"), age=np.arange(6.0))
    axes = sg.pl.embedding(samples, color=["label", "age"])
    assert len(axes) == 2
    alone = [sg.pl.embedding(samples, color=name) for name in ("label", "age")]
    for panel, other in zip(axes, alone, strict=True):
        for figure in (panel.figure, other.figure):
            figure.canvas.draw()  # from here on numbers have colors
        np.testing.assert_array_equal(panel.collections[0].get_offsets(), other.collections[0].get_offsets())
        np.testing.assert_array_equal(panel.collections[0].get_facecolors(), other.collections[0].get_facecolors())
    with pytest.raises(ValueError, match="names nothing"):
        sg.pl.embedding(samples, color=[])


def test_a_gene_is_a_color(make_samples):
    samples = make_samples(6)
    samples.X = np.arange(6.0)[:, None]
    samples.var_names = ["CD4"]
    ax = sg.pl.embedding(samples, color="CD4", size_by_cells=False)
    np.testing.assert_array_equal(np.sort(ax.collections[0].get_array()), np.arange(6.0))
    assert ax.figure.axes[-1].get_ylabel() == "CD4"
    samples.obs["CD4"] = list("aabbcc")  # a column comes before a gene
    assert sg.pl.embedding(samples, color="CD4").get_legend() is not None
    with pytest.raises(KeyError, match=r"'CD8' is not a column of samples\.obs.* and not a gene"):
        sg.pl.embedding(samples, color="CD8")


@pytest.mark.parametrize("color", [3, [3], ["label", None]])
def test_a_color_that_is_no_name_is_refused(make_samples, color):
    with pytest.raises(TypeError, match="pass the name of a column, or a list of names"):
        sg.pl.embedding(make_samples(3, label=list("abc")), color=color)
    with pytest.raises(TypeError, match="pass the name of a column, or a list of names"):
        sg.pl.clustermap(make_samples(3, label=list("abc")), color=color)


# Shapes


def vertices(marker):
    style = MarkerStyle(marker)
    return style.get_path().transformed(style.get_transform()).vertices


def test_groups_have_the_shapes_that_the_legend_says(make_samples):
    samples = make_samples(7, part=["train", "test", "train", None, "test", "train", "train"], label=list("ababbab"))
    ax = sg.pl.embedding(samples, color="label", marker="part")
    drawn = ax.collections[0]
    where = {tuple(point): path.vertices for point, path in zip(drawn.get_offsets(), drawn.get_paths(), strict=True)}
    shapes = dict(zip(["test", "train", "missing"], MARKERS, strict=False))
    for part, point in zip(samples.obs["part"], samples.obsm["X_mds"], strict=True):
        shape = shapes["missing" if part is None else part]
        np.testing.assert_array_equal(where[tuple(point[:2])], vertices(shape))
    legend = ax.get_legend()
    entries = [
        (text.get_text(), mark.get_marker())
        for text, mark in zip(legend.get_texts(), legend.legend_handles, strict=True)
    ]
    assert entries[-4:] == [("part", "None"), ("test", "o"), ("train", "^"), ("missing", "s")]
    colors = dict(zip(map(tuple, drawn.get_offsets()), map(to_hex, drawn.get_facecolors()), strict=True))
    for label, point in zip(samples.obs["label"], samples.obsm["X_mds"], strict=True):
        assert colors[tuple(point[:2])] == OKABE_ITO["ab".index(label)].lower()


def test_shapes_follow_samples_of_different_sizes_and_numbers(make_samples):
    samples = make_samples(6, part=list("xyzxyz"), n_cells=[5, 60, 30, 20, 10, 40], age=[1.0, 2, 3, 4, 5, 6])
    drawn = sg.pl.embedding(samples, color="age", marker="part").collections[0]
    shapes = dict(zip("xyz", MARKERS, strict=False))
    place = {tuple(point[:2]): i for i, point in enumerate(samples.obsm["X_mds"])}
    for point, path, value in zip(drawn.get_offsets(), drawn.get_paths(), drawn.get_array(), strict=True):
        i = place[tuple(point)]
        np.testing.assert_array_equal(path.vertices, vertices(shapes[samples.obs["part"].iloc[i]]))
        assert value == samples.obs["age"].iloc[i]


def test_all_shapes_differ_and_more_groups_are_refused(make_samples):
    found = {vertices(shape).tobytes() for shape in MARKERS}
    assert len(found) == len(MARKERS) == 8
    with pytest.raises(ValueError, match=r"marker='part' has 9 groups, but only 8 shapes"):
        sg.pl.embedding(make_samples(9, part=list("abcdefghi")), marker="part")
    with pytest.raises(KeyError, match=r"marker='sex' is not a column of samples\.obs, which has 'part'"):
        sg.pl.embedding(make_samples(9, part=list("abcdefghi")), marker="sex")
