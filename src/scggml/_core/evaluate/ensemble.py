"""Several ways to see a sample, each with a say of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scggml._core.cohort import Floats
from scggml._core.evaluate.calibrated import N_SPLITS, Calibrated, with_shared_work
from scggml._core.evaluate.methods import learners_of, needs_of
from scggml._core.evaluate.prediction import FittedView, Method, Need, Prediction, View
from scggml._core.evaluate.scores import log_loss
from scggml._core.learn.learner import Learner
from scggml._core.samples import Samples, Target

LEAST_SHOWN = 0.03
"""What a view counts for that shows nothing on held-out donors; one that knew everything counts for 1 more."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    r"""The weighted mean of the calibrated probabilities (or of the numbers) of several views; see `tl.Ensemble`.

    .. math:: p(c) = \sum_v w_v p_v(c), \qquad p_v = \operatorname{softmax}(t_v s_v), \qquad
        w_v \propto (\delta + \max(0, 1 - \ell_v / \ell_0))^2

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
        fits: dict[str, FittedView] = {}
        for name, view in self.views:
            own = np.random.default_rng(rng.integers(2**63))  # what a view draws does not move the others
            # In closed form a view leaves donors out, but not the effects of covariates that have seen them.
            if isinstance(view, View) and training.covariates is None:
                fits[name] = view.fit(training, target, rng=own)
            else:
                fits[name] = Calibrated(view, self.n_splits, self.n_repeats).fit(
                    training, target, rng=own, n_jobs=n_jobs, progress=f"calibration: {name}" if progress else None
                )
        shown = np.array([_shown(view.held_out, target) for view in fits.values()])
        weights = (shown + LEAST_SHOWN) ** 2
        return FittedEnsemble(fits, weights / weights.sum())


def _shown(held_out: Floats | None, target: Target) -> float:
    """Return the share of the uncertainty about left-out donors that a view takes away, 0 if it adds to it.

    Uncertainty is the class-balanced log loss, log C by chance, or the squared error, the variance by chance.
    """
    if held_out is None:
        return 0.0
    if target.kind == "numbers":
        error = float(((held_out[:, :, 0] - target.values) ** 2).mean())
        return max(0.0, 1.0 - error / float(target.values.var()))
    found = [log_loss(target.codes, part) for part in held_out]
    return max(0.0, 1.0 - float(np.mean(found)) / float(np.log(target.n_classes)))


@dataclass(frozen=True, eq=False)
class FittedEnsemble:
    """The views after their fit, by name, and (n_views,) what each weighs."""

    views: dict[str, FittedView]
    weights: Floats

    @property
    def held_out(self) -> Floats | None:
        """(n_repeats, P, C) what it says of each training sample without its donor; None if donors are too few."""
        parts = [view.held_out for view in self.views.values()]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        return self._together(np.broadcast_arrays(*known))

    def predict(self, test: Samples) -> Prediction:
        """Predict samples whose labels are unknown."""
        parts = tuple((name, view.predict(test).scores) for name, view in self.views.items())
        return Prediction(self._together([scores for _, scores in parts]), parts=parts)

    def _together(self, parts: Sequence[Floats]) -> Floats:
        out: Floats = np.einsum("v,v...->...", self.weights, np.stack(parts))
        return out
