"""Transport within one cohort whose plans are blurred by an entropy."""

import warnings
from copy import copy
from typing import Protocol

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.threads import all_in_threads
from scggml._core.transport.batches import batch_of, groups_of
from scggml._core.transport.blocks import block_of, room_of
from scggml._core.transport.dense import DenseBlock, Terms
from scggml._core.transport.devices import Device, alone, as_array, place_of
from scggml._core.transport.plans import GroundCost, Plans, check_differentiable
from scggml._core.transport.potentials import Potentials
from scggml._core.transport.rounding import Entries, sparse_plan
from scggml._core.transport.scaling import optimal_potentials
from scggml._core.transport.solver import some_names
from scggml._core.transport.typical import entry_costs, relative, typical_cost

BUFFERS = 8
"""Sums that gradients are added up in; fixed, so that rounding does not depend on the number of threads."""


NOTHING = 1 - 1e-6
"""Share of the price of all mass from which on none of it has moved."""


class Options(Protocol):
    """Say what transport needs of its solver."""

    @property
    def tol(self) -> float:
        """Return the error of the marginals at which a pair is solved."""
        ...

    @property
    def max_iter(self) -> int:
        """Return the limit of iterations."""
        ...

    @property
    def device(self) -> Device:
        """Return where batches are computed."""
        ...

    @property
    def unit(self) -> float | None:
        """Return the cost that epsilon is relative to."""
        ...

    def terms(self, cost: GroundCost | None) -> Terms:
        """Return the weights of the objective, in that unit."""
        ...


