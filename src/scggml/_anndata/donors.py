"""The door to donors: which samples must stay together."""

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.read import as_text, choices
from scggml._core.cohort import Integers, Names


def read_groups(adata: AnnData, groups_key: str | None, sample_key: str, samples: Names) -> Integers:
    """(P,) code of the donor of each sample; without a key each sample is a donor of its own."""
    if groups_key is None:
        return np.arange(len(samples))
    if groups_key not in adata.obs:
        raise KeyError(f"groups_key={groups_key!r} is not a column of adata.obs, which has {choices(adata.obs)}.")
    table = pd.DataFrame({"sample": as_text(adata.obs[sample_key]), "group": adata.obs[groups_key]})
    table = table[table["sample"].isin(samples)]
    if table["group"].isna().any():
        missing = table.index[table["group"].isna()][0]
        raise ValueError(
            f"adata.obs[{groups_key!r}] (groups_key) is missing for cell {missing!r}; every cell has a donor."
        )
    table = table.assign(group=table["group"].astype(str)).drop_duplicates()
    torn = table["sample"][table["sample"].duplicated()]
    if len(torn):
        name = torn.iloc[0]
        found = choices(table["group"][table["sample"] == name])
        raise ValueError(
            f"{torn.nunique()} of {len(samples)} samples have cells of more than one donor: sample {name!r} has "
            f"{found} in adata.obs[{groups_key!r}] (groups_key). A sample comes from one donor."
        )
    donors = table.set_index("sample")["group"].loc[list(samples)]
    return pd.factorize(donors.to_numpy())[0].astype(np.int64)
