import numpy as np
import pytest
from _hard import WEIGHTS, cohort_of, hard_cohort
from hypothesis import given, settings
from hypothesis import strategies as st

from scggml._core.transport.masses import TOTAL, clouds_of, directions, scaled, whole_masses


@given(st.lists(st.floats(1e-20, 1.0), min_size=1, max_size=300))
@settings(max_examples=200)
def test_whole_masses_are_positive_and_have_their_sum(raw):
    weights = np.array(raw) / np.sum(raw)
    units = whole_masses(weights)
    assert units.min() >= 1
    assert int(units.sum()) == TOTAL
    np.testing.assert_allclose(units / TOTAL, weights, rtol=1e-15, atol=(len(raw) + 2) * 1e-16)


def test_a_weight_of_1e_9_keeps_nine_digits():
    weights = np.array([1e-9, 0.3, 0.7]) / (1 + 1e-9)
    np.testing.assert_allclose(whole_masses(weights) / TOTAL, weights, rtol=1e-9)


def test_cells_much_lighter_than_a_unit_all_keep_one():
    weights = np.append(np.full(50, 1e-30), 1.0)
    units = whole_masses(weights / weights.sum())
    np.testing.assert_array_equal(units[:-1], 1)
    assert units[-1] == TOTAL - 50


def test_cells_without_weight_are_left_out():
    cohort = cohort_of(
        [np.arange(3.0)[:, None], np.arange(4.0)[:, None]], [np.array([0, 1, 1.0]), np.array([2, 0, 2, 0])]
    )
    clouds = clouds_of(cohort)
    np.testing.assert_array_equal(clouds.kept, [1, 2, 3, 5])
    np.testing.assert_array_equal(clouds.offsets, [0, 2, 4])
    np.testing.assert_array_equal(clouds.uniform, [True, True])
    np.testing.assert_array_equal(clouds.rows(cohort.points)[:, 0], [1, 2, 0, 2])


def test_samples_are_uniform_each_for_itself():
    cohort = cohort_of([np.zeros((3, 1))] * 3, [np.ones(3), np.array([1, 1, 2.0]), np.full(3, 0.1)])
    clouds = clouds_of(cohort)
    np.testing.assert_array_equal(clouds.uniform, [True, False, True])
    assert clouds.kept is None
    np.testing.assert_array_equal(np.add.reduceat(clouds.units, clouds.offsets[:-1]), TOTAL)


@pytest.mark.parametrize("factor", [1e-200, 1e-5, 1.0, 3e7, 1e200])
@pytest.mark.parametrize("order", [1, 2, np.inf])
def test_scaling_changes_no_digit_and_reach_bounds_every_distance(order, factor):
    cohort = hard_cohort("far from each other", "some zero", (6, 9, 4), 3, 0)
    points = factor * cohort.points
    clouds = clouds_of(cohort)
    cells = scaled(clouds, points, order)
    assert np.log2(cells.unit) == np.round(np.log2(cells.unit))
    np.testing.assert_array_equal(cells.points * cells.unit, clouds.rows(points))
    assert 0.5 < np.abs(cells.singles).max() <= 1
    np.testing.assert_array_equal(cells.turned, cells.singles.T)
    samples = np.split(cells.points, clouds.offsets[1:-1])
    for p, x in enumerate(samples):
        for q, y in enumerate(samples):
            lengths = np.linalg.norm(x[:, None] - y, order, axis=2)
            assert lengths.max() <= (cells.reach[p] + cells.reach[q]) * (1 + 1e-12)


def test_cells_at_one_place_have_no_extent():
    cells = scaled(clouds_of(cohort_of([np.full((4, 2), 7.0)])), np.full((4, 2), 7.0), 2)
    assert cells.unit == 1.0
    assert not cells.singles.any()


@pytest.mark.parametrize("weights", WEIGHTS)
def test_squared_distances_of_directions_are_twice_the_cosine_distance(weights):
    x = hard_cohort("normal", weights, (12,), 4, 0).points
    x[3] = 0
    x[5] *= 1e-300
    u = directions(x)
    found = ((u[:, None] - u) ** 2).sum(axis=2) / 2
    y = np.delete(x, 3, axis=0)
    y[4] *= 1e300
    lengths = np.linalg.norm(y, axis=1)
    truth = 1 - y @ y.T / np.outer(lengths, lengths)
    np.testing.assert_allclose(np.delete(np.delete(found, 3, 0), 3, 1), truth, atol=1e-14)
    np.testing.assert_allclose(np.delete(found[3], 3), 1.0, rtol=1e-15)
    assert found[3, 3] == 0
