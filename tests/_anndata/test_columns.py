import numpy as np
import pandas as pd
import pytest

from scggml._anndata.columns import as_flags, as_matrix, text_codes
from scggml._anndata.selection import as_text

FLAGS = {
    "bool": np.array([True, False, True, False]),
    "nullable": pd.array([True, False, True, None], dtype="boolean"),
    "objects": np.array([True, False, True, np.nan], dtype=object),
    "objects and None": np.array([True, False, True, None], dtype=object),
    "0 and 1": np.array([1, 0, 1, 0]),
    "numbers, one missing": np.array([1.0, 0.0, 1.0, np.nan]),
    "nullable numbers": pd.array([1, 0, 1, None], dtype="Int64"),
    "text of R": np.array(["TRUE", "FALSE", "TRUE", "NA"], dtype=object),
    "text of Python": np.array(["True", "False", "True", "nan"], dtype=object),
    "short text": np.array(["T", "F", "t", "f"], dtype=object),
    "categories": pd.Categorical(["TRUE", "FALSE", "TRUE", None]),
    "categories of flags": pd.Categorical([True, False, True, None]),
    "strings": pd.array(["TRUE", "FALSE", "TRUE", None], dtype="string"),
}


@pytest.mark.parametrize("kind", FLAGS)
def test_flags_are_understood_in_every_type_and_false_where_missing(kind):
    flags = as_flags(pd.Series(FLAGS[kind]))
    assert flags.dtype == np.bool_
    assert flags.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("values", "shown"),
    [([0, 2, 1], "2"), (["TRUE", "maybe", "?"], "'maybe'"), ([0.5, 1.0, 0.0], "0.5"), ([[1], [0], [1]], r"\[1\]")],
    ids=str,
)
def test_what_is_no_flag_is_shown(values, shown):
    with pytest.raises(ValueError, match=rf"^{shown}$"):
        as_flags(pd.Series(values))


def table(**columns):
    return pd.DataFrame({"a": [1.0, 2.0, 3.0]} | columns)


TABLES = {
    "numpy": table(b=[4, 5, 6]),
    "nullable": table(b=[4, 5, 6]).convert_dtypes(),
    "objects": table(b=[4, 5, 6]).astype(object),
    "one object": table(b=np.array([4, 5.0, 6], dtype=object)),
    "two of one name": table(b=[4, 5, 6]).set_axis(["a", "a"], axis=1),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_numbers_are_understood_in_every_type(kind):
    values = as_matrix(TABLES[kind])
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, [[1, 4], [2, 5], [3, 6]])


def test_flags_are_numbers_and_what_is_missing_is_nan():
    frame = pd.DataFrame(
        {"a": [True, False], "b": pd.array([True, None], "boolean"), "c": pd.array([None, 3], "Int64")}
    )
    np.testing.assert_array_equal(as_matrix(frame), [[1, 1, np.nan], [0, np.nan, 3]])


def test_single_precision_stays():
    assert as_matrix(pd.DataFrame(np.ones((2, 2), dtype=np.float32))).dtype == np.float32


@pytest.mark.parametrize(
    "values",
    [["x", "y", "z"], ["1", "2", "3"], pd.Categorical(["1", "2", "3"]), [1j, 2j, 3j], [[1], [2], [3]]],
    ids=str,
)
def test_a_column_without_numbers_is_named(values):
    with pytest.raises(ValueError, match=r"^'b' of dtype"):
        as_matrix(table(b=values))


# Values as text


COLUMNS = {
    "text": pd.Series(["b", None, "a", "b"]),
    "categories": pd.Series(pd.Categorical(["b", None, "a", "b"], categories=["unused", "a", "b"])),
    "categories of one text": pd.Series(pd.Categorical([1, "1", None, 1], categories=[1, "1"])),
    "numbers": pd.Series([2.0, np.nan, 1.5, 2.0]),
    "nullable": pd.Series(pd.array([2, None, 1, 2], dtype="Int64")),
    "flags": pd.Series([True, False, True, True]),
    "dates": pd.Series(pd.to_datetime(["2020-01-02", None, "2020-01-01", "2020-01-02"])),
    "objects that are equal": pd.Series([1, True, 1.0, 1], dtype=object),
    "lists": pd.Series([["b"], None, ["a"], ["b"]]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_codes_are_those_of_the_texts(kind):
    column = COLUMNS[kind]
    codes, names = text_codes(column)
    known = column.notna().to_numpy()
    assert (codes[~known] == -1).all()
    text = as_text(column[known])
    assert names[codes[known]].tolist() == text.tolist()
    assert names.tolist() == list(dict.fromkeys(text))
