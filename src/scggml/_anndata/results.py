"""The door back for evaluation: tables and arrays in `.uns`, as files can hold them."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData, ImplicitModificationWarning

from scggml._anndata.read import choices


def write_entry(adata: AnnData, key: str, entry: Mapping[str, Any]) -> None:
    """Write one result into `.uns`; arguments that were None leave no trace."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        adata.uns[key] = dict(entry)


def read_entry(adata: AnnData, key: str, *, kind: str, made_by: str) -> Mapping[str, Any]:
    """Read a result of a kind; a missing one is answered with those that are there."""
    entry = adata.uns.get(key)
    if not (isinstance(entry, Mapping) and entry.get("kind") == kind):
        found = [name for name, other in adata.uns.items() if isinstance(other, Mapping) and other.get("kind") == kind]
        raise KeyError(
            f"adata.uns[{key!r}] holds no {kind.replace('_', ' ')}; stored ones: {choices(found)}. Make one with "
            f"sg.tl.{made_by}(adata, sample_key, label_key, key_added={key!r})."
        )
    return entry


def params(**arguments: Any) -> dict[str, Any]:
    """Arguments as plain values: None is left out, names become an array, all else that is no number becomes text."""
    out: dict[str, Any] = {}
    for name, value in arguments.items():
        if value is None:
            continue
        if isinstance(value, list | tuple):
            out[name] = np.array([str(part) for part in value], dtype=object)
        else:
            out[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return out


def table(columns: Mapping[str, Any], *, names: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table whose columns `names` are categories in the order of first appearance."""
    out = pd.DataFrame(dict(columns))
    for name in names:
        values = out[name].astype(str)
        out[name] = pd.Categorical(values, categories=list(dict.fromkeys(values)))
    return out
