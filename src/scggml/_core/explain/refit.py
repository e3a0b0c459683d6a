"""A metric learned again, on other donors or under permuted labels, and what becomes of its genes."""

from dataclasses import dataclass, replace

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.explain.attribution import feature_contributions
from scggml._core.learn.covariates import adjust, estimate
from scggml._core.learn.learner import Learner
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
    axes
        (n_genes, d) that carry features back to genes, None if features are what is ranked.
    """

    samples: Samples
    target: Target
    learner: Learner
    settled: Learner
    axes: Floats | None

    def loadings(self, positions: Integers, seed: int) -> Floats:
        """Return (k, n_genes) gene loadings of the metric of these samples, under the setting that was decided."""
        rng = np.random.default_rng(seed)
        W = self.settled.learn(self.samples.take(positions), self.target.take(positions), rng=rng).components
        return W if self.axes is None else W @ self.axes.T

    def excess(self, values: Floats, seed: int) -> Floats:
        """Return (n_genes,) excess of the genes under the metric of permuted labels, settings decided again."""
        target = replace(self.target, values=values)
        W = self.learner.learn(self.samples, target, rng=np.random.default_rng(seed)).components
        return self.excess_under(W, target)

    def excess_under(self, W: Floats, target: Target) -> Floats:
        """Return (n_genes,) what each gene adds to the gap between classes, as a share of the distance between them."""
        samples = self.samples
        if samples.covariates is not None:
            samples = adjust(samples, estimate(samples, target))
        cohort: Cohort = labelled(samples.cohort, target)
        weights = weigh_pairs(target, batch=samples.batch)
        Z = project(cohort.points, W)
        plans = solve_plans(cohort, Z, weights.pairs, self.learner.cost, solver=self.learner.engine, n_jobs=1)
        squared = self.learner.squared
        difference = weights.between - weights.within
        parts = feature_contributions(cohort, Z, W, plans, difference, squared=squared, axes=self.axes)
        apart = float(weights.between @ plans.values)
        return parts / apart if apart > 0 else np.zeros_like(parts)
