"""The matrix that holds the features of the cells, read a few rows at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scggml._anndata.columns import as_flags, as_matrix
from scggml._anndata.messages import check_adata, choices
from scggml._core.checks import LARGEST, usable
from scggml._core.cohort import Integers, Names, Points

ROWS = 4096
"""Cells that are read at a time where the order of the samples does not matter."""

AUTO = "auto"
HIGHLY_VARIABLE = "highly_variable"

Mask = str | NDArray[np.bool_] | pd.Series | None


class Fault(NamedTuple):
    """Values that cannot be computed with: how many, and the first of them with its place."""

    number: int
    row: int
    column: int
    value: float


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
    named
        Whether the data name the columns; those of an array of `.obsm` have their position alone.
    """

    matrix: Any
    slot: str
    names: Names
    columns: Integers | None
    cells: pd.Index
    named: bool = True

    @property
    def dtype(self) -> type[np.float32] | type[np.float64]:
        """Single precision for data in at most that, double for all else."""
        return np.float32 if np.dtype(self.matrix.dtype) in (np.float16, np.float32) else np.float64

    def block(self, index: Integers) -> Any:
        """Return (len(index), d) rows as they are stored, sparse or dense; `index` must rise, as files want it."""
        run = len(index) > 0 and index[-1] - index[0] == len(index) - 1  # a slice is read much faster from disk
        block = self.matrix[slice(index[0], index[-1] + 1) if run else index]
        if hasattr(block, "compute"):
            block = block.compute()
        if not sparse.issparse(block):
            block = np.asarray(block)
        return block if self.columns is None else block[:, self.columns]

    def rows(self, index: Integers) -> Points:
        """Return (len(index), d) dense rows; `index` must rise."""
        return dense(self.block(index), self.dtype)


def stack(pieces: Sequence[Any], axis: int = 0) -> Any:
    """Return pieces one below the other, or side by side (1); sparse ones as compressed rows."""
    if len(pieces) == 1:
        return pieces[0]
    if sparse.issparse(pieces[0]):
        return sparse.hstack(pieces, format="csr") if axis else sparse.vstack(pieces, format="csr")
    return np.concatenate(pieces, axis=axis)


def is_lazy(matrix: Any) -> bool:
    """Return whether a matrix is a collection of dask."""
    return hasattr(matrix, "__dask_graph__")


def dense(block: Any, dtype: type[np.floating[Any]]) -> Points:
    """Return rows, sparse or not, as a dense array in C order, aligned in memory."""
    return np.require(block.toarray() if sparse.issparse(block) else block, dtype, ["C", "A"])


PCA_LOADINGS = {"X_pca": "PCs", "pca": "pca"}
"""`.varm` of the default PCA in the two spellings."""


def find_basis(adata: AnnData, name: str) -> str:
    """Return the slot of `.obsm` that holds a representation, where scanpy 1 writes "X_pca" and scanpy 2 "pca".

    The name as given comes first, then its other spelling; a name that is in neither spelling is returned as given.
    """
    return next((slot for slot in (name, _other_spelling(name)) if slot in adata.obsm), name)


def pca_loadings_slot(adata: AnnData, use_rep: str) -> str:
    """Return the slot of `.varm` with the loadings that belong to a representation of `.obsm`.

    Those of "X_pca" are in "PCs"; a PCA under a key of its own has its loadings under the same key, which is what
    scanpy 2 does with "pca". A file may mix both, so where `.obsm` holds one PCA only, either slot is taken for its
    loadings. The slot need not exist: not every representation has loadings.
    """
    basis = find_basis(adata, use_rep)
    slot = PCA_LOADINGS.get(basis, basis)
    twin = _other_spelling(basis)
    if slot in adata.varm or basis not in PCA_LOADINGS or twin in adata.obsm:
        return slot
    return PCA_LOADINGS[twin] if PCA_LOADINGS[twin] in adata.varm else slot


def _other_spelling(name: str) -> str:
    return name.removeprefix("X_") if name.startswith("X_") else f"X_{name}"


def has_rep(adata: AnnData, use_rep: str | None) -> bool:
    """Return whether the slot of a representation is there; that of the genes always is."""
    return use_rep in (None, "X") or find_basis(adata, str(use_rep)) in adata.obsm


def _layers(adata: AnnData) -> list[str]:
    """Return the names of the layers; anndata 0.13 counts `.X` among them, under None."""
    return [name for name in adata.layers if name is not None]


def read_features(
    adata: AnnData, *, use_rep: str | None = None, layer: str | None = None, mask_var: Mask = None
) -> Features:
    """Find the matrix that holds the cells' features: `.obsm[use_rep]`, `.layers[layer]` or `.X`."""
    check_adata(adata)
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
    check_matrix(matrix, slot)
    names = adata.var_names.to_numpy().astype(str)
    columns = _columns(adata, mask_var)
    if sparse.issparse(matrix) and matrix.format != "csr":
        matrix = matrix.tocsr()  # rows of a csc matrix cost a pass over all of it, sample by sample
    return Features(matrix, slot, names if columns is None else names[columns], columns, adata.obs_names)


