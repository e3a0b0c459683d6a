"""Work for several threads; compiled kernels and POT release the GIL."""

import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import lru_cache
from itertools import pairwise
from threading import Event, Lock, RLock, Thread
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
from threadpoolctl import ThreadpoolController

from scggml._core.checks import check_whole
from scggml._core.cohort import Floats

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_MEMORY = uuid4().hex
"""Tells processes apart together with their number, which processes on two machines can share."""


def n_threads(n_jobs: int | None) -> int:
    """Return the number of threads: all cores that this process may use if None or -1."""
    if n_jobs is not None and n_jobs != -1:
        check_whole("n_jobs", n_jobs, 1, " thread, or None (or -1) for all cores")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return available if n_jobs is None or n_jobs == -1 else n_jobs


def in_threads(function: Callable[[Task], Answer], tasks: Iterable[Task], n_jobs: int | None) -> Iterator[Answer]:
    """Yield the answers in the order of the tasks; what has not begun when the caller stops is never begun."""
    tasks = list(tasks)
    n = min(n_threads(n_jobs), len(tasks))
    if n <= 1:  # a pool takes longer to begin than a short task
        yield from map(function, tasks)
        return
    pool = ThreadPoolExecutor(max_workers=n)
    try:
        yield from pool.map(function, tasks)
    finally:
        pool.shutdown(cancel_futures=True)


def stream_in_threads(
    function: Callable[[Task], Answer], tasks: Iterable[Task], n_jobs: int | None
) -> Iterator[Answer]:
    """Yield the answers in the order of the tasks, which are large, or slow to get.

    The calling thread takes the tasks from their iterator one by one, and no further ahead than the threads need: at
    most one more than there are threads is alive that is not answered.
    """
    n = n_threads(n_jobs)
    if n <= 1:
        yield from map(function, tasks)
        return
    pool, begun = ThreadPoolExecutor(max_workers=n), deque[Future[Answer]]()
    try:
        for task in tasks:
            begun.append(pool.submit(function, task))
            del task  # or it would live until the next one is there
            if len(begun) > n:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def all_in_threads(function: Callable[[Task], Answer], tasks: Sequence[Task], n_jobs: int | None) -> list[Answer]:
    """Return the answers in the order of the tasks; the calling thread works, too, which suits short tasks."""
    n = min(n_threads(n_jobs), len(tasks))
    if n <= 1:
        return [function(task) for task in tasks]
    answers = dict[int, Answer]()
    places, lock = iter(range(len(tasks))), Lock()
    stopped = Event()

    def work() -> None:
        try:
            while not stopped.is_set():
                with lock:
                    place = next(places, None)
                if place is None:
                    return
                answers[place] = function(tasks[place])
        except BaseException:
            stopped.set()  # what has not begun is never begun
            raise

    with ThreadPoolExecutor(max_workers=n - 1) as pool:
        others = [pool.submit(work) for _ in range(n - 1)]
        work()
    for other in others:
        other.result()
    return [answers[place] for place in range(len(tasks))]


def split(work: Floats, most: float) -> list[slice]:
    """Return runs of consecutive items with about `most` work each, at least one item in each."""
    if len(work) == 0:
        return []
    bins = np.floor((np.cumsum(work) - work / 2) / most)
    cuts = np.flatnonzero(np.diff(bins)) + 1
    edges = [0, *cuts.tolist(), len(work)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def this_process() -> str:
    """Return a name of this process that no other process has, not even a fork of it or one on another machine."""
    return f"{_MEMORY}-{os.getpid()}"


def one_thread(user_api: str) -> AbstractContextManager[Any]:
    """Limit the libraries of one kind to one thread, and restore them alone: `threadpool_limits` restores all kinds."""
    return _libraries(len(sys.modules)).select(user_api=user_api).limit(limits=1)


@lru_cache(maxsize=1)
def _libraries(n_modules: int) -> Any:
    """Find the loaded libraries anew only after an import, as this takes longer than a short task."""
    return ThreadpoolController()


class Together:
    """Something that a process has once for all of its threads, set by the first that needs it, restored by the last.

    If each of several threads set and restored it, one would restore what others still need, and the last would leave
    behind what the first had set.

    Parameters
    ----------
    begin
        Sets it, and leaves on the stack what restores it.
    """

    def __init__(self, begin: Callable[[ExitStack], None]) -> None:
        self._begin = begin
        self._count = _Count()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Keep it set during the block."""
        if self._count.process != this_process():  # a fork has a copy that its parent entered and will not leave here
            self._count = _Count()
        count = self._count
        count.enter(self._begin)
        try:
            yield
        finally:
            count.leave()

    def restore_in_fork(self) -> None:
        """Restore it in a fork, where the threads that were inside will never leave; of what threads do not hold."""
        self._count.restore()
        self._count = _Count()


class _Count:
    """Count the blocks of code that are inside, and keep the way to restore what the first one has set."""

    def __init__(self) -> None:
        self.process = this_process()
        # The collection of garbage may close a generator that is inside while this very thread enters.
        self._lock = RLock()
        self._inside = 0
        self._undo = ExitStack()

    def enter(self, begin: Callable[[ExitStack], None]) -> None:
        with self._lock:
            if self._inside == 0:
                with ExitStack() as undo:
                    begin(undo)
                    self._undo = undo.pop_all()
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self.restore()

    def restore(self) -> None:
        self._undo.close()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread, for all threads of the process: it has one number for all of them."""
    # in case this very thread had limited BLAS before and so is the only one that may (see `_limit_blas`)
    with _blas(), one_thread("blas"):
        yield


@contextmanager
def ignored(category: type[Warning], message: str = "") -> Iterator[None]:
    """Ignore warnings of a category that begin with a message, in all threads: a process has one list of filters.

    What one thread ignores is ignored until the last one leaves: filters cannot be taken from the list one by one.
    """
    with _filters():
        with _adding:
            if (category, message) not in _ignoring:
                warnings.filterwarnings("ignore", message=message, category=category)
                _ignoring.add((category, message))
        yield


_ignoring: set[tuple[type[Warning], str]] = set()
_adding = Lock()


def _keep_filters(undo: ExitStack) -> None:
    undo.enter_context(warnings.catch_warnings())
    undo.callback(_ignoring.clear)


_filters = Together(_keep_filters)


def _limit_blas(undo: ExitStack) -> None:
    """Limit BLAS to one thread until `undo` is closed, which another thread may do.

    From version 3.8 on threadpoolctl lets the thread that limited OpenBLAS, and no other, restore it. So a thread is
    begun that does nothing else.
    """
    held, over = Event(), Event()

    def hold() -> None:
        try:
            with one_thread("blas"):
                held.set()
                over.wait()
        finally:
            held.set()  # also after an error, or the caller would wait forever

    keeper = Thread(target=hold, name="one thread for BLAS", daemon=True)
    keeper.start()
    undo.callback(keeper.join)
    undo.callback(over.set)
    held.wait()


_blas = Together(_limit_blas)
