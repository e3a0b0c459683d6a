"""Bad input to `tl.ggml`: the message names what is wrong, and no slot of the AnnData has changed."""

import importlib
import re

import numpy as np
import pandas as pd
import pytest
from _learning import SETTLED
from _slots import assert_same, slots
from scipy import sparse

import scggml as sg


def fails(adata, error, message, *keys, **options):
    before, was_view = slots(adata), adata.is_view
    with pytest.raises(error, match=message):
        sg.tl.ggml(adata, *(keys or ("sample_id", "label")), **({"n_comps": 2, "progress": False} | options))
    assert_same(slots(adata), before)
    assert adata.is_view == was_view


@pytest.fixture
def no_cells(monkeypatch):
    """Reading a cell is an error."""

    def rows(self, index):
        raise AssertionError("cells were read")

    monkeypatch.setattr(importlib.import_module("scggml._anndata.features").Features, "block", rows)


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
        r"more than one value in adata\.obs\['label'\] \(label_key\): sample 'class0_00' of "
        r"adata\.obs\['sample_id'\] has 'class1', 'class0'",
    ),
    "one class": (
        lambda adata: relabel(adata, lambda s: s.str[:5]),
        ValueError,
        r"adata\.obs\['label'\] \(label_key\) has one class only \('class'\); two or more are needed",
    ),
    "class of one sample": (
        lambda adata: relabel(adata, lambda s: s.str[:6].where(s != "class2_01", "rare")),
        ValueError,
        r"Class 'rare' of adata\.obs\['label'\] \(label_key\) has a single sample \('class2_01'\).*Leave the class out",
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


@pytest.mark.parametrize("name", [name for name in INPUTS if name not in ("nan", "infinite")])
@pytest.mark.usefixtures("no_cells")
def test_what_is_wrong_with_obs_is_said_before_any_cell_is_read(adata, name):
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
    "groups_key": (
        "donor",
        KeyError,
        r"groups_key='donor' is not a column of adata\.obs, which has 'sample_id', 'label'",
    ),
    "batch_key": ("site", KeyError, r"batch_key='site' is not a column of adata\.obs, which has 'sample_id', 'label'"),
    "covariate_keys": (["age"], KeyError, r"covariate_keys='age' is not a column of adata\.obs, which has 'sample_id'"),
    "mask_var": ("hvg", KeyError, r"mask_var='hvg' is not a column of adata\.var, which has 'signal'\."),
}


@pytest.mark.usefixtures("no_cells")
@pytest.mark.parametrize("name", SLOTS)
def test_missing_slots_are_refused_with_those_that_are_there(adata, name):
    adata.obsm["X_umap"], adata.layers["raw"] = adata.X[:, :2], adata.X
    value, error, message = SLOTS[name]
    fails(adata, error, message, **{name: value})


def test_a_pca_that_is_missing_is_asked_for(adata):
    fails(adata, KeyError, r"use_rep='X_pca' .* Compute it first with sc\.pp\.pca\(adata\)", use_rep="X_pca")


def test_the_sample_cannot_be_its_own_label(adata):
    fails(adata, ValueError, "sample_key and label_key are both 'label'", "label", "label")


# The key of the result


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("", ValueError, "key_added='' must be a name of at least one letter without '/'"),
        ("a/b", ValueError, "key_added='a/b' must be a name of at least one letter without '/'"),
        (None, TypeError, "key_added=None is a NoneType; pass a name such as 'ggml'"),
        (3, TypeError, "key_added=3 is a int"),
    ],
)
@pytest.mark.usefixtures("no_cells")
def test_what_no_file_can_hold_is_no_key(adata, key, error, message):
    fails(adata, error, message, key_added=key)


@pytest.mark.parametrize(
    ("where", "name", "key"),
    [("uns", "mine", "mine"), ("obsm", "X_mine", "mine"), ("varm", "mine", "mine"), ("obsm", "X_pca", "pca")],
)
@pytest.mark.usefixtures("no_cells")
def test_what_others_stored_is_not_overwritten(adata, where, name, key):
    values = {"uns": {"params": {"a": 1}}, "obsm": adata.X[:, :2].copy(), "varm": np.eye(4)}
    getattr(adata, where)[name] = values[where]
    message = (
        rf"key_added='{key}': adata\.{where}\['{name}'\] holds something that is not a learned metric and would be "
        "overwritten. Pass another key_added, or delete it first"
    )
    fails(adata, ValueError, message, key_added=key)


