"""The door in: AnnData -> features and cohort, with every fault named before any long work starts."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scggml._core.checks import check_whole
from scggml._core.cohort import Cohort, Floats, Integers, Names, Origin, Points
from scggml._core.transport.coreset import Summary, as_summary
from scggml._core.transport.products import project

ROWS = 4096
"""Cells that are read at a time where the order of the samples does not matter."""

AUTO = "auto"
HIGHLY_VARIABLE = "highly_variable"

Mask = str | NDArray[np.bool_] | None


def choices(names: Any) -> str:
    """The names that are there, for an error message."""
    listed = [repr(str(name)) for name in names]
    return ", ".join(listed[:20]) + (", ..." if len(listed) > 20 else "") if listed else "nothing"


@dataclass(frozen=True)
class Features:
    """One matrix of an AnnData, read a few rows at a time, dense only there.

    Parameters
    ----------
    matrix
        (n_obs, n) array, sparse, DataFrame, dask-backed or on disk.
    slot
        Where it is, for messages.
    names
        (d,) names of the columns that are used.
    columns
        Their positions; None for all.
    cells
        (n_obs,) names of the rows.
    """

    matrix: Any
    slot: str
    names: Names
    columns: Integers | None
    cells: pd.Index

    @property
    def dtype(self) -> type[np.float32] | type[np.float64]:
        """Single precision for data in at most that, double for all else."""
        return np.float32 if np.dtype(self.matrix.dtype) in (np.float16, np.float32) else np.float64

    def rows(self, index: Integers) -> Points:
        """(len(index), d) dense rows; `index` must rise, as files on disk want it."""
        run = len(index) > 0 and index[-1] - index[0] == len(index) - 1  # a slice is read much faster from disk
        block = self.matrix[slice(index[0], index[-1] + 1) if run else index]
        if hasattr(block, "compute"):
            block = block.compute()
        if not sparse.issparse(block):
            block = np.asarray(block)
        if self.columns is not None:
            block = block[:, self.columns]
        dense = block.toarray() if sparse.issparse(block) else block
        return np.ascontiguousarray(dense, dtype=self.dtype)

    def in_order(self) -> Iterator[tuple[slice, Points]]:
        """All rows, a few thousand at a time."""
        n = len(self.cells)
        for start in range(0, n, ROWS):
            stop = min(start + ROWS, n)
            yield slice(start, stop), self.rows(np.arange(start, stop))


def _layers(adata: AnnData) -> list[str]:
    """Names of the layers; anndata 0.13 counts `.X` among them, under None."""
    return [name for name in adata.layers if name is not None]


def read_features(
    adata: AnnData, *, use_rep: str | None = None, layer: str | None = None, mask_var: Mask = None
) -> Features:
    """Find the matrix that holds the cells' features: `.obsm[use_rep]`, `.layers[layer]` or `.X`."""
    if not isinstance(adata, AnnData):
        raise TypeError(f"adata is a {type(adata).__name__}; an AnnData object is needed.")
    if use_rep is not None and layer is not None:
        raise ValueError(f"use_rep={use_rep!r} and layer={layer!r} name two matrices; pass one of them.")
    if use_rep is not None and use_rep != "X":
        return _read_obsm(adata, use_rep, mask_var)
    if layer is not None:
        if layer not in _layers(adata):
            raise KeyError(f"layer={layer!r} is not in adata.layers, which holds {choices(_layers(adata))}.")
        matrix, slot = adata.layers[layer], f"adata.layers[{layer!r}]"
    else:
        matrix, slot = adata.X, "adata.X"
        if matrix is None:
            raise ValueError(
                f"adata.X is empty; pass use_rep (adata.obsm holds {choices(adata.obsm)}) "
                f"or layer (adata.layers holds {choices(_layers(adata))})."
            )
    names = adata.var_names.to_numpy().astype(str)
    columns = _columns(adata, mask_var)
    if sparse.issparse(matrix) and matrix.format != "csr":
        matrix = matrix.tocsr()  # rows of a csc matrix cost a pass over all of it, sample by sample
    return Features(matrix, slot, names if columns is None else names[columns], columns, adata.obs_names)


