"""Curves along an order against closed forms and scipy, and tests that are uniform where an order means nothing."""

import numpy as np
import pytest
from scipy.stats import kruskal, kstest, spearmanr

from scggml._core.explain.trends import (
    association,
    association_test,
    basis,
    both_rates,
    contrasts,
    curves,
    curves_test,
)

WHOLE = [np.arange(40)]
BLOCKS = [np.arange(15), np.arange(15, 40)]


@pytest.mark.parametrize("blocks", [WHOLE, BLOCKS])
def test_the_basis_is_orthonormal_and_has_mean_zero_in_each_block(blocks):
    order = np.random.default_rng(0).normal(size=40)
    B = basis(order, blocks)
    np.testing.assert_allclose(B.T @ B, np.eye(2), atol=1e-12)
    for block in blocks:
        np.testing.assert_allclose(B[block].sum(axis=0), 0.0, atol=1e-12)


def test_the_basis_knows_the_order_by_ranks_alone():
    order = np.random.default_rng(0).normal(size=40)
    np.testing.assert_array_equal(basis(order, WHOLE), basis(np.exp(3 * order), WHOLE))


def test_a_basis_of_equal_places_or_of_pairs_is_zero_where_nothing_is_left():
    assert not basis(np.ones(40), WHOLE).any()
    pairs = [np.arange(2 * i, 2 * i + 2) for i in range(20)]
    B = basis(np.tile([0.0, 1.0], 20), pairs)
    np.testing.assert_allclose(np.linalg.norm(B, axis=0), [1.0, 0.0], atol=1e-9)


def test_curves_have_the_correlation_of_scipy_and_the_shape_of_the_values():
    u = np.linspace(-1, 1, 40)
    values = np.stack([2 * u, -u, 1 - u**2, u**2, np.ones(40), u + 0.1 * u**2], axis=1)
    found = curves(u, values, WHOLE)
    assert list(found.shape) == ["increases", "decreases", "peaks", "dips", "constant", "increases"]
    np.testing.assert_allclose(found.r2, [1, 1, 1, 1, 0, 1], atol=1e-12)
    np.testing.assert_allclose(found.change[[0, 1, 2, 4]], [4.0, -2.0, 0.0, 0.0], atol=1e-12)
    noisy = values + np.random.default_rng(0).normal(size=values.shape)
    truth = [spearmanr(u, column).statistic for column in noisy.T]
    np.testing.assert_allclose(curves(u, noisy, WHOLE).rho, truth, atol=1e-12)


def test_differences_between_blocks_are_taken_off():
    rng = np.random.default_rng(0)
    order, values = rng.normal(size=40), rng.normal(size=(40, 3))
    shifted = values + np.repeat([0.0, 100.0], [15, 25])[:, None]
    ours, theirs = curves(order, values, BLOCKS), curves(order, shifted, BLOCKS)
    np.testing.assert_allclose(ours.r2, theirs.r2, atol=1e-9)
    np.testing.assert_allclose(ours.change, theirs.change, atol=1e-9)


