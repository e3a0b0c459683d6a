"""The door to an AnnData of samples."""

import numpy as np
from anndata import AnnData

from scggml._anndata.keys import Keys
from scggml._anndata.read import choices
from scggml._core.cohort import Floats


def read_distances(samples: AnnData, key: str) -> Floats:
    """(P, P) stored distances; missing ones are answered with those that are there."""
    slot = Keys(key).distances
    if slot not in samples.obsp:
        ending = Keys("").distances
        stored = [name.removesuffix(ending) for name in samples.obsp if name.endswith(ending)]
        hint = (
            f"distances are stored for {choices(stored)}. Pass one of these as key."
            if stored
            else "no distances are stored. Compute them with samples = sg.tl.distances(adata) and pass these samples."
        )
        raise KeyError(f"No {slot!r} in samples.obsp; {hint}")
    return np.asarray(samples.obsp[slot], dtype=np.float64)
