"""Find where what comes from the network is kept."""

import os
from pathlib import Path

import pooch


def data_folder() -> Path:
    """Return the folder in the environment variable `SCGGML_DATA`, or else in the cache of the operating system."""
    given = os.environ.get("SCGGML_DATA")
    return at_home("SCGGML_DATA", given or pooch.os_cache("scggml"))


def at_home(name: str, path: str | Path) -> Path:
    """Return a path with the home folder in place of `~`; of nobody's home the message names the argument."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name}={str(path)!r}: there is no such home folder; pass a path without '~'.") from error
