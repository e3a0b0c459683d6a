"""Which methods an evaluation compares, by name or as objects."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scggml._core.learned import LearnedMetric
from scggml._core.methods import RIVALS, ByDistance, Clouds, Method, rival
from scggml._core.training import LabelKind
from scggml._core.transport import GROUND_COSTS
from scggml._preprocess import Preprocess
from scggml._read import choices
from scggml.tl._ggml import ggml

__all__ = ["LearnedMetric", "Preprocess", "as_method", "as_methods"]

LEARNED = ("ggml", "canonical")
NAMES = (*LEARNED, *GROUND_COSTS, *RIVALS)

Methods = Sequence[str] | Mapping[str, Any]


def as_methods(
    methods: Methods | None, base: ByDistance, *, kind: LabelKind, composition: bool, batch: bool
) -> dict[str, Method]:
    """Methods by name; the default ones are those that the labels and columns at hand allow."""
    if methods is None:
        plain = kind == "classes" and not batch
        learned = LEARNED if plain else ("canonical",)
        rivals = ("euclidean", "cosine", "pseudobulk", *(("composition",) if composition else ()), "majority")
        methods = (*learned, *rivals)
    if isinstance(methods, str):
        methods = (methods,)
    named = dict(methods) if isinstance(methods, Mapping) else {str(name): name for name in methods}
    if not named:
        raise ValueError(f"methods is empty; choose from {choices(NAMES)}.")
    found = {str(name): as_method(method, base) for name, method in named.items()}
    if not composition and any(method == rival("composition", base) for method in found.values()):
        raise ValueError("The method 'composition' needs cell types; pass cell_type_key, or leave it out.")
    return found


def as_method(method: Any, base: ByDistance) -> Method:
    """One method: a name, a LearnedMetric, or an estimator with the manners of scikit-learn."""
    if isinstance(method, LearnedMetric):
        return replace(base, learner=method)
    if isinstance(method, str):
        if method == "ggml":
            return replace(base, learner=default_metric())
        if method == "canonical":
            return replace(base, learner=LearnedMetric())
        if method in NAMES:
            return rival(method, base)  # type: ignore[arg-type]
        raise ValueError(f"method {method!r} is not known; choose from {choices(NAMES)}, or pass an object.")
    if isinstance(method, type) or not (hasattr(method, "fit") and hasattr(method, "predict")):
        raise TypeError(
            f"A method is a {type(method).__name__}; pass a name of {choices(NAMES)}, a LearnedMetric(...), or an "
            "estimator with fit(clouds, y) and predict_proba(clouds)."
        )
    return Clouds(method)


def default_metric() -> LearnedMetric:
    """What `tl.ggml` does if nothing is said, out of its signature."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(ggml).parameters.items()}
    fields = inspect.signature(LearnedMetric).parameters
    return LearnedMetric(**{name: value for name, value in defaults.items() if name in fields})
