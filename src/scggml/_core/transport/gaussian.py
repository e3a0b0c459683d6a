"""One Gaussian for each sample."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import helmert

from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.transport.summary import Summarizer, SummaryTraits


def moments(cohort: Cohort) -> tuple[Floats, Floats]:
    """Return the means (P, d) and covariances (P, d, d) of the samples."""
    spans = cohort.spans(np.arange(cohort.n_samples))
    means = np.stack([cohort.weights[own] @ cohort.points[own] for own in spans])
    rows = cohort.points - np.repeat(means, cohort.sizes, axis=0)
    return means, np.stack([rows[own].T @ (cohort.weights[own, None] * rows[own]) for own in spans])


@dataclass(frozen=True)
class Gaussian(Summarizer):
    r"""The Gaussian with the mean and the covariance of the cells of each sample, compared in closed form.

    .. math:: D_{pq}^2 = \|W (m_p - m_q)\|^2 + \operatorname{tr}\left(\Sigma_p + \Sigma_q
        - 2 (\Sigma_p^{1/2} \Sigma_q \Sigma_p^{1/2})^{1/2}\right), \qquad \Sigma_p = W S_p W^T

    is the squared 2-Wasserstein distance, with the Bures distance of the projected covariances; no solver is needed,
    and it never exceeds that between the cells. It is the distance with `squared=True`. Under the unsquared ground cost
    Gaussians have no closed form: with `squared=False`, and `metric="euclidean"`, the distance is its root
    :math:`D_{pq}`, a metric (of order 2, where between cells it is of order 1).

    Of each sample the moments are kept, as min(n, d + 1) points with exactly this mean (d,) and covariance (d, d);
    `tl.distances` writes those in the learned space. Canonical variates take the second moments of x - y under the
    optimal map between the projected Gaussians,

    .. math:: (m_p - m_q)(m_p - m_q)^T + S_p + S_q - C_{pq} - C_{pq}^T

    where the covariance :math:`C_{pq}` lets what the metric does not see of a cell depend on the other sample through
    what it sees alone.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=30)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, summary=sg.tl.Gaussian(), progress=False)
    >>> sg.get.metric(adata).gene_importance.idxmax()
    'signal'

    References
    ----------
    Dowson and Landau, *The Fréchet distance between multivariate normal distributions*, Journal of Multivariate
    Analysis 1982; Peyré and Cuturi, *Computational Optimal Transport*, 2019, remark 2.31.
    """

    traits: ClassVar[SummaryTraits] = SummaryTraits(
        sample="mean and the covariance of its cells, as one Gaussian",
        atoms="gaussian",
        approximates=False,
        solvers=("exact",),
    )

    def most(self, sizes: Integers, n_features: int) -> Integers:
        """Return (P,) the most points of samples of these numbers of cells (P,)."""
        return np.minimum(sizes, n_features + 1)

    def summarize(self, points: Points, weights: Floats, draw: int | Integers) -> tuple[Points, Floats]:
        """Return at most d + 1 points (m, d) with mean and covariance of the cells (n, d), and their weights (m,)."""
        kept = weights > 0
        points, weights = points[kept].astype(np.float64), weights[kept]
        n, d = points.shape
        if n <= d + 1:  # they are few enough themselves
            return points, weights
        mean = weights @ points / weights.sum()
        rows = np.sqrt(weights / weights.sum())[:, None] * (points - mean)
        values, vectors = np.linalg.eigh(rows.T @ rows)
        roots = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
        # Columns of a Helmert matrix are orthonormal and of sum 0: a simplex of d + 1 points with these moments.
        simplex = mean + np.sqrt(d + 1) * helmert(d + 1).T @ roots
        return simplex, np.full(d + 1, weights.sum() / (d + 1))
