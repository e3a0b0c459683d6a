"""Colors that everybody can distinguish, and those that a user asks for."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.colors import ListedColormap, to_hex

from scggml._anndata.drawn import obs_column, stored_colors
from scggml._anndata.messages import choices
from scggml._arguments import shown

Palette = Mapping[str, str] | Sequence[str] | str
"""A color by group, colors in the order of the groups, or the name of a colormap of matplotlib."""

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

FEW = 256
"""Colors of a scale; colormaps that list fewer hold colors of groups, which are taken one by one."""


def ink() -> str:
    """Return the color of lines and signs in the style in use, whose paper may be dark."""
    return to_hex(mpl.rcParams["text.color"])


def paper() -> str:
    """Return the color inside of open marks, which is that behind all."""
    return to_hex(mpl.rcParams["axes.facecolor"], keep_alpha=True)


def is_number(values: pd.Series) -> bool:
    """Return whether values are drawn on a color scale rather than as groups."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def groups(values: pd.Series) -> pd.Series:
    """Return values as text categories, in their own order if they have one; missing values stay missing."""
    as_category = values if isinstance(values.dtype, pd.CategoricalDtype) else values.astype("category")
    used: pd.Series = as_category.cat.remove_unused_categories()
    return used.cat.rename_categories([str(name) for name in used.cat.categories])


def palette(samples: AnnData, key: str, *, used: int = 0, given: Palette | None = None) -> dict[str, str]:
    """Return the color of each group of a column.

    It is that which is given, or in `.uns["<key>_colors"]`, or on a scale for ordered groups, else a distinct one.
    Where `used` colors of the latter are taken by another key, the next ones are given as far as they go.
    """
    column = obs_column(samples, key)
    values = groups(column)
    names = list(values.cat.categories)
    every = [str(name) for name in column.cat.categories] if isinstance(column.dtype, pd.CategoricalDtype) else names
    if given is not None:
        return chosen(given, names, repr(key), every=every)
    stored = stored_colors(samples, key)
    if stored is not None and len(stored) in (len(every), len(names)):
        by_name = dict(zip(every if len(stored) == len(every) else names, stored, strict=True))
        colors = [to_hex(by_name[name]) for name in names]
    elif values.cat.ordered:
        colors = [to_hex(color) for color in mpl.colormaps[NUMBERS](np.linspace(0.1, 0.9, len(names)))]
    else:
        colors = distinct(len(names), used=used)
    return dict(zip(names, colors, strict=True))


def check_needed(given: Palette | None, columns: Sequence[str | None]) -> None:
    """Raise if a palette is given where no column is colored, so that it would be ignored."""
    if given is not None and not any(columns):
        raise ValueError(
            f"palette={shown(given)} gives colors to the groups of color, and color is None; pass a column as color, "
            "or leave palette out."
        )


def chosen(given: Palette, names: Sequence[str], what: str, *, every: Sequence[str] | None = None) -> dict[str, str]:
    """Return the colors that a user gave the groups; `every` has those that are not drawn, too, in their order."""
    if isinstance(given, str):
        colors = dict(zip(names, _of_map(given, len(names), what), strict=True))
    elif isinstance(given, Mapping):
        by_name = {str(name): color for name, color in given.items()}
        missing = [name for name in names if name not in by_name]
        if missing:
            raise ValueError(
                f"palette has no color of {choices(missing)}; pass a color for each group of {what}: "
                f"{choices(names)}. It has colors of {choices(by_name)}."
            )
        colors = {name: by_name[name] for name in names}
    elif isinstance(given, Sequence | np.ndarray):
        if len(given) < len(names):
            raise ValueError(
                f"palette has {len(given)} colors, but {what} has {len(names)} groups; pass a color for each of "
                f"{choices(names)}."
            )
        order = every if every is not None and len(given) >= len(every) else names
        by_name = dict(zip(order, given, strict=False))
        colors = {name: by_name[name] for name in names}
    else:
        raise TypeError(
            f"palette={given!r} is a {type(given).__name__}; pass colors by group ({{'name': 'color'}}), a list of "
            "colors, or the name of a colormap of matplotlib."
        )
    wrong = [color for color in colors.values() if not mpl.colors.is_color_like(color)]
    if wrong:
        raise ValueError(f"palette: {choices(wrong)} is no color; pass names such as 'red' or codes such as '#0072B2'.")
    return {name: to_hex(color) for name, color in colors.items()}


def _of_map(name: str, n: int, what: str) -> list[str]:
    """Return `n` colors of a colormap: its first ones if it lists colors of groups, else colors along it."""
    if name not in mpl.colormaps:
        raise ValueError(
            f"palette={name!r} is no colormap of matplotlib; pass one such as 'tab10', 'Set2' or 'viridis', a list of "
            "colors, or colors by group."
        )
    scale = mpl.colormaps[name]
    if not isinstance(scale, ListedColormap) or scale.N >= FEW:
        return [to_hex(color) for color in scale(np.linspace(0.0, 1.0, n))]
    if n > scale.N:
        raise ValueError(
            f"palette={name!r} has {scale.N} colors, but {what} has {n} groups; pass a scale such as 'viridis' or "
            f"'turbo', or a list of {n} colors."
        )
    return [to_hex(color) for color in scale(range(n))]


def distinct(n: int, *, used: int = 0) -> list[str]:
    """Return colors of `n` groups, after the `used` first ones as far as they go."""
    if n <= len(OKABE_ITO):
        first = used if used + n <= len(OKABE_ITO) else 0
        return list(OKABE_ITO[first : first + n])
    for colors in MANY:
        if n <= len(colors):
            return [colors[i] for i in np.linspace(0, len(colors) - 1, n).round().astype(int)]
    return [to_hex(color) for color in mpl.colormaps[NUMBERS](np.linspace(0.0, 1.0, n))]
