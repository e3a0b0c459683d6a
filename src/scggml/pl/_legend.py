"""Legends: their entries, and where they stand."""

from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from scggml._anndata.messages import choices

RIGHT, ABOVE, BELOW = "right margin", "top margin", "bottom margin"
"""Places outside of the axes."""

TALL = 16
"""Entries of a column of a legend beside the axes."""


def check_loc(loc: object, home: str = RIGHT) -> None:
    """Raise unless a legend can stand there: where it is by default, at the right, inside, or nowhere."""
    places = [*dict.fromkeys([home, RIGHT, *Legend.codes]), "none"]
    if loc is not None and not (isinstance(loc, str) and loc in places):
        raise ValueError(f"legend_loc={loc!r} is no place; choose from {choices(places)}, or None for no legend.")


def draw_legend(
    ax: Axes, entries: Sequence[Artist], loc: str | None, *, outside: dict[str, Any] | None = None, **style: Any
) -> None:
    """Draw a legend where it is asked for, with its headings in bold; `outside` is how it stands outside of the axes.

    Without it, it stands in the margin at the right, in as many columns as it needs.
    """
    if loc is None or loc == "none" or not entries:
        return
    place: dict[str, Any] = {"loc": loc, "framealpha": 0.8, "edgecolor": "none", "fontsize": "small"}
    if loc == RIGHT:
        place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "frameon": False, "fontsize": "small"}
        place["ncols"] = 1 + (len(entries) - 1) // TALL
    elif loc == ABOVE:
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "frameon": False, "fontsize": "small"}
    if loc in (RIGHT, ABOVE, BELOW):
        place |= outside or {}
    embolden(ax.legend(handles=list(entries), **(place | style)))


def beside(ax: Axes, entries: Sequence[Artist], *, at: float = 1.01, loc: str | None = RIGHT, **options: Any) -> None:
    """Draw a legend to the right of the axes, `at` from their left end, unless another place is asked for."""
    draw_legend(ax, entries, loc, outside={"bbox_to_anchor": (at, 1.0)}, **options)


def heading(text: str) -> Line2D:
    """Return a legend entry that heads a section."""
    return Line2D([], [], linestyle="", label=text)


def embolden(legend: Legend) -> None:
    """Print the headings of a legend in bold."""
    for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        if (
            isinstance(handle, Line2D)
            and handle.get_linestyle() == "None"
            and handle.get_marker() in ("", "None", None)
        ):
            text.set_fontweight("bold")


def marks(colors: dict[str, str], *, marker: str = "o") -> list[Line2D]:
    """Return the legend entries of groups."""
    return [
        Line2D([], [], marker=marker, linestyle="", markersize=7, color=color, markeredgecolor="none", label=name)
        for name, color in colors.items()
    ]
