"""Notice features that have the name of those of a metric and are others: another PCA, or a matrix scaled since."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scggml._anndata.features import Features, find_basis, is_lazy, pca_loadings_slot
from scggml._anndata.forms import Entry, Form
from scggml._core.cohort import Floats, Integers, Names

CELLS, GENES = 8, 32
"""Cells that are looked at, and genes whose loadings are kept."""

ROUNDING = 1e-3
"""Share of a range up to which two numbers are the same, whatever precision a file has."""

FORM: Form = {"genes": Entry("text", ("genes",)), "loadings": Entry("numbers", ("genes", "features"))}


def kept_loadings(adata: AnnData, use_rep: str | None, d: int) -> dict[str, Any] | None:
    """Return the loadings of a few genes on the PCA that gave the d features, None if none did."""
    stored = None if use_rep in (None, "X") else adata.varm.get(pca_loadings_slot(adata, str(use_rep)))
    if stored is None or np.ndim(stored) != 2 or np.shape(stored)[1] != d:
        return None
    axes = np.asarray(stored, dtype=np.float64)
    size = np.where(adata.var_names.duplicated(keep=False), 0.0, np.nan_to_num(np.square(axes).sum(axis=1)))
    strongest = np.argsort(-size, kind="stable")[:GENES]
    strongest = np.sort(strongest[size[strongest] > 0])
    if not len(strongest):
        return None
    return {"genes": adata.var_names[strongest].to_numpy().astype(str).astype(object), "loadings": axes[strongest]}


def check_cells(found: Features, cells: Any, components: Floats, where: str, owner: Integers | None = None) -> None:
    """Raise unless a few cells are where the metric puts them, in the (n_obs, k) coordinates that are stored.

    With the sample of each cell (`owner`) those of a sample may be moved together, as covariates do.
    """
    if sparse.issparse(cells):
        raise ValueError(
            f"{where} is sparse ({type(cells).__name__}); coordinates of cells are dense. Put back {where}.toarray()."
        )
    if is_lazy(found.matrix) or is_lazy(cells) or np.shape(cells) != (len(found.cells), len(components)):
        return
    rows = some_rows(len(found.cells), owner)
    given = np.asarray(cells[rows], dtype=np.float64)
    values = found.rows(rows).astype(np.float64)
    known = np.isfinite(given).all(axis=1) & np.isfinite(values).all(axis=1)  # others are told of elsewhere
    rows, given, through = rows[known], given[known], values[known] @ components.T
    if not len(rows):
        return
    rest = through - given
    if owner is not None:
        rest = rest - rest[np.unique(owner[rows], return_index=True)[1]][np.unique(owner[rows], return_inverse=True)[1]]
    near = ROUNDING * max(float(np.ptp(given, axis=0).max()), float(np.abs(given).max()) * ROUNDING)
    off = np.abs(rest) > max(near, np.finfo(float).tiny)
    if off.any():
        i, j = np.argwhere(off)[0]
        raise ValueError(
            f"{found.slot} is no longer what {where} was computed from: cell {str(found.cells[rows[i]])!r} would be at "
            f"{through[i, j]:.4g} on component {j + 1} and is at {given[i, j]:.4g}. Put the features back that the "
            "metric was learned on, or learn it again with sg.tl.ggml (of new data: call sg.tl.project again)."
        )


def some_rows(n: int, owner: Integers | None = None) -> Integers:
    """Return few rows, rising; with samples two of each of some of them."""
    if owner is None:
        return np.unique(np.linspace(0, n - 1, CELLS).astype(np.int64))
    found = []
    for sample in np.unique(np.linspace(0, max(int(owner.max()), 0), CELLS // 2).astype(np.int64)):
        own = np.flatnonzero(owner == sample)
        found += [own[0], own[-1]] if len(own) else []
    return np.unique(np.array(found, dtype=np.int64))


def check_loadings(adata: AnnData, origin: Mapping[str, Any], use_rep: str, key: str) -> None:
    """Raise if the PCA of an AnnData has other loadings than the one that a metric was learned on."""
    slot, known = pca_loadings_slot(adata, use_rep), np.asarray(origin["loadings"], dtype=np.float64)
    genes = np.array([str(name) for name in origin["genes"]], dtype=str)
    there, own = _loadings_of(adata, slot, genes, known.shape[1])
    if not len(there):
        return
    off = (np.abs(own - known[there]) > ROUNDING * 10 * np.abs(known).max(axis=0)).any(axis=1)
    if not off.any():
        return
    basis = find_basis(adata, use_rep)
    raise ValueError(
        f"adata.obsm[{basis!r}] comes from another PCA than the one that the metric {key!r} was learned on: "
        f"adata.varm[{slot!r}] has other loadings for {int(off.sum())} of {len(there)} genes that were compared, such "
        f"as {str(genes[there[off.argmax()]])!r}. Put the cells on the axes of the reference, as sc.tl.ingest does, "
        f"and take its loadings along; or delete adata.obsm[{basis!r}] and call sg.tl.project(adata, reference), which "
        "then goes through the genes."
    )


def _loadings_of(adata: AnnData, slot: str, genes: Names, d: int) -> tuple[Integers, Floats]:
    """Return which of the genes have finite loadings on the first d axes, and these."""
    nothing = np.empty(0, dtype=np.int64), np.empty((0, d))
    own = adata.varm.get(slot)
    if own is None or np.ndim(own) != 2 or np.shape(own)[1] < d:
        return nothing
    single = np.flatnonzero(~adata.var_names.duplicated(keep=False))
    place = adata.var_names[single].get_indexer(pd.Index(genes))
    there = np.flatnonzero(place >= 0)
    axes = np.asarray(own, dtype=np.float64)[single[place[there]], :d]
    finite = np.isfinite(axes).all(axis=1)
    return there[finite], axes[finite]
