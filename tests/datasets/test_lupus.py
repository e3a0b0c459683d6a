import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scggml import datasets
from scggml.datasets import _lupus

TYPES = {"B": "B", "CD4_memory": "CD4 memory", "Treg": "Treg"}


def test_source():
    commit = "35220c212e3f2fefd2fdbe3a007e9372baf244a4"
    assert f"https://raw.githubusercontent.com/jig4003/Ragas/{commit}/data/" == _lupus.URL


def test_another_file_is_refused(server, answer, cache, monkeypatch):
    monkeypatch.setattr(_lupus, "URL", f"{server.url}/")
    server.set("/csle.bcell.small.RData", answer(b"RDX2\n"))
    with pytest.raises(ValueError, match=r"\(csle.bcell.small.RData\) has another hash: expected sha256:9748876a"):
        datasets.lupus()
    assert list(cache.iterdir()) == []


def test_a_file_that_is_gone_is_named(server, cache, monkeypatch):
    monkeypatch.setattr(_lupus, "URL", f"{server.url}/")
    with pytest.raises(FileNotFoundError, match=r"does not hand out http.*/csle.bcell.small.RData: HTTP 404"):
        datasets.lupus()


@pytest.fixture
def adata(downloads, monkeypatch):
    monkeypatch.setattr(_lupus, "URL", "http://127.0.0.1:9/")
    return datasets.lupus()


@pytest.mark.real
def test_children_and_labels(adata):
    assert adata.shape == (1000, 1503)
    children = adata.obs.groupby("sample_id", observed=True)
    assert (children[["label", "batch", "age", "sex", "race"]].nunique() == 1).all(axis=None)
    assert (children.size().min(), children.size().max()) == (6, 38)
    assert children["label"].first().value_counts().to_dict() == {"cSLE": 33, "cHD": 11}
    table = pd.crosstab(children["label"].first(), children["batch"].first())
    assert table.loc["cHD", "B1"] == 0
    assert children["SLEDAI"].first().notna().sum() == 31


@pytest.mark.real
def test_content_is_that_of_the_cohort_that_was_prepared_elsewhere(adata, data_dir):
    prepared = ad.read_h5ad(data_dir / "csle_ragas.h5ad")
    assert list(adata.obs_names) == list(prepared.obs_names)
    assert list(adata.var_names) == list(prepared.var_names)
    assert (adata.X != prepared.X).nnz == 0
    assert adata.X.dtype == np.float32
    ours, theirs = adata.obs.astype(str), prepared.obs.astype(str)
    for name in ("sample_id", "label", "batch", "sex", "race"):
        assert (ours[name] == theirs[name]).all()
    np.testing.assert_array_equal(adata.obs["age"], prepared.obs["age"])
    types = theirs["cell_type"].map(TYPES)
    assert (ours["cell_type"] == types).all()
    assert (ours["subtype"] == types + " " + theirs["subtype"]).all()
    activity = pd.to_numeric(theirs["SLEDAI"], errors="coerce")
    np.testing.assert_array_equal(adata.obs["SLEDAI"], activity)


@pytest.mark.real
def test_it_can_be_written(adata, tmp_path):
    adata.write_h5ad(tmp_path / "again.h5ad")
    pd.testing.assert_frame_equal(ad.read_h5ad(tmp_path / "again.h5ad").obs, adata.obs)
