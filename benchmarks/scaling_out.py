"""How a job on a zarr store grows on a Dask cluster of two processes, with samples and with cells per sample.

`sg.tl.ggml` and `sg.tl.distances` run on a matrix of dask chunks. Each axis has a cluster of its own, which has done
the same on a handful of cells before. The last table extrapolates the largest cohort; nothing of that size was run.
"""

import argparse
import contextlib
import logging
import math
import pickle
import pkgutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import dask.base
import distributed
from _learn import arguments
from _report import Row, add_csv_option, append_csv, exponent, heading, print_table
from _worker import STATUS
from cohorts import open_cohort, write_cohort
from scaling import Clock

import scggml as sg

PHASES = {
    "coresets s": "scggml._anndata.selection.Selection.read",
    "learning s": "scggml._core.learn.learner.Learner.learn",
    "coordinates s": "scggml.tl._ggml.embed_cells",
    "pairs s": "scggml.tl._distances.distance_matrix",
}
"""Functions whose time is that of a phase, by the name that the job calls them under."""


class Law(NamedTuple):
    """Exponents of a phase in samples and in cells per sample; None for the fitted one."""

    samples: float | None
    cells: float | None


LAWS = {"coresets s": Law(1, 1), "learning s": Law(None, 0), "coordinates s": Law(1, 1), "pairs s": Law(2, 0)}
"""How phases are extrapolated: by their number of operations where that is known."""


@contextlib.contextmanager
def watched(row: Row) -> Iterator[None]:
    """Add seconds of the phases, and bytes that come from the workers, to a row."""
    compute, received = dask.base.compute, [0]

    def counted(*tasks: Any, **options: Any) -> Any:
        results = compute(*tasks, **options)
        received.extend(len(pickle.dumps(result, protocol=5)) for result in results)
        return results

    clocks = {phase: Clock() for phase in PHASES}
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch("dask.base.compute", counted))
        for phase, name in PHASES.items():
            stack.enter_context(mock.patch(name, clocks[phase].time(pkgutil.resolve_name(name))))
        yield
    for phase, clock in clocks.items():
        row[phase] = row.get(phase, 0.0) + clock.seconds
    row["received MB"] = row.get("received MB", 0.0) + sum(received) / 2**20


def job(path: Path, options: argparse.Namespace) -> Row:
    """Learn and compute distances; seconds of each phase. Both calls take coresets of the samples."""
    adata, row = open_cohort(path), Row()
    given = {"n_jobs": options.threads, "progress": False, "summary": sg.tl.Coreset(options.points)}
    began = time.perf_counter()
    with watched(row):
        sg.tl.ggml(adata, "sample_id", "label", **(given | arguments(options.learn)))
        sg.tl.distances(adata, **(given | arguments(options.distances)))
    row["all s"] = time.perf_counter() - began
    return row


