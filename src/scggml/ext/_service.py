"""Ask a web service: bounded in time, with retries after transient failures, and never the same question twice."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import requests

PASSING = frozenset({408, 425, 429})  # client errors that may pass; all other 4xx are final
LONGEST_WAIT = 60.0  # seconds, whatever the server asks for
DAY = 86400.0  # seconds


@dataclass(frozen=True)
class Service:
    """A web service, and how it is asked.

    Parameters
    ----------
    name
        Of the service, for messages.
    timeout
        Seconds without a byte after which an attempt is given up.
    attempts
        How often to try, if the failure may pass.
    wait
        Seconds before the second try; doubled before each further one.
    expires
        Days for which an answer is kept on disk.
    folder
        Where answers are kept.
    """

    name: str
    timeout: float
    attempts: int
    wait: float
    expires: float
    folder: Path

    def ask(self, url: str, payload: Mapping[str, Any], *, refresh: bool) -> dict[str, Any]:
        """Return the answer to a question, from disk if the very same one was asked before and `refresh` is not set."""
        body = json.dumps(payload, sort_keys=True, allow_nan=False, default=_plain)
        file = self.folder / (hashlib.sha256(f"{url}\n{body}".encode()).hexdigest() + ".json")
        if not refresh and (kept := self._kept(file)) is not None:
            return kept
        answer = self._post(url, body)
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".part", encoding="utf-8", delete=False) as draft:
            json.dump(answer, draft)
        Path(draft.name).replace(file)
        return answer

    def _kept(self, file: Path) -> dict[str, Any] | None:
        """Return an answer on disk that is young enough and whole."""
        try:
            if time.time() - file.stat().st_mtime > self.expires * DAY:
                return None
            answer = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return answer if isinstance(answer, dict) else None

    def _post(self, url: str, body: str) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "User-Agent": f"scggml/{version('scggml')}"}
        fault = ""
        for attempt in range(self.attempts):
            pause = self.wait * 2**attempt
            try:
                response = requests.post(url, data=body.encode(), headers=headers, timeout=self.timeout)
                if response.ok:
                    answer = response.json()
                    if isinstance(answer, dict):
                        return answer
                    fault = f"its answer is a JSON {type(answer).__name__}, not an object"
                elif 400 <= response.status_code < 500 and response.status_code not in PASSING:
                    raise ValueError(
                        f"{self.name} refuses the request to {url}: HTTP {response.status_code} {response.reason}"
                        f"{_said(response)}. Check organism, sources and base_url."
                    )
                else:
                    fault = f"HTTP {response.status_code} {response.reason}{_said(response)}"
                    pause = max(pause, _asked_for(response))
            except requests.exceptions.JSONDecodeError:
                fault = f"its answer is no JSON: {response.text[:80]!r}"
            except requests.Timeout:
                fault = f"no answer within {self.timeout:g} s"
            except requests.RequestException as error:
                fault = str(error)
            if attempt < self.attempts - 1:
                time.sleep(pause)
        raise ConnectionError(
            f"{self.name} gave no usable answer at {url}: {fault} (attempts: {self.attempts}). Nothing was stored. Try "
            "again later, raise timeout, pass the base_url of an archive, or ask offline with sg.ext.enrich_gmt."
        )


def answers_folder(name: str) -> Path:
    """Return where answers of a service are kept: beside the cohorts that `datasets` downloads."""
    given = os.environ.get("SCGGML_DATA")
    return (Path(given) if given else Path(pooch.os_cache("scggml"))) / name


def _plain(value: Any) -> Any:
    """Return numbers and arrays of numpy as JSON knows them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent to a service: {value!r}.")


def _said(response: requests.Response) -> str:
    """Return what the server says about its refusal."""
    try:
        return f" ({str(response.json()['message'])[:200]})"
    except (ValueError, KeyError, TypeError):
        return ""


def _asked_for(response: requests.Response) -> float:
    """Return the seconds that the server asks to wait."""
    try:
        return min(float(response.headers.get("Retry-After", 0)), LONGEST_WAIT)
    except ValueError:
        return 0.0
