"""Effects of covariates on the cells, estimated among training samples and taken off all samples."""

from dataclasses import dataclass, replace

import numpy as np

from scggml._core.cohort import Cohort, Floats
from scggml._core.samples import Samples, Target, mean_profiles

ROUNDING = 1e-8
"""Share of a covariate's spread below which what is left of it is rounding."""


@dataclass(frozen=True)
class Adjustment:
    """Linear effects of covariates on the features of all cells of a sample.

    Parameters
    ----------
    slopes
        (q, d) change of each feature with each covariate.
    center
        (q,) covariates of the typical training sample, which is not moved.
    """

    slopes: Floats
    center: Floats

    def shifts(self, covariates: Floats) -> Floats:
        """Return (P, d), what is taken off the cells of samples with these covariates (P, q)."""
        out: Floats = (covariates - self.center) @ self.slopes
        return out

    def apply(self, cohort: Cohort, covariates: Floats) -> Cohort:
        """Return the cohort without the effects of its covariates (P, q)."""
        shifts = np.repeat(self.shifts(covariates), cohort.sizes, axis=0)
        points = (cohort.points - shifts).astype(cohort.points.dtype)
        return replace(cohort, points=points)


def estimate(samples: Samples, target: Target) -> Adjustment:
    r"""Regress the mean cell of each training sample on its covariates, classes (or numbers) held fixed.

    The effect of age, say, is its slope *within* classes: where age and label are associated, the slope over all
    samples would hold a part of the difference between classes, which would then be taken off with it. Covariates that
    are constant, or combinations of others and of the classes, have no slope of their own (the least-squares solution
    of smallest norm).
    """
    if samples.covariates is None:
        raise ValueError("samples.covariates is None; there is nothing to regress on.")
    return regress(mean_profiles(samples.cohort).astype(np.float64), samples.covariates, target)


def left_within(covariates: Floats, target: Target) -> Floats:
    """Return (q,) share of the variance of each covariate that its classes (or numbers) leave; 1 of a constant one."""
    numbers, constant = _standardized(covariates)
    found: Floats = np.where(constant, 1.0, (_beyond(target, numbers) ** 2).mean(axis=0))
    return np.where(found > ROUNDING, found, 0.0)


def free_samples(covariates: Floats, target: Target) -> int:
    """Return how many samples are left when each class (or number) and each covariate has taken one."""
    numbers, _ = _standardized(covariates)
    strengths = np.linalg.svd(_beyond(target, numbers), compute_uv=False)
    used = int((strengths > ROUNDING * np.sqrt(len(numbers))).sum())
    return len(numbers) - int(np.linalg.matrix_rank(target.design)) - used


def _standardized(covariates: Floats) -> tuple[Floats, np.ndarray]:
    """Return covariates with mean 0 and variance 1, and which are constant (0 throughout)."""
    scale = covariates.std(axis=0)
    constant = scale <= ROUNDING * np.abs(covariates).max(axis=0)
    return (covariates - covariates.mean(axis=0)) / np.where(constant, np.inf, scale), constant


def _beyond(target: Target, values: Floats) -> Floats:
    """Return what classes (or numbers) do not explain of the values (P, m) of samples."""
    fixed = target.design
    out: Floats = values - fixed @ np.linalg.lstsq(fixed, values, rcond=None)[0]
    return out


def regress(means: Floats, covariates: Floats, target: Target) -> Adjustment:
    """Return the effects of covariates (P, q) on the means (P, d) of samples; see `estimate`."""
    center = covariates.mean(axis=0)
    numbers, constant = _standardized(covariates)
    scale = np.where(constant, 1.0, covariates.std(axis=0))
    # Frisch and Waugh: what the fixed part explains of both sides is taken off first
    rest, unexplained = _beyond(target, numbers), _beyond(target, means)
    # a share of the standardized covariates, not of what is left of them, which may be rounding alone
    left, strengths, right = np.linalg.svd(rest, full_matrices=False)
    used = strengths > ROUNDING * np.sqrt(len(means))
    slopes = right[used].T @ (left[:, used].T @ unexplained / strengths[used, None])
    return Adjustment(slopes / scale[:, None], center)


def adjust(samples: Samples, adjustment: Adjustment) -> Samples:
    """Return samples without the effects of their covariates, and without covariates."""
    if samples.covariates is None:
        raise ValueError("samples.covariates is None; the effects of covariates cannot be taken off.")
    everything = samples.everything
    return replace(
        samples,
        cohort=adjustment.apply(samples.cohort, samples.covariates),
        everything=None if everything is None else adjustment.apply(everything, samples.covariates),
        covariates=None,
        work=None,  # the effects, and with them the cells, follow the labels
        positions=None,
    )
