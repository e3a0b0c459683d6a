"""Test one after another which components of a metric tell labels apart more than permuted labels do."""

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from scggml._core.cohort import Floats, Integers
from scggml._core.labelings import n_labelings, permutation_blocks, permute, smallest_p
from scggml._core.learn.canonical import Canonical, RidgeScale, canonical_variates, unit_ridge
from scggml._core.learn.covariates import adjust, estimate
from scggml._core.learn.learner import Learner
from scggml._core.learn.pair_weights import some_pairs, weigh_pairs
from scggml._core.learn.scatter import scatters, times
from scggml._core.learn.spectrum import mean_cell
from scggml._core.runner import run_tasks
from scggml._core.samples import Samples, Target
from scggml._core.transport.engine import engine_of
from scggml._core.transport.products import project

RIDGE = 0.05
"""Ridge of the canonical variates, as a share of the mean variance within labels and of that of each feature."""

TIE = 1e-12
"""Share of an eigenvalue up to which others are equal to it."""

MOST_PAIRS = 40_000
"""Pairs of samples whose plans all permutations share; of more (from 284 samples on) as many are drawn."""

LEARNED = 0.2
"""Share of a component that must have been learned for it to be real."""


@dataclass(frozen=True)
class ComponentTest:
    """Components of a metric, tested in the order of their importance.

    Parameters
    ----------
    order
        (k,) positions of the components: those that may be real, by what they add to the gap, and then the others.
    eigenvalues
        (n_tested,) ratio of the movement between labels to that within them, along the best direction that is left.
    p_values
        (n_tested,) share of permutations whose best direction is as good.
    smallest
        Smallest p-value that the design allows.
    own
        (k,) whether each component itself shows a difference and was learned: a direction that is left in the cells may
        be real while the component is only what shrinkage filled in.
    level
        P-value up to which a component is real.
    """

    order: Integers
    eigenvalues: Floats
    p_values: Floats
    smallest: float
    own: NDArray[np.bool_]
    level: float

    @property
    def n_real(self) -> int:
        """Number of components that are real; the first one that is not ends the test."""
        passed = (self.p_values <= self.level) & (self.eigenvalues > 1) & self.own[self.order[: len(self.p_values)]]
        return int(np.cumprod(passed).sum())

    @property
    def p_any(self) -> float:
        """P-value of the metric showing anything at all: that of its first component, 1 where it does not show it."""
        shown = self.eigenvalues[0] > 1 and self.own[self.order[0]]
        return float(self.p_values[0]) if shown else 1.0


def movement(
    samples: Samples, target: Target, W: Floats, learner: Learner, *, rng: np.random.Generator, n_jobs: int | None
) -> tuple[Floats, Floats, Floats]:
    """Return S_b W^T (d, k), and movement (k,) along the components between labels and within them."""
    cohort = samples.cohort
    points = cohort.points.astype(np.float64) - mean_cell(cohort)
    pairs = some_pairs(target.codes, Canonical().max_pairs, rng)
    weights = weigh_pairs(target, batch=samples.batch, pairs=pairs)
    transport = engine_of(cohort, learner.engine).transport(cohort, n_jobs=n_jobs)
    transport.solve(project(cohort.points, W), weights.pairs, learner.cost)
    between, within = scatters(points, transport, weights.pairs, (weights.between, weights.within))
    patterns = times(between, W.T)
    return patterns, np.einsum("kd,dk->k", W, patterns), np.einsum("kd,dk->k", W, times(within, W.T))


def removed(samples: Samples, W: Floats, patterns: Floats) -> Samples:
    r"""Return samples without some components: cells moved along their patterns until all are 0.

    .. math:: x \mapsto x - A (W A)^{-1} W x

    with the patterns A = S_b W^T. Cells of different labels move along A, so the difference that the components show is
    gone with them; a projection along W itself would leave some of it wherever W and A differ.
    """
    cohort = samples.cohort
    back = patterns @ np.linalg.pinv(W @ patterns)
    points = cohort.points.astype(np.float64)
    moved = points - project(points, W) @ back.T
    return replace(samples, cohort=replace(cohort, points=moved), work=None, positions=None, everything=None)


