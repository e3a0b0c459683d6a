"""Covariates of samples: which there are, their values, and the slot with what they explain."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.forms import OPTIONS, Entry
from scggml._anndata.keys import DEPTH, DEPTH_OF_CELLS, N_CELLS, PREDICTION, Keys
from scggml._anndata.measured import check_measured, measured
from scggml._anndata.messages import choices, warn
from scggml._anndata.results import find_result, write_result
from scggml._anndata.samples import is_numbers, size_columns
from scggml._anndata.selection import as_text, value_order
from scggml._core.checks import LARGEST, usable
from scggml._core.cohort import Integers
from scggml._core.evaluate.variance import Covariate

DEPTHS = (DEPTH, *DEPTH_OF_CELLS)
"""Columns that may hold the sequencing depth."""

RECORD = {
    **{name: Entry("text", optional=True) for name in ("metric", "sample_key", "label_key", "seen", "fingerprint")},
    "features": Entry("text", ("features",), optional=True),
    "reading": Entry("options", optional=True),
}

ENDINGS = ("", "_given_label")
"""Of the columns about a covariate alone, and beyond the label."""

MEASURED = ("r2_adjusted", "r2_null95", "p_adjusted")
"""What these say, as far as it is drawn."""

NUMBERS = ("n_samples", *(f"{name}{end}" for end in ENDINGS for name in MEASURED))

FORM = {
    "table": Entry("table", numbers=NUMBERS, text=("covariate",)),
    "params": OPTIONS,
    "seen": Entry("text", optional=True),
}

PREDICTED = (PREDICTION, "probability", "low", "high", "neighbors", "novelty", "unlike_reference")
"""Columns that `tl.predict` writes."""


def record_of(samples: AnnData, key: str) -> Mapping[str, Any]:
    """Return what is stored about how distances were computed, nothing if it is not stored."""
    call = f"samples = sg.tl.distances(adata, key={key!r})"
    slot = Keys(key).distances
    entry = find_result(samples, slot, call, RECORD, name="samples") or {}
    if entry and entry.keys().isdisjoint(RECORD):
        raise ValueError(
            f"samples.uns[{slot!r}] has {choices(entry)}, not how distances were computed; call {call} again, or "
            "delete the entry."
        )
    return entry


def belongs_to_others(samples: AnnData, key: str, entry: Mapping[str, Any]) -> bool:
    """Return whether a result of distances is of those of another metric than they are of now."""
    now = record_of(samples, key).get("fingerprint")
    return now is not None and "fingerprint" in entry and str(entry["fingerprint"]) != str(now)


def origin_of(samples: AnnData, key: str) -> dict[str, str]:
    """Return the fingerprint of the metric that distances are of, as results of them keep it."""
    record = record_of(samples, key)
    return {"fingerprint": str(record["fingerprint"])} if "fingerprint" in record else {}


def sample_column(samples: AnnData, key: object, argument: str) -> pd.Series:
    """Return a column of `.obs` of the samples; if it is missing, the message lists the available ones."""
    if not isinstance(key, str):
        raise TypeError(f"{argument}={key!r} is a {type(key).__name__}; pass the name of a column of samples.obs.")
    if key not in samples.obs:
        raise KeyError(
            f"{argument}={key!r} is not a column of samples.obs, which has {choices(samples.obs)}. Columns of cells "
            "that are not constant within samples are not there; write their means into samples.obs."
        )
    column = samples.obs[key]
    if isinstance(column, pd.DataFrame):
        raise ValueError(f"samples.obs has {column.shape[1]} columns named {key!r} ({argument}); rename all but one.")
    return column


def find_label(samples: AnnData, key: str, label_key: str | None) -> str | None:
    """Return the column of `.obs` with the label: the given one, or that which the distances know."""
    if label_key is not None:
        sample_column(samples, label_key, "label_key")
        return label_key
    stored = record_of(samples, key).get("label_key")
    if stored is None or str(stored) not in samples.obs:
        warn(
            f"samples.uns[{Keys(key).distances!r}] names no label in samples.obs, so no covariate is compared with it. "
            f"Pass its column as label_key ({choices(samples.obs)})."
        )
        return None
    return str(stored)


def default_keys(samples: AnnData, key: str, others: Sequence[str | None]) -> list[str]:
    """Return the columns of `.obs` that may be covariates: few categories, or numbers; none of our own."""
    skipped = {*others, record_of(samples, key).get("sample_key"), *size_columns(samples.obs).values()}
    skipped |= {name for name in DEPTHS if is_numbers(samples.obs, name)}  # of which one is taken
    if PREDICTION in samples.obs:
        skipped |= set(PREDICTED)
    # other packages, too, keep how they made a column of .obs, such as "leiden", under its name
    skipped |= {name for name, entry in samples.uns.items() if isinstance(entry, Mapping)}
    skipped |= {name for name in samples.obs if str(name).endswith(Keys("").pseudotime)}  # scanpy's, too
    return [name for name in samples.obs if name not in skipped and _may_explain(samples.obs[name])]


def size_keys(samples: AnnData) -> tuple[list[str], dict[str, str]]:
    """Return the columns with the number of cells and the sequencing depth, and a text for each that is not there."""
    found = size_columns(samples.obs)
    lacking = {
        what: f"samples.obs has no column {' or '.join(map(repr, names))}"
        for what, names in {N_CELLS: (N_CELLS,), DEPTH: DEPTHS}.items()
        if what not in found
    }
    return list(found.values()), lacking


def check_keys(keys: object) -> list[str]:
    """Raise unless these are names of different columns."""
    if isinstance(keys, str) or not isinstance(keys, Sequence):
        raise TypeError(f"keys={keys!r} is a {type(keys).__name__}; pass a list of columns of samples.obs.")
    twice = [name for place, name in enumerate(keys) if name in keys[:place]]
    if twice:
        raise ValueError(f"keys holds {twice[0]!r} twice; name each column of samples.obs once.")
    return list(keys)


def read_covariate(samples: AnnData, name: str, argument: str) -> Covariate:
    """Return a column of `.obs`: categories, text and flags by codes, numbers as they are; two numbers are codes."""
    column = sample_column(samples, name, argument)
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise TypeError(
            f"samples.obs[{name!r}] ({argument}) holds times; write days as numbers, or groups of them, into a column."
        )
    if pd.api.types.is_complex_dtype(column):
        raise TypeError(
            f"samples.obs[{name!r}] ({argument}) holds complex numbers; write their real part, or their size, into a "
            "column."
        )
    known = column.notna().to_numpy()
    if _is_number(column) and column[known].nunique() != 2:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        endless = np.flatnonzero(~(usable(values) | np.isnan(values)))
        if len(endless):
            what = "infinite" if np.isinf(values).any() else f"above {LARGEST:g}, whose squares overflow,"
            raise ValueError(
                f"samples.obs[{name!r}] ({argument}) is {what} for {len(endless)} samples (the first is "
                f"{samples.obs_names[endless[0]]!r}); write missing values as NaN."
            )
        return Covariate(name, "numeric", values)
    levels = value_order(column[known])
    codes = np.full(len(column), np.nan)
    codes[known] = pd.Index(levels).get_indexer(pd.Index(as_text(column[known])))
    return Covariate(name, "categorical", codes, tuple(str(level) for level in levels))


def read_groups(samples: AnnData, groups_key: str | None, argument: str = "groups_key") -> Integers:
    """Return (P,) code of the donor (or batch) of each sample; without a column each sample is a donor."""
    if groups_key is None:
        return np.arange(samples.n_obs)
    column = sample_column(samples, groups_key, argument)
    missing = np.flatnonzero(column.isna())
    if len(missing):
        raise ValueError(
            f"samples.obs[{groups_key!r}] ({argument}) is missing for {len(missing)} samples (the first is "
            f"{samples.obs_names[missing[0]]!r}); fill it in, or leave these samples out."
        )
    return pd.factorize(as_text(column))[0].astype(np.int64)


def write_covariates(samples: AnnData, key: str, entry: Mapping[str, Any]) -> None:
    """Write what covariates explain of the distances `key` into `.uns`."""
    table, options = entry["table"], entry["params"]
    columns = [*table["covariate"], *([options["groups_key"]] if "groups_key" in options else [])]
    origin = origin_of(samples, key) | measured(samples, key, columns=columns)
    write_result(samples, Keys(key).covariates, dict(entry) | origin)


def read_covariates(samples: AnnData, key: str) -> Mapping[str, Any]:
    """Return what covariates explain of the distances `key`; if it is missing, the message lists what is stored."""
    call = f"sg.tl.covariates(samples, key={key!r})"
    entry = find_result(samples, Keys(key).covariates, call, FORM, name="samples")
    if entry is None:
        ending = Keys("").covariates
        stored = [name.removesuffix(ending) for name in samples.uns if name.endswith(ending)]
        raise KeyError(
            f"No {Keys(key).covariates!r} in samples.uns; stored for {choices(stored)}. Compute it with {call}."
        )
    if belongs_to_others(samples, key, entry):
        raise ValueError(
            f"samples.uns[{Keys(key).covariates!r}] is of distances of another metric than samples.obsp["
            f"{Keys(key).distances!r}] has now; call {call} again."
        )
    check_measured(samples, key, entry, f"samples.uns[{Keys(key).covariates!r}]", call)
    return entry


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _may_explain(column: pd.Series | pd.DataFrame) -> bool:
    """Return whether a column holds numbers, or from two categories to half as many as there are samples."""
    if isinstance(column, pd.DataFrame) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    if pd.api.types.is_timedelta64_dtype(column) or pd.api.types.is_complex_dtype(column):
        return False
    n = column.astype(str)[column.notna()].nunique()
    return n >= 3 if _is_number(column) and n > 2 else 2 <= n <= len(column) / 2
