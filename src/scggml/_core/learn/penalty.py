"""Penalties on W: value and (sub)gradient."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from scggml._core.cohort import Floats

PenaltyName = Literal["fro", "l1", "l21", "nuc"]


def _frobenius(W: Floats) -> tuple[float, Floats]:
    norm = float(np.linalg.norm(W))
    return norm, W / norm if norm > 0 else np.zeros_like(W)


def _l1(W: Floats) -> tuple[float, Floats]:
    return float(np.abs(W).sum()), np.sign(W)


def _l21(W: Floats) -> tuple[float, Floats]:
    norms = np.linalg.norm(W, axis=0)
    return float(norms.sum()), np.divide(W, norms, out=np.zeros_like(W), where=norms > 0)


def _nuclear(W: Floats) -> tuple[float, Floats]:
    left, singular_values, right = np.linalg.svd(W, full_matrices=False)
    # Directions that W does not use have the whole unit ball as subgradient: take its centre, zero.
    used = singular_values > singular_values.max(initial=0) * max(W.shape) * np.finfo(W.dtype).eps
    return float(singular_values.sum()), left[:, used] @ right[used]


_PENALTIES: dict[PenaltyName, Callable[[Floats], tuple[float, Floats]]] = {
    "fro": _frobenius,
    "l1": _l1,
    "l21": _l21,
    "nuc": _nuclear,
}


def penalize(W: Floats, penalty: PenaltyName) -> tuple[float, Floats]:
    r"""Return value and subgradient of :math:`\|W\|` (zero where it has a kink).

    `fro` Frobenius norm, `l1` sum of absolute entries, `l21` sum over features of the norm of their column (switches
    whole genes off), `nuc` sum of singular values (lowers the rank).
    """
    return _PENALTIES[penalty](W)
