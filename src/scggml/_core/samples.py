"""The input of a method: samples to learn from with what is to be predicted, and samples without it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from scipy import sparse

from scggml._core.checks import LARGEST, text_of, usable
from scggml._core.cohort import BLOCK, Cohort, Floats, Integers, Names
from scggml._core.threads import split

LabelKind = Literal["classes", "ordered", "numbers"]
LABEL_KINDS: tuple[LabelKind, ...] = get_args(LabelKind)


@dataclass(frozen=True)
class Target:
    """Labels that are known of some samples and predicted for others.

    Parameters
    ----------
    kind
        `"classes"` without an order, `"ordered"` classes, or `"numbers"`.
    values
        (P,) class codes, or numbers, as float64.
    classes
        (C,) names of the classes, lowest first where they have an order; empty for numbers.
    reference
        Code of the class that others are compared with.
    """

    kind: LabelKind
    values: Floats
    classes: Names
    reference: int = 0

    @property
    def codes(self) -> Integers:
        """(P,) class codes; numbers have the single code 0."""
        return np.zeros(len(self.values), dtype=np.int64) if self.kind == "numbers" else self.values.astype(np.int64)

    @property
    def n_classes(self) -> int:
        """Number of classes, C; 0 for numbers."""
        return len(self.classes)

    @property
    def design(self) -> Floats:
        """(P, C) membership in the classes; of numbers (P, 2), a constant and the centred number."""
        if self.kind == "numbers":
            return np.stack([np.ones(len(self.values)), self.values - self.values.mean()], axis=1)
        out: Floats = np.eye(self.n_classes)[self.codes]
        return out

    def take(self, samples: Integers) -> "Target":
        """Return the target of the given samples only."""
        return replace(self, values=self.values[samples])


def mixed_batches(target: Target, batch: Integers) -> bool:
    """Return whether some batch holds samples with different labels: only such pairs show how labels differ."""
    _, first, place = np.unique(batch, return_index=True, return_inverse=True)
    return bool((target.values != target.values[first][place.reshape(-1)]).any())


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
    types
        (n_cells,) code of the cell type of each cell (of `everything`, if that is there), a column of `composition`;
        None if there are no cell types, or if points that are no cells stand for the samples.
    batch
        (P,) code of a technical batch whose effect is not part of the signal; None if there is none.
    covariates
        (P, q) numbers whose effect on the cells is not part of the signal; None if there are none.
    everything
        The same samples with all of their cells, where `cohort` is a summary of them and something asks for more.
    work, positions
        What was computed of a cohort before any label was known (`learn.shared.Work`), and (P,) where these samples
        stand in it.
    """

    cohort: Cohort
    groups: Integers
    composition: Floats | None = None
    batch: Integers | None = None
    covariates: Floats | None = None
    everything: Cohort | None = None
    work: Any = None
    positions: Integers | None = None
    types: Integers | None = None

    @property
    def n_samples(self) -> int:
        """Number of samples, P."""
        return self.cohort.n_samples

    def take(self, samples: Integers) -> "Samples":
        """Return the given samples only, in the given order."""
        return Samples(
            cohort=self.cohort.take(samples),
            groups=self.groups[samples],
            composition=None if self.composition is None else self.composition[samples],
            batch=None if self.batch is None else self.batch[samples],
            covariates=None if self.covariates is None else self.covariates[samples],
            everything=None if self.everything is None else self.everything.take(samples),
            work=self.work,
            positions=None if self.positions is None else self.positions[samples],
            types=None if self.types is None else self.types[(self.everything or self.cohort).rows(samples)],
        )

    @property
    def as_cells(self) -> "Samples":
        """The samples as all of their cells, where these are known beside a summary."""
        if self.everything is None:
            return self
        return replace(self, cohort=self.everything, everything=None, work=None, positions=None)


def plain_samples(cohort: Cohort) -> Samples:
    """Return the samples of a cohort without its labels, each of a donor of its own."""
    return Samples(blind(cohort), np.arange(cohort.n_samples))


def class_target(cohort: Cohort) -> Target:
    """Return the labels of a cohort as classes without an order."""
    return Target("classes", cohort.labels.astype(np.float64), cohort.classes)


def blind(cohort: Cohort) -> Cohort:
    """Return the cohort without its labels."""
    return replace(cohort, labels=np.zeros(cohort.n_samples, dtype=np.int64), classes=np.array(["unknown"]))


