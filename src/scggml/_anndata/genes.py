"""The door to the genes of a stored metric: their names, loadings and table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.keys import Keys
from scggml._anndata.metric import Stored, read_stored
from scggml._anndata.read import choices
from scggml._core.cohort import Floats, Names
from scggml._core.metric import importance, shares

STABILITY = ("lower", "upper", "frequency")
SIGNIFICANCE = ("excess", "p_value", "p_adjusted")

DOMINANT = 0.03
"""Share of the metric from which on a component is shown and asked about if nothing is said."""


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


def read_genes(adata: AnnData, stored: Stored, gene_symbols: str | None = None) -> Genes:
    """Genes that took part in a metric, with the names in a column of `.var` where one is given."""
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


def pick_components(stored: Stored, components: Sequence[int] | None, purpose: str) -> list[int]:
    """The components asked for, from 1, each once; by default those that carry at least a share DOMINANT."""
    share = shares(stored.singular_values)
    if components is None:
        if not share.any():
            raise ValueError(f"The metric {stored.key!r} is zero: nothing was learned, so it has {purpose}.")
        return [int(i) + 1 for i in np.flatnonzero(share >= DOMINANT)]
    components = list(dict.fromkeys(components))
    if not components or not all(1 <= i <= len(share) for i in components):
        raise ValueError(f"components={components!r}: the metric {stored.key!r} has components 1 to {len(share)}.")
    return components


def component_names(stored: Stored) -> list[str]:
    """Names of the components, such as "ggml1"; the metric as a whole is named by its key."""
    return [f"{stored.key}{i + 1}" for i in range(len(stored.components))]


def gene_table(adata: AnnData, key: str) -> pd.DataFrame:
    """Loading, sign, share and rank of each gene on each component and in the whole metric, strongest first.

    With what `tl.gene_stability` found, as far as it did so for the metric as it is now.
    """
    stored = read_stored(adata, key)
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


def read_stability(adata: AnnData, stored: Stored) -> Any:
    """What `tl.gene_stability` stored, None if it has not run since this metric was learned."""
    found = adata.uns.get(Keys(stored.key).stability)
    if found is None or not np.array_equal(np.asarray(found["singular_values"]), stored.singular_values):
        return None
    return found


def read_axes(adata: AnnData, stored: Stored, genes: Genes) -> Floats | None:
    """(n, d) loadings of the PCA that carry features back to the genes; None if the features are what is ranked."""
    use_rep = stored.param("use_rep")
    if not genes.known or use_rep in (None, "X"):
        return None
    axes = np.asarray(adata.varm["PCs" if use_rep == "X_pca" else use_rep], dtype=np.float64)
    return axes[axes.any(axis=1)]
