"""Several ways to see a sample, each with a say of its own."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scggml._core.cohort import Floats
from scggml._core.evaluate.calibrated import N_SPLITS, Calibrated, FittedCalibrated, with_shared_work
from scggml._core.evaluate.methods import learners_of, needs_of
from scggml._core.evaluate.prediction import Method, Need, Prediction
from scggml._core.evaluate.views import FittedRows
from scggml._core.learn.learner import Learner
from scggml._core.samples import Samples, Target

View = FittedCalibrated | FittedRows


@dataclass(frozen=True, eq=False)
class Ensemble:
    r"""The mean of the calibrated probabilities (or of the numbers) of several views.

    .. math:: p(c) = \frac1V \sum_v p_v(c), \qquad p_v = \operatorname{softmax}(t_v s_v)

    Parameters
    ----------
    views
        Name and method of each.
    n_splits, n_repeats
        Inner folds of the views that do not know what they would say without a donor; see `Calibrated`.
    """

    views: tuple[tuple[str, Method], ...]
    n_splits: int = N_SPLITS
    n_repeats: int = 1

    takes_covariates: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Need]:
        """Return what any of the views needs."""
        return frozenset().union(*(needs_of(view) for _, view in self.views))

    @property
    def learners(self) -> list[Learner]:
        """Return the learners of all views."""
        return [learner for _, view in self.views for learner in learners_of(view)]

    def fit(
        self,
        training: Samples,
        target: Target,
        *,
        rng: np.random.Generator,
        n_jobs: int | None = 1,
        progress: bool = False,
    ) -> "FittedEnsemble":
        """Fit and calibrate each view."""
        training = with_shared_work(self, training, rng, n_jobs=n_jobs)
        fits = {}
        for name, view in self.views:
            own = np.random.default_rng(rng.integers(2**63))  # what a view draws does not move the others
            # In closed form a view leaves donors out, but not the effects of covariates that have seen them.
            if getattr(view, "knows_held_out", False) and training.covariates is None:
                fits[name] = view.fit(training, target, rng=own)
            else:
                fits[name] = Calibrated(view, self.n_splits, self.n_repeats).fit(
                    training, target, rng=own, n_jobs=n_jobs, progress=f"calibration: {name}" if progress else None
                )
        return FittedEnsemble(fits)


@dataclass(frozen=True, eq=False)
class FittedEnsemble:
    """The views after their fit, by name."""

    views: dict[str, View]

    @property
    def held_out(self) -> Floats | None:
        """(n_repeats, P, C) what it says of each training sample without its donor; None if donors are too few."""
        parts = [view.held_out for view in self.views.values()]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        return np.mean(np.broadcast_arrays(*known), axis=0)

    def predict(self, test: Samples) -> Prediction:
        """Predict samples whose labels are unknown."""
        parts = tuple((name, view.predict(test).scores) for name, view in self.views.items())
        return Prediction(np.mean([scores for _, scores in parts], axis=0), parts=parts)