class Blurred:
    """Transport within one cohort; the potentials of its pairs are kept from one `solve` to the next.

    Parameters
    ----------
    cache_size
        Megabytes of potentials that are kept.
    """

    errors: Floats
    """(n_pairs,) how far the marginals of the last solve are from those at the optimum, as a share of the mass."""

    regularized: Floats
    """(n_pairs,) objective with its entropy at the last solve, of which `gradient` is the gradient."""

    def __init__(self, solver: Options, cohort: Cohort, *, n_jobs: int | None, cache_size: float) -> None:
        self._solver, self._cohort = solver, cohort
        self._place = place_of(solver.device)
        self._potentials = Potentials(cohort, cache_size, self._place)
        self._n_jobs = n_jobs

    @property
    def n_jobs(self) -> int | None:
        """Return how many threads compute: one for a GPU, which a second one would only wait for."""
        return self._n_jobs if self._place.device == "cpu" else 1

    def fork(self, n_jobs: int | None) -> "Blurred":
        """Return a transport of the same cohort that goes on from the potentials here, and leaves these as they are."""
        other = copy(self)
        other.__dict__.pop("_last", None)
        other._potentials, other._n_jobs = self._potentials.fork(), n_jobs
        return other

    def solve(self, points: Points, pairs: Integers, cost: GroundCost) -> Floats:
        """Solve different pairs, remember their potentials and warn of those that did not reach `tol`."""
        values = self.compute(points, pairs, cost)
        late = self.errors > self._solver.tol
        warn_unfinished(self._cohort, pairs[late], self._solver, self.errors[late])
        return values

    def compute(self, points: Points, pairs: Integers, cost: GroundCost) -> Floats:
        """Solve different pairs and remember their potentials."""
        return self._compute(points, pairs, cost, self._unit_of(points, pairs, cost))

    def _unit_of(self, points: Points, pairs: Integers, cost: GroundCost) -> float:
        return self._solver.unit or typical_cost(self._cohort, points, pairs, cost)

    def _compute(self, points: Points, pairs: Integers, cost: GroundCost, unit: float) -> Floats:
        solver, terms, cells = self._solver, self._solver.terms(cost), relative(points, cost, unit)
        starts, warm = self._potentials.reserve(pairs)
        self._last = cells, pairs, starts, cost
        self.errors, self.regularized, values = (np.empty(len(pairs)) for _ in range(3))

        def solve_group(group: Integers) -> None:
            some = pairs[group]
            block = block_of(batch_of(self._cohort, cells, some, self._place), self._place, cells.kind)
            known = bool(warm[group[0]])
            f, g, error = optimal_potentials(
                block,
                *(self._potentials.read(some, starts[group]) if known else block.nothing()),
                terms,
                tol=solver.tol,
                max_iter=solver.max_iter,
                warm=known,
            )
            self._potentials.write(some, starts[group], f, g)
            totals = block.totals(f, g, terms)
            self.errors[group] = as_array(error)
            self.regularized[group] = cells.unit * as_array(totals.regularized)
            values[group] = cells.unit * as_array(totals.value)

        groups = groups_of(pairs, self._cohort.sizes, warm, room_of(self._place, cells.kind, cells.points.shape[1]))
        all_in_threads(lambda group: alone(self._place, solve_group, group), groups, self.n_jobs)
        check_moved(solver, terms, unit, values)
        # Only when all are solved: after an error some of the new places hold nothing.
        self._potentials.keep(pairs, starts)
        self.values = values
        return values

    def gradient(self, slopes: Floats) -> Floats:
        """Return the gradient by the cells, dL/dpoints (n_cells, k), of `regularized` times the slopes (n_pairs,).

        Epsilon counts as a constant. On the CPU it is the same to the bit for any number of threads.
        """
        cells, pairs, starts, cost = self._last
        check_differentiable(cost)
        needed, place, eps = np.flatnonzero(slopes), self._place, self._solver.terms(cost).epsilon
        room = room_of(place, cells.kind, cells.points.shape[1])
        groups = groups_of(pairs[needed], self._cohort.sizes, np.zeros(len(needed), dtype=np.bool_), room)
        parts = [part for part in np.array_split(np.arange(len(groups)), BUFFERS) if len(part)]

        def add_part(part: Integers) -> Floats:
            out = place.tensor(np.zeros_like(cells.points))
            for group in (needed[groups[i]] for i in part):
                batch = batch_of(self._cohort, cells, pairs[group], place)
                block = block_of(batch, place, cells.kind)
                f, g = self._potentials.read(pairs[group], starts[group])
                both = block.pulls(f, g, eps, place.tensor(slopes[group]), cells.kind)
                for rows, pull in zip((batch.rows, batch.columns), both, strict=True):
                    out.index_add_(0, place.index(rows.ravel()), pull.reshape(-1, pull.shape[2]))
            return as_array(out)

        total = np.zeros_like(cells.points)
        for part in all_in_threads(lambda part: alone(place, add_part, part), parts, self.n_jobs):
            total += part
        return total * (cells.unit * cells.scale)

    def plans(self, part: slice = slice(None)) -> Plans:
        """Return sparse plans of the last `solve`; their marginals are exact, or those of the plan that was blurred."""
        cells, pairs, starts, cost = self._last
        some, places, terms = pairs[part], starts[part], self._solver.terms(cost)
        found: dict[int, Entries] = {}
        weights, offsets = self._cohort.weights, self._cohort.offsets

        def read_group(group: Integers) -> None:
            batch = batch_of(self._cohort, cells, some[group], self._place)
            block = DenseBlock(batch, self._place, cells.kind)
            T = as_array(block.plan(*self._potentials.read(some[group], places[group]), terms.epsilon))
            for e, dense in zip(group, T, strict=True):
                p, q = some[e]
                a, b = (weights[offsets[s] : offsets[s + 1]] for s in (p, q))
                own = dense[: len(a), : len(b)]
                marginals = (a, b) if np.isinf(terms.rho) else (own.sum(axis=1), own.sum(axis=0))
                found[int(e)] = sparse_plan(own, *marginals)

        groups = groups_of(some, self._cohort.sizes, np.zeros(len(some), dtype=np.bool_), self._place.budget)
        all_in_threads(lambda group: alone(self._place, read_group, group), groups, self.n_jobs)
        return self._joined(some, self.values[part], [found[e] for e in range(len(some))])

    def _joined(self, pairs: Integers, values: Floats, found: list[Entries]) -> Plans:
        """Return plans of single pairs as those of rows of the cohort, with the costs of the plans as values."""
        cells, *_, cost = self._last
        terms, starts = self._solver.terms(cost), self._cohort.offsets[pairs]
        none = [np.empty(0, dtype=np.int64)]
        source, target = (
            np.concatenate([each[side] + start for each, start in zip(found, starts[:, side], strict=True)] or none)
            for side in (0, 1)
        )
        mass = np.concatenate([each[2] for each in found] or [np.empty(0)])
        owner = np.repeat(np.arange(len(pairs), dtype=np.int32), [len(each[2]) for each in found])
        if np.isinf(terms.rho):  # dropping faint entries has changed the cost by a little
            paid = mass * cells.unit * entry_costs(cells, source, target)
            values = np.bincount(owner, paid, len(pairs)).astype(np.float64)
        return Plans(pairs, values, source.astype(np.int32), target.astype(np.int32), mass, owner)


def check_moved(solver: Options, terms: Terms, unit: float, values: Floats) -> None:
    """Raise if mass may stay behind, and all of it does between any two samples."""
    if not np.isinf(terms.rho) and (values > NOTHING * 2 * terms.rho * unit).all() and len(values):
        raise ValueError(
            f"{solver} moves no mass between any two samples, so that there is nothing to learn or to compare: "
            f"they are farther apart than its reach, in units of {unit:.3g}. Raise reach, or leave unit out."
        )


def warn_unfinished(cohort: Cohort, pairs: Integers, solver: Options, errors: Floats) -> None:
    """Warn of the pairs, if there are any, whose marginals do not fit to the tolerance."""
    if len(pairs) == 0:
        return
    warnings.warn(
        f"{solver} stopped before the marginals of {len(pairs)} pair(s) of samples fitted to tol={solver.tol:g}: "
        f"{some_names(cohort, pairs)}; the largest error is {errors.max():.2g} of the mass. Their distances are not "
        "those of this epsilon; raise max_iter, epsilon or tol.",
        stacklevel=2,
    )
