"""What does a gradient step cost beside what no exact solver can spare? The same step again, where no plan changes.

    python benchmarks/floor.py
    python benchmarks/floor.py --settings 40,200,50,5 --threads 2

At a metric that has just been solved, a step still projects the cells, computes all costs, looks at every arc of every
pair once, sums the hinge, and takes the gradient: that is the floor. The rest of a step while the metric moves is the
exchange of arcs.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _data import Setting, load, save
from _learn import add_learning_options, first_call, learning, objective_of, train
from _report import Row, add_csv_option, append_csv, heading, print_table
from _worker import Gate, run, stop_at_passes

from scggml._core.cohort import from_clouds
from scggml._core.learn.objective import Problem

SETTINGS = (Setting(20, 100, 50, 5), Setting(40, 200, 50, 5), Setting(126, 250, 50, 5), Setting(20, 1000, 50, 5))
AGAIN = 5
"""Times that the step is repeated where nothing changes."""


def job(config: dict[str, Any], gate: Gate) -> dict[str, Any]:
    """Seconds of each step of learning, and of a step again at the start, with all pairs."""
    clouds, labels, W0 = load(config["data"])
    first_call(config, *W0.shape)
    cohort = from_clouds(list(clouds), labels)
    gate()
    marks = []
    with stop_at_passes(lambda: marks.append(time.perf_counter())):
        train(cohort, W0, config, config["steps"])
    objective = replace(objective_of(config), margin=1e6)  # all triplets are active: no pair is left out
    problem = Problem(objective, cohort)
    problem.evaluate(objective, W0)
    again = []
    for _ in range(AGAIN):
        began = time.perf_counter()
        problem.evaluate(objective, W0)
        again.append(time.perf_counter() - began)
    return {"steps": np.diff(marks).tolist(), "again": again}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", default=[",".join(map(str, each)) for each in SETTINGS])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--squared", action="store_true", help="squared cost")
    add_learning_options(parser)
    add_csv_option(parser)
    options = parser.parse_args()

    heading(f"A step beside its floor, {options.steps} steps")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for text in options.settings:
            setting = Setting(*map(int, text.split(",")))
            for threads in options.threads:
                config = learning(options) | {"squared": options.squared, "threads": threads}
                found = run("floor:job", config | {"data": save(Path(folder), setting)}, threads=threads)
                pairs = setting.P * (setting.P - 1) // 2
                floor, step = statistics.median(found["again"]), statistics.fmean(found["steps"])
                rows.append(
                    setting._asdict()
                    | {"threads": threads, "floor ms": 1e3 * floor, "step ms": 1e3 * step, "x": step / floor}
                    | {"floor us per pair": 1e6 * floor / pairs, "last step ms": 1e3 * found["steps"][-1]}
                )
                print_table(rows[-1:])
    print_table(rows, "means of the steps; x is a step over its floor")
    append_csv(options.csv, rows, "floor")


if __name__ == "__main__":
    main()
