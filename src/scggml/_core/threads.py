"""Work for several threads; compiled kernels and POT release the GIL."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np

from scggml._core.checks import check_whole
from scggml._core.cohort import Floats

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def n_threads(n_jobs: int | None) -> int:
    """Return the number of threads: all cores that this process may use if None or -1."""
    if n_jobs is not None and n_jobs != -1:
        check_whole("n_jobs", n_jobs, 1, " thread, or None (or -1) for all cores")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return available if n_jobs is None or n_jobs == -1 else n_jobs


def in_threads(function: Callable[[Task], Answer], tasks: Iterable[Task], n_jobs: int | None) -> Iterator[Answer]:
    """Yield the results in the order of the tasks; tasks that have not begun when the caller stops never begin."""
    n = n_threads(n_jobs)
    if n == 1:
        yield from map(function, tasks)
        return
    pool = ThreadPoolExecutor(max_workers=n)
    try:
        yield from pool.map(function, tasks)
    finally:
        pool.shutdown(cancel_futures=True)


def split(work: Floats, most: float) -> list[slice]:
    """Return runs of consecutive items with about `most` work each, at least one item in each."""
    if len(work) == 0:
        return []
    bins = np.floor((np.cumsum(work) - work / 2) / most)
    cuts = np.flatnonzero(np.diff(bins)) + 1
    edges = [0, *cuts.tolist(), len(work)]
    return [slice(start, stop) for start, stop in pairwise(edges)]
