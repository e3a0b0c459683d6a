"""Values that could be taken for others: ids of two types, masked and complex values, objects, flat data."""

import numpy as np
import pandas as pd
import pytest
from _slots import assert_same, slots
from _small import QUIET, cohort
from anndata import AnnData

import scggml as sg


def fails(adata, error, message, **options):
    before = slots(adata)
    for call in (sg.tl.ggml, sg.tl.cross_validate):
        given = {"n_comps": 1} if call is sg.tl.ggml else {"methods": ["majority"], "n_splits": 2, "preprocess": None}
        with pytest.raises(error, match=message):
            call(adata, "sample", "label", **(given | QUIET | options))
    assert_same(slots(adata), before)


COLUMNS = {
    "number and text": ([0, "0"], r"has 0 \(int\) and '0' \(str\), which are the same as text; rename one"),
    "flag and text": ([True, "True"], r"has True \(bool\) and 'True' \(str\), which are the same as text"),
    "float and text": ([1.0, "1.0"], r"has 1\.0 \(float\) and '1\.0' \(str\), which are the same as text"),
    "two numbers": ([1, 1.0], r"has 1 and 1\.0, which are equal but differ as text; make them the same type"),
    "bytes and text": ([b"a", "a"], r"has b'a' \(bytes\) and 'a' \(str\), which are the same as text"),
    "flag and number": ([True, 1], r"has True and 1, which are equal but differ as text"),
}


@pytest.mark.parametrize("stored", ["objects", "categories"])
@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("key", ["sample", "label", "donor", "site"])
def test_values_that_are_one_as_text_are_not_merged(key, name, stored):
    pair, message = COLUMNS[name]
    adata = cohort()
    column = pd.Series(np.array([pair[i % 2] for i in range(6)], dtype=object).repeat(5), index=adata.obs_names)
    if stored == "categories":
        if name in ("two numbers", "flag and number"):
            return  # equal values are one category
        column = column.astype("category")
    adata.obs[key] = column
    options = {"donor": {"groups_key": "donor"}, "site": {"batch_key": "site"}}.get(key, {})
    argument = {"donor": "groups_key", "site": "batch_key"}.get(key, f"{key}_key")
    fails(adata, ValueError, rf"^adata\.obs\['{key}'\] \({argument}\) {message}", **options)


def test_columns_of_several_types_whose_text_differs_are_read():
    adata = cohort()
    adata.obs["sample"] = pd.Series(np.array([0, "1", 2.5, "x", 4, True], dtype=object).repeat(5), adata.obs_names)
    sg.tl.ggml(adata, "sample", "label", n_comps=1, **QUIET)
    assert list(adata.uns["ggml"]["samples"]) == ["0", "1", "2.5", "x", "4", "True"]


@pytest.mark.parametrize("where", ["X", "layer", "obsm"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X + 1j, "has complex numbers; real numbers of cells x features are needed"),
        (lambda X: X.astype(object), "has dtype object; real numbers of cells x features are needed"),
        (lambda X: X.astype(str), "has dtype <U32; real numbers of cells x features are needed"),
    ],
)
def test_matrices_of_other_values_are_refused(where, change, message):
    adata = cohort()
    values = change(np.asarray(adata.X))
    options = {"X": {}, "layer": {"layer": "other"}, "obsm": {"use_rep": "X_other"}}[where]
    if where == "X":
        adata = AnnData(values, obs=adata.obs)
    elif where == "layer":
        adata.layers["other"] = values
    else:
        adata.obsm["X_other"] = values
    slot = {"X": r"adata\.X", "layer": r"adata\.layers\['other'\]", "obsm": r"adata\.obsm\['X_other'\]"}[where]
    fails(adata, ValueError, rf"^{slot} {message}", **options)


def test_masked_values_are_no_data():
    adata = cohort()
    adata.obsm["X_other"] = np.ma.masked_greater(np.asarray(adata.X), 2.0)
    if not np.ma.isMaskedArray(adata.obsm["X_other"]):
        pytest.skip("this version of anndata keeps no masks")
    fails(adata, TypeError, r"^adata\.obsm\['X_other'\] is a masked array, .* fill it with", use_rep="X_other")


