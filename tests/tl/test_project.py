import anndata as ad
import dask.array as da
import numpy as np
import ot
import pytest
import scanpy as sc
from _slots import assert_same, slots
from anndata import AnnData
from scipy import sparse
from scipy.spatial.distance import cdist

import scggml as sg

QUIET = {"progress": False}
SHORT = sg.tl.Triplets(max_iter=2, tol=0)


@pytest.fixture
def new():
    """Other cells of the same four features."""
    return sg.datasets.synthetic(n_noise=3, n_samples=2, n_cells=4, rng=1)


@pytest.fixture
def new_counts():
    """Other log-normalized cells, without a PCA."""
    adata = sg.datasets.synthetic_counts(n_samples=2, n_cells=20, n_genes=100, n_planted=10, rng=3)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return adata


def metric_of(adata, key="ggml"):
    return {path: value for path, value in slots(adata).items() if path.startswith(f"uns/{key}/")}


# The embedding


def test_the_reference_itself_comes_out_where_it_is(learned):
    other = learned.copy()
    sg.tl.project(other, learned)
    assert_same(slots(other), slots(learned))


def test_new_cells_are_embedded_by_the_components(learned, new):
    assert sg.tl.project(new, learned) is None
    truth = new.X @ learned.uns["ggml"]["components"].T
    np.testing.assert_allclose(new.obsm["X_ggml"], truth, rtol=1e-5, atol=1e-5)
    assert new.obsm["X_ggml"].dtype == np.float64


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_genes_in_another_order_and_more_of_them_give_the_same_embedding(learned, new, kind):
    sg.tl.project(new, learned)
    more = ad.concat([new, AnnData(np.full((new.n_obs, 2), np.nan), obs=new.obs[[]], var={"g": ["x", "y"]})], axis=1)
    for names in (["noise_2", "signal", "noise_3", "noise_1"], ["1", "noise_2", "signal", "0", "noise_3", "noise_1"]):
        other = AnnData(kind(more[:, names].X), obs=new.obs, var=more[:, names].var[[]])
        sg.tl.project(other, learned)
        np.testing.assert_allclose(other.obsm["X_ggml"], new.obsm["X_ggml"], rtol=1e-5, atol=1e-5)
        for name, loadings in zip(names, other.varm["ggml"], strict=True):
            if name in learned.var_names:
                np.testing.assert_array_equal(loadings, learned.varm["ggml"][learned.var_names == name][0])
            else:
                assert np.isnan(loadings).all()


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "backed", "dask"])
def test_the_storage_of_the_new_cells_does_not_matter(learned, new, kind, tmp_path):
    other = new.copy()
    if kind == "backed":
        new.write_h5ad(tmp_path / "new.h5ad")
        other = ad.read_h5ad(tmp_path / "new.h5ad", backed="r")
    elif kind == "dask":
        other.X = da.from_array(new.X, chunks=(25, 3))
    else:
        other.X = getattr(sparse, kind)(new.X)
    sg.tl.project(new, learned)
    sg.tl.project(other, learned)
    np.testing.assert_array_equal(other.obsm["X_ggml"], new.obsm["X_ggml"])
    if kind == "backed":
        other.file.close()


def test_masked_genes_are_not_needed(adata, new):
    adata.var["highly_variable"] = [True, False, True, True]
    sg.tl.ggml(adata, "sample_id", "label", method=SHORT, n_comps=2, **QUIET)
    few = new[:, ["noise_3", "signal", "noise_2"]].copy()
    sg.tl.project(few, adata)
    truth = few[:, ["signal", "noise_2", "noise_3"]].X @ adata.uns["ggml"]["components"].T
    np.testing.assert_allclose(few.obsm["X_ggml"], truth, rtol=1e-5, atol=1e-5)


def test_a_metric_on_a_layer_takes_that_layer(adata, new):
    for each in (adata, new):
        each.layers["log"] = np.log1p(np.abs(each.X))
    sg.tl.ggml(adata, "sample_id", "label", layer="log", method=SHORT, n_comps=2, **QUIET)
    sg.tl.project(new, adata)
    truth = new.layers["log"] @ adata.uns["ggml"]["components"].T
    np.testing.assert_allclose(new.obsm["X_ggml"], truth, rtol=1e-5, atol=1e-5)


# What else is written


