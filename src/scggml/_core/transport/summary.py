"""Interface of summaries: what stands for the cells of a sample."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.sparse import csr_array

from scggml._core.cohort import Floats, Integers, Points

Atoms = Literal["points", "gaussian", "gaussians"]


@dataclass(frozen=True)
class SummaryTraits:
    """Say what a summary makes of a sample, and what it can be combined with.

    Parameters
    ----------
    sample
        What a sample is.
    atoms
        What is compared: weighted points, by a solver of transport; the moments of one Gaussian, in closed form; or
        weighted Gaussians, by a solver whose ground cost is that closed form.
    approximates
        Whether it stands for all cells, over which passes may follow, and among which a contribution is shared.
    solvers, methods
        Names of the solvers and methods that it can be combined with.
    of_features
        Whether it is taken of the features before these are projected.
    """

    sample: str
    atoms: Atoms
    approximates: bool
    solvers: tuple[str, ...]
    methods: tuple[str, ...] = ("canonical", "triplets", "paper")
    of_features: bool = False


class Summarizer(ABC):
    """Base of all summaries."""

    traits: ClassVar[SummaryTraits]

    @abstractmethod
    def most(self, sizes: Integers, n_features: int) -> Integers:
        """Return (P,) the most points of samples of these numbers of cells (P,)."""

    @abstractmethod
    def summarize(self, points: Points, weights: Floats, draw: Any) -> tuple[Points, Floats]:
        """Return few points (m, d) for the cells (n, d), and their weights (m,) with the same sum.

        `draw` is what `seed` has drawn for the sample; of groups it is (n,), the group of each cell.
        """

    def decompose(self, points: Points, weights: Floats, draw: Any) -> tuple[Points, Floats, Integers | None]:
        """Return the same with the number (m,) of the Gaussian that each point belongs to, where there are several."""
        return *self.summarize(points, weights, draw), None

    @property
    def is_shared(self) -> bool:
        """Return whether samples share what stands for them, so that it depends on which of them are there."""
        return False

    def seed(self, rng: np.random.Generator) -> int:
        """Draw the seed of a sample; 0 where nothing is random."""
        return 0

    def is_slow(self, n_cells: int) -> bool:
        """Return whether a sample of so many cells is worth a thread."""
        return False


def joined_atoms(found: list[Integers | None]) -> Integers | None:
    """Return the Gaussians of the points of all samples, None if points are none of Gaussians."""
    known = [atoms for atoms in found if atoms is not None]
    return np.concatenate(known) if known else None


def centers_of(points: Points, weights: Floats, owner: Integers) -> tuple[Points, Floats]:
    """Return the weighted mean (m, d) of the cells of each owner that has weight, and their weights (m,)."""
    n = int(owner.max()) + 1
    mass: Floats = np.bincount(owner, weights, n).astype(np.float64)
    used = np.flatnonzero(mass)
    # the means themselves, in double precision: their weighted mean is then that of the cells
    sums = csr_array((weights, (owner, np.arange(len(owner)))), shape=(n, len(owner)))
    centers = sums @ points.astype(np.float64, copy=False)
    return (centers[used] / mass[used, None]).astype(points.dtype), mass[used]
