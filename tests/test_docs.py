"""What docstrings share is written once, and every place of it is filled."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

import scggml
from scggml._core.evaluate.rivals import RIVALS
from scggml._core.learn.penalty import PenaltyName
from scggml._core.transport.solvers import SOLVERS
from scggml._core.transport.summaries import SUMMARIES
from scggml._docs import TEXTS, documented

FACES = [name for name in scggml.__all__ if not name.startswith("_")]
PLACE = re.compile(r"%\((\w+)\)s")
SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)


def public() -> dict[str, object]:
    """Public functions and classes with the public functions and properties in their bodies, by name."""
    found = {}
    for face in FACES:
        module = importlib.import_module(f"scggml.{face}")
        for name in module.__all__:
            thing = found[f"{face}.{name}"] = getattr(module, name)
            for member, value in vars(thing).items() if inspect.isclass(thing) else ():
                function = getattr(value, "__func__", getattr(value, "fget", value))
                if inspect.isfunction(function) and not member.startswith("_"):
                    found[f"{face}.{name}.{member}"] = function
    return found


THINGS = public()


def source(thing: object) -> str:
    """The docstring as it stands in the code, places included."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    return ast.get_docstring(node) or ""


def entries(doc: str) -> dict[str, str]:
    """The text of each entry of the section `Parameters`."""
    parts = SECTION.split(doc)
    text = dict(zip(parts[1::2], parts[2::2], strict=True)).get("Parameters", "")
    parts = re.split(r"^(\S.*)\n", text, flags=re.MULTILINE)
    return {head: textwrap.dedent(body).strip() for head, body in zip(parts[1::2], parts[2::2], strict=True)}


SOURCES = {name: source(thing) for name, thing in THINGS.items()}


def test_the_collector_finds_functions_methods_and_properties() -> None:
    assert {"tl.ggml", "tl.Learner", "tl.Learner.fit", "tl.Triplets.paper", "get.Metric.gene_importance"} <= set(THINGS)
    doc = "Draw.\n\nParameters\n----------\na, b\n    One.\n    Two.\nc\n    %(c)s\n\nReturns\n-------\nX"
    assert entries(doc) == {"a, b": "One.\nTwo.", "c": "%(c)s"}


@pytest.mark.parametrize("name", THINGS)
def test_every_place_is_filled_with_its_text_at_its_indentation(name: str) -> None:
    doc = inspect.getdoc(THINGS[name])
    assert doc
    assert "%(" not in doc
    lines = doc.splitlines()
    for line in SOURCES[name].splitlines():
        if place := PLACE.search(line):
            indent = line[: place.start()]
            text = [indent + part for part in inspect.cleandoc(TEXTS[place[1]]).splitlines()]
            assert any(lines[at : at + len(text)] == text for at in range(len(lines)))
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("name", THINGS)
def test_every_parameter_has_an_entry(name: str) -> None:
    found = entries(inspect.getdoc(THINGS[name]))
    if name.count(".") == 1 or found:  # a small method explains its arguments in its first line
        signature = inspect.signature(THINGS[name])
        heads = [head.strip() for entry in found for head in entry.split(",")]
        assert sorted(heads) == sorted(parameter for parameter in signature.parameters if parameter != "self")
    assert all(found.values())


def test_every_text_is_shared() -> None:
    uses = Counter(text for doc in SOURCES.values() for text in set(PLACE.findall(doc)))
    assert {name: uses[name] for name in TEXTS if uses[name] < 2} == {}


def test_no_text_stands_twice() -> None:
    written = Counter(
        (head, text)
        for doc in SOURCES.values()
        for head, text in entries(doc).items()
        if not PLACE.search(text) and not text.startswith("As in `")
    )
    assert [entry for entry, times in written.items() if times > 1] == []
    shared = {" ".join(text.split()) for text in TEXTS.values()}
    assert [text for _, text in written if " ".join(text.split()) in shared] == []


# What is passed by name is told of on a page: a user reads of it before a signature is looked up.
PAGES = "".join(
    path.read_text(encoding="utf-8")
    for path in (Path(__file__).parents[1] / "docs").glob("*.md")
    if path.stem not in {"changelog", "recipes"}
)
NAMES = (*get_args(PenaltyName), *SOLVERS, *RIVALS)
CLASSES = [kind.__name__ for kind in (*SOLVERS.values(), *SUMMARIES.values())]


@pytest.mark.parametrize("name", [*NAMES, *CLASSES])
def test_what_a_user_can_choose_stands_on_a_page(name: str) -> None:
    assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", PAGES)


def test_a_name_stands_where_it_is_passed() -> None:
    assert [name for name in RIVALS if f'"{name}"' not in inspect.getdoc(scggml.tl.cross_validate)] == []
    assert [name for name in get_args(PenaltyName) if f'"{name}"' not in inspect.getdoc(scggml.tl.Triplets)] == []


@pytest.mark.parametrize("kind", [*SOLVERS.values(), *SUMMARIES.values()])
def test_solvers_and_summaries_are_public(kind: type) -> None:
    assert getattr(scggml.tl, kind.__name__) is kind


# What the decorator does


def test_a_filled_docstring_reads_as_one_that_is_written_by_hand() -> None:
    def by_hand(components: int, copy: bool) -> None:
        """Draw.

        Parameters
        ----------
        components
            Components, by number (from 1) or name. By default those that `tl.component_test` found real; where it
            has not run, those that carry at least 3 % of the metric (what is below is mostly the Euclidean metric).
            More follows.
        copy
            Write into a copy and return it.
        """

    def filled(components: int, copy: bool) -> None:
        """Draw.

        Parameters
        ----------
        components
            %(components)s
            More follows.
        copy
            %(copy)s
        """

    assert documented(filled).__doc__ == by_hand.__doc__


def test_a_class_is_filled_and_stays_what_it_is() -> None:
    class Thing:
        """%(copy)s is no place here."""

    Thing.__doc__ = "A thing.\n\n    %(copy)s\n"
    assert documented(Thing) is Thing
    assert Thing.__doc__ == "A thing.\n\n    Write into a copy and return it.\n"


def test_an_unknown_text_is_named_with_who_asks_and_what_there_is() -> None:
    def draw() -> None: ...

    draw.__doc__ = "Draw.\n\n    %(shwo)s\n"
    with pytest.raises(KeyError, match=r"draw asks for the text 'shwo'; scggml._docs.TEXTS has .*'show'"):
        documented(draw)


@pytest.mark.parametrize("doc", ["Draw: %(show)s", "Draw.\n\n    %(show)s By default not.", "Draw.\n\n    %(show)"])
def test_a_place_beside_other_words_is_refused(doc: str) -> None:
    def draw() -> None: ...

    draw.__doc__ = doc
    with pytest.raises(ValueError, match=r"draw: %\(name\)s stands alone on its line"):
        documented(draw)


def test_without_docstrings_nothing_is_filled() -> None:
    code = "import scggml._docs as d; f = d.documented(lambda: 1); print(f(), d.__doc__, f.__doc__)"
    out = subprocess.run([sys.executable, "-OO", "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.split() == ["1", "None", "None"]
