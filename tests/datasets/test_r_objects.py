import hashlib
import sys

import numpy as np
import pandas as pd
import pytest
import rdata

from scggml import datasets
from scggml.datasets._r_objects import column, load_r, part, table, texts


@pytest.fixture
def cells():
    return pd.DataFrame({"type": pd.Categorical(["B", None, "T"]), "n": [1.5, 2.0, np.nan], "name": ["x", "y", "z"]})


@pytest.fixture
def tree(tmp_path, cells):
    rdata.write_rds(tmp_path / "list.rds", {"meta": {"cells": cells}, "sizes": np.array([3, 4], dtype=np.int32)})
    return rdata.parser.parse_file(tmp_path / "list.rds").object


def test_a_data_frame_is_a_table_and_a_factor_is_categorical(tree, cells):
    found = table(part(tree, "meta", "cells"), ["c1", "c2", "c3"])
    pd.testing.assert_frame_equal(found, cells.set_index(pd.Index(["c1", "c2", "c3"])))
    assert texts(part(tree, "meta", "cells", "name")) == ["x", "y", "z"]
    np.testing.assert_array_equal(column(part(tree, "sizes")), [3, 4])


@pytest.mark.parametrize("name", ["made.rds", "made.RData"])
def test_a_file_of_one_object_and_one_of_variables(name, server, answer, cache, tmp_path):
    sizes = {"sizes": np.array([3, 4], dtype=np.int32)}
    if name == "made.rds":
        rdata.write_rds(tmp_path / name, sizes)
    else:
        rdata.write_rda(tmp_path / name, {"first": sizes})
    content = (tmp_path / name).read_bytes()
    url = server.set(f"/{name}", answer(content))
    loaded = load_r(url, hashlib.sha256(content).hexdigest())
    np.testing.assert_array_equal(column(part(loaded, "sizes")), [3, 4])
    assert [path.name for path in cache.iterdir()] == [name]


@pytest.mark.parametrize("name", ["lupus", "autism", "glioblastoma"])
def test_without_rdata_nothing_is_downloaded(name, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdata", None)
    with pytest.raises(ImportError, match=r"a file of R, which the package rdata reads: pip install 'scggml\[datasets"):
        getattr(datasets, name)()
    assert not cache.exists()
