"""Copies of a sample under two donors are found, whatever the matrix is."""

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from _cells import MATRICES
from anndata import AnnData

from scggml._anndata import copies as _copies
from scggml._anndata.copies import check_copies
from scggml._anndata.features import read_features
from scggml._anndata.selection import select


def make(share, *, n=20, empty=0, seed=0):
    """Three samples of n cells; the last one has a share of the cells of the first, and all have empty cells."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3, n, 4))
    kept = rng.permutation(n)[: round(share * n)]
    X[2, : len(kept)] = X[0, kept]
    X[:, n - empty :] = 0.0
    obs = pd.DataFrame({"sample": np.repeat(["a", "b", "c"], n)}, index=[f"cell{i}" for i in range(3 * n)])
    return AnnData(X.reshape(-1, 4).astype(np.float32), obs=obs)


def check(adata, groups=(0, 1, 2), **options):
    selection = select(adata, "sample", rng=np.random.default_rng(0), **options)
    check_copies(selection, read_features(adata), np.array(groups))


def test_samples_that_share_half_of_their_cells_are_named():
    message = (
        r"Samples 'a' and 'c' share 20 cells but count as different donors, .* Leave one out, or pass a groups_key"
    )
    with pytest.raises(ValueError, match=message):
        check(make(1.0))
    with pytest.raises(ValueError, match="share 11 cells"):
        check(make(0.55))
    check(make(0.5))
    check(make(0.0))


def test_samples_of_one_donor_may_be_copies():
    check(make(1.0), groups=(0, 1, 0))


def test_cells_that_many_samples_have_are_no_sign_of_a_copy():
    check(make(0.0, empty=15))


def test_all_cells_are_looked_at_whichever_are_drawn():
    with pytest.raises(ValueError, match="share 20 cells"):
        check(make(1.0), n_cells=1)


def test_samples_that_are_left_out_do_not_count():
    adata = make(1.0)
    check(adata[np.r_[0:40, 40:45]].copy(), groups=(0, 1), min_cells=6, quiet=True)


@pytest.mark.parametrize("kind", [*MATRICES, "dask", "disk"])
def test_copies_are_found_in_any_storage_and_any_pieces(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(_copies, "ROWS", 7)
    adata = make(0.8)
    if kind == "dask":
        adata.X = da.from_array(adata.X, chunks=(6, -1))
    elif kind == "disk":
        adata.write_h5ad(tmp_path / "cohort.h5ad")
        adata = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    else:
        adata.X = MATRICES[kind](adata.X)
    with pytest.raises(ValueError, match="share 16 cells"):
        check(adata)
    if kind == "disk":
        adata.file.close()
