"""Is `tl.power` right about the accuracy with 20, 40 and 80 donors, and about the donors that a test needs?

Cohorts of 40 donors whose means are normal around that of their class, in three designs, and without any difference.
The truth is known from elsewhere and written down here (`TRUTH`): accuracies from 300 independent training sets (100
of the learned metric) with 300 new donors each (`--truth`). `--tests` gives the share of significant permutation tests
in independent cohorts, from which the number of donors can be read (`NEEDED`). `covered` counts the cohorts whose
interval holds the truth, `width` is that of the interval, as mean and largest; `signal` counts the cohorts of which
something is planned.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import pandas as pd
from _report import Row, add_csv_option, append_csv, heading, print_table
from anndata import AnnData
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

import scggml as sg

AT, COHORT = (20, 40, 80), 40
SMALL: dict[str, Any] = {"progress": False, "n_jobs": 1}


class Centroids(BaseEstimator):
    """Nearest mean of the training donors of a class."""

    def fit(self, clouds: list[np.ndarray], y: np.ndarray) -> "Centroids":
        """Compute the means."""
        rows = means(clouds)
        self.classes_ = np.unique(y)
        self.centers = np.stack([rows[y == c].mean(axis=0) for c in self.classes_])
        return self

    def predict_proba(self, clouds: list[np.ndarray]) -> np.ndarray:
        """Return softmax of minus half the squared distances."""
        score = -0.5 * ((means(clouds)[:, None] - self.centers) ** 2).sum(axis=-1)
        p = np.exp(score - score.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)


class Logistic(BaseEstimator):
    """Class-balanced logistic regression on the means of samples."""

    def fit(self, clouds: list[np.ndarray], y: np.ndarray) -> "Logistic":
        """Fit the regression."""
        self.model = LogisticRegression(class_weight="balanced", max_iter=500).fit(means(clouds), y)
        self.classes_ = self.model.classes_
        return self

    def predict_proba(self, clouds: list[np.ndarray]) -> np.ndarray:
        """Return the probabilities of the classes."""
        return self.model.predict_proba(means(clouds))


def means(clouds: list[np.ndarray]) -> np.ndarray:
    """Return (P, d) means of the samples."""
    return np.stack([cloud.mean(axis=0) for cloud in clouds])


@dataclass(frozen=True)
class Design:
    """Shares of the classes, features and cells, and by how much each class is shifted along an axis of its own."""

    method: Callable[[], Any]
    shares: tuple[float, ...]
    n_features: int
    shift: float
    n_cells: int = 3

    def draw(self, n: int, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the cells and the class of n donors."""
        ends = np.rint(np.cumsum(self.shares) * n).astype(int)
        y = np.searchsorted(ends, np.arange(n), side="right")
        centers = np.zeros((len(self.shares), self.n_features))
        np.fill_diagonal(centers, self.shift)
        donors = centers[y] + rng.normal(size=(n, self.n_features))
        return [donor + rng.normal(size=(self.n_cells, self.n_features)) for donor in donors], y


def learner() -> Any:
    """Return a learned metric without anything to choose, which the fits of the truth could not afford."""
    return sg.tl.Learner(method=sg.tl.Canonical(ridge=0.05), n_comps=2, shrinkage=0.4)


DESIGNS = {
    "logistic regression": Design(Logistic, (0.5, 0.5), 10, 2.6),
    "centroids, 12 + 28": Design(Centroids, (0.3, 0.7), 15, 2.8),
    "learned metric": Design(learner, (0.5, 0.5), 4, 2.6),
    "nothing": Design(Centroids, (0.5, 0.5), 10, 0.0),
}

TRUTH = {
    "logistic regression": (0.906, 0.917, 0.927),
    "centroids, 12 + 28": (0.924, 0.942, 0.952),
    "learned metric": (0.915, 0.923, 0.930),
    "nothing": (0.5, 0.5, 0.5),
}
NEEDED: dict[str, int] = {}


def as_adata(clouds: list[np.ndarray], y: np.ndarray) -> AnnData:
    """Return the cells of donors as an AnnData."""
    sizes = [len(cloud) for cloud in clouds]
    names = np.repeat([f"d{i:03d}" for i in range(len(clouds))], sizes)
    obs = pd.DataFrame({"sample_id": names, "label": np.repeat([f"c{c}" for c in y], sizes)})
    obs.index = obs.index.astype(str)
    return AnnData(np.concatenate(clouds), obs=obs.astype("category"))


def balanced(right: np.ndarray, y: np.ndarray) -> float:
    """Return the mean over classes of the share that is right."""
    return float(np.mean([right[y == c].mean() for c in np.unique(y)]))


def accuracy(name: str, n: int, seed: int) -> float:
    """Return the accuracy on 300 new donors of what was learned from n."""
    design, rng = DESIGNS[name], np.random.default_rng([seed, n])
    clouds, y = design.draw(n, rng)
    new, truth = design.draw(300, rng)
    method = design.method()
    if isinstance(method, sg.tl.Learner):
        metric = method.fit(clouds, y.astype(str))
        # 3 nearest neighbors, classes counting equally
        D = metric.distances([*new, *clouds])[: len(new), len(new) :]
        near = np.argsort(D, axis=1)[:, :3]
        weights = (1 / np.bincount(y))[y[near]] * (1 - 1e-6 * np.arange(3))
        votes = np.stack([(weights * (y[near] == c)).sum(axis=1) for c in np.unique(y)], axis=1)
        return balanced(votes.argmax(axis=1) == truth, truth)
    return balanced(method.fit(clouds, y).predict_proba(new).argmax(axis=1) == truth, truth)


