"""Bad input to `tl.ggml`: the message names what is wrong, and no slot of the AnnData has changed."""

import numpy as np
import pandas as pd
import pytest
from _slots import assert_same, slots
from scipy import sparse

import scggml as sg


def fails(adata, error, message, *keys, **options):
    before, was_view = slots(adata), adata.is_view
    with pytest.raises(error, match=message):
        sg.tl.ggml(adata, *(keys or ("sample_id", "label")), **({"n_comps": 2, "progress": False} | options))
    assert_same(slots(adata), before)
    assert adata.is_view == was_view


def relabel(adata, label):
    adata.obs["label"] = pd.Categorical(label(adata.obs["sample_id"].astype(str)))


def put(adata, value):
    adata.X[7, 2] = value


def rename_cells(adata):
    adata.obs_names = ["cell0", *adata.obs_names[:-1]]


INPUTS = {
    "missing sample key": (
        lambda adata: adata.obs.pop("sample_id"),
        KeyError,
        r"sample_key='sample_id' is not a column of adata\.obs, which has 'label'",
    ),
    "missing label key": (
        lambda adata: adata.obs.pop("label"),
        KeyError,
        r"label_key='label' is not a column of adata\.obs, which has 'sample_id'",
    ),
    "sample without id": (
        lambda adata: adata.obs.isetitem(0, adata.obs["sample_id"].where(np.arange(adata.n_obs) > 0)),
        ValueError,
        r"adata\.obs\['sample_id'\] \(sample_key\) is missing for 1 of 108 cells \(the first is 'cell0'\); leave",
    ),
    "sample without label": (
        lambda adata: relabel(adata, lambda s: s.str[:6].where(s != "class1_02")),
        ValueError,
        r"adata\.obs\['label'\] \(label_key\) is missing for 12 of 108 cells \(the first is 'cell60'\); leave",
    ),
    "two labels": (
        lambda adata: relabel(adata, lambda s: s.str[:6].where(np.arange(len(s)) > 0, "class1")),
        ValueError,
        r"sample 'class0_00' of adata\.obs\['sample_id'\] has 'class1', 'class0' in adata\.obs\['label'\]",
    ),
    "one class": (
        lambda adata: relabel(adata, lambda s: s.str[:5]),
        ValueError,
        r"label_key='label' has one class only \('class'\); learning needs two or more",
    ),
    "class of one sample": (
        lambda adata: relabel(adata, lambda s: s.str[:6].where(s != "class2_01", "rare")),
        ValueError,
        r"Class 'rare' of label_key='label' has a single sample \('class2_01'\).*Leave the class out",
    ),
    "nan": (
        lambda adata: put(adata, np.nan),
        ValueError,
        r"adata\.X has 1 values that are NaN or infinite; the first is in cell 'cell7', feature 'noise_2'",
    ),
    "infinite": (
        lambda adata: put(adata, -np.inf),
        ValueError,
        r"adata\.X has 1 values that are NaN or infinite; the first is in cell 'cell7', feature 'noise_2'",
    ),
    "duplicated names": (
        rename_cells,
        ValueError,
        r"adata\.obs_names has 1 duplicated names \(the first is 'cell0'\); call adata\.obs_names_make_unique\(\)",
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_bad_cells_are_refused_and_nothing_is_written(adata, name):
    change, error, message = INPUTS[name]
    change(adata)
    fails(adata, error, message)


@pytest.mark.parametrize("name", ["two labels", "nan"])
def test_a_view_that_is_refused_stays_a_view(adata, name):
    change, error, message = INPUTS[name]
    change(adata)
    fails(adata[:, ::-1], error, message)


def test_a_refused_call_leaves_an_earlier_metric(learned):
    put(learned, np.nan)
    fails(learned, ValueError, "adata.X has 1 values")


def test_a_refused_call_with_copy_leaves_the_original(adata):
    put(adata, np.nan)
    fails(adata, ValueError, "adata.X has 1 values", copy=True)


def test_every_cell_is_checked_and_not_only_those_that_are_drawn(adata):
    # all cells are embedded in the end, so what is not finite anywhere would be written
    put(adata, np.nan)
    fails(adata, ValueError, r"adata\.X has 1 values .* cell 'cell7', feature 'noise_2'", n_cells=1)


def test_what_is_no_anndata_is_refused(adata):
    with pytest.raises(TypeError, match="adata is a DataFrame; an AnnData object is needed"):
        sg.tl.ggml(adata.obs, "sample_id", "label")


SLOTS = {
    "use_rep": ("X_scVI", KeyError, r"use_rep='X_scVI' is not in adata\.obsm, which holds 'X_umap'\."),
    "layer": ("log", KeyError, r"layer='log' is not in adata\.layers, which holds 'raw'\."),
    "weights_key": (
        "mass",
        KeyError,
        r"weights_key='mass' is not a column of adata\.obs, which has 'sample_id', 'label'",
    ),
    "mask_var": ("hvg", KeyError, r"mask_var='hvg' is not a column of adata\.var, which has 'signal'\."),
}


@pytest.mark.parametrize("name", SLOTS)
def test_missing_slots_are_refused_with_those_that_are_there(adata, name):
    adata.obsm["X_umap"], adata.layers["raw"] = adata.X[:, :2], adata.X
    value, error, message = SLOTS[name]
    fails(adata, error, message, **{name: value})


def test_a_pca_that_is_missing_is_asked_for(adata):
    fails(adata, KeyError, r"use_rep='X_pca' .* Compute it first with sc\.pp\.pca\(adata\)", use_rep="X_pca")


def test_the_sample_cannot_be_its_own_label(adata):
    fails(adata, ValueError, "sample_key and label_key are both 'label'", "label", "label")


# Numbers and choices


NAN, INF = float("nan"), float("inf")
NUMBERS = {
    "n_comps": [0, -1, 5, 2.5, NAN, "2", None],
    "margin": [0, -1.0, NAN, INF, "large", None],
    "reg": [-0.1, NAN, INF, "small", None],
    "lr": [0, -0.1, NAN, INF, "fast", None],
    "max_iter": [-1, 2.5, NAN, "many", None],
    "tol": [-1e-3, 1, NAN, "fine", None],
    "batch_size": [1, 0, -4, 2.5, NAN, "all"],
    "n_cells": [0, -1, 2.5, NAN, "all"],
    "min_cells": [0, -1, 2.5, NAN, "all", None],
    "n_jobs": [0, -2, 1.5, "all"],
    "shrinkage": [-0.1, 1.5, NAN, INF, "half", None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in NUMBERS.items() for value in values])
def test_a_number_that_is_none_or_out_of_range_is_named(adata, name, value):
    fails(adata, (TypeError, ValueError), rf"^{name}={value!r}", **{name: value})


@pytest.mark.parametrize("number", [np.int64(2), np.int32(2), np.float32(2), np.float64(2)])
def test_numbers_of_numpy_are_numbers(adata, number):
    names = ["margin", "reg", "lr"]
    if isinstance(number, np.integer):
        names += ["n_comps", "max_iter", "batch_size", "n_cells", "min_cells", "n_jobs"]
    for name in names:
        other = adata.copy()
        options = {"n_comps": 2, "max_iter": 2, "tol": 0, "progress": False}
        sg.tl.ggml(adata, "sample_id", "label", **(options | {name: number}))
        sg.tl.ggml(other, "sample_id", "label", **(options | {name: number.item()}))
        np.testing.assert_array_equal(adata.obsm["X_ggml"], other.obsm["X_ggml"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("penalty", "l2", r"penalty='l2' is not known; choose from \('fro', 'l1', 'l21', 'nuc'\)"),
        ("penalty", None, "penalty=None is not known"),
        ("anchors", "some", r"anchors='some' is not known; choose from \('all', 'distinct'\)"),
        (
            "init",
            "random",
            r"init='random' is not known; choose from \('canonical', 'orthonormal', 'pca'\)",
        ),
        ("init", None, "init=None is not known"),
        ("solver", "sinkhorn", r"solver='sinkhorn' is not known; choose from \('exact',\) or pass an Exact\(\)"),
        ("solver", 3, r"solver is a int; pass a name of \('exact',\) or an Exact\(\)"),
        ("solver", sg.tl.Exact, r"solver is a class; pass a name of \('exact',\) or an Exact\(\)"),
    ],
)
def test_a_choice_that_is_none_is_answered_with_the_choices(adata, name, value, message):
    fails(adata, (TypeError, ValueError), message, **{name: value})


@pytest.mark.parametrize("value", ["seed", 1.5, -1])
def test_a_seed_that_is_none_is_refused(adata, value):
    fails(adata, (TypeError, ValueError), "rng|SeedSequence|non-negative", rng=value)


@pytest.mark.parametrize(
    "start",
    [np.ones((2, 3)), np.ones((3, 4)), np.ones(4), np.zeros((2, 4)), np.full((2, 4), NAN), np.array([["a"] * 4] * 2)],
    ids=["features", "components", "vector", "zeros", "nan", "text"],
)
def test_a_start_that_does_not_fit_is_refused_with_the_shape(adata, start):
    message = r"init is an array of shape .*; finite numbers of shape \(n_comps, n_features\) = \(2, 4\), not all 0"
    fails(adata, (TypeError, ValueError), message, init=start)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ridge": 0}, r"Canonical\(ridge=0\)"),
        ({"ridge": NAN}, r"Canonical\(ridge=nan\)"),
        ({"n_alternations": 0}, r"Canonical\(n_alternations=0\)"),
        ({"max_features": 0}, r"Canonical\(max_features=0\)"),
    ],
)
def test_bad_options_of_canonical_variates_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        sg.tl.Canonical(**options)