def test_a_metric_may_be_overwritten(learned):
    sg.tl.ggml(learned, "sample_id", "label", n_comps=1, progress=False)
    assert learned.obsm["X_ggml"].shape[1] == 1


# What the labels are


def number(adata, values=(12, 9, 30)):
    adata.obs["age"] = np.array(values)[adata.obs["sample_id"].cat.codes % len(values)]


@pytest.mark.parametrize("method", ["canonical", "triplets", "paper"])
@pytest.mark.usefixtures("no_cells")
def test_a_number_that_can_be_meant_in_three_ways_is_asked_about(adata, method):
    number(adata)
    message = (
        r"adata\.obs\['age'\] \(label_key\) holds numbers with 3 different values \(9 to 30\), which can be meant in "
        r'three ways\. Pass label_kind="numbers" if .*, label_kind="ordered" if .*, or label_kind="classes" if'
    )
    fails(adata, ValueError, message, "sample_id", "age", method=method)


@pytest.mark.parametrize("kind", ["classes", "ordered", "numbers"])
def test_each_of_the_three_ways_is_learned(adata, kind):
    number(adata)
    sg.tl.ggml(adata, "sample_id", "age", label_kind=kind, progress=False)
    assert adata.uns["ggml"]["reading"]["label_kind"] == kind


@pytest.mark.usefixtures("no_cells")
def test_an_order_that_nothing_tells_is_asked_for(adata):
    message = (
        r'label_kind="ordered", but adata\.obs\[\'label\'\] \(label_key\) says nothing about the order of \'class0\', '
        r"'class1', 'class2'; alphabetical order is not taken\. Pass the levels from low to high"
    )
    fails(adata, ValueError, message, label_kind="ordered")


def test_a_list_of_levels_is_an_order(adata):
    levels = ["class2", "class0", "class1"]
    other = adata.copy()
    other.obs["label"] = pd.Categorical(other.obs["label"], categories=levels, ordered=True)
    sg.tl.ggml(adata, "sample_id", "label", label_kind=levels, progress=False)
    sg.tl.ggml(other, "sample_id", "label", progress=False)
    np.testing.assert_array_equal(adata.uns["ggml"]["components"], other.uns["ggml"]["components"])
    assert adata.uns["ggml"]["reading"]["label_kind"].tolist() == levels


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"label_kind": ["class0", "class1"]},
            ValueError,
            r"label_kind=\[.*\] lists the levels of .* it lacks 'class2'",
        ),
        (
            {"label_kind": "ranks"},
            ValueError,
            r"label_kind='ranks' is not known; choose from \('auto', 'classes', 'ordered'",
        ),
        ({"label_kind": "numbers"}, ValueError, r'label_kind="numbers", but adata\.obs\[\'label\'\] .* no'),
        (
            {"label_kind": {"class0", "class1", "class2"}},
            TypeError,
            "is a set; .* the list of the levels from low to high",
        ),
        ({"label_kind": None}, TypeError, "label_kind=None is a NoneType"),
        (
            {"reference_class": "healthy"},
            ValueError,
            "reference_class='healthy' is not a class of .* has 'class0', 'class1'",
        ),
        ({"batch_key": "label"}, ValueError, "batch_key and label_key are both 'label'"),
        ({"groups_key": "label"}, ValueError, "groups_key and label_key are both 'label'"),
        ({"covariate_keys": ["label"]}, ValueError, "covariate_keys holds the label_key 'label'"),
        ({"covariate_keys": "offset"}, TypeError, "covariate_keys='offset' is a str; pass a list of columns"),
        ({"covariate_keys": ["mode"]}, ValueError, r"more than one value in adata\.obs\['mode'\] \(covariate_keys\)"),
        (
            {"covariate_keys": ["sex"]},
            ValueError,
            r"adata\.obs\['sex'\] \(covariate_keys\) has 'f'; numbers are needed",
        ),
        ({"groups_key": "mode"}, ValueError, r"more than one value in adata\.obs\['mode'\] \(groups_key\)"),
        ({"batch_key": "mode"}, ValueError, r"more than one value in adata\.obs\['mode'\] \(batch_key\)"),
    ],
)
@pytest.mark.usefixtures("no_cells")
def test_a_design_that_makes_no_sense_is_refused_before_any_cell_is_read(adata, options, error, message):
    adata.obs["sex"] = np.where(adata.obs["sample_id"].cat.codes % 2, "m", "f")
    fails(
        adata, error, message.replace("has 'f'", "has '[fm]'").replace(" .* no", " .* does not hold numbers"), **options
    )


