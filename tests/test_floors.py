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
    "scggml._arguments": 0,
    "scggml._docs": 0,
    "scggml._version": 0,
    "scggml._web": 5,
    "scggml._core": 19,
    "scggml._core.checks": 10,
    "scggml._core.cohort": 10,
    "scggml._core.compiled": 12,
    "scggml._core.mds": 10,
    "scggml._core.metric": 10,
    "scggml._core.params": 10,
    "scggml._core.tables": 10,
    "scggml._core.votes": 11,
    "scggml._core.runner": 11,
    "scggml._core.samples": 11,
    "scggml._core.seeds": 11,
    "scggml._core.threads": 11,
    "scggml._core.tsne": 11,
    "scggml._core.folds": 12,
    "scggml._core.ids": 12,
    "scggml._core.labelings": 12,
    "scggml._core.transport": 13,
    "scggml._core.learn": 14,
    "scggml._core.evaluate": 15,
    "scggml._core.explain": 15,
    "scggml._anndata": 29,
    "scggml._anndata.forms": 21,
    "scggml._anndata.keys": 20,
    "scggml._anndata.verdicts": 25,
    "scggml._anndata.messages": 20,
    "scggml._anndata.columns": 20,
    "scggml._anndata.features": 21,
    "scggml._anndata.disk": 21,
    "scggml._anndata.lazy": 21,
    "scggml._anndata.parts": 22,
    "scggml._anndata.selection": 22,
    "scggml._anndata.reading": 23,
    "scggml._anndata.composition": 23,
    "scggml._anndata.predicted": 24,
    "scggml._anndata.origin": 24,
    "scggml._anndata.mixtures": 22,
    "scggml._anndata.results": 22,
    "scggml._anndata.ownership": 24,
    "scggml._anndata.measured": 22,
    "scggml._anndata.loadings": 26,
    "scggml._anndata.metric": 25,
    "scggml._anndata.fingerprint": 24,
    "scggml._anndata.recording": 26,
    "scggml._anndata.copies": 24,
    "scggml._anndata.genes": 27,
    "scggml._anndata.graph": 26,
    "scggml._anndata.preprocess": 26,
    "scggml._anndata.scales": 22,
    "scggml._anndata.costs": 22,
    "scggml._anndata.labels": 24,
    "scggml._anndata.confounding": 24,
    "scggml._anndata.coordinates": 28,
    "scggml._anndata.samples": 27,
    "scggml._anndata.steps": 26,
    "scggml._anndata.expression": 26,
    "scggml._anndata.changes": 27,
    "scggml._anndata.points": 27,
    "scggml._anndata.ranking": 28,
    "scggml._anndata.drawn": 29,
    "scggml._anndata.as_patpy": 29,
    "scggml._anndata.planned": 23,
    "scggml._anndata.representation": 29,
    "scggml._anndata.subject": 27,
    "scggml._anndata.evaluation": 28,
    "scggml._anndata.cross_validated": 29,
    "scggml._anndata.contributions": 28,
    "scggml._anndata.held_out": 27,
    "scggml._anndata.tested": 26,
    "scggml._anndata.covariates": 28,
    "scggml._anndata.scores": 29,
    "scggml._anndata.influence": 26,
    "scggml._anndata.study": 28,
    "scggml._anndata.trajectory": 29,
    "scggml._anndata.commands": 23,
    "scggml._anndata.reported": 29,
    "scggml.datasets": 30,
    "scggml.ext": 30,
    "scggml.get": 30,
    "scggml.pl": 30,
    "scggml.tl": 30,
    "scggml": 40,
    "scggml._report": 45,
    "scggml._cli": 50,
    "scggml.__main__": 60,
}
# Rooms whose members do not import each other although they are on one floor.
APART = [
    {"scggml.datasets", "scggml.ext", "scggml.get", "scggml.pl", "scggml.tl"},
    {"scggml._core.evaluate", "scggml._core.explain"},
]
# `_core` computes on arrays: besides the standard library it may import these alone.
ARRAYS = {
    "joblib",
    "llvmlite",
    "numba",
    "numpy",
    "optuna",
    "ot",
    "scipy",
    "sklearn",
    "threadpoolctl",
    "torch",
    "tqdm",
    "triton",
}
# Optional or heavy packages that may be imported inside a function.
INSIDE = {"dask", "decoupler", "optuna", "ot", "patpy", "rdata", "torch", "triton"}
# Where an AnnData keeps its data, and the rooms that may touch it.
SLOTS = {"obs", "obsm", "obsp", "uns", "var", "varm", "varp", "layers"}
DOORS = ("scggml._anndata", "scggml.datasets")


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
    # the top of a package has a floor of its own: a new module in it needs one, too
    return None if found in ("scggml", "scggml._anndata", "scggml._core") and module != found else found


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


def touched(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The slots of an AnnData that the code of a module touches, and the lines."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in SLOTS:
            if id(node) not in called:  # a slot is no function; x.var() is the variance of an array
                yield node.attr, node.lineno
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) in ("getattr", "setattr", "hasattr"):
            names = {arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)}
            yield from ((name, node.lineno) for name in sorted(names & SLOTS))


