"""A metric written by hand on 40 genes, and g:GOSt over sets of them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _gost import Gost, serve
from _metrics import metric_entry
from anndata import AnnData

GENES = [f"G{i:02d}" for i in range(40)]


@pytest.fixture
def adata() -> AnnData:
    """Two components of 92 % and 8 % of the metric; G38 and G39 took no part.

    Component 1 falls from G00 (+8) to G07 (+1), then rises in size from G10 (-1) to G15 (-6); component 2 has G20 to
    G22.
    """
    loadings = np.zeros((40, 2))
    loadings[:8, 0] = np.arange(8, 0, -1)
    loadings[10:16, 0] = -np.arange(1, 7)
    loadings[20:23, 1] = [3.0, 4.0, 1.0]
    adata = AnnData(np.zeros((3, 40)), var=pd.DataFrame(index=GENES))
    adata.uns["ggml"] = metric_entry(loadings[:38].T, GENES[:38])
    loadings[38:] = np.nan
    adata.varm["ggml"] = loadings.copy()
    return adata


@pytest.fixture
def sets() -> dict[str, list[str]]:
    """FIRST holds the strongest genes, LAST genes of the weak end, BOTH genes of the negative side and others."""
    return {
        "FIRST": GENES[:4] + GENES[30:32],
        "LAST": GENES[5:8] + GENES[30:36],
        "BOTH": GENES[11:16] + GENES[25:27],
        "ALL": GENES[:38],
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
