"""Requests that end: bounded in time and in size, and not led to another place."""

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

CHUNK = 2**16  # bytes
PACKED = 2**14  # bytes that are unpacked at once: gzip packs at most a thousand into one
ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})  # one alone: packed twice is a bomb
PASSING = frozenset({408, 425, 429})  # client errors that may pass; all other 4xx are final
REDIRECTS = 5
PORTS = {"http": 80, "https": 443}


class TooSlow(requests.Timeout):
    """Raised where too little came until the time was over."""


class TooLarge(requests.RequestException):
    """More came, or is announced, than the answer can have."""


class Elsewhere(requests.RequestException):
    """The server leads to another place."""


@contextmanager
def send(
    method: str,
    url: str,
    *,
    timeout: float,
    late: Callable[[], bool] = lambda: True,
    body: bytes | None = None,
    headers: Mapping[str, str],
    anywhere: bool = False,
) -> Iterator[requests.Response]:
    """Send a request, and give the response while its body comes.

    Parameters
    ----------
    timeout
        Seconds without a byte after which it fails.
    late
        Asked each time that as many seconds are over: whether it fails. By default, that is the time for all.
    anywhere
        Follow redirects to other hosts, for what is checked by its hash. Redirects of a service to itself are followed.
    """
    timeout = float(timeout)  # threads do not wait for numbers of numpy
    guard = _Guard(timeout, late)
    with _Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(guard))
        guard.start()
        try:
            with _follow(session, method, url, anywhere, timeout=timeout, data=body, headers=headers) as response:
                yield response
        except Exception as error:
            if guard.expired:  # ended from outside, which looks like many things
                raise TooSlow(f"too little came within {timeout:g} s") from error
            raise
        finally:
            guard.over.set()
            guard.join()
        if guard.expired:  # urllib3 before 2.0 takes a cut body for a whole one
            raise TooSlow(f"too little came within {timeout:g} s")


def receive(response: requests.Response, largest: int, *, piece: int = CHUNK) -> Iterator[bytes]:
    """Yield the body, unpacked, in pieces of bounded size; raise where it is larger than it can be.

    A piece of `piece` bytes is yielded when all of it has come.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ENCODINGS:
        raise requests.exceptions.ContentDecodingError(f"it is packed as {encoding!r}, which was not asked for")
    packed = encoding not in ("", "identity")
    total = announced(response)
    if total <= largest:
        total = 0
        for chunk in response.iter_content(min(piece, PACKED) if packed else piece):
            total += len(chunk)
            if total > largest:
                break
            yield chunk
    if total > largest:
        raise TooLarge(f"it is larger than {largest / 2**20:.0f} MiB{' unpacked' if packed else ''}")


def announced(response: requests.Response) -> int:
    """Return the number of bytes that the body should have, or 0 where it is not known or packed."""
    length = response.headers.get("Content-Length", "")
    known = length.isascii() and length.isdigit() and "Content-Encoding" not in response.headers
    return int(length) if known else 0


def passes(status: int) -> bool:
    """Return whether a failure may pass, so that it is worth to try again."""
    return status in PASSING or not 400 <= status < 500


class _Session(requests.Session):
    """Leaves redirects alone, which requests parses, and fails at, also where they are not followed."""

    def resolve_redirects(self, *args: Any, **options: Any) -> Iterator[Any]:
        return iter(())


class _Guard(Thread):
    """Ends the connections of a request when its time is over.

    A timeout of a socket begins anew with each byte, also within a line of the header, so a server that sends a byte
    now and then would be waited for without end.
    """

    def __init__(self, seconds: float, late: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self.over, self.expired = Event(), False
        self._seconds, self._late = seconds, late
        self._sockets: list[socket.socket] = []

    def run(self) -> None:
        while not self.over.wait(self._seconds):
            if self._late():
                self.expired = True
                for each in self._sockets:
                    _shut(each)
                return

    def watch(self, connected: socket.socket) -> None:
        self._sockets.append(connected)
        if self.expired:
            _shut(connected)


def _shut(connected: socket.socket) -> None:
    """End a connection, which wakes who reads from it; closing would not."""
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    """Shows each connection that it opens to a guard."""

    def __init__(self, guard: _Guard) -> None:
        self._guard = guard
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self._show(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        self._show(manager)
        return manager

    def _show(self, manager: Any) -> None:
        pools = manager.pool_classes_by_scheme
        manager.pool_classes_by_scheme = {
            scheme: type(pool.__name__, (pool,), {"ConnectionCls": _watched(pool.ConnectionCls, self._guard)})
            for scheme, pool in pools.items()
        }


def _watched(kind: Any, guard: _Guard) -> Any:
    """Return a class of connections that a guard can end."""

    class Connection(kind):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            guard.watch(self.sock)

    Connection.__name__ = kind.__name__  # which stands in messages
    return Connection


def _follow(session: requests.Session, method: str, url: str, anywhere: bool, **options: Any) -> requests.Response:
    """Return the response, after redirects that lead to the same service."""
    for _ in range(REDIRECTS):
        response = session.request(method, url, stream=True, allow_redirects=False, **options)
        if not response.is_redirect:
            return response
        response.close()
        location = response.headers["Location"]
        if not _allowed(url, location, anywhere):
            raise Elsewhere(f"it redirects to {location[:200]}, which is another place")
        url = urljoin(url, location)  # with the same method: what is asked would be lost otherwise
    raise requests.TooManyRedirects(f"it redirects more than {REDIRECTS} times")


def _allowed(url: str, location: str, anywhere: bool) -> bool:
    """Return whether a redirect stays where it was; from encrypted to open it never may."""
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, location))
        same = here.hostname == there.hostname
        upgrade = (_place(here), _place(there)) == (("http", 80), ("https", 443))
        safe = there.scheme == "https" or (there.scheme, here.scheme) == ("http", "http")
        return safe and (anywhere or (same and (upgrade or _place(here) == _place(there))))
    except ValueError:  # a port that is no number, or a host that is none
        return False


def _place(url: SplitResult) -> tuple[str, int]:
    return url.scheme, url.port or PORTS.get(url.scheme, 0)