def _read_obsm(adata: AnnData, use_rep: str, mask_var: Mask) -> Features:
    if use_rep not in adata.obsm:
        hint = " Compute it first with sc.pp.pca(adata)." if use_rep == "X_pca" else ""
        raise KeyError(f"use_rep={use_rep!r} is not in adata.obsm, which holds {choices(adata.obsm)}.{hint}")
    if mask_var is not None and not (isinstance(mask_var, str) and mask_var == AUTO):
        raise ValueError(
            f"mask_var selects genes of .X or a layer, but use_rep={use_rep!r} takes adata.obsm; pass one of them."
        )
    matrix = adata.obsm[use_rep]
    if isinstance(matrix, pd.DataFrame):
        names, matrix = matrix.columns.to_numpy().astype(str), matrix.to_numpy()
    else:
        names = np.array([f"{use_rep}_{i}" for i in range(matrix.shape[1])])
    if np.ndim(matrix) != 2 or not np.issubdtype(matrix.dtype, np.number):
        raise ValueError(
            f"adata.obsm[{use_rep!r}] has shape {np.shape(matrix)} and dtype {matrix.dtype}; numbers of cells x "
            "features are needed."
        )
    if sparse.issparse(matrix) and matrix.format != "csr":
        matrix = matrix.tocsr()
    return Features(matrix, f"adata.obsm[{use_rep!r}]", names, None, adata.obs_names)


def _columns(adata: AnnData, mask_var: Mask) -> Integers | None:
    """Positions of the genes that a mask keeps."""
    if mask_var is None or (isinstance(mask_var, str) and mask_var == AUTO and HIGHLY_VARIABLE not in adata.var):
        return None
    if isinstance(mask_var, str):
        column = HIGHLY_VARIABLE if mask_var == AUTO else mask_var
        if column not in adata.var:
            raise KeyError(f"mask_var={mask_var!r} is not a column of adata.var, which has {choices(adata.var)}.")
        mask, slot = adata.var[column].to_numpy(), f"adata.var[{column!r}]"
    else:
        mask, slot = np.asarray(mask_var), "mask_var"
    if mask.dtype != np.bool_ or mask.shape != (adata.n_vars,):
        raise ValueError(
            f"{slot} has dtype {mask.dtype} and shape {mask.shape}; a boolean for each of the "
            f"{adata.n_vars} genes is needed."
        )
    if not mask.any():
        raise ValueError(f"{slot} selects none of the {adata.n_vars} genes; at least one is needed.")
    return np.flatnonzero(mask)


def read_cohort(
    adata: AnnData,
    features: Features,
    sample_key: str,
    label_key: str | None,
    *,
    weights_key: str | None = None,
    n_cells: int | None = None,
    min_cells: int = 1,
    summary: Summary = None,
    components: Floats | None = None,
    rng: np.random.Generator,
) -> Cohort:
    """Cells of an AnnData as a cohort, samples in order of first appearance, one sample in memory at a time.

    Without `label_key` all samples have one label. With `components` (k, d) the points are the projected cells. A
    `summary` is taken of the points, sample by sample.
    """
    if not adata.obs_names.is_unique:
        twice = adata.obs_names[adata.obs_names.duplicated()]
        raise ValueError(
            f"adata.obs_names has {len(twice)} duplicated names (the first is {twice[0]!r}); "
            "call adata.obs_names_make_unique() first."
        )
    if adata.n_obs == 0:
        raise ValueError("adata has 0 cells; at least one sample is needed.")
    for name, number in (("n_cells", n_cells), ("min_cells", min_cells)):
        if number is not None or name == "min_cells":
            check_whole(name, number, 1)
    codes, names = _factorize(adata, sample_key, "sample_key")
    labels, classes = _sample_labels(adata, codes, names, sample_key, label_key)
    cell_weights = _cell_weights(adata, weights_key)
    members = _members(codes, len(names))
    kept = _large_enough(members, names, min_cells)
    chosen = [_subsample(members[p], n_cells, rng) for p in kept]
    for p, rows in zip(kept, chosen, strict=True):
        if cell_weights[rows].sum() <= 0:
            raise ValueError(f"The weights of sample {str(names[p])!r} in adata.obs[{weights_key!r}] sum to 0.")

    coreset = as_summary(summary, np.array([len(rows) for rows in chosen]))
    most = [len(rows) if coreset is None else min(len(rows), coreset.n_points) for rows in chosen]
    width, dtype = (len(features.names), features.dtype) if components is None else (len(components), np.float64)
    points: Points = np.empty((sum(most), width), dtype=dtype)
    weights = np.empty(len(points))
    profiles = np.empty((len(kept), len(features.names)))
    offsets = np.zeros(len(kept) + 1, dtype=np.int64)
    faults: list[tuple[int, int, int]] = []
    for p, rows in enumerate(chosen):
        block = features.rows(rows)
        found = not_finite(block, rows)
        faults += found
        own = cell_weights[rows] / cell_weights[rows].sum()
        profiles[p] = own @ block
        cells = block if components is None else project(block, components)
        if coreset is not None and not found:
            cells, own = coreset.summarize(cells, own, rng)
        start, stop = offsets[p], offsets[p] + min(len(cells), most[p])
        points[start:stop], weights[start:stop], offsets[p + 1] = cells[: most[p]], own[: most[p]], stop
    raise_faults(features, faults)
    n = int(offsets[-1])
    origin = Origin(profiles, np.array([len(rows) for rows in chosen], dtype=np.int64))
    return Cohort(points[:n], weights[:n], offsets, labels[kept], names[kept], classes, origin)


