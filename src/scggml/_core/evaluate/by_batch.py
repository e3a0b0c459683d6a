"""Folds that leave one batch out at a time, wherever batches allow it."""

from dataclasses import dataclass

import numpy as np

from scggml._core.cohort import Integers, Names
from scggml._core.folds import Fold, make_folds
from scggml._core.samples import Target, mixed_batches


@dataclass(frozen=True)
class BatchFolds:
    """One fold for each batch, or none and the reason as a sentence.

    Parameters
    ----------
    folds
        Batches in the order of their codes.
    reason
        Why one batch cannot be left out at a time; empty if it can.
    """

    folds: list[Fold]
    reason: str = ""


def folds_by_batch(target: Target, groups: Integers, batch: Integers, names: Names) -> BatchFolds:
    """Return folds that leave one batch out, if what is left of donors, classes and batches can be learned from.

    Parameters
    ----------
    groups
        (P,) code of each sample's donor.
    batch, names
        (P,) code and name of each sample's batch.
    """
    reason = _reason(target, groups, batch, names)
    if reason:
        return BatchFolds([], reason)
    rng = np.random.default_rng(0)  # nothing is drawn for this split
    return BatchFolds(make_folds(target, groups, split="leave_one_batch_out", batch=batch, rng=rng))


def _reason(target: Target, groups: Integers, batch: Integers, names: Names) -> str:
    """Return why batches cannot be left out one at a time; empty if they can."""
    codes, first = np.unique(batch, return_index=True)
    n_donors = len(np.unique(groups))
    if len(codes) < 2:
        return f"All samples are in one batch, {str(names[0])!r}."
    if len(np.unique(np.stack([groups, batch], axis=1), axis=0)) > n_donors:
        return "Donors have samples in several batches, so a batch that is left out would be recognized by its donors."
    if len(codes) == n_donors:
        return "Each batch is one donor, and donors are left out in the usual split already."
    for code, name in zip(codes, names[first], strict=True):
        left = np.flatnonzero(batch != code)
        lost = np.setdiff1d(target.codes, target.codes[left])
        if len(lost):
            return (
                f"All samples of class {str(target.classes[lost[0]])!r} are in batch {str(name)!r}, without which "
                "nothing can be learned about that class."
            )
        if not mixed_batches(target.take(left), batch[left]):
            return (
                f"Without batch {str(name)!r} no batch holds samples with different labels, so batch and label could "
                "not be told apart."
            )
    return ""
