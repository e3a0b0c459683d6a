"""Importing the package is cheap and changes nothing."""

import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "scggml"

STATE = """
import json, logging, os, random, sys, warnings

def state():
    found = {
        "python random": repr(random.getstate()),
        "environment": dict(os.environ),
        "filters": [repr(f) for f in warnings.filters],
        "handlers": repr(logging.root.handlers),
        "logging": logging.root.level,
        "recursion": sys.getrecursionlimit(),
    }
    if "numpy" in sys.modules:
        import numpy as np
        found["numpy random"] = repr(np.random.get_state(legacy=False))
        found["numpy errors"] = np.geterr()
        found["numpy print"] = repr(np.get_printoptions())
    if "torch" in sys.modules:
        import torch
        found["torch seed"] = torch.initial_seed()
        found["torch random"] = torch.get_rng_state().tolist()
        found["torch threads"] = [torch.get_num_threads(), torch.get_num_interop_threads()]
        found["torch dtype"] = str(torch.get_default_dtype())
    if "matplotlib" in sys.modules:
        import matplotlib
        found["rcParams"] = {key: repr(value) for key, value in matplotlib.rcParams.items()}
    if "pandas" in sys.modules:
        import pandas as pd
        found["pandas"] = pd.describe_option(_print_desc=False)
    return found
"""


def run(code: str) -> dict[str, object]:
    """What a fresh interpreter prints as JSON on its last line."""
    done = subprocess.run([sys.executable, "-c", STATE + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def third_party() -> list[str]:
    """The modules of other packages that the package imports when it is used."""
    names = set()
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return sorted(n for n in names if n.split(".")[0] not in sys.stdlib_module_names | {"scggml"})


def test_import_changes_nothing() -> None:
    before, after = run("import numpy\na = state()\nimport scggml\nprint(json.dumps([a, state()]))")
    assert after == before


@pytest.mark.parametrize(
    "package", ["anndata", "matplotlib", "numba", "ot", "pandas", "scanpy", "seaborn", "sklearn", "torch"]
)
def test_import_leaves_heavy_packages_alone(package: str) -> None:
    assert package not in run("import scggml\nprint(json.dumps(sorted(sys.modules)))")


def test_the_first_metric_needs_neither_torch_nor_pot_nor_scanpy() -> None:
    code = """
import scggml as sg
adata = sg.datasets.synthetic(n_samples=6, n_cells=20)
sg.tl.ggml(adata, "sample_id", "label", progress=False)
sg.tl.distances(adata, progress=False)
print(json.dumps(sorted(sys.modules)))
"""
    assert {"numba", "anndata"} <= set(run(code))
    assert {"torch", "ot", "scanpy", "matplotlib", "statsmodels"}.isdisjoint(run(code))


def test_import_costs_less_than_anndata() -> None:
    ours = run("import scggml\nprint(json.dumps(sorted(sys.modules)))")
    theirs = run("import anndata\nprint(json.dumps(sorted(sys.modules)))")
    own = {name for name in ours if name.split(".")[0] in {"scggml", "lazy_loader"}}
    assert "scggml" in own
    assert set(ours) - own < set(theirs)
    assert len(ours) < len(theirs)


def test_using_every_name_changes_nothing() -> None:
    # Other packages may change settings when they load (scanpy, for one, brings warning filters along): load them
    # first, so that whatever differs afterwards is ours.
    code = f"""
import contextlib, importlib
for name in {[*third_party(), "torch"]!r}:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
before = state()
import scggml
touched = [getattr(getattr(scggml, face), name) for face in scggml.__all__ if face[0] != "_"
           for name in getattr(scggml, face).__all__]
after = state()
print(json.dumps([{{k: v for k, v in after.items() if before.get(k) != v}}, len(touched), sorted(before)]))
"""
    changed, touched, watched = run(code)
    assert changed == {}
    assert touched >= 19
    torch = {"torch threads"} if find_spec("torch") else set()
    assert {"numpy random", "rcParams"} | torch <= set(watched)
