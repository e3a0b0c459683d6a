"""Canonical variates in Wasserstein space: a metric in closed form."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtrs
from tqdm.auto import tqdm

from scggml._core.checks import check_choice, check_number, check_whole, is_auto
from scggml._core.cohort import Cohort, Floats
from scggml._core.learn.pair_weights import PairWeights
from scggml._core.learn.scatter import Scatter, Start, as_matrix, centred, scatters
from scggml._core.learn.spectrum import DENSE, leading_eigenvectors
from scggml._core.threads import one_blas_thread
from scggml._core.transport.engine import engine_of
from scggml._core.transport.plans import Transport
from scggml._core.transport.solver import Solver

FAINT = 0.001
"""Least scale of a canonical variate, as a share of the largest eigenvalue: a row of zeros could never be learned."""

ROUNDING = 1e-10
"""Share of the largest eigenvalue, or of the mean ridge, below which others are rounding."""

RidgeScale = Literal["mean", "feature"]


@dataclass(frozen=True, kw_only=True)
class Canonical:
    r"""Canonical variates in Wasserstein space: a closed-form metric, and the default method.

    Alternates two steps. Optimal plans :math:`T^{pq}` at fixed metric give the between- and within-class scatter

    .. math:: S_b, S_w = \operatorname{mean}_{pq} \sum_{ij} T^{pq}_{ij} (x_i - y_j)(x_i - y_j)^T

    over pairs of samples of different and of the same class (classes and pairs of classes count equally). The metric
    is then the top `n_comps` solutions of :math:`S_b v = \lambda (S_w + R) v`, the rows of W scaled by
    :math:`\sqrt{\lambda - 1}`: samples of different classes differ by all that those of one class differ by, so only
    what exceeds :math:`\lambda = 1` tells classes apart. (At least 0.1 % of the largest :math:`\lambda` is kept along
    every direction in which samples differ, so that no useful row starts at zero.) Plans are optimal for the squared
    metric, so that each step improves the same ratio; the first ones are those of the Euclidean metric.

    The ridge R keeps the solution finite and stable. As a share of the mean within-class variance it is the same in
    every direction and leaves small features to large ones; as a share of the within-class variance of each feature it
    does not depend on the units of features.

    Parameters
    ----------
    ridge
        r, the share of the within-class variance that is added. `"auto"` decides among few values inside the training
        donors (see `tl.ggml`).
    ridge_scale
        `"mean"` for :math:`R = r \operatorname{tr}(S_w) / d\; I`, `"feature"` for
        :math:`R = r \operatorname{diag}(S_w)`; `"auto"` decides inside the training donors.
    n_alternations
        How often plans and metric are recomputed.
    max_features
        With more features than this the problem is solved among that many leading principal axes of the cells, since
        it takes time cubic in the number of features.
    max_pairs
        In cohorts with more pairs of samples than this, about that many are drawn at random, as many of each class and
        each pair of classes where there are enough. (200 samples have 19,900 pairs.)

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> method = sg.tl.Canonical(ridge=0.01, ridge_scale="feature")
    >>> sg.tl.ggml(adata, "sample_id", "label", method=method, n_comps=2, shrinkage=0.0, progress=False)
    >>> sg.get.metric(adata).gene_importance.idxmax()
    'signal'

    References
    ----------
    Li and Lin, *Canonical variates in Wasserstein metric space*, 2024 (arXiv 2405.15768).
    """

    ridge: float | Literal["auto"] = "auto"
    ridge_scale: RidgeScale | Literal["auto"] = "auto"
    n_alternations: int = 3
    max_features: int = 2048
    max_pairs: int = 20_000

    def __post_init__(self) -> None:
        if not is_auto(self.ridge):
            check_number(
                "Canonical: ridge", self.ridge, '"auto" or a positive number; 0.001 to 0.1 are usual', 0, open_low=True
            )
        check_choice("Canonical: ridge_scale", self.ridge_scale, ("auto", *get_args(RidgeScale)))
        check_whole("Canonical: n_alternations", self.n_alternations, 1, "; 3 are usual")
        check_whole("Canonical: max_features", self.max_features, 1, "; the default is 2048")
        check_whole("Canonical: max_pairs", self.max_pairs, 1, " pair of samples; the default is 20000")

    @property
    def is_fixed(self) -> bool:
        """Return whether nothing of it is left to be decided."""
        return self.ridge != "auto" and self.ridge_scale != "auto"


@dataclass(frozen=True)
class Variates:
    """Canonical variates (k, d) and, for each alternation, the eigenvalues (n_alternations, k) that scale them."""

    components: Floats
    eigenvalues: Floats


def canonical_metric(
    options: Canonical,
    cohort: Cohort,
    weights: PairWeights,
    n_comps: int,
    *,
    transport: Transport | None = None,
    solver: Solver,
    n_jobs: int | None = 1,
    start: Start | None = None,
    progress: bool = False,
) -> Variates:
    """Compute canonical variates of a cohort whose pairs of samples are weighed.

    With `start` the first alternation needs no transport; `transport` may already hold trees of the pairs.
    """
    pairs, kinds = weights.pairs, (weights.between, weights.within)
    if transport is None:
        transport = (
            engine_of(cohort, solver).transport(cohort, n_jobs=n_jobs)
            if start is None
            else start.transport.fork(n_jobs)
        )
    points, axes = centred(cohort, options.max_features) if start is None else (start.points, start.axes)
    ridge, scale = float(options.ridge), options.ridge_scale
    if scale == "auto":
        raise ValueError("ridge_scale is still to be decided.")
    embedded = points
    values = np.zeros((options.n_alternations, n_comps))
    rounds = range(options.n_alternations)
    for i in tqdm(rounds, desc="canonical variates", unit="round", disable=not progress, leave=False):
        if i == 0 and start is not None:
            between, within = start.scatters(pairs, kinds, n_jobs)
        else:
            transport.solve(embedded, pairs, "sqeuclidean")
            between, within = scatters(points, transport, pairs, kinds, n_jobs)
        # Plans are those under W, scatters those of all features: a direction that W leaves out can come back.
        # Lanczos calls BLAS many times for little: on a busy machine its threads wait twice as long as they work.
        with one_blas_thread() if points.shape[1] > DENSE else nullcontext():
            unit = unit_ridge(between, within, scale, axes)
            W, values[i] = canonical_variates(between, within, n_comps, ridge, unit)
        embedded = points @ W.T
    return Variates(unit.lift(W), values)


@dataclass(frozen=True)
class Ridge:
    """The ridge R (m, m) of size 1 on the axes that the cells were projected onto.

    Parameters
    ----------
    matrix
        R.
    axes
        (m, d) the axes, None for the features themselves.
    features
        (d,) the ridge of each feature; None where it is the same in all directions.
    """

    matrix: Floats
    axes: Floats | None
    features: Floats | None

    def lift(self, rows: Floats) -> Floats:
        """Return rows (k, m) on the axes as rows (k, d) on the features."""
        if self.axes is None:
            return rows
        if self.features is None:
            return rows @ self.axes
        # Of all v with the same products with the axes the one with the smallest v' R v.
        return (rows @ self.matrix) @ (self.axes / self.features)


def unit_ridge(
    between: Floats | Scatter, within: Floats | Scatter, scale: RidgeScale, axes: Floats | None = None
) -> Ridge:
    """Return the ridge that is as large as the within-class variance, on average or of each feature."""
    measure = as_matrix(within)
    m = len(measure)
    d = m if axes is None else axes.shape[1]
    # Classes without any spread inside (one sample each, or copies) leave the scale of the ridge to the other scatter.
    if np.trace(measure) <= 0:
        measure = as_matrix(between)
    mean = np.trace(measure) / d
    if mean <= 0:
        raise ValueError(
            "All samples of the cohort are the same point cloud: there is no difference to learn from. (Samples on "
            "shared groups of cells, or on shared Gaussians, differ in their shares alone; Groups(key, shared=False) "
            "keeps their own means, as does Mixture(n, shared=False).)"
        )
    if scale == "mean":
        return Ridge(mean * np.eye(m), axes, None)
    spread = np.diag(measure) if axes is None else np.einsum("if,if->f", axes, measure @ axes)
    # a feature that is constant within classes still gets a sliver of the mean, so that the problem stays regular
    own = np.maximum(spread, ROUNDING * mean)
    if axes is None:
        return Ridge(np.diag(own), None, own)
    # What is outside of the axes is free to lower v' R v, see `lift`.
    scaled = axes / np.sqrt(own)
    inverse = np.linalg.inv(scaled @ scaled.T)
    return Ridge((inverse + inverse.T) / 2, axes, own)


def canonical_variates(
    between: Floats | Scatter,
    within: Floats | Scatter,
    n_comps: int,
    ridge: float,
    scale: RidgeScale | Ridge = "mean",
) -> tuple[Floats, Floats]:
    """Solve between v = lambda (within + r R) v: the top rows (k, m), scaled by sqrt(lambda - 1), and lambda (k,)."""
    unit = unit_ridge(between, within, scale) if isinstance(scale, str) else scale
    # Without a ridge a direction in which samples of one class happen not to differ would have any ratio it likes.
    B = as_matrix(within) + ridge * unit.matrix
    values, vectors = _leading_pencil(between, B, min(n_comps, len(B)))
    excess = np.where(values > ROUNDING * values[0], np.maximum(values - 1.0, FAINT * values[0]), 0.0)
    rows: Floats = (vectors * np.sqrt(excess)).T
    # More components than features: W keeps the shape that was asked for, its last rows are 0.
    missing = n_comps - len(rows)
    values = np.maximum(values, 0.0)
    return (np.pad(rows, ((0, missing), (0, 0))), np.pad(values, (0, missing))) if missing else (rows, values)


def _leading_pencil(A: Floats | Scatter, B: Floats, k: int) -> tuple[Floats, Floats]:
    """Return the k largest lambda of A v = lambda B v, falling, and their vectors (m, k) with v' B v = 1."""
    # To B = L L', L^-1 A L^-T has the same eigenvalues. O(m^3), hence `max_features`.
    # LAPACK without wrappers, which take longer than a small problem; it reads columns first, so that of a symmetric
    # matrix the transpose needs no copy.
    L, failed = dpotrf(B.T, lower=1)
    if failed:
        raise np.linalg.LinAlgError("The scatter within classes with its ridge is not positive definite.")

    def down(x: Floats) -> Floats:
        """Return L^-1 x."""
        out: Floats = dtrtrs(L, x, lower=1)[0]
        return out

    def up(x: Floats) -> Floats:
        """Return L^-T x."""
        out: Floats = dtrtrs(L, x, lower=1, trans=1)[0]
        return out

    if isinstance(A, Scatter) and len(B) > DENSE:
        scatter = A

        def times(v: Floats) -> Floats:
            """Return L^-1 A L^-T v; a few products take less time than A itself."""
            return down(scatter(up(v)))
    else:
        whole = down(down(as_matrix(A)).T)
        whole = (whole + whole.T) / 2

        def times(v: Floats) -> Floats:
            """Return L^-1 A L^-T v."""
            return whole @ v

    vectors = leading_eigenvectors(times, len(B), k).T
    values = np.einsum("ij,ij->j", vectors, times(vectors))
    order = np.argsort(values)[::-1]
    return values[order], up(vectors[:, order])
