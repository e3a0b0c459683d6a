"""What is stored is found as long as it belongs to the metric, and not afterwards."""

import numpy as np
from _small import QUIET, cohort

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml._anndata.reported import (
    component_table,
    component_verdict,
    distance_table,
    has_genes,
    has_types,
    prediction_table,
    study_table,
    verdicts_of,
)


def learned():
    adata = cohort(n_samples=8)
    adata.obs["type"] = np.tile(["s", "t"], adata.n_obs // 2)
    adata.obs["site"] = np.where(adata.obs["sample"].astype(int) < 4, "x", "y")
    sg.tl.ggml(adata, "sample", "label", n_comps=2, **QUIET)
    return adata


def test_results_are_found_until_the_metric_is_another_one() -> None:
    adata = learned()
    assert not has_genes(adata, "ggml")
    assert not has_types(adata, "ggml")
    assert component_verdict(adata, read_metric(adata, "ggml")) is None
    sg.tl.rank_genes(adata, cell_type_key="type", **QUIET)
    sg.tl.component_test(adata, n_perm=19, **QUIET)
    assert has_genes(adata, "ggml", cell_type_key="type")
    assert not has_genes(adata, "ggml", cell_type_key="other")
    stored = read_metric(adata, "ggml")
    assert verdicts_of(adata, "ggml") == {"component_test": adata.uns["ggml_components"]["verdict"]}
    assert list(component_table(adata, stored)["component"]) == ["ggml1", "ggml2"]
    assert set(component_table(adata, stored)["real"]) <= {"yes", "no"}
    sg.tl.ggml(adata, "sample", "label", n_comps=1, **QUIET)
    assert not has_genes(adata, "ggml")
    assert verdicts_of(adata, "ggml") == {}
    assert verdicts_of(adata, "none") == {}


def test_tables_of_samples() -> None:
    adata = learned()
    samples = sg.tl.distances(adata, **QUIET)
    table = distance_table(samples)
    np.testing.assert_array_equal(table, samples.obsp["ggml_distances"])
    assert list(table.index) == list(samples.obs_names)
    study, size = study_table(samples, "ggml")
    assert size == "n_cells"
    assert {"label", "site", "n_cells"} <= set(study)
    assert (study["n_cells"] == 5).all()


def test_table_of_predictions() -> None:
    adata = cohort(n_samples=10)
    new = adata.obs["sample"].astype(int) >= 8
    known, others = adata[~new].copy(), adata[new].copy()
    sg.tl.ggml(known, "sample", "label", n_comps=1, **QUIET)
    found = sg.tl.predict(others, known, method="metric", n_splits=2, **QUIET)
    table = prediction_table(found)
    np.testing.assert_allclose(table[["p:a", "p:b"]].to_numpy(), found.obsm["prediction"])
    assert table.index.name == "sample"
    assert list(table["prediction"]) == list(found.obs["prediction"])
