"""Read columns in the types that other tools give them, as flags, numbers or text, and write values as code."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scggml._core.cohort import Integers, Names

TRUE = frozenset({"true", "t", "1", "1.0"})
FALSE = frozenset({"false", "f", "0", "0.0"})
MISSING = frozenset({"", "na", "nan", "none", "<na>"})
"""Texts, in small letters, that stand for flags where a file or R keeps no booleans."""


def as_flags(column: pd.Series) -> NDArray[np.bool_]:
    """Return a column as flags, False where it is missing; raise and show the first value that is none.

    Flags are booleans, 0 and 1, and their names as text.
    """
    if column.dtype == np.bool_:
        return column.to_numpy()
    known = column.notna().to_numpy()
    text = column[known].astype(str).str.lower()
    other = ~text.isin(TRUE | FALSE | MISSING).to_numpy()
    if other.any():
        first = column[known].iloc[int(other.argmax())]
        raise ValueError(repr(first.item() if isinstance(first, np.generic) else first))
    flags = np.zeros(len(column), dtype=bool)
    flags[known] = text.isin(TRUE).to_numpy()
    return flags


def as_matrix(frame: pd.DataFrame) -> np.ndarray:
    """Return the numbers of a table, NaN where they are missing; raise and name the first column without numbers.

    Flags are numbers, too. Tables of numpy's numbers keep their precision.
    """
    if len(frame.columns) and all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in frame.dtypes):
        return frame.to_numpy()
    columns = [column.infer_objects() for _, column in frame.items()]
    for column in columns:
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_complex_dtype(column):
            raise ValueError(f"{str(column.name)!r} of dtype {column.dtype}")
    values = [column.to_numpy(dtype=np.float64, na_value=np.nan) for column in columns]
    return np.stack(values, axis=1) if values else np.empty((len(frame), 0))


def text_codes(column: pd.Series) -> tuple[Integers, Names]:
    """Return (n_obs,) code of the text of each value, -1 where missing, and the texts by first appearance.

    Different values only become text: there are millions of cells, and few samples.
    """
    found: Any
    used: Any
    if isinstance(column.dtype, pd.CategoricalDtype):
        stored = column.cat.codes.to_numpy()
        found, used = pd.factorize(np.where(stored < 0, np.nan, stored))
        texts = pd.Series(column.cat.categories).astype(str).to_numpy()[used.astype(np.int64)]
    elif column.dtype != object or pd.api.types.infer_dtype(column, skipna=True) == "string":
        found, used = pd.factorize(column)
        texts = pd.Series(used).astype(str).to_numpy()
    else:  # 1, 1.0 and True are equal, but not the same; lists have no codes
        found, known = np.full(len(column), -1), column.notna().to_numpy()
        found[known], texts = pd.factorize(column[known].astype(str).to_numpy())
    place, names = pd.factorize(texts)
    return np.append(place, -1)[found].astype(np.int64), np.asarray(names, dtype=object)


def comparison(column: pd.Series, key: str, text: str, sign: str) -> str:
    """Return code that compares a column of `.obs` with the value that has this text, written as its type needs it."""
    codes, names = text_codes(column)
    value = column.iloc[int((codes == list(names).index(text)).argmax())]
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str) or (isinstance(value, bool | int | float) and column.dtype != object):
        return f"adata.obs[{key!r}] {sign} {value!r}"
    return f"adata.obs[{key!r}].astype(str) {sign} {text!r}"
