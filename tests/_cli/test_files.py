import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer

from scggml._cli.files import as_json, check_outputs, write, write_table, write_text


def test_json_has_no_values_that_json_does_not_have() -> None:
    value = {
        1: np.float64("nan"),
        "a": np.arange(2),
        "t": pd.DataFrame({"x": [0.5, np.inf]}),
        "p": Path("x"),
        "n": pd.NA,
        "d": pd.NaT,
    }
    assert json.loads(as_json(value)) == {
        "1": None,
        "a": [0, 1],
        "t": [{"x": 0.5}, {"x": None}],
        "p": "x",
        "n": None,
        "d": None,
    }


@pytest.mark.parametrize(("ending", "separator"), [(".csv", ","), (".tsv", "\t")])
def test_tables(tmp_path: Path, ending: str, separator: str) -> None:
    table = pd.DataFrame({"a": [1.5, np.nan], "b": ["x", "y,z"]}, index=pd.Index(["r", "s"], name="row"))
    write_table(tmp_path / f"t{ending}", table, index=True)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / f"t{ending}", sep=separator, index_col=0), table)


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("before")

    def fail(part: Path) -> None:
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write(path, fail)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_leads_where_it_led_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "t.csv", tmp_path / "link.csv"
    target.write_text("before")
    target.chmod(0o600)
    link.symlink_to(target)
    write_text(link, "after")
    assert link.is_symlink()
    assert target.read_text() == "after"
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(typer.BadParameter, match="is a folder"):
        check_outputs([tmp_path / "x.csv"], [], (".csv",))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="who is root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(typer.BadParameter, match="nothing can be written"):
        check_outputs([tmp_path / "x.csv"], [], (".csv",))
    tmp_path.chmod(0o700)
