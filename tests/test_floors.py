"""Imports run downwards: faces, then the door to AnnData, then arithmetic, then names."""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

SRC = Path(__file__).parents[1] / "src" / "scggml"
# A module belongs to the longest of these names that it begins with; within a floor there are no circles.
FLOORS = {
    "scggml._version": 0,
    "scggml._core": 10,
    "scggml._core.transport": 11,
    "scggml._core.learn": 12,
    "scggml._core.evaluate": 13,
    "scggml._core.explain": 13,
    "scggml._anndata": 29,
    "scggml._anndata.keys": 20,
    "scggml._anndata.read": 21,
    "scggml._anndata.preprocess": 21,
    "scggml._anndata.columns": 22,
    "scggml._anndata.copies": 22,
    "scggml._anndata.donors": 22,
    "scggml._anndata.metric": 22,
    "scggml._anndata.results": 22,
    "scggml._anndata.samples": 22,
    "scggml._anndata.write": 22,
    "scggml._anndata.design": 23,
    "scggml._anndata.genes": 23,
    "scggml.datasets": 30,
    "scggml.ext": 30,
    "scggml.get": 30,
    "scggml.pl": 30,
    "scggml.tl": 30,
    "scggml": 40,
}
# Rooms whose members do not import each other although they are on one floor.
APART = [
    {"scggml.datasets", "scggml.ext", "scggml.get", "scggml.pl", "scggml.tl"},
    {"scggml._core.evaluate", "scggml._core.explain"},
]
# `_core` computes on arrays: besides the standard library it may import these alone.
ARRAYS = {"joblib", "llvmlite", "numba", "numpy", "optuna", "ot", "scipy", "sklearn", "threadpoolctl", "torch", "tqdm"}
# Optional or heavy packages that may be imported inside a function.
INSIDE = {"dask", "decoupler", "optuna", "torch"}


class Import(NamedTuple):
    """One imported module, as it stands in the code."""

    module: str
    line: int
    level: int
    inside: bool


def name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.Module, modules: set[str]) -> Iterator[Import]:
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, inner) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, 0, id(node) in inside)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            for alias in node.names:
                full = f"{base}.{alias.name}"  # `from package import module` means the module
                yield Import(full if full in modules else base, node.lineno, node.level, id(node) in inside)


def room_of(module: str) -> str | None:
    """The entry of `FLOORS` that a module belongs to."""
    parts = module.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    found = next((name for name in names if name in FLOORS), None)
    # the top of the package and the door have a floor of their own: a new module in them needs one, too
    return None if found in ("scggml", "scggml._anndata") and module != found else found


def complaints(module: str, found: Import) -> Iterator[str]:
    package = found.module.split(".")[0]
    here, there = room_of(module), room_of(found.module)
    if found.level:
        yield "imports relatively; write the absolute name"
        return
    if found.inside and package not in INSIDE:
        yield f"imports {found.module} inside a function"
    if package != "scggml":
        if here.startswith("scggml._core") and package not in ARRAYS | sys.stdlib_module_names:
            yield f"brings {package} to _core, where only arrays live"
    elif there is None:
        yield f"imports {found.module}, which has no floor: name it in FLOORS"
    elif FLOORS[there] > FLOORS[here]:
        yield f"imports {found.module} from a floor above"
    elif here != there and any({here, there} <= rooms for rooms in APART):
        yield f"imports {found.module}, another face or room of its floor"


def check(root: Path) -> list[str]:
    """Every fault in the imports of a source tree."""
    trees = {name_of(p, root): ast.parse(p.read_text(encoding="utf-8")) for p in sorted(root.rglob("*.py"))}
    modules = set(trees)
    faults, graph = [], {}
    for module, tree in trees.items():
        if room_of(module) is None:
            faults.append(f"{module} has no floor: name it in FLOORS")
            continue
        found = list(imports(tree, modules))
        graph[module] = {i.module for i in found if i.module in modules}
        faults += [f"{module}:{i.line} {text}" for i in found for text in complaints(module, i)]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        faults.append(f"circle of imports: {' <- '.join(error.args[1])}")
    return faults


def test_imports_run_downwards() -> None:
    assert check(SRC) == []


PLANTED = [
    ("_core/_a.py", "import anndata", "brings anndata to _core"),
    ("_core/learn/_a.py", "from matplotlib import pyplot", "brings matplotlib to _core"),
    ("_core/_a.py", "if True:\n    import pandas as pd", "brings pandas to _core"),
    ("_core/_a.py", "from scggml._anndata.read import read", "imports scggml._anndata.read from a floor above"),
    ("_core/_a.py", "from scggml._core.learn import _a", "imports scggml._core.learn._a from a floor above"),
    ("_core/transport/_a.py", "from scggml._core.learn import _a", "imports scggml._core.learn._a from a floor above"),
    ("_core/explain/_a.py", "from scggml._core.evaluate import _a", "imports scggml._core.evaluate._a, another"),
    ("_anndata/keys.py", "from scggml._anndata.read import read", "imports scggml._anndata.read from a floor above"),
    ("_anndata/read.py", "import scggml.tl", "imports scggml.tl from a floor above"),
    ("tl/_a.py", "from scggml.get import metric", "another face"),
    ("tl/_a.py", "from scggml import pl", "another face"),
    ("tl/_a.py", "import scggml", "imports scggml from a floor above"),
    ("tl/_a.py", "from scggml._new import x", "has no floor"),
    ("tl/_a.py", "from scggml._anndata.new import x", "has no floor"),
    ("_new.py", "import numpy", "has no floor"),
    ("_anndata/new.py", "import numpy", "has no floor"),
    ("tl/_a.py", "from . import _b", "imports relatively"),
    ("tl/_a.py", "def f():\n    import scanpy", "imports scanpy inside a function"),
    ("tl/_a.py", "def f():\n    from scggml._core import _a", "inside a function"),
    ("tl/_a.py", "from scggml.tl import _b", "circle of imports"),
]


@pytest.mark.parametrize(("file", "code", "fault"), PLANTED)
def test_a_planted_fault_is_found(tmp_path: Path, file: str, code: str, fault: str) -> None:
    root = tmp_path / "scggml"
    clean = {
        "__init__.py": "import lazy_loader",
        "_anndata/__init__.py": "",
        "_anndata/keys.py": "from dataclasses import dataclass",
        "_anndata/read.py": "import anndata\nfrom scggml._core import _a\n\ndef read():\n    import dask.array",
        "_core/__init__.py": "",
        "_core/_a.py": "import numpy as np\nimport ot",
        "_core/evaluate/_a.py": "from scggml._core.learn import _a",
        "_core/explain/_a.py": "from scggml._core.learn import _a",
        "_core/learn/_a.py": "from scggml._core.transport import _a",
        "_core/transport/_a.py": "from scggml._core import _a",
        "get/__init__.py": "",
        "pl/__init__.py": "",
        "tl/__init__.py": "",
        "tl/_a.py": "from scggml._anndata import keys, read",
        "tl/_b.py": "from scggml.tl import _a",
    }
    for name, text in clean.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    assert check(root) == []

    (root / file).write_text(code, encoding="utf-8")
    assert any(fault in text for text in check(root))
