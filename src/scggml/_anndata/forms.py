"""The form of stored results, checked where they are read: entries, kinds, shapes, and whether any was changed."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from scggml._anndata.messages import choices
from scggml._core.params import plain

CHECKSUMS = "checksums"
"""Entry with a short text for each other entry that changes with its content."""

Kind = Literal["numbers", "whole numbers", "flags", "text", "table", "options"]


@dataclass(frozen=True)
class Entry:
    """Say what an entry of a stored result must be.

    Parameters
    ----------
    kind
        What it holds.
    shape
        Lengths of its axes, by number or by a name that stands for the same length in all entries; () is one value.
    missing
        Whether numbers may be NaN.
    numbers, text
        Columns that a table must have.
    optional
        Whether it may be left out.
    """

    kind: Kind
    shape: tuple[str | int, ...] = ()
    missing: bool = False
    numbers: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    optional: bool = False


Form = Mapping[str, Entry]
"""Entries of a result by name."""

OPTIONS = Entry("options")


def sealed(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result with the checksums of its entries, by which a change is noticed when it is read."""
    content = {name: value for name, value in entry.items() if name != CHECKSUMS}
    return content | {CHECKSUMS: {name: checksum(value) for name, value in content.items()}}


def check_unchanged(entry: Any, where: str, again: str) -> None:
    """Raise unless a result is as it was written; of one without checksums, which others wrote, nothing is known.

    Parameters
    ----------
    where, again
        Its slot and what makes it anew, for messages.
    """
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where} is {_short(entry)}, not a result of scggml; {again}")
    marks = entry.get(CHECKSUMS, {})
    if not isinstance(marks, Mapping):
        raise ValueError(f"{where}[{CHECKSUMS!r}] is {_short(marks)}, not the checksums of the result; {again}")
    _check_there(entry, [name for name in marks if name not in entry], where, again)
    changed = [name for name in marks if checksum(entry[name]) != str(marks[name])]
    if changed:
        raise ValueError(f"{where} was changed after it was written, in {choices(changed)}; {again}")


def check_form(entry: Mapping[str, Any], where: str, again: str, form: Form, **sizes: int) -> None:
    """Raise unless a result has the entries that its readers need, in the right form.

    Parameters
    ----------
    sizes
        Lengths that names in the form stand for.
    """
    lost = [name for name, wanted in form.items() if not wanted.optional and name not in entry]
    _check_there(entry, lost, where, again)
    for name, wanted in form.items():
        if name in entry:
            _check(entry[name], f"{where}[{name!r}]", again, wanted, sizes)


def check_entry(entry: Any, where: str, again: str, form: Form, **sizes: int) -> None:
    """Raise unless a result is as it was written and has the right form."""
    check_unchanged(entry, where, again)
    check_form(entry, where, again, form, **sizes)


def _check_there(entry: Mapping[str, Any], lost: list[str], where: str, again: str) -> None:
    if lost:
        raise ValueError(f"{where} lacks {choices(lost)}; {again} It has {choices(entry)}.")


def _check(value: Any, where: str, again: str, wanted: Entry, sizes: dict[str, int]) -> None:
    """Raise unless a value is what an entry must be; lengths that were not known are noted."""
    if wanted.kind == "options":
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} is {_short(value)}, where options are needed; {again}")
        return
    if wanted.kind == "table":
        _check_table(value, where, again, wanted)
        return
    if isinstance(value, Mapping | pd.DataFrame) or value is None:
        raise ValueError(f"{where} is {_short(value)}, where {wanted.kind} are needed; {again}")
    found = np.asarray(value)
    lengths = tuple(sizes.get(n, n) if isinstance(n, str) else n for n in wanted.shape)
    if len(found.shape) != len(lengths) or any(
        isinstance(n, int) and n != m for n, m in zip(lengths, found.shape, strict=True)
    ):
        needed = f"{wanted.kind} of shape ({', '.join(map(str, lengths))})" if lengths else f"one value ({wanted.kind})"
        raise ValueError(f"{where} has shape {found.shape}, where {needed} is needed; {again}")
    for name, length in zip(wanted.shape, found.shape, strict=True):
        if isinstance(name, str) and sizes.setdefault(name, length) != length:
            raise ValueError(f"{where} has shape {found.shape}, and other entries {name} = {sizes[name]}; {again}")
    if wanted.kind == "text":
        if found.dtype.kind not in "OUST" or not all(
            isinstance(part, str | bytes) for part in found.astype(object).flat
        ):
            raise ValueError(f"{where} holds {found.dtype}, where text is needed; {again}")
        return
    if found.size == 0:
        return
    if found.dtype.kind not in {"numbers": "fiu", "whole numbers": "iu", "flags": "b"}[wanted.kind]:
        raise ValueError(f"{where} holds {found.dtype}, where {wanted.kind} are needed; {again}")
    bad = np.isinf(found) if wanted.missing else ~np.isfinite(found)
    if bad.any():
        raise ValueError(f"{where} has {int(bad.sum())} values that are NaN or infinite; {again}")


