"""Colors of classes stay apart for readers who do not tell red from green."""

import numpy as np
import pytest
from _colors import BLINDNESS, lab, least_distance

from scggml.pl._colors import FAINT, PLAIN, distinct

BOUNDS = ((8, 15.0), (14, 10.0), (23, 8.0))
"""Number of classes, and how far apart any two of their colors are at least in CIELAB, see `pl._figure`."""


@pytest.mark.parametrize("blindness", list(BLINDNESS))
@pytest.mark.parametrize("n", range(2, 24))
def test_any_two_colors_of_classes_can_be_told_apart(n, blindness):
    bound = next(bound for most, bound in BOUNDS if n <= most)
    assert len(set(distinct(n))) == n
    assert least_distance(distinct(n), blindness) >= bound


@pytest.mark.parametrize("blindness", list(BLINDNESS))
def test_signs_are_gray_and_differ_from_each_other(blindness):
    grays = lab([PLAIN, FAINT], blindness)
    assert np.abs(grays[:, 1:]).max() < 2  # no hue
    assert least_distance([PLAIN, FAINT], blindness) > 30


def test_colors_are_seen_as_published():
    """Pure red and green under deuteranopia (Machado et al. 2009): both are shades of yellow and brown."""
    red, green = lab(["#ff0000", "#00ff00"], "deuteranopia")
    assert abs(np.degrees(np.arctan2(red[2], red[1])) - np.degrees(np.arctan2(green[2], green[1]))) < 45
    assert least_distance(["#ff0000", "#00ff00"]) > 2 * least_distance(["#ff0000", "#00ff00"], "deuteranopia")
    np.testing.assert_allclose(lab(["white"]), [[100, 0, 0]], atol=0.05)
    np.testing.assert_allclose(lab(["#0072B2"])[0], [46.2, -0.6, -42.0], atol=3.0)
