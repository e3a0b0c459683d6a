"""The one way by which files come from the network: cached, checked, and bounded in time."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import pooch
import requests
from tqdm import tqdm

CHUNK = 2**20  # bytes
PASSING = frozenset({408, 425, 429})  # client errors that may pass; all other 4xx are final


def fetch(
    url: str,
    name: str,
    *,
    sha256: str | None = None,
    timeout: float = 30.0,
    attempts: int = 3,
    wait: float = 1.0,
) -> Path:
    """Return the path of a file in the cache; download it first if it is not there.

    The cache is the folder in the environment variable `SCGGML_DATA`, or else the cache folder of the operating
    system. A file that is there is used without any network, unless its hash is known and differs. A download
    lands in the cache under its name only when it is complete and right.

    Parameters
    ----------
    url
        Where the file is, `http://` or `https://`.
    name
        Name of the file in the cache.
    sha256
        Hash of the right file. Without it, the file has to open as HDF5, so that the page of a login
        portal or a cut file is not taken for data.
    timeout
        Seconds without a byte after which the connection counts as stalled.
    attempts
        How often to try, if the failure may pass.
    wait
        Seconds before the second try; doubled before each further one.

    Returns
    -------
    Path
        The file, whole and with the hash, if known.

    Raises
    ------
    FileNotFoundError
        If the server refuses for good (HTTP 404 and other 4xx).
    ConnectionError
        If the server cannot be reached, stalls, breaks off or fails at each attempt.
    ValueError
        If the file that came is not the right one.
    """
    known_hash = None if sha256 is None else f"sha256:{sha256}"
    cache = pooch.create(
        path=pooch.os_cache("scggml"),
        base_url="",
        env="SCGGML_DATA",
        registry={name: known_hash},
        urls={name: url},
    )
    download = _Download(timeout=timeout, attempts=attempts, wait=wait, opens=sha256 is None)
    try:
        return Path(cache.fetch(name, downloader=download))
    except requests.RequestException as error:
        raise _explained(error, url, cache.abspath / name, attempts) from error
    except ValueError as error:
        msg = f"What came from {url} is not the right file, and was not kept. {error}"
        raise ValueError(msg) from error


@dataclass(frozen=True)
class _Download:
    """A downloader for `pooch`: bounded retries, and a check that no byte is missing."""

    timeout: float
    attempts: int
    wait: float
    opens: bool

    def __call__(self, url: str, output_file: str | os.PathLike[str], _: object) -> None:
        """Write the body of `url` to the temporary file that `pooch` made, and will move or delete."""
        path = Path(output_file)
        for attempt in range(self.attempts):
            try:
                self._stream(url, path)
                break
            except requests.RequestException as error:
                if attempt == self.attempts - 1 or _final(error):
                    raise
            time.sleep(self.wait * 2**attempt)
        if self.opens:
            _check_opens(path)

    def _stream(self, url: str, path: Path) -> None:
        headers = {"Accept-Encoding": "identity"}  # so that Content-Length is the file's
        with requests.get(url, stream=True, timeout=self.timeout, headers=headers) as response:
            response.raise_for_status()
            encoded = "Content-Encoding" in response.headers  # nevertheless
            total = 0 if encoded else int(response.headers.get("Content-Length", 0))
            bar = tqdm(total=total or None, unit="B", unit_scale=True, desc=url.rsplit("/", 1)[-1])
            with bar, path.open("wb") as file:
                for chunk in response.iter_content(CHUNK):
                    bar.update(file.write(chunk))
                received = file.tell()
        if total and received != total:  # urllib3 before 2.0 takes a cut body for a whole one
            msg = f"the connection broke off after {received} of {total} bytes"
            raise requests.ConnectionError(msg)


def _check_opens(path: Path) -> None:
    """Open an HDF5 file, which compares the length that it states with the one that it has."""
    try:
        h5py.File(path, "r").close()
    except OSError as error:
        msg = f"It does not open as HDF5: {error}."
        raise ValueError(msg) from error


def _final(error: requests.RequestException) -> bool:
    """Return whether the server refuses for good, so that trying again is useless."""
    status = error.response.status_code if error.response is not None else 0
    return 400 <= status < 500 and status not in PASSING


def _explained(error: requests.RequestException, url: str, path: Path, attempts: int) -> OSError:
    """Say what happened, where, and what to do next."""
    if (response := error.response) is not None and _final(error):
        return FileNotFoundError(
            f"The server does not hand out {url}: HTTP {response.status_code} {response.reason}. "
            "Check that the file still has this address."
        )
    return ConnectionError(
        f"Could not download {url}: {_cause(error)} (attempts: {attempts}). Check the network and try again, or "
        f"download the file elsewhere and put it there as {path}, or set the environment variable SCGGML_DATA to "
        f"the folder that holds it as {path.name} (the folder is now {path.parent})."
    )


def _cause(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return f"the connection stalled: {error}"
    return str(error)
