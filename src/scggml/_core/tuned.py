"""A choice among candidates that is made inside the training donors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scggml._core.evaluate import main_score, ranked
from scggml._core.folds import make_folds
from scggml._core.methods import Fitted, Method, Prediction
from scggml._core.training import Samples, Target


@dataclass(frozen=True)
class Tuned:
    """The candidate that predicts held-out donors best in folds of the training samples, refitted to all of these.

    Parameters
    ----------
    candidates
        Methods by name; among equal ones the first is taken, so that the simplest should come first.
    n_splits, n_repeats
        Inner folds; at most as many splits as there are donors.
    """

    candidates: Mapping[str, Method]
    n_splits: int = 4
    n_repeats: int = 1

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Fitted:
        """Score the candidates in inner folds, choose, and refit."""
        seed = int(rng.integers(2**31))
        folds = make_folds(
            target,
            training.groups,
            n_splits=min(self.n_splits, len(np.unique(training.groups))),
            n_repeats=self.n_repeats,
            rng=rng,
        )
        inner = {
            name: main_score(lambda _: training, target, folds, method, seed)
            for name, method in self.candidates.items()
        }
        order = ranked(np.array(list(inner.values())))
        best = list(inner)[int(order.argmax())]
        fitted = self.candidates[best].fit(training, target, rng=rng)
        return _Chosen(fitted, best, tuple(score for score, _ in inner.values()))


@dataclass(frozen=True)
class _Chosen:
    fitted: Fitted
    choice: str
    inner: Sequence[float]

    def predict(self, test: Samples) -> Prediction:
        return replace(self.fitted.predict(test), choice=self.choice, inner=tuple(self.inner))