def check_classes(cohort: Cohort, label_key: str) -> None:
    """Raise unless there are two classes and each has two samples, which learning needs."""
    counts = np.bincount(cohort.labels, minlength=len(cohort.classes))
    if (counts > 0).sum() < 2:
        raise ValueError(
            f"label_key={label_key!r} has one class only ({choices(cohort.classes[counts > 0])}); learning needs "
            "two or more. Pass the column of adata.obs that tells the groups of patients apart."
        )
    if (counts == 1).any():
        rare = int(np.flatnonzero(counts == 1)[0])
        sample = cohort.names[cohort.labels == rare][0]
        raise ValueError(
            f"Class {str(cohort.classes[rare])!r} of label_key={label_key!r} has a single sample "
            f"({str(sample)!r}), so nothing can be learned about distances within it. Leave the class out "
            f"(adata[adata.obs[{label_key!r}] != {str(cohort.classes[rare])!r}]) or merge it with another."
        )


def _factorize(adata: AnnData, key: str, argument: str) -> tuple[Integers, Names]:
    """Codes of the values of a column of `.obs`, in order of first appearance; missing values are refused."""
    if key not in adata.obs:
        raise KeyError(f"{argument}={key!r} is not a column of adata.obs, which has {choices(adata.obs)}.")
    column = adata.obs[key]
    missing = np.flatnonzero(column.isna())
    if len(missing):
        raise ValueError(
            f"adata.obs[{key!r}] ({argument}) is missing for {len(missing)} of {adata.n_obs} cells (the first is "
            f"{adata.obs_names[missing[0]]!r}); leave these cells out with adata[adata.obs[{key!r}].notna()]."
        )
    codes, values = pd.factorize(as_text(column))
    return codes.astype(np.int64), np.asarray(values).astype(str)


def as_text(column: pd.Series) -> np.ndarray:
    """(n_obs,) values of a column as text, the same for a category wherever it is asked for."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Series(column.cat.categories).astype(str).to_numpy()[column.cat.codes]
    return column.astype(str).to_numpy()


def _sample_labels(
    adata: AnnData, codes: Integers, names: Names, sample_key: str, label_key: str | None
) -> tuple[Integers, Names]:
    """(P,) label code of each sample and the names of the classes, sorted (categories in their order)."""
    if label_key is None:
        return np.zeros(len(names), dtype=np.int64), np.array(["all"])
    if label_key == sample_key:
        raise ValueError(
            f"sample_key and label_key are both {label_key!r}; the label is the class of a sample, not its name."
        )
    cell_labels, classes = _factorize(adata, label_key, "label_key")
    first = np.unique(codes, return_index=True)[1]
    labels = cell_labels[first]
    torn = np.flatnonzero(cell_labels != labels[codes])
    if len(torn):
        sample = codes[torn[0]]
        found = classes[np.unique(cell_labels[codes == sample])]
        n_torn = len(np.unique(codes[torn]))
        raise ValueError(
            f"{n_torn} of {len(names)} samples have cells of more than one label: sample {str(names[sample])!r} of "
            f"adata.obs[{sample_key!r}] has {choices(found)} in adata.obs[{label_key!r}]. A sample has one label: pass "
            "another label_key, or split such samples by joining both columns into a new sample_key."
        )
    ordered = _class_order(adata.obs[label_key], classes)
    position = {str(name): i for i, name in enumerate(ordered)}
    return np.array([position[str(classes[code])] for code in labels], dtype=np.int64), ordered


def _class_order(column: pd.Series, classes: Names) -> Names:
    """Names of the classes: categories in their order, numbers and dates by value, all else by letter."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        names = pd.Series(column.cat.categories).astype(str).to_numpy()
    elif pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column):
        names = np.sort(classes.astype(object))
    else:
        first = ~column.duplicated().to_numpy()
        names = as_text(column)[first][np.argsort(column[first].to_numpy(), kind="stable")]
    used = set(classes)
    return np.array([name for name in dict.fromkeys(names) if name in used])


