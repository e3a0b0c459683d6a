import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scggml._anndata.drawn import obs_column
from scggml.pl._colors import OKABE_ITO, groups, is_number, palette
from scggml.pl._figure import grid, note, panels
from scggml.pl._legend import marks
from scggml.pl._output import finish


def with_column(values, **uns):
    return AnnData(
        np.zeros((len(values), 1)),
        obs=pd.DataFrame({"c": values}, index=[f"s{i}" for i in range(len(values))]),
        uns=uns,
    )


# Panels


@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 1, 1), (3, 1, 3), (4, 1, 4), (5, 2, 3), (9, 3, 3), (10, 3, 4)])
def test_new_panels_fill_rows_of_at_most_four(n, rows, columns):
    axes = panels(n, None, (3.0, 2.0))
    assert axes[0].figure.axes == axes
    np.testing.assert_allclose(axes[0].figure.get_size_inches(), (3.0 * columns, 2.0 * rows))
    places = [(axis.get_subplotspec().rowspan.start, axis.get_subplotspec().colspan.start) for axis in axes]
    assert places == [divmod(i, columns) for i in range(n)]
    assert {axis.get_subplotspec().get_gridspec().get_geometry() for axis in axes} == {(rows, columns)}


@pytest.mark.parametrize("n", range(1, 30))
def test_few_places_of_the_grid_are_empty(n):
    rows, columns = grid(n)
    assert columns <= 4
    assert 0 <= rows * columns - n < rows


def test_rows_of_panels_may_have_heights_of_their_own():
    axes = panels(5, None, (3.0, 2.0), rows=[(4.0, 3.0), (2.0, 1.0)])
    np.testing.assert_allclose(axes[0].figure.get_size_inches(), (9.0, 6.0))
    axes[0].figure.canvas.draw()
    heights = [axis.get_window_extent().height for axis in axes]
    np.testing.assert_allclose(heights, heights[4] * np.array([3.0, 3.0, 3.0, 1.0, 1.0]), rtol=1e-3)


def test_new_panels_are_a_figure_of_their_own():
    other = plt.figure()
    assert panels(1, None, (3.0, 2.0))[0].figure is not other
    assert other.axes == []


@pytest.mark.parametrize("kind", [list, tuple, np.asarray])
def test_given_axes_are_handed_back_and_no_figure_is_made(kind):
    _, axes = plt.subplots(1, 3)
    assert panels(3, kind(axes), (9.0, 9.0)) == list(axes)
    assert panels(1, axes[1], (9.0, 9.0)) == [axes[1]]
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("n", [1, 3])
def test_a_wrong_number_of_axes_is_refused(n):
    _, axes = plt.subplots(1, 2)
    with pytest.raises(ValueError, match=rf"^ax has 2 axes; this plot has {n} panels\.$"):
        panels(n, axes, (3.0, 2.0))


def test_one_axes_for_several_panels_is_refused():
    with pytest.raises(ValueError, match=r"^ax has 1 axes; this plot has 3 panels\.$"):
        panels(3, plt.figure().subplots(), (3.0, 2.0))


def test_axes_in_a_grid_are_taken_row_by_row():
    _, axes = plt.subplots(2, 2)
    assert panels(4, axes, (3.0, 2.0)) == list(axes.flat)


@pytest.mark.parametrize("projection", ["3d", "polar", "mollweide"])
def test_axes_without_right_angles_are_refused(projection):
    ax = plt.figure().add_subplot(projection=projection)
    with pytest.raises(ValueError, match=f"ax is a .* with projection='{projection}', where no plot .*subplots"):
        panels(1, ax, (3.0, 2.0))


def test_axes_that_were_removed_are_refused():
    _, ax = plt.subplots()
    ax.remove()
    with pytest.raises(ValueError, match=r"ax was removed from its figure; pass axes such as those of .*subplots\(\)"):
        panels(1, ax, (3.0, 2.0))


def test_axes_twice_are_refused():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="ax has some axes twice"):
        panels(2, [ax, ax], (3.0, 2.0))


# Saving and showing


def test_a_figure_is_written_with_200_dots_per_inch_and_all_that_lies_outside(tmp_path):
    figure = plt.figure(figsize=(2.0, 1.0))
    figure.add_axes((0, 0, 1, 1)).set_axis_off()
    finish(figure, show=False, save=tmp_path / "inside.png")
    np.testing.assert_allclose(plt.imread(tmp_path / "inside.png").shape[:2], (240, 440), atol=2)  # padded by 0.1 inch
    figure.text(1.5, 0.5, "far right of the figure")
    finish(figure, show=False, save=str(tmp_path / "outside.png"))
    assert plt.imread(tmp_path / "outside.png").shape[1] > 600


