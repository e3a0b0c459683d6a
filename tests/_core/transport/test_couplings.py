"""Many small problems with known costs, each as the solver solves it alone."""

import numpy as np
import pytest

from scggml._core.transport.couplings import couple
from scggml._core.transport.exact import Exact
from scggml._core.transport.sinkhorn import Sinkhorn
from scggml._core.transport.unbalanced import Unbalanced


@pytest.fixture
def problems():
    rng = np.random.default_rng(0)
    found = []
    for n, m in ((1, 1), (3, 5), (4, 2), (1, 4), (5, 5)):
        a, b = rng.uniform(0.1, 1, n), rng.uniform(0.1, 1, m)
        found.append((a / a.sum(), b / b.sum(), rng.uniform(0, 3, (n, m))))
    return found


@pytest.mark.parametrize("solver", [Exact(), Exact(backend="pot")])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_exact_plans_are_those_of_the_solver(problems, solver, n_jobs):
    found = couple(solver, problems, "euclidean", unit=1.0, n_jobs=n_jobs)
    for e, (a, b, costs) in enumerate(problems):
        assert found.values[e] == pytest.approx(solver.solve(a, b, costs).cost)
        assert found.values[e] == pytest.approx((found.masses[e] * costs).sum())
        np.testing.assert_allclose(found.rounded(e, a, b).sum(axis=1), a)
        np.testing.assert_allclose(found.rounded(e, a, b).sum(axis=0), b)
    assert not found.errors.any()


@pytest.mark.parametrize("kind", [Sinkhorn, Unbalanced])
def test_entropic_plans_are_those_of_the_solver(problems, kind):
    pytest.importorskip("torch")
    solver = kind(tol=1e-9, unit=1.0, epsilon=0.1)
    found = couple(solver, problems, "euclidean", unit=1.0, n_jobs=2)
    for e, (a, b, costs) in enumerate(problems):
        plan = solver.solve(a, b, costs)
        alone = np.zeros_like(costs)
        alone[plan.source, plan.target] = plan.mass
        np.testing.assert_allclose(found.rounded(e, a, b), alone, atol=1e-7)
        assert found.values[e] == pytest.approx(plan.cost, rel=1e-3)  # a plan whose faint entries are dropped
        assert found.errors[e] <= 1e-9
    single = couple(solver, problems[1:2], "euclidean", unit=1.0, n_jobs=1)
    assert single.values[0] == pytest.approx(found.values[1], rel=1e-6)


def test_no_problems_have_no_solutions():
    assert len(couple(Exact(), [], "euclidean", unit=1.0, n_jobs=1).values) == 0
