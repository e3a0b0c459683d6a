"""A method whose probabilities are as sure as its predictions of donors that were left out inside the training ones."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from scggml._core.checks import check_whole
from scggml._core.cohort import Floats
from scggml._core.evaluate.bagged import out_of_bag
from scggml._core.evaluate.methods import learners_of, needs_of
from scggml._core.evaluate.prediction import Fitted, Method, Need, Prediction
from scggml._core.evaluate.run import by_repeat, evaluate_fold, pooled
from scggml._core.evaluate.temperature import Temperature, at_most, fit_temperature, highest_probability
from scggml._core.folds import TooFewDonorsError, learnable, make_folds
from scggml._core.learn.covariates import Adjustment, adjust, estimate
from scggml._core.learn.learner import Learner
from scggml._core.learn.shared import Work
from scggml._core.runner import run_tasks
from scggml._core.samples import Samples, Target
from scggml._core.votes import clipped

N_SPLITS = 5
"""Parts of the training donors that are left out in turn."""

VIEW = "view"
"""Name of the method in its inner folds."""


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A method, and a temperature for its probabilities.

    The method is fitted without one part of the training donors after the other; a metric of bags leaves each donor to
    the bags without it (`out_of_bag`), and is learned once. The temperature is the one with the
    least log loss there (`fit_temperature`); the order of the probabilities stays, and with it what is predicted. None
    is above what so few donors allow (`highest_probability`).

    Parameters
    ----------
    method
        What predicts.
    n_splits, n_repeats
        Inner folds, at most as many splits as there are donors.
    """

    method: Method
    n_splits: int = N_SPLITS
    n_repeats: int = 1

    takes_covariates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole("n_splits", self.n_splits, 2)
        check_whole("n_repeats", self.n_repeats, 1)

    @property
    def needs(self) -> frozenset[Need]:
        """Return what the method needs."""
        return needs_of(self.method)

    @property
    def learners(self) -> list[Learner]:
        """Return the learners of the metrics that the method predicts by."""
        return learners_of(self.method)

    def fit(
        self,
        training: Samples,
        target: Target,
        *,
        rng: np.random.Generator,
        n_jobs: int | None = 1,
        progress: str | None = None,
    ) -> "FittedCalibrated":
        """Fit the method to the training samples, after it has predicted each of them without its donor."""
        training = with_shared_work(self.method, training, rng, n_jobs=n_jobs)
        temperature, held_out = self._calibration(training, target, rng, n_jobs=n_jobs, progress=progress)
        effects = None
        if training.covariates is not None:
            effects = estimate(training, target)
            training = adjust(training, effects)
        fitted = self.method.fit(training, target, rng=rng)
        return FittedCalibrated(fitted, temperature, _highest(training, target), held_out, effects)

    def leave_out(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Floats | None:
        """Return (n_repeats, P, C) what it says of each training sample without its donor, as `fit` would."""
        training = with_shared_work(self.method, training, rng, n_jobs=1)
        return self._calibration(training, target, rng, n_jobs=1, progress=None)[1]

    def _calibration(
        self, training: Samples, target: Target, rng: np.random.Generator, *, n_jobs: int | None, progress: str | None
    ) -> tuple[Temperature | None, Floats | None]:
        """Return the temperature and (n_repeats, P, C) calibrated probabilities, or numbers, of held-out samples."""
        held_out = self._held_out(training, target, rng, n_jobs=n_jobs, progress=progress)
        if held_out is None or target.kind == "numbers":
            return None, held_out
        n = len(held_out)
        scores = np.log(clipped(np.concatenate(held_out)))
        temperature = fit_temperature(scores, np.tile(target.codes, n), np.tile(training.groups, n))
        highest = _highest(training, target)
        return temperature, np.stack([_tempered(part, temperature, highest) for part in held_out])

    def _held_out(
        self, training: Samples, target: Target, rng: np.random.Generator, *, n_jobs: int | None, progress: str | None
    ) -> Floats | None:
        """Return (n_repeats, P, C) scores of the training samples without their donors; None if these are too few.

        They are too few, too, if a metric that is learned within batches would have none with different labels left.
        """
        seed = int(rng.integers(2**31))
        said = out_of_bag(self.method, training, target, rng=np.random.default_rng(seed))
        if said is not None:
            return said[None]
        try:
            folds = make_folds(
                target,
                training.groups,
                n_splits=min(self.n_splits, len(np.unique(training.groups))),
                n_repeats=self.n_repeats,
                batch=training.batch,
                rng=rng,
            )
        except TooFewDonorsError:
            return None
        if training.batch is not None and learners_of(self.method) and not learnable(target, training.batch, folds):
            return None
        tasks = [(training, target, fold, {VIEW: self.method}, seed) for fold in folds]
        found = run_tasks(evaluate_fold, tasks, n_jobs=n_jobs, progress=progress, unit="fold")
        repeats = by_repeat([one[VIEW] for one in found])
        return np.stack([pooled(parts, len(target.values)) for parts in repeats.values()])


def with_shared_work(method: Method, samples: Samples, rng: np.random.Generator, *, n_jobs: int | None) -> Samples:
    """Return the samples with the plans that all refits of the method share, unless they are there."""
    own = np.random.default_rng(rng.integers(2**63))  # what follows draws the same, whoever has made the plans
    for learner in learners_of(method):
        if not isinstance(samples.work, Work):
            samples = learner.with_work(samples, rng=own, n_jobs=n_jobs)
    return samples


@dataclass(frozen=True, eq=False)
class FittedCalibrated:
    """A fitted method with its temperature.

    Parameters
    ----------
    fitted
        The method.
    temperature
        None where none could be found: for numbers, and where too few donors leave no inner fold.
    highest
        The highest probability; None for numbers.
    held_out
        (n_repeats, P, C) what it says of each training sample without its donor.
    effects
        Effects of covariates in the training samples.
    """

    fitted: Fitted
    temperature: Temperature | None
    highest: float | None
    held_out: Floats | None
    effects: Adjustment | None

    def predict(self, test: Samples) -> Prediction:
        """Predict samples whose labels are unknown."""
        found = self.fitted.predict(test if self.effects is None else adjust(test, self.effects))
        return replace(found, scores=_tempered(found.scores, self.temperature, self.highest))


def _highest(training: Samples, target: Target) -> float | None:
    return None if target.kind == "numbers" else highest_probability(target.codes, training.groups)


def _tempered(scores: Floats, temperature: Temperature | None, highest: float | None) -> Floats:
    """Return calibrated probabilities (n, C) from those of the method; numbers stay as they are."""
    if temperature is not None:
        scores = temperature.probabilities(np.log(clipped(scores)))
    return scores if highest is None else at_most(scores, highest)
