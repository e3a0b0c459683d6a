from dataclasses import replace

import numpy as np
import pytest
from _hard import SHAPES, WEIGHTS, cohort_of, each, hard_cohort, pot_values
from _oracles import lp_ot, random_cohort, relative_error

from scggml._core.transport import warm as module
from scggml._core.transport.exact import Exact
from scggml._core.transport.masses import clouds_of
from scggml._core.transport.pairs import all_pairs
from scggml._core.transport.plans import GROUND_COSTS, ground_cost
from scggml._core.transport.solver import Cold
from scggml._core.transport.warm import Warm, node_type, solve_once


def warm(cohort, *, cache_size=1.0, n_jobs=1, max_iter=20_000):
    return Warm(cohort, max_iter=max_iter, cache_size=cache_size, n_jobs=n_jobs)


def walk(cohort, k=3, steps=8, size=0.3, seed=0):
    """Cells under a W that walks at random, with two jumps."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((k, cohort.n_features))
    for step in range(steps):
        yield cohort.points @ W.T
        W = rng.standard_normal(W.shape) if step in (3, 5) else W + size * rng.standard_normal(W.shape)


# The trees


def kept_trees(transport, pairs):
    """Parents of each pair's tree."""
    for p, q in pairs:
        start = transport._place[p, q]
        assert start >= 0
        yield transport._pool[start : start + transport._sizes[p] + transport._sizes[q]].astype(int)


def check_tree(parent, a, b):
    """One tree on all nodes, arcs from sources to sinks alone, flows not negative, and none without flow leads away
    from the root."""
    n, n_nodes = len(a), len(parent)
    roots = np.flatnonzero(parent < 0)
    assert len(roots) == 1
    above = parent.copy()
    above[roots] = roots
    depth, top = np.zeros(n_nodes, dtype=int), np.arange(n_nodes)
    for _ in range(n_nodes):
        depth += top != roots[0]
        top = above[top]
    assert (top == roots[0]).all()
    below = np.concatenate([a, -b])
    for x in np.argsort(-depth, kind="stable"):
        if x == roots[0]:
            continue
        p = parent[x]
        assert (x < n) != (p < n)
        to_the_root = x < n  # the arc of a source to its parent
        flow = below[x] if to_the_root else -below[x]
        assert flow > 0 or (flow == 0 and to_the_root)
        below[p] += below[x]
    assert below[roots[0]] == 0


