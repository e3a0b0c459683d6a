"""Entropic transport of a batch of pairs without their costs: each sweep computes them anew from the cells."""

import numpy as np

from scggml._core.transport.batches import Batch
from scggml._core.transport.dense import CHECK, RELAXED, Terms, Totals, divergence, saved
from scggml._core.transport.devices import Place, Tensor
from scggml._core.transport.sweeps import Mode, Sweep
from scggml._core.transport.typical import Kind


class FusedBlock:
    """A batch in the log domain, with the same numbers as `DenseBlock`.

    Parameters
    ----------
    sweep
        What computes a sweep: one kernel for all pairs.
    """

    def __init__(self, batch: Batch, place: Place, kind: Kind, sweep: Sweep) -> None:
        self._torch, self.batch, self._sweep, self._squared = place.torch, batch, sweep, kind == "sqeuclidean"
        self._some = (batch.a > 0).to(place.dtype), (batch.b > 0).to(place.dtype)

    def nothing(self) -> tuple[Tensor, Tensor]:
        """Return potentials to begin with where none are known."""
        return self._torch.zeros_like(self.batch.a), self._torch.zeros_like(self.batch.b)

    def _over(self, rows: Tensor, columns: Tensor, epsilon: float, mode: Mode, *, turned: bool = False) -> Tensor:
        """Return (B, n, r) of a sweep for each row, or (B, m, r) for each column if `turned`."""
        x, y = self.batch.x, self.batch.y
        if turned:
            return self._sweep(y, x, columns, rows, epsilon, squared=self._squared, mode=mode)
        return self._sweep(x, y, rows, columns, epsilon, squared=self._squared, mode=mode)

    def _scores(self, f: Tensor, g: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        return self.batch.log_a + f / epsilon, self.batch.log_b + g / epsilon

    def iterate(
        self, f: Tensor, g: Tensor, terms: Terms, *, together: int, n: int, tol: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return potentials after updates `together` and up to n one after the other, and the errors (B,) of the pairs.

        A pair that has reached `tol` stays as it is. Where a tolerance is given updates of rows are over-relaxed.
        """
        for _ in range(together):
            f, g = (f + self._row(f, g, terms)[0]) / 2, (g + self._column(f, g, terms)) / 2
        busy = self._torch.ones_like(f[:, :1], dtype=self._torch.bool)
        for i in range(n):
            new, error = self._row(f, g, terms)
            if tol > 0 and i % CHECK == 1:
                busy = error[:, None] > tol
                if not bool(busy.any()):
                    return f, g, error
            power = RELAXED if tol > 0 and i > 0 else 1.0
            f = self._torch.where(busy, f + power * (new - f), f)
            g = self._torch.where(busy, self._column(f, g, terms), g)
        return f, g, self._row(f, g, terms)[1]

    def _row(self, f: Tensor, g: Tensor, terms: Terms) -> tuple[Tensor, Tensor]:
        """Return f after an update, and the error (B,) before it."""
        sums = self._over(f, self._scores(f, g, terms.epsilon)[1], terms.epsilon, "logsumexp")[:, :, 0]
        a = self.batch.a
        wanted = a if np.isinf(terms.rho) else a * (-f / terms.rho).exp()
        # rows sum to a exp(f / epsilon) times the sum of the kernel
        error = ((a * (f / terms.epsilon + sums).exp() - wanted).abs() * self._some[0]).sum(1)
        return -terms.damping * terms.epsilon * sums, error

    def _column(self, f: Tensor, g: Tensor, terms: Terms) -> Tensor:
        """Return g after an update."""
        rows = self._scores(f, g, terms.epsilon)[0]
        sums = self._over(rows, g, terms.epsilon, "logsumexp", turned=True)[:, :, 0]
        return -terms.damping * terms.epsilon * sums

    def totals(self, f: Tensor, g: Tensor, terms: Terms) -> Totals:
        """Return the values of a feasible plan near T, and of the objective with its entropy (see `DenseBlock`)."""
        a, b, eps = self.batch.a, self.batch.b, terms.epsilon
        r, c = self._scores(f, g, eps)
        mass, paid = self._over(r, c, eps, "sums").unbind(2)
        entropy = eps * (1 - mass.sum(1))
        if not np.isinf(terms.rho):
            columns = self._over(r, c, eps, "sums", turned=True)[:, :, 0]
            penalty = terms.rho * (divergence(mass, a) + divergence(columns, b))
            dual = (a * saved(f, terms.rho)).sum(1) + (b * saved(g, terms.rho)).sum(1)
            return Totals(paid.sum(1) + penalty, dual + entropy)
        x = self._share(a, mass, self._some[0])
        inflow = self._over(r + x.log(), c, eps, "sums", turned=True)[:, :, 0]
        y = self._share(b, inflow, self._some[1])
        mass, paid = self._over(r, c + y.log(), eps, "sums").unbind(2)
        left, right = (a - x * mass).clamp(min=0.0), (b - y * inflow).clamp(min=0.0)
        missing = left.sum(1).clamp(min=self._torch.finfo(a.dtype).tiny)
        detour = (left * self._over(left, right, eps, "costs")[:, :, 0]).sum(1) / missing
        return Totals((x * paid).sum(1) + detour, (a * f).sum(1) + (b * g).sum(1) + entropy)

    def _share(self, wanted: Tensor, found: Tensor, some: Tensor) -> Tensor:
        """Return the share of the mass that a row or column may keep, 1 where there is none."""
        return (wanted / (found + 1 - some)).clamp(max=1.0) * some + 1 - some

    def pulls(self, f: Tensor, g: Tensor, epsilon: float, slopes: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
        """Return the gradients by x (B, n, k) and y (B, m, k) of the objective, times the slopes (B,) of the pairs."""
        scores = self._scores(f, g, epsilon)
        own, other = (self._over(*scores, epsilon, "pulls", turned=turned) for turned in (False, True))
        return slopes[:, None, None] * own, slopes[:, None, None] * other
