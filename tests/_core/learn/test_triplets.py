from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
import ot
import pytest
from _oracles import cloud, planted_cohort, random_cohort, relative_error, theta, torch_penalty, triplets

from scggml._core.cohort import from_clouds
from scggml._core.learn import objective as objective_module
from scggml._core.learn.canonical import Canonical, canonical_metric
from scggml._core.learn.loss import draw_triplets
from scggml._core.learn.objective import Objective, Problem, typical_distance
from scggml._core.learn.pair_weights import some_pairs, weigh_pairs
from scggml._core.learn.penalty import PenaltyName, penalize
from scggml._core.learn.spectrum import orthonormal, principal_axes
from scggml._core.learn.triplets import (
    HALVINGS,
    PATIENCE,
    InitialName,
    Schedule,
    Triplets,
    fit,
    initial_components,
    refine,
)
from scggml._core.metric import canonical_form
from scggml._core.samples import Target, class_target
from scggml._core.transport.exact import Exact
from scggml._core.transport.solver import Solver

PENALTIES = get_args(PenaltyName)
W0 = np.random.default_rng(3).standard_normal((2, 4))
COHORT = random_cohort((4, 5, 3, 6, 4, 5), labels=(0, 1, 0, 1, 0, 1), weighted=True)


def learn(
    cohort=COHORT,
    init=W0,
    *,
    margin=1.0,
    lr=0.05,
    max_iter=300,
    tol=1e-3,
    batch_size=None,
    scale_free=False,
    seed=0,
    progress=False,
    n_comps=2,
    target=None,
    batch=None,
    n_triplets=None,
    keep_path=False,
    **options,
):
    return fit(
        cohort,
        init,
        Objective(margin, **({"reg": 0.05, "n_jobs": 1} | options)),
        Schedule(lr=lr, max_iter=max_iter, tol=tol, batch_size=batch_size, keep_path=keep_path),
        n_comps=n_comps,
        scale_free=scale_free,
        rng=np.random.default_rng(seed),
        target=target,
        batch=batch,
        n_triplets=n_triplets,
        progress=progress,
    )


def same_bytes(one, two):
    return all(
        getattr(one, name).tobytes() == getattr(two, name).tobytes()
        for name in ("components", "singular_values", "loss", "gradient_norm", "active")
    )


# Plain Adam


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_without_the_stopping_rule_steps_are_those_of_adam_in_torch(penalty, squared):
    torch = pytest.importorskip("torch")
    objective = Objective(1.0, penalty=penalty, reg=0.05, squared=squared, n_jobs=1)
    parameter = torch.nn.Parameter(torch.tensor(W0))
    adam = torch.optim.Adam([parameter], lr=0.05)
    losses, norms, shares = [], [], []
    for _ in range(30):
        step = objective.evaluate(COHORT, parameter.detach().numpy().copy())
        losses.append(step.value)
        norms.append(np.linalg.norm(step.gradient))
        shares.append(step.active)
        parameter.grad = torch.tensor(step.gradient)
        adam.step()
    found = learn(penalty=penalty, squared=squared, max_iter=30, tol=0.0)
    assert relative_error(theta(found.components), theta(parameter.detach().numpy())) < 1e-10
    np.testing.assert_allclose(found.loss, losses, rtol=1e-10)
    np.testing.assert_allclose(found.gradient_norm, norms, rtol=1e-8)
    np.testing.assert_allclose(found.active, shares, atol=1e-12)
    assert (found.stop, found.converged) == ("max_iter", False)
    assert losses[-1] < losses[0]


def test_without_the_stopping_rule_the_last_metric_is_kept_even_if_it_is_worse():
    found = learn(lr=5.0, max_iter=4, tol=0.0)
    last = Objective(1.0, reg=0.05).evaluate(COHORT, found.components).value
    assert last > found.loss.min() * 1.01


def test_the_result_is_in_canonical_form():
    found = learn(max_iter=5, tol=0.0)
    components, singular_values = canonical_form(found.components)
    np.testing.assert_allclose(found.components, components, atol=1e-12)
    np.testing.assert_allclose(found.singular_values, singular_values)
    assert (found.margin, found.reg) == (1.0, 0.05)


def test_no_pass_keeps_the_canonical_form_of_the_start():
    found = learn(max_iter=0)
    truth, singular_values = canonical_form(W0)
    np.testing.assert_allclose(found.components, truth, rtol=1e-12)
    np.testing.assert_allclose(found.singular_values, singular_values, rtol=1e-12)
    for name in ("loss", "gradient_norm", "active"):
        np.testing.assert_array_equal(getattr(found, name), getattr(learn(max_iter=1, tol=0.0), name))
    assert (found.stop, found.converged) == ("max_iter", False)


def test_start_and_cohort_are_left_alone():
    start, points = W0.copy(), COHORT.points.copy()
    learn(max_iter=3)
    np.testing.assert_array_equal(start, W0)
    np.testing.assert_array_equal(points, COHORT.points)


# What is kept of the way


@pytest.mark.parametrize("options", [{"tol": 0.0}, {"lr": 0.5}, {"scale_free": True}, {"squared": True, "tol": 0.0}])
def test_the_metric_of_each_pass_has_the_objective_that_was_recorded_of_it(options):
    found, without = learn(max_iter=12, keep_path=True, **options), learn(max_iter=12, **options)
    assert same_bytes(found, without)
    assert without.path is None
    assert found.path.shape == (len(found.loss), *W0.shape)
    objective = Objective(found.margin, reg=found.reg, squared=options.get("squared", False), n_jobs=1)
    values = [objective.evaluate(COHORT, W).value for W in found.path]
    np.testing.assert_allclose(values, found.loss, rtol=1e-9)
    assert len(np.unique(found.path[:, 0, 0])) > 1
    if not options.get("scale_free"):
        np.testing.assert_allclose(found.path[0], W0, rtol=1e-12)


