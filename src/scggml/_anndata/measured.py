"""From which samples, distances and columns a result was computed, and whether these are still there."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.forms import checksum
from scggml._anndata.keys import Keys
from scggml._anndata.messages import choices, warn

MEASURED = "measured"
"""Entry of a result with the names of the samples, and checksums of their distances and columns."""


def measured(samples: AnnData, key: str, *, distances: bool = True, columns: Sequence[str] = ()) -> dict[str, Any]:
    """Return an entry that says from what a result is computed, whatever the order of the samples.

    Parameters
    ----------
    distances
        Whether it is computed from the distances `key`.
    columns
        Columns of `.obs` that it is computed from.
    """
    return {
        MEASURED: {
            "samples": np.sort(samples.obs_names.to_numpy(dtype=object).astype(str)).astype(object),
            "columns": {name: _column(samples, name) for name in columns},
        }
        | ({"distances": _distances(samples, key)} if distances else {})
    }


def check_measured(samples: AnnData, key: str, entry: Mapping[str, Any], slot: str, call: str) -> None:
    """Raise where a result is of other distances or columns than there are now; warn where samples were left out.

    What is no longer there, and what an older version did not note, is not compared.
    """
    noted = entry.get(MEASURED)
    if not isinstance(noted, Mapping):
        return
    before, now = set(map(str, np.ravel(noted["samples"]))), set(map(str, samples.obs_names))
    if now < before:
        warn(
            f"{slot} was computed from {len(before)} samples, of which {len(now)} are left; it is about all of them. "
            f"For these alone call {call}."
        )
        return
    if now != before:
        raise ValueError(
            f"{slot} was computed from other samples: {choices(sorted(now - before))} were not among them; call {call} "
            "again."
        )
    there = Keys(key).distances in samples.obsp
    if there and "distances" in noted and str(noted["distances"]) != _distances(samples, key):
        raise ValueError(
            f"{slot} was computed from other distances than samples.obsp[{Keys(key).distances!r}] has now; call {call} "
            "again."
        )
    columns = noted.get("columns", {})
    columns = dict(columns) if isinstance(columns, Mapping) else {}
    edited = [name for name in columns if name in samples.obs and str(columns[name]) != _column(samples, name)]
    if edited:
        raise ValueError(
            f"{slot} was computed before samples.obs was changed, in {choices(edited)}; call {call} again."
        )


def _order(samples: AnnData) -> np.ndarray:
    return np.argsort(samples.obs_names.to_numpy(dtype=object).astype(str), kind="stable")


def _distances(samples: AnnData, key: str) -> str:
    found = np.asarray(samples.obsp[Keys(key).distances])
    order = _order(samples)
    return checksum(found[np.ix_(order, order)].astype(np.float32))  # the precision to which some files keep them


def _column(samples: AnnData, name: str) -> str:
    values = samples.obs[name].iloc[_order(samples)]
    if pd.api.types.is_numeric_dtype(values):
        return checksum(values)  # as floats, whatever a file or a join makes of whole numbers
    return checksum(values.astype(object).where(values.notna(), None).astype(str).to_numpy(dtype=object))