def peak() -> float:
    """Highest memory of this process, MB (not `ru_maxrss`, which begins with that of the parent)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


@contextlib.contextmanager
def started(folder: Path, options: argparse.Namespace) -> Iterator[distributed.Client]:
    """Start a cluster that has the imports and the compiled code."""
    tiny = folder / "tiny.zarr"
    if not tiny.exists():
        write_cohort(tiny, 4, 2 * options.points, options.dimensions, options.density)
    size = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    size |= {"silence_logs": logging.ERROR}  # of workers that take their time to end
    with distributed.LocalCluster(host="127.0.0.1", **size) as cluster, distributed.Client(cluster) as client:
        job(tiny, options)
        yield client


def measure(client: distributed.Client, folder: Path, n_samples: int, n_cells: int, options: argparse.Namespace) -> Row:
    """Write a cohort and do the job."""
    path = folder / f"cohort_{n_samples}_{n_cells}.zarr"
    write_cohort(path, n_samples, n_cells, options.dimensions, options.density)
    before = sum(client.run(time.process_time).values())
    row = {"samples": n_samples, "cells": n_cells} | job(path, options)
    row["worker cpu s"] = sum(client.run(time.process_time).values()) - before
    if STATUS.exists():
        row["worker MB"] = max(client.run(peak).values())
    row["matrix MB"] = n_samples * n_cells * options.dimensions * 4 / 2**20
    print(f"{n_samples} samples of {n_cells} cells: {row['all s']:.1f} s", flush=True)
    return row


def grow(folder: Path, axis: str, options: argparse.Namespace) -> tuple[list[Row], Row]:
    """Measure cohorts of growing samples or cells; the rows, and fitted exponents."""
    n_samples, n_cells = options.base
    sizes = getattr(options, axis)
    cohorts = [(size, n_cells) if axis == "samples" else (n_samples, size) for size in sizes]
    with started(folder, options) as client:
        rows = [measure(client, folder, *cohort, options) for cohort in cohorts]
    fitted: Row = {"axis": axis}
    for phase in (*PHASES, "worker cpu s", "received MB"):
        fitted[phase] = exponent(sizes, [max(row[phase], 1e-4) for row in rows])
    return rows, fitted


def extrapolate(row: Row, fitted: Row, options: argparse.Namespace) -> list[Row]:
    """Hours of each phase for the target, from a measured cohort and the laws of growth."""
    more = [target / row[axis] for target, axis in zip(options.target, ("samples", "cells"), strict=True)]
    table = []
    for phase, law in LAWS.items():
        powers = [fitted[phase] if law.samples is None else law.samples, law.cells or 0]
        factor = math.prod(ratio**power for ratio, power in zip(more, powers, strict=True))
        table.append(
            {
                "phase": phase.removesuffix(" s"),
                "measured s": row[phase],
                "power of samples": float(powers[0]),
                "power of cells": float(powers[1]),
                "extrapolated hours": row[phase] * factor / 3600,
            }
        )
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=int, nargs=2, default=[50, 500], help="samples, cells (default 50 500)")
    parser.add_argument("--samples", type=int, nargs="+", default=[25, 50, 100, 200], help="samples that grow")
    parser.add_argument(
        "--cells", type=int, nargs="*", default=[250, 500, 1000, 2000], help="cells that grow (none: not)"
    )
    parser.add_argument("--dimensions", type=int, default=2000, help="features (default 2000)")
    parser.add_argument("--density", type=float, default=0.05, help="share of entries that are not 0 (default 0.05)")
    parser.add_argument("--dense", dest="density", action="store_const", const=None, help="dense features")
    parser.add_argument("--points", type=int, default=50, help="points of each coreset (default 50)")
    parser.add_argument("--target", type=int, nargs=2, default=[2000, 5000], help="samples, cells to extrapolate to")
    parser.add_argument("--folder", type=Path, help="where cohorts are written for the time of the run")
    parser.add_argument("--threads", type=int, default=2, help="threads of this process for learning and pairs")
    parser.add_argument("--learn", nargs="*", default=[], metavar="NAME=VALUE", help="arguments of sg.tl.ggml")
    parser.add_argument("--distances", nargs="*", default=[], metavar="NAME=VALUE", help="arguments of sg.tl.distances")
    add_csv_option(parser)
    options = parser.parse_args()

    heading("A zarr store on a Dask cluster of two processes: seconds by phase, and what comes to this process")
    growth = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for axis in ("samples", *(["cells"] if options.cells else [])):
            rows, fitted = grow(Path(folder), axis, options)
            print_table(rows, f"{axis} grow")
            append_csv(options.csv, rows, f"scaling_out {axis}")
            growth.append((rows, fitted))
    print_table([fitted for _, fitted in growth], "exponents")
    append_csv(options.csv, [fitted for _, fitted in growth], "scaling_out exponents")
    table = extrapolate(growth[0][0][-1], growth[0][1], options)
    n_samples, n_cells = options.target
    print_table(table, f"extrapolated, not measured: {n_samples} samples of {n_cells} cells, on the same two processes")
    append_csv(options.csv, table, "scaling_out extrapolated")


if __name__ == "__main__":
    main()