def test_the_way_through_mini_batches_has_the_metric_at_the_start_of_each_pass():
    one, two = (learn(max_iter=n, tol=0.0, batch_size=4, keep_path=True) for n in (3, 4))
    np.testing.assert_array_equal(one.path, two.path[:3])
    np.testing.assert_allclose(canonical_form(two.path[3])[0], one.components, rtol=1e-9, atol=1e-12)


def test_a_refinement_goes_on_with_the_way():
    cohort = planted_cohort(6, (0, 1, 2) * 3, gap=3.0)
    first = learn(few_cells(cohort), "pca", max_iter=4, keep_path=True)
    objective = Objective(1.0, n_jobs=1)
    rng, schedule = np.random.default_rng(0), Schedule(lr=0.1, max_iter=4, tol=0.0, keep_path=True)
    found = refine(first, cohort, objective, schedule, passes=2, scale_free=False, rng=rng)
    assert len(found.path) == len(found.loss) == len(first.loss) + found.refined
    np.testing.assert_array_equal(found.path[:4], first.path)
    np.testing.assert_allclose(found.path[4], first.components, rtol=1e-12)


# The stopping rule


@pytest.mark.parametrize("tol", [1e-3, 0.02])
@pytest.mark.parametrize("lr", [0.02, 0.1, 0.5])
def test_the_best_metric_of_a_converged_run_is_the_one_returned(lr, tol):
    found = learn(lr=lr, tol=tol, max_iter=1000)
    assert (found.stop, found.converged) == ("converged", True)
    value = Objective(1.0, reg=0.05).evaluate(COHORT, found.components).value
    assert value == pytest.approx(found.loss.min(), rel=1e-9)


@pytest.mark.parametrize("max_iter", [3, 12, 25])
def test_the_best_metric_of_a_run_that_reached_its_limit_is_the_one_returned(max_iter):
    found = learn(lr=0.5, max_iter=max_iter)
    assert (found.stop, found.converged) == ("max_iter", False)
    assert len(found.loss) == max_iter
    value = Objective(1.0, reg=0.05).evaluate(COHORT, found.components).value
    assert value == pytest.approx(found.loss.min(), rel=1e-9)


def passes_without_progress(loss, tol):
    """How many of them, and how many at the end."""
    best, still, last = np.inf, 0, 0
    for value in loss:
        if value < best * (1 - tol):
            best, last = value, 0
        else:
            still, last = still + 1, last + 1
    return still, last


@pytest.mark.parametrize("tol", [1e-4, 1e-3, 1e-2])
def test_a_run_converges_when_passes_with_smaller_and_smaller_steps_bring_no_progress(tol):
    found = learn(tol=tol, lr=0.1)
    assert found.converged
    still, last = passes_without_progress(found.loss, tol)
    assert last >= PATIENCE
    assert still >= PATIENCE * (HALVINGS + 1)
    assert passes_without_progress(found.loss[:-1], tol)[0] < still


def test_steps_become_small_before_a_run_converges(monkeypatch):
    places, evaluate = [], Problem.evaluate

    def watched(self, objective, W, samples, triplets):
        places.append(W.copy())
        return evaluate(self, objective, W, samples, triplets)

    monkeypatch.setattr(Problem, "evaluate", watched)
    found = learn(lr=0.1)
    assert found.converged
    lengths = np.abs(np.diff(places, axis=0)).max(axis=(1, 2))
    assert lengths[0] == pytest.approx(0.1, rel=1e-6)
    assert lengths[1 - PATIENCE :].max() < 1.5 * 0.1 / 2**HALVINGS


def test_a_smaller_share_takes_more_passes_to_a_loss_that_is_no_higher():
    runs = [learn(tol=tol, lr=0.1, max_iter=1000) for tol in (3e-2, 1e-5)]
    assert [run.converged for run in runs] == [True] * 2
    assert len(runs[0].loss) < len(runs[1].loss)
    assert runs[0].loss.min() >= runs[1].loss.min()


@pytest.mark.parametrize("init", get_args(InitialName))
def test_a_converged_metric_cannot_be_improved_much(init):
    cohort = planted_cohort()
    found = learn(cohort, init, scale_free=True, lr=0.1, reg=0.1)
    assert found.converged
    again = learn(
        cohort,
        found.components,
        margin=found.margin,
        reg=found.reg,
        lr=0.02 * float(np.sqrt(np.mean(found.components**2))),
        max_iter=200,
        tol=1e-6,
    )
    assert again.loss.min() >= 0.98 * found.loss.min()


def test_margin_and_penalty_are_returned_in_the_units_of_the_metric():
    found = learn(planted_cohort(), "pca", scale_free=True, lr=0.1, reg=0.1)
    value = Objective(found.margin, reg=found.reg).evaluate(planted_cohort(), found.components).value
    assert value == pytest.approx(found.loss.min(), rel=2e-3)
    assert value < 0.9 * found.loss[0]


