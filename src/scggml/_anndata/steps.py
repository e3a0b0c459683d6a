"""Steps from cells to features that a user writes: what can be called, and what an answer means."""

import inspect
from typing import Any

import numpy as np
import pandas as pd

from scggml._anndata.preprocess import Preprocess, Step
from scggml._arguments import shown
from scggml._core.checks import LARGEST, as_real, usable
from scggml._core.cohort import Points
from scggml._core.tables import arranged, count_order, names_of, place

WANTED = "'auto', None, a Preprocess(...) or a function of training and held-out cells"

PARTS = "features of training cells", "features of held-out cells"
"""What a step returns."""


def as_step(preprocess: Step | str | None, *, usual: bool) -> Step | None:
    """Return the step that is meant, with `usual` that of scanpy for "auto"; what cannot be called so raises."""
    if isinstance(preprocess, str):
        if preprocess != "auto":
            raise ValueError(f"preprocess={preprocess!r} is not known; pass {WANTED}.")
        return Preprocess() if usual else None
    if preprocess is None:
        return None
    if isinstance(preprocess, type):
        name = preprocess.__name__
        raise TypeError(f"preprocess is the class {name}; pass an object, such as {name}(), or {WANTED}.")
    if not callable(preprocess):
        raise TypeError(f"preprocess is a {type(preprocess).__name__}; pass {WANTED}.")
    try:
        inspect.signature(preprocess).bind(None, None)
    except TypeError as error:
        raise TypeError(
            f"preprocess={shown(preprocess)} cannot be called with two arguments ({error}); pass a function of "
            "training and held-out cells, which returns the features of both."
        ) from error
    except ValueError:  # some functions in C do not say what they take
        pass
    return preprocess


def as_features(answer: Any, training: pd.Index, held_out: pd.Index) -> tuple[Points, Points]:
    """Return the features (n_cells, d) of training and held-out cells, out of what a step returned.

    Rows of tables are matched by the names of the cells, columns by those of the training features.
    """
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        what = f"{len(answer)} values" if isinstance(answer, tuple | list) else f"a {type(answer).__name__}"
        raise TypeError(
            f"preprocess returned {what}; it must return two arrays (cells, features), that of the training cells and "
            "that of the held-out cells."
        )
    names = [f"preprocess: {part}" for part in PARTS]
    columns = names_of(answer[0]) if hasattr(answer[0], "columns") else None
    first, second = (
        as_real(name, arranged(name, _in_rows(name, part, cells), columns, names[0]), "(cells, features), dense")
        for name, part, cells in zip(names, answer, (training, held_out), strict=True)
    )
    shapes = [(len(part), *part.shape[1:]) if part.ndim else () for part in (first, second)]
    wanted = [(len(training), *first.shape[1:]), (len(held_out), *first.shape[1:])]
    if first.ndim != 2 or shapes != wanted:
        raise ValueError(
            f"preprocess returned arrays of shape {first.shape} and {second.shape}; it is given {len(training)} "
            f"training and {len(held_out)} held-out cells and must return (cells, features) of both."
        )
    for part, which in ((first, "training"), (second, "held-out")):
        if not usable(part).all():
            what = f"above {LARGEST:g}, whose squares overflow," if np.isfinite(part).all() else "NaN or infinite"
            raise ValueError(
                f"preprocess returned values that are {what} for {which} cells; features must be finite, as must "
                "their squares."
            )
    return first, second


def _in_rows(name: str, part: Any, cells: pd.Index) -> Any:
    """Return a table with a row for each cell in their order, found by its index; an array stays as it is."""
    if not isinstance(part, pd.DataFrame):
        return part
    if part.index.dtype.kind in "iu" and (np.sort(part.index) == np.arange(len(part))).all():  # a plain count
        order = count_order(part)
        return part if order is None else part.iloc[order]
    return part.iloc[place(name, list(part.index.astype(str)), list(cells), "the AnnData", "cells")]
