"""What does a user's whole job cost, beside other packages that start from the same AnnData?

    python benchmarks/whole_job.py
    python benchmarks/whole_job.py --metric 40,200,50 --distances
    python benchmarks/whole_job.py --metric --distances 126,250,50

`--metric`: cells in memory in, a learned metric, the distances of all samples and the coordinates of all cells out, by
scggml and by ggml-ot, both at their defaults. `--distances`: an embedding in, the distances of all samples out, by
scggml, PILOT and GloScope (its version in Python, in patpy). These are different distances: the table says what they
cost, not which is better. Settings are samples, cells in each, features.

Each package has an environment of its own, which this script makes, and each measurement a process of its own; they
take turns. A rival runs with the number of threads that made it fastest on a small cohort.
"""

import argparse
import contextlib
import statistics
from typing import Any, NamedTuple

from _environment import REFERENCE, environment_python, reference_python
from _report import Row, add_csv_option, append_csv, heading, print_table
from _worker import Worker, alternate

EPOCHS = 30
"""Epochs of ggml-ot by default."""

TRIAL = (20, 100)
"""Samples and cells of the small cohort that the number of threads is chosen on."""


class Contender(NamedTuple):
    """A job, what to install for it (None: this environment), and how its time grows with the cells of a sample."""

    job: str
    requirement: str | None = None
    growth: float = 1.0

    @property
    def python(self) -> dict[str, str]:
        """Interpreter, as an argument of `Worker`."""
        if self.requirement is None:
            return {}
        return {"python": reference_python() if self.requirement == REFERENCE else environment_python(self.requirement)}


TABLES = {
    "metric": [Contender("scggml"), Contender("ggml-ot", REFERENCE, growth=2.5)],
    "distances": [
        Contender("scggml, Euclidean"),
        Contender("scggml, learned"),
        Contender("PILOT", "pilotpy==2.0.15"),
        Contender("GloScope (patpy)", "patpy[gloscope-py-cpu]==0.15.2", growth=1.2),
    ],
}
SETTINGS = {
    "metric": ["40,200,50", "126,250,50", "40,200,2000"],
    "distances": ["40,200,50", "126,250,50", "100,1000,50"],
}


def best_threads(contender: Contender, d: int, config: dict[str, Any]) -> tuple[int, float]:
    """Return the number of threads that suits a rival best on a small cohort, and its seconds there (of an epoch)."""
    own = config | {"job": contender.job, "setting": [*TRIAL, d], "repeats": 3, "epochs": 2}
    with contextlib.ExitStack() as stack:
        workers = {}
        for t in config["choices"]:
            workers[t] = Worker("_whole:job", own | {"threads": t}, threads=t, **contender.python)
            stack.callback(workers[t].close)
        alternate(list(workers.values()))
        seconds = {t: statistics.median(worker.result["seconds"]) for t, worker in workers.items()}
        threads = min(seconds, key=lambda t: seconds[t])
        shown = ", ".join(f"{t} threads {s:.3g} s" for t, s in seconds.items())
        print(f"{contender.job} on {TRIAL[0]} samples of {TRIAL[1]} cells, {d} features: {shown}", flush=True)
        return threads, workers[threads].result.get("epoch", seconds[threads])


def predicted(contender: Contender, trial: float, setting: list[int]) -> float:
    """Return about how many seconds a setting takes, from those of the small cohort: pairs, and cells to a power."""
    return trial * (setting[0] / TRIAL[0]) ** 2 * (setting[1] / TRIAL[1]) ** contender.growth


def whole(found: dict[str, Any], epochs: int) -> tuple[float, str]:
    """Return the seconds of the job and a note; epochs that were not taken count as the mean of those that were."""
    seconds = statistics.median(found["seconds"])
    if epochs == EPOCHS or found.get("epoch") is None:
        return seconds, "" if epochs == EPOCHS else f"{epochs} of {EPOCHS} epochs"
    return seconds + (EPOCHS - epochs) * found["epoch"], f"{epochs} of {EPOCHS} epochs timed, the rest extrapolated"


