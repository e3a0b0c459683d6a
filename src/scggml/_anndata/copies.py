"""Refuse samples that are copies of each other: they would leak each other's labels."""

import numpy as np
import pandas as pd

from scggml._anndata.features import ROWS, Features
from scggml._anndata.selection import Selection
from scggml._core.cohort import Floats, Integers

DIGITS = 9
"""Digits by which cells are told apart."""

COPIED = 0.5
"""Share of equal cells from which on a sample counts as a copy."""


def check_copies(selection: Selection, features: Features, groups: Integers) -> None:
    """Raise if samples of different donors share half of their cells.

    All cells are looked at, whichever are drawn later. `groups` (P,) holds the donor of each sample.
    """
    inside = selection.owner >= 0
    marks = _marks(features, selection.adata.n_obs)
    table = pd.DataFrame({"mark": marks[inside], "sample": selection.owner[inside]})
    sizes = np.bincount(table["sample"], minlength=selection.n_samples)
    owners = table.drop_duplicates().groupby("mark")["sample"].agg(["size", "min", "max"])
    # what more than two samples have, such as empty cells, is no sign of a copy
    shared = owners[owners["size"] == 2].groupby(["min", "max"]).size().reset_index(name="count")
    for first, second, count in zip(shared["min"], shared["max"], shared["count"], strict=True):
        if count > COPIED * min(sizes[first], sizes[second]) and groups[first] != groups[second]:
            names = selection.names[[first, second]]
            raise ValueError(
                f"Samples {str(names[0])!r} and {str(names[1])!r} share {count} cells but count as different donors, "
                "so that a held-out one would be recognized by its copy. Leave one out, or pass a groups_key under "
                "which both belong to one donor."
            )


def _marks(features: Features, n_cells: int) -> Floats:
    """Return (n_cells,) a random combination of the features of each cell, by which equal cells are recognized."""
    mixed = np.random.default_rng(0).standard_normal(features.matrix.shape[1])
    marks = np.empty(n_cells)
    for start in range(0, n_cells, ROWS):
        block = features.matrix[start : start + ROWS]
        block = block.compute() if hasattr(block, "compute") else block
        marks[start : start + ROWS] = np.asarray(block @ mixed).ravel()
    scale = float(np.abs(marks).max(initial=0.0)) or 1.0
    return np.round(marks / scale, DIGITS)
