"""What becomes of the cells of a sample when they are read."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scggml._anndata.disk import blocks
from scggml._anndata.features import Fault, Features, dense, not_finite
from scggml._core.cohort import Floats, Integers, Points
from scggml._core.threads import as_they_come, one_blas_thread
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.products import project


@dataclass(frozen=True)
class Cells:
    """Cells of a sample that are to be read.

    Parameters
    ----------
    rows, weights
        (n,) positions, which rise, and weights of sum 1.
    seed
        Seed of the summary.
    """

    rows: Integers
    weights: Floats
    seed: int


@dataclass(frozen=True)
class Part:
    """A sample as it was read.

    Parameters
    ----------
    points, weights
        (m, d) or (m, k) points, and their (m,) weights of sum 1.
    profile
        (d,) mean features of the cells.
    faults
        Values that are not finite.
    """

    points: Points
    weights: Floats
    profile: Floats
    faults: list[Fault]


@dataclass(frozen=True, eq=False)
class Recipe:
    """What is done to the cells of each sample.

    Parameters
    ----------
    dtype
        Precision of the features.
    components
        (k, d) if the points are the projected cells.
    summary
        What stands for the points.
    """

    dtype: type[np.floating[Any]]
    components: Floats | None
    summary: Coreset | None

    def __call__(self, block: Any, cells: Cells) -> Part:
        """Return a sample from its (n, d) cells as they are stored; the one place where they are made dense."""
        found = dense(block, self.dtype)
        faults = not_finite(found, cells.rows)
        with one_blas_thread():  # the same bits in any thread, process or worker
            profile = cells.weights @ found
        points, weights = found if self.components is None else project(found, self.components), cells.weights
        if self.summary is not None and not faults:
            points, weights = self.summary.summarize(points, weights, cells.seed)
        return Part(points, weights, profile, faults)


def read_parts(features: Features, samples: Sequence[Cells], recipe: Recipe, n_jobs: int | None) -> Generator[Part]:
    """Yield the samples in their order: read one after the other by the calling thread, summarized in threads."""
    summary = recipe.summary
    # Without k-means there is less to do than threads cost.
    many = summary is not None and any(len(cells.rows) > summary.n_points for cells in samples)
    found = blocks(features, [cells.rows for cells in samples])
    tasks = ((next(found), cells) for cells in samples)  # not by `zip`, which would keep a block for longer
    yield from as_they_come(lambda task: recipe(*task), tasks, n_jobs if many and len(samples) > 1 else 1)