def _check_table(value: Any, where: str, again: str, wanted: Entry) -> None:
    if not isinstance(value, pd.DataFrame):
        raise ValueError(f"{where} is {_short(value)}, where a table is needed; {again}")
    lost = [name for name in (*wanted.numbers, *wanted.text) if name not in value]
    if lost:
        raise ValueError(f"{where} lacks the columns {choices(lost)} (it has {choices(value)}); {again}")
    for name in wanted.numbers:
        if not pd.api.types.is_numeric_dtype(value[name]):
            raise ValueError(f"{where}[{name!r}] holds {value[name].dtype}, where numbers are needed; {again}")


def checksum(value: Any) -> str:
    """Return a short text that changes with the content of a value, whatever file it comes from."""
    found = hashlib.blake2b(digest_size=8)
    for part in _content(value):
        found.update(part)
    return found.hexdigest()


def _content(value: Any) -> Iterator[bytes]:
    """Yield the content of a value as bytes: files turn lists into arrays, and text into other kinds of text."""
    if isinstance(value, Mapping):
        yield b"{"
        for name in sorted(value):
            yield f"{name}:".encode()
            yield from _content(value[name])
        yield b"}"
    elif isinstance(value, pd.DataFrame):
        yield from _content(value.index.astype(str).to_numpy())
        yield from _content(dict(value.items()))
        yield from _content([str(name) for name in value])  # their order
    elif isinstance(value, pd.Series) and isinstance(value.dtype, pd.CategoricalDtype):
        yield from _content(value.cat.categories.astype(str).to_numpy())
        yield from _content(value.cat.codes.to_numpy().astype(np.int64))
    elif isinstance(value, pd.Series) and pd.api.types.is_numeric_dtype(value):
        yield from _content(value.to_numpy(dtype=np.float64, na_value=np.nan))
    elif sparse.issparse(value):
        yield from _content(value.toarray())
    else:
        yield from _of_array(np.asarray(value, dtype=object if isinstance(value, pd.Series) else None))


def _of_array(array: np.ndarray) -> Iterator[bytes]:
    """Yield the shape and the content of an array, or a single value."""
    if array.ndim == 0:
        yield repr(plain(array)).encode()
        return
    yield str(array.shape).encode()
    if array.dtype.kind in "fiub":
        numbers = array.astype("<f8")
        numbers[np.isnan(numbers)] = np.nan  # one of its many bit patterns
        yield numbers.tobytes()
    elif array.size:  # files do not keep what kind of nothing it is
        known = pd.notna(array.astype(object))
        texts = ((str(plain(part)) if there else "") for part, there in zip(array.flat, np.ravel(known), strict=True))
        yield np.ascontiguousarray(known).tobytes()
        yield "\x00".join(texts).encode()


def _short(value: Any) -> str:
    """Return what a value is, for a message."""
    if isinstance(value, Mapping):
        return f"a dict with {choices(value)}"
    text = repr(value)
    short = len(text) < 40 and "\n" not in text
    return f"{text} ({type(value).__name__})" if short else f"a {type(value).__name__}"
