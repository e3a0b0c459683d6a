"""Objective of learning: the triplet hinge on transport distances, plus a penalty on W."""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from scggml._core.checks import check_choice, check_number
from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.learn.bounds import Bounds, may_be_active
from scggml._core.learn.loss import Anchors, Hinge, listed_hinge, ordered_hinge, triplet_hinge
from scggml._core.learn.penalty import PenaltyName, penalize
from scggml._core.threads import n_threads
from scggml._core.transport.engine import engine_of
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_distances, square
from scggml._core.transport.plans import GroundCost
from scggml._core.transport.products import project, project_samples, pull_back_samples
from scggml._core.transport.solver import Solver


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
        check_choice("penalty", self.penalty, get_args(PenaltyName))
        check_choice("anchors", self.anchors, get_args(Anchors))
        n_threads(self.n_jobs)

    @property
    def cost(self) -> GroundCost:
        """Ground cost between projected cells."""
        return "sqeuclidean" if self.squared else "euclidean"

    def distances(self, cohort: Cohort, W: Floats) -> Floats:
        """Return (P, P) transport costs of the cohort under W."""
        pairs = all_pairs(cohort.n_samples)
        Z = project(cohort.points, W)
        values = solve_distances(cohort, Z, pairs, self.cost, solver=self.solver, n_jobs=self.n_jobs)
        return square(values, pairs, cohort.n_samples)

    def evaluate(self, cohort: Cohort, W: Floats) -> Evaluation:
        """Return value and gradient (k, d) at one W; for many, use a `Problem`."""
        return Problem(self, cohort).evaluate(self, W)


class Problem:
    """An objective on one cohort, evaluated again and again: what one evaluation learned makes the next one cheap.

    Margin, penalty and its weight may change from one evaluation to the next; the ground cost may not.

    Parameters
    ----------
    values
        (P,) labels with an order, as numbers; None for the classes of the cohort.
    batch
        (P,) batches within which samples of different labels are compared.
    listed
        (n_triplets, 3) the triplets that count; None for all.
    """

    def __init__(
        self,
        objective: Objective,
        cohort: Cohort,
        *,
        values: Floats | None = None,
        batch: Integers | None = None,
        listed: Integers | None = None,
    ) -> None:
        self.cohort, self.cost = cohort, objective.cost
        self.values, self.batch, self.listed = values, batch, listed
        self.transport = engine_of(cohort, objective.solver).transport(cohort, n_jobs=objective.n_jobs)
        self._bounds, self._n_jobs = Bounds(cohort, squared=objective.squared), objective.n_jobs
        # Without the triangle inequality nothing is known of a pair that was not solved; bounds are those of order 1.
        self._bounded = "triangle" in objective.solver.traits.laws and not cohort.of_moments

    def _project(self, W: Floats, samples: Integers | None) -> Floats:
        return project_samples(self.cohort, W, samples, self._n_jobs)

    def distances(self, W: Floats, samples: Integers | None = None) -> Floats:
        """Return (P, P) transport costs of all samples, or of some; of listed triplets those that they compare."""
        members = np.arange(self.cohort.n_samples) if samples is None else samples
        listed = self._listed_among(members)
        pairs = all_pairs(len(members)) if listed is None else _compared(listed)
        values = self.transport.solve(self._project(W, samples), members[pairs], self.cost)
        return square(values, pairs, len(members))

    def evaluate(
        self, objective: Objective, W: Floats, samples: Integers | None = None, triplets: Integers | None = None
    ) -> Evaluation:
        """Return value and gradient (k, d) for all samples, or for some: one projection, plans, one product back.

        With all samples, pairs that provably are in no active triplet are not solved; that changes no result. Where
        triplets are listed, `triplets` (n, 3) are those of them that count now; None for all.
        """
        members = np.arange(self.cohort.n_samples) if samples is None else samples
        triplets = self._listed_among(members) if triplets is None else triplets
        labels, pairs = self.cohort.labels[members], all_pairs(len(members))
        batch = None if self.batch is None else self.batch[members]
        Z = self._project(W, samples)
        # Bounds need to know where all cells are, and a mini-batch projects its own only; they know triplets of
        # classes.
        pruned = self._bounded and samples is None and self.values is None and self.listed is None
        if pruned:
            lower, upper = self._bounds.at(Z)
            D = np.where(labels[:, None] == labels, upper, lower)  # what a pair that is not solved may stand at
            needed = may_be_active(lower, upper, labels, objective.margin, objective.anchors, batch=batch)
            pairs = pairs[needed[pairs[:, 0], pairs[:, 1]]]
        else:
            D = np.zeros((len(members), len(members)))
            if triplets is not None:
                pairs = _compared(triplets)
        # Each pair goes on from its last tree, so pairs that were solved in the last step are quick.
        values = self.transport.solve(Z, members[pairs], self.cost)
        D[pairs[:, 0], pairs[:, 1]] = D[pairs[:, 1], pairs[:, 0]] = values
        if pruned:
            self._bounds.learn(pairs, values)
        hinge = self.hinge(D, objective, members, triplets)
        # The slope of a pair that was not solved is 0, as no active triplet has it. By the envelope theorem the plans
        # count as constants, so dL/dZ needs their entries only, and one product turns it into dL/dW.
        slopes = hinge.slopes[pairs[:, 0], pairs[:, 1]]
        gradient = pull_back_samples(self.transport.gradient(slopes), self.cohort, samples, self._n_jobs)
        norm, direction = penalize(W, objective.penalty)
        return Evaluation(hinge.value + objective.reg * norm, gradient + objective.reg * direction, hinge.active)

    def hinge(self, D: Floats, objective: Objective, members: Integers, triplets: Integers | None = None) -> Hinge:
        """Return the mean hinge over the triplets among some samples, out of their distances (n, n)."""
        # No list of the O(P^3) triplets: sorting and prefix sums take O(P^2 log P) (see `triplet_hinge`).
        batch = None if self.batch is None else self.batch[members]
        triplets = self._listed_among(members) if triplets is None else triplets
        if triplets is not None:
            return listed_hinge(D, triplets, objective.margin)
        if self.values is not None:
            return ordered_hinge(D, self.values[members], objective.margin, objective.anchors, batch)
        return triplet_hinge(D, self.cohort.labels[members], objective.margin, objective.anchors, batch)

    def _listed_among(self, members: Integers) -> Integers | None:
        """Return the listed triplets that lie among some samples, as positions there; None where none are listed."""
        if self.listed is None:
            return None
        place = np.full(self.cohort.n_samples, -1, dtype=np.int64)
        place[members] = np.arange(len(members))
        found = place[self.listed]
        return found[(found >= 0).all(axis=1)]


def _compared(triplets: Integers) -> Integers:
    """Return the pairs of different samples that some triplets compare."""
    i, j, k = triplets.T
    # In one direction, as trees are kept by ordered pair. With i = j the distance is 0 and needs no solver.
    pairs = np.sort(np.concatenate([np.stack([i, j], axis=1), np.stack([j, k], axis=1)]), axis=1)
    return np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)


def typical_distance(distances: Floats, values: np.ndarray, batch: Integers | None = None) -> float:
    """Return the median transport cost between samples of different labels: the unit of the scale-free margin.

    With batches only samples of one batch count; NaN if there are none.
    """
    # A median, so that a few samples far away do not set the unit.
    different = values[:, None] != values[None, :]
    if batch is not None:
        different &= batch[:, None] == batch
    return float(np.median(distances[different])) if different.any() else float("nan")
