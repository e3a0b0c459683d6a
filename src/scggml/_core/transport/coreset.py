"""Fewer, weighted points that stand for the cells of a sample."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from scggml._core.checks import check_choice, check_whole
from scggml._core.cohort import Floats, Integers, Points
from scggml._core.threads import ignored, one_blas_thread, one_thread
from scggml._core.transport import lloyd
from scggml._core.transport.devices import Device, place_of
from scggml._core.transport.gaussian import Gaussian
from scggml._core.transport.groups import Groups
from scggml._core.transport.mixture import Mixture
from scggml._core.transport.summary import Summarizer, SummaryTraits, centers_of

MANY = 1000
"""Cells of the median sample from which on `"auto"` takes coresets."""

POINTS = ((20, 400), (200, 200), (np.inf, 100))
"""Points of these coresets in cohorts of up to so many samples: the more pairs there are, the fewer."""

WIDE, CELLS, FEW = 500, 4000, 50
"""With more features than the first number and more cells in all than the second `"auto"` takes coresets of the third:
work grows with cells times the square of features there."""


@dataclass(frozen=True)
class Coreset(Summarizer):
    """Weighted k-means of the cells of each sample: its centers stand for the sample, with the mass of their cells.

    By the triangle inequality a distance between two samples changes by no more than what it takes to move the cells to
    their centers; in practice by a few percent, where as many random cells would be wrong by tens. Samples with fewer
    cells keep them all.

    Parameters
    ----------
    n_points
        Most points per sample.
    max_iter
        Passes of Lloyd's algorithm.
    device
        `"cpu"` for scikit-learn; `"cuda"`, `"mps"` or `"auto"` (CUDA where there is a GPU) for torch, with the same
        first centers. Worth it for many cells with many features.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=30)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, summary=sg.tl.Coreset(20), progress=False)
    >>> sg.get.metric(adata).gene_importance.idxmax()
    'signal'

    References
    ----------
    Lloyd, *Least squares quantization in PCM*, IEEE Transactions on Information Theory 1982; Pollard, *Quantization and
    the method of k-means*, ibid., for the centers as the best points in the sense of optimal transport.
    """

    traits: ClassVar[SummaryTraits] = SummaryTraits(
        sample="few weighted points, the centers of its cells",
        atoms="points",
        approximates=True,
        solvers=("exact", "sinkhorn", "sinkhorn_divergence", "unbalanced"),
    )

    n_points: int = 200
    max_iter: int = 10
    device: Device = "cpu"

    def __post_init__(self) -> None:
        check_whole("Coreset: n_points", self.n_points, 1, " point; 100 to 200 are usual")
        check_whole("Coreset: max_iter", self.max_iter, 1, " pass; the default is 10")
        check_choice("Coreset: device", self.device, get_args(Device))

    def most(self, sizes: Integers, n_features: int) -> Integers:
        """Return (P,) the most points of samples of these numbers of cells (P,)."""
        return np.minimum(sizes, self.n_points)

    def is_slow(self, n_cells: int) -> bool:
        """Return whether there is anything to do: without k-means there is less of it than threads cost."""
        return n_cells > self.n_points

    def seed(self, rng: np.random.Generator) -> int:
        """Draw the seed of a sample, even of one that keeps all cells: it must not change what others draw."""
        return int(rng.integers(2**31))

    def summarize(self, points: Points, weights: Floats, draw: Any) -> tuple[Points, Floats]:
        """Return at most `n_points` centers (m, d) of the cells (n, d), and their weights (m,) with the same sum.

        `draw` is what `seed` has drawn from a generator, or the generator.
        """
        seed = draw if isinstance(draw, int) else self.seed(draw)
        kept = weights > 0  # the others could not be drawn as centers
        if not kept.all():
            points, weights = points[kept], weights[kept]
        owner = self._owners(points, weights, seed)
        return (points, weights) if owner is None else centers_of(points, weights, owner)

    def owners(self, points: Points, weights: Floats, rng: np.random.Generator) -> Integers:
        """Return (n,) which center each cell belongs to; cells without weight belong to none (-1)."""
        seed = self.seed(rng)
        kept = weights > 0
        owner = self._owners(points[kept], weights[kept], seed)
        out = np.full(len(points), -1, dtype=np.int64)
        out[kept] = np.arange(int(kept.sum())) if owner is None else owner
        return out

    def _owners(self, points: Points, weights: Floats, seed: int) -> Integers | None:
        """Return (n,) the center of each cell; None if each cell may stand for itself."""
        if len(points) <= self.n_points:
            return None
        if self.device != "cpu":
            place = place_of(self.device)
            if place.device != "cpu":
                return lloyd.owners(place, points, weights, self.n_points, max_iter=self.max_iter, seed=seed)
        means = KMeans(self.n_points, init="random", n_init=1, max_iter=self.max_iter, random_state=seed)
        # threads would wait for each other longer than they work
        with ignored(ConvergenceWarning), one_thread("openmp"), one_blas_thread():  # fewer different cells than centers
            found: Integers = means.fit(points, sample_weight=weights * len(points)).labels_.astype(np.int64)
        return found


Summary = Coreset | Groups | Gaussian | Mixture | Literal["auto"] | None

CHOICES = 'pass "auto", None (all cells) or a Coreset(n_points), a Groups(key), a Gaussian(), a Mixture(n).'


def as_summary(summary: Summary, sizes: np.ndarray, n_features: int) -> Coreset | Groups | Gaussian | Mixture | None:
    """Return the summary for samples of these sizes; with `"auto"` coresets where there are many cells."""
    if isinstance(summary, str):
        if summary != "auto":
            raise ValueError(f"summary={summary!r} is not known; {CHOICES}")
        if n_features > WIDE and sizes.sum() > CELLS:
            return Coreset(FEW)
        if np.median(sizes) < MANY:
            return None
        return Coreset(next(points for most, points in POINTS if len(sizes) <= most))
    given: object = summary
    if given is not None and not isinstance(given, Coreset | Groups | Gaussian | Mixture):
        kind = "type" if isinstance(given, type) else type(given).__name__
        raise TypeError(f"summary is a {kind}; {CHOICES}")
    return summary
