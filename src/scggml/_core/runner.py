"""Many independent tasks through joblib, so that any of its backends can run them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed, effective_n_jobs
from tqdm.auto import tqdm

from scggml._core.threads import n_threads

T = TypeVar("T")


def n_workers(n_jobs: int | None) -> int:
    """Workers for a number of jobs: None means those of `joblib.parallel_config`, or else all cores."""
    if n_jobs is None and effective_n_jobs(None) > 1:
        return int(effective_n_jobs(None))
    return n_threads(n_jobs)


def in_parallel(
    task: Callable[..., T], items: Sequence[tuple[Any, ...]], *, n_jobs: int | None, progress: str | None, unit: str
) -> list[T]:
    """The results of `task(*item)` in order; a bar shows what has begun."""
    workers = min(n_workers(n_jobs), len(items))
    with tqdm(items, desc=progress, unit=unit, disable=progress is None, leave=False) as bar:
        if workers <= 1:
            return [task(*item) for item in bar]
        done: list[T] = Parallel(n_jobs=workers)(delayed(task)(*item) for item in bar)
        return done
