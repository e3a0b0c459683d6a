"""Fresh processes for what is measured: threads fixed before anything is imported, steps let through one by one.

The parent starts `Worker("module:function", config, threads=...)`; the process imports the module of this folder and
calls `function(config, gate)`. Each call of `gate` reports the seconds since the last one and waits for the parent, so
that runs of several workers alternate and never overlap. What the function returns (plain values, arrays as lists) is
the result. This file runs in the environments of the rivals too, so it needs the standard library only.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
STATUS = Path("/proc/self/status")
MB = 2**20


class Worker:
    """A measuring process.

    Parameters
    ----------
    job
        `"module:function"` in this folder.
    config
        Plain values for the function.
    threads
        Threads that BLAS, OpenMP and numba may use.
    python
        Interpreter; this one by default.
    source
        Folder to import scggml from; the installed one by default.
    """

    def __init__(
        self,
        job: str,
        config: Mapping[str, Any],
        *,
        threads: int,
        python: str = sys.executable,
        source: Path | None = None,
    ) -> None:
        self.job = job
        self.result: Any = None
        self.seconds: list[float] = []
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
        if source is not None:
            environment["PYTHONPATH"] = str(source)
        self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [python, str(HERE / "_worker.py"), job],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._send(json.dumps(config))
        self._receive()  # it stands at its first gate

    @property
    def running(self) -> bool:
        """Whether there is another step."""
        return self.result is None

    def step(self) -> float:
        """Let the worker go to its next gate or its end; the seconds that it took."""
        self._send("go")
        message = self._receive()
        self.seconds.append(message["seconds"])
        if "result" in message:
            self.result = message["result"]
            self._process.communicate()
        return message["seconds"]

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # what was not sent is lost with a process that has died
                stream.close()
        self._errors.close()

    def _send(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # a process that has died says why in `_receive`
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._errors.seek(0)
        raise RuntimeError(f"{self.job} ended with exit code {code}:\n{self._errors.read()[-4000:]}")


def run(job: str, config: Mapping[str, Any], *, threads: int, python: str = sys.executable) -> Any:
    """Result of a worker that is let through all its gates."""
    with contextlib.closing(Worker(job, config, threads=threads, python=python)) as worker:
        while worker.running:
            worker.step()
        return worker.result


def alternate(workers: list[Worker]) -> None:
    """Let workers take one step each in turn until all have ended."""
    while any(worker.running for worker in workers):
        for worker in workers:
            if worker.running:
                worker.step()


def resident() -> float:
    """Memory of this process, MB."""
    if STATUS.exists():
        return _status("VmRSS")
    return _lifetime_peak()


def _status(name: str) -> float:
    line = next(line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def _lifetime_peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MB if sys.platform == "darwin" else 1024)


class Memory:
    """Peak of this process's memory since a point of time, kept by the kernel: no sample can miss it.

    On Linux the kernel's mark is set back at the start. Elsewhere it cannot be, so a peak below that of the set-up
    counts as no extra memory.
    """

    def __init__(self) -> None:
        gc.collect()
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)  # what is free is not memory in use
        self._linux = STATUS.exists()
        if self._linux:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self.before = resident()

    @property
    def peak(self) -> float:
        """Highest memory since the start, MB."""
        return _status("VmHWM") if self._linux else _lifetime_peak()

    @property
    def extra(self) -> float:
        """Peak above what was in use at the start, MB."""
        return self.peak - self.before


Gate = Callable[[], None]


@contextlib.contextmanager
def stop_at_passes(gate: Gate) -> Iterator[None]:
    """Call `gate` after each pass of scggml's learning, which shows as an update of its progress bar."""
    from tqdm.std import tqdm  # noqa: PLC0415 - not in every environment

    update = tqdm.update

    def update_and_stop(bar: Any, n: float = 1) -> Any:
        shown = update(bar, n)
        if getattr(bar, "unit", None) == "pass":  # a bar that is switched off has none
            gate()
        return shown

    tqdm.update = update_and_stop
    try:
        yield
    finally:
        tqdm.update = update


def _main(job: str) -> None:
    config = json.loads(sys.stdin.readline())
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no reply
    began = time.perf_counter()
    passed = False

    def send(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    def gate() -> None:
        nonlocal began, passed
        send({"seconds": time.perf_counter() - began} if passed else {})
        if sys.stdin.readline() != "go\n":
            sys.exit("the parent has gone")
        passed = True
        began = time.perf_counter()

    module, _, function = job.partition(":")
    result = getattr(importlib.import_module(module), function)(config, gate)
    send({"seconds": time.perf_counter() - began, "result": result})


if __name__ == "__main__":
    _main(*sys.argv[1:])
