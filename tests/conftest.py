import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A shell that starts the tests in the background has interrupts ignored; some tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, and no failure because a machine is slow.
settings.register_profile("scggml", deadline=None, derandomize=True)
settings.load_profile("scggml")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real cohorts, which are not part of the repository."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SCGGML_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real cohorts: {folder} is not a folder; set SCGGML_TEST_DATA to one that holds them")
    return folder


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a small file system in memory."""
    place = tmp_path / "mounted"
    place.mkdir()

    def mount(options: str) -> Path:
        try:
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no file system can be mounted here")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", place], check=True)
