"""Checks and texts that errors and warnings share."""

import sys
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pandas as pd
from anndata import AnnData

from scggml._core.checks import check_distinct

LONGEST = 200
"""Bytes of a key: names of slots, which are longer, are names of files in zarr."""

PACKAGE = str(Path(__file__).parents[1])

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def choices(names: Iterable[Any]) -> str:
    """Return the available names as text, for an error message."""
    listed = [repr(str(name)) for name in names]
    return ", ".join(listed[:20]) + (", ..." if len(listed) > 20 else "") if listed else "nothing"


def check_adata(adata: object, argument: str = "adata") -> None:
    """Raise unless it is an AnnData whose tables are in memory."""
    if not isinstance(adata, AnnData):
        modalities = getattr(adata, "mod", None)
        if isinstance(modalities, Mapping) and modalities:
            first = "rna" if "rna" in modalities else next(iter(modalities))
            raise TypeError(
                f"{argument} is a {type(adata).__name__}; an AnnData object is needed. Pass one of its modalities "
                f"({choices(modalities)}), such as mdata[{first!r}], with the columns that are asked for in its .obs."
            )
        raise TypeError(f"{argument} is a {type(adata).__name__}; an AnnData object is needed.")
    for slot in ("obs", "var"):
        found = getattr(adata, slot)
        if not isinstance(found, pd.DataFrame):
            raise TypeError(
                f"{argument}.{slot} is a {type(found).__name__}, as anndata.experimental.read_lazy leaves it on disk; "
                f"a table in memory is needed. Pass {argument}.to_memory(), or keep the matrix alone on disk with "
                "anndata.read_h5ad(path, backed='r') or AnnData(adata.X, obs=adata.obs.to_memory(), "
                "var=adata.var.to_memory())."
            )


def columns(adata: AnnData) -> list[str]:
    """Return the names of the columns of `.obs`."""
    return list(adata.obs)


def find_column(adata: AnnData, key: object, argument: str) -> pd.Series:
    """Return a column of `.obs`; if it is missing, the message lists the available ones."""
    if not isinstance(key, str):
        raise TypeError(f"{argument}={key!r} is a {type(key).__name__}; pass the name of a column of adata.obs.")
    if key not in adata.obs:
        raise KeyError(f"{argument}={key!r} is not a column of adata.obs, which has {choices(adata.obs)}.")
    column = adata.obs[key]
    if isinstance(column, pd.DataFrame):
        raise ValueError(f"adata.obs has {column.shape[1]} columns named {key!r} ({argument}); rename all but one.")
    check_distinct(f"adata.obs[{key!r}] ({argument})", different_values(column))
    return column


def different_values(column: pd.Series) -> list[Any]:
    """Return the different values of a column that may hold several types; none of one that holds a single type."""
    categorical = isinstance(column.dtype, pd.CategoricalDtype)
    values = pd.Series(column.cat.categories) if categorical else column
    if not pd.api.types.is_object_dtype(values) or not pd.api.types.infer_dtype(values).startswith("mixed"):
        return []
    kinds = values.map(type)
    if not all(issubclass(kind, Hashable) for kind in kinds.unique()):
        return []
    # type by type, since True is equal to 1
    return [value for kind in kinds.unique() for value in values[kinds == kind].dropna().unique()]


def check_key_added(key: object, argument: str = "key_added") -> None:
    """Raise unless results can be stored under this name in any file."""
    if not isinstance(key, str):
        raise TypeError(f"{argument}={key!r} is a {type(key).__name__}; pass a name such as 'ggml'.")
    odd = not key.strip(" .") or "/" in key or "\\" in key or not key.isprintable()
    if odd or len(key.encode()) > LONGEST:  # files and folders of h5ad and zarr are named by it
        raise ValueError(
            f"{argument}={key!r} must be a name of at least one letter without '/', '\\' and invisible "
            f"characters, of at most {LONGEST} bytes, since files hold results under it; pass one such as 'ggml'."
        )


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside of the package that called it."""
    level = 2  # the caller of this function
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)


def tell(text: str, *, start: datetime | None = None) -> datetime | None:
    """Log what is done through scanpy, from `sc.settings.verbosity` 2 (info) on; with `start` the time since then.

    None where scanpy is not loaded: then nobody asked for it.
    """
    scanpy = sys.modules.get("scanpy")
    if scanpy is None or not hasattr(scanpy, "logging"):
        return None
    found: datetime = scanpy.logging.info(text) if start is None else scanpy.logging.info(text, time=start)
    return found


def logged(doing: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Log the beginning and the end of a public function, and how long it took."""

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(function)
        def run(*args: Arguments.args, **options: Arguments.kwargs) -> Result:
            start = tell(doing)
            result = function(*args, **options)
            if start is not None:
                tell("    finished", start=start)
            return result

        return run

    return decorate
