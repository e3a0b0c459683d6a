"""The cohort: all samples as weighted point clouds in one flat array."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Points = NDArray[np.floating[Any]]  # single or double precision
Integers = NDArray[np.int64]
Names = NDArray[np.str_]

BLOCK = 2**22
"""Numbers that one block of a pass over the points holds (32 MB in double precision)."""


@dataclass(frozen=True)
class Origin:
    """Cells that the samples were made from: their mean features (P, d) and their number (P,)."""

    profiles: Floats
    counts: Integers

    def take(self, samples: Integers) -> "Origin":
        """Return the same of the given samples only."""
        return Origin(self.profiles[samples], self.counts[samples])


@dataclass(frozen=True)
class Cohort:
    """Samples laid end to end: sample `p` owns the rows `offsets[p]:offsets[p + 1]`.

    Parameters
    ----------
    points
        (n_cells, d) positions of the cells, single or double precision.
    weights
        (n_cells,) non-negative, with sum 1 within each sample.
    offsets
        (P + 1,) where each sample begins.
    labels
        (P,) code of each sample's class, an index into `classes`.
    names
        (P,) names of the samples.
    classes
        (C,) names of the classes.
    origin
        The cells that were read, where the points are others.
    gaussian
        Whether each sample is the Gaussian with the mean and covariance of its points, which are none of its cells.
    atoms
        (n_points,) number of the Gaussian, within its sample, whose mean and covariance a point belongs to, where
        samples are mixtures; points of one Gaussian are neighbors. None where points are compared themselves.
    """

    points: Points
    weights: Floats
    offsets: Integers
    labels: Integers
    names: Names
    classes: Names
    origin: Origin | None = None
    gaussian: bool = False
    atoms: Integers | None = None

    @property
    def n_samples(self) -> int:
        """Number of samples, P."""
        return len(self.names)

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return int(self.points.shape[1])

    @property
    def of_moments(self) -> bool:
        """Tell whether points stand for the moments of Gaussians, and not for themselves."""
        return self.gaussian or self.atoms is not None

    @property
    def sizes(self) -> Integers:
        """(P,) number of cells of each sample."""
        return np.diff(self.offsets)

    @property
    def counts(self) -> Integers:
        """(P,) number of cells that each sample was made of."""
        return self.sizes if self.origin is None else self.origin.counts

    def take(self, samples: Integers) -> "Cohort":
        """Return the cohort of the given samples only, in the given order."""
        rows = self.rows(samples)
        return replace(
            self,
            points=self.points[rows],
            weights=self.weights[rows],
            offsets=np.concatenate([[0], np.cumsum(self.sizes[samples])]),
            labels=self.labels[samples],
            names=self.names[samples],
            origin=None if self.origin is None else self.origin.take(samples),
            atoms=None if self.atoms is None else self.atoms[rows],
        )

    def rows(self, samples: Integers) -> Integers:
        """Return the rows of the given samples, in the given order."""
        return np.concatenate([np.arange(self.offsets[p], self.offsets[p + 1]) for p in samples])

    def spans(self, samples: Integers | None) -> list[slice]:
        """Return the runs of rows that hold the given samples, or all of them."""
        if samples is None:
            return [slice(0, len(self.points))]
        return [slice(int(self.offsets[p]), int(self.offsets[p + 1])) for p in samples]


def from_clouds(clouds: list[Points], labels: Integers | None = None) -> Cohort:
    """Make a cohort of plain point clouds with uniform weights, named by their position."""
    sizes = np.array([len(cloud) for cloud in clouds])
    codes = np.zeros(len(clouds), dtype=np.int64) if labels is None else np.asarray(labels, dtype=np.int64)
    return Cohort(
        points=np.concatenate(clouds),
        weights=np.repeat(1 / sizes, sizes),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        labels=codes,
        names=np.arange(len(clouds)).astype(str),
        classes=np.arange(codes.max() + 1).astype(str),
    )


def blocks(points: Points) -> Iterator[slice]:
    """Return slices of rows that are small enough to be held in double precision beside the points."""
    n, d = points.shape
    step = max(1, BLOCK // max(d, 1))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
