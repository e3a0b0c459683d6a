"""Hold the arguments of public functions to their signature, so that no value is taken for another.

A truth value is no number or text, a text is no list of its letters, and what is neither True nor False switches
nothing on. Numbers have ranges, which functions check themselves.

>>> @hold_to_signature
... def draw(*, genes: Sequence[str], save: bool = False):
...     return list(genes)
>>> draw(genes="CD4")
Traceback (most recent call last):
TypeError: genes='CD4' is one text; pass a list of names, such as ['CD4'].
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Number, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

import numpy as np

Held = TypeVar("Held", bound=Callable[..., Any])
Rule = Callable[[str, Any], None]

LISTS = (Sequence, Iterable)
"""What the signature calls a list; any collection with an order is one."""

PLACES = ("contrast", "dataset_id", "legend_loc")
"""Parameters of which functions list the choices, or say where to find them, whatever was passed."""

BY_FUNCTION = ("adata", "reference", "ax", "gene_sets", "method", "methods", "preprocess", "rng", "solver", "summary")
"""Parameters of which functions say themselves, whatever was passed, what they take."""

UNORDERED = ("background", "sources", "label_kind")
"""Parameters whose names may come in any order, such as that of a set, which changes from run to run; and one whose
order means so much that functions say it themselves."""

USUAL = (NoneType, bool, Number, str, bytes, Collection)
"""Values of which a function says which numbers, or which words, it takes."""

WORDS: dict[Any, tuple[tuple[type, ...], str]] = {
    NoneType: ((NoneType,), "None"),
    bool: ((bool, np.bool_), "True or False"),
    int: ((Integral,), "a whole number"),
    float: ((Real,), "a number"),
    str: ((str,), "a text"),
    tuple: ((Iterable,), "a tuple"),
    Sequence: ((Iterable,), "a list"),
    Iterable: ((Iterable,), "a list"),
    Mapping: ((Mapping,), "a dict"),
    np.ndarray: ((Iterable,), "an array"),
}
"""Kinds that take more classes than their name says."""

TOLD = {
    "palette": "colors by group ({'name': 'color'}), a list of them, or the name of a colormap",
    "samples": "the AnnData of samples that sg.tl.distances returns",
}
"""What parameters take, in better words than those of their kinds."""

LONG = 60
"""Letters of a value that a message shows."""


def hold_to_signature(function: Held) -> Held:
    """Check the kinds of arguments of a function by their annotations, before anything else."""

    @cache  # at the first call: importing stays fast
    def signature() -> tuple[inspect.Signature, dict[str, Rule]]:
        found = inspect.signature(function)
        named = {name: parameter.annotation for name, parameter in found.parameters.items() if name not in PLACES}
        rules = {name: rule_for(name, annotation) for name, annotation in named.items()}
        return found, {name: rule for name, rule in rules.items() if rule is not None}

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        form, rules = signature()
        try:
            given = form.bind(*args, **options).arguments
        except TypeError:  # the call itself says it better
            return function(*args, **options)
        for name, value in given.items():
            if name in rules:
                rules[name](name, value)
            if isinstance(value, set | frozenset) and name not in UNORDERED and takes_list(form, name):
                raise TypeError(
                    f"{name}={shown(value)} is a {type(value).__name__}, whose order is not the same in each run; pass "
                    f"a list in the order that is meant, such as sorted({name})."
                )
        return function(*args, **options)

    return cast("Held", run)


def takes_list(form: inspect.Signature, name: str) -> bool:
    """Return whether a parameter takes a list, whose order matters."""
    return any(get_origin(kind) in LISTS for kind in _parts(form.parameters[name].annotation))


def rule_for(name: str, annotation: Any) -> Rule | None:
    """Return the check of a parameter, None if its annotation takes anything."""
    kinds = _parts(annotation)
    if any(map(_is_of_arrays, kinds)):
        return _rule_of_arrays(optional=NoneType in kinds)
    lists = [kind for kind in kinds if get_origin(kind) in LISTS and get_args(kind)[0] in (str, str | None)]
    plain = {kind for kind in kinds if kind not in lists}
    if not plain <= {bool, str, NoneType} and plain != {str, Path, NoneType}:
        return None if name in BY_FUNCTION else _rule_of_kinds(kinds)

    def check(name: str, value: Any) -> None:
        if value is None and NoneType in kinds:
            return
        if (bool in kinds and isinstance(value, bool | np.bool_)) or (str in kinds and isinstance(value, str)):
            return
        if Path in kinds and isinstance(value, Path):
            return
        if lists:
            gaps = get_args(lists[0])[0] is not str
            check_names(name, value, or_one=str in kinds, gaps=gaps)
        elif str in kinds:
            wanted = _text(name, optional=NoneType in kinds)
            raise TypeError(f"{name}={shown(value)} is a {type(value).__name__}; pass {wanted}.")
        else:
            none = ", or None" if NoneType in kinds else ""
            raise TypeError(f"{name}={shown(value)} must be True or False{none}.")

    return check


def _is_of_arrays(kind: Any) -> bool:
    """Return whether a kind is one of those that ArrayLike of numpy is made of; their names mean nothing to users."""
    return str(getattr(get_origin(kind) or kind, "__module__", "")).startswith("numpy._typing")


def _rule_of_arrays(*, optional: bool) -> Rule:
    """Return a check that a value is an array, a list or a column; shape and content are for the function to check."""
    wanted = "an array or a list" + (", or None" if optional else "")

    def check(name: str, value: Any) -> None:
        if value is None and optional:
            return
        listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        if not listed and not hasattr(value, "__array__"):
            raise TypeError(f"{name}={shown(value)} is a {type(value).__name__}; pass {wanted}.")

    return check


def _parts(annotation: Any) -> tuple[Any, ...]:
    """Return the kinds that an annotation allows."""
    if get_origin(annotation) not in (Union, UnionType):
        return (annotation,)
    return tuple(kind for part in get_args(annotation) for kind in _parts(part))


def _rule_of_kinds(kinds: tuple[Any, ...]) -> Rule | None:
    """Return a check that a value is of one of the kinds; which number or which word is for the function to check."""
    found = [_kind(kind) for kind in kinds]
    if None in found:
        return None
    known = cast("list[tuple[tuple[type, ...], str]]", found)
    classes = tuple(one for accepted, _ in known for one in accepted)
    exact = tuple(one for one in classes if one is not Iterable)
    by_function = any(kind in (int, float) or get_origin(kind) is Literal for kind in kinds)
    wanted = list(dict.fromkeys(words for _, words in known))
    text = ", ".join(wanted[:-1]) + (" or " if len(wanted) > 1 else "") + wanted[-1]

    def check(name: str, value: Any) -> None:
        mistaken = isinstance(value, str | bytes | Mapping) and not isinstance(value, exact)  # these are iterable, too
        if (mistaken or not isinstance(value, classes)) and not (by_function and isinstance(value, USUAL)):
            raise TypeError(f"{name}={shown(value)} is a {type(value).__name__}; pass {TOLD.get(name, text)}.")

    return check


def _kind(kind: Any) -> tuple[tuple[type, ...], str] | None:
    """Return classes of the values that a kind takes, and words for it; None if it takes anything."""
    origin = get_origin(kind)
    if origin is Literal:
        return tuple({type(one) for one in get_args(kind)}), " or ".join(map(repr, get_args(kind)))
    kind = origin or kind
    if kind in WORDS:
        return WORDS[kind]
    if not isinstance(kind, type) or kind in (Any, Callable, inspect.Parameter.empty):  # classes, all of them
        return None
    return (kind,), f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


def check_names(name: str, values: Any, *, or_one: bool = False, gaps: bool = False) -> None:
    """Raise unless it is a list of texts; a text itself is none, though it can be read letter by letter.

    `or_one` says in the message that a text would do, too; with `gaps` some may be missing.
    """
    columns = name.endswith("keys")
    wanted = "a list of columns of adata.obs" if columns else "a list of names"
    one = "the name of a column of adata.obs in the list" if columns else "a text in the list"
    if or_one:
        wanted = one = "a text, or a list of texts" if name == "title" else "the name of a column, or a list of names"
    if isinstance(values, str):
        what = "a str" if columns else "one text"
        raise TypeError(f"{name}={shown(values)} is {what}; pass {wanted}, such as [{shown(values)}].")
    number = isinstance(values, np.ndarray) and values.ndim == 0
    if number or isinstance(values, bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"{name}={shown(values)} is a {type(values).__name__}; pass {wanted}.")
    if not isinstance(values, Collection):  # what can be read once only is read later
        return
    wrong = [value for value in values if not (isinstance(value, str) or (gaps and _is_missing(value)))]
    if wrong:
        raise TypeError(f"{name}={shown(wrong[0])} is a {type(wrong[0]).__name__}; pass {one}.")


def _is_missing(value: Any) -> bool:
    """Return whether a value is None or NaN."""
    return value is None or (isinstance(value, float) and value != value)  # noqa: PLR0124


def shown(value: object) -> str:
    """Return a value as messages show it: on one line, and not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONG else text[: LONG - 1].rstrip() + "…"


def _text(name: str, *, optional: bool) -> str:
    if name.endswith("_key"):
        what = "the name of a column of adata.obs"
    elif name == "gene_symbols":
        what = "the name of a column of adata.var"
    elif name in ("key", "key_added"):
        what = "a name such as 'ggml'"
    else:
        what = "a text"
    return what + (" or None" if optional else "")
