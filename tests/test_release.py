"""What surrounds a release agrees with the package: versions, workflows, recipes, distributions, the README."""

import os
import re
import runpy
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import scggml

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# Names on conda-forge that are not those on PyPI.
CONDA = {"matplotlib": "matplotlib-base", "torch": "pytorch"}
FACES = sorted(name for name in scggml.__all__ if not name.startswith("_"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def load(path: Path) -> Any:
    """Content of a YAML file, in which `on:` stays a text."""
    text = path.read_text(encoding="utf-8")
    return yaml.safe_load(re.sub(r"^on:", '"on":', text, flags=re.MULTILINE))


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in load(workflow)["jobs"].values() for step in job.get("steps", [])]


def matrix(workflow: Path) -> dict[str, list[Any]]:
    """Every name of a matrix with the values that it takes in any job."""
    found: dict[str, list[Any]] = {}
    for job in load(workflow)["jobs"].values():
        for name, values in job.get("strategy", {}).get("matrix", {}).items():
            found.setdefault(name, []).extend(values)
    return found


def conda(requirement: str) -> str:
    """A requirement of PyPI as conda writes it."""
    name, floor = requirement.split(">=")
    return f"{CONDA.get(name, name.lower())} >={floor}"


def test_versions_agree() -> None:
    named, _ = runpy.run_path(str(ROOT / "release" / "check_version.py"))["versions"]()
    assert set(named.values()) == {scggml.__version__}
    assert "version" in PROJECT["dynamic"]


@pytest.mark.parametrize(
    ("tag", "date", "faults"),
    [("v{}", "2027-01-31", 0), ("v{}", "unreleased", 1), ("{}", "2027-01-31", 4), ("v9.9.9", "unreleased", 5)],
)
def test_a_tag_of_another_version_or_without_a_day_is_not_released(tag: str, date: str, faults: int) -> None:
    script = runpy.run_path(str(ROOT / "release" / "check_version.py"))
    named, _ = script["versions"]()
    assert len(list(script["faults"](tag.format(scggml.__version__), named, date))) == faults


def test_workflows_call_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    called = []
    for workflow in WORKFLOWS:
        values = matrix(workflow)
        for step in steps(workflow):
            for name in re.findall(r"\bmake (\S+)", step.get("run", "").replace("${{ matrix.target }}", "MATRIX")):
                called += values["target"] if name == "MATRIX" else [name]
    assert {"test", "test-lowest", "test-pre", "test-dist", "demo", "docs", "lint"} <= set(called)
    assert set(called) <= targets
    documented = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [name for name in called if f"`make {name}`" not in documented] == []


def test_workflows_run_each_python_that_is_declared() -> None:
    declared = [c.split(" :: ")[-1] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)]
    assert matrix(ROOT / ".github" / "workflows" / "test.yml")["python"] == declared
    assert PROJECT["requires-python"] == f">={declared[0]}"
    used = {
        step["with"]["python-version"]
        for w in WORKFLOWS
        for step in steps(w)
        if "python-version" in step.get("with", {})
    }
    assert used - {"${{ matrix.python }}"} <= set(declared)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_jobs_wait_for_jobs(workflow: Path) -> None:
    content = load(workflow)
    assert content["permissions"] == {"contents": "read"}
    pinned = re.compile(r"@(v\d+|release/v\d+)$")
    assert [step["uses"] for step in steps(workflow) if "uses" in step and not pinned.search(step["uses"])] == []
    jobs = content["jobs"]
    for job in jobs.values():
        assert job.get("needs", next(iter(jobs))) in jobs
        called = job.get("uses", "./.github/workflows/test.yml")
        assert (ROOT / called).is_file()


def test_one_version_of_each_action() -> None:
    used = {step["uses"] for workflow in WORKFLOWS for step in steps(workflow) if "uses" in step}
    names = [action.split("@")[0] for action in used]
    assert sorted(names) == sorted(set(names))


def test_templates_are_forms() -> None:
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    forms = [load(path) for path in sorted(folder.glob("*.yml")) if path.stem != "config"]
    assert len(forms) == 2
    for form in forms:
        assert {"name", "description", "labels", "body"} == set(form)
        ids = [field["id"] for field in form["body"]]
        assert len(set(ids)) == len(ids)
        assert all(field["attributes"]["label"] for field in form["body"])
    assert load(ROOT / ".github" / "dependabot.yml")["updates"][0]["package-ecosystem"] == "github-actions"


