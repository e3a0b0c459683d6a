"""The number of donors with which a test by permuted labels is significant in most cohorts."""

from dataclasses import dataclass

import numpy as np

from scggml._core.cohort import Floats, Integers
from scggml._core.evaluate.detectable import LEVEL, POWER, accuracy_distribution
from scggml._core.evaluate.learning_curve import PowerLaw

N_SPLITS = 5
"""Folds of the test: it learns from four fifths of the donors."""

GRID = 17
"""Accuracies from chance to perfection for which the power is computed; between them it is interpolated."""

BY_CHANCE, AROUND = 1.2, 1.1
"""Standard deviation of a cross-validated accuracy, relative to that of independent donors: of permuted labels, and of
cohorts around their mean.

What is learned by chance helps or harms all donors of a fold at once. In simulated cohorts of 16 and 40 donors the
former was 1.06 to 1.31 (3 nearest neighbors 1.06 to 1.23, nearest centroid 1.16 to 1.31, logistic regression 1.17 to
1.30; 2, 10 and 40 features), whatever the number of donors.
"""


def power_of_test(counts: Integers, accuracies: Floats, *, level: float = LEVEL) -> Floats:
    """Return the share of cohorts in which a permutation test is significant, for each true balanced accuracy.

    Each donor is recognized with this probability, and with 1 / C if labels are permuted; the distributions are those
    of independent donors, stretched by `AROUND` and `BY_CHANCE`. Equal accuracies count half, as a finer score orders
    them in `tl.permutation_test`.

    Parameters
    ----------
    counts
        (C,) donors of each class.
    """
    chance = 1 / len(counts)
    values, null = accuracy_distribution(list(counts), [chance] * len(counts))
    falling = _beyond(null)
    critical = chance + BY_CHANCE * (float(np.interp(-level, -falling, values)) - chance)
    if falling[-1] > level:  # not even perfect predictions are significant
        return np.zeros(len(accuracies))
    grid = np.linspace(chance, 1.0, GRID)
    power = [
        float(np.interp(rate + (critical - rate) / AROUND, values, _beyond(distribution)))
        for rate in grid
        for distribution in [accuracy_distribution(list(counts), [rate] * len(counts))[1]]
    ]
    out: Floats = np.interp(accuracies, grid, power)
    return out


def _beyond(distribution: Floats) -> Floats:
    """Return the probability of larger values, equal ones counting half."""
    out: Floats = np.maximum(distribution[::-1].cumsum()[::-1] - distribution / 2, 0.0)
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
    learned_from = np.asarray(numbers * (1 - 1 / N_SPLITS), dtype=np.float64)
    accuracy = curves.at(learned_from)
    power = [
        power_of_test(in_proportion(int(n), counts, n_donors), accuracy[:, i], level=level)
        for i, n in enumerate(numbers)
    ]
    return Plan(numbers, np.stack(power, axis=1))
