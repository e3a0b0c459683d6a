"""Numbers that a user passes: right kind, right range, and a message that says both."""

import numpy as np


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


def check_flag(name: str, value: object) -> None:
    """Raise unless `value` is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}={value!r} must be True or False.")
