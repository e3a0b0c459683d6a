"""The main path under the defaults of scanpy 2: by its own preset where scanpy has one, else written out."""

from collections.abc import Iterator

import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData

import scggml as sg

QUIET = {"progress": False}


@pytest.fixture(params=["preset", "by name"])
def key(request: pytest.FixtureRequest) -> Iterator[dict[str, dict[str, str]]]:
    """Options of `sc.pp.pca` and `sc.tl.umap` with which they write the slots of scanpy 2."""
    if request.param == "by name":
        yield {"pca": {"key_added": "pca"}, "umap": {"key_added": "umap"}}
        return
    if not hasattr(sc, "Preset"):
        pytest.skip("this scanpy has no preset of scanpy 2")
    before = sc.settings.preset
    try:
        sc.settings.preset = sc.Preset.ScanpyV2Preview
    except ImportError as error:
        pytest.skip(str(error))
    try:
        yield {"pca": {}, "umap": {}}
    finally:
        sc.settings.preset = before


@pytest.fixture(scope="module")
def _logged() -> AnnData:
    adata = sg.datasets.synthetic_counts(n_samples=4, n_cells=20, n_genes=80, n_planted=10)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return adata


@pytest.fixture
def logged(_logged: AnnData) -> AnnData:
    """Eight samples of 20 cells in two classes, log-normalized counts of 80 genes."""
    return _logged.copy()


def renamed(adata: AnnData) -> AnnData:
    """The same cells with the slots of scanpy 1."""
    out = adata.copy()
    out.obsm["X_pca"], out.varm["PCs"] = out.obsm.pop("pca"), out.varm.pop("pca")
    return out


def learned(adata: AnnData, use_rep: str) -> AnnData:
    out = adata.copy()
    sg.tl.ggml(out, "sample_id", "label", use_rep=use_rep, n_comps=2, **QUIET)
    sg.tl.rank_genes(out, **QUIET)
    return out


def test_the_main_path(logged, key):
    sc.pp.pca(logged, n_comps=6, **key["pca"])
    assert list(logged.obsm) == list(logged.varm) == ["pca"]
    truth = learned(renamed(logged), "X_pca")
    adata = learned(logged, "pca")
    np.testing.assert_array_equal(adata.obsm["X_ggml"], truth.obsm["X_ggml"])
    np.testing.assert_array_equal(adata.varm["ggml"], truth.varm["ggml"])
    assert sg.get.rank_genes_df(adata).equals(sg.get.rank_genes_df(truth))

    samples, expected = sg.tl.distances(adata, **QUIET), sg.tl.distances(truth, **QUIET)
    np.testing.assert_array_equal(samples.obsp["ggml_distances"], expected.obsp["ggml_distances"])
    sg.tl.mds(samples)
    sg.tl.neighbors(samples, n_neighbors=4)
    sc.tl.umap(samples, random_state=0, **key["umap"])
    assert list(samples.obsm) == ["pca", "X_mds", "umap"]
    for basis, slot, label in (("mds", "X_mds", "MDS1"), ("X_mds", "X_mds", "MDS1"), ("umap", "umap", "UMAP1")):
        ax = sg.pl.embedding(samples, basis=basis, size_by_cells=False)
        drawn = np.asarray(ax.collections[0].get_offsets())
        np.testing.assert_allclose(drawn, samples.obsm[slot][:, :2], rtol=1e-6)
        assert ax.get_xlabel().startswith(label)


def test_the_graph_of_samples_is_that_of_scanpy_1(logged, key):
    samples = sg.tl.distances(logged, metric="euclidean", sample_key="sample_id", **QUIET)
    sg.tl.neighbors(samples, key="euclidean", n_neighbors=4)
    D = samples.obsp["euclidean_distances"] + np.diag(np.full(8, -1.0))
    nearest = np.argsort(D, axis=1)[:, 1:4]
    for p, found in enumerate(samples.obsp["distances"].toarray()):
        assert set(np.flatnonzero(found)) == set(nearest[p])
    assert samples.uns["neighbors"]["params"]["use_rep"] == "X"


@pytest.mark.parametrize(("stored", "asked"), [("pca", "X_pca"), ("X_pca", "pca")])
def test_either_spelling_finds_the_pca_and_its_loadings(logged, stored, asked):
    sc.pp.pca(logged, n_comps=6, key_added="pca")
    there = logged if stored == "pca" else renamed(logged)
    truth, found = learned(there, stored), learned(there, asked)
    np.testing.assert_array_equal(found.uns["ggml"]["components"], truth.uns["ggml"]["components"])
    np.testing.assert_array_equal(found.varm["ggml"], truth.varm["ggml"])
    assert sg.get.rank_genes_df(found).equals(sg.get.rank_genes_df(truth))
    D = [sg.tl.distances(adata, **QUIET).obsp["ggml_distances"] for adata in (found, truth)]
    np.testing.assert_array_equal(*D)
    fixed = [
        sg.tl.distances(there, metric="euclidean", sample_key="sample_id", use_rep=use_rep, **QUIET)
        for use_rep in (asked, stored)
    ]
    np.testing.assert_array_equal(*(samples.obsp["euclidean_distances"] for samples in fixed))


def test_new_cells_may_spell_the_pca_in_the_other_way(logged):
    sc.pp.pca(logged, n_comps=6, key_added="pca")
    reference = learned(logged, "pca")
    new = renamed(logged[::2].copy())
    sg.tl.project(new, reference)
    np.testing.assert_allclose(new.obsm["X_ggml"], reference.obsm["X_ggml"][::2], rtol=1e-12)
    assert sg.tl.distances(new, **QUIET).obsp["ggml_distances"].shape == (8, 8)


def test_features_of_preprocess_are_those_of_scanpy_1(key):
    adata = sg.datasets.synthetic_counts(n_samples=3, n_cells=30, n_genes=120, n_planted=10)
    step = sg.tl.Preprocess(n_top_genes=40, n_comps=6)
    found = step(step.prepare(adata[:100]), step.prepare(adata[100:]))
    training, held_out = (step.prepare(part) for part in (adata[:100], adata[100:]))
    sc.pp.highly_variable_genes(training, n_top_genes=40, flavor="seurat")
    genes = training.var["highly_variable"].to_numpy()
    x, y = (part[:, genes].X.toarray().astype(np.float64) for part in (training, held_out))
    mean, std = x.mean(axis=0), x.std(axis=0, ddof=1)
    x, y = (np.clip((part - mean) / std, -10, 10) for part in (x, y))
    axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:6].T
    truth = (x - x.mean(axis=0)) @ axes, (y - x.mean(axis=0)) @ axes
    signs = np.sign((found[0] * truth[0]).sum(axis=0))  # axes have a sign of their own
    for mine, theirs in zip(found, truth, strict=True):
        np.testing.assert_allclose(mine, theirs * signs, atol=2e-3)
