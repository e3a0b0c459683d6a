"""Names fit: letters as large as rows allow, and names that are cut keep both of their ends."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from scggml.pl._fit import LINE, SMALLEST, fit_names, letters, shortened


def rows(n: int, inches: float, size: float = 8.0):
    figure = plt.figure(figsize=(4.0, inches))
    ax = figure.add_axes((0.3, 0.0, 0.7, 1.0))
    ax.set_yticks(range(n), [f"row {i}" for i in range(n)], fontsize=size)
    ax.set_ylim(n - 0.5, -0.5)
    fit_names(ax)
    return [label for label in ax.get_yticklabels() if label.get_visible()]


def test_names_with_room_stay_as_they_are():
    assert [(label.get_text(), label.get_fontsize()) for label in rows(3, 3.0)] == [(f"row {i}", 8.0) for i in range(3)]


def test_names_are_as_large_as_their_rows_allow():
    shown = rows(10, 1.2)
    assert len(shown) == 10
    np.testing.assert_allclose([label.get_fontsize() for label in shown], 72 * 0.12 / LINE)


@pytest.mark.parametrize(("n", "every"), [(30, 3), (20, 2)])
def test_names_that_would_be_too_small_are_written_for_every_second_or_third_row(n, every):
    shown = rows(n, 1.0)
    assert [label.get_text() for label in shown] == [f"row {i}" for i in range(0, n, every)]
    assert {label.get_fontsize() for label in shown} == {SMALLEST}


def test_names_of_several_lines_need_several_rows_of_letters():
    ax = plt.figure(figsize=(4.0, 1.0)).add_axes((0.3, 0.0, 0.7, 1.0))
    ax.set_yticks(range(4), ["two\nlines"] * 4, fontsize=8)
    ax.set_ylim(3.5, -0.5)
    fit_names(ax)
    np.testing.assert_allclose(ax.get_yticklabels()[0].get_fontsize(), 72 * 0.25 / LINE / 2)


@pytest.mark.parametrize(
    ("name", "most", "short"),
    [
        ("short", 5, "short"),
        ("ENSG00000123456.12", 9, "ENSG…6.12"),
        ("gene with a name", 8, "gene…ame"),
        ("abcd", 1, "a…d"),
    ],
)
def test_a_name_that_is_cut_keeps_both_ends(name, most, short):
    assert shortened(name, most) == short


def test_the_longest_line_counts():
    assert letters(["one", "two\nthree", "four"]) == 5
    assert letters([]) == 0