def test_nothing_is_written_or_shown_unless_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finish(plt.figure(), show=False, save=None)  # plt.show() would raise
    assert list(tmp_path.iterdir()) == []


def test_a_figure_is_shown_once(shown):
    finish(plt.figure(), show=True, save=None)
    assert len(shown) == 1


def test_a_figure_is_written_before_it_is_shown(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    there = []
    monkeypatch.setattr(plt, "show", lambda: there.append(path.is_file()))
    finish(plt.figure(), show=True, save=path)
    assert there == [True]


def test_the_folder_of_a_file_is_made(tmp_path):
    finish(plt.figure(), show=False, save=tmp_path / "not" / "there" / "yet.png")
    assert (tmp_path / "not" / "there" / "yet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("save", "error"), [(3, "save=3 is a int; pass a path"), (["a.png"], "is a list; pass a path")]
)
def test_a_file_is_a_path(save, error):
    with pytest.raises(TypeError, match=error):
        finish(plt.figure(), show=False, save=save)


@pytest.mark.parametrize(
    ("save", "error", "message"),
    [
        ("x.zzz", ValueError, r"save='x\.zzz' has the ending '\.zzz'; choose from .*'pdf', .*'png'"),
        (".zzz", ValueError, r"has the ending '\.zzz'"),
        ("a\0.png", ValueError, r"save='a\\x00\.png' names no file; pass a path"),
        ("", ValueError, "save='' names no file"),
        (" ", ValueError, "save=' ' names no file"),
        (".", ValueError, r"save='\.' is a folder; pass a path"),
        ("x" * 300 + ".png", OSError, r"the figure cannot be written \(File name too long\)\. Pass another path"),
        ("file/a.png", OSError, r"save='file/a\.png': the figure cannot be written"),
    ],
)
def test_what_no_file_can_be_called_is_told(save, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(error, match=message):
        finish(plt.figure(), show=False, save=save, name="plot")


def test_false_writes_nothing_and_an_ending_is_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finish(plt.figure(), show=False, save=False)
    assert list(tmp_path.iterdir()) == []
    finish(plt.figure(), show=False, save=".svg", name="plot")  # in the usual folder of scanpy
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.svg")] == ["figures/plot.svg"]


# Columns


def test_a_column_is_found_by_name():
    assert obs_column(with_column([1, 2]), "c").tolist() == [1, 2]


def test_a_missing_column_is_answered_with_those_that_are_there():
    message = r"color='sex' is not a column of samples\.obs, which has 'c'\."
    with pytest.raises(KeyError, match=message):
        obs_column(with_column([1, 2]), "sex")


@pytest.mark.parametrize(
    ("values", "number"),
    [
        ([1, 2], True),
        ([1.5, np.nan], True),
        (pd.array([1, None], dtype="Int64"), True),
        ([True, False], False),
        (pd.array([True, None], dtype="boolean"), False),
        (["1", "2"], False),
        (pd.Categorical([1, 2]), False),
    ],
)
def test_numbers_are_told_from_groups(values, number):
    assert is_number(pd.Series(values)) is number


# Groups


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["well", "ill", "ill"], ["ill", "well"]),
        (pd.Categorical(["a", "b"], categories=["b", "unused", "a"]), ["b", "a"]),
        (pd.Categorical([10, 9, 2]), ["2", "9", "10"]),
        ([True, False], ["False", "True"]),
        (["a", None, "b"], ["a", "b"]),
    ],
)
def test_groups_are_text_in_their_own_order(values, names):
    found = groups(pd.Series(values))
    assert found.cat.categories.tolist() == names
    assert [name for name in found if isinstance(name, str)] == [str(v) for v in values if not pd.isna(v)]


def test_a_missing_group_stays_missing():
    assert groups(pd.Series(["a", None, np.nan, "b"])).isna().tolist() == [False, True, True, False]


def test_order_is_kept():
    stage = pd.Categorical(["II", "I"], categories=["I", "II"], ordered=True)
    assert groups(pd.Series(stage)).cat.ordered
    assert not groups(pd.Series(["II", "I"])).cat.ordered


# Colors of groups


def test_up_to_eight_groups_get_the_colors_of_okabe_and_ito_in_order():
    found = palette(with_column(list("hgfedcba")), "c")
    truth = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000"]
    assert found == dict(zip("abcdefgh", truth, strict=True))


