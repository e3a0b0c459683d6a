"""Draw distances between samples, clustered."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from scggml._anndata.drawn import seen
from scggml._anndata.graph import warn_of_graph
from scggml._anndata.samples import read_distances
from scggml._arguments import shown
from scggml._core.checks import check_choice, check_number
from scggml._docs import documented
from scggml.pl._annotations import color_table
from scggml.pl._colors import Palette, check_needed, ink
from scggml.pl._embedding import draw_samples, embedding_table
from scggml.pl._figure import column_names, note
from scggml.pl._fit import fit_names, letters
from scggml.pl._legend import RIGHT, check_loc, draw_legend, embolden
from scggml.pl._output import Title, entitle, finish, literal, titles

Linkage = Literal["average", "complete", "single", "weighted"]

NAMES = 60
"""Samples up to which their names are written, where they fit."""

LETTER, LEGIBLE = 8.3, 5.0
"""Size of the letters of names at most, and at least (else they are left out), in points."""

WIDEST, UNNAMED = 9.3, 8.0
"""Inches of the figure without its legend at most, and where samples are too many for names."""

MATRIX = 5.2
"""Inches of the heatmap that are left where there are many names."""

MUCH = 1.25
"""How many times as large as the others outliers are at least, else colors reach to them."""

PLANE, APART = 4.2, 0.7
"""Inches of the axes of an embedding at most, and between them and the names of the samples."""

ANNOTATIONS = "OrRd"
"""Colors of numbers of samples, none of which is a color of the distances."""


@documented
def clustermap(
    samples: AnnData,
    *,
    key: str = "ggml",
    color: str | Sequence[str] | None = None,
    basis: str | None = None,
    linkage_method: Linkage = "average",
    cmap: str = "viridis_r",
    figsize: tuple[float, float] | None = None,
    title: Title = None,
    palette: Palette | None = None,
    legend_loc: str | None = "right margin",
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> sns.matrix.ClusterGrid:
    """Draw a heatmap of the distances with a dendrogram and the labels of the samples as colors.

    Where few distances are far larger than the others (more than 1.5 interquartile ranges above the third quartile, and
    1.25 times as large as the others), colors and dendrogram end at the largest of the others, as the color bar says.

    Parameters
    ----------
    samples
        %(samples)s
    key
        %(key_distances)s
    color
        One or several columns of `.obs`: groups (ordered ones on a scale), or numbers (from pale to dark red).
    basis
        Draw the samples in the plane, too, at the right: by these coordinates, such as `"mds"`, and in the colors of
        the first column, as `embedding` does. Its axes have the label `"embedding"`.
    linkage_method
        How hierarchical clustering joins samples: `"average"`, `"complete"`, `"single"` or `"weighted"`.
    cmap
        Colors of the distances; by default close is dark.
    figsize
        Width and height in inches; chosen by the number of samples if None.
    title
        %(title)s
    palette
        %(palette)s
    legend_loc
        %(legend_loc)s
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    The `seaborn` grid; the heatmap is its `ax_heatmap`, and the figure its `figure`.

    Raises
    ------
    KeyError
        No such distances, column or coordinates.
    ValueError
        Fewer than two samples.

    Warns
    -----
    UserWarning
        A UMAP while the neighbor graph is not that of `tl.neighbors`.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> samples = sg.tl.distances(adata, metric="euclidean", sample_key="sample_id", progress=False)
    >>> grid = sg.pl.clustermap(samples, key="euclidean", color="label")
    >>> grid.data2d.shape
    (9, 9)

    References
    ----------
    Waskom, *seaborn: statistical data visualization*, JOSS 2021.
    """
    D = pd.DataFrame(read_distances(samples, key), index=samples.obs_names, columns=samples.obs_names)
    if len(D) < 2:
        raise ValueError(f"samples has {len(D)} row; at least two samples can be clustered.")
    titles(title, 1)
    check_loc(legend_loc)
    columns = column_names(color)
    check_needed(palette, columns)
    colors, legend = color_table(samples, columns, numbers=ANNOTATIONS, given=palette)
    check_choice("linkage_method", linkage_method, get_args(Linkage))
    if cmap not in mpl.colormaps:
        raise ValueError(f"cmap={cmap!r} is no color map of matplotlib; choose a name such as 'viridis_r'.")
    if figsize is not None:
        _check_size(figsize)
    if basis is not None:
        warn_of_graph(samples, basis)
        table = embedding_table(samples, basis, columns[0] if columns else None, (1, 2))
    tree = linkage(squareform(D.to_numpy(), checks=False), linkage_method)
    named = len(D) <= NAMES
    largest, limit = float(D.to_numpy().max()), color_limit(D.to_numpy())
    cut = limit < largest
    # long names of samples take no room of the distances, as far as a page goes
    side = min(WIDEST, 4.0 + 0.11 * len(D) + 0.055 * max(0, letters(D.index) - 12)) if named else UNNAMED
    letter = max(LEGIBLE, min(LETTER, 0.8 * 72 * MATRIX / len(D))) if named else LETTER
    # seaborn lays out by these, and measures names
    with mpl.rc_context({"xtick.labelsize": letter, "ytick.labelsize": letter, "text.parse_math": False}):
        grid = sns.clustermap(
            D,
            row_linkage=tree,
            col_linkage=tree,
            row_colors=None if colors.empty else colors,
            col_colors=None if colors.empty else colors,
            cmap=cmap,
            vmax=limit,
            xticklabels=named,
            yticklabels=named,
            figsize=(side + 0.5, side) if figsize is None else figsize,
            dendrogram_ratio=0.14,
            tree_kws={"colors": [ink()]},
            colors_ratio=0.025,
            cbar_pos=(0.02, 0.87, 0.03, 0.11),  # see `_place_scale`
            cbar_kws={"label": f"distance\n(largest {largest:.3g})", "extend": "max"} if cut else {"label": "distance"},
        )
    if cut:
        _cut_trees(grid, limit)
    grid.ax_cbar.yaxis.label.set_fontsize("small")
    grid.ax_heatmap.tick_params(length=2)
    grid.ax_heatmap.set(xlabel="", ylabel="")
    grid.ax_cbar.tick_params(labelsize="small")
    if legend:
        grid.ax_row_colors.tick_params(labelsize="small", length=0)
        grid.ax_col_colors.tick_params(labelright=False, right=False)  # named at the rows already
    _fit_names(grid, letter)
    _place_scale(grid)
    if basis is not None:
        beside = _axes_at_right(grid)
        how: dict[str, Any] = {"given": palette, "legend_loc": None, "basis": basis}
        draw_samples(beside, samples, columns[0] if columns else None, table, **how)
    if legend and legend_loc == RIGHT:
        _legend_at_right(grid, legend)
    else:
        draw_legend(grid.ax_heatmap, legend, legend_loc)
        literal(grid.ax_heatmap)
    note(grid.ax_col_dendrogram, seen(samples, key))
    entitle([grid.ax_col_dendrogram], title)
    below, above = _beyond(grid)
    _resize(grid, up=above, down=below)
    finish(grid.figure, show=show, save=save, name="clustermap")
    return grid


def color_limit(D: np.ndarray) -> float:
    """Return the largest of the (P, P) distances that is no outlier, so that one sample cannot own the colors.

    It is the largest of all if that is not much larger.
    """
    distances = squareform(D, checks=False)
    low, high = np.quantile(distances, [0.25, 0.75])
    within = distances[distances <= high + 1.5 * (high - low)]
    return float(within.max() if distances.max() > MUCH * within.max() else distances.max())


def _cut_trees(grid: sns.matrix.ClusterGrid, limit: float) -> None:
    """Draw what is joined beyond the limit at the end of the dendrogram, which leaves the other joints their room."""
    end = 1.05 * limit
    for ax, height in ((grid.ax_row_dendrogram, 0), (grid.ax_col_dendrogram, 1)):
        for lines in ax.collections:
            segments = [np.array(segment) for segment in lines.get_segments()]
            for segment in segments:
                segment[:, height] = np.minimum(segment[:, height], end)
            lines.set_segments(segments)
    if grid.dendrogram_row.linkage[:, 2].max() > end:
        grid.ax_row_dendrogram.set_xlim(1.05 * end, 0.0)
        grid.ax_col_dendrogram.set_ylim(0.0, 1.05 * end)


def _fit_names(grid: sns.matrix.ClusterGrid, largest: float) -> None:
    """Write the names of samples as large as their rows and columns allow, up to a size, or not at all."""
    grid.figure.canvas.draw()
    box = grid.ax_heatmap.get_window_extent()
    for axis, inches in ((grid.ax_heatmap.xaxis, box.width), (grid.ax_heatmap.yaxis, box.height)):
        room = 0.8 * 72 * inches / grid.figure.dpi / len(grid.data2d)
        if room < LEGIBLE:
            axis.set_ticks([])
        axis.set_tick_params(labelsize=min(largest, room))
    if grid.ax_row_colors is not None:
        fit_names(grid.ax_row_colors, "x")


def _place_scale(grid: sns.matrix.ClusterGrid) -> None:
    """Put the color bar into the corner between the trees, which is smaller the longer the names of the samples are."""
    width, height = grid.figure.get_size_inches()
    bottom = grid.ax_heatmap.get_position().y1 + 0.1 / height
    top = grid.ax_col_dendrogram.get_position().y1 - 0.05 / height
    grid.ax_cbar.set_position((0.03 / width, bottom, 0.1 / width, top - bottom))
    grid.ax_cbar.yaxis.labelpad = 1.0


def _axes_at_right(grid: sns.matrix.ClusterGrid) -> Axes:
    """Make the figure wider by new axes as tall as the heatmap, to the right of the names of the samples."""
    grid.figure.canvas.draw()
    inches = grid.figure.dpi_scale_trans.inverted()
    heatmap = grid.ax_heatmap.get_window_extent().transformed(inches)
    left = grid.ax_heatmap.get_tightbbox().transformed(inches).x1 + APART
    side = min(PLANE, float(heatmap.height))
    _resize(grid, right=max(0.0, left + side + 0.2 - grid.figure.get_figwidth()))
    width, height = grid.figure.get_size_inches()
    place = left / width, (heatmap.y1 - side) / height, side / width, side / height
    return grid.figure.add_axes(place, label="embedding")


def _legend_at_right(grid: sns.matrix.ClusterGrid, entries: list[Line2D]) -> None:
    """Make the figure wider by what the legend needs and put it there, to the right of the names of the samples."""
    legend = grid.figure.legend(
        handles=entries, loc="upper right", frameon=False, ncols=1 + (len(entries) - 1) // 25, fontsize="small"
    )
    embolden(legend)
    literal(legend)
    grid.figure.canvas.draw()
    inches = grid.figure.dpi_scale_trans.inverted()
    names = max(ax.get_tightbbox().transformed(inches).x1 for ax in (grid.ax_heatmap, grid.figure.axes[-1]))
    width = grid.figure.get_figwidth()
    _resize(grid, right=max(0.0, names + legend.get_window_extent().transformed(inches).width + 0.2 - width))


def _beyond(grid: sns.matrix.ClusterGrid) -> tuple[float, float]:
    """Return how far names reach out of the figure below, and title and note above, in inches."""
    grid.figure.canvas.draw()
    above = (grid.ax_col_dendrogram.title, *grid.ax_col_dendrogram.texts)
    below = [ax.get_tightbbox().y0 for ax in (grid.ax_heatmap, grid.ax_row_colors) if ax is not None]
    over = max(text.get_window_extent().y1 for text in above) - grid.figure.bbox.y1
    inches = [0.05 + float(pixels) / grid.figure.dpi for pixels in (-min(below), over)]
    return inches[0] if inches[0] > 0.05 else 0.0, inches[1] if inches[1] > 0.05 else 0.0


def _resize(grid: sns.matrix.ClusterGrid, *, right: float = 0.0, up: float = 0.0, down: float = 0.0) -> None:
    """Make the figure wider and taller; everything keeps its place and size in inches."""
    width, height = grid.figure.get_size_inches()
    wider, taller = width / (width + right), height / (height + up + down)
    raised = down / (height + up + down)
    for axes in grid.figure.axes:
        box = axes.get_position()
        axes.set_position((box.x0 * wider, raised + box.y0 * taller, box.width * wider, box.height * taller))
    grid.figure.set_size_inches(width + right, height + up + down)


def _check_size(figsize: object) -> None:
    """Raise unless it is width and height in inches."""
    if isinstance(figsize, str) or not isinstance(figsize, Sequence | np.ndarray) or len(figsize) != 2:
        raise TypeError(f"figsize={shown(figsize)} is a {type(figsize).__name__}; pass (width, height) in inches.")
    for size in figsize:
        check_number("figsize", size, "(width, height), two positive numbers of inches", 0, open_low=True)