def labelled(cohort: Cohort, target: Target) -> Cohort:
    """Return the cohort with the classes of a target; numbers leave all samples in one class."""
    classes = target.classes if target.n_classes else np.array(["unknown"])
    return replace(cohort, labels=target.codes, classes=classes)


def join(first: Cohort, second: Cohort) -> Cohort:
    """Return one cohort of both, the first in front."""
    return Cohort(
        points=np.concatenate([first.points, second.points]),
        weights=np.concatenate([first.weights, second.weights]),
        offsets=np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
        labels=np.concatenate([first.labels, second.labels]),
        names=np.concatenate([first.names, second.names]),
        classes=first.classes,
        gaussian=first.gaussian,
        atoms=None if first.atoms is None or second.atoms is None else np.concatenate([first.atoms, second.atoms]),
    )


def mean_profiles(cohort: Cohort) -> Floats:
    """Return (P, d), the weighted mean cell of each sample."""
    out = np.empty((cohort.n_samples, cohort.n_features))
    # Some samples at a time: all cells in double precision would be the largest array of all.
    for part in split(cohort.sizes.astype(np.float64) * cohort.n_features, BLOCK):
        rows = slice(*cohort.offsets[[part.start, part.stop]])
        weighted = cohort.points[rows] * cohort.weights[rows, None]
        out[part] = np.add.reduceat(weighted, cohort.offsets[part] - rows.start, axis=0)
    return out


def type_profiles(samples: Samples) -> Floats:
    """Return (P, n_types, d), the weighted mean cell of each type in each sample; NaN where it has none."""
    samples = samples.as_cells
    if samples.composition is None or samples.types is None:
        raise ValueError("Means by cell type need the type of each cell; pass cell_type_key, and no summary.")
    cohort, n_types = samples.cohort, samples.composition.shape[1]
    cell = np.repeat(np.arange(cohort.n_samples), cohort.sizes) * n_types + samples.types
    shape = (cohort.n_samples * n_types, len(cell))
    sums = sparse.csr_array((cohort.weights, (cell, np.arange(len(cell)))), shape=shape)
    weight = sums.sum(axis=1)[:, None]
    means = np.divide(
        sums @ cohort.points, weight, out=np.full((shape[0], cohort.n_features), np.nan), where=weight > 0
    )
    out: Floats = means.reshape(cohort.n_samples, n_types, -1)
    return out


def make_target(
    names: Names,
    numbers: Floats | None,
    levels: Sequence[str],
    *,
    kind: LabelKind | Literal["auto"] | Sequence[str],
    has_order: bool,
    reference: str | None,
    what: str,
    leave_out: Callable[[str], str] = lambda _: "",
) -> Target:
    """Decide what the labels of samples are.

    Parameters
    ----------
    names
        (P,) label of each sample as text.
    numbers
        (P,) the same as numbers; None where labels are not numbers (a boolean is none).
    levels
        The different labels, in the order that their column gives them.
    kind
        The argument of the user: a kind, `"auto"`, or the list of levels from low to high.
    has_order
        Whether the column says that its categories have an order.
    reference
        Class that the others are compared with; None for the first one.
    what
        The labels in words, such as `label_key='age'`.
    leave_out
        How a class is left out, for messages.
    """
    if not isinstance(kind, str):
        levels = _listed_levels(kind, names, what)
        kind, has_order = "ordered", True
    elif kind not in ("auto", *LABEL_KINDS):
        raise ValueError(f"label_kind={kind!r} is not known; choose from {('auto', *LABEL_KINDS)}, or list the levels.")
    if kind == "auto":
        if numbers is not None and len(levels) > 2:
            raise ValueError(
                f"{what} holds numbers with {len(levels)} different values ({levels[0]} to {levels[-1]}), which can be "
                'meant in three ways. Pass label_kind="numbers" if distances between them count, label_kind="ordered" '
                'if only their order does, or label_kind="classes" if they are names of groups.'
                + _of_single_ones(names, levels, leave_out)
            )
        kind = "ordered" if has_order and len(levels) > 2 else "classes"
    if kind == "numbers":
        return _numbers_target(numbers, reference, what)
    if kind == "ordered" and not (has_order or numbers is not None):
        raise ValueError(
            f'label_kind="ordered", but {what} says nothing about the order of {", ".join(map(repr, levels[:10]))}; '
            "alphabetical order is not taken. Pass the levels from low to high, label_kind=["
            f"{', '.join(map(repr, levels[:10]))}] in the right order, or make the column an ordered categorical."
        )
    if len(levels) < 2:
        raise ValueError(
            f"{what} has one class only ({levels[0]!r}); two or more are needed. Pass the column with the groups of "
            "patients."
        )
    position = {name: i for i, name in enumerate(levels)}
    if reference is not None and reference not in position:
        raise ValueError(
            f"reference_class={reference!r} is not a class of {what}, which has {', '.join(map(repr, levels))}."
        )
    if kind == "ordered":
        _refuse_reference(reference, "ordered classes are compared with the lowest one")
    values = np.array([position[name] for name in names], dtype=np.float64)
    found: LabelKind = "ordered" if kind == "ordered" else "classes"
    return Target(found, values, np.asarray(levels, dtype=str), 0 if reference is None else position[reference])