@pytest.mark.parametrize("number", [0, -1])
def test_bad_options_of_the_solver_are_named(number):
    with pytest.raises(ValueError, match=rf"Exact: max_iter={number} must be at least 1 pivot"):
        sg.tl.Exact(max_iter=number)
    with pytest.raises(ValueError, match=r"Exact\(backend='cplex'\) is not known; choose from \('simplex', 'pot'\)"):
        sg.tl.Exact(backend="cplex")
    with pytest.raises(ValueError, match=r"Exact: cache_size=-1 must be a number of megabytes"):
        sg.tl.Exact(cache_size=-1)


# Rank


def test_more_components_than_features_are_refused_with_the_largest_number(adata):
    message = (
        r"n_comps=9 is not between 1 and 4, the rank of adata\.X \(108 cells, 4 of 4 features vary\); pass n_comps=4"
    )
    fails(adata, ValueError, message, n_comps=9)


def test_features_that_do_not_vary_do_not_count(adata):
    adata.X[:, 1:] = 3.0
    fails(adata, ValueError, r"between 1 and 1, the rank .* 1 of 4 features vary\); pass n_comps=1")


def test_more_components_than_cells_are_refused():
    adata = sg.datasets.synthetic(n_classes=2, n_samples=2, n_modes=1, n_cells=1, n_noise=9)
    fails(adata, ValueError, r"n_comps=4 is not between 1 and 3, the rank .* \(4 cells", n_comps=4)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_a_matrix_without_any_variation_is_refused(adata, kind):
    adata.X = kind(np.zeros(adata.shape, dtype=np.float32))
    fails(adata, ValueError, "0 of 4 features vary")


def test_samples_that_are_all_the_same_are_refused(adata):
    adata.X = np.tile(adata.X[:12], (9, 1))
    fails(adata, ValueError, "no difference to learn from|median distance between samples of different classes is 0")
