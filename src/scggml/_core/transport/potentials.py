"""Dual potentials of pairs of samples, kept from one solve to the next."""

from copy import copy

import numpy as np
from numpy.typing import NDArray

from scggml._core.cohort import Cohort, Integers
from scggml._core.transport.devices import Place, Tensor


class Potentials:
    """One potential per cell and pair, end to end in one tensor; as many are kept as there is room for.

    Parameters
    ----------
    megabytes
        Room for what is kept from one solve to the next. What finds none is there until the next solve begins, for
        plans and gradients.
    """

    def __init__(self, cohort: Cohort, megabytes: float, place: Place) -> None:
        self._sizes, self._at = cohort.sizes, place
        self._pool = place.tensor(np.empty(0))
        self._room = int(megabytes * 1e6) // int(self._pool.element_size())
        self._kept_until = 0
        # By ordered pair: the potentials of (q, p) are those of (p, q) the other way round.
        self._place = np.full((cohort.n_samples, cohort.n_samples), -1, dtype=np.int64)

    def fork(self) -> "Potentials":
        """Return potentials that go on from those that are kept here, and leave these as they are."""
        other = copy(self)
        other._pool, other._place = self._pool[: self._kept_until].clone(), self._place.copy()
        return other

    def reserve(self, pairs: Integers) -> tuple[Integers, NDArray[np.bool_]]:
        """Return where the potentials of each pair are, and whether they are known: known places, then new ones."""
        starts = self._place[pairs[:, 0], pairs[:, 1]]
        warm = starts >= 0
        lengths = self._sizes[pairs].sum(axis=1)
        ends = self._kept_until + np.cumsum(np.where(warm, 0, lengths))
        starts = np.where(warm, starts, ends - lengths)
        needed = max(int(ends[-1]) if len(ends) else 0, self._kept_until)
        if needed > len(self._pool):
            pool = self._pool.new_zeros(needed)
            pool[: self._kept_until] = self._pool[: self._kept_until]
            self._pool = pool
        self._kept_until = max(self._kept_until, int(ends[ends <= self._room].max(initial=0)))
        return starts, warm

    def keep(self, pairs: Integers, starts: Integers) -> None:
        """Note that the potentials of these pairs are known from now on, as far as they lie in the room."""
        self._place[pairs[:, 0], pairs[:, 1]] = np.where(starts < self._kept_until, starts, -1)

    def read(self, pairs: Integers, starts: Integers) -> tuple[Tensor, Tensor]:
        """Return potentials (B, n) and (B, m), 0 beyond the cells of a sample."""
        where, there = zip(*self._index(pairs, starts), strict=True)
        f, g = (self._pool[index] * inside for index, inside in zip(where, there, strict=True))
        return f, g

    def write(self, pairs: Integers, starts: Integers, f: Tensor, g: Tensor) -> None:
        """Keep potentials (B, n) and (B, m)."""
        for values, (index, inside) in zip((f, g), self._index(pairs, starts), strict=True):
            self._pool[index[inside]] = values[inside]

    def _index(self, pairs: Integers, starts: Integers) -> list[tuple[Tensor, Tensor]]:
        """Return for either side places (B, n) in the pool, and whether a cell is there."""
        sizes, out = self._sizes[pairs], []
        for side, first in ((0, starts), (1, starts + sizes[:, 0])):
            steps = np.arange(int(sizes[:, side].max()))
            there = steps < sizes[:, side, None]
            index = first[:, None] + np.where(there, steps, 0)
            out.append((self._at.index(index), self._at.torch.as_tensor(there, device=self._at.device)))
        return out
