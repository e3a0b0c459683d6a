"""Read from an AnnData what the interface of patpy promises, in its forms."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.drawn import attributed_cells
from scggml._anndata.messages import check_adata, choices, find_column
from scggml._anndata.metric import read_metric
from scggml._anndata.results import write_obs
from scggml._anndata.verdicts import read_cross_validation


def samples_of(adata: AnnData, sample_key: str) -> np.ndarray:
    """Return (P,) samples in order of first appearance."""
    check_adata(adata)
    found: np.ndarray = find_column(adata, sample_key, "sample_key").unique()
    return np.asarray(found)


def labels_of(adata: AnnData, sample_key: str, label_keys: list[str]) -> pd.DataFrame:
    """Return the labels of the samples, a row for each in order of first appearance; each has one value."""
    table = pd.DataFrame({name: find_column(adata, name, "label_keys") for name in label_keys})
    table.index = pd.Index(find_column(adata, sample_key, "sample_key"), name=sample_key)
    for name in label_keys:
        several = table[name].groupby(level=0, observed=True).nunique(dropna=False) > 1
        if several.any():
            raise ValueError(
                f"adata.obs[{name!r}] (label_keys) has several values in {int(several.sum())} samples, the first of "
                f"which is {str(several.idxmax())!r}; a label is one value of each sample."
            )
    return table[~table.index.duplicated()]


def is_ordered(column: pd.Series) -> bool:
    """Return whether a column holds categories with an order."""
    return isinstance(column.dtype, pd.CategoricalDtype) and bool(column.cat.ordered)


def place_of(adata: AnnData, layer: str | None) -> dict[str, Any]:
    """Return `use_rep` and `layer` for what patpy calls a layer: a slot of `.obsm` or `.layers`, or `.X`."""
    if layer is None or layer == "X":
        return {"use_rep": None, "layer": None}
    if layer in adata.obsm:
        return {"use_rep": layer, "layer": None}
    if layer in adata.layers:
        return {"use_rep": None, "layer": layer}
    raise ValueError(
        f"layer={layer!r} is neither in adata.obsm ({choices(adata.obsm)}) nor in adata.layers "
        f"({choices(adata.layers)}); pass one of these, or 'X'."
    )


def importance_of(adata: AnnData, column: str) -> pd.DataFrame | None:
    """Return a column with the importance of each cell, if it is there."""
    return adata.obs[[column]] if column in adata.obs else None


def write_importance(adata: AnnData, key: str, column: str) -> pd.DataFrame:
    """Write what `tl.attribute` found about the cells under the name that patpy reads, and return it."""
    _, excess = attributed_cells(adata, read_metric(adata, key))
    write_obs(adata, {column: excess.to_numpy()})
    return adata.obs[[column]]


def predictions_of(adata: AnnData, result: str, label: str, samples: np.ndarray) -> pd.DataFrame | pd.Series:
    """Return held-out predictions: a column for the probability of each class and one for the class, or numbers."""
    entry = read_cross_validation(adata, result)
    table = entry["predictions"]
    place = pd.Index(table["sample"].astype(str)).get_indexer(pd.Index(samples.astype(str)))
    scores = np.asarray(entry["probabilities"], dtype=np.float64)[place]
    classes = [str(name) for name in entry["classes"]]
    if not classes:
        return pd.Series(scores[:, 0], index=samples, name=label)
    out = pd.DataFrame({f"prob_{name}": scores[:, i] for i, name in enumerate(classes)}, index=samples)
    out[f"{label}_pred"] = table["prediction"].astype(str).to_numpy()[place]
    return out
