"""Labels, donors and batches of samples, as a list or an array of a user gives them."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np

from scggml._arguments import shown
from scggml._core.checks import as_double, check_distinct, is_missing, is_real, text_of
from scggml._core.cohort import Integers, Names
from scggml._core.samples import LabelKind, Target, make_target


def array_target(
    labels: Any, kind: LabelKind | Literal["auto"] | Sequence[str] = "auto", reference: str | None = None
) -> Target:
    """Return the target that an array of labels, one for each sample, means; see `make_target`."""
    values = as_ids("labels", labels, "a label", "one label for each sample is needed")
    categories = getattr(getattr(labels, "dtype", None), "categories", None)  # those of pandas
    numbers = _numbers(labels, values, named=categories is not None and kind != "numbers")
    if numbers is None:
        check_distinct("labels", values)
    names = _names(labels, values, numbers)
    return make_target(
        names,
        None if numbers is None else numbers.astype(np.float64),
        _levels(names, _order(labels, names, numbers), categories),
        kind=kind,
        has_order=categories is not None and bool(getattr(labels.dtype, "ordered", False)),
        reference=reference,
        what="labels",
    )


def as_codes(name: str, given: Any, what: str, n_samples: int) -> Integers:
    """Return (P,) code of the donor or batch of each sample, by first appearance."""
    needed = f"one entry for each of the {n_samples} clouds is needed"
    values = as_ids(name, given, what, needed)
    if len(values) != n_samples:
        raise ValueError(f"{name} has shape ({len(values)},); {needed}.")
    check_distinct(name, values)
    # in order of first appearance, as in an AnnData: folds are drawn by these codes
    code: dict[str, int] = {}
    return np.array([code.setdefault(text_of(value), len(code)) for value in values], dtype=np.int64)


def as_ids(name: str, given: Any, what: str, needed: str) -> list[Any]:
    """Return one id for each sample as a list; masked and missing ones raise.

    `what` and `needed` say for messages what a sample needs, such as "a label", and what of the whole.
    """
    if np.ma.isMaskedArray(given):
        raise TypeError(f"{name} is a masked array; pass {what} for each sample, and leave the other samples out.")
    listed = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    values: list[Any] = []
    if getattr(given, "ndim", 1) == 1 and (listed or hasattr(given, "__array__")):
        # values of Python: the kinds of these say which are the same (those of dates would become numbers)
        is_date = getattr(getattr(given, "dtype", None), "kind", "") in ("m", "M")
        values = given.tolist() if hasattr(given, "tolist") and not is_date else list(given)
    if not values or not all(map(_is_single, values)):
        raise ValueError(f"{name} {_form(given)}; {needed}.")
    missing = [i for i, value in enumerate(values) if is_missing(value)]
    if missing:
        raise ValueError(
            f"{name} has missing values; each sample needs {what}, and {len(missing)} have none (the first is "
            f"{name}[{missing[0]}]). Leave these samples out."
        )
    return values


def _is_single(value: Any) -> bool:
    """Return whether it is one value, which can be an id, and no list of some."""
    return value is np.ma.masked or (isinstance(value, Hashable) and not isinstance(value, tuple | frozenset))


def _form(given: Any) -> str:
    """Return what is given instead of a list of ids, for a message."""
    try:
        return f"has shape {np.shape(given)}"
    except ValueError:  # lists of different lengths
        return f"is {shown(given)}"


def _numbers(labels: Any, values: list[Any], *, named: bool) -> np.ndarray | None:
    """Return labels as numbers, None if they are names; names of categories may be written with digits (`named`)."""
    if named:
        return None
    array = np.asarray(labels)
    if not is_real(array.dtype):
        return None
    if any(isinstance(value, bool | np.bool_) for value in values):
        raise ValueError("labels has truth values among its numbers, such as True and 1; make them the same type.")
    numbers = as_double("labels", array) if array.dtype.itemsize > 8 else array
    return numbers + numbers.dtype.type(0)  # -0.0 is 0.0


def _names(labels: Any, values: list[Any], numbers: np.ndarray | None) -> Names:
    """Return (P,) the text of each label."""
    if numbers is not None:
        return numbers.astype(str)
    array = np.asarray(labels)
    return array.astype(str) if array.dtype.kind in "bmM" else np.array([text_of(value) for value in values])


def _order(labels: Any, names: Names, numbers: np.ndarray | None) -> np.ndarray:
    """Return (P,) what labels are sorted by: numbers and dates by value, others by letter."""
    array = np.asarray(labels)
    return numbers if numbers is not None else array if array.dtype.kind in "mM" else names


def _levels(names: Names, order: np.ndarray, categories: Any) -> list[str]:
    """Return the different labels in their order, that of the categories if there are some."""
    if categories is not None:
        used = set(names)
        return [name for name in map(text_of, categories) if name in used]
    return [str(name) for name in names[np.unique(order, return_index=True)[1]]]
