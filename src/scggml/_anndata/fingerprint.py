"""A text that changes with anything that a metric computes with."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from scggml._anndata.reading import Reading
from scggml._core.cohort import Floats, Names
from scggml._core.learn.covariates import Adjustment
from scggml._core.learn.learner import Learner
from scggml._core.params import plain


def fingerprint(
    components: Floats,
    singular_values: Floats,
    features: Names,
    *,
    learner: Learner,
    settled: Learner,
    reading: Reading,
    adjustment: Adjustment | None = None,
) -> str:
    """Return a text that changes with anything that a metric computes with."""
    found = hashlib.sha256()
    parts: list[Any] = [components, singular_values, list(features)]
    parts += [learner.to_params(), settled.to_params(), reading.to_params()]
    for part in parts + ([] if adjustment is None else [adjustment.slopes, adjustment.center]):
        found.update(_as_bytes(part))
    return found.hexdigest()[:16]


def _as_bytes(value: Any) -> bytes:
    """Return the content of nested options, whatever file they come from."""
    if isinstance(value, Mapping):
        return b"{" + b",".join(name.encode() + b":" + _as_bytes(value[name]) for name in sorted(value)) + b"}"
    if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.number):
        return str(value.shape).encode() + np.ascontiguousarray(value, dtype="<f8").tobytes()
    if isinstance(value, np.ndarray | list | tuple):
        return repr([str(part) for part in value]).encode()
    return repr(plain(value)).encode()
