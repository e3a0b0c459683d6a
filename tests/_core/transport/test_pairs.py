import os
import threading
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from _oracles import cloud, cost_by_loops, finite_differences, lp_ot, random_cohort, relative_error
from _threads import no_thread_left

from scggml._core.threads import n_threads
from scggml._core.transport import pairs as module
from scggml._core.transport import solver as solver_module
from scggml._core.transport import warm
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_distances, solve_plans, square
from scggml._core.transport.solver import Solver, plan_gradient


@pytest.fixture(scope="module")
def cohort():
    return random_cohort((4, 7, 1, 5, 6), d=3, weighted=True)


PAIRS = all_pairs(5)


def test_all_pairs_are_unordered_and_complete():
    np.testing.assert_array_equal(all_pairs(4), [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
    assert all_pairs(1).shape == (0, 2)
    assert all_pairs(3).dtype == np.int64


@pytest.mark.parametrize("cores", [1, 5])
def test_all_cores_are_those_that_the_process_may_use(monkeypatch, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert n_threads(None) == n_threads(-1) == cores
    assert n_threads(3) == 3


def test_a_machine_without_affinity_counts_its_cores(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert n_threads(None) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert n_threads(None) == 1


@pytest.mark.parametrize("n_jobs", [0, -2])
def test_a_number_of_threads_that_means_nothing_is_refused(n_jobs):
    with pytest.raises(ValueError, match=rf"n_jobs={n_jobs} must be at least 1 thread, or None \(or -1\) for all"):
        n_threads(n_jobs)


@pytest.fixture(params=["simplex", "pot"])
def exact(request):
    return Exact(backend=request.param)


@pytest.mark.parametrize("squared", [False, True])
def test_values_are_those_of_the_linear_program(cohort, squared, exact):
    cost = "sqeuclidean" if squared else "euclidean"
    values = solve_distances(cohort, cohort.points, PAIRS, cost, solver=exact, n_jobs=1)
    truth = []
    for p, q in PAIRS:
        (x, a), (y, b) = cloud(cohort, p), cloud(cohort, q)
        truth.append(lp_ot(a, b, cost_by_loops(x, y, squared=squared))[0])
    np.testing.assert_allclose(values, truth, rtol=1e-9)


def test_plans_couple_the_rows_of_their_pairs(cohort, exact):
    plans = solve_plans(cohort, cohort.points, PAIRS, "euclidean", solver=exact, n_jobs=1)
    values = solve_distances(cohort, cohort.points, PAIRS, "euclidean", solver=exact, n_jobs=1)
    np.testing.assert_array_equal(plans.values, values)
    np.testing.assert_array_equal(np.unique(plans.owner), np.arange(len(PAIRS)))
    for e, (p, q) in enumerate(PAIRS):
        own = plans.owner == e
        source, target, mass = plans.source[own], plans.target[own], plans.mass[own]
        for cells, sample in ((source, p), (target, q)):
            rows = np.arange(cohort.offsets[sample], cohort.offsets[sample + 1])
            moved = np.bincount(cells, mass, len(cohort.points))
            np.testing.assert_allclose(moved[rows], cohort.weights[rows], atol=1e-14)
            assert np.isin(cells, rows).all()
        lengths = np.linalg.norm(cohort.points[source] - cohort.points[target], axis=1)
        assert (mass * lengths).sum() == pytest.approx(values[e], rel=1e-12)


def test_any_pairs_in_any_order_may_be_asked_for(cohort, exact):
    asked = np.array([[1, 4], [0, 2], [1, 4]])
    every = square(solve_distances(cohort, cohort.points, PAIRS, "euclidean", solver=exact), PAIRS, 5)
    found = solve_distances(cohort, cohort.points, asked, "euclidean", solver=exact)
    np.testing.assert_array_equal(found, [every[1, 4], every[0, 2], every[1, 4]])


def test_a_single_sample_has_no_distances(cohort):
    alone = cohort.take(np.array([0]))
    assert solve_distances(alone, alone.points, all_pairs(1), "euclidean", solver=Exact()).shape == (0,)


@pytest.mark.parametrize("work", [1, 60, 1e9])
def test_neither_threads_nor_pieces_of_work_change_a_bit(cohort, monkeypatch, work, exact):
    truth = solve_plans(cohort, cohort.points, PAIRS, "euclidean", solver=exact, n_jobs=1)
    distances = solve_distances(cohort, cohort.points, PAIRS, "euclidean", solver=exact, n_jobs=1)
    monkeypatch.setattr(solver_module, "CHUNK", int(min(work, 64)))
    monkeypatch.setattr(warm, "LEAST", work)
    monkeypatch.setattr(warm, "MOST", work)
    for n_jobs in (1, 2):
        plans = solve_plans(cohort, cohort.points, PAIRS, "euclidean", solver=exact, n_jobs=n_jobs)
        for name in ("pairs", "values", "source", "target", "mass", "owner"):
            assert getattr(plans, name).tobytes() == getattr(truth, name).tobytes()
        found = solve_distances(cohort, cohort.points, PAIRS, "euclidean", solver=exact, n_jobs=n_jobs)
        assert found.tobytes() == distances.tobytes()


@dataclass(frozen=True)
class Watched(Solver):
    """Exact, noting the thread of each pair; a barrier holds the first pairs until both threads are there."""

    threads: list
    barrier: threading.Barrier

    def solve(self, a, b, cost):
        if len(self.threads) < 2:
            self.threads.append(threading.get_ident())
            self.barrier.wait(timeout=20)
        return Exact().solve(a, b, cost)


def test_pairs_are_solved_at_the_same_time(cohort, monkeypatch):
    monkeypatch.setattr(module, "TILE", 1)
    watched = Watched([], threading.Barrier(2))
    solve_distances(cohort, cohort.points, PAIRS, "euclidean", solver=watched, n_jobs=2)
    assert len(set(watched.threads)) == 2


@dataclass(frozen=True)
class Broken(Solver):
    """A solver that fails."""

    def solve(self, a, b, cost):
        raise RuntimeError("out of luck")


@pytest.mark.parametrize("solve", [solve_distances, solve_plans])
def test_a_fault_in_a_thread_reaches_the_caller_and_leaves_no_thread(cohort, solve):
    with no_thread_left(), pytest.raises(RuntimeError, match="out of luck"):
        solve(cohort, cohort.points, PAIRS, "euclidean", solver=Broken(), n_jobs=2)


@pytest.mark.parametrize("solve", [solve_distances, solve_plans])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_pairs_that_stop_early_are_named_in_one_warning(solve, n_jobs):
    cohort = random_cohort((8, 9, 7, 8))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        solve(cohort, cohort.points, all_pairs(4), "euclidean", solver=Exact(max_iter=1, backend="pot"), n_jobs=n_jobs)
    (warning,) = caught
    assert warning.category is UserWarning
    text = str(warning.message)
    assert text.startswith(
        "Exact(max_iter=1, backend='pot', cache_size=512.0) stopped before the optimum for 6 pair(s) of "
    )
    assert "('s1', 's3') and 1 more. Their distances are " in text
    assert text.endswith("; raise max_iter.")


@dataclass(frozen=True)
class Sometimes(Solver):
    """Exact, except that pairs whose second sample has `size` cells stop early."""

    size: int

    def solve(self, a, b, cost):
        return Exact(max_iter=1 if len(b) == self.size else 10**6, backend="pot").solve(a, b, cost)


@pytest.mark.parametrize("work", [1, 100, 1e9])
def test_only_the_pairs_that_stop_early_are_named(monkeypatch, work):
    monkeypatch.setattr(module, "TILE", work)
    cohort = random_cohort((6, 8, 6, 7, 9))
    with pytest.warns(UserWarning, match="stopped before the optimum") as caught:
        found = solve_distances(cohort, cohort.points, PAIRS, "euclidean", solver=Sometimes(7), n_jobs=2)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert "for 3 pair(s) of samples: ('s0', 's3'), ('s1', 's3'), ('s2', 's3'). Their" in text
    truth = solve_distances(cohort, cohort.points, PAIRS, "euclidean", solver=Exact(backend="pot"))
    stopped = PAIRS[:, 1] == 3
    assert (found[stopped] != truth[stopped]).all()
    np.testing.assert_array_equal(found[~stopped], truth[~stopped])


def test_the_warning_does_not_say_that_distances_are_too_large_where_they_are_too_small():
    """The first pivots of the network simplex leave mass where it is, so the cost may fall below the optimum."""
    cohort = random_cohort((6, 8))
    with pytest.warns(UserWarning, match="stopped before the optimum") as caught:
        found = solve_distances(
            cohort, cohort.points, all_pairs(2), "euclidean", solver=Exact(max_iter=1, backend="pot")
        )
    truth = solve_distances(cohort, cohort.points, all_pairs(2), "euclidean", solver=Exact())
    assert found[0] < truth[0]
    assert "too large" not in str(caught[0].message)


def test_an_optimal_solution_warns_of_nothing_and_leaves_the_filters_alone(cohort):
    before = list(warnings.filters)
    solve_distances(cohort, cohort.points, PAIRS, "euclidean", solver=Exact())  # warnings are errors here
    assert warnings.filters == before


def test_progress_is_shown_where_it_has_a_name(cohort, capfd):
    solve_distances(cohort, cohort.points, PAIRS, "euclidean", solver=Exact())
    assert capfd.readouterr().err == ""
    solve_distances(cohort, cohort.points, PAIRS, "euclidean", solver=Exact(), progress="distances")
    assert "distances" in capfd.readouterr().err


def test_a_square_is_symmetric_with_zero_diagonal():
    pairs = np.array([[0, 2], [1, 2]])
    np.testing.assert_array_equal(square(np.array([3.0, 4.0]), pairs, 3), [[0, 0, 3], [0, 0, 4], [3, 4, 0]])


def gradient_by_loops(points, plans, slopes, *, squared):
    out = np.zeros_like(points)
    for i, j, mass, owner in zip(plans.source, plans.target, plans.mass, plans.owner, strict=True):
        u = points[i] - points[j]
        length = np.sqrt(u @ u)
        step = 2 * u if squared else (u / length if length > 0 else 0 * u)
        out[i] += slopes[owner] * mass * step
        out[j] -= slopes[owner] * mass * step
    return out


@pytest.mark.parametrize("solve", [solve_distances, solve_plans])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_pair_that_runs_out_of_pivots_is_named_in_an_error(solve, n_jobs):
    cohort = random_cohort((1, 9, 7))
    match = (
        r"Exact\(max_iter=1\) did not reach the optimal plan between samples 's1' and 's2' within 1 pivots; raise max_"
    )
    with pytest.raises(RuntimeError, match=match):
        solve(cohort, cohort.points, all_pairs(3), "euclidean", solver=Exact(max_iter=1), n_jobs=n_jobs)


@pytest.mark.parametrize("atoms", [1, 7, 2**20])
@pytest.mark.parametrize("squared", [False, True])
def test_the_gradient_of_plans_is_the_sum_over_their_entries(cohort, monkeypatch, squared, atoms):
    monkeypatch.setattr(solver_module, "ATOMS", atoms)
    plans = solve_plans(cohort, cohort.points, PAIRS, "euclidean", solver=Exact())
    slopes = np.random.default_rng(0).standard_normal(len(PAIRS))
    slopes[[1, 4]] = 0.0
    found = plan_gradient(cohort.points, plans, slopes, squared=squared)
    truth = gradient_by_loops(cohort.points, plans, slopes, squared=squared)
    np.testing.assert_allclose(found, truth, atol=1e-13)


@pytest.mark.parametrize("squared", [False, True])
def test_moving_a_cell_changes_the_distances_by_the_gradient(squared):
    cohort = random_cohort((3, 4, 2), d=2, weighted=True)
    pairs, slopes = all_pairs(3), np.array([1.0, -2.0, 0.5])
    cost = "sqeuclidean" if squared else "euclidean"

    def value(points):
        return float(slopes @ solve_distances(cohort, points, pairs, cost, solver=Exact(), n_jobs=1))

    plans = solve_plans(cohort, cohort.points, pairs, cost, solver=Exact(), n_jobs=1)
    found = plan_gradient(cohort.points, plans, slopes, squared=squared)
    assert relative_error(found, finite_differences(value, cohort.points)) < 1e-7


def test_cells_at_the_same_place_pull_at_nothing(cohort):
    place = np.ones_like(cohort.points)
    plans = solve_plans(cohort, cohort.points, PAIRS, "euclidean", solver=Exact())
    for squared in (False, True):
        np.testing.assert_array_equal(plan_gradient(place, plans, np.ones(len(PAIRS)), squared=squared), 0.0)


@pytest.mark.parametrize("backend", ["simplex", "pot"])
@pytest.mark.parametrize("cost", ["cosine", "cityblock", "chebyshev"])
def test_a_cost_without_gradient_is_refused_one(cohort, backend, cost):
    transport = Exact(backend=backend).transport(cohort, n_jobs=1)
    transport.solve(cohort.points, PAIRS, cost)
    with pytest.raises(ValueError, match=f"The ground cost '{cost}' has no gradient here; choose from"):
        transport.gradient(np.ones(len(PAIRS)))


def test_pairs_without_slope_give_no_gradient(cohort):
    plans = solve_plans(cohort, cohort.points, PAIRS, "euclidean", solver=Exact())
    found = plan_gradient(cohort.points, plans, np.zeros(len(PAIRS)), squared=False)
    np.testing.assert_array_equal(found, np.zeros_like(cohort.points))
