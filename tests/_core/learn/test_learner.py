"""One learner for all methods: recipes written out step by step, and plain arrays of any kind of label."""

from dataclasses import replace
from typing import get_args

import numpy as np
import ot
import pytest
from _oracles import cloud, planted_cohort, random_cohort, relative_error, theta

from scggml._core.cohort import from_clouds
from scggml._core.learn.canonical import Canonical, canonical_metric
from scggml._core.learn.choice import SETTINGS, Setting
from scggml._core.learn.covariates import adjust, estimate
from scggml._core.learn.learner import USUAL, Learner, MethodName, as_method, decided
from scggml._core.learn.limits import N_COMPS
from scggml._core.learn.metric import oriented
from scggml._core.learn.pair_weights import weigh_pairs
from scggml._core.learn.shrinkage import batch_directions, shrink
from scggml._core.learn.spectrum import usable_rank
from scggml._core.learn.triplets import Triplets, fit, refine
from scggml._core.samples import LabelKind, Samples, Target, blind, class_target, labelled, plain_samples
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.exact import Exact

FIXED = Learner(method=Canonical(ridge=0.05, ridge_scale="mean"), shrinkage=0.4, n_comps=2)


def learn(learner, cohort=None, target=None, *, seed=0, **known):
    cohort = COHORT if cohort is None else cohort
    samples = replace(plain_samples(cohort), **known)
    return learner.learn(samples, class_target(cohort) if target is None else target, rng=np.random.default_rng(seed))


COHORT = random_cohort((4, 5, 3, 6, 4, 5, 4, 3), labels=(0, 1, 2, 0, 1, 2, 0, 1), weighted=True, shift=1.0)
BATCH = np.array([0, 0, 0, 1, 1, 1, 1, 0])
TARGETS = {
    "classes": class_target(COHORT),
    "ordered": Target("ordered", COHORT.labels.astype(float), COHORT.classes),
    "numbers": Target("numbers", np.array([0.5, 2, 3, -1, 2.5, 3, 0, 1]), np.array([])),
}


# Canonical variates


@pytest.mark.parametrize("batch", [None, BATCH], ids=["no batch", "batch"])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("kind", get_args(LabelKind))
def test_the_closed_form_is_variates_then_shrinkage_then_orientation(kind, share, batch):
    target = TARGETS[kind]
    cohort = labelled(COHORT, target)
    options = Canonical(ridge=0.1, ridge_scale="feature")
    variates = canonical_metric(options, cohort, weigh_pairs(target, batch=batch), 2, solver=Exact())
    kept_out = None if batch is None else batch_directions(cohort, target, batch)
    truth = oriented(shrink(variates.components, share, cohort, kept_out=kept_out), cohort, target)
    found = learn(Learner(method=options, shrinkage=share, n_comps=2), target=target, batch=batch)
    np.testing.assert_allclose(found.components, truth[0], atol=1e-10)
    np.testing.assert_allclose(found.singular_values, truth[1], atol=1e-10)
    np.testing.assert_allclose(found.class_means, truth[2], atol=1e-10)
    assert found.oriented_to == truth[3]
    np.testing.assert_allclose(found.history["eigenvalues"], variates.eigenvalues)
    assert (found.shrinkage, found.choice.reason, found.adjustment) == (share, "given", None)
    assert (found.margin, found.reg, found.refined) == (None, None, 0)


def test_a_closed_form_is_an_answer():
    for learner in (FIXED, Learner(), replace(FIXED, method=Canonical(ridge=0.3))):
        found = learn(learner)
        assert (found.stop, found.converged) == ("closed form", True)


@pytest.mark.parametrize("method", ["canonical", "triplets"])
def test_what_is_open_is_decided_and_then_used(method):
    found = learn(Learner(method=method, n_comps=2))
    setting = found.choice.setting
    assert found.choice.tried == SETTINGS
    assert setting in SETTINGS
    assert found.shrinkage == setting.shrinkage
    given = Canonical(ridge=setting.ridge, ridge_scale=setting.ridge_scale)
    given = given if method == "canonical" else Triplets(init=given)
    truth = learn(Learner(method=given, n_comps=2, shrinkage=setting.shrinkage))
    np.testing.assert_allclose(found.components, truth.components, atol=1e-12)


