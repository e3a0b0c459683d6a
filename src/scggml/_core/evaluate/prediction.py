"""The interface of methods: what they are given, and what they return."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scggml._core.cohort import Floats
from scggml._core.samples import Samples, Target


@dataclass(frozen=True)
class Prediction:
    """Prediction of a method for n samples.

    Parameters
    ----------
    scores
        (n, C) class probabilities, or (n, 1) numbers.
    distances
        (n, P + n) to the P training samples and then among the n samples; None for methods without distances.
    choice, inner
        Candidate that was chosen inside the training samples, and the name and score of each there, if any was.
    """

    scores: Floats
    distances: Floats | None = None
    choice: str | None = None
    inner: tuple[tuple[str, float], ...] = ()


class Fitted(Protocol):
    """A method after it has seen its training samples."""

    def predict(self, test: Samples) -> Prediction:
        """Predict samples whose labels it has not seen."""
        ...


class Method(Protocol):
    """A method before it has seen anything."""

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Fitted:
        """Learn from the training samples alone."""
        ...
