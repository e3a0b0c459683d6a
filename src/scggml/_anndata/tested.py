"""Write and read which components of a stored metric are real, and say it in words."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData

from scggml._anndata.keys import Keys
from scggml._anndata.metric import StoredMetric
from scggml._anndata.results import write_uns
from scggml._core.evaluate.component_test import ComponentTest


def verdict(found: ComponentTest, key: str) -> str:
    """Return what the test says, in words."""
    n, k = found.n_real, len(found.order)
    names = [f"{key}{found.order[i] + 1}" for i in range(len(found.p_values))]
    shown = ", ".join(f"{name} p = {p:.3g}" for name, p in zip(names, found.p_values, strict=True))
    few = f" No p-value below {found.smallest:.3g} is possible with these donors and permutations."
    if len(names) > n and found.p_values[-1] <= found.level:
        few = f" What is left of the cells differs further, but {names[-1]} does not show it.{few}"
    if n == 0:
        return (
            f"No component tells the labels apart more than those of permuted labels do ({shown}): nothing that this "
            f"metric shows is a finding.{few}"
        )
    others = "other one is" if k - n == 1 else f"other {k - n} are"
    rest = f" The {others} not: what shrinkage filled in, or noise." if n < k else ""
    return f"{n} of {k} components {'is' if n == 1 else 'are'} real ({shown}).{rest}{few}"


def write_component_test(adata: AnnData, stored: StoredMetric, found: ComponentTest, params: Mapping[str, Any]) -> None:
    """Write the test into `.uns`."""
    k = len(found.order)
    p_values, eigenvalues = np.full(k, np.nan), np.full(k, np.nan)
    tested = found.order[: len(found.p_values)]
    p_values[tested], eigenvalues[tested] = found.p_values, found.eigenvalues
    entry = {
        "real": np.isin(np.arange(k), found.order[: found.n_real]),
        "p_values": p_values,
        "eigenvalues": eigenvalues,
        "smallest_p": found.smallest,
        "verdict": verdict(found, stored.key),
        "params": dict(params),
        "fingerprint": stored.fingerprint,
    }
    write_uns(adata, Keys(stored.key).components, entry)


def real_components(adata: AnnData, stored: StoredMetric) -> np.ndarray | None:
    """Return (k,) which components are real; None if they were not tested since the metric was learned."""
    entry = adata.uns.get(Keys(stored.key).components)
    if not isinstance(entry, Mapping) or str(entry.get("fingerprint")) != stored.fingerprint:
        return None
    return np.asarray(entry["real"], dtype=bool)