def small_signal(n=20):
    rng = np.random.default_rng(0)
    clouds = []
    for p in range(n):
        x = rng.standard_normal((8, 10)) * np.array([0.1] + [10.0] * 9)
        x[:, 1:] += 10 * rng.standard_normal(9)
        x[:, 0] += 0.4 * (p % 2)
        clouds.append(x)
    return from_clouds(clouds, np.arange(n) % 2)


def test_the_generator_is_left_in_one_state_whatever_is_decided():
    cases = [
        (Learner(n_comps=1), planted_cohort()),
        (Learner(n_comps=1), small_signal()),
        (Learner(n_comps=1, shrinkage=0.2), COHORT),
        (FIXED, COHORT),
        (Learner(n_comps=1), random_cohort((60, 70, 55, 52), labels=(0, 1, 0, 1))),
        (Learner(n_comps=1), random_cohort((2,) * 64)),
    ]
    states, chosen = [], []
    for learner, cohort in cases:
        rng = np.random.default_rng(3)
        found = learner.learn(plain_samples(cohort), class_target(cohort), rng=rng)
        states.append(rng.bit_generator.state)
        chosen.append(found.choice.chosen)
    assert all(state == states[0] for state in states)
    assert chosen[0] == 0
    assert chosen[1] > 0


def test_settled_a_learner_finds_the_same_metric_without_deciding_again():
    cohort = small_signal()
    for learner in (
        Learner(n_comps=1),
        Learner(method=Triplets(max_iter=5), n_comps=1),
        Learner(n_comps=1, shrinkage=0.1),
    ):
        found = learn(learner, cohort)
        assert found.choice.chosen > 0
        settled = learner.settled(found)
        again = learn(settled, cohort)
        np.testing.assert_allclose(again.components, found.components, atol=1e-12)
        assert again.choice.reason == "given"
        assert settled.shrinkage == found.shrinkage
        assert settled.canonical.is_fixed
    pca = Learner(method=Triplets(init="pca", max_iter=2), n_comps=1)
    assert pca.settled(learn(pca, cohort)).recipe.init == "pca"


def test_a_choice_replaces_the_ridge_alone():
    options = Canonical(n_alternations=7)
    assert decided(options, None) is options
    choice = learn(Learner(n_comps=1), small_signal()).choice
    found = decided(options, choice)
    assert (found.ridge, found.ridge_scale) == (choice.setting.ridge, choice.setting.ridge_scale)
    assert found.n_alternations == 7


# The published recipes


def dealt_triplets(labels, n, rng):
    """For each anchor and each other class n pairs of a sample of its class and one of the other."""
    found = []
    for j, own in enumerate(labels):
        for other in sorted({int(c) for c in labels} - {int(own)}):
            i = rng.choice(np.flatnonzero(labels == own), n)
            k = rng.choice(np.flatnonzero(labels == other), n)
            found += zip(i, [j] * n, k, strict=True)
    return found


def every_triplet(labels):
    every = range(len(labels))
    return [(i, j, k) for i in every for j in every for k in every if labels[i] == labels[j] != labels[k]]


def random_start(k, d, rng):
    q, r = np.linalg.qr(rng.standard_normal((d, k)))
    return (q * np.sign(np.diag(r))).T


def plan_and_slope(x, a, y, b, W):
    """Distance of two clouds under W with its gradient, entry by entry of the optimal plan of POT."""
    cost = np.array([[np.linalg.norm(W @ (u - v)) for v in y] for u in x])
    plan = ot.emd(a, b, cost)
    gradient = np.zeros_like(W)
    for i, j in np.argwhere(plan > 0):
        move = x[i] - y[j]
        gradient += plan[i, j] * np.outer(W @ move, move) / cost[i, j]
    return float((plan * cost).sum()), gradient


