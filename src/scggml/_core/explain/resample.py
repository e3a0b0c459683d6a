"""Donors drawn anew, and labels dealt anew, in ways that keep donors whole."""

from math import factorial

import numpy as np

from scggml._core.cohort import Integers


def _members(groups: Integers) -> list[Integers]:
    """Samples of each donor."""
    return [np.flatnonzero(groups == code) for code in range(int(groups.max()) + 1)]


def draw_donors(labels: Integers, groups: Integers, rng: np.random.Generator) -> Integers:
    """Samples of as many donors, drawn with replacement among those whose samples have the same labels.

    Parameters
    ----------
    labels, groups
        (P,) class of each sample and code of its donor, 0, 1, ...
    """
    members = _members(groups)
    strata: dict[tuple[int, ...], list[int]] = {}
    for donor, samples in enumerate(members):
        strata.setdefault(tuple(sorted(labels[samples].tolist())), []).append(donor)
    drawn = [donor for pool in strata.values() for donor in rng.choice(pool, len(pool))]
    return np.concatenate([members[donor] for donor in sorted(drawn)])


def deal_labels(labels: Integers, groups: Integers, rng: np.random.Generator) -> Integers:
    """(P,) labels as they could have been if they meant nothing.

    A donor whose samples have different labels (before and after, say) gets them in another order; donors of one label
    each exchange these.
    """
    out = labels.copy()
    whole = []
    for samples in _members(groups):
        if len(np.unique(labels[samples])) > 1:
            out[samples] = rng.permutation(labels[samples])
        else:
            whole.append(samples)
    dealt = rng.permutation([labels[samples[0]] for samples in whole])
    for samples, label in zip(whole, dealt, strict=True):
        out[samples] = label
    return out


def n_dealings(labels: Integers, groups: Integers) -> int:
    """How many of these labelings give metrics of their own (renaming classes of the same size does not)."""
    whole, ways = [], 1
    for samples in _members(groups):
        if len(np.unique(labels[samples])) > 1:
            ways *= _orders(labels[samples])
        else:
            whole.append(labels[samples[0]])
    ways *= _orders(np.array(whole, dtype=np.int64))
    sizes = np.bincount(labels)
    _, same = np.unique(sizes[sizes > 0], return_counts=True)
    renamings = int(np.prod([factorial(int(n)) for n in same]))
    return max(1, ways // renamings)


def _orders(labels: Integers) -> int:
    """Number of different orders of some labels."""
    out = factorial(len(labels))
    for count in np.unique(labels, return_counts=True)[1]:
        out //= factorial(int(count))
    return out
