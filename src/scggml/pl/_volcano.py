"""Draw which genes change, and how sure that is."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from scggml._anndata.genes import Component, name_of_component, name_of_genes, pick_components
from scggml._anndata.keys import Keys
from scggml._anndata.metric import read_metric
from scggml._anndata.ranking import NEITHER, read_ranking
from scggml._core.checks import check_number, check_whole
from scggml._docs import documented
from scggml.pl._colors import FAINT, PLAIN, paper
from scggml.pl._figure import note, panels, sides, spread
from scggml.pl._fit import LINE, letters, shortened
from scggml.pl._legend import beside, check_loc
from scggml.pl._output import LOG_FDR, Title, entitle, finish, literal

STEP = 0.062
"""Least distance of two names of genes, as a share of the height."""

SIZE, LETTER = 6.9, 0.056
"""Size of the letters of names in points, and the width of one in inches."""

WIDEST = 0.36
"""Most of the width of the axes that names at either side take."""


@documented
def volcano(
    adata: AnnData,
    *,
    component: Component | None = None,
    key: str = "ggml",
    n_genes: int = 12,
    alpha: float = 0.05,
    gene_symbols: str | None = None,
    title: Title = None,
    legend_loc: str | None = "right margin",
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    r"""Draw the excess of genes against their false discovery rate.

    The excess is how much a gene changes between classes beyond its changes within them (see `tl.gene_stability`), to
    the side of the class in which the gene is higher. Open points have no clear direction. Rates end where the number
    of permutations does: with 100 permutations none is below 1/101, so many genes can share the topmost row.

    Parameters
    ----------
    adata
        %(adata_tested)s
    component
        Component whose directions are drawn, by its number from 1 or its name; None for the whole metric, which has
        directions with two classes.
    key
        %(key_metric)s
    n_genes
        Most names, of the genes below `alpha` with the largest excess; up to 16 at either side.
    alpha
        False discovery rate up to which a gene is drawn dark and may be named.
    gene_symbols
        %(gene_symbols)s
    title
        %(title)s
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
        No such metric or column; genes were not tested since this metric was learned.
    ValueError
        No such component; `alpha` or `n_genes` out of range.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=1, progress=False)
    >>> sg.tl.gene_stability(adata, 0, n_perm=19, n_jobs=1, progress=False)
    >>> ax = sg.pl.volcano(adata)
    >>> ax.get_ylabel()
    '$-$log$_{10}$ FDR'

    References
    ----------
    Cui and Churchill, *Statistical tests for differential expression in cDNA microarray experiments*, Genome Biology
    2003, for the plot.
    """
    check_number("alpha", alpha, "a rate in (0, 1], such as 0.05", 0, np.nextafter(1, 2), open_low=True)
    check_whole("n_genes", n_genes, 1)
    table = volcano_table(adata, key=key, component=component, gene_symbols=gene_symbols)
    number = None
    if component is not None:
        (number,) = pick_components(adata, read_metric(adata, key), [component], "no genes", argument="component")
    ends = _ends(adata, key, number)
    check_loc(legend_loc)
    named = table[(table["p_adjusted"] <= alpha) & (table["excess"] > 0)].nlargest(n_genes, "excess")
    label = "excess (sd)" if ends is None else f"excess (sd)\n{sides(ends[1], ends[0])}"
    wide = 2 * 0.052 * max(0, letters(named["gene"]) - 14)  # inches that long names take at either side
    (ax,) = panels(1, ax, (min(5.2 + wide, 9.0), 3.4 + 0.16 * max(0, label.count("\n") - 2)), title=title)
    sure, directed = table["p_adjusted"] <= alpha, table["higher_in"] != NEITHER
    for layer, (chosen, paint) in enumerate(((~sure, FAINT), (sure, PLAIN))):
        for filled in (False, True):
            part = table[chosen & (directed == filled)]
            face = paint if filled else paper()
            ax.scatter(part["x"], part["y"], s=14, c=face, edgecolors=paint, linewidths=0.8, zorder=2 + layer)
    ax.axhline(-np.log10(alpha), color=FAINT, linewidth=0.8, linestyle="--", zorder=1)
    top = max(float(table["y"].max()), -np.log10(alpha)) if len(table) else 1.0
    ax.set_ylim(-0.04 * top, 1.08 * top)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_ylabel(LOG_FDR)
    ax.set_xlabel(label)
    if ends is not None:
        ax.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    ax.set_title(key if number is None else f"{key}{number}")
    entries = [
        Line2D([], [], marker="o", linestyle="", markersize=4, color=PLAIN, label=f"FDR ≤ {alpha:g}"),
        Line2D([], [], marker="o", linestyle="", markersize=4, color=FAINT, label=f"FDR > {alpha:g}"),
        Line2D([], [], marker="o", linestyle="", markersize=4, mfc=paper(), mec=PLAIN, label="no clear direction"),
    ]
    beside(ax, entries, loc=legend_loc)
    note(ax, read_ranking(adata, key).seen, "")
    _name(ax, table["x"].to_numpy(), named)  # last, as it depends on the room that is left
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="volcano")
    return ax


def volcano_table(adata: AnnData, *, key: str, component: Component | None, gene_symbols: str | None) -> pd.DataFrame:
    """Return `gene`, `excess`, `p_adjusted`, `higher_in`, and where each gene is drawn, `x` and `y`."""
    stored, ranking = read_metric(adata, key), read_ranking(adata, key)
    table = ranking.of(key if component is None else name_of_component(adata, stored, component))
    if "p_adjusted" not in table or table["p_adjusted"].isna().all():
        raise KeyError(
            f"No 'p_adjusted' in the table of adata.uns[{Keys(key).genes!r}]; test genes with "
            f"sg.tl.gene_stability(adata, key={key!r})."
        )
    table = table[table["p_adjusted"].notna()].reset_index(drop=True)
    left = np.nan_to_num(table["shift"].to_numpy(dtype=np.float64)) < 0
    table["x"] = np.where(left, -table["excess"], table["excess"])
    table["y"] = -np.log10(table["p_adjusted"])
    if gene_symbols is not None:
        symbols = name_of_genes(adata, gene_symbols)
        table["gene"] = [symbols.get(gene, gene) for gene in table["gene"]]
    return table[["gene", "excess", "p_adjusted", "higher_in", "x", "y"]]


def _ends(adata: AnnData, key: str, component: int | None) -> tuple[str, str] | None:
    """Return the names of the high and the low end; the whole metric has them if all components have the same."""
    ranking = read_ranking(adata, key)
    every = {ranking.ends(i + 1) for i in range(len(read_metric(adata, key).components))}
    if component is not None:
        return ranking.ends(component)
    return every.pop() if len(every) == 1 else None


def _name(ax: Axes, x: np.ndarray, named: pd.DataFrame) -> None:
    """Write names in a column at either side, as near to the height of their genes as they can be without overlap."""
    low, high = (float(x.min()), float(x.max())) if len(x) else (0.0, 1.0)
    literal(ax)
    ax.figure.figure.draw_without_rendering()
    box = ax.get_window_extent()
    wide, tall = float(box.width) / ax.figure.figure.dpi, float(box.height) / ax.figure.figure.dpi
    step = max(STEP, LINE * SIZE / 72 / tall)
    fitting = int((WIDEST - 0.06) * wide / LETTER)
    named = named.assign(gene=[shortened(name, fitting) for name in named["gene"]])
    parts = [named[named["x"] >= 0], named[named["x"] < 0]]
    room = min(WIDEST, LETTER * letters(named["gene"]) / wide + 0.06)
    rooms = [room if len(part) else 0.04 for part in parts]
    width = max(high - low, 1e-9) / (1 - sum(rooms))
    ax.set_xlim(low - rooms[1] * width, high + rooms[0] * width)
    bottom, top = ax.get_ylim()
    for part, at, align in zip(parts, (0.99, 0.01), ("right", "left"), strict=True):
        ordered = part.nlargest(int(1 / step), "excess").sort_values(["y", "excess"])
        wanted = (ordered["y"].to_numpy() - bottom) / (top - bottom)
        for (_, gene), height in zip(ordered.iterrows(), spread(wanted, step, 1.0), strict=True):
            ax.annotate(
                gene["gene"],
                (gene["x"], gene["y"]),
                (at, height),
                textcoords="axes fraction",
                ha=align,
                va="center",
                fontsize=SIZE,
                arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 2},
            )
