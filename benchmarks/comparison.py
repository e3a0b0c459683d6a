"""One table: methods, solvers, summaries and rivals on the same folds of donors, cohort by cohort.

    python benchmarks/comparison.py FOLDER_OF_COHORTS

FOLDER holds one h5ad per cohort with `.obs["sample_id"]`, `.obs["label"]` and, where there are any,
`.obs["patient_id"]` and `.obs["cell_type"]`. Each row of the table has a process of its own, on one thread, and what it
finds on a cohort is written to `--out` at once: a run that was interrupted goes on where it stopped. An entry without
numbers says why. Seconds are those of the processor, which other work on the machine changes little.
"""

import argparse
import contextlib
import csv
import datetime as dt
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from _compared import PACKAGES, TIME_STEPS, Entry, entries
from _comparison_report import read, report
from _environment import environment_python
from _report import heading, processor, versions
from _worker import Worker

SETTINGS = ("cells", "points", "per_class", "splits", "repeats", "seed")
"""What all entries of one table have in common."""

NUMBERS = ("balanced_accuracy", "auroc", "seconds", "MB")
COLUMNS = ("cohort", "samples", "classes", "method", "solver", "summary", "name", *NUMBERS, "reason")
COLUMNS = (*COLUMNS, *SETTINGS, "date", "processor", "versions")
QUICK = {"cells": 15, "points": 8, "per_class": 8, "splits": 2, "repeats": 1}
"""Settings of `--quick`, which also takes the two smallest cohorts, and no package that has to be installed."""


def known(path: Path, settings: dict[str, int]) -> set[tuple[str, ...]]:
    """Return the entries that a table has already, which must have been made with the same settings."""
    if not path.exists():
        return set()
    found = read(path)
    for name, value in settings.items():
        if set(found[name]) - {value}:
            raise SystemExit(
                f"{path} was made with {name}={sorted(set(found[name]))}, not {value}; pass these settings, or another "
                "file by --out."
            )
    return set(zip(*(found[name] for name in ("cohort", "method", "solver", "summary")), strict=True))


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a line to the table."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def python_of(entry: Entry) -> dict[str, str]:
    """Return the interpreter of a rival's environment, which is made if it is not there."""
    package = PACKAGES.get(entry.method)
    return {} if package is None else {"python": environment_python(package.requirement, first=package.first)}


def with_what(entry: Entry) -> dict[str, str]:
    """Return the versions behind an entry, that of the rival among them."""
    package = PACKAGES.get(entry.method)
    return {"versions": ", ".join([versions(), *([] if package is None else [package.requirement])])}


def measured(entry: Entry, paths: Sequence[Path], config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what an entry finds on one cohort after the other; a process that dies is followed by another one."""
    if entry.method == TIME_STEPS:
        yield from ({"cohort": path.stem, "reason": "needs time steps"} for path in paths)
        return
    with tempfile.TemporaryDirectory() as folder:
        found, waiting = Path(folder) / "found.json", list(paths)
        while waiting:
            todo = {"paths": list(map(str, waiting)), "found": str(found)}
            with contextlib.closing(Worker("_compared:row", config | todo, threads=1)) as worker:
                while waiting:
                    path = waiting.pop(0)
                    try:
                        worker.step()
                    except RuntimeError as error:  # for lack of memory, or by a mistake of ours
                        yield {"cohort": path.stem, "reason": "failed: " + str(error).strip().splitlines()[-1][:200]}
                        break
                    yield {"cohort": path.stem} | json.loads(found.read_text(encoding="utf-8"))


def fill(paths: Sequence[Path], rows: Sequence[Entry], settings: dict[str, int], *, cap: int, out: Path) -> None:
    """Measure what the table lacks."""
    there = known(out, settings)
    origin = {"date": str(dt.date.today()), "processor": processor()}
    lacking = {e: [path for path in paths if (path.stem, e.method, e.solver, e.summary) not in there] for e in rows}
    print(f"{sum(map(len, lacking.values()))} of {len(rows) * len(paths)} entries are to be measured.", flush=True)
    for entry, waiting in lacking.items():
        named = {"method": entry.method, "solver": entry.solver, "summary": entry.summary}
        config = {"entry": named, "cap": cap} | settings | (python_of(entry) if waiting else {})
        for found in measured(entry, waiting, config):
            append(out, named | {"name": entry.name} | found | settings | origin | with_what(entry))
            what = found.get("reason") or "{balanced_accuracy:.3f} in {seconds:.1f} s, {MB:.0f} MB".format(**found)
            print(f"{entry.name}, {found['cohort']}: {what}", flush=True)


def chosen(folder: Path, names: Sequence[str] | None, quick: bool) -> list[Path]:
    """Return the files of the cohorts, small ones first."""
    if names is not None:
        paths = [folder / f"{name}.h5ad" for name in names]
        missing = [str(path) for path in paths if not path.exists()]
        if missing:
            raise SystemExit(f"There is no {', '.join(missing)}; see --cohorts.")
        return paths
    paths = sorted(folder.glob("*.h5ad"), key=lambda path: path.stat().st_size)
    if not paths:
        raise SystemExit(f"{folder} has no .h5ad; pass the folder of the cohorts.")
    return paths[:2] if quick else paths


def main() -> None:
    """Measure what is lacking, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cohorts", nargs="+", help="names of files (default: all in the folder)")
    parser.add_argument("--rows", nargs="+", help='rows of the table by name, such as "canonical, sinkhorn" itml')
    parser.add_argument("--all", action="store_true", help="each combination of method, solver and summary")
    parser.add_argument("--ours-only", action="store_true", help="leave out packages with environments of their own")
    parser.add_argument("--quick", action="store_true", help=f"a small table in a few minutes: {QUICK}")
    parser.add_argument("--cells", type=int, default=60, help="drawn of each sample (default 60)")
    parser.add_argument("--points", type=int, default=30, help="of a coreset (default 30)")
    parser.add_argument("--per-class", type=int, default=20, help="samples of a class in cohorts of more than 3 x this")
    parser.add_argument("--splits", type=int, default=5, help="folds (default 5)")
    parser.add_argument("--repeats", type=int, default=1, help="of all folds (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cap", type=int, default=900, help="most seconds of an entry (default 900)")
    parser.add_argument("--out", type=Path, default=Path("comparison.csv"), help="the table, which is added to")
    parser.add_argument("--report", type=Path, help="folder for the tables and the figure of the documentation")
    given = parser.parse_args()
    settings = {name: getattr(given, name) for name in SETTINGS} | (QUICK if given.quick else {})
    rows = [e for e in entries(given.all) if not ((given.ours_only or given.quick) and e.method in PACKAGES)]
    if given.rows:
        unknown = set(given.rows) - {entry.name for entry in rows}
        if unknown:
            raise SystemExit(f"--rows has {sorted(unknown)}; choose from {[entry.name for entry in rows]}.")
        rows = [entry for entry in rows if entry.name in given.rows]
    heading("Methods, solvers, summaries and rivals on the same folds")
    fill(chosen(given.folder, given.cohorts, given.quick), rows, settings, cap=given.cap, out=given.out)
    report(given.out, given.report)


if __name__ == "__main__":
    main()
