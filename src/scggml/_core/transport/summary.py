"""Interface of summaries: what stands for the cells of a sample."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy.sparse import csr_array

from scggml._core.cohort import Floats, Integers, Points

Atoms = Literal["points", "gaussian"]


@dataclass(frozen=True)
class SummaryTraits:
    """Say what a summary makes of a sample, and what it can be combined with.

    Parameters
    ----------
    sample
        What a sample is.
    atoms
        What is compared: weighted points, by a solver of transport, or the moments of one Gaussian, in closed form.
    approximates
        Whether it stands for all cells, over which passes may follow, and among which a contribution is shared.
    solvers, methods
        Names of the solvers and methods that it can be combined with.
    """

    sample: str
    atoms: Atoms
    approximates: bool
    solvers: tuple[str, ...]
    methods: tuple[str, ...] = ("canonical", "triplets", "paper")


class Summarizer(ABC):
    """Base of all summaries."""

    traits: ClassVar[SummaryTraits]

    @abstractmethod
    def most(self, sizes: Integers, n_features: int) -> Integers:
        """Return (P,) the most points of samples of these numbers of cells (P,)."""

    @abstractmethod
    def summarize(self, points: Points, weights: Floats, draw: int | Integers) -> tuple[Points, Floats]:
        """Return few points (m, d) for the cells (n, d), and their weights (m,) with the same sum.

        `draw` is what `seed` has drawn for the sample; of groups it is (n,), the group of each cell.
        """

    def seed(self, rng: np.random.Generator) -> int:
        """Draw the seed of a sample; 0 where nothing is random."""
        return 0

    def is_slow(self, n_cells: int) -> bool:
        """Return whether a sample of so many cells is worth a thread."""
        return False


def centers_of(points: Points, weights: Floats, owner: Integers) -> tuple[Points, Floats]:
    """Return the weighted mean (m, d) of the cells of each owner that has weight, and their weights (m,)."""
    n = int(owner.max()) + 1
    mass: Floats = np.bincount(owner, weights, n).astype(np.float64)
    used = np.flatnonzero(mass)
    # the means themselves, in double precision: their weighted mean is then that of the cells
    sums = csr_array((weights, (owner, np.arange(len(owner)))), shape=(n, len(owner)))
    centers = sums @ points.astype(np.float64, copy=False)
    return (centers[used] / mass[used, None]).astype(points.dtype), mass[used]
