"""Many independent tasks through joblib, so that any of its backends can run them."""

import inspect
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from threading import Lock
from typing import Any, TypeVar

from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from joblib.parallel import get_active_backend
from tqdm.auto import tqdm

from scggml._core.checks import check_whole
from scggml._core.threads import one_blas_thread, one_thread, this_process

Result = TypeVar("Result")
Said = tuple[type[Warning], str]
"""Category and text of a warning: what can travel between processes, and what makes two warnings the same."""

_HOUSEKEEPING = "A worker stopped while some jobs were given to the executor"
"""Warning of loky when it replaces a process that has waited long or grown: nothing is lost, and nothing to do."""


def run_tasks(
    task: Callable[..., Result],
    items: Sequence[tuple[Any, ...]],
    *,
    n_jobs: int | None,
    progress: str | None,
    unit: str,
) -> list[Result]:
    """Return the results of `task(*item)` in the order of the items.

    The tasks run where `joblib.parallel_config` says (in processes of loky unless it names another backend). Each has
    one thread for BLAS and OpenMP, and its calls of joblib start nothing in parallel; so the results are the same to
    the bit for any `n_jobs`. Warnings of the tasks come once each, after the last task, from the line outside of this
    package that led here. An exception, or an interrupt, ends the run: what has not begun is never begun.

    Parameters
    ----------
    task, items
        A function and the arguments of each call. Processes receive both pickled, and may receive arrays read-only.
    n_jobs
        As for `n_workers`.
    progress
        Text before a bar that shows how many tasks are done; None for no bar.
    unit
        What the bar calls a task.
    """
    workers = n_workers(n_jobs, len(items))
    here = this_process()
    # Answers come in any order, so each carries its place.
    calls = [(here, place, task, *item) for place, item in enumerate(items)]
    results: dict[int, Result] = {}
    said: dict[int, list[Said]] = {}
    bar = tqdm(total=len(items), desc=progress, unit=unit, disable=progress is None, leave=False)
    with bar, _one_thread_warnings_kept() as heard, closing(_answers(calls, workers, bar)) as answers:
        for done, (place, result, warned) in enumerate(answers, start=1):
            results[place], said[place] = result, warned
            # `_counted` may have moved the bar already.
            bar.update(max(0, done - bar.n))
    order = range(len(items))
    _warn_once([*heard, *(one for place in order for one in said[place])])
    return [results[place] for place in order]


def n_workers(n_jobs: int | None, n_items: int) -> int:
    """Return how many workers run some tasks: at least 1, and no more than tasks.

    Parameters
    ----------
    n_jobs
        -1 for all cores, or all of a cluster; None for what `joblib.parallel_config` says, or else all (within a task
        of joblib: one).
    """
    if n_jobs is not None and n_jobs != -1:
        check_whole("n_jobs", n_jobs, 1, ", -1 for all cores, or None for the number of joblib.parallel_config")
    if n_jobs is None:
        # effective_n_jobs(None) is 1 where no number is configured, and also where 1 is
        backend, configured = get_active_backend()
        n_jobs = configured if configured is not None else 1 if backend.nesting_level else -1
    return max(1, min(int(effective_n_jobs(int(n_jobs))), n_items))


def _answers(calls: list[Any], workers: int, bar: "tqdm[Any]") -> Generator[Any]:
    """Yield what `_alone` returns as the calls are done, in any order."""
    if workers == 1:
        # In this process: nothing is pickled, and no pool has to start.
        yield from (_alone(*call) for call in calls)
        return
    backend, _ = get_active_backend()
    if getattr(backend, "supports_return_generator", False):
        pool = Parallel(n_jobs=workers, return_as="generator_unordered")
        with closing(pool(delayed(_alone)(*call) for call in calls)) as answers:
            yield from answers
    else:  # the multiprocessing backend refuses to be asked for a generator
        yield from Parallel(n_jobs=workers, batch_size=1)(_counted(calls, 3 * workers, bar))


def _counted(calls: list[Any], ahead: int, bar: "tqdm[Any]") -> Iterator[Any]:
    """Yield the calls to joblib, which asks for more when one is done and holds up to `ahead` that are not."""
    for place, call in enumerate(calls):
        if place >= ahead:
            bar.update()
        yield delayed(_alone)(*call)


def _alone(caller: str, place: int, task: Callable[..., Result], *item: Any) -> tuple[int, Result, list[Said]]:
    """Run a task on one thread; return its place and result, and what it warned of outside of the caller's process."""
    said: list[Said] = []
    with ExitStack() as stack:
        if caller != this_process():  # the caller does this for its own process
            said = stack.enter_context(_one_thread_warnings_kept())
        # OpenMP has a number for every thread, so each sets its own
        stack.enter_context(one_thread("openmp"))
        stack.enter_context(parallel_config(backend="sequential", n_jobs=1))
        result = task(*item)
    return place, result, said


class _Shared:
    """Threads of BLAS and filters of warnings, which a process has once for all of its threads.

    If each of several tasks in threads set and restored them, one would restore what others still need, and the last
    would leave behind what the first had set. So the first one to enter sets them, and the last one to leave restores
    them. (The same warning of two runs at the same time may be heard by both.)
    """

    def __init__(self) -> None:
        self.process = this_process()
        self._lock = Lock()
        self._inside = 0
        self._undo = ExitStack()
        self._log: list[warnings.WarningMessage] = []
        self._said: dict[Said, None] = {}

    def enter(self) -> None:
        """Limit BLAS to one thread and keep warnings, unless this is so."""
        with self._lock:
            if self._inside == 0:
                with ExitStack() as undo:
                    undo.enter_context(one_blas_thread())
                    self._log = undo.enter_context(warnings.catch_warnings(record=True))
                    warnings.simplefilter("always")  # the filters of the caller decide, when the warnings are issued
                    self._undo, self._said = undo.pop_all(), {}
            self._inside += 1

    def leave(self) -> list[Said]:
        """Restore both if no one else is inside, and return the different warnings that were kept."""
        with self._lock:
            self._said |= {(warning.category, str(warning.message)): None for warning in self._log}
            self._log.clear()
            self._inside -= 1
            if self._inside == 0:
                self._undo.close()
            return list(self._said)


_shared = _Shared()


@contextmanager
def _one_thread_warnings_kept() -> Iterator[list[Said]]:
    """Limit BLAS to one thread and keep warnings; the list has the different ones after the block."""
    global _shared  # noqa: PLW0603
    if _shared.process != this_process():  # a fork has a copy that its parent entered and will not leave here
        _shared = _Shared()
    shared, said = _shared, list[Said]()
    shared.enter()
    try:
        # in case this very thread had limited BLAS before and so is the only one that may (see `one_blas_thread`)
        with one_thread("blas"):
            yield said
    finally:
        said += shared.leave()


def _warn_once(said: Iterable[Said]) -> None:
    """Issue every different warning once."""
    for category, text in dict.fromkeys(said):
        if text.startswith(_HOUSEKEEPING):
            continue
        warnings.warn(text, category, stacklevel=_level_outside())


def _level_outside() -> int:
    """Return the `stacklevel` of the first frame outside of this package, for a warning of the calling function."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "scggml":
        frame, level = frame.f_back, level + 1
    return level
