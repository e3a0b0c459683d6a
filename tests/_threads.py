"""Threads that are left behind, so that tests can tell them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def no_thread_left(patience: float = 10) -> Iterator[None]:
    """Every thread that begins within the block ends; soon after it at the latest, as pools do not wait for workers."""
    tqdm(disable=True).close()  # the first bar of a process begins a thread that watches bars, and stays
    before = set(threading.enumerate())
    yield
    begun = set(threading.enumerate()) - before
    for thread in begun:
        thread.join(timeout=patience)
    left = [thread.name for thread in begun if thread.is_alive()]
    assert not left, f"threads that go on: {left}"
