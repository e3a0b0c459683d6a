"""What a method may see: the samples that it learns from with what is to be predicted, and samples without it."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers, Names

LabelKind = Literal["classes", "ordered", "numbers"]
LABEL_KINDS: tuple[LabelKind, ...] = get_args(LabelKind)


@dataclass(frozen=True)
class Target:
    """What is known of samples and predicted of others.

    Parameters
    ----------
    kind
        `"classes"` without an order, `"ordered"` classes, or `"numbers"`.
    values
        (P,) class codes, or numbers, as float64.
    classes
        (C,) names of the classes, lowest first where they have an order; empty for numbers.
    """

    kind: LabelKind
    values: Floats
    classes: Names

    @property
    def codes(self) -> Integers:
        """(P,) class codes; numbers have the single code 0."""
        return np.zeros(len(self.values), dtype=np.int64) if self.kind == "numbers" else self.values.astype(np.int64)

    @property
    def n_classes(self) -> int:
        """Number of classes, C; 0 for numbers."""
        return len(self.classes)

    def take(self, samples: Integers) -> "Target":
        """Target of the given samples only."""
        return replace(self, values=self.values[samples])


@dataclass(frozen=True)
class Samples:
    """Samples as a method sees them: cells, and what else is known that is not to be predicted.

    Parameters
    ----------
    cohort
        P samples; its labels are all 0 here, so that nothing can be read from them.
    groups
        (P,) code of the donor of each sample.
    composition
        (P, n_types) share of each cell type; None if there are no cell types.
    batch
        (P,) code of a technical batch whose effect is not part of the signal; None if there is none.
    """

    cohort: Cohort
    groups: Integers
    composition: Floats | None = None
    batch: Integers | None = None

    @property
    def n_samples(self) -> int:
        """Number of samples, P."""
        return self.cohort.n_samples

    def take(self, samples: Integers) -> "Samples":
        """Only the given samples, in the given order."""
        return Samples(
            cohort=self.cohort.take(samples),
            groups=self.groups[samples],
            composition=None if self.composition is None else self.composition[samples],
            batch=None if self.batch is None else self.batch[samples],
        )


def blind(cohort: Cohort) -> Cohort:
    """The cohort without its labels."""
    return replace(cohort, labels=np.zeros(cohort.n_samples, dtype=np.int64), classes=np.array(["unknown"]))


def labelled(samples: Samples, target: Target) -> Cohort:
    """Cohort of samples that are learned from, with their classes."""
    return replace(samples.cohort, labels=target.codes, classes=target.classes)


def join(first: Cohort, second: Cohort) -> Cohort:
    """One cohort of both, the first in front."""
    return Cohort(
        points=np.concatenate([first.points, second.points]),
        weights=np.concatenate([first.weights, second.weights]),
        offsets=np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
        labels=np.concatenate([first.labels, second.labels]),
        names=np.concatenate([first.names, second.names]),
        classes=first.classes,
    )


def mean_profiles(cohort: Cohort) -> Floats:
    """(P, d) weighted mean cell of each sample."""
    weighted = cohort.points * cohort.weights[:, None]
    out: Floats = np.add.reduceat(weighted, cohort.offsets[:-1], axis=0)
    return out
