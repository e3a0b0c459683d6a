"""Learning: from a cohort and a start to a metric, with a record of how it went."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar
from tqdm.auto import tqdm

from scggml._core.checks import check_number, check_whole
from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.learn.adam import Adam
from scggml._core.learn.batches import stratified_batches
from scggml._core.learn.canonical import Canonical, InitialName, initial_components, is_canonical
from scggml._core.learn.loss import triplet_hinge
from scggml._core.learn.objective import Evaluation, Objective, Problem, typical_distance
from scggml._core.learn.penalty import penalize
from scggml._core.metric import canonical_form

StopReason = Literal["converged", "closed form", "max_iter", "no active triplet"]

PATIENCE = 5
"""Passes without progress after which the learning rate is halved."""

SCALES = (0.0, np.log(10.0))
"""Logarithms of the scales among which the best one of the start is looked for; a start is never made smaller, since
one that does not tell classes apart yet would be shrunk to nothing by the penalty."""

HALVINGS = 5
"""Halvings after which standing still means convergence."""


@dataclass(frozen=True)
class Schedule:
    """How the optimizer runs.

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
        Samples per step; None for all of them.
    """

    lr: float
    max_iter: int
    tol: float
    batch_size: int | None = None

    def __post_init__(self) -> None:
        check_number("lr", self.lr, "a positive number; the default is 0.1", 0, open_low=True)
        check_whole("max_iter", self.max_iter, 0, "; 0 keeps the start as the metric")
        check_number("tol", self.tol, "a share in [0, 1); 0 switches the stopping rule off", 0, 1, open_low=False)
        if self.batch_size is not None:
            check_whole("batch_size", self.batch_size, 2, " samples, or None for all of them")


@dataclass(frozen=True)
class Fit:
    """A learned metric in canonical form.

    Parameters
    ----------
    components, singular_values
        (k, d) and (k,).
    margin, reg
        Margin and penalty weight in the units of `components`.
    loss, gradient_norm, active
        One entry per pass, taken before its step: objective, norm of its gradient, share of active triplets (means
        over the mini-batches of the pass, if there are any). Without a pass there is the entry of the start.
    stop
        Why learning ended.
    refined
        How many of the last passes were over all cells, after learning on a summary of them.
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

    @property
    def converged(self) -> bool:
        """Whether the stopping rule or a closed form, not the limit of passes, ended learning."""
        return self.stop != "max_iter"


def fit(
    cohort: Cohort,
    init: InitialName | Canonical | Floats,
    objective: Objective,
    schedule: Schedule,
    *,
    n_comps: int,
    scale_free: bool,
    rng: np.random.Generator,
    progress: bool = False,
) -> Fit:
    """Minimize the objective from a start.

    With `scale_free`, `objective.margin` counts in median between-class distances at the start, `objective.reg` in
    units of that margin at the start, and `schedule.lr` in root mean squares of the start, which is first brought to
    the scale that serves the objective best. Rescaling the data then changes nothing but the units of W.
    """
    problem = Problem(objective, cohort)
    in_batches = schedule.batch_size is not None and schedule.batch_size < cohort.n_samples
    some = np.sort(stratified_batches(cohort.labels, schedule.batch_size, rng)[0]) if in_batches else None
    transport = None if in_batches else problem.transport
    W = initial_components(
        init,
        cohort,
        n_comps,
        solver=objective.solver,
        rng=rng,
        n_jobs=objective.n_jobs,
        transport=transport,
        progress=progress,
    )
    unit = 1.0
    if scale_free:
        W, objective = _rescale(W, problem, some, objective)
        unit = float(np.sqrt(np.mean(W**2)))
    W, records, stop = _minimize(
        problem, W / unit, unit, objective=objective, schedule=schedule, rng=rng, progress=progress
    )
    if schedule.max_iter == 0 and is_canonical(init):
        stop = "closed form"
    components, singular_values = canonical_form(W * unit)
    loss, gradient_norm, active = np.array(records, dtype=np.float64).T
    return Fit(components, singular_values, objective.margin, objective.reg, loss, gradient_norm, active, stop)


