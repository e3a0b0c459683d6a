"""Read evaluations as `.uns` holds them: cross-validations, tunings and tests by permutation."""

from collections.abc import Mapping
from typing import Any

from anndata import AnnData

from scggml._anndata.forms import OPTIONS, Entry, Form, check_entry
from scggml._anndata.results import read_entry

CROSS_VALIDATION: Form = {
    "scores": Entry("table", numbers=("repeat", "value"), text=("method", "metric")),
    "classes": Entry("text", ("classes",)),
    "params": OPTIONS,
    "samples": Entry("text", ("samples",)),
    "groups": Entry("whole numbers", ("samples",)),
    "predictions": Entry("table", numbers=("repeat",), text=("method", "sample", "label", "prediction")),
    "probabilities": Entry("numbers", ("predictions", "columns")),
    "distances": Entry("numbers", ("methods", "samples", "samples"), missing=True),
    "distance_methods": Entry("text", ("methods",)),
    "differences": Entry("table", numbers=("mean", "low", "high", "p_value"), text=("method", "other")),
    "features": OPTIONS,
    "by_batch": Entry("options", optional=True),
    "not_by_batch": Entry("text", optional=True),
    "choices": Entry("table", numbers=("fold", "inner_score"), text=("setting",), optional=True),
    "settings": Entry("table", text=("setting",), optional=True),
}

BY_BATCH: Form = {name: CROSS_VALIDATION[name] for name in ("scores", "predictions", "probabilities", "differences")}
"""What is told where one batch is left out at a time."""

ABOUT: Form = {"slot": Entry("text"), "seen": Entry("flags")}
"""What is told about the features."""

PERMUTATION_TEST: Form = {
    "observed": Entry("numbers"),
    "null": Entry("numbers", ("permutations",)),
    "p_value": Entry("numbers"),
    "metric": Entry("text"),
}


def read_cross_validation(adata: AnnData, key: str, *, made_by: str = "cross_validate") -> Mapping[str, Any]:
    """Return a cross-validation, or a tuning, after a check of its form."""
    entry = read_entry(adata, key, kind="cross_validation", made_by=made_by, form=CROSS_VALIDATION)
    where, again = f"adata.uns[{key!r}]", f"call sg.tl.{made_by} again."
    check_entry(entry["features"], f"{where}['features']", again, ABOUT)
    check_entry(entry["params"], f"{where}['params']", again, {"label_key": Entry("text"), "label_kind": Entry("text")})
    _check_probabilities(entry, len(entry["classes"]), where, again)
    if "by_batch" in entry:
        inner = f"{where}['by_batch']"
        check_entry(entry["by_batch"], inner, again, BY_BATCH)
        _check_probabilities(entry["by_batch"], len(entry["classes"]), inner, again)
    return entry


def _check_probabilities(entry: Mapping[str, Any], n_classes: int, where: str, again: str) -> None:
    rows, found = len(entry["predictions"]), entry["probabilities"].shape
    if found != (rows, max(1, n_classes)):
        raise ValueError(
            f"{where}['probabilities'] has shape {found} beside {rows} predictions of {n_classes} classes; {again}"
        )


def read_permutation_test(adata: AnnData, key: str) -> Mapping[str, Any]:
    """Return a test by permutation after a check of its form."""
    kind = "permutation_test"
    return read_entry(adata, key, kind=kind, made_by=kind, form=PERMUTATION_TEST)
