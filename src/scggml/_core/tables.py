"""Tables among arrays: features that have names are matched by these, never by their position.

A table has `columns`, as those of pandas and polars have; a row of one has them as its `index`. Neither package is
imported. Arrays and lists of numbers have no names and stay as they are.

>>> import numpy as np
>>> place("X", ["b", "a"], ["a", "b"], "the metric").tolist()
[1, 0]
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from scggml._core.checks import text_of
from scggml._core.cohort import Integers

SHOWN = 5
"""Names of features that a message shows."""


def names_of(values: Any) -> list[str] | None:
    """Return the names of the features of a table or of a row of one; None of what has no names."""
    names = getattr(values, "columns", None)
    if names is None and getattr(values, "ndim", None) == 1:
        names = getattr(values, "index", None)
    # the `index` of a list is a method
    return None if names is None or callable(names) else [text_of(name) for name in names]


def first_names(parts: Sequence[Any]) -> list[str] | None:
    """Return the names of the first part that has some; a part may be a list of rows."""
    for part in parts:
        for one in (part, *(part if isinstance(part, list | tuple) else ())):
            names = names_of(one)
            if names is not None:
                return names
    return None


def count_order(values: Any) -> Integers | None:
    """Return the order in which the index of a table counts its rows; None if it does not, or they are in order."""
    index = getattr(values, "index", None)
    if index is None or callable(index) or not hasattr(index, "dtype") or index.dtype.kind not in "iu":
        return None
    counts = np.asarray(index)
    steps = np.arange(len(counts))
    if (counts == steps).all() or not (np.sort(counts) == steps).all():
        return None
    return np.argsort(counts)


def arranged(name: str, values: Any, features: Sequence[str] | None, whose: str, *, what: str = "features") -> Any:
    """Return values with their features in the given order, if both have names; else as they are.

    `whose` says for messages where the order comes from, such as "the metric", and `what` is ordered.
    """
    if features is None:
        return values
    if isinstance(values, list | tuple) and any(names_of(row) is not None for row in values):
        return [arranged(f"{name}[{i}]", row, features, whose, what=what) for i, row in enumerate(values)]
    names = names_of(values)
    if names is None:
        return values
    # laid out as an array of the same numbers is: products depend on it in the last digit
    return np.ascontiguousarray(np.asarray(values)[..., place(name, names, features, whose, what)])


def place(name: str, names: Sequence[str], features: Sequence[str], whose: str, what: str = "features") -> Integers:
    """Return where each feature stands among the names of a table; other names, and names that occur twice, raise."""
    instead = f"{name}.to_numpy() to match them by position" if name.isidentifier() or "[" in name else "an array"
    for holder, given in ((name, names), (whose, features)):
        twice = [one for one, times in Counter(given).items() if times > 1]
        if twice:
            raise ValueError(
                f"{holder} has several {what} named {_listed(twice)}, so that {what} cannot be matched by name; "
                f"rename all but one, or pass {instead}."
            )
    known, there = set(features), set(names)
    lacking = [one for one in features if one not in there]
    besides = [one for one in names if one not in known]
    if lacking or besides:
        lacks = [f"lacks {_listed(lacking)}"] if lacking else []
        has = [f"has {_listed(besides)} besides"] if besides else []
        raise ValueError(
            f"{name} does not have the {len(features)} {what} of {whose}: it {' and '.join(lacks + has)}. Pass a "
            f"table with exactly these {what}, or {instead}."
        )
    position = {one: i for i, one in enumerate(names)}
    return np.array([position[one] for one in features], dtype=np.int64)


def _listed(names: Sequence[str]) -> str:
    """Return some of the names as text, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
