"""Cohorts without any signal, and what evaluations of them look like."""

import numpy as np
import pandas as pd
from anndata import AnnData


def null_cohort(seed=0, *, n_donors=12, per_donor=1, n_cells=6, n_genes=4, n_classes=2) -> AnnData:
    """Donors that differ at random, with labels that were dealt out at random; samples of a donor are alike."""
    rng = np.random.default_rng(seed)
    donor = np.repeat(np.arange(n_donors), per_donor)
    labels = rng.permutation(np.arange(n_donors) % n_classes)[donor]
    centers = rng.normal(size=(n_donors, n_genes))[donor] + 0.1 * rng.normal(size=(len(donor), n_genes))
    X = np.repeat(centers, n_cells, axis=0) + rng.normal(size=(len(donor) * n_cells, n_genes))
    owner = np.repeat(np.arange(len(donor)), n_cells)
    obs = pd.DataFrame(
        {
            "sample": [f"s{p}" for p in owner],
            "donor": [f"d{donor[p]}" for p in owner],
            "label": [f"c{labels[p]}" for p in owner],
        },
        index=[f"cell{i}" for i in range(len(owner))],
    )
    return AnnData(X, obs=obs.astype("category"), var=pd.DataFrame(index=[f"g{i}" for i in range(n_genes)]))
