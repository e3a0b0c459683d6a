"""Exit codes, messages, and options that are those of the functions."""

import inspect
import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import anndata as ad
import h5py
import pytest
from _command_line import call, good
from _learned import KEYS, ONE

from scggml import __version__
from scggml._cli.app import COMMANDS, options_of_commands
from scggml._cli.options import COMMON

ROOT = Path(__file__).parents[2]


def test_the_entry_point_is_there() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, name = scripts["scggml"].split(":")
    assert callable(getattr(import_module(module), name))


def test_version_and_help() -> None:
    assert good("--version").strip() == f"scggml {__version__}"
    assert all(name in good("--help") for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_the_parameters_of_the_functions(name: str) -> None:
    text = " ".join(good(name, "--help").split())
    for source in COMMANDS[name][1]:
        signature = inspect.signature(source.function)
        assert set(source.parameters) <= set(signature.parameters) - COMMON
        assert source.parameters, "a source without options is none"
        for option in source.parameters:
            assert f"--{option.replace('_', '-')}" in text
    assert {"seed", "n_jobs", "json", "debug"} <= options_of_commands()[name]


def test_names_of_options_that_a_source_picks_are_known() -> None:
    for _, sources in COMMANDS.values():
        for source in sources:
            known = set(inspect.signature(source.function).parameters)
            assert (source.only or set()) | source.without <= known


def test_defaults_are_told_as_the_functions_have_them() -> None:
    text = " ".join(good("learn", "--help").split())
    assert "Leave out samples with fewer cells, with a warning that lists them. [default: 1]" in text
    assert "--sample-key TEXT" in text
    assert "[required]" in text


def test_wrong_usage_is_2(results: Path, tmp_path: Path) -> None:
    assert call("lern").code == 2
    assert call("learn").code == 2
    assert call("learn", results / "cohort.h5ad", *KEYS).code == 2  # no output
    assert call("learn", results / "cohort.h5ad", *KEYS, "-o", tmp_path / "x.txt").code == 2
    assert call("learn", results / "cohort.h5ad", *KEYS, "-o", tmp_path / "no" / "x.h5ad").code == 2
    assert call("learn", results / "cohort.h5ad", *KEYS, "-o", tmp_path / "x.h5ad", "--min-cells", "few").code == 2
    assert call("report", results / "learned.h5ad", *KEYS, "-o", tmp_path / "x.html").code == 2  # it has a metric
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sample-key", "donor", "--label-key", "label"], "'donor' is not a column of adata.obs, which has"),
        ([*KEYS, "--summary", "Coresets(3)"], "Coresets is none of"),
        ([*KEYS, "--summary", "Coreset(points=3)"], "points"),
        ([*KEYS, "--summary", "Coreset(__import__('os'))"], "__import__ is none of"),
        ([*KEYS, "--n-comps", "0"], "n_comps=0"),
    ],
)
def test_data_or_options_that_do_not_do_are_1_in_one_line(
    results: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    done = call("learn", results / "cohort.h5ad", "-o", tmp_path / "x.h5ad", *words)
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith("scggml learn: ")
    assert said in line
    assert done.out == ""
    assert list(tmp_path.iterdir()) == []


def test_what_a_report_is_asked_for_is_checked_before_any_work(results: Path, tmp_path: Path) -> None:
    (tmp_path / "sets.gmt").write_text("no tabs")
    words = ["report", results / "cohort.h5ad", *KEYS, "-o", tmp_path / "x.html"]
    for more, said in (
        (["--cell-type-key", "types"], "cell_type_key='types' is not a column of adata.obs"),
        (["--gene-sets", tmp_path / "sets.gmt"], "sets.gmt, line 1"),
        (["--gene-sets", tmp_path / "none.gmt"], "is not a file; pass a GMT file"),
    ):
        done = call(*words, *more)
        assert done.code == 1
        assert said in done.err
    assert not (tmp_path / "x.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("words", [["distances", "--json"], ["genes", "--json"]], ids=["short", "long"])
def test_a_reader_who_has_seen_enough_is_no_fault(results: Path, words: list[str]) -> None:
    words = [sys.executable, "-m", "scggml", words[0], str(results / "learned.h5ad"), *words[1:], "--n-jobs", "1"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.stderr == ""


def test_debug_shows_the_traceback(results: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="donor"):
        call(
            "learn",
            results / "cohort.h5ad",
            "-o",
            tmp_path / "x.h5ad",
            "--sample-key",
            "donor",
            "--label-key",
            "l",
            "--debug",
        )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.h5ad", "There is no file"),
        ("text.h5ad", "no h5ad file"),
        ("other.h5ad", "no h5ad file"),
        ("later.h5ad", "no h5ad file"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "text.h5ad").write_text("no h5ad")
    with h5py.File(tmp_path / "other.h5ad", "w") as file:  # as other programs write theirs
        file["matrix/data"] = [1, 2]
    with h5py.File(tmp_path / "later.h5ad", "w") as file:  # of a version to come
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        file.create_group("obs").attrs.update({"encoding-type": "frame", "encoding-version": "9"})
    done = call("distances", tmp_path / name)
    assert done.code == 1
    assert name in done.err
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_warnings_are_lines_on_standard_error(results: Path, tmp_path: Path) -> None:
    ad.read_h5ad(results / "cohort.h5ad")[3:].copy().write_h5ad(tmp_path / "x.h5ad")  # one sample has 13 cells
    words = ["--json", "--use-rep", "X_pca", "--n-comps", 1, "--min-cells", 15, *ONE]
    done = call("learn", tmp_path / "x.h5ad", "--in-place", *KEYS, *words)
    assert done.code == 0
    (line,) = done.err.splitlines()
    assert line.startswith("scggml learn: warning: min_cells=15 leaves out 1 of 12 samples")
    assert json.loads(done.out)["n_samples"] == 11