def test_without_active_triplets_learning_ends_at_once():
    far = replace(COHORT, points=COHORT.points + 1e3 * np.repeat(COHORT.labels, COHORT.sizes)[:, None])
    found = learn(far, reg=0.0)
    assert (found.stop, found.converged) == ("no active triplet", True)
    np.testing.assert_array_equal(found.loss, [0.0])
    np.testing.assert_array_equal(found.active, [0.0])
    np.testing.assert_allclose(theta(found.components), theta(W0), rtol=1e-12)


def test_learning_ends_where_the_last_triplet_is_satisfied():
    far = replace(COHORT, points=COHORT.points + 3 * np.repeat(COHORT.labels, COHORT.sizes)[:, None])
    found = learn(far, 0.1 * W0, reg=0.0, lr=0.01)
    assert (found.stop, found.converged) == ("no active triplet", True)
    assert len(found.loss) > 3
    assert (found.loss[:-1] > 0).all()
    assert found.loss[-1] == 0
    assert Objective(1.0).evaluate(far, found.components).value == 0.0


# Units


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_margin_and_penalty_of_a_scale_free_run_count_in_typical_distances(penalty, squared):
    found = learn(COHORT, "pca", scale_free=True, margin=0.5, reg=0.2, max_iter=0, penalty=penalty, squared=squared)
    start = principal_axes(COHORT, 2)
    unit = typical_distance(Objective(1.0, squared=squared).distances(COHORT, start), COHORT.labels)
    start = start / (np.sqrt(unit) if squared else unit)
    assert typical_distance(Objective(1.0, squared=squared).distances(COHORT, start), COHORT.labels) == pytest.approx(1)
    assert found.margin == 0.5
    assert found.reg * penalize(start, penalty)[0] == pytest.approx(0.2 * 0.5)
    # only the scale of the start is free
    scale = np.linalg.norm(found.components) / np.linalg.norm(start)
    np.testing.assert_allclose(theta(found.components), scale**2 * theta(start), atol=1e-12)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize(("margin", "reg"), [(0.5, 0.2), (3.0, 0.05)])
@pytest.mark.parametrize("init", ["canonical", "pca", W0], ids=["canonical", "pca", "array"])
def test_a_scale_free_run_starts_at_the_scale_that_serves_the_objective_best(init, margin, reg, squared):
    """Among scales from 1 to 10 of the start whose typical distance is 1."""
    found = learn(COHORT, init, scale_free=True, margin=margin, reg=reg, max_iter=0, squared=squared)
    objective = Objective(found.margin, reg=found.reg, squared=squared)
    typical = typical_distance(objective.distances(COHORT, found.components), COHORT.labels)
    scale = np.sqrt(typical) if squared else typical
    assert 1 <= scale <= 10
    assert margin < 1 or scale > 1.2
    values = [objective.evaluate(COHORT, s / scale * found.components).value for s in np.geomspace(1, 10, 41)]
    assert objective.evaluate(COHORT, found.components).value <= min(values) * (1 + 1e-2)
    assert max(values) > 1.1 * min(values)


# The median distance between classes is that of a pair in one cohort and lies between two pairs in the other.
NUMBERS = {"odd": COHORT, "even": COHORT.take(np.arange(5))}


