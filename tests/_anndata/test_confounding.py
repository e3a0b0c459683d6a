"""Batches and covariates that cannot be told from the label are refused before cells are read."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scggml as sg

SERIAL = {"n_jobs": 1, "progress": False}


def make(**columns):
    """12 samples of 10 cells in two classes, with columns of one value for each sample."""
    rng = np.random.default_rng(0)
    ill = np.arange(12) % 2
    X = rng.normal(size=(120, 4)) + 2.0 * np.repeat(ill, 10)[:, None]
    obs = pd.DataFrame({"sample": np.repeat([f"s{i}" for i in range(12)], 10)})
    obs["label"] = np.repeat(np.where(ill, "ill", "well"), 10)
    for name, values in columns.items():
        obs[name] = np.repeat(values, 10)
    obs.index = [f"cell{i}" for i in range(120)]
    return AnnData(X, obs=obs)


CALLS = {
    "ggml": lambda adata, **how: sg.tl.ggml(adata, "sample", "label", n_comps=2, shrinkage=0.3, **SERIAL, **how),
    "cross_validate": lambda adata, **how: sg.tl.cross_validate(
        adata, "sample", "label", methods=["canonical"], n_splits=2, n_repeats=1, **SERIAL, **how
    ),
    "permutation_test": lambda adata, **how: sg.tl.permutation_test(
        adata, "sample", "label", n_permutations=3, n_splits=2, **SERIAL, **how
    ),
    "tune": lambda adata, **how: sg.tl.tune(
        adata, "sample", "label", n_splits=2, n_repeats=1, n_inner_splits=2, n_inner_repeats=1, **SERIAL, **how
    ),
}
ILL = np.arange(12) % 2
REFUSED = {
    "batch is the label": (
        {"site": np.where(ILL, "x", "y")},
        {"batch_key": "site"},
        r"No batch of batch_key='site' holds samples with different labels of adata\.obs\['label'\]",
    ),
    "batch within the label": (
        {"site": [f"{i % 2}{i // 6}" for i in range(12)]},
        {"batch_key": "site"},
        r"No batch of batch_key='site' holds samples with different labels",
    ),
    "covariate is the label": (
        {"dose": 1.0 * ILL},
        {"covariate_keys": ["dose"]},
        r"covariate_keys: 'dose' of adata\.obs is the same for all samples of one label of adata\.obs\['label'\]",
    ),
    "covariates use up the samples": (
        {f"c{j}": np.random.default_rng(j).normal(size=12) for j in range(10)},
        {"covariate_keys": [f"c{j}" for j in range(10)]},
        r"covariate_keys has 10 columns, and 12 samples have no more than these and the labels explain",
    ),
    "summary": ({}, {"summary": "zz"}, r"summary='zz' is not known; pass \"auto\", None \(all cells\) or a Coreset"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_told_from_the_label_is_refused_before_cells_are_read(call, case, monkeypatch):
    columns, options, message = REFUSED[case]
    adata = make(**columns)
    monkeypatch.setattr("scggml._anndata.features.Features.block", lambda *_: pytest.fail("cells were read"))
    with pytest.raises(ValueError, match=message):
        CALLS[call](adata, **options)


WARNED = {
    "hardly varies within labels": (
        {"age": 20.0 + 50 * ILL + np.arange(12) % 3},
        {"covariate_keys": ["age"]},
        r"covariate_keys: 'age' \(0%\) of adata\.obs hardly varies within labels of adata\.obs\['label'\]",
    ),
    "many": (
        {f"c{j}": np.random.default_rng(j).normal(size=12) for j in range(6)},
        {"covariate_keys": [f"c{j}" for j in range(6)]},
        r"covariate_keys has 6 columns for 12 samples: beside these and the labels only 4 are free",
    ),
}


@pytest.mark.parametrize("call", ["ggml", "cross_validate"])
@pytest.mark.parametrize("case", WARNED)
def test_doubtful_covariates_are_told_of(call, case):
    columns, options, message = WARNED[case]
    with pytest.warns(UserWarning, match=message):
        CALLS[call](make(**columns), **options)


@pytest.mark.parametrize(
    "columns",
    [{"age": 20.0 + np.arange(12) // 2}, {"age": np.full(12, 7.0)}, {"age": 20.0 + np.arange(12)}],
    ids=["crossed", "constant", "rising"],
)
def test_covariates_that_labels_share_are_taken(columns):
    CALLS["ggml"](make(**columns), covariate_keys=["age"])  # a warning is an error here
