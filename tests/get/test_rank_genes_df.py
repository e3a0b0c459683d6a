import numpy as np
import pandas as pd
import pytest
from _metrics import metric_entry, rank_by_hand
from anndata import AnnData

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml._anndata.ranking import refresh_ranking

PATTERNS = np.array([[3.0, 2.0, 0.0, -1.0, -4.0], [0.5, 1.0, -0.25, 0.0, 0.0]])
SHIFTS = np.array([[0.3, -0.2, 0.0, 0.1, -0.4], [0.5, 1.0, -0.25, 0.0, 0.0]])
LOADINGS = np.array([[0.0, 1.0, 2.0, 3.0, np.nan], [2.0, 0.0, 1.0, 0.0, np.nan]])


@pytest.fixture
def adata():
    """Five genes along two components, by cell type too, with what refits said; the metric did not use the last."""
    adata = AnnData(np.zeros((2, 5)), var=pd.DataFrame({"symbol": list("VWXYZ")}, index=list("abcde")))
    adata.uns["ggml"] = metric_entry(LOADINGS[:, :4], "abcd")
    adata.varm["ggml"] = LOADINGS.T.copy()
    frequency = np.array([[1.0, 0.2, 0.9], [0.5, 0.9, 0.6], [0.0, 0.1, 0.0], [0.4, 0.0, 0.3], [1.0, 0.0, 1.0]])
    adata.uns["ggml_stability"] = {
        "fingerprint": adata.uns["ggml"]["fingerprint"],
        "genes": np.array(list("abcde"), dtype=object),
        "lower": np.tile(PATTERNS.T, 2)[:, :3] - 0.5,
        "upper": np.tile(PATTERNS.T, 2)[:, :3] + 0.5,
        "frequency": frequency,
        "excess": np.array([0.4, 0.1, 0.0, 0.05, 0.2]),
        "p_value": np.array([0.001, 0.05, 0.9, 0.2, 0.01]),
        "p_adjusted": np.array([0.005, 0.08, 0.9, 0.25, 0.025]),
    }
    rank_by_hand(adata, PATTERNS.T, SHIFTS.T, unclear="c")
    types = [
        ("ggml1", "T", "b", 1.5, -0.3, -5.0, "class0", 1),
        ("ggml1", "T", "a", 2.0, 0.1, 4.0, "class1", 2),
        ("ggml1", "T", "c", 0.1, 0.1, 1.0, "neither", 3),
        ("ggml1", "B", "a", 1.0, 0.2, 3.0, "class1", 1),
        ("ggml2", "T", "a", 0.5, 0.4, 6.0, "class1", 1),
    ]
    columns = ["component", "cell_type", "gene", "pattern", "shift", "t", "higher_in", "rank"]
    adata.uns["ggml_genes"]["types"] = pd.DataFrame(types, columns=columns).astype({"cell_type": "category"})
    return adata


def test_the_whole_metric_comes_by_default(adata):
    table = sg.get.rank_genes_df(adata)
    assert table["gene"].tolist() == ["e", "a", "b", "d", "c"]
    np.testing.assert_allclose(table["pattern"], [4.0, np.sqrt(9.25), np.sqrt(5.0), 1.0, 0.25])
    np.testing.assert_allclose(table["loading"], [np.nan, 2.0, 1.0, 3.0, np.sqrt(5.0)])
    np.testing.assert_allclose(table["share"], np.array([np.nan, 4, 1, 9, 5]) / 19)
    assert table["frequency"].tolist() == [1.0, 0.9, 0.6, 0.3, 0.0]
    assert table["p_adjusted"].tolist() == [0.025, 0.005, 0.08, 0.25, 0.9]


@pytest.mark.parametrize(
    ("options", "genes"),
    [
        ({"component": 1}, ["e", "a", "b", "d", "c"]),
        ({"component": 1, "higher_in": "class1"}, ["a", "d"]),
        ({"component": 1, "higher_in": "class0"}, ["e", "b"]),
        ({"component": 1, "higher_in": "neither"}, ["c"]),
        ({"component": 2, "higher_in": "class1"}, ["b", "a"]),
        ({"component": np.int64(2), "higher_in": "neither", "n_genes": 5}, ["c"]),
        ({"higher_in": "class1"}, []),  # the whole metric has no direction
        ({"n_genes": 2}, ["e", "a"]),
        ({"max_p_adjusted": 0.025}, ["e", "a"]),
        ({"max_p_adjusted": 0.1, "n_genes": 1}, ["e"]),
        ({"min_frequency": 0.6}, ["e", "a", "b"]),
        ({"component": 2, "min_frequency": 0.2}, ["b", "a"]),
        ({"component": 1, "higher_in": "class0", "max_p_adjusted": 0.05}, ["e"]),
        ({"component": 1, "cell_type": "T"}, ["b", "a", "c"]),
        ({"component": 1, "cell_type": "B"}, ["a"]),
        ({"component": 2, "cell_type": "T", "n_genes": 3}, ["a"]),
        ({"component": 2, "cell_type": "B"}, []),
        ({"component": 1, "cell_type": "T", "higher_in": "class0"}, ["b"]),
        ({"component": 1, "cell_type": "T", "n_genes": 2, "higher_in": "class1"}, ["a"]),
    ],
)
def test_filters(adata, options, genes):
    table = sg.get.rank_genes_df(adata, **options)
    assert table["gene"].tolist() == genes
    assert table.index.tolist() == list(range(len(genes)))