def refine(
    result: Fit,
    cohort: Cohort,
    objective: Objective,
    schedule: Schedule,
    *,
    passes: int,
    scale_free: bool,
    rng: np.random.Generator,
    progress: bool = False,
) -> Fit:
    """Go on from a metric with small steps on a cohort with all cells; the best by its objective there is kept.

    With `scale_free`, `schedule.lr` counts in root mean squares of the metric, else in units of W, as in `fit`.
    """
    objective = replace(objective, margin=result.margin, reg=result.reg)
    unit = float(np.sqrt(np.mean(result.components**2)) or 1.0) if scale_free else 1.0
    small = replace(schedule, lr=schedule.lr / 8, max_iter=passes + 1, tol=max(schedule.tol, np.finfo(float).tiny))
    W, records, _ = _minimize(
        Problem(objective, cohort),
        result.components / unit,
        unit,
        objective=objective,
        schedule=small,
        rng=rng,
        progress=progress,
    )
    components, singular_values = canonical_form(W * unit)
    loss, gradient_norm, active = np.array(records, dtype=np.float64).T
    return replace(
        result,
        components=components,
        singular_values=singular_values,
        loss=np.append(result.loss, loss),
        gradient_norm=np.append(result.gradient_norm, gradient_norm),
        active=np.append(result.active, active),
        refined=len(records),
    )


def _rescale(W: Floats, problem: Problem, samples: Integers | None, objective: Objective) -> tuple[Floats, Objective]:
    """Put margin and penalty into units of the typical between-class distance at the start, and scale the start best.

    Distances scale with W (with its square if `squared`), so the best scale of the start needs no further transport.
    """
    D = problem.distances(W, samples)
    labels = problem.cohort.labels if samples is None else problem.cohort.labels[samples]
    typical = typical_distance(D, labels)
    if typical <= 0:
        raise ValueError(
            "At the start of learning the median distance between samples of different classes is 0, so a scale-free "
            "margin has no unit. Pass another init, or margin as a number."
        )
    power = 2 if objective.squared else 1
    W, D = W / typical ** (1 / power), D / typical
    norm = penalize(W, objective.penalty)[0]
    objective = replace(objective, reg=float(objective.reg) * objective.margin / norm)

    def scaled(log_scale: float) -> float:
        scale = np.exp(log_scale)
        hinge = triplet_hinge(D * scale**power, labels, objective.margin, objective.anchors)
        return hinge.value + objective.reg * scale * norm

    best = minimize_scalar(scaled, bounds=SCALES, method="bounded", options={"xatol": 1e-3})
    return W * np.exp(best.x), objective


def _minimize(
    problem: Problem,
    V: Floats,
    unit: float,
    *,
    objective: Objective,
    schedule: Schedule,
    rng: np.random.Generator,
    progress: bool,
) -> tuple[Floats, list[tuple[float, float, float]], StopReason]:
    """Run Adam on V = W / unit; halve its step when the objective stands still, stop when that helps no more."""
    labels = problem.cohort.labels
    adam = Adam(schedule.lr)
    records: list[tuple[float, float, float]] = []
    best, best_V = np.inf, V
    mark, waited, halvings = np.inf, 0, 0
    with tqdm(
        total=schedule.max_iter,
        desc="learning",
        unit="pass",
        disable=not progress or schedule.max_iter == 0,
        leave=False,
    ) as bar:
        for _ in range(max(schedule.max_iter, 1)):
            before, steps = V, list[Evaluation]()
            for batch in stratified_batches(labels, schedule.batch_size, rng):
                steps.append(problem.evaluate(objective, V * unit, None if len(batch) == len(labels) else batch))
                if schedule.max_iter > 0:
                    V = adam.update(V, steps[-1].gradient * unit)
            value = float(np.mean([step.value for step in steps]))
            norm = float(np.mean([np.linalg.norm(step.gradient) for step in steps]))
            active = float(np.mean([step.active for step in steps]))
            records.append((value, norm, active))
            bar.update()
            bar.set_postfix(loss=f"{value:.4g}", active=f"{active:.0%}")
            if schedule.tol == 0 or schedule.max_iter == 0:
                continue
            if norm == 0:
                return before, records, "no active triplet"
            if value < best:
                best, best_V = value, before
            if not np.isfinite(mark) or value < mark - schedule.tol * abs(mark):
                mark, waited = value, 0
                continue
            waited += 1
            if waited == PATIENCE:
                if halvings == HALVINGS:
                    return best_V, records, "converged"
                # A step too large overshoots: smaller ones start again from the best metric.
                V, adam, waited, halvings = best_V, Adam(adam.lr / 2), 0, halvings + 1
    return (V if schedule.tol == 0 else best_V), records, "max_iter"
