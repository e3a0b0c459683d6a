"""Transport between mixtures of Gaussians: any solver, with the closed form between Gaussians as the ground cost."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.transport.atoms import Atoms, atoms_of
from scggml._core.transport.bures import Moments, check_closed_form
from scggml._core.transport.couplings import Problem, couple
from scggml._core.transport.plans import GroundCost, Plan, Plans, Transport
from scggml._core.transport.solver import Solver, Traits, gather
from scggml._core.transport.typical import typical_cost

KEPT = 2**23
"""Numbers in the maps between Gaussians that are held at a time (64 MB)."""


@dataclass(frozen=True)
class Mixed(Solver):
    r"""Transport between mixtures of Gaussians, each of which is moved to others as a whole.

    .. math:: \min_T \sum_{ij} T_{ij}\, c(i, j), \qquad c(i, j)^2 = \|m_i - m_j\|^2
        + \operatorname{tr}\left(S_i + S_j - 2 (S_i^{1/2} S_j S_i^{1/2})^{1/2}\right)

    with c or its square as the ground cost. An entry of T couples the points of its two Gaussians as `Bures` does, so
    that gradients and scatters follow as from any plan.

    References
    ----------
    Delon and Desolneux, *A Wasserstein-type distance in the space of Gaussian mixture models*, SIAM Journal on Imaging
    Sciences 2020; Chen, Georgiou and Tannenbaum, *Optimal transport for Gaussian mixture models*, IEEE Access 2019.
    """

    solver: Solver

    @property
    def traits(self) -> Traits:  # type: ignore[override]  # those of the solver, as far as they hold between Gaussians
        """Return what the solver promises."""
        kept = self.solver.traits.laws - {"of_one_cell_the_cost_itself", "optimal_assignment", "not_below_exact"}
        return replace(self.solver.traits, laws=kept)

    def require(self) -> None:
        """Raise unless all that the solver needs is installed."""
        self.solver.require()

    def solve(self, a: ArrayLike, b: ArrayLike, cost: ArrayLike) -> Plan:
        """Couple weights `a` (n,) and `b` (m,) of Gaussians under `cost` (n, m)."""
        return self.solver.solve(a, b, cost)

    def solve_pair(self, cohort: Cohort, points: Points, p: int, q: int, cost: GroundCost) -> Plan:
        """Couple the points of two samples of a cohort."""
        transport = Mixtures(self.solver, cohort, n_jobs=1)
        transport.compute(points, np.array([[p, q]]), cost)
        found = transport.plans()
        first, second = cohort.offsets[[p, q]].astype(np.int32)
        optimal = bool(transport.errors[0] <= self.tolerance)
        return Plan(float(found.values[0]), found.source - first, found.target - second, found.mass, optimal)

    def distances(
        self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return (n_pairs,) distances, and whether each is what the solver promises."""
        values, errors = self.measured(cohort, points, pairs, cost)
        return values, errors <= self.tolerance

    def measured(self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost) -> tuple[Floats, Floats]:
        """Return (n_pairs,) distances, and how far each is from what the solver promises."""
        transport = Mixtures(self.solver, cohort, n_jobs=1)
        return transport.compute(points, pairs, cost), transport.errors

    def warn(self, cohort: Cohort, pairs: Integers, errors: Floats) -> None:
        """Warn of the pairs that are not what the solver promises."""
        self.solver.warn(cohort, pairs, errors)

    def at_scale_of(self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost) -> "Mixed":
        """Return the solver with what is relative to these pairs settled."""
        return Mixed(self.solver.at_scale_of(cohort, points, pairs, cost))

    @property
    def tolerance(self) -> float:
        """Error from which on a pair is warned of."""
        return self.solver.tolerance

    def transport(self, cohort: Cohort, *, n_jobs: int | None = None) -> Transport:
        """Return transport within a cohort, on `n_jobs` threads."""
        return Mixtures(self.solver, cohort, n_jobs=n_jobs)


