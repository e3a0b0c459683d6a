"""Gene sets as a table."""

import pandas as pd
from anndata import AnnData

from scggml._anndata.genes import Component, check_component, check_sources, read_enrichment
from scggml._anndata.messages import choices
from scggml._core.checks import check_rate, check_whole
from scggml._docs import documented

NATIVE = (
    "source", "native", "name", "p_value", "significant", "description", "term_size", "query_size", "intersection_size",
    "effective_domain_size", "precision", "recall", "query", "intersections",
)  # fmt: skip
"""Columns of the client gprofiler-official, in its order, as far as they are stored."""


@documented
def enrichment_df(
    adata: AnnData,
    *,
    key: str = "ggml",
    component: Component | None = None,
    direction: str | None = None,
    source: str | None = None,
    max_p_adjusted: float | None = None,
    n_terms: int | None = None,
    native: bool = False,
) -> pd.DataFrame:
    """Return the gene sets of `ext.gprofiler` or `ext.enrich_gmt`, most significant first in each direction.

    Parameters
    ----------
    adata
        %(adata_enrichment)s
    key
        %(key_metric)s
    component
        Component, by its number from 1 or its name; None for all.
    direction
        Such as `"higher in cSLE"`; None for all.
    source
        Such as `"GO:BP"`; None for all.
    max_p_adjusted
        %(max_p_adjusted_sets)s
    n_terms
        Keep at most this many sets of each direction of each component, after all other filters.
    native
        Name columns as the client gprofiler-official does: `source`, `native`, `name`, `p_value` (the adjusted one,
        which is the only one that the service gives), `significant`, `description`, `term_size`, `query_size`,
        `intersection_size`, `effective_domain_size`, `precision`, `recall`, `query` (component and direction) and
        `intersections`, a list of genes. `parents` and `evidences` of the client are not kept.

    Returns
    -------
    DataFrame with the columns that `ext.gprofiler` describes, or with `native` those of the client.

    Raises
    ------
    KeyError
        No gene sets were computed yet.
    ValueError
        A component, direction or source that is not there.

    Examples
    --------
    >>> import scanpy as sc
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic_counts(n_samples=4, n_cells=30, n_genes=80, n_planted=8)
    >>> sc.pp.log1p(adata)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.rank_genes(adata, progress=False)
    >>> sg.ext.enrich_gmt(adata, {"first": adata.var_names[:10]}, components=[1], all_results=True)
    >>> sg.get.enrichment_df(adata, component=1, n_terms=1)[["name", "term_size"]].drop_duplicates()
        name  term_size
    0  first         10
    >>> sg.get.enrichment_df(adata, native=True).columns[:4].tolist()
    ['source', 'native', 'name', 'p_value']

    References
    ----------
    Kolberg et al., *g:Profiler (2023 update)*, Nucleic Acids Research 2023, for the columns.
    """
    if max_p_adjusted is not None:
        check_rate("max_p_adjusted", max_p_adjusted)
    if n_terms is not None:
        check_whole("n_terms", n_terms, 1, ", or None for all")
    table = read_enrichment(adata, key)
    if source is not None:
        check_sources(adata, key, [source], "source")
    if direction is not None and direction not in set(table["direction"]):
        raise ValueError(f"direction={direction!r} is not in the table; it has {choices(table['direction'].unique())}.")
    keep = pd.Series(True, index=table.index)
    for column, value in (
        ("component", None if component is None else check_component(adata, key, table, component)),
        ("direction", direction),
        ("source", source),
    ):
        if value is not None:
            keep &= table[column] == value
    if max_p_adjusted is not None:
        keep &= table["p_adjusted"] <= max_p_adjusted
    table = table[keep]
    if n_terms is not None:
        table = table.groupby(["component", "direction"], sort=False).head(n_terms)
    table = table.reset_index(drop=True)
    return _as_client(table) if native else table


def _as_client(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the columns of the client gprofiler-official."""
    query = table["component"].astype(str) + " " + table["direction"].astype(str)
    genes = [text.split(",") if text else [] for text in table["intersection"].astype(str)]
    columns = {"p_value": table["p_adjusted"], "query": query, "intersections": pd.Series(genes, dtype=object)}
    return table.assign(**columns)[list(NATIVE)]
