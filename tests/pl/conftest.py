"""Cohorts and metrics written by hand, so that what is drawn is known without learning."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.spatial.distance import cdist


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    """Nothing is shown unless a test asks for it."""

    def show(*args, **options):
        raise AssertionError("plt.show() was called")

    monkeypatch.setattr(plt, "show", show)


@pytest.fixture
def shown(monkeypatch) -> list[tuple]:
    """One entry for each call of plt.show()."""
    calls: list[tuple] = []
    monkeypatch.setattr(plt, "show", lambda *args, **options: calls.append((args, options)))
    return calls


@pytest.fixture
def make_samples() -> Callable[..., AnnData]:
    """Samples with distances, three coordinates, and the given columns of `.obs`."""

    def make(n: int = 6, *, names: Sequence[str] | None = None, **obs: Sequence) -> AnnData:
        points = np.random.default_rng(0).normal(size=(n, 3))
        index = pd.Index([f"patient{i}" for i in range(n)] if names is None else list(names))
        samples = AnnData(np.zeros((n, 1)), obs=pd.DataFrame(obs, index=index))
        samples.obsp["ggml_distances"] = cdist(points, points)
        samples.obsm["X_mds"] = points
        samples.uns["mds"] = {"variance_ratio": np.array([0.5, 0.3, 0.2])}
        return samples

    return make


@pytest.fixture
def make_metric() -> Callable[..., AnnData]:
    """An AnnData of cells that holds a metric; its singular values are the lengths of the components."""

    def make(
        components: Sequence[Sequence[float]] = ((3.0, -2.0, 0.0, 1.0, -4.0), (0.5, 1.0, -0.25, 0.0, 0.0)),
        *,
        key: str = "ggml",
        history: Mapping[str, Sequence[float]] | None = None,
        tol: float = 0.0,
        genes: bool = True,
    ) -> AnnData:
        W = np.asarray(components, dtype=np.float64)
        names = [f"g{i}" for i in range(W.shape[1])]
        adata = AnnData(np.zeros((3, len(names))), var=pd.DataFrame(index=names))
        record = {"loss": [4.0, 2.0, 1.0], "gradient_norm": [1.0, 0.5, 0.1], "active": [1.0, 0.75, 0.5]}
        adata.uns[key] = {
            "components": W,
            "singular_values": np.linalg.norm(W, axis=1),
            "features": np.array(names if genes else [f"X_pca_{i}" for i in range(len(names))], dtype=object),
            "params": {"squared": False, "tol": tol},
            "history": {name: np.asarray(v, dtype=np.float64) for name, v in (history or record).items()},
        }
        if genes:
            adata.varm[key] = W.T.copy()
        return adata

    return make


@pytest.fixture
def reread(tmp_path: Path) -> Callable[[AnnData], AnnData]:
    """What comes back from a file."""

    def reread(adata: AnnData) -> AnnData:
        path = tmp_path / "stored.h5ad"
        adata.write_h5ad(path)
        return ad.read_h5ad(path)

    return reread
