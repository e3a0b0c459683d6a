"""The door to the genes of a stored metric: their names, loadings and table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.keys import Keys
from scggml._anndata.messages import choices
from scggml._anndata.metric import StoredMetric, check_derived, pca_axes, read_metric, stored_keys
from scggml._anndata.results import write_uns
from scggml._core.cohort import Floats, Names
from scggml._core.metric import importance, shares

STABILITY = ("lower", "upper", "frequency")
SIGNIFICANCE = ("excess", "p_value", "p_adjusted")

DOMINANT = 0.03
"""Share of the metric from which on a component is shown and queried by default."""


@dataclass(frozen=True)
class Genes:
    """The genes that a metric could use (or its features, where these cannot be mapped to genes).

    Parameters
    ----------
    names
        (n,) names.
    loadings
        (n, k).
    known
        Whether they are genes.
    """

    names: Names
    loadings: Floats
    known: bool


def read_genes(adata: AnnData, stored: StoredMetric, gene_symbols: str | None = None) -> Genes:
    """Return the genes that a metric uses, named by a column of `.var` if one is given."""
    slot = Keys(stored.key).loadings
    if slot not in adata.varm:
        if gene_symbols is not None:
            raise ValueError(
                f"gene_symbols={gene_symbols!r}: the metric {stored.key!r} is on features that cannot "
                "be mapped to genes."
            )
        return Genes(stored.features, stored.components.T, known=False)
    names = adata.var_names.to_numpy()
    if gene_symbols is not None:
        if gene_symbols not in adata.var:
            raise KeyError(
                f"gene_symbols={gene_symbols!r} is not a column of adata.var, which has {choices(adata.var)}."
            )
        column = adata.var[gene_symbols]
        names = np.where(column.isna(), names, column.astype(object)).astype(str)  # a gene without one keeps its own
    matrix = np.asarray(adata.varm[slot], dtype=np.float64)
    used = ~np.isnan(matrix).any(axis=1)
    return Genes(names[used], matrix[used], known=True)


def pick_components(stored: StoredMetric, components: Sequence[int] | None, purpose: str) -> list[int]:
    """Return the components asked for, from 1, each once; by default those that carry at least a share DOMINANT."""
    share = shares(stored.singular_values)
    if components is None:
        if not share.any():
            raise ValueError(f"The metric {stored.key!r} is zero: nothing was learned, so it has {purpose}.")
        return [int(i) + 1 for i in np.flatnonzero(share >= DOMINANT)]
    components = list(dict.fromkeys(components))
    if not components or not all(1 <= i <= len(share) for i in components):
        raise ValueError(f"components={components!r}: the metric {stored.key!r} has components 1 to {len(share)}.")
    return components


def component_names(stored: StoredMetric) -> list[str]:
    """Return the names of the components, such as "ggml1"; the whole metric has its key as name."""
    return [f"{stored.key}{i + 1}" for i in range(len(stored.components))]


def gene_table(adata: AnnData, key: str) -> pd.DataFrame:
    """Return loading, sign, share and rank of each gene on each component and in the whole metric, strongest first.

    The results of `tl.gene_stability` are added if they belong to the stored metric.
    """
    stored = read_metric(adata, key)
    genes = read_genes(adata, stored)
    found = read_stability(adata, stored)
    total = importance(stored.components if not genes.known else genes.loadings.T).sum()
    whole = np.sqrt(importance(genes.loadings.T))
    parts = []
    for i, name in enumerate([*component_names(stored), key]):
        loading = genes.loadings[:, i] if name != key else whole
        part = pd.DataFrame(
            {
                "component": name,
                "gene": genes.names.astype(object),
                "loading": loading,
                "sign": np.sign(loading).astype(np.int64) if name != key else 0,
                "share": loading**2 / (total if total > 0 else 1.0),
            }
        )
        for column in STABILITY if found is not None and "lower" in found else ():
            part[column] = np.asarray(found[column])[:, i]
        for column in SIGNIFICANCE if found is not None and "p_value" in found else ():
            part[column] = np.asarray(found[column])
        order = np.argsort(-np.abs(loading), kind="stable")
        parts.append(part.iloc[order].assign(rank=np.arange(1, len(part) + 1)))
    table = pd.concat(parts, ignore_index=True)
    front = ["component", "gene", "loading", "sign", "share", "rank"]
    return table[front + [column for column in table.columns if column not in front]]


def read_stability(adata: AnnData, stored: StoredMetric) -> Any:
    """Return the results of `tl.gene_stability` in the order of `read_genes`; None if it has not run for this metric.

    Genes that it did not see have NaN.
    """
    found = adata.uns.get(Keys(stored.key).stability)
    if not isinstance(found, Mapping) or str(found.get("fingerprint")) != stored.fingerprint:
        return None
    names = read_genes(adata, stored).names.astype(str)
    known = np.array([str(name) for name in found.get("genes", names)])
    if np.array_equal(known, names):
        return found
    if len(set(known)) < len(known):
        raise ValueError(
            f"adata.uns[{Keys(stored.key).stability!r}] has several genes of one name, so it is ambiguous which "
            f"of them are in adata.var_names; call sg.tl.gene_stability(adata, key={stored.key!r}) again."
        )
    place = pd.Index(known).get_indexer(pd.Index(names))
    moved = {name: _by_gene(np.asarray(found[name]), place) for name in (*STABILITY, *SIGNIFICANCE) if name in found}
    return dict(found) | moved | {"genes": names.astype(object)}


def _by_gene(values: np.ndarray, place: np.ndarray) -> Floats:
    """Return the rows at these places, NaN for -1."""
    out: Floats = values[place].astype(np.float64)
    out[place < 0] = np.nan
    return out


def read_axes(adata: AnnData, stored: StoredMetric, genes: Genes) -> Floats | None:
    """Return (n, d) loadings of the PCA that carry features to genes; None if the features are what is ranked."""
    use_rep = stored.reading.use_rep
    if not genes.known or use_rep in (None, "X"):
        return None
    axes = pca_axes(adata, use_rep)
    if axes is None:
        raise ValueError(f"The loadings of {use_rep!r} are no longer in adata.varm; compute the PCA again.")
    return axes[axes.any(axis=1)]


def read_ranked(adata: AnnData, key: str) -> pd.DataFrame:
    """Return the stored table of all genes, if it is one of the metric as it is now."""
    slot = Keys(key).genes
    if slot not in adata.uns:
        raise KeyError(f"No {slot!r} in adata.uns; rank the genes first with sg.tl.rank_genes(adata, key={key!r}).")
    table: pd.DataFrame = adata.uns[slot]
    fresh = gene_table(adata, key)
    if len(table) != len(fresh) or not np.allclose(table["loading"], fresh["loading"]):
        raise ValueError(
            f"adata.uns[{slot!r}] ranks the genes of another metric than adata.uns[{key!r}] is now; call "
            f"sg.tl.rank_genes(adata, key={key!r}) again."
        )
    return table


def read_symbols(adata: AnnData, gene_symbols: str) -> dict[str, str]:
    """Return the name of each gene in a column of `.var`."""
    if gene_symbols not in adata.var:
        raise KeyError(f"gene_symbols={gene_symbols!r} is not a column of adata.var, which has {choices(adata.var)}.")
    return dict(zip(adata.var_names.astype(str), adata.var[gene_symbols].astype(str), strict=True))


def name_columns(adata: AnnData) -> dict[str, set[str]]:
    """Return the values of each column of `.var`, which may be names of genes."""
    return {str(name): set(adata.var[name].astype(str)) for name in adata.var}


def write_enrichment(adata: AnnData, stored: StoredMetric, table: pd.DataFrame, params: Mapping[str, Any]) -> None:
    """Write gene sets of the components of a metric."""
    entry = {"table": table, "params": dict(params), "fingerprint": stored.fingerprint}
    write_uns(adata, Keys(stored.key).enrichment, entry)


def read_enrichment(adata: AnnData, key: str) -> pd.DataFrame:
    """Return the stored gene sets, if they are those of the metric as it is now."""
    slot = Keys(key).enrichment
    call = f"sg.ext.gprofiler(adata, key={key!r}) or sg.ext.enrich_gmt(adata, gene_sets, key={key!r})"
    if slot not in adata.uns:
        raise KeyError(f"No {slot!r} in adata.uns; compute it first with {call}.")
    entry = adata.uns[slot]
    if key in stored_keys(adata):
        check_derived(entry, read_metric(adata, key), f"adata.uns[{slot!r}]", call)
    table: pd.DataFrame = entry["table"]
    return table