@pytest.mark.parametrize(
    ("values", "dtype"), [(["1"] * 30, "object|str"), ([1j] * 30, "complex128"), ([True, 2] * 15, "object")]
)
def test_weights_are_real_numbers(values, dtype):
    adata = cohort()
    adata.obs["w"] = pd.Series(values, index=adata.obs_names)
    fails(adata, ValueError, rf"\['w'\] \(weights_key\) does not hold numbers, but dtype ({dtype})", weights_key="w")


def test_complex_numbers_are_no_covariate():
    adata = cohort()
    adata.obs["z"] = np.repeat(np.arange(6), 5) + 1j
    fails(adata, ValueError, r"adata\.obs\['z'\] \(covariate_keys\) has .*; numbers are needed", covariate_keys=["z"])


# Flat data


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_data_along_one_line_carry_one_component(dtype):
    adata = cohort()
    line = np.asarray(adata.X)[:, :1].astype(dtype) @ np.array([[1.0, -2.0, 0.5, 3.0]], dtype=dtype) + dtype(100)
    adata = AnnData(line, obs=adata.obs)
    with pytest.raises(ValueError, match=r"n_comps=2 is not between 1 and 1, the rank of adata\.X"):
        sg.tl.ggml(adata, "sample", "label", n_comps=2, **QUIET)
    sg.tl.ggml(adata, "sample", "label", **QUIET)
    assert adata.obsm["X_ggml"].shape == (30, 1)


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_the_rank_is_that_of_the_cells_around_their_mean(rank):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(30, rank)) @ rng.normal(size=(rank, 6)) + 50.0
    adata = AnnData(X, obs=cohort().obs)
    sg.tl.ggml(adata, "sample", "label", n_comps=rank, **QUIET)
    with pytest.raises(ValueError, match=rf"n_comps={rank + 1} is not between 1 and {rank}, the rank"):
        sg.tl.ggml(adata, "sample", "label", n_comps=rank + 1, **QUIET)


def test_small_features_are_no_rounding():
    X = np.random.default_rng(1).normal(size=(30, 2)) * [1.0, 1e-9]
    adata = AnnData(X, obs=cohort().obs)
    sg.tl.ggml(adata, "sample", "label", n_comps=2, **QUIET)
    assert adata.obsm["X_ggml"].shape == (30, 2)


# Matrices that hold nothing


@pytest.mark.parametrize("preprocess", [None, "auto"])
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((30, 3)), r"^adata\.X is the same for all 30 cells that are read \(0 throughout\)"),
        (np.tile([1.0, 2.0, 3.5], (30, 1)), r"^adata\.X is the same for all 30 cells .* \(each feature constant\)"),
        (np.zeros((30, 0)), r"^adata\.X has 0 features for 30 cells; at least one is needed"),
    ],
)
def test_matrices_that_tell_nothing_apart_are_refused(X, message, preprocess):
    adata = AnnData(X.astype(np.float32), obs=cohort().obs)
    for call, options in (
        (sg.tl.cross_validate, {"methods": ["euclidean"]}),
        (sg.tl.permutation_test, {"n_permutations": 2}),
        (sg.tl.tune, {"space": {"n_comps": [1]}}),
    ):
        with pytest.raises(ValueError, match=message):
            call(adata, "sample", "label", n_splits=2, preprocess=preprocess, **options, **QUIET)


def test_features_that_are_constant_among_training_cells_are_refused():
    adata = cohort()
    step = lambda training, held_out: (np.ones((training.n_obs, 2)), np.asarray(held_out.X)[:, :2])  # noqa: E731
    with pytest.raises(ValueError, match=r"preprocess returned features that are the same for all \d+ training cells"):
        sg.tl.cross_validate(adata, "sample", "label", methods=["majority"], n_splits=2, preprocess=step, **QUIET)


@pytest.mark.parametrize("preprocess", [None])
def test_raw_counts_without_preprocessing_are_told_of(preprocess):
    adata = cohort()
    adata.X = np.rint(np.abs(adata.X) * 10).astype(np.float32)
    message = r"adata\.X looks like raw counts \(whole numbers up to"
    options = {"n_splits": 2, "preprocess": preprocess, **QUIET}
    with pytest.warns(UserWarning, match=message):
        sg.tl.cross_validate(adata, "sample", "label", methods=["majority"], **options)
    with pytest.warns(UserWarning, match=message):
        sg.tl.ggml(adata, "sample", "label", n_comps=1, **QUIET)
    with pytest.warns(UserWarning, match=message):
        sg.tl.distances(adata, metric="euclidean", sample_key="sample", label_key="label", progress=False)
