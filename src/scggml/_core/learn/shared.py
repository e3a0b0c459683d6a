"""Work that no label enters, done once for all refits of the same cells."""

from dataclasses import dataclass, replace

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.learn.canonical import Canonical
from scggml._core.learn.choice import MOST_CELLS, MOST_SAMPLES, smaller
from scggml._core.learn.pair_weights import PairWeights, weigh_pairs
from scggml._core.learn.scatter import Start, euclidean_start
from scggml._core.samples import Samples, Target
from scggml._core.transport.free import FreeCost
from scggml._core.transport.ground import GroundMetric
from scggml._core.transport.pairs import all_pairs, between_pairs, square
from scggml._core.transport.solver import Solver


@dataclass(frozen=True)
class Work:
    """Euclidean plans of a cohort, and of summaries of its samples on which settings are decided.

    Folds, permuted labels and bootstraps of donors differ in the weights of the pairs alone.

    Parameters
    ----------
    cohort, start
        All samples, and their Euclidean plans.
    small, small_start
        The samples, summarized, on which settings are decided, and their Euclidean plans; None where the cells of
        those that a fit draws span fewer dimensions than all, in which it is decided much faster.
    solver, max_features
        The solver and the reduction that the plans were computed with.
    """

    cohort: Cohort
    start: Start
    small: Samples
    small_start: Start | None
    solver: Solver
    max_features: int

    def counts(self, positions: Integers) -> Integers:
        """Return (P,) how often each sample of the cohort is among the given ones."""
        return np.bincount(positions, minlength=self.cohort.n_samples)

    def weigh(self, samples: Samples, target: Target) -> PairWeights:
        """Weigh the pairs whose plans are there by the labels of samples of this cohort, which may be drawn twice."""
        at, batch = samples.positions, None
        if at is None:
            raise ValueError("The samples do not say where in the cohort they are.")
        values = np.zeros(self.cohort.n_samples)
        values[at] = target.values  # other samples have count 0 below, so their value does not matter
        if samples.batch is not None:
            batch = np.zeros(self.cohort.n_samples, dtype=np.int64)
            batch[at] = samples.batch
        known = replace(target, values=values)
        return weigh_pairs(known, batch=batch, counts=self.counts(at), pairs=self.start.plans.pairs)

    def move(self, positions: Integers, shifts: Floats) -> "Work":
        """Return the work with some samples moved as a whole by their shifts (n, n_features); settings are given."""
        every = np.zeros((self.cohort.n_samples, self.cohort.n_features))
        every[positions] = shifts
        points = (self.cohort.points + np.repeat(every, self.cohort.sizes, axis=0)).astype(self.cohort.points.dtype)
        return replace(self, cohort=replace(self.cohort, points=points), start=self.start.move(self.cohort, every))

    def cross_distances(self, metric: GroundMetric, rows: Integers, columns: Integers) -> Floats:
        """Return (n, P + n) transport costs of n samples to P others and among themselves, from the plans there are."""
        n, P = len(rows), len(columns)
        own = all_pairs(n)
        pairs = np.concatenate([between_pairs(rows, columns), np.sort(rows[own], axis=1)])
        if isinstance(metric.cost, FreeCost):
            raise TypeError(f"metric={metric.cost.name} has no kernel, so no plan of it is known.")
        values = self.start.transport.fork(1).solve(metric.embed(self.cohort), pairs, metric.cost)
        return np.hstack([values[: n * P].reshape(n, P), square(values[n * P :], own, n)])


def with_work(
    samples: Samples,
    canonical: Canonical | None,
    *,
    solver: Solver,
    rng: np.random.Generator,
    n_jobs: int | None = None,
    draw: bool = False,
) -> Samples:
    """Return the samples with the work that their refits share; without it where they cannot share any.

    They cannot where pairs are drawn by label, and where a method does not start from canonical variates. With `draw`
    pairs beyond `max_pairs` are drawn here, whatever their labels, for all refits alike. Effects of covariates follow
    the labels and move whole samples: plans are shared all the same where nothing else is (with `draw` and a setting
    that is given).
    """
    pairs = all_pairs(samples.n_samples)
    # Whatever follows labels would leak into the folds, so nothing below may see them.
    if canonical is None or samples.cohort.of_moments:
        return samples
    if samples.covariates is not None and not (draw and canonical.is_fixed):
        return samples
    if len(pairs) > canonical.max_pairs:
        if not draw:
            return samples
        pairs = pairs[np.sort(rng.choice(len(pairs), canonical.max_pairs, replace=False))]
    m, everyone = canonical.max_features, np.arange(samples.n_samples)
    start = euclidean_start(samples.cohort, pairs, solver=solver, n_jobs=n_jobs, max_features=m).for_many()
    if samples.covariates is not None and not start.exact:
        return samples  # principal axes need not span what covariates do
    if draw and canonical.is_fixed:  # no setting is decided
        return replace(samples, work=Work(samples.cohort, start, samples, None, solver, m), positions=everyone)
    small = smaller(samples, rng, n_jobs=n_jobs)
    # Not summarized: the plans are there already.
    small_start: Start | None = start
    if samples.n_samples > MOST_SAMPLES and samples.cohort.n_features > MOST_SAMPLES * MOST_CELLS:
        small_start = None
    elif small.cohort is not samples.cohort:
        own = all_pairs(small.n_samples)
        small_start = euclidean_start(small.cohort, own, solver=solver, n_jobs=n_jobs, max_features=m).for_many()
    work = Work(samples.cohort, start, replace(small, work=None, positions=None), small_start, solver, m)
    return replace(samples, work=work, positions=everyone)