def steps_by_hand(cohort, steps, W, *, margin, reg, lr):
    """Mean hinge of the triplets of each step and Frobenius norm, with Adam (Kingma and Ba) written out."""
    clouds = [cloud(cohort, p) for p in range(cohort.n_samples)]
    mean, square, losses, active = np.zeros_like(W), np.zeros_like(W), [], []
    for step, triplets in enumerate(steps, start=1):
        pairs = {}
        for q in range(cohort.n_samples):
            pairs[q, q] = 0.0, np.zeros_like(W)
            for p in range(q):
                pairs[p, q] = pairs[q, p] = plan_and_slope(*clouds[p], *clouds[q], W)
        loss, gradient, count = reg * np.linalg.norm(W), reg * W / np.linalg.norm(W), 0
        for i, j, k in triplets:
            hinge = pairs[i, j][0] - pairs[j, k][0] + margin
            if hinge > 0:
                loss += hinge / len(triplets)
                gradient = gradient + (pairs[i, j][1] - pairs[j, k][1]) / len(triplets)
                count += 1
        losses.append(loss)
        active.append(count / len(triplets))
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        W = W - lr * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return W, losses, active


@pytest.mark.parametrize("scale", [1.0, 15.0])
@pytest.mark.parametrize("labels", [(0, 1, 0, 1, 0), (0, 1, 2, 0, 1)], ids=["two classes", "three classes"])
def test_the_method_of_the_paper_is_the_paper_written_out(labels, scale):
    cohort = random_cohort((4, 5, 3, 4, 5), d=5, labels=labels)
    cohort = replace(cohort, points=scale * cohort.points)
    rng = np.random.default_rng(7)
    drawn = dealt_triplets(cohort.labels, 5, rng)
    W, losses, active = steps_by_hand(cohort, 30 * [drawn], random_start(3, 5, rng), margin=10, reg=0.1, lr=0.01)
    found = learn(Learner(method="paper", n_comps=3), cohort, seed=7)
    assert relative_error(theta(found.components), theta(W)) < 1e-6
    np.testing.assert_allclose(found.history["loss"], losses, rtol=1e-8)
    np.testing.assert_allclose(found.history["active"], active, atol=1e-12)
    assert (0 < active[0] < 1) == (scale > 1)
    assert (found.margin, found.reg, found.shrinkage, found.choice) == (10.0, 0.1, 0.0, None)
    assert (found.stop, found.converged) == ("max_iter", False)
    assert relative_error(theta(W), theta(random_start(3, 5, np.random.default_rng(7)))) > 0.1


def test_an_epoch_of_the_paper_takes_each_triplet_once_128_in_a_step():
    cohort = random_cohort((3, 4, 2, 3, 4, 3, 3, 2, 4, 3, 3, 4, 2, 3), d=4, labels=(0, 1) * 7)
    cohort = replace(cohort, points=15.0 * cohort.points)
    rng = np.random.default_rng(3)
    drawn = np.array(dealt_triplets(cohort.labels, 10, rng))
    start = random_start(2, 4, rng)
    orders = [drawn[rng.permutation(140)] for _ in range(30)]
    steps = [part for order in orders for part in (order[:128], order[128:])]
    W, losses, active = steps_by_hand(cohort, steps, start, margin=10, reg=0.1, lr=0.01)
    found = learn(Learner(method=replace(Triplets.paper(), n_triplets=10), n_comps=2), cohort, seed=3)
    assert relative_error(theta(found.components), theta(W)) < 1e-6
    np.testing.assert_allclose(found.history["loss"], np.reshape(losses, (30, 2)).mean(axis=1), rtol=1e-8)
    np.testing.assert_allclose(found.history["active"], np.reshape(active, (30, 2)).mean(axis=1), atol=1e-12)


@pytest.mark.parametrize("init", ["canonical", "pca"])
@pytest.mark.parametrize(("penalty", "share"), [("fro", 0.4), ("l1", 0.0), ("l21", 0.0), ("nuc", 0.0)])
def test_what_a_penalty_selected_is_not_filled_again(penalty, share, init):
    if init == "canonical":
        init = Canonical(ridge=0.05, ridge_scale="mean")
    method = Triplets(penalty=penalty, init=init, max_iter=2)
    cohort = random_cohort((4, 5, 4), d=5, labels=(0, 1, 0))  # too few to decide anything
    assert learn(Learner(method=method, n_comps=2), cohort).shrinkage == share
    assert learn(Learner(method=method, n_comps=2, shrinkage=0.3), cohort).shrinkage == 0.3