class Mixtures:
    """Transport within one cohort of mixtures; Gaussians that samples share are compared once."""

    errors: Floats
    """(n_pairs,) how far each pair of the last solve is from what the solver promises."""

    def __init__(self, solver: Solver, cohort: Cohort, *, n_jobs: int | None) -> None:
        self._solver, self._cohort, self._n_jobs = solver, cohort, n_jobs

    @cached_property
    def _atoms(self) -> Atoms:
        return atoms_of(self._cohort)

    @cached_property
    def _moments(self) -> Moments:
        return Moments(self._atoms.cohort, n_jobs=self._n_jobs)

    def fork(self, n_jobs: int | None) -> "Mixtures":
        """Return a transport of the same cohort."""
        return Mixtures(self._solver, self._cohort, n_jobs=n_jobs)

    def solve(self, points: Points, pairs: Integers, cost: GroundCost) -> Floats:
        """Return (n_pairs,) distances, remember the plans and warn of pairs that are not what the solver promises."""
        values = self.compute(points, pairs, cost)
        late = self.errors > self._solver.tolerance
        self._solver.warn(self._cohort, pairs[late], self.errors[late])
        return values

    def compute(self, points: Points, pairs: Integers, cost: GroundCost) -> Floats:
        """Return (n_pairs,) distances, and remember the plans."""
        check_closed_form(cost, "Mixture()")
        self._pairs, self._cost, self._shape = pairs, cost, points.shape
        samples, place = np.unique(pairs, return_inverse=True)
        # A solver that takes off what a sample is from itself needs these distances, too.
        self._own = place.reshape(pairs.shape) if self._solver.traits.coupling == "cross" else None
        every = pairs if self._own is None else np.concatenate([pairs, np.stack([samples, samples], axis=1)])
        self._entries = self._atoms.entries(every, samples)
        self._moments.place(points, np.unique(self._entries.compared))
        squares = self._entries.spread(self._moments.squares(self._entries.compared))
        self._costs = squares if cost == "sqeuclidean" else np.sqrt(squares)
        unit = getattr(self._solver, "unit", None) or typical_cost(self._cohort, points, pairs, cost)
        found = self._found = couple(self._solver, self._problems(every), cost, unit=unit, n_jobs=self._n_jobs)
        self.values, self.errors, n = found.values, found.errors, len(pairs)
        if self._own is not None:
            bias = found.regularized[n:][self._own].mean(axis=1)
            self.values = np.maximum(found.regularized[:n] - bias, 0.0)
            self.errors = np.maximum(found.errors[:n], found.errors[n:][self._own].max(axis=1, initial=0.0))
        return self.values

    def _masses(self, pair: Integers) -> tuple[Floats, Floats]:
        first, second = (self._atoms.mass[self._atoms.of(s)] for s in pair)
        return first / first.sum(), second / second.sum()

    def _problems(self, pairs: Integers) -> list[Problem]:
        """Return weights and costs of the pairs whose entries are known."""
        found, edges = list[Problem](), self._entries.edges
        for pair, start, stop in zip(pairs, edges, edges[1:], strict=False):
            a, b = self._masses(pair)
            found.append((a, b, self._costs[start:stop].reshape(len(a), len(b))))
        return found

    def gradient(self, slopes: Floats) -> Floats:
        """Return dL/dpoints (n_points, k) of the last `solve`, given dL/dcost of its pairs (n_pairs,).

        Of an entropic solver it is that of its objective. Of Gaussians that samples share, it is at the points of one.
        """
        if self._own is not None:  # half of what each sample is from itself is taken off
            slopes = np.append(slopes, -0.5 * np.bincount(self._own.ravel(), np.repeat(slopes, 2)))
        flow = _flow(slopes, self._found.masses)
        if self._cost == "euclidean":  # of the root; a distance of 0 adds nothing
            flow = np.divide(flow, 2 * self._costs, out=np.zeros_like(flow), where=self._costs > 0)
        out = np.zeros(self._shape)
        weights = self._entries.gather(flow)
        for part in self._mapped(weights):
            out += self._moments.gradient(weights[part])
        return out

    def _mapped(self, weights: Floats, numbers: int = 1) -> Iterator[Integers]:
        """Yield positions of what was compared and has weight, few at a time, when the maps of these are there.

        `numbers` is how many numbers else are held for each.
        """
        active = np.flatnonzero(weights)
        step = max(1, KEPT // max(numbers, self._moments.numbers))
        for part in (active[start : start + step] for start in range(0, len(active), step)):
            self._moments.map(self._entries.compared[part], "sqeuclidean")
            yield part

    def _rounded(self, numbers: Integers) -> list[Floats]:
        """Return the plans between the Gaussians of some pairs, with exact marginals."""
        return [self._found.rounded(int(e), *self._masses(self._pairs[e])) for e in numbers]

    def scatter(self, points: Floats, weights: Floats) -> Floats:
        """Return (d, d), the sum over the pairs of weights (n_pairs,) times the scatter of `points` (n_points, d)."""
        flow = self._entries.gather(self._moved(weights))
        out = np.zeros((points.shape[1], points.shape[1]))
        for part in self._mapped(flow):
            out += self._moments.scatter(points, flow[part])
        return out

    def each(self, points: Floats) -> Floats:
        """Return (n_pairs, d, d), the scatter of `points` (n_points, d) along the plan of each pair."""
        flow, d = self._moved(np.ones(len(self._pairs))), points.shape[1]
        out = np.zeros((len(self._pairs), d, d))
        owner = np.repeat(np.arange(len(self._entries.edges) - 1), np.diff(self._entries.edges))
        for part in self._mapped(self._entries.gather(flow), d * d):
            found = self._moments.each(points)
            at = np.full(len(self._entries.compared), -1, dtype=np.int64)
            at[part] = np.arange(len(part))
            place = at[self._entries.place]
            for entry in np.flatnonzero((self._entries.place >= 0) & (place >= 0) & (flow > 0)):
                out[owner[entry]] += flow[entry] * found[place[entry]]
        return out

    def _moved(self, weights: Floats) -> Floats:
        """Return for each entry what is moved there times the weight (n_pairs,) of its pair."""
        flow = np.zeros(len(self._costs))
        numbers = np.flatnonzero(weights)
        for e, mass in zip(numbers, self._rounded(numbers), strict=True):
            flow[self._entries.edges[e] : self._entries.edges[e + 1]] = weights[e] * mass.ravel()
        return flow

    def plans(self, part: slice = slice(None)) -> Plans:
        """Return plans between the points of the last `solve`, or of some of its pairs: some entries are negative."""
        numbers = np.arange(len(self._pairs))[part]
        plans = [self._plan(int(e), mass) for e, mass in zip(numbers, self._rounded(numbers), strict=True)]
        return gather(self._cohort, self._pairs[part], plans)

    def _plan(self, e: int, mass: Floats) -> Plan:
        """Return the plan between the points of a pair that follows from that between its Gaussians."""
        entries, (p, q), used = self._entries, self._pairs[e], np.flatnonzero(mass)
        own = np.arange(entries.edges[e], entries.edges[e + 1])
        place, swapped = entries.place[own], entries.swapped[own]
        compared = np.unique(place[used][place[used] >= 0])
        self._moments.map(entries.compared[compared], "sqeuclidean")
        found = list[tuple[Integers, Integers, Floats]]()
        begin = self._atoms.cohort.offsets
        for entry in used:
            i, j = (self._atoms.begins[s] + at for s, at in zip((p, q), divmod(entry, mass.shape[1]), strict=True))
            if place[entry] < 0:
                block = np.diag(self._atoms.cohort.weights[begin[i] : begin[i + 1]])
            else:
                block = self._moments.coupling(int(np.searchsorted(compared, place[entry])))
                block = block.T if swapped[entry] else block
            rows, columns = np.nonzero(block)
            offsets = self._cohort.offsets
            found.append(
                (
                    rows + begin[i] - offsets[p],
                    columns + begin[j] - offsets[q],
                    mass.ravel()[entry] * block[rows, columns],
                )
            )
        source, target, moved = (np.concatenate(side) for side in zip(*found, strict=True))
        value = float(mass.ravel() @ self._costs[own]) if self._solver.traits.adds_up else self.values[e]
        return Plan(float(value), source.astype(np.int32), target.astype(np.int32), moved, optimal=True)


def _flow(weights: Floats, masses: list[Floats]) -> Floats:
    """Return for each entry its mass times the weight of its pair."""
    flat = [weight * mass.ravel() for weight, mass in zip(weights, masses, strict=True)]
    return np.concatenate([*flat, np.empty(0)])
