"""Splits of samples by donor: what is learned from, and what is held out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.stats import rankdata
from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold, StratifiedKFold

from scggml._core.checks import check_choice, check_number, check_whole
from scggml._core.cohort import Integers
from scggml._core.samples import Target, mixed_batches
from scggml._core.threads import ignored

Split = Literal["stratified", "leave_one_group_out", "leave_one_batch_out"]
SPLITS: tuple[Split, ...] = get_args(Split)

Parts = list[tuple[np.ndarray, np.ndarray]]
"""Training and held-out samples of the parts of a split."""

BINS = 3
"""Ranges of equal size that numbers are stratified by; an odd number, so that the middle has one of its own."""


TRIES = 50
"""Stratified splits that are drawn until one leaves something to learn from within batches."""


@dataclass(frozen=True)
class Fold:
    """One split: `train` and `test` are positions of samples that share no donor."""

    repeat: int
    fold: int
    train: Integers
    test: Integers


class TooFewDonorsError(ValueError):
    """There are fewer donors, of a class or of all, than folds need."""


def make_folds(
    target: Target,
    groups: Integers,
    *,
    split: Split = "stratified",
    n_splits: int = 5,
    n_repeats: int = 5,
    train_size: float | None = None,
    batch: Integers | None = None,
    rng: np.random.Generator,
) -> list[Fold]:
    """Split samples by donor: repeated K-fold, classes (or ranges of numbers) in proportion, or one donor or batch out.

    Parameters
    ----------
    groups
        (P,) code of each sample's donor.
    n_splits, n_repeats
        K, at most the number of donors, and how often donors are shuffled. Leaving one donor or batch out needs
        neither.
    train_size
        One split for each repeat instead of K folds, with this share of the donors to learn from; the rest is held out.
    batch
        (P,) batch (site) of each sample, for leaving one of them out at a time. Stratified splits are drawn anew if no
        batch would hold training samples with different labels, of which metrics learn within batches.
    """
    check_whole("n_splits", n_splits, 2)
    check_whole("n_repeats", n_repeats, 1)
    check_choice("split", split, SPLITS)
    if train_size is not None:
        check_number("train_size", train_size, "a share of the donors in (0, 1), such as 0.6", 0, 1, open_low=True)
        if split != "stratified":
            raise ValueError(f"train_size={train_size} makes stratified splits of its own; leave out split={split!r}.")
    n_groups = len(np.unique(groups))
    strata = strata_of(target)
    blank = np.zeros((len(groups), 1))
    if train_size is not None:
        share = float(train_size)
        rounds = [
            _learnable(lambda _: [_one_split(strata, groups, share, rng)], target, batch) for _ in range(n_repeats)
        ]
    elif split == "leave_one_group_out":
        rounds = [list(LeaveOneGroupOut().split(blank, strata, groups))]
    elif split == "leave_one_batch_out":
        rounds = [list(LeaveOneGroupOut().split(blank, strata, _whole_batches(groups, batch)))]
    else:
        if n_splits > n_groups:
            raise TooFewDonorsError(
                f"n_splits={n_splits} is more than the {n_groups} groups (donors) of the cohort; pass "
                f"n_splits={n_groups} or fewer."
            )

        def kfold(seed: int) -> Parts:
            return _learnable(lambda k: _kfold(blank, strata, groups, n_splits, seed + k), target, batch)

        rounds = [kfold(int(seed)) for seed in rng.integers(2**31, size=n_repeats)]
    folds = [
        Fold(repeat, number, np.asarray(train, dtype=np.int64), np.asarray(test, dtype=np.int64))
        for repeat, parts in enumerate(rounds)
        for number, (train, test) in enumerate(part for part in parts if len(part[1]))
    ]
    _check_training(target, folds)
    return folds


def learnable(target: Target, batch: Integers, folds: list[Fold]) -> bool:
    """Return whether the training samples of all folds have a batch with different labels."""
    return all(mixed_batches(target.take(fold.train), batch[fold.train]) for fold in folds)


def strata_of(target: Target) -> Integers:
    """Return (P,) classes, or ranges of numbers of equal size, that splits keep in proportion."""
    if target.kind != "numbers":
        return target.codes
    # Seen from both ends alike: a reversed label must give the same folds, as statistics take it for the same label.
    n = len(target.values)
    twice = np.rint(2 * rankdata(target.values)).astype(np.int64)  # ties share their mean rank
    low, high = (twice - 1) * BINS // (2 * n), (2 * n + 1 - twice) * BINS // (2 * n)
    return np.where(twice <= n, low, BINS - 1 - high)


def _whole_batches(groups: Integers, batch: Integers | None) -> Integers:
    """Return the batches, if there are several and each donor is in one."""
    if batch is None or len(np.unique(batch)) < 2:
        raise ValueError('split="leave_one_batch_out" needs a batch_key with two or more batches (sites).')
    if len(np.unique(np.stack([groups, batch], axis=1), axis=0)) > len(np.unique(groups)):
        raise ValueError(
            'split="leave_one_batch_out": some donors have samples in several batches, so that a held-out batch would '
            "be recognized by its donors. Pass another batch_key or split."
        )
    return batch


def _learnable(draw: Callable[[int], Parts], target: Target, batch: Integers | None) -> Parts:
    """Return the first of the splits drawn whose training samples all have a batch with different labels.

    Without one it is the first split, of which those that learn within batches say what is wrong.
    """
    first = draw(0)
    if batch is None or not mixed_batches(target, batch):
        return first

    def usable(parts: Parts) -> bool:
        return all(mixed_batches(target.take(train), batch[train]) for train, _ in parts)

    others = (draw(k) for k in range(1, TRIES))
    return first if usable(first) else next(filter(usable, others), first)


def _kfold(
    blank: np.ndarray, strata: Integers, groups: Integers, n_splits: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    alone = len(np.unique(groups)) == len(groups)
    kind = StratifiedKFold if alone else StratifiedGroupKFold
    # a class with fewer samples than folds is missing from some test sets, which pooled scores allow for
    with ignored(UserWarning, "The least populated class"):
        splitter = kind(n_splits=n_splits, shuffle=True, random_state=seed)
        try:
            return list(splitter.split(blank, strata, None if alone else groups))
        except ValueError:  # no class has as many samples as there are folds
            order = np.random.default_rng(seed).permutation(len(np.unique(groups)))
            part = order[np.unique(groups, return_inverse=True)[1]] % n_splits
            return [(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(n_splits)]


def _one_split(
    strata: Integers, groups: Integers, train_size: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return training and held-out samples of one split by donor, strata in proportion and on both sides if they can.

    A donor belongs to the stratum of most of its samples.
    """
    donors, code = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(donors), int(strata.max()) + 1), dtype=np.int64)
    np.add.at(counts, (code, strata), 1)
    own = counts.argmax(axis=1)
    there, sizes = np.unique(own, return_counts=True)
    wanted = round((1 - train_size) * len(donors))
    if not 1 <= wanted <= len(donors) - len(there):
        low, high = len(there) / len(donors), 1 - 1 / len(donors)
        raise TooFewDonorsError(
            f"train_size={train_size:g} learns from {len(donors) - wanted} of {len(donors)} groups (donors) and holds "
            f"out {wanted}; each of the {len(there)} classes (or ranges of numbers) needs a donor to learn from, and "
            f"one donor must be held out. Pass a share between {low:.2g} and {high:.2g}."
        )
    least = np.minimum(sizes - 1, 1) if wanted >= len(there) else np.zeros_like(sizes)
    share = wanted * sizes / len(donors)
    taken = np.clip(np.floor(share).astype(np.int64), least, sizes - 1)
    while taken.sum() != wanted:  # what rounding leaves goes to, or comes from, the stratum that is farthest off
        step = 1 if taken.sum() < wanted else -1
        free = taken < sizes - 1 if step > 0 else taken > least
        taken[np.where(free, step * (share - taken), -np.inf).argmax()] += step
    held_out = np.concatenate(
        [rng.permutation(np.flatnonzero(own == stratum))[:n] for stratum, n in zip(there, taken, strict=True)]
    )
    test = np.isin(code, held_out)
    return np.flatnonzero(~test), np.flatnonzero(test)


def _check_training(target: Target, folds: list[Fold]) -> None:
    """Raise unless each class that a fold may have to predict is among its training samples."""
    if target.kind == "numbers":
        return
    for fold in folds:
        missing = np.setdiff1d(target.codes, target.codes[fold.train])
        if len(missing):
            raise TooFewDonorsError(
                f"Class {str(target.classes[missing[0]])!r} has too few groups (donors): all of its samples are held "
                "out at once, so nothing can be learned about it. Leave the class out, merge it with another, or "
                "raise n_splits."
            )
