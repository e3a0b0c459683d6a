"""Batches that can be left out one at a time, and the reasons of those that cannot."""

import numpy as np
import pytest

from scggml._core.evaluate.by_batch import folds_by_batch
from scggml._core.samples import Target

CLASSES = np.array(["ill", "well"])


def design(labels: str, batches: str, donors: str = "abcdefghijkl"):
    """Letters of each sample: i(ll) or w(ell), the name of its batch, and its donor."""
    names = np.array(list(batches))
    found = np.unique(names, return_index=True)[1]
    batch = np.array([sorted(found).index(found[np.unique(names).tolist().index(name)]) for name in names])
    groups = np.unique(list(donors[: len(labels)]), return_inverse=True)[1]
    return Target("classes", np.array([float(c == "w") for c in labels]), CLASSES), groups, batch, names


def test_each_batch_is_left_out_once():
    target, groups, batch, names = design("iwiwiw", "yyxxzz")
    found = folds_by_batch(target, groups, batch, names)
    assert found.reason == ""
    assert [set(names[fold.test]) for fold in found.folds] == [{"y"}, {"x"}, {"z"}]
    for fold in found.folds:
        assert sorted([*fold.train, *fold.test]) == list(range(6))
        assert not set(names[fold.train]) & set(names[fold.test])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("iwiw", "xxxx"), "All samples are in one batch, 'x'."),
        (("iwiw", "xxyy", "abab"), "Donors have samples in several batches"),
        (("iwiw", "xxyy", "aabb"), "Each batch is one donor"),
        (("iwiw", "wxyz", "abcd"), "Each batch is one donor"),
        (("iwiii", "xxxyy"), "All samples of class 'well' are in batch 'x', without which nothing can be learned"),
        (("iwiiwww", "xxyyzzz"), "Without batch 'x' no batch holds samples with different labels"),
    ],
)
def test_batches_that_cannot_be_left_out_have_their_reason(given, reason):
    found = folds_by_batch(*design(*given))
    assert found.folds == []
    assert found.reason.startswith(reason)
    assert found.reason.endswith(".")


def test_numbers_need_no_class_on_both_sides():
    _, groups, batch, names = design("iwiw", "xxyy")
    numbers = Target("numbers", np.array([1.0, 2.0, 3.0, 4.0]), np.array([]))
    assert len(folds_by_batch(numbers, groups, batch, names).folds) == 2
