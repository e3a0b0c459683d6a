"""Genes of a stored metric: names, loadings and components."""

import numpy as np
import pandas as pd
import pytest
from _metrics import metric_entry
from anndata import AnnData

import scggml as sg
from scggml._anndata.genes import component_names, name_of_component, name_of_genes, pick_components, read_genes
from scggml._anndata.metric import read_metric


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
    adata.uns["ggml"] = metric_entry(W, ["X_pca_0", "X_pca_1"], use_rep="X_pca")
    return adata


def test_genes_are_those_that_took_part(adata):
    genes = read_genes(adata, read_metric(adata, "ggml"))
    assert genes.names.tolist() == list("ABCD")
    assert genes.known
    np.testing.assert_array_equal(genes.loadings, adata.varm["ggml"][:4])


def test_a_gene_without_a_symbol_keeps_its_own_name(adata):
    adata.var["symbol"] = ["CD4", None, np.nan, "LYZ", "MS4A1"]
    truth = {"A": "CD4", "B": "B", "C": "C", "D": "LYZ", "E": "MS4A1"}
    assert name_of_genes(adata, "symbol") == truth
    adata.var["symbol"] = adata.var["symbol"].astype("category")
    assert name_of_genes(adata, "symbol") == truth
    assert name_of_genes(adata, None) == dict(zip("ABCDE", "ABCDE", strict=True))


def test_symbols_need_a_column(adata):
    with pytest.raises(KeyError, match=r"gene_symbols='symbol' is not a column of adata\.var, which has nothing"):
        name_of_genes(adata, "symbol")


def test_features_stand_in_for_genes_that_are_not_known(adata):
    del adata.varm["ggml"]
    stored = read_metric(adata, "ggml")
    genes = read_genes(adata, stored)
    assert (genes.known, genes.names.tolist()) == (False, ["X_pca_0", "X_pca_1"])
    np.testing.assert_array_equal(genes.loadings, stored.components.T)


def test_components_have_names_and_a_least_share(adata):
    stored = read_metric(adata, "ggml")
    assert component_names(stored) == ["ggml1", "ggml2"]
    assert pick_components(adata, stored, None, "no genes") == [1]  # the second carries 0.1 / 10.1 of it
    assert pick_components(adata, stored, (2, 1, 2), "no genes") == [2, 1]
    with pytest.raises(ValueError, match=r"components=\[0\]: the metric 'ggml' has components 1 to 2"):
        pick_components(adata, stored, [0], "no genes")


@pytest.mark.parametrize("asked", [True, 0, 3, "ggml9", 1.5])
def test_a_single_component_is_named_as_the_argument_is(adata, asked):
    stored = read_metric(adata, "ggml")
    with pytest.raises(ValueError, match=rf"^component={asked!r}: the metric 'ggml' has components 1 to 2"):
        name_of_component(adata, stored, asked)


@pytest.mark.parametrize("asked", [[2], ["ggml2"], [np.int64(2)], "ggml2", 2, [2, "ggml2"]])
def test_components_have_numbers_and_names(asked):
    adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=5)
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    stored = read_metric(adata, "ggml")
    assert pick_components(adata, stored, asked, "nothing") == [2]
    sg.tl.rank_genes(adata, progress=False)
    table = sg.get.rank_genes_df(adata, component=asked[0] if isinstance(asked, list) else asked)
    assert set(table["component"]) == {"ggml2"}


@pytest.mark.parametrize("asked", [[0], [3], ["ggml3"], ["first"], [1.5], []])
def test_components_that_are_not_there_are_refused(asked):
    adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=5)
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    with pytest.raises(ValueError, match=r"components 1 to 2 \('ggml1', 'ggml2'\)"):
        pick_components(adata, read_metric(adata, "ggml"), asked, "nothing")
