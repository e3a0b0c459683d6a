"""Transport that leaves mass behind: POT, closed forms, and what its reach means."""

import numpy as np
import ot
import pytest
from _oracles import cloud, random_cohort

from scggml._core.transport.pairs import all_pairs, solve_distances
from scggml._core.transport.plans import ground_cost
from scggml._core.transport.sinkhorn import Sinkhorn
from scggml._core.transport.typical import typical_cost
from scggml._core.transport.unbalanced import Unbalanced

pytest.importorskip("torch")

COHORT = random_cohort((9, 12, 1, 7), d=3, weighted=True)
PAIRS = all_pairs(4)


def kl(found, wanted):
    return (found * np.log(found / wanted) - found + wanted).sum()


@pytest.mark.parametrize("reach", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(("cost", "degree"), [("euclidean", 1), ("sqeuclidean", 2)])
def test_plans_and_values_are_those_of_pot(cost, degree, reach):
    unit = typical_cost(COHORT, COHORT.points, PAIRS, cost)
    transport = Unbalanced(reach=reach, epsilon=0.1, tol=1e-11, max_iter=20_000).transport(COHORT, n_jobs=1)
    values = transport.solve(COHORT.points, PAIRS, cost)
    plans = transport.plans()
    for e, (p, q) in enumerate(PAIRS):
        (x, a), (y, b) = cloud(COHORT, p), cloud(COHORT, q)
        C, rho = ground_cost(x, y, cost), unit * reach**degree / 2
        T = ot.unbalanced.sinkhorn_unbalanced(
            a, b, C, 0.1 * unit, rho, reg_type="kl", numItermax=100_000, stopThr=1e-14
        )
        price = rho * (kl(T.sum(1), a) + kl(T.sum(0), b))
        assert values[e] == pytest.approx((T * C).sum() + price, rel=1e-7)
        whole = (T * C).sum() + price + 0.1 * unit * kl(T, np.outer(a, b))
        assert transport.regularized[e] == pytest.approx(whole, rel=1e-7)
        own = plans.owner == e
        for side, sums, sample in ((plans.source, T.sum(1), p), (plans.target, T.sum(0), q)):
            masses = np.bincount(side[own], plans.mass[own], len(COHORT.weights))
            np.testing.assert_allclose(masses[COHORT.offsets[sample] : COHORT.offsets[sample + 1]], sums, rtol=1e-5)


def test_two_cells_pay_and_keep_what_the_formula_says():
    one = np.array([1.0])
    for distance in (0.1, 1.0, 7.0):
        plan = Unbalanced(reach=2.0, unit=1.0, tol=1e-9).solve(one, one, np.array([[distance]]))
        # KL to the product counts, too: a plan of mass m has m log m - m + 1 of it
        kept = np.exp(-distance / (2 * 1.0 + 0.02))
        assert plan.mass.sum() == pytest.approx(kept, rel=1e-6)
        assert plan.cost == pytest.approx(kept * distance + 2 * (kept * np.log(kept) - kept + 1), rel=1e-6)


def test_with_a_long_reach_it_is_transport_of_all_mass():
    found, truth = (
        solve_distances(COHORT, COHORT.points, PAIRS, "euclidean", solver=solver, n_jobs=1)
        for solver in (Unbalanced(reach=100.0), Sinkhorn())
    )
    np.testing.assert_allclose(found, truth, rtol=1e-2)


def test_outlying_cells_do_not_dominate():
    cohort = random_cohort((20, 20), d=2, shift=0.0)
    pair, far = np.array([[0, 1]]), cohort.points.copy()
    far[0] += 1000.0
    near, moved = (
        solve_distances(cohort, points, pair, "euclidean", solver=Unbalanced(unit=2.0), n_jobs=1)
        for points in (cohort.points, far)
    )
    # at most the price of its own mass, and of as much that has no counterpart any more
    assert near < moved < near + 2.0 * 2 / 20


def test_a_reach_within_which_nothing_lies_is_told_of():
    with pytest.raises(ValueError, match=r"moves no mass between any two samples.*in units of 0.001. Raise reach, or"):
        solve_distances(COHORT, COHORT.points, PAIRS, "euclidean", solver=Unbalanced(unit=1e-3), n_jobs=1)
