"""A cohort whose classes differ in the shares of groups of cells alone."""

import numpy as np
import pandas as pd

import scggml as sg


def compose(rng):
    """Eight samples of three groups in different places; what differs between classes is the share of each."""
    adata = sg.datasets.synthetic(n_noise=3, noise_scale=1.0, n_samples=4, n_cells=20, n_classes=2, rng=rng)
    rng = np.random.default_rng(rng)
    label = adata.obs["label"].cat.codes.to_numpy()
    types = np.where(rng.random(adata.n_obs) < 0.2 + 0.5 * label, 1, 2 * rng.integers(0, 2, adata.n_obs))
    adata.X = (np.eye(4)[types] * 4 + rng.normal(size=(adata.n_obs, 4))).astype(np.float32)
    adata.obs["type"] = pd.Categorical(np.array(["a", "b", "c"])[types])
    return adata
