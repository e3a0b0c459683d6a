"""Gene sets as a table."""

from typing import Literal, get_args

import pandas as pd
from anndata import AnnData

from scggml._anndata.genes import read_enrichment
from scggml._docs import documented

Side = Literal["up", "down"]


@documented
def enrichment_df(
    adata: AnnData,
    *,
    key: str = "ggml",
    component: int | None = None,
    side: Side | None = None,
    source: str | None = None,
    max_p_adjusted: float | None = None,
    n_terms: int | None = None,
) -> pd.DataFrame:
    """Return the gene sets of `ext.gprofiler` or `ext.enrich_gmt`, most significant first on each side of a component.

    Parameters
    ----------
    adata
        %(adata_enrichment)s
    key
        %(key_metric)s
    component
        Component, from 1; None for all.
    side
        `"up"` or `"down"`; None for both.
    source
        Such as `"GO:BP"`; None for all.
    max_p_adjusted
        %(max_p_adjusted_sets)s
    n_terms
        Keep at most this many sets of each side of each component, after all other filters.

    Returns
    -------
    DataFrame with the columns that `ext.gprofiler` describes.

    Raises
    ------
    KeyError
        No gene sets were computed yet.
    ValueError
        A side or source that is not there.

    Examples
    --------
    >>> import scanpy as sc
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic_counts(n_samples=4, n_cells=30, n_genes=80, n_planted=8)
    >>> sc.pp.log1p(adata)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.ext.enrich_gmt(adata, {"first": adata.var_names[:10]}, components=[1], all_results=True)
    >>> sg.get.enrichment_df(adata, component=1, side="up")[["name", "term_size"]]
        name  term_size
    0  first         10

    References
    ----------
    Kolberg et al., *g:Profiler (2023 update)*, Nucleic Acids Research 2023, for the columns.
    """
    table = read_enrichment(adata, key)
    if side is not None and side not in get_args(Side):
        raise ValueError(f"side={side!r} is not known; choose from {get_args(Side)} or None.")
    keep = pd.Series(True, index=table.index)
    for column, value in (("component", component and f"{key}{component}"), ("side", side), ("source", source)):
        if value is not None:
            keep &= table[column] == value
    if max_p_adjusted is not None:
        keep &= table["p_adjusted"] <= max_p_adjusted
    table = table[keep]
    if n_terms is not None:
        table = table.groupby(["component", "side"], sort=False).head(n_terms)
    return table.reset_index(drop=True)
