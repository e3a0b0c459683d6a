"""One problem of transport as a user passes it: weights of two samples and a cost, checked."""

import numpy as np
from numpy.typing import ArrayLike

from scggml._core.checks import as_array
from scggml._core.cohort import Floats

SUM = 1e-6
"""Error of a sum of weights that rounding to single precision explains."""


def as_problem(a: ArrayLike, b: ArrayLike, cost: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return weights (n,) and (m,), each of sum 1, and the cost (n, m) between them."""
    first, second = as_weights("a", a), as_weights("b", b)
    costs = as_array("cost", cost, "an array (n, m) of costs", 2).astype(np.float64, copy=False)
    if costs.shape != (len(first), len(second)):
        raise ValueError(
            f"cost has shape {costs.shape}, but a has {len(first)} weights and b has {len(second)}; pass a cost of "
            f"shape {(len(first), len(second))}, or the weights in the other order."
        )
    return first, second, costs


def as_weights(name: str, weights: ArrayLike) -> Floats:
    """Return the weights of the cells of a sample, which are not negative and sum to 1."""
    found: Floats = as_array(name, weights, "an array (n,) of weights that sum to 1", 1).astype(np.float64, copy=False)
    if (found < 0).any():
        i = int(np.flatnonzero(found < 0)[0])
        raise ValueError(f"{name} has negative weights; the first is {name}[{i}]={found[i]}. Weights are at least 0.")
    total = float(found.sum())
    if abs(total - 1) > SUM:
        raise ValueError(f"{name} sums to {total:.7g}; pass weights that sum to 1, such as {name} / {name}.sum().")
    return found
