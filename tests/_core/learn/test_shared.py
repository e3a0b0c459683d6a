"""Work that refits share changes nothing but their time, and lets nothing through from samples that are held out."""

from collections import defaultdict
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from _oracles import dense_variates, lp_plans, random_cohort, relative_error, scatter_by_loops, theta

from scggml._core.folds import make_folds
from scggml._core.learn import choice as choice_module
from scggml._core.learn import learner as learner_module
from scggml._core.learn import scatter as scatter_module
from scggml._core.learn import shared as shared_module
from scggml._core.learn.canonical import FAINT, Canonical, RidgeScale
from scggml._core.learn.choice import MOST_CELLS, MOST_SAMPLES
from scggml._core.learn.learner import Learner
from scggml._core.learn.shared import Work, with_work
from scggml._core.learn.triplets import Triplets
from scggml._core.samples import LabelKind, Samples, Target, blind
from scggml._core.transport.exact import Exact
from scggml._core.transport.warm import Warm

P = 14
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 0])
COHORT = random_cohort(np.random.default_rng(5).integers(3, 7, P), d=4, labels=LABELS, weighted=True, shift=0.8, seed=4)
BATCH = np.array([0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1])
GROUPS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 11, 12])
NUMBERS = LABELS + np.random.default_rng(6).normal(size=P)
FIXED = Canonical(ridge=0.05, ridge_scale="mean")


def target_of(kind, labels=LABELS, numbers=NUMBERS):
    if kind == "numbers":
        return Target(kind, numbers, np.array([]))
    return Target(kind, labels.astype(float), np.array(["a", "b", "c"]))


def samples_of(*, in_batches=False, cohort=COHORT):
    return Samples(blind(cohort), GROUPS, batch=BATCH if in_batches else None)


def shared(learner, samples, seed=1):
    found = learner.with_work(samples, rng=np.random.default_rng(seed))
    assert isinstance(found.work, Work)
    return found


def learn(learner, samples, target, seed=0):
    return learner.learn(samples, target, rng=np.random.default_rng(seed))


def same(found, truth):
    np.testing.assert_allclose(found.components, truth.components, atol=1e-8)
    np.testing.assert_allclose(found.singular_values, truth.singular_values, atol=1e-8)
    assert (found.choice.chosen, found.choice.reason) == (truth.choice.chosen, truth.choice.reason)
    np.testing.assert_allclose(found.choice.scores, truth.choice.scores, rtol=1e-8)
    for name, history in truth.history.items():
        np.testing.assert_allclose(found.history[name], history, rtol=1e-6, atol=1e-8)


LEARNERS = {
    "fixed": Learner(method=FIXED, shrinkage=0.4, n_comps=2),
    "bare": Learner(method=replace(FIXED, ridge_scale="feature"), shrinkage=0.0, n_comps=3, squared=True),
    "open": Learner(n_comps=2),
    "triplets": Learner(method=Triplets(max_iter=3), n_comps=2),
}


@pytest.mark.parametrize("in_batches", [False, True])
@pytest.mark.parametrize("kind", get_args(LabelKind))
@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_folds_learn_what_they_would_learn_alone(learner, kind, in_batches):
    samples, target = samples_of(in_batches=in_batches), target_of(kind)
    prepared = shared(learner, samples)
    rng = np.random.default_rng(0)
    for fold in make_folds(target, GROUPS, n_splits=4, n_repeats=1, rng=rng)[:2]:
        truth = learn(learner, samples.take(fold.train), target.take(fold.train))
        same(learn(learner, prepared.take(fold.train), target.take(fold.train)), truth)


@pytest.mark.parametrize("in_batches", [False, True])
@pytest.mark.parametrize("kind", get_args(LabelKind))
@pytest.mark.parametrize("learner", [LEARNERS["fixed"], LEARNERS["open"]], ids=["fixed", "open"])
def test_permuted_labels_learn_what_they_would_learn_alone(learner, kind, in_batches):
    samples = samples_of(in_batches=in_batches)
    prepared = shared(learner, samples)
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(P)
        target = target_of(kind, LABELS[order], NUMBERS[order])
        same(learn(learner, prepared, target), learn(learner, samples, target))


COVARIATES = np.random.default_rng(7).normal(size=(P, 2)) + LABELS[:, None]
WIDE = random_cohort((3,) * P, d=60, labels=LABELS, weighted=True, shift=0.8, seed=4)  # more features than cells


