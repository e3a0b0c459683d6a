"""Room for names and legends: letters that fit, names that are cut, figures that grow."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from scggml.pl._output import literal

SMALLEST = 5.0
"""Points of the smallest letters that can be read in print."""

LINE = 1.2
"""Height of a line, in sizes of its letters."""

LETTER = 0.065
"""Inches of a letter of small size (8.3 points), on average."""

LARGEST = 12.0
"""Inches of the width and height of a figure at most."""


def letters(names: object) -> int:
    """Return the number of letters of the longest line of names."""
    return max((len(line) for name in names for line in str(name).split("\n")), default=0)  # type: ignore[attr-defined]


def fit_names(ax: Axes, which: str = "y") -> None:
    """Write names of rows ("y") or turned names of columns ("x") as large as these allow, and no larger than they are.

    Where all would be too small to read, only every second or third is written.
    """
    literal(ax)
    ax.figure.figure.draw_without_rendering()
    axis = ax.yaxis if which == "y" else ax.xaxis
    places = np.sort(ax.transData.transform(np.column_stack([axis.get_ticklocs()] * 2))[:, 1 if which == "y" else 0])
    labels = [label for label in axis.get_ticklabels() if label.get_text() and label.get_visible()]
    if len(labels) < 2:
        return
    lines = 1 + max(label.get_text().count("\n") for label in labels)
    room = float(np.diff(places).min()) * 72 / ax.figure.figure.dpi / LINE / lines
    size = min(float(labels[0].get_fontsize()), max(SMALLEST, room))
    axis.set_tick_params(labelsize=size)
    for i, label in enumerate(labels):
        label.set_fontsize(size)
        label.set_visible(i % int(np.ceil(size / max(room, 1e-9) - 1e-9)) == 0)


def fit_numbers(ax: Axes, shape: tuple[int, int]) -> None:
    """Write the numbers on the (rows, columns) of a map as small as its fields need, and none that is too small."""
    ax.figure.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    wide, tall = ax.bbox.width / shape[1], ax.bbox.height / shape[0]
    fits = min((min(wide / box.width, tall / box.height) for box in boxes), default=1.0)
    for text in ax.texts:
        size = min(1.0, 0.95 * fits) * float(text.get_fontsize())
        text.set_fontsize(size)
        text.set_visible(size >= SMALLEST)


def shortened(name: str, most: int) -> str:
    """Return a name of at most so many letters; both of its ends stay, which tell names apart."""
    if len(name) <= max(most, 3):
        return name
    end = (max(most, 3) - 1) // 2
    return f"{name[: max(most, 3) - 1 - end].rstrip()}…{name[-end:].lstrip()}"


def grow(ax: Axes, size: tuple[float, float], least: float) -> None:
    """Make a figure of one plot as wide and tall as legend and color bar need, so that the axes stay `least` inches."""
    figure = ax.figure.figure
    literal(figure)
    legend = ax.get_legend()
    box = Bbox.unit() if legend is None else legend.get_window_extent()
    beside, tall = float(box.width) / figure.dpi, float(box.height) / figure.dpi
    height = max(size[1], tall + 0.6)
    figure.set_size_inches(size[0] + beside, height)  # first more than enough
    figure.draw_without_rendering()
    too_wide = ax.get_position().width * (size[0] + beside) - least
    figure.set_size_inches(max(size[0], size[0] + beside - too_wide), height)
