"""The matrix with the features: which one, in whatever storage, and what may be wrong with it."""

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from _cells import GENES, MATRICES, assert_same, make_adata, read
from scipy import sparse

from scggml._anndata.features import has_rep, pick, read_features


@pytest.fixture
def adata():
    return make_adata()


def fault(adata, error, message, **arguments):
    with pytest.raises(error, match=message):
        read(adata, **arguments)


# Where the features are


def test_features_from_every_slot_are_the_same_points(adata):
    truth = read(adata)
    X, adata.X = adata.X, np.zeros(adata.shape)
    adata.layers["log"] = X
    adata.obsm["array"], adata.obsm["sparse"] = X, sparse.csr_matrix(X)
    adata.obsm["csc"], adata.obsm["csr_array"] = sparse.csc_matrix(X), sparse.csr_array(X)
    adata.obsm["frame"] = pd.DataFrame(X, index=adata.obs_names, columns=["a", "b", "c"])
    assert_same(read(adata, layer="log"), truth)
    for name in ("array", "sparse", "csc", "csr_array", "frame"):
        assert_same(read(adata, use_rep=name), truth)
    assert not read(adata).points.any()


def test_features_have_names(adata):
    adata.layers["log"] = adata.X
    adata.obsm["X_pca"] = adata.X[:, :2]
    adata.obsm["frame"] = pd.DataFrame(adata.X, index=adata.obs_names, columns=["a", "b", "c"])
    assert read_features(adata).names.tolist() == GENES
    assert read_features(adata, layer="log").names.tolist() == GENES
    assert read_features(adata, use_rep="X").names.tolist() == GENES
    assert read_features(adata, use_rep="X_pca").names.tolist() == ["X_pca_0", "X_pca_1"]
    assert read_features(adata, use_rep="frame").names.tolist() == ["a", "b", "c"]


def test_it_is_known_whether_a_representation_is_there(adata):
    adata.obsm["X_pca"] = adata.X
    assert [has_rep(adata, name) for name in (None, "X", "X_pca", "X_umap")] == [True, True, True, False]


@pytest.mark.parametrize("kind", MATRICES)
def test_every_layout_of_a_matrix_is_read_alike(adata, kind):
    truth = read(adata)
    masked = read(adata, mask_var=np.array([True, False, True]))
    adata.X = MATRICES[kind](adata.X)
    assert_same(read(adata), truth)
    assert_same(read(adata, mask_var=np.array([True, False, True])), masked)


TYPES = [("f4", "f4"), ("f8", "f8"), ("i4", "f8"), ("u2", "f8"), ("i8", "f8"), ("bool", "f8")]


@pytest.mark.parametrize(
    ("dtype", "precision", "kind"),
    [("f2", "f4", "C order"), *((*pair, kind) for pair in TYPES for kind in ("C order", "csr_matrix", "csc_array"))],
)
def test_values_of_any_type_keep_their_precision(dtype, precision, kind):
    adata = make_adata()
    adata.X = np.abs(adata.X).astype(dtype)
    truth = adata.X.astype(precision)
    adata.X = MATRICES[kind](adata.X)
    cohort = read(adata)
    assert cohort.points.dtype == np.dtype(precision)
    rows = np.concatenate([np.flatnonzero(adata.obs["sample"] == name) for name in cohort.names])
    np.testing.assert_array_equal(cohort.points, truth[rows])


def test_a_view_is_read_as_its_copy_and_stays_a_view(adata):
    view = adata[adata.obs["sample"] != "p0", ["g2", "g0"]]
    cohort = read(view)
    assert view.is_view
    assert_same(cohort, read(view.copy()))
    assert cohort.names.tolist() == ["p2", "p3", "p1"]
    np.testing.assert_array_equal(np.sort(cohort.points[:, 1]), np.sort(view.X[:, 1]))


# Which genes


def test_highly_variable_genes_are_taken_where_they_are_marked(adata):
    assert read_features(adata, mask_var="auto").names.tolist() == GENES
    adata.var["highly_variable"] = [True, False, True]
    for mask in ("auto", "highly_variable", np.array([True, False, True]), adata.var["highly_variable"]):
        assert read_features(adata, mask_var=mask).names.tolist() == ["g0", "g2"]
        np.testing.assert_array_equal(read(adata, mask_var=mask).points, read(adata).points[:, [0, 2]])
    assert read_features(adata, mask_var=None).names.tolist() == GENES


