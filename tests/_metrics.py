"""Metrics and ranked genes written by hand, as `.uns` holds them."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.fingerprint import fingerprint
from scggml._anndata.metric import read_metric
from scggml._anndata.ranking import refresh_ranking
from scggml._anndata.reading import Reading
from scggml._core.learn.covariates import Adjustment
from scggml._core.learn.learner import Learner


def metric_entry(
    components: Any, features: Any, *, singular_values: Any = None, learner: Learner | None = None, **reading: Any
) -> dict[str, Any]:
    """A metric that nothing learned, of cells that were read as `reading` says."""
    components = np.asarray(components, dtype=np.float64)
    names = np.array([str(name) for name in features], dtype=object)
    if singular_values is None:
        singular_values = np.linalg.norm(components, axis=1)
    entry = {
        "components": components,
        "singular_values": np.asarray(singular_values, dtype=np.float64),
        "features": names,
        "learner": (learner or Learner()).to_params(),
        "settled": (learner or Learner()).to_params(),
        "reading": Reading(**({"sample_key": "sample_id", "label_key": "label"} | reading)).to_params(),
    }
    return entry | {"fingerprint": mark(entry)}


def mark(entry: dict[str, Any]) -> str:
    """The fingerprint that belongs to the entries of a metric."""
    return fingerprint(
        np.asarray(entry["components"]),
        np.asarray(entry["singular_values"]),
        np.array([str(name) for name in entry["features"]]),
        learner=Learner.from_params(entry["learner"]),
        settled=Learner.from_params(entry["settled"]),
        reading=Reading.from_params(entry["reading"], "reading"),
        adjustment=None if "adjustment" not in entry else Adjustment(**entry["adjustment"]),
    )


def rank_by_hand(
    adata: AnnData,
    patterns: Any,
    shifts: Any,
    *,
    key: str = "ggml",
    unclear: Collection[str] = (),
    ends: tuple[str, str] = ("class1", "class0"),
    by: str = "pattern",
) -> None:
    """Rank genes that nothing ranked, with all that `.uns` holds of their stability.

    Parameters
    ----------
    patterns, shifts
        (n_genes, k) of the genes of `.var`; loadings are those of `.varm`. The whole metric has the length of all
        patterns of a gene and no direction.
    unclear
        Genes without a direction that is named; shifts of others go to the first of the `ends` where they are positive.
    """
    patterns, shifts = np.asarray(patterns, dtype=np.float64), np.asarray(shifts, dtype=np.float64)
    names = adata.var_names.to_numpy().astype(object)
    loadings = adata.varm[key] if key in adata.varm else np.full(patterns.shape, np.nan)
    parts = []
    for i in range(patterns.shape[1] + 1):
        whole = i == patterns.shape[1]
        column = slice(None) if whole else [i]
        shift = np.full(len(names), np.nan) if whole else shifts[:, i]
        named = np.where(shift > 0, ends[0], ends[1])
        loading = np.linalg.norm(loadings, axis=1) if whole else loadings[:, i]
        part = pd.DataFrame(
            {
                "component": key if whole else f"{key}{i + 1}",
                "gene": names,
                "pattern": np.linalg.norm(patterns, axis=1) if whole else patterns[:, i],
                "shift": shift,
                "t": 10 * shift,
                "higher_in": np.where(np.isnan(shift) | np.isin(names.astype(str), list(unclear)), "neither", named),
                "loading": loading,
                "share": (loadings[:, column] ** 2).sum(axis=1) / (np.nansum(loadings**2) or 1.0),
            }
        )
        order = np.argsort(-part[by].abs().fillna(0.0).to_numpy(), kind="stable")
        parts.append(part.iloc[order].assign(rank=np.arange(1, len(names) + 1)))
    table = pd.concat(parts, ignore_index=True).astype({"component": "category", "higher_in": "category"})
    k = patterns.shape[1]
    stored = read_metric(adata, key)
    adata.uns[f"{key}_genes"] = {
        "table": table,
        "params": {
            "by": by,
            "of_genes": True,
            "log_normalized": False,
            "importance": np.full(k, 1 / k),
            "high": np.array([ends[0]] * k, dtype=object),
            "low": np.array([ends[1]] * k, dtype=object),
        },
        "fingerprint": stored.fingerprint,
    }
    refresh_ranking(adata, stored)
