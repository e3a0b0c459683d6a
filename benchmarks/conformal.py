"""Do sets of possible classes hold the true one as often as promised, and how large are they?

    python benchmarks/conformal.py

Cohorts are drawn again and again: n donors of each of two classes and one new donor, each a single mean profile in five
dimensions, classes a given shift apart. Views are a ridge regression on these (the ensemble of one view, for which a
run takes hundredths of a second) or, with --ensemble, the learned metric and pseudobulk on clouds of cells. Prints the
share of runs in which the true class is not among the possible ones, with what simulation can be wrong by, and how many
classes are possible on average.
"""

import argparse
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from scggml._core.cohort import from_clouds
from scggml._core.evaluate.conformal import conformal_p_values
from scggml._core.evaluate.ensemble import Ensemble
from scggml._core.evaluate.methods import ByDistance, Learned, Profiles
from scggml._core.evaluate.views import FittedRows, fit_rows
from scggml._core.learn.learner import Learner
from scggml._core.runner import run_tasks
from scggml._core.samples import class_target, mean_profiles, plain_samples


@dataclass(frozen=True)
class Means:
    """A ridge regression on the mean cell, which leaves donors out in closed form."""

    knows_held_out: ClassVar[bool] = True

    def fit(self, training, target, *, rng) -> FittedRows:
        """Fit the regression."""
        return fit_rows([mean_profiles], training, target)


FAST = Ensemble((("means", Means()),))
METRIC = ByDistance(Learned(Learner(n_comps=2)), classifier="soft_knn", among=False)
FULL = Ensemble((("metric", METRIC), ("pseudobulk", Profiles("pseudobulk"))))


def run(seed, n, shift, alpha, full):
    """Return whether the true class was missed, and how many classes are possible, in one cohort."""
    rng, n_cells = np.random.default_rng(seed), 20 if full else 1
    labels = np.repeat([0, 1], n)

    def cloud(label):
        donor = rng.normal(size=5) if full else 0.0
        return rng.normal(size=(n_cells, 5)) + donor + shift * label * np.eye(5)[0]

    known = from_clouds([cloud(label) for label in labels], labels)
    truth = seed % 2
    new = plain_samples(from_clouds([cloud(truth)]))
    ensemble = FULL if full else FAST
    p = conformal_p_values(ensemble, plain_samples(known), class_target(known), new, seed=seed, n_jobs=1)[0]
    return bool(p[truth] <= alpha), int((p > alpha).sum())


def main(sizes, shifts, alpha, runs, jobs, *, full):
    """Print a row for each size and shift."""
    rows = []
    for n in sizes:
        for shift in shifts:
            tasks = [(seed, n, shift, alpha, full) for seed in range(runs)]
            found = np.array(run_tasks(run, tasks, n_jobs=jobs, progress=f"{n} donors, shift {shift}", unit="run"))
            missed = found[:, 0].mean()
            error = 1.96 * np.sqrt(missed * (1 - missed) / runs)
            rows.append((n, shift, alpha, missed, error, found[:, 1].mean()))
            names = ("donors of each class", "shift", "alpha", "missed", "+-", "classes possible")
            print(pd.DataFrame(rows, columns=names).round(3).tail(1).to_string(header=len(rows) == 1), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[5, 10, 20, 50], help="donors of each class")
    parser.add_argument("--shifts", nargs="+", type=float, default=[0.0, 1.0, 2.0, 4.0])
    parser.add_argument("--alpha", type=float, default=0.2)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--ensemble", action="store_true", help="with a learned metric: seconds for each run")
    given = parser.parse_args()
    main(given.sizes, given.shifts, given.alpha, given.runs, given.jobs, full=given.ensemble)