def test_any_boolean_column_selects_genes(adata):
    adata.var["chosen"] = [False, False, True]
    adata.var["nullable"] = pd.array([False, False, True], dtype="boolean")
    adata.layers["log"] = 2 * adata.X
    assert read(adata, mask_var="chosen").points.shape == (20, 1)
    assert_same(read(adata, mask_var="nullable"), read(adata, mask_var="chosen"))
    np.testing.assert_array_equal(
        read(adata, layer="log", mask_var="chosen").points, 2 * read(adata, mask_var="chosen").points
    )


def test_highly_variable_genes_are_ignored_with_a_representation(adata):
    adata.var["highly_variable"] = [True, False, False]
    adata.obsm["X_pca"] = adata.X
    assert read(adata, use_rep="X_pca", mask_var="auto").n_features == 3


def test_features_are_picked_by_name_in_the_order_that_is_asked_for(adata):
    found = pick(read_features(adata), np.array(["g2", "g0"]), "features")
    np.testing.assert_array_equal(found.rows(np.array([1, 5])), adata.X[[1, 5]][:, [2, 0]])
    assert found.names.tolist() == ["g2", "g0"]
    message = r"adata\.X lacks 1 of the 2 genes of a panel: 'g9'\. Add them, or learn the metric on the features"
    with pytest.raises(ValueError, match=message):
        pick(read_features(adata), np.array(["g9", "g1"]), "genes of a panel")


def test_features_of_one_name_are_refused_where_that_name_is_asked_for(adata):
    adata.var_names = ["g0", "g1", "g1"]
    assert pick(read_features(adata), np.array(["g0"]), "features").columns.tolist() == [0]
    with pytest.raises(ValueError, match=r"several features named 'g1', .* adata\.var_names_make_unique\(\)"):
        pick(read_features(adata), np.array(["g0", "g1"]), "features")


# Files on disk and dask chunks


@pytest.fixture(params=["dense", "csr", "csc"])
def on_disk(request, tmp_path):
    """An AnnData in memory and the same on disk."""
    adata = make_adata(np.float32)
    stored = adata.copy()
    if request.param != "dense":
        stored.X = getattr(sparse, f"{request.param}_matrix")(adata.X)
    stored.layers["log"] = stored.X
    stored.write_h5ad(tmp_path / "cohort.h5ad")
    backed = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    yield adata, backed
    backed.file.close()


@pytest.fixture(params=["dense", "csr", "csc"])
def in_chunks(request):
    """An AnnData in memory and the same in dask chunks that no sample fits."""
    adata = make_adata(np.float32)
    lazy = adata.copy()
    lazy.X = da.from_array(adata.X, chunks=(6, 2 if request.param == "dense" else -1))
    if request.param != "dense":
        lazy.X = lazy.X.map_blocks(getattr(sparse, f"{request.param}_matrix"))
    lazy.obsm["lazy"] = lazy.X
    return adata, lazy


def test_chunks_are_read_from_every_slot(in_chunks):
    adata, lazy = in_chunks
    for use_rep in (None, "lazy"):
        np.testing.assert_array_equal(
            read_features(lazy, use_rep=use_rep).rows(np.array([2, 3, 11])), adata.X[[2, 3, 11]]
        )
    assert isinstance(lazy.X, da.Array)


# Faults


def test_what_is_not_an_anndata_is_refused(adata):
    with pytest.raises(TypeError, match="adata is a DataFrame; an AnnData object is needed"):
        read_features(adata.obs)


def test_a_missing_representation_is_answered_with_those_that_are_there(adata):
    adata.obsm["X_umap"], adata.obsm["X_scVI"] = adata.X, adata.X
    message = r"use_rep='X_harmony' is not in adata\.obsm, which holds 'X_umap', 'X_scVI'\.\"?$"
    fault(adata, KeyError, message, use_rep="X_harmony")


def test_a_missing_pca_is_answered_with_how_to_compute_it(adata):
    message = r"use_rep='X_pca' is not in adata\.obsm, which holds nothing\. Compute it first with sc\.pp\.pca\(adata\)"
    fault(adata, KeyError, message, use_rep="X_pca")


def test_a_missing_layer_is_answered_with_those_that_are_there(adata):
    adata.layers["counts"] = adata.X
    fault(adata, KeyError, r"layer='log' is not in adata\.layers, which holds 'counts'\.", layer="log")