@pytest.mark.parametrize("kept", [0, 2**20], ids=["plans", "scatters of pairs"])
@pytest.mark.parametrize("cohort", [COHORT, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("kind", get_args(LabelKind))
@pytest.mark.parametrize("scale", get_args(RidgeScale))
def test_covariates_move_whole_samples_which_leaves_their_plans(monkeypatch, scale, kind, cohort, kept):
    """Their effects follow the labels, so each labeling has cells of its own; alone, it solves all plans anew."""
    monkeypatch.setattr(scatter_module, "BY_PAIR", kept)
    learner = Learner(method=replace(FIXED, ridge_scale=scale), shrinkage=0.0, n_comps=2)
    samples = replace(samples_of(in_batches=True, cohort=cohort), covariates=COVARIATES)
    prepared = learner.with_work(samples, rng=np.random.default_rng(1), draw=True)
    assert isinstance(prepared.work, Work)
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(P)
        target = target_of(kind, LABELS[order], NUMBERS[order])
        truth = learn(learner, samples, target)
        found = learn(learner, prepared, target)
        same(found, truth)
        np.testing.assert_allclose(found.adjustment.slopes, truth.adjustment.slopes, atol=1e-12)


def test_one_round_solves_no_plan_again_for_covariates(monkeypatch):
    learner = Learner(method=replace(FIXED, n_alternations=1), shrinkage=0.0, n_comps=2)
    samples, target = replace(samples_of(), covariates=COVARIATES), target_of("classes")
    truth = learn(learner, samples, target)
    prepared = learner.with_work(samples, rng=np.random.default_rng(1), draw=True)
    monkeypatch.setattr(Warm, "solve", lambda *_: pytest.fail("a plan was solved again"))
    same(learn(learner, prepared, target), truth)


def test_with_covariates_nothing_is_shared_where_a_setting_is_decided():
    """The choice summarizes the adjusted cells; and held-out samples are adjusted apart from these."""
    samples = replace(samples_of(), covariates=COVARIATES)
    for learner, draw in ((LEARNERS["open"], True), (LEARNERS["fixed"], False)):
        assert learner.with_work(samples, rng=np.random.default_rng(1), draw=draw).work is None


def test_nothing_but_later_alternations_is_solved_again(monkeypatch):
    """The choice asks for distances to held-out samples, the metric for the plans of its second and third round."""
    learner, target = LEARNERS["fixed"], target_of("classes")
    samples = shared(learner, samples_of())
    starts, begin = [], shared_module.euclidean_start
    monkeypatch.setattr(shared_module, "euclidean_start", lambda *a, **o: starts.append(1) or begin(*a, **o))
    monkeypatch.setattr(choice_module, "euclidean_start", lambda *a, **o: starts.append(1) or begin(*a, **o))
    solved, solve = [], Warm.solve
    monkeypatch.setattr(Warm, "solve", lambda self, points, *rest: solved.append(rest) or solve(self, points, *rest))
    learn(learner, samples, target)
    assert len(solved) == 2
    learn(LEARNERS["open"], samples, target)
    assert starts == []


# A bootstrap of donors

DRAWN = np.array([0, 1, 1, 1, 2, 3, 3, 5, 5, 7, 9, 9, 10, 10, 13])


def scatters_of_copies(weigh):
    """Between and within from the plans of all pairs of copies; two copies of one sample are no pair."""
    plans, kinds = lp_plans(COHORT, squared=True), defaultdict(list)
    for i, p in enumerate(DRAWN):
        for q in DRAWN[i + 1 :]:
            if p != q:
                weigh(kinds, (min(p, q), max(p, q)))
    scatters = {True: [], False: []}
    for (one, two), members in kinds.items():
        part = [scatter_by_loops(COHORT, {pair: plans[pair]}, [1.0]) for pair in members]
        scatters[one == two].append(np.mean(part, axis=0))
    return np.mean(scatters[False], axis=0), np.mean(scatters[True], axis=0)


@pytest.mark.parametrize("in_batches", [False, True])
def test_a_bootstrap_weighs_pairs_by_how_often_both_were_drawn(in_batches):
    def weigh(kinds, pair):
        kind = tuple(sorted(LABELS[list(pair)].tolist()))
        if kind[0] == kind[1] or not in_batches or BATCH[pair[0]] == BATCH[pair[1]]:
            kinds[kind].append(pair)

    between, within = scatters_of_copies(weigh)
    learner = Learner(method=replace(FIXED, n_alternations=1), shrinkage=0.0, n_comps=2)
    prepared, target = shared(learner, samples_of(in_batches=in_batches)), target_of("classes")
    found = learn(learner, prepared.take(DRAWN), target.take(DRAWN))
    truth = dense_variates(between, within + 0.05 * np.trace(within) / 4 * np.eye(4), 2, FAINT)
    assert relative_error(theta(found.components), theta(truth)) < 1e-6


@pytest.mark.parametrize("kind", ["ordered", "numbers"])
def test_a_bootstrap_of_labels_with_an_order_weighs_pairs_by_their_gap(kind):
    """Copies are written out: their weights are those of a cohort in which they are samples of their own."""
    y = target_of(kind).values
    plans = lp_plans(COHORT, squared=True)
    pairs = [(p, q) for i, p in enumerate(DRAWN) for q in DRAWN[i + 1 :] if p != q]
    gaps = np.array([abs(y[p] - y[q]) for p, q in pairs])
    if kind == "numbers":
        between, within = gaps**2, np.exp(-0.5 * (gaps / (np.median(gaps[gaps > 0]) / 2)) ** 2)
    else:
        count = defaultdict(int)
        names = [tuple(sorted((y[p], y[q]))) for p, q in pairs]
        for name in names:
            count[name] += 1
        share = np.array([1 / count[name] for name in names])
        between, within = share * gaps**2, share * (gaps == 0)
    scatters = []
    for weights in (between, within):
        parts = [
            w / weights.sum() * scatter_by_loops(COHORT, {(min(s), max(s)): plans[min(s), max(s)]}, [1.0])
            for s, w in zip(pairs, weights, strict=True)
        ]
        scatters.append(np.sum(parts, axis=0))
    learner = Learner(method=replace(FIXED, n_alternations=1), shrinkage=0.0, n_comps=2)
    prepared, target = shared(learner, samples_of()), target_of(kind)
    found = learn(learner, prepared.take(DRAWN), target.take(DRAWN))
    truth = dense_variates(scatters[0], scatters[1] + 0.05 * np.trace(scatters[1]) / 4 * np.eye(4), 2, FAINT)
    assert relative_error(theta(found.components), theta(truth)) < 1e-6


def test_a_bootstrap_that_draws_each_sample_once_is_the_cohort():
    learner, target = LEARNERS["open"], target_of("classes")
    prepared = shared(learner, samples_of())
    same(learn(learner, prepared.take(np.arange(P)), target), learn(learner, samples_of(), target))


# What is held out


def spoiled(samples, rows):
    """The cohort with other cells in some samples."""
    points = samples.cohort.points.copy()
    for p in rows:
        own = slice(samples.cohort.offsets[p], samples.cohort.offsets[p + 1])
        points[own] = 50 * np.random.default_rng(p).standard_normal(points[own].shape) + 30
    return replace(samples, cohort=replace(samples.cohort, points=points))


@pytest.mark.parametrize("max_features", [2048, 3])
@pytest.mark.parametrize("scale", ["auto", "mean"])
def test_cells_of_held_out_samples_have_no_say(scale, max_features):
    """Not even in the principal axes that many features are reduced to."""
    learner = Learner(method=Canonical(ridge_scale=scale, max_features=max_features), n_comps=2)
    target, test = target_of("classes"), np.array([1, 6, 8])
    train = np.setdiff1d(np.arange(P), test)
    samples = samples_of()
    truth = learn(learner, samples.take(train), target.take(train))
    for cohort in (samples, spoiled(samples, test)):
        same(learn(learner, shared(learner, cohort).take(train), target.take(train)), truth)
    whole = learn(learner, samples, target)
    same(learn(learner, shared(learner, samples), target), whole)


def test_labels_of_held_out_samples_have_no_say():
    learner, test = LEARNERS["open"], np.array([1, 6, 8])
    train = np.setdiff1d(np.arange(P), test)
    prepared, target = shared(learner, samples_of()), target_of("classes")
    other = LABELS.copy()
    other[test] = (other[test] + 1) % 3
    one, two = (
        learn(learner, prepared.take(train), target_of("classes", labels).take(train)) for labels in (LABELS, other)
    )
    np.testing.assert_array_equal(one.components, two.components)
    assert target.values[test].tolist() != other[test].tolist()


# Large cohorts


@pytest.mark.parametrize("wide", [False, True])
def test_of_a_large_cohort_the_choice_is_made_on_the_training_samples_that_a_fit_alone_draws(monkeypatch, wide):
    n = MOST_SAMPLES + 20
    if wide:  # as if the cells that are drawn spanned fewer dimensions than there are features
        monkeypatch.setattr(shared_module, "MOST_CELLS", 0)
    cohort = random_cohort((3,) * n, d=3, labels=np.arange(n) % 2)
    samples, learner = Samples(blind(cohort), np.arange(n)), Learner(n_comps=1)
    prepared = shared(learner, samples)
    assert prepared.work.small.n_samples == n
    assert (prepared.work.small_start is None) == wide
    assert (prepared.work.small.work, prepared.work.small.positions) == (None, None)
    target = Target("classes", (np.arange(n) % 5 == 0) * 1.0, np.array(["a", "b"]))
    for size in (MOST_SAMPLES + 5, 50):
        train = np.sort(np.random.default_rng(0).permutation(n)[:size])
        truth = learn(learner, samples.take(train), target.take(train))
        same(learn(learner, prepared.take(train), target.take(train)), truth)


def test_members_of_a_bootstrap_come_once(monkeypatch):
    seen, choose = [], learner_module.choose
    monkeypatch.setattr(
        learner_module, "choose", lambda *a, **o: seen.append((o["members"], a[3].values)) or choose(*a, **o)
    )
    prepared = shared(LEARNERS["open"], samples_of())
    learn(LEARNERS["open"], prepared.take(DRAWN), target_of("classes").take(DRAWN))
    ((members, values),) = seen
    np.testing.assert_array_equal(members, np.unique(DRAWN))
    np.testing.assert_array_equal(values, LABELS[np.unique(DRAWN)])
    np.testing.assert_array_equal(prepared.work.counts(DRAWN), np.bincount(DRAWN, minlength=P))


def test_large_samples_are_summarized_for_the_choice_alone():
    cohort = random_cohort((MOST_CELLS + 10,) * 6, d=3)
    samples = Samples(blind(cohort), np.arange(6))
    work = shared(LEARNERS["open"], samples).work
    assert work.small.cohort.sizes.tolist() == [MOST_CELLS] * 6
    assert work.cohort is samples.cohort
    assert len(work.small_start.points) == 6 * MOST_CELLS
    assert len(work.start.points) == len(cohort.points)
    small = shared(LEARNERS["open"], samples_of()).work
    assert small.small_start is small.start


# Where nothing can be shared


@pytest.mark.parametrize(
    "other",
    [
        Learner(solver=Exact(backend="pot")),
        Learner(solver=Exact(max_iter=1000)),
        Learner(method=Canonical(max_features=7)),
        Learner(method=Canonical(max_pairs=90)),
    ],
    ids=["backend", "limit", "reduction", "pairs"],
)
def test_work_of_another_solver_or_with_other_limits_is_not_used(monkeypatch, other):
    prepared = shared(Learner(), samples_of())
    solved, solve = [], shared_module.euclidean_start
    monkeypatch.setattr(choice_module, "euclidean_start", lambda *a, **o: solved.append(1) or solve(*a, **o))
    same(learn(other, prepared, target_of("classes")), learn(other, samples_of(), target_of("classes")))
    assert len(solved) == 2


def test_refits_that_differ_in_more_than_weights_share_nothing():
    samples, rng, options = samples_of(), np.random.default_rng(0), {"solver": Exact()}
    covariates = replace(samples, covariates=np.ones((P, 1)))
    assert with_work(covariates, FIXED, rng=rng, **options) is covariates
    assert with_work(samples, None, rng=rng, **options) is samples
    assert with_work(samples, replace(FIXED, max_pairs=90), rng=rng, **options) is samples
    assert with_work(samples, replace(FIXED, max_pairs=91), rng=rng, **options).work is not None
    for method in ("paper", Triplets(init="pca")):
        assert Learner(method=method).with_work(samples, rng=rng) is samples


def test_work_of_another_reduction_is_not_used():
    prepared, target = shared(LEARNERS["fixed"], samples_of()), target_of("classes")
    other = replace(LEARNERS["fixed"], method=replace(FIXED, max_features=3))
    same(learn(other, prepared, target), learn(other, samples_of(), target))
    pca = Learner(method=Triplets(init="pca", max_iter=2), n_comps=2, shrinkage=0.0)
    one, two = (learn(pca, samples, target) for samples in (prepared, samples_of()))
    np.testing.assert_array_equal(one.components, two.components)


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_the_generator_does_not_know_whether_work_was_shared(learner):
    target, states = target_of("classes"), []
    for samples in (samples_of(), shared(learner, samples_of())):
        rng = np.random.default_rng(3)
        learner.learn(samples, target, rng=rng)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1]
