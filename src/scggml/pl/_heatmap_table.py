"""Return what a heatmap draws: genes x samples or groups of samples, in order."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.cluster.hierarchy import leaves_list, linkage

from scggml._anndata.drawn import grouped, obs_column, sample_genes
from scggml.pl._colors import groups, is_number
from scggml.pl._figure import gene_names


def heatmap_table(
    samples: AnnData, genes: Sequence[str], columns: Sequence[str], *, layer: str | None, standardize: bool
) -> pd.DataFrame:
    """Return what is drawn, genes x samples, the samples in the order in which they are drawn."""
    names, dense, scaled = _genes(samples, genes, layer)
    order = _order(samples, columns, scaled)
    values = scaled if standardize else dense
    return pd.DataFrame(values[:, order], index=names, columns=samples.obs_names[order])


def group_table(
    samples: AnnData,
    genes: Sequence[str],
    by: Sequence[str],
    columns: Sequence[str],
    *,
    layer: str | None,
    standardize: bool,
) -> tuple[pd.DataFrame, AnnData]:
    """Return what is drawn of groups, genes x groups, and the groups with the columns that are drawn above them."""
    names, dense, scaled = _genes(samples, genes, layer)
    more = [name for name in columns if name not in by]
    rows, means = grouped(samples, scaled if standardize else dense, list(by), more)
    return pd.DataFrame(means, index=names, columns=rows.obs_names), rows


def _genes(samples: AnnData, genes: Sequence[str], layer: str | None) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return names of genes, their (n_genes, P) values, and these in standard deviations from their means."""
    names = gene_names(genes)
    dense = sample_genes(samples, names, layer)
    scaled = dense - dense.mean(axis=1, keepdims=True)
    spread = scaled.std(axis=1, keepdims=True)
    return names, dense, np.divide(scaled, spread, out=np.zeros_like(scaled), where=spread > 0)


def _order(samples: AnnData, columns: Sequence[str], scaled: np.ndarray) -> np.ndarray:
    """Return the samples by the first column, and within a group so that neighbors are alike."""
    everyone = np.arange(samples.n_obs)
    if columns:
        first = obs_column(samples, columns[0])
        if is_number(first):
            return np.argsort(first.to_numpy(dtype=float), kind="stable")
        codes = groups(first).cat.codes.to_numpy()
        codes = np.where(codes < 0, codes.max() + 1, codes)  # missing ones come last
        parts = [everyone[codes == code] for code in np.unique(codes)]
    else:
        parts = [everyone]
    return np.concatenate([part if len(part) < 3 else part[_leaves(scaled[:, part].T)] for part in parts])


def _leaves(rows: np.ndarray) -> np.ndarray:
    """Return the order of the leaves of a tree in which neighbors are as alike as they can be."""
    out: np.ndarray = leaves_list(linkage(rows, "average", optimal_ordering=len(rows) <= 500))
    return out