@pytest.mark.parametrize("init", [*get_args(InitialName), W0], ids=[*get_args(InitialName), "array"])
@pytest.mark.parametrize("cohort", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize(("factor", "squared"), [(1000, False), (1000, True), (1e-9, False)])
def test_data_in_other_units_only_divide_the_metric(factor, cohort, init, squared):
    options = {"init": init, "scale_free": True, "lr": 0.1, "reg": 0.1, "max_iter": 30, "squared": squared}
    plain = learn(cohort, **options)
    other = learn(replace(cohort, points=factor * cohort.points), **options)
    assert relative_error(factor * other.components, plain.components) < 1e-6
    np.testing.assert_allclose(other.loss, plain.loss, rtol=1e-6)
    np.testing.assert_allclose(other.active, plain.active, atol=1e-12)
    assert other.stop == plain.stop
    assert relative_error(plain.components, learn(cohort, **{**options, "max_iter": 0}).components) > 0.01


@pytest.mark.parametrize("squared", [False, True])
def test_the_record_of_a_scale_free_run_is_in_the_units_of_the_metric(squared):
    options = {"scale_free": True, "margin": 0.7, "reg": 0.2, "squared": squared}
    start, found = learn(max_iter=0, **options), learn(max_iter=3, **options)
    assert (found.margin, found.reg) == (start.margin, start.reg)
    objective = Objective(found.margin, reg=found.reg, squared=squared)
    truth = objective.evaluate(COHORT, start.components)
    assert found.loss[0] == pytest.approx(truth.value, rel=1e-9)
    assert found.gradient_norm[0] == pytest.approx(np.linalg.norm(truth.gradient), rel=1e-6)
    assert found.active[0] == pytest.approx(truth.active)


def test_a_start_in_other_units_changes_nothing_in_a_scale_free_run():
    plain, small = (learn(init=factor * W0, scale_free=True, lr=0.1, max_iter=30, tol=0.0) for factor in (1.0, 2**-20))
    np.testing.assert_allclose(small.components, plain.components, rtol=1e-9)


def test_the_learning_rate_of_a_scale_free_run_counts_in_root_mean_squares_of_the_start():
    """The first step of Adam has the length of the learning rate in each entry."""
    start = learn(scale_free=True, max_iter=0).components
    moved = learn(init=start, scale_free=True, lr=1e-4, max_iter=1, tol=0.0)
    gradient = Objective(moved.margin, reg=moved.reg).evaluate(COHORT, start).gradient
    step = -1e-4 * np.sqrt(np.mean(start**2)) * np.sign(gradient)
    change = theta(moved.components) - theta(start)
    assert relative_error(change, start.T @ step + step.T @ start) < 1e-3


def test_a_start_without_distances_has_no_unit():
    cohort = replace(COHORT, points=COHORT.points * [1, 1, 1, 0])
    with pytest.raises(ValueError, match="the median distance between samples of different classes is 0, so a scale"):
        learn(cohort, np.array([[0.0, 0.0, 0.0, 1.0]]), n_comps=1, scale_free=True)


@pytest.mark.parametrize("scale_free", [False, True])
@pytest.mark.parametrize("init", get_args(InitialName))
def test_batches_that_are_the_labels_are_refused(init, scale_free):
    with pytest.raises(ValueError, match="No batch of batch_key holds training samples with different labels"):
        learn(init=init, scale_free=scale_free, batch=COHORT.labels + 3)


def test_a_mini_batch_without_a_comparison_has_no_unit():
    """Two donors of twelve have both labels; the first four samples that are drawn hold neither."""
    cohort = random_cohort((2,) * 24, labels=[0, 1] * 12, d=4)
    donor = np.arange(24)
    donor[1] = 0
    with pytest.raises(
        ValueError, match=r"The first 4 samples \(batch_size\) .* Pass batch_size=None, or margin as a num"
    ):
        learn(cohort, scale_free=True, batch=donor, batch_size=4)


# Randomness and threads


@pytest.mark.parametrize("batch_size", [None, 4])
def test_neither_threads_nor_repetition_change_a_bit(batch_size):
    options = {"scale_free": True, "max_iter": 8, "batch_size": batch_size}
    cohort = planted_cohort(6, (0, 1) * 6)
    one, again, two = (learn(cohort, "orthonormal", n_jobs=n_jobs, **options) for n_jobs in (1, 1, 2))
    assert same_bytes(one, again)
    assert same_bytes(one, two)
    other = learn(cohort, "orthonormal", seed=1, **options)
    assert not same_bytes(one, other)


@pytest.mark.parametrize("init", get_args(InitialName))
def test_single_precision_points_give_the_bits_of_the_same_double_precision_points(init):
    single = replace(COHORT, points=COHORT.points.astype(np.float32))
    double = replace(single, points=single.points.astype(np.float64))
    one, two = (learn(cohort, init, scale_free=True, max_iter=10) for cohort in (single, double))
    assert same_bytes(one, two)


# Mini-batches


@dataclass(frozen=True)
class Counted(Solver):
    """Exact, counting its pairs."""

    calls: list = field(default_factory=list)

    def solve(self, a, b, cost):
        self.calls.append(cost.shape)
        return Exact().solve(a, b, cost)


def test_a_pass_in_mini_batches_solves_the_pairs_within_batches_only():
    cohort = planted_cohort(6, (0, 1) * 6)
    solver = Counted()
    found = learn(cohort, np.eye(2, 6), batch_size=4, max_iter=5, tol=0.0, solver=solver)
    assert len(solver.calls) == 5 * 3 * 6
    assert len(found.loss) == 5
    assert (found.stop, found.converged) == ("max_iter", False)


def test_the_record_of_a_pass_is_the_mean_over_its_batches():
    """At a learning rate near 0 all batches of a pass see the start."""
    cohort = planted_cohort(6, (0, 1) * 6)
    start = np.eye(2, 6)
    objective = Objective(1.0, reg=0.05, n_jobs=1)
    found = learn(cohort, start, batch_size=6, lr=1e-12, max_iter=3, tol=0.0)
    assert len(set(found.loss.round(9))) == 3
    # any split of 12 samples into two stratified batches of 6: the mean of both, and never the whole cohort
    for value in found.loss:
        assert abs(value - objective.evaluate(cohort, start).value) > 1e-6
    hand_over = []
    evaluate = Problem.evaluate

    def watched(self, objective, W, samples, triplets):
        hand_over.append(evaluate(self, objective, W, samples, triplets))
        return hand_over[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Problem, "evaluate", watched)
        again = learn(cohort, start, batch_size=6, lr=1e-12, max_iter=3, tol=0.0)
    assert len(hand_over) == 6
    pairs = [hand_over[i : i + 2] for i in (0, 2, 4)]
    np.testing.assert_allclose(again.loss, [np.mean([s.value for s in two]) for two in pairs], rtol=1e-12)
    np.testing.assert_allclose(again.active, [np.mean([s.active for s in two]) for two in pairs], rtol=1e-12)
    norms = [np.mean([np.linalg.norm(s.gradient) for s in two]) for two in pairs]
    np.testing.assert_allclose(again.gradient_norm, norms, rtol=1e-12)


def test_a_batch_size_that_holds_all_samples_is_no_batch():
    for size in (6, 100):
        assert same_bytes(learn(max_iter=6, batch_size=size), learn(max_iter=6))


def test_mini_batches_learn_what_the_whole_cohort_teaches():
    cohort = planted_cohort(10, (0, 1, 2) * 8)
    found = learn(cohort, "pca", scale_free=True, lr=0.1, reg=0.1, batch_size=6, max_iter=40)
    assert found.components[0, 0] ** 2 / (found.components**2).sum() > 0.9


# What is learned


@pytest.mark.parametrize("init", ["canonical", "pca", "orthonormal"])
@pytest.mark.parametrize("squared", [False, True])
def test_a_planted_metric_is_recovered(init, squared):
    found = learn(planted_cohort(gap=12), init, scale_free=True, lr=0.1, reg=0.1, squared=squared, max_iter=500)
    assert found.converged
    shares = (found.components**2).sum(axis=0) / (found.components**2).sum()
    assert shares.argmax() == 0
    assert shares[0] > 0.95
    assert found.loss.min() < found.loss[0]


@pytest.mark.parametrize(("penalty", "kept"), [("l1", 1), ("l21", 1)])
def test_a_sparse_penalty_leaves_little_to_features_without_signal(penalty, kept):
    found = learn(planted_cohort(), "pca", scale_free=True, lr=0.1, reg=0.3, penalty=penalty, max_iter=500)
    norms = np.linalg.norm(found.components, axis=0)
    assert (norms > 0.1 * norms.max()).sum() == kept


# All of a run at once


def run_by_autograd(cohort, W, *, margin, reg, lr, steps, squared, found=None, weights=None):
    """Plans by POT, all else by torch, triplet by triplet; weighted triplets may replace those of the classes."""
    found = triplets(cohort.labels, "all") if found is None else found
    weights = np.ones(len(found)) if weights is None else np.array(weights)
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.tensor(W))
    adam = torch.optim.Adam([parameter], lr=lr)
    zero, clouds = torch.zeros((), dtype=torch.float64), [cloud(cohort, p) for p in range(cohort.n_samples)]
    for _ in range(steps):
        D = {}
        for q, (y, b) in enumerate(clouds):
            for p, (x, a) in enumerate(clouds[:q]):
                u = torch.tensor(x[:, None] - y) @ parameter.T
                cost = (u**2).sum(dim=2) if squared else torch.linalg.vector_norm(u, dim=2)
                D[p, q] = D[q, p] = (torch.tensor(ot.emd(a, b, cost.detach().numpy())) * cost).sum()
        hinges = [torch.relu(D.get((i, j), zero) - D[j, k] + margin) for i, j, k in found]
        mean = (torch.tensor(weights) * torch.stack(hinges)).sum() / weights.sum()
        loss = mean + reg * torch_penalty(parameter, "fro")
        adam.zero_grad()
        loss.backward()
        adam.step()
    return parameter.detach().numpy()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("squared", [False, True])
