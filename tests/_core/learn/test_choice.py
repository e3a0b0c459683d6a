"""Settings are decided by held-out training donors, and by nothing else."""

from dataclasses import replace

import numpy as np
import ot
import pytest
from _oracles import cloud, cost_by_loops, planted_cohort, random_cohort

from scggml._core.cohort import from_clouds
from scggml._core.folds import make_folds
from scggml._core.learn import choice as module
from scggml._core.learn.canonical import Canonical, canonical_metric
from scggml._core.learn.choice import (
    ERRORS,
    MOST_CELLS,
    MOST_SAMPLES,
    N_SPLITS,
    SETTINGS,
    Setting,
    _decide,
    choose,
    drawn,
    settings_for,
    smaller,
    summarize,
)
from scggml._core.learn.pair_weights import weigh_pairs
from scggml._core.learn.scatter import Start, euclidean_start
from scggml._core.learn.shrinkage import batch_directions, shrink
from scggml._core.samples import Samples, Target, blind, class_target, plain_samples
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs
from scggml._core.votes import LEAST, NEIGHBORS

OPTIONS = {"cost": "euclidean", "solver": Exact(), "n_jobs": 1}


def decide(samples, target, *, seed=0, n_comps=2, method=None, shrinkage="auto", **options):
    method = Canonical() if method is None else method
    rng = np.random.default_rng(seed)
    return choose(method, shrinkage, samples, target, n_comps, rng=rng, **OPTIONS | options)


# Which settings there are


def test_without_anything_given_all_settings_are_tried_and_the_usual_one_first():
    assert settings_for(Canonical(), "auto") == SETTINGS
    assert Setting(0.05, "mean", 0.4) == SETTINGS[0]


@pytest.mark.parametrize("ridge", ["auto", 0.3, 1])
@pytest.mark.parametrize("scale", ["auto", "mean", "feature"])
@pytest.mark.parametrize("shrinkage", ["auto", 0, 0.4])
def test_what_is_given_stays_and_the_rest_is_tried_once_in_the_order_of_preference(ridge, scale, shrinkage):
    found = settings_for(Canonical(ridge=ridge, ridge_scale=scale), shrinkage)
    truth = []
    for setting in SETTINGS:
        wanted = (
            setting.ridge if ridge == "auto" else ridge,
            setting.ridge_scale if scale == "auto" else scale,
            setting.shrinkage if shrinkage == "auto" else shrinkage,
        )
        if wanted not in truth:
            truth.append(wanted)
    assert [(s.ridge, s.ridge_scale, s.shrinkage) for s in found] == truth
    assert (len(found) == 1) == ("auto" not in (ridge, scale, shrinkage))


def test_what_is_given_in_full_is_not_decided():
    samples, target = ordinary()
    found = decide(samples, target, method=Canonical(ridge=0.3, ridge_scale="feature"), shrinkage=0.1)
    assert (found.setting, found.reason) == (Setting(0.3, "feature", 0.1), "given")
    assert np.isnan(found.scores).all()


# The rule


def by_rule(tried, scores, donors):
    """Choose by scores (n_settings, n)."""
    return _decide(tried, float(scores[0].mean()), scores - scores[0], donors)


def settings(n):
    return tuple(Setting(0.1 * (i + 1), "mean", 0.0) for i in range(n))


def scores_with(gains, noise, n=20, seed=0):
    """Scores of which the mean gain over the first row is exact, and its standard error, too."""
    rng = np.random.default_rng(seed)
    rows = [np.zeros(n)]
    for gain, error in zip(gains, noise, strict=True):
        z = rng.standard_normal(n)
        z = (z - z.mean()) / z.std(ddof=1)
        rows.append(gain + error * np.sqrt(n) * z)
    return np.array(rows) + rng.standard_normal(n)  # how hard a sample is cancels


