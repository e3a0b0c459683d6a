"""Files that are whole or not there: written under another name, and given theirs at the end."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

if sys.platform != "win32":
    import fcntl

DRAFT = re.compile(r".+\.[0-9a-f]{32}\.part")
DAY = 86400.0  # seconds


@contextmanager
def draft(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` if the block ends well, and else is removed.

    Whoever reads `path` meanwhile, in this process or another, gets what was there before. What a process left that
    was killed is removed by the next that writes to the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    file = _create(path)
    name = Path(file.name)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a full disk may be told only now
            if sys.platform == "win32":
                file.close()  # an open file cannot be renamed
            name.replace(path)
    except BaseException:
        with suppress(OSError):
            name.unlink()
        raise


def remove_abandoned(folder: Path) -> None:
    """Remove drafts whose process is gone."""
    with suppress(OSError), os.scandir(folder) as entries:
        for path in [Path(entry.path) for entry in entries if DRAFT.fullmatch(entry.name)]:
            with suppress(OSError):
                _remove_if_abandoned(path)


def _create(path: Path) -> BinaryIO:
    """Open a new draft and lock it; the lock ends with the process, however that ends."""
    while True:
        file = path.with_name(f"{path.name}.{uuid4().hex}.part").open("xb")
        if sys.platform == "win32":
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_nlink:
                return file
        except BlockingIOError:
            pass  # another process took it for abandoned before it was locked
        except OSError:
            return file  # a file system without locks
        file.close()


def _remove_if_abandoned(path: Path) -> None:
    """Remove a draft that no process holds, and hold it meanwhile."""
    if sys.platform == "win32":
        path.unlink()  # fails where it is open
        return
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:  # a file system without locks
            if time.time() - path.stat().st_mtime < DAY:
                return
        path.unlink()
