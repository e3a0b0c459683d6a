"""Sets given as a dict or a table: the genes that the user means, or a message; never letters."""

import numpy as np
import pandas as pd
import pytest

from scggml.ext._gene_sets import read_gene_sets

NET = pd.DataFrame({"source": ["A", "B", "A", "A"], "target": ["G1", "G2", "G3", "G1"]})


def mixed(names):
    """A column that keeps the types of its values."""
    return pd.Series(names, dtype=object)


def found(given):
    name, sets = read_gene_sets(given)
    assert name == "custom"
    return {s.name: s.genes for s in sets}


@pytest.mark.parametrize(
    "genes",
    [
        ["TP53", "AB"],
        ("TP53", "AB"),
        dict.fromkeys(["TP53", "AB"]),
        {"TP53": 1.0, "AB": 0.5},
        np.array(["TP53", "AB"]),
        np.array(["TP53", "AB", "TP53"], dtype=object),
        pd.Series(["TP53", "AB", np.nan, None, pd.NA]),
        pd.Categorical(["TP53", "AB"]),
        pd.Index(["TP53", "AB"]),
        pd.array(["TP53", "AB", None], dtype="string"),
        [" TP53 ", "AB", ""],
        iter(["TP53", "AB"]),
    ],
)
def test_a_list_of_any_kind_is_a_set(genes):
    assert found({"one": genes}) == {"one": ["TP53", "AB"]}


def test_ids_that_are_numbers_are_read_whatever_their_type():
    ids = {"a": [7157, 4609], "b": np.array([7157, 4609]), "c": pd.Series([7157, np.nan, 4609])}
    assert found(ids) == {key: ["7157", "4609"] for key in "abc"}


@pytest.mark.parametrize(
    "net",
    [
        NET,
        NET.astype("category"),
        NET.astype("string"),
        NET.assign(weight=1.0, pmid="1"),
        NET.set_index(pd.Index(["x"] * 4)),
        NET.iloc[:, ::-1],
    ],
)
def test_a_long_table_is_read_as_the_dict(net):
    assert found(net) == {"A": ["G1", "G3"], "B": ["G2"]}


def test_categories_without_rows_are_no_sets():
    net = NET.astype({"source": pd.CategoricalDtype(["A", "B", "C"])})
    assert list(found(net)) == ["A", "B"]


@pytest.mark.parametrize("column", ["weight", "mor", "sign", "direction"])
def test_weights_that_are_ignored_are_told(column):
    with pytest.warns(UserWarning, match=f"each gene counts alike, whatever its weight.*drop the column '{column}'"):
        assert found(NET.assign(**{column: [1.0, -1.0, 0.5, 1.0]})) == {"A": ["G1", "G3"], "B": ["G2"]}


def test_signs_of_a_dict_that_are_ignored_are_told():
    with pytest.warns(UserWarning, match="dict of dicts with weights below 0, .* each gene counts alike"):
        assert found({"A": {"G1": 1, "G3": 1}, "B": {"G2": -1}}) == {"A": ["G1", "G3"], "B": ["G2"]}
    assert found({"A": {"G1": 1, "G3": 1}}) == {"A": ["G1", "G3"]}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            NET.set_axis(["geneset", "genesymbol"], axis=1),
            ValueError,
            r"without 'source', 'target'; it has the columns 'geneset', 'genesymbol'.*"
            r"rename\(columns=\{'geneset': 'source', 'genesymbol': 'target'\}\)",
        ),
        (NET.set_axis(["gs_name", "gene_symbol"], axis=1), ValueError, r"\{'gs_name': 'source', 'gene_symbol':"),
        (NET.set_axis(["source", "genes"], axis=1), ValueError, r"without 'target'; .*columns=\{'genes': 'target'\}"),
        (pd.DataFrame({"A": ["G1"], "B": ["G2"]}), ValueError, r"rename\(columns=\.\.\.\), or a dict of gene lists"),
        (NET.set_axis(["source", "source"], axis=1).assign(target="G"), ValueError, "2 columns named 'source'"),
        (NET.assign(source=["A", None, "A", np.nan]), ValueError, r"\['source'\] is missing in 2 of 4 rows"),
        (NET.assign(source=mixed([1, True, 1, True])), ValueError, r"\['source'\] has 1 and True, which are equal"),
        (NET.assign(source=mixed([2, 2.0, 2, 3])), ValueError, r"\['source'\] has 2 and 2\.0, which are equal"),
        (NET.assign(source=mixed([1, "1", 1, 2])), ValueError, r"\['source'\] has 1 \(int\) and '1' \(str\), which"),
        (NET.iloc[:0], ValueError, "gene_sets is empty"),
        ({}, ValueError, "gene_sets is empty"),
        ({"a": [], "b": [None]}, ValueError, r"gene_sets has 2 set\(s\), but no gene in any"),
        ({"one": "AB"}, TypeError, r"gene_sets\['one'\]='AB' is one text; pass a list of genes, such as \['AB'\]"),
        ({"one": b"AB"}, TypeError, "is one text"),
        ({"one": np.str_("AB")}, TypeError, "is one text"),
        ({"one": None}, TypeError, r"gene_sets\['one'\] is a NoneType; pass a list of genes"),
        ({"one": 7157}, TypeError, "is a int; pass a list of genes"),
        ({"one": NET}, TypeError, "is a DataFrame; pass a list of genes"),
        ({"one": [["TP53", "AB"]]}, TypeError, r"holds \['TP53', 'AB'\], a list; pass names of genes"),
        ({"one": [b"TP53"]}, TypeError, r"holds b'TP53', a bytes"),
        ({"one": [True]}, TypeError, "holds True, a bool"),
        ({None: ["A"]}, ValueError, "None is no name of a set"),
        ({"": ["A"]}, ValueError, "'' is no name of a set"),
        ({np.nan: ["A"]}, ValueError, "nan is no name of a set"),
        ({1: ["A"], "1": ["B"]}, ValueError, "gene_sets has 1 names twice, such as '1'"),
        (["TP53", "AB"], TypeError, r"gene_sets is a list: .*pass the name of a GMT file, a dict"),
        (None, TypeError, "gene_sets is a NoneType"),
        (b"sets.gmt", TypeError, "gene_sets is a bytes"),
        ("no/such.gmt", FileNotFoundError, r"gene_sets='no/such\.gmt' is not a file; pass a GMT file or a dict"),
        ("https://x.org/a.gmt", FileNotFoundError, "is not a file"),
        (".", FileNotFoundError, "is not a file"),
        ({"A": np.array("G1")}, TypeError, r"gene_sets\['A'\] is a ndarray; pass a list of genes"),
        ({"A": pd.Series([1.0, -1.0], index=["G1", "G2"])}, ValueError, r"holds the number -1\.0, which is no id"),
        ({"A": [0.5]}, ValueError, r"holds the number 0\.5, which is no id .* list\(weights\.index\)"),
    ],
)  # fmt: skip
def test_what_is_no_collection_of_sets_is_told(given, error, message):
    with pytest.raises(error, match=message):
        read_gene_sets(given)
