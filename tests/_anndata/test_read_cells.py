"""Which cells of an AnnData the rows of a cohort are, and what type they have."""

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from _cells import make_adata

from scggml._anndata.read import read_categories, read_cohort, read_features, read_rows


@pytest.mark.parametrize("n_cells", [None, 1, 4, 100])
@pytest.mark.parametrize("min_cells", [1, 4])
@pytest.mark.filterwarnings("ignore:min_cells=4 leaves out")
def test_rows_are_those_that_the_cohort_was_read_from(n_cells, min_cells):
    adata = make_adata()
    rng = np.random.default_rng(7)
    twin = deepcopy(rng)
    options = {"n_cells": n_cells, "rng": rng}
    cohort = read_cohort(adata, read_features(adata), "sample", "label", min_cells=min_cells, **options)
    rows = read_rows(adata, cohort, "sample", n_cells=n_cells, rng=twin)
    np.testing.assert_array_equal(adata.X[rows], cohort.points)
    owner = np.repeat(cohort.names, cohort.sizes)
    np.testing.assert_array_equal(adata.obs["sample"].to_numpy()[rows], owner)


def test_categories_keep_their_order():
    adata = make_adata()
    adata.obs["type"] = pd.Categorical(["b", "a"] * 10, categories=["b", "unused", "a"])
    codes, names = read_categories(adata, "type", "cell_type_key")
    assert names.tolist() == ["b", "a"]
    assert codes.tolist() == [0, 1] * 10
    adata.obs["type"] = adata.obs["type"].astype(str)
    codes, names = read_categories(adata, "type", "cell_type_key")
    assert (names.tolist(), codes.tolist()) == (["a", "b"], [1, 0] * 10)


def test_a_missing_type_is_refused():
    adata = make_adata()
    adata.obs["type"] = [None, *["a"] * 19]
    with pytest.raises(ValueError, match=r"adata\.obs\['type'\] \(cell_type_key\) is missing for 1 of 20 cells"):
        read_categories(adata, "type", "cell_type_key")
    with pytest.raises(KeyError, match="cell_type_key='kind' is not a column"):
        read_categories(adata, "kind", "cell_type_key")
