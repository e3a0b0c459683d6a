"""Limits of what can be learned: as many components as the cells can carry, and a start that fits them."""

from typing import Any

import numpy as np

from scggml._core.checks import LARGEST
from scggml._core.cohort import Cohort, Floats
from scggml._core.learn.spectrum import usable_rank, variances

N_COMPS = 5
"""Most components if nothing is said."""


def check_rank(n_comps: int | None, init: Any, cohort: Cohort, where: str) -> None:
    """Raise unless the cells can carry the components, and a start that is an array fits them.

    `where` says for messages where the cells are.
    """
    largest = max(float(cohort.points.max()), -float(cohort.points.min()))
    if 0 < largest < 1 / LARGEST:
        raise ValueError(f"{where} has values up to {largest:.3g}, whose squares vanish; multiply them by a number.")
    rank = usable_rank(cohort, max(N_COMPS, n_comps or 0))
    if n_comps is not None and n_comps > rank:
        n_varying = int((variances(cohort) > 0).sum())
        n, n_cells = len(cohort.points), int(cohort.counts.sum())
        points = "" if n == n_cells else f"{n} points that stand for "
        said = f"{points}{n_cells} cells, {n_varying} of {cohort.n_features} features vary"
        refuse_n_comps(n_comps, rank, where, said)
    if isinstance(init, np.ndarray):
        check_start(init, (min(rank, N_COMPS) if n_comps is None else n_comps, cohort.n_features))


def refuse_n_comps(n_comps: int, rank: int, where: str, said: str) -> None:
    """Raise: more components were asked for than the cells can carry."""
    raise ValueError(
        f"n_comps={n_comps!r} is not between 1 and {rank}, the rank of {where} ({said}); pass "
        f"n_comps={min(N_COMPS, rank)}, or None for up to {N_COMPS}."
    )


def check_start(init: Floats, wanted: tuple[int, int]) -> None:
    """Raise unless a start that is an array has the shape of the metric."""
    if init.shape != wanted:
        raise ValueError(
            f"Triplets: init is an array of shape {init.shape}; finite numbers of shape (n_comps, n_features) = "
            f"{wanted} are needed."
        )
