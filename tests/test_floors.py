"""Imports run downwards: faces, then the door to AnnData, then arithmetic, then names."""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

SRC = Path(__file__).parents[1] / "src" / "scggml"
FLOORS = {
    "scggml._keys": 0,
    "scggml._version": 0,
    "scggml._core": 1,
    "scggml._donors": 2,
    "scggml._genes": 2,
    "scggml._columns": 2,
    "scggml._copies": 2,
    "scggml._design": 2,
    "scggml._evaluated": 2,
    "scggml._preprocess": 2,
    "scggml._read": 2,
    "scggml._samples": 2,
    "scggml._stored": 2,
    "scggml._write": 2,
    "scggml.datasets": 3,
    "scggml.ext": 3,
    "scggml.get": 3,
    "scggml.pl": 3,
    "scggml.tl": 3,
    "scggml": 4,
}
FACE = 3
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


def house_of(module: str) -> str:
    """The entry of `FLOORS` that a module belongs to."""
    return ".".join(module.split(".")[:2])


def complaints(module: str, found: Import) -> Iterator[str]:
    package = found.module.split(".")[0]
    here, there = house_of(module), house_of(found.module)
    if found.level:
        yield "imports relatively; write the absolute name"
        return
    if found.inside and package not in INSIDE:
        yield f"imports {found.module} inside a function"
    if package != "scggml":
        if here == "scggml._core" and package not in ARRAYS | sys.stdlib_module_names:
            yield f"brings {package} to _core, where only arrays live"
    elif there not in FLOORS:
        yield f"imports {found.module}, which has no floor: name it in FLOORS"
    elif FLOORS[there] > FLOORS[here]:
        yield f"imports {found.module} from a floor above"
    elif here != there and FLOORS[here] == FLOORS[there] == FACE:
        yield f"imports {found.module}, another face"


def check(root: Path) -> list[str]:
    """Every fault in the imports of a source tree."""
    trees = {name_of(p, root): ast.parse(p.read_text(encoding="utf-8")) for p in sorted(root.rglob("*.py"))}
    modules = set(trees)
    faults, graph = [], {}
    for module, tree in trees.items():
        if house_of(module) not in FLOORS:
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
    ("_core/_a.py", "from matplotlib import pyplot", "brings matplotlib to _core"),
    ("_core/_a.py", "if True:\n    import pandas as pd", "brings pandas to _core"),
    ("_core/_a.py", "from scggml._read import read", "imports scggml._read from a floor above"),
    ("_read.py", "import scggml.tl", "imports scggml.tl from a floor above"),
    ("_keys.py", "from scggml import _core", "imports scggml._core from a floor above"),
    ("tl/_a.py", "from scggml.get import metric", "another face"),
    ("tl/_a.py", "from scggml import pl", "another face"),
    ("tl/_a.py", "import scggml", "imports scggml from a floor above"),
    ("tl/_a.py", "from scggml._new import x", "has no floor"),
    ("_new.py", "import numpy", "has no floor"),
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
        "_core/__init__.py": "",
        "_core/_a.py": "import numpy as np\nimport ot",
        "_keys.py": "from dataclasses import dataclass",
        "_read.py": "import anndata\nfrom scggml._core import _a\n\ndef read():\n    import dask.array",
        "get/__init__.py": "",
        "pl/__init__.py": "",
        "tl/__init__.py": "",
        "tl/_a.py": "from scggml import _keys, _read",
        "tl/_b.py": "from scggml.tl import _a",
    }
    for name, text in clean.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    assert check(root) == []

    (root / file).write_text(code, encoding="utf-8")
    assert any(fault in text for text in check(root))
