"""Mistakes that would pass in silence are told, with the next step."""

import warnings

import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import scggml as sg

LEARN = {"n_comps": 2, "progress": False}


@pytest.fixture
def counts():
    return sg.datasets.synthetic_counts(n_samples=3, n_cells=20, n_genes=40, n_planted=5)


# Raw counts


@pytest.mark.parametrize("how", ["dense", "sparse", "layer", "summary", "few cells"])
def test_raw_counts_are_told_with_what_prepares_them(counts, how):
    options = {}
    raw = counts.X.toarray() if sparse.issparse(counts.X) else np.asarray(counts.X)
    counts.X = sparse.csr_matrix(raw) if how == "sparse" else raw
    if how == "layer":
        counts.layers["counts"] = raw
        counts.X = np.log1p(raw)
        options["layer"] = "counts"
    options |= {"summary": {"summary": sg.tl.Coreset(5)}, "few cells": {"n_cells": 5}}.get(how, {})
    message = (
        r"looks like raw counts \(whole numbers up to \d+\): distances then follow the depth of sequencing\. Prepare "
        r"the genes first: sc\.pp\.normalize_total\(adata\); sc\.pp\.log1p\(adata\); sc\.pp\.pca\(adata\); then "
        r"pass use_rep"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        sg.tl.ggml(counts, "sample_id", "label", **LEARN, **options)
    assert [one.filename for one in caught if "raw counts" in str(one.message)] == [__file__]
    assert "X_ggml" in counts.obsm


@pytest.mark.parametrize("what", ["logarithms", "zero and one", "one sample of fractions", "representation"])
def test_what_is_no_raw_count_is_not_told_of(counts, what):
    raw = counts.X.toarray() if sparse.issparse(counts.X) else np.asarray(counts.X, dtype=np.float64)
    options = {}
    if what == "logarithms":
        counts.X = np.log1p(raw)
    elif what == "zero and one":
        counts.X = (raw > np.median(raw, axis=0)).astype(float)
    elif what == "one sample of fractions":
        first = (counts.obs["sample_id"] == counts.obs["sample_id"].iloc[0]).to_numpy()
        counts.X = np.where(first[:, None], raw + 0.5, raw)
    else:
        counts.obsm["X_whole"] = raw[:, :10]
        options["use_rep"] = "X_whole"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*raw counts")
        warnings.filterwarnings("ignore", message=".*standard deviation more than")
        sg.tl.ggml(counts, "sample_id", "label", **LEARN, **options)


# A PCA without its loadings


@pytest.mark.parametrize(("kept", "there"), [(None, "is missing"), (3, "has 3 columns")])
@pytest.mark.parametrize("name", ["X_pca", "pca"])
def test_a_pca_without_its_loadings_is_told_with_what_follows(counts, name, kept, there):
    sc.pp.log1p(counts)
    sc.pp.pca(counts, n_comps=5)
    counts.obsm[name], axes = counts.obsm.pop("X_pca"), counts.varm.pop("PCs")
    if kept is not None:
        counts.varm["PCs"] = axes[:, :kept]
    with pytest.warns(
        UserWarning, match=rf"{there}, and use_rep='{name}' has 5 components: the metric is learned, but"
    ):
        sg.tl.ggml(counts, "sample_id", "label", use_rep=name, **LEARN)
    assert "ggml" not in counts.varm


def test_other_representations_have_no_loadings_and_nothing_is_said(counts):
    sc.pp.log1p(counts)
    sc.pp.pca(counts, n_comps=5)
    counts.obsm["X_scVI"] = counts.obsm["X_pca"]
    for name in ("X_pca", "X_scVI"):
        sg.tl.ggml(counts, "sample_id", "label", use_rep=name, key_added=f"by_{name}", **LEARN)
    assert "by_X_pca" in counts.varm
    assert "by_X_scVI" not in counts.varm


# A neighbor graph of something else


@pytest.fixture
def samples(counts):
    sc.pp.log1p(counts)
    sg.tl.ggml(counts, "sample_id", "label", **LEARN)
    found = sg.tl.distances(counts, progress=False)
    found.obsm["X_umap"] = found.obsm["X_draw_graph_fr"] = found.obsm["X_own"] = np.zeros((found.n_obs, 2))
    return found


def test_a_umap_of_another_graph_is_told_with_the_right_one(samples):
    sc.pp.neighbors(samples, n_neighbors=3, use_rep="X")
    message = (
        r"is the graph of sc\.pp\.neighbors \(euclidean distances in X\), not of the stored distances "
        r"'ggml_distances', so '{}' may not show these\. Call sg\.tl\.neighbors\(samples, key='ggml'\) first"
    )
    for basis in ("umap", "X_umap", "draw_graph_fr"):
        with pytest.warns(UserWarning, match=message.format(basis)):
            sg.pl.embedding(samples, basis=basis)
    sg.pl.embedding(samples, basis="own")


def test_a_umap_of_our_graph_or_of_no_known_one_is_not_told_of(samples):
    sg.pl.embedding(samples, basis="umap")
    sg.tl.neighbors(samples, n_neighbors=3)
    sg.pl.embedding(samples, basis="umap")
