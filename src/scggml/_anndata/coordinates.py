"""Coordinates of cells in the learned space, read where they are those of the metric."""

import numpy as np
from anndata import AnnData

from scggml._anndata.held_out import read_held_out
from scggml._anndata.keys import Keys
from scggml._anndata.messages import choices
from scggml._anndata.metric import StoredMetric
from scggml._anndata.origin import check_cells
from scggml._core.cohort import Floats


def read_cells(adata: AnnData, stored: StoredMetric) -> Floats:
    """Return (n_obs, k), the cells in the learned space as they are stored, if they are where the metric puts them."""
    found = _coordinates(adata, stored, Keys(stored.key).cells, "project")
    if stored.has_features(adata):
        stored.locate(adata)  # looks at some of the cells
    return found


def read_held_out_cells(adata: AnnData, stored: StoredMetric) -> Floats:
    """Return (n_obs, k) cells as `tl.cross_fit` stored them, if some of them are where its metrics put them."""
    held_out, slot = read_held_out(adata, stored), Keys(stored.key).held_out_cells
    cells = _coordinates(adata, stored, slot, "cross_fit")
    if not stored.has_features(adata):
        return cells
    features, everyone = stored.locate(adata), stored.reading.of_everyone().select(adata, quiet=True)
    fold = np.append(held_out.folds(everyone), -1)[everyone.owner]
    for number, components in enumerate(held_out.fits.single()[0]):
        owner = np.where(fold == number, everyone.owner, -1)
        check_cells(features, cells, components, f"adata.obsm[{slot!r}]", owner)
    return cells


def _coordinates(adata: AnnData, stored: StoredMetric, slot: str, made_by: str) -> Floats:
    """Return (n_obs, k) coordinates of the cells, NaN for those of no sample; `made_by` is a function of `tl`."""
    k = len(stored.components)
    if slot not in adata.obsm:
        raise KeyError(
            f"No {slot!r} in adata.obsm, which holds {choices(adata.obsm)}. Call sg.tl.{made_by} or sg.tl.ggml again."
        )
    found = adata.obsm[slot]
    fits = np.shape(found) == (adata.n_obs, k) and np.issubdtype(np.asarray(found).dtype, np.number)
    if not fits or np.isinf(found).any():
        raise ValueError(
            f"adata.obsm[{slot!r}] has shape {np.shape(found)}, or values that are no finite numbers; the metric "
            f"{stored.key!r} has {k} components. Call sg.tl.{made_by} or sg.tl.ggml again."
        )
    return np.asarray(found, dtype=np.float64)
