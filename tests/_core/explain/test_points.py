"""Points that stand for cells, and the cells that each of them stands for."""

from dataclasses import replace

import numpy as np
import pytest
from _oracles import random_cohort

from scggml._core.explain.points import points_of_cells
from scggml._core.transport.coreset import Coreset

SIZES = (30, 5, 18, 40)
CELLS = random_cohort(SIZES, d=3, weighted=True, seed=2)
TYPES = np.random.default_rng(3).integers(4, size=sum(SIZES))
OWNER = np.repeat(np.arange(4), SIZES)


def summarized(cells=CELLS, types=TYPES, n_points=6, seed=0):
    return points_of_cells(cells, Coreset(n_points), types, np.random.default_rng(seed))


def without(cells, rows):
    """Some cells without weight."""
    weights = cells.weights.copy()
    weights[rows] = 0.0
    return replace(cells, weights=weights / np.bincount(OWNER, weights)[OWNER])


@pytest.mark.parametrize("types", [None, TYPES])
@pytest.mark.parametrize("some", [[], [0, 3, 31, 60]])
def test_a_point_is_the_mean_of_its_cells_and_has_their_mass(types, some):
    cells = without(CELLS, some)
    points, owner, kinds = summarized(cells, types)
    np.testing.assert_array_equal(owner < 0, cells.weights == 0)
    np.testing.assert_array_equal(np.unique(owner[owner >= 0]), np.arange(len(points.points)))
    for i in range(len(points.points)):
        own = np.flatnonzero(owner == i)
        mass = cells.weights[own].sum()
        assert points.weights[i] == pytest.approx(mass)
        np.testing.assert_allclose(points.points[i], cells.weights[own] @ cells.points[own] / mass)
        sample = np.searchsorted(points.offsets, i, side="right") - 1
        assert set(OWNER[own]) == {sample}
        if types is not None:
            assert set(types[own]) == {kinds[i]}
    assert (kinds is None) == (types is None)


@pytest.mark.parametrize("types", [None, TYPES])
def test_samples_keep_their_mass_their_mean_and_their_names(types):
    points, _, _ = summarized(types=types)
    np.testing.assert_allclose(np.add.reduceat(points.weights, points.offsets[:-1]), np.ones(4))
    for p in range(4):
        cells, own = OWNER == p, slice(points.offsets[p], points.offsets[p + 1])
        truth = CELLS.weights[cells] @ CELLS.points[cells]
        np.testing.assert_allclose(points.weights[own] @ points.points[own], truth, atol=1e-12)
    np.testing.assert_array_equal(points.names, CELLS.names)
    np.testing.assert_array_equal(points.labels, CELLS.labels)


def test_without_types_points_are_those_of_the_summary():
    points, _, _ = summarized(types=None)
    assert points.sizes.tolist() == [6, 5, 6, 6]
    rng, first = np.random.default_rng(0), 0
    for p, n in enumerate(SIZES):
        own = slice(first, first + n)
        centers, mass = Coreset(6).summarize(CELLS.points[own], CELLS.weights[own], rng)
        first += n
        mine = slice(points.offsets[p], points.offsets[p + 1])
        for found, truth in ((points.points[mine], centers), (points.weights[mine], mass)):
            np.testing.assert_allclose(np.sort(found, axis=0), np.sort(truth, axis=0))


@pytest.mark.parametrize("types", [None, TYPES])
def test_few_cells_stand_for_themselves(types):
    points, owner, kinds = summarized(types=types, n_points=40)
    np.testing.assert_allclose(points.points[owner], CELLS.points)
    np.testing.assert_allclose(points.weights[owner], CELLS.weights)
    np.testing.assert_array_equal(points.offsets, CELLS.offsets)
    if types is not None:
        np.testing.assert_array_equal(kinds[owner], types)


def test_the_same_seed_gives_the_same_points():
    first, second = summarized(seed=4), summarized(seed=4)
    np.testing.assert_array_equal(first[0].points, second[0].points)
    np.testing.assert_array_equal(first[1], second[1])


def test_a_type_without_weight_has_no_point():
    cells = without(CELLS, np.flatnonzero(TYPES == 3))
    _, owner, kinds = summarized(cells)
    assert (owner[TYPES == 3] == -1).all()
    assert set(kinds) == {0, 1, 2}