@pytest.mark.parametrize(
    ("gains", "noise", "chosen"),
    [
        ([0.21, 0.1], [0.1, 0.1], 1),
        ([0.19, 0.1], [0.1, 0.1], 0),
        ([0.5, 0.3], [0.3, 0.1], 2),  # the best is not clearly better, another one is
        ([0.3, 0.5], [0.1, 0.1], 2),
        ([0.3, 0.3], [0.1, 0.1], 1),
        ([-0.5, -0.1], [0.01, 0.01], 0),
        ([0.0, 0.0], [0.0, 0.0], 0),
        ([0.2, 0.2], [0.0, 0.0], 1),
    ],
)
def test_another_setting_must_be_better_by_two_standard_errors(gains, noise, chosen):
    scores = scores_with(gains, noise)
    found = by_rule(settings(3), scores, np.arange(20))
    assert found.chosen == chosen
    assert found.setting == settings(3)[chosen]
    np.testing.assert_allclose(found.scores, scores.mean(axis=1))
    np.testing.assert_allclose(found.errors, [0, *noise], atol=1e-12)
    assert ERRORS == 2


def test_the_reason_names_the_gain_and_its_error():
    assert by_rule(settings(2), scores_with([0.25], [0.1]), np.arange(20)).reason == (
        "predicts held-out training donors better than the usual setting by 0.25 +- 0.1"
    )
    assert by_rule(settings(2), scores_with([0.15], [0.1]), np.arange(20)).reason == (
        "no other setting predicts held-out training donors clearly better (the best by 0.15 +- 0.1)"
    )
    assert by_rule(settings(2), scores_with([-0.15], [0.1]), np.arange(20)).reason == (
        "no other setting predicts held-out training donors clearly better"
    )


def test_samples_of_one_donor_are_one_piece_of_evidence():
    """Five samples of each donor say what one says: the error is that of the donors, however many samples they have."""
    alone, donors = scores_with([0.2], [0.1]), np.arange(20)
    one, many = by_rule(settings(2), alone, donors), by_rule(settings(2), alone.repeat(5, axis=1), donors.repeat(5))
    np.testing.assert_allclose(many.errors, one.errors, atol=1e-12)
    np.testing.assert_allclose(many.scores, one.scores)
    assert by_rule(settings(2), alone.repeat(5, axis=1), np.arange(100)).errors[1] < 0.5 * one.errors[1]


def test_one_held_out_sample_decides_nothing():
    found = by_rule(settings(2), np.array([[0.0], [5.0]]), np.zeros(1))
    assert found.chosen == 0
    assert found.errors.tolist() == [np.inf, np.inf]


# The scores


def ordinary(seed=1):
    cohort = planted_cohort(20, (0, 1) * 6, seed=seed)
    return plain_samples(cohort), class_target(cohort)


def small_signal(seed=0, n=20):
    """One small feature tells classes apart; the donors differ along nine that are a hundred times as large."""
    rng = np.random.default_rng(seed)
    clouds = []
    for p in range(n):
        x = rng.standard_normal((8, 10)) * np.array([0.1] + [10.0] * 9)
        x[:, 1:] += 10 * rng.standard_normal(9)
        x[:, 0] += 0.4 * (p % 2)
        clouds.append(x)
    return plain_samples(from_clouds(clouds)), Target("classes", np.arange(n) % 2.0, np.array(["a", "b"]))


def votes_by_loops(distances, known):
    """Mean over numbers of neighbors of the shares of their votes, one of a class of n known samples counting 1 / n."""
    counts = np.bincount(known.codes, minlength=known.n_classes)
    order = np.argsort(distances, kind="stable")
    shares = []
    for k in NEIGHBORS:
        votes = np.zeros(known.n_classes)
        for q in order[:k]:
            votes[known.codes[q]] += 1 / counts[known.codes[q]]
        shares.append(votes / votes.sum())
    p = np.clip(np.mean(shares, axis=0), LEAST, 1 - LEAST)
    return np.log(p / p.sum())


