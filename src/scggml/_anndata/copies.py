"""Refuse samples that are copies of each other: they would leak each other's labels."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import norm

from scggml._anndata.features import ROWS, Features
from scggml._anndata.messages import warn
from scggml._anndata.selection import Selection
from scggml._core.cohort import Integers
from scggml._core.samples import Samples

Bits = NDArray[np.uint64]

FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""An odd number with bits in no order: multiplied by it, all bits of a value have a part in the upper half."""

HALF = np.uint64(32)

CACHED = 2**18
"""Values that are mixed at a time, so that they stay in the cache of a processor."""

DIGITS = 9
"""Decimals of mean cells, as shares of the largest value, that the order of cells does not change."""

COPIED = 0.5
"""Share of equal cells from which on a sample counts as a copy."""

LEVEL = 1e-3
"""Probability, over all pairs, of as many equal cells where more than two samples have them."""


def check_copies(selection: Selection, features: Features, groups: Integers) -> None:
    """Raise if samples of different donors share half of their cells.

    All cells are looked at, whichever are drawn later. `groups` (P,) holds the donor of each sample.
    """
    copied, shared = _copied(*_held(selection, features), selection.n_samples)
    copied &= groups[:, None] != groups[None, :]
    if not copied.any():
        return
    first, second = np.argwhere(copied)[0]
    a, b = (str(name) for name in selection.names[[first, second]])
    raise ValueError(
        f"Samples {a!r} and {b!r} share {int(shared[first, second])} cells but count as different donors, "
        "so that a held-out one would be recognized by its copy. Leave one out, or pass a groups_key under "
        "which both belong to one donor."
    )


def warn_of_copies(samples: Samples) -> None:
    """Warn of samples of different donors whose mean cells are equal: settings are chosen by donors that are held out.

    What makes evidence looks at all cells and refuses such samples, see `check_copies`.
    """
    cohort, groups = samples.cohort, samples.groups
    if cohort.origin is None:
        return
    means = cohort.origin.profiles
    rounded = np.round(means / max(float(np.abs(means).max(initial=0.0)), np.finfo(float).tiny), DIGITS)
    kinds = np.unique(rounded, axis=0, return_inverse=True)[1].reshape(-1)
    first = np.unique(kinds, return_index=True)[1][kinds]
    copied = np.flatnonzero(groups != groups[first])
    if len(copied) and kinds.any():  # where all are the same, nothing can be learned, which is told elsewhere
        a, b = str(cohort.names[first[copied[0]]]), str(cohort.names[copied[0]])
        warn(
            f"{len(copied)} samples have the mean cell of another one but count as different donors, such as {b!r} and "
            f"{a!r}: copies count twice, and settings are chosen as if donors were predicted that are known. Leave "
            "them out, or pass a groups_key under which they belong to one donor."
        )


def check_new(new: Selection, features: Features, known: Selection, known_features: Features) -> None:
    """Raise if new samples share half of their cells with a sample that the metric was learned on."""
    # in single precision, whichever the two files have
    own, theirs = _held(new, features, np.float32), _held(known, known_features, np.float32)
    P = known.n_samples
    sample = np.concatenate([theirs[0], P + own[0]])
    found, counts = _copied(sample, np.concatenate([theirs[1], own[1]]), P + new.n_samples)
    copied, shared = found[:P, P:], counts[:P, P:]
    there = np.flatnonzero(copied.any(axis=0))
    if len(there):
        j = there[0]
        i = int((shared[:, j] * copied[:, j]).argmax())
        raise ValueError(
            f"{len(there)} of {new.n_samples} samples of adata are samples of the reference: {str(new.names[j])!r} "
            f"shares {int(shared[i, j])} cells with {str(known.names[i])!r}, so that it would be its own neighbor and "
            "be given its own label. Leave them out; sg.tl.cross_validate tells how samples of the reference are "
            "predicted by metrics that have not seen them."
        )


def _copied(sample: Integers, mark: Bits, n_samples: int) -> tuple[NDArray[np.bool_], Integers]:
    """Return (P, P) whether two samples are copies, and how many cells they share; `mark` are the cells of samples."""
    _, codes, owners = np.unique(mark, return_inverse=True, return_counts=True)
    owners = owners[codes]
    shared = _shared(sample, codes, n_samples)
    sizes = np.bincount(sample, minlength=n_samples)
    few = np.minimum(sizes[:, None], sizes[None, :])
    # Two that alone have the same cells are copies. What more samples have may be common by nature, such as few values.
    two = owners == 2
    alone = _shared(sample[two], codes[two], n_samples)
    chance = (owners - 1) / max(n_samples - 1, 1)  # that another sample has the cell, too
    expected = np.bincount(sample, chance, n_samples)
    spread = np.sqrt(np.bincount(sample, chance * (1 - chance), n_samples))
    bound = expected + norm.isf(LEVEL / max(1, n_samples * (n_samples - 1) // 2)) * spread
    unlikely = shared > np.where(sizes[:, None] <= sizes[None, :], bound[:, None], bound[None, :])
    return (alone > COPIED * few) | ((shared > COPIED * few) & unlikely), shared


def _shared(sample: Integers, codes: Integers, n_samples: int) -> Integers:
    """Return (P, P) how many different cells two samples share, 0 with themselves."""
    shape = (n_samples, int(codes.max(initial=0)) + 1)
    held = sparse.csr_array((np.ones(len(codes), dtype=np.int64), (sample, codes)), shape=shape)
    shared: Integers = (held @ held.T).toarray()
    np.fill_diagonal(shared, 0)
    return shared


def _held(selection: Selection, features: Features, dtype: Any = None) -> tuple[Integers, Bits]:
    """Return samples and the marks of their cells, each pair once."""
    inside = selection.owner >= 0
    marks = _marks(features, selection.adata.n_obs, dtype)
    found = pd.DataFrame({"sample": selection.owner[inside], "mark": marks[inside]}).drop_duplicates()
    return found["sample"].to_numpy(), found["mark"].to_numpy()


def _marks(features: Features, n_cells: int, dtype: Any = None) -> Bits:
    """Return (n_cells,) a number for each cell; two have the same if all bytes of the features that are used are equal.

    (With 64 bits, different cells have the same number once in 10 billion cohorts of 60,000 cells.) With a `dtype`
    values are compared in this precision.
    """
    d = features.matrix.shape[1] if features.columns is None else len(features.columns)
    factors = np.random.default_rng(0).integers(2**63, size=d, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    marks = np.empty(n_cells, dtype=np.uint64)
    for start in range(0, n_cells, ROWS):
        rows = np.arange(start, min(start + ROWS, n_cells))
        block = features.block(rows)
        marks[rows] = _marks_of(block if dtype is None else block.astype(dtype), factors)
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