def test_the_metric_itself_comes_along(learned, new):
    sg.tl.project(new, learned)
    assert_same(metric_of(new), metric_of(learned))
    np.testing.assert_array_equal(new.varm["ggml"], learned.varm["ggml"])
    assert sg.get.metric(new).gene_importance.equals(sg.get.metric(learned).gene_importance)


def test_the_metric_that_comes_along_is_not_shared(learned, new):
    before = slots(learned)
    sg.tl.project(new, learned)
    new.uns["ggml"]["components"][:] = 0
    new.uns["ggml"]["history"]["loss"][:] = 0
    new.uns["ggml"]["reading"]["sample_key"] = "other"
    new.varm["ggml"][:] = 0
    assert_same(slots(learned), before)


def test_another_key_is_taken_on_both_sides(learned, new):
    learned.uns["tumor"] = learned.uns.pop("ggml")
    learned.obsm["X_tumor"], learned.varm["tumor"] = learned.obsm.pop("X_ggml"), learned.varm.pop("ggml")
    sg.tl.project(new, learned, key="tumor")
    assert (list(new.obsm), list(new.varm)) == (["X_tumor"], ["tumor"])
    assert "ggml" not in new.uns


def test_a_copy_leaves_the_original_untouched(learned, new):
    before, reference = slots(new), slots(learned)
    result = sg.tl.project(new, learned, copy=True)
    assert_same(slots(new), before)
    assert_same(slots(learned), reference)
    sg.tl.project(new, learned)
    assert_same(slots(result), slots(new))


def test_a_view_becomes_an_anndata_of_its_own(learned, new):
    before = slots(new)
    view = new[:10]
    sg.tl.project(view, learned)
    assert not view.is_view
    assert view.obsm["X_ggml"].shape == (10, 2)
    assert_same(slots(new), before)


def truth_of_distances(adata):
    names = adata.obs["sample_id"].unique()
    clouds = [adata.obsm["X_ggml"][(adata.obs["sample_id"] == name).to_numpy()] for name in names]
    out = np.zeros((len(clouds), len(clouds)))
    for p, q in zip(*np.triu_indices(len(clouds), k=1), strict=True):
        out[p, q] = out[q, p] = ot.emd2([], [], cdist(clouds[p], clouds[q]))
    return out


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 0, 2, 1]], ids=["same order", "shuffled"])
def test_distances_of_projected_samples_are_those_of_their_embedding(learned, new, order):
    new = new[:, order].copy()
    sg.tl.project(new, learned)
    samples = sg.tl.distances(new, **QUIET)
    np.testing.assert_allclose(samples.obsp["ggml_distances"], truth_of_distances(new), rtol=1e-5)


# Covariates


@pytest.fixture
def aged(counts):
    """A metric on the PCA without the effect of the age of a sample."""
    rng = np.random.default_rng(0)
    counts.obs["age"] = rng.uniform(20, 80, 10)[counts.obs["sample_id"].cat.codes]
    counts.obs["weight"] = rng.uniform(0.1, 1.0, counts.n_obs)
    options = {"use_rep": "X_pca", "covariate_keys": ["age"], "weights_key": "weight", "n_cells": 20, "n_comps": 2}
    sg.tl.ggml(counts, "sample_id", "label", **options, **QUIET)
    return counts


def test_effects_of_covariates_are_taken_off_new_cells(aged):
    """Through the slot and through the genes; the weights of new cells are not asked for."""
    W, adjustment = aged.uns["ggml"]["components"], aged.uns["ggml"]["adjustment"]
    new = AnnData(aged.X, obs=aged.obs.drop(columns="weight"), var=aged.var[[]])
    new.obs["age"] += 5.0
    through = sg.tl.project(new, aged, copy=True)
    new.obsm["X_pca"] = aged.obsm["X_pca"]
    sg.tl.project(new, aged)
    shift = (new.obs["age"].to_numpy()[:, None] - adjustment["center"]) @ adjustment["slopes"] @ W.T
    np.testing.assert_allclose(new.obsm["X_ggml"], aged.obsm["X_pca"] @ W.T - shift, rtol=1e-6, atol=1e-6)
    scale = np.abs(new.obsm["X_ggml"]).max()
    np.testing.assert_allclose(through.obsm["X_ggml"], new.obsm["X_ggml"], atol=1e-3 * scale)
    moved = aged.obsm["X_ggml"] - new.obsm["X_ggml"]
    np.testing.assert_allclose(moved, np.broadcast_to(5.0 * adjustment["slopes"] @ W.T, moved.shape), atol=1e-5 * scale)


