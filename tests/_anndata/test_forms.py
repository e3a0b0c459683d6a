"""Stored results: a change is noticed, and what another package or hand wrote is checked for its form."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scggml._anndata.forms import CHECKSUMS, Entry, check_entry, check_form, check_unchanged, checksum, sealed
from scggml._anndata.results import find_result, write_result

AGAIN = "call sg.tl.thing(adata) again."

RESULT = {
    "numbers": np.array([[1.0, np.nan], [3.0, -0.5]]),
    "narrow": np.array([1, 2, 3], dtype=np.float32),
    "whole": np.array([1, 2], dtype=np.int32),
    "flags": np.array([True, False]),
    "text": np.array(["a", "b$", ""], dtype=object),
    "none of it": np.array([], dtype=object),
    "table": pd.DataFrame(
        {
            "gene": pd.Series(["x", "y", "x"], dtype=object),
            "class": pd.Categorical(["b", "a", "b"], categories=["b", "a"]),
            "value": [0.5, np.nan, 2.0],
            "rank": [1, 2, 3],
            "told": [True, False, True],
        }
    ),
    "options": {"n": 3, "on": True, "share": 0.25, "name": "z", "names": np.array(["u", "v"], dtype=object)},
    "value": 1.5,
    "verdict": "nothing",
}


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_a_file_changes_no_checksum(tmp_path, kind):
    adata = AnnData(np.zeros((2, 1)))
    write_result(adata, "thing", RESULT)
    path = tmp_path / f"cells.{kind}"
    getattr(adata, f"write_{kind}")(path)
    read = getattr(ad, f"read_{kind}")(path)
    found = find_result(read, "thing", "sg.tl.thing(adata)", {})
    assert set(found[CHECKSUMS]) == set(RESULT)


CHANGES = {
    "transposed": ("numbers", lambda v: v.T),
    "one value": ("numbers", lambda v: v + np.array([[0, 0], [0, 1e-12]])),
    "NaN": ("narrow", lambda v: np.where(v == 2, np.nan, v)),
    "truncated": ("whole", lambda v: v[:1]),
    "one more axis": ("whole", lambda v: v[None]),
    "another order": ("text", lambda v: v[::-1]),
    "another split": ("text", lambda v: np.array(["a", "", "b$"], dtype=object)),
    "a column": ("table", lambda v: v.drop(columns="value")),
    "columns in another order": ("table", lambda v: v[[*v.columns[::-1]]]),
    "a row": ("table", lambda v: v.iloc[1:]),
    "categories in another order": (
        "table",
        lambda v: v.assign(**{"class": v["class"].cat.reorder_categories(["a", "b"])}),
    ),
    "an option": ("options", lambda v: v | {"n": 4}),
    "an option less": ("options", lambda v: {name: part for name, part in v.items() if name != "on"}),
    "a number": ("value", lambda v: 2.5),
    "text for a number": ("value", str),
    "None": ("verdict", lambda v: None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_noticed_and_named(name):
    entry, change = CHANGES[name]
    found = sealed(RESULT)
    check_unchanged(found, "adata.uns['thing']", AGAIN)
    found[entry] = change(RESULT[entry])
    message = rf"adata\.uns\['thing'\] was changed after it was written, in '{entry}'; call sg\.tl\.thing"
    with pytest.raises(ValueError, match=message):
        check_unchanged(found, "adata.uns['thing']", AGAIN)


@given(st.lists(st.floats(allow_nan=True, width=64), max_size=6), st.lists(st.floats(allow_nan=True), max_size=6))
def test_numbers_have_the_same_checksum_if_and_only_if_they_are_the_same(one, other):
    same = np.array(one).tobytes() == np.array(other).tobytes() or (
        len(one) == len(other)
        and np.array_equal(np.array(one), np.array(other), equal_nan=True)
        and np.array_equal(np.signbit(one) & ~np.isnan(one), np.signbit(other) & ~np.isnan(other))
    )
    assert (checksum(np.array(one)) == checksum(np.array(other))) == same


def test_kinds_of_storage_that_files_exchange_have_one_checksum():
    assert checksum(["a", "b"]) == checksum(np.array(["a", "b"], dtype=object)) == checksum(np.array(["a", "b"]))
    assert checksum(3) == checksum(np.int64(3)) == checksum(np.array(3))
    assert checksum(np.float32([0.5, 2])) == checksum([0.5, 2.0])
    assert checksum(b"x") == checksum("x")
    assert checksum(sparse.csr_matrix(np.eye(2))) == checksum(np.eye(2))


FORM = {
    "scores": Entry("numbers", ("n", "k")),
    "some": Entry("numbers", ("n",), missing=True),
    "codes": Entry("whole numbers", ("n",)),
    "on": Entry("flags"),
    "names": Entry("text", ("n",)),
    "table": Entry("table", numbers=("p",), text=("gene",)),
    "options": Entry("options"),
    "more": Entry("numbers", optional=True),
}


def right():
    return {
        "scores": np.ones((3, 2)),
        "some": np.array([1.0, np.nan, 2.0]),
        "codes": np.arange(3),
        "on": True,
        "names": ["a", "b", "c"],
        "table": pd.DataFrame({"p": [0.5], "gene": ["a"]}),
        "options": {},
    }


WRONG = {
    "missing": ("scores", None, r"lacks 'scores'; call .* It has 'some', 'codes'"),
    "width": ("scores", np.ones((3, 5)), r"\['scores'\] has shape \(3, 5\), where numbers of shape \(n, 2\) is needed"),
    "other length": ("some", np.ones(4), r"\['some'\] has shape \(4,\), where numbers of shape \(3\) is needed"),
    "axes": ("scores", np.ones(3), r"\['scores'\] has shape \(3,\), where"),
    "text for numbers": ("scores", np.full((3, 2), "x"), r"\['scores'\] holds <U1, where numbers are needed"),
    "numbers as text": ("scores", np.full((3, 2), "1.0", dtype=object), r"\['scores'\] holds object, where numbers"),
    "NaN": ("scores", np.full((3, 2), np.nan), r"\['scores'\] has 6 values that are NaN or infinite"),
    "infinite": ("some", np.array([np.inf, 0, 0]), r"\['some'\] has 1 values that are NaN or infinite"),
    "fractions": ("codes", np.ones(3), r"\['codes'\] holds float64, where whole numbers are needed"),
    "a number": ("on", 2, r"\['on'\] holds int64, where flags are needed"),
    "a list": ("on", [True], r"\['on'\] has shape \(1,\), where one value \(flags\) is needed"),
    "numbers for names": ("names", np.arange(3), r"\['names'\] holds int64, where text is needed"),
    "None among names": ("names", np.array(["a", None, "b"], dtype=object), r"\['names'\] holds object, where text"),
    "a dict": ("scores", {"x": 1}, r"\['scores'\] is a dict with 'x', where numbers are needed"),
    "no table": ("table", np.ones(3), r"\['table'\] is .*, where a table is needed"),
    "a column less": ("table", pd.DataFrame({"p": [1.0]}), r"\['table'\] lacks the columns 'gene' \(it has 'p'\)"),
    "text in a column": ("table", pd.DataFrame({"p": ["x"], "gene": ["a"]}), r"\['p'\] holds .*, where numbers are"),
    "no options": ("options", [1], r"\['options'\] is \[1\] \(list\), where options are needed"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_form_is_named_with_the_next_step(name):
    entry, value, message = WRONG[name]
    check_form(right(), "adata.uns['thing']", AGAIN, FORM, k=2)
    found = {key: part for key, part in (right() | {entry: value}).items() if key != entry or value is not None}
    with pytest.raises(ValueError, match=rf"adata\.uns\['thing'\].*{message}") as raised:
        check_entry(found, "adata.uns['thing']", AGAIN, FORM, k=2)
    assert AGAIN in str(raised.value)


@pytest.mark.parametrize("foreign", ["text", 3, None, np.ones(2), pd.DataFrame({"x": [1]})])
def test_what_is_no_result_is_named(foreign):
    with pytest.raises(ValueError, match=r"adata\.uns\['thing'\] is .*, not a result of scggml; call sg\.tl\.thing"):
        check_entry(foreign, "adata.uns['thing']", AGAIN, FORM)


def test_damaged_checksums_are_named():
    with pytest.raises(ValueError, match=r"\['checksums'\] is 'x' \(str\), not the checksums of the result"):
        check_unchanged(sealed({"a": 1}) | {CHECKSUMS: "x"}, "adata.uns['thing']", AGAIN)
    with pytest.raises(ValueError, match=r"lacks 'a'; call sg\.tl\.thing.* It has 'checksums'"):
        check_unchanged({CHECKSUMS: {"a": "0123"}}, "adata.uns['thing']", AGAIN)
