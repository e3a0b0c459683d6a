from dataclasses import replace

import _laws as laws
import numpy as np
import pytest
from _oracles import random_cohort
from hypothesis import given, settings
from hypothesis import strategies as st

from scggml._core.learn.objective import Objective
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_distances, square
from scggml._core.transport.plans import GROUND_COSTS


def by_cost(cost):
    """Distances of a cohort under a fixed ground cost."""

    def distances(cohort):
        pairs = all_pairs(cohort.n_samples)
        values = solve_distances(cohort, cohort.points, pairs, cost, solver=Exact(), n_jobs=1)
        return square(values, pairs, cohort.n_samples)

    return distances


def by_metric(W, *, squared):
    """Distances of a cohort under a metric W."""
    return lambda cohort: Objective(1.0, squared=squared, n_jobs=1).distances(cohort, W)


D = 4
W = np.random.default_rng(11).standard_normal((2, D))
DISTANCES = {cost: by_cost(cost) for cost in GROUND_COSTS} | {
    f"metric-{name}": by_metric(W, squared=squared) for name, squared in (("unsquared", False), ("squared", True))
}
COHORTS = {
    "uniform": random_cohort((5, 5, 5, 5), d=D),
    "weighted": random_cohort((3, 6, 1, 4), d=D, weighted=True, seed=1),
}
INVARIANT = {
    "euclidean": [laws.ignores_translation, laws.ignores_rotation, laws.of_degree(1)],
    "sqeuclidean": [laws.ignores_translation, laws.ignores_rotation, laws.of_degree(2)],
    "cosine": [laws.ignores_rotation, laws.of_degree(0)],
    "cityblock": [laws.ignores_translation, laws.of_degree(1)],
    "chebyshev": [laws.ignores_translation, laws.of_degree(1)],
    "metric-unsquared": [laws.ignores_translation, laws.of_degree(1)],
    "metric-squared": [laws.ignores_translation, laws.of_degree(2)],
}
METRICS = ["euclidean", "cityblock", "chebyshev", "metric-unsquared"]
CASES = [(law, name) for name in DISTANCES for law in laws.OF_ALL + INVARIANT[name]]


@pytest.mark.parametrize("cohort", COHORTS.values(), ids=COHORTS)
@pytest.mark.parametrize(("law", "name"), CASES, ids=[f"{name}-{law.__name__}" for law, name in CASES])
def test_the_law_holds(law, name, cohort):
    law(DISTANCES[name], cohort)


def in_a_row(cohort, direction):
    """Samples one behind the other, where the way over a third sample is hardly longer than the direct one."""
    places = np.repeat(np.arange(cohort.n_samples), cohort.sizes)
    return replace(cohort, points=cohort.points + places[:, None] * direction)


@pytest.mark.parametrize("name", METRICS)
@given(st.lists(st.integers(1, 4), min_size=3, max_size=5), st.booleans(), st.floats(-20, 20), st.integers(0, 1000))
@settings(max_examples=15)
def test_no_detour_is_shorter(name, sizes, weighted, far, seed):
    cohort = in_a_row(random_cohort(sizes, d=D, weighted=weighted, seed=seed), far * np.ones(D))
    laws.triangle(DISTANCES[name], cohort)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.integers(0, 1000), st.integers(1, 6), st.booleans())
@settings(max_examples=25)
def test_rotating_the_components_changes_no_distance(sizes, seed, k, squared):
    rng = np.random.default_rng(seed)
    V, turn = rng.standard_normal((k, D)), np.linalg.qr(rng.standard_normal((k + 1, k)))[0]
    cohort = random_cohort(sizes, d=D, weighted=True, seed=seed)
    np.testing.assert_allclose(
        by_metric(turn @ V, squared=squared)(cohort), by_metric(V, squared=squared)(cohort), rtol=1e-10
    )


@pytest.mark.parametrize("factor", [1e-6, -3.0, 1e6])
@pytest.mark.parametrize(("squared", "degree"), [(False, 1), (True, 2)])
def test_scaling_the_metric_scales_the_distances(squared, degree, factor):
    cohort = COHORTS["weighted"]
    scaled, plain = by_metric(factor * W, squared=squared)(cohort), by_metric(W, squared=squared)(cohort)
    np.testing.assert_allclose(scaled, abs(factor) ** degree * plain, rtol=1e-10)


