import numpy as np
import pytest
from sklearn.cluster import KMeans

import scggml as sg
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.devices import place_of
from scggml._core.transport.lloyd import owners
from scggml._core.transport.summary import centers_of

torch = pytest.importorskip("torch")


def cells(seed, n=400, d=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + 3 * rng.integers(3, size=(n, 1)), rng.uniform(0.5, 2, size=n)


@pytest.mark.parametrize("max_iter", [1, 10, 100])
@pytest.mark.parametrize("seed", range(3))
def test_centers_are_those_of_scikit_learn(seed, max_iter):
    points, weights = cells(seed)
    found = owners(place_of("cpu"), points, weights, 20, max_iter=max_iter, seed=seed)
    means = KMeans(20, init="random", n_init=1, max_iter=max_iter, random_state=seed)
    np.testing.assert_array_equal(found, means.fit(points, sample_weight=weights).labels_)


def test_fewer_different_cells_than_centers_are_represented_exactly():
    points = np.repeat(np.eye(4), 30, axis=0)
    weights = np.full(120, 1 / 120)
    own = owners(place_of("cpu"), points, weights, 10, max_iter=10, seed=0)
    centers, mass = centers_of(points, weights, own)
    assert len(centers) == 4
    np.testing.assert_allclose(mass, 0.25)
    np.testing.assert_allclose(np.sort(centers, axis=0), np.sort(np.eye(4), axis=0))


def test_where_there_is_no_gpu_auto_is_the_cpu():
    if torch.cuda.is_available():
        pytest.skip("torch finds a GPU")
    points, weights = cells(0)
    one, other = (Coreset(20, device=device).summarize(points, weights, 3) for device in ("cpu", "auto"))
    np.testing.assert_array_equal(one[0], other[0])
    with pytest.raises(ValueError, match="device='cuda' is not available"):
        Coreset(20, device="cuda").summarize(points, weights, 3)


@pytest.mark.gpu
def test_a_gpu_finds_centers_as_good_as_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")
    points, weights = cells(0, n=5000, d=50)
    cost = {}
    for device in ("cpu", "cuda"):
        own = sg.tl.Coreset(100, device=device).owners(points, weights, np.random.default_rng(0))
        means = np.stack([np.average(points[own == c], axis=0, weights=weights[own == c]) for c in range(100)])
        cost[device] = (weights * ((points - means[own]) ** 2).sum(axis=1)).sum()
    assert cost["cuda"] == pytest.approx(cost["cpu"], rel=0.01)
