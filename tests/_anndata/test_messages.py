import inspect
import io
import re
import warnings

import numpy as np
import pytest
import scanpy as sc
from _cells import make_adata

import scggml as sg
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


@pytest.fixture
def log():
    """What scanpy logs, as text; it has its file and its verbosity back afterwards."""
    before = sc.settings.verbosity, sc.settings.logfile
    file = io.StringIO()
    sc.settings.logfile = file
    yield file
    sc.settings.verbosity, sc.settings.logfile = before


def test_what_is_done_is_logged_through_scanpy_from_info_on(log):
    adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    sc.settings.verbosity = 1
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    assert log.getvalue() == ""
    sc.settings.verbosity = 2
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    lines = log.getvalue().splitlines()
    assert lines[0] == "learning a metric"
    assert re.fullmatch(
        r"    Canonical\(ridge=.*shrinkage [01]\.\d\d; 2 components of 4 features from 9 samples", lines[1]
    )
    assert re.fullmatch(r"    finished \(\d+:\d\d:\d\d\)", lines[2])
    sg.tl.distances(adata, progress=False)
    assert "ggml: 9 samples, all cells, Exact(" in log.getvalue()


@pytest.mark.parametrize("name", [name for name in sg.tl.__all__ if name[0].islower()])
def test_every_tool_is_logged_and_keeps_its_signature(name):
    function = getattr(sg.tl, name)
    assert function.__wrapped__.__name__ == function.__name__ == name
    assert "%(" not in function.__doc__
    assert next(iter(inspect.signature(function).parameters)) in ("adata", "samples", "query", "new")


def test_nothing_is_logged_where_a_call_fails(log):
    sc.settings.verbosity = 2
    with pytest.raises(KeyError):
        sg.tl.mds(sg.datasets.synthetic(n_noise=3, n_samples=2, n_cells=5))
    assert log.getvalue().splitlines() == ["computing coordinates of samples by multidimensional scaling"]