def test_the_recipe_of_the_package_is_its_loop_written_out():
    cohort = random_cohort((4, 5, 3, 4, 5), d=5, labels=(0, 1, 2, 0, 1))
    start = random_start(3, 5, np.random.default_rng(7))
    steps = 30 * [every_triplet(cohort.labels)]
    W, losses, active = steps_by_hand(cohort, steps, start, margin=1, reg=0.001, lr=0.1)
    found = learn(Learner(method=Triplets.ggml_ot(), n_comps=3), cohort, seed=7)
    assert relative_error(theta(found.components), theta(W)) < 1e-6
    np.testing.assert_allclose(found.history["loss"], losses, rtol=1e-8)
    np.testing.assert_allclose(found.history["active"], active, atol=1e-12)
    assert found.shrinkage == 0.0


# Gradient steps


@pytest.mark.parametrize("batch", [None, BATCH], ids=["no batch", "batch"])
@pytest.mark.parametrize("kind", get_args(LabelKind))
def test_gradient_steps_are_those_of_the_descent(kind, batch):
    target = TARGETS[kind]
    method = Triplets(init="pca", max_iter=6, reg=0.05, penalty="l21", anchors="distinct")
    truth = fit(
        labelled(COHORT, target),
        "pca",
        method.objective(squared=True),
        method.schedule(),
        n_comps=2,
        scale_free=True,
        rng=np.random.default_rng(0),
        target=target,
        batch=batch,
    )
    found = learn(Learner(method=method, n_comps=2, squared=True, shrinkage=0.0), target=target, batch=batch)
    np.testing.assert_allclose(theta(found.components), theta(truth.components), atol=1e-12)
    for name in ("loss", "gradient_norm", "active"):
        np.testing.assert_array_equal(found.history[name], getattr(truth, name))
    assert (found.margin, found.reg, found.stop, found.refined) == (truth.margin, truth.reg, truth.stop, 0)


def test_a_summary_is_refined_on_all_cells():
    cohort = planted_cohort(6, (0, 1, 2) * 3, gap=3.0)
    few = from_clouds([x[:4] for x in np.split(cohort.points, cohort.offsets[1:-1])], cohort.labels)
    method = Triplets(init="pca", max_iter=6, refine=2)
    rng, objective = np.random.default_rng(0), method.objective()
    first = fit(few, "pca", objective, method.schedule(), n_comps=2, scale_free=True, rng=rng)
    truth = refine(first, cohort, objective, method.schedule(), passes=2, scale_free=True, rng=rng)
    learner = Learner(method=method, n_comps=2, shrinkage=0.0)
    found = learn(learner, few, everything=blind(cohort))
    np.testing.assert_allclose(theta(found.components), theta(truth.components), atol=1e-12)
    assert found.refined == truth.refined > 0
    np.testing.assert_array_equal(found.history["loss"], truth.loss)
    assert learn(learner, few).refined == 0


@pytest.mark.parametrize(
    ("shrinkage", "margin", "share"),
    [("auto", "auto", USUAL), ("auto", 1.0, 0.0), (0.2, "auto", 0.2), (0.2, 1.0, 0.2), (1, 1.0, 1.0), (0, "auto", 0.0)],
)
@pytest.mark.parametrize("init", ["pca", "orthonormal", np.eye(2, 4)], ids=["pca", "orthonormal", "array"])
def test_a_margin_in_units_of_the_data_has_no_shrinkage(init, shrinkage, margin, share):
    found = learn(Learner(method=Triplets(init=init, margin=margin, max_iter=1), n_comps=2, shrinkage=shrinkage))
    assert (found.shrinkage, found.choice) == (share, None)


