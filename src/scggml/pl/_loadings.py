"""Draw the genes that carry the components of a metric."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from scggml._anndata.genes import pick_components, read_genes, read_stability
from scggml._anndata.metric import read_metric
from scggml._core.metric import shares
from scggml._docs import documented
from scggml.pl._figure import OKABE_ITO, finish, panels, percent

POSITIVE, NEGATIVE = OKABE_ITO[1], OKABE_ITO[0]


@documented
def loadings(
    adata: AnnData,
    *,
    key: str = "ggml",
    components: Sequence[int] | None = None,
    n_genes: int = 10,
    gene_symbols: str | None = None,
    stability: bool = True,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> list[Axes]:
    """Draw the genes with the largest loadings of each sign on each component, strongest first.

    The sign of a component is arbitrary (the largest loading is made positive); that two genes have the same or
    opposite signs is not.

    Parameters
    ----------
    adata
        %(adata_metric)s
    key
        %(key_metric)s
    components
        %(components)s
    n_genes
        %(n_genes_sides)s
    gene_symbols
        %(gene_symbols)s
    stability
        Draw the intervals that `tl.gene_stability` found, where it has run for this metric.
    ax
        Axes to draw on, one for each component.
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    One axes per component.

    Raises
    ------
    KeyError
        No such metric or column.
    ValueError
        A component that is not there.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> axes = sg.pl.loadings(adata, components=[1], n_genes=2)
    >>> axes[0].get_yticklabels()[0].get_text()
    'signal'

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258).
    """
    table = loadings_table(adata, key=key, components=components, n_genes=n_genes, gene_symbols=gene_symbols)
    drawn = list(dict.fromkeys(table["component"] if components is None else components))
    tallest = max(1, int(table["component"].value_counts().max())) if len(table) else 1
    longest = max((len(name) for name in table["gene"]), default=0)
    axes = panels(len(drawn), ax, (3.0 + 0.075 * max(0, longest - 10), 1.0 + 0.19 * tallest))  # bars keep their room
    share = shares(read_metric(adata, key).singular_values)
    for panel, component in zip(axes, drawn, strict=True):
        part = table[table["component"] == component]
        places = np.arange(len(part))
        colors = np.where(part["loading"] > 0, POSITIVE, NEGATIVE)
        panel.barh(places, part["loading"], color=colors, height=0.75)
        if stability and "lower" in part:
            panel.hlines(places, part["lower"], part["upper"], color="#333333", linewidth=1.0)
        panel.set_yticks(places, part["gene"], fontsize="small")
        panel.set_ylim(tallest - 0.5, -0.5)
        panel.axvline(0, color="black", linewidth=0.8)
        panel.set(title=f"{key}{component} ({percent(share[component - 1])})", xlabel="loading")
        panel.locator_params(axis="x", nbins=4)
        panel.ticklabel_format(axis="x", scilimits=(-2, 3))
        panel.spines[["top", "right"]].set_visible(False)
    finish(axes[0].figure, show=show, save=save)
    return axes


def loadings_table(
    adata: AnnData,
    *,
    key: str,
    components: Sequence[int] | None,
    n_genes: int,
    gene_symbols: str | None,
) -> pd.DataFrame:
    """Return what is drawn: `component`, `gene`, `loading`, `share`; falling positive loadings, then the negative ones.

    With `lower` and `upper` where `tl.gene_stability` has drawn donors for this metric.
    """
    stored = read_metric(adata, key)
    if n_genes < 1:
        raise ValueError(f"n_genes={n_genes!r} must be at least 1.")
    share = shares(stored.singular_values)
    components = pick_components(stored, components, "no loadings to draw")
    genes = read_genes(adata, stored, gene_symbols)
    found = read_stability(adata, stored)
    parts = []
    for component in components:
        column = pd.Series(genes.loadings[:, component - 1])
        up = column[column > 0].nlargest(n_genes)
        down = column[column < 0].nsmallest(n_genes)[::-1]
        both = pd.concat([up, down])
        part = pd.DataFrame({"component": component, "gene": genes.names[both.index], "loading": both.to_numpy()})
        for name in ("lower", "upper") if found is not None and "lower" in found else ():
            part[name] = np.asarray(found[name])[both.index, component - 1]
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table.insert(3, "share", share[table["component"] - 1])
    return table