def test_thirty_steps_are_those_of_pot_and_autograd(squared, weighted):
    cohort = random_cohort((15, 12, 15, 9, 14), d=6, labels=(0, 1, 2, 0, 1), weighted=weighted)
    start = np.random.default_rng(4).standard_normal((3, 6))
    options = {"margin": 2.0, "reg": 0.01, "lr": 0.05, "squared": squared}
    found = learn(cohort, start, max_iter=30, tol=0.0, n_comps=3, **options)
    truth = run_by_autograd(cohort, start, steps=30, **options)
    assert relative_error(theta(found.components), theta(truth)) < 1e-5
    assert relative_error(theta(truth), theta(start)) > 0.1


VALUES = {"ordered": np.array([0.0, 1, 2, 0, 1]), "numbers": np.array([0.5, -1.0, 3.0, 0.5, 2.0])}
BATCH = np.array([0, 0, 1, 1, 0])


@pytest.mark.parametrize("batch", [None, BATCH], ids=["no batch", "batch"])
@pytest.mark.parametrize("kind", ["classes", "ordered", "numbers"])
def test_steps_for_any_labels_and_batches_are_those_of_pot_and_autograd(kind, batch):
    cohort = random_cohort((5, 4, 5, 3, 4), d=6, labels=(0, 1, 2, 0, 1))
    start = np.random.default_rng(4).standard_normal((2, 6))
    options = {"margin": 2.0, "reg": 0.01, "lr": 0.05, "squared": False}
    target = None if kind == "classes" else Target(kind, VALUES[kind], np.array([]))
    found = learn(cohort, start, max_iter=10, tol=0.0, target=target, batch=batch, **options)
    every = list(np.ndindex(5, 5, 5))
    gap = np.abs(np.subtract.outer(VALUES[kind], VALUES[kind])) if target else None
    weights = [max(gap[j, k] - gap[i, j], 0) for i, j, k in every] if target else None
    if target is None:
        every = triplets(cohort.labels, "all", batch)
    elif batch is not None:
        weights = [w * (batch[j] == batch[k]) for w, (_, j, k) in zip(weights, every, strict=True)]
    if weights is not None:
        every, weights = zip(*[(t, w) for t, w in zip(every, weights, strict=True) if w], strict=True)
    truth = run_by_autograd(cohort, start, steps=10, found=every, weights=weights, **options)
    assert relative_error(theta(found.components), theta(truth)) < 1e-5
    assert relative_error(theta(truth), theta(start)) > 0.1


@pytest.mark.parametrize("batch", [None, BATCH], ids=["no batch", "batch"])
def test_drawn_triplets_are_drawn_once_before_the_start(batch):
    cohort = random_cohort((5, 4, 5, 3, 4), d=6, labels=(0, 1, 2, 0, 1))
    options = {"margin": 2.0, "reg": 0.01, "lr": 0.05, "squared": False}
    found = learn(cohort, "orthonormal", seed=5, n_triplets=2, max_iter=10, tol=0.0, batch=batch, **options)
    rng = np.random.default_rng(5)
    drawn = draw_triplets(cohort.labels, 2, "all", rng, batch)
    truth = run_by_autograd(cohort, orthonormal(2, 6, rng), steps=10, found=drawn.tolist(), **options)
    assert relative_error(theta(found.components), theta(truth)) < 1e-5


