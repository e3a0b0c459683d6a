"""Pairs of samples of similar size, padded to one shape and computed together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.transport.devices import Place, Tensor
from scggml._core.transport.typical import Relative


@dataclass(frozen=True)
class Batch:
    """B pairs of up to n and m cells; what is beyond a sample has weight 0, and `cells` tells which pairs have it.

    Parameters
    ----------
    x, y
        (B, n, k) and (B, m, k) cells.
    a, b
        (B, n) and (B, m) weights.
    log_a, log_b
        Their logarithms; minus infinity where there is no weight.
    sizes
        (B, 2) cells of each pair.
    rows, columns
        (B, n) and (B, m) rows of the cohort; the first of the sample where it has ended.
    """

    x: Tensor
    y: Tensor
    a: Tensor
    b: Tensor
    log_a: Tensor
    log_b: Tensor
    sizes: Integers
    rows: Integers
    columns: Integers


def groups_of(pairs: Integers, sizes: Integers, kinds: NDArray[np.bool_], budget: int) -> list[Integers]:
    """Return positions of pairs of one kind and of similar size, in groups whose padded costs keep the budget."""
    # In an order that sizes decide, not the number of threads: so do the batches, and the last digits of their sums.
    n, m = sizes[pairs].T
    order = np.lexsort((pairs[:, 1], pairs[:, 0], m, n, kinds))
    groups: list[Integers] = []
    start, widest = 0, 0
    for stop in range(len(order) + 1):
        if stop < len(order):
            widest = max(widest, int(m[order[stop]]))
            fits = (stop + 1 - start) * int(n[order[stop]]) * widest <= budget  # n rises within a kind
            if stop == start or (fits and kinds[order[stop]] == kinds[order[start]]):
                continue
        groups.append(order[start:stop])
        start, widest = stop, 0 if stop == len(order) else int(m[order[stop]])
    return groups if len(order) else []


def batch_of(cohort: Cohort, cells: Relative, pairs: Integers, place: Place) -> Batch:
    """Return the pairs (B, 2) as one batch."""
    sizes = cohort.sizes[pairs]
    sides = []
    for side in (0, 1):
        steps = np.arange(int(sizes[:, side].max()))
        there = steps < sizes[:, side, None]
        rows = cohort.offsets[pairs[:, side], None] + np.where(there, steps, 0)
        sides.append((rows, np.where(there, cohort.weights[rows], 0.0)))
    (rows, a), (columns, b) = sides
    return Batch(
        place.tensor(cells.points[rows]),
        place.tensor(cells.points[columns]),
        place.tensor(a),
        place.tensor(b),
        place.tensor(log_of(a)),
        place.tensor(log_of(b)),
        sizes,
        rows,
        columns,
    )


def matrix_batch(a: Floats, b: Floats, place: Place) -> Batch:
    """Return one pair of samples of which no cells are known, but their costs."""
    none = place.tensor(np.empty((1, 0, 0)))
    return Batch(
        none,
        none,
        place.tensor(a[None]),
        place.tensor(b[None]),
        place.tensor(log_of(a[None])),
        place.tensor(log_of(b[None])),
        np.array([[len(a), len(b)]]),
        np.arange(len(a))[None],
        np.arange(len(b))[None],
    )


def log_of(weights: Floats) -> Floats:
    """Return the logarithms of weights, minus infinity where there are none."""
    out: Floats = np.log(weights, out=np.full_like(weights, -np.inf), where=weights > 0)
    return out
