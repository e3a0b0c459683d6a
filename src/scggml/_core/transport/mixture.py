"""Mixtures of Gaussians: one for each sample, or one that all samples share."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.linalg import helmert

from scggml._arguments import shown
from scggml._core.checks import check_flag, check_whole
from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.transport.atoms import atoms_of
from scggml._core.transport.em import Diagonal, choose_diagonal, fit_diagonal
from scggml._core.transport.gaussian import Gaussian, moments
from scggml._core.transport.summary import Summarizer, SummaryTraits

ROUNDING = 1e-12
"""Share of the largest variance of a Gaussian below which an axis has no extent."""

MOST = 8
"""Most Gaussians of a sample among which their number is chosen."""


@dataclass(frozen=True, eq=False)
class Gaussians:
    """A mixture that was given: weights (K,) of sum 1, means (K, d) and covariances (K, d, d)."""

    weights: Floats
    means: Floats
    covariances: Floats

    @property
    def n_points(self) -> int:
        """Most points that have its moments."""
        K, d = self.means.shape
        return K * (d + 1)


@dataclass(frozen=True)
class Mixture(Summarizer):
    r"""A mixture of Gaussians for each sample, whose Gaussians are moved as a whole.

    .. math:: D_{pq} = \min_T \sum_{ij} T_{ij}\, c(i, j), \qquad c(i, j)^2 = \|W (m_i - m_j)\|^2
        + \operatorname{tr}\left(\Sigma_i + \Sigma_j - 2 (\Sigma_i^{1/2} \Sigma_j \Sigma_i^{1/2})^{1/2}\right), \qquad
        \Sigma_i = W S_i W^T

    with plans T between the weights of the Gaussians: c, their 2-Wasserstein distance, is the ground cost, and its
    square with `squared=True` (then :math:`\sqrt{D}` is :math:`MW_2` of Delon and Desolneux). One Gaussian makes it
    `Gaussian()`, Gaussians without extent make it transport between points. Canonical variates are those that Li and
    Lin define for mixtures: an entry of T adds what `Gaussian()` takes of a pair.

    Expectation maximization decides which share of each cell belongs to which Gaussian, with diagonal covariances,
    which 50 cells of 50 features can carry, from k-means with the seed of the call. (It is scggml's own, as that of
    scikit-learn takes no weights: a cell counts as its weight in both steps.) Means (d,) and whole covariances (d, d)
    are then those of these shares of cells, so that the mixture has exactly the mean and the covariance of its sample.
    It is found among the features and projected afterwards. `tl.ggml` writes it into `.uns["ggml_mixture"]`.

    Parameters
    ----------
    n
        Gaussians of each sample; of fewer cells, as many as there are. `"bic"` takes the number with the smallest
        Bayesian information criterion, sample by sample: n from 1 to `max_n`, until two more have not lowered it.
    shared
        Whether all samples have the same Gaussians, fitted to the cells of all of them (each sample counts equally), so
        that samples differ in their weights alone, the mean shares of their cells: as `Groups`, with soft groups that
        have extent. All cells are in memory then. Labels have no part in it; `tl.cross_validate` and `tl.tune` fit it
        to the training samples of each fold, and `tl.cross_fit` and `tl.permutation_test`, which share work between
        folds, to all samples; samples that `tl.predict` is given have Gaussians of their own.
    max_n
        Most Gaussians with `n="bic"`.
    key
        Name in `.uns` of mixtures that are there already, which are read and not fitted: a dict of arrays with a row
        for each Gaussian of any sample, `"sample"` (N,) its sample, `"weights"` (N,), of sum 1 in each sample,
        `"means"` (N, d) and `"covariances"` (N, d, d), or (N, d) variances of diagonal ones. Rows of other samples are
        ignored. d are the features that are read; `"features"` (d,) may hold their names.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=30)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, summary=sg.tl.Mixture(3), progress=False)
    >>> sg.get.metric(adata).gene_importance.idxmax()
    'signal'
    >>> adata.uns["ggml_mixture"]["means"].shape
    (27, 4)
    >>> again = sg.tl.Mixture(key="ggml_mixture")
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, summary=again, key_added="same", progress=False)

    References
    ----------
    Delon and Desolneux, *A Wasserstein-type distance in the space of Gaussian mixture models*, SIAM Journal on Imaging
    Sciences 2020; Li and Lin, *Canonical variates in Wasserstein metric space*, 2024 (arXiv 2405.15768); Schwarz,
    *Estimating the dimension of a model*, Annals of Statistics 1978.
    """

    traits: ClassVar[SummaryTraits] = SummaryTraits(
        sample="mixture of Gaussians, each of which is moved as a whole",
        atoms="gaussians",
        approximates=False,
        solvers=("exact", "sinkhorn", "sinkhorn_divergence", "unbalanced"),
        of_features=True,
    )

    n: int | Literal["bic"] = "bic"
    shared: bool = False
    max_n: int = field(default=MOST, kw_only=True)
    key: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not (isinstance(self.n, str) and self.n == "bic"):
            check_whole("Mixture: n", self.n, 1, ' Gaussian, or "bic" to choose')
        check_flag("Mixture: shared", self.shared)
        check_whole("Mixture: max_n", self.max_n, 1, f" Gaussian; the default is {MOST}")
        if self.key is None:
            return
        key: object = self.key
        if not isinstance(key, str) or not key:
            kind = f"the class {key.__name__}" if isinstance(key, type) else shown(key)
            raise TypeError(
                f"Mixture: key={kind} ({type(key).__name__}) must be the name of mixtures in adata.uns, or None."
            )
        if (self.n, self.shared, self.max_n) != ("bic", False, MOST):
            raise ValueError(
                f"Mixture: key={self.key!r} reads mixtures that are there already; n, shared and max_n say how they "
                "are fitted. Pass key alone, or leave it out."
            )

    @property
    def is_shared(self) -> bool:
        """Return whether samples share what stands for them."""
        return self.shared

    def most(self, sizes: Integers, n_features: int) -> Integers:
        """Return (P,) the most points of samples of these numbers of cells (P,)."""
        return self._most(sizes) * np.minimum(sizes, n_features + 1)

    def _most(self, sizes: Integers) -> Integers:
        return np.minimum(sizes, self.max_n if isinstance(self.n, str) else self.n)

    def is_slow(self, n_cells: int) -> bool:
        """Return whether a sample of so many cells is worth a thread."""
        return self.key is None

    def seed(self, rng: np.random.Generator) -> int:
        """Draw the seed of a sample."""
        return int(rng.integers(2**31))

    def summarize(self, points: Points, weights: Floats, draw: Any) -> tuple[Points, Floats]:
        """Return points (m, d) with the moments of the Gaussians of the cells (n, d), and their weights (m,)."""
        return self.decompose(points, weights, draw)[:2]

    def decompose(self, points: Points, weights: Floats, draw: Any) -> tuple[Points, Floats, Integers]:
        """Return these with the Gaussian (m,) of each point; a `draw` that is a mixture is taken in place of cells."""
        if isinstance(draw, Gaussians):
            return _placed(draw)
        kept = weights > 0
        x, mass = points[kept].astype(np.float64), weights[kept] / weights.sum()
        parts = self._fit(x, mass, int(draw)).responsibilities(x)
        return _blocks(x, mass, parts)

    def _fit(self, points: Floats, weights: Floats, seed: int) -> Diagonal:
        if isinstance(self.n, str):
            return choose_diagonal(points, weights, self.max_n, seed)
        return fit_diagonal(points, weights, min(self.n, len(points)), seed)

    def share(self, cells: Cohort, seed: int, training: Integers | None = None) -> Cohort:
        """Return the cohort of samples (of their cells) with Gaussians that all of them share.

        With `training` they are fitted to the cells of these samples alone.
        """
        points, counted = cells.points.astype(np.float64), cells.weights.copy()
        if training is not None:
            counted[~np.repeat(np.isin(np.arange(cells.n_samples), training), cells.sizes)] = 0.0
        counted /= counted.sum()
        own = counted > 0
        found = self._fit(points[own], counted[own], seed)
        used = counted @ found.responsibilities(points) > 0
        parts = replace(
            found, shares=found.shares[used], means=found.means[used], variances=found.variances[used]
        ).responsibilities(points)
        x, mass, atoms = _blocks(points[own], counted[own], parts[own])
        within = mass / np.bincount(atoms, mass)[atoms]
        shares = np.add.reduceat(cells.weights[:, None] * parts, cells.offsets[:-1])
        weights = (shares / shares.sum(axis=1, keepdims=True))[:, atoms] * within
        there = weights > 0
        return replace(
            cells,
            points=np.concatenate([x[row] for row in there]),
            weights=weights[there],
            offsets=np.append(0, np.cumsum(there.sum(axis=1))),
            atoms=np.concatenate([atoms[row] for row in there]),
        )


def _blocks(points: Floats, weights: Floats, parts: Floats) -> tuple[Floats, Floats, Integers]:
    """Return points with the moments of each part of the cells (n, d), their weights, and their parts."""
    found = [Gaussian().summarize(points, weights * part, 0) for part in parts.T if (weights * part).any()]
    return _joined([(np.asarray(x, dtype=np.float64), mass) for x, mass in found])


def _placed(given: Gaussians) -> tuple[Floats, Floats, Integers]:
    """Return points with the moments of the Gaussians of a mixture that have weight."""
    found = []
    for weight, mean, covariance in zip(given.weights, given.means, given.covariances, strict=True):
        values, vectors = np.linalg.eigh(covariance)
        axes = np.flatnonzero(values > ROUNDING * max(float(values[-1]), 0.0))
        m = len(axes)  # a simplex of m + 1 points has this covariance, see `Gaussian`
        roots = np.sqrt(values[axes])[:, None] * vectors[:, axes].T
        if weight > 0:
            found.append((mean + np.sqrt(m + 1) * helmert(m + 1).T @ roots, np.full(m + 1, weight / (m + 1))))
    return _joined(found)


def _joined(found: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats, Integers]:
    points, weights = (np.concatenate(side) for side in zip(*found, strict=True))
    return points, weights, np.repeat(np.arange(len(found)), [len(mass) for _, mass in found])


def mixtures_of(cohort: Cohort) -> tuple[Integers, Gaussians]:
    """Return (N,) the sample of each Gaussian of a cohort of mixtures, and all of these as one."""
    atoms = atoms_of(cohort)
    # Gaussians that samples share are equal to the last bit, by which they are known to be shared when they are read.
    means, covariances = (values[atoms.first] for values in moments(atoms.cohort))
    owner = np.repeat(np.arange(cohort.n_samples), np.diff(atoms.begins))
    return owner, Gaussians(atoms.mass, means, covariances)
