"""Draw the genes of the components of a metric."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from scggml._anndata.genes import Component, component_names, name_of_genes, pick_components
from scggml._anndata.metric import read_metric
from scggml._anndata.ranking import NEITHER, By, check_by, read_ranking
from scggml._anndata.tested import real_components
from scggml._core.checks import check_whole
from scggml._core.metric import shares
from scggml._docs import documented
from scggml.pl._colors import FAINT, PLAIN, ink
from scggml.pl._figure import grid, note, panels, percent, sides
from scggml.pl._fit import LARGEST, fit_names, letters
from scggml.pl._output import Title, entitle, finish


@documented
def loadings(
    adata: AnnData,
    *,
    by: By = "pattern",
    key: str = "ggml",
    components: Sequence[Component] | None = None,
    n_genes: int = 20,
    gene_symbols: str | None = None,
    stability: bool = True,
    title: Title = None,
    ncols: int | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> list[Axes]:
    """Draw the strongest genes of each component, by the class in which they are higher.

    A bar is as long as the pattern of a gene (or its loading), and goes to the side of the class where the gene is
    higher. Light bars are genes without a clear direction, such as genes that are up in one cell type and down in
    another.

    Parameters
    ----------
    adata
        %(adata_ranked)s
    by
        %(by)s
    key
        %(key_metric)s
    components
        %(components)s
    n_genes
        %(n_genes_directions)s
    gene_symbols
        %(gene_symbols)s
    stability
        Draw the intervals of patterns that `tl.gene_stability` found, where it has run for this metric.
    title
        %(titles)s
    ncols
        %(ncols)s
    ax
        Axes to draw on, one for each component.
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    One axes per component. A line above says how many components are left out as not real.

    Raises
    ------
    KeyError
        No such metric or column, or genes were not ranked yet.
    ValueError
        A component that is not there; loadings of a metric that has none on genes.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.rank_genes(adata, progress=False)
    >>> axes = sg.pl.loadings(adata, components=[1], n_genes=2)
    >>> axes[0].get_yticklabels()[0].get_text()
    'signal'

    References
    ----------
    Haufe et al., *On the interpretation of weight vectors of linear models in multivariate neuroimaging*, NeuroImage
    2014.
    """
    table = loadings_table(adata, by=by, key=key, components=components, n_genes=n_genes, gene_symbols=gene_symbols)
    ranking = read_ranking(adata, key)
    stored = read_metric(adata, key)
    drawn = pick_components(adata, stored, components, "no genes to draw")
    counts = [int((table["component"] == component).sum()) for component in drawn]
    longest = letters(table["gene"])
    width = 3.0 + 0.075 * max(0, longest - 10)  # bars keep their room
    ends = [f"{UNITS[by]}\n{sides(low, high)}" for high, low in map(ranking.ends, drawn)]
    ncols = min(grid(len(drawn))[1], max(1, int(LARGEST // width))) if ncols is None else ncols
    n_columns = grid(len(drawn), ncols)[1]
    # Genes have the same room in all rows of panels, each as tall as its panel of most genes.
    tallest = [max(1, *counts[i : i + n_columns]) for i in range(0, len(drawn), n_columns)]
    above = 1.2 + 0.14 * max(0, max(end.count("\n") for end in ends) - 2)
    row = min(0.19, max(0.1, (LARGEST - above * len(tallest)) / sum(tallest)))
    rows = [(above + row * n, n) for n in tallest]
    axes = panels(len(drawn), ax, (width, 0.0), rows=rows, ncols=ncols, title=title)
    share = shares(stored.singular_values)
    real = real_components(adata, stored)
    left_out = "" if components is not None or real is None or not real.any() else f"{int((~real).sum())} not real"
    for i, (panel, component, end) in enumerate(zip(axes, drawn, ends, strict=True)):
        part = table[table["component"] == component]
        places = np.arange(len(part))
        panel.barh(places, part["length"], color=np.where(part["higher_in"] == NEITHER, FAINT, PLAIN), height=0.75)
        if stability and "lower" in part:
            panel.hlines(places, part["lower"], part["upper"], color=ink(), linewidth=1.0)
        panel.set_yticks(places, part["gene"], fontsize="small")
        panel.set_ylim(tallest[i // n_columns] - 0.5, -0.5)
        panel.axvline(0, color=ink(), linewidth=0.8)
        panel.set_title(f"{key}{component} ({percent(share[component - 1])})")
        panel.set_xlabel(end, fontsize="small")
        panel.locator_params(axis="x", nbins=4)
        panel.ticklabel_format(axis="x", scilimits=(-2, 3))
        panel.spines[["top", "right"]].set_visible(False)
        note(panel, ranking.seen, left_out)
    if ax is not None or row < 0.19:
        for panel in axes:
            fit_names(panel)
    entitle(axes, title)
    finish(axes[0].figure, show=show, save=save, name="loadings")
    return axes


UNITS: dict[By, str] = {"pattern": "pattern (sd)", "loading": "loading"}
"""What bars are, by what genes are ranked by."""


def loadings_table(
    adata: AnnData,
    *,
    by: By,
    key: str,
    components: Sequence[Component] | None,
    n_genes: int,
    gene_symbols: str | None,
) -> pd.DataFrame:
    """Return what is drawn: `component`, `gene`, `length` (with the sign of the shift), `higher_in`, from high to low.

    With `lower` and `upper` of patterns where `tl.gene_stability` has drawn donors for this metric.
    """
    check_by(by)
    stored, ranking = read_metric(adata, key), read_ranking(adata, key)
    check_whole("n_genes", n_genes, 1)
    if ranking.table[by].isna().all():
        raise ValueError(f'by={by!r}: the metric {key!r} has no loadings on genes; pass by="pattern".')
    names = name_of_genes(adata, gene_symbols)
    parts = []
    for component in pick_components(adata, stored, components, "no genes to draw"):
        table = ranking.of(component_names(stored)[component - 1])
        table = table.iloc[np.argsort(-table[by].abs().fillna(0.0).to_numpy(), kind="stable")][:n_genes]
        table = table[table[by].abs() > 0]
        side = np.where(table["shift"] < 0, -1.0, 1.0)
        part = pd.DataFrame(
            {
                "component": component,
                "gene": [names.get(gene, gene) for gene in table["gene"]],
                "length": side * table[by].abs(),
                "higher_in": table["higher_in"].astype(str),
            }
        )
        if by == "pattern" and "lower" in table:  # the interval turns with the bar
            turned = side * np.sign(table["pattern"])
            ends = np.sort(np.stack([turned * table["lower"], turned * table["upper"]]), axis=0)
            part["lower"], part["upper"] = ends
        parts.append(part.sort_values("length", ascending=False, kind="stable"))
    return pd.concat(parts, ignore_index=True)
