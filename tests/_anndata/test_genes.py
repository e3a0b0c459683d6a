import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scggml._anndata.genes import component_names, pick_components, read_axes, read_genes, read_stability
from scggml._anndata.metric import read_stored


@pytest.fixture
def adata():
    """A metric on the two components of a PCA of five genes, of which the last took no part."""
    axes = np.zeros((5, 2))
    axes[:4] = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 2)))[0]
    W = np.array([[3.0, 1.0], [0.1, -0.3]])
    adata = AnnData(np.zeros((3, 5)), var=pd.DataFrame(index=list("ABCDE")))
    adata.varm["PCs"] = axes
    loadings = axes @ W.T
    loadings[4] = np.nan
    adata.varm["ggml"] = loadings
    adata.uns["ggml"] = {
        "components": W,
        "singular_values": np.linalg.norm(W, axis=1),
        "features": np.array(["X_pca_0", "X_pca_1"], dtype=object),
        "params": {"use_rep": "X_pca"},
    }
    return adata


def test_genes_are_those_that_took_part(adata):
    genes = read_genes(adata, read_stored(adata, "ggml"))
    assert genes.names.tolist() == list("ABCD")
    assert genes.known
    np.testing.assert_array_equal(genes.loadings, adata.varm["ggml"][:4])


def test_a_gene_without_a_symbol_keeps_its_own_name(adata):
    adata.var["symbol"] = ["CD4", None, np.nan, "LYZ", "MS4A1"]
    stored = read_stored(adata, "ggml")
    assert read_genes(adata, stored, "symbol").names.tolist() == ["CD4", "B", "C", "LYZ"]
    adata.var["symbol"] = adata.var["symbol"].astype("category")
    assert read_genes(adata, stored, "symbol").names.tolist() == ["CD4", "B", "C", "LYZ"]


def test_axes_carry_features_to_the_genes_that_took_part(adata):
    stored = read_stored(adata, "ggml")
    genes = read_genes(adata, stored)
    axes = read_axes(adata, stored, genes)
    np.testing.assert_allclose(axes @ stored.components.T, genes.loadings)


@pytest.mark.parametrize("use_rep", [None, "X"])
def test_genes_that_are_the_features_need_no_axes(adata, use_rep):
    adata.uns["ggml"]["params"] = {} if use_rep is None else {"use_rep": use_rep}
    stored = read_stored(adata, "ggml")
    assert read_axes(adata, stored, read_genes(adata, stored)) is None


def test_features_that_are_no_genes_need_no_axes(adata):
    del adata.varm["ggml"]
    stored = read_stored(adata, "ggml")
    genes = read_genes(adata, stored)
    assert (genes.known, genes.names.tolist()) == (False, ["X_pca_0", "X_pca_1"])
    np.testing.assert_array_equal(genes.loadings, stored.components.T)
    assert read_axes(adata, stored, genes) is None


def test_components_have_names_and_a_least_share(adata):
    stored = read_stored(adata, "ggml")
    assert component_names(stored) == ["ggml1", "ggml2"]
    assert pick_components(stored, None, "no genes") == [1]  # the second carries 0.1 / 10.1 of it
    assert pick_components(stored, (2, 1, 2), "no genes") == [2, 1]
    with pytest.raises(ValueError, match=r"components=\[0\]: the metric 'ggml' has components 1 to 2"):
        pick_components(stored, [0], "no genes")


def test_stability_of_another_metric_is_none(adata):
    stored = read_stored(adata, "ggml")
    assert read_stability(adata, stored) is None
    adata.uns["ggml_stability"] = {"singular_values": stored.singular_values, "p_value": np.ones(4)}
    assert read_stability(adata, stored) is adata.uns["ggml_stability"]
    adata.uns["ggml_stability"]["singular_values"] = stored.singular_values * 2
    assert read_stability(adata, stored) is None