def test_from_a_canonical_start_a_margin_in_units_of_the_data_has_no_shrinkage_either():
    found = learn(Learner(method=Triplets(margin=1.0, max_iter=1), n_comps=2))
    assert found.shrinkage == 0.0
    assert {setting.shrinkage for setting in found.choice.tried} == {0.0}


@pytest.mark.parametrize("kind", ["ordered", "numbers"])
def test_drawn_triplets_are_for_classes(kind):
    with pytest.raises(
        ValueError, match=rf"n_triplets=5 draws triplets of classes .* labels are {kind}\. Pass method="
    ):
        learn(Learner(method="paper"), target=TARGETS[kind])
    learn(Learner(method=Triplets(max_iter=1), n_comps=1), target=TARGETS[kind])


@pytest.mark.parametrize("method", [*get_args(MethodName), Triplets(init="pca")])
def test_batches_that_are_the_labels_are_refused_by_every_method(method):
    with pytest.raises(ValueError, match="No batch of batch_key holds training samples with different labels"):
        learn(Learner(method=method), batch=COHORT.labels)


# Covariates


@pytest.mark.parametrize("method", ["canonical", Triplets(init="pca", max_iter=3)])
@pytest.mark.parametrize("kind", get_args(LabelKind))
def test_effects_of_covariates_are_taken_off_before_anything_else(kind, method):
    target = TARGETS[kind]
    covariates = np.random.default_rng(2).normal(size=(8, 2)) + COHORT.labels[:, None]
    shifts = np.repeat(3 * covariates @ np.random.default_rng(3).normal(size=(2, 4)), COHORT.sizes, axis=0)
    samples = replace(plain_samples(COHORT), covariates=covariates)
    samples = replace(samples, cohort=replace(samples.cohort, points=COHORT.points + shifts))
    learner = Learner(method=method, n_comps=2)
    effects = estimate(samples, target)
    truth = learner.learn(adjust(samples, effects), target, rng=np.random.default_rng(0))
    found = learner.learn(samples, target, rng=np.random.default_rng(0))
    np.testing.assert_allclose(found.components, truth.components, atol=1e-10)
    np.testing.assert_array_equal(found.adjustment.slopes, effects.slopes)
    assert truth.adjustment is None
    # a planted linear effect leaves no trace at all
    plain = learner.learn(replace(samples, cohort=blind(COHORT)), target, rng=np.random.default_rng(0))
    np.testing.assert_allclose(found.components, plain.components, atol=1e-6)


# Numbers of components


def test_by_default_there_are_as_many_components_as_the_cells_can_carry_up_to_five():
    assert [len(learn(Learner(shrinkage=0.1), random_cohort((4,) * 6, d=d)).components) for d in (1, 3, 5, 9)] == [
        1, 3, 5, 5,
    ]  # fmt: skip
    assert N_COMPS == 5
    few = random_cohort((1, 1, 1, 1), d=9)
    assert usable_rank(few, 9) == 3
    constant = replace(few, points=few.points * ([1, 0] + [0] * 7) + 2)
    assert usable_rank(constant, 9) == 1
    assert usable_rank(replace(few, points=few.points * 0), 9) == 1


@pytest.mark.parametrize("method", ["canonical", "triplets", "paper"])
def test_rows_beyond_the_features_are_zero(method):
    found = learn(Learner(method=method, n_comps=6))
    assert found.components.shape == (6, 4)
    np.testing.assert_allclose(found.components[4:], 0.0, atol=1e-9)
    np.testing.assert_allclose(found.singular_values[4:], 0.0, atol=1e-9)


# Plain arrays

RNG = np.random.default_rng(11)
LEVELS = ["low", "mid", "high"]
SHIFTS = np.arange(12) % 3
CLOUDS = [RNG.normal(size=(5 + p % 3, 4)) + 2.0 * s * np.eye(4)[0] for p, s in enumerate(SHIFTS)]
LABELS = {
    "classes": ([f"c{s}" for s in SHIFTS], {}),
    "ordered by a list": ([LEVELS[s] for s in SHIFTS], {"label_kind": LEVELS}),
    "ordered numbers": (SHIFTS, {"label_kind": "ordered"}),
    "numbers": (SHIFTS + RNG.normal(size=12) / 9, {"label_kind": "numbers"}),
    "booleans": (SHIFTS > 0, {}),
    "two numbers": ((SHIFTS > 0).astype(int), {}),
    "another reference": ([f"c{s}" for s in SHIFTS], {"reference_class": "c2"}),
}


