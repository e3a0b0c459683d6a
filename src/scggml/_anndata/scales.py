"""Recognize on which scale genes are, by some of their cells, and warn of scales that do not suit."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse
from scipy.stats import spearmanr
from sklearn.utils.sparsefuncs import mean_variance_axis

from scggml._anndata.features import Features, is_lazy, stack
from scggml._anndata.messages import warn
from scggml._core.cohort import Cohort, Floats
from scggml._core.learn.spectrum import variances

Scale = Literal["counts", "linear", "corrected", "log", "scaled"]
"""Whole numbers; other numbers that are too large for logarithms; such with negative ones; logarithms; values brought
to one variance."""

PEEK = 10_000
"""Values that are inspected to distinguish counts from other data."""

RUNS, RUN, FEWER = 8, 32, 2
"""Cells that are looked at: so many runs, spread over all, of so many cells; of fewer where they lie elsewhere."""

HIGHEST_LOG = 20.0
"""No logarithm of expression is larger: that of 1e6 counts is 20 to base 2."""

PANEL = 100
"""Features from which on large values are those of genes; fewer may be measures of any kind, each in its own unit."""

UNIT = (2 / 3, 3 / 2)
"""Within these are the variances of four fifths of the genes where each was brought to 1, even among few cells."""

FEW = 20
"""Genes from which on their variances tell that they were scaled."""

CENTERED = 0.1
"""Mean of the median gene, in its standard deviations, up to which genes with negative values are centered; and how far
below 0 values are, as a share of the largest, where they are."""

GROWING = 0.7
"""Rank correlation between mean and variance of genes from which on they are counts."""

UNLIKE = 100.0
"""Times the standard deviation of the median feature from which on another one rules the distances."""


@dataclass(frozen=True)
class Look:
    """Hold what some cells tell about genes.

    Parameters
    ----------
    scale
        Their scale.
    low, high
        Smallest and largest value.
    n_genes
        Number of genes.
    """

    scale: Scale
    low: float
    high: float
    n_genes: int

    @property
    def countable(self) -> bool:
        """Return True for counts and for what can be brought to logarithms as counts are."""
        counts = self.scale == "counts" and self.high > 1  # 0 and 1 alone are no counts
        return counts or (self.scale == "linear" and self.n_genes >= PANEL)

    @property
    def kind(self) -> str:
        """Return the scale in words, as far as few cells and few features can tell."""
        if self.scale == "counts" and self.high > 1:
            return "counts"
        if self.scale in ("linear", "corrected") and self.n_genes >= PANEL:
            return "values that were not logged"
        return "centered values" if self.low < 0 else "logarithms"


def look(features: Features) -> Look:
    """Look at cells all over a matrix: at its beginning may be the empty ones."""
    n, lazy = len(features.cells), is_lazy(features.matrix)
    run = FEWER if lazy else RUN
    starts = np.unique(np.linspace(0, max(n - run, 0), RUNS).astype(np.int64))
    rows = np.unique((starts[:, None] + np.arange(run)).reshape(-1))
    rows = rows[rows < n]
    # A file reads runs much faster; of a matrix of dask, whose cells travel, all come in one go.
    runs = [rows] if lazy else np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return look_at(stack([features.block(run) for run in runs]))


def look_at(X: Any) -> Look:
    """Look at all cells of a matrix."""
    if 0 in X.shape:
        return Look("log", 0.0, 0.0, X.shape[1])
    return Look(scale_of(X), float(X.min()), float(X.max()), X.shape[1])


def scale_of(X: Any) -> Scale:
    """Return on which scale genes are: counts, other numbers that were not logged, logarithms, or scaled values."""
    values = X.data if sparse.issparse(X) else np.asarray(X).ravel()
    if values.size == 0 or not (values < 0).any():
        if values.size and is_whole(values[:PEEK]) and is_whole(values):
            return "counts"
        if values.size and values.max() > HIGHEST_LOG:
            return "linear"
        return "scaled" if _has_unit_variances(X) else "log"
    large = values.max() > HIGHEST_LOG and X.shape[1] >= PANEL
    return "corrected" if large and not _has_unit_variances(X) and _varies_like_counts(X) else "scaled"


def is_whole(values: Any) -> bool:
    """Return whether all values are whole numbers."""
    return bool((values == np.rint(values)).all())


def _moments(X: Any) -> tuple[Floats, Floats]:
    """Return mean and variance of each gene."""
    if sparse.issparse(X):
        means, spread = mean_variance_axis(sparse.csr_matrix(X, dtype=np.float64), axis=0)
        return means, spread
    values = np.asarray(X, dtype=np.float64)
    return values.mean(axis=0), values.var(axis=0)


def _has_unit_variances(X: Any) -> bool:
    """Return whether the variances of genes are alike and 1, as after scaling without centering."""
    spread = _moments(X)[1]
    varying = spread[spread > 0]
    if len(varying) < FEW:
        return False
    low, high = np.quantile(varying, [0.1, 0.9])
    return bool(UNIT[0] <= low and high <= UNIT[1])


def _varies_like_counts(X: Any) -> bool:
    """Return whether genes have means above 0, as residuals have not, and vary the more the larger these are."""
    means, spread = _moments(X)
    means, spread = means[spread > 0], spread[spread > 0]
    if len(means) < FEW or np.median(means / np.sqrt(spread)) <= CENTERED:
        return False
    return bool(spearmanr(means, spread).statistic >= GROWING)


def are_genes(features: Features) -> bool:
    """Return whether features are those of `.X` or a layer."""
    return not features.slot.startswith("adata.obsm")


def warn_of_scale(slot: str, found: Look) -> None:
    """Warn of genes that were not logged: the depth of sequencing, or few genes, would rule the distances."""
    if found.scale == "counts" and found.high > 1:
        warn(
            f"{slot} looks like raw counts (whole numbers up to {found.high:g}): distances then follow the depth "
            "of sequencing. Prepare the genes first: sc.pp.normalize_total(adata); sc.pp.log1p(adata); "
            'sc.pp.pca(adata); then pass use_rep="X_pca".'
        )
    elif found.scale == "corrected":
        warn_of_corrected(slot, found)
    elif found.countable:
        warn(
            f"{slot} has values up to {found.high:g}, too large for logarithms: it looks like corrected counts or "
            "counts per million, and distances then follow the few genes with the largest values. Prepare the genes "
            'first: sc.pp.normalize_total(adata); sc.pp.log1p(adata); sc.pp.pca(adata); then pass use_rep="X_pca".'
        )


def warn_of_corrected(slot: str, found: Look) -> None:
    """Warn of genes with large and with negative values, which have no logarithm."""
    warn(
        f"{slot} has values from {found.low:g} to {found.high:g} that are not centered: it looks like corrected counts "
        "with negative ones, which cannot be brought to logarithms. Set these to 0, such as adata.X = "
        "np.clip(adata.X, 0, None), then call sc.pp.normalize_total(adata); sc.pp.log1p(adata)."
    )


def warn_of_scales(features: Features, cohort: Cohort) -> None:
    """Warn of features whose standard deviation is more than a hundred times that of the median feature."""
    scales = np.sqrt(variances(cohort))
    varying = scales[scales > 0]
    if len(varying) < 3:
        return
    typical = float(np.median(varying))
    large = np.flatnonzero(scales > UNLIKE * typical)
    if len(large):
        shown = ", ".join(f"{str(features.names[g])!r} ({scales[g]:.3g})" for g in large[:5])
        shown += ", ..." if len(large) > 5 else ""
        warn(
            f"{len(large)} of the {len(scales)} features of {features.slot} have a standard deviation more than "
            f"{UNLIKE:.0f} times that of the median feature ({typical:.3g}): {shown}. Distances are then mostly "
            "theirs; scale the features (sc.pp.scale) unless that is meant."
        )


def warn_of_other_scale(features: Features, learned_on: Any, key: str) -> None:
    """Warn of new cells whose genes are on another scale than those that a metric was learned on."""
    if learned_on is None or not are_genes(features):
        return
    found = look(features)
    near = found.low >= -CENTERED * found.high  # a few cells of the reference may have had no value below 0
    if found.kind != str(learned_on) and not (found.kind == "centered values" and near):
        warn(
            f"{features.slot} holds {found.kind} (from {found.low:g} to {found.high:g}), and the metric {key!r} was "
            f"learned on {learned_on}: where it puts these cells means nothing. Bring the new cells to the scale of "
            "the reference first, by the same steps."
        )
