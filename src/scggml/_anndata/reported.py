"""Read what commands print and reports show."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.covariates import default_keys, record_of
from scggml._anndata.drawn import attributed_types, attribution_seen
from scggml._anndata.keys import PERMUTATION_TEST, PREDICTION, Keys
from scggml._anndata.metric import StoredMetric, read_metric
from scggml._anndata.ranking import read_ranking
from scggml._anndata.samples import size_columns
from scggml._anndata.tested import real_components
from scggml._anndata.verdicts import read_permutation_test

MISSING = (KeyError, ValueError)
"""What readers raise for results that are not there, or of another metric than the one that is stored now."""


def has_genes(adata: AnnData, key: str, *, cell_type_key: str | None = None) -> bool:
    """Return whether genes are ranked for the metric as it is now, if asked by these cell types."""
    try:
        found = read_ranking(adata, key)
    except MISSING:
        return False
    return cell_type_key is None or str(found.params.get("cell_type_key")) == cell_type_key


def ranked_by_type(adata: AnnData, key: str) -> str | None:
    """Return the column of cell types that genes were ranked by, None if there is no such ranking."""
    try:
        found = read_ranking(adata, key).params.get("cell_type_key")
    except MISSING:
        return None
    return None if found is None else str(found)


def ranked_types(adata: AnnData, key: str) -> pd.DataFrame | None:
    """Return the ranking of genes by cell type, if there is one."""
    return read_ranking(adata, key).types


def has_types(adata: AnnData, key: str) -> bool:
    """Return whether the gap between classes is divided among cell types by metrics that have not seen the donors."""
    try:
        return attribution_seen(adata, key) == "held out" and attributed_types(adata, key) is not None
    except MISSING:
        return False


def component_verdict(adata: AnnData, stored: StoredMetric) -> str | None:
    """Return what the test of the components said, None if it has not run for the metric as it is now."""
    if real_components(adata, stored) is None:
        return None
    return str(adata.uns[Keys(stored.key).components]["verdict"])


def component_table(adata: AnnData, stored: StoredMetric) -> pd.DataFrame:
    """Return the components with what is known of each."""
    k = len(stored.components)
    out = pd.DataFrame(
        {
            "component": [f"{stored.key}{i + 1}" for i in range(k)],
            "positive end": list(stored.oriented_to),
            "learned": stored.learned_share,
        }
    )
    real = real_components(adata, stored)
    if real is not None:
        out["p"] = np.asarray(adata.uns[Keys(stored.key).components]["p_values"], dtype=np.float64)
        out["real"] = np.where(real, "yes", "no")
    return out


def permutation_verdict(adata: AnnData) -> str | None:
    """Return what the test by permutation said, None if it has not run."""
    try:
        found = read_permutation_test(adata, PERMUTATION_TEST)
    except MISSING:
        return None
    return str(found["verdict"])


def verdicts_of(adata: AnnData, key: str) -> dict[str, str]:
    """Return what tests said in words, as far as they have run."""
    try:
        found = {"component_test": component_verdict(adata, read_metric(adata, key))}
    except MISSING:
        found = {}
    found["permutation_test"] = permutation_verdict(adata)
    return {name: text for name, text in found.items() if text is not None}


def choice_of(stored: StoredMetric) -> str:
    """Return why the setting of the metric was chosen, empty if nothing was to be chosen."""
    found = stored.record.get("choice")
    return str(found["reason"]) if isinstance(found, Mapping) and "reason" in found else ""


def evaluated_label(adata: AnnData, evaluation: str) -> tuple[str, str, int]:
    """Return the columns of samples and labels that an evaluation took, and its seed."""
    params: Mapping[str, Any] = adata.uns[evaluation]["params"]
    return str(params["sample_key"]), str(params["label_key"]), int(params.get("seed", 0))


def distance_table(samples: AnnData) -> pd.DataFrame:
    """Return the distances that an AnnData of samples has one matrix of."""
    (name,) = samples.obsp
    return pd.DataFrame(np.asarray(samples.obsp[name]), index=samples.obs_names, columns=samples.obs_names)


def prediction_table(samples: AnnData) -> pd.DataFrame:
    """Return what was predicted of new samples, with the probability of each class."""
    table = samples.obs.copy()
    table.index.name = "sample"
    if PREDICTION in samples.obsm:
        classes = [str(name) for name in samples.uns[PREDICTION]["classes"]]
        values = np.asarray(samples.obsm[PREDICTION])
        table[[f"p:{name}" for name in classes]] = values
    return table.drop(columns=[name for name in table if name == "sample"])


def study_table(samples: AnnData, key: str) -> tuple[pd.DataFrame, str | None]:
    """Return what is known of each sample besides its label, and the column with the number of cells."""
    record = record_of(samples, key)
    label = record.get("label_key")
    columns = default_keys(samples, key, [label])
    size = size_columns(samples.obs).get("n_cells")
    names = [str(name) for name in (label, size, *columns) if name is not None]
    return samples.obs[list(dict.fromkeys(names))].copy(), None if size is None else str(size)


def planted_sets(adata: AnnData) -> dict[str, list[str]]:
    """Return the genes of a synthetic cohort that differ between classes, and sets of others, each as large."""
    planted = adata.var["planted"].to_numpy(dtype=bool)
    n, others = int(planted.sum()), adata.var_names[~planted]
    sets = {"PLANTED": list(adata.var_names[planted])}
    return sets | {
        f"OTHERS_{i + 1}": list(others[i * n : (i + 1) * n]) for i in range(min(5, len(others) // max(n, 1)))
    }