def test_new_cells_without_the_covariates_are_refused(aged):
    new = aged.copy()
    del new.obs["age"]
    fails(new, aged, KeyError, "covariate_keys='age' is not a column of adata.obs, which has")
    new.obs["age"] = np.where(np.arange(new.n_obs) == 3, np.nan, 30.0)
    fails(new, aged, ValueError, r"adata\.obs\['age'\] \(covariate_keys\) is missing for 1 of 300 cells")


# Through the genes of a PCA


@pytest.mark.parametrize("kind", ["csr", "dense"])
@pytest.mark.parametrize("shuffle", [False, True], ids=["same order", "shuffled"])
def test_cells_without_a_pca_go_through_its_genes(counts, new_counts, kind, shuffle):
    W, PCs = counts.uns["ggml"]["components"], counts.varm["PCs"]
    truth = (new_counts.X.toarray() - counts.X.toarray().mean(axis=0)) @ PCs @ W.T
    if kind == "dense":
        new_counts.X = new_counts.X.toarray()
    if shuffle:
        new_counts = new_counts[:, np.random.default_rng(0).permutation(100)].copy()
    sg.tl.project(new_counts, counts)
    np.testing.assert_allclose(new_counts.obsm["X_ggml"], truth, atol=1e-4 * np.abs(truth).max())
    assert_same(metric_of(new_counts), metric_of(counts))
    aligned = new_counts[:, counts.var_names].varm["ggml"]
    np.testing.assert_array_equal(aligned, counts.varm["ggml"])


def test_the_reference_without_its_pca_comes_out_where_it_is(counts):
    other = AnnData(counts.X, obs=counts.obs, var=counts.var[[]])
    sg.tl.project(other, counts)
    scale = np.abs(counts.obsm["X_ggml"]).max()
    np.testing.assert_allclose(other.obsm["X_ggml"], counts.obsm["X_ggml"], atol=1e-4 * scale)


def test_genes_that_the_pca_did_not_see_are_not_needed(counts, new_counts):
    sg.tl.project(new_counts, counts)
    few = new_counts[:, counts.var["highly_variable"].to_numpy()].copy()
    del few.obsm, few.varm
    few.uns.clear()
    sg.tl.project(few, counts)
    np.testing.assert_allclose(few.obsm["X_ggml"], new_counts.obsm["X_ggml"], rtol=1e-4, atol=1e-4)


def test_distances_of_samples_that_went_through_genes_are_those_of_their_embedding(counts, new_counts):
    sg.tl.project(new_counts, counts)
    samples = sg.tl.distances(new_counts, **QUIET)
    np.testing.assert_allclose(samples.obsp["ggml_distances"], truth_of_distances(new_counts), rtol=1e-4)
    assert samples.obs["label"].tolist() == ["class0"] * 2 + ["class1"] * 2


