"""Gradients of the entropic solvers against finite differences of the value that each is the gradient of."""

import numpy as np
import pytest
from _oracles import random_cohort

from scggml._core.transport.divergence import SinkhornDivergence
from scggml._core.transport.pairs import all_pairs
from scggml._core.transport.sinkhorn import Sinkhorn
from scggml._core.transport.unbalanced import Unbalanced

pytest.importorskip("torch")

COHORT = random_cohort((7, 9, 1, 6), d=3, weighted=True, seed=2)
PAIRS = all_pairs(4)
# Epsilon counts as a constant: with a unit it is one.
OPTIONS = {"epsilon": 0.1, "tol": 1e-9, "max_iter": 5000, "unit": 2.0}
BLURRED = OPTIONS | {"epsilon": 0.4}  # plans of a sample to itself take many iterations at a small one
SOLVERS = [Sinkhorn(**OPTIONS), SinkhornDivergence(**BLURRED), Unbalanced(**OPTIONS), Unbalanced(reach=0.2, **OPTIONS)]


def regularized(solver, points, cost, slopes):
    transport = solver.transport(COHORT, n_jobs=1)
    transport.solve(points, PAIRS, cost)
    return slopes @ transport.regularized


@pytest.mark.filterwarnings("ignore:.*stopped before the marginals")
@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean"])
@pytest.mark.parametrize("solver", SOLVERS, ids=["sinkhorn", "divergence", "unbalanced", "short reach"])
def test_the_gradient_is_that_of_the_objective(solver, cost):
    rng = np.random.default_rng(0)
    slopes, points = rng.standard_normal(len(PAIRS)), COHORT.points
    slopes[2] = 0.0
    transport = solver.transport(COHORT, n_jobs=1)
    transport.solve(points, PAIRS, cost)
    found = transport.gradient(slopes)
    step = 1e-4
    for row, column in ((0, 0), (3, 2), (8, 1), (15, 0), (16, 1), (17, 2), (22, 0)):
        move = np.zeros_like(points)
        move[row, column] = step
        ends = [regularized(solver, points + sign * move, cost, slopes) for sign in (1, -1)]
        assert found[row, column] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("solver", [Sinkhorn(), SinkhornDivergence(), Unbalanced()])
def test_the_gradient_at_the_usual_tolerance_is_close(solver):
    """The tolerance moves the plan by its share of the mass, and the gradient with it."""
    transport = solver.transport(COHORT, n_jobs=1)
    transport.solve(COHORT.points, PAIRS, "euclidean")
    tight = type(solver)(tol=1e-6, max_iter=50_000).transport(COHORT, n_jobs=1)
    tight.solve(COHORT.points, PAIRS, "euclidean")
    slopes = np.ones(len(PAIRS))
    np.testing.assert_allclose(transport.gradient(slopes), tight.gradient(slopes), atol=5e-3)


@pytest.mark.parametrize("solver", [Sinkhorn(), SinkhornDivergence(), Unbalanced()])
def test_moving_all_cells_alike_changes_nothing(solver):
    transport = solver.transport(COHORT, n_jobs=1)
    transport.solve(COHORT.points, PAIRS, "euclidean")
    np.testing.assert_allclose(transport.gradient(np.arange(1.0, 7.0)).sum(axis=0), 0.0, atol=1e-12)
