"""Entropic transport of a batch of pairs whose costs are held: a few dozen bytes per entry of the cost matrices."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scggml._core.transport.batches import Batch
from scggml._core.transport.devices import Place, Tensor
from scggml._core.transport.typical import Kind

CHECK = 5
"""Iterations between two looks at the error, which on a GPU wait for what is under way."""

RELAXED = 1.7
"""Exponent of the updates of rows: above 1 they are over-relaxed, and from 2 on they would not converge."""

ORDER = {"euclidean": 2.0, "sqeuclidean": 2.0, "cityblock": 1.0, "chebyshev": float("inf")}

WIDE = 32
"""Coordinates from which on products of matrices are the faster way to distances."""


@dataclass(frozen=True)
class Terms:
    r"""Weights of the entropy and of the marginals in the objective, in units of the typical cost.

    It is :math:`<C, T> + \epsilon KL(T | a b^T) + \rho KL(T 1 | a) + \rho KL(T^T 1 | b)`; where `rho` is infinite the
    marginals are a and b.
    """

    epsilon: float
    rho: float = np.inf

    @property
    def damping(self) -> float:
        """Share of a potential that an update keeps: below 1 where mass may stay behind."""
        return 1.0 if np.isinf(self.rho) else self.rho / (self.rho + self.epsilon)


@dataclass(frozen=True)
class Totals:
    """Values (B,) of the pairs at their potentials, in units of the typical cost: see `DenseBlock.totals`."""

    value: Tensor
    regularized: Tensor


class DenseBlock:
    r"""A batch with its costs C (B, n, m); the plan is :math:`T_{ij} = a_i b_j \exp((f_i + g_j - C_{ij}) / \epsilon)`.

    Potentials f (B, n) and g (B, m) are exact whatever epsilon is. Between them iterations scale a kernel into which
    the potentials went (Schmitzer 2019): products instead of exponentials, some ten times faster, with the result of
    the log domain.
    """

    def __init__(self, batch: Batch, place: Place, kind: Kind | None, costs: Tensor = None) -> None:
        self._torch, self.batch = place.torch, batch
        self._costs = _costs(place, batch, kind) if costs is None else costs
        # Where there is no weight a sum is 0, and 1 takes its place: 0 / 0 would spread.
        self._empty = (batch.a == 0).to(place.dtype), (batch.b == 0).to(place.dtype)

    def softmin(self, f: Tensor, g: Tensor, terms: Terms, *, together: bool) -> tuple[Tensor, Tensor]:
        """Return both potentials after an update in the log domain, where nothing over- or underflows.

        Either `together` half the way from where both were, or one after the other.
        """
        new = self._rows(g, terms)
        if together:
            return (f + new) / 2, (g + self._columns(f, terms)) / 2
        return new, self._columns(new, terms)

    def _rows(self, g: Tensor, terms: Terms) -> Tensor:
        scores = self.batch.log_b[:, None] + (g[:, None] - self._costs) / terms.epsilon
        return -terms.damping * terms.epsilon * self._torch.logsumexp(scores, dim=2)

    def _columns(self, f: Tensor, terms: Terms) -> Tensor:
        scores = self.batch.log_a[:, :, None] + (f[:, :, None] - self._costs) / terms.epsilon
        return -terms.damping * terms.epsilon * self._torch.logsumexp(scores, dim=1)

    def nothing(self) -> tuple[Tensor, Tensor]:
        """Return potentials to begin with where none are known."""
        return self._torch.zeros_like(self.batch.a), self._torch.zeros_like(self.batch.b)

    def plan(self, f: Tensor, g: Tensor, epsilon: float) -> Tensor:
        """Return T (B, n, m)."""
        out = f[:, :, None] - self._costs
        out += g[:, None]
        out /= epsilon
        out += self.batch.log_a[:, :, None]
        out += self.batch.log_b[:, None]
        return out.exp_()

    def iterate(
        self, f: Tensor, g: Tensor, terms: Terms, *, together: int, n: int, tol: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return potentials after updates `together` and up to n one after the other, and the errors (B,) of the pairs.

        A pair that has reached `tol` stays as it is, so that its value does not depend on the others in the batch.
        Where a tolerance is given updates of rows are over-relaxed, which halves their number at small epsilon.
        """
        K, wanted = self.plan(f, g, terms.epsilon), self._wanted(f, g, terms)
        u, v = self._torch.ones_like(f), self._torch.ones_like(g)
        rows, columns = (
            _Side(self._torch, matrix, factors=own, others=other, wanted=goal, empty=empty, damping=terms.damping)
            for matrix, own, other, goal, empty in zip(
                (K, K.transpose(1, 2)), (u, v), (v, u), wanted, self._empty, strict=True
            )
        )
        for _ in range(together):
            for side in (rows, columns):
                side.add_up()
            for side in (rows, columns):
                side.step(0.5)
        busy = None
        for i in range(n):
            rows.add_up()
            if tol > 0 and i % CHECK == 1:
                busy = self._error(rows.sums, u, wanted[0], terms)[:, None] > tol
                if not bool(busy.any()):
                    break
            rows.step(RELAXED if tol > 0 and i > 0 else 1.0, busy)
            columns.add_up()
            columns.step(1.0, busy)
        rows.add_up()
        error = self._error(rows.sums, u, wanted[0], terms)
        moved = f + terms.epsilon * u.log(), g + terms.epsilon * v.log()
        if bool(self._torch.isfinite(moved[0]).all() & self._torch.isfinite(moved[1]).all()):
            return *moved, error
        # Cells so far from all others that their sums underflowed: the same updates, slower.
        for i in range(together + n):
            f, g = self.softmin(f, g, terms, together=i < together)
        sums = self.plan(f, g, terms.epsilon).sum(2)
        return f, g, self._error(sums, self._torch.ones_like(f), self._wanted(f, g, terms)[0], terms)

    def _wanted(self, f: Tensor, g: Tensor, terms: Terms) -> tuple[Tensor, Tensor]:
        """Return the masses that the rows and columns of the plan have at the optimum, and 1 where there is none."""
        a, b = self.batch.a, self.batch.b
        if not np.isinf(terms.rho):
            a, b = a * (-f / terms.rho).exp(), b * (-g / terms.rho).exp()
        return a + self._empty[0], b + self._empty[1]

    def _error(self, rows: Tensor, u: Tensor, wanted: Tensor, terms: Terms) -> Tensor:
        """Return (B,) the sum of differences between the masses of the rows and those at the optimum."""
        if not np.isinf(terms.rho):
            wanted = wanted * u ** (-terms.epsilon / terms.rho)
        return ((u * rows - wanted).abs() * (1 - self._empty[0])).sum(1)

    def totals(self, f: Tensor, g: Tensor, terms: Terms) -> Totals:
        """Return the values of a feasible plan near T, and of the objective with its entropy.

        The first is the cost of the plan that rounding T to the marginals gives (Altschuler, Weed and Rigollet 2017):
        no less than the optimum. Where mass may stay behind it is the cost of T and the penalties of its marginals.
        The second is the dual objective, whose error is the square of that of the potentials.
        """
        a, b = self.batch.a, self.batch.b
        T = self.plan(f, g, terms.epsilon)
        rows, columns = T.sum(2), T.sum(1)
        entropy = terms.epsilon * (1 - rows.sum(1))
        if not np.isinf(terms.rho):
            dual = (a * saved(f, terms.rho)).sum(1) + (b * saved(g, terms.rho)).sum(1)
            penalty = terms.rho * (divergence(rows, a) + divergence(columns, b))
            return Totals((T * self._costs).sum((1, 2)) + penalty, dual + entropy)
        dual = (a * f).sum(1) + (b * g).sum(1)
        # No row, and then no column, gets more than its weight; what is missing afterwards goes anywhere.
        x = (a / (rows + self._empty[0])).clamp(max=1.0)
        inflow = _times(T.transpose(1, 2), x)
        y = (b / (inflow + self._empty[1])).clamp(max=1.0)
        left, right = a - x * _times(T, y), b - y * inflow
        left, right = left.clamp(min=0.0), right.clamp(min=0.0)
        missing = left.sum(1)
        detour = (left * _times(self._costs, right)).sum(1) / missing.clamp(min=self._torch.finfo(missing.dtype).tiny)
        value = (x * _times(T.mul_(self._costs), y)).sum(1) + detour
        return Totals(value, dual + entropy)

    def pulls(self, f: Tensor, g: Tensor, epsilon: float, slopes: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
        """Return the gradients by x (B, n, k) and y (B, m, k) of the objective, times the slopes (B,) of the pairs."""
        # By the envelope theorem the plan counts as a constant: sum_ij T_ij dC_ij.
        T = self.plan(f, g, epsilon).mul_(slopes[:, None, None])
        if kind == "sqeuclidean":
            T.mul_(2)
        else:
            T = self._torch.where(self._costs > 0, T / self._costs, 0.0)  # cells at one place pull at nothing
        x, y = self.batch.x, self.batch.y
        return T.sum(2)[:, :, None] * x - T @ y, T.sum(1)[:, :, None] * y - T.transpose(1, 2) @ x


class _Side:
    """The factors (B, n) of one side of a kernel (B, n, m), and the sums over it times the factors (B, m) of the other.

    Memory is used again: small products take less time than torch takes to make room for their results.
    """

    def __init__(
        self, torch: Any, K: Tensor, *, factors: Tensor, others: Tensor, wanted: Tensor, empty: Tensor, damping: float
    ) -> None:
        self._torch, self._factors, self._wanted, self._damping = torch, factors, wanted, damping
        self.sums, self._new = torch.empty_like(factors), torch.empty_like(factors)
        # One product of a matrix and a vector is a third faster than a batch of one.
        if len(K) == 1:
            self._product, self._terms, self._out = torch.mv, (K[0], others[0]), self.sums[0]
        else:
            self._product, self._terms, self._out = torch.bmm, (K, others[:, :, None]), self.sums[:, :, None]
        self._empty = empty if bool(empty.any()) else None

    def add_up(self) -> None:
        """Fill `sums`; 1 stands where there is no weight."""
        self._product(*self._terms, out=self._out)
        if self._empty is not None:
            self.sums.add_(self._empty)

    def step(self, power: float, busy: Tensor | None = None) -> None:
        """Move the factors towards those under which the sums are what is wanted: half the way, there, or beyond."""
        new = self._torch.div(self._wanted, self.sums, out=self._new)
        if self._damping != 1:
            new.pow_(self._damping)
        if power != 1:
            new.div_(self._factors).pow_(power).mul_(self._factors)
        self._factors.copy_(new if busy is None or len(busy) == 1 else self._torch.where(busy, new, self._factors))


def _times(K: Tensor, v: Tensor) -> Tensor:
    """Return (B, n) products of matrices (B, n, m) and vectors (B, m)."""
    return (K @ v[:, :, None])[:, :, 0]


def saved(f: Tensor, rho: float) -> Tensor:
    """Return what cells of this potential add to the dual objective: no more than `rho`, whatever they cost."""
    return rho * (1 - (-f / rho).exp())


def divergence(found: Tensor, wanted: Tensor) -> Tensor:
    """Return (B,) Kullback-Leibler divergences of masses from others, 0 where there is no mass."""
    return ((found * (found / wanted).log()).nan_to_num(nan=0.0) - found + wanted).sum(1)


def _costs(place: Place, batch: Batch, kind: Kind | None) -> Tensor:
    """Return (B, n, m) costs between the cells."""
    x, y = batch.x, batch.y
    if kind is None or x.shape[2] == 0:
        return place.torch.zeros((len(x), x.shape[1], y.shape[1]), dtype=place.dtype, device=place.device)
    if x.shape[2] >= WIDE and kind in ("euclidean", "sqeuclidean"):
        squares = (x**2).sum(2)[:, :, None] + (y**2).sum(2)[:, None] - 2 * (x @ y.transpose(1, 2))
        squares = squares.clamp(min=0.0)
        return squares if kind == "sqeuclidean" else squares.sqrt()
    # Differences rather than products, which would lose the digits of cells that are close together.
    mode = "donot_use_mm_for_euclid_dist"
    costs = place.torch.cdist(x, y, p=ORDER[kind], compute_mode=mode)
    return costs.square_() if kind == "sqeuclidean" else costs
