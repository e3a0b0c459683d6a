"""Metrics that have not seen some donors, so that what is shown of these holds for new ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
from scipy.stats import f_oneway, pearsonr

from scggml._core.checks import check_whole
from scggml._core.cohort import Floats, Integers
from scggml._core.folds import TRIES, TooFewDonorsError, make_folds
from scggml._core.learn.covariates import Adjustment, adjust, estimate
from scggml._core.learn.learner import Learner
from scggml._core.runner import run_tasks
from scggml._core.samples import Samples, Target, mixed_batches
from scggml._core.transport.pairs import all_pairs
from scggml._core.transport.products import project


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Metrics learned without one fold of donors, and without two.

    Parameters
    ----------
    fold
        (P,) fold of each sample.
    left_out
        (n_fits, 2) folds that each metric has not seen: first all single ones, twice each, then all pairs.
    components
        (n_fits, k, d) oriented and ordered by the training donors of each fit.
    centers, scales
        (n_fits, k) mean and standard deviation of the training cells along each component.
    adjustments
        Effects of covariates, estimated in the training donors of each fit; empty without covariates.
    """

    fold: Integers
    left_out: Integers
    components: Floats
    centers: Floats
    scales: Floats
    adjustments: tuple[Adjustment, ...] = ()

    @property
    def n_folds(self) -> int:
        """Number of folds, K."""
        return int(self.left_out.max()) + 1

    def single(self) -> tuple[Floats, Floats]:
        """Return (K, k, d) components and (K, k) centers without one fold, training cells having variance 1 along each.

        A component along which they do not vary is 0.
        """
        K = self.n_folds
        scales = _inverse(self.scales[:K])
        return self.components[:K] * scales[..., None], self.centers[:K] * scales

    def double(self) -> Floats:
        """Return (K (K - 1) / 2, k, d) components without two folds, training cells having variance 1 in all."""
        found = self.components[self.n_folds :]
        total = np.sqrt((self.scales[self.n_folds :] ** 2).sum(axis=1))
        out: Floats = found * _inverse(total)[:, None, None]
        return out

    def pairs(self, fold: Integers) -> Iterator[tuple[int, Integers, Integers, Floats]]:
        """Yield the number of each metric without two folds, its samples, their pairs, and the share of each pair.

        A pair of samples of two folds is that of the one metric without both; a pair of one fold is the mean over all
        K - 1 metrics without it and another one. (With one metric for each fold the pairs within it would be measured
        otherwise than those between folds, and folds would be seen.)
        """
        for e, (f, g) in enumerate(self.left_out[self.n_folds :]):
            samples = np.flatnonzero(np.isin(fold, (f, g)))
            if len(samples) < 2:
                continue
            pairs = all_pairs(len(samples))
            same = fold[samples[pairs[:, 0]]] == fold[samples[pairs[:, 1]]]
            yield e, samples, pairs, np.where(same, 1.0 / (self.n_folds - 1), 1.0)


def _inverse(scales: Floats) -> Floats:
    return np.divide(1.0, scales, out=np.zeros_like(scales), where=scales > 0)


def split_donors(
    target: Target, groups: Integers, *, n_splits: int, batch: Integers | None = None, rng: np.random.Generator
) -> tuple[Integers, list[tuple[int, int]]]:
    """Return (P,) the fold of each sample, and the folds that are left out, single ones twice and then each two.

    Raises unless there is enough to learn from without any two folds.
    """
    check_whole("n_splits", n_splits, 3, " folds, since two are left out at a time")
    n_splits = min(n_splits, len(np.unique(groups)))
    if n_splits < 3:
        raise TooFewDonorsError(
            f"There are {n_splits} donors; at least 3 are needed, since two folds are left out at a time."
        )
    draws = (_draw(target, groups, n_splits, batch, rng) for _ in range(TRIES))
    found = next(draws)
    if batch is not None and mixed_batches(target, batch):
        # without any two folds some batch must hold samples with different labels, of which a metric learns
        usable = (one for one in chain([found], draws) if all(mixed_batches(target.take(q), batch[q]) for q in one[2]))
        found = next(usable, found)
    fold, left_out, left = found
    _check(target, left)
    return fold, left_out


def _draw(
    target: Target, groups: Integers, n_splits: int, batch: Integers | None, rng: np.random.Generator
) -> tuple[Integers, list[tuple[int, int]], list[Integers]]:
    """Return (P,) the fold of each sample, the folds that are left out, and what is left without them."""
    fold = np.empty(len(groups), dtype=np.int64)
    for part in make_folds(target, groups, n_splits=n_splits, n_repeats=1, batch=batch, rng=rng):
        fold[part.test] = part.fold
    n_folds = int(fold.max()) + 1
    left_out = [(f, f) for f in range(n_folds)] + list(combinations(range(n_folds), 2))
    return fold, left_out, [np.flatnonzero(~np.isin(fold, out)) for out in left_out]


