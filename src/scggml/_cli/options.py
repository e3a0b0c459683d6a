"""Make the options of a command from the signature and the docstring of the function that it calls."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import NoneType
from typing import Annotated, Any

import typer

from scggml._cli.values import KINDS, is_list, list_of, names_of, parts_of, value_of

COMMON = frozenset({"adata", "reference", "samples", "copy", "progress", "rng", "n_jobs"})
"""Parameters that are arguments of the command line, or that all commands have under other names."""

SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
MATH = re.compile(r":math:`([^`]*)`")
LATEX = re.compile(r"\\[,;]|\\(?=[|a-z])")
ROLE = re.compile(r":\w+:`([^`]*)`")


@dataclass(frozen=True)
class Source:
    """Function whose parameters are options of a command.

    Parameters
    ----------
    function
        Public function.
    only
        Parameters that are options; None for all.
    without
        Parameters that are not.
    optional
        Whether the function is not always called, so that nothing is required.
    """

    function: Callable[..., Any]
    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    optional: bool = False

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Return the parameters that are options, by name."""
        every = inspect.signature(self.function).parameters
        hidden = COMMON | self.without
        return {n: p for n, p in every.items() if n not in hidden and (self.only is None or n in self.only)}

    def options(self) -> Iterator[inspect.Parameter]:
        """Yield each option as typer reads it. None stands for one that is not given, so that defaults are Python's."""
        texts = entries(self.function)
        for name, parameter in self.parameters.items():
            kinds = parts_of(parameter.annotation)
            required = parameter.default is inspect.Parameter.empty and not self.optional
            shown = "required" if required else default_of(parameter)
            given = typer.Option(
                *flags(name, switch=kinds == (bool,)),
                help=texts[name] + (f" [{shown}]" if shown else ""),
                metavar=None if kinds == (bool,) else metavar(parameter),
                show_default=False,
            )
            if required:
                yield option(name, Annotated[kind_of(parameter), given], inspect.Parameter.empty)
            else:
                yield option(name, Annotated[kind_of(parameter) | None, given])

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the function among the options that were given."""
        found = {}
        for name, parameter in self.parameters.items():
            value = given.get(name)
            if value is None:
                continue
            if isinstance(value, str):
                value = value_of(value, parameter.annotation)
            elif isinstance(value, Sequence):
                value = list_of([str(one) for one in value], parameter.annotation)
            found[name] = value
        return found


def option(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    """Return a parameter of a command that is given by name."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def flags(name: str, *, switch: bool) -> tuple[str, ...]:
    """Return how an option is written."""
    text = name.replace("_", "-")
    return (f"--{text}/--no-{text}",) if switch else (f"--{text}",)


def kind_of(parameter: inspect.Parameter) -> Any:
    """Return the type that typer checks: numbers and switches as they are, lists, and text for all else."""
    every = parts_of(parameter.annotation)
    kinds = [kind for kind in every if kind is not NoneType]
    by_word = NoneType in every and parameter.default is not None  # "none" is a value beside numbers
    if kinds in ([bool], [int], [float]) and not by_word:
        return kinds[0]
    return list[str] if any(is_list(kind) for kind in kinds) else str


def metavar(parameter: inspect.Parameter) -> str:
    """Return what stands for the value in the help: the words of a parameter, or its kind."""
    kinds = parts_of(parameter.annotation)
    words = names_of(parameter.annotation)
    words += ["none"] if NoneType in kinds and parameter.default is not None else []
    words += ["N"] if int in kinds else []
    words += ["X"] if float in kinds else []
    objects = [kind for kind in kinds if kind in KINDS.values()]
    words += [f"{objects[0].__name__}(...)"] if objects else []
    words += ["TEXT"] if str in kinds or any(map(is_list, kinds)) or not words else []
    return "|".join(words)


def default_of(parameter: inspect.Parameter) -> str:
    """Return the default in words, empty where there is none to tell."""
    value = parameter.default
    if value in (None, inspect.Parameter.empty) or value == () or isinstance(value, bool):
        return ""
    return f"default: {value}"


def entries(function: Callable[..., Any]) -> dict[str, str]:
    """Return the first paragraph about each parameter of a function, from its docstring, as plain text."""
    doc = inspect.getdoc(function) or ""  # nothing where Python runs with -OO
    parts = SECTION.split(doc)
    body = dict(zip(parts[1::2], parts[2::2], strict=True)).get("Parameters", "")
    parts = re.split(r"^(\S.*)\n", body, flags=re.MULTILINE)
    found = dict.fromkeys(inspect.signature(function).parameters, "")
    for head, text in zip(parts[1::2], parts[2::2], strict=True):
        found |= {name.strip(): plain(inspect.cleandoc(text).split("\n\n")[0]) for name in head.split(",")}
    return found


def plain(text: str) -> str:
    r"""Return a text without markup, in one line.

    >>> plain("Columns of `.obs`, see :func:`~scggml.tl.ggml`.")
    'Columns of .obs, see tl.ggml.'
    """
    text = MATH.sub(lambda match: LATEX.sub("", match[1]), text)
    text = ROLE.sub(lambda match: match[1].removeprefix("~").removeprefix("scggml."), text)
    return " ".join(text.replace("``", "").replace("`", "").replace("**", "").split())
