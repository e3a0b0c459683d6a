"""Read from an AnnData of samples what scores of a representation are about."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.drawn import obs_column
from scggml._anndata.graph import diffusion, pseudotime
from scggml._anndata.keys import distance_keys
from scggml._anndata.messages import choices
from scggml._anndata.samples import read_distances
from scggml._arguments import shown
from scggml._core.cohort import Floats, Integers
from scggml._core.evaluate.representation import TASKS, Task
from scggml._core.evaluate.scores import spearman

NEIGHBORS = 15
"""Neighbors of the graph that pseudotime follows, as in scanpy."""


def keys_of(samples: AnnData, keys: Sequence[str] | None) -> list[str]:
    """Return the keys of distances that are asked for, by default all that are stored."""
    found = distance_keys(samples.obsp) if keys is None else [keys] if isinstance(keys, str) else list(keys)
    if not found:
        raise KeyError("samples.obsp holds no distances; compute them with samples = sg.tl.distances(adata).")
    return found


def tasks_of(samples: AnnData, asked: object, argument: str) -> dict[str, Task]:
    """Return the task of each column: given by name, or by what the column holds."""
    if isinstance(asked, Mapping):
        for name, task in asked.items():
            if task not in TASKS:
                raise ValueError(f"{argument}: {name!r} has the task {shown(task)}; choose from {choices(TASKS)}.")
        return {str(name): task for name, task in asked.items()}
    names = [asked] if isinstance(asked, str) else asked
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"{argument}={shown(asked)} is a {type(asked).__name__}; pass columns of samples.obs, or a dict of columns "
            f"and tasks ({choices(TASKS)})."
        )
    return {name: usual_task(obs_column(samples, name, argument)) for name in names}


def usual_task(column: pd.Series) -> Task:
    """Return the task that the values of a column suggest."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "ranking" if column.cat.ordered else "classification"
    number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return "regression" if number else "classification"


def values_of(samples: AnnData, name: str, task: Task, argument: str) -> tuple[Floats, Integers]:
    """Return the values of a column as codes or numbers, and the positions of the samples that have one."""
    column = obs_column(samples, name, argument)
    known = np.flatnonzero(column.notna().to_numpy())
    part = column.iloc[known]
    values: Floats
    if task == "classification":
        codes: Integers = np.unique(part.astype(str).to_numpy(dtype=str), return_inverse=True)[1]
        values = codes.astype(np.float64)
    elif isinstance(part.dtype, pd.CategoricalDtype) and not pd.api.types.is_numeric_dtype(part.cat.categories):
        if not part.cat.ordered:
            raise ValueError(
                f"{argument}: samples.obs[{name!r}] has categories without an order, and the task is {task!r}; pass "
                "'classification', or an ordered categorical."
            )
        values = np.asarray(part.cat.codes, dtype=np.float64)
    else:
        try:
            values = part.to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{argument}: samples.obs[{name!r}] holds no numbers, and the task is {task!r}; pass 'classification', "
                "or an ordered categorical."
            ) from error
    if len(np.unique(values)) < 2:
        raise ValueError(f"{argument}: samples.obs[{name!r}] has fewer than two different values.")
    return values, known


def trajectory_of(samples: AnnData, key: str, values: Floats, known: Integers, *, root: str | None, seed: int) -> float:
    """Return the rank correlation of values with diffusion pseudotime from a sample, by default the lowest one.

    Of several lowest ones that with the smallest mean distance to the others of them is taken.
    """
    D = read_distances(samples, key)[np.ix_(known, known)]
    names = samples.obs_names[known]
    if root is None:
        lowest = np.flatnonzero(values == values.min())
        start = int(lowest[D[np.ix_(lowest, lowest)].mean(axis=1).argmin()])
    elif root in names:
        start = int(names.get_loc(root))
    else:
        raise KeyError(f"root={root!r} is no sample with a value; there are {choices(names)}.")
    return spearman(values, pseudotime(diffusion(D, NEIGHBORS, seed), start))
