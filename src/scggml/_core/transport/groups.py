"""Shared supports: each sample is how much of it belongs to each group of cells."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from scggml._arguments import shown
from scggml._core.checks import check_flag
from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.transport.summary import Summarizer, SummaryTraits, centers_of


@dataclass(frozen=True)
class Groups(Summarizer):
    r"""Groups of cells as the points of all samples: cell types or clusters, with the share of each in a sample.

    .. math:: \alpha_p = \sum_g a_{pg}\, \delta_{c_g}, \qquad
        c_g = \frac{\sum_p \sum_{i \in g} a_{pi}\, x_i}{\sum_p a_{pg}}

    with the weights :math:`a_{pi}` of the cells of sample p (of sum 1), and their sums :math:`a_{pg}` over groups. All
    samples share the centroids :math:`c_g`, in which each of them counts equally, so they differ in composition alone:
    the setting of Cuturi and Avis, and of PILOT. Groups that a sample lacks are no points of it.

    Centroids are means over the samples that are read together; labels have no part in them. `tl.cross_validate` and
    `tl.tune` take those of the training samples of each fold; `tl.cross_fit` and `tl.permutation_test`, which
    share work between folds, those of all samples; samples that `tl.predict` is given have centroids of their own.

    Parameters
    ----------
    key
        Column of `.obs` with the group of each cell.
    shared
        Whether all samples have the same centroids. If not, a sample has the mean of its own cells of each group: up
        to as many points, which also show how the state of a group changes.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=30)
    >>> summary = sg.tl.Groups("mode", shared=False)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, summary=summary, progress=False)
    >>> sg.get.metric(adata).gene_importance.idxmax()
    'signal'

    References
    ----------
    Cuturi and Avis, *Ground metric learning*, JMLR 2014; Joodaki et al., *Detection of patient-level distances from
    single cell genomics and pathomics data with optimal transport (PILOT)*, Molecular Systems Biology 2024.
    """

    traits: ClassVar[SummaryTraits] = SummaryTraits(
        sample="share of each group of cells, at the centroids of the groups",
        atoms="points",
        approximates=False,
        solvers=("exact", "sinkhorn", "sinkhorn_divergence", "unbalanced"),
    )

    key: str = "cell_type"
    shared: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not self.key:
            kind = f"the class {self.key.__name__}" if isinstance(self.key, type) else shown(self.key)
            raise TypeError(
                f"Groups: key={kind} ({type(self.key).__name__}) must be the name of a column of adata.obs with the "
                "group of each cell."
            )
        check_flag("Groups: shared", self.shared)

    @property
    def is_shared(self) -> bool:
        """Return whether samples share what stands for them."""
        return self.shared

    def most(self, sizes: Integers, n_features: int) -> Integers:
        """Return (P,) the most points of samples of these numbers of cells: each may be a group of its own."""
        return sizes

    def summarize(self, points: Points, weights: Floats, draw: int | Integers) -> tuple[Points, Floats]:
        """Return the means (m, d) of the cells (n, d) of each group (n,), `draw`, that has weight, and the weights."""
        return centers_of(points, weights, np.asarray(draw))

    def share(self, cohort: Cohort, groups: Integers, training: Integers | None = None) -> Cohort:
        """Return the cohort of means of groups (n_points,) with centroids that all samples share, if they do.

        With `training` those of these samples; a group that none of them has is taken from the others.
        """
        if not self.shared:
            return cohort
        counted = cohort.weights.copy()
        if training is not None:
            rows = np.repeat(np.isin(np.arange(cohort.n_samples), training), cohort.sizes)
            known = np.bincount(groups, counted * rows, int(groups.max()) + 1) > 0
            counted[~rows & known[groups]] = 0.0
        centroids, mass = centers_of(cohort.points, counted, groups)
        place = np.full(int(groups.max()) + 1, -1, dtype=np.int64)
        place[np.bincount(groups, counted) > 0] = np.arange(len(mass))
        return replace(cohort, points=centroids[place[groups]])


def present(groups: Integers, weights: Floats) -> Integers:
    """Return the groups of a sample that have weight, in the order in which `Groups.summarize` returns them."""
    return np.flatnonzero(np.bincount(groups, weights)).astype(np.int64)
