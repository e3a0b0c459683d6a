"""Every row of the page "Coming from ggml-ot" runs: our call always, that of the reference where it is installed."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from joblib import parallel_config

import scggml as sg

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "coming_from_ggml_ot.md"
REFERENCE = ROOT / "benchmarks" / ".venv-ggml-ot" / ("Scripts" if sys.platform == "win32" else "bin") / "python"

SERVERS = ("load_cellxgene", "datasets.cellxgene", "gene.enrichment(", "ext.gprofiler", "enrich_latent_axes")
"""Calls that ask a server."""

CODE = re.compile(r"`([^`]+)`")


def rows() -> list[tuple[str, list[str], list[str]]]:
    """Step, code of the reference and ours of each row of the tables."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        if len(cells) == 3 and cells[0].strip() not in ("step",) and not line.startswith("|---"):
            found.append((cells[0], *([code for code in CODE.findall(cell) if runs(code)] for cell in cells[1:])))
    return found


def runs(code: str) -> bool:
    """Whether code is a statement to run; a bare name of an argument or a slot to look at is none."""
    return "(" in code or "=" in code or "." in code


def asks_a_server(code: str) -> bool:
    return any(call in code for call in SERVERS)


def cells() -> AnnData:
    """Twelve samples of two groups, log-normalized, with principal components."""
    adata = sg.datasets.synthetic_counts(n_samples=6, n_cells=24, n_genes=40, n_planted=8, n_types=2, rng=0)
    adata.obs = adata.obs.rename(columns={"sample_id": "sample", "label": "patient_group"})
    adata.X = adata.X.toarray().astype(np.float32)
    sc.pp.normalize_total(adata, target_sum=1e3)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=5)
    return adata


def test_the_page_covers_the_gaps_and_names_its_test():
    text = PAGE.read_text(encoding="utf-8")
    assert Path(__file__).name in text
    assert len(rows()) > 50
    steps = {step for step, _, _ in rows()}
    assert {
        "shares of groups of cells",
        "Gaussian mixtures",
        "any metric of scipy",
        "W at each epoch",
        "t-SNE",
    } <= steps
    assert "coming_from_ggml_ot" in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_call_of_ours_runs():
    adata = cells()
    costs = np.abs(adata.obsm["X_pca"][:, None] - adata.obsm["X_pca"]).sum(axis=2)
    adata.obsp["cell_costs"] = costs
    X, codes = adata.X, adata.obs["sample"].cat.codes.to_numpy()
    new = adata[np.isin(codes, [0, 5, 6, 11])].copy()
    new.obs["sample"] = [f"new_{name}" for name in new.obs["sample"]]
    new.obs_names = [f"new_{name}" for name in new.obs_names]
    new.X = new.X + np.float32(0.01)
    names: dict[str, Any] = {
        "sg": sg,
        "sc": sc,
        "np": np,
        "adata": adata,
        "keys": ("sample", "patient_group"),
        "clouds": [X[codes == p] for p in range(12)],
        "labels": [0] * 6 + [1] * 6,
        "new": new,
        "gene_sets": {"one": list(adata.var_names[:6]), "two": list(adata.var_names[6:14])},
    }
    done, left_out = 0, []
    for step, _, ours in rows():
        for code in ours:
            if asks_a_server(code) or lacks(code):
                left_out.append(code)
                continue
            try:
                with parallel_config(n_jobs=1):  # starting processes takes longer than the work
                    exec(compile(code, f"<{step}>", "exec"), names)
            except Exception as error:
                raise AssertionError(f"{step}: {code} does not run: {error!r}") from error
            done += 1
    assert done > 55
    assert len(left_out) <= 2 + 3 * (find_spec("torch") is None) + 1
    assert names["samples"].obsm["X_tsne"].shape == (12, 2)
    assert names["Ws"].shape[1:] == sg.get.metric(adata, key="path").components.shape


def lacks(code: str) -> bool:
    """Whether code needs what is not there: torch, or a class that this version does not have."""
    entropic = "Sinkhorn" in code and find_spec("torch") is None
    return entropic or any(not hasattr(sg.tl, name) for name in re.findall(r"sg\.tl\.([A-Z]\w+)", code))


RUNNER = """
import json, sys, warnings
warnings.simplefilter("ignore")
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import anndata, ggml_ot, numpy as np, pandas as pd, scanpy as sc
data = np.load(sys.argv[1], allow_pickle=True)
obs = pd.DataFrame({name: pd.Categorical(data[name]) for name in ("sample", "patient_group", "cell_type")})
obs.index = [f"cell{i}" for i in range(len(obs))]
adata = anndata.AnnData(data["X"], obs=obs, var=pd.DataFrame(index=data["genes"]))
adata.obsm["X_pca"], adata.varm["PCs"] = data["X_pca"], data["PCs"]
codes = adata.obs["sample"].cat.codes.to_numpy()
clouds = [data["X"][np.flatnonzero(codes == p)[:20]] for p in range(codes.max() + 1)]
labels = [0] * 6 + [1] * 6
n = 20 * len(clouds)
points = np.concatenate(clouds)
costs = np.abs(points[:, None] - points).sum(axis=2)
ggml_ot.settings.verbose = False
names = dict(globals())
failed = []
for step, codes in json.load(open(sys.argv[2])):
    for code in codes:
        try:
            exec(compile(code, step, "exec"), names)
        except Exception as error:
            failed.append(f"{step}: {code}: {error!r}")
        plt.close("all")
json.dump(failed, open(sys.argv[3], "w"))
"""


@pytest.mark.slow
def test_every_call_of_the_reference_runs_where_it_is_installed(tmp_path):
    if not REFERENCE.exists():
        pytest.skip("ggml-ot is not installed: benchmarks/vs_ggml_ot.py makes its environment")
    adata = cells()
    columns = {name: adata.obs[name].astype(str).to_numpy(dtype=object) for name in adata.obs.columns[:3]}
    columns |= {name: adata.obs[name].astype(str).to_numpy(dtype=object) for name in ("cell_type",)}
    np.savez(
        tmp_path / "cells.npz",
        X=adata.X,
        genes=adata.var_names.to_numpy(dtype=object),
        X_pca=adata.obsm["X_pca"],
        PCs=adata.varm["PCs"],
        **columns,
    )
    codes = [(step, [code for code in theirs if not asks_a_server(code)]) for step, theirs, _ in rows()]
    (tmp_path / "rows.json").write_text(json.dumps(codes), encoding="utf-8")
    (tmp_path / "run.py").write_text(RUNNER, encoding="utf-8")
    files = [str(tmp_path / name) for name in ("run.py", "cells.npz", "rows.json", "failed.json")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([str(REFERENCE), *files], check=True, capture_output=True, cwd=tmp_path, env=environment)
    assert sum(len(part) for _, part in codes) > 40
    assert json.loads((tmp_path / "failed.json").read_text(encoding="utf-8")) == []
