"""The door out: results -> slots, and the AnnData of samples."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData, ImplicitModificationWarning

from scggml._anndata.keys import N_CELLS, Keys
from scggml._anndata.read import Features, as_text, not_finite, raise_faults
from scggml._core.cohort import Cohort, Floats, Integers


def write_metric(
    adata: AnnData,
    keys: Keys,
    *,
    entry: Mapping[str, Any],
    embedded: Floats,
    loadings: Floats | None,
) -> None:
    """Write a metric into `.uns`, the embedded cells into `.obsm` and the gene loadings, if any, into `.varm`."""
    with warnings.catch_warnings():
        # A view becomes an AnnData of its own at the first write, as with scanpy; nothing to warn of.
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        adata.uns[keys.metric] = dict(entry)
    adata.obsm[keys.cells] = embedded
    if loadings is not None:
        adata.varm[keys.loadings] = loadings
    else:
        adata.varm.pop(keys.loadings, None)


def embed_cells(features: Features, components: Floats) -> Floats:
    """(n_obs, k) all cells in the learned space, a few thousand at a time."""
    out = np.empty((len(features.cells), len(components)))
    faults: list[tuple[int, int, int]] = []
    for rows, block in features.in_order():
        faults += not_finite(block, np.arange(rows.start, rows.stop))
        out[rows] = block @ components.T
    raise_faults(features, faults)
    return out


def gene_loadings(adata: AnnData, features: Features, components: Floats, use_rep: str | None) -> Floats | None:
    """(n_vars, k) loadings on genes, NaN for genes that took no part; None if the features cannot be mapped to genes.

    Features from `.X` or a layer are genes. Those of a PCA go back through its loadings: `.varm["PCs"]` for `X_pca`,
    `.varm[use_rep]` for a PCA that was stored under a key of its own.
    """
    if use_rep is None or use_rep == "X":
        out = np.full((adata.n_vars, len(components)), np.nan)
        out[slice(None) if features.columns is None else features.columns] = components.T
        return out
    stored = adata.varm.get("PCs" if use_rep == "X_pca" else use_rep)
    if stored is None or np.shape(stored) != (adata.n_vars, components.shape[1]):
        return None
    axes = np.asarray(stored, dtype=np.float64)
    out = axes @ components.T
    out[~axes.any(axis=1)] = np.nan  # genes that the PCA did not see have zero rows
    return out


def samples_adata(adata: AnnData, cohort: Cohort, features: Features, sample_key: str) -> AnnData:
    """AnnData of samples: mean profile in `.X`, every column that is constant within samples in `.obs`."""
    origin = cohort.origin
    if origin is None:
        raise ValueError("cohort.origin is None; the cohort must come from an AnnData.")
    codes = pd.Index(cohort.names).get_indexer(pd.Index(as_text(adata.obs[sample_key])))
    inside = codes >= 0  # cells of samples that min_cells left out are not
    cells, owner = adata.obs.loc[inside], codes[inside]
    first = np.unique(owner, return_index=True)[1]
    constant = [name for name in cells.columns if _is_constant(cells[name], owner, first)]
    obs = cells.iloc[first][constant].copy()
    obs.index = pd.Index(cohort.names.astype(str))
    for name in obs.columns:
        if isinstance(obs[name].dtype, pd.CategoricalDtype):
            obs[name] = obs[name].cat.remove_unused_categories()
    obs[N_CELLS] = origin.counts
    return AnnData(X=origin.profiles, obs=obs, var=pd.DataFrame(index=pd.Index(features.names.astype(str))))


def _is_constant(column: pd.Series, owner: np.ndarray, first: np.ndarray) -> bool:
    """Whether every sample has one value; two missing values are the same value."""
    codes = pd.factorize(column.to_numpy())[0]
    return bool((codes == codes[first][owner]).all())


def write_uns(adata: AnnData, slot: str, entry: Any) -> None:
    """Write a result into `.uns`; a view becomes an AnnData of its own, as with scanpy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        adata.uns[slot] = entry


def write_cells(adata: AnnData, slot: str, rows: Integers, values: Floats) -> None:
    """Write numbers of some cells into a column of `.obs`, NaN for the others."""
    column = np.full(adata.n_obs, np.nan)
    column[rows] = values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        adata.obs[slot] = column
