"""Bad input: every fault names the slot, the value, the choices and the next step."""

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from _cells import MATRICES, assert_same, make_adata, read

from scggml._anndata import read as _read
from scggml._anndata.read import check_classes, read_features


@pytest.fixture
def adata():
    return make_adata()


def fault(adata, error, message, **arguments):
    with pytest.raises(error, match=message):
        read(adata, **arguments)


def test_what_is_not_an_anndata_is_refused(adata):
    with pytest.raises(TypeError, match="adata is a DataFrame; an AnnData object is needed"):
        read_features(adata.obs)


def test_a_missing_sample_key_is_answered_with_the_columns(adata):
    del adata.obs["sample"]
    fault(adata, KeyError, r"sample_key='sample' is not a column of adata\.obs, which has 'label', 'weight'\.")


def test_a_missing_label_key_is_answered_with_the_columns(adata):
    message = r"label_key='lable' is not a column of adata\.obs, which has 'sample', 'label', 'weight'\."
    fault(adata, KeyError, message, label_key="lable")


def test_a_missing_weights_key_is_answered_with_the_columns(adata):
    message = r"weights_key='mass' is not a column of adata\.obs, which has 'sample', 'label', 'weight'\."
    fault(adata, KeyError, message, weights_key="mass")


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
        ("number", r"adata\.var\['number'\] has dtype int64 and shape \(3,\); a boolean"),
        (np.zeros(3, dtype=bool), "mask_var selects none of the 3 genes; at least one is needed"),
    ],
)
def test_a_mask_that_is_not_one_is_refused(adata, mask, message):
    adata.var["number"] = [0, 1, 1]
    fault(adata, ValueError, message, mask_var=mask)


def test_a_mask_of_genes_does_not_go_with_a_representation(adata):
    adata.obsm["X_pca"] = adata.X
    message = r"mask_var selects genes of \.X or a layer, but use_rep='X_pca' takes adata\.obsm; pass one of them"
    fault(adata, ValueError, message, use_rep="X_pca", mask_var=np.ones(3, dtype=bool))


def test_a_sample_with_two_labels_is_named_with_both(adata):
    adata.obs.loc[adata.obs_names[adata.obs["sample"] == "p0"][2:4], "label"] = "well"
    message = (
        r"1 of 4 samples have cells of more than one label: sample 'p0' of adata\.obs\['sample'\] has 'well', 'ill' in "
        r"adata\.obs\['label'\]\. A sample has one label: pass another label_key, or split such samples"
    )
    fault(adata, ValueError, message)


def test_all_samples_with_two_labels_are_counted(adata):
    adata.obs["label"] = np.arange(20) % 3
    fault(adata, ValueError, "4 of 4 samples have cells of more than one label")


@pytest.mark.parametrize("key", ["sample", "label"])
@pytest.mark.parametrize(
    "values",
    [
        lambda column: column.where(np.arange(20) > 2, np.nan),
        lambda column: column.where(np.arange(20) > 2, None),
        lambda column: pd.Categorical(column.where(np.arange(20) > 2)),
        lambda column: column.astype("string").where(np.arange(20) > 2),
        lambda column: column.map({"p0": 0.0, "p1": 1.0, "ill": 0.0, "well": 1.0}).where(np.arange(20) > 2, np.nan),
    ],
    ids=["nan", "None", "categorical", "string", "float"],
)
def test_missing_ids_and_labels_are_counted_with_the_first_cell(adata, key, values):
    adata.obs[key] = values(adata.obs[key])
    n = int(adata.obs[key].isna().sum())
    first = adata.obs_names[adata.obs[key].isna()][0]
    message = (
        rf"adata\.obs\['{key}'\] \({key}_key\) is missing for {n} of 20 cells \(the first is '{first}'\); "
        rf"leave these cells out with adata\[adata\.obs\['{key}'\]\.notna\(\)\]"
    )
    fault(adata, ValueError, message)


def test_the_text_nan_is_a_name_like_any_other(adata):
    adata.obs["sample"] = adata.obs["sample"].replace("p3", "nan")
    assert "nan" in read(adata).names


def test_the_sample_is_not_its_own_label(adata):
    message = "sample_key and label_key are both 'sample'; the label is the class of a sample, not its name"
    fault(adata, ValueError, message, label_key="sample")