def test_a_missing_x_is_answered_with_the_alternatives(adata):
    adata.obsm["X_pca"], adata.layers["counts"] = adata.X, adata.X
    adata.X = None
    message = r"adata\.X is empty; pass use_rep \(adata\.obsm holds 'X_pca'\) or layer \(adata\.layers holds 'counts'\)"
    fault(adata, ValueError, message)


def test_two_matrices_at_once_are_refused(adata):
    message = "use_rep='X_pca' and layer='log' name two matrices; pass one of them"
    fault(adata, ValueError, message, use_rep="X_pca", layer="log")


def test_a_missing_mask_is_answered_with_the_columns(adata):
    adata.var["highly_variable"] = True
    message = r"mask_var='hvg' is not a column of adata\.var, which has 'highly_variable'\."
    fault(adata, KeyError, message, mask_var="hvg")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.array([True, False]), r"mask_var has dtype bool and shape \(2,\); a boolean for each of the 3 genes"),
        (np.array([0, 2]), r"mask_var has dtype int64 and shape \(2,\); a boolean"),
        ("number", r"adata\.var\['number'\] \(mask_var\) of dtype int64 holds 2; a boolean for each of the 3 genes"),
        (np.zeros(3, dtype=bool), "mask_var selects none of the 3 genes; at least one is needed"),
    ],
)
def test_a_mask_that_is_not_one_is_refused(adata, mask, message):
    adata.var["number"] = [0, 2, 1]
    fault(adata, ValueError, message, mask_var=mask)


OTHERS = {
    "nullable": pd.array([True, None, False], dtype="boolean"),
    "joined tables": np.array([True, np.nan, False], dtype=object),
    "numbers": [1, 0, 0],
    "text of R": pd.Categorical(["TRUE", "FALSE", "FALSE"]),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("mask", ["auto", "highly_variable"])
def test_a_mask_may_have_the_type_that_another_tool_gave_it(adata, kind, mask):
    adata.var["highly_variable"] = OTHERS[kind]
    assert read_features(adata, mask_var=mask).names.tolist() == ["g0"]


def test_a_nullable_mask_may_be_passed(adata):
    for make in (pd.array, pd.Series):
        assert read_features(adata, mask_var=make([True, None, False], dtype="boolean")).names.tolist() == ["g0"]


def test_a_mask_that_was_taken_by_itself_says_so(adata):
    instead = r'mask_var="auto" took this column by itself; pass mask_var=None for all genes, or a mask'
    for values, what in (([3, 0, 1], "holds 3;"), ([False] * 3, "selects none"), ([None] * 3, "selects none")):
        adata.var["highly_variable"] = values
        fault(adata, ValueError, rf"adata\.var\['highly_variable'\].* {what}.*{instead}", mask_var="auto")
        with pytest.raises(ValueError, match=what) as found:
            read_features(adata, mask_var="highly_variable")
        assert "auto" not in str(found.value)
    adata.var = pd.concat([adata.var, adata.var], axis=1)
    fault(adata, ValueError, rf"2 columns named 'highly_variable' \(mask_var\); rename .*{instead}", mask_var="auto")


BINARY = np.array([[True, False], [False, False]] * 10)
MEASURED = {
    "flags": BINARY,
    "sparse flags": sparse.csr_matrix(BINARY),
    "csc flags": sparse.csc_matrix(BINARY),
    "nullable": pd.DataFrame(BINARY.astype(int)).convert_dtypes(),
    "nullable flags": pd.DataFrame(BINARY).convert_dtypes(),
    "objects": pd.DataFrame(BINARY.astype(object)),
}


@pytest.mark.parametrize("kind", MEASURED)
def test_features_may_have_the_type_that_another_tool_gave_them(adata, kind):
    values = MEASURED[kind]
    adata.obsm["X_f"] = values.set_axis(adata.obs_names) if isinstance(values, pd.DataFrame) else values
    rows = read_features(adata, use_rep="X_f").rows(np.arange(20))
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows, BINARY)


def test_features_that_are_no_numbers_are_named(adata):
    adata.obsm["X_f"] = pd.DataFrame({"ok": 1.0, "kind": "x"}, index=adata.obs_names)
    fault(
        adata,
        ValueError,
        r"adata\.obsm\['X_f'\] has a column 'kind' of dtype object; .* \.astype\(float\)",
        use_rep="X_f",
    )


