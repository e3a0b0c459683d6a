"""Draw distances between samples, clustered."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from anndata import AnnData
from matplotlib.colors import Normalize, to_hex
from matplotlib.lines import Line2D
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from scggml._anndata.drawn import obs_column, seen
from scggml._anndata.samples import read_distances
from scggml._docs import documented
from scggml.pl._figure import (
    MISSING,
    NUMBERS,
    embolden,
    finish,
    groups,
    heading,
    is_number,
    marks,
    note,
    palette,
)

Linkage = Literal["average", "complete", "single", "weighted"]

NAMES = 60
"""Samples up to which their names are written."""


@documented
def clustermap(
    samples: AnnData,
    *,
    key: str = "ggml",
    color: str | Sequence[str] | None = None,
    linkage_method: Linkage = "average",
    cmap: str = "viridis_r",
    figsize: tuple[float, float] | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> sns.matrix.ClusterGrid:
    """Draw a heatmap of the distances with a dendrogram and the labels of the samples as colors.

    Parameters
    ----------
    samples
        %(samples)s
    key
        %(key_distances)s
    color
        One or several columns of `.obs`: groups (ordered ones on a scale), or numbers.
    linkage_method
        How hierarchical clustering joins samples: `"average"`, `"complete"`, `"single"` or `"weighted"`.
    cmap
        Colors of the distances; by default close is dark.
    figsize
        Width and height in inches; chosen by the number of samples if None.
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    The `seaborn` grid; the heatmap is its `ax_heatmap`.

    Raises
    ------
    KeyError
        No such distances or column.
    ValueError
        Fewer than two samples.

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
    colors, legend = color_table(samples, [] if color is None else [color] if isinstance(color, str) else list(color))
    tree = linkage(squareform(D.to_numpy(), checks=False), linkage_method)
    named = len(D) <= NAMES
    side = 4.0 + 0.11 * min(len(D), NAMES)
    grid = sns.clustermap(
        D,
        row_linkage=tree,
        col_linkage=tree,
        row_colors=None if colors.empty else colors,
        col_colors=None if colors.empty else colors,
        cmap=cmap,
        xticklabels=named,
        yticklabels=named,
        figsize=(side + 0.5, side) if figsize is None else figsize,
        dendrogram_ratio=0.14,
        colors_ratio=0.025,
        cbar_pos=(0.02, 0.87, 0.03, 0.11),
        cbar_kws={"label": "distance"},
    )
    grid.ax_heatmap.tick_params(labelsize="small", length=2)
    grid.ax_heatmap.set(xlabel="", ylabel="")
    grid.ax_cbar.tick_params(labelsize="small")
    if legend:
        grid.ax_row_colors.tick_params(labelsize="small", length=0)
        grid.ax_col_colors.tick_params(labelright=False, right=False)  # named at the rows already
        _legend_at_right(grid, legend)
    note(grid.ax_col_dendrogram, seen(samples, key))
    finish(grid.figure, show=show, save=save)
    return grid


def _legend_at_right(grid: sns.matrix.ClusterGrid, entries: list[Line2D]) -> None:
    """Make the figure wider by what the legend needs and put it there, to the right of the names of the samples."""
    legend = grid.figure.legend(
        handles=entries, loc="upper right", frameon=False, ncols=1 + (len(entries) - 1) // 25, fontsize="small"
    )
    embolden(legend)
    grid.figure.canvas.draw()
    inches = grid.figure.dpi_scale_trans.inverted()
    names = grid.ax_heatmap.get_tightbbox().transformed(inches).x1
    width, height = grid.figure.get_size_inches()
    wider = max(width, names + legend.get_window_extent().transformed(inches).width + 0.2)
    for axes in grid.figure.axes:  # everything keeps its place and size in inches
        box = axes.get_position()
        axes.set_position((box.x0 * width / wider, box.y0, box.width * width / wider, box.height))
    grid.figure.set_size_inches(wider, height)


def color_table(samples: AnnData, keys: Sequence[str]) -> tuple[pd.DataFrame, list[Line2D]]:
    """Return hex colors of each sample (row) and key (column), and the entries of the legend with a heading by key."""
    table = pd.DataFrame(index=samples.obs_names)
    legend: list[Line2D] = []
    used = 0
    for key in keys:
        values = obs_column(samples, key)
        if is_number(values):
            table[key], colors = _number_colors(values.astype(float))
        else:
            colors = palette(samples, key, used=used)
            used += len(colors)
            table[key] = [colors.get(name, MISSING) for name in groups(values).astype(object)]
        if values.isna().any():
            colors = colors | {"missing": MISSING}
        legend += [heading(key), *marks(colors, marker="s")]
    return table, legend


def _number_colors(values: pd.Series) -> tuple[list[str], dict[str, str]]:
    """Return colors of numbers on a scale, and those of its ends."""
    low, high = values.min(), values.max()
    scale = Normalize(low, high)
    colors = [MISSING if np.isnan(v) else to_hex(mpl.colormaps[NUMBERS](scale(v))) for v in values]
    ends = () if np.isnan(low) else (low, high)
    return colors, {f"{v:.4g}": to_hex(mpl.colormaps[NUMBERS](scale(v))) for v in ends}