def test_genes_of_a_type_have_their_own_numbers(adata):
    table = sg.get.rank_genes_df(adata, component=1, cell_type="T")
    assert table["t"].tolist() == [-5.0, 4.0, 1.0]
    assert table["pattern"].tolist() == [1.5, 2.0, 0.1]
    assert set(table["cell_type"]) == {"T"}


def test_symbols_are_a_column(adata):
    table = sg.get.rank_genes_df(adata, gene_symbols="symbol")
    assert table["symbol"].tolist() == ["Z", "V", "W", "Y", "X"]
    assert "symbol" not in adata.uns["ggml_genes"]["table"]
    table = sg.get.rank_genes_df(adata, component=1, cell_type="T", gene_symbols="symbol")
    assert table["symbol"].tolist() == ["W", "V", "X"]


def test_the_stored_tables_are_left_alone(adata):
    stored = adata.uns["ggml_genes"]
    before = {name: stored[name].copy() for name in ("table", "types")}
    for options in ({}, {"cell_type": "T"}):
        table = sg.get.rank_genes_df(adata, component=1, **options)
        table.loc[0, "gene"] = "changed"
    for name, truth in before.items():
        pd.testing.assert_frame_equal(stored[name], truth)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cell_type": "T"}, ValueError, "cell_type='T' goes with a component"),
        ({"component": 1, "cell_type": "NK"}, ValueError, "cell_type='NK' is not one of the types .*: 'T', 'B'"),
        ({"component": 1, "cell_type": "T", "max_p_adjusted": 0.05}, ValueError, "Genes have no 'p_adjusted' yet"),
        (
            {"component": 1, "higher_in": "left"},
            ValueError,
            "higher_in='left' is none of 'class1', 'class0', 'neither', where genes can be higher",
        ),
        ({"component": 3}, ValueError, r"component=3: the metric 'ggml' has components 1 to 2"),
        ({"gene_symbols": "name"}, KeyError, "gene_symbols='name' is not a column of adata.var"),
        ({"key": "other"}, KeyError, "No learned metric"),
    ],
)
def test_bad_input_is_refused(adata, options, error, message):
    with pytest.raises(error, match=message):
        sg.get.rank_genes_df(adata, **options)


def test_genes_of_a_metric_that_was_learned_again_are_refused(adata):
    adata.uns["ggml"] = metric_entry(2 * LOADINGS[:, :4], "abcd")
    with pytest.raises(ValueError, match=r"was computed for another metric .* call sg\.tl\.rank_genes\(adata, key='gg"):
        sg.get.rank_genes_df(adata)


@pytest.mark.parametrize("entry", [pd.DataFrame({"gene": ["a"]}), {"params": {}}, "text"])
def test_something_else_in_the_slot_is_refused(adata, entry):
    adata.uns["ggml_genes"] = entry
    with pytest.raises(ValueError, match=r"'ggml_genes'\] does not hold ranked genes; call sg\.tl\.rank_genes.* again"):
        sg.get.rank_genes_df(adata)


def test_missing_numbers_are_told(adata):
    del adata.uns["ggml_stability"]
    rank_by_hand(adata, PATTERNS.T, SHIFTS.T)
    for options in ({"max_p_adjusted": 0.05}, {"min_frequency": 0.5}):
        with pytest.raises(ValueError, match=r"compute it with sg\.tl\.gene_stability"):
            sg.get.rank_genes_df(adata, **options)
    with pytest.raises(ValueError, match=r"ranked over all cells; rank them by type with sg\.tl\.rank_genes\(adata"):
        sg.get.rank_genes_df(adata, component=1, cell_type="T")
    del adata.uns["ggml_genes"]
    with pytest.raises(KeyError, match=r"rank the genes first with sg\.tl\.rank_genes"):
        sg.get.rank_genes_df(adata)


def test_rates_alone_are_no_frequencies(adata):
    for name in ("lower", "upper", "frequency"):
        del adata.uns["ggml_stability"][name]
    refresh_ranking(adata, read_metric(adata, "ggml"))
    assert sg.get.rank_genes_df(adata, max_p_adjusted=0.025)["gene"].tolist() == ["e", "a"]
    with pytest.raises(ValueError, match=r"Genes have no 'frequency' yet \(columns: .*'p_adjusted'"):
        sg.get.rank_genes_df(adata, min_frequency=0.5)
