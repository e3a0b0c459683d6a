import pandas as pd
import pytest
from anndata import AnnData

import scggml as sg


@pytest.fixture
def adata():
    table = pd.DataFrame(
        {
            "component": ["ggml1"] * 4 + ["ggml2"] * 2,
            "direction": ["higher in ill"] * 3 + ["higher in well"] + ["higher in ill"] * 2,
            "source": ["GO:BP", "REAC", "GO:BP", "REAC", "REAC", "GO:BP"],
            "native": list("abcdef"),
            "p_adjusted": [0.001, 0.02, 0.2, 0.01, 0.03, 0.04],
        }
    )
    adata = AnnData(shape=(1, 1))
    adata.uns["ggml_enrichment"] = {"table": table, "params": {}}
    return adata


@pytest.mark.parametrize(
    ("options", "terms"),
    [
        ({}, "abcdef"),
        ({"component": 1}, "abcd"),
        ({"component": 2}, "ef"),
        ({"component": 9}, ""),
        ({"direction": "higher in well"}, "d"),
        ({"component": 1, "direction": "higher in ill"}, "abc"),
        ({"source": "REAC"}, "bde"),
        ({"max_p_adjusted": 0.02}, "abd"),
        ({"n_terms": 1}, "ade"),
        ({"n_terms": 1, "source": "GO:BP"}, "af"),
    ],
)
def test_filters(adata, options, terms):
    table = sg.get.enrichment_df(adata, **options)
    assert "".join(table["native"]) == terms
    assert table.index.tolist() == list(range(len(terms)))


def test_the_stored_table_is_left_alone(adata):
    table = sg.get.enrichment_df(adata)
    table.loc[0, "native"] = "changed"
    assert adata.uns["ggml_enrichment"]["table"]["native"][0] == "a"


def test_nothing_asked_yet_is_told(adata):
    with pytest.raises(KeyError, match=r"No 'other_enrichment' in adata\.uns; compute it first with sg"):
        sg.get.enrichment_df(adata, key="other")
    with pytest.raises(ValueError, match="direction='left' is not in the table; it has 'higher in ill', 'higher in"):
        sg.get.enrichment_df(adata, direction="left")
