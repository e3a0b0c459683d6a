"""Numbers and arrays that a user passes: right kind, right range, and a message that says both."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scggml._arguments import shown


def check_whole(name: str, value: object, low: int, hint: str = "") -> None:
    """Raise unless `value` is a whole number of at least `low`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}={shown(value)} must be a whole number of at least {low}{hint}.")
    if value < low:
        raise ValueError(f"{name}={shown(value)} must be at least {low}{hint}.")


def check_number(name: str, value: object, wanted: str, low: float, high: float = np.inf, *, open_low: bool) -> None:
    """Raise unless `value` is a finite number in [low, high), or in (low, high) if `open_low`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}={shown(value)} must be {wanted}.")
    number = float(value)  # bounds would be rounded to the precision of a number of numpy
    if not np.isfinite(number) or not low <= number < high or (open_low and number == low):
        raise ValueError(f"{name}={shown(value)} must be {wanted}.")


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    """Raise unless `value` is one of the known names."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name}={shown(value)} is not known; choose from {tuple(known)}.")


def is_auto(value: object) -> bool:
    """Return whether it is the text "auto"."""
    return isinstance(value, str) and value == "auto"


def check_rate(name: str, value: object) -> None:
    """Raise unless `value` is a rate of errors, from 0 to 1 with both ends."""
    check_number(name, value, "a rate from 0 to 1, such as 0.05", 0, np.nextafter(1, 2), open_low=False)


LARGEST = 1e75
"""Largest size of a number that is computed with: squares of squares are still finite."""


def usable(values: Any) -> NDArray[np.bool_]:
    """Return which values are finite and not so large that their squares are not."""
    found = np.asarray(values)
    if not np.issubdtype(found.dtype, np.floating):
        return np.isfinite(found)
    out: NDArray[np.bool_] = np.abs(found) <= min(LARGEST, float(np.finfo(found.dtype).max))
    return out


def check_flag(name: str, value: object) -> None:
    """Raise unless `value` is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}={shown(value)} must be True or False.")


def as_array(name: str, values: Any, wanted: str, ndim: int) -> NDArray[Any]:
    """Return what a user passes as an array of finite real numbers, of that many axes and not empty."""
    array = as_real(name, values, wanted)
    if array.ndim != ndim or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}; pass {wanted}.")
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        place = ", ".join(str(i) for i in bad[0])
        raise ValueError(
            f"{name} has {len(bad)} values that are NaN or infinite; the first is {name}[{place}]. Pass {wanted}, all "
            "of them finite."
        )
    return array


def as_real(name: str, values: Any, wanted: str) -> NDArray[Any]:
    """Return what a user passes as an array of real numbers.

    No value is taken for another: masked and complex ones, texts and truth values are refused, as is an array of
    objects, which may hold any of these.
    """
    if np.ma.isMaskedArray(values) or (isinstance(values, list | tuple) and any(map(np.ma.isMaskedArray, values))):
        raise ValueError(
            f"{name} is a masked array; pass {wanted}, such as {name}.filled(value) or without these rows."
        )
    if hasattr(values, "toarray"):
        raise ValueError(f"{name} is sparse ({type(values).__name__}); pass {wanted}, such as {name}.toarray().")
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} is no regular array ({error}); pass {wanted}.") from error
    if not is_real(array.dtype):
        raise ValueError(f"{name} has shape {array.shape} and dtype {array.dtype}; pass {wanted}, as real numbers.")
    return array


def is_real(dtype: np.dtype[Any]) -> bool:
    """Return whether a type holds real numbers: neither complex ones nor truth values, texts or objects."""
    return dtype.kind in "iuf"


def check_distinct(name: str, values: Any) -> None:
    """Raise if different values would have the same name, such as 0 and "0", or one value two names.

    Names of samples, donors and classes are compared as text.
    """
    named: dict[str, Any] = {}
    for value in values:
        other = named.setdefault(str(value), value)
        if other != value:
            kinds = f"{shown(other)} ({type(other).__name__}) and {shown(value)} ({type(value).__name__})"
            raise ValueError(f"{name} has {kinds}, which are the same as text; rename one, or make both the same type.")
    seen: dict[Any, str] = {}
    for text, value in named.items():
        if seen.setdefault(value, text) != text:
            raise ValueError(
                f"{name} has {seen[value]} and {text}, which are equal but differ as text; make them the same type."
            )
