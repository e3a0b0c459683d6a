"""Compiled functions give the same results with a cache on disk, without one, and with a broken one."""

import gc
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numba
import numpy as np
import pytest

from scggml._core import compiled as module
from scggml._core.transport.simplex import read_plans

SRC = Path(__file__).parents[2] / "src" / "scggml"
CODE = """
import numpy as np
from scggml._core.compiled import compiled

@compiled(nogil=True)
def part(x):
    return np.clip(x, 0.0, 2.0)

@compiled(nogil=True)
def total(x):
    return part(x).reshape(2, -1).sum()
"""


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """A function that imports the code anew, as another process would, from a folder of its own."""
    monkeypatch.setattr(module, "_told", set())
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("HOME", os.devnull + "/none")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def load(folder=tmp_path):
        path = folder / "kernels.py"
        if not path.exists():
            path.write_text(CODE)
        spec = importlib.util.spec_from_file_location("kernels", path)
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found

    return load


def run(found):
    assert found.total(np.arange(4.0)) == 5.0
    return sum(found.total.stats.cache_hits.values())


def test_what_was_compiled_is_found_by_the_next_process(kernels):
    assert [run(kernels()) for _ in range(2)] == [0, 1]


def test_garbage_is_collected_again_when_it_is_compiled(kernels, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "_cached", lambda dispatcher: seen.append(dispatcher) or dispatcher)
    found = kernels()
    for dispatcher in seen:
        dispatcher._compiler.compile = noted(dispatcher._compiler.compile, states := [])
    for on in (True, False):
        (gc.enable if on else gc.disable)()
        try:
            assert found.total(np.arange(4.0 if on else 4)) == 5.0
            assert gc.isenabled() == on
        finally:
            gc.enable()
    assert states
    assert not any(states)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_collects_garbage_though_a_thread_of_its_parent_compiles():
    entered, leave = threading.Event(), threading.Event()

    def compile_slowly():
        with module._without_collection():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=compile_slowly)
    thread.start()
    entered.wait()
    try:
        child = os.fork()
        if child == 0:
            os._exit(0 if gc.isenabled() and module._without_collection._count._inside == 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not gc.isenabled()
    finally:
        leave.set()
        thread.join()
    assert gc.isenabled()


def noted(function, states):
    """Note whether garbage is collected when the function is called."""

    def run(*args):
        states.append(gc.isenabled())
        return function(*args)

    return run


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("spoil", ["cut", "garbage", "empty"])
def test_a_broken_cache_is_told_and_written_anew(kernels, tmp_path, suffix, spoil):
    run(kernels())
    files = list((tmp_path / "__pycache__").glob(f"*.{suffix}"))
    assert len(files) == 2
    for file in files:
        file.write_bytes({"cut": file.read_bytes()[:60], "garbage": b"\xc1" * 500, "empty": b""}[spoil])
    with pytest.warns(
        UserWarning, match=r"cache of compiled functions, .*__pycache__, is damaged .* NUMBA_CACHE_DIR"
    ) as told:
        assert run(kernels()) == 0
    assert len(told) == 1
    assert run(kernels()) == 1


def test_a_folder_in_place_of_a_file_of_the_cache_is_no_failure(kernels, tmp_path):
    run(kernels())
    for file in list((tmp_path / "__pycache__").glob("*.nbi")):
        file.unlink()
        file.mkdir()
    with pytest.warns(
        UserWarning, match=r"is damaged \(IsADirectoryError|cannot be written \(IsADirectoryError"
    ) as told:
        run(kernels())
    assert len(told) == 2


def test_without_a_folder_that_can_be_written_to_everything_is_compiled(kernels, tmp_path):
    (tmp_path / "__pycache__").write_bytes(b"in the way")
    with pytest.warns(
        UserWarning, match=r"cannot be written \(RuntimeError: .*Set .* NUMBA_CACHE_DIR to a folder"
    ) as told:
        found = kernels()
    assert len(told) == 1
    assert run(found) == 0


def test_a_disk_that_is_full_loses_no_result(kernels, mounted):
    folder = mounted("size=64k")
    found = kernels(folder)
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**12))
    with pytest.warns(UserWarning, match=r"cannot be written \(OSError: .*No space"):
        run(found)


def test_it_is_compiled_where_compiling_is_switched_off_for_others(kernels, monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    found = kernels()
    assert numba.config.DISABLE_JIT == 1
    run(found)
    assert found.total.signatures
    assert numba.config.DISABLE_JIT == 1


def test_the_cache_of_the_kernels_is_a_careful_one():
    """The place of the cache is no public name of numba."""
    assert isinstance(read_plans._cache, module._Careful)
    assert read_plans.stats.cache_path


TINY = """
import scggml as sg
adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
print(sg.__file__, adata.obsm["X_ggml"].sum().hex())
"""


@pytest.mark.slow
def test_a_read_only_home_and_package_and_no_jit_give_the_same_metric(tmp_path):
    def child(**environment):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "XDG_CACHE"))}
        done = subprocess.run(
            [sys.executable, "-c", TINY], env=kept | environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split(), done.stderr

    package = tmp_path / "scggml"
    shutil.copytree(SRC, package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (package, *package.rglob("*/")):
        (folder / "__pycache__").write_bytes(b"in the way")
    (_, usual), quiet = child()
    (place, found), told = child(PYTHONPATH=str(tmp_path), HOME=os.devnull + "/none", NUMBA_DISABLE_JIT="1")
    assert place == str(package / "__init__.py")
    assert found == usual
    assert "NUMBA_CACHE_DIR" not in quiet
    assert told.count("NUMBA_CACHE_DIR") == 1
