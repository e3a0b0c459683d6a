"""Loadings on genes: of a PCA that the features are, and of a metric through it."""

import numpy as np
from anndata import AnnData

from scggml._anndata.features import (
    PCA_LOADINGS,
    Features,
    find_basis,
    has_rep,
    pca_loadings_slot,
    pick,
    read_features,
)
from scggml._anndata.messages import choices, warn
from scggml._anndata.metric import StoredMetric
from scggml._anndata.origin import ROUNDING, some_rows
from scggml._anndata.parts import embed_cells
from scggml._anndata.scales import look, warn_of_other_scale
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


def warn_of_axes(adata: AnnData, reference: AnnData, stored: StoredMetric) -> None:
    """Warn of new cells whose PCA may be another one: without loadings, and not what their genes give."""
    use_rep = str(stored.reading.use_rep)
    if adata is reference or "origin" not in stored.record or not has_rep(adata, use_rep):
        return
    slot, basis = pca_loadings_slot(adata, use_rep), find_basis(adata, use_rep)
    if slot in adata.varm or _on_axes(adata, reference, use_rep, len(stored.features)):
        return
    warn(
        f"adata.varm lacks {slot!r}, the loadings of adata.obsm[{basis!r}], so nothing tells whether it is on the axes "
        f"that the metric {stored.key!r} was learned on; another PCA gives nonsense. If it is on these, say so by "
        f"adata.varm[{slot!r}] = reference.varm[{pca_loadings_slot(reference, use_rep)!r}] (same genes, same order); "
        f"else delete adata.obsm[{basis!r}] and call sg.tl.project(adata, reference), which goes through the genes."
    )


def _on_axes(adata: AnnData, reference: AnnData, use_rep: str, d: int) -> bool:
    """Return whether some new cells are where their genes put them on the PCA of the reference."""
    axes = pca_axes(reference, use_rep, d)
    if axes is None or adata.X is None or reference.X is None:
        return False
    seen = axes.any(axis=1)
    genes = reference.var_names[seen]
    place = adata.var_names[~adata.var_names.duplicated(keep=False)].get_indexer(genes)
    if genes.has_duplicates or (place < 0).any():
        return False
    shifts = []
    for cells in (reference, adata):
        rows = some_rows(cells.n_obs)
        found = read_features(cells, use_rep=use_rep, layer=None, mask_var=None).rows(rows).astype(np.float64)
        expression = pick(read_features(cells), genes.to_numpy().astype(str), "genes of the PCA").rows(rows)
        shifts.append(found - expression.astype(np.float64) @ axes[seen])
    spread = np.abs(found).max()  # of the new cells
    same = np.abs(np.vstack(shifts) - shifts[0][0]) <= ROUNDING * max(float(spread), np.finfo(float).tiny)
    return bool(same.all())


def through_genes(
    adata: AnnData, reference: AnnData, stored: StoredMetric, components: Floats, layer: str | None = None
) -> Floats:
    """Return (n_obs, k) coordinates of new cells on components (k, d) of a PCA that they lack.

    They go through the loadings of the reference's genes. The shift (the centring of the PCA) is taken from its cells,
    which tell at the same time whether its genes are on the scale that the PCA saw.
    """
    use_rep = str(stored.reading.use_rep)
    lacking = f"adata.obsm lacks {use_rep!r}, the features of the metric {stored.key!r},"
    loadings = gene_loadings(reference, stored.locate(reference), components, use_rep)
    if loadings is None:
        raise ValueError(
            f"{lacking} and reference.varm has no loadings of {use_rep!r} to go through; compute {use_rep!r} for the "
            "new cells first."
        )
    used = ~np.isnan(loadings).any(axis=1)
    genes, weights = reference.var_names[used].to_numpy().astype(str), loadings[used].T
    what = f"genes that carry the metric {stored.key!r}"
    seen = pick(read_features(reference, layer=layer), genes, what)
    through = embed_cells(seen, weights)
    known = embed_cells(stored.locate(reference), components)
    shift = (known - through).mean(axis=0)
    if np.abs(through + shift - known).max() > 1e-2 * max(np.ptp(known, axis=0).max(), np.finfo(float).tiny):
        raise ValueError(
            f"{lacking} and {seen.slot} of the reference is not on the scale that its PCA saw (its cells do not come "
            f"out where they are). Pass the layer of both AnnData that holds this scale, or compute {use_rep!r} for "
            "the new cells."
        )
    expression = pick(read_features(adata, layer=layer), genes, what)
    warn_of_other_scale(expression, look(seen).kind, stored.key)
    return embed_cells(expression, weights) + shift


def with_axes(adata: AnnData, reference: AnnData, stored: StoredMetric) -> AnnData:
    """Return new cells on the PCA of the reference: as they are if they have one, else put there by their genes."""
    use_rep = stored.reading.use_rep
    if has_rep(adata, use_rep) or not has_rep(reference, use_rep):
        return adata
    cells = through_genes(adata, reference, stored, np.eye(len(stored.features)))
    layers = {name: matrix for name, matrix in adata.layers.items() if name is not None}
    return AnnData(adata.X, obs=adata.obs, var=adata.var, layers=layers, obsm={str(use_rep): cells})


def match_loadings(adata: AnnData, reference: AnnData, loadings: Floats) -> Floats:
    """Return gene loadings of the reference in the order of the new genes, NaN for genes that the reference lacks."""
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
