"""Scatter along plans is the sum over pairs of cells, as a matrix and by what it does to one."""

import numpy as np
import pytest
from _oracles import lp_plans, random_cohort, scatter_by_loops

from scggml._core.cohort import from_clouds
from scggml._core.learn import scatter as module
from scggml._core.learn.canonical import canonical_variates, unit_ridge
from scggml._core.learn.scatter import euclidean_start, scatters
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs

COHORT = random_cohort((4, 5, 3, 4, 6), labels=(0, 0, 1, 1, 2), weighted=True)
WEIGHTS = np.array([0.5, 0.0, 1.0, 0.2, 0.0, 0.3, 0.1, 0.7, 0.9, 0.4])
OTHERS = np.array([0.0, 0.2, 0.0, 0.1, 0.0, 0.0, 0.4, 0.0, 0.0, 0.3])


def of_plans(cohort, kinds, backend="simplex", cost="euclidean"):
    pairs = all_pairs(cohort.n_samples)
    transport = Exact(backend=backend).transport(cohort)
    transport.solve(cohort.points, pairs, cost)
    return scatters(cohort.points, transport, pairs, kinds)


@pytest.mark.parametrize("held", [1, 4, 4096])
@pytest.mark.parametrize("block", [1, 50, 2**22])
@pytest.mark.parametrize("backend", ["simplex", "pot"])
def test_the_scatter_of_plans_is_the_sum_over_pairs_of_cells(monkeypatch, held, block, backend):
    monkeypatch.setattr(module, "PAIRS", held)
    monkeypatch.setattr(module, "BLOCK", block)
    plans = lp_plans(COHORT)
    truth = {(p, q): plans[p, q] for p, q in all_pairs(5)}
    v = np.random.default_rng(0).standard_normal((COHORT.n_features, 3))
    for found, weights in zip(of_plans(COHORT, (WEIGHTS, OTHERS), backend), (WEIGHTS, OTHERS), strict=True):
        S = scatter_by_loops(COHORT, truth, weights)
        np.testing.assert_allclose(found.matrix, S)
        np.testing.assert_allclose(found(v), S @ v)


@pytest.mark.parametrize("kept", [0, 2**20])
def test_a_start_has_the_scatters_of_any_of_its_pairs(monkeypatch, kept):
    monkeypatch.setattr(module, "BY_PAIR", kept)
    start = euclidean_start(COHORT, all_pairs(5), solver=Exact(), max_features=2048).for_many()
    assert (start.by_pair is not None) == bool(kept)
    plans = lp_plans(COHORT, squared=True)
    some = np.array([7, 2, 3])
    pairs = all_pairs(5)[some]
    truth = {(p, q): plans[p, q] for p, q in pairs}
    for found, weights in zip(start.scatters(pairs, (WEIGHTS[some], OTHERS[some])), (WEIGHTS, OTHERS), strict=True):
        S = getattr(found, "matrix", found)
        np.testing.assert_allclose(S, scatter_by_loops(COHORT, truth, weights[some]), atol=1e-12)


def test_equal_samples_have_no_scatter():
    rng = np.random.default_rng(0)
    same = rng.standard_normal((6, 4)) + 3
    cohort = from_clouds([rng.permutation(same) for _ in range(3)])
    (found,) = of_plans(cohort, (np.ones(3),))
    assert not found.matrix.any()
    assert not found(np.eye(4)).any()


def test_variates_of_many_features_are_those_of_the_matrices(monkeypatch):
    """The scatter between is not formed where features are many."""
    cohort = random_cohort((9, 8, 10, 9), d=25, labels=(0, 0, 1, 1))
    between, within = of_plans(cohort, np.array([[0.0, 0.2, 0.3, 0.1, 0.4, 0.0], [0.6, 0.0, 0.0, 0.0, 0.0, 0.4]]))
    unit = unit_ridge(between, within, "feature")
    truth, values = canonical_variates(between.matrix, within.matrix, 3, 0.05, unit)
    monkeypatch.setattr("scggml._core.learn.canonical.DENSE", 10)
    monkeypatch.setattr("scggml._core.learn.spectrum.DENSE", 10)
    del between.matrix
    found, others = canonical_variates(between, within, 3, 0.05, unit)
    assert "matrix" not in vars(between)
    np.testing.assert_allclose(others, values, rtol=1e-9)
    np.testing.assert_allclose(np.abs(found), np.abs(truth), rtol=1e-6, atol=1e-9)
