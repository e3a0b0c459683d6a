"""Metrics written by hand, as `.uns` holds them."""

from typing import Any

import numpy as np

from scggml._anndata.metric import fingerprint
from scggml._anndata.reading import Reading
from scggml._core.learn.covariates import Adjustment
from scggml._core.learn.learner import Learner


def metric_entry(
    components: Any, features: Any, *, singular_values: Any = None, learner: Learner | None = None, **reading: Any
) -> dict[str, Any]:
    """A metric that nothing learned, of cells that were read as `reading` says."""
    components = np.asarray(components, dtype=np.float64)
    names = np.array([str(name) for name in features], dtype=object)
    if singular_values is None:
        singular_values = np.linalg.norm(components, axis=1)
    entry = {
        "components": components,
        "singular_values": np.asarray(singular_values, dtype=np.float64),
        "features": names,
        "learner": (learner or Learner()).to_params(),
        "settled": (learner or Learner()).to_params(),
        "reading": Reading(**({"sample_key": "sample_id", "label_key": "label"} | reading)).to_params(),
    }
    return entry | {"fingerprint": mark(entry)}


def mark(entry: dict[str, Any]) -> str:
    """The fingerprint that belongs to the entries of a metric."""
    return fingerprint(
        np.asarray(entry["components"]),
        np.asarray(entry["singular_values"]),
        np.array([str(name) for name in entry["features"]]),
        learner=Learner.from_params(entry["learner"]),
        settled=Learner.from_params(entry["settled"]),
        reading=Reading.from_params(entry["reading"], "reading"),
        adjustment=None if "adjustment" not in entry else Adjustment(**entry["adjustment"]),
    )
