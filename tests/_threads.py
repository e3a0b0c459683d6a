"""Threads that are left behind, so that tests can tell them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_thread_left(patience: float = 10) -> Iterator[None]:
    """Every thread that begins within the block ends; soon after it at the latest, as pools do not wait for workers."""
    before = set(threading.enumerate())
    yield
    begun = set(threading.enumerate()) - before
    for thread in begun:
        thread.join(timeout=patience)
    assert not [thread.name for thread in begun if thread.is_alive()]
