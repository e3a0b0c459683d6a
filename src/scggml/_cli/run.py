"""Run a command: its warnings and errors become lines on standard error, and exit codes."""

import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import scanpy as sc
import typer

from scggml._cli.options import Source

EXPECTED = (ArithmeticError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError)
"""Errors whose message says what does not do."""


@dataclass(frozen=True)
class Call:
    """Options of one run of a command.

    Parameters
    ----------
    sources
        Functions that the options belong to.
    given
        Options that were given, here or in a file.
    text
        The command as it would be typed, options of a file included.
    json
        Whether results are printed as JSON.
    """

    sources: Mapping[Callable[..., Any], Source]
    given: Mapping[str, Any]
    text: str = ""
    json: bool = False

    def options(self, function: Callable[..., Any], *shared: str) -> dict[str, Any]:
        """Return the arguments of a function: its own options, and `shared` ones of other functions."""
        known = signature(function).parameters
        found: dict[str, Any] = {}
        for other, source in self.sources.items():
            values = source.values(self.given)
            found |= {name: value for name, value in values.items() if other is function or name in ("key", *shared)}
        found = {name: value for name, value in found.items() if name in known}
        common = {"rng": self.given.get("seed"), "n_jobs": self.given.get("n_jobs")}
        found |= {name: value for name, value in common.items() if value is not None and name in known}
        if "progress" in known:
            found["progress"] = self.progress
        return found

    @property
    def key(self) -> str:
        """Key of the metric."""
        return str(self.given.get("key") or "ggml")

    @property
    def progress(self) -> bool:
        """Return whether bars are shown: by default where somebody looks at them."""
        wanted = self.given.get("progress")
        return sys.stderr.isatty() if wanted is None else bool(wanted)


@contextmanager
def guarded(name: str, *, debug: bool, verbose: bool) -> Iterator[None]:
    """Write warnings and errors in one line each; an error ends the program with 1."""
    before = sc.settings.verbosity
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)

        def show(message: Warning | str, *_: Any, **__: Any) -> None:
            typer.echo(f"scggml {name}: warning: {one_line(message)}", err=True)

        warnings.showwarning = show
        sc.settings.verbosity = "info" if verbose else "warning"
        try:
            yield
        except BrokenPipeError as error:  # whoever reads has seen enough, and what is still to be written goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from error
        except EXPECTED as error:
            if debug:
                raise
            typer.echo(f"scggml {name}: {one_line(error)}", err=True)
            raise typer.Exit(1) from error
        finally:
            sc.settings.verbosity = before


def one_line(error: BaseException | str) -> str:
    """Return the message of an error in one line."""
    text = error
    if isinstance(error, KeyError) and error.args:
        text = error.args[0]  # str() of a KeyError is in quotes
    return " ".join(str(text).split()) or type(error).__name__


def as_typed(name: str, paths: Sequence[Path], given: Mapping[str, Any]) -> str:
    """Return a command as it would be typed, with the options that were given, in their order."""
    words = ["scggml", name, *map(str, paths)]
    for option, value in given.items():
        text = "--" + option.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            words.append(text if value else text.replace("--", "--no-", 1))
        else:
            values = value if isinstance(value, list | tuple) else [value]
            words += [word for one in values for word in (text, str(one))]
    return shlex.join(words)
