"""The triplet objective, minimized by gradient steps from a start."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from tqdm.auto import tqdm

from scggml._core.checks import check_flag, check_number, check_whole, is_auto, is_real
from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.folds import strata_of
from scggml._core.learn.adam import Adam
from scggml._core.learn.batches import stratified_batches
from scggml._core.learn.canonical import Canonical, canonical_metric
from scggml._core.learn.loss import Anchors, draw_triplets
from scggml._core.learn.objective import Evaluation, Objective, Problem, typical_distance
from scggml._core.learn.pair_weights import check_batches, some_pairs, weigh_pairs
from scggml._core.learn.penalty import PenaltyName, penalize
from scggml._core.learn.scatter import Start
from scggml._core.learn.spectrum import orthonormal, principal_axes
from scggml._core.metric import canonical_form
from scggml._core.samples import Target, class_target
from scggml._core.transport.plans import Transport
from scggml._core.transport.solver import Solver

InitialName = Literal["canonical", "orthonormal", "pca"]
StopReason = Literal["converged", "closed form", "max_iter", "no active triplet"]

PATIENCE = 5
"""Passes without progress after which the learning rate is halved."""

SCALES = (0.0, np.log(10.0))
"""Logarithms of the scales among which the best one of the start is looked for; a start is never made smaller, since
one that does not tell classes apart yet would be shrunk to nothing by the penalty."""

HALVINGS = 5
"""Halvings after which standing still means convergence."""


# No generated comparison: `init` may be an array, and == of arrays is not a truth value.
@dataclass(frozen=True, kw_only=True, eq=False)
class Triplets:
    r"""The triplet objective, minimized by gradient steps.

    .. math::
        L(W) = \operatorname{mean}_{ijk}\,\max(0, D_{ij}(W) - D_{jk}(W) + \alpha) + r\,\|W\|

    over triplets of samples with labels :math:`c(i) = c(j) \ne c(k)`, where :math:`D_{ij}(W)` is the optimal transport
    distance between the cells of two samples. For ordered labels and numbers a triplet is one in which i is nearer to j
    in label than k is, and counts by how much nearer. With batches k is of the batch of j.

    Parameters
    ----------
    margin
        :math:`\alpha`. With `"auto"` it is the median distance between samples of different labels at the start, and
        all is scale-free: learned distances are in units of the margin, the penalty is `reg` margins at the start,
        `lr` counts in root mean squares of the entries of the start, and the start has the scale (1 to 10 times the
        unit) that serves L best. A number makes all three absolute, as in the paper.
    penalty
        Norm of W: `"fro"` Frobenius, `"l1"` sparse loadings, `"l21"` switches whole features off, `"nuc"` low rank.
    reg
        r, weight of the penalty.
    anchors
        `"all"` includes triplets with i = j (as the paper's code does), `"distinct"` does not.
    n_triplets
        Draw this many triplets for each anchor j and each other class, once; None takes all triplets.
    init
        Start: `"canonical"` variates (with options: `Canonical(...)`), `"pca"`, random `"orthonormal"` rows, or an
        array (k, d).
    lr
        Step of Adam (see `margin` for its unit).
    max_iter
        Most passes over the cohort.
    tol
        L stands still when five passes have not lowered it by more than this share; then the step is halved. Standing
        still after the fifth halving is convergence, and the best W is kept. With 0 exactly `max_iter` plain steps are
        taken and the last W is kept.
    batch_size
        Samples per step. A larger cohort is learned in mini-batches with classes in proportion; None always takes all
        samples in one step. With `n_triplets` it counts triplets.
    refine
        Passes over all cells after learning on a summary; the best metric by its objective on all cells is kept.
    keep_history
        Keep W of each pass, the one that the objective of the pass is of: (n_passes, k, d) in
        `.uns["ggml"]["history"]["components"]`, as the steps went, before shrinkage and the turn to canonical form.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", method=sg.tl.Triplets(penalty="l21"), n_comps=2, progress=False)
    >>> str(adata.uns["ggml"]["stop"])
    'converged'
    >>> sg.tl.Triplets.paper().margin
    10.0

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258).
    """

    margin: float | Literal["auto"] = "auto"
    penalty: PenaltyName = "fro"
    reg: float = 0.1
    anchors: Anchors = "all"
    n_triplets: int | None = None
    init: InitialName | Canonical | NDArray[np.float64] = "canonical"
    lr: float = 0.1
    max_iter: int = 300
    tol: float = 1e-3
    batch_size: int | None = 128
    refine: int = 0
    keep_history: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.init, np.ndarray):
            if np.ma.isMaskedArray(self.init):
                raise ValueError("Triplets: init is a masked array; pass an array (n_comps, n_features) without gaps.")
            if self.init.ndim != 2 or not is_real(self.init.dtype) or not np.isfinite(self.init).all():
                raise ValueError(
                    f"Triplets: init is an array of shape {self.init.shape} and dtype {self.init.dtype}; finite "
                    "numbers of shape (n_comps, n_features) are needed."
                )
            if not self.init.any():
                raise ValueError("Triplets: init is 0 throughout; gradient steps cannot leave such a start.")
        elif not (
            isinstance(self.init, Canonical) or (isinstance(self.init, str) and self.init in get_args(InitialName))
        ):
            raise ValueError(
                f"Triplets: init={self.init!r} is not known; choose from {get_args(InitialName)}, a Canonical(...) or "
                "an array (n_comps, n_features)."
            )
        if self.n_triplets is not None:
            check_whole("Triplets: n_triplets", self.n_triplets, 1, " for each anchor and class, or None for all")
        check_whole("Triplets: max_iter", self.max_iter, 1, ' pass; method="canonical" takes none')
        check_whole("Triplets: refine", self.refine, 0, " passes over all cells")
        check_flag("Triplets: keep_history", self.keep_history)
        # The options that these two take are checked where they are used; making both reports a bad one right away.
        self.objective()
        self.schedule()

    @classmethod
    def paper(cls) -> "Triplets":
        """Return the published recipe: random start, margin 10, 5 random triplets per anchor and class, 30 epochs.

        An epoch takes all of its triplets once, 128 in each step.
        """
        # tol=0 for exactly 30 epochs of plain steps: the published method neither stops early nor lowers its step.
        return cls(
            margin=10.0, reg=0.1, n_triplets=5, init="orthonormal", lr=0.01, max_iter=30, tol=0.0, batch_size=128
        )

    @classmethod
    def ggml_ot(cls) -> "Triplets":
        """Return the recipe of the package ggml-ot 0.9.94: random start, margin 1, all triplets, 30 full steps."""
        return cls(margin=1.0, reg=0.001, init="orthonormal", lr=0.1, max_iter=30, tol=0.0, batch_size=None)

    @property
    def scale_free(self) -> bool:
        """Return whether margin, penalty and step are in units of the start."""
        return is_auto(self.margin)

    @property
    def canonical(self) -> Canonical | None:
        """Return the canonical variates that steps start from, if they do."""
        if isinstance(self.init, Canonical):
            return self.init
        return Canonical() if isinstance(self.init, str) and self.init == "canonical" else None

    def objective(self, *, squared: bool = False, solver: Solver | None = None, n_jobs: int | None = 1) -> Objective:
        """Return the objective in the units of its margin."""
        given = {} if solver is None else {"solver": solver}
        # With "auto" distances are divided by the typical one at the start before any step, so that 1 is the margin.
        return Objective(
            margin=1.0 if isinstance(self.margin, str) and self.margin == "auto" else self.margin,
            penalty=self.penalty,
            reg=self.reg,
            squared=squared,
            anchors=self.anchors,
            n_jobs=n_jobs,
            **given,
        )

    def schedule(self) -> "Schedule":
        """Return the schedule of the optimizer."""
        return Schedule(
            lr=self.lr,
            max_iter=self.max_iter,
            tol=self.tol,
            batch_size=self.batch_size,
            keep_path=self.keep_history,
        )


@dataclass(frozen=True)
class Schedule:
    """Options of the optimizer.

    Parameters
    ----------
    lr
        Step of Adam. Relative to the root mean square of the entries of the start if the margin is `"auto"`, else in
        units of W.
    max_iter
        Most passes over the cohort. 0 keeps the start.
    tol
        Progress is a fall of the objective by more than this share. 0 switches the stopping rule off: `max_iter` steps
        of plain Adam are taken.
    batch_size
        Samples per step, or triplets where these are listed; None for all of them.
    keep_path
        Keep W at the start of each pass.
    """

    lr: float
    max_iter: int
    tol: float
    batch_size: int | None = None
    keep_path: bool = False

    def __post_init__(self) -> None:
        check_number("lr", self.lr, "a positive number; the default is 0.1", 0, open_low=True)
        check_whole("max_iter", self.max_iter, 0, "; 0 keeps the start as the metric")
        check_number("tol", self.tol, "a share in [0, 1); 0 switches the stopping rule off", 0, 1, open_low=False)
        # Two samples of different classes: no triplet has fewer.
        if self.batch_size is not None:
            check_whole("batch_size", self.batch_size, 2, " samples, or None for all of them")


@dataclass(frozen=True)
class Descent:
    """A metric found by gradient steps, in canonical form.

    Parameters
    ----------
    components, singular_values
        (k, d) and (k,).
    margin, reg
        Margin and weight of the penalty, in units of W.
    loss, gradient_norm, active
        (n_passes,) objective, norm of its gradient and share of active triplets.
    stop
        Why learning ended.
    refined
        How many of the last passes were over all cells.
    listed
        (n_triplets, 3) triplets that were drawn, if any.
    path
        (n_passes, k, d) W at the start of each pass, which `loss` is of, if it was kept.
    """

    components: Floats
    singular_values: Floats
    margin: float
    reg: float
    loss: Floats
    gradient_norm: Floats
    active: Floats
    stop: StopReason
    refined: int = 0
    listed: Integers | None = None
    path: Floats | None = None

    @property
    def converged(self) -> bool:
        """Return whether the stopping rule or a closed form, not the limit of passes, ended learning."""
        return self.stop != "max_iter"


def initial_components(
    init: InitialName | Canonical | Floats,
    cohort: Cohort,
    target: Target,
    n_comps: int,
    *,
    solver: Solver,
    rng: np.random.Generator,
    batch: Integers | None = None,
    n_jobs: int | None = None,
    transport: Transport | None = None,
    start: Start | None = None,
    progress: bool = False,
) -> Floats:
    """Return (k, d) components that steps start from; canonical variates need a ridge that is decided."""
    if isinstance(init, np.ndarray):
        return init.astype(np.float64)
    if init == "orthonormal":
        return orthonormal(n_comps, cohort.n_features, rng)
    if init == "pca":
        return principal_axes(cohort, n_comps)
    options = Canonical() if isinstance(init, str) else init
    # Where nothing was decided inside the training donors, the start takes the usual setting (`choice.SETTINGS[0]`).
    options = replace(
        options,
        ridge=0.05 if options.ridge == "auto" else options.ridge,
        ridge_scale="mean" if options.ridge_scale == "auto" else options.ridge_scale,
    )
    # The generator is used only where there are more pairs than `max_pairs`.
    pairs = some_pairs(strata_of(target), options.max_pairs, rng)
    # The start sees pairs as the objective does: different labels within a batch only.
    weights = weigh_pairs(target, batch=batch, pairs=pairs)
    return canonical_metric(
        options,
        cohort,
        weights,
        n_comps,
        solver=solver,
        n_jobs=n_jobs,
        transport=transport,
        start=start,
        progress=progress,
    ).components


def fit(
    cohort: Cohort,
    init: InitialName | Canonical | Floats,
    objective: Objective,
    schedule: Schedule,
    *,
    n_comps: int,
    scale_free: bool,
    rng: np.random.Generator,
    target: Target | None = None,
    batch: Integers | None = None,
    n_triplets: int | None = None,
    start: Start | None = None,
    progress: bool = False,
) -> Descent:
    """Minimize the objective from a start.

    With `scale_free`, `objective.margin` counts in median between-class distances at the start, `objective.reg` in
    units of that margin at the start, and `schedule.lr` in root mean squares of the start, which is first brought to
    the scale that serves the objective best. Rescaling the data then changes nothing but the units of W.
    """
    target = class_target(cohort) if target is None else target
    # One generator serves, in this order, the list of triplets, the batch that sets the scale, the start, and the
    # batches of each pass. Another order would change what a seed means.
    # Triplets are drawn once, not in each pass: the objective stays the same function, and can be seen to stand still.
    listed = None if n_triplets is None else draw_triplets(target.codes, n_triplets, objective.anchors, rng, batch)
    problem = problem_of(objective, cohort, target, batch=batch, listed=listed)
    # Distances between all samples of a large cohort cost more than a step; the unit of the margin is a median, which
    # one batch with the classes in proportion estimates. (Listed triplets compare few pairs anyway.)
    in_batches = listed is None and schedule.batch_size is not None and schedule.batch_size < cohort.n_samples
    some = np.sort(stratified_batches(strata_of(target), schedule.batch_size, rng)[0]) if in_batches else None
    # The trees of the start are where the first step goes on: they stay feasible under any ground cost.
    transport = None if in_batches else problem.transport
    W = initial_components(
        init,
        cohort,
        target,
        n_comps,
        solver=objective.solver,
        rng=rng,
        batch=batch,
        n_jobs=objective.n_jobs,
        transport=transport,
        start=start,
        progress=progress,
    )
    unit = 1.0
    if scale_free:
        W, objective = _rescale(W, problem, some, objective, target)
        # Adam moves each entry by about lr, whatever the size of the gradient. In units of the root mean square of the
        # start, lr is a share of an entry, and no longer depends on the units of the data.
        unit = float(np.sqrt(np.mean(W**2)))
    W, records, stop, path = _minimize(
        problem,
        W / unit,
        unit,
        objective=objective,
        schedule=schedule,
        strata=strata_of(target),
        rng=rng,
        progress=progress,
    )
    # W and Q W with orthogonal Q are the same metric; one of them is reported.
    components, singular_values = canonical_form(W * unit)
    loss, gradient_norm, active = np.array(records, dtype=np.float64).T
    return Descent(
        components,
        singular_values,
        objective.margin,
        objective.reg,
        loss,
        gradient_norm,
        active,
        stop,
        listed=listed,
        path=np.stack(path) if path else None,
    )


def problem_of(
    objective: Objective, cohort: Cohort, target: Target, *, batch: Integers | None, listed: Integers | None
) -> Problem:
    """Return the problem that labels, batches and a list of triplets pose."""
    if batch is not None:
        check_batches(target, batch)
    return Problem(
        objective, cohort, values=target.values if target.kind != "classes" else None, batch=batch, listed=listed
    )


def refine(
    result: Descent,
    cohort: Cohort,
    objective: Objective,
    schedule: Schedule,
    *,
    passes: int,
    scale_free: bool,
    rng: np.random.Generator,
    target: Target | None = None,
    batch: Integers | None = None,
    progress: bool = False,
) -> Descent:
    """Go on from a metric with small steps on a cohort with all cells; the best by its objective there is kept.

    With `scale_free`, `schedule.lr` counts in root mean squares of the metric, else in units of W, as in `fit`.
    """
    target = class_target(cohort) if target is None else target
    # Margin and penalty keep the values found on the summary. A new median would make it another objective.
    objective = replace(objective, margin=result.margin, reg=result.reg)
    # Steps are measured by the metric as it is now; one that is 0 throughout has no size.
    unit = float(np.sqrt(np.mean(result.components**2)) or 1.0) if scale_free else 1.0
    # The start is close to a minimum, so steps are small. A pass records the objective before its steps, so one more
    # pass evaluates what the last step led to. With tol=0 the last W would be kept instead of the best.
    small = replace(schedule, lr=schedule.lr / 8, max_iter=passes + 1, tol=max(schedule.tol, np.finfo(float).tiny))
    # A new problem: trees and bounds of the summary belong to other points.
    W, records, _, path = _minimize(
        problem_of(objective, cohort, target, batch=batch, listed=result.listed),
        result.components / unit,
        unit,
        objective=objective,
        schedule=small,
        strata=strata_of(target),
        rng=rng,
        progress=progress,
    )
    components, singular_values = canonical_form(W * unit)
    loss, gradient_norm, active = np.array(records, dtype=np.float64).T
    return replace(
        result,
        components=components,
        singular_values=singular_values,
        # One history for both phases; `refined` says where the second one begins.
        loss=np.append(result.loss, loss),
        gradient_norm=np.append(result.gradient_norm, gradient_norm),
        active=np.append(result.active, active),
        refined=len(records),
        path=np.stack([*result.path, *path]) if result.path is not None else None,
    )


def _rescale(
    W: Floats, problem: Problem, samples: Integers | None, objective: Objective, target: Target
) -> tuple[Floats, Objective]:
    """Put margin and penalty into units of the typical between-class distance at the start, and scale the start best.

    Distances scale with W (with its square if `squared`), so the best scale of the start needs no further transport.
    """
    # The only transport needed here. The trees stay with the problem, and the first step goes on from them.
    D = problem.distances(W, samples)
    members = np.arange(problem.cohort.n_samples) if samples is None else samples
    batch = None if problem.batch is None else problem.batch[members]
    # The unit comes from the pairs that triplets compare: different labels within a batch.
    if problem.listed is None:
        typical = typical_distance(D, target.values[members], batch)
    else:
        _, anchors, others = problem.listed.T
        typical = float(np.median(D[anchors, others])) if len(anchors) else float("nan")
    if np.isnan(typical):
        raise ValueError(
            f"The first {len(members)} samples (batch_size) that were drawn hold no two of one batch (batch_key) with "
            "different labels, so a scale-free margin has no unit. Pass batch_size=None, or margin as a number."
        )
    if not typical > 0:
        raise ValueError(
            "At the start of learning the median distance between samples of different classes is 0, so a scale-free "
            "margin has no unit. Pass another init, or margin as a number."
        )
    # From here on the typical distance is 1, and so is the margin; reg counts in margins, by the norm at the start.
    power = 2 if objective.squared else 1
    W, D = W / typical ** (1 / power), D / typical
    norm = penalize(W, objective.penalty)[0]
    objective = replace(objective, reg=float(objective.reg) * objective.margin / norm)

    # A factor of W is a factor of all distances: the hinge of known distances is all that a trial costs, O(P^2 log P).
    def scaled(log_scale: float) -> float:
        scale = np.exp(log_scale)
        hinge = problem.hinge(D * scale**power, objective, members)
        return hinge.value + objective.reg * scale * norm

    # On a logarithmic axis, where a tenth more is the same step at any scale. To 0.1 %: the steps that follow move W by
    # far more.
    best = minimize_scalar(scaled, bounds=SCALES, method="bounded", options={"xatol": 1e-3})
    return W * np.exp(best.x), objective


def _parts(
    problem: Problem, strata: Integers, batch_size: int | None, rng: np.random.Generator
) -> list[tuple[Integers | None, Integers | None]]:
    """Return samples and triplets of each step of a pass; None for all of them."""
    listed = problem.listed
    if listed is not None:
        # A listed triplet is drawn once, so a pass takes each one once, whichever samples it compares.
        if batch_size is None or batch_size >= len(listed):
            return [(None, None)]
        order = rng.permutation(len(listed))
        return [(None, listed[order[start : start + batch_size]]) for start in range(0, len(order), batch_size)]
    # None instead of all positions: only then pairs in no active triplet are left out.
    batches = stratified_batches(strata, batch_size, rng)
    return [(None if len(batch) == len(strata) else batch, None) for batch in batches]


def _minimize(
    problem: Problem,
    V: Floats,
    unit: float,
    *,
    objective: Objective,
    schedule: Schedule,
    strata: Integers,
    rng: np.random.Generator,
    progress: bool,
) -> tuple[Floats, list[tuple[float, float, float]], StopReason, list[Floats]]:
    """Run Adam on V = W / unit; halve its step when the objective stands still, stop when that helps no more.

    Returns V, what was recorded of each pass, why it ended, and W of each pass if the schedule keeps it.
    """
    # `best` is the lowest objective so far. `mark` is the one that progress is measured from: it moves only when the
    # fall is larger than tol, so that several small falls add up to progress, while endless tiny ones do not.
    adam = Adam(schedule.lr)
    records: list[tuple[float, float, float]] = []
    path: list[Floats] = []
    best, best_V = np.inf, V
    mark, waited, halvings = np.inf, 0, 0
    with tqdm(
        total=schedule.max_iter,
        desc="learning",
        unit="pass",
        disable=not progress or schedule.max_iter == 0,
        leave=False,
    ) as bar:
        # Without steps the start is still evaluated once: the history is never empty.
        for _ in range(max(schedule.max_iter, 1)):
            before, steps = V, list[Evaluation]()
            for some, triplets in _parts(problem, strata, schedule.batch_size, rng):
                steps.append(problem.evaluate(objective, V * unit, some, triplets))
                if schedule.max_iter > 0:
                    # Chain rule: dL/dV = unit * dL/dW.
                    V = adam.update(V, steps[-1].gradient * unit)
            # All of this belongs to `before`, not to V after the steps. (In batches V moves within the pass, so the
            # value is approximate, and so is the comparison with the best one.)
            value = float(np.mean([step.value for step in steps]))
            norm = float(np.mean([np.linalg.norm(step.gradient) for step in steps]))
            active = float(np.mean([step.active for step in steps]))
            records.append((value, norm, active))
            if schedule.keep_path:
                path.append(before * unit)
            bar.update()
            bar.set_postfix(loss=f"{value:.4g}", active=f"{active:.0%}")
            # Plain Adam for a given number of steps, as in the paper: no state below this line matters then.
            if schedule.tol == 0 or schedule.max_iter == 0:
                continue
            # Neither hinge nor penalty pulls at `before`. V is not the same, as the momentum of Adam has moved it on.
            if norm == 0:
                return before, records, "no active triplet", path
            if value < best:
                best, best_V = value, before
            if not np.isfinite(mark) or value < mark - schedule.tol * abs(mark):
                mark, waited = value, 0
                continue
            # Adam is no descent method: a single pass that does not lower the objective means little.
            waited += 1
            if waited == PATIENCE:
                if halvings == HALVINGS:
                    return best_V, records, "converged", path
                # A step too large overshoots: smaller ones start again from the best metric.
                # The moments of Adam are forgotten with it: they are those of the path that overshot.
                V, adam, waited, halvings = best_V, Adam(adam.lr / 2), 0, halvings + 1
    # Plain steps end where they end, as in the paper. Otherwise the last pass may be worse than an earlier one.
    return (V if schedule.tol == 0 else best_V), records, "max_iter", path
