"""Few points of each sample with the expression of their genes, for what is learned again many times."""

from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from scggml._anndata.copies import check_copies
from scggml._anndata.expression import Expression, averaged, read_expression, spread_of
from scggml._anndata.metric import StoredMetric, needs_everything
from scggml._anndata.selection import Selection
from scggml._core.cohort import Cohort, Floats, Integers, Names
from scggml._core.explain.points import points_of_cells
from scggml._core.explain.refit import Refit
from scggml._core.learn.choice import summarize
from scggml._core.samples import Samples, Target
from scggml._core.transport.coreset import Coreset


@dataclass(frozen=True, eq=False)
class ExpressedPoints:
    """Samples of a metric as few points.

    Parameters
    ----------
    samples, target
        The points where the metric was learned, and the labels.
    names
        (n_genes,) genes; those that the metric was learned on, if it was learned on genes.
    expression
        (n_points, n_genes) dense or sparse.
    deviations
        (n_genes,) standard deviations over the cells.
    """

    samples: Samples
    target: Target
    names: Names
    expression: Any
    deviations: Floats

    def refit(self, stored: StoredMetric, *, rng: np.random.Generator, n_jobs: int | None) -> Refit:
        """Return what learns the metric again from these points; refits share the work that labels do not enter."""
        return Refit(
            stored.learner.with_work(self.samples, rng=rng, n_jobs=n_jobs),
            self.target,
            stored.learner,
            stored.settled,
            stored.components,
            self.expression,
            self.deviations,
        )


def read_points(
    adata: AnnData,
    stored: StoredMetric,
    n_points: int,
    *,
    rng: np.random.Generator,
    layer: str | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> ExpressedPoints:
    """Read the samples that a metric was learned from, the median one with at most about `n_points` points.

    Copies of a sample under another donor raise.
    """
    reading = stored.reading
    selection = reading.select(adata, quiet=True)
    target = stored.target(selection)
    features = stored.locate(adata)
    if isinstance(reading.summary, Coreset):
        n_points = min(n_points, reading.summary.n_points)
    many = bool(np.median(selection.sizes) > n_points)
    found = read_expression(adata, stored, layer)
    check_copies(selection, features, reading.groups(selection))
    learned_on_it = reading.use_rep in (None, "X") and layer in (None, reading.layer) and not found.counts
    if learned_on_it:  # the points themselves are expression
        everything = needs_everything(stored.learner)
        samples = reading.samples(selection, features, everything=everything, n_jobs=n_jobs, progress=progress)
        if many and not samples.cohort.of_moments:
            samples = replace(samples, cohort=summarize(samples.cohort, Coreset(n_points), rng, n_jobs=n_jobs))
        spread = spread_of(Expression(features, counts=False), selection, n_jobs)
        return ExpressedPoints(samples, target, features.names, samples.cohort.points, spread)
    design = reading.design(selection)
    every = cohort = selection.read(features, rng=rng, n_jobs=n_jobs)
    owner, expression = None, found
    if many:
        cohort, owner, _ = points_of_cells(every, Coreset(n_points), None, rng)
    rows = _expression(expression, selection, cohort, owner, n_jobs)
    spread = spread_of(expression, selection, n_jobs)
    samples = Samples(cohort, everything=every if many and needs_everything(stored.learner) else None, **design)
    return ExpressedPoints(samples, target, expression.features.names, rows, spread)


def _expression(
    expression: Expression, selection: Selection, cohort: Cohort, owner: Integers | None, n_jobs: int | None
) -> Any:
    """Return (n_points, n_genes), the weighted mean of the cells of each point."""
    shares = []
    for p, (start, stop) in enumerate(pairwise(selection.offsets)):
        first, last = cohort.offsets[p], cohort.offsets[p + 1]
        own = np.arange(stop - start) if owner is None else owner[start:stop] - first
        kept = np.flatnonzero(own >= 0)
        share = np.ones(len(kept))  # a cell stands for itself, also without weight
        if owner is not None:
            share = selection.weights[start:stop][kept] / cohort.weights[first:last][own[kept]]
        shares.append(sparse.csr_array((share, (own[kept], kept)), shape=(last - first, stop - start)))
    rows = [selection.rows[start:stop] for start, stop in pairwise(selection.offsets)]
    with closing(averaged(expression, rows, shares, n_jobs)) as parts:
        found = list(parts)
    if sparse.issparse(found[0]):
        return sparse.vstack(found, format="csr")
    return np.concatenate(found)
