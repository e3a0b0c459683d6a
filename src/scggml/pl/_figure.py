"""Helpers of all plots: panels, colors that everybody can distinguish, and saving."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure, SubFigure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from scggml._anndata.drawn import obs_column, stored_colors

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
"""Colors that stay apart for color-blind readers (Okabe and Ito 2008)."""

PLAIN, FAINT = "#4D4D4D", "#BDBDBD"
"""Grays for what is not of a class, such as signs and directions: colors are those of classes."""

MANY = (
    ("#D1BBD7", "#AE76A3", "#882E72", "#1965B0", "#5289C7", "#7BAFDE", "#4EB265", "#90C987", "#CAE0AB", "#F7F056",
     "#F6C141", "#F1932D", "#E8601C", "#DC050C"),
    ("#E8ECFB", "#D9CCE3", "#CAACCB", "#BA8DB4", "#AA6F9E", "#994F88", "#882E72", "#1965B0", "#437DBF", "#6195CF",
     "#7BAFDE", "#4EB265", "#90C987", "#CAE0AB", "#F7F056", "#F7CB45", "#F4A736", "#EE8026", "#E65518", "#DC050C",
     "#A5170E", "#72190E", "#42150A"),
)  # fmt: skip
"""Colors of up to 14, and of up to 23 groups, that stay apart for color-blind readers (Tol 2021).

Any two of up to 8, 14 and 23 colors are at least 15, 10 and 8 apart in CIELAB as they are seen with protanopia or
deuteranopia (Machado et al. 2009); 2.3 can just be told.
"""

MISSING = "#BBBBBB"
NUMBERS = "viridis"

LINE = 24
"""Letters in a line of a legend."""

SHORT = 16
"""Letters of the names of both ends of an axis that fit into one line."""

NOTE = 5.5
"""Size of the letters of notes, in points."""


def grid(n: int) -> tuple[int, int]:
    """Return rows and columns of `n` panels: at most four in a row, and as few places empty as that leaves."""
    n_rows = -(-n // 4)
    return n_rows, -(-n // n_rows)


def panels(
    n: int,
    ax: Axes | Sequence[Axes] | None,
    size: tuple[float, float],
    *,
    rows: Sequence[tuple[float, float]] | None = None,
) -> list[Axes]:
    """Return the given axes, or `n` new ones in a grid, each of `size` inches.

    `rows` are the height of each row in inches and, relative to the others, that of the axes in it; all have the height
    of `size` if None.
    """
    if ax is not None:
        given = [ax] if isinstance(ax, Axes) else list(np.ravel(np.asarray(ax, dtype=object)))
        if len(given) != n:
            raise ValueError(f"ax has {len(given)} axes; this plot has {n} panels.")
        return given
    n_rows, n_columns = grid(n)
    heights, ratios = zip(*([(size[1], 1.0)] * n_rows if rows is None else rows), strict=True)
    figure = plt.figure(figsize=(size[0] * n_columns, sum(heights)), layout="constrained")
    places = figure.add_gridspec(n_rows, n_columns, height_ratios=ratios)
    return [figure.add_subplot(places[divmod(i, n_columns)]) for i in range(n)]


def finish(figure: Figure | SubFigure, *, show: bool, save: str | Path | None) -> None:
    """Write the figure to a file and show it, if asked to.

    Either way it stays open: the caller has its axes and may add to them.
    """
    if save is not None:
        whole = figure.figure.figure if isinstance(figure, SubFigure) else figure
        whole.savefig(save, bbox_inches="tight", dpi=200)
    if show:
        plt.show()


def is_number(values: pd.Series) -> bool:
    """Return whether values are drawn on a color scale rather than as groups."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def groups(values: pd.Series) -> pd.Series:
    """Return values as text categories, in their own order if they have one; missing values stay missing."""
    as_category = values if isinstance(values.dtype, pd.CategoricalDtype) else values.astype("category")
    used: pd.Series = as_category.cat.remove_unused_categories()
    return used.cat.rename_categories([str(name) for name in used.cat.categories])


def palette(samples: AnnData, key: str, *, used: int = 0) -> dict[str, str]:
    """Return the color of each group: that in `.uns["<key>_colors"]`, a scale for ordered groups, else distinct ones.

    Where `used` colors of the latter are taken by another key, the next ones are given as far as they go.
    """
    column = obs_column(samples, key)
    values = groups(column)
    names = list(values.cat.categories)
    every = [str(name) for name in column.cat.categories] if isinstance(column.dtype, pd.CategoricalDtype) else names
    stored = stored_colors(samples, key)
    if stored is not None and len(stored) in (len(every), len(names)):
        by_name = dict(zip(every if len(stored) == len(every) else names, stored, strict=True))
        colors = [to_hex(by_name[name]) for name in names]
    elif values.cat.ordered:
        colors = [to_hex(color) for color in mpl.colormaps[NUMBERS](np.linspace(0.1, 0.9, len(names)))]
    else:
        colors = distinct(len(names), used=used)
    return dict(zip(names, colors, strict=True))


