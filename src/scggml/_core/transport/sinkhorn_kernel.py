"""One kernel of Triton that sweeps over all pairs of a batch: see `sweeps` for what it computes.

Triton comes with CUDA builds of torch. It is imported when the kernel is first launched.
"""

from functools import cache
from typing import Any

from scggml._core.transport.devices import Tensor
from scggml._core.transport.sweeps import TILE, Mode

MODES: dict[str, int] = {"logsumexp": 0, "sums": 1, "pulls": 2, "costs": 3}

tl: Any = None
"""The language of Triton; the kernel finds it here."""

constexpr: Any = "constexpr"
"""Kind of the arguments that Triton compiles a kernel for; it reads the name alone."""


@cache
def has_triton() -> bool:
    """Return whether Triton can be imported."""
    try:
        import triton  # noqa: F401, PLC0415 - optional, and slow to import
    except ImportError:
        return False
    return True


def _sweep_rows(  # noqa: PLR0915, PLR0917 - a kernel
    x, y, rows, columns, out, n, m, inverse_epsilon,
    K: constexpr, WIDTH: constexpr, R: constexpr, SQUARED: constexpr, MODE: constexpr, TILE: constexpr,
):  # fmt: skip
    """Sweep over the columns of a pair for one tile of its rows; cells are (B, k, n) and (B, k, m)."""
    pair = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inside = i < n
    axes = tl.arange(0, WIDTH)
    x += pair * K * n
    y += pair * K * m
    score = tl.load(rows + pair * n + i, mask=inside, other=float("-inf"))
    top = tl.full((TILE,), float("-inf"), tl.float32)
    first = tl.zeros((TILE,), tl.float32)
    second = tl.zeros((TILE,), tl.float32)
    drawn = tl.zeros((TILE, WIDTH), tl.float32)
    for start in range(0, m, TILE):
        j = start + tl.arange(0, TILE)
        there = j < m
        squares = tl.zeros((TILE, TILE), tl.float32)
        for axis in tl.static_range(K):
            own = tl.load(x + axis * n + i, mask=inside, other=0.0)
            other = tl.load(y + axis * m + j, mask=there, other=0.0)
            move = own[:, None] - other[None, :]
            squares += move * move
        costs = squares if SQUARED else tl.sqrt(squares)
        if MODE == 3:
            weights = tl.load(columns + pair * m + j, mask=there, other=0.0)
            first += tl.sum(weights[None, :] * costs, axis=1)
        else:
            h = tl.load(columns + pair * m + j, mask=there, other=float("-inf"))
            s = h[None, :] - costs * inverse_epsilon
            if MODE == 0:
                higher = tl.maximum(top, tl.max(s, axis=1))
                safe = tl.where(higher == float("-inf"), 0.0, higher)
                first = first * tl.exp(top - safe) + tl.sum(tl.exp(s - safe[:, None]), axis=1)
                top = higher
            else:
                T = tl.exp(score[:, None] + s)
                if MODE == 1:
                    first += tl.sum(T, axis=1)
                    second += tl.sum(T * costs, axis=1)
                else:
                    pull = 2 * T if SQUARED else tl.where(costs > 0, T / tl.where(costs > 0, costs, 1.0), 0.0)
                    first += tl.sum(pull, axis=1)
                    known = there[:, None] & (axes[None, :] < K)
                    block = tl.load(y + axes[None, :] * m + j[:, None], mask=known, other=0.0)
                    drawn += tl.dot(pull, block, input_precision="ieee")
    out += (pair * n + i) * R
    if MODE == 0:
        tl.store(out, top + tl.log(first), mask=inside)
    elif MODE == 2:
        known = inside[:, None] & (axes[None, :] < K)
        own = tl.load(x + axes[None, :] * n + i[:, None], mask=known, other=0.0)
        tl.store(out[:, None] + axes[None, :], first[:, None] * own - drawn, mask=known)
    else:
        tl.store(out, first, mask=inside)
        if MODE == 1:
            tl.store(out + 1, second, mask=inside)


@cache
def _kernel() -> Any:
    """Return the kernel as Triton has it."""
    global tl  # noqa: PLW0603 - where Triton looks for the names in a kernel
    import triton  # noqa: PLC0415 - optional
    import triton.language  # noqa: PLC0415

    tl = triton.language
    return triton.jit(_sweep_rows)


def sweep_fused(
    x: Tensor, y: Tensor, rows: Tensor, columns: Tensor, epsilon: float, *, squared: bool, mode: Mode
) -> Tensor:
    """Return (B, n, r) of cells x (B, n, k) and y (B, m, k) and scores (B, n) and (B, m) in single precision."""
    B, n, k = x.shape
    r = {"logsumexp": 1, "sums": 2, "pulls": k, "costs": 1}[mode]
    out = x.new_empty((B, n, r))
    # Cells by coordinate, so that neighbors in a tile are neighbors in memory.
    turned = (z.transpose(1, 2).contiguous() for z in (x, y))
    grid = (B, -(-n // TILE))
    width = max(16, 1 << (k - 1).bit_length())  # least width of a product of matrices
    _kernel()[grid](
        *turned, rows.contiguous(), columns.contiguous(), out, n, y.shape[1], 1.0 / epsilon,
        K=k, WIDTH=width, R=r, SQUARED=squared, MODE=MODES[mode], TILE=TILE,
    )  # fmt: skip
    return out
