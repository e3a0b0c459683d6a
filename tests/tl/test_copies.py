"""Copies of a sample under other donor names are refused wherever evidence is made; new samples must be new."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scggml as sg

SERIAL = {"n_jobs": 1, "progress": False}


def make(seed=0):
    """10 samples of 12 cells in two classes that do not differ."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(120, 5)) + np.repeat(rng.normal(size=(10, 5)), 12, axis=0)
    obs = pd.DataFrame({"sample": np.repeat([f"s{i}" for i in range(10)], 12)})
    obs["label"], obs["type"] = np.repeat(np.where(np.arange(10) % 2, "ill", "well"), 12), np.tile(["T", "B"], 60)
    obs["donor"] = obs["sample"]
    obs.index = [f"cell{i}" for i in range(120)]
    return AnnData(X, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(5)]))


def twice(adata):
    copy = adata.copy()
    copy.obs["sample"] = "c" + copy.obs["sample"].astype(str)
    return ad.concat([adata, copy], index_unique="-")


def learned(adata, **options):
    sg.tl.ggml(adata, "sample", "label", n_comps=2, shrinkage=0.3, **SERIAL, **options)
    return adata


EVIDENCE = {
    "cross_fit": lambda adata: sg.tl.cross_fit(adata, n_splits=3, **SERIAL),
    "component_test": lambda adata: sg.tl.component_test(adata, n_perm=9, **SERIAL),
    "gene_stability": lambda adata: sg.tl.gene_stability(adata, 2, n_perm=0, **SERIAL),
    "influence": lambda adata: sg.tl.influence(adata, **SERIAL),
    "rank_genes": lambda adata: sg.tl.rank_genes(adata, **SERIAL),
    "cross_validate": lambda adata: sg.tl.cross_validate(adata, n_splits=2, n_repeats=1, **SERIAL),
    "permutation_test": lambda adata: sg.tl.permutation_test(adata, n_permutations=3, n_splits=2, **SERIAL),
    "predict": lambda adata: sg.tl.predict(make(1), adata, n_splits=2, n_repeats=1, **SERIAL),
}


@pytest.mark.filterwarnings("ignore:Held-out donors:UserWarning", "ignore:.*unlike any sample:UserWarning")
@pytest.mark.filterwarnings("ignore:No component tells:UserWarning", "ignore:.*the mean cell of another:UserWarning")
@pytest.mark.parametrize("name", EVIDENCE)
def test_copies_of_samples_are_no_evidence(name):
    adata = learned(twice(make()))
    with pytest.raises(ValueError, match=r"Samples 's0' and 'cs0' share 12 cells but count as different donors"):
        EVIDENCE[name](adata)
    adata = learned(twice(make()), groups_key="donor")
    EVIDENCE[name](adata)


def test_learning_from_copies_is_told_of():
    message = r"10 samples have the mean cell of another one but count as different donors, such as 'cs0' and 's0'"
    with pytest.warns(UserWarning, match=message):
        learned(twice(make()))
    learned(twice(make()), groups_key="donor")  # a warning is an error here
    shuffled = twice(make())
    with pytest.warns(UserWarning, match="samples have the mean cell of another one"):
        learned(shuffled[np.random.default_rng(0).permutation(shuffled.n_obs)].copy())


@pytest.mark.filterwarnings("ignore:.*have the mean cell of another one")
@pytest.mark.parametrize("names", ["the same", "others"])
def test_samples_of_the_reference_are_not_predicted(names):
    reference = learned(make())
    new = ad.concat([make(), make(1)[:12].copy()], index_unique="-")
    new.obs.loc[new.obs_names[-12:], "sample"] = "new"
    if names == "others":
        new.obs["sample"] = "q" + new.obs["sample"].astype(str)
    message = r"10 of 11 samples of adata are samples of the reference: '.*' shares 12 cells"
    with pytest.raises(ValueError, match=message):
        sg.tl.predict(new, reference, n_splits=2, n_repeats=1, **SERIAL)
