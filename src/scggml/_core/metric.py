"""The identifiable properties of a metric: its canonical form, its shares, its importance for each feature."""

import numpy as np

from scggml._core.cohort import Floats


def canonical_form(components: Floats) -> tuple[Floats, Floats]:
    r"""Return the representative of all `Q W` (Q orthogonal) that scggml reports.

    With the thin SVD :math:`W = U S V^T` this is :math:`S V^T`, axes by falling singular value, the largest absolute
    loading of each axis positive.

    Parameters
    ----------
    components
        (k, d) any W.

    Returns
    -------
    (k, d) canonical W (rows beyond its rank are zero) and (k,) singular values.
    """
    k = len(components)
    _, singular_values, axes = np.linalg.svd(components, full_matrices=False)
    peaks = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    canonical = singular_values[:, None] * axes * np.where(peaks < 0, -1.0, 1.0)
    missing = k - len(singular_values)  # a W with more rows than features
    return np.pad(canonical, ((0, missing), (0, 0))), np.pad(singular_values, (0, missing))


def shares(singular_values: Floats) -> Floats:
    """Return (k,) share of the metric that each component carries: S_i^2 / sum S^2."""
    squares = singular_values**2
    total = squares.sum()
    return squares / total if total > 0 else squares


def effective_rank(singular_values: Floats) -> float:
    """Return the exponential of the entropy of the shares: the rank in use, from 1 to k (0 for a zero metric)."""
    positive = shares(singular_values)
    positive = positive[positive > 0]
    return float(np.exp(-(positive * np.log(positive)).sum())) if len(positive) else 0.0


def importance(components: Floats) -> Floats:
    """Return (d,) diagonal of theta = W^T W: how much each feature counts in a squared distance."""
    out: Floats = (components**2).sum(axis=0)
    return out
