"""Donors permuted and drawn: what other labels, and what other donors, a cohort could have had."""

from math import factorial, prod
from typing import TypeVar

import numpy as np

from scggml._core.cohort import Floats, Integers
from scggml._core.samples import LabelKind

Values = TypeVar("Values", Floats, Integers)


def permutation_blocks(values: Floats | Integers, groups: Integers, strata: Integers) -> list[list[Integers]]:
    """Return the units that may exchange labels: a list of blocks, each a list of units, each an array of samples.

    Labels belong to donors. A donor whose samples all have one label is one unit and exchanges it with the other such
    donors of its stratum. A donor whose samples have different labels (before and after treatment) is a block of its
    own: its samples of one stratum exchange labels among themselves.

    Parameters
    ----------
    values, groups, strata
        (P,) label of each sample (class code or number), code of its donor, code of its stratum (a batch, say).
    """
    donors_of: dict[int, list[Integers]] = {}
    within: list[list[Integers]] = []
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        if len(np.unique(values[own])) == 1 and len(np.unique(strata[own])) == 1:
            donors_of.setdefault(int(strata[own[0]]), []).append(own)
        else:
            within += [[own[[i]] for i in np.flatnonzero(strata[own] == s)] for s in np.unique(strata[own])]
    return list(donors_of.values()) + within


def permute(values: Values, blocks: list[list[Integers]], rng: np.random.Generator) -> Values:
    """Return (P,) labels after a random permutation of the labels of each block's units."""
    out = values.copy()
    for units in blocks:
        permuted = _labels(values, units)[rng.permutation(len(units))]
        for unit, value in zip(units, permuted, strict=True):
            out[unit] = value
    return out


def n_labelings(values: Values, blocks: list[list[Integers]], *, kind: LabelKind) -> int:
    r"""Count the labelings that `permute` can return and that can give different statistics.

    With :math:`n_{bc}` units of label c in block b there are

    .. math:: \frac{1}{s} \prod_b \frac{(\sum_c n_{bc})!}{\prod_c n_{bc}!}

    where s counts the symmetries that no statistic sees. A metric, or an accuracy, is the same after classes exchange
    their names, and all such renamings stay among the labelings if the classes have equal :math:`n_{bc}` in every block
    b: s is the product of the factorials of the sizes of these groups of classes. With ordered classes and numbers a
    statistic is the same after the order is reversed: s = 2 if this maps the labels of every block onto themselves.
    Every labeling has s such copies, itself included, because a label that is present moves; so the division is exact.

    Parameters
    ----------
    values
        (P,) class codes or numbers.
    blocks
        What `permutation_blocks` returned for them.
    kind
        What the values are.
    """
    distinct = np.unique(np.concatenate([_labels(values, units) for units in blocks]))
    places = [np.searchsorted(distinct, _labels(values, units)) for units in blocks]
    counts = np.stack([np.bincount(place, minlength=len(distinct)) for place in places])
    n_orders = prod(_n_orders(row) for row in counts)
    return n_orders // (_n_renamings(counts) if kind == "classes" else _n_reversals(distinct, counts))


def smallest_p(n_labelings: int, n_permutations: int) -> float:
    """Return the smallest p-value that is possible with these numbers of labelings and of random permutations."""
    return 1 / min(n_labelings, n_permutations + 1)


def p_value(observed: float, null: Floats) -> float:
    """Return (1 + number of null values that are at least as large) / (1 + B)."""
    reached = int((null >= observed - 1e-12).sum())  # equal scores may differ by rounding
    return (1 + reached) / (1 + len(null))


def draw_donors(labels: Integers, groups: Integers, rng: np.random.Generator) -> Integers:
    """Return the samples of as many donors as there are, drawn with replacement (a bootstrap).

    Donors are drawn from those whose samples have the same labels, each as often, so that every class keeps its numbers
    of donors and of samples.

    Parameters
    ----------
    labels, groups
        (P,) class of each sample and code of its donor.

    Returns
    -------
    Positions of samples, donor by donor; the samples of a donor that is drawn twice come twice.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    pools: dict[tuple[int, ...], list[int]] = {}
    for donor, samples in enumerate(members):
        pools.setdefault(tuple(sorted(labels[samples].tolist())), []).append(donor)
    drawn = [donor for pool in pools.values() for donor in rng.choice(pool, len(pool))]
    return np.concatenate([members[donor] for donor in sorted(drawn)])


def draw_counts(labels: Integers, groups: Integers, rng: np.random.Generator) -> Integers:
    """Return (P,) how often `draw_donors` draws each sample: the bootstrap as weights of samples."""
    return np.bincount(draw_donors(labels, groups, rng), minlength=len(labels))


def _labels(values: Values, units: list[Integers]) -> Values:
    """Return the label of each unit."""
    return values[[unit[0] for unit in units]]


def _n_orders(counts: Integers) -> int:
    """Count the different orders of labels with these counts; exact, as numbers grow far beyond 64 bits."""
    occur = [int(count) for count in counts]
    return factorial(sum(occur)) // prod(factorial(count) for count in occur)


def _n_renamings(counts: Integers) -> int:
    """Count the renamings of classes that keep the (n_blocks, n_classes) counts."""
    _, sizes = np.unique(counts, axis=1, return_counts=True)
    return prod(factorial(int(size)) for size in sizes)


def _n_reversals(distinct: Floats | Integers, counts: Integers) -> int:
    """Return 2 if the reversed order keeps the (n_blocks, n_values) counts and moves a value, else 1."""
    low, high = distinct[0], distinct[-1]
    # the mirror image of 0.1 in 0.1, 0.2, 0.3 is not 0.3 to the last bit
    mirrored = np.allclose(distinct + distinct[::-1], low + high, rtol=0, atol=1e-9 * float(high - low))
    return 2 if len(distinct) > 1 and mirrored and np.array_equal(counts, counts[:, ::-1]) else 1