def test_missing_numbers_are_counted_with_the_first_place(adata):
    values = pd.array([1, None] + [3] * 18, dtype="Int64")
    adata.obsm["X_f"] = pd.DataFrame({"ok": 1.0, "part": values}, index=adata.obs_names)
    fault(
        adata,
        ValueError,
        "1 values that are NaN or infinite; the first is in cell 'cell1', feature 'part'",
        use_rep="X_f",
    )


def test_a_mask_of_genes_does_not_go_with_a_representation(adata):
    adata.obsm["X_pca"] = adata.X
    message = r"mask_var selects genes of \.X or a layer, but use_rep='X_pca' takes adata\.obsm; pass one of them"
    fault(adata, ValueError, message, use_rep="X_pca", mask_var=np.ones(3, dtype=bool))


@pytest.mark.parametrize("kind", ["C order", "csr_matrix", "csc_matrix"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_with_the_first_place(adata, kind, value):
    adata.X[[17, 5, 5, 11], [0, 2, 1, 0]] = value
    adata.X = MATRICES[kind](adata.X)
    message = (
        r"adata\.X has 4 values that are NaN or infinite; the first is in cell 'cell5', feature 'g1'\. Leave such "
        "cells or features out, or impute them"
    )
    fault(adata, ValueError, message)


def test_values_that_are_not_finite_are_found_in_every_slot(adata):
    bad = adata.X.copy()
    bad[3, 1] = np.inf
    adata.layers["log"], adata.obsm["X_pca"] = bad, bad
    adata.obsm["frame"] = pd.DataFrame(bad, index=adata.obs_names, columns=["a", "b", "c"])
    place = "has 1 values that are NaN or infinite; the first is in cell 'cell3', feature"
    fault(adata, ValueError, rf"adata\.layers\['log'\] {place} 'g1'", layer="log")
    fault(adata, ValueError, rf"adata\.obsm\['X_pca'\] {place} 'X_pca_1'", use_rep="X_pca")
    fault(adata, ValueError, rf"adata\.obsm\['frame'\] {place} 'b'", use_rep="frame")


def test_values_on_disk_and_in_chunks_are_checked_too(tmp_path):
    adata = make_adata(np.float32)
    adata.X[3, 1] = np.nan
    adata.write_h5ad(tmp_path / "cohort.h5ad")
    backed = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    fault(backed, ValueError, "first is in cell 'cell3', feature 'g1'")
    backed.file.close()
    adata.X = da.from_array(adata.X, chunks=(6, -1))
    fault(adata, ValueError, "first is in cell 'cell3', feature 'g1'")


def test_values_in_genes_that_are_not_used_do_not_matter(adata):
    adata.X[3, 1] = np.nan
    assert np.isfinite(read(adata, mask_var=np.array([True, False, True])).points).all()


def test_text_among_the_features_is_refused_with_its_slot(adata):
    frame = pd.DataFrame(adata.X, index=adata.obs_names, columns=["a", "b", "c"]).assign(b="text")
    adata.obsm["frame"] = frame
    fault(adata, (TypeError, ValueError), r"adata\.obsm\['frame'\]", use_rep="frame")


def test_features_of_three_axes_are_refused_with_their_slot(adata):
    adata.obsm["cube"] = np.zeros((20, 2, 2))
    fault(adata, ValueError, r"adata\.obsm\['cube'\]", use_rep="cube")


# Masks that have names


def test_a_mask_with_names_goes_by_them(adata):
    names = adata.var_names
    flags = pd.Series([True, False, True], index=names)
    for given in (flags, flags[::-1], flags.astype("boolean")[::-1], pd.Series(flags.to_numpy())):
        assert read_features(adata, mask_var=given).names.tolist() == [names[0], names[2]]


def test_a_mask_with_other_names_is_refused(adata):
    for index in (["g0", "g1", "other"], ["g0", "g0", "g1"]):
        message = r"mask_var is a Series of 3 flags by other names than adata\.var_names \(3 genes, .*\.reindex\("
        fault(adata, ValueError, message, mask_var=pd.Series([True, False, True], index=index))


def test_a_masked_mask_is_refused(adata):
    mask = np.ma.masked_array([True, True, False], mask=[True, False, False])
    fault(adata, TypeError, r"mask_var is a masked array, .* fill it with \.filled\(False\)", mask_var=mask)