@pytest.mark.parametrize("method", ["canonical", "triplets"])
@pytest.mark.parametrize(("labels", "options"), LABELS.values(), ids=LABELS)
def test_arrays_of_any_kind_of_label_give_the_metric_of_the_feature_that_follows_it(labels, options, method):
    metric = Learner(method=method, n_comps=1).fit(CLOUDS, labels, n_jobs=1, **options)
    assert metric.components.shape == (1, 4)
    assert metric.importance.argmax() == 0
    assert metric.shares[0] == pytest.approx(1)
    up = -1 if "reference_class" in options else 1
    assert np.sign(metric.components[0, 0]) == up
    D = metric.distances(CLOUDS)
    own = SHIFTS[:, None] == SHIFTS
    assert D[own].max() < D[np.abs(SHIFTS[:, None] - SHIFTS) == 2].min()


def test_the_metric_of_arrays_is_that_of_the_same_samples():
    labels, groups, batch = LABELS["classes"][0], [f"d{p // 2}" for p in range(12)][::-1], list("aabb" * 3)
    learner = Learner(n_comps=2, squared=True)
    found = learner.fit(CLOUDS, labels, groups=groups, batch=batch, rng=4)
    samples = Samples(
        blind(from_clouds(CLOUDS)),
        np.arange(12) // 2,  # in order of first appearance
        batch=np.array([0, 0, 1, 1] * 3),
    )
    target = Target("classes", SHIFTS.astype(float), np.array(["c0", "c1", "c2"]))
    truth = learner.learn(samples, target, rng=np.random.default_rng([4, 2]))
    np.testing.assert_array_equal(found.components, truth.components)
    np.testing.assert_array_equal(found.singular_values, truth.singular_values)
    assert found.squared


def test_a_seed_may_be_of_any_kind_and_a_generator_is_advanced():
    def fitted(rng):
        return Learner(method="paper", n_comps=2).fit(CLOUDS, LABELS["booleans"][0], rng=rng).components

    np.testing.assert_array_equal(fitted(5), fitted(np.int32(5)))
    assert not np.allclose(fitted(5), fitted(6))
    generator = np.random.default_rng(0)
    one, two = fitted(generator), fitted(generator)
    assert not np.allclose(one, two)
    np.testing.assert_array_equal(fitted(np.random.default_rng(0)), one)


def test_threads_change_no_bit():
    one, two = (Learner(n_comps=2).fit(CLOUDS, LABELS["classes"][0], n_jobs=n) for n in (1, 2))
    assert one.components.tobytes() == two.components.tobytes()


def test_single_precision_clouds_will_do():
    single = [x.astype(np.float32) for x in CLOUDS]
    double = [x.astype(np.float64) for x in single]
    one, two = (Learner(n_comps=2).fit(x, LABELS["classes"][0]) for x in (single, double))
    np.testing.assert_allclose(one.components, two.components, rtol=1e-8)


