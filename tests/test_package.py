"""What is declared is what is there."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from importlib.resources import files
from pathlib import Path

import scggml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# scanpy is a dependency for the users' sake: the neighbor graph and the samples are made for its functions.
FOR_USERS = {"scanpy"}
# POT brings torch along, which takes more than a second: it is imported where it is used.
LATER = {"ot"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> set[str]:
    """Distributions behind the imports at the top of modules; what is imported inside a function is optional."""
    tops = set()
    for path in (ROOT / "src").rglob("*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        inside = (node for node in ast.walk(module) if isinstance(node, ast.Import))
        tops |= {alias.name for node in inside for alias in node.names} & LATER
        for node in module.body:
            if isinstance(node, ast.Import):
                tops |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                tops.add(node.module.split(".")[0])
    known = packages_distributions()
    return {canonical(known[top][0]) for top in tops - sys.stdlib_module_names - {"scggml"}}


def test_dependencies_are_the_imports() -> None:
    declared = {canonical(re.match(r"[\w.-]+", text).group()) for text in PROJECT["dependencies"]}
    assert declared - FOR_USERS == imported() - FOR_USERS


def test_types_are_marked() -> None:
    assert (files("scggml") / "py.typed").is_file()


def test_the_gallery_draws_every_plot():
    source = (ROOT / "examples" / "gallery.py").read_text(encoding="utf-8")
    drawn = re.findall(r"sg\.pl\.(\w+)\(", source)
    assert sorted(drawn) == sorted(scggml.pl.__all__)