def _read_obsm(adata: AnnData, use_rep: str, mask_var: Mask) -> Features:
    slot = find_basis(adata, use_rep)
    if slot not in adata.obsm:
        hint = " Compute it first with sc.pp.pca(adata)." if use_rep in PCA_LOADINGS else ""
        raise KeyError(f"use_rep={use_rep!r} is not in adata.obsm, which holds {choices(adata.obsm)}.{hint}")
    if mask_var is not None and not (isinstance(mask_var, str) and mask_var == AUTO):
        raise ValueError(
            f"mask_var selects genes of .X or a layer, but use_rep={use_rep!r} takes adata.obsm; pass one of them."
        )
    matrix = adata.obsm[slot]
    named = isinstance(matrix, pd.DataFrame)
    if isinstance(matrix, pd.DataFrame):
        names, matrix = matrix.columns.to_numpy().astype(str), _values(matrix, f"adata.obsm[{slot!r}]")
    else:
        # named as asked for, so that cells from either version of scanpy have the same features
        names = np.array([f"{use_rep}_{i}" for i in range(matrix.shape[1])])
    check_matrix(matrix, f"adata.obsm[{slot!r}]")
    if np.ndim(matrix) != 2 or not (np.issubdtype(matrix.dtype, np.number) or matrix.dtype == np.bool_):
        raise ValueError(
            f"adata.obsm[{slot!r}] has shape {np.shape(matrix)} and dtype {matrix.dtype}; numbers of cells x "
            "features are needed."
        )
    if sparse.issparse(matrix) and matrix.format != "csr":
        matrix = matrix.tocsr()
    return Features(matrix, f"adata.obsm[{slot!r}]", names, None, adata.obs_names, named)


def _values(table: pd.DataFrame, slot: str) -> np.ndarray:
    """Return the numbers of a table of features, in whatever types they are."""
    try:
        return as_matrix(table)
    except ValueError as error:
        raise ValueError(
            f"{slot} has a column {error}; numbers of cells x features are needed. Convert it with .astype(float), or "
            "leave it out."
        ) from None


def check_matrix(matrix: Any, slot: str) -> None:
    """Raise if values of a matrix would be taken for others: masked, complex, or objects of any type."""
    if np.ma.isMaskedArray(matrix):
        raise TypeError(
            f"{slot} is a masked array, whose masked values would be taken for data; fill it with .filled(value), or "
            "leave these cells or features out."
        )
    kind = np.dtype(matrix.dtype).kind
    if kind not in "iufb":
        what = "complex numbers" if kind == "c" else f"dtype {matrix.dtype}"
        raise ValueError(f"{slot} has {what}; real numbers of cells x features are needed, such as .astype(float).")


def _columns(adata: AnnData, mask_var: Mask) -> Integers | None:
    """Return the positions of the genes that a mask keeps."""
    if mask_var is None or (isinstance(mask_var, str) and mask_var == AUTO and HIGHLY_VARIABLE not in adata.var):
        return None
    if isinstance(mask_var, str):
        mask, slot = _flags_of(adata, mask_var)
    else:
        if np.ma.isMaskedArray(mask_var):
            raise TypeError(
                "mask_var is a masked array, whose masked values would be taken for flags; fill it with .filled(False)."
            )
        given = _by_gene(adata, mask_var) if isinstance(mask_var, pd.Series) else mask_var
        nullable = getattr(given, "dtype", None) == "boolean"
        mask, slot = as_flags(pd.Series(given)) if nullable else np.asarray(given), "mask_var"
    if mask.dtype != np.bool_ or mask.shape != (adata.n_vars,):
        raise ValueError(
            f"{slot} has dtype {mask.dtype} and shape {mask.shape}; a boolean for each of the "
            f"{adata.n_vars} genes is needed."
        )
    if not mask.any():
        raise ValueError(
            f"{slot} selects none of the {adata.n_vars} genes; at least one is needed."
            + (INSTEAD if isinstance(mask_var, str) and mask_var == AUTO else "")
        )
    return np.flatnonzero(mask)


def _by_gene(adata: AnnData, mask: pd.Series) -> pd.Series:
    """Return a mask in the order of the genes; one with no names of its own is taken as it is."""
    names = adata.var_names
    if mask.index.equals(names) or mask.index.equals(pd.RangeIndex(len(mask))):
        return mask
    if names.is_unique and mask.index.is_unique and len(mask) == len(names) and names.isin(mask.index).all():
        return mask.reindex(names)
    missing = names[~names.isin(mask.index)]
    raise ValueError(
        f"mask_var is a Series of {len(mask)} flags by other names than adata.var_names ({len(names)} genes, of which "
        f"it lacks {choices(missing)}); pass one flag for each gene, such as mask_var.reindex(adata.var_names, "
        "fill_value=False), or its values alone."
    )


INSTEAD = ' mask_var="auto" took this column by itself; pass mask_var=None for all genes, or a mask.'


