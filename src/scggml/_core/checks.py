"""Numbers that a user passes: right kind, right range, and a message that says both."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_whole(name: str, value: object, low: int, hint: str = "") -> None:
    """Raise unless `value` is a whole number of at least `low`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}={value!r} must be a whole number of at least {low}{hint}.")
    if value < low:
        raise ValueError(f"{name}={value!r} must be at least {low}{hint}.")


def check_number(name: str, value: object, wanted: str, low: float, high: float = np.inf, *, open_low: bool) -> None:
    """Raise unless `value` is a finite number in [low, high), or in (low, high) if `open_low`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}={value!r} must be {wanted}.")
    number = float(value)  # bounds would be rounded to the precision of a number of numpy
    if not np.isfinite(number) or not low <= number < high or (open_low and number == low):
        raise ValueError(f"{name}={value!r} must be {wanted}.")


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
        raise TypeError(f"{name}={value!r} must be True or False.")