def distinct(n: int, *, used: int = 0) -> list[str]:
    """Return colors of `n` groups, after the `used` first ones as far as they go."""
    if n <= len(OKABE_ITO):
        first = used if used + n <= len(OKABE_ITO) else 0
        return list(OKABE_ITO[first : first + n])
    for colors in MANY:
        if n <= len(colors):
            return [colors[i] for i in np.linspace(0, len(colors) - 1, n).round().astype(int)]
    return [to_hex(color) for color in mpl.colormaps[NUMBERS](np.linspace(0.0, 1.0, n))]


def note(ax: Axes, seen: str | None, hint: str = "held out: sg.tl.cross_fit", *, at: float = 1.0) -> None:
    """Say in small letters above the axes whether what is drawn are samples that the metric was learned on.

    With a hint below it, such as how to get what holds for other samples; `at` is where it ends, or has its middle
    (0.5). The title of the axes makes room.
    """
    texts = {"training": f"training samples\n{hint}".rstrip(), "held out": "held-out donors"}
    if seen not in texts:
        return
    text = texts[str(seen)]
    if ax.get_title():
        ax.set_title(ax.get_title(), pad=NOTE * (1.7 + 1.5 * text.count("\n")) + 4)
    drawn = ax.annotate(text, (at, 1.0), (0, 2), xycoords="axes fraction", textcoords="offset points", va="bottom")
    drawn.set(fontsize=NOTE, color="#777777", ha="center" if at == 0.5 else "right")


def percent(share: float) -> str:
    """Return a share as text for a title; a positive one never reads as 0 %."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def wrapped(text: str, width: int = 14) -> str:
    """Return a name on as many lines as it needs; one without spaces breaks where it must."""
    return "\n".join(textwrap.wrap(text.replace("_", "_ "), width)).replace("_ ", "_") or text


def spread(middles: np.ndarray, apart: float, end: float) -> np.ndarray:
    """Return places from 0 to `end` near the ascending ones given, `apart` from each other if there is room."""
    if not len(middles):
        return np.zeros(0)
    apart = min(apart, end / len(middles))
    steps = apart * np.arange(len(middles))
    # Ascending places less the steps are apart with the steps; these are nearest in squares.
    free = isotonic_regression(middles - steps).x
    return np.clip(free, apart / 2, end - apart / 2 - steps[-1]) + steps


def heading(text: str) -> Line2D:
    """Return a legend entry that heads a section."""
    return Line2D([], [], linestyle="", label=text)


def column_names(color: str | Sequence[str] | None) -> list[str]:
    """Return the names of columns that are asked for, one or several."""
    names = [] if color is None else [color] if isinstance(color, str) else color
    if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"color={color!r} is a {type(color).__name__}; pass the name of a column, or a list of names.")
    return list(names)


def paint(ax: Axes, samples: AnnData, key: str, points: pd.DataFrame, **style: Any) -> list[Line2D]:
    """Draw points (`x`, `y`) in the colors of a column (`color`: numbers, or groups as text); return its legend.

    Numbers get a color bar in its place.
    """
    values = points["color"]
    if is_number(values):
        scale = mpl.colormaps[NUMBERS].with_extremes(bad=MISSING)
        known = values.to_numpy(dtype=float, na_value=np.nan)
        norm = None if np.isfinite(known).any() else Normalize(0, 1)
        drawn = ax.scatter(points["x"], points["y"], c=known, cmap=scale, norm=norm, plotnonfinite=True, **style)
        ax.figure.colorbar(drawn, ax=ax, label=key, shrink=0.8)
        return []
    colors = {name: color for name, color in palette(samples, key).items() if (values == name).any()}
    ax.scatter(points["x"], points["y"], c=[colors.get(name, MISSING) for name in values], **style)
    missing = {"missing": MISSING} if values.isna().any() else {}
    return [heading(key), *marks({wrapped(name, LINE): color for name, color in (colors | missing).items()})]


def beside(ax: Axes, entries: Sequence[Artist], *, at: float = 1.01, **options: Any) -> None:
    """Draw a legend to the right of the axes, in as many columns as it needs, with its headings in bold."""
    columns = 1 + (len(entries) - 1) // 16
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (at, 1.0), "frameon": False, "fontsize": "small"}
    embolden(ax.legend(handles=entries, ncols=columns, **(place | options)))


def sides(low: str, high: str) -> str:
    """Return the label of an axis along which genes are higher in a class at either end."""
    between = "   |   " if len(low + high) <= SHORT else "\n"
    return f"← higher in {low}{between}higher in {high} →"


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