def noise(rng: np.random.Generator, n_folds: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Orders by all cells but a fold, and values of the fold, of samples that differ by chance and by cell."""
    donors, cells = rng.normal(size=(40, n)), rng.normal(size=(n_folds, 40, n))
    own = rng.normal(size=40)
    orders = np.stack([own + 0.3 * rng.normal(size=40) for _ in range(n_folds)])
    return orders, donors + cells


def bases(orders: np.ndarray, blocks: list[np.ndarray]) -> np.ndarray:
    """Return the basis of each order."""
    return np.stack([basis(order, blocks) for order in orders])


@pytest.mark.parametrize("blocks", [WHOLE, BLOCKS])
def test_p_values_are_uniform_where_values_have_nothing_to_do_with_the_order(blocks):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(60):
        orders, values = noise(rng, 3, 4)
        found.append(curves_test(bases(orders, blocks), values, blocks, n_perm=49, rng=rng)[0])
    assert kstest(np.concatenate(found), "uniform").pvalue > 0.01


def test_an_order_made_of_the_same_cells_finds_noise_and_one_of_other_cells_does_not():
    rng = np.random.default_rng(2)
    circular, apart = [], []
    for _ in range(40):
        cells = rng.normal(size=(4, 40, 6))  # nothing but noise of cells
        whole = cells.mean(axis=0)
        every = basis(whole.sum(axis=1), WHOLE)[None]
        circular.append(curves_test(every, whole[None], WHOLE, n_perm=99, rng=rng)[0])
        orders = np.stack([np.delete(cells, f, axis=0).mean(axis=0).sum(axis=1) for f in range(4)])
        apart.append(curves_test(bases(orders, WHOLE), cells, WHOLE, n_perm=99, rng=rng)[0])
    assert np.mean(np.concatenate(circular) <= 0.05) > 0.4
    assert np.mean(np.concatenate(apart) <= 0.05) <= 0.08


def test_values_that_follow_the_order_are_found_and_the_others_are_not():
    rng = np.random.default_rng(3)
    orders, values = noise(rng, 5, 50)
    place = orders.mean(axis=0)
    values[..., 0] += 1.5 * place
    values[..., 1] -= 1.5 * place
    values[..., 2] += 2.0 * (place**2)
    p, rates = curves_test(bases(orders, WHOLE), values, WHOLE, n_perm=199, rng=rng)
    assert set(np.flatnonzero(rates <= 0.05)) == {0, 1, 2}
    assert p[:3].max() < 0.001


def test_the_statistic_is_that_of_loops():
    rng = np.random.default_rng(4)
    orders, values = noise(rng, 2, 3)
    B = bases(orders, WHOLE)
    ranks = np.argsort(np.argsort(values, axis=1), axis=1) + 1.0
    ranks -= ranks.mean(axis=1, keepdims=True)

    def statistic(place: np.ndarray, gene: int) -> float:
        y = ranks[..., gene]
        best = 0.0
        for i in range(2):
            total = sum(B[f, place, i] @ y[f] for f in range(2))
            variance = sum((B[f, :, i] @ B[g, :, i]) * (y[f] @ y[g]) for f in range(2) for g in range(2)) / 39
            best = max(best, total**2 / variance)
        return best

    drawn = np.random.default_rng(5)
    places = [np.arange(40)] + [drawn.permutation(40) for _ in range(19)]
    pool = np.array([[statistic(place, gene) for gene in range(3)] for place in places])
    truth = [(pool >= pool[0, gene] - 1e-12).mean() for gene in range(3)]
    p, _ = curves_test(B, values, WHOLE, n_perm=19, rng=np.random.default_rng(5))
    np.testing.assert_allclose(p, truth)


def test_a_constant_value_is_never_significant():
    orders, values = noise(np.random.default_rng(6), 2, 3)
    values[..., 1] = 7.0
    p, rates = curves_test(bases(orders, WHOLE), values, WHOLE, n_perm=19, rng=np.random.default_rng(0))
    assert p[1] == rates[1] == 1.0


def test_contrasts_span_the_label():
    label = np.repeat([0.0, 1.0, 2.0], [10, 10, 20])
    classes = contrasts(label, WHOLE, ordered=False)
    assert classes.shape == (40, 2)
    np.testing.assert_allclose(classes.T @ classes, np.eye(2), atol=1e-12)
    means = np.stack([classes[label == c].std(axis=0) for c in range(3)])
    np.testing.assert_allclose(means, 0.0, atol=1e-12)
    assert contrasts(np.repeat([0.0, 1.0], 20), WHOLE, ordered=True).shape == (40, 1)


def test_rates_of_both_are_those_of_the_label_among_what_follows_the_order():
    rates, p_label = np.array([0.01, 0.02, 0.5, 0.04]), np.array([0.001, 0.9, 1e-9, 0.02])
    np.testing.assert_allclose(both_rates(rates, p_label), [0.01, 0.9, 0.5, 0.04])


def test_the_association_is_that_of_scipy():
    rng = np.random.default_rng(0)
    order, label = rng.normal(size=30), rng.integers(0, 3, 30).astype(float)
    assert association(order, label, ordered=True) == pytest.approx(spearmanr(order, label).statistic)
    H = kruskal(*(order[label == c] for c in range(3))).statistic
    assert association(order, label, ordered=False) == pytest.approx(H / 29)
    assert association(np.ones(30), label, ordered=True) == 0.0
    assert association(label, label, ordered=False) == pytest.approx(1.0)


def test_the_p_value_of_an_association_is_uniform_under_nothing_and_small_under_something():
    rng = np.random.default_rng(0)
    found = [
        association_test(
            rng.normal(size=40), rng.integers(0, 2, 40).astype(float), BLOCKS, ordered=True, n_perm=49, rng=rng
        )
        for _ in range(200)
    ]
    assert kstest(found, "uniform").pvalue > 0.001
    label = np.repeat([0.0, 1.0], 20)
    assert association_test(label + 0.1 * rng.normal(size=40), label, WHOLE, ordered=True, n_perm=99, rng=rng) == 0.01
