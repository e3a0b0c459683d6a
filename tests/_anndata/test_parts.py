"""What is done to cells where they are read: in memory, on disk, in dask chunks, in any number of threads."""

import anndata as ad
import dask.array as da
import numpy as np
import pytest
from _cells import MATRICES, make_adata
from scipy import sparse

from scggml._anndata import parts as _parts
from scggml._anndata.features import read_features
from scggml._anndata.parts import check_finite, embed_cells

W = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])


@pytest.fixture
def adata():
    return make_adata()


@pytest.mark.parametrize("rows", [1, 6, 20, 4096])
@pytest.mark.parametrize("kind", MATRICES)
def test_cells_are_embedded_by_a_product_in_any_number_of_pieces(adata, kind, rows, monkeypatch):
    truth = adata.X @ W.T
    adata.X = MATRICES[kind](adata.X)
    monkeypatch.setattr(_parts, "ROWS", rows)
    embedded = embed_cells(read_features(adata), W)
    assert embedded.dtype == np.float64
    np.testing.assert_allclose(embedded, truth, rtol=1e-12)


def test_cells_on_disk_and_in_chunks_are_embedded_alike(tmp_path):
    adata = make_adata(np.float32)
    truth = embed_cells(read_features(adata), W)
    adata.write_h5ad(tmp_path / "cohort.h5ad")
    backed = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    np.testing.assert_array_equal(embed_cells(read_features(backed), W), truth)
    backed.file.close()
    adata.X = da.from_array(adata.X, chunks=(6, 2))
    np.testing.assert_array_equal(embed_cells(read_features(adata), W), truth)


def test_all_cells_are_checked_and_embedded_ones_too(adata):
    check_finite(read_features(adata))
    adata.X[[19, 4], 2] = np.inf
    message = r"adata\.X has 2 values that are NaN or infinite; the first is in cell 'cell4', feature 'g2'"
    with pytest.raises(ValueError, match=message):
        check_finite(read_features(adata))
    with pytest.raises(ValueError, match=message):
        embed_cells(read_features(adata), W)


@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
@pytest.mark.parametrize("where", ["memory", "disk", "dask"])
def test_coordinates_are_the_same_to_the_bit_wherever_cells_are_and_in_any_number_of_threads(
    kind, where, tmp_path, monkeypatch
):
    adata = make_adata(np.float32)
    truth = embed_cells(read_features(adata), W)
    if kind != "dense":
        adata.X = getattr(sparse, f"{kind}_matrix")(adata.X)
    if where == "disk":
        adata.write_h5ad(tmp_path / "cohort.h5ad")
        adata = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    elif where == "dask":
        adata.X = da.from_array(make_adata(np.float32).X, chunks=(6, -1 if kind == "csc" else 2))
        if kind != "dense":
            adata.X = adata.X.map_blocks(getattr(sparse, f"{kind}_matrix"))
    for rows, n_jobs in ((4096, 1), (7, 1), (7, 3), (1, None)):
        monkeypatch.setattr(_parts, "ROWS", rows)
        assert embed_cells(read_features(adata), W, n_jobs).tobytes() == truth.tobytes()
    if where == "disk":
        adata.file.close()
