"""Turn the text of an option into the value that a Python function takes."""

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from scggml import tl

KINDS: Mapping[str, type] = {name: thing for name in dir(tl) if inspect.isclass(thing := getattr(tl, name))}
"""Classes that hold options, by name: `Coreset(200)` is a value of `--summary`."""


def value_of(text: str, annotation: Any) -> Any:
    """Return the value that a text means for a parameter: a number, None, an object with options, or the text.

    >>> value_of("none", int | None), value_of("50", int | None), value_of("auto", int | str)
    (None, 50, 'auto')
    >>> value_of("Coreset(200)", str | tl.Coreset).n_points
    200
    """
    kinds = parts_of(annotation)
    if text.lower() == "none" and NoneType in kinds:
        return None
    if is_call(text) and (Any in kinds or any(kind in KINDS.values() for kind in kinds)):
        return object_of(text)
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def parts_of(annotation: Any) -> tuple[Any, ...]:
    """Return the kinds that an annotation allows, in its order."""
    if get_origin(annotation) not in (Union, UnionType):
        return (annotation,)
    return tuple(kind for part in get_args(annotation) for kind in parts_of(part))


def names_of(annotation: Any) -> list[str]:
    """Return the words that an annotation lists."""
    literals = [kind for kind in parts_of(annotation) if get_origin(kind) is Literal]
    return [str(word) for kind in literals for word in get_args(kind)]


def list_of(texts: Sequence[str], annotation: Any) -> Any:
    """Return a list of names or numbers; a single word of the parameter, such as `"ordered"`, stands alone.

    >>> list_of(["1", "ggml2"], Sequence[int | str]), list_of(["age"], Sequence[str])
    ([1, 'ggml2'], ['age'])
    """
    if len(texts) == 1 and texts[0] in names_of(annotation):
        return texts[0]
    lists = [kind for kind in parts_of(annotation) if is_list(kind)]
    return [value_of(text, get_args(lists[0])[0]) for text in texts]


def is_list(kind: Any) -> bool:
    """Return whether a kind is a list of names."""
    return get_origin(kind) in (Sequence, Iterable)


def is_call(text: str) -> bool:
    """Return whether a text is meant as an object with options."""
    return text.rstrip().endswith(")") and "(" in text


def object_of(text: str) -> Any:
    """Return the object with options that a text such as `Triplets(penalty="l1")` describes; nothing is executed."""
    try:
        return _made(ast.parse(text.strip(), mode="eval").body, text)
    except SyntaxError as error:
        raise ValueError(
            f"{text!r} cannot be read ({error.msg}); write it as in Python, such as Coreset(200)."
        ) from error


def _made(node: ast.expr, text: str) -> Any:
    if not isinstance(node, ast.Call):
        try:
            return ast.literal_eval(node)
        except ValueError as error:
            raise ValueError(f"{text!r}: {ast.unparse(node)} is no number, text or list; quote a text.") from error
    maker = _maker(node.func, text)
    options = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError(f"{text!r}: write each option as name=value.")
        options[keyword.arg] = _made(keyword.value, text)
    try:
        return maker(*(_made(argument, text) for argument in node.args), **options)
    except TypeError as error:
        raise ValueError(f"{text!r}: {error}") from error


def _maker(node: ast.expr, text: str) -> Callable[..., Any]:
    name = ast.unparse(node)
    if name not in KINDS:
        raise ValueError(f"{text!r}: {name} is none of {', '.join(KINDS)}.")
    return KINDS[name]
