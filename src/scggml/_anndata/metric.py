"""The door back in: what `.uns` holds about a learned metric."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData

from scggml._anndata.keys import Keys
from scggml._anndata.read import Features, choices, read_features
from scggml._core.cohort import Floats, Names


@dataclass(frozen=True)
class Stored:
    """A metric as `tl.ggml` stored it; `params` holds the arguments that were not None."""

    key: str
    components: Floats
    singular_values: Floats
    features: Names
    params: Mapping[str, Any]

    @property
    def squared(self) -> bool:
        """Whether the ground cost is the squared distance."""
        return bool(self.params["squared"])

    def param(self, name: str) -> str | None:
        """A text argument of `tl.ggml`, None if it was not given."""
        value = self.params.get(name)
        return None if value is None else str(value)


def read_stored(adata: AnnData, key: str) -> Stored:
    """Read a learned metric; a missing one is answered with those that are there."""
    entry = adata.uns.get(Keys(key).metric)
    if not is_metric(entry):
        raise KeyError(
            f"No learned metric in adata.uns[{key!r}]; stored metrics: {choices(stored_keys(adata))}. "
            f"Learn one with sg.tl.ggml(adata, sample_key, label_key, key_added={key!r})."
        )
    return Stored(
        key=key,
        components=np.asarray(entry["components"], dtype=np.float64),
        singular_values=np.asarray(entry["singular_values"], dtype=np.float64),
        features=np.array([str(name) for name in entry["features"]]),
        params=entry["params"],
    )


def is_metric(entry: Any) -> bool:
    """Whether an entry of `.uns` was written by `tl.ggml`."""
    return isinstance(entry, Mapping) and {"components", "singular_values", "features", "params"} <= entry.keys()


def stored_keys(adata: AnnData) -> list[str]:
    """Keys of the metrics that an AnnData holds."""
    return [key for key, entry in adata.uns.items() if is_metric(entry)]


def stored_features(adata: AnnData, stored: Stored) -> Features:
    """The features of `adata` in the order of a stored metric; the missing ones are named."""
    use_rep, layer = stored.param("use_rep"), stored.param("layer")
    found = read_features(adata, use_rep=use_rep, layer=layer, mask_var=None)
    if np.array_equal(found.names, stored.features):
        return found
    return pick(found, stored.features, f"features that the metric {stored.key!r} was learned on")


def pick(found: Features, names: Names, what: str) -> Features:
    """Features of the given names, in that order; missing or ambiguous ones are named."""
    position = {str(name): i for i, name in enumerate(found.names)}
    missing = [name for name in names if name not in position]
    if missing:
        raise ValueError(
            f"{found.slot} lacks {len(missing)} of the {len(names)} {what}: {choices(missing)}. Add them, or learn the "
            "metric on the features that both data sets share."
        )
    if len(position) < len(found.names):
        values, counts = np.unique(found.names, return_counts=True)
        twice = np.intersect1d(values[counts > 1], names)
        if len(twice):
            raise ValueError(
                f"adata.var_names has several features named {choices(twice)}, so it is open which of them the metric "
                "means; call adata.var_names_make_unique() or leave the others out."
            )
    columns = np.array([position[name] for name in names], dtype=np.int64)
    return Features(found.matrix, found.slot, names, columns, found.cells)
