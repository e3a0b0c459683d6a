"""From any potentials to those of the optimum: epsilon falls in stages, then iterations run until the marginals fit."""

from typing import Protocol

from scggml._core.transport.batches import Batch
from scggml._core.transport.dense import Terms, Totals
from scggml._core.transport.devices import Tensor
from scggml._core.transport.typical import Kind

FIRST, FACTOR = 0.25, 4.0
"""The first epsilon, in typical costs, and what it is divided by from stage to stage: in trials a larger first one or
more stages took as many iterations, and more kernels."""

AGAIN = 4.0
"""How many times epsilon the first one is where potentials of a similar problem are known."""

TOGETHER, STAGE = 3, 3
"""Updates of both potentials at once that a stage begins with, and of one after the other that follow.

What both sides are wrong in alike (as after a change of epsilon) is halved by each of the former; the latter would turn
it into a difference between the sides, which fades slowly where groups of cells are far apart. Of two equal samples
both sides stay equal.
"""

SETTLE = 10
"""Updates of both at once at the last epsilon."""

ROUND = 50
"""Iterations between two kernels: factors stay within what single precision holds."""


class Block(Protocol):
    """A batch of pairs, however its costs are computed."""

    batch: Batch

    def nothing(self) -> tuple[Tensor, Tensor]:
        """Return potentials to begin with where none are known."""
        ...

    def iterate(
        self, f: Tensor, g: Tensor, terms: Terms, *, together: int, n: int, tol: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return potentials after updates `together` and up to n one after the other, and the errors (B,)."""
        ...

    def totals(self, f: Tensor, g: Tensor, terms: Terms) -> Totals:
        """Return the values of a feasible plan, and of the objective with its entropy."""
        ...

    def pulls(self, f: Tensor, g: Tensor, epsilon: float, slopes: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
        """Return the gradients by the cells."""
        ...


def optimal_potentials(
    block: Block, f: Tensor, g: Tensor, terms: Terms, *, tol: float, max_iter: int, warm: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return potentials (B, n) and (B, m) and the errors (B,) of their marginals.

    `max_iter` limits the iterations at the last epsilon; `warm` says that f and g are those of a similar problem.
    """
    first = AGAIN * terms.epsilon if warm else FIRST
    eps = max(first, terms.epsilon)
    # At a large epsilon few iterations bring mass to the right region; at a small one it would creep there.
    while eps > terms.epsilon:
        f, g, _ = block.iterate(f, g, Terms(eps, terms.rho), together=TOGETHER, n=STAGE)
        eps = max(eps / FACTOR, terms.epsilon)
    done, settle = 0, SETTLE
    while True:
        n = min(ROUND, max_iter - done)
        f, g, error = block.iterate(f, g, terms, together=settle, n=n, tol=tol)
        done, settle = done + n, 0
        if done >= max_iter or bool((error <= tol).all()):
            return f, g, error
