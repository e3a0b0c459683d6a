"""Make and write what slots hold of a metric that was learned."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData

from scggml._anndata.features import Features
from scggml._anndata.fingerprint import fingerprint
from scggml._anndata.forms import CHECKSUMS, sealed
from scggml._anndata.keys import Keys
from scggml._anndata.labels import label_texts
from scggml._anndata.metric import ENTRIES
from scggml._anndata.mixtures import write_mixtures
from scggml._anndata.ownership import results_of
from scggml._anndata.reading import Reading
from scggml._anndata.results import drop_obsm, drop_uns, write_obsm, write_uns, write_varm
from scggml._core.cohort import Cohort, Floats, Names
from scggml._core.learn.learner import Learner
from scggml._core.learn.metric import Fit
from scggml._core.samples import Target


def metric_entry(
    found: Fit,
    features: Features,
    learner: Learner,
    reading: Reading,
    samples: Names,
    *,
    target: Target,
    origin: Any = None,
    scale: str | None = None,
    mixture: str | None = None,
) -> dict[str, Any]:
    """Return the content of `.uns`, of plain values that h5ad and zarr can hold (so no None).

    `mixture` is the checksum of the mixtures that were there already.
    """
    settled = learner.settled(found)
    mark = fingerprint(
        found.components,
        found.singular_values,
        features.names,
        learner=learner,
        settled=settled,
        reading=reading,
        adjustment=found.adjustment,
    )
    entry: dict[str, Any] = {
        "components": found.components,
        "singular_values": found.singular_values,
        "features": features.names.astype(object),
        "samples": samples.astype(object),
        "labels": np.array(label_texts(target), dtype=object),
        "class_means": found.class_means,
        "oriented_to": np.array(found.oriented_to, dtype=object),
        "history": dict(found.history),
        "stop": found.stop,
        "converged": found.converged,
        "shrinkage": found.shrinkage,
        "learned_share": found.learned_share,
        "learner": learner.to_params(),
        "settled": settled.to_params(),
        "reading": reading.to_params(),
        "fingerprint": mark,
    }
    if origin is not None:
        entry["origin"] = origin
    if scale is not None:
        entry["scale"] = scale
    if mixture is not None:
        entry["mixture"] = mixture
    if found.adjustment is not None:
        entry["adjustment"] = {"slopes": found.adjustment.slopes, "center": found.adjustment.center}
    if found.margin is not None and found.reg is not None:
        entry |= {"margin": float(found.margin), "reg": float(found.reg), "refined": found.refined}
    if found.bags is not None:
        entry["bags"] = {"components": found.bags.metrics, "drawn": found.bags.drawn}
    choice = found.choice
    if choice is not None:
        entry["choice"] = {
            "ridge": np.array([setting.ridge for setting in choice.tried]),
            "ridge_scale": np.array([setting.ridge_scale for setting in choice.tried], dtype=object),
            "shrinkage": np.array([setting.shrinkage for setting in choice.tried]),
            "score": choice.scores,
            "error": choice.errors,
            "chosen": choice.chosen,
            "reason": choice.reason,
            "given_up": np.isin(np.arange(len(choice.tried)), choice.given_up),
        }
    rest = {name: value for name, value in entry.items() if name not in (*ENTRIES, "adjustment")}
    return entry | {CHECKSUMS: sealed(rest)[CHECKSUMS]}


def write_metric(
    adata: AnnData,
    keys: Keys,
    *,
    entry: Mapping[str, Any],
    embedded: Floats,
    loadings: Floats | None,
    mixtures: Cohort | None = None,
) -> None:
    """Write a metric into `.uns`, the embedded cells into `.obsm` and the gene loadings, if any, into `.varm`.

    `mixtures` that were fitted go into `.uns`, too.
    """
    before = adata.uns.get(keys.metric)
    same = isinstance(before, Mapping) and str(before.get("fingerprint")) == str(entry.get("fingerprint"))
    write_uns(adata, keys.metric, dict(entry))
    write_obsm(adata, keys.cells, embedded)
    write_varm(adata, keys.loadings, loadings)
    if results_of(keys.key)["mixture"].is_ours(adata):
        drop_uns(adata, keys.mixture)
    if mixtures is not None:
        names = np.array([str(name) for name in entry["features"]])
        write_mixtures(adata, keys.mixture, mixtures, fingerprint=str(entry["fingerprint"]), features=names)
    # What was found with another metric that was there goes, and what its record is gone of.
    if not same or keys.genes not in adata.uns:
        write_varm(adata, keys.patterns, None)
    if not same or keys.held_out not in adata.uns:
        drop_obsm(adata, keys.held_out_cells)