def lists_levels(kind: object) -> bool:
    """Return whether it lists levels in an order that the user chose, which a set and a dict do not."""
    if isinstance(kind, Sequence):
        return not isinstance(kind, str | bytes)
    return hasattr(kind, "__array__") and np.ndim(kind) == 1  # of numpy or pandas


def _listed_levels(kind: Sequence[str], names: Names, what: str) -> list[str]:
    """Return the levels that a user lists and that occur; all that occur must be listed."""
    if not lists_levels(kind):
        raise TypeError(
            f"label_kind is a {type(kind).__name__}; choose from {('auto', *LABEL_KINDS)}, or list the levels from "
            "low to high."
        )
    listed = [text_of(level) for level in kind]
    unknown = [str(name) for name in dict.fromkeys(names) if name not in listed]
    if unknown or len(set(listed)) < len(listed):
        raise ValueError(
            f"label_kind={listed!r} lists the levels of {what} from low to high, each once; it "
            f"{'lacks ' + ', '.join(map(repr, unknown[:5])) if unknown else 'names one twice'}."
        )
    return [level for level in listed if level in set(names)]


def _numbers_target(numbers: Floats | None, reference: str | None, what: str) -> Target:
    """Return numbers as a target, if they are some."""
    if numbers is None:
        raise ValueError(f'label_kind="numbers", but {what} does not hold numbers.')
    if not np.isfinite(numbers).all():
        raise ValueError(f"{what} has values that are not finite.")
    if not usable(numbers).all():
        raise ValueError(f"{what} has values above {LARGEST:g}, whose squares overflow; write it in another unit.")
    _refuse_reference(reference, "numbers have no class to compare with")
    if len(np.unique(numbers)) < 2:
        raise ValueError(f"{what} has one value only ({numbers[0]}); there is nothing to learn or to predict.")
    return Target("numbers", numbers, np.array([], dtype=str))


def _of_single_ones(names: Names, levels: Sequence[str], leave_out: Callable[[str], str]) -> str:
    """Return what else stands in the way of numbers that are names of groups: a group of one sample."""
    single = [name for name in levels if (names == name).sum() == 1]
    if not single or 2 * len(single) > len(levels):  # most numbers once: they are no names
        return ""
    return f" (Group {single[0]!r} has a single sample: leave it out{leave_out(single[0])} or merge it with another.)"


def _refuse_reference(reference: str | None, reason: str) -> None:
    if reference is not None:
        raise ValueError(f"reference_class={reference!r} has no meaning here: {reason}. Leave it out.")


def check_design(target: Target, names: Names, what: str, *, leave_out: Callable[[str], str] = lambda _: "") -> None:
    """Raise unless each class has two samples, which learning needs; `leave_out` says how to leave a class out."""
    counts = np.bincount(target.codes, minlength=max(target.n_classes, 1))
    if target.n_classes and (counts == 1).any():
        rare = int(np.flatnonzero(counts == 1)[0])
        raise ValueError(
            f"Class {str(target.classes[rare])!r} of {what} has a single sample "
            f"({str(names[target.codes == rare][0])!r}), so nothing can be learned about distances within it. Leave "
            f"the class out{leave_out(str(target.classes[rare]))} or merge it with another."
        )