def test_one_class_only_is_refused_with_its_name(adata):
    message = (
        r"label_key='label' has one class only \('ill'\); learning needs two or more\. Pass the column of adata\.obs"
    )
    ill = read(adata[adata.obs["label"] == "ill"])
    with pytest.raises(ValueError, match=message):
        check_classes(ill, "label")


def test_a_class_with_one_sample_is_refused_with_both_names(adata):
    cohort = read(adata[adata.obs["sample"] != "p3"])
    message = (
        r"Class 'ill' of label_key='label' has a single sample \('p0'\), so nothing can be learned about distances "
        r"within it\. Leave the class out \(adata\[adata\.obs\['label'\] != 'ill'\]\) or merge it with another"
    )
    with pytest.raises(ValueError, match=message):
        check_classes(cohort, "label")


def test_a_class_that_small_samples_leave_alone_is_refused(adata):
    with pytest.warns(UserWarning, match="leaves out 1 of 4"):
        cohort = read(adata, min_cells=4)
    with pytest.raises(ValueError, match=r"Class 'ill' .* single sample"):
        check_classes(cohort, "label")


def test_two_classes_of_two_samples_pass(adata):
    check_classes(read(adata), "label")


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


def test_duplicated_cell_names_are_counted_with_the_next_step(adata):
    names = adata.obs_names.to_numpy().copy()
    names[[4, 5, 6]] = "cell3"
    adata.obs_names = names
    message = (
        r"adata\.obs_names has 3 duplicated names \(the first is 'cell3'\); call adata\.obs_names_make_unique\(\) first"
    )
    fault(adata, ValueError, message)


@pytest.mark.parametrize("name", ["n_cells", "min_cells"])
@pytest.mark.parametrize("number", [0, -1, 2.5, "5", np.nan])
def test_numbers_of_cells_are_whole_and_positive(adata, name, number):
    fault(adata, (TypeError, ValueError), rf"{name}={number!r}", **{name: number})


def test_numpy_integers_are_numbers_of_cells(adata):
    assert_same(read(adata, n_cells=np.int64(3), min_cells=np.int32(1)), read(adata, n_cells=3, min_cells=1))


def test_too_few_cells_everywhere_is_refused_with_the_largest_sample(adata):
    message = "min_cells=8: none of the 4 samples has as many; the largest has 7"
    fault(adata, ValueError, message, min_cells=8)


def test_an_anndata_without_cells_is_refused(adata):
    fault(adata[:0].copy(), ValueError, r"adata has no cells|0 cells|no samples")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            lambda w: w.where(w.index != "cell7", -1.0),
            "negative or not finite for 1 cells; the first is 'cell7' with -1",
        ),
        (lambda w: w.where(w.index != "cell7", np.nan), "negative or not finite for 1 cells; .* 'cell7' with nan"),
        (lambda w: w.where(w.index != "cell7", np.inf), "negative or not finite for 1 cells; .* 'cell7' with inf"),
        (lambda w: w.astype("Float64").mask(w.index == "cell7"), "'cell7' with nan"),
        (lambda w: w.astype(str) + "x", r"adata\.obs\['weight'\] \(weights_key\) does not hold numbers"),
        (lambda w: pd.Categorical(["low"] * 20), r"adata\.obs\['weight'\] \(weights_key\) does not hold numbers"),
    ],
)
def test_weights_that_are_none_are_refused(adata, values, message):
    adata.obs["weight"] = values(adata.obs["weight"])
    fault(adata, ValueError, message, weights_key="weight")


def test_a_sample_without_any_weight_is_named(adata):
    adata.obs.loc[adata.obs["sample"] == "p3", "weight"] = 0.0
    message = r"weights of sample 'p3' in adata\.obs\['weight'\] sum to 0"
    fault(adata, ValueError, message, weights_key="weight")


def test_single_cells_without_weight_are_kept(adata):
    adata.obs.loc["cell0", "weight"] = 0.0
    cohort = read(adata, weights_key="weight")
    assert cohort.sizes.sum() == 20
    assert (cohort.weights == 0).sum() == 1


def test_a_long_list_of_choices_is_cut():
    assert _read.choices([f"c{i}" for i in range(20)]).count("'c") == 20
    assert _read.choices([f"c{i}" for i in range(21)]).endswith("'c19', ...")
    assert _read.choices([]) == "nothing"
