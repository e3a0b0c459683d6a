"""The number of donors with which a test by permuted labels is significant in most cohorts."""

from dataclasses import dataclass

import numpy as np

from scggml._core.cohort import Floats, Integers
from scggml._core.evaluate.detectable import LEVEL, POWER, PRECISION, accuracy_distribution
from scggml._core.evaluate.learning_curve import PowerLaw

N_SPLITS = 5
"""Folds of the test: it learns from four fifths of the donors."""

GRID = 33
"""Accuracies from chance to perfection for which the power is computed; between them it is interpolated."""

NUMBERS = 60
"""Numbers of donors at most for which the power is computed."""


def power_of_test(counts: Integers, accuracies: Floats, *, level: float = LEVEL) -> Floats:
    """Return the share of cohorts in which a test of the balanced accuracy is significant, for each true accuracy.

    Each donor is recognized independently with this probability, and with 1 / C without skill. As in
    `tl.permutation_test`, where a finer score orders equal accuracies, the level is used up: of cohorts at the edge the
    share is significant that brings the error to `level`.

    Parameters
    ----------
    counts
        (C,) donors of each class.
    """
    chance = 1 / len(counts)
    null = accuracy_distribution(list(counts), [chance] * len(counts))[1]
    tail = null[::-1].cumsum()[::-1]
    significant = tail <= level + PRECISION
    edge = int(np.argmax(significant)) - 1 if significant.any() else len(null) - 1
    beyond = float(tail[edge + 1]) if edge + 1 < len(null) else 0.0
    share = min((level - beyond) / float(null[edge]), 1.0)
    grid = np.linspace(chance, 1.0, GRID)
    power = []
    for rate in grid:
        found = accuracy_distribution(list(counts), [rate] * len(counts))[1]
        power.append(float(found[edge + 1 :].sum() + share * found[edge]))
    out: Floats = np.interp(accuracies, grid, power)
    return out


def in_proportion(n: int, counts: Integers, n_donors: int) -> Integers:
    """Return (C,) donors of each class among n, in proportion to those of a cohort of `n_donors`."""
    exact = n * counts / n_donors
    out = np.floor(exact).astype(np.int64)
    order = np.argsort(out - exact, kind="stable")
    out[order[: round(float(exact.sum())) - int(out.sum())]] += 1
    return out


@dataclass(frozen=True, eq=False)
class Plan:
    """The power of the test for numbers of donors.

    Parameters
    ----------
    numbers
        (m,) donors.
    power
        (B, m) for each curve.
    """

    numbers: Integers
    power: Floats

    def needed(self, power: float = POWER) -> Floats:
        """Return (B,) the fewest donors from which on the power is reached; infinite where it never is."""
        enough = self.power >= power
        from_here = np.logical_and.accumulate(enough[:, ::-1], axis=1)[:, ::-1]
        found = self.numbers[np.argmax(from_here, axis=1)].astype(np.float64)
        return np.where(from_here[:, -1], found, np.inf)


def plan(curves: PowerLaw, numbers: Integers, counts: Integers, n_donors: int, *, level: float = LEVEL) -> Plan:
    """Return the power for each number of donors, which are split into five folds: four of them are learned from."""
    accuracy = curves.at(numbers * (1 - 1 / N_SPLITS))
    power = [
        power_of_test(in_proportion(int(n), counts, n_donors), accuracy[:, i], level=level)
        for i, n in enumerate(numbers)
    ]
    return Plan(numbers, np.stack(power, axis=1))
