"""Draw the stability of the genes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from scggml._anndata.drawn import stability_params
from scggml._anndata.genes import Component, name_of_component, name_of_genes
from scggml._anndata.metric import read_metric
from scggml._anndata.ranking import read_ranking
from scggml._core.checks import check_number, check_whole
from scggml._docs import documented
from scggml.pl._colors import FAINT, PLAIN, ink
from scggml.pl._figure import note, panels
from scggml.pl._fit import LETTER, fit_names, letters
from scggml.pl._legend import beside, check_loc, marks
from scggml.pl._output import Title, entitle, finish


@documented
def gene_stability(
    adata: AnnData,
    *,
    key: str = "ggml",
    component: Component | None = None,
    n_genes: int = 20,
    alpha: float = 0.05,
    gene_symbols: str | None = None,
    title: Title = None,
    legend_loc: str | None = "right margin",
    ncols: int | None = None,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> list[Axes]:
    """Draw the patterns of the strongest genes with their intervals, and how often each was in the top.

    Parameters
    ----------
    adata
        %(adata_tested)s
    key
        %(key_metric)s
    component
        %(component)s
    n_genes
        Most genes, strongest first.
    alpha
        False discovery rate up to which a gene is drawn dark.
    gene_symbols
        %(gene_symbols)s
    title
        %(titles)s
    legend_loc
        %(legend_loc)s
    ncols
        %(ncols)s
    ax
        Two axes to draw on.
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    The two axes: patterns, and frequencies.

    Raises
    ------
    KeyError
        No such metric or column, or `tl.gene_stability` has not drawn donors since this metric was learned.
    ValueError
        No such component.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=5)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=1, progress=False)
    >>> sg.tl.gene_stability(adata, 5, n_perm=0, n_top=2, n_jobs=1, progress=False)
    >>> axes = sg.pl.gene_stability(adata)
    >>> axes[0].get_yticklabels()[0].get_text()
    'signal'

    References
    ----------
    Meinshausen and Bühlmann, *Stability selection*, JRSS B 2010.
    """
    table = stability_table(
        adata, key=key, component=component, n_genes=n_genes, alpha=alpha, gene_symbols=gene_symbols
    )
    params = stability_params(adata, key)
    check_loc(legend_loc)
    width = 3.0 + LETTER / 2 * max(0, letters(table["gene"]) - 10)  # the panels share the room of names
    axes = panels(2, ax, (width, 1.2 + 0.19 * max(len(table), 4)), ncols=ncols, title=title)
    places = np.arange(len(table))
    colors = np.where(table["significant"], PLAIN, FAINT)
    left, right = axes
    for place, (_, row), color in zip(places, table.iterrows(), colors, strict=True):
        left.plot([row["lower"], row["upper"]], [place, place], color=color, linewidth=1.6, solid_capstyle="round")
    left.scatter(table["pattern"], places, c=colors, s=22, zorder=3, edgecolors="white", linewidths=0.5)
    right.barh(places, table["frequency"], color=colors, height=0.7)
    left.set_yticks(places, table["gene"], fontsize="small")
    below = ncols == 1 and ax is None  # else names stand at the left already
    right.set_yticks(places, table["gene"] if below else [""] * len(places), fontsize="small")
    for panel in axes:
        panel.set_ylim(len(table) - 0.4, -0.6)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize="small")
    left.axvline(0, color=ink(), linewidth=0.8)
    left.locator_params(axis="x", nbins=4)
    left.set_title(
        "whole metric" if component is None else name_of_component(adata, read_metric(adata, key), component)
    )
    right.set_title("stability")
    left.set_xlabel(f"pattern (sd), {float(params['level']):.0%} interval", fontsize="small")
    right.set_xlabel(f"refits with it in the top {int(params['n_top'])}", fontsize="small")
    right.set_xlim(0, 1)
    right.xaxis.set_major_formatter(PercentFormatter(1.0))
    if table["p_adjusted"].notna().any():
        beside(right, marks({f"FDR ≤ {alpha:g}": PLAIN, f"FDR > {alpha:g}": FAINT}), loc=legend_loc)
    note(right, read_ranking(adata, key).seen, "")
    if ax is not None:
        fit_names(left)
    entitle(axes, title)
    finish(left.figure, show=show, save=save, name="gene_stability")
    return axes


def stability_table(
    adata: AnnData, *, key: str, component: Component | None, n_genes: int, alpha: float, gene_symbols: str | None
) -> pd.DataFrame:
    """Return what is drawn, strongest gene first: its pattern, interval, frequency, rate and significance."""
    stored = read_metric(adata, key)
    check_whole("n_genes", n_genes, 1)
    check_number("alpha", alpha, "a rate in (0, 1], such as 0.05", 0, np.nextafter(1, 2), open_low=True)
    stability_params(adata, key)  # what is missing is named here
    name = key
    if component is not None:
        name = name_of_component(adata, stored, component)
    table = read_ranking(adata, key).of(name)
    table = table.iloc[np.argsort(-table["pattern"].abs().to_numpy(), kind="stable")][:n_genes].reset_index(drop=True)
    if "p_adjusted" not in table:
        table["p_adjusted"] = np.nan
    table["significant"] = table["p_adjusted"] <= alpha
    if gene_symbols is not None:
        symbols = name_of_genes(adata, gene_symbols)
        table["gene"] = [symbols.get(gene, gene) for gene in table["gene"]]
    return table[["gene", "pattern", "lower", "upper", "frequency", "p_adjusted", "significant"]]
