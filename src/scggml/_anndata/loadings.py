"""Loadings on genes: of a PCA that the features are, and of a metric through it."""

import numpy as np
from anndata import AnnData

from scggml._anndata.features import PCA_LOADINGS, Features, find_basis, pca_loadings_slot
from scggml._anndata.keys import Keys
from scggml._anndata.messages import choices, warn
from scggml._core.cohort import Floats


def pca_axes(adata: AnnData, use_rep: str, n_comps: int) -> Floats | None:
    """Return (n_vars, n_comps) loadings of the PCA that a representation comes from, None if there are none.

    Where components were cut off the cells alone, the first loadings belong to those that are left. Genes that the PCA
    did not see have zero rows, also where an outer concatenation has filled in NaN.
    """
    stored = adata.varm.get(pca_loadings_slot(adata, use_rep))
    if stored is None or np.ndim(stored) != 2 or np.shape(stored)[0] != adata.n_vars or np.shape(stored)[1] < n_comps:
        return None
    axes = np.asarray(stored, dtype=np.float64)[:, :n_comps]
    out: Floats = np.where(np.isfinite(axes).all(axis=1, keepdims=True), axes, 0.0)
    return out


def gene_loadings(adata: AnnData, features: Features, components: Floats, use_rep: str | None) -> Floats | None:
    """Return (n_vars, k) loadings on genes, NaN for genes that were not used; None if features are no genes.

    Features from `.X` or a layer are genes. Those of a PCA go back through its loadings, see `pca_loadings_slot`.
    """
    if use_rep is None or use_rep == "X":
        out = np.full((adata.n_vars, len(components)), np.nan)
        out[slice(None) if features.columns is None else features.columns] = components.T
        return out
    axes = pca_axes(adata, use_rep, components.shape[1])
    if axes is None:
        return None
    out = axes @ components.T
    out[~axes.any(axis=1)] = np.nan  # genes that the PCA did not see have zero rows
    return out


def warn_of_loadings(adata: AnnData, use_rep: str | None) -> None:
    """Warn of a PCA whose loadings are missing or of other components, so that nothing leads back to genes."""
    name = str(use_rep)
    if find_basis(adata, name) not in PCA_LOADINGS:
        return
    slot = pca_loadings_slot(adata, name)
    shape = np.shape(adata.varm[slot]) if slot in adata.varm else None
    if shape is None:
        there = "is missing"
    else:
        there = f"has {shape[1]} columns" if len(shape) == 2 else "is no table of genes x components"
    n = adata.obsm[find_basis(adata, name)].shape[1]
    warn(
        f"adata.varm[{slot!r}] {there}, and use_rep={name!r} has {n} components: the metric is learned, but it has no "
        "loadings on genes, so its components and not genes are ranked. Compute both together with sc.pp.pca(adata), "
        "or copy the loadings from the AnnData that has them."
    )


def match_loadings(adata: AnnData, reference: AnnData, keys: Keys) -> Floats | None:
    """Return gene loadings of the reference in the order of the new genes, NaN for genes that the reference lacks."""
    if keys.loadings not in reference.varm:
        return None
    loadings = np.asarray(reference.varm[keys.loadings])
    theirs, own = reference.var_names, adata.var_names
    if own.equals(theirs):
        return loadings.copy()
    single = ~theirs.duplicated(keep=False)
    position = theirs[single].get_indexer(own)
    position[own.duplicated(keep=False)] = -1
    unclear = own.unique().intersection([*theirs[~single], *own[own.duplicated(keep=False)].intersection(theirs)])
    if len(unclear):
        warn(
            f"adata.var_names or reference.var_names has several genes named {choices(unclear)}, which get no "
            "loadings; call var_names_make_unique() on both before learning."
        )
    out: Floats = np.where((position >= 0)[:, None], loadings[single][position], np.nan)
    return out
