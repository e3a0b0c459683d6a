import numpy as np
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


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"component": 9}, ValueError, "component=9 is not in the table, which has 'ggml1', 'ggml2'"),
        ({"component": "ggml9"}, ValueError, "component='ggml9' is not in the table"),
        ({"component": True}, ValueError, "component=True is not in the table"),
        (
            {"source": "GO:PB"},
            ValueError,
            "source='GO:PB' is no source of the stored gene sets, which has 'GO:BP', 'REAC'",
        ),
        ({"max_p_adjusted": np.nan}, ValueError, "max_p_adjusted=nan must be a rate from 0 to 1"),
        ({"max_p_adjusted": True}, TypeError, "max_p_adjusted=True must be a rate from 0 to 1"),
        ({"n_terms": -1}, ValueError, "n_terms=-1 must be at least 1, or None"),
        ({"n_terms": True}, TypeError, "n_terms=True must be a whole number"),
    ],
)
def test_what_is_not_there_is_not_answered_with_nothing(adata, options, error, message):
    with pytest.raises(error, match=message):
        sg.get.enrichment_df(adata, **options)


def test_the_stored_table_is_left_alone(adata):
    table = sg.get.enrichment_df(adata)
    table.loc[0, "native"] = "changed"
    assert adata.uns["ggml_enrichment"]["table"]["native"][0] == "a"


def test_nothing_asked_yet_is_told(adata):
    with pytest.raises(KeyError, match=r"No 'other_enrichment' in adata\.uns; compute it first with sg"):
        sg.get.enrichment_df(adata, key="other")
    with pytest.raises(ValueError, match="direction='left' is not in the table; it has 'higher in ill', 'higher in"):
        sg.get.enrichment_df(adata, direction="left")
