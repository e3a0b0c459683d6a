"""Flags and numbers in the types that other tools give them: nullable, text, categories, objects."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
