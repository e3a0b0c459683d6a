"""The result of learning: a metric, the record of how it was found, and the orientation of its components."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scggml._core.checks import LARGEST, as_array, as_real, check_flag, text_of, usable
from scggml._core.cohort import Cohort, Floats, from_clouds
from scggml._core.learn.bags import Bags
from scggml._core.learn.choice import Choice
from scggml._core.learn.covariates import Adjustment
from scggml._core.metric import canonical_form, effective_rank, importance, shares
from scggml._core.samples import Target, mean_profiles
from scggml._core.tables import arranged, first_names
from scggml._core.transport.exact import Exact
from scggml._core.transport.ground import GroundMetric, own_distances
from scggml._core.transport.plans import GroundCost

ROUNDING = 1e-12
"""Share of the means of samples below which their differences are rounding."""

SINGLE = 1e18
"""Largest size of a number whose square is finite in single precision."""

OWN, FIRST = "the metric", "the first table"
"""What features of tables are matched with, as messages name it."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
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
    features
        (d,) names of the features, by which the columns of tables are matched; None if the metric was learned from
        arrays, whose columns are matched by position.

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
    features: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        components = as_array("Metric: components", self.components, "an array (k, n_features) of numbers", 2)
        k, d = components.shape
        values = as_array("Metric: singular_values", self.singular_values, f"an array ({k},) of numbers", 1)
        if values.shape != (k,) or (values < 0).any():
            raise ValueError(
                f"Metric: singular_values has shape {values.shape} and is {values.min():g} at least; pass {k} numbers "
                "of at least 0, the norms of the rows of components."
            )
        check_flag("Metric: squared", self.squared)
        object.__setattr__(self, "components", components.astype(np.float64, copy=False))
        object.__setattr__(self, "singular_values", values.astype(np.float64, copy=False))
        if self.features is not None:
            object.__setattr__(self, "features", _as_names(self.features, d))

    def __repr__(self) -> str:
        """Return what a metric takes and gives; its numbers would fill pages of a notebook."""
        k, d = self.components.shape
        parts = f"{k} component{'s' * (k != 1)} of {d} feature{'s' * (d != 1)}"
        return f"{type(self).__name__}: {parts}{', squared' if self.squared else ''}"

    @property
    def cost(self) -> GroundCost:
        """Name of the ground cost in the learned space."""
        return "sqeuclidean" if self.squared else "euclidean"

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Embed points: (..., d) -> (..., k); columns of a table are matched by name."""
        return self._embed("X", X, *self._names(X))

    def distance(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return the distance of points, squared if the metric is: (..., d), (..., d) -> (...), broadcast."""
        names = self._names(x, y)
        first, second = self._embed("x", x, *names), self._embed("y", y, *names)
        try:
            np.broadcast_shapes(first.shape, second.shape)
        except ValueError as error:
            d = self.components.shape[1]
            raise ValueError(
                f"x has shape {(*first.shape[:-1], d)} and y has {(*second.shape[:-1], d)}, which do not pair up; pass "
                "as many points in both, one point in either, or x[:, None] and y[None] for all pairs."
            ) from error
        moves = first - second
        out: NDArray[np.float64] = np.asarray(np.einsum("...i,...i->...", moves, moves))
        return out if self.squared else np.sqrt(out)

    def distances(self, clouds: Sequence[ArrayLike]) -> NDArray[np.float64]:
        """Return the (P, P) optimal transport distances of P clouds, each (n_cells, d), by the exact solver."""
        names, whose = (features_of(clouds), FIRST) if self.features is None else (self.features.tolist(), OWN)
        cohort = from_clouds(checked_clouds(clouds, names, whose))
        if cohort.n_features != self.components.shape[1]:
            raise ValueError(
                f"clouds have {cohort.n_features} features; the metric has {self.components.shape[1]} features."
            )
        return own_distances(GroundMetric(self.components, self.cost), cohort, solver=Exact())

    def _names(self, *points: ArrayLike) -> tuple[list[str] | None, str]:
        """Return the order of features that points are brought to, and where it comes from."""
        return (first_names(points), FIRST) if self.features is None else (self.features.tolist(), OWN)

    def _embed(self, name: str, X: ArrayLike, features: list[str] | None, whose: str) -> NDArray[np.float64]:
        points = as_real(name, arranged(name, X, features, whose), "points (..., n_features)")
        d = self.components.shape[1]
        if points.shape[-1:] != (d,):
            raise ValueError(f"{name} has shape {points.shape}; its last axis must be the {d} features of the metric.")
        out: NDArray[np.float64] = points.astype(np.float64, copy=False) @ self.components.T
        return out

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


def _as_names(features: Any, d: int) -> NDArray[np.str_]:
    """Return the names of d features as an array of text."""
    if isinstance(features, str | bytes) or np.ndim(features) != 1 or len(features) != d:
        raise ValueError(
            f"Metric: features has shape {np.shape(features)}; pass a list of the names of the {d} features that the "
            "columns of components stand for."
        )
    return np.array([text_of(name) for name in features], dtype=str)


def features_of(clouds: Sequence[ArrayLike]) -> list[str] | None:
    """Return the names of the features of the first cloud that is a table; None if none is."""
    return first_names(clouds) if isinstance(clouds, Sequence) and not isinstance(clouds, str) else None


def checked_clouds(
    clouds: Sequence[ArrayLike], features: list[str] | None = None, whose: str = FIRST
) -> list[NDArray[np.floating[Any]]]:
    """Return clouds as arrays with the same features, those of tables in the given order; an invalid one raises."""
    if isinstance(clouds, str) or not isinstance(clouds, Sequence | np.ndarray) or len(clouds) == 0:
        raise ValueError("clouds is a list of arrays (n_cells, n_features), one for each sample.")
    out: list[NDArray[np.floating[Any]]] = []
    for p, cloud in enumerate(clouds):
        named = arranged(f"clouds[{p}]", cloud, features, whose)
        points = as_real(f"clouds[{p}]", named, "numbers of shape (n_cells, n_features)")
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
        single = points.dtype in (np.float16, np.float32) and float(np.abs(points).max()) <= SINGLE
        out.append(points.astype(np.float32 if single else np.float64))
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
        By pass: `loss`, `gradient_norm`, `active` of gradient steps and, if they were kept, `components` (n, k, d); by
        alternation: `eigenvalues` (n, k) of canonical variates.
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
    bags
        The metrics of draws of donors that it is the mean of, if it is.
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
    bags: Bags | None = None

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
