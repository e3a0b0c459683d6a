"""Distances between cells, learned or fixed, and transport costs between samples under them."""

from dataclasses import dataclass

import numpy as np

from scggml._core.cohort import Cohort, Floats, Points
from scggml._core.samples import join
from scggml._core.transport.free import FreeCost
from scggml._core.transport.pairs import all_pairs, between_pairs, solve_distances, square
from scggml._core.transport.plans import GroundCost
from scggml._core.transport.products import project
from scggml._core.transport.solver import Solver


@dataclass(frozen=True)
class GroundMetric:
    """A distance between cells: `cost` in the space of `components` (k, d), or on the features if they are None.

    `centred` takes off each cell the mean of its own features first.
    """

    components: Floats | None
    cost: GroundCost | FreeCost
    centred: bool = False

    def embed(self, cohort: Cohort) -> Points:
        """Return the cells in the space where the cost is taken."""
        points = cohort.points - cohort.points.mean(axis=1, keepdims=True) if self.centred else cohort.points
        return points if self.components is None else project(points, self.components)


@dataclass(frozen=True)
class Blended:
    """Mean of the distances under several metrics, each in units of the median of its row."""

    parts: tuple[GroundMetric, ...]


Ground = GroundMetric | Blended


def cross_distances(
    metric: Ground,
    test: Cohort,
    training: Cohort,
    *,
    solver: Solver,
    n_jobs: int | None = 1,
    among: bool = True,
) -> Floats:
    """Return (n, P + n) transport costs of the n test samples to the P training samples, and among themselves.

    Pairs of training samples, by far the most, are not solved. Without `among` only the first P columns are.
    """
    P, n = training.n_samples, test.n_samples
    if isinstance(metric, Blended):
        rows = [
            cross_distances(part, test, training, solver=solver, n_jobs=n_jobs, among=among) for part in metric.parts
        ]
        return _mean_in_medians(rows, [np.median(each[:, :P], axis=1, keepdims=True) for each in rows])
    both = join(training, test)
    points = np.concatenate([metric.embed(training), metric.embed(test)])
    to_training = between_pairs(P + np.arange(n), np.arange(P))
    own = all_pairs(n) if among else np.empty((0, 2), dtype=np.int64)
    pairs = np.concatenate([to_training, P + own])
    values = solve_distances(both, points, pairs, metric.cost, solver=solver, n_jobs=n_jobs)
    to_known: Floats = values[: n * P].reshape(n, P)
    return np.hstack([to_known, square(values[n * P :], own, n)]) if among else to_known


def _mean_in_medians(distances: list[Floats], medians: list[Floats]) -> Floats:
    """Return the mean of distances in units of their medians; where all samples are the same they stay 0."""
    scaled = [D / np.where(median > 0, median, 1.0) for D, median in zip(distances, medians, strict=True)]
    out: Floats = np.mean(scaled, axis=0)
    return out


def own_distances(metric: Ground, cohort: Cohort, *, solver: Solver, n_jobs: int | None = 1) -> Floats:
    """Return (P, P) transport costs among samples."""
    if isinstance(metric, Blended):
        parts = [own_distances(part, cohort, solver=solver, n_jobs=n_jobs) for part in metric.parts]
        off = ~np.eye(cohort.n_samples, dtype=bool)
        return _mean_in_medians(parts, [np.array(np.median(part[off])) for part in parts])
    pairs = all_pairs(cohort.n_samples)
    values = solve_distances(cohort, metric.embed(cohort), pairs, metric.cost, solver=solver, n_jobs=n_jobs)
    return square(values, pairs, cohort.n_samples)
