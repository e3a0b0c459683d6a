"""Samples that are copies of each other would betray each other's labels."""

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.read import ROWS, Features, as_text
from scggml._core.cohort import Floats

DIGITS = 9
"""Digits by which cells are told apart."""

COPIED = 0.5
"""Share of equal cells from which on a sample counts as a copy."""


def check_copies(adata: AnnData, features: Features, sample_key: str, groups: pd.Series) -> None:
    """Raise if samples of different donors share half of their cells.

    All cells are looked at, whichever are drawn later. `groups` holds the donor of each sample by name.
    """
    marks = _marks(features, adata.n_obs)
    table = pd.DataFrame({"mark": marks, "sample": as_text(adata.obs[sample_key])})
    sizes = table["sample"].value_counts()
    owners = table.drop_duplicates().groupby("mark")["sample"].agg(["size", "min", "max"])
    # what more than two samples have, such as empty cells, is no sign of a copy
    shared = owners[owners["size"] == 2].groupby(["min", "max"]).size().reset_index(name="count")
    for first, second, count in zip(shared["min"], shared["max"], shared["count"], strict=True):
        both = first in groups.index and second in groups.index  # not left out by min_cells
        if both and count > COPIED * min(sizes[first], sizes[second]) and groups[first] != groups[second]:
            raise ValueError(
                f"Samples {first!r} and {second!r} share {count} cells but count as different donors, so that a "
                "held-out one would be recognized by its copy. Leave one out, or pass a groups_key under which both "
                "belong to one donor."
            )


def _marks(features: Features, n_cells: int) -> Floats:
    """(n_cells,) a random combination of the features of each cell, by which equal cells are recognized."""
    mixed = np.random.default_rng(0).standard_normal(features.matrix.shape[1])
    marks = np.empty(n_cells)
    for start in range(0, n_cells, ROWS):
        block = features.matrix[start : start + ROWS]
        block = block.compute() if hasattr(block, "compute") else block
        marks[start : start + ROWS] = np.asarray(block @ mixed).ravel()
    scale = float(np.abs(marks).max(initial=0.0)) or 1.0
    return np.round(marks / scale, DIGITS)
