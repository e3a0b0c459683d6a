"""Scores of samples: where their cells are on average along a component."""

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.coordinates import read_cells, read_held_out_cells
from scggml._anndata.held_out import has_held_out
from scggml._anndata.messages import choices
from scggml._anndata.metric import StoredMetric


def read_scores(
    adata: AnnData, stored: StoredMetric, component: int, *, held_out: bool | None, column: str | None = None
) -> tuple[pd.DataFrame, str]:
    """Return `score`, `label`, `donor` and a column of `.obs` for each sample, and of which samples the metric is.

    The score is the weighted mean of the coordinates of the cells; held out (None: where there are metrics without some
    donors) under the metric that has not seen the donor.
    """
    if held_out is None:
        held_out = has_held_out(adata, stored)
    everything = read_held_out_cells(adata, stored) if held_out else read_cells(adata, stored)
    selection = stored.reading.select(adata, quiet=True)
    target = stored.reading.target(selection)
    cells = everything[selection.rows, component - 1]
    scores = np.add.reduceat(cells * selection.weights, selection.offsets[:-1])
    labels = target.values if target.kind == "numbers" else target.classes[target.codes].astype(object)
    out = pd.DataFrame(
        {"score": scores, "label": labels, "donor": stored.reading.design(selection)["groups"]},
        index=pd.Index(selection.names.astype(str), name=None),
    )
    if target.kind != "numbers":
        out["label"] = pd.Categorical(out["label"], [str(name) for name in target.classes], target.kind == "ordered")
    if column is not None:
        out["color"] = _of_samples(adata, column, selection.rows, selection.offsets, out.index)
    return out, "held out" if held_out else stored.seen(selection.names)


def _of_samples(adata: AnnData, column: str, rows: np.ndarray, offsets: np.ndarray, names: pd.Index) -> pd.Series:
    """Return a column that is constant within samples, with its categories."""
    if column not in adata.obs:
        raise KeyError(f"color={column!r} is not a column of adata.obs, which has {choices(adata.obs)}.")
    values = adata.obs[column].iloc[rows]
    codes = pd.factorize(values)[0]
    first = np.repeat(codes[offsets[:-1]], np.diff(offsets))
    if (codes != first).any():
        name = names[np.searchsorted(offsets, np.flatnonzero(codes != first)[0], side="right") - 1]
        raise ValueError(f"color={column!r} has several values in sample {name!r}; samples have one color each.")
    out = values.iloc[offsets[:-1]].copy()
    out.index = names
    return out
