"""Seeds that can be stored, so that what was drawn can be drawn again."""

import numpy as np

from scggml._core.checks import check_whole


def as_seed(rng: int | np.integer | np.random.Generator, argument: str = "rng") -> int:
    """Return the seed that a user passed, or one drawn from the generator that was passed.

    Parameters
    ----------
    rng
        A whole number of at least 0, which is the seed, or a generator, which is advanced by one draw.
    argument
        Name of the argument, for messages.

    Raises
    ------
    TypeError, ValueError
        Neither of these.
    """
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**31))  # what every consumer of seeds takes, and every file holds
    check_whole(argument, rng, 0, " (the seed) or a numpy.random.Generator")
    return int(rng)
