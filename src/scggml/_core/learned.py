"""A metric that is learned anew from each set of training samples."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scggml._core.checks import check_number, check_whole
from scggml._core.cohort import Cohort, Floats
from scggml._core.fit import Schedule, fit
from scggml._core.initial import Canonical, InitialName, initial_components
from scggml._core.loss import Anchors
from scggml._core.methods import GroundMetric
from scggml._core.objective import Objective
from scggml._core.penalty import PenaltyName
from scggml._core.products import project
from scggml._core.training import Samples, Target, labelled
from scggml._core.transport import Exact
from scggml._core.variates import signal_weights


@dataclass(frozen=True, eq=False, kw_only=True)
class LearnedMetric:
    r"""How a metric is learned from training samples: the options of `tl.ggml` as one object.

    With `max_iter=0` the start is the metric. From a canonical start this takes no gradient step, and it is the only
    way for ordered labels, numbers and batches, whose pairs of samples are weighted there.

    Parameters
    ----------
    n_comps, margin, penalty, reg, squared, anchors, init, lr, max_iter, tol, batch_size
        As in `tl.ggml`.
    shrinkage
        s in [0, 1], the share of the Euclidean metric in the mean squared distance between cells:
        :math:`\theta = (1 - s)\, W^T W / v_W + s\, I / v_I`, where v is the total variance of the cells under each. 0
        takes the metric as it was learned.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> methods = {"3 components": sg.tl.LearnedMetric(n_comps=3), "1 component": sg.tl.LearnedMetric(n_comps=1)}
    >>> sg.tl.cross_validate(
    ...     adata, "sample_id", "label", methods=methods, n_splits=3, n_repeats=1, n_jobs=1, progress=False
    ... )
    >>> list(sg.get.cross_validation(adata).summary.index)
    ['3 components', '1 component']

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258); Li and
    Lin, *Canonical variates in Wasserstein metric space*, 2024 (arXiv 2405.15768).
    """

    n_comps: int = 5
    margin: float | Literal["auto"] = "auto"
    penalty: PenaltyName = "fro"
    reg: float = 0.1
    squared: bool = False
    anchors: Anchors = "all"
    init: InitialName | Canonical | NDArray[np.float64] = "canonical"
    lr: float = 0.1
    max_iter: int = 0
    tol: float = 1e-3
    batch_size: int | None = 128
    shrinkage: float = 0.0

    def __post_init__(self) -> None:
        check_whole("n_comps", self.n_comps, 1)
        check_number("shrinkage", self.shrinkage, "a share between 0 and 1", 0, 1 + 1e-12, open_low=False)
        if isinstance(self.init, str) and self.init not in get_args(InitialName):
            raise ValueError(
                f"init={self.init!r} is not known; choose from {get_args(InitialName)}, a Canonical(...) or an array."
            )
        self.objective()
        self.schedule()

    def objective(self) -> Objective:
        """The objective on one thread, since folds run in parallel."""
        return Objective(
            margin=1.0 if self.margin == "auto" else self.margin,
            penalty=self.penalty,
            reg=self.reg,
            squared=self.squared,
            anchors=self.anchors,
            solver=Exact(),
            n_jobs=1,
        )

    def schedule(self) -> Schedule:
        """The schedule of the optimizer."""
        return Schedule(lr=self.lr, max_iter=self.max_iter, tol=self.tol, batch_size=self.batch_size)

    def learn(self, training: Samples, target: Target, *, rng: np.random.Generator) -> GroundMetric:
        """Learn from the training samples alone."""
        cohort = labelled(training, target)
        weighted = target.kind != "classes" or training.batch is not None
        if weighted and (self.max_iter > 0 or not self._is_canonical):
            raise ValueError(
                "Ordered labels, numbers and batch_key weigh the pairs of samples in the canonical start; pass "
                "max_iter=0 and a canonical init."
            )
        if weighted:
            W = self._weighted(cohort, training, target)
        elif self.max_iter == 0:
            W = initial_components(self.init, cohort, self.n_comps, solver=Exact(), rng=rng, n_jobs=1)
        else:
            W = fit(
                cohort,
                self.init,
                self.objective(),
                self.schedule(),
                n_comps=self.n_comps,
                scale_free=self.margin == "auto",
                rng=rng,
            ).components
        return GroundMetric(shrink(W, self.shrinkage, training.cohort), "sqeuclidean" if self.squared else "euclidean")

    @property
    def _is_canonical(self) -> bool:
        return isinstance(self.init, Canonical) or (isinstance(self.init, str) and self.init == "canonical")

    def _weighted(self, cohort: Cohort, training: Samples, target: Target) -> Floats:
        weighted = signal_weights(cohort, target, training.batch)
        options = self.init if isinstance(self.init, Canonical) else Canonical()
        return options.components(cohort, self.n_comps, solver=Exact(), n_jobs=1, weighted=weighted)


def shrink(W: Floats, share: float, cohort: Cohort) -> Floats:
    """(k + d, d) components that mix W (k, d) and the Euclidean metric by their shares of the variance of the cells.

    Variance, not the trace of theta: with many features that only mislead, a share of the trace would be nearly all of
    the distance.
    """
    learned, plain = total_variance(cohort, W), total_variance(cohort, np.eye(W.shape[1]))
    if share == 0 or learned <= 0:
        return W
    return np.vstack([np.sqrt((1 - share) / learned) * W, np.sqrt(share / plain) * np.eye(W.shape[1])])


def total_variance(cohort: Cohort, W: Floats) -> float:
    """Summed variance of the embedded cells, samples counting equally."""
    weights = cohort.weights / cohort.n_samples
    Z = project(cohort.points, W)
    return float(weights @ ((Z - weights @ Z) ** 2).sum(axis=1))
