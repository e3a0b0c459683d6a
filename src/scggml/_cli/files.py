"""Read cohorts and write results; a file is complete or not there."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import typer
from anndata import AnnData

COHORT, TABLES = (".h5ad",), (".csv", ".tsv", ".json")


def read_cohort(path: Path) -> AnnData:
    """Return the cohort of a file."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; pass the path of an h5ad file.")
    try:
        return ad.read_h5ad(path)
    except MemoryError:
        raise
    except Exception as error:  # anndata raises errors of many kinds for files of other programs
        raise ValueError(f"{path} is no h5ad file that can be read ({error}).") from error


def check_outputs(
    outputs: Collection[Path], inputs: Collection[Path], kinds: Collection[str], *, in_place: bool = False
) -> None:
    """Raise, before any work, if outputs have endings that are not written, no folder, or would replace an input."""
    for path in outputs:
        if path.suffix.lower() not in kinds:
            raise typer.BadParameter(f"-o {path}: choose one of the endings {', '.join(kinds)}.")
        folder = path.resolve().parent
        if not folder.is_dir():
            raise typer.BadParameter(f"-o {path}: {folder} is no folder; make it first.")
        if not os.access(folder, os.W_OK):
            raise typer.BadParameter(f"-o {path}: nothing can be written into {folder}; choose another folder.")
        if path.is_dir():
            raise typer.BadParameter(f"-o {path} is a folder; name a file in it.")
        if not in_place and any(one.exists() and path.exists() and one.samefile(path) for one in inputs):
            raise typer.BadParameter(f"-o {path} is the input; pass --in-place to store results in it.")


def write(path: Path, save: Callable[[Path], Any]) -> None:
    """Write a file beside its place, then put it there, so that an interrupt leaves what was there before.

    A link still leads where it led, and who may read a file is as it was.
    """
    place = path.resolve()
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".scggml-") as folder:
        part = Path(folder) / place.name
        save(part)
        if place.exists():
            shutil.copymode(place, part)
        part.replace(place)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    write(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_cohort(path: Path, adata: AnnData) -> None:
    """Write an h5ad file, compressed."""
    write(path, lambda part: adata.write_h5ad(part, compression="gzip"))


def write_table(path: Path, table: pd.DataFrame, *, index: bool = False) -> None:
    """Write a table as its ending says."""
    if path.suffix.lower() == ".json":
        write_text(path, as_json(records(table, index=index)) + "\n")
    else:
        write_text(path, as_text(table, index=index, separator="," if path.suffix.lower() == ".csv" else "\t"))


def as_text(table: pd.DataFrame, *, index: bool = False, separator: str = "\t") -> str:
    """Return a table as text, a row on each line."""
    text: str = table.to_csv(sep=separator, index=index, lineterminator="\n")
    return text


def records(table: pd.DataFrame, *, index: bool = False) -> list[dict[str, Any]]:
    """Return a table as a list of rows."""
    rows = (table.reset_index() if index else table).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def as_json(value: Any) -> str:
    """Return a value as JSON; what is not a number there, such as NaN, is null."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, pd.DataFrame):
        return _plain(records(value))
    if isinstance(value, np.ndarray | pd.Series | pd.Index):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    if value is pd.NA or value is pd.NaT or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def tell(text: str) -> None:
    """Print what the user asked for; all else goes to standard error."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()  # a reader who has left is noticed here, and not when the program has ended


def write_outputs(adata: AnnData, table: pd.DataFrame, outputs: Collection[Path], *, index: bool = False) -> None:
    """Write an AnnData into its outputs and a table into the others."""
    for path in outputs:
        if path.suffix.lower() in COHORT:
            write_cohort(path, adata)
        else:
            write_table(path, table, index=index)


def write_results(adata: AnnData, table: pd.DataFrame, outputs: Collection[Path], *, json: bool) -> None:
    """Write a cohort into its outputs and a table into the others; print the table if it goes to no file."""
    write_outputs(adata, table, outputs)
    if json:
        tell(as_json(records(table)))
    elif all(path.suffix.lower() in COHORT for path in outputs):
        tell(as_text(table))
