"""What was found before the labels or the metric changed is not shown as if it were of now."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scggml as sg

SERIAL = {"n_jobs": 1, "progress": False}


def make() -> AnnData:
    """12 samples of 10 cells in two classes; two genes are raised in one of them."""
    rng = np.random.default_rng(0)
    ill = np.arange(12) % 2
    X = rng.normal(size=(120, 6)) + 0.3 * np.repeat(rng.normal(size=(12, 6)), 10, axis=0)
    X[:, :2] += 2.0 * np.repeat(ill, 10)[:, None]
    obs = pd.DataFrame({"sample": np.repeat([f"s{i}" for i in range(12)], 10)})
    obs["label"], obs["site"] = np.repeat(np.where(ill, "ill", "well"), 10), np.tile(["x", "y"], 60)
    obs.index = [f"cell{i}" for i in range(120)]
    return AnnData(X, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(6)]))


def learn(adata, **options):
    sg.tl.ggml(adata, "sample", "label", **({"n_comps": 2, "shrinkage": 0.3} | SERIAL | options))
    return adata


@pytest.fixture
def adata() -> AnnData:
    return learn(make())


FOLLOW = {
    "rank_genes": lambda adata: sg.tl.rank_genes(adata, **SERIAL),
    "attribute": lambda adata: sg.tl.attribute(adata, **SERIAL),
    "cross_fit": lambda adata: sg.tl.cross_fit(adata, n_splits=3, **SERIAL),
    "gene_stability": lambda adata: sg.tl.gene_stability(adata, 2, n_perm=0, **SERIAL),
}


@pytest.mark.filterwarnings("ignore:Held-out donors")
@pytest.mark.parametrize("name", FOLLOW)
def test_labels_that_were_exchanged_since_are_told_of(adata, name):
    exchanged = {"ill": "well", "well": "ill"}
    sick = adata.obs["sample"].isin(["s0", "s3"])
    adata.obs.loc[sick, "label"] = adata.obs.loc[sick, "label"].map(exchanged)
    message = (
        r"2 samples have other labels in adata\.obs\['label'\] than when the metric 'ggml' was learned: 's0' had "
        r"'well' and has 'ill'\. .* learn it again with sg\.tl\.ggml"
    )
    with pytest.warns(UserWarning, match=message):
        FOLLOW[name](adata)


def test_another_label_is_no_changed_one(adata):
    adata.obs["other"] = adata.obs["label"].map({"ill": "well", "well": "ill"})
    sg.tl.attribute(adata, label_key="other", **SERIAL)  # a warning is an error here


def test_numbers_as_labels_are_compared_too():
    adata = make()
    adata.obs["label"] = adata.obs["sample"].str[1:].astype(float) / 3
    learn(adata, label_kind="numbers")
    FOLLOW["rank_genes"](adata)
    adata.obs["label"] = adata.obs["label"] + (adata.obs["sample"] == "s4")
    with pytest.warns(UserWarning, match=r"1 samples have other labels .* 's4' had '1\.3+' and has '2\.3+'"):
        FOLLOW["rank_genes"](adata)


MADE = {
    "cross_validation": (
        lambda adata: sg.tl.cross_validate(adata, n_splits=2, n_repeats=1, **SERIAL),
        [sg.get.cross_validation, sg.pl.cross_validation, sg.pl.confusion],
    ),
    "permutation_test": (
        lambda adata: sg.tl.permutation_test(adata, n_permutations=3, n_splits=2, **SERIAL),
        [sg.pl.permutation_test],
    ),
    "tuning": (
        lambda adata: sg.tl.tune(adata, space={"shrinkage": [0.2, 0.5]}, n_splits=2, n_repeats=1, **SERIAL),
        [sg.pl.tuning],
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_an_evaluation_of_a_metric_that_was_learned_anew_is_refused(adata, name):
    make_it, readers = MADE[name]
    make_it(adata)
    learn(adata)  # the same metric again
    for read in readers:
        read(adata)
    learn(adata, shrinkage=0.8)
    for read in readers:
        with pytest.raises(ValueError, match=rf"adata\.uns\['{name}'\] is of another metric than adata\.uns\['ggml'\]"):
            read(adata)
    del adata.uns["ggml"]
    for read in readers:
        read(adata)
    plt.close("all")


def test_the_same_metric_again_keeps_what_belongs_to_it(adata):
    sg.tl.rank_genes(adata, **SERIAL)
    sg.tl.cross_fit(adata, n_splits=3, **SERIAL)
    learn(adata)
    assert {"ggml_genes", "ggml_held_out"} <= set(adata.uns)
    assert {"X_ggml", "X_ggml_held_out"} == set(adata.obsm)
    assert {"ggml", "ggml_patterns"} == set(adata.varm)
    sg.pl.scores(adata)
    learn(adata, shrinkage=0.8)
    assert {"X_ggml"} == set(adata.obsm)
    assert {"ggml"} == set(adata.varm)
    plt.close("all")


def test_coordinates_that_are_gone_are_named_with_the_call(adata):
    sg.tl.cross_fit(adata, n_splits=3, **SERIAL)
    del adata.obsm["X_ggml_held_out"]
    with pytest.raises(
        KeyError, match=r"No 'X_ggml_held_out' in adata\.obsm, which holds 'X_ggml'\. Call sg\.tl\.cross_fit"
    ):
        sg.pl.scores(adata)
