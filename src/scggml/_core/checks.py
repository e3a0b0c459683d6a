"""Numbers and arrays that a user passes: right kind, right range, and a message that says both."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scggml._arguments import shown

MOST = 2**63 - 1
"""Largest whole number that an array can hold."""


def check_whole(name: str, value: object, low: int, hint: str = "") -> None:
    """Raise unless `value` is a whole number of at least `low`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}={shown(value)} must be a whole number of at least {low}{hint}.")
    if value < low:
        raise ValueError(f"{name}={shown(value)} must be at least {low}{hint}.")
    if value > MOST:
        raise ValueError(f"{name}={shown(value)} is too large for a whole number of 64 bits; pass at most {MOST}.")


def check_between(name: str, value: object, low: int, high: int, reason: str) -> None:
    """Raise unless `value` is a whole number from `low` to `high`, of which `reason` says where they come from."""
    range_ = f"between {low} and {high}, {reason}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}={shown(value)} must be a whole number {range_}.")
    if not low <= value <= high:
        raise ValueError(f"{name}={shown(value)} must be {range_}.")


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
    """Return what a user passes as an array of real numbers, of double precision at most.

    No value is taken for another: masked and complex ones, texts and truth values are refused, as is an array of
    objects, which may hold any of these. So are numbers that double precision cannot hold.
    """
    if hasattr(values, "toarray"):
        raise ValueError(f"{name} is sparse ({type(values).__name__}); pass {wanted}{_such(name, '.toarray()')}.")
    parts = list(_leaves(values))
    if any(map(np.ma.isMaskedArray, parts)):
        raise ValueError(
            f"{name} is a masked array; pass {wanted}{_such(name, '.filled(value)')} or without these rows."
        )
    if hasattr(values, "X") and hasattr(values, "obs_names"):  # numpy takes an AnnData for a sequence without end
        raise TypeError(f"{name} is an {type(values).__name__}; pass {wanted}{_such(name, '.X')}.")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} is no regular array (its parts have different lengths, or are no numbers); pass {wanted}."
        ) from error
    if not is_real(array.dtype):
        raise ValueError(f"{name} has shape {array.shape} and dtype {array.dtype}; pass {wanted}, as real numbers.")
    if any(map(_is_truth, parts)):  # numpy takes True for 1 where it stands among numbers
        raise ValueError(f"{name} has truth values among its numbers; pass {wanted}, as real numbers.")
    return as_double(name, array) if array.dtype.itemsize > 8 else array


def _such(name: str, call: str) -> str:
    """Return what to pass instead of a value that has a name in code, for a message."""
    return "" if " " in name else f", such as {name}{call}"


def as_double(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return numbers in double precision; finite ones that would be infinite there raise."""
    with np.errstate(over="ignore"):
        out = array.astype(np.float64)
    if (np.isinf(out) & np.isfinite(array)).any():
        raise ValueError(
            f"{name} has numbers beyond the range of double precision (up to {np.finfo(np.float64).max:.2g}); pass it "
            "in another unit."
        )
    return out


def _leaves(values: Any) -> Iterator[Any]:
    """Yield what nested lists hold; an array is one part."""
    if isinstance(values, list | tuple):
        for each in values:
            yield from _leaves(each)
    else:
        yield values


def _is_truth(value: Any) -> bool:
    """Return whether it is True or False, or an array of these."""
    return isinstance(value, bool) or getattr(getattr(value, "dtype", None), "kind", "") == "b"


def is_real(dtype: np.dtype[Any]) -> bool:
    """Return whether a type holds real numbers: neither complex ones nor truth values, texts or objects."""
    return dtype.kind in "iuf"


def text_of(value: Any) -> str:
    """Return the text of an id; bytes, as files hold them, are letters."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT, masked, or another value that is not equal to itself."""
    try:
        return value is None or value is np.ma.masked or bool(value != value)  # noqa: PLR0124
    except TypeError:  # pandas.NA is neither
        return True


def check_distinct(name: str, values: Any) -> None:
    """Raise if different values would have the same name, such as 0 and "0", or one value two names.

    Names of samples, donors and classes are compared as text.
    """
    named: dict[str, Any] = {}
    for value in values:
        other = named.setdefault(text_of(value), value)
        if other != value:
            kinds = f"{shown(other)} ({type(other).__name__}) and {shown(value)} ({type(value).__name__})"
            raise ValueError(f"{name} has {kinds}, which are the same as text; rename one, or make both the same type.")
    seen: dict[Any, str] = {}
    for text, value in named.items():
        if seen.setdefault(value, text) != text:
            raise ValueError(
                f"{name} has {seen[value]} and {text}, which are equal but differ as text; make them the same type."
            )
