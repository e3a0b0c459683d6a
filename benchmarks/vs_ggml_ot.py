"""scggml against ggml-ot: the same learning from the same start, step by step in turn.

The reference lives in an environment of its own, which this script makes (its releases want anndata below 0.12). Both
read the same file, take the same steps of Adam on the same objective over all triplets, and alternate: one step of the
reference, one of ours, with one and with two threads.
"""

import argparse
import contextlib
import statistics
import subprocess
import tempfile
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _data import Setting, save
from _environment import REFERENCE, reference_python
from _learn import add_learning_options, learning
from _report import Row, add_csv_option, append_csv, heading, print_table
from _worker import HERE, Worker, alternate, run

from scggml._core.metric import canonical_form

THEIR_PACKAGES = ("ggml-ot", "torch", "POT", "numpy")
SETTINGS = (Setting(20, 100, 50, 5), Setting(40, 200, 50, 5), Setting(20, 1000, 50, 5), Setting(40, 200, 2000, 5))
QUICK = SETTINGS[:1]
SHOWN = (*Setting._fields, "squared")
SUMMARY = ("threads", "ref mean s", "mean s", "x mean", "ref MB", "MB", "x memory")


def theta_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Norm of the difference of the metrics theta = W^T W, as a share of the norm of theirs."""
    theta = theirs.T @ theirs
    return float(np.linalg.norm(ours.T @ ours - theta) / np.linalg.norm(theta))


def component_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The same of W in canonical form, which two near singular values make less certain than theta."""
    ours, theirs = canonical_form(ours)[0], canonical_form(theirs)[0]
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


class Parity(NamedTuple):
    """Whether the reference runs in double precision too, and our solver in that comparison if not the timed one."""

    double: bool
    solver: str | None


def mean(numbers: list[float]) -> float:
    """Mean as a plain number."""
    return float(statistics.fmean(numbers))


def timed(config: dict[str, Any], threads: list[int], cap: int, python: str | None) -> dict[str, list[Worker]]:
    """Workers of both sides for each number of threads, all of which have taken their steps in turn."""
    sides: dict[str, list[Worker]] = {"reference": [], "ours": []}
    with contextlib.ExitStack() as stack:
        for t in threads:
            if python is not None:
                theirs = config | {"threads": t, "steps": min(cap, config["steps"]), "dtype": "float32"}
                sides["reference"].append(Worker("_reference:steps", theirs, threads=t, python=python))
                stack.callback(sides["reference"][-1].close)
            sides["ours"].append(Worker("_learn:steps", config | {"threads": t}, threads=t))
            stack.callback(sides["ours"][-1].close)
        alternate([worker for pair in zip(*filter(None, sides.values()), strict=True) for worker in pair])
    return sides


def speed_rows(setting: dict[str, Any], threads: list[int], sides: dict[str, list[Worker]]) -> list[Row]:
    """One row for each number of threads; ratios are those of the reference's best number of threads to ours."""
    steps = {side: [worker.seconds[:-1] for worker in workers] for side, workers in sides.items()}
    rows = []
    for i, t in enumerate(threads):
        row: Row = setting | {"threads": t}
        ours, theirs = sides["ours"][i], sides["reference"][i] if sides["reference"] else None
        row["ref steps"] = len(steps["reference"][i]) if theirs else None
        row["ref median s"] = statistics.median(steps["reference"][i]) if theirs else None
        row["ref mean s"] = mean(steps["reference"][i]) if theirs else None
        row["steps"] = len(steps["ours"][i])
        row["median s"] = statistics.median(steps["ours"][i])
        row["mean s"] = mean(steps["ours"][i])
        row["first s"], row["last s"] = steps["ours"][i][0], steps["ours"][i][-1]
        row["active"] = mean(ours.result["active"])
        row["first call s"] = ours.result["first_call"]
        for name, average in (("median", statistics.median), ("mean", mean)):
            best = min(map(average, steps["reference"])) if theirs else None
            row[f"x {name}"] = best / average(steps["ours"][i]) if theirs else None
        row["ref MB"] = theirs.result["memory"] if theirs else None
        row["MB"] = ours.result["memory"]
        row["x memory"] = row["ref MB"] / max(row["MB"], 0.1) if theirs else None
        rows.append(row)
    return rows


