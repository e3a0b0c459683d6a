"""Labels shuffled as the design of the cohort allows."""

from math import lgamma

import numpy as np

from scggml._core.cohort import Floats, Integers


def permutation_blocks(values: Floats, groups: Integers, strata: Integers) -> list[list[Integers]]:
    """Units whose labels may be exchanged with each other: each block is a list of units, each unit a set of samples.

    A donor whose samples all have one label is one unit, exchanged with the other such donors of its stratum: labels
    belong to donors. Where the label varies within a donor (before and after treatment) its samples of one stratum are
    exchanged among themselves only.
    """
    together: dict[int, list[Integers]] = {}
    apart: list[list[Integers]] = []
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        if len(np.unique(values[own])) == 1 and len(np.unique(strata[own])) == 1:
            together.setdefault(int(strata[own[0]]), []).append(own)
        else:
            apart += [[own[[i]] for i in np.flatnonzero(strata[own] == s)] for s in np.unique(strata[own])]
    return list(together.values()) + apart


def permute(values: Floats, blocks: list[list[Integers]], rng: np.random.Generator) -> Floats:
    """(P,) labels after each block's units were given each other's labels at random."""
    out = values.copy()
    for units in blocks:
        given = np.array([values[unit[0]] for unit in units])[rng.permutation(len(units))]
        for unit, value in zip(units, given, strict=True):
            out[unit] = value
    return out


def n_labelings(values: Floats, blocks: list[list[Integers]]) -> float:
    """Number of different labelings that the blocks allow (infinite beyond what a float can hold)."""
    log = 0.0
    for units in blocks:
        _, counts = np.unique([values[unit[0]] for unit in units], return_counts=True)
        log += lgamma(len(units) + 1) - sum(lgamma(count + 1) for count in counts)
    return float(np.round(np.exp(log))) if log < 700 else float("inf")


def p_value(observed: float, null: Floats) -> float:
    """(1 + number of null values that are at least as large) / (1 + B)."""
    reached = int((null >= observed - 1e-12).sum())  # equal scores may differ by rounding
    return (1 + reached) / (1 + len(null))
