import json

import numpy as np
import pytest
from sklearn.utils import check_random_state

from scggml._core.seeds import as_seed


@pytest.mark.parametrize("rng", [0, 7, 2**40, np.int64(7), np.uint8(3)])
def test_a_whole_number_is_the_seed(rng):
    found = as_seed(rng)
    assert type(found) is int
    assert found == rng


def test_a_generator_gives_one_that_its_state_decides():
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    first, second = as_seed(one), as_seed(one)
    assert (as_seed(other), as_seed(other)) == (first, second)
    assert first != second
    assert json.loads(json.dumps(first)) == first >= 0
    check_random_state(first)  # scikit-learn takes no more than 32 bits
    np.random.default_rng([first, 1])


@pytest.mark.parametrize(
    "rng",
    [None, True, False, np.True_, 1.0, "1", [1], np.array([1]), np.random.RandomState(0), np.random.SeedSequence(0)],
)
def test_anything_else_is_refused_by_the_name_of_its_argument(rng):
    with pytest.raises(
        TypeError, match=r"(?s)^seed=.* must be a whole number of at least 0 .* or a numpy.random.Generator"
    ):
        as_seed(rng, "seed")


@pytest.mark.parametrize("rng", [-1, np.int32(-5)])
def test_negative_numbers_are_refused(rng):
    with pytest.raises(ValueError, match=r"^rng=.* must be at least 0"):
        as_seed(rng)