def test_a_layer_with_the_scale_of_the_pca_can_be_named(counts, new_counts):
    sg.tl.project(new_counts, counts)
    other = AnnData(new_counts.X, obs=new_counts.obs, var=new_counts.var[[]])
    for each in (counts, other):
        each.layers["log"], each.X = each.X, each.X.expm1()
    sg.tl.project(other, counts, layer="log")
    np.testing.assert_allclose(other.obsm["X_ggml"], new_counts.obsm["X_ggml"], rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*unlike any sample of the reference")
@pytest.mark.parametrize("call", ["project", "predict"])
def test_raw_counts_that_go_through_the_genes_of_a_pca_are_warned_of(counts, call):
    raw = sg.datasets.synthetic_counts(n_samples=2, n_cells=20, n_genes=100, n_planted=10, rng=3)
    raw.obs["sample_id"] = "new " + raw.obs["sample_id"].astype(str)
    options = {} if call == "project" else {"n_jobs": 1} | QUIET
    text = r"adata\.X holds counts .*, and the metric 'ggml' was learned on logarithms"
    with pytest.warns(UserWarning, match=text):
        getattr(sg.tl, call)(raw, counts, **options)


def test_a_pca_of_the_new_cells_is_taken_where_they_have_it(counts, new_counts):
    new_counts.obsm["X_pca"] = np.random.default_rng(0).normal(size=(new_counts.n_obs, 10))
    new_counts.varm["PCs"] = counts.varm["PCs"]  # of the same genes
    sg.tl.project(new_counts, counts)
    truth = new_counts.obsm["X_pca"] @ counts.uns["ggml"]["components"].T
    np.testing.assert_allclose(new_counts.obsm["X_ggml"], truth, rtol=1e-10)


# Bad input


def fails(adata, reference, error, message, **options):
    before, other = slots(adata), slots(reference)
    with pytest.raises(error, match=message):
        sg.tl.project(adata, reference, **options)
    assert_same(slots(adata), before)
    assert_same(slots(reference), other)


def test_a_reference_without_a_metric_is_refused(learned, new):
    fails(new, new.copy(), KeyError, r"No learned metric in adata\.uns\['ggml'\]; stored metrics: nothing")
    fails(new, learned, KeyError, r"No learned metric in adata\.uns\['tumor'\]; stored metrics: 'ggml'", key="tumor")


def test_missing_genes_are_named(learned, new):
    message = (
        r"adata\.X lacks 2 of the 4 features that the metric 'ggml' was learned on: 'noise_1', 'noise_3'\. Add them, or"
    )
    fails(new[:, ["noise_2", "signal"]].copy(), learned, ValueError, message)


def test_missing_genes_of_a_pca_are_named(counts, new_counts):
    seen = counts.var_names[counts.var["highly_variable"]]
    few = new_counts[:, [name for name in new_counts.var_names if name not in seen[:2]]].copy()
    message = rf"adata\.X lacks 2 of the 75 genes that carry the metric 'ggml': '{seen[0]}', '{seen[1]}'"
    fails(few, counts, ValueError, message)


def test_a_reference_on_another_scale_than_its_pca_is_refused(counts, new_counts):
    counts.X = counts.X.expm1()
    message = (
        r"adata\.obsm lacks 'X_pca', the features of the metric 'ggml', and adata\.X of the reference is not on the "
        r"scale that its PCA saw .* Pass the layer of both AnnData .* or compute 'X_pca' for the new cells"
    )
    fails(new_counts, counts, ValueError, message)


def test_a_pca_without_genes_cannot_be_gone_through(learned, new):
    learned.obsm["X_scVI"] = learned.X.copy()
    sg.tl.ggml(learned, "sample_id", "label", use_rep="X_scVI", method=SHORT, n_comps=2, **QUIET)
    message = (
        r"adata\.obsm lacks 'X_scVI', .* reference\.varm has no loadings of 'X_scVI' to go through; compute 'X_scVI'"
    )
    fails(new, learned, ValueError, message)


def test_too_few_components_of_a_pca_are_named(counts, new_counts):
    new_counts.obsm["X_pca"] = np.zeros((new_counts.n_obs, 8))
    message = r"adata\.obsm\['X_pca'\] lacks 2 of the 10 features .* 'X_pca_8', 'X_pca_9'"
    fails(new_counts, counts, ValueError, message)


def test_a_layer_has_no_part_where_the_slot_is_there(learned, new):
    new.layers["log"] = new.X
    fails(new, learned, ValueError, "layer='log' is ignored here: the metric 'ggml' takes the slot", layer="log")


def test_a_missing_layer_is_named(counts, new_counts):
    counts.layers["log"] = counts.X
    fails(new_counts, counts, KeyError, r"layer='log' is not in adata\.layers, which holds nothing", layer="log")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(learned, new, value):
    new.X[3, 1] = value
    fails(new, learned, ValueError, r"adata\.X has 1 values that are NaN or infinite; .* 'cell3', feature 'noise_1'")


def test_what_others_stored_under_the_key_is_not_overwritten(learned, new):
    new.obsm["X_ggml"] = new.X[:, :2]
    message = r"key='ggml': adata\.obsm\['X_ggml'\] holds something that is not a learned metric"
    fails(new, learned, ValueError, message)


def test_duplicated_genes_are_refused_with_the_next_step(learned, new):
    new.var_names = ["signal", "noise_1", "noise_1", "noise_2"]
    more = AnnData(np.ones((new.n_obs, 5)), obs=new.obs)
    more.var_names = ["signal", "noise_1", "noise_1", "noise_2", "noise_3"]
    fails(more, learned, ValueError, r"var_names.*'noise_1'.*var_names_make_unique")


def test_what_is_no_anndata_is_refused(learned):
    with pytest.raises(TypeError, match="adata is a ndarray; an AnnData object is needed"):
        sg.tl.project(learned.X, learned)
