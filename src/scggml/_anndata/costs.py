"""Costs between all cells that were computed elsewhere, from `.obsp`."""

import numpy as np
from anndata import AnnData
from scipy import sparse

from scggml._anndata.features import Features
from scggml._core.cohort import Floats, Points
from scggml._core.transport.free import FreeCost

ROUNDING = 1e-6
"""Share of the largest cost up to which two directions may differ."""

BLOCK = 1000
"""Rows that are looked at together."""


def cell_slots(adata: AnnData) -> list[str]:
    """Return the names of the matrices of cells x cells."""
    return list(adata.obsp)


def stored_cost(adata: AnnData, name: str) -> FreeCost:
    """Return the cost between cells by their numbers, which `numbers_of` gives, from a matrix of `.obsp`.

    Raises
    ------
    ValueError
        The matrix is sparse, as those of neighbor graphs are, which know the costs of few pairs; or it is not the same
        in both directions.
    """
    found = adata.obsp[name]
    if sparse.issparse(found):
        raise ValueError(
            f"metric={name!r}: adata.obsp[{name!r}] is sparse, and transport needs the cost between any two cells; "
            "pass a dense matrix, or a fixed metric such as 'euclidean'."
        )
    costs: Floats = np.asarray(found)
    near = ROUNDING * float(np.abs(costs).max(initial=0.0))
    for start in range(0, len(costs), BLOCK):  # a copy of all would be as large as the matrix
        rows = slice(start, start + BLOCK)
        off = np.abs(costs[rows] - costs[:, rows].T) > near
        if off.any():
            i, j = np.argwhere(off)[0]
            raise ValueError(
                f"metric={name!r}: adata.obsp[{name!r}] has {costs[start + i, j]:.4g} from cell "
                f"{str(adata.obs_names[start + i])!r} to {str(adata.obs_names[j])!r} and {costs[j, start + i]:.4g} "
                "back, which must be equal; pass a symmetric matrix, such as (C + C.T) / 2."
            )

    def between(x: Points, y: Points) -> Floats:
        out: Floats = costs[np.ix_(x[:, 0].astype(np.int64), y[:, 0].astype(np.int64))]
        return out

    return FreeCost(repr(name), between)


def numbers_of(adata: AnnData, name: str) -> Features:
    """Return the number of each cell as its only feature."""
    numbers = np.arange(adata.n_obs, dtype=np.float64)[:, None]
    slot = f"adata.obsm[the number of each cell in adata.obsp[{name!r}]]"
    return Features(numbers, slot, np.array(["cell"]), None, adata.obs_names, named=False)
