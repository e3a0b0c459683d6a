"""How a step of learning grows with samples, cells, dimensions and components, and what of it is not transport.

One axis grows while the others stay at the base. The cohorts of an axis take their steps in turn. The exponent of an
axis is the slope of log(seconds) over log(size) by least squares over all its sizes.
"""

import argparse
import contextlib
import pkgutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import _learn
from _data import Setting, save
from _learn import add_learning_options, learning
from _report import Row, add_csv_option, append_csv, exponent, heading, print_table
from _worker import Gate, Worker, alternate

PAIR_SOLVER = ("scggml._core.transport.warm.Warm.solve",)
"""Functions, by the name that a step calls them under, whose time is that of the pair solver."""

GROWTH = {
    "P": [20, 40, 80, 160],
    "n": [50, 100, 200, 400, 800],
    "d": [50, 200, 800, 2000],
    "k": [2, 5, 10, 20],
}


class Clock:
    """Seconds spent in functions, calls inside calls counted once."""

    def __init__(self) -> None:
        self.seconds, self._depth, self._main = 0.0, 0, threading.get_ident()

    def time(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time in the calling thread added up."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._main or self._depth:
                return function(*args, **kwargs)
            began, self._depth = time.perf_counter(), 1
            try:
                return function(*args, **kwargs)
            finally:
                self._depth = 0
                self.seconds += time.perf_counter() - began

        return timed


@contextlib.contextmanager
def pair_solver_clock() -> Iterator[Clock]:
    """Time those functions of `PAIR_SOLVER` that there are."""
    clock = Clock()
    with contextlib.ExitStack() as stack:
        for name in PAIR_SOLVER:
            with contextlib.suppress(AttributeError):
                stack.enter_context(mock.patch(name, clock.time(pkgutil.resolve_name(name))))
        yield clock


def steps(config: dict[str, Any], gate: Gate) -> dict[str, Any]:
    """Learn with a gate before each step; the seconds of each step in the pair solver."""
    with pair_solver_clock() as clock:
        marks = []

        def noted() -> None:
            marks.append(clock.seconds)
            gate()

        result = _learn.steps(config, noted)
    return result | {"solver": [after - before for before, after in pairwise(marks)]}


def grow(axis: str, sizes: list[int], base: Setting, config: dict[str, Any], folder: Path) -> list[Row]:
    """One row for each size."""
    settings = [base._replace(**{axis: size}) for size in sizes]
    with contextlib.ExitStack() as stack:
        workers = []
        for setting in settings:
            own = config | {"data": save(folder, setting)}
            workers.append(Worker("scaling:steps", own, threads=config["threads"]))
            stack.callback(workers[-1].close)
        alternate(workers)
    rows = []
    for setting, worker in zip(settings, workers, strict=True):
        seconds, solver = worker.seconds[:-1], worker.result["solver"]
        pairs = setting.P * (setting.P - 1) // 2
        row: Row = {"axis": axis} | setting._asdict()
        row |= {"pairs": pairs, "step s": statistics.median(seconds)}
        row["ms per pair"] = 1e3 * row["step s"] / pairs
        row["outside solver"] = 1 - sum(solver) / sum(seconds) if sum(solver) else None
        row |= {"distances s": worker.result["distances"], "extra MB": worker.result["memory"]}
        rows.append(row)
    return rows


def exponents(axis: str, rows: list[Row]) -> Row:
    """Slopes of seconds and memory over the size of one axis."""
    out: Row = {"axis": axis, "from": rows[0][axis], "to": rows[-1][axis]}
    for column in ("step s", "distances s", "extra MB"):
        out[column] = exponent([row[axis] for row in rows], [max(row[column], 1e-9) for row in rows])
    return out


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="20,200,50,5", metavar="P,n,d,k", help="default 20,200,50,5")
    for axis, sizes in GROWTH.items():
        parser.add_argument(f"--{axis}", nargs="*", type=int, default=sizes, help=f"sizes of {axis}; none to leave out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--squared", action="store_true", help="squared cost")
    add_learning_options(parser)
    parser.set_defaults(steps=5)
    add_csv_option(parser)
    options = parser.parse_args()

    heading(
        f"Growth of a step around P,n,d,k = {options.base}: medians of {options.steps} steps, {options.threads} threads"
    )
    config = learning(options) | {"squared": options.squared, "threads": options.threads, "distances": True}
    growth: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for axis in GROWTH:
            sizes = sorted(getattr(options, axis))
            if not sizes:
                continue
            rows = grow(axis, sizes, Setting(*map(int, options.base.split(","))), config, Path(folder))
            print_table(rows, f"{axis} grows", hide=["axis"])
            if rows[0]["outside solver"] is None:
                print(f"No step called {', '.join(PAIR_SOLVER)}: PAIR_SOLVER has to name what solves the pairs.")
            append_csv(options.csv, rows, f"scaling {axis}")
            if len(rows) > 1:
                growth.append(exponents(axis, rows))
    print_table(growth, "exponents")
    append_csv(options.csv, growth, "scaling exponents")


if __name__ == "__main__":
    main()
