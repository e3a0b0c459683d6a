"""Labels, donors and batches in any form: none is taken for another, and none that is missing for one of its own."""

import numpy as np
import pandas as pd
import pytest

from scggml._core.ids import array_target, as_codes

ORDER = ["low", "mid", "high"]
VALUES = ["high", "low", "mid", "low"]


def codes(values):
    return as_codes("groups", values, "a donor", len(values)).tolist()


@pytest.mark.parametrize(
    "form", [list, np.array, tuple, pd.Series, pd.Categorical, lambda x: np.array(x, dtype=object)]
)
def test_codes_count_by_first_appearance(form):
    assert codes(form(["b", "a", "b", "c"])) == [0, 1, 0, 2]
    assert codes(form([10, 9, 10, 2])) == [0, 1, 0, 2]
    assert codes(form([b"b", b"a", b"b"])) == [0, 1, 0]


MISSING = {
    "None": [None, None, 1, 1],
    "NaN": [np.nan, np.nan, 1, 1],
    "NA": [pd.NA, pd.NA, 1, 1],
    "NaT": np.array(["NaT", "NaT", "2020-01-01", "2020-01-01"], dtype="M8[ns]"),
    "masked": [np.ma.masked, np.ma.masked, 1, 1],
    "nullable": pd.array([None, None, 1, 1], dtype="Int64"),
    "categories": pd.Categorical([None, None, "a", "a"]),
}


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize("name", ["groups", "batch"])
def test_no_sample_is_without_a_donor_or_batch(name, kind):
    message = rf"{name} has missing values; each sample needs a donor, and 2 have none \(the first is {name}\[0\]\)"
    with pytest.raises(ValueError, match=message):
        as_codes(name, MISSING[kind], "a donor", 4)


def test_a_mask_is_not_dropped():
    with pytest.raises(TypeError, match="batch is a masked array; pass a batch for each sample, and leave the other"):
        as_codes("batch", np.ma.masked_equal([0, 0, 1, 1], 0), "a batch", 4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([b"a", "a", 1], r"groups has b'a' \(bytes\) and 'a' \(str\), which are the same as text"),
        ([0, "0", 1], r"groups has 0 \(int\) and '0' \(str\), which are the same as text"),
        ([1, True, 2], "groups has 1 and True, which are equal but differ as text"),
        ([1, 1.0, 2], "groups has 1 and 1.0, which are equal but differ as text"),
        ([("a", 1), ("b", 1)], r"groups has shape \(2, 2\); one entry"),
        ([["a"], ["b", "c"]], r"groups is \[\['a'\], \['b', 'c'\]\]; one entry"),
        ({"a": 1, "b": 2}, r"groups has shape \(\); one entry"),
        (pd.DataFrame({"a": [1, 2]}), r"groups has shape \(2, 1\); one entry for each of the \d clouds is needed"),
    ],
)
def test_values_that_could_be_taken_for_others_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        codes(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 0, True, 0], "labels has truth values among its numbers, such as True and 1"),
        ([b"a", "b", "a", "b"], r"labels has b'a' \(bytes\) and 'a' \(str\), which are the same as text"),
        (np.array([0.0, -0.0, 1], dtype=object), "labels has 0.0 and -0.0, which are equal but differ as text"),
        (np.array([1, 2], dtype=np.longdouble) * np.longdouble("1e4000"), "labels has numbers beyond the range of dou"),
    ],
)
def test_labels_that_could_be_taken_for_others_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        array_target(values, "numbers" if isinstance(values, np.ndarray) and values.dtype.kind == "f" else "auto")


def test_bytes_are_letters_and_a_zero_has_no_sign():
    found = array_target([b"b", b"a", b"b"])
    assert (found.classes.tolist(), found.codes.tolist()) == (["a", "b"], [1, 0, 1])
    found = array_target([0.0, 1.0, -0.0])
    assert (found.classes.tolist(), found.codes.tolist()) == (["0.0", "1.0"], [0, 1, 0])


@pytest.mark.parametrize("form", [lambda x: x, pd.Series, pd.CategoricalIndex])
@pytest.mark.parametrize("kind", ["auto", "ordered"])
def test_an_ordered_categorical_keeps_its_order(form, kind):
    found = array_target(form(pd.Categorical(VALUES, categories=["none", *ORDER], ordered=True)), kind)
    assert (found.kind, found.classes.tolist(), found.codes.tolist()) == ("ordered", ORDER, [2, 0, 1, 0])


def test_categories_are_names_in_their_order_as_in_an_anndata():
    found = array_target(pd.Categorical(VALUES, categories=ORDER))
    assert (found.kind, found.classes.tolist()) == ("classes", ORDER)
    found = array_target(pd.Categorical([3, 1, 2, 3], categories=[3, 2, 1]))
    assert (found.kind, found.classes.tolist()) == ("classes", ["3", "2", "1"])
    assert array_target(pd.Categorical([3, 1, 2, 3]), "numbers").values.tolist() == [3, 1, 2, 3]


def test_dates_are_in_the_order_of_time():
    days = np.array([10, 9, 10], dtype="m8[D]")
    assert array_target(days).classes.tolist() == ["9 days", "10 days"]


@pytest.mark.parametrize("kind", [set(ORDER), dict.fromkeys(ORDER), frozenset(ORDER), b"classes", np.array("classes")])
def test_levels_need_an_order_that_was_chosen(kind):
    with pytest.raises(TypeError, match=rf"label_kind is a {type(kind).__name__}; choose from .* or list the levels"):
        array_target(VALUES, kind)


@pytest.mark.parametrize("kind", [ORDER, tuple(ORDER), np.array(ORDER), pd.Index(ORDER), pd.Series(ORDER)])
def test_levels_in_any_list_are_an_order(kind):
    assert array_target(VALUES, kind).classes.tolist() == ORDER