def scores_by_loops(samples, target, seed=0, n_comps=2, squared=False):
    """Scores and errors by metrics of the training donors alone, distances by POT, votes one by one."""
    parts, tests = [], []
    for fold in make_folds(target, samples.groups, n_splits=N_SPLITS, n_repeats=1, rng=np.random.default_rng(seed)):
        training, known = samples.take(fold.train), target.take(fold.train)
        weights = weigh_pairs(known, batch=training.batch)
        kept_out = None if samples.batch is None else batch_directions(training.cohort, known, training.batch)
        part = np.empty((len(SETTINGS), len(fold.test)))
        for i, setting in enumerate(SETTINGS):
            options = Canonical(ridge=setting.ridge, ridge_scale=setting.ridge_scale, n_alternations=1)
            W = canonical_metric(options, training.cohort, weights, n_comps, solver=Exact()).components
            W = shrink(W, setting.shrinkage, training.cohort, kept_out=kept_out)
            for j, p in enumerate(fold.test):
                x, a = cloud(samples.cohort, p)
                others = [cloud(samples.cohort, q) for q in fold.train]
                D = np.array([ot.emd2(a, b, cost_by_loops(x, y, W, squared=squared)) for y, b in others])
                if target.kind != "classes":
                    near = known.values[np.argsort(D, kind="stable")]
                    part[i, j] = -abs(np.mean([near[:k].mean() for k in NEIGHBORS]) - target.values[p])
                    continue
                part[i, j] = votes_by_loops(D, known)[target.codes[p]]
        parts.append(part)
        tests.append(fold.test)
    half = summed_up(parts[:2], tests[:2], samples, target)
    last = np.array([0, *(i for i in range(1, len(SETTINGS)) if half[0][i] - half[0][0] > 1e-12)])
    if len(last) == 1:
        return half
    scores, errors = summed_up([part[last] for part in parts], tests, samples, target)
    gains, spread = half[0] - half[0][0], np.array(half[1])
    gains[last], spread[last] = scores - scores[0], errors
    return scores[0] + gains, spread


def summed_up(parts, tests, samples, target):
    """Mean scores, classes counting equally, and standard errors of the gains, out of the sums of the donors."""
    tested, scores = np.concatenate(tests), np.concatenate(parts, axis=1)
    if target.kind == "classes":
        codes = target.codes[tested]
        present = len(set(codes.tolist()))
        scores = scores * [len(codes) / (present * np.sum(codes == code)) for code in codes]
    donors = samples.groups[tested].tolist()
    errors = []
    for row in scores - scores[0]:
        sums = [sum(gain for gain, each in zip(row, donors, strict=True) if each == donor) for donor in set(donors)]
        errors.append(np.std(sums, ddof=1) * np.sqrt(len(sums)) / len(row))
    return scores.mean(axis=1), errors


def design(kind, in_batches):
    sizes = np.random.default_rng(5).integers(3, 7, 14)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 0])
    cohort = random_cohort(sizes, d=4, labels=labels, weighted=True, shift=0.8, seed=4)
    values = labels + np.random.default_rng(6).normal(size=14) if kind == "numbers" else labels.astype(float)
    target = Target(kind, values, np.array([] if kind == "numbers" else ["a", "b", "c"]))
    batch = np.array([0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1]) if in_batches else None
    groups = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 11, 12])
    return Samples(blind(cohort), groups, batch=batch), target


@pytest.mark.parametrize("in_batches", [False, True])
@pytest.mark.parametrize("kind", ["classes", "ordered", "numbers"])
def test_scores_and_errors_are_those_written_out(kind, in_batches):
    samples, target = design(kind, in_batches)
    scores, errors = scores_by_loops(samples, target)
    found = decide(samples, target)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-8)
    np.testing.assert_allclose(found.errors, errors, rtol=1e-6, atol=1e-12)
    assert len(set(found.scores.round(9))) > 1