@pytest.mark.parametrize("squared", [False, True])
def test_components_of_nothing_add_nothing_and_unseen_features_do_not_count(squared):
    cohort = COHORTS["weighted"]
    truth = by_metric(W, squared=squared)(cohort)
    padded = by_metric(np.vstack([W, np.zeros((2, D))]), squared=squared)(cohort)
    np.testing.assert_allclose(padded, truth, rtol=1e-12)
    kernel = np.eye(D) - np.linalg.pinv(W) @ W
    rng = np.random.default_rng(5)
    moved = replace(cohort, points=cohort.points + rng.standard_normal(cohort.points.shape) @ kernel)
    np.testing.assert_allclose(by_metric(W, squared=squared)(moved), truth, rtol=1e-10)


def test_the_identity_is_the_euclidean_metric():
    cohort = COHORTS["weighted"]
    for squared, name in ((False, "euclidean"), (True, "sqeuclidean")):
        found = by_metric(np.eye(D), squared=squared)(cohort)
        np.testing.assert_allclose(found, DISTANCES[name](cohort), rtol=1e-13)


def test_clouds_of_one_cell_have_the_distance_of_their_cells():
    cohort = random_cohort((1, 1, 1), d=D)
    for p, q in ((0, 1), (0, 2), (1, 2)):
        move = W @ (cohort.points[p] - cohort.points[q])
        assert by_metric(W, squared=False)(cohort)[p, q] == pytest.approx(np.sqrt(move @ move))
        assert by_metric(W, squared=True)(cohort)[p, q] == pytest.approx(move @ move)


def sample_means(cohort, *, weighted=True):
    weights = cohort.weights if weighted else np.ones(len(cohort.weights))
    sums = np.add.reduceat(cohort.points * weights[:, None], cohort.offsets[:-1], axis=0)
    return sums / np.add.reduceat(weights, cohort.offsets[:-1])[:, None]


def between(points):
    return np.linalg.norm(points[:, None] - points[None, :], axis=2)


def off_diagonal(P):
    return 1 - np.eye(P)


# For each law a function that breaks it.
EUCLIDEAN = DISTANCES["euclidean"]
BROKEN = [
    (laws.not_negative, lambda c: EUCLIDEAN(c) - 1e-9),
    (laws.positive_between_different_samples, lambda c: EUCLIDEAN(c) * (EUCLIDEAN(c) > EUCLIDEAN(c)[0, 1])),
    (laws.symmetric, lambda c: EUCLIDEAN(c) * (1 + 1e-15 * np.arange(c.n_samples))),
    (laws.zero_to_itself, lambda c: EUCLIDEAN(c) + 1e-15),
    (laws.zero_to_a_copy, lambda c: EUCLIDEAN(c) + 1e-6 * off_diagonal(c.n_samples)),
    (laws.ignores_the_order_of_cells, lambda c: between(c.points[c.offsets[:-1]])),
    (laws.ignores_the_order_of_samples, lambda c: EUCLIDEAN(c) * (1 + 1e-6 * np.arange(c.n_samples))),
    (laws.depends_on_two_samples_only, lambda c: EUCLIDEAN(c) / EUCLIDEAN(c).max()),
    (laws.ignores_duplicates_of_halved_weight, lambda c: EUCLIDEAN(c) / len(c.points)),
    (laws.ignores_cells_without_weight, lambda c: between(sample_means(c, weighted=False))),
    (laws.of_one_cell_the_cost_itself, lambda c: between(sample_means(c))),
    (laws.of_degree(1), DISTANCES["sqeuclidean"]),
    (laws.ignores_translation, DISTANCES["cosine"]),
    (laws.ignores_rotation, DISTANCES["cityblock"]),
]


def test_every_law_has_a_breach():
    names = {law.__name__.rstrip("012") for law, _ in CASES}
    assert {law.__name__.rstrip("012") for law, _ in BROKEN} == names


@pytest.mark.parametrize(("law", "broken"), BROKEN, ids=[law.__name__ for law, _ in BROKEN])
def test_a_breach_of_the_law_is_found(law, broken):
    with pytest.raises(AssertionError):
        law(broken, COHORTS["weighted"])


@pytest.mark.parametrize("name", ["sqeuclidean", "metric-squared"])
def test_squared_costs_break_the_triangle(name):
    with pytest.raises(AssertionError):
        laws.triangle(DISTANCES[name], in_a_row(COHORTS["weighted"], np.full(D, 5.0)))