def parity_row(
    setting: dict[str, Any], config: dict[str, Any], kind: str, ours: dict[str, Any], theirs: dict[str, Any]
) -> Row:
    """How far our result is from theirs, the last objective of both computed by the same function."""
    W, W_ref = np.array(ours["W"]), np.array(theirs["W"])
    last, last_ref = run("_learn:losses", config | {"metrics": [ours["W"], theirs["W"]]}, threads=1)
    seen, seen_ref = np.array(ours["loss"]), np.array(theirs["loss"])
    return setting | {
        "reference": kind,
        "loss": last,
        "ref loss": last_ref,
        "loss diff": abs(last - last_ref) / last_ref,
        "largest on the way": float(np.abs(seen / seen_ref - 1).max()),
        "theta diff": theta_difference(W, W_ref),
        "W diff": component_difference(W, W_ref),
        "active at the end": ours["active"][-1],
    }


def compare(config: dict[str, Any], shown: Row, sides: dict[str, list[Worker]], python: str, how: Parity) -> list[Row]:
    """Our result beside that of the timed reference, and beside that of the reference in double precision."""
    ours, theirs = sides["ours"][0].result, sides["reference"][0].result
    rows = [parity_row(shown, config, "float32", ours, theirs)]
    if how.double:
        if how.solver is not None:
            config = config | {"solver": how.solver}
            ours = run("_learn:steps", config, threads=1)
        theirs = run("_reference:steps", config | {"dtype": "float64"}, threads=1, python=python)
        rows.append(parity_row(shown, config, "float64", ours, theirs))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only the smallest setting")
    parser.add_argument(
        "--settings", nargs="+", metavar="P,n,d,k", help="instead of the four: such as 20,100,50,5 40,200,50,5"
    )
    parser.add_argument("--costs", nargs="+", choices=["unsquared", "squared"], default=["unsquared", "squared"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument(
        "--reference-steps",
        type=int,
        default=1000,
        help="most steps of the reference that are timed; with fewer than --steps there is no comparison of results",
    )
    parser.add_argument("--no-parity", action="store_true", help="leave out the reference's run in double precision")
    parser.add_argument("--parity-solver", help="our solver in that comparison, if not --solver")
    parser.add_argument("--ours-only", action="store_true", help="leave out the reference and its environment")
    add_learning_options(parser)
    add_csv_option(parser)
    options = parser.parse_args()
    settings = QUICK if options.quick else SETTINGS
    if options.settings:
        settings = tuple(Setting(*map(int, text.split(","))) for text in options.settings)

    heading(f"scggml against {REFERENCE}: alpha {options.alpha:g}, reg {options.reg:g}, lr {options.lr:g}")
    python = None if options.ours_only else reference_python()
    if python is not None:
        what = f"from _report import versions; print('reference:', versions({THEIR_PACKAGES}))"
        subprocess.run([python, "-c", what], cwd=HERE, check=True)
    speed: list[Row] = []
    parity: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for setting, cost in product(settings, options.costs):
            shown = setting._asdict() | {"squared": cost == "squared"}
            config = learning(options) | {"squared": shown["squared"], "threads": 1}
            config["data"] = save(Path(folder), setting)
            sides = timed(config, options.threads, options.reference_steps, python)
            rows = speed_rows(shown, options.threads, sides)
            name = ", ".join(f"{key} {size}" for key, size in setting._asdict().items())
            print_table(rows, f"{name}, {cost}: seconds per step, extra MB of learning", hide=SHOWN)
            speed += rows
            if python is not None and options.reference_steps >= options.steps:
                how = Parity(not options.no_parity, options.parity_solver)
                rows = compare(config, shown, sides, python, how)
                print_table(rows, "relative differences of the result", hide=SHOWN)
                parity += rows
    if len(speed) > len(options.threads):
        print_table(speed, "all settings", hide=speed[0].keys() - {*SHOWN, *SUMMARY})
    append_csv(options.csv, speed, "vs_ggml_ot speed")
    append_csv(options.csv, parity, "vs_ggml_ot result")


if __name__ == "__main__":
    main()
