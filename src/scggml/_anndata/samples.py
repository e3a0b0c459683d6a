"""The door to an AnnData of samples."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scggml._anndata.expression import genes_of, read_means
from scggml._anndata.features import Features
from scggml._anndata.forms import check_unchanged
from scggml._anndata.keys import DEPTH, DEPTH_OF_CELLS, FRACTION, N_CELLS, Keys, apart, distance_keys
from scggml._anndata.messages import check_adata, choices
from scggml._anndata.mixtures import write_mixtures
from scggml._anndata.results import write_obsm, write_obsp, write_result
from scggml._anndata.scales import look
from scggml._anndata.selection import Selection
from scggml._core.cohort import Cohort, Floats, Names
from scggml._core.transport.gaussian import moments

NEAR, NEXT = "near", 2
"""Entry of `.uns` with the distances of each sample to so many next ones."""

ROUNDING = 1e-5
"""Share of the largest distance up to which two distances are the same, whatever precision a file has."""


def samples_adata(
    selection: Selection,
    cohort: Cohort,
    features: Names,
    *,
    slot: str | None = None,
    layer: str | None = None,
    genes: bool,
    n_jobs: int | None,
) -> AnnData:
    """Make an AnnData of samples with every column that is constant within samples in `.obs`.

    With `genes` and a matrix of them: mean expression in `.X`, the share of cells with any in a layer, and mean
    features in the `slot` of `.obsm`, if these are no genes. Else mean features in `.X`.
    """
    origin = cohort.origin
    if origin is None:
        raise ValueError("cohort.origin is None; the cohort must come from an AnnData.")
    obs = constant_columns(selection)
    obs.index = pd.Index(cohort.names.astype(str))
    colors = {f"{name}_colors": _colors(selection.adata, str(name), column) for name, column in obs.items()}
    obs[apart(N_CELLS) if N_CELLS in obs else N_CELLS] = origin.counts
    depth = None if is_numbers(obs, DEPTH) else _depth(selection)  # numbers of the user are taken for the depth
    if depth is not None:
        obs[apart(DEPTH) if DEPTH in obs else DEPTH] = depth
    uns = {slot: found for slot, found in colors.items() if found is not None}
    if not genes or (layer is None and selection.adata.X is None):
        return AnnData(X=origin.profiles, obs=obs, var=pd.DataFrame(index=pd.Index(features.astype(str))), uns=uns)
    adata = selection.adata
    means, shares = read_means(genes_of(adata, layer), selection, n_jobs)
    out = AnnData(X=means, obs=obs, var=adata.var.copy(), uns=uns, layers={FRACTION: shares})
    if slot is not None:
        out.obsm[slot] = origin.profiles
    return out


def constant_columns(selection: Selection) -> pd.DataFrame:
    """Return the columns of `.obs` with one value in each sample, a row for each sample; categories are used ones.

    Columns of lists and of other values that cannot be compared are left out.
    """
    inside = selection.owner >= 0  # cells of samples that min_cells left out are not
    cells, owner = selection.adata.obs.loc[inside], selection.owner[inside]
    first = np.unique(owner, return_index=True)[1]
    # by position: tables that were joined twice have columns of one name
    constant = [i for i in range(cells.shape[1]) if _is_constant(cells.iloc[:, i], owner, first)]
    found = [cells.iloc[first, i] for i in constant]
    found = [
        column.cat.remove_unused_categories() if isinstance(column.dtype, pd.CategoricalDtype) else column
        for column in found
    ]
    return pd.concat(found, axis=1) if found else pd.DataFrame(index=cells.index[first])


def is_numbers(obs: pd.DataFrame, name: str) -> bool:
    """Return whether there is one column of that name, and it holds numbers."""
    column = obs.get(name)
    return isinstance(column, pd.Series) and pd.api.types.is_numeric_dtype(column)


def size_columns(obs: pd.DataFrame) -> dict[str, str]:
    """Return the columns of samples with the number of cells and the sequencing depth, as far as they are there."""
    wanted = {N_CELLS: (apart(N_CELLS), N_CELLS), DEPTH: (apart(DEPTH), DEPTH, *DEPTH_OF_CELLS)}
    found = {what: next((name for name in names if is_numbers(obs, name)), None) for what, names in wanted.items()}
    return {what: name for what, name in found.items() if name is not None}


def _depth(selection: Selection) -> Floats | None:
    """Return (P,) mean number of counts of a cell: of a column of `.obs`, or of raw counts in memory."""
    adata, rows = selection.adata, selection.rows
    column = next((name for name in DEPTH_OF_CELLS if name in adata.obs), None)
    if column is not None and pd.api.types.is_numeric_dtype(adata.obs[column]):
        totals = adata.obs[column].to_numpy(dtype=np.float64)[rows]
    else:
        matrix = next((adata.layers[name] for name in ("counts", "raw_counts") if name in adata.layers), adata.X)
        in_memory = isinstance(matrix, np.ndarray) or sparse.issparse(matrix)
        if not in_memory:
            return None
        found = look(Features(matrix, "", adata.var_names.to_numpy(), None, adata.obs_names))
        if found.scale != "counts" or not found.high > 1:
            return None
        totals = np.asarray(matrix.sum(axis=1, dtype=np.float64)).reshape(-1)[rows]
    first = totals[0]  # a constant stays one
    return first + np.add.reduceat((totals - first) * selection.weights, selection.offsets[:-1])


def _colors(adata: AnnData, name: str, column: pd.Series) -> np.ndarray | None:
    """Return the colors that scanpy keeps for the categories of a column, those of the categories that are left."""
    stored, cells = adata.uns.get(f"{name}_colors"), adata.obs[name]
    if stored is None or not isinstance(cells, pd.Series) or not isinstance(cells.dtype, pd.CategoricalDtype):
        return None
    if len(stored) < len(cells.cat.categories):
        return None
    by_name = dict(zip(cells.cat.categories, stored, strict=False))
    return np.array([str(by_name[category]) for category in column.cat.categories], dtype=object)


def _is_constant(column: pd.Series, owner: np.ndarray, first: np.ndarray) -> bool:
    """Return whether every sample has one value; two missing values are the same value, lists are none."""
    try:
        codes = pd.factorize(column.to_numpy())[0]
    except TypeError:  # unhashable
        return False
    return bool((codes == codes[first][owner]).all())


def write_distances(
    samples: AnnData, key: str, distances: Floats, entry: Mapping[str, Any], gaussians: Cohort | None = None
) -> None:
    """Write a matrix of distances between samples into `.obsp`, and how it was computed into `.uns`.

    There, too, are some of the distances, by which another matrix is noticed, also of fewer samples in another order.
    Of `gaussians` in a learned space, or mixtures of them, the moments are written, too.
    """
    if gaussians is not None and gaussians.gaussian:
        slots = Keys(key)
        for name, values in zip((slots.means, slots.covariances), moments(gaussians), strict=True):
            write_obsm(samples, name, values)
    if gaussians is not None and gaussians.atoms is not None:
        write_mixtures(samples, Keys(key).mixture, gaussians, fingerprint=str(entry["fingerprint"]))
    slot = Keys(key).distances
    write_obsp(samples, slot, distances)
    names, near = np.sort(samples.obs_names.to_numpy(dtype=object).astype(str)), _near(samples.obs_names, distances)
    write_result(samples, slot, dict(entry) | {NEAR: {"samples": names.astype(object), "distances": near}})


def _near(names: pd.Index, distances: Floats) -> Floats:
    """Return (P, m) distances of each sample, in the order of the names, to the next m ones."""
    order = np.argsort(names.to_numpy(dtype=object).astype(str))
    steps = range(1, min(NEXT, len(order) - 1) + 1)
    found = [distances[order, np.roll(order, -step)] for step in steps]
    return np.stack(found, axis=1) if found else np.empty((len(order), 0))


def _check_written(samples: AnnData, slot: str, D: Floats, again: str) -> None:
    """Raise unless some of the distances are those that were written with them."""
    entry = samples.uns.get(slot)
    noted = entry.get(NEAR) if isinstance(entry, Mapping) else None
    if not isinstance(noted, Mapping) or not {"samples", "distances"} <= noted.keys():
        return
    check_unchanged(entry, f"samples.uns[{slot!r}]", again)
    names, near = [str(name) for name in noted["samples"]], np.asarray(noted["distances"], dtype=np.float64)
    place = samples.obs_names.get_indexer(pd.Index(names)) if samples.obs_names.is_unique else np.full(len(names), -1)
    for step in range(1, near.shape[1] + 1):
        first, second = place, np.roll(place, -step)
        both = (first >= 0) & (second >= 0)
        off = np.abs(D[first[both], second[both]] - near[both, step - 1]) > 1e-3 * max(float(near.max()), 1e-300)
        if off.any():
            i = np.flatnonzero(both)[off.argmax()]
            one, other = names[i], names[(i + step) % len(names)]
            raise ValueError(
                f"samples.obsp[{slot!r}] was changed after it was written: samples {one!r} and {other!r} "
                f"were {near[i, step - 1]:.4g} apart and are {D[first[i], second[i]]:.4g}; {again}"
            )


def read_distances(samples: AnnData, key: str) -> Floats:
    """Return (P, P) stored distances; if they are missing, the message lists the stored ones."""
    check_adata(samples, "samples")
    slot = Keys(key).distances
    if slot not in samples.obsp:
        stored = distance_keys(samples.obsp)
        hint = (
            f"distances are stored for {choices(stored)}. Pass one of these as key."
            if stored
            else "no distances are stored. Compute them with samples = sg.tl.distances(adata) and pass these samples."
        )
        raise KeyError(f"No {slot!r} in samples.obsp; {hint}")
    found, again = samples.obsp[slot], "compute it again with samples = sg.tl.distances(adata)."
    if sparse.issparse(found) or not np.issubdtype(np.asarray(found).dtype, np.number):
        kind = "a sparse matrix" if sparse.issparse(found) else f"an array of {np.asarray(found).dtype}"
        raise ValueError(f"samples.obsp[{slot!r}] is {kind}, where all pairs of samples have a distance; {again}")
    D = np.asarray(found, dtype=np.float64)
    bad = int((~np.isfinite(D)).sum())
    if bad:
        raise ValueError(f"samples.obsp[{slot!r}] has {bad} values that are not finite; {again}")
    if (D < 0).any():
        raise ValueError(f"samples.obsp[{slot!r}] has {int((D < 0).sum())} values below 0; {again}")
    near = ROUNDING * float(D.max(initial=0.0))
    own, odd = np.diagonal(D) > near, np.abs(D - D.T) > near
    if own.any():
        i = int(own.argmax())
        raise ValueError(
            f"samples.obsp[{slot!r}] has {D[i, i]:.4g} from sample {str(samples.obs_names[i])!r} to itself, which must "
            f"be 0; {again}"
        )
    if odd.any():
        i, j = np.argwhere(odd)[0]
        there, back = str(samples.obs_names[i]), str(samples.obs_names[j])
        raise ValueError(
            f"samples.obsp[{slot!r}] has {D[i, j]:.4g} from sample {there!r} to {back!r} and {D[j, i]:.4g} back, which "
            f"must be equal; {again}"
        )
    _check_written(samples, slot, D, again)
    return D
