from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from _oracles import (
    cloud,
    cost_by_loops,
    finite_differences,
    list_hinge,
    lp_ot,
    ordered_list_hinge,
    random_cohort,
    relative_error,
    torch_objective,
    torch_penalty,
    triplets,
    weighted_list_hinge,
)

from scggml._core.learn.loss import Anchors
from scggml._core.learn.objective import Objective, Problem, typical_distance
from scggml._core.learn.penalty import PenaltyName
from scggml._core.transport.exact import Exact

PENALTIES, ANCHORS = get_args(PenaltyName), get_args(Anchors)
COHORT = random_cohort((4, 5, 3, 6, 4), labels=(0, 1, 0, 2, 1), weighted=True)
W = np.random.default_rng(7).standard_normal((2, 4))

every_objective = pytest.mark.parametrize(
    "options",
    [
        {"penalty": penalty, "squared": squared, "anchors": anchors}
        for penalty in PENALTIES
        for squared in (False, True)
        for anchors in ANCHORS
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)


def margin_of(squared):
    """A margin for which some of the triplets are active and some are not."""
    return 0.5 if squared else 0.2


@every_objective
def test_the_gradient_is_the_slope_of_the_value(options):
    objective = Objective(margin_of(options["squared"]), reg=0.3, n_jobs=1, **options)
    found = objective.evaluate(COHORT, W)
    assert 0 < found.active < 1
    slopes = finite_differences(lambda V: objective.evaluate(COHORT, V).value, W)
    assert relative_error(found.gradient, slopes) < 1e-5


@every_objective
def test_value_and_gradient_are_those_of_autograd(options):
    margin = margin_of(options["squared"])
    found = Objective(margin, reg=0.3, n_jobs=1, **options).evaluate(COHORT, W)
    value, gradient = torch_objective(COHORT, W, margin=margin, reg=0.3, **options)
    assert found.value == pytest.approx(value, rel=1e-9)
    assert relative_error(found.gradient, gradient) < 1e-9


@pytest.mark.parametrize("squared", [False, True])
def test_distances_are_the_optimal_transport_of_projected_cells(squared):
    D = Objective(1.0, squared=squared).distances(COHORT, W)
    truth = np.zeros_like(D)
    for p, q in np.ndindex(D.shape):
        if p != q:
            (x, a), (y, b) = cloud(COHORT, p), cloud(COHORT, q)
            truth[p, q] = lp_ot(a, b, cost_by_loops(x, y, W, squared=squared))[0]
    np.testing.assert_allclose(D, truth, rtol=1e-9)


@pytest.mark.parametrize("anchors", ANCHORS)
def test_the_value_is_the_mean_hinge_plus_the_penalty(anchors):
    objective = Objective(0.2, penalty="l1", reg=0.25, anchors=anchors)
    hinge, _, active = list_hinge(objective.distances(COHORT, W), COHORT.labels, 0.2, anchors)
    found = objective.evaluate(COHORT, W)
    assert found.value == pytest.approx(hinge + 0.25 * np.abs(W).sum(), rel=1e-12)
    assert found.active == pytest.approx(active)


def test_without_active_triplets_only_the_penalty_is_left():
    far = replace(COHORT, points=COHORT.points + 1e3 * np.repeat(COHORT.labels, COHORT.sizes)[:, None])
    free = Objective(0.2).evaluate(far, W)
    assert (free.value, free.active) == (0.0, 0.0)
    np.testing.assert_array_equal(free.gradient, np.zeros_like(W))
    held = Objective(0.2, penalty="l1", reg=2.0).evaluate(far, W)
    assert held.value == pytest.approx(2 * np.abs(W).sum())
    np.testing.assert_allclose(held.gradient, 2 * np.sign(W))


@pytest.mark.parametrize("k", [1, 4, 6])
def test_any_number_of_components_will_do(k):
    V = np.random.default_rng(k).standard_normal((k, 4))
    found = Objective(0.5, reg=0.1).evaluate(COHORT, V)
    value, gradient = torch_objective(COHORT, V, margin=0.5, penalty="fro", reg=0.1, squared=False, anchors="all")
    assert found.value == pytest.approx(value, rel=1e-9)
    assert relative_error(found.gradient, gradient) < 1e-9


def test_threads_do_not_change_a_bit():
    one, two = (Objective(0.5, reg=0.1, n_jobs=n_jobs).evaluate(COHORT, W) for n_jobs in (1, 2))
    assert one.value == two.value
    assert one.gradient.tobytes() == two.gradient.tobytes()


def test_single_precision_points_give_the_bits_of_the_same_double_precision_points():
    single = replace(COHORT, points=COHORT.points.astype(np.float32))
    double = replace(single, points=single.points.astype(np.float64))
    one, two = (Objective(0.5, reg=0.1).evaluate(cohort, W) for cohort in (single, double))
    assert one.value == two.value
    assert one.gradient.dtype == np.float64
    assert one.gradient.tobytes() == two.gradient.tobytes()


def test_the_metric_of_nothing_has_no_gradient():
    found = Objective(0.5, reg=0.1).evaluate(COHORT, np.zeros((2, 4)))
    assert (found.value, found.active) == (pytest.approx(0.5), 1.0)
    np.testing.assert_array_equal(found.gradient, 0.0)


def test_pairs_that_stop_early_are_named():
    with pytest.warns(UserWarning, match=r"Exact\(max_iter=1, .* stopped before the optimum for .*\('s0', 's1'\)"):
        Objective(0.5, solver=Exact(max_iter=1, backend="pot")).evaluate(COHORT, W)


# What labels, batches and lists change

VALUES = np.array([0.5, 2.0, -1.0, 0.5, 4.0])
BATCH = np.array([0, 0, 1, 1, 0])
LISTED = np.array([[0, 2, 1], [0, 0, 3], [4, 1, 2], [4, 1, 2], [1, 4, 0], [3, 3, 0]])
DESIGNS = {
    "batch": {"batch": BATCH},
    "numbers": {"values": VALUES},
    "levels": {"values": np.array([0.0, 1, 0, 2, 1])},
    "numbers in batches": {"values": VALUES, "batch": BATCH},
    "listed": {"listed": LISTED},
    "listed in batches": {"listed": LISTED[:1], "batch": BATCH},
}
SOME = np.array([0, 1, 3, 4])


def hinge_by_lists(D, design, margin, anchors, members):
    labels, among = COHORT.labels[members], {name: part[members] for name, part in design.items() if name != "listed"}
    if "listed" in design:
        place = {int(p): i for i, p in enumerate(members)}
        found = [[place[int(p)] for p in row] for row in design["listed"] if {*map(int, row)} <= place.keys()]
        return weighted_list_hinge(D, found, [1.0] * len(found), margin)
    if "values" in design:
        return ordered_list_hinge(D, among["values"], margin, anchors, among.get("batch"))
    return list_hinge(D, labels, margin, anchors, among.get("batch"))


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("anchors", ANCHORS)
@pytest.mark.parametrize("samples", [None, SOME], ids=["all", "some"])
@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_value_and_gradient_are_those_of_the_triplets_that_count(design, samples, anchors, squared):
    objective = Objective(margin_of(squared), reg=0.3, squared=squared, anchors=anchors, n_jobs=1)
    problem = Problem(objective, COHORT, **design)
    found = problem.evaluate(objective, W, samples)
    members = np.arange(5) if samples is None else samples
    D = objective.distances(COHORT, W)[np.ix_(members, members)]
    value, _, active = hinge_by_lists(D, design, objective.margin, anchors, members)
    assert found.value == pytest.approx(value + 0.3 * np.linalg.norm(W), rel=1e-9)
    assert found.active == pytest.approx(active)
    slopes = finite_differences(lambda V: problem.evaluate(objective, V, samples).value, W)
    assert relative_error(found.gradient, slopes) < 1e-5


@pytest.mark.parametrize("squared", [False, True])
def test_with_batches_pairs_that_are_left_out_change_nothing(squared):
    """Batch 2 holds one class only, so that two of its pairs are never solved, from the first step on."""
    cohort = random_cohort((4, 5, 3, 4, 6, 4, 3, 5), labels=(0, 1, 0, 1, 1, 1, 0, 1), shift=2.0)
    batch = np.array([0, 0, 1, 1, 2, 2, 0, 1])
    objective = Objective(margin_of(squared), reg=0.1, squared=squared, n_jobs=1)
    problem, rng, solved = Problem(objective, cohort, batch=batch), np.random.default_rng(0), []
    solve = problem.transport.solve

    def counted(points, pairs, cost):
        solved.append({*map(tuple, pairs.tolist())})
        return solve(points, pairs, cost)

    problem.transport.solve = counted
    V = W
    for _ in range(12):
        found = problem.evaluate(objective, V)
        D = objective.distances(cohort, V)
        value, slopes, active = list_hinge(D, cohort.labels, objective.margin, "all", batch)
        assert found.value == pytest.approx(value + 0.1 * np.linalg.norm(V), rel=1e-9)
        assert found.active == pytest.approx(active)
        assert {(int(p), int(q)) for p, q in np.argwhere(np.triu(slopes)) if slopes[p, q]} <= solved[-1]
        V = V + 0.03 * rng.standard_normal(V.shape)
    assert all((4, 5) not in pairs for pairs in solved)
    assert all(batch[p] == batch[q] or cohort.labels[p] == cohort.labels[q] for pairs in solved for p, q in pairs)


def test_only_the_pairs_of_listed_triplets_are_solved():
    objective = Objective(0.5, n_jobs=1)
    problem, solved = Problem(objective, COHORT, listed=LISTED[:3]), []
    solve = problem.transport.solve
    problem.transport.solve = lambda points, pairs, cost: solved.append(pairs.tolist()) or solve(points, pairs, cost)
    problem.evaluate(objective, W)
    problem.evaluate(objective, W, SOME)
    assert solved == [[[0, 2], [0, 3], [1, 2], [1, 4]], [[0, 3]]]


def test_the_list_of_all_triplets_gives_the_objective_of_all():
    objective = Objective(0.5, reg=0.1, n_jobs=1)
    truth = Problem(objective, COHORT).evaluate(objective, W)
    listed = np.array(triplets(COHORT.labels, "all"))
    found = Problem(objective, COHORT, listed=listed).evaluate(objective, W)
    assert found.value == pytest.approx(truth.value, rel=1e-12)
    np.testing.assert_allclose(found.gradient, truth.gradient, rtol=1e-10)


def test_without_any_triplet_only_the_penalty_is_left():
    objective = Objective(0.5, reg=2.0, n_jobs=1)
    for design in ({"listed": np.empty((0, 3), dtype=np.int64)}, {"batch": np.arange(5)}, {"values": np.ones(5)}):
        found = Problem(objective, COHORT, **design).evaluate(objective, W)
        assert (found.value, found.active) == (pytest.approx(2 * np.linalg.norm(W)), 0.0)
        np.testing.assert_allclose(found.gradient, 2 * W / np.linalg.norm(W))


def test_the_typical_distance_is_the_median_between_classes():
    D = np.array([[0, 9, 1, 2], [9, 0, 3, 7], [1, 3, 0, 8], [2, 7, 8, 0]], dtype=np.float64)
    assert typical_distance(D, np.array([0, 0, 1, 1])) == 2.5
    assert typical_distance(D, np.array([0, 1, 1, 1])) == 2
    assert typical_distance(D, np.array([0.5, 0.5, 0.7, 9.0])) == 3
    assert typical_distance(D, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])) == 4
    assert np.isnan(typical_distance(D, np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"margin": 0.0}, r'margin=0\.0 must be "auto" or a positive number\.'),
        ({"margin": -1}, r'margin=-1 must be "auto" or a positive number\.'),
        ({"margin": np.nan}, r'margin=nan must be "auto" or a positive number\.'),
        ({"reg": -0.1}, r"reg=-0\.1 must be a number that is not negative\."),
        ({"reg": np.inf}, r"reg=inf must be a number that is not negative\."),
        ({"penalty": "l2"}, r"penalty='l2' is not known; choose from \('fro', 'l1', 'l21', 'nuc'\)\."),
        ({"anchors": "some"}, r"anchors='some' is not known; choose from \('all', 'distinct'\)\."),
        ({"n_jobs": 0}, r"n_jobs=0 must be at least 1 thread, or None"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        Objective(**{"margin": 1.0, **options})


def test_a_margin_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match="margin='large' must be \"auto\" or a positive number"):
        Objective("large")


@pytest.mark.parametrize("margin", [2, np.float64(2), np.float32(2), np.int64(2)])
def test_any_kind_of_number_is_a_margin(margin):
    assert Objective(margin).evaluate(COHORT, W).value == Objective(2.0).evaluate(COHORT, W).value


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_penalties_of_the_oracle_are_norms(penalty):
    torch = pytest.importorskip("torch")
    assert torch_penalty(torch.tensor([[-3.0]]), penalty).item() == pytest.approx(3.0)
