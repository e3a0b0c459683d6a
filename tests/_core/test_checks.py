import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scggml._core.checks import as_array, check_between, check_number, check_whole


@pytest.mark.parametrize("value", [2, 7, 10**12, np.int32(2), np.uint8(3)])
def test_whole_numbers_from_the_least_on_pass(value):
    check_whole("n", value, 2)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1, ValueError, "^n=1 must be at least 2 cells, or None.$"),
        (-5, ValueError, "^n=-5 must be at least 2 cells, or None.$"),
        (2.0, TypeError, "^n=2.0 must be a whole number of at least 2 cells, or None.$"),
        ("3", TypeError, "^n='3' must be a whole number of at least 2"),
        (None, TypeError, "^n=None must be a whole number of at least 2"),
        (True, TypeError, "^n=True must be a whole number of at least 2"),
        (np.True_, TypeError, "must be a whole number of at least 2"),
        (10**30, ValueError, "is too large for a whole number of 64 bits; pass at most 9223372036854775807"),
    ],
)
def test_what_is_not_a_whole_number_from_the_least_on_is_refused(value, error, text):
    with pytest.raises(error, match=text):
        check_whole("n", value, 2, " cells, or None")


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (True, TypeError, "^n=True must be a whole number between 1 and 8, one less than the samples.$"),
        (1.0, TypeError, "^n=1.0 must be a whole number between 1 and 8"),
        (0, ValueError, "^n=0 must be between 1 and 8, one less than the samples.$"),
        (9, ValueError, "^n=9 must be between 1 and 8"),
    ],
)
def test_both_ends_of_a_range_are_named(value, error, text):
    with pytest.raises(error, match=text):
        check_between("n", value, 1, 8, "one less than the samples")
    check_between("n", np.int64(8), 1, 8, "one less than the samples")


@pytest.mark.parametrize("value", [1e-300, 0.5, np.float32(0.5), 0.999])
@pytest.mark.parametrize("open_low", [False, True])
def test_numbers_within_the_range_pass(value, open_low):
    check_number("share", value, "a share", 0, 1, open_low=open_low)


@pytest.mark.parametrize("value", [1, np.int64(10**9), 1e300])
def test_without_an_upper_end_any_finite_number_passes(value):
    check_number("reg", value, "a number", 0, open_low=True)


def test_the_lower_end_belongs_to_the_range_unless_it_is_open():
    check_number("share", 0, "a share", 0, 1, open_low=False)
    with pytest.raises(ValueError, match=r"^share=0\.0 must be a share\.$"):
        check_number("share", 0.0, "a share", 0, 1, open_low=True)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (1, ValueError),
        (-0.1, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        (-np.inf, ValueError),
        ("auto", TypeError),
        (None, TypeError),
        ([0.5], TypeError),
    ],
)
def test_what_is_not_a_number_within_the_range_is_refused(value, error):
    with pytest.raises(error, match=r"^share=.* must be a share in \[0, 1\)\.$"):
        check_number("share", value, "a share in [0, 1)", 0, 1, open_low=False)


def test_infinity_is_no_number_even_without_an_upper_end():
    with pytest.raises(ValueError, match=r"^reg=inf must be a number\.$"):
        check_number("reg", np.inf, "a number", 0, open_low=False)


@pytest.mark.parametrize(
    "values", [[[1, 2]], ((1.0, 2),), np.array([[1, 2]], dtype=np.uint8), pd.DataFrame({"a": [1], "b": [2.0]})]
)
def test_real_numbers_in_any_form_are_an_array(values):
    np.testing.assert_array_equal(as_array("X", values, "rows", 2), [[1, 2]])


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        (np.ma.masked_equal([[1.0, 2]], 2), ValueError, "^X is a masked array; pass rows"),
        ([np.ma.masked_equal([1.0, 2], 2)], ValueError, "^X is a masked array; pass rows"),
        (sparse.csr_matrix([[1.0, 0]]), ValueError, r"^X is sparse \(csr_matrix\); pass rows, such as X\.toarray\(\)"),
        ([["1"]], ValueError, r"^X has shape \(.*\) and dtype <U1; pass rows, as real numbers"),
        ([[True]], ValueError, r"^X has shape \(.*\) and dtype bool; pass rows"),
        ([[1j]], ValueError, r"^X has shape \(.*\) and dtype complex128; pass rows"),
        (np.array([[1]], dtype="m8[s]"), ValueError, r"^X has shape \(.*\) and dtype timedelta64"),
        (np.array([[1, None]]), ValueError, r"^X has shape \(.*\) and dtype object; pass rows"),
        ([1.0], ValueError, r"^X has shape \(1,\); pass rows"),
        ([[]], ValueError, r"^X has shape \(1, 0\); pass rows"),
        ([[1], [2, 3]], ValueError, "^X is no regular array .*; pass rows"),
        ([[np.ma.masked_equal([1.0, 2], 2)]], ValueError, "^X is a masked array; pass rows"),
        ([[1.0, np.ma.masked]], ValueError, "^X is a masked array; pass rows"),
        ([[True, 2.0]], ValueError, "^X has truth values among its numbers; pass rows, as real numbers"),
        ([[np.True_, 2]], ValueError, "^X has truth values among its numbers"),
        ([np.array([True, False]), np.array([1.0, 2])], ValueError, "^X has truth values among its numbers"),
        ([[np.longdouble("1e4000")]], ValueError, "^X has numbers beyond the range of double precision"),
        (AnnData(np.ones((1, 2))), TypeError, r"^X is an AnnData; pass rows, such as X\.X\.$"),
        ([[0, 1], [np.inf, np.nan]], ValueError, r"^X has 2 values that are NaN or infinite; the first is X\[1, 0\]"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_refused(values, error, text):
    with pytest.raises(error, match=text):
        as_array("X", values, "rows", 2)