@pytest.mark.parametrize(
    ("gains", "later"),
    [
        ([0.0, 0.1, -0.1, 0.0, 0.2], [0, 1, 4]),
        ([0.0, 0.1, 0.1, 0.1, 0.2], [0, 1, 2, 3, 4]),
        ([0.0, -0.1, 0.0, -0.2, -0.1], []),  # the usual one is not scored for nothing
    ],
)
def test_what_is_no_better_on_the_first_half_is_not_tried_on_the_second(monkeypatch, gains, later):
    seen, rng = [], np.random.default_rng(0)

    def scored(tried, *_, known_fold, **__):
        seen.append([SETTINGS.index(setting) for setting in tried])
        return np.array(gains)[seen[-1], None] + rng.standard_normal(len(known_fold.test))

    monkeypatch.setattr(module, "_held_out", scored)
    samples, target = ordinary()
    found = decide(samples, target)
    everything = list(range(len(SETTINGS)))
    assert seen == [everything, everything, *([later, later] if later else [])]
    np.testing.assert_allclose(found.scores - found.scores[0], gains, atol=1e-12)
    assert found.chosen == (int(np.argmax(gains)) if later else 0)
    assert found.given_up == tuple(i for i in everything if i not in (later or [0]))


def test_classes_count_equally_in_the_half_that_a_setting_was_tried_on(monkeypatch):
    """Class a is in the first half alone: its samples count there for as much as those of the others together."""
    target = Target("classes", np.array([0.0, 0, 1, 1, 1, 1, 1, 1]), np.array(["a", "b"]))
    parts = [np.arange(4), np.array([4, 5]), np.array([6, 7])]
    scores = np.zeros((2, 8))
    scores[1] = [0.6, 0.6, -0.8, -0.8, np.nan, np.nan, np.nan, np.nan]
    found = module._gains(scores, target, np.concatenate(parts))
    assert np.nanmean(found[1]) == pytest.approx((0.6 - 0.8) / 2)
    assert np.nanmean(found[0]) == 0
    whole = np.where(np.isnan(scores), -0.8, scores)
    assert module._gains(whole, target, np.concatenate(parts))[1].mean() == pytest.approx((0.6 - 0.8) / 2)
    assert module._gains(scores, replace(target, kind="numbers"), np.arange(8))[1][0] == 0.6


def test_the_squared_cost_is_that_of_the_learner():
    samples, target = design("classes", in_batches=False)
    truth, _ = scores_by_loops(samples, target, squared=True)
    np.testing.assert_allclose(decide(samples, target, cost="sqeuclidean").scores, truth, rtol=1e-8)


def test_members_of_a_larger_cohort_are_scored_as_if_they_were_alone():
    samples, target = design("classes", in_batches=True)
    start = euclidean_start(samples.cohort, all_pairs(14), solver=Exact(), max_features=2048)
    members = np.array([0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13])
    truth = decide(samples.take(members), target.take(members))
    found = decide(samples, target.take(members), start=start, members=members)
    np.testing.assert_allclose(found.scores, truth.scores, rtol=1e-9)
    np.testing.assert_allclose(found.errors, truth.errors, rtol=1e-6, atol=1e-12)
    assert (found.chosen, found.reason) == (truth.chosen, truth.reason)


def test_reduced_features_get_the_same_ridge_as_in_the_metric_itself():
    """A share of the mean variance over all features, one of which is constant here and reduced away."""
    samples, target = design("classes", in_batches=False)
    points = np.column_stack([samples.cohort.points, np.zeros(len(samples.cohort.points))])
    wide = replace(samples, cohort=replace(samples.cohort, points=points))
    whole, reduced, less = (
        decide(wide, target, method=Canonical(ridge_scale="mean", max_features=m)).scores for m in (5, 4, 3)
    )
    np.testing.assert_allclose(reduced, whole, rtol=1e-7)
    assert not np.allclose(less, whole, rtol=1e-3)


# What is chosen


