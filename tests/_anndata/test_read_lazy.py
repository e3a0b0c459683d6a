"""Files on disk and dask chunks: the same cohort, and one sample at a time."""

import tracemalloc

import anndata as ad
import dask.array as da
import numpy as np
import pytest
from _cells import SIZES, assert_same, make_adata, read
from anndata import AnnData
from scipy import sparse

from scggml._anndata import read as _read
from scggml._anndata.read import read_cohort, read_features


@pytest.fixture(params=["dense", "csr", "csc"])
def on_disk(request, tmp_path):
    """An AnnData in memory and the same on disk."""
    adata = make_adata(np.float32)
    stored = adata.copy()
    if request.param != "dense":
        stored.X = getattr(sparse, f"{request.param}_matrix")(adata.X)
    stored.layers["log"] = stored.X
    stored.write_h5ad(tmp_path / "cohort.h5ad")
    backed = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    yield adata, backed
    backed.file.close()


@pytest.fixture(params=["dense", "csr", "csc"])
def in_chunks(request):
    """An AnnData in memory and the same in dask chunks that no sample fits."""
    adata = make_adata(np.float32)
    lazy = adata.copy()
    lazy.X = da.from_array(adata.X, chunks=(6, 2 if request.param == "dense" else -1))
    if request.param != "dense":
        lazy.X = lazy.X.map_blocks(getattr(sparse, f"{request.param}_matrix"))
    lazy.obsm["lazy"] = lazy.X
    return adata, lazy


OPTIONS = [{}, {"n_cells": 2}, {"mask_var": np.array([True, False, True])}, {"weights_key": "weight"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_file_on_disk_is_read_as_if_it_were_in_memory(on_disk, options):
    adata, backed = on_disk
    assert_same(read(backed, **options), read(adata, **options))
    assert backed.isbacked


def test_a_view_on_a_file_is_read_as_if_it_were_in_memory(on_disk):
    adata, backed = on_disk
    keep = (adata.obs["sample"] != "p0").to_numpy()
    assert_same(read(backed[keep, ["g2", "g0"]]), read(adata[keep, ["g2", "g0"]]))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_chunks_are_read_as_if_they_were_in_memory(in_chunks, options):
    adata, lazy = in_chunks
    assert_same(read(lazy, **options), read(adata, **options))
    assert isinstance(lazy.X, da.Array)
    if "mask_var" not in options:
        assert_same(read(lazy, use_rep="lazy", **options), read(adata, **options))


def test_a_table_on_disk_is_read_in_pieces_and_in_order(on_disk, monkeypatch):
    adata, backed = on_disk
    monkeypatch.setattr(_read, "ROWS", 6)
    pieces = list(read_features(backed).in_order())
    assert [rows.stop - rows.start for rows, _ in pieces] == [6, 6, 6, 2]
    np.testing.assert_array_equal(np.concatenate([block for _, block in pieces]), adata.X)


class Recorder:
    """A matrix that notes how many rows are asked for at a time."""

    def __init__(self, matrix):
        self.matrix, self.dtype, self.shape, self.asked = matrix, matrix.dtype, matrix.shape, []

    def __getitem__(self, index):
        self.asked.append(len(index))
        return self.matrix[index]


def recorded(adata, **options):
    features = read_features(adata)
    recorder = Recorder(features.matrix)
    object.__setattr__(features, "matrix", recorder)
    read_cohort(adata, features, "sample", "label", rng=np.random.default_rng(0), **options)
    return recorder.asked


def test_a_file_on_disk_is_read_sample_by_sample(on_disk):
    _, backed = on_disk
    assert recorded(backed) == list(SIZES.values())
    assert recorded(backed, n_cells=5) == [4, 5, 3, 5]


def test_chunks_are_computed_sample_by_sample(in_chunks, monkeypatch):
    _, lazy = in_chunks
    computed = []
    compute = da.Array.compute

    def noting(self, **options):
        computed.append(self.shape[0])
        return compute(self, **options)

    monkeypatch.setattr(da.Array, "compute", noting)
    assert recorded(lazy) == computed == list(SIZES.values())


@pytest.mark.parametrize(
    ("kind", "where"), [("csr", "memory"), ("csc", "memory"), ("dense", "disk"), ("csr", "disk"), ("csc", "disk")]
)
def test_no_more_than_a_sample_is_dense_at_a_time(tmp_path, kind, where):
    n_samples, n, d = 20, 100, 1000
    X = sparse.random(n_samples * n, d, density=0.002, format="csr", dtype=np.float32, random_state=0)
    adata = AnnData(X.toarray() if kind == "dense" else X.asformat(kind))
    adata.obs["sample"] = np.tile(np.arange(n_samples), n)
    adata.obs["label"] = adata.obs["sample"] % 2
    if where == "disk":
        adata.write_h5ad(tmp_path / "cohort.h5ad")
        adata = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    everything = n_samples * n * d * 4
    tracemalloc.start()
    try:
        cohort = read(adata, n_cells=5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        adata.file.close()
    assert cohort.points.nbytes == everything // 20
    assert peak < everything / 5