@pytest.mark.parametrize("kind", [["class0", "class1", "class2"], "numbers"])
@pytest.mark.usefixtures("no_cells")
def test_the_paper_draws_triplets_of_classes_only(adata, kind):
    number(adata)
    message = (
        r'n_triplets=5 draws triplets of classes \(as the paper does\), but labels are \w+\. Pass method="triplets"'
    )
    fails(
        adata,
        ValueError,
        message,
        "sample_id",
        "age" if kind == "numbers" else "label",
        method="paper",
        label_kind=kind,
    )


# Numbers and choices


NAN, INF = float("nan"), float("inf")
NUMBERS = {
    "n_comps": [0, -1, 2.5, NAN, "2", True],
    "squared": [1, 0, None, "yes"],
    "n_cells": [0, -1, 2.5, NAN, "all", True],
    "min_cells": [0, -1, 2.5, NAN, "all", None, True],
    "n_jobs": [0, -2, 1.5, "all", True],
    "shrinkage": [-0.1, 1.5, NAN, INF, "half", None, True, False],
    "rng": ["seed", 1.5, -1, None, True, np.True_],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in NUMBERS.items() for value in values])
@pytest.mark.usefixtures("no_cells")
def test_a_number_that_is_none_or_out_of_range_is_named(adata, name, value):
    fails(adata, (TypeError, ValueError), rf"^{name}={value!r}", **{name: value})


OF_METHODS = {
    sg.tl.Triplets: {
        "margin": [0, -1.0, NAN, INF, "large", None, True],
        "reg": [-0.1, NAN, INF, "small", None, True],
        "lr": [0, -0.1, NAN, INF, "fast", None, True],
        "max_iter": [0, -1, 2.5, NAN, "many", None, True],
        "tol": [-1e-3, 1, NAN, "fine", None, True],
        "batch_size": [1, 0, -4, 2.5, NAN, "all", True],
        "n_triplets": [0, -4, 2.5, NAN, "all", True],
        "refine": [-1, 2.5, NAN, "all", None, True],
        "penalty": ["l2", None, 3],
        "anchors": ["some", None],
        "init": ["random", None, 3, sg.tl.Canonical, np.zeros((2, 4)), np.full((2, 4), NAN), np.ones(4)],
    },
    sg.tl.Canonical: {
        "ridge": [0, -0.1, NAN, INF, "small", None, True],
        "ridge_scale": ["trace", None, 3],
        "n_alternations": [0, -1, 1.5, NAN, None, True],
        "max_features": [0, -1, 1.5, NAN, None, True],
        "max_pairs": [0, -1, 1.5, NAN, None, True],
    },
    sg.tl.Exact: {
        "max_iter": [0, -1, 1.5, None, True],
        "backend": ["cplex", None],
        "cache_size": [-1, NAN, None, True],
    },
    sg.tl.Coreset: {"n_points": [0, -1, 1.5, None, True], "max_iter": [0, 2.5, None, True]},
}


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (kind, name, value)
        for kind, options in OF_METHODS.items()
        for name, values in options.items()
        for value in values
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_an_option_that_is_none_or_out_of_range_is_named_when_it_is_said(kind, name, value):
    said = f"{name} is " if isinstance(value, np.ndarray) else f"{name}={value!r}"
    with pytest.raises((TypeError, ValueError), match=re.escape(said)):
        kind(**{name: value})


