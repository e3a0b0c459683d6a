"""Turn names and objects into the methods that an evaluation compares."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from scggml._anndata.messages import choices
from scggml._anndata.preprocess import Preprocess
from scggml._arguments import shown
from scggml._core.checks import check_distinct, check_whole
from scggml._core.evaluate.calibrated import N_SPLITS, Calibrated
from scggml._core.evaluate.cell_labels import CELL_METRICS, LabelledCells
from scggml._core.evaluate.ensemble import Ensemble as EnsembleOfMethods
from scggml._core.evaluate.estimators import Clouds, cloned
from scggml._core.evaluate.methods import Blend as BlendOfSources
from scggml._core.evaluate.methods import (
    ByDistance,
    FixedMetric,
    Given,
    Learned,
    MetricSource,
    needs_of,
)
from scggml._core.evaluate.prediction import Method, Need
from scggml._core.evaluate.rivals import RIVALS, BySampleDistance, rival
from scggml._core.evaluate.views import Frequencies, MeanEmbedding
from scggml._core.learn.learner import Learner, MethodName
from scggml._core.learn.learner import as_method as learner_method
from scggml._core.samples import LabelKind
from scggml._core.transport.coreset import Summary
from scggml._core.transport.plans import GROUND_COSTS
from scggml._core.transport.summaries import check_combination, check_cost
from scggml._core.transport.summary import Summarizer
from scggml.tl._fixed import FIXED, AnyMetric, as_fixed

__all__ = [
    "Blend",
    "Ensemble",
    "Frequencies",
    "MeanEmbedding",
    "Preprocess",
    "as_method",
    "as_methods",
    "check_needs",
    "ensemble_of",
]

LEARNED: tuple[str, ...] = get_args(MethodName)
VIEWS: dict[str, Method] = {"frequencies": Frequencies(), "embedding": MeanEmbedding()}
"""Ways to see a sample that are methods, too."""

NAMES = (*LEARNED, "ensemble", "blend", *FIXED, *RIVALS, *VIEWS)
METRICS = (*LEARNED, *FIXED, *CELL_METRICS)

Methods = Sequence[str] | Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Blend:
    r"""The mean of the distances under several metrics, each in units of its median.

    .. math:: D_{pq} = \frac{1}{M} \sum_m D^{(m)}_{pq} \,/\, \operatorname{median}_{q'} D^{(m)}_{pq'}

    with the median over the training samples. A learned metric may overlook what a fixed one sees, and the other way
    round; their errors are different ones.

    Parameters
    ----------
    metrics
        Names of fixed or learned metrics, functions and matrices as in `tl.distances`, or `Learner(...)` objects.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> methods = {"blend": sg.tl.Blend(["canonical", sg.tl.Learner(shrinkage=0)])}
    >>> options = {"n_splits": 3, "n_repeats": 1, "n_jobs": 1, "progress": False}
    >>> sg.tl.cross_validate(adata, "sample_id", "label", methods=methods, **options)
    >>> float(sg.get.cross_validation(adata).summary.loc["blend", "balanced_accuracy"])
    1.0

    References
    ----------
    Kittler et al., *On combining classifiers*, IEEE PAMI 1998.
    """

    metrics: Sequence[AnyMetric | Learner] = ("euclidean", "cosine", "canonical")

    def __post_init__(self) -> None:
        metrics: object = self.metrics
        if isinstance(metrics, str | bytes) or not isinstance(metrics, Sequence) or not metrics:
            raise TypeError(
                f"Blend: metrics={shown(metrics)} is a {type(metrics).__name__}; pass a list of at least one name of "
                f"{choices(METRICS)} or Learner(...)."
            )
        for metric in self.metrics:
            as_source(metric)

    def sources(self) -> tuple[MetricSource, ...]:
        """Return what gives the distances of the parts."""
        return tuple(as_source(metric) for metric in self.metrics)


@dataclass(frozen=True, eq=False)
class Ensemble:
    r"""The mean of the calibrated probabilities of several views of a sample, or of the numbers that they predict.

    .. math:: p(c) = \sum_v w_v p_v(c), \qquad p_v = \operatorname{softmax}(t_v s_v), \qquad
        w_v \propto (0.03 + \max(0, 1 - \ell_v / \log C))^2

    The scores :math:`s_v` of a view are the logarithms of its votes or probabilities. Its one number
    :math:`t_v \ge 0` is the one with the least log loss on donors that it has not seen, inside the training donors: a
    view that says nothing there gives equal probabilities. It then weighs as much as it has shown there, the share of
    the log loss by chance that it takes away (:math:`\ell_v` is its own). No probability is above (n + 1/2) / (n + 1),
    n the donors of the smallest class.

    Parameters
    ----------
    views
        Names of methods of `cross_validate`, among them the `key` of the stored metric, or a dict from names of your
        own to methods: names, `Learner(...)`, `Blend(...)`, `Frequencies(...)`, `MeanEmbedding(...)`, or estimators
        with `fit(clouds, y)` and `predict_proba(clouds)`. By default the learned metric, `"pseudobulk"`,
        `"frequencies"` and `"embedding"`, with cell types also `"composition"`. Neighbors of a metric vote as the mean
        over 1, 2, 3 and 5 of them.
    n_splits
        Inner folds.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> methods = {"two views": sg.tl.Ensemble(["canonical", "pseudobulk"], n_splits=3)}
    >>> options = {"n_splits": 3, "n_repeats": 1, "n_jobs": 1, "progress": False}
    >>> sg.tl.cross_validate(adata, "sample_id", "label", methods=methods, **options)
    >>> float(sg.get.cross_validation(adata).summary.loc["two views", "balanced_accuracy"])
    1.0

    References
    ----------
    Guo et al., *On calibration of modern neural networks*, ICML 2017, for the temperature; Kittler et al., *On
    combining classifiers*, IEEE PAMI 1998, for the mean.
    """

    views: Sequence[str] | Mapping[str, Any] | None = None
    n_splits: int = N_SPLITS

    def __post_init__(self) -> None:
        check_whole("Ensemble: n_splits", self.n_splits, 2)
        given: object = self.views
        if given is None:
            return
        if isinstance(given, str | bytes) or not isinstance(given, Sequence | Mapping) or not given:
            raise TypeError(
                f"Ensemble: views={shown(given)} is a {type(given).__name__}; pass a list of names of "
                f"{choices(NAMES)}, or a dict from names of your own to methods."
            )
        check_distinct("Ensemble: views", given)
        twice = [name for name, _ in self.named() if sum(name == other for other, _ in self.named()) > 1]
        if twice:
            raise ValueError(f"Ensemble: views names {twice[0]!r} twice; it would count twice.")
        for view in self.named():
            if isinstance(view[1], Ensemble) or view[1] == "ensemble":
                raise ValueError(f"Ensemble: views has {view[0]!r}, an ensemble; pass its views instead.")
            if not isinstance(view[1], str):  # a name may be that of a stored metric, which is known later
                as_method(view[1], PLAIN, f"Ensemble: views[{view[0]!r}] is {shown(view[1])}. ")

    def named(self) -> list[tuple[str, Any]]:
        """Return the views that were named."""
        views = self.views or ()
        return list(views.items()) if isinstance(views, Mapping) else [(str(view), view) for view in views]


VOTING = ("knn", "soft_knn")
"""Classifiers whose probabilities are votes of few neighbors."""

PLAIN = ByDistance(FixedMetric("euclidean"))


def ensemble_of(
    ensemble: Ensemble,
    base: ByDistance,
    learned: tuple[str, Any],
    *,
    composition: bool,
    summary: Summary = None,
    n_repeats: int = 1,
) -> EnsembleOfMethods:
    """Return the views of an ensemble as methods, by default those around what is learned.

    These are without what looks at cells where a summary has replaced them by moments.
    """
    named = ensemble.named()
    if ensemble.views is None:
        of_cells = () if _of_moments(summary) else tuple(VIEWS)
        named = [learned, *((name, name) for name in ("pseudobulk", *of_cells))]
        named += [("composition", "composition")] if composition else []
    base = replace(base, classifier="soft_knn", among=False)
    views = tuple(
        (name, as_method(learned[1] if one == learned[0] else one, base, "Ensemble: ")) for name, one in named
    )
    return EnsembleOfMethods(views, ensemble.n_splits, n_repeats)


def as_source(metric: AnyMetric | Learner) -> MetricSource:
    """Return what gives the metric of that name."""
    if isinstance(metric, Learner):
        return Learned(metric)
    if isinstance(metric, str) and metric in LEARNED:
        return Learned(Learner(method=metric))  # type: ignore[arg-type]  # mypy does not narrow by `in`
    if isinstance(metric, str) and metric in GROUND_COSTS:
        return FixedMetric(metric)
    if isinstance(metric, str) and metric in CELL_METRICS:
        return LabelledCells(metric)
    fixed = as_fixed(metric)
    if fixed is not None and fixed.features is not None:
        raise TypeError(
            "metric is a DataFrame, and the features of an evaluation may be others in each fold; pass "
            "metric.to_numpy() in the order of the features, with preprocess=None, which takes them as they are."
        )
    if fixed is not None:
        return Given(fixed.on)
    raise ValueError(
        f"Blend: metrics has {shown(metric)}, which is not known; choose from {choices(METRICS)}, or pass a Learner."
    )


def as_methods(
    methods: Methods | None,
    base: ByDistance,
    learned: tuple[str, Any],
    *,
    composition: bool,
    summary: Summary = None,
) -> dict[str, Method]:
    """Return methods by name; by default what is learned and its rivals, composition where there are cell types.

    Those that cannot compare what a summary makes of samples raise, and are none of the default ones. `learned` is the
    name and the learner of what is evaluated; its name stands for it in `methods`, too.
    """
    if methods is None:
        fixed = ("euclidean",) if _of_moments(summary) else ("euclidean", "cosine")
        rivals = ("ensemble", *fixed, "pseudobulk", *(("composition",) if composition else ()), "majority")
        methods = {learned[0]: learned[1]} | {name: name for name in rivals}
    if isinstance(methods, str):
        methods = (methods,)
    given: object = methods
    if not isinstance(given, Collection) or isinstance(given, bytes):
        raise TypeError(
            f"methods={shown(given)} is a {type(given).__name__}; pass a list of names of {choices(NAMES)}, or a dict "
            "from names of your own to methods."
        )
    named = dict(methods) if isinstance(methods, Mapping) else {str(name): name for name in methods}
    named = {name: learned[1] if isinstance(one, str) and one == learned[0] else one for name, one in named.items()}
    if not named:
        raise ValueError(f"methods is empty ({shown(methods)}); choose from {choices(NAMES)}.")
    check_distinct("methods", named)
    named = {name: Ensemble() if isinstance(one, str) and one == "ensemble" else one for name, one in named.items()}
    found = {
        str(name): ensemble_of(one, base, learned, composition=composition, summary=summary)
        if isinstance(one, Ensemble)
        else as_method(one, base, "methods: ")
        for name, one in named.items()
    }
    for name, given in named.items():
        _check_name(str(name), given, found[str(name)], base, learned)
    for name, one in found.items():
        if not composition and "cell_types" in needs_of(one):
            raise ValueError(f"The method {name!r} needs cell types; pass cell_type_key, or leave it out.")
        _check_summary(one, summary)
    return found


def _check_name(name: str, given: Any, method: Method, base: ByDistance, learned: tuple[str, Any]) -> None:
    """Raise if the name of a known method is given to another one, for which results would be taken."""
    if name not in (*NAMES, learned[0]) or (name == learned[0] and given is learned[1]):
        return
    if isinstance(given, str) and given == name:
        return
    if isinstance(given, Learner):
        own = name not in NAMES or (name in LEARNED and type(given.recipe) is type(learner_method(name)))
    else:
        made_of_others = {"blend": Blend, "ensemble": Ensemble}
        kind = made_of_others.get(name)
        own = isinstance(given, kind) if kind else name in NAMES and method == as_method(name, base)
    if not own:
        raise ValueError(
            f"methods[{name!r}] is {shown(given)}, but {name!r} is the name of another method, for which verdicts and "
            f"plots would take it; choose a name of your own, such as 'my {name}'."
        )


def _of_moments(summary: Summary) -> bool:
    """Return whether what a summary makes of samples has a closed form, which few ground costs have."""
    return isinstance(summary, Summarizer) and summary.traits.atoms != "points"


def _check_summary(method: Method, summary: Summary) -> None:
    """Raise unless a method can compare what a summary makes of samples."""
    if isinstance(method, EnsembleOfMethods):
        for _, view in method.views:
            _check_summary(view, summary)
    if not isinstance(method, ByDistance):
        return
    check_combination(summary, method.solver)
    for source in method.source.sources if isinstance(method.source, BlendOfSources) else (method.source,):
        if isinstance(source, FixedMetric):
            check_cost(summary, source.cost)
        elif isinstance(source, Learned):
            check_combination(summary, source.learner.engine)


def calibrated(methods: Mapping[str, Method], kind: LabelKind) -> dict[str, Method]:
    """Return the methods, those with neighbors that vote for classes calibrated."""
    voting = [
        name
        for name, method in methods.items()
        if isinstance(method, ByDistance | BySampleDistance) and method.classifier in VOTING and kind != "numbers"
    ]
    return {name: Calibrated(method) if name in voting else method for name, method in methods.items()}


def wants_cells(methods: Mapping[str, Method]) -> bool:
    """Return whether any of the methods looks at all cells beside a summary of these."""
    return any(needs_of(method) & {"cells", "all_cells"} for method in methods.values())


def check_needs(
    methods: Mapping[str, Method], *, numbers: bool, summary: Summarizer | None, weights_key: str | None
) -> None:
    """Raise where a method cannot be fitted to what is known of the samples, before any cell is read.

    `numbers` says that the labels are numbers; `summary` is None where samples are their cells.
    """
    replaced = summary is not None and not summary.traits.approximates
    no_points = summary is not None and summary.traits.atoms != "points"
    lacking: dict[Need, tuple[bool, str]] = {
        "classes": (numbers, "labels that are classes, and these are numbers; leave it out"),
        "cells": (replaced, f"the cells themselves, not summary={shown(summary)}; pass summary=None"),
        "points": (no_points, f"points, which summary={shown(summary)} does not give; leave it out"),
        "equal_weights": (
            weights_key is not None,
            f"cells that count alike, not weights_key={shown(weights_key)}; leave one of the two out",
        ),
    }
    for name, method in methods.items():
        for need, (lacks, what) in lacking.items():
            if lacks and need in needs_of(method):
                raise ValueError(f"The method {name!r} needs {what}.")


def as_method(method: Any, base: ByDistance, where: str = "") -> Method:
    """Return one method: a name, a Learner, a Blend, or an estimator in the style of scikit-learn.

    `where` begins the message about one that is none.
    """
    if isinstance(method, Blend):
        return replace(base, source=BlendOfSources(method.sources()))
    if isinstance(method, Learner):
        method.engine.require()
        return replace(base, source=Learned(method), solver=method.engine)
    if isinstance(method, Frequencies | MeanEmbedding | ByDistance):
        return method
    if isinstance(method, str):
        return _by_name(method, base, where)
    has_fit = hasattr(method, "fit") or hasattr(method, "predict") or hasattr(method, "predict_proba")
    if not has_fit and as_fixed(method) is not None:
        return replace(base, source=as_source(method))
    if isinstance(method, type):
        raise TypeError(f"{where}{method.__name__} is a class; pass an object, such as {method.__name__}().")
    predicts = hasattr(method, "predict_proba") or hasattr(method, "predict")
    if not hasattr(method, "fit") or not predicts:
        lacks = ", which has no fit" if predicts else ", which has neither predict_proba nor predict"
        lacks = lacks if predicts or hasattr(method, "fit") else ""
        raise TypeError(
            f"{where}A method is a {type(method).__name__}{lacks}; pass a name of {choices(NAMES)}, "
            "a Learner(...), a Blend(...), an Ensemble(...), or an estimator with fit(clouds, y) and "
            "predict_proba(clouds) (or predict(clouds), which numbers need)."
        )
    cloned(method)  # before any cell is read
    return Clouds(method)


def _by_name(name: str, base: ByDistance, where: str) -> Method:
    """Return the method of that name."""
    if name == "blend":
        return as_method(Blend(), base)
    if name == "ensemble":
        raise ValueError(f"{where}'ensemble' is made of other methods, and can be no part of one.")
    if name in VIEWS:
        return VIEWS[name]
    if name in RIVALS:
        return rival(name, base)
    if name in NAMES:
        return replace(base, source=as_source(name))
    raise ValueError(f"{where}method {name!r} is not known; choose from {choices(NAMES)}, or pass an object.")
