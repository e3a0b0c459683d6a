"""From cells to features, fitted on training cells alone and then applied to held-out ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from scggml._core.checks import check_whole
from scggml._core.cohort import Points

Step = Callable[[AnnData, AnnData], tuple[Points, Points]]
"""Takes training and held-out cells, returns the features of both; only the former may be fitted to."""

PEEK = 10_000
"""Values that are inspected to distinguish counts from other data."""

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
        Normalize and take logarithms; `"auto"` does so for counts, that is for whole numbers of which none is negative.
    n_top_genes
        Highly variable genes to keep where there are more; None keeps all.
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
        if self.normalize not in (True, False, "auto"):
            raise ValueError(f"Preprocess(normalize={self.normalize!r}): choose from (True, False, 'auto').")
        for name in ("n_top_genes", "n_comps"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1, ", or None to keep all")

    def prepare(self, adata: AnnData) -> AnnData:
        """Take the steps that each cell takes by itself, on a copy."""
        adata = adata.copy()
        if self.normalize is True or (self.normalize == "auto" and is_counts(adata)):
            if not sparse.issparse(adata.X):
                adata.X = np.asarray(adata.X, dtype=np.float32)
            sc.pp.normalize_total(adata, target_sum=1e4)
            sc.pp.log1p(adata)
        return adata

    def __call__(self, training: AnnData, held_out: AnnData) -> tuple[Points, Points]:
        """Return the features (n_cells, d) of both, computed from cells that went through `prepare`."""
        genes = np.ones(training.n_vars, dtype=bool)
        if self.n_top_genes is not None and training.n_vars > self.n_top_genes:
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


def is_counts(adata: AnnData) -> bool:
    """Return whether the first values of `.X` are whole numbers of which none is negative."""
    values = adata.X.data if sparse.issparse(adata.X) else np.asarray(adata.X).ravel()
    first = values[:PEEK]
    return bool(len(first) and (first >= 0).all() and (first == np.round(first)).all())


def dense(matrix: Any) -> Points:
    """Return the matrix as a dense array in single precision."""
    values = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
    return np.ascontiguousarray(values, dtype=np.float32)
