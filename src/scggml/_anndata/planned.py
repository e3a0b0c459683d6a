"""Turn scores of subsets of donors into a plan that `.uns` and files can hold, read it back, and say it in words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.forms import OPTIONS, Entry, Form, check_entry
from scggml._anndata.results import read_entry, table
from scggml._core.cohort import Floats, Integers
from scggml._core.evaluate.learning_curve import Observed, observe
from scggml._core.evaluate.run import HeldOut
from scggml._core.evaluate.sample_size import Plan, plan
from scggml._core.evaluate.subsets import Donors, Units, placement, success, units_of
from scggml._core.samples import Target

FARTHEST = 2
"""Times the donors of the cohort up to which a curve is extrapolated."""

RESAMPLES = 1000
"""Cohorts of other donors that intervals come from."""

NUMBERS = 60
"""Numbers of donors, at most, at which curves are stored beside those that were asked for."""

NAMES = {"balanced_accuracy": "balanced accuracy", "auroc": "AUROC"}

Score = Callable[[HeldOut, Target, Units], Floats]

SCORES: dict[str, Score] = {"balanced_accuracy": success, "auroc": placement}
"""Score of each unit in a draw."""

INTERVAL = ("value", "low", "high")

FORM: Form = {
    "curve": Entry("table", numbers=("n_donors", *INTERVAL, "extrapolated"), text=("metric",)),
    "observed": Entry("table", numbers=("n_donors", "n_draws", *INTERVAL), text=("metric",)),
    "power": Entry("table", numbers=("n_donors", *INTERVAL)),
    "needed": Entry("numbers", (3,), missing=True),
    "asked": Entry("whole numbers", ("asked",)),
    "classes": Entry("text", ("classes",)),
    "donors": Entry("whole numbers", ("classes",)),
    "n_donors": Entry("whole numbers"),
    "signal": Entry("flags"),
    "verdict": Entry("text"),
    "features": OPTIONS,
    "params": OPTIONS,
}

PARAMS: Form = {"power": Entry("numbers"), "level": Entry("numbers"), "confidence": Entry("numbers"),
                "method": Entry("text")}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Planning:
    """Hold what a plan is made of.

    Parameters
    ----------
    target, donors
        The samples.
    asked
        (m,) numbers of donors that were asked about.
    power, level, confidence
        Share of cohorts in which the test is significant, its error, and the share that intervals hold.
    method
        Name of what was evaluated.
    """

    target: Target
    donors: Donors
    asked: Integers
    power: float
    level: float
    confidence: float
    method: str

    def entry(self, results: Sequence[HeldOut], rng: np.random.Generator) -> dict[str, Any]:
        """Return the content of `.uns`, from what the method said of each draw."""
        C = self.target.n_classes
        names = ["balanced_accuracy", *(["auroc"] if C == 2 else [])]
        observed = {name: self._observe(name, results) for name in names}
        main = observed["balanced_accuracy"]
        numbers = self._numbers(int(main.sizes[0]))
        curves, seen, accuracies = [], [], []
        for name, one in observed.items():
            resampled = one.resample(RESAMPLES, rng)
            fitted, others = one.fit(), one.fit_all(resampled)
            accuracies.append(fitted.with_others(others))
            beyond = {"extrapolated": numbers > main.sizes[-1]}
            curves.append(self._rows(name, numbers, fitted.at(numbers)[0], others.at(numbers)) | beyond)
            draws = {"n_draws": np.array(one.draws)}
            seen.append(self._rows(name, one.sizes, one.score, resampled) | draws)
        tests = plan(accuracies[0], numbers, self.donors.counts, self.donors.n, level=self.level)
        curve = _table(curves)
        now = _at(curve, "balanced_accuracy", self.donors.n)
        signal = bool(now["low"] > 1 / C)
        needed = self._needed(tests) if signal else np.full(3, np.nan)
        power = pd.DataFrame(self._rows(None, numbers, tests.power[0], tests.power[1:]))
        found: dict[str, Any] = {
            "kind": "power",
            "curve": curve,
            "observed": _table(seen),
            "power": power,
            "needed": needed,
            "asked": self.asked,
            "classes": self.target.classes.astype(object),
            "donors": self.donors.counts,
            "n_donors": self.donors.n,
            "signal": signal,
        }
        return found | {"verdict": self._verdict(found)}

    def _observe(self, name: str, results: Sequence[HeldOut]) -> Observed:
        units = units_of(self.target, self.donors)
        places = sorted({result.fold.fold for result in results})
        parts = [[result for result in results if result.fold.fold == place] for place in places]
        tables = [np.stack([SCORES[name](result, self.target, units) for result in part]) for part in parts]
        sizes = np.array([len(np.unique(self.donors.of_sample[part[0].fold.train])) for part in parts])
        scale = 1 / self.target.n_classes if name == "balanced_accuracy" else 1.0
        return observe(tables, sizes, units, self.donors.n, scale)

    def _numbers(self, smallest: int) -> Integers:
        """Return the numbers of donors at which curves are stored, rising."""
        even = np.linspace(smallest, FARTHEST * self.donors.n, NUMBERS).round().astype(np.int64)
        return np.unique(np.concatenate([even, self.asked, [self.donors.n]]))

    def _rows(self, name: str | None, numbers: Integers, value: Floats, others: Floats) -> dict[str, Any]:
        """Return columns with values and their intervals, which hold them."""
        rest = (1 - self.confidence) / 2
        low, high = np.quantile(others, [rest, 1 - rest], axis=0)
        columns = {} if name is None else {"metric": np.repeat(name, len(numbers))}
        return columns | {
            "n_donors": numbers,
            "value": value,
            "low": np.minimum(low, value),
            "high": np.maximum(high, value),
        }

    def _needed(self, tests: Plan) -> Floats:
        """Return the donors needed with their interval; NaN where that is more than twice the donors."""
        rest = (1 - self.confidence) / 2
        value, *others = tests.needed(self.power)
        low, high = np.quantile(others, [rest, 1 - rest], method="nearest")
        found = np.array([value, min(low, value), max(high, value)])
        return np.where(np.isfinite(found), found, np.nan)

    def _verdict(self, found: Mapping[str, Any]) -> str:
        C, n = self.target.n_classes, self.donors.n
        said = [score_text(found["curve"], name, n) for name in NAMES if name in set(found["curve"]["metric"])]
        said[0] += f" (chance {1 / C:.2f})"
        now = f"{self.method}: with {n} donors {', '.join(said)} on donors that it has not seen"
        if not found["signal"]:
            return f"{now}: no signal, so nothing can be planned from this cohort."
        beyond = [int(m) for m in self.asked if m > n]
        later = "".join(
            f"; with {m} {score_text(found['curve'], 'balanced_accuracy', m, name=False)} (extrapolated)"
            for m in beyond
        )
        return f"{now}{later}; {needed_text(found['needed'], self.power, FARTHEST * n)}."


def needed_text(needed: Floats, power: float, most: int) -> str:
    """Return the donors that a test needs, in words."""
    value, low, high = needed
    test = "a permutation test would be significant in"
    if np.isnan(value):
        least = "" if np.isnan(low) else f" (at least {low:.0f} would be needed)"
        return f"{test} {power:.0%} of cohorts of no number of donors up to {most}, twice those of this cohort{least}"
    until = f"more than {most}" if np.isnan(high) else f"{high:.0f}"
    return f"{test} {power:.0%} of cohorts of {value:.0f} donors or more [{low:.0f} to {until}]"


def score_text(curve: pd.DataFrame, metric: str, n: int, *, name: bool = True) -> str:
    """Return a score at a number of donors with its interval."""
    row = _at(curve, metric, n)
    said = f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{NAMES[metric]} {said}" if name else said


def _at(curve: pd.DataFrame, metric: str, n: int) -> pd.Series:
    return curve[(curve["metric"].astype(str) == metric) & (curve["n_donors"] == n)].iloc[0]


def _table(parts: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return table(columns, names=("metric",))


def read_power(adata: AnnData, key: str) -> Mapping[str, Any]:
    """Return a plan after a check of its form."""
    entry = read_entry(adata, key, kind="power", made_by="power", form=FORM)
    check_entry(entry["params"], f"adata.uns[{key!r}]['params']", "call sg.tl.power again.", PARAMS)
    return entry
