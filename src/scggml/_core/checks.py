"""Numbers that a user passes: right kind, right range, and a message that says both."""

import numpy as np


def check_whole(name: str, value: object, low: int, hint: str = "") -> None:
    """Raise unless `value` is a whole number of at least `low`."""
    if not isinstance(value, int | np.integer):
        raise TypeError(f"{name}={value!r} must be a whole number of at least {low}{hint}.")
    if value < low:
        raise ValueError(f"{name}={value!r} must be at least {low}{hint}.")


def check_number(name: str, value: object, wanted: str, low: float, high: float = np.inf, *, open_low: bool) -> None:
    """Raise unless `value` is a finite number in [low, high), or in (low, high) if `open_low`."""
    if not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}={value!r} must be {wanted}.")
    if not np.isfinite(value) or not low <= value < high or (open_low and value == low):
        raise ValueError(f"{name}={value!r} must be {wanted}.")
