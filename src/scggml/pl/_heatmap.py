"""Draw the expression of genes in samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from matplotlib.lines import Line2D

from scggml._anndata.drawn import is_learned, obs_column
from scggml._docs import documented
from scggml.pl._annotations import color_table
from scggml.pl._colors import Palette, check_needed, groups, is_number
from scggml.pl._figure import column_names, note, panels
from scggml.pl._fit import LARGEST, fit_names, letters
from scggml.pl._heatmap_table import group_table, heatmap_table
from scggml.pl._legend import TALL, beside, check_loc
from scggml.pl._output import Title, entitle, finish

CUT = 2.5
"""Standard deviations at which colors end."""

COLORS = "RdBu_r"
"""Low and high expression; red and blue stay apart for color-blind readers."""

ROW, COLUMN = 0.17, 0.13
"""Inches of a gene, and of a sample whose name is written."""

LETTER, SMALL = 0.068, 0.06
"""Inches of a letter, and of one of the names of samples."""

LINE = 0.19
"""Inches of an entry of the legend."""

NAMED = 60
"""Most samples whose names are written."""

WIDEST = 6.2
"""Inches of the matrix of more samples at most."""

MANY = 20
"""Groups between which lines are thin."""

ANNOTATIONS = "Greens"
"""Scale of numbers of samples, which is none of the expression."""

GRAYS = "Greys"
"""Scale of numbers beside the samples, which are not expression."""


@documented
def heatmap(
    samples: AnnData,
    genes: Sequence[str],
    *,
    color: str | Sequence[str] | None = None,
    groupby: str | Sequence[str] | None = None,
    layer: str | None = None,
    standardize: bool = True,
    title: Title = None,
    palette: Palette | None = None,
    legend_loc: str | None = "right margin",
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    """Draw genes x samples, samples by group and within a group by likeness, or the means of groups.

    Genes that were chosen because they differ between these samples do so here, whether or not they do in others; the
    figure says so where samples are those that a metric was learned on.

    Parameters
    ----------
    samples
        AnnData of samples from `tl.distances`, whose `.X` is the mean expression of genes.
    genes
        Names of genes in the order in which they are drawn, such as
        `sg.get.rank_genes_df(adata, component=1, n_genes=20)["gene"]`.
    color
        Columns of `.obs` that are drawn above the samples: groups, or numbers (in green). Samples are sorted by the
        first one. With `groupby`, columns with one value for each group; by default those of `groupby`.
    groupby
        Columns of `.obs`: draw the mean of each group of samples, or of each combination of several columns, in their
        order; of more than 60, the groups of the first column are named. Rows may be those of
        `sc.get.aggregate(adata, ["cell_type", "label"], "mean")`, with `layer="mean"`. Samples without a value are left
        out.
    layer
        Layer to draw, such as `"fraction"` (share of the cells that express a gene), in place of `.X`.
    standardize
        Draw each gene in standard deviations from its mean over the samples; colors end at 2.5, or for groups at the
        largest value.
    title
        %(title)s
    palette
        %(palette)s
    legend_loc
        %(legend_loc)s
    ax
        %(ax)s
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        No such gene, column or layer.
    ValueError
        No genes, or a gene that comes twice; a column of `color` with several values in a group; an empty `.X` without
        `layer`.
    TypeError
        A text in place of a list of genes, a column that is no text, `standardize` that is neither True nor False.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> samples = sg.tl.distances(adata, metric="euclidean", sample_key="sample_id", progress=False)
    >>> ax = sg.pl.heatmap(samples, ["signal", "noise_1"], color="label")
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['label', 'signal', 'noise_1']

    References
    ----------
    Eisen et al., *Cluster analysis and display of genome-wide expression patterns*, PNAS 1998.
    """
    check_loc(legend_loc)
    columns, by = column_names(color), column_names(groupby, "groupby")
    check_needed(palette, columns or by)
    options: dict[str, Any] = {"layer": layer, "standardize": standardize}
    limit = CUT
    if by:
        columns = columns or by
        table, rows = group_table(samples, genes, by, columns, **options)
        limit = min(CUT, float(np.abs(table.to_numpy()).max())) or CUT  # means differ less than samples
    else:
        table, rows = heatmap_table(samples, genes, columns, **options), samples
    every = len(table.columns) <= NAMED
    ticks = (
        {float(i): str(name) for i, name in enumerate(table.columns)} if every else _spans(rows, by[0]) if by else {}
    )
    named = by if every else by[:1]
    colors, entries = color_table(rows, columns, numbers=ANNOTATIONS, given=palette, named=named)
    given, size = ax is not None, _size(table, columns, entries, ticks)
    (ax,) = panels(1, ax, size, title=title)
    drawn = ax.imshow(
        table.to_numpy(),
        aspect="auto",
        cmap=COLORS if standardize else GRAYS,
        norm=Normalize(-limit, limit) if standardize else None,
        interpolation="nearest",
    )
    _name(ax, table, columns, ticks)
    _draw_strips(ax, colors.loc[table.columns])
    if columns and len(by) != 1:
        _divide(ax, rows, table, columns[0])
    label = "mean expression" if layer is None else layer
    ends = "both" if standardize and limit == CUT else "neither"
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=min(1.0, 1.4 / _height(table, columns)), extend=ends)
    bar.set_label(f"{label}, sd" if standardize else label, fontsize="small", parse_math=False)
    beside(ax, entries, at=1.02, loc=legend_loc)  # the color bar makes room for it
    # genes are most often those that were found in these samples, which then differ in them by choice
    if is_learned(samples):
        note(ax, "training", "genes that were chosen on them differ by choice")
    if given or size[1] >= LARGEST:
        fit_names(ax)
    if given or (ticks and not every):
        fit_names(ax, "x")
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="heatmap")
    return ax


def _height(table: pd.DataFrame, columns: Sequence[str]) -> float:
    """Return the height of the matrix with the strips above, in inches."""
    return ROW * (len(table) + len(columns) + 0.2)


def _spans(rows: AnnData, column: str) -> dict[float, str]:
    """Return the names of the groups of a column by the middle of the columns that they span."""
    values = groups(obs_column(rows, column)).astype(str).reset_index(drop=True)
    return {float(own.index.to_numpy().mean()): str(name) for name, own in values.groupby(values, sort=False)}


def _size(
    table: pd.DataFrame, columns: Sequence[str], entries: Sequence[Line2D], ticks: Mapping[float, str]
) -> tuple[float, float]:
    """Return the size of the figure in inches: what stands around the matrix does not take of its room."""
    n = len(table.columns)
    width = COLUMN * n if n <= NAMED else min(COLUMN * n, WIDEST)
    left = LETTER * letters([*table.index, *columns])
    texts = [str(entry.get_label()) for entry in entries]
    right = 1.0 + (1 + (len(entries) - 1) // TALL) * (0.4 + LETTER * letters(texts) if entries else 0.0)
    below = max(0.1, SMALL * letters(ticks.values()))
    lines = [sum(text.count("\n") + 1 for text in texts[i : i + TALL]) for i in range(0, len(texts), TALL)]
    height = max(0.6 + _height(table, columns) + below, 0.3 + LINE * max(lines, default=0))
    return left + max(width, 1.6) + right, min(height, LARGEST)


def _name(ax: Axes, table: pd.DataFrame, columns: Sequence[str], ticks: Mapping[float, str]) -> None:
    """Name genes and strips, and the samples or groups for which there is room."""
    n_genes = len(table)
    ax.set_xticks(list(ticks), list(ticks.values()), rotation=90, fontsize=6)
    ax.tick_params(length=0)
    places = _places(len(columns))
    ax.set_ylim(n_genes - 0.5, (places[-1] if places else 0.0) - 0.5)
    ax.set_yticks([*places, *range(n_genes)], [*columns, *table.index], fontsize="small")
    ax.spines[:].set_visible(False)


def _places(n: int) -> list[float]:
    """Return where strips are drawn, above the genes."""
    return [-1.2 - i for i in range(n)]


def _draw_strips(ax: Axes, colors: pd.DataFrame) -> None:
    """Draw a strip of the colors of each column."""
    for place, name in zip(_places(colors.shape[1]), colors, strict=True):
        extent = (-0.5, len(colors) - 0.5, place + 0.42, place - 0.42)
        strip = np.array([to_rgb(paint) for paint in colors[name]])
        limits = ax.get_ylim()
        ax.imshow(strip[None], aspect="auto", interpolation="nearest", extent=extent)
        ax.set_ylim(limits)


def _divide(ax: Axes, rows: AnnData, table: pd.DataFrame, column: str) -> None:
    """Draw lines between the groups by which columns are sorted."""
    values = obs_column(rows, column)
    if is_number(values):
        return
    codes = groups(values).cat.codes.loc[table.columns].to_numpy()
    for last in np.flatnonzero(np.diff(codes)):
        ax.axvline(last + 0.5, color="white", linewidth=1.5 if codes.max() < MANY else 0.4)
