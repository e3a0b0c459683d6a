"""Everything that is done to the cells where they are read: samples summarized, cells embedded, values checked."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from scggml._anndata.disk import blocks, rows_at_hand
from scggml._anndata.features import ROWS, Fault, Features, dense, is_lazy, not_finite, raise_faults
from scggml._anndata.lazy import on_chunks, on_samples
from scggml._core.cohort import Floats, Integers, Points
from scggml._core.threads import n_threads, one_blas_thread, stream_in_threads
from scggml._core.transport.products import project
from scggml._core.transport.summary import Summarizer

DENSE = 2**31
"""Bytes of dense rows, in double precision, that threads hold at a time."""


@dataclass(frozen=True)
class Cells:
    """Cells of a sample that are to be read.

    Parameters
    ----------
    rows, weights
        (n,) positions, which rise, and weights of sum 1.
    draw
        Seed of the summary; (n,) the group of each cell where these are its points; the mixture of the sample where
        it is there already.
    """

    rows: Integers
    weights: Floats
    draw: Any


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
    atoms
        (m,) Gaussian that each point belongs to, where the sample is a mixture.
    """

    points: Points
    weights: Floats
    profile: Floats
    faults: list[Fault]
    atoms: Integers | None = None


@dataclass(frozen=True, eq=False)
class Recipe:
    """Do what is wanted to the cells of each sample.

    Parameters
    ----------
    dtype
        Precision of the features.
    components
        (k, d) if the points are the projected cells.
    summary
        What stands for the points; of some summaries what stands for the cells is projected.
    """

    dtype: type[np.floating[Any]]
    components: Floats | None
    summary: Summarizer | None

    def __call__(self, block: Any, weights: Floats | float, draw: Any) -> Part:
        """Return a sample from its (n, d) cells as they are stored; the one place where they are made dense.

        A number for `weights` is that of each cell. Rows of faults count from the first cell of the block.
        """
        found = dense(block, self.dtype)
        faults = not_finite(found)
        weights = np.full(len(found), weights) if isinstance(weights, float) else np.require(weights, requirements="A")
        with one_blas_thread():  # the same bits in any thread, process or worker
            profile = weights @ found
        points, atoms, summary = found, None, self.summary
        first = summary is not None and summary.traits.of_features
        if self.components is not None and not first:
            points = project(points, self.components)
        if summary is not None and not faults:
            points, weights, atoms = summary.decompose(points, weights, draw)
        if self.components is not None and first:
            points = project(points, self.components)
        return Part(points, weights, profile, faults, atoms)


def read_parts(features: Features, samples: Sequence[Cells], recipe: Recipe, n_jobs: int | None) -> Generator[Part]:
    """Yield the samples in their order.

    The calling thread reads one after the other, and `n_jobs` threads summarize them. Of a matrix of dask they are
    summarized where its chunks lie.
    """
    rows = [cells.rows for cells in samples]
    features = rows_at_hand(features)
    if is_lazy(features.matrix):
        parts = on_samples(features, rows, recipe, [(_short(cells.weights), cells.draw) for cells in samples], n_jobs)
    else:
        summary = recipe.summary
        many = summary is not None and len(samples) > 1 and summary.is_slow(max(map(len, rows)))
        found = blocks(features, rows)
        tasks = ((next(found), cells) for cells in samples)  # not by `zip`, which would keep a block for longer
        threads = _threads(features, max(map(len, rows)), n_jobs) if many else 1
        parts = stream_in_threads(lambda task: recipe(task[0], task[1].weights, task[1].draw), tasks, threads)
    for cells, part in zip(samples, parts, strict=True):
        yield replace(part, faults=[fault._replace(row=int(cells.rows[fault.row])) for fault in part.faults])


def _threads(features: Features, n_rows: int, n_jobs: int | None) -> int:
    """Return how many threads may each hold that many dense rows."""
    most = DENSE // max(1, 8 * n_rows * len(features.names))
    return max(1, min(n_threads(n_jobs), most))


def _short(weights: Floats) -> Floats | float:
    """Return one number for equal weights: they are sent to other machines."""
    return float(weights[0]) if len(weights) and (weights == weights[0]).all() else weights


def embed_cells(features: Features, components: Floats, n_jobs: int | None = None) -> Floats:
    """Return (n_obs, k), all cells in the learned space, a few thousand at a time; of a matrix of dask where it lies.

    Rows do not depend on which others they are read with, so results are the same to the bit.
    """
    out = np.empty((len(features.cells), len(components)))
    faults: list[Fault] = []
    for rows, (embedded, found) in _everywhere(features, partial(_embed, features.dtype, components), n_jobs):
        out[rows] = embedded
        faults += found
    raise_faults(features, faults)
    return out


def check_finite(features: Features, n_jobs: int | None = None) -> None:
    """Raise if any cell has a value that is not finite."""
    nothing = np.empty((0, len(features.names)))
    embed_cells(features, nothing, n_jobs)


def _everywhere(features: Features, work: Any, n_jobs: int | None) -> Iterator[tuple[slice, Any]]:
    """Yield runs of rows and what became of them; rows of faults count from the first cell of all."""
    n = len(features.cells)
    features = rows_at_hand(features)
    if is_lazy(features.matrix):
        parts: Iterator[tuple[slice, Any]] = on_chunks(features, work, n_jobs)
    else:
        spans = [slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS)]
        found = (features.block(np.arange(rows.start, rows.stop)) for rows in spans)
        threads = _threads(features, ROWS, n_jobs) if len(spans) > 1 else 1
        parts = zip(spans, stream_in_threads(work, found, threads), strict=True)
    for rows, (embedded, faults) in parts:
        yield rows, (embedded, [fault._replace(row=rows.start + fault.row) for fault in faults])


def _embed(dtype: type[np.floating[Any]], components: Floats, block: Any) -> tuple[Floats, list[Fault]]:
    """Return (n, k) projected rows, and values that are not finite; a few thousand rows are dense at a time."""
    out, faults = np.empty((block.shape[0], len(components))), list[Fault]()
    for start in range(0, len(out), ROWS):
        found = dense(block[start : start + ROWS], dtype)
        out[start : start + ROWS] = project(found, components)
        faults += [fault._replace(row=start + fault.row) for fault in not_finite(found)]
    return out, faults
