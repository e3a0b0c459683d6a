"""A cohort so small that a fault is told at once."""

import numpy as np
import pandas as pd
from anndata import AnnData

QUIET = {"progress": False, "n_jobs": 1}


def cohort(n_samples=6, n_cells=5, d=4):
    """Samples of two classes in turn, far apart, with numbers as ids."""
    rng = np.random.default_rng(0)
    code = np.repeat(np.arange(n_samples), n_cells)
    X = (rng.normal(size=(len(code), d)) + 3.0 * (code % 2)[:, None]).astype(np.float32)
    obs = pd.DataFrame(
        {"sample": pd.Series(code.astype(object)), "label": np.array(["a", "b"])[code % 2], "w": 1.0 + code}
    )
    obs.index = [f"cell{i}" for i in range(len(code))]
    return AnnData(X, obs=obs)
