"""The result of learning: a metric, the record of how it was found, and the orientation of its components."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scggml._core.checks import LARGEST, as_real, usable
from scggml._core.cohort import Cohort, Floats, from_clouds
from scggml._core.learn.choice import Choice
from scggml._core.learn.covariates import Adjustment
from scggml._core.metric import canonical_form, effective_rank, importance, shares
from scggml._core.samples import Target, mean_profiles
from scggml._core.transport.exact import Exact
from scggml._core.transport.ground import GroundMetric, own_distances
from scggml._core.transport.plans import GroundCost

ROUNDING = 1e-12
"""Share of the means of samples below which their differences are rounding."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Metric:
    r"""A learned ground metric :math:`d_W(x, y) = \|W (x - y)\|` in canonical form.

    Parameters
    ----------
    components
        (k, d) rows of W, by falling singular value.
    singular_values
        (k,) of W.
    squared
        Whether distances are squared, :math:`\|W (x - y)\|^2`.

    Examples
    --------
    >>> import numpy as np
    >>> import scggml as sg
    >>> rng = np.random.default_rng(0)
    >>> clouds = [rng.normal(size=(20, 3)) + [2 * (i % 2), 0, 0] for i in range(8)]
    >>> metric = sg.tl.Learner(n_comps=1).fit(clouds, ["a", "b"] * 4)
    >>> metric.transform(clouds[0]).shape, metric.distances(clouds).shape
    ((20, 1), (8, 8))

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258).
    """

    components: NDArray[np.float64]
    singular_values: NDArray[np.float64]
    squared: bool = False

    @property
    def cost(self) -> GroundCost:
        """Name of the ground cost in the learned space."""
        return "sqeuclidean" if self.squared else "euclidean"

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Embed points: (..., d) -> (..., k)."""
        points = as_real("X", X, "points (..., n_features)").astype(np.float64, copy=False)
        d = self.components.shape[1]
        if points.shape[-1:] != (d,):
            raise ValueError(f"X has shape {points.shape}; its last axis must be the {d} features of the metric.")
        out: NDArray[np.float64] = points @ self.components.T
        return out

    def distance(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return the distance of points, squared if the metric is: (..., d), (..., d) -> (...), broadcast."""
        moves = self.transform(x) - self.transform(y)
        out: NDArray[np.float64] = np.asarray(np.einsum("...i,...i->...", moves, moves))
        return out if self.squared else np.sqrt(out)

    def distances(self, clouds: Sequence[ArrayLike]) -> NDArray[np.float64]:
        """Return the (P, P) optimal transport distances of P clouds, each (n_cells, d), by the exact solver."""
        cohort = from_clouds(checked_clouds(clouds))
        if cohort.n_features != self.components.shape[1]:
            raise ValueError(
                f"clouds have {cohort.n_features} features; the metric has {self.components.shape[1]} features."
            )
        return own_distances(GroundMetric(self.components, self.cost), cohort, solver=Exact())

    @property
    def shares(self) -> NDArray[np.float64]:
        """(k,) share of the metric that each component carries; they sum to 1."""
        return shares(self.singular_values)

    @property
    def effective_rank(self) -> float:
        """Number of components really used, the exponential of the entropy of the shares."""
        return effective_rank(self.singular_values)

    @property
    def importance(self) -> NDArray[np.float64]:
        """(d,) diagonal of W^T W: how much each feature counts in a squared distance."""
        return importance(self.components)


