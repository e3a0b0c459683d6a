"""A metric learned again, on other donors or under permuted labels, and what becomes of the patterns of its genes."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scggml._core.cohort import Floats, Integers
from scggml._core.explain.patterns import excess_patterns, moves, standardized, strengths
from scggml._core.explain.significance import align
from scggml._core.learn.covariates import adjust, estimate, regress
from scggml._core.learn.learner import Learner, shrunk
from scggml._core.learn.pair_weights import weigh_pairs
from scggml._core.samples import Samples, Target, labelled
from scggml._core.transport.pairs import solve_plans
from scggml._core.transport.products import project


@dataclass(frozen=True)
class Refit:
    """Samples of a metric, and how it was learned.

    Parameters
    ----------
    samples, target
        What it was learned from.
    learner, settled
        How it was learned, and the same with what was decided then.
    components
        (k, d) of the metric, onto which those of other donors are turned.
    expression
        (n_points, n_genes) expression of the points, dense or sparse.
    deviations
        (n_genes,) standard deviations of the genes over the cells.
    """

    samples: Samples
    target: Target
    learner: Learner
    settled: Learner
    components: Floats
    expression: Any
    deviations: Floats

    def of_donors(self, positions: Integers, seed: int) -> Floats:
        """Return (k + 1, n_genes) patterns of the metric of these samples, under the setting that was decided.

        Components are those of the metric as far as a rotation can bring them there; the last row is the whole metric.
        """
        rng = np.random.default_rng(seed)
        W = self.settled.learn(self.samples.take(positions), self.target.take(positions), rng=rng).components
        counts = np.bincount(positions, minlength=self.samples.n_samples)
        patterns, _, importance = self.patterns(align(W, self.components), self.target, counts)
        return np.vstack([patterns, strengths(patterns, importance)])

    def of_bag(self, W: Floats, drawn: NDArray[np.bool_]) -> Floats:
        """Return (k + 1, n_genes) patterns of a metric (k, d) that some samples gave, before it is shrunk."""
        samples, positions = self.samples, np.flatnonzero(drawn)
        if samples.covariates is not None:
            samples = adjust(samples, estimate(samples, self.target))
        W, _ = shrunk(W, float(self.settled.shrinkage), samples.take(positions), self.target.take(positions))
        patterns, _, importance = self.patterns(align(W, self.components), self.target, drawn.astype(np.int64))
        return np.vstack([patterns, strengths(patterns, importance)])

    def of_labels(self, values: Floats, seed: int) -> Floats:
        """Return (n_genes,) excess of the genes under the metric of permuted labels, settings decided again."""
        target = replace(self.target, values=values)
        W = self.learner.learn(self.samples, target, rng=np.random.default_rng(seed)).components
        patterns, within, importance = self.patterns(W, target)
        return excess_patterns(patterns, within, importance)

    def patterns(self, W: Floats, target: Target, counts: Integers | None = None) -> tuple[Floats, Floats, Floats]:
        """Return patterns (k, n_genes) under a metric, those within labels on the same scale, and the importance (k,).

        `counts` say how often each sample comes.
        """
        samples, shifts = self.samples, None
        if samples.covariates is not None:
            shifts = regress(self._means, samples.covariates, target).shifts(samples.covariates)
            samples = adjust(samples, estimate(samples, target))
        cohort = labelled(samples.cohort, target)
        weights = weigh_pairs(target, batch=samples.batch, counts=counts)
        Z = project(cohort.points, W)
        plans = solve_plans(cohort, Z, weights.pairs, self.learner.cost, solver=self.learner.engine, n_jobs=1)
        found = moves(Z, plans, weights)
        alike = moves(Z, plans, replace(weights, between=weights.within))
        along = np.hstack([found.along[:, 0], alike.along[:, 0]])
        products = np.asarray(self.expression.T @ along, dtype=np.float64).T
        if shifts is not None:
            products = products - np.add.reduceat(along, cohort.offsets[:-1], axis=0).T @ shifts
        between, within = (standardized(part[None], found, self.deviations)[0] for part in np.split(products, 2))
        return between, within, found.importance

    @property
    def _means(self) -> Floats:
        """(P, n_genes) mean expression of the samples."""
        cohort = self.samples.cohort
        spans = cohort.spans(np.arange(cohort.n_samples))
        return np.stack([cohort.weights[span] @ self.expression[span] for span in spans])
