"""Draw samples in the plane."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.markers import MarkerStyle

from scggml._anndata.drawn import (
    cell_counts,
    is_mds,
    key_of,
    mds_shares,
    obs_column,
    sample_coordinates,
    sample_values,
    seen,
)
from scggml._anndata.graph import warn_of_graph
from scggml._docs import documented
from scggml.pl._colors import OKABE_ITO, Palette, check_needed, groups, is_number
from scggml.pl._colors import palette as colors_of
from scggml.pl._figure import column_names, note, paint, panels, percent
from scggml.pl._fit import grow
from scggml.pl._legend import beside, check_loc, heading, marks
from scggml.pl._output import Title, entitle, finish, literal

SMALLEST, LARGEST = 25.0, 220.0
"""Areas of the points of the samples with fewest and most cells, in square points."""

ONE_SIZE = 60.0
"""Area of the points where cells do not count."""

SIZE, AXES = (4.8, 3.6), 3.6
"""Size of the figure, and least width of its axes, in inches; a wider legend makes the figure wider."""

CROWD = 100
"""Samples above which all points become smaller."""

MARKERS = ("o", "^", "s", "D", "v", "P", "X", "p")
"""Shapes of points that can be told apart."""


@documented
def embedding(
    samples: AnnData,
    *,
    basis: str = "mds",
    color: str | Sequence[str] | None = None,
    marker: str | None = None,
    components: tuple[int, int] = (1, 2),
    size_by_cells: bool = True,
    title: Title = None,
    palette: Palette | None = None,
    legend_loc: str | None = "right margin",
    ncols: int | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes | list[Axes]:
    """Draw samples as points, by default larger the more cells they have.

    Small points lie on large ones, and rare groups (of at most half of an equal share of the samples) on all others;
    above 100 samples all points are smaller. The figure is as wide as its legend needs.

    Parameters
    ----------
    samples
        AnnData of samples with coordinates, from `tl.mds`, `tl.tsne` or, after `tl.neighbors`, `sc.tl.umap`.
    basis
        Coordinates in `.obsm`, with or without the leading `X_`.
    color
        Column of `.obs`: groups (ordered ones on a scale), or numbers; or a gene of `.var_names`. A list gives a panel
        for each.
    marker
        Column of `.obs` whose groups (up to 8) have shapes of their own, such as training and test samples.
    components
        Which two coordinates to draw, from 1.
    size_by_cells
        Let the area of a point grow with the number of cells (`.obs["n_cells"]`, or `"scggml_n_cells"`).
    title
        %(titles)s
    palette
        %(palette)s
    legend_loc
        %(legend_loc)s
    ncols
        %(ncols)s
    ax
        %(ax)s
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    The axes; a list of them if `color` is a list.

    Raises
    ------
    KeyError
        No such coordinates or column.
    ValueError
        A component that is not there; more groups than shapes.

    Warns
    -----
    UserWarning
        A UMAP (or another layout of a neighbor graph) while the graph is not that of `tl.neighbors`.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> samples = sg.tl.distances(adata, metric="euclidean", sample_key="sample_id", progress=False)
    >>> sg.tl.mds(samples, key="euclidean")
    >>> ax = sg.pl.embedding(samples, color="label")
    >>> len(ax.collections[0].get_offsets())
    9

    References
    ----------
    Okabe and Ito, *Color universal design*, 2008, for the colors.
    """
    warn_of_graph(samples, basis)
    several = color is not None and not isinstance(color, str)
    colors: list[str | None] = [None] if color is None else [*column_names(color)]
    if not colors:
        raise ValueError("color=[] names nothing; pass columns of samples.obs or genes, or None.")
    check_needed(palette, colors)
    tables = [embedding_table(samples, basis, name, components, marker) for name in colors]  # names what is missing
    for name, table in zip(colors, tables, strict=True):
        if name is not None and not is_number(table["color"]):
            colors_of(samples, name, given=palette)  # as are colors
    check_loc(legend_loc)
    size = SIZE if not several else (SIZE[0] + 1.0, SIZE[1])
    axes = panels(len(colors), ax, size, ncols=ncols, title=title)
    options: dict[str, Any] = {
        "basis": basis,
        "components": components,
        "size_by_cells": size_by_cells,
        "marker": marker,
    }
    for panel, name, table in zip(axes, colors, tables, strict=True):
        draw_samples(panel, samples, name, table, given=palette, legend_loc=legend_loc, **options)
    entitle(axes, title)
    if ax is None and not several:
        grow(axes[0], SIZE, AXES)
    elif ax is None:
        _heighten(axes)
    finish(axes[0].figure, show=show, save=save, name="embedding")
    return axes if several else axes[0]


def draw_samples(
    ax: Axes,
    samples: AnnData,
    color: str | None,
    table: pd.DataFrame,
    *,
    given: Palette | None,
    legend_loc: str | None,
    basis: str,
    components: tuple[int, int] = (1, 2),
    size_by_cells: bool = True,
    marker: str | None = None,
) -> None:
    """Draw the samples in the colors of one column or gene, and the shapes of another column."""
    counts = cell_counts(samples) if size_by_cells else None
    table = table.iloc[drawing_order(table, by_area=counts is not None)]
    area = table["area"] if counts is not None else ONE_SIZE * crowding(len(table))
    style: dict[str, Any] = {"s": area, "alpha": 0.9, "linewidths": 0.5 * crowding(len(table)), "edgecolors": "white"}
    entries: list[Artist] = []
    if color is None:
        ax.scatter(table["x"], table["y"], c=[OKABE_ITO[0]] * len(table), **style)
    else:
        entries += paint(ax, samples, color, table, given=given, **style)
    if marker is not None:
        entries += _shape(ax, marker, table["marker"])
    if counts is not None:
        entries += _size_entries(ax, counts)
    if entries:
        beside(ax, entries, loc=legend_loc, labelspacing=0.7)  # the largest point is taller than a line
    scaled = is_mds(samples, basis)
    share = mds_shares(samples) if scaled else None
    for axis, i in zip((ax.xaxis, ax.yaxis), components, strict=True):
        extent = "" if share is None else f" ({percent(share[i - 1])})"
        axis.set_label_text(f"{basis.removeprefix('X_').upper()}{i}{extent}")
    if scaled:
        ax.set_aspect("equal", adjustable="datalim")  # these coordinates are distances
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[["top", "right"]].set_visible(False)
    key = key_of(samples, basis)
    note(ax, None if key is None else seen(samples, key))


def embedding_table(
    samples: AnnData, basis: str, color: str | None, components: tuple[int, int], marker: str | None = None
) -> pd.DataFrame:
    """Return what is drawn: `x`, `y`, `color` (value or group), `marker` and `area`, a row for each sample."""
    table = sample_coordinates(samples, basis, components)
    if color is not None:
        values = sample_values(samples, color)
        table["color"] = values if is_number(values) else groups(values).astype(object)
    if marker is not None:
        shapes = groups(obs_column(samples, marker, "marker"))
        if shapes.isna().any():
            shapes = shapes.cat.add_categories("missing").fillna("missing")
        if len(shapes.cat.categories) > len(MARKERS):
            raise ValueError(
                f"marker={marker!r} has {len(shapes.cat.categories)} groups, but only {len(MARKERS)} shapes can be "
                "told apart; pass a column with fewer groups, or this one as color."
            )
        table["marker"] = shapes
    counts = cell_counts(samples)
    if counts is not None:
        table["area"] = areas(counts, counts)
    return table


def _shape(ax: Axes, name: str, shapes: pd.Series) -> list[Artist]:
    """Give the points that were drawn last the shapes of their groups; return the legend entries of these."""
    styles = dict(zip(shapes.cat.categories, MARKERS, strict=False))
    paths = {shape: (style := MarkerStyle(shape)).get_path().transformed(style.get_transform()) for shape in MARKERS}
    ax.collections[-1].set_paths([paths[styles[shape]] for shape in shapes])
    return [heading(name), *(mark for text, shape in styles.items() for mark in marks({text: "#666666"}, marker=shape))]


def drawing_order(table: pd.DataFrame, *, by_area: bool) -> np.ndarray:
    """Return (P,) positions of the samples as they are drawn: small ones after large ones, rare groups last."""
    n = len(table)
    size = np.full(n, n)  # of the group, where it is rare
    if "color" in table and not is_number(table["color"]):
        counts = table["color"].value_counts()
        rare = counts[counts <= n / len(counts) / 2]
        size = table["color"].map(rare).fillna(n).to_numpy(dtype=int)
    return np.lexsort((-table["area"].to_numpy() if by_area else np.zeros(n), -size))


def _heighten(axes: list[Axes]) -> None:
    """Make the rows of panels as tall as their tallest legend, which would be cut."""
    figure = axes[0].figure.figure
    for ax in axes:
        literal(ax)
    legends = [legend for ax in axes if (legend := ax.get_legend()) is not None]
    tall = max((legend.get_window_extent().height / figure.dpi for legend in legends), default=0.0)
    grid = axes[0].get_subplotspec()
    n_rows = 1 if grid is None else grid.get_gridspec().nrows
    figure.set_size_inches(figure.get_figwidth(), n_rows * max(SIZE[1], tall + 0.6))


def areas(n_cells: np.ndarray, cohort: np.ndarray) -> np.ndarray:
    """Return areas of points that grow linearly from the smallest to the largest sample of the cohort."""
    low, high = cohort.min(), cohort.max()
    if low == high:
        return np.full(len(n_cells), ONE_SIZE * crowding(len(cohort)))
    return crowding(len(cohort)) * (SMALLEST + (LARGEST - SMALLEST) * (n_cells - low) / (high - low))


def crowding(n_samples: int) -> float:
    """Return how much smaller points are drawn among many."""
    return min(1.0, float(np.sqrt(CROWD / n_samples)))


def _size_entries(ax: Axes, n_cells: np.ndarray) -> list[Artist]:
    """Return legend entries: points of the smallest, a middle and the largest sample, if these differ."""
    low, high = n_cells.min(), n_cells.max()
    if low == high:
        return []
    steps = np.unique(np.array([low, (low + high) // 2, high]))
    points = [
        ax.scatter([], [], s=area, color="#888888", linewidths=0, label=f"{n:,}")
        for n, area in zip(steps, areas(steps, n_cells), strict=True)
    ]
    return [heading("cells"), *points]