def cross_fit(
    learner: Learner,
    samples: Samples,
    target: Target,
    *,
    n_splits: int,
    rng: np.random.Generator,
    n_jobs: int | None = None,
    progress: bool = False,
) -> CrossFit:
    """Learn a metric without each fold of donors and without each two of them, settings decided again each time."""
    fold, left_out = split_donors(target, samples.groups, n_splits=n_splits, batch=samples.batch, rng=rng)
    seeds = rng.integers(2**63, size=len(left_out))
    tasks = [(np.flatnonzero(~np.isin(fold, out)), seed) for out, seed in zip(left_out, seeds, strict=True)]
    shared = learner.with_work(samples, rng=rng, n_jobs=n_jobs)
    fits = run_tasks(
        _LeftOut(learner, shared, target).fit,
        tasks,
        n_jobs=n_jobs,
        progress="fits without some donors" if progress else None,
        unit="fit",
    )
    k = max(len(W) for W, *_ in fits)  # few cells carry few components
    return CrossFit(
        fold,
        np.array(left_out, dtype=np.int64),
        components=np.stack([np.pad(W, ((0, k - len(W)), (0, 0))) for W, *_ in fits]),
        centers=np.stack([np.pad(center, (0, k - len(center))) for _, center, *_ in fits]),
        scales=np.stack([np.pad(scale, (0, k - len(scale))) for _, _, scale, _ in fits]),
        adjustments=tuple(adjustment for *_, adjustment in fits if adjustment is not None),
    )


@dataclass(frozen=True)
class _LeftOut:
    learner: Learner
    samples: Samples
    target: Target

    def fit(self, train: Integers, seed: int) -> tuple[Floats, Floats, Floats, Adjustment | None]:
        """Return the metric of some samples, mean and deviation of their cells along it, and effects of covariates."""
        samples, target = self.samples.take(train), self.target.take(train)
        found = self.learner.learn(samples, target, rng=np.random.default_rng(seed))
        adjustment = None
        if samples.covariates is not None:
            adjustment = estimate(samples, target)
            samples = adjust(samples, adjustment)
        cohort = samples.cohort
        Z, share = project(cohort.points, found.components), cohort.weights / cohort.n_samples
        center = share @ Z
        return found.components, center, np.sqrt(share @ (Z - center) ** 2), adjustment


def _check(target: Target, trains: list[Integers]) -> None:
    """Raise unless each class has two samples wherever something is learned."""
    if target.kind == "numbers":
        if min(len(np.unique(target.values[train])) for train in trains) < 3:
            raise TooFewDonorsError(
                "Fewer than three different numbers are left where two folds are left out, so nothing can be learned "
                "without them. Raise n_splits, or add donors."
            )
        return
    for train in trains:
        counts = np.bincount(target.codes[train], minlength=target.n_classes)
        if counts.min() < 2:
            raise TooFewDonorsError(
                f"Class {str(target.classes[counts.argmin()])!r} has so few donors that fewer than two of its samples "
                "are left where two folds are left out, so nothing can be learned without them. Raise n_splits, leave "
                "the class out, or merge it with another."
            )


@dataclass(frozen=True)
class Separation:
    """Hold how samples that were left out lie along the components.

    Parameters
    ----------
    class_means
        (k, C) means of the classes; for numbers (k, 2), slope and correlation.
    p_values
        (k,) of the difference of the means of donors (analysis of variance), or of the correlation.
    """

    class_means: Floats
    p_values: Floats


def separation(scores: Floats, target: Target, groups: Integers) -> Separation:
    """Compare labels along components from (P, k) held-out scores; samples of one donor and label count as one."""
    codes = np.unique(np.stack([groups, target.values], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    first, counts = np.unique(codes, return_index=True)[1], np.bincount(codes)
    sums = np.zeros((len(counts), scores.shape[1]))
    np.add.at(sums, codes, scores)
    means, target = sums / counts[:, None], target.take(first)
    if target.kind == "numbers":
        effects = np.linalg.lstsq(target.design, means, rcond=None)[0][1]
        found = [pearsonr(target.values, column) if np.ptp(column) > 0 else (0.0, 1.0) for column in means.T]
        return Separation(np.stack([effects, np.array([r for r, _ in found])], axis=1), np.array([p for _, p in found]))
    classes = [means[target.codes == c] for c in range(target.n_classes)]
    present = [part for part in classes if len(part)]
    p_values = [
        float(f_oneway(*(part[:, i] for part in present)).pvalue) if np.ptp(column) > 0 else 1.0
        for i, column in enumerate(means.T)
    ]
    by_class = np.stack([part.mean(axis=0) if len(part) else np.full(scores.shape[1], np.nan) for part in classes])
    return Separation(by_class.T, np.array(p_values))