@pytest.mark.parametrize("batch_size", [None, 3])
def test_the_typical_distance_of_drawn_triplets_is_that_of_the_pairs_they_hold_apart(batch_size):
    cohort = random_cohort((5, 4, 5, 3, 4), d=4, labels=(0, 1, 2, 0, 1))
    options = {"scale_free": True, "reg": 0.2, "max_iter": 0, "n_triplets": 2, "batch_size": batch_size}
    found = learn(cohort, "pca", seed=3, **options)
    drawn = draw_triplets(cohort.labels, 2, "all", np.random.default_rng(3))
    D = Objective(1.0).distances(cohort, principal_axes(cohort, 2))
    unit = np.median([D[j, k] for _, j, k in drawn])
    assert found.reg * penalize(principal_axes(cohort, 2) / unit, "fro")[0] == pytest.approx(0.2)


@pytest.mark.parametrize("kind", ["ordered", "numbers"])
def test_the_typical_distance_of_labels_with_an_order_is_that_of_different_ones(kind):
    cohort = random_cohort((5, 4, 5, 3, 4), d=4)
    target = Target(kind, VALUES[kind], np.array([]))
    for batch in (None, BATCH):
        found = learn(cohort, "pca", scale_free=True, reg=0.2, max_iter=0, target=target, batch=batch)
        unit = typical_distance(Objective(1.0).distances(cohort, principal_axes(cohort, 2)), target.values, batch)
        assert found.reg * penalize(principal_axes(cohort, 2) / unit, "fro")[0] == pytest.approx(0.2)


@pytest.mark.parametrize("kind", ["ordered", "numbers"])
@pytest.mark.parametrize("batch_size", [None, 6])
def test_steps_follow_the_feature_that_moves_with_the_values(kind, batch_size):
    values = np.array([0.0, 1, 2, 3] * 3)
    rng = np.random.default_rng(0)
    clouds = [rng.standard_normal((6, 5)) + 2 * y * np.eye(5)[0] for y in values]
    cohort = from_clouds(clouds)
    target = Target(kind, values, np.array(["a", "b", "c", "d"]) if kind == "ordered" else np.array([]))
    options = {"scale_free": True, "lr": 0.1, "reg": 0.1, "max_iter": 40, "batch_size": batch_size}
    found = learn(cohort, "pca", target=target, **options)
    assert found.components[0, 0] ** 2 / (found.components**2).sum() > 0.9
    assert found.loss.min() < found.loss[0]


@pytest.mark.parametrize("batch_size", [None, 6])
@pytest.mark.parametrize("squared", [False, True])
def test_threads_change_no_byte_of_a_run(squared, batch_size):
    cohort = planted_cohort(6, (0, 1, 2) * 4, gap=3.0)
    options = {"scale_free": True, "lr": 0.1, "reg": 0.1, "max_iter": 12, "squared": squared, "batch_size": batch_size}
    runs = [learn(cohort, "canonical", n_jobs=n_jobs, **options) for n_jobs in (1, 2, 3)]
    assert same_bytes(runs[0], runs[1])
    assert same_bytes(runs[0], runs[2])


@pytest.mark.parametrize("anchors", ["all", "distinct"])
@pytest.mark.parametrize("squared", [False, True])
def test_pairs_that_are_left_out_change_nothing(monkeypatch, squared, anchors):
    cohort, solved = planted_cohort(6, (0, 1, 2) * 4, gap=4.0), []
    options = {"scale_free": True, "lr": 0.1, "reg": 0.1, "max_iter": 30, "tol": 0.0}
    options |= {"squared": squared, "anchors": anchors}
    rule = objective_module.may_be_active

    def counted(*arguments, **options):
        solved.append(rule(*arguments, **options))
        return solved[-1]

    monkeypatch.setattr(objective_module, "may_be_active", counted)
    found = learn(cohort, "pca", **options)
    assert np.mean([needed[np.triu_indices(12, 1)].mean() for needed in solved]) < 0.9
    monkeypatch.setattr(objective_module, "may_be_active", lambda lower, *_, **__: np.ones(lower.shape, dtype=np.bool_))
    truth = learn(cohort, "pca", **options)
    np.testing.assert_allclose(found.loss, truth.loss, rtol=1e-9)
    np.testing.assert_array_equal(found.active, truth.active)
    assert relative_error(theta(found.components), theta(truth.components)) < 1e-9


@pytest.mark.parametrize("batch_size", [None, 6])
def test_trees_that_find_no_room_change_nothing(batch_size):
    cohort = planted_cohort(6, (0, 1, 2) * 4, gap=3.0)
    options = {"scale_free": True, "lr": 0.1, "reg": 0.1, "max_iter": 15, "batch_size": batch_size}
    runs = [learn(cohort, "pca", solver=Exact(cache_size=size), **options) for size in (512.0, 1e-3, 0.0)]
    for run in runs[1:]:
        np.testing.assert_allclose(run.loss, runs[0].loss, rtol=1e-9)
        assert relative_error(theta(run.components), theta(runs[0].components)) < 1e-9


@pytest.mark.parametrize("squared", [False, True])
def test_a_run_is_that_of_pot(squared):
    cohort = planted_cohort(6, (0, 1, 2) * 3, gap=3.0)
    options = {"scale_free": True, "lr": 0.1, "reg": 0.1, "max_iter": 20, "tol": 0.0, "squared": squared}
    found, truth = (learn(cohort, "pca", solver=Exact(backend=name), **options) for name in ("simplex", "pot"))
    np.testing.assert_allclose(found.loss, truth.loss, rtol=1e-8)
    assert relative_error(theta(found.components), theta(truth.components)) < 1e-6


