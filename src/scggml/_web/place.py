"""Find where what comes from the network is kept."""

import os
from pathlib import Path

import pooch


def data_folder() -> Path:
    """Return the folder in the environment variable `SCGGML_DATA`, or else in the cache of the operating system."""
    given = os.environ.get("SCGGML_DATA")
    return Path(given or pooch.os_cache("scggml")).expanduser()
