"""The Snakemake workflow runs from a cohort to a report, and the container copies what is there."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import anndata as ad
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "snakemake"
SMALL = {
    "demo": "--n-samples 6 --n-cells 16 --n-genes 60 --n-planted 8",
    "evaluate": "--n-splits 3 --n-repeats 1 --methods ggml --methods majority --n-perm 19 --no-cross-fit",
    "threads": 1,
}


def snakemake() -> str:
    """The program: in an environment of its own, which `make test` makes, or on the PATH."""
    own = ROOT / ".venv-workflow" / "bin" / "snakemake"
    found = str(own) if own.is_file() else shutil.which("snakemake")
    if found is None:
        pytest.skip("no snakemake: neither in .venv-workflow nor on the PATH")
    return found


@pytest.mark.slow
def test_the_workflow_makes_a_report(tmp_path: Path) -> None:
    program = snakemake()
    shutil.copytree(EXAMPLE, tmp_path / "example")
    command = tmp_path / "bin" / "scggml"  # that of the tests, whatever is installed
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m scggml "$@"\n', encoding="utf-8")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    environment = os.environ | {"PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}
    options = [f"{name}={value}" for name, value in SMALL.items()]
    done = subprocess.run(
        [program, "--cores", "1", "--config", *options],
        cwd=tmp_path / "example", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = tmp_path / "example" / "results"
    assert (results / "report.html").read_text(encoding="utf-8").count("<h2") == 7
    assert json.loads((results / "evaluation.json").read_text(encoding="utf-8"))["chance"] == 0.5
    assert (results / "genes.csv").read_text(encoding="utf-8").startswith("component,gene,")
    commands = ad.read_h5ad(results / "enriched.h5ad").uns["scggml_commands"]
    assert [text.split()[1] for text in commands] == ["learn", "evaluate", "genes", "enrich"]


def test_the_configuration_lists_what_the_workflow_reads() -> None:
    read = set(re.findall(r"config\[['\"](\w+)['\"]\]", (EXAMPLE / "Snakefile").read_text(encoding="utf-8")))
    named = set(re.findall(r"^(\w+):", (EXAMPLE / "config.yaml").read_text(encoding="utf-8"), re.MULTILINE))
    assert read == named


def test_the_container_copies_what_is_there_and_is_sent() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    sources = [name for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert set(sources) >= {"pyproject.toml", "src"}
    assert [name for name in sources if not (ROOT / name).exists()] == []
    sent = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    assert sent == set(sources)
    assert 'ENTRYPOINT ["scggml"]' in text
