"""What cells add to distances, against sums written out."""

from dataclasses import replace

import numpy as np
import ot
import pytest

from scggml._core.cohort import from_clouds
from scggml._core.explain.attribution import (
    cell_contributions,
    entry_distances,
    excess,
    kind_weights,
    mean_flows,
    type_costs,
    type_flows,
    within_types,
)
from scggml._core.learn.pair_weights import weigh_pairs
from scggml._core.samples import class_target
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_plans
from scggml._core.transport.products import project

COST = {False: "euclidean", True: "sqeuclidean"}


def make(squared, *, seed=0, k=2, d=4, labels=(0, 0, 1, 1, 1, 2, 2)):
    """A cohort of unequal samples with weights, its metric, and its plans."""
    rng = np.random.default_rng(seed)
    clouds = [
        rng.normal(size=(int(n), d)) + label for n, label in zip(rng.integers(3, 9, len(labels)), labels, strict=True)
    ]
    cohort = from_clouds(clouds, np.array(labels))
    weights = rng.uniform(0.2, 1.0, len(cohort.points))
    starts = cohort.offsets[:-1]
    weights /= np.repeat(np.add.reduceat(weights, starts), cohort.sizes)
    cohort = replace(cohort, weights=weights)
    W = rng.normal(size=(k, d))
    Z = project(cohort.points, W)
    pairs = all_pairs(len(labels))
    return cohort, W, Z, pairs, solve_plans(cohort, Z, pairs, COST[squared], solver=Exact(), n_jobs=1)


def gap_weights(cohort, pairs):
    """(n_pairs,) weights of the mean distance between classes and of that within."""
    weights = weigh_pairs(class_target(cohort))
    np.testing.assert_array_equal(weights.pairs, pairs)
    return weights.between, weights.within


@pytest.mark.parametrize("squared", [False, True])
def test_cells_of_each_pair_add_up_to_its_distance(squared):
    cohort, _, Z, pairs, plans = make(squared)
    owner = np.repeat(np.arange(cohort.n_samples), cohort.sizes)
    for e, (p, q) in enumerate(pairs):
        one = np.zeros(len(pairs))
        one[e] = 1.0
        found = cell_contributions(Z, plans, one, squared=squared)
        assert found.sum() == pytest.approx(plans.values[e], rel=1e-9, abs=1e-12)
        assert (found[(owner != p) & (owner != q)] == 0).all()
        assert found[owner == p].sum() == pytest.approx(found[owner == q].sum(), rel=1e-9)


@pytest.mark.parametrize("squared", [False, True])
def test_contributions_are_those_written_out(squared):
    _, _, Z, pairs, plans = make(squared)
    weights = np.random.default_rng(1).normal(size=len(pairs))
    truth = np.zeros(len(Z))
    for s, t, mass, e in zip(plans.source, plans.target, plans.mass, plans.owner, strict=True):
        d = sum((a - b) ** 2 for a, b in zip(Z[s], Z[t], strict=True))
        for cell in (s, t):
            truth[cell] += weights[e] * mass * (d if squared else d**0.5) / 2
    np.testing.assert_allclose(cell_contributions(Z, plans, weights, squared=squared), truth, rtol=1e-10, atol=1e-14)


def test_the_gap_counts_classes_and_pairs_of_them_equally():
    cohort, _, _, pairs, plans = make(False)
    between, within = gap_weights(cohort, pairs)
    labels = cohort.labels[pairs]
    D = plans.values
    own = [D[(labels == c).all(axis=1)].mean() for c in range(3)]
    other = [D[(np.sort(labels, axis=1) == pair).all(axis=1)].mean() for pair in ([0, 1], [0, 2], [1, 2])]
    assert between @ D == pytest.approx(np.mean(other), rel=1e-12)
    assert within @ D == pytest.approx(np.mean(own), rel=1e-12)


def test_excess_of_a_cell_is_how_much_farther_it_travels_to_other_classes():
    cohort, _, Z, pairs, plans = make(False)
    between, within = gap_weights(cohort, pairs)
    found = excess(cohort, cell_contributions(Z, plans, between - within, squared=False))
    owner = np.repeat(np.arange(cohort.n_samples), cohort.sizes)
    lengths = entry_distances(Z, plans, squared=False)
    for i in (0, 5, 20, len(Z) - 1):
        p = owner[i]
        to = {}
        for e, pair in enumerate(pairs):
            if p in pair:
                mine = (plans.owner == e) & ((plans.source == i) | (plans.target == i))
                q = int(pair[0] + pair[1] - p)
                to[q] = plans.mass[mine] @ lengths[mine] / cohort.weights[i]
        label = cohort.labels[p]
        means = [np.mean([to[q] for q in to if cohort.labels[q] == c]) for c in range(3)]
        truth = np.mean([means[c] for c in range(3) if c != label]) - means[label]
        assert found[i] == pytest.approx(truth, rel=1e-9)
    counts = np.bincount(cohort.labels)
    mean = np.sum(found * cohort.weights / (3 * counts[cohort.labels[owner]]))
    assert mean == pytest.approx((between - within) @ plans.values, rel=1e-9)


