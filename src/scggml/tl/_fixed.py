"""Turn what a user passes as a fixed metric into a distance between cells: names, functions, matrices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from scggml._anndata.messages import choices
from scggml._core.checks import as_array
from scggml._core.cohort import Floats, Names, Points
from scggml._core.transport.free import SCIPY_NAMES, FreeCost, scipy_cost
from scggml._core.transport.ground import GroundMetric
from scggml._core.transport.plans import GROUND_COSTS

FIXED: tuple[str, ...] = (*GROUND_COSTS, "correlation", *SCIPY_NAMES)
"""Names of fixed metrics."""

MetricFunction = Callable[[Points, Points], ArrayLike]
AnyMetric = str | MetricFunction | NDArray[np.floating[Any]] | pd.DataFrame

ROUNDING = 1e-8
"""Share of the largest entry of a matrix by which rounding may make it asymmetric, or an eigenvalue negative."""


@dataclass(frozen=True)
class Fixed:
    """A fixed metric, the name of its slots, and for a matrix its size d and, in a table, the features (d,).

    `by_cell` says that costs are looked up by the numbers of the cells.
    """

    name: str
    ground: GroundMetric
    size: int | None = None
    features: pd.Index | None = None
    by_cell: bool = False

    def on(self, features: Names | int) -> GroundMetric:
        """Return the distance between cells with these features, or so many; a table is put in their order."""
        n = features if isinstance(features, int) else len(features)
        if self.features is None and self.size not in (None, n):
            raise ValueError(
                f"metric has shape ({self.size}, {self.size}), and the cells have {n} features; pass a matrix of shape "
                f"({n}, {n}), or use_rep and mask_var for other features."
            )
        W = self.ground.components
        if self.features is None or W is None or isinstance(features, int):
            return self.ground
        place = self.features.get_indexer(pd.Index(features.astype(str)))
        if (place < 0).any():
            missing = features[place < 0].astype(str)
            raise ValueError(
                f"metric lacks {len(missing)} of the {n} features: {choices(missing)}. Name rows and columns after the "
                "features, or pass metric.to_numpy() in their order."
            )
        return GroundMetric(W[:, place], self.ground.cost)


def as_fixed(metric: object) -> Fixed | None:
    """Return a fixed metric, checked; None for what is none, such as the key of a stored one."""
    if isinstance(metric, str):
        return named(metric) if metric in FIXED else None
    if isinstance(metric, np.ndarray | pd.DataFrame):
        return matrix(metric)
    if callable(metric) and not isinstance(metric, type):
        name = getattr(metric, "__name__", type(metric).__name__)
        return Fixed(name if name.isidentifier() else "function", GroundMetric(None, FreeCost(name, metric)))
    return None


def named(name: str) -> Fixed:
    """Return the metric of that name."""
    if name in GROUND_COSTS:
        return Fixed(name, GroundMetric(None, name))
    if name == "correlation":  # the cosine distance between cells around their own mean
        return Fixed(name, GroundMetric(None, "cosine", centred=True))
    return Fixed(name, GroundMetric(None, scipy_cost(name)))


def matrix(M: NDArray[Any] | pd.DataFrame) -> Fixed:
    r"""Return :math:`d(x, y) = \sqrt{(x - y)^T M (x - y)}`, the Euclidean distance after W, :math:`W^T W = M`.

    Raises
    ------
    ValueError
        Not square, not symmetric, with negative eigenvalues, zero throughout or not finite; rows and columns of a
        table with different names.
    """
    wanted = "a (d, d) matrix that is symmetric with eigenvalues of at least 0"
    names = None
    if isinstance(M, pd.DataFrame):
        names = M.index.astype(str)
        if names.has_duplicates or not names.equals(M.columns.astype(str)):
            raise ValueError(
                "metric has rows and columns of different names, or names twice; name both after the features, in one "
                "order, such as metric.loc[names, names]."
            )
        M = M.to_numpy()
    array: Floats = as_array("metric", M, wanted, 2).astype(np.float64)
    if array.shape[0] != array.shape[1]:
        raise ValueError(f"metric has shape {array.shape}; pass {wanted}. For W of shape (k, d) that is W.T @ W.")
    largest = float(np.abs(array).max())
    if not np.allclose(array, array.T, rtol=0, atol=ROUNDING * largest):
        i, j = np.argwhere(np.abs(array - array.T) > ROUNDING * largest)[0]
        raise ValueError(
            f"metric is not symmetric: [{i}, {j}] is {array[i, j]:.6g} and [{j}, {i}] is {array[j, i]:.6g}; pass "
            "(M + M.T) / 2."
        )
    values, vectors = np.linalg.eigh((array + array.T) / 2)
    if values[0] < -ROUNDING * largest:
        raise ValueError(
            f"metric has the eigenvalue {values[0]:.4g}, so that some squared distances are negative; pass {wanted}."
        )
    kept = values > ROUNDING * largest
    if not kept.any():
        raise ValueError(f"metric is 0 throughout, so that all distances are; pass {wanted}.")
    components = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
    return Fixed("matrix", GroundMetric(components, "euclidean"), len(array), names)
