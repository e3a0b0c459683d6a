"""Genes that carry the components of a metric."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from scggml._core.metric import shares
from scggml._keys import Keys
from scggml._read import choices
from scggml._stored import Stored, read_stored
from scggml.pl._figure import OKABE_ITO, finish, panels, percent

POSITIVE, NEGATIVE = OKABE_ITO[1], OKABE_ITO[0]


def loadings(
    adata: AnnData,
    *,
    key: str = "ggml",
    components: Sequence[int] | None = None,
    n_genes: int = 10,
    gene_symbols: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> list[Axes]:
    """Genes with the largest loadings of each sign on each component, strongest first.

    The sign of a component is arbitrary (the largest loading is made positive); that two genes have the same or
    opposite signs is not.

    Parameters
    ----------
    adata
        AnnData that `tl.ggml` has written to.
    key
        Key of the metric.
    components
        Which components to draw, from 1. By default those that carry at least 1 % of the metric.
    n_genes
        Most genes of each sign.
    gene_symbols
        Column of `.var` with names to show instead of `.var_names`.
    ax
        Axes to draw on, one for each component.
    show
        Call `plt.show()`.
    save
        File to write.

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
    share = shares(read_stored(adata, key).singular_values)
    for panel, component in zip(axes, drawn, strict=True):
        part = table[table["component"] == component]
        places = np.arange(len(part))
        colors = np.where(part["loading"] > 0, POSITIVE, NEGATIVE)
        panel.barh(places, part["loading"], color=colors, height=0.75)
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
    """What is drawn: `component`, `gene`, `loading`, `share`; falling positive loadings, then the negative ones."""
    stored = read_stored(adata, key)
    if n_genes < 1:
        raise ValueError(f"n_genes={n_genes!r} must be at least 1.")
    share = shares(stored.singular_values)
    if components is None:
        if not share.any():
            raise ValueError(f"The metric {key!r} is zero: nothing was learned, so it has no loadings to draw.")
        components = [int(i) + 1 for i in np.flatnonzero(share >= 0.01)]
    components = list(dict.fromkeys(components))
    if not components or not all(1 <= i <= len(share) for i in components):
        raise ValueError(f"components={components!r}: the metric {key!r} has components 1 to {len(share)}.")
    names, matrix = _named_loadings(adata, stored, gene_symbols)
    parts = []
    for component in components:
        column = pd.Series(matrix[:, component - 1], index=names)
        up = column[column > 0].nlargest(n_genes)
        down = column[column < 0].nsmallest(n_genes)[::-1]
        both = pd.concat([up, down])
        parts.append(pd.DataFrame({"component": component, "gene": both.index, "loading": both.to_numpy()}))
    table = pd.concat(parts, ignore_index=True)
    table["share"] = share[table["component"] - 1]
    return table


def _named_loadings(adata: AnnData, stored: Stored, gene_symbols: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Names and loadings (n, k) of the genes that took part, or of the features where genes are not known."""
    slot = Keys(stored.key).loadings
    if slot not in adata.varm:
        if gene_symbols is not None:
            raise ValueError(
                f"gene_symbols={gene_symbols!r}: the metric {stored.key!r} is on features that cannot "
                "be mapped to genes."
            )
        return stored.features, stored.components.T
    names = adata.var_names.to_numpy()
    if gene_symbols is not None:
        if gene_symbols not in adata.var:
            raise KeyError(
                f"gene_symbols={gene_symbols!r} is not a column of adata.var, which has {choices(adata.var)}."
            )
        names = adata.var[gene_symbols].astype(str).to_numpy()
    matrix = np.asarray(adata.varm[slot])
    used = ~np.isnan(matrix).any(axis=1)
    return names[used], matrix[used]
