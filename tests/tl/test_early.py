"""What arguments and `.obs` can tell is told before any cell is read, and nothing is written."""

import warnings

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from _slots import assert_same, slots
from anndata import AnnData

import scggml as sg

HIDE = {"progress": False}
KEYS = ("sample_id", "label")


def unreadable(shape) -> da.Array:
    """A matrix of a few chunks, none of which can be read."""

    def chunk(block_info=None):
        raise AssertionError("cells were read")

    rows = -(-shape[0] // 4)
    parts = tuple(min(rows, shape[0] - start) for start in range(0, shape[0], rows))
    return da.map_blocks(chunk, chunks=(parts, (shape[1],)), dtype=np.float32, meta=np.empty((0, 0), np.float32))


@pytest.fixture(scope="module")
def _cohort() -> AnnData:
    adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=3, n_classes=2, noise_scale=1.0)
    adata.obs["site"] = pd.Categorical(np.where(adata.obs["sample_id"].cat.codes % 2, "a", "b"))
    adata.obs["type"] = pd.Categorical(["x", "y"] * (adata.n_obs // 2))
    sg.tl.ggml(adata, *KEYS, n_comps=2, **HIDE)
    return adata


@pytest.fixture
def adata(_cohort) -> AnnData:
    """Eight samples of two classes with a metric, whose cells cannot be read."""
    out = _cohort.copy()
    out.X = unreadable(out.shape)
    out.layers["log"] = unreadable(out.shape)
    return out


def one_class(adata):
    adata.obs["label"] = "same"


def single_sample(adata):
    adata.obs["label"] = np.where(adata.obs["sample_id"] == "class1_01", "rare", "other")


def no_label(adata):
    adata.obs["label"] = adata.obs["label"].where(adata.obs["sample_id"] != "class1_01")


def two_labels(adata):
    adata.obs["label"] = np.where(np.arange(adata.n_obs) == 0, "class1", adata.obs["label"].astype(str))


def no_sample(adata):
    adata.obs["sample_id"] = adata.obs["sample_id"].where(np.arange(adata.n_obs) > 3)


def twice(adata):
    adata.obs = pd.concat([adata.obs, adata.obs[["label"]]], axis=1)


def repeated_names(adata):
    adata.obs_names = ["cell0", *adata.obs_names[:-1]]


OBS = {
    "one class": (one_class, "one class only"),
    "class of one sample": (single_sample, "rare"),
    "label missing": (no_label, r"obs\['label'\] \(label_key\) is missing for 9 of 72 cells"),
    "two labels": (two_labels, "more than one value"),
    "sample missing": (no_sample, r"obs\['sample_id'\] \(sample_key\) is missing"),
    "label twice": (twice, "2 columns named 'label'"),
    "names twice": (repeated_names, "obs_names_make_unique"),
}

FUNCTIONS = {
    "ggml": lambda adata, **options: sg.tl.ggml(adata, *KEYS, **HIDE, **options),
    "ggml, triplets": lambda adata, **options: sg.tl.ggml(adata, *KEYS, **HIDE, **{"method": "triplets"} | options),
    "cross_validate": lambda adata, **options: sg.tl.cross_validate(adata, *KEYS, **HIDE, **options),
    "cross_validate, stored": lambda adata, **options: sg.tl.cross_validate(adata, **HIDE, **options),
    "permutation_test": lambda adata, **options: sg.tl.permutation_test(adata, *KEYS, **HIDE, **options),
    "permutation_test, stored": lambda adata, **options: sg.tl.permutation_test(adata, **HIDE, **options),
    "tune": lambda adata, **options: sg.tl.tune(adata, *KEYS, **HIDE, **options),
    "component_test": lambda adata, **options: sg.tl.component_test(adata, **HIDE, **options),
    "cross_fit": lambda adata, **options: sg.tl.cross_fit(adata, **HIDE, **options),
    "rank_genes": lambda adata, **options: sg.tl.rank_genes(adata, **HIDE, **options),
    "gene_stability": lambda adata, **options: sg.tl.gene_stability(adata, **HIDE, **options),
    "attribute": lambda adata, **options: sg.tl.attribute(adata, **HIDE, **options),
    "influence": lambda adata, **options: sg.tl.influence(adata, **HIDE, **options),
    "predict": lambda adata, **options: sg.tl.predict(adata, adata, **HIDE, **options),
    "distances": lambda adata, **options: sg.tl.distances(adata, **HIDE, **options),
}
UNLABELLED = {("distances", name) for name in ("one class", "class of one sample", "label missing")}
"""Distances need no label."""


def readable(adata) -> dict[str, np.ndarray]:
    """All slots but the matrix and the layer; columns by position, as two may have one name."""
    obs = adata.obs.set_axis([f"{i} {name}" for i, name in enumerate(adata.obs)], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names that are there twice
        return slots(AnnData(obs=obs, var=adata.var, obsm=dict(adata.obsm), varm=dict(adata.varm), uns=adata.uns))


def fails(adata, name, message, **options):
    before = readable(adata)
    with pytest.raises((KeyError, TypeError, ValueError), match=message):
        FUNCTIONS[name](adata, **options)
    assert_same(readable(adata), before)


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name in FUNCTIONS for fault in OBS if (name, fault) not in UNLABELLED]
)
def test_what_is_wrong_with_obs(adata, name, fault):
    change, message = OBS[fault]
    change(adata)
    fails(adata, name, message)


@pytest.mark.parametrize("n_jobs", [0, -2, 1.5, "all", True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_number_of_threads(adata, name, n_jobs):
    fails(adata, name, "n_jobs=", n_jobs=n_jobs)


EVALUATIONS = ("cross_validate", "permutation_test", "tune", "cross_validate, stored", "permutation_test, stored")
ARGUMENTS = [
    ("ggml", {"n_comps": 0}, "n_comps=0 must be at least 1"),
    ("ggml", {"n_comps": 5}, r"n_comps=5 is not between 1 and 4, .* \(72 cells, 4 features\); pass n_comps=4"),
    ("ggml", {"method": "svd"}, "method='svd' is not known"),
    ("ggml", {"solver": "fast"}, "solver='fast'"),
    ("ggml", {"batch_key": "plate"}, "batch_key='plate' is not a column"),
    ("ggml", {"layer": "counts"}, "layer='counts' is not in adata.layers, which holds 'log'"),
    ("ggml", {"copy": "yes"}, "copy='yes' must be True or False"),
    ("ggml", {"key_added": "a/b"}, "key_added='a/b'"),
    ("component_test", {"n_perm": 0}, "n_perm=0"),
    ("cross_fit", {"n_splits": 2}, "n_splits=2"),
    ("rank_genes", {"cell_type_key": "kind"}, "cell_type_key='kind' is not a column"),
    ("rank_genes", {"contrast": ("class0", "x")}, "contrast="),
    ("gene_stability", {"groups_key": "donor"}, "groups_key='donor' is not a column"),
    ("gene_stability", {"n_boot": 1, "n_perm": 0}, "n_boot=1"),
    ("attribute", {"cell_type_key": "kind"}, "cell_type_key='kind' is not a column"),
    ("attribute", {"held_out": True}, "cross_fit"),
    ("influence", {"level": 2}, "level=2"),
    ("predict", {"n_splits": 1}, "n_splits=1"),
    ("predict", {"n_repeats": 0}, "n_repeats=0"),
    ("predict", {"n_neighbors": 0}, "n_neighbors=0"),
    ("predict", {"groups_key": "donor"}, "groups_key='donor' is not a column"),
    ("predict", {"sample_key": "patient"}, "sample_key='patient' is not a column"),
    ("distances", {"sample_key": "patient"}, "sample_key='patient' is not a column"),
    ("distances", {"min_cells": 100}, "min_cells=100: none of the 8 samples"),
    ("tune", {"space": {"n_comps": [0]}}, "n_comps=0"),
    *[(name, {"n_splits": 1}, "n_splits=1") for name in EVALUATIONS],
    *[(name, {"n_splits": 9}, "n_splits=9 is more than the 8 groups") for name in EVALUATIONS],
    *[(name, {"n_repeats": 0}, "n_repeats=0") for name in EVALUATIONS],
    *[(name, {"groups_key": "donor"}, "groups_key='donor' is not a column") for name in EVALUATIONS],
    *[(name, {"split": "half"}, "split='half' is not known") for name in EVALUATIONS if name != "tune"],
    *[(name, {"cell_type_key": "kind"}, "cell_type_key='kind'") for name in EVALUATIONS if name != "tune"],
]


@pytest.mark.parametrize(("name", "options", "message"), ARGUMENTS, ids=lambda value: str(value)[:40])
def test_arguments(adata, name, options, message):
    fails(adata, name, message, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": "random"}, "init='random'"),
        ({"init": np.ones((2, 3))}, r"init is an array of shape \(2, 3\); .* = \(2, 4\) are needed"),
        ({"penalty": "l3"}, "penalty='l3'"),
        ({"anchors": "some"}, "anchors='some'"),
    ],
    ids=str,
)
def test_options_of_gradient_steps(adata, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        sg.tl.ggml(adata, *KEYS, method=sg.tl.Triplets(**options), n_comps=2, **HIDE)


def test_a_class_of_donors_that_are_held_out_at_once(adata):
    adata.obs["donor"] = np.where(adata.obs["label"] == "class0", "one", adata.obs["sample_id"].astype(str))
    for name in EVALUATIONS:
        fails(adata, name, r"Class 'class0' has too few groups \(donors\)", groups_key="donor", n_splits=2)


def test_labels_that_cannot_be_permuted(adata):
    fails(adata, "permutation_test", "leave no other labeling", strata_key="label")


def test_a_pca_of_which_each_fold_has_its_own(adata):
    adata.obsm["X_pca"], adata.varm["PCs"] = unreadable((adata.n_obs, 2)), np.eye(4)[:, :2]
    readable = adata.copy()
    readable.obsm["X_pca"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2))
    sg.tl.ggml(readable, *KEYS, use_rep="X_pca", n_comps=2, key_added="mine", **HIDE)
    adata.uns["mine"] = readable.uns["mine"]
    with pytest.raises(ValueError, match="n_splits=9 is more than the 8 groups"):
        sg.tl.cross_validate(adata, key="mine", n_splits=9, **HIDE)


def test_the_matrix_really_cannot_be_read(adata):
    for call in FUNCTIONS.values():
        with pytest.raises(AssertionError, match="cells were read"):
            call(adata)