@pytest.mark.parametrize("seed", range(3))
def test_a_small_feature_among_large_ones_asks_for_a_ridge_by_feature(seed):
    found = decide(*small_signal(seed), n_comps=1)
    assert found.setting.ridge_scale == "feature"
    assert found.reason.startswith("predicts held-out training donors better than the usual setting by")
    assert found.scores[found.chosen] > found.scores[0] + 0.3


@pytest.mark.parametrize("seed", range(3))
def test_an_ordinary_cohort_keeps_the_usual_setting(seed):
    """Planted in one feature; and a shift of all features, with donors that differ."""
    rng = np.random.default_rng(seed)
    shifted = from_clouds([rng.normal(size=(8, 6)) + rng.normal(size=6) + 1.5 * (p % 2) for p in range(16)])
    found = decide(plain_samples(shifted), Target("classes", np.arange(16) % 2.0, np.array(["a", "b"])))
    assert (found.chosen, found.setting) == (0, SETTINGS[0])
    cohort = planted_cohort(seed=seed)
    found = decide(plain_samples(cohort), class_target(cohort))
    assert (found.chosen, found.setting) == (0, SETTINGS[0])
    assert found.reason.startswith("no other setting predicts held-out training donors clearly better")


def test_what_is_given_is_kept_where_the_rest_is_decided():
    samples, target = small_signal()
    found = decide(samples, target, n_comps=1, method=Canonical(ridge=0.07), shrinkage=0.3)
    assert found.tried == (Setting(0.07, "mean", 0.3), Setting(0.07, "feature", 0.3))
    assert found.chosen == 1


