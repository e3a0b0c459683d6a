"""The client gprofiler-official, with requests that end: its own methods over a service of ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

from gprofiler import GProfiler

from scggml._arguments import shown
from scggml._core.checks import check_number, check_whole
from scggml._web.place import at_home, data_folder
from scggml.ext._service import HINTS, Hints, Service

BASE_URL = "https://biit.cs.ut.ee/gprofiler"


def bounded(
    base_url: str,
    *,
    timeout: float,
    attempts: int,
    wait: float,
    expires: float,
    cache_dir: str | Path | None,
    largest: int,
    hints: Hints = HINTS,
) -> Service:
    """Return g:Profiler as it is asked; raise unless it has an address and times that a clock can wait for."""
    check_number("timeout", timeout, "a positive number of seconds, below 1e6", 0, 1e6, open_low=True)
    check_number("wait", wait, "a number of seconds, below 1e6", 0, 1e6, open_low=False)
    check_number("expires", expires, "a number of days", 0, open_low=False)
    check_whole("attempts", attempts, 1)
    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f"base_url={base_url!r} must be an address such as {BASE_URL!r}.")
    folder = data_folder() / "gprofiler" if cache_dir is None else at_home("cache_dir", cache_dir)
    # clocks know numbers of Python alone, not those of numpy
    clock = float(timeout), int(attempts), float(wait), float(expires)
    return Service("g:Profiler", *clock, folder, largest, hints)


@dataclass(frozen=True)
class _Response:
    """Hold what the client reads of a response that came, whole and right."""

    answer: dict[str, Any]
    status_code: int = 200

    def json(self) -> dict[str, Any]:
        return self.answer


def as_client(client: object, base_url: str) -> GProfiler:
    """Return the client that is passed, or one for the address.

    Raises
    ------
    TypeError
        Not an object of the package.
    ValueError
        Both a client and another address.
    """
    if client is None:
        return GProfiler(base_url=base_url)
    if not isinstance(client, GProfiler):
        what = "a class" if isinstance(client, type) else f"a {type(client).__name__}"
        raise TypeError(
            f"client={shown(client)} is {what}; pass an object such as gprofiler.GProfiler(base_url=..., "
            "user_agent=...), or None."
        )
    if base_url not in (BASE_URL, client.base_url):
        raise ValueError(
            f"client has base_url={client.base_url!r}, and base_url={base_url!r} is another one; pass one of the two."
        )
    return client


def call(
    client: GProfiler,
    method: str,
    service: Service,
    read: Callable[[dict[str, Any]], Any],
    *,
    refresh: bool,
    **arguments: Any,
) -> Any:
    """Return what a method of the client makes of an answer that `read` accepts.

    The code that runs is the client's: the address, the payload, and what it takes from the answer. It calls
    `requests.post`, which waits without end, takes any number of bytes and tries once; under the same name it finds
    the service here, in a copy of the method and not in the package, which others may be using at the same time.

    Raises
    ------
    ConnectionError
        No usable answer after all attempts.
    ValueError
        The service refuses the request, with its reason.
    RuntimeError
        A release of the client that asks in another way.
    """
    asked = []

    def post(url: str, *, json: Mapping[str, Any], headers: Mapping[str, str]) -> _Response:
        asked.append(url)
        kept: list[dict[str, Any]] = []

        def check(answer: dict[str, Any]) -> dict[str, Any]:
            read(answer)
            return answer

        kept.append(service.ask(url, json, check, refresh=refresh, agent=str(headers["User-Agent"])))
        return _Response(kept[0])

    original = getattr(type(client), method)
    names = original.__globals__ | {"requests": SimpleNamespace(post=post)}
    ended = FunctionType(original.__code__, names, method, original.__defaults__, original.__closure__)
    ended.__kwdefaults__ = original.__kwdefaults__
    found = ended(_plain(client), **arguments)
    if not asked:
        raise RuntimeError(
            f"GProfiler.{method} did not ask by requests.post, so its time could not be bounded; install "
            "gprofiler-official 1.0."
        )
    return found


def _plain(client: GProfiler) -> GProfiler:
    """Return a client with the same address and agent that gives lists, and whose `meta` nobody else reads."""
    other = GProfiler(base_url=client.base_url.rstrip("/"))
    other.user_agent = client.user_agent
    return other
