"""The Gaussians that samples are mixtures of, and the pairs of them that are compared."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scggml._core.cohort import Cohort, Floats, Integers

DIGITS = 9
"""Digits of weights within a Gaussian that have to agree where two are taken for the same one."""


@dataclass(frozen=True)
class Entries:
    """Entries of the matrices of costs between Gaussians, pair by pair of samples and row by row.

    Parameters
    ----------
    edges
        (n_pairs + 1,) where the entries of each pair begin.
    compared
        (m, 2) different Gaussians, the smaller number first.
    place
        (n_entries,) which of these an entry compares; -1 for a Gaussian and itself.
    swapped
        (n_entries,) whether the first of these belongs to the second sample of the pair.
    """

    edges: Integers
    compared: Integers
    place: Integers
    swapped: NDArray[np.bool_]

    def spread(self, values: Floats) -> Floats:
        """Return (n_entries,) values of what was compared (m,), 0 between a Gaussian and itself."""
        return np.append(values, 0.0)[self.place]

    def gather(self, values: Floats) -> Floats:
        """Return (m,) the sums of values of the entries (n_entries,), for what was compared."""
        kept = self.place >= 0
        return np.bincount(self.place[kept], values[kept], len(self.compared)).astype(np.float64)


@dataclass(frozen=True)
class Atoms:
    """The Gaussians of a cohort of mixtures.

    Parameters
    ----------
    cohort
        Each of them as a sample of its own, with weights of sum 1.
    mass
        (N,) mass of each in its sample.
    begins
        (P + 1,) where those of each sample begin.
    same
        (N,) number that Gaussians with the same points have in common.
    """

    cohort: Cohort
    mass: Floats
    begins: Integers
    same: Integers

    @property
    def first(self) -> Integers:
        """(N,) the first Gaussian with the points of each."""
        return np.unique(self.same, return_index=True)[1][self.same]

    def of(self, sample: int) -> slice:
        """Return the Gaussians of a sample."""
        return slice(int(self.begins[sample]), int(self.begins[sample + 1]))

    def entries(self, pairs: Integers, samples: Integers) -> Entries:
        """Return the entries of pairs of some samples; a Gaussian that several of these share is compared once."""
        stand_in = np.full(int(self.same.max()) + 1, -1, dtype=np.int64)
        for s in samples[::-1]:  # the first of the samples has the last word
            stand_in[self.same[self.of(s)]] = np.arange(*self.begins[[s, s + 1]])
        found = stand_in[self.same]
        sides = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        for p, q in pairs:
            first, second = found[self.of(p)], found[self.of(q)]
            sides[0].append(np.repeat(first, len(second)))
            sides[1].append(np.tile(second, len(first)))
        one, other = (np.concatenate(side) for side in sides)
        counts = np.diff(self.begins)
        N, different = len(self.mass), one != other
        keys, inverse = np.unique((np.minimum(one, other) * N + np.maximum(one, other))[different], return_inverse=True)
        place = np.full(len(one), -1, dtype=np.int64)
        place[different] = inverse.reshape(-1)
        edges = np.concatenate([[0], np.cumsum(counts[pairs[:, 0]] * counts[pairs[:, 1]])]).astype(np.int64)
        return Entries(edges, np.stack([keys // N, keys % N], axis=1), place, one > other)


def atoms_of(cohort: Cohort) -> Atoms:
    """Return the Gaussians of a cohort of mixtures."""
    if cohort.atoms is None:
        raise ValueError("cohort.atoms is None; its samples are no mixtures of Gaussians.")
    owner = np.repeat(np.arange(cohort.n_samples), cohort.sizes)
    begins = np.flatnonzero(np.append(True, (np.diff(owner) != 0) | (np.diff(cohort.atoms) != 0)))
    offsets = np.append(begins, len(owner)).astype(np.int64)
    mass: Floats = np.add.reduceat(cohort.weights, begins)
    N = len(mass)
    alone = replace(
        cohort,
        weights=cohort.weights / np.repeat(mass, np.diff(offsets)),
        offsets=offsets,
        labels=np.zeros(N, dtype=np.int64),
        names=np.arange(N).astype(str),
        origin=None,
        gaussian=True,
        atoms=None,
    )
    known = dict[bytes, int]()
    rounded = np.round(alone.weights, DIGITS)
    content = (cohort.points[own].tobytes() + rounded[own].tobytes() for own in alone.spans(np.arange(N)))
    same = np.array([known.setdefault(each, len(known)) for each in content], dtype=np.int64)
    return Atoms(alone, mass, np.searchsorted(begins, cohort.offsets).astype(np.int64), same)
