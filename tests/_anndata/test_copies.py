"""Copies of a sample under two donors are found, whatever the matrix is."""

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from _cells import MATRICES
from anndata import AnnData

from scggml._anndata import copies as _copies
from scggml._anndata.copies import check_copies, check_new
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


def check(adata, groups=(0, 1, 2), mask_var=None, **options):
    selection = select(adata, "sample", rng=np.random.default_rng(0), **options)
    check_copies(selection, read_features(adata, mask_var=mask_var), np.array(groups))


def refused(adata, **options):
    """Whether samples count as copies of each other."""
    try:
        check(adata, **options)
    except ValueError as error:
        return "share" in str(error)
    return False


def test_samples_that_share_half_of_their_cells_are_named():
    message = (
        r"Samples 'a' and 'c' share 20 cells but count as different donors, .* Leave one out, or pass a groups_key"
    )
    with pytest.raises(ValueError, match=message):
        check(make(1.0))
    with pytest.raises(ValueError, match="share 11 cells"):
        check(make(0.55))
    assert not refused(make(0.5))
    assert not refused(make(0.0))


def test_samples_of_one_donor_may_be_copies():
    assert refused(make(1.0), groups=(0, 1, 2))
    assert not refused(make(1.0), groups=(0, 1, 0))


def test_cells_that_many_samples_have_are_no_sign_of_a_copy():
    assert not refused(make(0.0, empty=15))


@pytest.mark.parametrize("times", [2, 3, 5])
def test_copies_under_several_names_are_found(times):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(60, 4))] * times)
    obs = pd.DataFrame({"sample": [f"{'abc'[i % 60 // 20]}{i // 60}" for i in range(len(X))]})
    obs.index = [f"cell{i}" for i in range(len(X))]
    with pytest.raises(ValueError, match="Samples 'a0' and 'a1' share 20 cells"):
        check(AnnData(X, obs=obs), groups=range(3 * times))


@pytest.mark.parametrize("n_values", [2, 3, 5])
def test_cells_of_few_values_are_no_copies(n_values):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        shares = rng.dirichlet(np.ones(n_values**4), 8)
        grid = np.stack(np.meshgrid(*[np.arange(n_values)] * 4), axis=-1).reshape(-1, 4)
        X = np.concatenate([grid[rng.choice(len(grid), 40, p=share)] for share in shares]).astype(np.float32)
        obs = pd.DataFrame({"sample": np.repeat(list("abcdefgh"), 40)}, index=[f"cell{i}" for i in range(320)])
        assert not refused(AnnData(X, obs=obs), groups=range(8))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_new_samples_that_are_those_of_the_reference_are_named(dtype):
    known = make(0.0)
    new = ad.concat({"n": make(0.0, seed=1)[:20], "o": known[20:40]}, index_unique="-")
    new.obs["sample"] = np.repeat(["n", "o"], 20)
    new.X = new.X.astype(dtype)
    chosen = [select(adata, "sample", rng=np.random.default_rng(0)) for adata in (new, known)]
    given = chosen[0], read_features(new), chosen[1], read_features(known)
    with pytest.raises(ValueError, match=r"1 of 2 samples of adata are samples of the reference: 'o' shares 20 .* 'b'"):
        check_new(*given)
    fresh = new[:20].copy()
    check_new(select(fresh, "sample", rng=np.random.default_rng(0)), read_features(fresh), *given[2:])


def test_all_cells_are_looked_at_whichever_are_drawn():
    with pytest.raises(ValueError, match="share 20 cells"):
        check(make(1.0), n_cells=1)


def test_samples_that_are_left_out_do_not_count():
    adata = make(1.0)
    assert not refused(adata[np.r_[0:40, 40:45]].copy(), groups=(0, 1), min_cells=6, quiet=True)


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


def spoil(adata, row, column, value):
    adata.X[row, column] = value


@pytest.mark.parametrize("value", [1e10, 1e30, -1e38, 1e-30])
def test_a_cell_far_from_all_others_hides_no_copy(value):
    adata = make(1.0)
    spoil(adata, 25, 1, value)
    with pytest.raises(ValueError, match="share 20 cells"):
        check(adata)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e10, 0.5])
@pytest.mark.parametrize("kind", MATRICES)
def test_a_gene_that_is_not_used_hides_no_copy(value, kind):
    adata = make(1.0)
    spoil(adata, slice(0, 20), 3, value)  # in all cells of the first sample
    adata.X = MATRICES[kind](adata.X)
    with pytest.raises(ValueError, match="share 20 cells"):
        check(adata, mask_var=np.array([True, True, True, False]))
    check(adata)


def test_the_order_of_cells_does_not_matter():
    adata = make(1.0)
    with pytest.raises(ValueError, match="share 20 cells"):
        check(adata[np.random.default_rng(1).permutation(adata.n_obs)].copy())


@pytest.mark.parametrize("kind", MATRICES)
def test_zeros_are_equal_however_they_are_stored(kind):
    adata = make(0.0)
    adata.X[:, :2] = np.abs(adata.X[:, :2])
    adata.X[0:20, 2:], adata.X[40:, 2:] = 0.0, -0.0
    adata.X[40:, :2] = adata.X[:20, :2]
    adata.X = MATRICES[kind](adata.X)
    with pytest.raises(ValueError, match="share 20 cells"):
        check(adata)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.uint8, np.bool_])
def test_cells_that_differ_in_one_value_are_told_apart(dtype):
    grid = np.stack(np.meshgrid(*[np.arange(2 if dtype is np.bool_ else 12)] * 4), axis=-1).reshape(-1, 4)
    marks = _copies._marks_of(grid.astype(dtype), np.random.default_rng(0).integers(2**63, size=4, dtype=np.uint64))
    assert len(np.unique(marks)) == len(grid)
    near = np.nextafter(np.float32(1), np.float32([0, 1, 2]))[:, None]
    assert len(np.unique(_copies._marks_of(near, np.array([7], dtype=np.uint64)))) == 3
