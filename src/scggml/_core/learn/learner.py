"""A metric that is learned anew from each set of training samples."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scggml._core.checks import check_whole
from scggml._core.cohort import Cohort, Floats
from scggml._core.learn.canonical import Canonical, InitialName, initial_components, is_canonical
from scggml._core.learn.loss import Anchors
from scggml._core.learn.objective import Objective
from scggml._core.learn.pair_weights import signal_weights
from scggml._core.learn.penalty import PenaltyName
from scggml._core.learn.shrinkage import Shrinkage, as_share, shrink
from scggml._core.learn.triplets import Schedule, fit
from scggml._core.samples import Samples, Target, labelled
from scggml._core.transport.exact import Exact
from scggml._core.transport.ground import GroundMetric
from scggml._core.transport.plans import GroundCost
from scggml._core.transport.solver import Solver

EXACT = Exact()


@dataclass(frozen=True, eq=False, kw_only=True)
class LearnedMetric:
    r"""How a metric is learned from training samples: the options of `tl.ggml` as one object.

    With `max_iter=0` the start is the metric. From a canonical start this takes no gradient step, and it is the only
    way for ordered labels, numbers and batches, whose pairs of samples are weighted there.

    Parameters
    ----------
    n_comps, margin, penalty, reg, squared, anchors, init, lr, max_iter, tol, batch_size, shrinkage
        As in `tl.ggml`. (`shrinkage="auto"` is 0 with a `batch_key`, too: the Euclidean metric sees batches.)

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
    shrinkage: Shrinkage = "auto"

    def __post_init__(self) -> None:
        check_whole("n_comps", self.n_comps, 1)
        self._share()
        if isinstance(self.init, str) and self.init not in get_args(InitialName):
            raise ValueError(
                f"init={self.init!r} is not known; choose from {get_args(InitialName)}, a Canonical(...) or an array."
            )
        self.objective()
        self.schedule()

    @property
    def cost(self) -> GroundCost:
        """Ground cost between cells in the learned space."""
        return "sqeuclidean" if self.squared else "euclidean"

    def objective(self, solver: Solver = EXACT) -> Objective:
        """The objective on one thread, since folds run in parallel."""
        return Objective(
            margin=1.0 if self.margin == "auto" else self.margin,
            penalty=self.penalty,
            reg=self.reg,
            squared=self.squared,
            anchors=self.anchors,
            solver=solver,
            n_jobs=1,
        )

    def schedule(self) -> Schedule:
        """The schedule of the optimizer."""
        return Schedule(lr=self.lr, max_iter=self.max_iter, tol=self.tol, batch_size=self.batch_size)

    def components(self, cohort: Cohort, *, rng: np.random.Generator, solver: Solver = EXACT) -> Floats:
        """(k, d) the metric of a labelled cohort, up to scale."""
        if self.max_iter == 0:
            W = initial_components(self.init, cohort, self.n_comps, solver=solver, rng=rng, n_jobs=1)
        else:
            W = fit(
                cohort,
                self.init,
                self.objective(solver),
                self.schedule(),
                n_comps=self.n_comps,
                scale_free=self.margin == "auto",
                rng=rng,
            ).components
        return shrink(W, self._share(), cohort)

    def learn(self, training: Samples, target: Target, *, rng: np.random.Generator) -> GroundMetric:
        """Learn from the training samples alone."""
        cohort = labelled(training, target)
        if target.kind == "classes" and training.batch is None:
            return GroundMetric(self.components(cohort, rng=rng), self.cost)
        if self.max_iter > 0 or not is_canonical(self.init):
            raise ValueError(
                "Ordered labels, numbers and batch_key weigh the pairs of samples in the canonical start; pass "
                "max_iter=0 and a canonical init."
            )
        options = self.init if isinstance(self.init, Canonical) else Canonical()
        weighted = signal_weights(cohort, target, training.batch)
        W = options.components(cohort, self.n_comps, solver=EXACT, n_jobs=1, weighted=weighted)
        return GroundMetric(shrink(W, self._share(batch=training.batch is not None), cohort), self.cost)

    def _share(self, *, batch: bool = False) -> float:
        return as_share(self.shrinkage, scale_free=self.margin == "auto", batch=batch)
