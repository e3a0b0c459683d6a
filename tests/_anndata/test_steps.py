"""Steps of a user: cells and features are matched by name, the cells stay as they are, and faults are told early."""

import numpy as np
import pandas as pd
import pytest
from _small import QUIET, cohort
from anndata import AnnData

import scggml as sg
from scggml._anndata.steps import as_features

CELLS = pd.Index(["c0", "c1", "c2"]), pd.Index(["d0", "d1"])
FIRST, SECOND = np.arange(6.0).reshape(3, 2), -np.arange(4.0).reshape(2, 2)
TABLES = [
    pd.DataFrame(part, index=cells, columns=["a", "b"]) for part, cells in zip((FIRST, SECOND), CELLS, strict=True)
]


@pytest.mark.parametrize(
    "answer",
    [
        (FIRST, SECOND),
        [FIRST.tolist(), SECOND],
        TABLES,
        (TABLES[0].iloc[::-1], TABLES[1].iloc[::-1, ::-1]),
        (TABLES[0], SECOND),
        (FIRST, TABLES[1].iloc[::-1]),
        (pd.DataFrame(FIRST), pd.DataFrame(SECOND).iloc[::-1, ::-1]),
    ],
)
def test_tables_are_read_by_the_names_of_cells_and_features(answer):
    first, second = as_features(answer, *CELLS)
    np.testing.assert_array_equal(first, FIRST)
    np.testing.assert_array_equal(second, SECOND)


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (
            None,
            TypeError,
            r"^preprocess returned a NoneType; it must return two arrays \(cells, features\), that of the tr",
        ),
        ((FIRST, SECOND, 1), TypeError, "^preprocess returned 3 values; it must return two arrays"),
        (TABLES[0], TypeError, "^preprocess returned a DataFrame; it must return two"),
        (
            (AnnData(FIRST), AnnData(SECOND)),
            TypeError,
            r"^preprocess: features of training cells is an AnnData; pass \(cells",
        ),
        (
            (TABLES[0].rename(index={"c0": "x"}), SECOND),
            ValueError,
            "training cells does not have the 3 cells of the AnnDa",
        ),
        ((TABLES[0].iloc[1:], SECOND), ValueError, "it lacks 'c0'. Pass a table with exactly these cells, or an array"),
        ((TABLES[0].iloc[[0, 1, 2, 2]], SECOND), ValueError, "has several cells named 'c2'"),
        (
            (TABLES[0], TABLES[1].rename(columns={"a": "x"})),
            ValueError,
            "held-out cells does not have the 2 features of pre",
        ),
        (
            (FIRST, SECOND[:1]),
            ValueError,
            r"returned arrays of shape \(3, 2\) and \(1, 2\); it is given 3 training and 2",
        ),
        ((FIRST, 3.0), ValueError, r"returned arrays of shape \(3, 2\) and \(\)"),
        (
            (FIRST * 1e200, SECOND),
            ValueError,
            r"values that are above 1e\+75, whose squares overflow, for training cells",
        ),
        ((FIRST, SECOND * np.nan), ValueError, "values that are NaN or infinite for held-out cells"),
    ],
)
def test_what_is_no_answer_is_told(answer, error, text):
    with pytest.raises(error, match=text):
        as_features(answer, *CELLS)


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (sg.tl.Preprocess, r"^preprocess is the class Preprocess; pass an object, such as Preprocess\(\)"),
        (lambda cells: (cells.X, cells.X), "^preprocess=.* cannot be called with two arguments .*; pass a function of"),
        (lambda one, two, three: None, "cannot be called with two arguments .*'three'"),
    ],
)
def test_what_cannot_be_called_is_told_before_any_cell_is_read(step, text):
    adata = cohort()
    adata.X[0, 0] = np.nan
    with pytest.raises(TypeError, match=text):
        sg.tl.cross_validate(adata, "sample", "label", preprocess=step, **QUIET)


def erasing(training, held_out):
    found = training.X.copy(), held_out.X.copy()
    for part in (training, held_out):
        part.X[:] = 0
        part.obs_names = [f"x{i}" for i in range(part.n_obs)]
    return found


@pytest.mark.parametrize("evaluate", [sg.tl.cross_validate, sg.tl.permutation_test])
def test_a_step_that_works_in_place_changes_nothing(evaluate):
    adata, results = cohort(8), []
    options = {"n_splits": 2, "n_repeats": 2} | ({"n_permutations": 2} if evaluate is sg.tl.permutation_test else {})
    before = adata.X.copy()
    for step in (lambda training, held_out: (training.X, held_out.X), erasing):
        evaluate(adata, "sample", "label", preprocess=step, key_added="found", **options, **QUIET)
        results.append(adata.uns.pop("found"))
    np.testing.assert_array_equal(adata.X, before)
    name = "distances" if evaluate is sg.tl.cross_validate else "null"
    np.testing.assert_array_equal(results[0][name], results[1][name])
