"""Refuse samples that are copies of each other: they would leak each other's labels."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from scggml._anndata.features import ROWS, Features
from scggml._anndata.selection import Selection
from scggml._core.cohort import Integers

Bits = NDArray[np.uint64]

FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""An odd number with bits in no order: multiplied by it, all bits of a value have a part in the upper half."""

HALF = np.uint64(32)

CACHED = 2**18
"""Values that are mixed at a time, so that they stay in the cache of a processor."""

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


def _marks(features: Features, n_cells: int) -> Bits:
    """Return (n_cells,) a number for each cell; two have the same if all bytes of the features that are used are equal.

    (With 64 bits, different cells have the same number once in 10 billion cohorts of 60,000 cells.)
    """
    d = features.matrix.shape[1] if features.columns is None else len(features.columns)
    factors = np.random.default_rng(0).integers(2**63, size=d, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    marks = np.empty(n_cells, dtype=np.uint64)
    for start in range(0, n_cells, ROWS):
        rows = np.arange(start, min(start + ROWS, n_cells))
        marks[rows] = _marks_of(features.block(rows), factors)
    return marks


def _marks_of(block: Any, factors: Bits) -> Bits:
    """Return (n,) the sum of a number for each value and feature, 0 for the value 0; sums go around at 2**64."""
    if not sparse.issparse(block):
        rows, step = np.asarray(block), max(1, CACHED // max(1, len(factors)))
        parts = [_mixed(rows[start : start + step]) @ factors for start in range(0, len(rows), step)]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
    stored = sparse.csr_matrix(block, copy=True)
    stored.sum_duplicates()
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(_mixed(stored.data) * factors[stored.indices])])
    return sums[stored.indptr[1:]] - sums[stored.indptr[:-1]]


def _mixed(values: NDArray[Any]) -> Bits:
    """Return the bytes of each value as a number that differs where they do, its bits mixed; 0 for 0 and -0."""
    values = np.ascontiguousarray(values)
    if values.dtype.kind not in "fiub" or values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    if values.dtype.kind == "f":
        values = values + values.dtype.type(0)  # -0 is 0
    bits = values.view(f"u{values.dtype.itemsize}").astype(np.uint64) * FACTOR
    bits ^= bits >> HALF
    return bits