def modules_of(root: Path) -> dict[str, tuple[Path, ast.Module]]:
    """The modules of a source tree by name."""
    paths = sorted(root.rglob("*.py"))
    return {name_of(path, root): (path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths}


def slot_accesses(root: Path) -> dict[str, list[str]]:
    """What each room outside of the door touches of an AnnData, with file and line."""
    found: dict[str, list[str]] = {}
    for module, (path, tree) in modules_of(root).items():
        if not module.startswith(DOORS):
            where, room = path.relative_to(root.parent), ".".join(module.split(".")[:2])
            found.setdefault(room, []).extend(f"{where}:{line} touches .{name}" for name, line in touched(tree))
    return {room: faults for room, faults in found.items() if faults}


def check(root: Path) -> list[str]:
    """Every fault in the imports of a source tree."""
    trees = {name: tree for name, (_, tree) in modules_of(root).items()}
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


def test_only_the_door_touches_the_slots_of_an_anndata() -> None:
    assert slot_accesses(SRC) == {}


@pytest.mark.parametrize(
    ("code", "slots"),
    [
        ("adata.obs['a']", ["obs"]),
        ("adata.uns.get('a')", ["uns"]),
        ("samples.obsp[key] = 1", ["obsp"]),
        ("f(reference.varm)", ["varm"]),
        ("'a' in new.obsm", ["obsm"]),
        ("getattr(adata, 'layers')", ["layers"]),
        ("hasattr(adata, 'varp')", ["varp"]),
        ("del adata.var", ["var"]),
        ("x = scores.var(axis=0)", []),
        ("cohort.points, adata.n_obs, out.obs_names, getattr(adata, where)", []),
        ("'adata.obs'", []),
    ],
)
def test_what_touches_a_slot_is_found(code: str, slots: list[str]) -> None:
    assert [name for name, _ in touched(ast.parse(code))] == slots


def test_a_slot_that_is_touched_is_named_with_file_and_line(tmp_path: Path) -> None:
    for file in ("tl/_a.py", "pl/_a.py", "_anndata/read.py", "datasets/_a.py"):
        path = tmp_path / "scggml" / file
        path.parent.mkdir(parents=True)
        path.write_text("def f(adata):\n    return adata.obs" if file != "pl/_a.py" else "", encoding="utf-8")
    assert slot_accesses(tmp_path / "scggml") == {"scggml.tl": ["scggml/tl/_a.py:2 touches .obs"]}


PLANTED = [
    ("_core/learn/_b.py", "import anndata", "brings anndata to _core"),
    ("_core/learn/_a.py", "from matplotlib import pyplot", "brings matplotlib to _core"),
    ("_core/checks.py", "if True:\n    import pandas as pd", "brings pandas to _core"),
    ("_core/checks.py", "from scggml._anndata.keys import Keys", "imports scggml._anndata.keys from a floor above"),
    ("_core/checks.py", "from scggml._core.samples import x", "imports scggml._core.samples from a floor above"),
    ("_core/folds.py", "from scggml._core.learn import _a", "imports scggml._core.learn._a from a floor above"),
    ("_core/transport/_a.py", "from scggml._core.learn import _a", "imports scggml._core.learn._a from a floor above"),
    ("_core/explain/_a.py", "from scggml._core.evaluate import _a", "imports scggml._core.evaluate._a, another"),
    (
        "_anndata/keys.py",
        "from scggml._anndata.features import x",
        "imports scggml._anndata.features from a floor above",
    ),
    (
        "_anndata/features.py",
        "from scggml._anndata.metric import x",
        "imports scggml._anndata.metric from a floor above",
    ),
    ("_anndata/features.py", "import scggml.tl", "imports scggml.tl from a floor above"),
    ("tl/_a.py", "from scggml.get import metric", "another face"),
    ("tl/_a.py", "from scggml import pl", "another face"),
    ("tl/_a.py", "import scggml", "imports scggml from a floor above"),
    ("tl/_a.py", "from scggml._new import x", "has no floor"),
    ("tl/_a.py", "from scggml._anndata.new import x", "has no floor"),
    ("_new.py", "import numpy", "has no floor"),
    ("_core/new.py", "import numpy", "has no floor"),
    ("_anndata/new.py", "import numpy", "has no floor"),
    ("tl/_a.py", "from . import _b", "imports relatively"),
    ("tl/_a.py", "def f():\n    import scanpy", "imports scanpy inside a function"),
    ("tl/_a.py", "def f():\n    from scggml._core import checks", "inside a function"),
    ("tl/_a.py", "from scggml.tl import _b", "circle of imports"),
]


@pytest.mark.parametrize(("file", "code", "fault"), PLANTED)
def test_a_planted_fault_is_found(tmp_path: Path, file: str, code: str, fault: str) -> None:
    root = tmp_path / "scggml"
    clean = {
        "__init__.py": "import lazy_loader",
        "_anndata/__init__.py": "",
        "_anndata/keys.py": "from dataclasses import dataclass",
        "_anndata/features.py": "import anndata\nfrom scggml._core import checks\n\ndef read():\n    import dask.array",
        "_anndata/metric.py": "from scggml._anndata import features",
        "_core/__init__.py": "",
        "_core/checks.py": "import numpy as np\nimport ot",
        "_core/folds.py": "from scggml._core.samples import x",
        "_core/samples.py": "from scggml._core.checks import x",
        "_core/evaluate/_a.py": "from scggml._core.learn import _a",
        "_core/explain/_a.py": "from scggml._core.learn import _a",
        "_core/learn/_a.py": "from scggml._core.transport import _a",
        "_core/transport/_a.py": "from scggml._core import folds",
        "get/__init__.py": "",
        "pl/__init__.py": "",
        "tl/__init__.py": "",
        "tl/_a.py": "from scggml._anndata import features, keys",
        "tl/_b.py": "from scggml.tl import _a",
    }
    for name, text in clean.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    assert check(root) == []

    (root / file).write_text(code, encoding="utf-8")
    assert any(fault in text for text in check(root))
