import numpy as np
import pandas as pd
import pytest
from _metrics import metric_entry
from anndata import AnnData

import scggml as sg

LOADINGS = np.array([[3.0, -2.0, 0.0, 1.0, -4.0], [0.5, 1.0, -0.25, 0.0, 0.0]])


@pytest.fixture
def adata():
    """Two components on five genes, with what refits would have said of them."""
    adata = AnnData(np.zeros((2, 5)), var=pd.DataFrame({"symbol": list("VWXYZ")}, index=list("abcde")))
    adata.uns["ggml"] = metric_entry(LOADINGS, "abcde")
    adata.varm["ggml"] = LOADINGS.T.copy()
    frequency = np.array([[1.0, 0.2, 0.9], [0.5, 0.9, 0.6], [0.0, 0.1, 0.0], [0.4, 0.0, 0.3], [1.0, 0.0, 1.0]])
    adata.uns["ggml_stability"] = {
        "fingerprint": adata.uns["ggml"]["fingerprint"],
        "lower": np.tile(LOADINGS.T, 2)[:, :3] - 0.5,
        "upper": np.tile(LOADINGS.T, 2)[:, :3] + 0.5,
        "frequency": frequency,
        "excess": np.array([0.4, 0.1, 0.0, 0.05, 0.2]),
        "p_value": np.array([0.001, 0.05, 0.9, 0.2, 0.01]),
        "p_adjusted": np.array([0.005, 0.08, 0.9, 0.25, 0.025]),
    }
    sg.tl.rank_genes(adata)
    return adata


def test_the_whole_metric_comes_by_default(adata):
    table = sg.get.rank_genes_df(adata)
    assert table["gene"].tolist() == ["e", "a", "b", "d", "c"]
    np.testing.assert_allclose(table["loading"], [4.0, np.sqrt(9.25), np.sqrt(5.0), 1.0, 0.25])
    np.testing.assert_allclose(table["share"], np.array([16, 9.25, 5, 1, 0.0625]) / 31.3125)
    assert table["frequency"].tolist() == [1.0, 0.9, 0.6, 0.3, 0.0]
    assert table["p_adjusted"].tolist() == [0.025, 0.005, 0.08, 0.25, 0.9]


@pytest.mark.parametrize(
    ("options", "genes"),
    [
        ({"component": 1}, ["e", "a", "b", "d", "c"]),
        ({"component": 1, "side": "up"}, ["a", "d"]),
        ({"component": 1, "side": "down"}, ["e", "b"]),
        ({"component": 2, "side": "up"}, ["b", "a"]),
        ({"component": np.int64(2), "side": "down", "n_genes": 5}, ["c"]),
        ({"n_genes": 2}, ["e", "a"]),
        ({"max_p_adjusted": 0.025}, ["e", "a"]),
        ({"max_p_adjusted": 0.1, "n_genes": 1}, ["e"]),
        ({"min_frequency": 0.6}, ["e", "a", "b"]),
        ({"component": 2, "min_frequency": 0.2}, ["b", "a"]),
        ({"component": 1, "side": "down", "max_p_adjusted": 0.05}, ["e"]),
    ],
)
def test_filters(adata, options, genes):
    table = sg.get.rank_genes_df(adata, **options)
    assert table["gene"].tolist() == genes
    assert table.index.tolist() == list(range(len(genes)))


def test_symbols_are_a_column(adata):
    table = sg.get.rank_genes_df(adata, gene_symbols="symbol")
    assert table["symbol"].tolist() == ["Z", "V", "W", "Y", "X"]
    assert "symbol" not in adata.uns["ggml_genes"]


def test_the_stored_table_is_left_alone(adata):
    before = adata.uns["ggml_genes"].copy()
    table = sg.get.rank_genes_df(adata, component=1)
    table.loc[0, "gene"] = "changed"
    pd.testing.assert_frame_equal(adata.uns["ggml_genes"], before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"side": "up"}, ValueError, "side='up' goes with a component"),
        ({"component": 1, "side": "left"}, ValueError, r"side='left' is not known; choose from \('up', 'down'\)"),
        ({"component": 3}, ValueError, r"components=\[3\]: the metric 'ggml' has components 1 to 2"),
        ({"gene_symbols": "name"}, KeyError, "gene_symbols='name' is not a column of adata.var"),
        ({"key": "other"}, KeyError, "No learned metric"),
    ],
)
def test_bad_input_is_refused(adata, options, error, message):
    with pytest.raises(error, match=message):
        sg.get.rank_genes_df(adata, **options)


def test_genes_of_a_metric_that_was_learned_again_are_refused(adata):
    adata.varm["ggml"] = adata.varm["ggml"] * 2
    with pytest.raises(ValueError, match=r"ranks the genes of another metric .* sg\.tl\.rank_genes"):
        sg.get.rank_genes_df(adata)


def test_missing_numbers_are_told(adata):
    del adata.uns["ggml_stability"]
    sg.tl.rank_genes(adata)
    for options in ({"max_p_adjusted": 0.05}, {"min_frequency": 0.5}):
        with pytest.raises(ValueError, match=r"compute it with sg\.tl\.gene_stability"):
            sg.get.rank_genes_df(adata, **options)
    del adata.uns["ggml_genes"]
    with pytest.raises(KeyError, match=r"rank the genes first with sg\.tl\.rank_genes"):
        sg.get.rank_genes_df(adata)
