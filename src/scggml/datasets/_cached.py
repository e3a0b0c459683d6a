"""Files in the cache: whether they are the right ones, and still what came."""

import hashlib
import re
from contextlib import suppress
from pathlib import Path

import anndata as ad
import h5py
from anndata import AnnData

from scggml._web.drafts import draft

BLOCK = 2**20  # bytes
HASH = re.compile(r"[0-9a-f]{64}")
NOTE = ".sha256"
"""Ending of the file that holds the hash of a download, of which nobody published one."""


def read_cached(path: Path, *, backed: bool = False) -> AnnData:
    """Return the cohort in a file, or say which file is damaged and what to do about it."""
    try:
        return ad.read_h5ad(path, backed="r" if backed else None)
    except MemoryError:  # no damage
        raise
    except Exception as error:  # what h5py and anndata raise at damaged files is any of a dozen kinds
        raise ValueError(
            f"{path} is damaged, or holds no AnnData that this version of anndata can read "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]}). Delete it, and call again to download it."
        ) from error


def fault(path: Path, sha256: str | None) -> str:
    """Return why a file is not the right one, or nothing."""
    try:
        if not path.is_file():
            return "is not there"
        if sha256 is None:
            with h5py.File(path, "r", locking=False) as file:  # which compares its length with the one that it states
                return "" if {"obs", "var"} <= set(file) else "holds no AnnData: it has no obs and var"
        found = hash_of(path)
    except (OSError, RuntimeError, KeyError, ValueError, UnicodeError) as error:  # h5py has a kind for each damage
        return f"does not open{' as HDF5' if sha256 is None else ''}: {error}"
    return "" if found == sha256 else f"has another hash: expected sha256:{sha256} but got {found}"


def fault_in_cache(path: Path, sha256: str | None) -> str:
    """Return why a file in the cache is not the right one, or not what came, or nothing.

    What was put there by hand has no note of its hash; of it only the form is known.
    """
    noted = noted_hash(path) if sha256 is None else None
    found = fault(path, sha256 or noted)
    by_hand = f" (if you put it there yourself, delete {path.name}{NOTE})"
    return found + (by_hand if found and noted and path.is_file() else "")


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, which is never in memory as a whole."""
    found = hashlib.sha256()
    with path.open("rb") as content:
        while block := content.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def note_hash(path: Path) -> None:
    """Write the hash of a file beside it; without a place for it the file is as good as one put there by hand."""
    with suppress(OSError):
        found = hash_of(path)
        with draft(_note(path)) as file:
            file.write(found.encode())


def noted_hash(path: Path) -> str | None:
    """Return the hash of a download as it was noted, None where there is no note that can be read."""
    try:
        with _note(path).open("rb") as file:
            text = file.read(65).decode("ascii", errors="replace")
    except OSError:
        return None
    return text if HASH.fullmatch(text) else None


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}{NOTE}")
