"""Weigh pairs of samples: those that should be close, and those that should be apart."""

from dataclasses import dataclass

import numpy as np

from scggml._core.cohort import Floats, Integers
from scggml._core.samples import Target, mixed_batches
from scggml._core.transport.pairs import all_pairs


class ConfoundedError(ValueError):
    """No batch holds samples with different labels."""

    def __init__(self) -> None:
        super().__init__(
            "No batch of batch_key holds training samples with different labels, so batch and label cannot be told "
            "apart. Pass another batch_key or None, and do not trust a separation of these labels."
        )


@dataclass(frozen=True)
class PairWeights:
    """Weights of pairs of samples in two means: of what should be small, and of what should be large.

    Parameters
    ----------
    pairs
        (n_pairs, 2) different samples.
    within, between
        (n_pairs,) weights, each of sum 1 (`within` is 0 throughout where no two samples are alike).
    """

    pairs: Integers
    within: Floats
    between: Floats


def weigh_pairs(
    target: Target,
    *,
    batch: Integers | None = None,
    counts: Integers | None = None,
    pairs: Integers | None = None,
) -> PairWeights:
    r"""Weigh pairs of samples by their labels.

    Classes: pairs of one class against pairs of two, classes (and pairs of classes) counting equally. Ordered classes:
    a pair of two classes counts in proportion to the square of the number of steps between them. Numbers: with
    :math:`\delta = |y_p - y_q|` and its median m, a pair counts :math:`\exp(-\delta^2 / 2 (m/2)^2)` as alike and
    :math:`\delta^2` as different. With batches only samples of one batch count as different, while alike ones of two
    batches do count: differences between batches are then spread within classes.

    Parameters
    ----------
    batch
        (P,) batch of each sample.
    counts
        (P,) how often each sample was drawn in a bootstrap; a pair counts as often as both were drawn together. (Copies
        of one sample are no pair.)
    pairs
        (n_pairs, 2) pairs to weigh; all by default.
    """
    pairs = all_pairs(len(target.values)) if pairs is None else pairs
    p, q = pairs.T
    drawn = np.ones(len(pairs)) if counts is None else (counts[p] * counts[q]).astype(np.float64)
    together = np.ones(len(pairs), dtype=np.bool_) if batch is None else batch[p] == batch[q]
    gaps = np.abs(target.values[p] - target.values[q])
    if target.kind == "numbers":
        apart = gaps > 0
        steps = np.repeat(gaps[apart], drawn[apart].astype(np.int64))  # samples that were not drawn do not count
        typical = float(np.median(steps)) / 2 if len(steps) else 1.0
        within, between = drawn * np.exp(-0.5 * (gaps / typical) ** 2), np.where(together, drawn * gaps**2, 0.0)
    else:
        alike = gaps == 0
        within = _balanced(target.codes, pairs, np.where(alike, drawn, 0.0))
        between = _balanced(target.codes, pairs, np.where(~alike & together, drawn, 0.0))
        if target.kind == "ordered":
            between = between * gaps**2
    if batch is not None and not between.any():
        raise ConfoundedError
    used = (within > 0) | (between > 0)
    within, between = within[used], between[used]
    tiny = np.finfo(float).tiny
    return PairWeights(pairs[used], within / max(within.sum(), tiny), between / max(between.sum(), tiny))


def check_batches(target: Target, batch: Integers) -> None:
    """Raise unless some batch holds samples with different labels."""
    if not mixed_batches(target, batch):
        raise ConfoundedError


def _balanced(codes: Integers, pairs: Integers, drawn: Floats) -> Floats:
    """Return (n_pairs,) weights under which every class, and every pair of classes, has the same sum."""
    kind, most = _kind_codes(codes, pairs)
    if most > len(pairs):
        kind = np.unique(kind, return_inverse=True)[1].ravel()
    total = np.bincount(kind, drawn)
    out: Floats = np.divide(drawn, total[kind], out=np.zeros(len(drawn)), where=drawn > 0)
    return out


def some_pairs(codes: Integers, most: int, rng: np.random.Generator) -> Integers:
    """Return (n_pairs, 2) all pairs, or about `most` of them, as many of each kind where there are enough.

    With more kinds than that (a thousand classes have half a million) one pair each of some kinds is returned: of
    single classes as far as these are not more than half, of two classes for the rest.
    """
    pairs = all_pairs(len(codes))
    if len(pairs) <= most:
        return pairs
    kind, n_kinds = _kinds(codes, pairs)
    # One sort for all kinds, instead of a search for each.
    order = np.argsort(kind.astype(np.min_scalar_type(n_kinds)), kind="stable")  # of short numbers by radix
    counts = np.bincount(kind, minlength=n_kinds)
    starts = np.cumsum(counts) - counts
    if n_kinds > most:
        firsts = order[starts + rng.integers(counts)]
        alike = codes[pairs[firsts, 0]] == codes[pairs[firsts, 1]]
        n_alike = min(int(alike.sum()), most // 2)
        parts = (firsts[alike], n_alike), (firsts[~alike], most - n_alike)
        drawn = [rng.choice(each, min(n, len(each)), False) for each, n in parts]
    else:
        level = _level(counts, most)
        drawn = [rng.choice(own, min(len(own), level), False) for own in np.split(order, starts[1:])]
    return pairs[np.sort(np.concatenate(drawn))]


def _level(counts: Integers, most: int) -> int:
    """Return how many to take of each kind (all, where there are fewer) for `most` in all; at least one."""
    left, level = most, 0
    for n_kinds, count in zip(range(len(counts), 0, -1), np.sort(counts), strict=True):
        level = left // n_kinds
        if count > level:
            break
        left -= int(count)
    return max(level, 1)


def _kinds(codes: Integers, pairs: Integers) -> tuple[Integers, int]:
    """Return which classes the samples of each pair have, as a code, and the number of such codes."""
    kind, most = _kind_codes(codes, pairs)
    if most > len(pairs):
        found, kind = np.unique(kind, return_inverse=True)
        return kind.ravel(), len(found)
    # Few codes are counted, which takes less time than to sort millions of them.
    there = np.bincount(kind, minlength=most) > 0
    return (np.cumsum(there) - 1)[kind], int(there.sum())


def _kind_codes(codes: Integers, pairs: Integers) -> tuple[Integers, int]:
    """Return a code of the two classes of each pair, and a number above all codes; there may be gaps between them."""
    first, second = codes[pairs].T
    n = int(codes.max()) + 1
    return np.minimum(first, second) * n + np.maximum(first, second), n * n
