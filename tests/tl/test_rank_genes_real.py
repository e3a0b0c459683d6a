"""Genes that are known of two real cohorts: interferon in lupus, and signaling in stimulated B cells."""

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy.stats import spearmanr

import scggml as sg

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore:adata.varm.'PCs'. is missing")]
QUIET = {"progress": False}
HALLMARKS = "h.all.v7.5.1.symbols.gmt"


@pytest.fixture
def hallmarks(data_dir) -> Path:
    path = data_dir.parent / "genesets" / HALLMARKS
    if not path.is_file():
        pytest.skip(f"no gene sets: {path} is not a file")
    return path


@pytest.mark.parametrize(
    ("options", "limit"), [({}, 1e-12), ({"batch_key": "batch"}, 1e-9), ({"batch_key": "batch", "n_cells": 15}, 1e-9)]
)
def test_interferon_is_higher_in_lupus(data_dir, hallmarks, options, limit):
    # Nehar-Belaid et al. 2020: cells of children with lupus express genes that interferon induces.
    adata = ad.read_h5ad(data_dir / "csle_ragas.h5ad")
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", reference_class="cHD", **(QUIET | options))
    sg.tl.rank_genes(adata, **QUIET)
    sg.ext.enrich_gmt(adata, hallmarks)
    table = sg.get.enrichment_df(adata)
    found = table[(table["component"] == "ggml1") & (table["native"] == "HALLMARK_INTERFERON_ALPHA_RESPONSE")]
    higher = found.set_index("direction")["p_value"]
    assert higher["higher in cSLE"] < limit
    assert higher.idxmin() == "higher in cSLE"
    assert "higher in cHD" not in higher


@pytest.mark.parametrize(("pairs", "n_first"), [({}, 6), ({"groups_key": "patient_id", "batch_key": "patient_id"}, 8)])
def test_stimulated_b_cells_signal(data_dir, pairs, n_first):
    # Bodenmiller et al. 2012: the B-cell receptor raises pS6 and pErk and lowers pNFkB.
    adata = ad.read_h5ad(data_dir / "bcrxl_catalyst.h5ad")
    values = adata.to_df()
    gate = (values["CD20"] > 1) & (values["HLA-DR"] > 1) & (values["IgM"] > 1)
    adata.obs["gate"] = np.where(gate, "B cells", "others")
    assert 0.02 < gate.mean() < 0.2
    sg.tl.ggml(adata, "sample_id", "label", reference_class="Ref", **(QUIET | pairs))
    sg.tl.rank_genes(adata, cell_type_key="gate", **QUIET)
    first = sg.get.rank_genes_df(adata, component=1).set_index("gene")
    assert {"pNFkB", "pS6"} <= set(first.index[:n_first])  # of 24
    assert (first.loc["pNFkB", "higher_in"], first.loc["pS6", "higher_in"]) == ("Ref", "BCRXL")
    cells = sg.get.rank_genes_df(adata, component=1, cell_type="B cells").set_index("gene")
    assert cells.loc[["pErk", "pS6", "pNFkB"], "higher_in"].tolist() == ["BCRXL", "BCRXL", "Ref"]


def test_genes_come_back_for_a_representation_without_loadings(data_dir):
    """A variational autoencoder has no loadings; patterns need the expression of the cells alone."""
    adata = ad.read_h5ad(data_dir / "csle_ragas.h5ad")
    adata.obsm["X_vae"] = autoencoded(adata)
    patterns = []
    for use_rep in ("X_pca", "X_vae"):
        sg.tl.ggml(adata, "sample_id", "label", use_rep=use_rep, reference_class="cHD", key_added="k", **QUIET)
        sg.tl.rank_genes(adata, key="k", **QUIET)
        patterns.append(sg.get.rank_genes_df(adata, key="k", component=1).set_index("gene")["pattern"])
    assert "k" not in adata.varm
    top = patterns[0].abs().nlargest(200).index
    assert spearmanr(patterns[0][top].abs(), patterns[1][top].abs()).statistic >= 0.8


def autoencoded(adata: ad.AnnData) -> np.ndarray:
    """Return ten coordinates of a small variational autoencoder of log-normalized counts."""
    torch = pytest.importorskip("torch")
    cells = adata.copy()
    sc.pp.normalize_total(cells)
    sc.pp.log1p(cells)
    torch.manual_seed(0)
    x = torch.tensor(cells.X.toarray())
    x = (x - x.mean(0)) / (x.std(0) + 0.1)
    n = x.shape[1]
    encoder = torch.nn.Sequential(torch.nn.Linear(n, 64), torch.nn.ReLU(), torch.nn.Linear(64, 20))
    decoder = torch.nn.Sequential(torch.nn.Linear(10, 64), torch.nn.ReLU(), torch.nn.Linear(64, n))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3)
    for _ in range(300):
        mean, log_variance = encoder(x).split(10, dim=1)
        log_variance = log_variance.clamp(-6, 4)
        code = mean + torch.randn_like(mean) * torch.exp(log_variance / 2)
        divergence = (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean()
        loss = 50 * ((decoder(code) - x) ** 2).mean() + 0.025 * divergence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return encoder(x)[:, :10].detach().numpy()
