"""A real HTTP server on this machine, which answers as a test tells it to."""

import _thread
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anndata as ad
import numpy as np
import pytest


@dataclass(frozen=True)
class Answer:
    """One answer. `length` is the Content-Length, by default the true one; None leaves it out."""

    body: bytes = b""
    status: int = 200
    length: int | None = -1
    encoding: str | None = None
    stall: bool = False  # after the body, say nothing more and keep the connection
    drip: int = 0  # after the body, send so many bytes now and then
    location: str | None = None  # where to look instead
    interrupt: bool = False  # press Ctrl-C when half of the body is sent


@dataclass
class Server:
    """Answers to the requests of each path in turn; the last one again and again."""

    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def set(self, path: str, *answers: Answer) -> str:
        self.answers[path] = list(answers)
        return self.url + path

    def next(self, path: str) -> Answer:
        self.requests.append(path)
        answers = self.answers.get(path, [Answer(b"no such page", status=404)])
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Quiet(ThreadingHTTPServer):
    """A server that does not report clients that were interrupted and hung up."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    told: Server

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = told.next(self.path)
            self.send_response(answer.status)
            if answer.length is not None:
                self.send_header("Content-Length", str(len(answer.body) if answer.length < 0 else answer.length))
            if answer.encoding is not None:
                self.send_header("Content-Encoding", answer.encoding)
            if answer.location is not None:
                self.send_header("Location", answer.location)
            self.end_headers()
            half = len(answer.body) // 2
            self.wfile.write(answer.body[:half])
            if answer.interrupt:
                told.over.wait(0.2)  # by then the client is at its file
                _thread.interrupt_main()
            self.wfile.write(answer.body[half:])
            if answer.stall:
                told.over.wait(10)
            while answer.drip and not told.over.wait(0.02):
                self.wfile.write(b"x" * answer.drip)

        def log_message(self, *_: object) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as http:
        told = Server(f"http://127.0.0.1:{http.server_port}")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        told.over.set()
        http.shutdown()
        thread.join()


@pytest.fixture
def answer() -> type[Answer]:
    return Answer


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder that is not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SCGGML_DATA", str(folder))
    return folder


@pytest.fixture(scope="session")
def h5ad(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small h5ad file."""
    path = tmp_path_factory.mktemp("h5ad") / "small.h5ad"
    ad.AnnData(np.arange(6, dtype=np.float32).reshape(3, 2)).write_h5ad(path)
    return path.read_bytes()


@pytest.fixture
def downloads(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the real downloads, which is the cache."""
    folder = data_dir / "downloads"
    monkeypatch.setenv("SCGGML_DATA", str(folder))
    return folder
