"""Option objects as nested dicts of plain values that files can hold, and back."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def to_params(options: Any, kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return the options of a dataclass with its name in `kinds`; None leaves no trace, since files cannot hold it."""
    name = next((name for name, kind in kinds.items() if type(options) is kind), None)
    if name is None:
        raise TypeError(
            f"A {type(options).__name__} cannot be stored beside the metric; pass one of "
            f"{', '.join(kind.__name__ for kind in kinds.values())} itself, not a class of your own."
        )
    out: dict[str, Any] = {"name": name}
    for field in fields(options):
        value = getattr(options, field.name)
        if value is None:
            continue
        if is_dataclass(value) and not isinstance(value, type):
            out[field.name] = to_params(value, kinds)
        elif isinstance(value, np.ndarray):
            out[field.name] = value.copy()
        else:
            out[field.name] = value.item() if isinstance(value, np.generic) else value
    return out


def from_params(params: Any, kinds: Mapping[str, type], where: str) -> Any:
    """Return the object that `to_params` wrote down; entries that are missing, unknown or damaged are named."""
    if not isinstance(params, Mapping) or "name" not in params:
        raise ValueError(f"{where} is {_short(params)}; options with a name are needed.")
    name = str(params["name"])
    if name not in kinds:
        raise ValueError(f"{where} names {name!r}, which is not known here; known are {', '.join(map(repr, kinds))}.")
    kind = kinds[name]
    known = [field.name for field in fields(kind)]
    given = {}
    for key, value in params.items():
        if key == "name":
            continue
        if key not in known:
            raise ValueError(f"{where} ({name}) has an entry {key!r} that is not known; known are {', '.join(known)}.")
        given[key] = from_params(value, kinds, f"{where}[{key!r}]") if isinstance(value, Mapping) else plain(value)
    # what is not there was None
    for field in fields(kind):
        given.setdefault(field.name, None)
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} ({name}) is damaged: {error}") from error


def plain(value: Any) -> Any:
    """Return a value out of a file as Python has it: numbers and texts instead of their numpy scalars."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, np.generic):
        value = value.item()
    return value.decode() if isinstance(value, bytes) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."
