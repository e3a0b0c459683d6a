"""Bounds by brute force: on random walks no bound is ever crossed, and no pair of an active triplet is left out."""

from dataclasses import replace
from itertools import product
from typing import get_args

import numpy as np
import pytest
from _oracles import random_cohort, triplets
from hypothesis import given, settings
from hypothesis import strategies as st

from scggml._core.learn.bounds import Bounds, may_be_active
from scggml._core.learn.loss import Anchors
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_distances, square

ANCHORS = get_args(Anchors)


def distances(cohort, points, *, squared):
    pairs = all_pairs(cohort.n_samples)
    cost = "sqeuclidean" if squared else "euclidean"
    values = solve_distances(cohort, points, pairs, cost, solver=Exact(), n_jobs=1)
    return square(values, pairs, cohort.n_samples)


def within(lower, D, upper):
    assert (lower <= D).all()
    assert (upper >= D).all()


MOVES = {
    "of the metric": lambda rng, cohort, Z, size: Z + size * cohort.points @ rng.standard_normal((4, Z.shape[1])),
    "of each cell": lambda rng, cohort, Z, size: Z + size * rng.standard_normal(Z.shape),
    "of all cells alike": lambda rng, cohort, Z, size: Z + 100 * size * rng.standard_normal(Z.shape[1]),
    "of one sample": lambda rng, cohort, Z, size: Z + size * (np.arange(len(Z)) < cohort.offsets[1])[:, None],
    "of none": lambda rng, cohort, Z, size: Z,
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("far", [0.0, 1e5])
def test_true_distances_stay_within_their_bounds(move, squared, weighted, far):
    cohort = random_cohort((5, 8, 1, 6, 7), d=4, weighted=weighted, seed=2)
    rng = np.random.default_rng(0)
    bounds, Z, pairs = Bounds(cohort, squared=squared), cohort.points @ rng.standard_normal((4, 2)) + far, all_pairs(5)
    for step in range(12):
        lower, upper = bounds.at(Z)
        D = distances(cohort, Z, squared=squared)
        within(lower, D, upper)
        for bound in (lower, upper):
            np.testing.assert_array_equal(bound, bound.T)
            np.testing.assert_array_equal(bound.diagonal(), 0)
        some = pairs[rng.random(10) < 0.4] if step else pairs
        bounds.learn(some, D[some[:, 0], some[:, 1]])
        Z = MOVES[move](rng, cohort, Z, 0.05)


@given(
    st.lists(st.tuples(st.floats(0, 2), st.floats(-5, 5), st.sampled_from(list(MOVES))), min_size=1, max_size=6),
    st.booleans(),
    st.integers(0, 10**6),
)
@settings(max_examples=60)
def test_no_walk_crosses_a_bound(steps, squared, seed):
    cohort = random_cohort((2, 4, 1, 3), d=4, weighted=True, seed=seed % 100)
    rng = np.random.default_rng(seed)
    bounds, Z, pairs = Bounds(cohort, squared=squared), cohort.points[:, :2], all_pairs(4)
    for size, shift, move in steps:
        lower, upper = bounds.at(Z)
        D = distances(cohort, Z, squared=squared)
        within(lower, D, upper)
        some = pairs[rng.random(6) < 0.5]
        bounds.learn(some, D[some[:, 0], some[:, 1]])
        Z = MOVES[move](rng, cohort, Z, size) + shift


@pytest.mark.parametrize("squared", [False, True])
def test_bounds_are_of_use(squared):
    cohort = random_cohort((30, 30, 30), d=4)
    bounds, Z = Bounds(cohort, squared=squared), cohort.points[:, :2]
    lower, upper = bounds.at(Z)
    assert not lower.any()
    assert np.isinf(upper[~np.eye(3, dtype=bool)]).all()
    D = distances(cohort, Z, squared=squared)
    bounds.learn(all_pairs(3), D[tuple(all_pairs(3).T)])
    off = ~np.eye(3, dtype=bool)
    for moved, slack in ((Z, 1e-8), (Z + 1e3, 1e-8), (1.01 * Z, 0.1)):
        lower, upper = bounds.at(moved)
        assert (lower[off] >= (1 - slack) * D[off]).all()
        assert (upper[off] <= (1 + slack) * D[off]).all()


def test_learned_again_the_slack_is_gone():
    cohort = random_cohort((9, 9, 9), d=2)
    bounds = Bounds(cohort, squared=False)
    for factor in (1.0, 1.5, 2.0):
        lower, upper = bounds.at(factor * cohort.points)
        D = distances(cohort, factor * cohort.points, squared=False)
        within(lower, D, upper)
        bounds.learn(all_pairs(3), D[tuple(all_pairs(3).T)])
    lower, upper = bounds.at(2.0 * cohort.points)
    np.testing.assert_allclose(lower, D, rtol=1e-8)
    np.testing.assert_allclose(upper, D, rtol=1e-8)


LABELS = st.lists(st.integers(0, 2), min_size=2, max_size=7).map(np.array)


@pytest.mark.parametrize(
    "design", [*product(ANCHORS, (False, True))], ids=lambda d: f"{d[0]}-batches" if d[1] else d[0]
)
@given(LABELS, st.integers(0, 10**6), st.floats(0.01, 3), st.sampled_from([0.0, 0.1, 0.5]))
@settings(max_examples=150)
def test_no_pair_of_an_active_triplet_is_ruled_out(design, labels, seed, margin, width):
    anchors, in_batches = design
    P, rng = len(labels), np.random.default_rng(seed)
    batch = rng.integers(0, 2, P) if in_batches else None
    D = rng.uniform(0, 3, (P, P))
    D = np.round(D + D.T) if seed % 2 else D + D.T
    np.fill_diagonal(D, 0)
    slack = width * np.abs(rng.standard_normal((2, P, P)))
    slack = (slack + slack.swapaxes(1, 2)) * ~np.eye(P, dtype=bool)
    lower, upper = np.maximum(D - slack[0], 0), D + slack[1]
    needed = may_be_active(lower, upper, labels, margin, anchors, batch=batch)
    np.testing.assert_array_equal(needed, needed.T)
    for i, j, k in triplets(labels, anchors, batch):
        if D[i, j] + margin > D[j, k]:
            assert needed[j, k]
            assert i == j or needed[i, j]
    if width == 0:  # and with bounds that are no wider than the truth, each pair of one class has its triplet
        for i, j in np.argwhere(needed & (labels[:, None] == labels) & ~np.eye(P, dtype=bool)):
            others = np.flatnonzero(labels != labels[i])
            met = [[k for k in others if batch is None or batch[k] == batch[a]] for a in (i, j)]
            assert any(D[i, j] + margin > D[a, k] for a, those in zip((i, j), met, strict=True) for k in those)


def test_classes_far_apart_need_no_pair():
    cohort = random_cohort((5, 5, 5, 5), labels=(0, 0, 1, 1))
    far = replace(cohort, points=cohort.points + 100 * np.repeat(cohort.labels, 5)[:, None])
    D = distances(far, far.points, squared=False)
    assert not may_be_active(D, D, far.labels, 1.0, "all")[~np.eye(4, dtype=bool)].any()
    assert may_be_active(0 * D, D + 1e3, far.labels, 1.0, "all").all()


def test_samples_of_different_classes_and_batches_are_never_needed():
    batch, labels = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    needed = may_be_active(np.zeros((4, 4)), np.full((4, 4), 1e3), labels, 1.0, "all", batch=batch)
    different = labels[:, None] != labels
    np.testing.assert_array_equal(needed[different], (batch[:, None] == batch)[different])


def test_samples_of_one_class_in_batches_without_another_are_not_needed():
    batch, labels = np.array([0, 1, 2, 2]), np.array([0, 0, 0, 1])
    needed = may_be_active(np.zeros((4, 4)), np.full((4, 4), np.inf), labels, 1.0, "all", batch=batch)
    assert needed[[0, 1], [2, 2]].all()
    assert not needed[0, 1]
