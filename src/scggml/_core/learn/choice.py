"""Ridge and shrinkage of canonical variates, decided among few inside the training donors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.folds import Fold, TooFewDonorsError, make_folds
from scggml._core.learn.canonical import (
    Canonical,
    RidgeScale,
    canonical_variates,
    unit_ridge,
)
from scggml._core.learn.pair_weights import ConfoundedError, weigh_pairs
from scggml._core.learn.scatter import Start, euclidean_start
from scggml._core.learn.shrinkage import Shrinkage, batch_directions, shrink
from scggml._core.learn.spectrum import Covariance
from scggml._core.samples import Samples, Target
from scggml._core.threads import all_in_threads, n_threads, one_blas_thread
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.pairs import all_pairs, between_pairs
from scggml._core.transport.plans import GroundCost
from scggml._core.transport.products import project
from scggml._core.transport.solver import Solver
from scggml._core.transport.summary import Summarizer, joined_atoms
from scggml._core.votes import NEIGHBORS, clipped, soft_votes

N_SPLITS = 4
"""Parts of the training donors that are held out in turn."""

ERRORS = 2.0
"""Standard errors by which another setting must be better than the first one."""

TIE = 1e-12
"""Gain up to which settings are equal: some predict alike, and then differ by rounding alone."""

MOST_SAMPLES, MOST_CELLS = 60, 12
"""Size of the cohort that the choice is made on; a larger one is drawn from, by class, and its samples summarized."""


@dataclass(frozen=True)
class Setting:
    """Ridge, what it is a share of, and share of the Euclidean metric."""

    ridge: float
    ridge_scale: RidgeScale
    shrinkage: float


SETTINGS = (
    Setting(0.05, "mean", 0.4),
    Setting(0.05, "mean", 0.7),
    Setting(0.001, "feature", 0.0),
    Setting(0.05, "feature", 0.2),
    Setting(0.001, "feature", 0.2),
)
"""The first one is what predicts donors of real cohorts best; the others are for cohorts whose signal lies in a few
features, be it small ones, and for cohorts with hardly any."""


@dataclass(frozen=True)
class Choice:
    """A setting with the reason for it.

    Parameters
    ----------
    tried
        Settings in the order in which they were preferred beforehand.
    scores
        (n_settings,) mean log score of held-out training donors (for ordered labels and numbers minus the mean absolute
        error); NaN throughout if nothing was held out. That of a setting that was given up halfway is the first one's
        with the gain until then; where all others were, the first one was not scored further either.
    errors
        (n_settings,) standard error of the difference to the first setting.
    chosen
        Position of the setting.
    reason
        The reason in words.
    given_up
        Positions of the settings that were tried on the first half of the parts only.
    """

    tried: tuple[Setting, ...]
    scores: Floats
    errors: Floats
    chosen: int
    reason: str
    given_up: tuple[int, ...] = ()

    @property
    def setting(self) -> Setting:
        """Return the chosen setting."""
        return self.tried[self.chosen]


def settings_for(method: Canonical, shrinkage: Shrinkage) -> tuple[Setting, ...]:
    """Return the settings that what was given leaves open."""
    # What is given is the same in all settings, so that some become equal; a dict keeps the first of each, in order.
    found = dict[Setting, None]()
    for setting in SETTINGS:
        given: dict[str, Any] = {}
        if method.ridge != "auto":
            given["ridge"] = float(method.ridge)
        if method.ridge_scale != "auto":
            given["ridge_scale"] = method.ridge_scale
        if shrinkage != "auto":
            given["shrinkage"] = float(shrinkage)
        found[replace(setting, **given)] = None
    return tuple(found)


def choose(
    method: Canonical,
    shrinkage: Shrinkage,
    samples: Samples,
    target: Target,
    n_comps: int,
    *,
    cost: GroundCost,
    solver: Solver,
    n_jobs: int | None,
    rng: np.random.Generator,
    start: Start | None = None,
    members: Integers | None = None,
) -> Choice:
    """Keep the first setting unless another one predicts held-out training donors clearly better.

    Donors are held out in four parts. Under the metric of the others each held-out sample gets the mean of the shares
    of the votes of its 1, 2, 3 and 5 nearest samples, classes counting equally, and is scored by the logarithm of that
    of its class. The best setting is taken if it is better than the first by two standard errors of the paired
    difference; one that is no better on the first half of the parts (rounded up) is not tried on the others.

    Parameters
    ----------
    samples
        Samples to choose among, and perhaps others.
    target
        What is known of the `members`.
    start
        Euclidean plans of all pairs of `samples`, where refits share them.
    members
        Positions of the training samples in `samples`; all by default.
    """
    tried = settings_for(method, shrinkage)
    none = np.full(len(tried), np.nan)
    # Nothing to decide, so no folds are drawn and no plans are solved.
    if len(tried) == 1:
        return Choice(tried, none, none, 0, "given")
    members = np.arange(samples.n_samples) if members is None else members
    # Too few donors are no error here: the usual setting needs none held out.
    try:
        folds = _folds(target, samples.groups[members], rng)
    except TooFewDonorsError:
        return Choice(tried, none, none, 0, "too few donors to hold any out, so the usual setting is kept")
    # Folds differ in the weights of pairs, settings in ridge and shrinkage. The Euclidean plans serve all of them, and
    # hold no label that could leak from a held-out sample.
    if start is None:
        pairs = all_pairs(samples.n_samples)
        start = euclidean_start(samples.cohort, pairs, solver=solver, n_jobs=n_jobs, max_features=method.max_features)
    tests: list[Integers] = []
    parts: list[Floats] = []
    open_ = np.arange(len(tried))
    half = (len(folds) + 1) // 2
    inside = max(1, n_threads(n_jobs) // half)

    def score(fold: Fold) -> Floats | None:
        """Score the settings that are still open on a fold."""
        return _held_out(
            [tried[i] for i in open_],
            samples,
            target,
            replace(fold, train=members[fold.train], test=members[fold.test]),
            known_fold=fold,
            n_comps=n_comps,
            cost=cost,
            n_jobs=inside,
            start=start,
        )

    for some in (folds[:half], folds[half:]):
        if parts:
            gains = _gains(np.concatenate(parts, axis=1), target, np.concatenate(tests))
            open_ = np.flatnonzero((gains.mean(axis=1) > TIE) | (np.arange(len(tried)) == 0))
            if len(open_) == 1:
                break
        # Matrices are small here: threads over folds gain more than those of a BLAS.
        with one_blas_thread():
            scored = all_in_threads(score, some, n_jobs)
        for fold, part in zip(some, scored, strict=True):
            if part is not None:
                tests.append(fold.test)
                parts.append(np.full((len(tried), len(fold.test)), np.nan))
                parts[-1][open_] = part
    if not parts:
        return Choice(
            tried, none, none, 0, "labels vary in too few donors to hold any out, so the usual setting is kept"
        )
    scores, held_out = np.concatenate(parts, axis=1), np.concatenate(tests)
    usual = float(_class_balanced(scores[0], target, held_out).mean())
    found = _decide(tried, usual, _gains(scores, target, held_out), samples.groups[members[held_out]])
    return replace(found, given_up=tuple(i for i in range(len(tried)) if i not in open_))


def _gains(scores: Floats, target: Target, tests: Integers) -> Floats:
    """Return (n_settings, n) gains over the first setting, classes counting equally; NaN where one was not tried."""
    # Paired: a sample that is hard to predict is hard under all settings, and cancels.
    return np.stack([_class_balanced(gains, target, tests) for gains in scores - scores[0]])


def _class_balanced(row: Floats, target: Target, tests: Integers) -> Floats:
    """Weigh numbers of held-out samples (n,) so that their mean is that of the means of the classes; NaN stay NaN."""
    if target.kind != "classes":
        return row
    codes, known = target.codes[tests], ~np.isnan(row)
    counts = np.bincount(codes[known], minlength=target.n_classes)
    out: Floats = row * (known.sum() / ((counts > 0).sum() * np.maximum(counts[codes], 1)))
    return out


def _decide(tried: tuple[Setting, ...], usual: float, gains: Floats, donors: Integers) -> Choice:
    """Choose by gains (n_settings, n) over the score of the first setting, on held-out samples of some donors (n,)."""
    means = np.nanmean(gains, axis=1)
    errors = np.array([_error_of_mean(row, donors) for row in gains])
    # With few donors the best of five noisy scores is often best by chance: a free choice predicts real cohorts worse
    # than the usual setting, this rule does not (docs/benchmarks.md). What was given up halfway was not better.
    whole = ~np.isnan(gains).any(axis=1)
    better = (means > np.maximum(ERRORS * errors, TIE)) & whole
    chosen = int(np.where(better, means, -np.inf).argmax()) if better.any() else 0
    best = int(np.where(whole, means, -np.inf).argmax())
    reason = (
        "predicts held-out training donors better than the usual setting by "
        f"{means[chosen]:.3g} +- {errors[chosen]:.2g}"
        if chosen
        else "no other setting predicts held-out training donors clearly better"
        + (f" (the best by {means[best]:.3g} +- {errors[best]:.2g})" if best else "")
    )
    return Choice(tried, usual + means, errors, chosen, reason)


def _error_of_mean(gains: Floats, donors: Integers) -> float:
    """Return the standard error of the mean of gains (n,), NaN ones left out: that of a mean over donors (n,)."""
    # Samples of one donor are no independent evidence.
    known = ~np.isnan(gains)
    _, donor = np.unique(donors[known], return_inverse=True)
    sums = np.bincount(donor, gains[known])
    m = len(sums)
    return float(sums.std(ddof=1) * np.sqrt(m) / known.sum()) if m > 1 else np.inf


def _folds(target: Target, groups: Integers, rng: np.random.Generator) -> list[Fold]:
    # By donor: another sample of the same donor is an easy neighbor, and would favor settings that recognize donors.
    n_groups = len(np.unique(groups))
    n_splits = min(N_SPLITS, n_groups)
    if n_splits < 2:
        raise TooFewDonorsError("a single donor")
    return make_folds(target, groups, n_splits=n_splits, n_repeats=1, rng=rng)


def _held_out(
    tried: Sequence[Setting],
    samples: Samples,
    target: Target,
    fold: Fold,
    *,
    known_fold: Fold,
    n_comps: int,
    cost: GroundCost,
    n_jobs: int | None,
    start: Start,
) -> Floats | None:
    """Score the held-out samples of a fold under each setting, (n_settings, n_test); None if nothing can be learned.

    `fold` has positions in `samples`, `known_fold` those of the same samples in `target`.
    """
    training, known = samples.take(fold.train), target.take(known_fold.train)
    truth = target.take(known_fold.test)
    try:
        weights = weigh_pairs(known, batch=training.batch)
    except ConfoundedError:  # the batches of these donors hold one class each
        return None
    # Training donors that share one label leave nothing to separate.
    if not weights.between.any():
        return None
    # Weights count within the training samples; plans are those of all samples.
    weights = replace(weights, pairs=fold.train[weights.pairs])
    between, within = start.scatters(weights.pairs, (weights.between, weights.within))
    # Reduced cells have the distances of all features, and take less time.
    training_cells = replace(samples.cohort, points=start.points).take(fold.train)
    kept_out = None if training.batch is None else batch_directions(training_cells, known, training.batch)
    covariance = Covariance(training_cells)
    pairs = between_pairs(fold.test, fold.train)
    # Plans go on from those of the Euclidean metric, and from setting to setting.
    transport = start.transport.fork(n_jobs)
    D = np.empty((len(tried), len(pairs)))
    units = {scale: unit_ridge(between, within, scale, start.axes) for scale in {each.ridge_scale for each in tried}}
    solved = dict[tuple[float, RidgeScale], Floats]()
    for i, setting in enumerate(tried):
        ridge = setting.ridge, setting.ridge_scale
        if ridge not in solved:
            # one alternation tells settings apart as well as three do, and needs no transport of its own
            solved[ridge] = canonical_variates(between, within, n_comps, setting.ridge, units[setting.ridge_scale])[0]
        W = shrink(solved[ridge], setting.shrinkage, training_cells, kept_out=kept_out, covariance=covariance)
        D[i] = transport.solve(project(start.points, W), pairs, cost)
    # Scores depend on the order of distances only, as distances under two settings are not on one scale.
    rows = D.reshape(len(tried) * len(fold.test), -1)
    return _scores(rows, known, np.tile(truth.values, len(tried))).reshape(len(tried), -1)


def _scores(D: Floats, known: Target, truth: Floats) -> Floats:
    """Score (n,) predictions by distances (n, P) to known samples: log probability, or minus the absolute error."""
    # Stable, so that equally near samples come in the order of the cohort on every machine.
    nearest = np.argsort(D, axis=1, kind="stable")
    if known.kind != "classes":
        guesses = np.mean([known.values[nearest[:, :k]].mean(axis=1) for k in NEIGHBORS], axis=0)
        return -np.abs(guesses - truth)
    p = clipped(soft_votes(nearest, known.codes, known.n_classes))
    out: Floats = np.log(p[np.arange(len(D)), truth.astype(np.int64)])
    return out


def drawn(target: Target, rng: np.random.Generator) -> Integers:
    """Return positions of all samples, or of `MOST_SAMPLES` of a larger cohort, of each class alike."""
    n = len(target.values)
    if n <= MOST_SAMPLES:
        return np.arange(n)
    order, codes = rng.permutation(n), target.codes
    rank = np.empty(n, dtype=np.int64)
    for code in np.unique(codes):  # how many of its class come first
        own = order[codes[order] == code]
        rank[own] = np.arange(len(own))
    # By rank: the first of each class, then the second of each, until the room is full. A rare class is kept whole.
    return np.sort(order[np.argsort(rank[order], kind="stable")][:MOST_SAMPLES])


def smaller(samples: Samples, rng: np.random.Generator, *, n_jobs: int | None = 1) -> Samples:
    """Return the samples with few points each, on which settings are compared."""
    small = replace(samples, everything=None)
    if samples.cohort.of_moments or np.median(samples.cohort.sizes) <= MOST_CELLS:
        return small
    return replace(small, cohort=summarize(samples.cohort, Coreset(MOST_CELLS), rng, n_jobs))


def summarize(
    cohort: Cohort,
    summary: Summarizer,
    rng: np.random.Generator,
    n_jobs: int | None = 1,
    *,
    groups: Integers | None = None,
    given: Sequence[Any] | None = None,
) -> Cohort:
    """Return the cohort with a summary in place of each sample, the same for any number of threads.

    `groups` (n_cells,) are those of the cells, where these are what is summarized; `given` (P,) what is known of each
    sample, where nothing is drawn.
    """
    spans = cohort.spans(np.arange(cohort.n_samples))
    if given is None:
        given = [summary.seed(rng) if groups is None else groups[span] for span in spans]

    def summarize_one(p: int) -> tuple[Points, Floats, Integers | None]:
        return summary.decompose(cohort.points[spans[p]], cohort.weights[spans[p]], given[p])

    with one_blas_thread():
        parts = all_in_threads(summarize_one, range(len(spans)), n_jobs)
    return replace(
        cohort,
        points=np.concatenate([points for points, *_ in parts]),
        weights=np.concatenate([weights for _, weights, _ in parts]),
        offsets=np.concatenate([[0], np.cumsum([len(weights) for _, weights, _ in parts])]),
        gaussian=summary.traits.atoms == "gaussian",
        atoms=joined_atoms([atoms for *_, atoms in parts]),
    )
