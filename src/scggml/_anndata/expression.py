"""The expression of genes, which need not be what was learned on, read and multiplied sample by sample."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from scggml._anndata.disk import blocks, rows_at_hand
from scggml._anndata.features import (
    ROWS,
    Fault,
    Features,
    is_lazy,
    not_finite,
    raise_faults,
    read_features,
)
from scggml._anndata.lazy import on_samples
from scggml._anndata.metric import StoredMetric
from scggml._anndata.scales import look, warn_of_corrected
from scggml._anndata.selection import Selection
from scggml._core.cohort import Floats, Integers
from scggml._core.explain.patterns import ROUNDING
from scggml._core.threads import n_threads, one_blas_thread, stream_in_threads

DEPTH = 10_000.0
"""Counts per cell that raw counts are brought to."""


@dataclass(frozen=True)
class Expression:
    """All genes of `.X` or a layer, on a logarithmic scale.

    Parameters
    ----------
    features
        The matrix; its features are genes, or those of a metric whose AnnData has no expression.
    counts
        Whether it holds counts, raw or corrected, which are brought to 10,000 per cell and to log(1 + x) where they are
        read.
    of_genes
        Whether the features are the genes of `.var`.
    """

    features: Features
    counts: bool
    of_genes: bool = True

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.features.names)


def read_expression(adata: AnnData, stored: StoredMetric, layer: str | None = None) -> Expression:
    """Find the expression of all genes: of a layer, of `.X`, or what the metric was learned on where `.X` is empty.

    A metric that was learned on a layer takes it again.
    """
    if layer is None and stored.reading.use_rep in (None, "X"):
        layer = stored.reading.layer
    if layer is None and adata.X is None:
        return Expression(stored.locate(adata), counts=False, of_genes=False)
    return genes_of(adata, layer)


def genes_of(adata: AnnData, layer: str | None = None) -> Expression:
    """Find the expression of all genes in a layer or `.X`; some cells tell whether they are counts."""
    features = rows_at_hand(read_features(adata, layer=layer))
    found = look(features)
    if found.scale == "corrected":
        warn_of_corrected(features.slot, found)
    return Expression(features, counts=found.countable)


@dataclass(frozen=True)
class Sums:
    """Hold what a sample adds to sums over its cells.

    Parameters
    ----------
    products
        (m, n_genes) sums of expression times the numbers of the cells.
    squares
        (n_genes,) weighted sum of squared expression.
    totals
        (m,) sums of the numbers alone.
    """

    products: Floats
    squares: Floats
    totals: Floats


def read_sums(
    expression: Expression, rows: Sequence[Integers], numbers: Iterable[Floats], n_jobs: int | None
) -> Generator[Sums]:
    """Yield the sums of each sample: of its cells `rows` (n,) with `numbers` (n, m), the first of which are weights."""
    return _each(expression, rows, numbers, _sums, n_jobs)


def averaged(
    expression: Expression, rows: Sequence[Integers], shares: Sequence[sparse.csr_array], n_jobs: int | None
) -> Generator[Any]:
    """Yield the (m, n_genes) means of each sample in single precision, of its cells `rows` (n,) by `shares` (m, n)."""
    return _each(expression, rows, shares, _averaged, n_jobs)


def spread_of(expression: Expression, selection: Selection, n_jobs: int | None) -> Floats:
    """Return (n_genes,) standard deviations over the chosen cells, samples counting equally."""
    spans = [slice(start, stop) for start, stop in pairwise(selection.offsets)]
    weights = [selection.weights[own][:, None] for own in spans]
    found = read_sums(expression, [selection.rows[own] for own in spans], weights, n_jobs)
    means, squares = np.zeros(expression.n_genes), np.zeros(expression.n_genes)
    for sums in found:
        means += sums.products[0] / selection.n_samples
        squares += sums.squares / selection.n_samples
    return deviations(means, squares)


def deviations(means: Floats, squares: Floats) -> Floats:
    """Return standard deviations from means and mean squares; those of rounding are 0."""
    variances = squares - means**2
    return np.sqrt(np.where(variances > ROUNDING * squares, variances, 0.0))


def read_means(expression: Expression, selection: Selection, n_jobs: int | None) -> tuple[Floats, Floats]:
    """Return (P, n_genes) mean expression of the chosen cells of each sample, and the share of them with any."""
    spans = [slice(start, stop) for start, stop in pairwise(selection.offsets)]
    weights = [selection.weights[own] for own in spans]
    found = list(_each(expression, [selection.rows[own] for own in spans], weights, _means, n_jobs))
    return np.stack([means for means, _ in found]), np.stack([shares for _, shares in found])


def _each(
    expression: Expression,
    rows: Sequence[Integers],
    more: Iterable[Any],
    work: Callable[[Any, Any], Any],
    n_jobs: int | None,
) -> Generator[Any]:
    """Yield `work(block, more[p])` for the (n, n_genes) expression of each sample.

    The calling thread reads one sample after the other, and `n_jobs` threads work; of a matrix of dask all is done
    where its chunks lie.
    """
    do, features = partial(_work, expression.counts, work), expression.features
    if is_lazy(features.matrix):
        every: Iterator[Any] = on_samples(features, rows, do, [(own,) for own in more], n_jobs)
    else:
        found = blocks(features, rows)
        tasks = ((next(found), own) for own in more)
        every = stream_in_threads(lambda task: do(*task), tasks, n_threads(n_jobs))
    faults: list[Fault] = []
    for own, (result, wrong) in zip(rows, every, strict=True):
        faults += [fault._replace(row=int(own[fault.row])) for fault in wrong]
        if not faults:
            yield result
    raise_faults(features, faults)


def _work(counts: bool, work: Callable[[Any, Any], Any], block: Any, more: Any) -> tuple[Any, list[Fault]]:
    """Return what is done to the expression of a sample, or values that are not finite; their rows count from 0."""
    faults = not_finite(block)
    if faults:
        return None, faults
    with one_blas_thread():  # the same bits in any thread
        return work(log_normalized(block) if counts else block, more), []


def _sums(block: Any, factors: Floats) -> Sums:
    """Return the sums of one sample; sparse expression stays sparse."""
    if sparse.issparse(block):
        found = sparse.csr_array(block, dtype=np.float64)
        products = np.ascontiguousarray((found.T @ factors).T)
        return Sums(products, found.power(2).T @ factors[:, 0], factors.sum(axis=0))
    # In one order and aligned: the last digits of products depend on both, and what comes from a worker may be neither.
    n_genes, factors = block.shape[1], np.require(factors, requirements=["C", "A"])
    sums = Sums(np.zeros((factors.shape[1], n_genes)), np.zeros(n_genes), factors.sum(axis=0))
    for start in range(0, len(factors), ROWS):
        part = np.require(block[start : start + ROWS], np.float64, ["C", "A"])
        own = factors[start : start + ROWS]
        sums.products[...] += own.T @ part
        sums.squares[...] += own[:, 0] @ part**2
    return sums


def _averaged(block: Any, share: sparse.csr_array) -> Any:
    return (share @ block).astype(np.float32)


def _means(block: Any, weights: Floats) -> tuple[Floats, Floats]:
    """Return (n_genes,) weighted mean, and weight of the cells with any expression."""
    if sparse.issparse(block):
        found = sparse.csr_array(block, dtype=np.float64)
        return found.T @ weights, (found != 0).astype(np.float64).T @ weights
    means, shares = np.zeros(block.shape[1]), np.zeros(block.shape[1])
    for start in range(0, len(weights), ROWS):
        # In C order: sums along columns in memory would go pairwise.
        found, own = (
            np.array(block[start : start + ROWS], dtype=np.float64, order="C"),
            weights[start : start + ROWS, None],
        )
        # Cell by cell, as sparse products add up: the same bits however genes are stored.
        means = np.add.reduce(np.vstack([means[None], own * found]), axis=0)
        shares = np.add.reduce(np.vstack([shares[None], own * (found != 0)]), axis=0)
    return means, shares


def log_normalized(block: Any) -> Any:
    """Return log(1 + x) of counts that are brought to 10,000 per cell; cells without counts stay empty."""
    totals = np.asarray(block.sum(axis=1, dtype=np.float64)).reshape(-1)  # half precision ends at 65,504
    scale = np.divide(DEPTH, totals, out=np.zeros(len(totals)), where=totals > 0)
    if not sparse.issparse(block):
        return np.log1p(np.asarray(block, dtype=np.float64) * scale[:, None])
    found = sparse.csr_array(block, dtype=np.float64, copy=True)
    found.data = np.log1p(found.data * np.repeat(scale, np.diff(found.indptr)))
    return found
