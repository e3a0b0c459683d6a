import anndata as ad
import numpy as np
import pytest

from scggml import datasets
from scggml.datasets import _autism


def test_source():
    folder = "Sun-lab/ideas_pipeline/96fee970254b5240da09a2fc42b17c3056d77256/Autism/data/ct_mtx"
    assert f"https://raw.githubusercontent.com/{folder}/" == _autism.URL


def test_another_file_is_refused(server, answer, cache, monkeypatch):
    monkeypatch.setattr(_autism, "URL", f"{server.url}/")
    server.set("/PFC_Microglia.rds", answer(b"X\n"))
    with pytest.raises(ValueError, match=r"\(PFC_Microglia.rds\) has another hash: expected sha256:6607c9a6"):
        datasets.autism()
    assert list(cache.iterdir()) == []


@pytest.fixture
def adata(downloads, monkeypatch):
    monkeypatch.setattr(_autism, "URL", "http://127.0.0.1:9/")
    return datasets.autism()


@pytest.mark.real
def test_individuals_and_labels(adata):
    assert adata.shape == (6111, 18041)
    individuals = adata.obs.groupby("sample_id", observed=True)
    assert (individuals[["label", "patient_id", "batch"]].nunique() == 1).all(axis=None)
    assert (individuals.size().min(), individuals.size().max()) == (49, 851)
    assert individuals["label"].first().value_counts().to_dict() == {"ASD": 13, "Control": 10}
    assert list(adata.obs["label"].cat.categories) == ["Control", "ASD"]  # the first is the reference


@pytest.mark.real
def test_content_is_that_of_the_cohort_that_was_prepared_elsewhere(adata, data_dir):
    prepared = ad.read_h5ad(data_dir / "autism_velmeshev.h5ad")
    assert list(adata.obs_names) == list(prepared.obs_names)
    for name in ("sample_id", "patient_id", "label", "batch", "cell_type"):
        assert (adata.obs[name].astype(str) == prepared.obs[name].astype(str)).all()
    common = adata[:, prepared.var_names]  # genes that are in hardly any nucleus are not among them
    assert (common.X != prepared.X).nnz == 0
    assert adata.X.dtype == np.float32
    left_out = np.asarray((adata.X > 0).sum(axis=0)).ravel()[~adata.var_names.isin(prepared.var_names)]
    assert left_out.max() < 5
