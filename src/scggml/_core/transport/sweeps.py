r"""Sweeps over the costs of a batch that hold one tile of them at a time: what the kernel of a GPU does, in torch.

A sweep gives each row i of each pair a number (or a few) out of its costs :math:`C_{ij}` and scores :math:`h_j` of the
columns, with :math:`s_{ij} = h_j - C_{ij} / \epsilon`.
"""

from typing import Literal, Protocol

from scggml._core.transport.devices import Tensor

Mode = Literal["logsumexp", "sums", "pulls", "costs"]
"""What a sweep gives of each row (B, n): the logarithm of the sum of :math:`e^{s_{ij}}` (1 number); mass and cost of
:math:`T_{ij} = e^{r_i + s_{ij}}`, r being the scores of the rows (2); the sum of :math:`T_{ij} dC_{ij} / dx_i` (k); the
sum of :math:`h_j C_{ij}`, h being weights (1)."""

TILE = 64
"""Rows and columns of a tile."""


class Sweep(Protocol):
    """A function that sweeps."""

    def __call__(
        self, x: Tensor, y: Tensor, rows: Tensor, columns: Tensor, epsilon: float, *, squared: bool, mode: Mode
    ) -> Tensor:
        """Return (B, n, r) of cells x (B, n, k) and y (B, m, k) and scores (B, n) and (B, m)."""
        ...


def sweep_in_tiles(
    x: Tensor, y: Tensor, rows: Tensor, columns: Tensor, epsilon: float, *, squared: bool, mode: Mode
) -> Tensor:
    """Return (B, n, r) of cells x (B, n, k) and y (B, m, k) and scores (B, n) and (B, m), tile by tile."""
    n, m, k = x.shape[1], y.shape[1], x.shape[2]
    out = x.new_zeros((len(x), n, {"logsumexp": 1, "sums": 2, "pulls": k, "costs": 1}[mode]))
    for i in range(0, n, TILE):
        own = x[:, i : i + TILE]
        top = own.new_full(own.shape[:2], -float("inf"))
        sums = own.new_zeros((*own.shape[:2], max(2, k + 1)))
        for j in range(0, m, TILE):
            other, scores = y[:, j : j + TILE], columns[:, None, j : j + TILE]
            squares = own.new_zeros((len(x), own.shape[1], other.shape[1]))
            for axis in range(k):
                squares += (own[:, :, None, axis] - other[:, None, :, axis]) ** 2
            costs = squares if squared else squares.sqrt()
            s = scores - costs / epsilon
            if mode == "logsumexp":
                higher = s.amax(2).maximum(top)
                safe = higher.masked_fill(higher == -float("inf"), 0.0)  # no weight so far
                sums[:, :, 0] = sums[:, :, 0] * (top - safe).exp() + (s - safe[:, :, None]).exp().sum(2)
                top = higher
            elif mode == "costs":
                sums[:, :, 0] += (scores * costs).sum(2)
            else:
                T = (rows[:, i : i + TILE, None] + s).exp()
                if mode == "sums":
                    sums[:, :, 0] += T.sum(2)
                    sums[:, :, 1] += (T * costs).sum(2)
                else:
                    pull = 2 * T if squared else (T / costs).masked_fill(costs == 0, 0.0)
                    sums[:, :, 0] += pull.sum(2)
                    sums[:, :, 1 : k + 1] += pull @ other
        if mode == "logsumexp":
            out[:, i : i + TILE, 0] = top + sums[:, :, 0].log()
        elif mode == "pulls":
            out[:, i : i + TILE] = sums[:, :, :1] * own - sums[:, :, 1 : k + 1]
        else:
            out[:, i : i + TILE] = sums[:, :, : out.shape[2]]
    return out
