import json
from pathlib import Path

import pytest
from _command_line import call, good
from _learned import KEYS, ONE

from scggml._cli.config import read_config

KNOWN = {"learn": {"sample_key", "n_comps"}, "genes": {"n_genes"}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.toml", '[learn]\nsample-key = "s"\nn_comps = 2\n[genes]\nn_genes = 3\n'),
        ("c.json", '{"learn": {"sample-key": "s", "n_comps": 2}, "genes": {"n_genes": 3}}'),
    ],
)
def test_options_by_command(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_config(tmp_path / name, KNOWN) == {"learn": {"sample_key": "s", "n_comps": 2}, "genes": {"n_genes": 3}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[lern]\n", "'lern' is no command; choose from 'learn', 'genes'"),
        ("[learn]\nkey = 1\n", "'learn' has no option 'key'; choose from 'n_comps', 'sample_key'"),
        ("learn = 3\n", "'learn' is a int"),
        ("[learn\n", "cannot be read"),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ValueError, match=r"c\.toml") as error:
        read_config(tmp_path / "c.toml", KNOWN)
    assert said in str(error.value)


def test_json_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("[1]")
    with pytest.raises(ValueError, match="holds a list"):
        read_config(tmp_path / "c.json", KNOWN)


def test_a_file_gives_options_and_what_is_typed_wins(results: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        '[learn]\nsample-key = "sample_id"\nlabel_key = "label"\nuse_rep = "X_pca"\nn_comps = 2\nn_cells = 10\n'
        'summary = "none"\njson = true\nn_jobs = 1\n[evaluate]\nn_repeats = 1\n'
    )
    words = ["learn", results / "cohort.h5ad", "-o", tmp_path / "x.h5ad", "--config", tmp_path / "c.toml"]
    told = json.loads(good(*words))
    assert (told["n_components"], told["reading"]["n_cells"]) == (2, 10)
    told = json.loads(good(*words, "--n-comps", "1"))
    assert (told["n_components"], told["reading"]["n_cells"]) == (1, 10)


def test_a_single_value_of_a_list_is_a_list(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.h5ad"
    (tmp_path / "c.json").write_text(json.dumps({"learn": {"label-kind": "classes", "output": str(out), "n_comps": 1}}))
    words = ["learn", results / "cohort.h5ad", *KEYS, *ONE, "--use-rep", "X_pca", "--config", tmp_path / "c.json"]
    assert json.loads(good(*words, "--json"))["reading"]["label_kind"] == "classes"
    assert out.is_file()


@pytest.mark.parametrize(("line", "said"), [("n_cells = true", "is no switch"), ("summary = {n = 3}", "is a table")])
def test_values_of_another_kind_are_refused(results: Path, tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "c.toml").write_text(f"[learn]\n{line}\n")
    out = tmp_path / "x.h5ad"
    done = call("learn", results / "cohort.h5ad", *KEYS, "-o", out, "--config", tmp_path / "c.toml")
    assert done.code == 2
    assert said in " ".join(done.err.split())


def test_an_unknown_option_ends_with_2(results: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[evaluate]\nrepeats = 1\n")
    done = call("learn", results / "cohort.h5ad", "-o", tmp_path / "x.h5ad", "--config", tmp_path / "c.toml")
    assert done.code == 2
    assert "'evaluate' has no option 'repeats'" in " ".join(done.err.split())
