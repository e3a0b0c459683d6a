import numpy as np
import pytest

from scggml._core.checks import check_number, check_whole


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
    ],
)
def test_what_is_not_a_whole_number_from_the_least_on_is_refused(value, error, text):
    with pytest.raises(error, match=text):
        check_whole("n", value, 2, " cells, or None")


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