Trials = dict[tuple[str, int], tuple[int, float]]


def measure(table: str, setting: list[int], config: dict[str, Any], trials: Trials) -> list[Row]:
    """Measure one setting, a row for each contender; `x` is a rival over the first of them, which is ours.

    `trials` keeps what `best_threads` found for a job and a number of features.
    """
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        workers: list[tuple[dict[str, Any], Worker | None]] = []
        for contender in TABLES[table]:
            own = config | {"job": contender.job, "setting": setting, "threads": max(config["choices"])}
            own["epochs"] = EPOCHS
            worker = None
            if contender.requirement is None or not config["ours_only"]:
                if contender.requirement is not None:
                    key = contender.job, setting[2]
                    if key not in trials:
                        trials[key] = best_threads(contender, setting[2], config)
                    own["threads"], trial = trials[key]
                    ahead = predicted(contender, trial, setting)
                    if table == "metric":
                        own["epochs"] = max(2, min(EPOCHS, int(config["cap"] / ahead)))
                    own["left out"] = table != "metric" and ahead > 2 * config["cap"]
                if not own.get("left out"):
                    worker = Worker("_whole:job", own, threads=own["threads"], **contender.python)
                    stack.callback(worker.close)
                workers.append((own, worker))
        alternate([worker for _, worker in workers if worker is not None])
        for own, worker in workers:
            rows.append(row_of(own, worker.result if worker is not None else {"note": "left out: too long"}, rows))
    return rows


def row_of(own: dict[str, Any], found: dict[str, Any], rows: list[Row]) -> Row:
    """Return the numbers of one contender, beside the first row."""
    row: Row = dict(zip(("samples", "cells", "features"), own["setting"], strict=True))
    row |= {"package": own["job"], "threads": own["threads"], "runs": len(found.get("seconds", []))}
    row |= dict.fromkeys(("seconds", "x", "extra MB", "x memory"))
    note = found.get("note", "")
    if row["runs"]:
        row["seconds"], epochs = whole(found, own["epochs"])
        note = ", ".join(part for part in (epochs, note) if part)
        row["extra MB"] = max(found["MB"])
        first = rows[0] if rows else row
        if first["runs"]:
            row["x"] = row["seconds"] / first["seconds"]
            row["x memory"] = row["extra MB"] / max(first["extra MB"], 0.1)
    return row | {"first call s": found.get("first call s"), "note": note}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for table, settings in SETTINGS.items():
        parser.add_argument(f"--{table}", nargs="*", metavar="P,n,d", default=settings, help="none to leave out")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="to choose from; ours takes the most")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--cap",
        type=float,
        default=240.0,
        help="seconds of ggml-ot's epochs, of which those beyond are extrapolated; runs are repeated up to a "
        "quarter of it, and a rival that is expected to take twice as long is left out",
    )
    parser.add_argument("--gb", type=float, default=20.0, help="memory of a process, 0 for no limit (Linux)")
    parser.add_argument("--ours-only", action="store_true", help="leave out the rivals and their environments")
    add_csv_option(parser)
    options = parser.parse_args()

    heading(f"Whole jobs, {max(options.threads)} threads")
    config = {name: getattr(options, name) for name in ("repeats", "cap", "gb", "ours_only")}
    config["choices"] = options.threads
    trials: Trials = {}
    for table in TABLES:
        rows: list[Row] = []
        for text in getattr(options, table):
            rows += measure(table, list(map(int, text.split(","))), config, trials)
            print_table(rows[-len(TABLES[table]) :])
        print_table(rows, f"{table}: medians; x is over {TABLES[table][0].job}")
        append_csv(options.csv, rows, f"whole_job {table}")


if __name__ == "__main__":
    main()
