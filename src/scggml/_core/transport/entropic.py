"""Options and answers that the solvers with an entropy share."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scggml._core.checks import check_choice, check_number, check_whole
from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.transport.batches import matrix_batch
from scggml._core.transport.blocks import room_of
from scggml._core.transport.blurred import Blurred, warn_unfinished
from scggml._core.transport.dense import DenseBlock, Terms
from scggml._core.transport.devices import Device, as_array, place_of
from scggml._core.transport.plans import GroundCost, Plan, Transport
from scggml._core.transport.problem import as_problem
from scggml._core.transport.rounding import sparse_plan
from scggml._core.transport.scaling import optimal_potentials
from scggml._core.transport.solver import Solver
from scggml._core.transport.typical import typical_cost


@dataclass(frozen=True, kw_only=True)
class Entropic(Solver):
    """Base of the solvers that blur plans by an entropy; see `Sinkhorn`."""

    epsilon: float = 0.02
    tol: float = 1e-3
    max_iter: int = 5000
    device: Device = "auto"
    cache_size: float = 512.0
    unit: float | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_number(
            f"{name}: epsilon", self.epsilon, "a positive share of the typical cost; 0.005 to 0.1 are usual", 0,
            open_low=True,
        )  # fmt: skip
        check_number(f"{name}: tol", self.tol, "a share of the mass above 0 and below 1", 0, 1, open_low=True)
        check_whole(f"{name}: max_iter", self.max_iter, 1, " iteration; the default is 5000")
        check_choice(f"{name}: device", self.device, get_args(Device))
        check_number(f"{name}: cache_size", self.cache_size, "a number of megabytes", 0, open_low=False)
        if self.unit is not None:
            check_number(f"{name}: unit", self.unit, "a positive cost, or None for the typical one", 0, open_low=True)

    @abstractmethod
    def terms(self, cost: GroundCost | None) -> Terms:
        """Return the weights of the objective, in units of the typical cost."""

    def require(self) -> None:
        """Raise unless torch and the device are there."""
        place_of(self.device)

    def at_scale_of(self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost) -> "Entropic":
        """Return the solver with the typical cost of these pairs as its unit, for all parts of them alike."""
        return self if self.unit is not None else replace(self, unit=typical_cost(cohort, points, pairs, cost))

    def piece(self) -> float | None:
        """Return how many costs one piece of work has: a GPU takes many at a time."""
        place = place_of(self.device)
        return super().piece() if place.device == "cpu" else float(room_of(place))

    def distances(
        self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return (n_pairs,) distances, and whether each reached `tol`: one piece of work for one thread or machine."""
        values, errors = self.measured(cohort, points, pairs, cost)
        return values, errors <= self.tol

    def measured(self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost) -> tuple[Floats, Floats]:
        """Return (n_pairs,) distances and errors of the marginals."""
        transport = Blurred(self, cohort, n_jobs=1, cache_size=0.0)
        return transport.compute(points, pairs, cost), transport.errors

    @property
    def tolerance(self) -> float:
        """Error from which on a pair is warned of."""
        return self.tol

    def warn(self, cohort: Cohort, pairs: Integers, errors: Floats) -> None:
        """Warn of the pairs whose marginals do not fit to `tol`."""
        warn_unfinished(cohort, pairs, self, errors)

    def transport(self, cohort: Cohort, *, n_jobs: int | None = None) -> Transport:
        """Return transport within a cohort, on `n_jobs` threads."""
        return Blurred(self, cohort, n_jobs=n_jobs, cache_size=self.cache_size)

    def solve(self, a: ArrayLike, b: ArrayLike, cost: ArrayLike) -> Plan:
        """Couple weights `a` (n,) and `b` (m,), each of sum 1, under `cost` (n, m), whose mean is the typical one.

        Raises
        ------
        ValueError
            Shapes that do not fit, arrays that do not hold real numbers, values that are not finite, weights that are
            negative or do not sum to 1.
        """
        first, second, costs = as_problem(a, b, cost)
        place, terms = place_of(self.device), self.terms(None)
        unit = self.unit or float(first @ np.abs(costs) @ second) or 1.0
        batch = matrix_batch(first, second, place)
        with place.torch.inference_mode():
            block = DenseBlock(batch, place, None, place.tensor(costs / unit)[None])
            f, g, error = optimal_potentials(
                block, *block.nothing(), terms, tol=self.tol, max_iter=self.max_iter, warm=False
            )
            plan = as_array(block.plan(f, g, terms.epsilon))[0]
        if np.isinf(terms.rho):
            source, target, mass = sparse_plan(plan, first, second)
            value = float(mass @ costs[source, target])
        else:
            source, target, mass = sparse_plan(plan, plan.sum(axis=1), plan.sum(axis=0))
            value = unit * float(block.totals(f, g, terms).value[0])
        return Plan(value, source, target, mass, bool(error[0] <= self.tol))
