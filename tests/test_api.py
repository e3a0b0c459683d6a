"""The public surface: names, pages, signatures and docstrings agree."""

import ast
import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import scggml

ROOT = Path(__file__).parents[1]
FACES = [name for name in scggml.__all__ if not name.startswith("_")]
PUBLIC = [(face, name) for face in FACES for name in importlib.import_module(f"scggml.{face}").__all__]
FAMILIES = {"datasets"}  # faces where one file may hold several small functions of a kind
EMPTY = inspect.Parameter.empty


def get(face: str, name: str) -> object:
    return getattr(importlib.import_module(f"scggml.{face}"), name)


def stub(face: str) -> dict[str, set[str]]:
    """The names that a face hands on, by the file that they come from."""
    tree = ast.parse((ROOT / "src" / "scggml" / face / "__init__.pyi").read_text(encoding="utf-8"))
    files: dict[str, set[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            files.setdefault(node.module, set()).update(alias.name for alias in node.names)
    return files


def page(face: str) -> list[str]:
    """The entries of the face's page in the documentation."""
    text = (ROOT / "docs" / "api" / f"{face}.md").read_text(encoding="utf-8")
    return re.findall(rf"^ +{face}\.(\w+)$", text, re.MULTILINE)


def sections(doc: str) -> dict[str, str]:
    """The text of each underlined section of a numpy-style docstring."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(doc), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(text: str) -> list[str]:
    """The names that a `Parameters` or `Attributes` section explains."""
    heads = [line.split(":")[0] for line in text.splitlines() if line and not line[0].isspace()]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def untyped(function: Callable[..., object]) -> list[str]:
    signature = inspect.signature(function)
    bare = [p.name for p in signature.parameters.values() if p.annotation is EMPTY and p.name not in {"self", "cls"}]
    return bare + (["return"] if signature.return_annotation is EMPTY else [])


def methods(cls: type) -> dict[str, Callable[..., object]]:
    """Public methods and properties that a class defines."""
    members = {m: f.fget if isinstance(f, property) else f for m, f in vars(cls).items() if not m.startswith("_")}
    return {m: f for m, f in members.items() if inspect.isfunction(f)}


def positional(function: Callable[..., object]) -> list[str]:
    kinds = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds]


def test_there_are_faces_with_names() -> None:
    assert {"datasets", "get", "pl", "tl"} <= set(FACES)
    assert all(any(face == f for f, _ in PUBLIC) for face in FACES)


@pytest.mark.parametrize("face", FACES)
def test_names_and_page_agree(face: str) -> None:
    public = set(importlib.import_module(f"scggml.{face}").__all__)
    assert public == {name for names in stub(face).values() for name in names}
    assert sorted(page(face)) == sorted(public)


def test_every_page_belongs_to_a_face() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "api").glob("*.md")}
    assert pages - {"index"} == set(FACES)


@pytest.mark.parametrize("face", [face for face in FACES if face not in FAMILIES])
def test_one_public_function_a_file(face: str) -> None:
    for file, handed in stub(face).items():
        functions = [name for name in handed if inspect.isfunction(get(face, name))]
        assert functions in ([], [file.removeprefix("_")])


@pytest.mark.parametrize("face", [face for face in FACES if face not in FAMILIES])
def test_each_function_has_tests_in_a_file_of_its_name(face: str) -> None:
    functions = {name for f, name in PUBLIC if f == face and inspect.isfunction(get(face, name))}
    files = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / face).glob("test_*.py")}
    assert functions - files == set()


@pytest.mark.parametrize(("face", "name"), PUBLIC)
def test_at_most_three_positional(face: str, name: str) -> None:
    assert len(positional(get(face, name))) <= 3


@pytest.mark.parametrize(("face", "name"), PUBLIC)
def test_typed(face: str, name: str) -> None:
    thing = get(face, name)
    assert untyped(thing.__init__ if inspect.isclass(thing) else thing) == []
    if inspect.isclass(thing):
        assert {m: untyped(f) for m, f in methods(thing).items() if untyped(f)} == {}


@pytest.mark.parametrize(("face", "name"), PUBLIC)
def test_docstring(face: str, name: str) -> None:
    thing = get(face, name)
    doc = inspect.getdoc(thing) or ""
    found = sections(doc)
    assert doc.split("\n", 1)[0].endswith("."), "the first line is one sentence"
    assert ">>>" in found.get("Examples", "")
    assert sorted(documented(found.get("Parameters", ""))) == sorted(inspect.signature(thing).parameters)
    if inspect.isclass(thing):
        assert [m for m, f in methods(thing).items() if not f.__doc__] == []
    else:
        assert "Returns" in found