def _cell_weights(adata: AnnData, weights_key: str | None) -> Floats:
    if weights_key is None:
        return np.ones(adata.n_obs)
    if weights_key not in adata.obs:
        raise KeyError(f"weights_key={weights_key!r} is not a column of adata.obs, which has {choices(adata.obs)}.")
    try:
        weights = adata.obs[weights_key].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"adata.obs[{weights_key!r}] (weights_key) does not hold numbers.") from error
    bad = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(bad):
        raise ValueError(
            f"adata.obs[{weights_key!r}] (weights_key) is negative or not finite for {len(bad)} cells; the first is "
            f"{adata.obs_names[bad[0]]!r} with {weights[bad[0]]}."
        )
    return weights


def _members(codes: Integers, n_samples: int) -> list[Integers]:
    """Rows of each sample, rising."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=n_samples))[:-1])


def _large_enough(members: list[Integers], names: Names, min_cells: int) -> Integers:
    sizes = np.array([len(rows) for rows in members])
    small = np.flatnonzero(sizes < min_cells)
    if len(small) == len(members):
        raise ValueError(
            f"min_cells={min_cells}: none of the {len(members)} samples has as many; the largest has {sizes.max()}."
        )
    if len(small):
        listed = ", ".join(f"{str(names[p])!r} ({sizes[p]})" for p in small)
        warnings.warn(
            f"min_cells={min_cells} leaves out {len(small)} of {len(members)} samples (cells in brackets): {listed}.",
            stacklevel=4,
        )
    return np.flatnonzero(sizes >= min_cells)


def _subsample(rows: Integers, n_cells: int | None, rng: np.random.Generator) -> Integers:
    if n_cells is None or len(rows) <= n_cells:
        return rows
    return np.sort(rng.choice(rows, n_cells, replace=False))


def not_finite(block: Points, rows: Integers) -> list[tuple[int, int, int]]:
    """(count, row, column) of the values that are not finite, with the first place."""
    if np.isfinite(block).all():
        return []
    places = np.argwhere(~np.isfinite(block))
    return [(len(places), int(rows[places[0, 0]]), int(places[0, 1]))]


def check_finite(features: Features) -> None:
    """Raise if any cell has a value that is not finite."""
    faults: list[tuple[int, int, int]] = []
    for rows, block in features.in_order():
        faults += not_finite(block, np.arange(rows.start, rows.stop))
    raise_faults(features, faults)


def raise_faults(features: Features, faults: list[tuple[int, int, int]]) -> None:
    """Raise if there are values that are not finite, with their number and the first place."""
    if not faults:
        return
    count = sum(fault[0] for fault in faults)
    _, row, column = min(faults, key=lambda fault: fault[1])
    raise ValueError(
        f"{features.slot} has {count} values that are NaN or infinite; the first is in cell "
        f"{str(features.cells[row])!r}, feature {str(features.names[column])!r}. Leave such cells or features "
        "out, or impute them."
    )


def read_rows(
    adata: AnnData, cohort: Cohort, sample_key: str, *, n_cells: int | None, rng: np.random.Generator
) -> Integers:
    """(n_cells,) rows of `adata` that the cells of a cohort come from; `rng` as `read_cohort` got it."""
    codes, names = _factorize(adata, sample_key, "sample_key")
    position = {str(name): p for p, name in enumerate(names)}
    members = _members(codes, len(names))
    return np.concatenate([_subsample(members[position[str(name)]], n_cells, rng) for name in cohort.names])


def read_categories(adata: AnnData, key: str, argument: str) -> tuple[Integers, Names]:
    """(n_obs,) code of each cell in a column of `.obs` without missing values, and the names in their order."""
    codes, values = _factorize(adata, key, argument)
    names = _class_order(adata.obs[key], values)
    position = {str(name): i for i, name in enumerate(names)}
    return np.array([position[str(value)] for value in values], dtype=np.int64)[codes], names