def checked_clouds(clouds: Sequence[ArrayLike]) -> list[NDArray[np.floating[Any]]]:
    """Return clouds as arrays with the same number of features; an invalid one raises."""
    if isinstance(clouds, str) or not isinstance(clouds, Sequence | np.ndarray) or len(clouds) == 0:
        raise ValueError("clouds is a list of arrays (n_cells, n_features), one for each sample.")
    out: list[NDArray[np.floating[Any]]] = []
    for p, cloud in enumerate(clouds):
        points = as_real(f"clouds[{p}]", cloud, "numbers of shape (n_cells, n_features)")
        if points.ndim != 2 or 0 in points.shape:
            raise ValueError(
                f"clouds[{p}] has shape {points.shape} and dtype {points.dtype}; numbers of shape "
                "(n_cells, n_features) are needed."
            )
        if out and points.shape[1] != out[0].shape[1]:
            raise ValueError(f"clouds[{p}] has {points.shape[1]} features, clouds[0] has {out[0].shape[1]}.")
        if not usable(points).all():
            what = f"above {LARGEST:g}, whose squares overflow" if np.isfinite(points).all() else "NaN or infinite"
            raise ValueError(f"clouds[{p}] has values that are {what}.")
        out.append(points.astype(np.float32 if points.dtype in (np.float16, np.float32) else np.float64))
    return out


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """A metric with the record of how it was learned.

    Parameters
    ----------
    components, singular_values
        (k, d) in canonical form, components oriented by the labels, and (k,).
    class_means
        (k, C) mean of the samples of each class on each component; for numbers (k, 2), slope and correlation.
    oriented_to
        (k,) class at the positive end of each component; "higher" for numbers.
    stop
        Why learning ended.
    history
        By pass: `loss`, `gradient_norm`, `active` of gradient steps; by alternation: `eigenvalues` (n, k) of canonical
        variates.
    shrinkage
        Share of the Euclidean metric.
    learned_share
        (k,) how much of each component was learned rather than shrunk in.
    choice
        What was decided inside the training samples, if anything was open.
    adjustment
        Effects of covariates that are taken off the cells, if there are any.
    margin, reg
        Of gradient steps, in units of W.
    refined
        How many of the last passes were over all cells.
    """

    components: Floats
    singular_values: Floats
    class_means: Floats
    oriented_to: tuple[str, ...]
    learned_share: Floats
    stop: str
    history: dict[str, Floats] = field(default_factory=dict)
    shrinkage: float = 0.0
    choice: Choice | None = None
    adjustment: Adjustment | None = None
    margin: float | None = None
    reg: float | None = None
    refined: int = 0

    @property
    def converged(self) -> bool:
        """True if the stopping rule or a closed form, not the limit of passes, ended learning."""
        return self.stop != "max_iter"


def oriented(W: Floats, cohort: Cohort, target: Target) -> tuple[Floats, Floats, Floats, tuple[str, ...]]:
    """Return the canonical form of W with its singular values, and how its components are oriented.

    The sign of a component is free. The higher value of numbers and ordered labels is at its positive end; of classes
    the one whose mean is farthest from that of the reference class is, so that with two classes the reference class is
    at the negative end. Where the labels give no direction, the largest absolute loading is positive.

    Returns
    -------
    (k, d) components, (k,) singular values, class means (k, C) (or (k, 2) slope and correlation), and (k,) names.
    """
    components, singular_values = canonical_form(W)
    means = mean_profiles(cohort).astype(np.float64) @ components.T  # (P, k)
    moved = means - means.mean(axis=0)
    moved[np.abs(moved) <= ROUNDING * np.abs(means).max(axis=0)] = 0.0  # rounding must not decide a sign
    if target.kind == "classes":
        away = _class_means(moved, target)
        away -= away[:, [target.reference]]
        signs = np.sign(np.take_along_axis(away, np.abs(away).argmax(axis=1)[:, None], axis=1)[:, 0])
    else:
        signs = np.sign((target.values - target.values.mean()) @ moved)
    signs = np.where(signs == 0, 1.0, signs)
    components, means, moved = components * signs[:, None], means * signs, moved * signs
    if target.kind == "numbers":
        numbers = target.values - target.values.mean()
        slope = numbers @ moved / (numbers @ numbers)
        spread = np.sqrt((moved**2).sum(axis=0) * (numbers @ numbers))
        correlation = np.divide(numbers @ moved, spread, out=np.zeros(len(slope)), where=spread > 0)
        return components, singular_values, np.stack([slope, correlation], axis=1), ("higher",) * len(slope)
    by_class = _class_means(means, target)
    names = tuple(str(target.classes[c]) for c in by_class.argmax(axis=1))
    return components, singular_values, by_class, names


def _class_means(means: Floats, target: Target) -> Floats:
    """Return (k, C) means over the samples of each class of (P, k); NaN-free where a class has no sample."""
    member = np.eye(target.n_classes)[target.codes]
    counts = np.maximum(member.sum(axis=0), 1.0)
    out: Floats = means.T @ member / counts
    return out
