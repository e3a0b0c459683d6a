"""Which methods an evaluation compares, by name or as objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scggml._anndata.preprocess import Preprocess
from scggml._anndata.read import choices
from scggml._core.evaluate.methods import RIVALS, ByDistance, Clouds, FixedMetric, Learner, Method, Profiles, rival
from scggml._core.evaluate.methods import Blend as BlendOfLearners
from scggml._core.learn.learner import LearnedMetric
from scggml._core.transport.plans import GROUND_COSTS

__all__ = ["Blend", "LearnedMetric", "Preprocess", "as_method", "as_methods"]

LEARNED = ("ggml", "canonical")
NAMES = (*LEARNED, "blend", *GROUND_COSTS, *RIVALS)

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
        Names of fixed or learned metrics, or `LearnedMetric(...)` objects.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> methods = {"blend": sg.tl.Blend(["euclidean", "canonical"])}
    >>> options = {"n_splits": 3, "n_repeats": 1, "n_jobs": 1, "progress": False}
    >>> sg.tl.cross_validate(adata, "sample_id", "label", methods=methods, **options)
    >>> float(sg.get.cross_validation(adata).summary.loc["blend", "balanced_accuracy"])
    1.0

    References
    ----------
    Kittler et al., *On combining classifiers*, IEEE PAMI 1998.
    """

    metrics: Sequence[str | LearnedMetric] = ("euclidean", "cosine", "canonical")

    def __post_init__(self) -> None:
        for metric in self.metrics:
            as_learner(metric)

    def learners(self) -> tuple[Learner, ...]:
        """The parts as objects that learn."""
        return tuple(as_learner(metric) for metric in self.metrics)


def as_learner(metric: str | LearnedMetric) -> Learner:
    """What learns the metric of that name."""
    if isinstance(metric, LearnedMetric):
        return metric
    if metric == "ggml":
        return LearnedMetric()
    if metric == "canonical":
        return LearnedMetric(shrinkage=0.0)
    if metric in GROUND_COSTS:
        return FixedMetric(metric)
    raise ValueError(
        f"metric {metric!r} is not known; choose from {choices((*LEARNED, *GROUND_COSTS))}, or pass a LearnedMetric."
    )


def as_methods(methods: Methods | None, base: ByDistance, *, composition: bool) -> dict[str, Method]:
    """Methods by name; by default composition is one of them where there are cell types."""
    if methods is None:
        rivals = ("euclidean", "cosine", "pseudobulk", *(("composition",) if composition else ()), "majority")
        methods = (*LEARNED, *rivals)
    if isinstance(methods, str):
        methods = (methods,)
    named = dict(methods) if isinstance(methods, Mapping) else {str(name): name for name in methods}
    if not named:
        raise ValueError(f"methods is empty; choose from {choices(NAMES)}.")
    found = {str(name): as_method(method, base) for name, method in named.items()}
    if not composition and Profiles("composition") in found.values():
        raise ValueError("The method 'composition' needs cell types; pass cell_type_key, or leave it out.")
    return found


def as_method(method: Any, base: ByDistance) -> Method:
    """One method: a name, a LearnedMetric, or an estimator with the manners of scikit-learn."""
    if isinstance(method, Blend):
        return replace(base, learner=BlendOfLearners(method.learners()))
    if isinstance(method, LearnedMetric):
        return replace(base, learner=method)
    if isinstance(method, str):
        if method == "blend":
            return as_method(Blend(), base)
        if method in RIVALS:
            return rival(method)
        if method in NAMES:
            return replace(base, learner=as_learner(method))
        raise ValueError(f"method {method!r} is not known; choose from {choices(NAMES)}, or pass an object.")
    if isinstance(method, type) or not (hasattr(method, "fit") and hasattr(method, "predict")):
        raise TypeError(
            f"A method is a {type(method).__name__}; pass a name of {choices(NAMES)}, a LearnedMetric(...), a "
            "Blend(...), or an estimator with fit(clouds, y) and predict_proba(clouds)."
        )
    return Clouds(method)