def test_the_recipe_for_conda_needs_what_the_package_needs() -> None:
    recipe = load(ROOT / "release" / "conda" / "recipe.yaml")
    python, *needed = recipe["requirements"]["run"]
    assert python == "python >=${{ python_min }}"
    assert recipe["build"]["python"]["entry_points"] == [f"{k} = {v}" for k, v in PROJECT["scripts"].items()]
    assert needed == [conda(requirement) for requirement in PROJECT["dependencies"]]
    optional = {conda(r) for extra in PROJECT["optional-dependencies"].values() for r in extra}
    assert set(recipe["requirements"]["run_constraints"]) <= optional
    assert recipe["tests"][0]["python"]["imports"] == ["scggml", *(f"scggml.{face}" for face in FACES)]
    assert recipe["about"]["license"] == PROJECT["license"]


def test_the_entry_for_scverse_has_the_fields_of_its_schema() -> None:
    entry = load(ROOT / "release" / "scverse" / "meta.yaml")
    assert {"name", "description", "project_home", "documentation_home", "install", "license", "tags"} <= set(entry)
    assert {"primary_category", "language", "contact", "category"} <= set(entry)
    assert "version" not in entry
    assert entry["name"] == entry["install"]["pypi"] == PROJECT["name"]
    assert entry["license"] == PROJECT["license"]
    assert entry["project_home"] == PROJECT["urls"]["Source"]
    assert entry["documentation_home"].rstrip("/") == PROJECT["urls"]["Documentation"]
    assert entry["category"] == "ecosystem"
    assert len(set(entry["tags"])) == len(entry["tags"])
    assert all(re.fullmatch(r"10\.\d{4,9}/[-._;()/:A-Za-z0-9]+", doi) for doi in entry["publications"])


@dataclass(frozen=True)
class Dist:
    """The names of the files in both distributions, as they are built now, and what the wheel says of itself."""

    source: set[str]
    wheel: set[str]
    metadata: Message


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Dist:
    folder = str(tmp_path_factory.mktemp("dist"))
    (source,) = SdistBuilder(str(ROOT)).build(directory=folder, versions=["standard"])
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=folder, versions=["standard"])
    assert Path(source).name == f"scggml-{scggml.__version__}.tar.gz"
    assert Path(wheel).stat().st_size < 1_500_000
    with tarfile.open(source) as archive, ZipFile(wheel) as zipped:
        sources = {name.split("/", 1)[1] for name in archive.getnames()}
        names = set(zipped.namelist())
        said = zipped.read(next(name for name in names if name.endswith(".dist-info/METADATA")))
    return Dist(sources, names, message_from_bytes(said))


def test_the_wheel_says_where_the_project_is_and_what_it_needs(dist: Dist) -> None:
    assert dist.metadata["Version"] == scggml.__version__
    assert dict(line.split(", ", 1) for line in dist.metadata.get_all("Project-URL", [])) == PROJECT["urls"]
    needed = [line for line in dist.metadata.get_all("Requires-Dist", []) if "extra" not in line]
    assert sorted(needed, key=str.lower) == sorted(d.lower() for d in PROJECT["dependencies"])
    assert dist.metadata["Description-Content-Type"] == "text/markdown"


def test_the_wheel_holds_the_package_with_its_types_and_nothing_else(dist: Dist) -> None:
    folder = ROOT / "src"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    files = {file for file in files if "__pycache__" not in file}
    assert {name for name in dist.wheel if ".dist-info/" not in name} == files
    assert {"scggml/py.typed", "scggml/tl/__init__.pyi"} <= dist.wheel
    assert any(name.endswith("licenses/LICENSE") for name in dist.wheel)


def test_the_source_distribution_holds_the_repository(dist: Dist) -> None:
    git = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if git.returncode != 0:
        pytest.skip("not a git repository: which files belong to it is not known")
    tracked = {name for name in git.stdout.splitlines() if (ROOT / name).is_file()}
    assert tracked - dist.source == set()
    assert not [name for name in dist.source if re.match(r"\.venv|dist/|docs/_build|demo_output", name)]


def test_the_readme_is_short_and_stands_alone() -> None:
    """PyPI shows it, too: there, links into the repository lead nowhere."""
    assert len(README.splitlines()) < 100
    links = re.findall(r"(?:\]\(|src=\")([^)\"]+)", README)
    assert [link for link in links if not link.startswith("https://")] == []
    raw = "https://raw.githubusercontent.com/scggml/scggml/main/"
    blob = "https://github.com/scggml/scggml/blob/main/"
    ours = [link.removeprefix(raw).removeprefix(blob) for link in links if link.startswith((raw, blob))]
    assert ours
    assert [name for name in ours if not (ROOT / name).is_file()] == []
    assert {f"make {name}" for name in ("demo", "test")} <= set(re.findall(r"^make \w+", README, re.MULTILINE))


@pytest.mark.slow
def test_the_code_of_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    code = runpy.run_path(str(ROOT / "release" / "try_wheel.py"))["readme_code"]()
    assert len(code.splitlines()) <= 20
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "balanced accuracy" in done.stdout
    assert (tmp_path / "scores.png").stat().st_size > 10_000
