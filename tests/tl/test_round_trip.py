"""What was written survives a file, and works when it was read back."""

import numpy as np
import pytest
from _slots import assert_round_trip, slots

import scggml as sg

QUIET = {"progress": False}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_iter": 0},
        {"use_rep": "X_pca"},
        {"layer": "log", "weights_key": "weight", "n_cells": 5, "batch_size": None, "key_added": "tumor"},
        {"squared": True, "margin": 2.0, "init": np.eye(2, 4), "rng": np.random.default_rng(0)},
        {"init": sg.tl.Canonical(ridge=0.5), "solver": sg.tl.Exact(max_iter=10_000)},
        {"mask_var": np.array([True, True, False, True]), "batch_size": 4, "n_jobs": 1},
    ],
    ids=lambda options: "-".join(options) or "default",
)
def test_every_slot_of_the_cells_survives_a_file_and_gives_the_same_distances(adata, tmp_path, options):
    adata.obs["weight"] = np.random.default_rng(0).uniform(0.1, 1.0, adata.n_obs)
    adata.layers["log"] = np.log1p(np.abs(adata.X))
    adata.obsm["X_pca"], adata.varm["PCs"] = adata.X[:, ::-1].copy(), np.eye(4)[:, ::-1].copy()
    key = options.get("key_added", "ggml")
    sg.tl.ggml(adata, "sample_id", "label", **({"n_comps": 2, "max_iter": 4, "tol": 0} | QUIET | options))
    assert {f"uns/{key}/history/loss", f"uns/{key}/params/label_key", f"uns/{key}/converged"} <= slots(adata).keys()
    truth = sg.tl.distances(adata, key=key, **QUIET)
    metric = sg.get.metric(adata, key=key)
    for read in assert_round_trip(adata, tmp_path):
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
        sg.tl.ggml(read, "sample_id", "label", n_comps=1, max_iter=1, tol=0, **QUIET)
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
