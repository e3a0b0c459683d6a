"""Compiled functions. Their cache on disk spares time; without it, or with a damaged one, they are compiled anew."""

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from threading import RLock
from typing import Any

import numba

from scggml._core.threads import Together

_config: Any = numba.config
_enabling = RLock()

_told = set[str]()
"""What was warned of in this process, once for all functions."""


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function when it is first called, with the options of numba.

    It compiles whatever `NUMBA_DISABLE_JIT` says, which is for finding faults in code that runs without a compiler as
    well: types of C and instructions of LLVM do not.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        disabled = bool(_config.DISABLE_JIT)
        with _enabled():
            dispatcher = _cached(numba.njit(**options)(function))
        compile_it = dispatcher.compile

        def compile_quickly(signature: Any) -> Any:
            with _enabled() if disabled else nullcontext(), _without_collection():
                return compile_it(signature)

        dispatcher.compile = compile_quickly
        return dispatcher

    return decorate


@contextmanager
def _enabled() -> Iterator[None]:
    """Let numba compile during the block, also the parts of its own that it compiles for a function."""
    with _enabling:
        before, _config.DISABLE_JIT = _config.DISABLE_JIT, 0
        try:
            yield
        finally:
            _config.DISABLE_JIT = before


def _stop_collecting(undo: ExitStack) -> None:
    """Stop the collection of garbage: a compiler makes millions of objects, all of which live until it is done."""
    if gc.isenabled():
        gc.disable()
        undo.callback(gc.enable)


_without_collection = Together(_stop_collecting)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_without_collection.restore_in_fork)


def _cached(dispatcher: Any) -> Any:
    """Let a function be kept on disk, if there is a folder for it."""
    try:
        dispatcher.enable_caching()
    except (RuntimeError, OSError) as error:  # numba: no folder that can be written to
        _tell_unwritable(error)
    else:
        dispatcher._cache = _Careful(dispatcher._cache)  # numba has no public place for a cache of ours
    return dispatcher


class _Careful:
    """A cache of numba whose failures are no failures of the function.

    Parameters
    ----------
    cache
        The cache of numba. It raises for a file that is cut or is no file of numba, and for a disk that is full.
    """

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Return the compiled function, or None if it has to be compiled."""
        try:
            return self._cache.load_overload(signature, context)
        except Exception as error:  # whatever unpickling a broken file raises
            _tell(
                f"A file in the cache of compiled functions, {self._cache.cache_path}, is damaged ({_said(error)}), so "
                "that they are compiled anew, which takes some 10 s. If this comes again, set the environment variable "
                "NUMBA_CACHE_DIR to an empty folder before Python begins."
            )
        with suppress(Exception):  # the file may be a folder, or be in one that is read-only
            self._cache.flush()  # so that the next process finds a whole one
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep a compiled function."""
        try:
            self._cache.save_overload(signature, result)
        except Exception as error:
            _tell_unwritable(error)


def _tell_unwritable(error: Exception) -> None:
    _tell(
        f"The cache of compiled functions cannot be written ({_said(error)}), so that each Python process compiles "
        "them anew, which takes some 10 s; results are the same. Set the environment variable NUMBA_CACHE_DIR to a "
        "folder that can be written to before Python begins; scanpy needs it, too."
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _tell(message: str) -> None:
    """Warn once in a process of each kind of fault, which all functions share."""
    kind = message.split("(", maxsplit=1)[0]
    if kind not in _told:
        _told.add(kind)
        warnings.warn(message, stacklevel=2)