# Refinement


def few_cells(cohort, n=4):
    """The first cells of each sample only: a bad summary."""
    rows = np.concatenate([np.arange(start, start + n) for start in cohort.offsets[:-1]])
    P = cohort.n_samples
    return replace(cohort, points=cohort.points[rows], weights=np.full(n * P, 1 / n), offsets=n * np.arange(P + 1))


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("scale_free", [False, True])
@pytest.mark.parametrize("passes", [1, 5, 40])
def test_refinement_goes_on_with_all_cells_and_never_to_a_worse_metric(passes, scale_free, squared):
    cohort = planted_cohort(6, (0, 1, 2) * 3, gap=3.0)
    options = {"scale_free": scale_free, "lr": 0.1, "reg": 0.1, "squared": squared, "tol": 1e-3}
    first = learn(few_cells(cohort), "pca", **options)
    objective = Objective(1.0, reg=0.1, squared=squared, n_jobs=1)
    schedule = Schedule(lr=0.1, max_iter=300, tol=1e-3)
    found = refine(
        first,
        cohort,
        objective,
        schedule,
        passes=passes,
        scale_free=scale_free,
        rng=np.random.default_rng(0),
    )
    exact = Objective(found.margin, reg=found.reg, squared=squared, n_jobs=1)
    before, after = (exact.evaluate(cohort, run.components).value for run in (first, found))
    own = len(first.loss)
    assert found.refined == len(found.loss) - own <= passes + 1
    assert found.loss[own] == pytest.approx(before, rel=1e-9)
    assert after == pytest.approx(found.loss[own:].min(), rel=1e-9)
    assert after < before
    assert passes == 1 or after < before * 0.995
    assert (found.margin, found.reg, found.stop) == (first.margin, first.reg, first.stop)
    for name in ("loss", "gradient_norm", "active"):
        np.testing.assert_array_equal(getattr(found, name)[:own], getattr(first, name))
    np.testing.assert_allclose(found.components, canonical_form(found.components)[0], atol=1e-12)
    assert first.refined == 0


@pytest.mark.parametrize(("scale_free", "size"), [(False, 0.1 / 8), (True, None)])
def test_the_steps_of_a_refinement_are_an_eighth(scale_free, size, monkeypatch):
    cohort = planted_cohort(6, (0, 1, 2) * 3, gap=3.0)
    first = learn(few_cells(cohort), "pca", scale_free=True, lr=0.1, reg=0.1)
    places, evaluate = [], Problem.evaluate

    def watched(self, objective, W, samples, triplets):
        places.append(W.copy())
        return evaluate(self, objective, W, samples, triplets)

    monkeypatch.setattr(Problem, "evaluate", watched)
    refine(
        first,
        cohort,
        Objective(1.0, n_jobs=1),
        Schedule(lr=0.1, max_iter=300, tol=0.0),
        passes=1,
        scale_free=scale_free,
        rng=np.random.default_rng(0),
    )
    np.testing.assert_allclose(places[0], first.components, rtol=1e-12)
    size = size or 0.1 / 8 * np.sqrt(np.mean(first.components**2))
    assert np.abs(places[1] - places[0]).max() == pytest.approx(size, rel=1e-4)


def test_a_refinement_keeps_the_triplets_that_were_drawn():
    cohort = planted_cohort(6, (0, 1, 2) * 3, gap=3.0)
    first = learn(few_cells(cohort), "pca", n_triplets=2, max_iter=4, tol=0.0)
    np.testing.assert_array_equal(first.listed, draw_triplets(cohort.labels, 2, "all", np.random.default_rng(0)))
    assert learn(few_cells(cohort), "pca", max_iter=1).listed is None
    objective, rng = Objective(1.0, reg=0.05, n_jobs=1), np.random.default_rng(9)
    found = refine(
        first, cohort, objective, Schedule(lr=0.05, max_iter=4, tol=0.0), passes=2, scale_free=False, rng=rng
    )
    truth = Problem(objective, cohort, listed=first.listed).evaluate(objective, first.components)
    assert found.loss[4] == pytest.approx(truth.value, rel=1e-9)
    np.testing.assert_array_equal(found.listed, first.listed)


def test_progress_is_shown_on_request_only(capfd):
    learn(max_iter=2)
    assert capfd.readouterr().err == ""
    learn(max_iter=2, progress=True)
    shown = capfd.readouterr().err
    assert "learning" in shown
    assert "loss=" in shown


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lr": 0.0}, r"lr=0\.0 must be a positive number; the default is 0\.1\."),
        ({"lr": np.inf}, r"lr=inf must be a positive number"),
        ({"max_iter": -1}, r"max_iter=-1 must be at least 0; 0 keeps the start as the metric\."),
        ({"tol": 1.0}, r"tol=1\.0 must be a share in \[0, 1\); 0 switches the stopping rule off\."),
        ({"tol": -0.1}, r"tol=-0\.1 must be a share"),
        ({"tol": np.nan}, r"tol=nan must be a share"),
        ({"batch_size": 1}, r"batch_size=1 must be at least 2 samples, or None for all of them\."),
    ],
)
def test_options_that_mean_nothing_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        Schedule(**{"lr": 0.1, "max_iter": 3, "tol": 1e-3, **options})


# Starts


