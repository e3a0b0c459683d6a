"""A matrix on disk, read as seldom as its size allows and in the order of the file."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from scggml._anndata.features import ROWS, Features, is_lazy, stack
from scggml._core.cohort import Integers
from scggml._core.threads import split

KEPT = 2**30
"""Bytes of a matrix on disk that are kept in memory, so that it is read once. (While they are put together there are
twice as many.)"""

RUN = 10
"""Rows that are read in one piece in the time that it takes to go to another place of the file."""


FEW = 256
"""Rows by which the size of others is estimated."""


def is_on_disk(matrix: Any) -> bool:
    """Return whether rows of a matrix come from a file each time they are asked for, but not through dask."""
    return not (isinstance(matrix, np.ndarray) or sparse.issparse(matrix) or is_lazy(matrix))


def at_hand(features: Features) -> Features:
    """Return features on disk as features in memory, sparse as sparse, if they are small enough; others as they are.

    Only what is used is kept, so `columns` are None then.
    """
    features = rows_at_hand(features)
    if not is_on_disk(features.matrix):
        return features
    n, pieces, size = len(features.cells), list[Any](), 0
    for start in range(0, n, ROWS):
        rows = np.arange(start, min(start + ROWS, n))
        pieces.append(features.block(rows))
        size += n_bytes(pieces[-1])
        if size * n > KEPT * (rows[-1] + 1):  # what was read so far says how large all is
            return features
    return replace(features, matrix=stack(pieces), columns=None)


def rows_at_hand(features: Features) -> Features:
    """Return compressed columns on disk as compressed rows in memory: any row would bring all of it there each time."""
    matrix = features.matrix
    if not is_on_disk(matrix) or getattr(matrix, "format", None) != "csc":
        return features
    used = matrix.to_memory() if features.columns is None else matrix[:, features.columns]
    return replace(features, matrix=used.tocsr(), columns=None)


def blocks(features: Features, samples: Sequence[Integers]) -> Iterator[Any]:
    """Yield the (n, d) stored rows of each sample, which rise within samples.

    Where samples are scattered over a file, it is read in its own order, once for as many samples as may be kept.
    """
    groups = _groups(features, samples) if is_on_disk(features.matrix) and len(samples) > 1 else []
    if not groups:
        yield from map(features.block, samples)
    for group in groups:
        wanted = np.sort(np.concatenate(samples[group]))
        found = in_file_order(features, wanted)
        yield from (found[np.searchsorted(wanted, rows)] for rows in samples[group])
        del found  # or it would live until the next ones are there


def in_file_order(features: Features, rows: Integers) -> Any:
    """Return rows of a matrix on disk, which rise; what lies between them is read, too, where that is faster."""
    windows = np.split(rows, np.flatnonzero(np.diff(rows // ROWS)) + 1)
    return stack([_window(features, own) for own in windows])


def _window(features: Features, rows: Integers) -> Any:
    span = np.arange(rows[0], rows[-1] + 1)
    if len(span) > RUN * _runs(rows):
        return features.block(rows)
    return features.block(span)[rows - rows[0]]


def _groups(features: Features, samples: Sequence[Integers]) -> list[slice]:
    """Return runs of samples whose rows may be kept together; none if it is faster to read samples one by one."""
    span = max(rows[-1] for rows in samples) - min(rows[0] for rows in samples) + 1
    apart = RUN * sum(map(_runs, samples))
    if span > apart:
        return []
    few = features.block(np.arange(min(FEW, len(features.cells))))
    sizes = np.array([len(rows) for rows in samples], dtype=np.float64)
    groups = split(sizes, KEPT * few.shape[0] / max(1, n_bytes(few)))
    return groups if len(groups) * span <= apart else []


def _runs(rows: Integers) -> int:
    """Return in how many pieces rows lie."""
    return 1 + int((np.diff(rows) > 1).sum())


def n_bytes(block: Any) -> int:
    """Return the size of a dense array or a matrix of compressed rows."""
    parts = (block.data, block.indices, block.indptr) if sparse.issparse(block) else (block,)
    return sum(int(part.nbytes) for part in parts)
