"""The objective of learning: the triplet hinge on transport distances, plus a penalty on W."""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from scggml._core.checks import check_number
from scggml._core.cohort import Cohort, Floats, project, pull_back
from scggml._core.loss import Anchors, triplet_hinge
from scggml._core.pairs import all_pairs, n_threads, plan_gradient, solve_distances, solve_plans, square
from scggml._core.penalty import PenaltyName, penalize
from scggml._core.transport import Exact, GroundCost, Solver


@dataclass(frozen=True)
class Evaluation:
    """Objective and its gradient (k, d) at one W, with the share of active triplets."""

    value: float
    gradient: Floats
    active: float


@dataclass(frozen=True)
class Objective:
    r"""L(W) = mean relu(D_ij - D_jk + margin) + reg * ||W||, every number in the units of the data.

    Parameters
    ----------
    margin
        alpha of the paper, in units of the transport cost.
    penalty, reg
        Norm of W and its weight.
    squared
        Whether the ground cost is :math:`\|W(x-y)\|^2` instead of :math:`\|W(x-y)\|`.
    anchors
        Which triplets count, see `triplet_hinge`.
    solver, n_jobs
        Solver of the pairs and number of threads.
    """

    margin: float
    penalty: PenaltyName = "fro"
    reg: float = 0.0
    squared: bool = False
    anchors: Anchors = "all"
    solver: Solver = Exact()  # noqa: RUF009 - frozen, so it can be shared
    n_jobs: int | None = None

    def __post_init__(self) -> None:
        check_number("margin", self.margin, '"auto" or a positive number', 0, open_low=True)
        check_number("reg", self.reg, "a number that is not negative", 0, open_low=False)
        for name, choices in (("penalty", PenaltyName), ("anchors", Anchors)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name}={getattr(self, name)!r} is not known; choose from {get_args(choices)}.")
        n_threads(self.n_jobs)

    @property
    def cost(self) -> GroundCost:
        """Ground cost between projected cells."""
        return "sqeuclidean" if self.squared else "euclidean"

    def distances(self, cohort: Cohort, W: Floats) -> Floats:
        """(P, P) transport costs of the cohort under W."""
        pairs = all_pairs(cohort.n_samples)
        Z = project(cohort.points, W)
        values = solve_distances(cohort, Z, pairs, self.cost, solver=self.solver, n_jobs=self.n_jobs)
        return square(values, pairs, cohort.n_samples)

    def evaluate(self, cohort: Cohort, W: Floats) -> Evaluation:
        """Value and gradient: one projection, one plan for each pair, one product back."""
        pairs = all_pairs(cohort.n_samples)
        Z = project(cohort.points, W)
        plans = solve_plans(cohort, Z, pairs, self.cost, solver=self.solver, n_jobs=self.n_jobs)
        D = square(plans.values, pairs, cohort.n_samples)
        hinge = triplet_hinge(D, cohort.labels, self.margin, self.anchors)
        slopes = hinge.slopes[pairs[:, 0], pairs[:, 1]]
        gradient = pull_back(plan_gradient(Z, plans, slopes, squared=self.squared), cohort.points)
        norm, direction = penalize(W, self.penalty)
        return Evaluation(hinge.value + self.reg * norm, gradient + self.reg * direction, hinge.active)


def typical_distance(distances: Floats, labels: np.ndarray) -> float:
    """Median transport cost between samples of different classes: the unit of the scale-free margin."""
    return float(np.median(distances[labels[:, None] != labels[None, :]]))
