import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scggml._cli.files import as_json, write, write_table


def test_json_has_no_values_that_json_does_not_have() -> None:
    value = {
        1: np.float64("nan"),
        "a": np.arange(2),
        "t": pd.DataFrame({"x": [0.5, np.inf]}),
        "p": Path("x"),
        "n": pd.NA,
    }
    assert json.loads(as_json(value)) == {"1": None, "a": [0, 1], "t": [{"x": 0.5}, {"x": None}], "p": "x", "n": None}


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
