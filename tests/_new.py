"""New samples that are like those of a reference."""

from collections.abc import Mapping

import numpy as np
from anndata import AnnData
from scipy import sparse


def measured_again(adata: AnnData, noise: float = 1e-3) -> AnnData:
    """The same patients with other cells near the first ones, without anything that was learned."""
    out = adata.copy()
    for name in [name for name, entry in out.uns.items() if isinstance(entry, Mapping)]:
        del out.uns[name]
        if name in adata.varm or "fingerprint" in adata.uns[name]:  # a metric, and no PCA of the user's
            for slots, slot in ((out.obsm, f"X_{name}"), (out.varm, name), (out.varm, f"{name}_patterns")):
                slots.pop(slot, None)
    dense = out.X.toarray() if sparse.issparse(out.X) else np.asarray(out.X)
    rng = np.random.default_rng(1)
    out.X = dense + noise * rng.normal(size=dense.shape).astype(dense.dtype)
    for name in out.obsm:
        out.obsm[name] = out.obsm[name] + noise * rng.normal(size=np.shape(out.obsm[name]))
    return out