def start(init, n_comps=2, seed=0, target=None, batch=None):
    target = class_target(COHORT) if target is None else target
    rng = np.random.default_rng(seed)
    return initial_components(init, COHORT, target, n_comps, solver=Exact(), rng=rng, batch=batch)


def canonical(target=None, batch=None, pairs=None, ridge=0.05, ridge_scale="mean"):
    weights = weigh_pairs(class_target(COHORT) if target is None else target, batch=batch, pairs=pairs)
    return canonical_metric(
        Canonical(ridge=ridge, ridge_scale=ridge_scale), COHORT, weights, 2, solver=Exact()
    ).components


def test_starts_have_names_options_or_numbers():
    np.testing.assert_array_equal(start("canonical"), canonical())
    np.testing.assert_array_equal(start(Canonical(ridge=0.5)), canonical(ridge=0.5))
    np.testing.assert_array_equal(start(Canonical(ridge_scale="feature")), canonical(ridge_scale="feature"))
    np.testing.assert_array_equal(start("pca"), principal_axes(COHORT, 2))
    np.testing.assert_array_equal(start("orthonormal", seed=3), orthonormal(2, 4, np.random.default_rng(3)))


def test_a_canonical_start_weighs_pairs_by_labels_and_batches_and_draws_them_where_there_are_many():
    target, batch = Target("numbers", np.array([0.0, 1, 2, 3, 1, 2]), np.array([])), np.array([0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(start("canonical", target=target, batch=batch), canonical(target, batch))
    strata = np.array([0, 1, 1, 2, 1, 1])  # thirds of the range
    pairs = some_pairs(strata, 8, np.random.default_rng(4))
    assert 6 <= len(pairs) < 15
    found = start(Canonical(max_pairs=8), seed=4, target=target)
    np.testing.assert_array_equal(found, canonical(target, pairs=pairs))


def test_a_start_by_numbers_is_copied_in_double_precision():
    mine = np.arange(8, dtype=np.float32).reshape(2, 4)
    found = start(mine)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, mine)
    double = mine.astype(np.float64)
    assert not np.shares_memory(start(double), double)


# The public options


def test_the_published_recipes_are_those_of_the_sources():
    paper, package = Triplets.paper(), Triplets.ggml_ot()
    names = ("margin", "penalty", "reg", "anchors", "n_triplets", "init", "lr", "max_iter", "tol", "batch_size")
    assert [getattr(paper, name) for name in names] == [
        10.0, "fro", 0.1, "all", 5, "orthonormal", 0.01, 30, 0.0, 128,
    ]  # fmt: skip
    assert [getattr(package, name) for name in names] == [
        1.0, "fro", 0.001, "all", None, "orthonormal", 0.1, 30, 0.0, None,
    ]  # fmt: skip
    assert not paper.scale_free
    assert not package.scale_free
    assert (paper.canonical, package.canonical) == (None, None)


def test_options_reach_objective_and_schedule():
    method = Triplets(margin=2.0, penalty="l21", reg=0.3, anchors="distinct", lr=0.2, max_iter=7, tol=0.0, batch_size=9)
    solver = Exact(max_iter=99)
    assert method.objective(squared=True, solver=solver, n_jobs=3) == Objective(
        2.0, penalty="l21", reg=0.3, squared=True, anchors="distinct", solver=solver, n_jobs=3
    )
    assert method.schedule() == Schedule(lr=0.2, max_iter=7, tol=0.0, batch_size=9)
    assert Triplets().objective().margin == 1.0
    assert Triplets().scale_free


def test_a_canonical_start_is_named_or_an_object():
    assert Triplets().canonical == Canonical()
    assert Triplets(init=Canonical(ridge=0.3)).canonical == Canonical(ridge=0.3)
    assert Triplets(init="pca").canonical is None
    assert Triplets(init=np.eye(2)).canonical is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"margin": 0.0}, r'margin=0\.0 must be "auto" or a positive number'),
        ({"penalty": "l2"}, r"penalty='l2' is not known; choose from"),
        ({"reg": -1.0}, r"reg=-1\.0 must be a number that is not negative"),
        ({"anchors": "some"}, r"anchors='some' is not known; choose from"),
        ({"n_triplets": 0}, r"Triplets: n_triplets=0 must be at least 1 for each anchor and class, or None for all"),
        (
            {"init": "random"},
            r"Triplets: init='random' is not known; choose from .*'pca'\), a Canonical\(...\) or an arr",
        ),
        ({"init": [[1.0]]}, r"Triplets: init=\[\[1\.0\]\] is not known"),
        (
            {"init": np.ones(3)},
            r"Triplets: init is an array of shape \(3,\) and dtype float64; finite numbers of shape",
        ),
        ({"init": np.array([[np.nan]])}, r"Triplets: init is an array of shape \(1, 1\) .* finite numbers"),
        ({"init": np.array([["a"]])}, r"Triplets: init is an array of shape \(1, 1\) and dtype <U1"),
        ({"init": np.zeros((2, 3))}, r"Triplets: init is 0 throughout; gradient steps cannot leave such a start"),
        ({"lr": 0.0}, r"lr=0\.0 must be a positive number"),
        ({"max_iter": 0}, r'Triplets: max_iter=0 must be at least 1 pass; method="canonical" takes none'),
        ({"tol": 1.0}, r"tol=1\.0 must be a share"),
        ({"batch_size": 1}, r"batch_size=1 must be at least 2 samples"),
        ({"refine": -1}, r"Triplets: refine=-1 must be at least 0 passes over all cells"),
    ],
)
def test_public_options_that_mean_nothing_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        Triplets(**options)
