import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scggml import datasets
from scggml.datasets import _glioblastoma


def test_source():
    commit = "0e62bc1287b17deec678f7db435ec09098a475f2"
    assert _glioblastoma.URL.startswith(f"https://raw.githubusercontent.com/const-ae/lemur/{commit}/data/")


def test_another_file_is_refused(server, answer, cache, monkeypatch):
    monkeypatch.setattr(_glioblastoma, "URL", server.set("/slices.rda", answer(b"RDX3\n")))
    with pytest.raises(ValueError, match=r"\(slices.rda\) has another hash: expected sha256:4e56d9cf"):
        datasets.glioblastoma()
    assert list(cache.iterdir()) == []


@pytest.fixture
def adata(downloads, monkeypatch):
    monkeypatch.setattr(_glioblastoma, "URL", "http://127.0.0.1:9/glioblastoma_example_data.rda")
    return datasets.glioblastoma()


@pytest.mark.real
def test_each_patient_has_a_slice_of_each_label(adata):
    assert adata.shape == (5000, 300)
    slices = adata.obs.drop_duplicates("sample_id")
    pairs = pd.crosstab(slices["patient_id"], slices["label"])
    assert pairs.shape == (5, 2)
    assert (pairs == 1).all(axis=None)
    assert (adata.obs["sample_id"].value_counts() == 500).all()


@pytest.mark.real
def test_content_is_that_of_the_cohort_that_was_prepared_elsewhere(adata, data_dir):
    prepared = ad.read_h5ad(data_dir / "gbm_panobinostat_lemur.h5ad")
    assert list(adata.obs_names) == [name.split(".")[0] for name in prepared.obs_names]  # .1: seen in another slice
    assert list(adata.var_names) == list(prepared.var_names)
    assert (adata.X != prepared.X).nnz == 0
    assert adata.X.dtype == np.float32
    for name in ("sample_id", "patient_id", "label", "age", "sex", "location"):
        assert list(adata.obs[name].astype(str)) == list(prepared.obs[name].astype(str))
    assert list(adata.var["ensembl_id"]) == list(prepared.var["ensembl_id"])


@pytest.mark.real
def test_it_can_be_written(adata, tmp_path):
    adata.write_h5ad(tmp_path / "again.h5ad")
    again = ad.read_h5ad(tmp_path / "again.h5ad")
    pd.testing.assert_frame_equal(again.obs, adata.obs)
    pd.testing.assert_frame_equal(again.var, adata.var)
