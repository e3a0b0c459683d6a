"""Training sets of fewer donors than there are, and how each donor is predicted when it is held out of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scggml._core.cohort import Floats, Integers
from scggml._core.evaluate.run import HeldOut
from scggml._core.folds import Fold, TooFewDonorsError
from scggml._core.samples import Target

LEAST_TRAINING, LEAST_HELD_OUT = 2, 1
"""Donors of each class that are learned from, and that are held out, in each draw."""

MOST = 0.9
"""Largest share of the donors to learn from: of more so few are held out that a draw says little."""

FEWEST_SIZES = 3
"""Sizes that a curve with three parameters needs."""

FEWEST_DONORS = 4
"""Donors of a class: with fewer all draws would have two of it, however many donors of other classes they have."""


@dataclass(frozen=True, eq=False)
class Donors:
    """Donors, and which classes each has samples of.

    Parameters
    ----------
    member
        (D, C) whether a donor has samples of a class.
    stratum
        (D,) donors with the same classes.
    batch
        (D,) batch of the first sample of each donor.
    of_sample
        (P,) donor of each sample.
    """

    member: np.ndarray
    stratum: Integers
    batch: Integers
    of_sample: Integers

    @property
    def n(self) -> int:
        """Number of donors, D."""
        return len(self.member)

    @property
    def counts(self) -> Integers:
        """(C,) donors with samples of each class."""
        out: Integers = self.member.sum(axis=0)
        return out

    def quotas(self, n: int) -> Integers | None:
        """Return how many donors of each stratum about n donors have, in proportion; None if a class has too few."""
        sizes = np.bincount(self.stratum)
        taken = np.rint(n * sizes / self.n).astype(np.int64)
        of_stratum = self.member[np.unique(self.stratum, return_index=True)[1]]
        training = taken @ of_stratum
        enough = (training >= LEAST_TRAINING).all() and (self.counts - training >= LEAST_HELD_OUT).all()
        return taken if enough else None

    def sizes(self) -> dict[int, Integers]:
        """Return the numbers of donors that can be drawn, rising, and of how many of each stratum they consist."""
        found = {int(quotas.sum()): quotas for n in range(self.n) if (quotas := self.quotas(n)) is not None}
        below = {n: quotas for n, quotas in found.items() if n <= MOST * self.n}
        return below if len(below) >= FEWEST_SIZES else found

    def hold_out(self, quotas: Integers, times: Integers, rng: np.random.Generator) -> Integers:
        """Return the donors that are held out of a draw: those that were so least often, of all batches in proportion.

        Parameters
        ----------
        quotas
            Donors of each stratum to learn from.
        times
            (D,) how often each donor was held out before.
        """
        order = np.lexsort((rng.random(self.n), times))
        out = []
        for stratum, quota in enumerate(quotas):
            own = order[self.stratum[order] == stratum]
            place = np.empty(len(own))
            for batch in np.unique(self.batch[own]):
                there = np.flatnonzero(self.batch[own] == batch)
                place[there] = (np.arange(len(there)) + rng.random()) / len(there)
            out.append(own[np.argsort(place, kind="stable")[: len(own) - quota]])
        return np.sort(np.concatenate(out))


def donors_of(target: Target, groups: Integers, batch: Integers | None) -> Donors:
    """Return the donors of the samples."""
    _, first, of_sample = np.unique(groups, return_index=True, return_inverse=True)
    of_sample = of_sample.reshape(-1)
    member = np.zeros((len(first), target.n_classes), dtype=bool)
    member[of_sample, target.codes] = True
    stratum = np.unique(member, axis=0, return_inverse=True)[1].reshape(-1)
    own = np.zeros(len(first), dtype=np.int64) if batch is None else batch[first]
    return Donors(member, stratum, own, of_sample)


def draw_subsets(
    donors: Donors, classes: Sequence[str], *, n_sizes: int, n_draws: int, rng: np.random.Generator
) -> list[Fold]:
    """Draw training sets of several numbers of donors; all other donors are held out.

    `fold` numbers the sizes and `repeat` the draws. Each donor is held out about equally often at each size, at least
    once.

    Parameters
    ----------
    n_sizes
        Numbers of donors, from the smallest that has two of each class to nine tenths of all, evenly on a log scale.
    n_draws
        Training sets of each size, more where that few would not hold each donor out.
    """
    possible = donors.sizes()
    rare = int(np.argmin(donors.counts))
    if len(possible) < FEWEST_SIZES or donors.counts[rare] < FEWEST_DONORS:
        raise TooFewDonorsError(
            f"Class {str(classes[rare])!r} has {int(donors.counts[rare])} donors, too few to learn from "
            f"{FEWEST_SIZES} numbers of donors, with two of each class, and to predict others. Leave the class out, or "
            "merge it with another."
        )
    there = np.array(list(possible))
    wanted = np.geomspace(there[0], there[-1], n_sizes)
    chosen = there[np.unique(np.abs(np.log(there[:, None] / wanted)).argmin(axis=0))]
    folds = []
    for place, n in enumerate(chosen):
        quotas, times = possible[int(n)], np.zeros(donors.n, dtype=np.int64)
        draw = 0
        while draw < n_draws or not times.all():
            held_out = donors.hold_out(quotas, times, rng)
            times[held_out] += 1
            apart = np.isin(donors.of_sample, held_out)
            folds.append(Fold(draw, place, np.flatnonzero(~apart), np.flatnonzero(apart)))
            draw += 1
    return folds


@dataclass(frozen=True, eq=False)
class Units:
    """A donor's samples of one class, which are counted once.

    Parameters
    ----------
    donor, code
        (U,) donor and class of each unit.
    of_sample
        (P,) unit of each sample.
    """

    donor: Integers
    code: Integers
    of_sample: Integers

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.code.max()) + 1

    def mean(self, values: Floats, samples: Integers) -> Floats:
        """Return (U,) means of the values of some samples; NaN for units that none of these belong to."""
        own = self.of_sample[samples]
        n = np.bincount(own, minlength=len(self.code))
        total = np.bincount(own, values, minlength=len(self.code))
        return np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)


def units_of(target: Target, donors: Donors) -> Units:
    """Return the units of the samples."""
    pairs, place = np.unique(np.stack([donors.of_sample, target.codes], axis=1), axis=0, return_inverse=True)
    return Units(pairs[:, 0], pairs[:, 1], place.reshape(-1))


def success(result: HeldOut, target: Target, units: Units) -> Floats:
    """Return (U,) share of a unit's samples that are recognized; NaN for those that are not held out."""
    samples = result.fold.test
    right = result.prediction.scores.argmax(axis=1) == target.codes[samples]
    return units.mean(right.astype(np.float64), samples)


def placement(result: HeldOut, target: Target, units: Units) -> Floats:
    """Return (U,) share of the held-out units of the other one of two classes that lie on the right side of a unit.

    Their mean over the units of either class is the area under the ROC curve of this draw.
    """
    score = units.mean(result.prediction.scores[:, 1], result.fold.test)
    out = np.full(len(score), np.nan)
    there = np.isfinite(score)
    high, low = (np.flatnonzero(there & (units.code == code)) for code in (1, 0))
    gaps = score[high][:, None] - score[low][None, :]
    right = (gaps > 0) + 0.5 * (gaps == 0)
    out[high], out[low] = right.mean(axis=1), right.mean(axis=0)
    return out
