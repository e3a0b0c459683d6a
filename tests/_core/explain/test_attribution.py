"""What cells and features add to distances, against sums written out."""

from dataclasses import replace

import numpy as np
import pytest

from scggml._core.cohort import from_clouds
from scggml._core.explain.attribution import (
    cell_contributions,
    entry_distances,
    excess,
    feature_contributions,
    mean_flows,
    type_flows,
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


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("rotated", [False, True])
def test_features_add_up_to_the_weighted_distances(squared, rotated):
    cohort, W, Z, pairs, plans = make(squared)
    weights = np.random.default_rng(2).normal(size=len(pairs))
    axes = np.linalg.qr(np.random.default_rng(3).normal(size=(9, 4)))[0] if rotated else None
    parts = feature_contributions(cohort, Z, W, plans, weights, squared=squared, axes=axes)
    assert parts.shape == (9 if rotated else 4,)
    assert parts.sum() == pytest.approx(weights @ plans.values, rel=1e-9)


@pytest.mark.parametrize("squared", [False, True])
def test_a_feature_adds_what_scaling_it_would_add(squared):
    """The part of a feature is the slope of D when this column of W is stretched, at fixed plans."""
    cohort, W, Z, pairs, plans = make(squared)
    weights = np.random.default_rng(2).normal(size=len(pairs))
    parts = feature_contributions(cohort, Z, W, plans, weights, squared=squared, axes=None)

    def total(stretched):
        moved = project(cohort.points, stretched)
        return float((weights[plans.owner] * plans.mass) @ entry_distances(moved, plans, squared=squared))

    h = 1e-6
    for g in range(W.shape[1]):
        up, down = W.copy(), W.copy()
        up[:, g] *= 1 + h
        down[:, g] *= 1 - h
        slope = (total(up) - total(down)) / (2 * h) / (2 if squared else 1)
        assert parts[g] == pytest.approx(slope, rel=1e-6, abs=1e-8)


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
