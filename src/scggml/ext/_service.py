"""Ask a web service: bounded in time and size, with retries after transient failures, and no question twice."""

import hashlib
import json
import math
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import requests

from scggml._anndata.messages import choices, warn
from scggml._web.bounded import Elsewhere, TooLarge, passes, receive, send
from scggml._web.drafts import draft

LONGEST_WAIT = 60.0  # seconds, whatever the server asks for
DAY = 86400.0  # seconds
WHOLE = (200, 203)  # of all successes those with an answer: 202 is a promise, 206 a part
REFUSAL = 2**20  # bytes of what a server says about its failure
ASKED = "scggml_asked"
"""Entry of an answer on disk that says which question it answers."""

Read = TypeVar("Read")


class MalformedError(Exception):
    """An answer that is not what the service documents."""


@dataclass(frozen=True)
class Reply:
    """Hold what came back over HTTP."""

    status: int
    reason: str
    wait: float
    body: bytes


@dataclass(frozen=True)
class Hints:
    """Hold what messages advise: what to check, of what to ask less, and how to do without the service."""

    check: str = "organism, sources and base_url"
    less: str = "components, n_genes or sources"
    offline: str = ", or ask offline with sg.ext.enrich_gmt"


HINTS = Hints()


@dataclass(frozen=True)
class Service:
    """A web service, and how it is asked.

    Parameters
    ----------
    name
        Of the service, for messages.
    timeout
        Seconds that an attempt may take, until the last byte.
    attempts
        How often to try, if the failure may pass.
    wait
        Seconds before the second try; doubled before each further one.
    expires
        Days for which an answer is kept on disk.
    folder
        Where answers are kept.
    largest
        Bytes that an answer can have.
    hints
        What messages advise.
    """

    name: str
    timeout: float
    attempts: int
    wait: float
    expires: float
    folder: Path
    largest: int
    hints: Hints = HINTS

    def ask(
        self,
        url: str,
        payload: Mapping[str, Any],
        read: Callable[[dict[str, Any]], Read],
        *,
        refresh: bool,
        agent: str | None = None,
    ) -> Read:
        """Return what `read` finds in the answer to a question, and keep on disk only what it could read.

        `agent` is the name by which the service is told who asks.

        The answer is that on disk if the very same question was asked before, and `refresh` is not set. `read` raises
        `MalformedError` for an answer that is not as documented; one on disk is asked for anew then.
        """
        body = json.dumps(payload, sort_keys=True, allow_nan=False, default=_plain)
        asked = hashlib.sha256(f"{url}\n{body}".encode()).hexdigest()
        file = self.folder / f"{asked}.json"
        kept = None if refresh else self._kept(file, asked)
        if kept is not None:
            try:
                return read(kept)
            except MalformedError:
                pass
        answer = self._post(url, body, agent or f"scggml/{version('scggml')}")
        try:
            found = read(answer)
        except MalformedError as error:
            raise ConnectionError(
                f"The answer of {self.name} at {url} has another form than documented or contradicts the request or "
                f"itself ({error}); it holds {choices(answer)}. Nothing was stored. Check base_url."
            ) from error
        self._keep(file, answer | {ASKED: asked})
        return found

    def _kept(self, file: Path, asked: str) -> dict[str, Any] | None:
        """Return an answer on disk that is young enough, whole, and to this question."""
        try:
            about = file.stat()
            if not stat.S_ISREG(about.st_mode) or about.st_size > self.largest:
                return None
            if abs(time.time() - about.st_mtime) > self.expires * DAY:
                return None
            answer = _parse(file.read_bytes())
        except (OSError, MalformedError):
            return None
        return answer if answer.get(ASKED) == asked else None

    def _keep(self, file: Path, answer: dict[str, Any]) -> None:
        """Write an answer to disk; a folder that cannot be written to does not make it worse."""
        try:
            with draft(file) as out:
                out.write(json.dumps(answer).encode())
        except OSError as error:
            warn(
                f"The answer of {self.name} is used, but was not kept in {self.folder} ({error}): the next call asks "
                "again. Pass cache_dir, or set the environment variable SCGGML_DATA to a folder that can be written to."
            )

    def _post(self, url: str, body: str, agent: str) -> dict[str, Any]:
        fault = ""
        for attempt in range(self.attempts):
            pause = self.wait * 2**attempt
            try:
                reply = self._send(url, body, agent)
                if reply.status in WHOLE:
                    return _parse(reply.body)
                fault = f"HTTP {reply.status} {reply.reason}{_said(reply)}"
                if not passes(reply.status):
                    raise ValueError(f"{self.name} refuses the request to {url}: {fault}. Check {self.hints.check}.")
                pause = max(pause, reply.wait)
            except MalformedError as error:
                fault = f"its answer is {error}"
            except (TooLarge, Elsewhere) as error:  # which would come again
                raise ConnectionError(
                    f"{self.name} gave no usable answer at {url}: {error}. Nothing was stored. Check base_url, or ask "
                    f"about fewer {self.hints.less}."
                ) from error
            except requests.Timeout:
                fault = f"no answer within {self.timeout:g} s, or a part of it only"
            except requests.RequestException as error:
                fault = str(error)
            if attempt < self.attempts - 1:
                time.sleep(pause)
        raise ConnectionError(
            f"{self.name} gave no usable answer at {url}: {fault} (attempts: {self.attempts}). Nothing was stored. Try "
            f"again later, raise timeout, pass the base_url of an archive{self.hints.offline}."
        )

    def _send(self, url: str, body: str, agent: str) -> Reply:
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": agent,
        }
        with send("POST", url, timeout=self.timeout, body=body.encode(), headers=headers) as response:
            try:
                content = b"".join(receive(response, self.largest if response.ok else REFUSAL))
            except TooLarge:
                if response.ok:
                    raise
                content = b""
            return Reply(response.status_code, response.reason, _asked_for(response), content)


def _parse(body: bytes) -> dict[str, Any]:
    """Return a JSON object; NaN and infinity, which Python reads and writes, are no JSON."""
    try:
        answer = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"no JSON: {body[:80].decode(errors='replace')!r}") from error
    if not isinstance(answer, dict):
        raise MalformedError(f"a JSON {type(answer).__name__}, not an object")
    return answer


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _plain(value: Any) -> Any:
    """Return numbers and arrays of numpy as JSON knows them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent to a service: {value!r}.")


def _said(reply: Reply) -> str:
    """Return what the server says about its refusal."""
    try:
        return f" ({str(_parse(reply.body)['message'])[:200]})"
    except (MalformedError, KeyError):
        return ""


def _asked_for(response: requests.Response) -> float:
    """Return the seconds that the server asks to wait."""
    try:
        wait = float(response.headers.get("Retry-After", 0))
    except ValueError:  # a date
        return 0.0
    return min(max(wait, 0.0), LONGEST_WAIT) if math.isfinite(wait) else 0.0
