import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData

import scggml as sg


@pytest.fixture(scope="session")
def _learned() -> AnnData:
    adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=4, noise_scale=1.0)
    sg.tl.ggml(adata, "sample_id", "label", method="triplets", n_comps=2, shrinkage=0.0, progress=False)
    return adata


@pytest.fixture
def learned(_learned: AnnData) -> AnnData:
    """Nine samples of 12 cells in three classes with a learned metric of two components on four features."""
    return _learned.copy()


@pytest.fixture
def adata(_learned: AnnData) -> AnnData:
    """The same cells without the metric."""
    return AnnData(_learned.X.copy(), obs=_learned.obs.copy(), var=_learned.var.copy())


@pytest.fixture(scope="session")
def _ranked() -> AnnData:
    adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=3, n_classes=2, noise_scale=1.0)
    adata.obs["type"] = pd.Categorical(["x", "y"] * (adata.n_obs // 2))
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    sg.tl.rank_genes(adata, progress=False)
    return adata


@pytest.fixture(scope="session")
def _counts() -> AnnData:
    adata = sg.datasets.synthetic_counts(n_samples=5, n_cells=30, n_genes=100, n_planted=10)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    adata.var["highly_variable"] = np.arange(100) % 4 > 0
    sc.pp.pca(adata, n_comps=10)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=3, progress=False)
    return adata


@pytest.fixture
def counts(_counts: AnnData) -> AnnData:
    """Ten samples of 30 cells in two classes, log-normalized counts of 100 genes, with a metric learned on the PCA."""
    return _counts.copy()
