"""Mixtures of Gaussians in `.uns`: those of users are read and checked, those that were fitted are written."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData

from scggml._anndata.forms import Entry, check_entry, checksum
from scggml._anndata.keys import Keys
from scggml._anndata.messages import choices, tell
from scggml._anndata.results import write_result
from scggml._core.checks import text_of
from scggml._core.cohort import Cohort, Floats, Integers, Names
from scggml._core.transport.mixture import Gaussians, Mixture, mixtures_of
from scggml._core.transport.problem import SUM

ROUNDING = 1e-6
"""Share of the largest entry of a covariance up to which it may differ from its transpose, or be below 0."""

ROOM = 2**26
"""Numbers in all covariances up to which they are written (0.5 GB)."""

FORMAT = (
    "a dict with a row for each Gaussian of any sample: 'sample' (N,), 'weights' (N,), 'means' (N, d) and "
    "'covariances' (N, d, d), or (N, d) variances"
)


def read_mixtures(adata: AnnData, key: str, names: Names, features: Names | None = None) -> list[Gaussians]:
    """Return the mixture of each of these samples, among these features (None for all that it has)."""
    where = f"adata.uns[{key!r}]"
    if key not in adata.uns:
        raise KeyError(
            f"Mixture: key={key!r} is not in adata.uns, which has {choices(adata.uns)}. Write your mixtures there as "
            f"{FORMAT}; or leave key out, and they are fitted."
        )
    entry = _checked(adata.uns[key], where)
    samples = np.array([text_of(name) for name in np.asarray(entry["sample"]).ravel()])
    missing = [str(name) for name in names if name not in set(samples)]
    if missing:
        raise ValueError(
            f"{where}['sample'] lacks {len(missing)} of the {len(names)} samples that are read: {choices(missing)}. "
            "Add their Gaussians, or leave these samples out."
        )
    weights, means, covariances = _numbers(entry, where)
    columns = _columns(entry, where, features, means.shape[1])
    means, covariances = means[:, columns], covariances[:, columns[:, None], columns]
    found = []
    for name in names:
        own = samples == name
        total = float(weights[own].sum())
        if abs(total - 1) > SUM:
            raise ValueError(
                f"{where}['weights'] sums to {total:.7g} in sample {str(name)!r}; the weights of a sample sum to 1."
            )
        found.append(Gaussians(weights[own] / total, means[own], covariances[own]))
    return found


def _checked(entry: Any, where: str) -> Mapping[str, Any]:
    """Return the entry, which is a mapping of arrays of fitting shapes with finite numbers."""
    if not isinstance(entry, Mapping):
        raise TypeError(f"{where} is a {type(entry).__name__}; pass {FORMAT}.")
    diagonal = np.ndim(entry.get("covariances", 0)) == 2
    axes = ("gaussians", "features", *(() if diagonal else ("features",)))
    form = {
        "weights": Entry("numbers", ("gaussians",)),
        "means": Entry("numbers", ("gaussians", "features")),
        "covariances": Entry("numbers", axes),
        "features": Entry("text", ("features",), optional=True),
    }
    check_entry(entry, where, f"pass {FORMAT}.", form, **_length_of(entry, where))
    return entry


def _length_of(entry: Mapping[str, Any], where: str) -> dict[str, int]:
    """Return the number of Gaussians, that of their samples."""
    if "sample" not in entry or np.ndim(entry["sample"]) != 1:
        raise ValueError(f"{where} has no 'sample' (N,), the sample of each Gaussian; pass {FORMAT}.")
    return {"gaussians": len(entry["sample"])}


def _numbers(entry: Mapping[str, Any], where: str) -> tuple[Floats, Floats, Floats]:
    """Return weights (N,), means (N, d) and covariances (N, d, d), which are such."""
    weights, means, found = (np.asarray(entry[name], dtype=np.float64) for name in ("weights", "means", "covariances"))
    if (weights < 0).any():
        i = int(np.flatnonzero(weights < 0)[0])
        raise ValueError(f"{where}['weights'] has {weights[i]:g} in row {i}; weights are at least 0.")
    covariances = found if found.ndim == 3 else found[:, :, None] * np.eye(means.shape[1])
    size = np.abs(covariances).max(axis=(1, 2), initial=0.0)
    odd = np.abs(covariances - covariances.transpose(0, 2, 1)).max(axis=(1, 2), initial=0.0) > ROUNDING * size
    if odd.any():
        raise ValueError(
            f"{where}['covariances'] is not symmetric in row {int(odd.argmax())}; pass (S + S.T) / 2, if that is meant."
        )
    covariances = (covariances + covariances.transpose(0, 2, 1)) / 2
    least = np.linalg.eigvalsh(covariances).min(axis=1, initial=0.0) if means.shape[1] else np.zeros(len(weights))
    if (least < -ROUNDING * size).any():
        i = int((least + ROUNDING * size).argmin())
        raise ValueError(
            f"{where}['covariances'] has the variance {least[i]:.3g} in some direction in row {i}; a covariance is "
            "positive semi-definite."
        )
    return weights, means, covariances


def _columns(entry: Mapping[str, Any], where: str, features: Names | None, d: int) -> Integers:
    """Return which of the d features of mixtures are those that are read: by name where they have names."""
    if features is None:
        return np.arange(d)
    if "features" in entry:
        place = {text_of(name): i for i, name in enumerate(np.asarray(entry["features"]).ravel())}
        missing = [str(name) for name in features if str(name) not in place]
        if missing:
            raise ValueError(
                f"{where}['features'] lacks {len(missing)} of the {len(features)} features that are read: "
                f"{choices(missing)}. Pass the use_rep, layer or mask_var that the mixtures are of."
            )
        return np.array([place[str(name)] for name in features], dtype=np.int64)
    if d != len(features):
        raise ValueError(
            f"{where}['means'] has {d} features, but {len(features)} are read ({choices(features)}). Pass the use_rep, "
            "layer or mask_var that the mixtures are of, or their names as 'features' (d,)."
        )
    return np.arange(d)


def mark_of(mixtures: list[Gaussians]) -> str:
    """Return a checksum of the mixtures of samples."""
    parts = {str(i): [each.weights, each.means, each.covariances] for i, each in enumerate(mixtures)}
    return checksum({i: dict(zip("abc", each, strict=True)) for i, each in parts.items()})


def given_mark(adata: AnnData, summary: object, names: Names) -> str | None:
    """Return the checksum of the mixtures of these samples that are there already, None if none of them are read."""
    if not isinstance(summary, Mixture) or summary.key is None:
        return None
    return mark_of(read_mixtures(adata, summary.key, names))


def check_same(adata: AnnData, summary: object, names: Names, mark: str, call: str) -> None:
    """Raise if a metric was learned on other mixtures of these samples, as their checksum tells.

    Of other samples, among which some of these are missing, nothing is known.
    """
    key = summary.key if isinstance(summary, Mixture) else None
    entry = adata.uns.get(str(key))
    if key is None or not isinstance(entry, Mapping) or "sample" not in entry:
        return
    there = {text_of(name) for name in np.asarray(entry["sample"]).ravel()}
    if there.issuperset(map(str, names)) and given_mark(adata, summary, names) != mark:
        raise ValueError(
            f"adata.uns[{key!r}] has other mixtures than when the metric was learned on them. Put the former ones "
            f"back, or {call}"
        )


def check_input(summary: object, key_added: str) -> None:
    """Raise if the slot of the mixtures that are read is the one where a metric would replace them."""
    if isinstance(summary, Mixture) and summary.key == Keys(key_added).mixture:
        raise ValueError(
            f"summary={summary!r} reads adata.uns[{summary.key!r}], which belongs to the metric "
            f"key_added={key_added!r} and would go with the one that is there. Pass another key_added, or copy the "
            "mixtures to another name."
        )


def write_mixtures(
    adata: AnnData, slot: str, cohort: Cohort, *, fingerprint: str, features: Names | None = None
) -> None:
    """Write the mixtures of a cohort as `Mixture(key=)` reads them, with the metric that they belong to."""
    owner, found = mixtures_of_few(cohort)
    if found is None:
        tell(f"    .uns[{slot!r}] is not written: its covariances would have more than {ROOM:.2g} numbers")
        return
    entry: dict[str, Any] = {
        "sample": cohort.names[owner].astype(object),
        "weights": found.weights,
        "means": found.means,
        "covariances": found.covariances,
        "fingerprint": fingerprint,
    }
    if features is not None:
        entry["features"] = features.astype(object)
    write_result(adata, slot, entry)


def mixtures_of_few(cohort: Cohort) -> tuple[Integers, Gaussians | None]:
    """Return the sample of each Gaussian, and all of these; None where their covariances have no room."""
    counts = counts_of(cohort)
    if counts.sum() * cohort.n_features**2 > ROOM:
        return np.repeat(np.arange(cohort.n_samples), counts), None
    return mixtures_of(cohort)


def counts_of(cohort: Cohort) -> Integers:
    """Return (P,) number of Gaussians of each sample of a cohort of mixtures."""
    spans = cohort.spans(np.arange(cohort.n_samples))
    atoms = np.asarray(cohort.atoms)
    return np.array([1 + np.count_nonzero(np.diff(atoms[own])) for own in spans], dtype=np.int64)
