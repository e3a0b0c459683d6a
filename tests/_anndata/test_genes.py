"""Genes of a stored metric: names, loadings, table, and what is known of their stability."""

import numpy as np
import pandas as pd
import pytest
from _metrics import metric_entry
from anndata import AnnData

from scggml._anndata.genes import component_names, gene_table, pick_components, read_axes, read_genes, read_stability
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
    stored = read_metric(adata, "ggml")
    assert read_genes(adata, stored, "symbol").names.tolist() == ["CD4", "B", "C", "LYZ"]
    adata.var["symbol"] = adata.var["symbol"].astype("category")
    assert read_genes(adata, stored, "symbol").names.tolist() == ["CD4", "B", "C", "LYZ"]


def test_symbols_need_a_column_and_genes(adata):
    stored = read_metric(adata, "ggml")
    with pytest.raises(KeyError, match=r"gene_symbols='symbol' is not a column of adata\.var, which has nothing"):
        read_genes(adata, stored, "symbol")
    del adata.varm["ggml"]
    with pytest.raises(
        ValueError, match="gene_symbols='symbol': the metric 'ggml' is on features that cannot be mapped"
    ):
        read_genes(adata, stored, "symbol")


def test_axes_carry_features_to_the_genes_that_took_part(adata):
    stored = read_metric(adata, "ggml")
    genes = read_genes(adata, stored)
    axes = read_axes(adata, stored, genes)
    np.testing.assert_allclose(axes @ stored.components.T, genes.loadings)


@pytest.mark.parametrize("use_rep", [None, "X"])
def test_genes_that_are_the_features_need_no_axes(adata, use_rep):
    adata.uns["ggml"] = metric_entry(np.eye(2), ["X_pca_0", "X_pca_1"], use_rep=use_rep)
    stored = read_metric(adata, "ggml")
    assert read_axes(adata, stored, read_genes(adata, stored)) is None


def test_features_that_are_no_genes_need_no_axes(adata):
    del adata.varm["ggml"]
    stored = read_metric(adata, "ggml")
    genes = read_genes(adata, stored)
    assert (genes.known, genes.names.tolist()) == (False, ["X_pca_0", "X_pca_1"])
    np.testing.assert_array_equal(genes.loadings, stored.components.T)
    assert read_axes(adata, stored, genes) is None


def test_loadings_of_a_pca_that_are_gone_are_asked_for(adata):
    stored = read_metric(adata, "ggml")
    genes = read_genes(adata, stored)
    del adata.varm["PCs"]
    with pytest.raises(
        ValueError, match=r"The loadings of 'X_pca' are no longer in adata\.varm; compute the PCA again"
    ):
        read_axes(adata, stored, genes)


def test_components_have_names_and_a_least_share(adata):
    stored = read_metric(adata, "ggml")
    assert component_names(stored) == ["ggml1", "ggml2"]
    assert pick_components(stored, None, "no genes") == [1]  # the second carries 0.1 / 10.1 of it
    assert pick_components(stored, (2, 1, 2), "no genes") == [2, 1]
    with pytest.raises(ValueError, match=r"components=\[0\]: the metric 'ggml' has components 1 to 2"):
        pick_components(stored, [0], "no genes")


def stability(adata, names="ABCD", **more):
    """Found for the metric as it is: by gene and component, the whole metric last."""
    number = np.arange(float(len(names)))
    spread = np.stack([number, number + 10, number + 20], axis=1)
    return {
        "genes": np.array(list(names), dtype=object),
        "lower": spread,
        "upper": spread + 1,
        "frequency": spread / 100,
        "excess": number,
        "p_value": number / 10,
        "p_adjusted": number / 5,
        "fingerprint": read_metric(adata, "ggml").fingerprint,
    } | more


def test_stability_of_another_metric_is_none(adata):
    stored = read_metric(adata, "ggml")
    assert read_stability(adata, stored) is None
    adata.uns["ggml_stability"] = stability(adata)
    assert read_stability(adata, stored) is adata.uns["ggml_stability"]
    for other in (stability(adata, fingerprint="0123"), {"p_value": np.ones(4)}, "text", pd.DataFrame()):
        adata.uns["ggml_stability"] = other
        assert read_stability(adata, stored) is None


def test_stability_follows_its_genes(adata):
    adata.uns["ggml_stability"] = stability(adata)
    other = adata[:, ["D", "B", "E"]].copy()
    found = read_stability(other, read_metric(other, "ggml"))
    assert found["genes"].tolist() == ["D", "B"]
    np.testing.assert_array_equal(found["lower"], [[3, 13, 23], [1, 11, 21]])
    np.testing.assert_array_equal(found["p_value"], [0.3, 0.1])
    adata.uns["ggml_stability"] = stability(adata, "CA")
    np.testing.assert_array_equal(
        read_stability(adata, read_metric(adata, "ggml"))["p_value"], [0.1, np.nan, 0, np.nan]
    )
    adata.uns["ggml_stability"] = stability(adata, "AABB")
    with pytest.raises(ValueError, match=r"adata\.uns\['ggml_stability'\] has several genes of one name, .* again"):
        read_stability(adata, read_metric(adata, "ggml"))


def test_the_table_has_what_is_known_of_the_stability_of_each_gene(adata):
    plain = ["component", "gene", "loading", "sign", "share", "rank"]
    assert list(gene_table(adata, "ggml").columns) == plain
    adata.uns["ggml_stability"] = stability(adata)
    for each in (adata, adata[:, ::-1].copy()):
        table = gene_table(each, "ggml")
        assert list(table.columns) == [*plain, "lower", "upper", "frequency", "excess", "p_value", "p_adjusted"]
        for i, name in enumerate(["ggml1", "ggml2", "ggml"]):
            part = table[table["component"] == name].set_index("gene").loc[list("ABCD")]
            assert part["lower"].tolist() == [10 * i + g for g in range(4)]
            np.testing.assert_allclose(part["frequency"], [i / 10 + g / 100 for g in range(4)])
            assert part["p_value"].tolist() == [0.0, 0.1, 0.2, 0.3]
            order = np.abs(part["loading"]).rank(ascending=False).astype(int)
            assert order.tolist() == part["rank"].tolist()
    adata.uns["ggml_stability"]["fingerprint"] = "0123"
    assert list(gene_table(adata, "ggml").columns) == plain
