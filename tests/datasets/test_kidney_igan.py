import hashlib

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scggml import datasets
from scggml.datasets import _kidney_igan

COMMIT = "0a8bd1ec3540d2f0dba22f74cdc53893084b128a"


def test_source():
    folder, name = _kidney_igan.URL.rsplit("/", 1)
    assert folder == f"https://raw.githubusercontent.com/CostaLab/PILOT/{COMMIT}/Tutorial/Datasets"
    assert name == _kidney_igan.NAME == "Kidney_IgAN_G.h5ad"


def test_another_file_is_refused(server, answer, cache, h5ad, monkeypatch):
    monkeypatch.setattr(_kidney_igan, "URL", server.set("/Kidney_IgAN_G.h5ad", answer(h5ad)))
    with pytest.raises(ValueError, match=r"expected sha256:1501dc1b.* but got"):
        datasets.kidney_igan()
    assert list(cache.iterdir()) == []


@pytest.fixture(scope="module")
def path(data_dir):
    return data_dir / "downloads" / "Kidney_IgAN_G.h5ad"


@pytest.fixture
def adata(path, cache, monkeypatch):
    """The real file, found in the cache. There is no network."""
    cache.mkdir()
    (cache / path.name).symlink_to(path)
    monkeypatch.setattr(_kidney_igan, "URL", "http://127.0.0.1:9/Kidney_IgAN_G.h5ad")
    return datasets.kidney_igan()


@pytest.mark.real
def test_the_hash_is_that_of_the_file(path):
    assert hashlib.sha256(path.read_bytes()).hexdigest() == _kidney_igan.SHA256


@pytest.mark.real
def test_samples_and_labels(adata):
    assert adata.shape == (24227, 14)
    samples = adata.obs.groupby("sampleID", observed=True)
    assert (samples[["status", "sex", "Age"]].nunique() == 1).all(axis=None)
    assert (samples.size().min(), samples.size().max()) == (2, 415)
    labels = samples["status"].first()
    assert labels.cat.ordered
    assert labels.value_counts(sort=False).to_dict() == {"<30": 57, "30-60": 177, ">60": 400}


@pytest.mark.real
def test_content_is_that_of_the_file(adata, path):
    published = ad.read_h5ad(path)
    np.testing.assert_array_equal(adata.X, published.X)
    assert adata.X.dtype == np.float32
    pd.testing.assert_frame_equal(adata.var, published.var)
    pd.testing.assert_frame_equal(adata.obs.astype({"status": str}), published.obs.astype({"status": str}))


@pytest.mark.real
def test_it_can_be_written(adata, tmp_path):
    adata.write_h5ad(tmp_path / "again.h5ad")
    pd.testing.assert_frame_equal(ad.read_h5ad(tmp_path / "again.h5ad").obs, adata.obs)
