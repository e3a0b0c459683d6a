"""Ranked genes as a table."""

import pandas as pd
from anndata import AnnData

from scggml._anndata.genes import Component, name_of_component, name_of_genes
from scggml._anndata.messages import choices
from scggml._anndata.metric import read_metric
from scggml._anndata.ranking import NEITHER, pick_type, read_ranking
from scggml._core.checks import check_rate, check_whole
from scggml._docs import documented


@documented
def rank_genes_df(
    adata: AnnData,
    *,
    key: str = "ggml",
    component: Component | None = None,
    cell_type: str | None = None,
    higher_in: str | None = None,
    n_genes: int | None = None,
    max_p_adjusted: float | None = None,
    min_frequency: float | None = None,
    gene_symbols: str | None = None,
) -> pd.DataFrame:
    """Return the genes of a component or of the whole metric, over all cells or of one type, strongest first.

    Parameters
    ----------
    adata
        AnnData that `tl.rank_genes` or `tl.gene_stability` has written to.
    key
        %(key_metric)s
    component
        %(component)s
    cell_type
        Genes in cells of this type on a component, where `tl.rank_genes` was given types; None for all cells.
    higher_in
        Keep genes that are higher in this class, or `"neither"`; None for all.
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
        A component, type or class that is not there; a filter by numbers that were not computed; genes that were ranked
        before the metric was learned again.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.rank_genes(adata, progress=False)
    >>> sg.get.rank_genes_df(adata, component=1, n_genes=1)["gene"].tolist()
    ['signal']

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258).
    """
    _check(n_genes, max_p_adjusted=max_p_adjusted, min_frequency=min_frequency)
    stored = read_metric(adata, key)
    ranking = read_ranking(adata, key)
    if cell_type is not None and component is None:
        raise ValueError(f"cell_type={cell_type!r} goes with a component: genes are ranked by type on components only.")
    name = key
    if component is not None:
        name = name_of_component(adata, stored, component)
    table = ranking.table if cell_type is None else pick_type(ranking, cell_type, key)
    every = ranking.table if cell_type is None or ranking.types is None else ranking.types
    if name not in set(every["component"]):
        ranked = choices(dict.fromkeys(every["component"]))
        raise ValueError(
            f"component={component!r}: genes were ranked by type on {ranked} only, the components that are real or "
            "carry at least 3 % of the metric."
        )
    table = table[table["component"] == name]
    if higher_in is not None:
        known = list(dict.fromkeys([*ranking.params["high"], *ranking.params["low"], NEITHER]))
        if higher_in not in known:
            raise ValueError(f"higher_in={higher_in!r} is none of {choices(known)}, where genes can be higher.")
        table = table[table["higher_in"] == higher_in]
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
        symbols = name_of_genes(adata, gene_symbols)
        table.insert(list(table).index("gene") + 1, "symbol", [symbols.get(gene, gene) for gene in table["gene"]])
    return table if n_genes is None else table.head(n_genes)


def _check(n_genes: int | None, **rates: float | None) -> None:
    """Raise unless filters are numbers within their ranges, or None."""
    for name, rate in rates.items():
        if rate is not None:
            check_rate(name, rate)
    if n_genes is not None:
        check_whole("n_genes", n_genes, 1, ", or None for all")
