"""The one way by which files come from the network: cached, checked, and bounded in time and size."""

import atexit
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import requests
from tqdm import tqdm

from scggml._anndata.messages import warn
from scggml._web.bounded import Elsewhere, TooLarge, announced, passes, receive, send
from scggml._web.drafts import draft
from scggml._web.place import data_folder
from scggml.datasets._cached import fault, fault_in_cache, note_hash

SLOWEST = 1000  # bytes a second; what comes more slowly has stalled
LARGEST = 2**38  # bytes; no cohort has as many


def fetch(
    url: str,
    name: str,
    *,
    sha256: str | None = None,
    timeout: float = 30.0,
    attempts: int = 3,
    wait: float = 1.0,
    largest: int = LARGEST,
) -> Path:
    """Return the path of a file in the cache; download it first if it is not there.

    The cache is the folder in the environment variable `SCGGML_DATA`, or else the cache folder of the operating
    system. A file that is there and right is used without any network. A download lands in the cache under its name
    only when it is complete and right. Where the cache cannot be written to, it lands in a temporary folder, which
    is removed when Python ends, with a warning.

    Parameters
    ----------
    url
        Where the file is, `http://` or `https://`. Redirects to another host are followed only if the hash is known.
    name
        Name of the file in the cache.
    sha256
        Hash of the right file. Without it, the file has to open as HDF5 and hold an AnnData, so that the page of a
        login portal or a cut file is not taken for data. Its hash is noted in a file beside it, and checked from then
        on; one that was put there by hand has no such note.
    timeout
        Seconds without a byte, or with less than about 1000 bytes each, after which the connection counts as stalled.
    attempts
        How often to try, if the failure may pass.
    wait
        Seconds before the second try; doubled before each further one.
    largest
        Bytes that the file can have.

    Returns
    -------
    Path
        The file, whole and with the hash, if known.

    Raises
    ------
    FileNotFoundError
        If the server refuses for good (HTTP 404 and other 4xx).
    ConnectionError
        If the server cannot be reached, stalls, breaks off or fails at each attempt, or leads elsewhere.
    ValueError
        If the file that came is not the right one.
    OSError
        If neither the cache nor a temporary folder can be written to.
    """
    usual = data_folder() / name
    spare = _spare_folder() / name if _spare_folder.cache_info().currsize else None
    for path in [usual] if spare is None else [usual, spare]:
        if not fault_in_cache(path, sha256):
            return path
    download = _Download(url, sha256, timeout, attempts, wait, largest)
    try:
        try:
            download.to(usual)
        except _DiskError as error:
            return _instead(download, name, error.reason)
    except requests.RequestException as error:
        raise _explained(error, download, usual) from error
    return usual


class _DiskError(Exception):
    """Raised where the disk went wrong, not the network, whose errors are `OSError` as well."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True)
class _Download:
    """A download: bounded retries, and checks that no byte is missing and that the file is the right one."""

    url: str
    sha256: str | None
    timeout: float
    attempts: int
    wait: float
    largest: int

    def to(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        try:
            with draft(path) as file:
                self._write(file)
                if found := fault(Path(file.name), self.sha256):
                    raise ValueError(
                        f"What came from {self.url} is not the right file, and was not kept. It ({path.name}) {found}."
                    )
        except requests.RequestException:
            raise
        except OSError as error:
            raise _DiskError(error) from error
        if self.sha256 is None:
            note_hash(path)

    def _write(self, file: BinaryIO) -> None:
        for attempt in range(self.attempts):
            try:
                file.seek(0)
                file.truncate()
                self._stream(file)
                file.flush()
                return
            except requests.RequestException as error:
                if attempt == self.attempts - 1 or _final(error):
                    raise
            time.sleep(self.wait * 2**attempt)

    def _stream(self, file: BinaryIO) -> None:
        headers = {"Accept-Encoding": "identity"}  # so that Content-Length is the file's
        pace = _Pace(SLOWEST * self.timeout)
        piece = int(np.clip(pace.enough / 4, 2**8, 2**16))  # pieces of the pace, which is seen piece by piece
        known = self.sha256 is not None
        with send("GET", self.url, timeout=self.timeout, late=pace.late, headers=headers, anywhere=known) as response:
            response.raise_for_status()
            total = announced(response)
            bar = tqdm(total=total or None, unit="B", unit_scale=True, desc=self.url.rsplit("/", 1)[-1])
            with bar:
                for chunk in receive(response, self.largest, piece=piece):
                    pace.received += file.write(chunk)
                    bar.update(len(chunk))
        if total and pace.received != total:  # urllib3 before 2.0 takes a cut body for a whole one
            raise requests.ConnectionError(f"the connection broke off after {pace.received} of {total} bytes")


@dataclass
class _Pace:
    """Count what came, and tell whether it is enough since the last question."""

    enough: float
    received: int = 0
    _before: int = field(default=0, init=False)

    def late(self) -> bool:
        came, self._before = self.received - self._before, self.received
        return came < 0.75 * self.enough  # the piece that is coming is not counted


@lru_cache(maxsize=1)
def _spare_folder() -> Path:
    """Return a folder for this process where the cache cannot be written to; it is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="scggml-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _instead(download: _Download, name: str, reason: OSError) -> Path:
    """Return the path of the file in the spare folder."""
    way_out = f"Set the environment variable SCGGML_DATA to a folder with room that can be written to ({reason})."
    try:
        path = _spare_folder() / name
    except OSError as error:  # no temporary folder at all
        raise OSError(f"{name} can be kept neither in {data_folder()} nor elsewhere ({error}). {way_out}") from error
    try:
        download.to(path)
    except _DiskError as error:
        raise OSError(
            f"{name} can be kept neither in {data_folder()} nor in {path.parent} ({error}). {way_out}"
        ) from error
    warn(f"{name} was not kept in {data_folder()}, but in {path.parent}, until Python ends. {way_out}")
    return path


def _final(error: requests.RequestException) -> bool:
    """Return whether the same would come again, so that trying again is useless."""
    return isinstance(error, Elsewhere | TooLarge) or (
        error.response is not None and not passes(error.response.status_code)
    )


def _explained(error: requests.RequestException, download: _Download, path: Path) -> OSError:
    """Say what happened, where, and what to do next."""
    url, final = download.url, _final(error)
    if (response := error.response) is not None and final:
        return FileNotFoundError(
            f"The server does not hand out {url}: HTTP {response.status_code} {response.reason}. "
            "Check that the file still has this address."
        )
    tried = "" if final else f" (attempts: {download.attempts})"
    found = fault_in_cache(path, download.sha256)
    there = f". What is there now {found}" if path.exists() else ""
    return ConnectionError(
        f"Could not download {url}: {_cause(error)}{tried}. Check the network and try again, or "
        f"download the file elsewhere and put it there as {path}, or set the environment variable SCGGML_DATA to "
        f"the folder that holds it as {path.name} (the folder is now {path.parent}){there}."
    )


def _cause(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return f"the connection stalled: {error}"
    return str(error)
