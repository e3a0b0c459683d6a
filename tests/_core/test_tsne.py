import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.spatial.distance import cdist

from scggml._core import tsne as module
from scggml._core.tsne import embed_neighbors, usual_perplexity


def neighbors(D, perplexity):
    """The joint probabilities of t-SNE, each bandwidth found by bisection."""
    P = np.zeros_like(D)
    for i in range(len(D)):
        others = np.delete(D[i] ** 2, i)

        def weights(log_precision, others=others):
            found = np.exp(-(others - others.min()) * np.exp(log_precision))
            return found / found.sum()

        def excess(log_precision, weights=weights):
            p = weights(log_precision)
            return -np.sum(p * np.log(np.maximum(p, 1e-300))) - np.log(perplexity)

        P[i, np.arange(len(D)) != i] = weights(brentq(excess, -20, 20))
    return (P + P.T) / (2 * len(D))


def divergence(P, coordinates):
    Q = 1 / (1 + cdist(coordinates, coordinates) ** 2)
    np.fill_diagonal(Q, 0)
    Q /= Q.sum()
    off = ~np.eye(len(P), dtype=bool)
    return float(np.sum(P[off] * np.log(np.maximum(P[off], 1e-300) / Q[off])))


@pytest.fixture
def distances():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(24, 4)) + np.repeat([0.0, 8.0, 16.0], 8)[:, None]
    return cdist(points, points)


@pytest.mark.parametrize("perplexity", [3.0, 6.0])
def test_coordinates_are_a_minimum_of_the_divergence_that_is_reported(distances, perplexity):
    coordinates, left = embed_neighbors(distances, perplexity)
    P = neighbors(distances, perplexity)
    assert left == pytest.approx(divergence(P, coordinates), rel=1e-3)
    rng = np.random.default_rng(1)
    for size in (0.01, 0.1):
        moved = coordinates + size * coordinates.std() * rng.normal(size=coordinates.shape)
        assert divergence(P, moved) > left - 1e-4
    assert left < 0.5 * divergence(P, rng.normal(size=coordinates.shape))


def test_groups_stay_together_and_nothing_is_random(distances):
    coordinates, _ = embed_neighbors(distances, 6.0)
    np.testing.assert_array_equal(embed_neighbors(distances, 6.0)[0], coordinates)
    assert coordinates.shape == (24, 2)
    assert coordinates.dtype == np.float64
    near = cdist(coordinates, coordinates)
    np.fill_diagonal(near, np.inf)
    group = np.arange(24) // 8
    assert (group[near.argmin(axis=1)] == group).all()


def test_units_of_the_distances_do_not_matter(distances):
    truth = embed_neighbors(distances, 6.0)
    for factor in (1024.0, 2.0**-20):
        found = embed_neighbors(factor * distances, 6.0)
        np.testing.assert_array_equal(found[0], truth[0])
        assert found[1] == truth[1]


def test_many_samples_go_the_fast_way_to_the_same_groups(distances, monkeypatch):
    monkeypatch.setattr(module, "EXACT", 10)
    coordinates, left = embed_neighbors(distances, 6.0)
    near = cdist(coordinates, coordinates)
    np.fill_diagonal(near, np.inf)
    group = np.arange(24) // 8
    assert (group[near.argmin(axis=1)] == group).all()
    assert np.isfinite(left)


def test_few_samples_have_few_neighbors():
    assert usual_perplexity(10) == 3.0
    assert usual_perplexity(500) == 30.0
