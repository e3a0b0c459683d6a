"""Ranked genes as a table."""

from typing import Literal, get_args

import pandas as pd
from anndata import AnnData

from scggml._anndata.genes import component_names, pick_components, read_ranked, read_symbols
from scggml._anndata.messages import choices
from scggml._anndata.metric import read_metric
from scggml._docs import documented

Side = Literal["up", "down"]


@documented
def rank_genes_df(
    adata: AnnData,
    *,
    key: str = "ggml",
    component: int | None = None,
    side: Side | None = None,
    n_genes: int | None = None,
    max_p_adjusted: float | None = None,
    min_frequency: float | None = None,
    gene_symbols: str | None = None,
) -> pd.DataFrame:
    """Return the genes of a component or of the whole metric, strongest first, and filtered.

    Parameters
    ----------
    adata
        AnnData that `tl.rank_genes` or `tl.gene_stability` has written to.
    key
        %(key_metric)s
    component
        %(component)s
    side
        `"up"` keeps positive loadings, `"down"` negative ones, None both. The whole metric has no sides.
    n_genes
        Keep at most this many genes, after all other filters.
    max_p_adjusted
        Keep genes with at most this false discovery rate, which `tl.gene_stability` computes.
    min_frequency
        Keep genes that at least this share of the refits of `tl.gene_stability` had in the top.
    gene_symbols
        Column of `.var` to add, as the column `symbol`.

    Returns
    -------
    DataFrame with the columns that `tl.rank_genes` and `tl.gene_stability` describe.

    Raises
    ------
    KeyError
        Genes were not ranked, or no such metric or column.
    ValueError
        A component or side that is not there; a filter by numbers that were not computed; genes that were ranked before
        the metric was learned again.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.rank_genes(adata)
    >>> sg.get.rank_genes_df(adata, component=1, side="up", n_genes=1)["gene"].tolist()
    ['signal']

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258).
    """
    stored = read_metric(adata, key)
    table = read_ranked(adata, key)
    if component is None:
        if side is not None:
            raise ValueError(f"side={side!r} goes with a component; the whole metric (component=None) has no sides.")
        name = key
    else:
        (number,) = pick_components(stored, [component], "no genes")
        name = component_names(stored)[number - 1]
    table = table[table["component"] == name]
    if side is not None:
        if side not in get_args(Side):
            raise ValueError(f"side={side!r} is not known; choose from {get_args(Side)} or None.")
        table = table[table["sign"] == (1 if side == "up" else -1)]
    for column, limit in (("p_adjusted", max_p_adjusted), ("frequency", min_frequency)):
        if limit is not None and column not in table:
            raise ValueError(
                f"Genes have no {column!r} yet (columns: {choices(table)}); compute it with "
                f"sg.tl.gene_stability(adata, key={key!r})."
            )
    if max_p_adjusted is not None:
        table = table[table["p_adjusted"] <= max_p_adjusted]
    if min_frequency is not None:
        table = table[table["frequency"] >= min_frequency]
    table = table.reset_index(drop=True)
    if gene_symbols is not None:
        symbols = read_symbols(adata, gene_symbols)
        table.insert(2, "symbol", [symbols.get(gene, gene) for gene in table["gene"]])
    return table if n_genes is None else table.head(n_genes)