def masses(transport, p, q):
    clouds, n, m = transport._clouds, int(transport._sizes[p]), int(transport._sizes[q])
    if clouds.uniform[p] and clouds.uniform[q]:
        total = np.lcm(n, m)
        return np.full(n, total // n), np.full(m, total // m)
    return tuple(clouds.units[clouds.offsets[s] : clouds.offsets[s + 1]] for s in (p, q))


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("shape", ["normal", "ties", "grid", "collinear", "duplicates"])
def test_trees_stay_strongly_feasible(shape, weights):
    cohort = hard_cohort(shape, weights, (8, 8, 1, 11, 16), 3, 0)
    pairs, transport = all_pairs(5), warm(cohort)
    for points in walk(cohort, k=2, steps=10):
        places = np.round(points) if shape in ("ties", "grid") else points
        transport.solve(places, pairs, "euclidean")
        for tree, (p, q) in zip(kept_trees(transport, pairs), pairs, strict=True):
            check_tree(tree, *masses(transport, p, q))


# Warm is cold


@pytest.mark.parametrize("cost", GROUND_COSTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_where_a_pair_goes_on_from_decides_nothing(shape, cost):
    for weights in ("uniform", "from 1e-6 to 1"):
        cohort = hard_cohort(shape, weights, (9, 9, 14), 4, 1)
        pairs, transport = all_pairs(3), warm(cohort)
        for points in walk(cohort, k=3, steps=8):
            found = transport.solve(points, pairs, cost)
            truth = solve_once(cohort, points, pairs, cost, 20_000)
            np.testing.assert_allclose(found, truth, rtol=1e-11, atol=1e-15 * truth.max())


def test_values_of_a_walk_are_those_of_pot():
    cohort = random_cohort((40, 30, 40, 25), d=6, weighted=True)
    pairs, transport = all_pairs(4), warm(cohort)
    for points in walk(cohort, k=4, steps=12, size=0.1):
        for cost in ("euclidean", "sqeuclidean"):
            found = transport.solve(points, pairs, cost)
            np.testing.assert_allclose(found, pot_values(cohort, pairs, cost, points), rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean"])
def test_gradients_are_those_of_pots_plans(cost, weighted):
    """In general position a plan is unique."""
    cohort = random_cohort((12, 12, 9, 17), d=5, weighted=weighted)
    pairs, slopes = all_pairs(4), np.array([1.0, 0.0, -2.0, 0.5, 3.0, -1.0])
    transport, cold = warm(cohort), Cold(Exact(backend="pot"), cohort, n_jobs=1)
    for points in walk(cohort, k=3, steps=8):
        transport.solve(points, pairs, cost)
        cold.solve(points, pairs, cost)
        assert relative_error(transport.gradient(slopes), cold.gradient(slopes)) < 1e-10


def test_plans_are_those_of_the_linear_program():
    cohort = random_cohort((5, 7, 6), d=3, weighted=True)
    pairs, transport = all_pairs(3), warm(cohort)
    for points in walk(cohort, k=2, steps=5):
        transport.solve(points, pairs, "euclidean")
        plans = transport.plans()
        for e, (a, b, x, y) in enumerate(each(cohort, pairs, points)):
            own = plans.owner == e
            T = np.zeros((len(a), len(b)))
            p, q = cohort.offsets[pairs[e]]
            T[plans.source[own] - p, plans.target[own] - q] = plans.mass[own]
            np.testing.assert_allclose(T, lp_ot(a, b, ground_cost(x, y, "euclidean"))[1], atol=1e-9)


def test_some_of_the_plans_are_a_part_of_all():
    cohort = random_cohort((5, 1, 6, 4))
    transport = warm(cohort)
    transport.solve(cohort.points, all_pairs(4), "euclidean")
    every, some = transport.plans(), transport.plans(slice(2, 5))
    own = (every.owner >= 2) & (every.owner < 5)
    np.testing.assert_array_equal(some.source, every.source[own])
    np.testing.assert_array_equal(some.mass, every.mass[own])
    np.testing.assert_array_equal(some.owner, every.owner[own] - 2)
    np.testing.assert_array_equal(some.values, every.values[2:5])


@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean"])
def test_cells_without_weight_have_no_gradient_and_their_place_does_not_matter(cost):
    cohort = hard_cohort("normal", "some zero", (9, 12, 7), 3, 2)
    pairs, slopes, transport = all_pairs(3), np.array([1.0, -1.0, 2.0]), warm(cohort)
    transport.solve(cohort.points, pairs, cost)
    gradient = transport.gradient(slopes)
    none = cohort.weights == 0
    assert none.any()
    np.testing.assert_array_equal(gradient[none], 0)
    assert (gradient[~none] != 0).any(axis=1).all()
    moved = cohort.points + 50 * none[:, None]
    other = warm(cohort)
    np.testing.assert_allclose(other.solve(moved, pairs, cost), transport.solve(cohort.points, pairs, cost), rtol=1e-12)
    plans = other.plans()
    assert not none[plans.source].any()
    assert not none[plans.target].any()


# Memory


@pytest.mark.parametrize("cache_size", [0.0, 1e-4, 2.2e-4, 1.0])
def test_the_room_for_trees_decides_nothing(cache_size):
    cohort = random_cohort((12, 12, 9, 17), d=5)
    pairs, slopes = all_pairs(4), np.linspace(-1, 1, 6)
    transport, truth = warm(cohort, cache_size=cache_size), warm(cohort)
    for points in walk(cohort):
        np.testing.assert_allclose(
            transport.solve(points, pairs, "euclidean"), truth.solve(points, pairs, "euclidean"), rtol=1e-12
        )
        np.testing.assert_allclose(transport.gradient(slopes), truth.gradient(slopes), atol=1e-12)
        kept = (transport._place >= 0).sum()
        room = cache_size * 1e6 / 2
        assert kept == {0.0: 0, 1e-4: 2, 2.2e-4: 4, 1.0: 6}[cache_size]
        assert transport._sizes[pairs].sum(axis=1)[:kept].sum() <= room


@pytest.mark.parametrize("cache_size", [3e-4, 1.0])
def test_changing_pairs_in_any_order_and_direction(cache_size):
    cohort = random_cohort((6, 9, 7, 6, 8, 5), d=4, weighted=True)
    every, rng, transport = all_pairs(6), np.random.default_rng(0), warm(cohort, cache_size=cache_size)
    for points in walk(cohort, steps=15):
        some = every[rng.permutation(15)[: rng.integers(0, 15)]]
        turned = rng.random(len(some)) < 0.5
        some[turned] = some[turned][:, ::-1]
        found = transport.solve(points, some, "euclidean")
        np.testing.assert_allclose(found, pot_values(cohort, some, "euclidean", points), rtol=1e-9)
        slopes = rng.standard_normal(len(some))
        fresh = warm(cohort)
        fresh.solve(points, some, "euclidean")
        np.testing.assert_allclose(transport.gradient(slopes), fresh.gradient(slopes), atol=1e-12)
        plans = transport.plans()
        np.testing.assert_allclose(np.bincount(plans.owner, plans.mass, len(some)), 1.0, rtol=1e-12)


def test_a_place_in_the_pool_is_never_shared():
    cohort = random_cohort((6, 9, 7, 6, 8, 5))
    every, rng, transport = all_pairs(6), np.random.default_rng(1), warm(cohort, cache_size=4e-4)
    for _ in range(20):
        transport.solve(cohort.points, every[rng.permutation(15)[:6]], "euclidean")
        p, q = np.nonzero(transport._place >= 0)
        starts, sizes = transport._place[p, q], transport._sizes[p] + transport._sizes[q]
        order = np.argsort(starts)
        assert (starts[order][1:] >= (starts + sizes)[order][:-1]).all()
        assert (starts + sizes).max() <= 4e-4 * 1e6 / 2


def test_nodes_are_kept_in_the_smallest_type_that_holds_them(monkeypatch):
    assert node_type(2**15 - 1) is np.int16
    assert node_type(2**15) is np.int32
    cohort = random_cohort((6, 9, 7), d=4, weighted=True)
    truth = warm(cohort)
    assert truth._pool.dtype == np.int16
    monkeypatch.setattr(module, "node_type", lambda n_nodes: np.int32)
    found = warm(cohort)
    for points in walk(cohort):
        values = [transport.solve(points, all_pairs(3), "euclidean") for transport in (found, truth)]
        assert values[0].tobytes() == values[1].tobytes()
        assert found.gradient(np.ones(3)).tobytes() == truth.gradient(np.ones(3)).tobytes()
    assert found._pool.dtype == np.int32
    plan = Exact().solve(np.full(4, 0.25), np.full(5, 0.2), np.arange(20.0).reshape(4, 5) % 7)
    assert plan.cost == pytest.approx(lp_ot(np.full(4, 0.25), np.full(5, 0.2), np.arange(20.0).reshape(4, 5) % 7)[0])


def test_samples_of_more_nodes_than_fit_16_bits():
    x = np.linspace(0, 1, 32_800)[:, None]
    cohort = cohort_of([x, np.array([[0.0], [2.0]])])
    transport = warm(cohort, max_iter=10**7)
    (value,) = transport.solve(x := cohort.points, all_pairs(2), "euclidean")
    assert value == pytest.approx(0.5 * 0.25 + 0.5 * 1.25, rel=1e-4)
    plans = transport.plans()
    assert transport._pool.dtype == np.int32
    np.testing.assert_allclose(np.bincount(plans.source, plans.mass, 32_802)[:32_800], 1 / 32_800, rtol=1e-9)


# Threads and faults


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_threads_change_no_byte(monkeypatch, n_jobs):
    monkeypatch.setattr(module, "LEAST", 50.0)
    cohort = random_cohort((6, 9, 7, 6, 8, 5), d=4, weighted=True)
    pairs, slopes = all_pairs(6), np.random.default_rng(0).standard_normal(15)
    one, several = warm(cohort), warm(cohort, n_jobs=n_jobs)
    for points in walk(cohort):
        for transport in (one, several):
            transport.solve(points, pairs, "sqeuclidean")
        assert one._last[3].tobytes() == several._last[3].tobytes()
        assert one.gradient(slopes).tobytes() == several.gradient(slopes).tobytes()
        assert one.plans().mass.tobytes() == several.plans().mass.tobytes()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_after_a_pair_that_was_not_solved_all_go_on_as_before(n_jobs):
    cohort = random_cohort((30, 30, 30), d=4)
    transport, truth = warm(cohort, n_jobs=n_jobs), warm(cohort)
    steps = list(walk(cohort))
    for step, points in enumerate(steps):
        if step in (0, 2):
            transport._max_iter = 1
            with pytest.raises(RuntimeError, match=r"did not reach the optimal plan between samples 's\d' and 's\d'"):
                transport.solve(points, all_pairs(3), "euclidean")
            transport._max_iter = 20_000
        found = transport.solve(points, all_pairs(3), "euclidean")
        np.testing.assert_allclose(found, truth.solve(points, all_pairs(3), "euclidean"), rtol=1e-12)


def test_the_cells_that_were_handed_in_are_left_alone():
    cohort = hard_cohort("normal", "some zero", (9, 12, 7), 3, 2)
    points = cohort.points.copy()
    transport = warm(cohort)
    for cost in ("cosine", "euclidean"):
        transport.solve(points, all_pairs(3), cost)
    transport.gradient(np.ones(3))
    np.testing.assert_array_equal(points, cohort.points)
    assert clouds_of(cohort).kept is not None


# Many features


def wide_cohort(weighted=True):
    rng = np.random.default_rng(2)
    cohort = random_cohort((6, 9, 7, 8), d=module.WIDE + 3, weighted=weighted, seed=3)
    points = 5 + cohort.points * np.exp(rng.normal(size=cohort.n_features))
    points[[3, 12, 20]] = points[0]  # the same cell in three samples
    points[13] = points[0] + 1e-7  # and nearly the same
    return replace(cohort, points=points)


@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("held", [1.0, 2.0**21])
def test_costs_by_products_give_the_distances_and_plans(monkeypatch, cost, weighted, held):
    cohort, pairs = wide_cohort(weighted), all_pairs(4)[::-1].copy()
    monkeypatch.setattr(module, "GROUP", held)
    transport = warm(cohort)
    for step in range(3):
        points = cohort.points * (1 + 0.1 * step)
        found, plans = transport.solve(points, pairs, cost), transport.plans()
        for e, (p, q) in enumerate(pairs):
            x, y = (points[cohort.offsets[r] : cohort.offsets[r + 1]] for r in (p, q))
            a, b = (cohort.weights[cohort.offsets[r] : cohort.offsets[r + 1]] for r in (p, q))
            C = ground_cost(x, y, cost)
            assert found[e] == pytest.approx(lp_ot(a, b, C)[0], rel=1e-9)
            own = plans.owner == e
            i, j = plans.source[own] - cohort.offsets[p], plans.target[own] - cohort.offsets[q]
            assert (plans.mass[own] * C[i, j]).sum() == pytest.approx(found[e], rel=1e-9)
    np.testing.assert_allclose(solve_once(cohort, points, pairs, cost, 20_000), found, rtol=1e-12)


def test_cells_that_are_close_together_keep_their_digits():
    """Far from the mean, products lose what tells close cells apart."""
    cohort = wide_cohort()
    cohort = replace(cohort, points=np.concatenate([cohort.points[:15], cohort.points[:15] + 1e-6]))
    cohort = replace(cohort, offsets=np.array([0, 15, 30]), weights=np.full(30, 1 / 15), names=cohort.names[:2])
    found = warm(cohort).solve(cohort.points, all_pairs(2), "euclidean")
    assert found[0] == pytest.approx(1e-6 * np.sqrt(cohort.n_features), rel=1e-6)


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_threads_change_no_byte_of_costs_by_products(monkeypatch, n_jobs):
    monkeypatch.setattr(module, "GROUP", 100.0)
    cohort = wide_cohort()
    one, several = (warm(cohort, n_jobs=n).solve(cohort.points, all_pairs(4), "euclidean") for n in (1, n_jobs))
    np.testing.assert_array_equal(one, several)


def test_a_wide_pair_that_runs_out_of_pivots_is_named():
    cohort = wide_cohort()
    with pytest.raises(RuntimeError, match=r"max_iter=1\) did not reach .* between samples 's\d' and 's\d'"):
        warm(cohort, max_iter=1).solve(cohort.points, all_pairs(4), "euclidean")