def component_test(
    learner: Learner,
    samples: Samples,
    target: Target,
    components: Floats,
    learned: Floats,
    *,
    n_perm: int,
    level: float,
    rng: np.random.Generator,
    n_jobs: int | None = None,
    progress: bool = False,
) -> ComponentTest:
    """Test the components (k, d) of a metric one after another, up to the first that is not real.

    For each the components before it are removed from the cells, labels are permuted within blocks, and canonical
    variates are learned again; `learned` (k,) is how much of each component was learned. The statistic is the largest
    eigenvalue each time: after the labels are permuted the real differences are spread within the classes and lower all
    eigenvalues, so that comparing the second with the second would find too much. Plans are the Euclidean ones, which
    no label enters: they are solved once (in large cohorts for pairs that are drawn whatever their labels), and plans
    that follow the labels find more where there is nothing too (they were slower by ten times and less powerful). Two
    ridges are tried for all labels alike, one relative to all features and one to each of them, which small features
    need: a ridge that was chosen for the true labels would favor them.
    """
    strata = np.zeros(samples.n_samples, dtype=np.int64) if samples.batch is None else samples.batch
    blocks = permutation_blocks(target.values, samples.groups, strata)
    smallest = smallest_p(n_labelings(target.values, blocks, kind=target.kind), n_perm)
    plain = samples if samples.covariates is None else adjust(samples, estimate(samples, target))
    patterns, between, within = movement(plain, target, components, learner, rng=rng, n_jobs=n_jobs)
    own = (between > within) & (learned >= LEARNED)
    order = np.lexsort((within - between, ~own))
    euclidean = Canonical(ridge=RIDGE, ridge_scale="mean", n_alternations=1, max_pairs=MOST_PAIRS)
    tester = replace(learner, method=euclidean, shrinkage=0.0, n_comps=1)
    eigenvalues, p_values = list[float](), list[float]()
    for j in range(len(order)):
        first = order[:j]
        left = removed(samples, components[first], patterns[:, first]) if j else samples
        shared = tester.with_work(left, rng=rng, n_jobs=n_jobs, draw=True)
        seeds = rng.integers(2**63, size=n_perm + 1)
        tasks = [(target.values, seeds[0])] + [(permute(target.values, blocks, rng), seed) for seed in seeds[1:]]
        found = np.stack(
            run_tasks(
                _Eigenvalues(tester, shared, target),
                tasks,
                n_jobs=n_jobs,
                progress=f"permuted labels, component {j + 1}" if progress else None,
                unit="fit",
            )
        )
        best, p = best_of(found)
        eigenvalues.append(float(found[0, best].max()))
        p_values.append(max(p, smallest))
        if p_values[-1] > level or eigenvalues[-1] <= 1 or not own[order[j]]:
            break
    return ComponentTest(order, np.array(eigenvalues), np.array(p_values), smallest, own, level)


def best_of(found: Floats) -> tuple[Integers, float]:
    """Return the statistics (columns) that speak most against chance, and the p-value of taking the best ones.

    The first row of (1 + B, n_statistics) is that of the true labels. Within each column every labeling has a p-value
    among all; the smallest one of the true labels is compared with the smallest ones of the others, so that several
    statistics cost nothing but a little power (Westfall and Young 1993).
    """
    ranks = np.stack([(column >= column[:, None] - TIE * np.abs(column[:, None])).mean(axis=1) for column in found.T])
    least = ranks.min(axis=0)
    return np.flatnonzero(ranks[:, 0] == least[0]), float((least <= least[0]).mean())


@dataclass(frozen=True)
class _Eigenvalues:
    learner: Learner
    samples: Samples
    target: Target

    def __call__(self, values: Floats, seed: int) -> Floats:
        """Return the largest eigenvalue of canonical variates for these labels, by each scale of the ridge."""
        target, rng = replace(self.target, values=values), np.random.default_rng(seed)
        between, within, axes = self.learner.euclidean_scatters(self.samples, target, rng=rng)
        units = [unit_ridge(between, within, scale, axes) for scale in get_args(RidgeScale)]
        return np.array([canonical_variates(between, within, 1, RIDGE, unit)[1][0] for unit in units])
