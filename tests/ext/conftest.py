"""A metric written by hand on 40 genes, and g:GOSt over sets of them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _gost import Gost, serve
from _metrics import metric_entry, rank_by_hand
from anndata import AnnData

GENES = [f"G{i:02d}" for i in range(40)]


@pytest.fixture
def adata() -> AnnData:
    """Two components of 92 % and 8 % of the metric, and genes that are ranked; G38 and G39 took no part in learning.

    Along component 1 genes change less and less from G00 (8) to G07 (1), all higher in class1, and more and more from
    G10 (1) to G15 (6), all higher in class0. Along component 2 G20 (3), G21 (4) and G22 (1) are higher in class1, and
    G23 (2) has no clear direction. Loadings go the other way round: of the genes of either class those that change most
    weigh least.
    """
    patterns, shifts, loadings = np.zeros((40, 2)), np.zeros((40, 2)), np.zeros((40, 2))
    patterns[:8, 0] = np.arange(8, 0, -1)
    patterns[10:16, 0] = np.arange(1, 7)
    patterns[20:24, 1] = [3.0, 4.0, 1.0, 2.0]
    patterns[::2] *= -1  # a pattern has a sign of its own
    shifts[:8, 0], shifts[10:16, 0], shifts[20:24, 1] = 0.5, -0.5, 0.25
    loadings[:8, 0] = np.arange(1, 9)
    loadings[10:16, 0] = -np.arange(6, 0, -1)
    loadings[20:23, 1] = [1.0, 3.0, 4.0]
    adata = AnnData(np.zeros((3, 40)), var=pd.DataFrame(index=GENES))
    adata.uns["ggml"] = metric_entry(loadings[:38].T, GENES[:38])
    loadings[38:] = np.nan
    adata.varm["ggml"] = loadings
    rank_by_hand(adata, patterns, shifts, unclear=["G23"])
    return adata


@pytest.fixture
def sets() -> dict[str, list[str]]:
    """FIRST holds the strongest genes, LAST genes of the weak end, BOTH genes of the other class and others."""
    return {
        "FIRST": GENES[:4] + GENES[30:32],
        "LAST": GENES[5:8] + GENES[30:36],
        "BOTH": GENES[11:16] + GENES[25:27],
        "ALL": GENES,
    }


@pytest.fixture
def gost(sets: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gost]:
    """The service, with an empty cache folder."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SCGGML_DATA", str(tmp_path / "cache"))
    gost = Gost(sets)
    with serve(gost) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield gost
        gost.over.set()
        http.shutdown()
        thread.join()