def cross_validated(rows: np.ndarray, y: np.ndarray, method: Any, rng: np.random.Generator) -> float:
    """Return the accuracy in five stratified folds, equal ones in the order of the mean probability of the truth."""
    fold = np.empty(len(y), dtype=int)
    for c in np.unique(y):
        own = rng.permutation(np.flatnonzero(y == c))
        fold[own] = np.arange(len(own)) % 5
    p = np.zeros((len(y), len(np.unique(y))))
    for k in np.unique(fold):
        p[fold == k] = method.fit(list(rows[fold != k]), y[fold != k]).predict_proba(list(rows[fold == k]))
    return balanced(p.argmax(axis=1) == y, y) + 1e-6 * float(p[np.arange(len(y)), y].mean())


def significant(name: str, n: int, seed: int, n_perm: int = 99) -> bool:
    """Return whether a permutation test of a cohort of n donors is significant."""
    design, rng = DESIGNS[name], np.random.default_rng([seed, n, 1])
    clouds, y = design.draw(n, rng)
    rows = np.stack(clouds)
    method = design.method()
    observed = cross_validated(rows, y, method, rng)
    null = [cross_validated(rows, rng.permutation(y), method, rng) for _ in range(n_perm)]
    return (1 + int(np.sum(np.array(null) >= observed))) / (1 + n_perm) <= 0.05


def look(name: str, seed: int) -> dict[str, Any]:
    """Return what is planned from one cohort."""
    warnings.simplefilter("ignore")
    design = DESIGNS[name]
    adata = as_adata(*design.draw(COHORT, np.random.default_rng([seed, 2, list(DESIGNS).index(name)])))
    options: dict[str, Any] = {"preprocess": None, "summary": None, "rng": seed, **SMALL}
    sg.tl.power(adata, "sample_id", "label", n_donors=AT, method=design.method(), **options)
    found = sg.get.power(adata)
    table = found.table[found.table["metric"] == "balanced_accuracy"].set_index("n_donors")
    return {"table": table, "needed": (found.needed, found.low, found.high), "signal": found.signal}


def rows_of(name: str, found: list[dict[str, Any]]) -> list[Row]:
    """Return the rows of a design: accuracy at each number of donors, and the donors needed."""
    rows: list[Row] = []
    for n, truth in zip(AT, TRUTH[name], strict=True):
        at = pd.DataFrame([one["table"].loc[n] for one in found])
        width = at["high"] - at["low"]
        rows.append(
            {
                "what": f"{name}: accuracy, {n} donors",
                "truth": truth,
                "mean": float(at["value"].mean()),
                "covered": f"{int(((at['low'] <= truth) & (truth <= at['high'])).sum())} of {len(at)}",
                "width": float(width.mean()),
                "largest": float(width.max()),
                "signal": f"{sum(one['signal'] for one in found)} of {len(found)}",
            }
        )
    if name in NEEDED:
        needed = np.nan_to_num(np.array([one["needed"] for one in found]), nan=np.inf)
        truth = NEEDED[name]
        rows.append(
            {
                "what": f"{name}: donors needed",
                "truth": truth,
                "mean": float(np.median(needed[:, 0])),
                "covered": f"{int(((needed[:, 1] <= truth) & (truth <= needed[:, 2])).sum())} of {len(needed)}",
                "signal": f"{sum(one['signal'] for one in found)} of {len(found)}",
            }
        )
    return rows


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--cohorts", type=int, default=10, help="cohorts of each design")
    parser.add_argument("--truth", type=int, metavar="N", help="simulate true accuracies in N training sets instead")
    parser.add_argument("--tests", type=int, metavar="N", help="simulate permutation tests in N cohorts instead")
    parser.add_argument("--numbers", type=int, nargs="+", default=[8, 10, 12, 14, 16, 20], help="donors of `--tests`")
    parser.add_argument("--jobs", type=int, default=-1)
    add_csv_option(parser)
    args = parser.parse_args()
    heading("Learning curves and the number of donors")
    run = joblib.Parallel(args.jobs)
    for name in args.designs:
        if args.truth:
            values = [run(joblib.delayed(accuracy)(name, n, s) for s in range(args.truth)) for n in AT]
            print(name, [round(float(np.mean(v)), 3) for v in values], flush=True)
        if args.tests:
            hits = [run(joblib.delayed(significant)(name, n, s) for s in range(args.tests)) for n in args.numbers]
            print(name, {n: round(float(np.mean(h)), 2) for n, h in zip(args.numbers, hits, strict=True)}, flush=True)
    if args.truth or args.tests:
        return
    rows: list[Row] = []
    for name in args.designs:
        rows += rows_of(name, run(joblib.delayed(look)(name, seed) for seed in range(args.cohorts)))
    print_table(rows, "power")
    append_csv(args.csv, rows, "power")


if __name__ == "__main__":
    main()
