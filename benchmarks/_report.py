"""What a benchmark prints: the machine, aligned tables, growth exponents, and a CSV that keeps the results."""

import argparse
import csv
import datetime as dt
import importlib.metadata
import os
import platform
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
PACKAGES = ("scggml", "numpy", "scipy", "POT", "numba")


def processor() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def versions(names: Sequence[str] = PACKAGES) -> str:
    """Installed versions of packages, those that are missing left out."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def heading(title: str) -> None:
    """Print what is measured, when, where and with what."""
    print(f"{title}\n{dt.date.today()}, {processor()}, {cores()} cores, Python {platform.python_version()}")
    print(versions(), flush=True)


def cell(value: Any) -> str:
    """A number with three digits (a dash for one that is missing), anything else as it is."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    if not 1e-3 <= abs(value) < 1e6:
        return f"{value:.1e}"
    return f"{value:.{max(0, 2 - int(np.floor(np.log10(abs(value)))))}f}"


def print_table(rows: Sequence[Row], title: str = "", hide: Collection[str] = ()) -> None:
    """Print rows with the same keys as columns, words to the left and numbers to the right; `hide` leaves some out."""
    if not rows:
        return
    print(f"\n{title}" if title else "")
    columns = []
    for key in rows[0]:
        if key not in hide:
            texts = [str(key), *(cell(row[key]) for row in rows)]
            words = all(isinstance(row[key], str) for row in rows)
            width = max(map(len, texts))
            columns.append([text.ljust(width) if words else text.rjust(width) for text in texts])
    for line in zip(*columns, strict=True):
        print("  ".join(line).rstrip())
    sys.stdout.flush()


def exponent(sizes: Sequence[float], amounts: Sequence[float]) -> float:
    """Slope of log(amount) over log(size) by least squares: b of amount = a size^b."""
    return float(np.polyfit(np.log(sizes), np.log(amounts), 1)[0])


def add_csv_option(parser: argparse.ArgumentParser) -> None:
    """Let the user keep the rows."""
    parser.add_argument("--csv", type=Path, help="append the rows to this file, with date and machine")


def append_csv(path: Path | None, rows: Sequence[Row], table: str) -> None:
    """Append rows in long form, one number a line, so that tables of different columns share a file."""
    if path is None or not rows:
        return
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    origin = [str(dt.date.today()), processor(), cores(), versions(), table]
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["date", "processor", "cores", "versions", "table", "row", "column", "value"])
        for index, row in enumerate(rows):
            writer.writerows([*origin, index, key, value] for key, value in row.items() if value is not None)
