"""Entropic transport less that of each sample to itself."""

from dataclasses import dataclass
from typing import ClassVar, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.transport.blurred import Blurred
from scggml._core.transport.dense import Terms
from scggml._core.transport.entropic import Entropic
from scggml._core.transport.plans import GroundCost, Plans, Transport
from scggml._core.transport.solver import LAWS, Traits


@dataclass(frozen=True, kw_only=True)
class SinkhornDivergence(Entropic):
    r"""Sinkhorn divergence: entropic transport without its bias, so that a sample is at distance 0 from itself.

    .. math:: S(a, b) = \mathrm{OT}_\varepsilon(a, b) - \tfrac12 \mathrm{OT}_\varepsilon(a, a)
        - \tfrac12 \mathrm{OT}_\varepsilon(b, b)

    with the objective of `Sinkhorn`, entropy included. It is not negative for the Euclidean cost and its square, and 0
    for equal samples alone. Between the exact distance (epsilon towards 0) and the energy distance (towards infinity)
    it suffers less from the number of cells than the former. Value and gradient include the terms of the samples
    themselves.

    It has no plan of its own: canonical variates and transport patterns take that of the first term, rounded to the
    marginals of the samples; `tl.plan` and `tl.attribute`, where the costs of a plan have to add up to the distance,
    refuse it.

    Parameters
    ----------
    epsilon, tol, max_iter, device, cache_size, unit
        As in `Sinkhorn`.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=1, n_samples=2, n_cells=10)
    >>> samples = sg.tl.distances(
    ...     adata, metric="euclidean", sample_key="sample_id", solver="sinkhorn_divergence", progress=False
    ... )
    >>> bool((samples.obsp["euclidean_distances"] >= 0).all())
    True

    References
    ----------
    Genevay, Peyré and Cuturi, *Learning generative models with Sinkhorn divergences*, AISTATS 2018; Feydy et al.,
    *Interpolating between optimal transport and MMD using Sinkhorn divergences*, AISTATS 2019.
    """

    traits: ClassVar[Traits] = Traits(
        value="objective with its entropy, less half of those of each sample to itself",
        gradient="the distance",
        coupling="cross",
        laws=frozenset(LAWS)
        - {
            "depends_on_two_samples_only",
            "of_one_cell_the_cost_itself",
            "triangle",
            "optimal_assignment",
            "not_below_exact",
        },
    )

    def terms(self, cost: GroundCost | None) -> Terms:
        """Return the weights of the objective, in units of the typical cost."""
        return Terms(self.epsilon)

    def solve(self, a: ArrayLike, b: ArrayLike, cost: ArrayLike) -> NoReturn:
        """Refuse: costs between two samples say nothing of those within either."""
        raise TypeError(
            "SinkhornDivergence needs the cells of both samples, and a matrix of costs does not tell those within "
            "either; call tl.distances, or Sinkhorn().solve(a, b, cost) for the first term."
        )

    def measured(self, cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost) -> tuple[Floats, Floats]:
        """Return (n_pairs,) distances and errors of the marginals."""
        transport = Debiased(self, cohort, n_jobs=1, cache_size=0.0)
        return transport.compute(points, pairs, cost), transport.errors

    def transport(self, cohort: Cohort, *, n_jobs: int | None = None) -> Transport:
        """Return transport within a cohort, on `n_jobs` threads."""
        return Debiased(self, cohort, n_jobs=n_jobs, cache_size=self.cache_size)


class Debiased(Blurred):
    """Transport within one cohort by Sinkhorn divergences: each sample is a pair with itself, too."""

    def compute(self, points: Points, pairs: Integers, cost: GroundCost) -> Floats:
        """Solve different pairs, and the samples that they are made of."""
        samples, place = np.unique(pairs, return_inverse=True)
        self._own = place.reshape(pairs.shape)
        # In the same way as pairs of two samples, so that whatever is left of the error is the same for equal samples.
        both = np.concatenate([pairs, np.stack([samples, samples], axis=1)])
        self._compute(points, both, cost, self._unit_of(points, pairs, cost))
        n = len(pairs)
        self._between, own = self.regularized[:n], self.regularized[n:]
        late = np.maximum(self.errors[:n], self.errors[n:][self._own].max(axis=1, initial=0.0))
        values: Floats = np.maximum(self._between - own[self._own].mean(axis=1), 0.0)
        self.errors, self.regularized, self.values = late, values, values
        return values

    def gradient(self, slopes: Floats) -> Floats:
        """Return the gradient by the cells, dL/dpoints (n_cells, k), of the divergences times the slopes (n_pairs,)."""
        own = -0.5 * np.bincount(self._own.ravel(), np.repeat(slopes, 2), int(self._own.max(initial=-1)) + 1)
        return super().gradient(np.concatenate([slopes, own]))

    def plans(self, part: slice = slice(None)) -> Plans:
        """Return sparse plans between the samples of the last `solve`, with their divergences as values."""
        positions = np.arange(len(self.values))[part]
        found = super().plans(slice(int(positions[0]), int(positions[-1]) + 1) if len(positions) else slice(0, 0))
        return Plans(found.pairs, self.values[positions], found.source, found.target, found.mass, found.owner)
