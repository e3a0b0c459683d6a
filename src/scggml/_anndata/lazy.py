"""A matrix of dask chunks, worked on where the chunks lie: on the workers of a cluster, or in the threads of dask.

What is asked for travels to this process, rows do not. Dask is imported where a matrix needs it, as it is optional.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from scggml._anndata.features import Features, stack
from scggml._core.cohort import Integers
from scggml._core.threads import n_threads, split

AT_ONCE = 2**30
"""Bytes of dense rows that dask is given at a time for each of its threads.

Chunks that several samples share are held until the last of these samples is done; this bounds what is held."""


def on_samples(
    features: Features,
    samples: Sequence[Integers],
    work: Callable[..., Any],
    more: Sequence[tuple[Any, ...]],
    n_jobs: int | None,
) -> Iterator[Any]:
    """Yield `work(block, *more[p])` for the (n, d) stored rows of each sample, in the order of the samples.

    Rows rise within samples.
    """
    edges, chunks = _chunks(features)
    columns, work = _later(features.columns), _later(work)  # sent once, not with each task
    for some in _groups(features, np.array([len(rows) for rows in samples]), n_jobs):
        pieces = [_pieces(rows, edges, chunks, columns) for rows in samples[some]]
        yield from _compute([_later(_apply)(work, *each) for each in zip(more[some], pieces, strict=True)], n_jobs)


def on_chunks(features: Features, work: Callable[[Any], Any], n_jobs: int | None) -> Iterator[tuple[slice, Any]]:
    """Yield rows and `work(block)` for the (n, d) stored rows of each chunk, in their order."""
    edges, chunks = _chunks(features)
    rows = [slice(int(start), int(stop)) for start, stop in pairwise(edges)]
    columns, work = _later(features.columns), _later(work)
    for some in _groups(features, np.diff(edges), n_jobs):
        tasks = [_later(_apply)(work, (), [_later(_take)(slice(None), columns, *own)]) for own in chunks[some]]
        yield from zip(rows[some], _compute(tasks, n_jobs), strict=True)


def _chunks(features: Features) -> tuple[Integers, list[list[Any]]]:
    """Return where the chunks of rows begin and end, and the chunks of columns of each, as tasks of dask."""
    sizes = features.matrix.chunks[0]
    if np.isnan(sizes).any():
        raise ValueError(
            f"{features.slot} has dask chunks of unknown size; call compute_chunk_sizes() on it, or read it with "
            "da.from_zarr or anndata.experimental.read_elem_lazy."
        )
    edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return edges, [list(row) for row in features.matrix.to_delayed()]


def _pieces(rows: Integers, edges: Integers, chunks: list[list[Any]], columns: Any) -> list[Any]:
    """Return tasks that take the rows of a sample from the chunks that have some, in their order."""
    owner = np.searchsorted(edges, rows, side="right") - 1
    pieces = []
    for own in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(owner)) + 1):
        chunk = int(owner[own[0]])
        local = rows[own] - edges[chunk]
        run = local[-1] - local[0] == len(local) - 1  # a slice is less to send, and takes no copy
        index = slice(int(local[0]), int(local[-1]) + 1) if run else local
        pieces.append(_later(_take)(index, columns, *chunks[chunk]))
    return pieces


def _take(rows: slice | Integers, columns: Integers | None, *chunks: Any) -> Any:
    """Return rows, and columns if not all, of chunks that lie side by side."""
    block = stack([chunk[rows] for chunk in chunks], axis=1)
    return block if columns is None else block[:, columns]


def _apply(work: Callable[..., Any], more: tuple[Any, ...], pieces: list[Any]) -> Any:
    return work(stack(pieces), *more)


def _groups(features: Features, sizes: Integers, n_jobs: int | None) -> list[slice]:
    """Return runs of samples or chunks that are computed together."""
    each = features.matrix.shape[1] * np.dtype(features.dtype).itemsize  # chunks hold all columns
    return split(sizes.astype(np.float64), _n_workers(n_jobs) * AT_ONCE / each)


def _n_workers(n_jobs: int | None) -> int:
    """Return how many threads the workers of a cluster have, or dask in this process."""
    import dask.base  # noqa: PLC0415 - optional

    get_scheduler: Any = dask.base.get_scheduler
    client: Any = getattr(get_scheduler(), "__self__", None)
    return sum(client.nthreads().values()) or 1 if hasattr(client, "nthreads") else n_threads(n_jobs)


def _later(function: Any) -> Any:
    """Return a function, or any object, as a task of dask; each call of it is another."""
    from dask.delayed import delayed  # noqa: PLC0415 - optional

    return delayed(function, pure=False, traverse=False)


def _compute(tasks: list[Any], n_jobs: int | None) -> tuple[Any, ...]:
    """Return the results of tasks; on a cluster its workers decide how many run at a time."""
    import dask.base  # noqa: PLC0415 - optional

    compute: Any = dask.base.compute
    threads = {} if n_jobs is None or n_jobs == -1 else {"num_workers": n_jobs}
    with dask.config.set(threads):
        results: tuple[Any, ...] = compute(*tasks, traverse=False)
    return results