def test_a_cell_without_weight_has_no_excess():
    cohort, *_ = make(False)
    weights = cohort.weights.copy()
    weights[3] = 0.0
    found = excess(replace(cohort, weights=weights), np.ones(len(weights)))
    assert np.isnan(found[3])
    assert np.isfinite(np.delete(found, 3)).all()


@pytest.mark.parametrize("squared", [False, True])
def test_flows_between_types_are_those_written_out(squared):
    cohort, _, Z, pairs, plans = make(squared, labels=(1, 0, 1, 0, 2, 2))
    types = np.random.default_rng(4).integers(0, 3, len(Z))
    classes, mass, distance = mean_flows(*type_flows(cohort, types, 3, Z, plans, squared=squared))
    assert classes.tolist() == [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]]
    lengths = entry_distances(Z, plans, squared=squared)
    for (a, b), M, C in zip(classes, mass, distance, strict=True):
        members = [e for e, pair in enumerate(pairs) if sorted(cohort.labels[pair]) == [a, b]]
        truth_mass, truth_cost = np.zeros((3, 3)), np.zeros((3, 3))
        for e in members:
            for n in np.flatnonzero(plans.owner == e):
                s, t = plans.source[n], plans.target[n]
                if cohort.labels[pairs[e][0]] > cohort.labels[pairs[e][1]]:
                    s, t = t, s
                for first, second in ((s, t), (t, s)) if a == b else ((s, t), (s, t)):
                    truth_mass[types[first], types[second]] += plans.mass[n] / len(members) / 2
                    truth_cost[types[first], types[second]] += plans.mass[n] * lengths[n] / len(members) / 2
        np.testing.assert_allclose(M, truth_mass, atol=1e-12)
        np.testing.assert_allclose(C, truth_cost, atol=1e-12)
        assert M.sum() == pytest.approx(1.0)
        assert C.sum() == pytest.approx(plans.values[members].mean())


@pytest.mark.parametrize("squared", [False, True])
def test_types_of_each_pair_add_up_to_its_distance(squared):
    _, _, Z, _, plans = make(squared)
    types = np.random.default_rng(1).integers(0, 3, len(Z))
    found = type_costs(Z, plans, types, 3, squared=squared)
    np.testing.assert_allclose(found.sum(axis=1), plans.values, rtol=1e-9)
    truth = np.zeros_like(found)
    for i, j, mass, e in zip(plans.source, plans.target, plans.mass, plans.owner, strict=True):
        length = np.linalg.norm(Z[i] - Z[j])
        for end in (i, j):
            truth[e, types[end]] += 0.5 * mass * (length**2 if squared else length)
    np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-12)


def test_state_is_the_distance_between_the_cells_of_a_type_by_their_share():
    cohort, _, Z, pairs, _ = make(False)
    types = np.random.default_rng(2).integers(0, 3, len(Z))
    options = {"cost": "euclidean", "solver": Exact(), "n_jobs": 1}
    found = within_types(cohort, Z, pairs, types, 3, **options)
    for e, (p, q) in enumerate(pairs):
        for t in range(3):
            parts = []
            for s in (p, q):
                rows = np.arange(cohort.offsets[s], cohort.offsets[s + 1])
                rows = rows[types[rows] == t]
                parts.append((Z[rows], cohort.weights[rows]))
            shares = [weights.sum() for _, weights in parts]
            if 0 in map(len, (weights for _, weights in parts)):
                assert found[e, t] == 0
                continue
            (x, a), (y, b) = parts
            truth = ot.emd2(a / a.sum(), b / b.sum(), ot.dist(x, y, metric="euclidean"))
            assert found[e, t] == pytest.approx(truth * np.mean(shares), rel=1e-8)


def test_samples_of_equal_cells_within_types_have_no_state_whatever_their_composition():
    places = np.array([[0.0, 0.0], [5.0, 1.0]])
    types = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    cohort = from_clouds([places[types[:4]], places[types[4:]]])
    found = within_types(
        cohort, cohort.points, np.array([[0, 1]]), types, 2, cost="euclidean", solver=Exact(), n_jobs=1
    )
    np.testing.assert_array_equal(found, 0.0)


def test_two_classes_are_compared_with_the_mean_within_them():
    pairs = all_pairs(6)
    codes = np.array([0, 0, 1, 1, 2, 2])
    found = kind_weights(pairs, codes, np.array([[0, 1], [1, 2]]))
    values = np.random.default_rng(0).normal(size=len(pairs))
    D = np.zeros((6, 6))
    D[pairs[:, 0], pairs[:, 1]] = values
    truth = D[:2, 2:4].mean() - (D[0, 1] + D[2, 3]) / 2
    assert found[0] @ values == pytest.approx(truth)
    assert found.sum(axis=1) == pytest.approx([0, 0])
    assert not kind_weights(pairs, np.array([0, 1, 1, 1, 2, 2]), np.array([[0, 1]])).any()  # no pair within 0
