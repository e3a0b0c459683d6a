"""From cells to features, fitted on training cells alone and then applied to held-out ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from scggml._anndata.messages import warn
from scggml._anndata.scales import PANEL, Scale, look_at, scale_of, warn_of_corrected
from scggml._core.checks import check_flag, check_whole
from scggml._core.cohort import Points

Step = Callable[[AnnData, AnnData], tuple[Points, Points]]
"""Takes training and held-out cells, returns the features of both; only the former may be fitted to."""

CLIP = 10.0
"""Standard deviations beyond which scaled values are cut, as is usual with scanpy."""

PCA = "pca"
"""Slot of the principal components; it is named, as is the flavor of variable genes: scanpy 2 has other defaults."""


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """The usual steps of scanpy, fitted on training cells alone.

    Counts are brought to 10,000 per cell and to log(1 + x), each cell by itself. Fitted on the training cells and
    applied to the held-out ones are then: the choice of highly variable genes, mean and variance of each gene, and the
    principal axes.

    Parameters
    ----------
    normalize
        Normalize and take logarithms; `"auto"` does so for counts, that is for whole numbers of which none is negative,
        and for other numbers that are too large for logarithms (above 20), such as corrected counts or counts per
        million, of at least 100 genes (fewer features may be no genes, but areas or intensities).
    n_top_genes
        Highly variable genes to keep where there are more; None keeps all. They are chosen on logarithms: of values
        that are scaled (negative ones, or variances of 1) all are kept, with a warning.
    scale
        Bring each feature to mean 0 and variance 1 (values beyond 10 are cut).
    n_comps
        Principal components to keep where there are more features; None keeps the features.

    Examples
    --------
    >>> import scanpy as sc
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic_counts(n_samples=3, n_cells=20, n_genes=100, n_planted=10)
    >>> step = sg.tl.Preprocess(n_top_genes=50, n_comps=5)
    >>> training, held_out = step(step.prepare(adata[:80]), step.prepare(adata[80:]))
    >>> training.shape, held_out.shape
    ((80, 5), (40, 5))

    References
    ----------
    Wolf et al., *SCANPY*, Genome Biology 2018.
    """

    normalize: bool | Literal["auto"] = "auto"
    n_top_genes: int | None = 2000
    scale: bool = True
    n_comps: int | None = 30

    def __post_init__(self) -> None:
        normalize: object = self.normalize
        if isinstance(normalize, str):
            if normalize != "auto":
                raise ValueError(f"Preprocess(normalize={normalize!r}): choose from (True, False, 'auto').")
        else:
            check_flag("Preprocess: normalize", normalize)
        check_flag("Preprocess: scale", self.scale)
        for name in ("n_top_genes", "n_comps"):
            if getattr(self, name) is not None:
                check_whole(f"Preprocess: {name}", getattr(self, name), 1, ", or None to keep all")

    def prepare(self, adata: AnnData) -> AnnData:
        """Take the steps that each cell takes by itself, on a copy; cells that do not suit the steps raise."""
        adata = adata.copy()
        scale = scale_of(adata.X)
        if self.normalize == "auto" and scale == "corrected":
            warn_of_corrected("The matrix of genes", look_at(adata.X))
        if self.normalize is True and scale == "corrected":
            raise ValueError(
                f"Preprocess(normalize=True): the genes have values from {adata.X.min():g} to {adata.X.max():g}, and "
                "negative ones have no logarithm. Set them to 0, such as adata.X = np.clip(adata.X, 0, None)."
            )
        if self.normalize is True and scale == "scaled":
            raise ValueError(
                "Preprocess(normalize=True): the genes have negative values or variances of 1, so they are scaled and "
                "cannot be normalized. Pass the layer that holds counts, or normalize=False."
            )
        large = scale == "linear" and (adata.n_vars >= PANEL or self._chooses(adata))
        if self.normalize is True or (self.normalize == "auto" and (scale == "counts" or large)):
            if not sparse.issparse(adata.X):
                adata.X = np.asarray(adata.X, dtype=np.float32)
            sc.pp.normalize_total(adata, target_sum=1e4)
            sc.pp.log1p(adata)
        elif self._chooses(adata):
            self._check_logs(adata, scale)
            if scale in ("scaled", "corrected"):
                warn(
                    f"The genes are scaled (negative values or variances of 1), and highly variable ones cannot be "
                    f"chosen by such values: all {adata.n_vars} are kept. Pass the layer that holds counts or "
                    "logarithms, or Preprocess(n_top_genes=None) to keep all genes without this warning."
                )
        return adata

    def _chooses(self, adata: AnnData) -> bool:
        return self.n_top_genes is not None and adata.n_vars > self.n_top_genes

    def _check_logs(self, adata: AnnData, scale: Scale) -> None:
        if scale in ("counts", "linear"):
            raise ValueError(
                f"Preprocess(n_top_genes={self.n_top_genes}) chooses genes on logarithms, but values reach "
                f"{adata.X.max():g}: they are counts or were not logged. Pass normalize=True (or 'auto'), or take the "
                "logarithm first: sc.pp.normalize_total(adata); sc.pp.log1p(adata)."
            )

    def __call__(self, training: AnnData, held_out: AnnData) -> tuple[Points, Points]:
        """Return the features (n_cells, d) of both, computed from cells that went through `prepare`."""
        genes = np.ones(training.n_vars, dtype=bool)
        scale = scale_of(training.X) if self._chooses(training) else "scaled"
        if scale not in ("scaled", "corrected"):
            self._check_logs(training, scale)
            found = sc.pp.highly_variable_genes(training, n_top_genes=self.n_top_genes, flavor="seurat", inplace=False)
            genes = found["highly_variable"].to_numpy()
        first, second = (AnnData(dense(part.X[:, genes])) for part in (training, held_out))
        if self.scale:
            sc.pp.scale(first, zero_center=True, max_value=CLIP)
            mean, std = first.var["mean"].to_numpy(), first.var["std"].to_numpy()
            second.X = np.clip((second.X - mean) / std, -CLIP, CLIP).astype(np.float32)
        if self.n_comps is None or min(first.shape) <= self.n_comps:
            return first.X, second.X
        centre = first.X.mean(axis=0)
        sc.pp.pca(first, n_comps=self.n_comps, random_state=0, key_added=PCA)
        axes = first.varm[PCA].astype(np.float32)
        return first.obsm[PCA].astype(np.float32), (second.X - centre) @ axes


def dense(matrix: Any) -> Points:
    """Return the matrix as a dense array in single precision."""
    values = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
    return np.ascontiguousarray(values, dtype=np.float32)
