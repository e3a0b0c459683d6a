"""Columns are matched by name, never by position; other names are refused."""

import numpy as np
import pandas as pd
import pytest

from scggml._core.tables import arranged, first_names, names_of

X = np.arange(6.0).reshape(2, 3)
TABLE = pd.DataFrame(X, columns=list("abc"))


class Polars:
    """A table with names of columns and no other likeness to pandas."""

    columns = ("c", "a", "b")
    ndim = 2

    def __array__(self, dtype=None, copy=None):
        return X[:, [2, 0, 1]]


@pytest.mark.parametrize("values", [X, X[0], X.tolist(), (1, 2), pd.Index([1, 2]), np.float64(1), 3, None, "abc"])
def test_what_has_no_names_stays_as_it_is(values):
    assert names_of(values) is None
    assert arranged("X", values, list("abc"), "the metric") is values


def test_names_are_text():
    assert names_of(TABLE) == names_of(TABLE.iloc[0]) == ["a", "b", "c"]
    assert names_of(pd.DataFrame(X)) == ["0", "1", "2"]
    assert names_of(pd.DataFrame(X, columns=[b"a", 1, ("x", 2)])) == ["a", "1", "('x', 2)"]


def test_the_first_names_are_found_also_in_rows():
    assert first_names([X, TABLE]) == first_names([X, [TABLE.iloc[0], X[0]]]) == list("abc")
    assert first_names([X, X]) is None


@pytest.mark.parametrize("table", [TABLE[["c", "a", "b"]], Polars()])
def test_columns_come_in_the_order_asked_for(table):
    np.testing.assert_array_equal(arranged("X", table, list("abc"), "the metric"), X)


def test_rows_come_in_the_order_asked_for():
    rows = [TABLE.iloc[0, ::-1], X[1]]
    np.testing.assert_array_equal(arranged("X", rows, list("abc"), "the metric"), X)
    np.testing.assert_array_equal(arranged("X", rows[0], list("abc"), "the metric"), X[0])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (list("abx"), r"X does not have the 3 features of the metric: it lacks 'c' and has 'x' besides\. Pass a table"),
        (
            list("ab"),
            r"it lacks 'c'\. Pass a table with exactly these features, or X\.to_numpy\(\) to match them by pos",
        ),
        (list("abcd"), r"it has 'd' besides\. Pass"),
        (list("abcc"), r"^X has several features named 'c', so that features cannot be matched by name; rename all"),
        (list("stuvwxyz"), r"has 's', 't', 'u', 'v', 'w' and 3 more besides"),
        ([1, "1"], r"^X has several features named '1'"),
    ],
)
def test_other_names_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        arranged("X", pd.DataFrame(np.zeros((2, len(columns))), columns=columns), list("abc"), "the metric")


def test_names_that_occur_twice_cannot_be_matched():
    with pytest.raises(ValueError, match="the metric has several features named 'a'"):
        arranged("X", TABLE, list("aab"), "the metric")
