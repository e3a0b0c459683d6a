"""Helpers of all plots: panels, and names and notes on them."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from scggml._arguments import shown
from scggml._core.checks import check_whole
from scggml.pl._colors import MISSING, NUMBERS, Palette, is_number, palette
from scggml.pl._legend import heading, marks
from scggml.pl._output import Title, titles

LINE = 24
"""Letters in a line of a legend."""

SHORT = 16
"""Letters of the names of both ends of an axis that fit into one line."""

NOTE = 5.5
"""Size of the letters of notes, in points."""


def grid(n: int, ncols: int | None = None) -> tuple[int, int]:
    """Return rows and columns of `n` panels: at most four in a row, and as few places empty as that leaves.

    Or `ncols` in a row, as far as there are panels.
    """
    if ncols is not None:
        check_whole("ncols", ncols, 1)
        return -(-n // min(n, ncols)), min(n, ncols)
    n_rows = -(-n // 4)
    return n_rows, -(-n // n_rows)


def panels(
    n: int,
    ax: Axes | Sequence[Axes] | None,
    size: tuple[float, float],
    *,
    rows: Sequence[tuple[float, float]] | None = None,
    ncols: int | None = None,
    title: Title = None,
) -> list[Axes]:
    """Return the given axes, or `n` new ones in a grid, each of `size` inches.

    `rows` are the height of each row in inches and, relative to the others, that of the axes in it; all have the height
    of `size` if None. A wrong number of panels in a row or of titles is refused here, before there is a figure.
    """
    n_rows, n_columns = grid(n, ncols)
    titles(title, n)
    if ax is not None:
        given = [ax] if isinstance(ax, Axes) else list(np.ravel(np.asarray(ax, dtype=object)))
        if not all(isinstance(one, Axes) for one in given):
            raise TypeError(f"ax={shown(ax)} is a {type(ax).__name__}; pass axes of matplotlib, one for each panel.")
        for one in given:
            _check_plain(one)
        if len(set(map(id, given))) < len(given):
            raise ValueError("ax has some axes twice, where panels would be drawn over each other; pass each once.")
        if len(given) != n:
            raise ValueError(f"ax has {len(given)} axes; this plot has {n} panels.")
        return given
    heights, ratios = zip(*([(size[1], 1.0)] * n_rows if rows is None else rows), strict=True)
    figure = plt.figure(figsize=(size[0] * n_columns, sum(heights)), layout="constrained")
    places = figure.add_gridspec(n_rows, n_columns, height_ratios=ratios)
    return [figure.add_subplot(places[divmod(i, n_columns)]) for i in range(n)]


def _check_plain(ax: Axes) -> None:
    """Raise for axes without x and y at right angles, and for those that are no longer in a figure."""
    again = "pass axes such as those of matplotlib.pyplot.subplots(), or None for new ones."
    if ax.figure is None:
        raise ValueError(f"ax was removed from its figure; {again}")
    if ax.name != "rectilinear":
        raise ValueError(
            f"ax is a {type(ax).__name__} with projection={ax.name!r}, where no plot can be drawn; {again}"
        )


def note(
    ax: Axes, seen: str | None, hint: str = "held out: sg.tl.cross_fit", *, at: float = 1.0, up: float = 2.0
) -> None:
    """Say in small letters above the axes whether what is drawn are samples that the metric was learned on.

    With a hint below it, such as how to get what holds for other samples; `at` is where it ends, or has its middle
    (0.5), and `up` how many points above the axes. The title of the axes makes room.
    """
    texts = {"training": f"training samples\n{hint}".rstrip(), "held out": "held-out donors"}
    if seen not in texts:
        return
    text = texts[str(seen)]
    if ax.get_title():
        ax.set_title(ax.get_title(), pad=NOTE * (1.7 + 1.5 * text.count("\n")) + 4)
    drawn = ax.annotate(text, (at, 1.0), (0, up), xycoords="axes fraction", textcoords="offset points", va="bottom")
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


def column_names(asked: str | Sequence[str] | None, argument: str = "color") -> list[str]:
    """Return the names of columns that are asked for, one or several."""
    names = [] if asked is None else [asked] if isinstance(asked, str) else asked
    if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        kind = type(asked).__name__
        raise TypeError(f"{argument}={asked!r} is a {kind}; pass the name of a column, or a list of names.")
    return list(names)


def gene_names(genes: Sequence[str]) -> list[str]:
    """Return the names of genes that are asked for, each once."""
    names = [str(gene) for gene in genes]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"genes={names[:5]!r}: pass at least one gene, each once.")
    return names


def paint(
    ax: Axes, samples: AnnData, key: str, points: pd.DataFrame, *, given: Palette | None = None, **style: Any
) -> list[Line2D]:
    """Draw points (`x`, `y`) in the colors of a column (`color`: numbers, or groups as text); return its legend.

    Numbers get a color bar in its place; groups have the colors that are `given`, if any.
    """
    values = points["color"]
    if is_number(values):
        scale = mpl.colormaps[NUMBERS].with_extremes(bad=MISSING)
        known = values.to_numpy(dtype=float, na_value=np.nan)
        norm = None if np.isfinite(known).any() else Normalize(0, 1)
        drawn = ax.scatter(points["x"], points["y"], c=known, cmap=scale, norm=norm, plotnonfinite=True, **style)
        ax.figure.colorbar(drawn, ax=ax, shrink=0.8).set_label(key, parse_math=False)
        return []
    colors = {name: color for name, color in palette(samples, key, given=given).items() if (values == name).any()}
    ax.scatter(points["x"], points["y"], c=[colors.get(name, MISSING) for name in values], **style)
    missing = {"missing": MISSING} if values.isna().any() else {}
    return [heading(key), *marks({wrapped(name, LINE): color for name, color in (colors | missing).items()})]


def sides(low: str, high: str, width: int = 34) -> str:
    """Return the label of an axis along which genes are higher in a class at either end, in lines of that width."""
    if len(low + high) <= SHORT:
        return f"← higher in {low}   |   higher in {high} →"
    return "\n".join(wrapped(text, width) for text in (f"← higher in {low}", f"higher in {high} →"))