def test_more_than_eight_groups_get_a_color_each():
    found = palette(with_column(list("abcdefghijkl")), "c")
    assert list(found) == list("abcdefghijkl")
    assert len(set(found.values())) == 12
    assert "#bbbbbb" not in found.values()
    assert (found["a"], found["l"]) == ("#D1BBD7", "#DC050C")  # of the 14 colors of Tol


@pytest.mark.parametrize("n", [9, 14, 15, 23, 40])
def test_many_groups_have_different_colors(n):
    found = palette(with_column([f"g{i:02d}" for i in range(n)]), "c")
    assert len({color.lower() for color in found.values()}) == n


@pytest.mark.parametrize("n", [3, 9])
def test_ordered_groups_lie_on_a_scale_whatever_their_number(n):
    names = [f"stage{9 - i}" for i in range(n)]
    found = palette(with_column(pd.Categorical(names, categories=names, ordered=True)), "c")
    assert list(found) == names
    assert (found[names[0]], found[names[n // 2]], found[names[-1]]) == ("#482475", "#21918c", "#bddf26")


def test_stored_colors_are_taken_in_the_order_of_the_groups():
    colors = np.array(["red", "#00ff00", "0.5"], dtype=object)
    found = palette(with_column(list("cab"), c_colors=colors), "c")
    assert found == {"a": "#ff0000", "b": "#00ff00", "c": "#808080"}


def test_stored_colors_go_before_the_scale_of_ordered_groups():
    values = pd.Categorical(["a", "b"], categories=["b", "a"], ordered=True)
    assert palette(with_column(values, c_colors=["red", "lime"]), "c") == {"b": "#ff0000", "a": "#00ff00"}


@pytest.mark.parametrize("stored", [["red"], ["red", "lime", "blue"]])
def test_stored_colors_for_another_number_of_groups_are_left_aside(stored):
    assert palette(with_column(list("ab"), c_colors=stored), "c") == {"a": OKABE_ITO[0], "b": OKABE_ITO[1]}


def test_a_group_keeps_its_stored_color_when_another_group_is_empty():
    values = pd.Categorical(["b", "c"], categories=["a", "b", "c"])
    found = palette(with_column(values, c_colors=["red", "lime", "blue"]), "c")
    assert found == {"b": "#00ff00", "c": "#0000ff"}


def test_the_palette_of_a_missing_column_is_refused():
    with pytest.raises(KeyError, match="color='d' is not a column"):
        palette(with_column([1, 2]), "d")


def test_a_list_of_colors_is_in_the_order_of_all_groups_or_of_those_in_use():
    samples = with_column(pd.Categorical(["c", "a"], categories=["c", "b", "a"]))
    assert palette(samples, "c", given=["red", "lime", "blue"]) == {"c": "#ff0000", "a": "#0000ff"}
    assert palette(samples, "c", given=["red", "lime"]) == {"c": "#ff0000", "a": "#00ff00"}


def test_given_colors_go_before_stored_ones():
    samples = with_column(list("ab"), c_colors=["red", "lime"])
    assert palette(samples, "c", given={"a": "0.5", "b": "blue"}) == {"a": "#808080", "b": "#0000ff"}
    assert samples.uns["c_colors"] == ["red", "lime"]


def test_numbers_that_name_groups_may_have_colors_by_number():
    assert palette(with_column(pd.Categorical([1, 2])), "c", given={1: "red", 2: "lime"})["2"] == "#00ff00"


def test_a_colormap_of_too_few_colors_is_refused():
    with pytest.raises(ValueError, match="palette='tab10' has 10 colors, but 'c' has 11 groups; pass a scale"):
        palette(with_column(list("abcdefghijk")), "c", given="tab10")
    assert len(set(palette(with_column(list("abcdefghijk")), "c", given="turbo").values())) == 11


# Legend entries


@pytest.mark.parametrize(("options", "marker"), [({}, "o"), ({"marker": "s"}, "s")])
def test_marks_are_named_and_colored(options, marker):
    found = marks({"ill": "#0072B2", "well": "#D55E00"}, **options)
    assert [(m.get_label(), m.get_color(), m.get_marker(), m.get_linestyle()) for m in found] == [
        ("ill", "#0072B2", marker, "None"),
        ("well", "#D55E00", marker, "None"),
    ]


def test_a_note_and_a_title_leave_each_other_room():
    figure, ax = plt.subplots(figsize=(2.0, 2.0))
    ax.set_title("a title as wide as the axes")
    note(ax, "training")
    figure.canvas.draw()
    title, text = (artist.get_window_extent() for artist in (ax.title, ax.texts[0]))
    assert text.y1 <= title.y0 + 1
    assert text.y0 >= ax.get_window_extent().y1
    note(ax, None)
    note(ax, "other")
    assert len(ax.texts) == 1
