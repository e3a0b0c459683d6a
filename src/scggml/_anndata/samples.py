"""The door to an AnnData of samples."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.keys import N_CELLS, Keys, distance_keys
from scggml._anndata.messages import choices
from scggml._anndata.results import write_obsp, write_uns
from scggml._anndata.selection import Selection
from scggml._core.cohort import Cohort, Floats, Names


def samples_adata(selection: Selection, cohort: Cohort, features: Names) -> AnnData:
    """Make an AnnData of samples: mean profile in `.X`, every column that is constant within samples in `.obs`."""
    origin = cohort.origin
    if origin is None:
        raise ValueError("cohort.origin is None; the cohort must come from an AnnData.")
    inside = selection.owner >= 0  # cells of samples that min_cells left out are not
    cells, owner = selection.adata.obs.loc[inside], selection.owner[inside]
    first = np.unique(owner, return_index=True)[1]
    constant = [name for name in cells.columns if _is_constant(cells[name], owner, first)]
    obs = cells.iloc[first][constant].copy()
    obs.index = pd.Index(cohort.names.astype(str))
    for name in obs.columns:
        if isinstance(obs[name].dtype, pd.CategoricalDtype):
            obs[name] = obs[name].cat.remove_unused_categories()
    obs[N_CELLS] = origin.counts
    return AnnData(X=origin.profiles, obs=obs, var=pd.DataFrame(index=pd.Index(features.astype(str))))


def _is_constant(column: pd.Series, owner: np.ndarray, first: np.ndarray) -> bool:
    """Return whether every sample has one value; two missing values are the same value."""
    codes = pd.factorize(column.to_numpy())[0]
    return bool((codes == codes[first][owner]).all())


def write_distances(samples: AnnData, key: str, distances: Floats, entry: Mapping[str, Any]) -> None:
    """Write a matrix of distances between samples into `.obsp`, and how it was computed into `.uns`."""
    slot = Keys(key).distances
    write_obsp(samples, slot, distances)
    write_uns(samples, slot, dict(entry))


def read_distances(samples: AnnData, key: str) -> Floats:
    """Return (P, P) stored distances; if they are missing, the message lists the stored ones."""
    slot = Keys(key).distances
    if slot not in samples.obsp:
        stored = distance_keys(samples.obsp)
        hint = (
            f"distances are stored for {choices(stored)}. Pass one of these as key."
            if stored
            else "no distances are stored. Compute them with samples = sg.tl.distances(adata) and pass these samples."
        )
        raise KeyError(f"No {slot!r} in samples.obsp; {hint}")
    return np.asarray(samples.obsp[slot], dtype=np.float64)
