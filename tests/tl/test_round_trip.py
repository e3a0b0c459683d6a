"""What was written survives a file, and works when it was read back."""

import itertools
from dataclasses import fields
from typing import get_args

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from _slots import assert_round_trip, slots
from anndata import AnnData

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml._core.learn.loss import Anchors
from scggml._core.learn.penalty import PenaltyName
from scggml._core.learn.triplets import InitialName

QUIET = {"progress": False}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "triplets", "shrinkage": 0.4},
        {"method": "paper"},
        {"use_rep": "X_pca"},
        {"layer": "log", "weights_key": "weight", "n_cells": 5, "key_added": "tumor"},
        {"squared": True, "method": sg.tl.Triplets(margin=2.0, init=np.eye(2, 4), max_iter=4, tol=0)},
        {"method": sg.tl.Canonical(ridge=0.5), "solver": sg.tl.Exact(max_iter=10_000), "rng": np.random.default_rng(0)},
        {"mask_var": np.array([True, True, False, True]), "summary": sg.tl.Coreset(5), "min_cells": 2, "n_jobs": 1},
        {"label_kind": ["class1", "class0", "class2"], "covariate_keys": ["offset"], "groups_key": "donor"},
        {"batch_key": "donor", "reference_class": "class2"},
    ],
    ids=lambda options: "-".join(options) or "default",
)
def test_every_slot_of_the_cells_survives_a_file_and_gives_the_same_distances(adata, tmp_path, options):
    adata.obs["weight"] = np.random.default_rng(0).uniform(0.1, 1.0, adata.n_obs)
    adata.obs["donor"] = pd.Categorical([f"d{code % 3}" for code in adata.obs["sample_id"].cat.codes])
    adata.layers["log"] = np.log1p(np.abs(adata.X))
    adata.obsm["X_pca"], adata.varm["PCs"] = adata.X[:, ::-1].copy(), np.eye(4)[:, ::-1].copy()
    key = options.get("key_added", "ggml")
    sg.tl.ggml(adata, "sample_id", "label", **({"n_comps": 2} | QUIET | options))
    assert {f"uns/{key}/reading/label_key", f"uns/{key}/converged", f"uns/{key}/fingerprint"} <= slots(adata).keys()
    stored = read_metric(adata, key)
    truth = sg.tl.distances(adata, key=key, **QUIET)
    metric = sg.get.metric(adata, key=key)
    for read in assert_round_trip(adata, tmp_path):
        again = read_metric(read, key)
        assert again.learner == stored.learner
        assert again.settled == stored.settled
        assert again.reading == stored.reading
        assert again.fingerprint == stored.fingerprint
        samples = sg.tl.distances(read, key=key, **QUIET)
        np.testing.assert_array_equal(samples.obsp[f"{key}_distances"], truth.obsp[f"{key}_distances"])
        assert samples.obs.equals(truth.obs)
        again = sg.get.metric(read, key=key)
        np.testing.assert_array_equal(again.components, metric.components)
        assert again.gene_importance.equals(metric.gene_importance)


def test_cells_that_were_read_back_can_be_a_reference(learned, tmp_path):
    new = sg.datasets.synthetic(n_noise=3, n_samples=2, n_cells=4, rng=1)
    truth = sg.tl.project(new, learned, copy=True)
    for read in assert_round_trip(learned, tmp_path):
        found = sg.tl.project(new, read, copy=True)
        np.testing.assert_array_equal(found.obsm["X_ggml"], truth.obsm["X_ggml"])
        folder = tmp_path / str(id(read))
        folder.mkdir()
        assert_round_trip(found, folder)


def test_a_metric_that_was_read_back_can_be_replaced(learned, tmp_path):
    for read in assert_round_trip(learned, tmp_path):
        sg.tl.ggml(read, "sample_id", "label", n_comps=1, **QUIET)
        assert read.obsm["X_ggml"].shape[1] == 1


def test_every_slot_of_the_samples_survives_a_file(learned, tmp_path):
    samples = sg.tl.distances(learned, **QUIET)
    sg.tl.mds(samples, n_comps=3)
    sg.tl.neighbors(samples, n_neighbors=3)
    paths = slots(samples).keys()
    assert {"obsp/ggml_distances", "obsm/X_mds", "obsp/connectivities", "uns/mds/eigenvalues", "obs/offset"} <= paths
    for read in assert_round_trip(samples, tmp_path):
        sg.tl.mds(read, n_comps=3)
        np.testing.assert_array_equal(read.obsm["X_mds"], samples.obsm["X_mds"])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_samples_under_a_fixed_metric_survive_a_file(adata, tmp_path, metric):
    assert_round_trip(sg.tl.distances(adata, metric=metric, sample_key="sample_id", **QUIET), tmp_path)


