"""What the doctests in `src` and the tests share."""

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib: no test opens a window

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has a core. Libraries read these when they load; the threads of the package itself stay as they are.
    # Processes begin where a test asks for more than one, not wherever a default is "all cores".
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        os.environ.setdefault(_name, "1")


if find_spec("torch") is None:  # their doctests need it
    collect_ignore = [f"src/scggml/_core/transport/{name}.py" for name in ("divergence", "sinkhorn", "unbalanced")]


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
