"""Texts of plots can be read: at their defaults, on cohorts that are hard to draw, nothing overlaps or is cut.

All is measured with the renderer of matplotlib. A plot is entered in `_crowded.DRAWN`.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from _crowded import CROWDS, DRAWN, MORE
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

import scggml as sg

HAIR = 1.5
"""Pixels by which boxes may touch; letters have a little room of their own in their boxes."""

SMALLEST = 5.0
"""Points of the smallest letters."""

LARGEST = 12.0
"""Inches of the width and height of a figure at most."""

WAYS = DRAWN | MORE


def corners(text: Text) -> np.ndarray:
    """Return (4, 2) corners of the box of a text, which is turned as the text is."""
    angle = np.radians(text.get_rotation())
    around = Text.get_window_extent(text)  # of an annotation without its arrow
    middle = np.array([around.x0 + around.x1, around.y0 + around.y1]) / 2
    turned = text.get_rotation()
    text.set_rotation(0)
    flat = Text.get_window_extent(text)
    text.set_rotation(turned)
    width, height = np.maximum(np.array([flat.width, flat.height]) - 2 * HAIR, 0.1)
    box = np.array([(-width, -height), (width, -height), (width, height), (-width, height)]) / 2
    return box @ np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))]) + middle


def rectangle(box) -> np.ndarray:
    return np.array([(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)])


def overlap(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two convex quadrangles overlap: no side of either has all of the other beyond it."""
    for shape in (one, other):
        for side in np.roll(shape, -1, axis=0) - shape:
            normal = np.array([-side[1], side[0]])
            a, b = one @ normal, other @ normal
            if a.max() <= b.min() or b.max() <= a.min():
                return False
    return True


def drawn_texts(figure: Figure) -> list[Text]:
    """Return the texts that can be seen; names of ticks beyond the ends of an axis are not drawn."""
    beyond = set()
    for axis in figure.findobj(Axis):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low - 1e-9 <= tick.get_loc() <= high + 1e-9 or not tick.get_visible():
                beyond |= {tick.label1, tick.label2}
    hidden = {part for ax in figure.axes if not ax.get_visible() for part in ax.findobj(Text)}
    every = dict.fromkeys(text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip())
    return [text for text in every if text not in beyond | hidden and not in_hidden_axis(text)]


def in_hidden_axis(text: Text) -> bool:
    ax = text.axes
    return ax is not None and not ax.axison and text in {*ax.xaxis.findobj(Text), *ax.yaxis.findobj(Text)}


def named(text: Text) -> str:
    return f"{text.get_text()!r} at {np.round(text.get_window_extent().min).tolist()}"


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Return pairs of texts that overlap, but for one that is written twice in one place."""
    texts = drawn_texts(figure)
    boxes = {text: corners(text) for text in texts}
    around = np.array([[*box.min(axis=0), *box.max(axis=0)] for box in boxes.values()])
    found = []
    for i, one in enumerate(texts):
        near = (around[i + 1 :, :2] < around[i, 2:]).all(axis=1) & (around[i, :2] < around[i + 1 :, 2:]).all(axis=1)
        for other in (texts[i + 1 + j] for j in np.flatnonzero(near)):
            same = one.get_text() == other.get_text() and np.allclose(boxes[one], boxes[other])
            if not same and overlap(boxes[one], boxes[other]):
                found.append((named(one), named(other)))
    return found


def in_the_way(figure: Figure) -> list[str]:
    """Return texts on legends and color bars of which they are no part, and legends on color bars."""
    legends = list(dict.fromkeys(figure.findobj(Legend)))
    bars = list(dict.fromkeys(ax for ax in figure.findobj(plt.Axes) if hasattr(ax, "_colorbar")))
    parts = [(legend, rectangle(legend.get_window_extent())) for legend in legends]
    parts += [(bar, rectangle(bar.get_window_extent())) for bar in bars]
    found = []
    for part, box in parts:
        own = set(part.findobj(Text))
        found += [
            f"{named(text)} on {part}"
            for text in drawn_texts(figure)
            if text not in own and overlap(corners(text), box)
        ]
    found += [f"{one} on {other}" for (one, a), (other, b) in itertools.combinations(parts, 2) if overlap(a, b)]
    return found


def cut(figure: Figure) -> list[str]:
    """Return texts that reach out of the figure."""
    width, height = figure.bbox.width, figure.bbox.height
    return [
        named(text)
        for text in drawn_texts(figure)
        if corners(text).min() < -HAIR or (corners(text) - [width, height]).max() > HAIR
    ]


def problems(figure: Figure) -> dict[str, object]:
    """Return all that is wrong with a figure; nothing if nothing is."""
    figure.canvas.draw()
    figure.canvas.draw()  # the second time with the layout of the first
    found = {
        "texts on texts": overlapping(figure)[:5],
        "texts on legends": in_the_way(figure)[:5],
        "cut": cut(figure)[:5],
        "small": [(named(text), text.get_fontsize()) for text in drawn_texts(figure) if text.get_fontsize() < SMALLEST][
            :5
        ],
    }
    return {what: where for what, where in found.items() if where}


def figure_of(drawn) -> Figure:
    first = drawn[0] if isinstance(drawn, list) else drawn
    return first.figure


def test_every_plot_is_drawn():
    assert sorted(DRAWN) == sorted(sg.pl.__all__)
    assert {name.split(",")[0] for name in MORE} <= set(DRAWN)


@pytest.mark.parametrize("crowd", CROWDS)
@pytest.mark.parametrize("name", WAYS)
def test_texts_can_be_read(name, crowd):
    adata, options = WAYS[name](CROWDS[crowd])
    figure = figure_of(getattr(sg.pl, name.split(",")[0])(adata, **options))
    width, height = figure.get_size_inches()
    assert max(width, height) <= LARGEST
    assert problems(figure) == {}


@pytest.mark.parametrize("name", [name for name in WAYS if name != "clustermap"])
def test_texts_can_be_read_on_small_axes(name):
    """Axes of a figure of 5 x 2 inches for each panel, which is small for all plots of many rows."""
    adata, options = WAYS[name](CROWDS["two classes"])
    drawn = getattr(sg.pl, name.split(",")[0])(adata, **options)
    n = len(drawn) if isinstance(drawn, list) else 1
    figure, axes = plt.subplots(n, 1, figsize=(5.0, 2.0 * n), layout="constrained")
    getattr(sg.pl, name.split(",")[0])(adata, **options, ax=axes)
    assert problems(figure) == {}