def test_progress_is_shown_on_request_only(capfd):
    Learner(n_comps=1).fit(CLOUDS, LABELS["classes"][0])
    assert capfd.readouterr().err == ""
    Learner(n_comps=1).fit(CLOUDS, LABELS["classes"][0], progress=True)
    assert "canonical variates" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"labels": ["a", "b"] * 5}, r"labels has 10 entries for 12 clouds"),
        ({"labels": ["a"] * 12}, r"labels has one class only \('a'\)"),
        ({"labels": ["a"] * 11 + ["b"]}, r"Class 'b' of labels has a single sample \('11'\)"),
        ({"labels": ["a"] * 11 + [None]}, r"labels has missing values"),
        ({"labels": np.arange(12)}, r"labels holds numbers with 12 different values \(0 to 11\)"),
        ({"labels": [["a"]] * 12}, r"labels has shape \(12, 1\)"),
        ({"label_kind": "ordered"}, r'label_kind="ordered", but labels says nothing about the order'),
        ({"label_kind": "numbers"}, r'label_kind="numbers", but labels does not hold numbers'),
        ({"label_kind": ["a"]}, r"label_kind=\['a'\] lists the levels of labels .* it lacks 'b'"),
        ({"reference_class": "c"}, r"reference_class='c' is not a class of labels, which has 'a', 'b'"),
        ({"clouds": []}, r"clouds is a list of arrays"),
        ({"clouds": [np.ones((2, 2))] * 11 + [np.full((2, 2), np.nan)]}, r"clouds\[11\] has values that are NaN"),
        ({"clouds": [np.ones((2, 2))] * 12}, r"All samples of the cohort are the same point cloud"),
        ({"groups": np.arange(11)}, r"groups has shape \(11,\); one entry for each of the 12 clouds is needed"),
        ({"batch": np.zeros((12, 1))}, r"batch has shape \(12, 1\); one entry for each of the 12 clouds is needed"),
        ({"batch": ["a", "b"] * 6}, r"No batch of batch_key holds training samples with different labels"),
        ({"rng": -1}, r"rng=-1 must be at least 0 \(the seed\) or a numpy.random.Generator"),
        ({"n_jobs": 0}, r"n_jobs=0 must be at least 1 thread"),
    ],
)
def test_what_is_wrong_with_arrays_is_named(given, text):
    given = {"clouds": CLOUDS, "labels": ["a", "b"] * 6} | given
    with pytest.raises(ValueError, match=text):
        Learner(n_comps=1).fit(given.pop("clouds"), given.pop("labels"), **given)


@pytest.mark.parametrize("rng", [None, "0", 1.5, np.random.RandomState(0)])
def test_what_is_no_seed_is_refused(rng):
    with pytest.raises(TypeError, match=r"rng=.* must be a whole number of at least 0 \(the seed\) or a numpy"):
        Learner().fit(CLOUDS, ["a", "b"] * 6, rng=rng)


# Options


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"method": "wasserstein"},
            ValueError,
            r"method='wasserstein' is not known; choose from \('canonical', 'triplets'",
        ),
        ({"method": Canonical}, TypeError, r"method is the class Canonical; pass a name of"),
        ({"method": 3}, TypeError, r"method is a int; pass a name of"),
        ({"method": None}, TypeError, r"method is a NoneType; pass a name of"),
        ({"n_comps": 0}, ValueError, r"n_comps=0 must be at least 1, or None for up to 5"),
        ({"n_comps": 2.0}, TypeError, r"n_comps=2\.0 must be a whole number"),
        ({"n_comps": True}, TypeError, r"n_comps=True must be a whole number"),
        ({"squared": 1}, TypeError, r"squared=1 must be True or False"),
        ({"shrinkage": 1.5}, ValueError, r"shrinkage=1\.5 must be a share between 0 and 1"),
        ({"shrinkage": None}, TypeError, r"shrinkage=None must be a share between 0 and 1"),
        ({"solver": "newton"}, ValueError, r"solver='newton' is not known; choose from"),
        ({"solver": Coreset()}, TypeError, r"solver is a Coreset; pass a name of"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, error, text):
    with pytest.raises(error, match=text):
        Learner(**options)


def test_methods_have_names():
    assert as_method("canonical") == Canonical()
    assert isinstance(as_method("triplets"), Triplets)
    assert as_method("triplets").scale_free
    assert as_method("paper").margin == 10.0
    own = Triplets(margin=3.0)
    assert as_method(own) is own
    for name in get_args(MethodName):
        assert isinstance(Learner(method=name).recipe, Canonical | Triplets)


def test_the_cost_goes_by_squared():
    assert (Learner().cost, Learner(squared=True).cost) == ("euclidean", "sqeuclidean")


def test_the_usual_setting_is_the_first():
    assert SETTINGS[0] == Setting(0.05, "mean", USUAL)