def _flags_of(adata: AnnData, mask_var: str) -> tuple[NDArray[np.bool_], str]:
    """Return the mask in a column of `.var`, in whatever type another tool has written it, and its slot."""
    column = HIGHLY_VARIABLE if mask_var == AUTO else mask_var
    if column not in adata.var:
        raise KeyError(f"mask_var={mask_var!r} is not a column of adata.var, which has {choices(adata.var)}.")
    found, slot = adata.var[column], f"adata.var[{column!r}]"
    instead = INSTEAD if mask_var == AUTO else ""
    if isinstance(found, pd.DataFrame):
        raise ValueError(
            f"adata.var has {found.shape[1]} columns named {column!r} (mask_var); rename all but one.{instead}"
        )
    try:
        return as_flags(found), slot
    except ValueError as error:
        raise ValueError(
            f"{slot} (mask_var) of dtype {found.dtype} holds {error}; a boolean for each of the {adata.n_vars} genes "
            f"is needed (or 0 and 1, or 'TRUE' and 'FALSE'; missing is False).{instead}"
        ) from None


def pick(found: Features, names: Names, what: str) -> Features:
    """Return the features of the given names, in that order; raise and list missing or ambiguous ones."""
    position = {str(name): i for i, name in enumerate(found.names)}
    missing = [name for name in names if name not in position]
    if missing:
        raise ValueError(
            f"{found.slot} lacks {len(missing)} of the {len(names)} {what}: {choices(missing)}. Add them, or learn the "
            "metric on the features that both data sets share (then what follows it, such as sg.tl.gene_stability, is "
            "to be called again)."
        )
    if len(position) < len(found.names):
        values, counts = np.unique(found.names, return_counts=True)
        twice = np.intersect1d(values[counts > 1], names)
        if len(twice):
            genes = not found.slot.startswith("adata.obsm")
            where = "adata.var_names" if genes else f"{found.slot}.columns"
            remedy = "call adata.var_names_make_unique()" if genes else "rename the columns"
            raise ValueError(
                f"{where} has several features named {choices(twice)}, so it is ambiguous which one is meant; {remedy} "
                "or leave the others out."
            )
    columns = np.array([position[name] for name in names], dtype=np.int64)
    return Features(found.matrix, found.slot, names, columns, found.cells)


def check_width(found: Features, d: int, what: str) -> None:
    """Raise if columns that have no names, which are matched by position, are more than before."""
    if not found.named and len(found.names) > d:
        raise ValueError(
            f"{found.slot} has {len(found.names)} components and the {what} {d}, which are matched by position as they "
            f"have no names. Take the representation that it was learned on; the first {d} columns are it only if both "
            "come from one computation."
        )


def not_finite(block: Any) -> list[Fault]:
    """Return the number of values that are not finite, or too large, with row and column of the first, if any."""
    if usable(block.data if sparse.issparse(block) else block).all():
        return []
    if sparse.issparse(block):
        block = block.tocoo()
        bad = ~usable(block.data)
        places, values = np.stack([block.row[bad], block.col[bad]], axis=1), block.data[bad]
    else:
        bad = ~usable(block)
        places, values = np.argwhere(bad), block[bad]
    first = np.lexsort((places[:, 1], places[:, 0]))[0]
    return [Fault(len(places), int(places[first, 0]), int(places[first, 1]), float(values[first]))]


def varies(block: Any) -> bool:
    """Return whether any feature differs between rows, sparse or dense."""
    if 0 in block.shape:
        return False
    if sparse.issparse(block):
        return bool((block.max(axis=0) != block.min(axis=0)).nnz)
    return bool((block != block[0]).any())


def check_varied(X: Any, slot: str) -> None:
    """Raise if there is no feature, or none that tells cells apart: all samples would be the same."""
    n, d = X.shape
    if d == 0:
        raise ValueError(f"{slot} has 0 features for {n} cells; at least one is needed. Pass another layer or use_rep.")
    if not varies(X):
        first = X[:1].toarray() if sparse.issparse(X) else np.asarray(X[:1])
        same = f"{first.flat[0]:g} throughout" if (first == first.flat[0]).all() else "each feature constant"
        raise ValueError(
            f"{slot} is the same for all {n} cells that are read ({same}), so nothing tells samples apart. Check what "
            "it holds, or pass another layer or use_rep."
        )


def raise_faults(features: Features, faults: list[Fault]) -> None:
    """Raise if there are values that are not finite, with their number and the first place."""
    if not faults:
        return
    count = sum(fault.number for fault in faults)
    _, row, column, first = min(faults, key=lambda fault: fault.row)
    what = f"above {LARGEST:g}, whose squares overflow ({first:g})" if np.isfinite(first) else "NaN or infinite"
    raise ValueError(
        f"{features.slot} has {count} values that are {what}; the first is in cell "
        f"{str(features.cells[row])!r}, feature {str(features.names[column])!r}. Leave such cells or features "
        "out, or impute them."
    )
