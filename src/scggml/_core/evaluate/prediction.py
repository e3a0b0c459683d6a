"""The interface of methods: what they are given, and what they return."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from scggml._core.cohort import Floats
from scggml._core.samples import Samples, Target

Need = Literal["cell_types", "cells", "all_cells", "points", "equal_weights", "classes"]
"""What a method needs that an evaluation may lack: cell types, samples as their cells instead of summaries (or beside
these, where there are cells), points of any kind, cells of equal weight, and labels that are classes."""


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
    parts
        What each view of an ensemble says: its name and (n, C) or (n, 1) scores.
    """

    scores: Floats
    distances: Floats | None = None
    choice: str | None = None
    inner: tuple[tuple[str, float], ...] = ()
    parts: tuple[tuple[str, Floats], ...] = ()


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


class FittedView(Fitted, Protocol):
    """A fitted method whose probabilities are calibrated, and that tells what it would say without a donor."""

    @property
    def held_out(self) -> Floats | None:
        """(n_repeats, P, C) probabilities (or numbers) of the training samples, each without its donor."""
        ...


@runtime_checkable
class View(Protocol):
    """A method that leaves donors out in closed form, and needs no folds to be calibrated."""

    knows_held_out: bool

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> FittedView:
        """Learn from the training samples alone."""
        ...