# Every learner


METHODS = [
    *("canonical", "triplets", "paper", sg.tl.Triplets.ggml_ot()),
    sg.tl.Triplets(keep_history=True),
    *(
        sg.tl.Canonical(ridge=ridge, ridge_scale=scale, n_alternations=n, max_features=7 * n, max_pairs=100 * n)
        for ridge, scale, n in itertools.product(("auto", 0.05, np.float32(0.1)), ("auto", "mean", "feature"), (1, 3))
    ),
    *(
        sg.tl.Triplets(margin=margin, penalty=penalty, anchors=anchors, init=init)
        for margin, penalty, anchors, init in itertools.product(
            ("auto", 2, np.float64(10.0)),
            get_args(PenaltyName),
            get_args(Anchors),
            (*get_args(InitialName), sg.tl.Canonical(ridge=0.5), np.eye(2, 3), np.ones((1, 2), dtype=np.float32)),
        )
    ),
    *(
        sg.tl.Triplets(n_triplets=n, batch_size=b, refine=r)
        for n in (None, 5)
        for b in (None, np.int64(4))
        for r in (0, 2)
    ),
    *(
        sg.tl.Triplets(reg=reg, lr=lr, max_iter=m, tol=tol)
        for reg in (0, 0.3)
        for lr in (1, 0.1)
        for m in (1, 9)
        for tol in (0, 0.1)
    ),
]
OTHERS = {
    "n_comps": (None, np.int32(4)),
    "squared": (False, np.True_),
    "shrinkage": ("auto", 0, np.float32(1.0)),
    "solver": ("exact", sg.tl.Exact(max_iter=10, backend="pot", cache_size=0.5)),
    "bags": (None, np.int64(3)),
}


def learners():
    """Every method with every combination of the other options."""
    for method, *values in itertools.product(METHODS, *OTHERS.values()):
        yield sg.tl.Learner(method=method, **dict(zip(OTHERS, values, strict=True)))


def test_the_grid_has_every_option():
    assert {"method", *OTHERS} == {field.name for field in fields(sg.tl.Learner)}
    for kind in (sg.tl.Canonical, sg.tl.Triplets, sg.tl.Exact):
        objects = [*METHODS, *OTHERS["solver"], sg.tl.Exact()]
        for field in fields(kind):
            found = {repr(getattr(each, field.name)) for each in objects if isinstance(each, kind)}
            assert len(found) > 1, (kind, field.name)


def as_read(value):
    """Nested options with the types that files give back."""
    if isinstance(value, dict):
        return {name: as_read(part) for name, part in value.items()}
    return {str: np.str_, bool: np.bool_, int: np.int64, float: np.float64}.get(type(value), np.asarray)(value)


def test_every_learner_comes_back_from_its_params():
    seen = []
    for learner in learners():
        found = sg.tl.Learner.from_params(as_read(learner.to_params()))
        assert found == learner
        assert found.to_params().keys() == learner.to_params().keys()
        seen.append(repr(learner.to_params()))
    assert len(seen) == len(METHODS) * 2 * 2 * 3 * 2 * 2
    assert len(set(seen)) >= len(seen) - 48  # one recipe has two names


def test_learners_survive_files(tmp_path):
    """Every fifth method, and each combination of the others; files take their time."""
    others = [dict(zip(OTHERS, values, strict=True)) for values in itertools.product(*OTHERS.values())]
    some = [sg.tl.Learner(method=METHODS[i], **others[i % len(others)]) for i in range(0, len(METHODS), 5)]
    some += [sg.tl.Learner(method=METHODS[i % 4], **others[i]) for i in range(len(others))]
    for kind, kept in (("h5ad", some), ("zarr", some[::5])):  # zarr takes 30 ms for each value
        adata = AnnData(np.zeros((2, 1)), uns={f"m{i}": learner.to_params() for i, learner in enumerate(kept)})
        getattr(adata, f"write_{kind}")(tmp_path / f"learners.{kind}")
        read = getattr(ad, f"read_{kind}")(tmp_path / f"learners.{kind}")
        for i, learner in enumerate(kept):
            assert sg.tl.Learner.from_params(read.uns[f"m{i}"]) == learner