@pytest.mark.parametrize("number", [np.int64(2), np.int32(2), np.float32(2), np.float64(2)])
def test_numbers_of_numpy_are_numbers(adata, number):
    cases = [({}, {name: number}) for name in ("margin", "reg", "lr")]
    if isinstance(number, np.integer):
        cases += [({}, {name: number}) for name in ("max_iter", "batch_size", "n_triplets", "refine")]
        cases += [({name: number}, {}) for name in ("n_comps", "n_cells", "min_cells", "n_jobs")]
    for given, of_method in cases:
        other = adata.copy()
        for each, kind in ((adata, lambda value: value), (other, lambda value: value.item())):
            steps = {"max_iter": 2, "tol": 0} | {name: kind(value) for name, value in of_method.items()}
            options = {"n_comps": 2} | {name: kind(value) for name, value in given.items()}
            method = sg.tl.Triplets(**steps)
            sg.tl.ggml(each, "sample_id", "label", method=method, progress=False, **options)
        assert_same(slots(adata), slots(other))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "method",
            "deep",
            r"method='deep' is not known; choose from \('canonical', 'triplets', 'paper'\), or pass a Canon",
        ),
        (
            "method",
            None,
            r"method is a NoneType; pass a name of \('canonical', 'triplets', 'paper'\), a Canonical\(\.\.\.\) or",
        ),
        ("method", sg.tl.Triplets, r"method is the class Triplets; pass a name"),
        (
            "solver",
            "newton",
            r"solver='newton' is not known; choose from \('exact', .*\) or pass one of Exact\(\), Sink",
        ),
        ("solver", 3, r"solver is a int; pass a name of \('exact', .*\), or one of Exact\(\), Sinkhorn\(\)"),
        ("solver", sg.tl.Exact, r"solver is a class; pass a name of \('exact', .*\), or one of Exact\(\), Sinkhorn"),
        ("summary", 5, r'summary is a int; pass "auto", None \(all cells\) or a Coreset\(n_points\)'),
        ("summary", "all", r'summary=\'all\' is not known; pass "auto", None'),
        ("summary", sg.tl.Coreset, "summary is a type; pass"),
    ],
)
@pytest.mark.usefixtures("no_cells")
def test_a_choice_that_is_none_is_answered_with_the_choices(adata, name, value, message):
    fails(adata, (TypeError, ValueError), message, **{name: value})


class Own(sg.tl.Exact):
    """A solver that no file can hold."""


class OwnSummary(sg.tl.Coreset):
    """A summary that no file can hold."""


@pytest.mark.parametrize(("name", "value"), [("solver", Own()), ("summary", OwnSummary())])
@pytest.mark.usefixtures("no_cells")
def test_options_of_a_class_of_ones_own_are_refused_before_any_work(adata, name, value):
    message = rf"A {type(value).__name__} cannot be stored beside the metric; pass one of .*{name and 'Exact'}"
    fails(adata, TypeError, message, **{name: value})


@pytest.mark.parametrize("start", [np.ones((2, 3)), np.ones((3, 4))], ids=["features", "components"])
def test_a_start_that_does_not_fit_is_refused_with_the_shape(adata, start):
    message = r"init is an array of shape .*; finite numbers of shape \(n_comps, n_features\) = \(2, 4\)"
    fails(adata, ValueError, message, method=sg.tl.Triplets(init=start))


# Rank


def test_more_components_than_features_are_refused_with_the_largest_number(adata):
    message = r"n_comps=9 is not between 1 and 4, the rank of adata\.X \(108 cells, 4 features\); pass n_comps=4"
    fails(adata, ValueError, message, n_comps=9)


def test_features_that_do_not_vary_do_not_count(adata):
    adata.X[:, 1:] = 3.0
    fails(adata, ValueError, r"between 1 and 1, the rank .* 1 of 4 features vary\); pass n_comps=1, or None", n_comps=2)
    sg.tl.ggml(adata, "sample_id", "label", progress=False)
    assert adata.obsm["X_ggml"].shape == (108, 1)


def test_more_components_than_cells_are_refused():
    adata = sg.datasets.synthetic(n_classes=2, n_samples=2, n_modes=1, n_cells=1, n_noise=9)
    fails(adata, ValueError, r"n_comps=4 is not between 1 and 3, the rank .* \(4 cells", n_comps=4)


@pytest.mark.parametrize("method", ["canonical", "triplets"])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_a_matrix_without_any_variation_is_refused(adata, kind, method):
    adata.X = kind(np.zeros(adata.shape, dtype=np.float32))
    fails(adata, ValueError, "0 of 4 features vary", method=method)
    fails(adata, ValueError, "All samples of the cohort are the same point cloud", n_comps=None, method=method)


@pytest.mark.parametrize(
    "method", ["canonical", "triplets", SETTLED["method"]], ids=["canonical", "triplets", "settled"]
)
def test_samples_that_are_all_the_same_are_refused(adata, method):
    adata.X = np.tile(adata.X[:12], (9, 1))
    fails(
        adata,
        ValueError,
        "no difference to learn from|median distance between samples of different classes is 0",
        method=method,
    )
