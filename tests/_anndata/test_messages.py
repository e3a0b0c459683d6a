import warnings

import numpy as np
import pytest
from _cells import make_adata

from scggml._anndata.messages import check_adata, check_key_added, choices, columns, find_column, warn


def test_a_long_list_of_choices_is_cut():
    assert choices([f"c{i}" for i in range(20)]).count("'c") == 20
    assert choices([f"c{i}" for i in range(21)]).endswith("'c19', ...")
    assert choices([]) == "nothing"
    assert choices([1, "a"]) == "'1', 'a'"


def test_what_is_no_anndata_is_named_by_its_type():
    check_adata(make_adata())
    with pytest.raises(TypeError, match="reference is a ndarray; an AnnData object is needed"):
        check_adata(np.zeros(3), "reference")


def test_a_column_is_found_and_a_missing_one_answered_with_those_that_are_there():
    adata = make_adata()
    assert columns(adata) == ["sample", "label", "weight"]
    assert find_column(adata, "label", "label_key").equals(adata.obs["label"])
    with pytest.raises(KeyError, match=r"batch_key='site' is not a column of adata\.obs, which has 'sample', 'label'"):
        find_column(adata, "site", "batch_key")


@pytest.mark.parametrize("key", [None, 3, ["label"], ("label",), True])
def test_the_name_of_a_column_is_text(key):
    with pytest.raises(TypeError, match=r"groups_key=.* is a \w+; pass the name of a column of adata\.obs"):
        find_column(make_adata(), key, "groups_key")


def test_two_columns_of_one_name_are_refused():
    adata = make_adata()
    adata.obs.columns = ["sample", "label", "label"]
    with pytest.raises(ValueError, match=r"adata\.obs has 2 columns named 'label' \(label_key\); rename all but one"):
        find_column(adata, "label", "label_key")


@pytest.mark.parametrize("key", ["ggml", "a", "tumor core", "ä", "X_pca.2"])
def test_a_name_is_a_key(key):
    check_key_added(key)


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("", ValueError, "key_added='' must be a name of at least one letter without '/'"),
        ("a/b", ValueError, "key_added='a/b' must be a name of at least one letter without '/'"),
        ("/", ValueError, "without '/'"),
        (None, TypeError, "key_added=None is a NoneType; pass a name such as 'ggml'"),
        (1, TypeError, "key_added=1 is a int; pass a name"),
        (["ggml"], TypeError, "is a list; pass a name"),
    ],
)
def test_what_files_cannot_hold_is_no_key(key, error, message):
    with pytest.raises(error, match=message):
        check_key_added(key)


def test_a_warning_points_to_the_line_outside_of_the_package():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn("look at this")
        warn("and at this", FutureWarning)
    assert [(str(w.message), w.category, w.filename) for w in caught] == [
        ("look at this", UserWarning, __file__),
        ("and at this", FutureWarning, __file__),
    ]