def test_the_seed_decides_the_folds():
    samples, target = design("classes", in_batches=False)
    one, same, other = (decide(samples, target, seed=seed).scores for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


# What may be seen


@pytest.mark.parametrize("in_batches", [False, True])
def test_held_out_donors_are_whole_and_never_among_the_training_samples(monkeypatch, in_batches):
    samples, target = design("classes", in_batches)
    seen, scattered = [], []
    pairs_of, scatters = module.between_pairs, Start.scatters

    def watched(test, training):
        seen.append((test.tolist(), training.tolist()))
        return pairs_of(test, training)

    def counted(start, pairs, kinds):
        scattered.append([set(pairs[weights > 0].ravel().tolist()) for weights in kinds])
        return scatters(start, pairs, kinds)

    monkeypatch.setattr(module, "between_pairs", watched)
    monkeypatch.setattr(Start, "scatters", counted)
    monkeypatch.setattr(module, "_gains", lambda scores, *_: np.ones_like(scores))  # nothing is given up halfway
    decide(samples, target)
    tests = {tuple(test): training for test, training in seen}
    assert sorted(p for test in tests for p in test) == list(range(14))
    assert len(seen) == len(tests)
    for test, training in tests.items():
        assert sorted([*test, *training]) == list(range(14))
        assert not set(samples.groups[list(test)]) & set(samples.groups[training])
    for (test, _), used in zip(seen, scattered, strict=True):
        assert all(not part & set(test) for part in used)


def test_labels_of_held_out_samples_do_not_move_the_metrics(monkeypatch):
    """Relabelled, a held-out sample is scored by the same distances."""
    samples, target = design("classes", in_batches=False)
    folds = make_folds(target, samples.groups, n_splits=4, n_repeats=1, rng=np.random.default_rng(0))
    monkeypatch.setattr(module, "_folds", lambda *_: folds)
    seen = []
    score = module._scores
    monkeypatch.setattr(module, "_scores", lambda D, *rest: seen.append(D) or score(D, *rest))
    monkeypatch.setattr(module, "_gains", lambda scores, *_: np.ones_like(scores))  # nothing is given up halfway
    decide(samples, target)
    values = target.values.copy()
    values[folds[0].test] = (values[folds[0].test] + 1) % 3
    decide(samples, replace(target, values=values))
    # The first fold, with distances under all settings, before and after.
    np.testing.assert_array_equal(seen[0], seen[len(seen) // 2])
    assert not np.allclose(seen[1], seen[len(seen) // 2 + 1])


# Too few


@pytest.mark.parametrize(
    "groups", [np.zeros(12, dtype=int), np.arange(12) % 2, np.array([0] + [1] * 11)], ids=["one", "two", "unequal"]
)
def test_too_few_donors_keep_the_usual_setting(groups):
    samples, target = ordinary()
    found = decide(replace(samples, groups=groups), target)
    assert (found.chosen, found.setting) == (0, SETTINGS[0])
    assert found.reason == "too few donors to hold any out, so the usual setting is kept"
    assert np.isnan(found.scores).all()


NOTHING = "labels vary in too few donors to hold any out, so the usual setting is kept"


def test_where_no_donor_alone_teaches_anything_the_usual_setting_is_kept():
    """Without the other donor each batch holds one class, or all samples have one number."""
    cohort = random_cohort((4,) * 4, d=3)
    crossed = Samples(blind(cohort), np.array([0, 0, 1, 1]), batch=np.array([0, 1, 0, 1]))
    found = decide(crossed, Target("classes", np.array([0.0, 1, 1, 0]), np.array(["a", "b"])))
    assert (found.setting, found.reason) == (SETTINGS[0], NOTHING)
    assert np.isnan(found.scores).all()
    found = decide(replace(crossed, batch=None), Target("numbers", np.array([1.0, 1, 2, 2]), np.array([])))
    assert (found.setting, found.reason) == (SETTINGS[0], NOTHING)


def test_parts_that_teach_nothing_are_left_out_of_the_scores():
    """The only two labels of one batch are those of donor 0: held out, it cannot be predicted, and need not be."""
    samples, target = ordinary()
    donors = np.array([0, 0, *range(1, 11)])
    found = decide(replace(samples, batch=donors, groups=donors), target)
    assert np.isfinite(found.scores).all()


# A smaller cohort


def large(n_samples=70, n_cells=3):
    codes = np.repeat([0, 1, 2], [n_samples - 25, 20, 5])
    cohort = random_cohort((n_cells,) * n_samples, d=3, labels=codes, weighted=True)
    return replace(plain_samples(cohort), everything=cohort), class_target(cohort)


def test_of_many_samples_as_many_of_each_class_are_kept_in_their_order():
    _, target = large()
    kept = drawn(target, np.random.default_rng(0))
    assert len(kept) == MOST_SAMPLES
    assert (np.diff(kept) > 0).all()
    assert np.bincount(target.codes[kept]).tolist() == [35, 20, 5]
    assert not np.array_equal(kept, drawn(target, np.random.default_rng(1)))


def test_a_small_cohort_stays_as_it_is_and_draws_nothing():
    samples, target = large(50)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(drawn(target, rng), np.arange(50))
    small = smaller(samples, rng)
    assert small.cohort is samples.cohort
    assert small.everything is None
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_large_samples_are_summarized_each_by_itself():
    cohort = random_cohort((MOST_CELLS + 10, 5, MOST_CELLS + 30), d=3, weighted=True)
    samples = plain_samples(cohort)
    small = smaller(samples, np.random.default_rng(0))
    assert small.cohort.sizes.tolist() == [MOST_CELLS, 5, MOST_CELLS]
    rng, starts = np.random.default_rng(0), cohort.offsets
    for p in range(3):
        rows = slice(starts[p], starts[p + 1])
        points, weights = Coreset(MOST_CELLS).summarize(cohort.points[rows], cohort.weights[rows], rng)
        own = slice(small.cohort.offsets[p], small.cohort.offsets[p + 1])
        np.testing.assert_array_equal(small.cohort.points[own], points)
        np.testing.assert_array_equal(small.cohort.weights[own], weights)
    np.testing.assert_array_equal(summarize(cohort, Coreset(100), np.random.default_rng(0)).points, cohort.points)
