"""Matrices on disk: kept where they are small, else read in the order of the file."""

import anndata as ad
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from scggml._anndata import disk
from scggml._anndata.disk import at_hand, blocks, in_file_order, n_bytes, stack
from scggml._anndata.features import Features, read_features

N, D = 60, 7


def values():
    rng = np.random.default_rng(0)
    return (rng.standard_normal((N, D)) * (rng.random((N, D)) < 0.5)).astype(np.float32)


KINDS = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}


@pytest.fixture(params=KINDS)
def backed(request, tmp_path):
    AnnData(KINDS[request.param](values())).write_h5ad(tmp_path / "cohort.h5ad")
    found = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    yield found
    found.file.close()


@pytest.fixture
def asked(monkeypatch):
    """The rows that were read, one array for each time."""
    rows, block = [], Features.block

    def noting(self, index):
        rows.append(np.array(index))
        return block(self, index)

    monkeypatch.setattr(Features, "block", noting)
    return rows


def plain(block):
    return block.toarray() if sparse.issparse(block) else np.asarray(block)


@pytest.mark.parametrize("mask", [None, np.arange(D) % 3 == 1], ids=["all", "some"])
@pytest.mark.parametrize("rows", [7, 4096])
def test_a_small_matrix_on_disk_is_kept_as_it_is_stored(backed, mask, rows, monkeypatch):
    monkeypatch.setattr(disk, "ROWS", rows)
    features = read_features(backed, mask_var=mask)
    found = at_hand(features)
    truth = values() if mask is None else values()[:, mask]
    assert type(found.matrix) in (np.ndarray, sparse.csr_matrix)
    assert sparse.issparse(found.matrix) == (getattr(features.matrix, "format", "dense") != "dense")
    np.testing.assert_array_equal(plain(found.matrix), truth)
    np.testing.assert_array_equal(found.rows(np.arange(3, 9)), features.rows(np.arange(3, 9)))
    assert (found.dtype, found.slot, found.names.tolist()) == (np.float32, features.slot, features.names.tolist())


def test_a_large_matrix_on_disk_is_left_there_as_soon_as_that_is_clear(backed, asked, monkeypatch):
    features = read_features(backed)
    if getattr(features.matrix, "format", "dense") == "csc":
        pytest.skip("any row would bring all of it into memory")
    monkeypatch.setattr(disk, "ROWS", 6)
    monkeypatch.setattr(disk, "KEPT", n_bytes(at_hand(features).matrix) // 2)
    asked.clear()
    assert at_hand(features) is features
    assert sum(map(len, asked)) < N


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_memory_stays_as_it_is(kind):
    features = read_features(AnnData(KINDS[kind](values())))
    assert at_hand(features) is features


SAMPLES = {
    "in one piece": [np.arange(0, 20), np.arange(20, 23), np.arange(23, 60)],
    "in turn": [np.arange(start, N, 3) for start in range(3)],
    "some cells": [np.array([0, 30, 59]), np.array([7, 8])],
    "backwards": [np.arange(40, 60, 2), np.arange(0, 40, 3), np.array([1])],
}


@pytest.mark.parametrize("kept", [2**30, 700, 1])
@pytest.mark.parametrize("samples", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("rows", [7, 4096])
def test_samples_are_those_of_the_matrix_however_they_are_read(backed, samples, kept, rows, monkeypatch):
    monkeypatch.setattr(disk, "KEPT", kept)
    monkeypatch.setattr(disk, "ROWS", rows)
    found = list(blocks(read_features(backed), samples))
    assert len(found) == len(samples)
    for block, own in zip(found, samples, strict=True):
        np.testing.assert_array_equal(plain(block), values()[own])


def test_scattered_samples_are_read_in_one_pass_and_whole_ones_one_by_one(backed, asked, monkeypatch):
    features = read_features(backed)
    list(blocks(features, SAMPLES["in turn"]))
    assert [len(rows) for rows in asked] == [N, N]  # the first few rows tell the size
    asked.clear()
    monkeypatch.setattr(disk, "RUN", 1)
    list(blocks(features, SAMPLES["in one piece"]))
    assert [len(rows) for rows in asked] == [20, 3, 37]


def test_what_is_kept_at_a_time_bounds_how_many_samples_are_read_together(backed, asked, monkeypatch):
    features = read_features(backed)
    monkeypatch.setattr(disk, "KEPT", n_bytes(features.block(np.arange(N))) * 0.3)
    asked.clear()
    list(blocks(features, SAMPLES["in turn"]))
    assert len(asked) == 4  # a few rows for their size, and a pass for each sample


def test_rows_far_apart_are_read_alone(backed, asked):
    features = read_features(backed)
    found = in_file_order(features, np.array([0, 58, 59]))
    np.testing.assert_array_equal(plain(found), values()[[0, 58, 59]])
    assert [rows.tolist() for rows in asked] == [[0, 58, 59]]


def test_no_sample_is_no_block(backed):
    assert list(blocks(read_features(backed), [])) == []


def test_the_size_of_a_block_is_that_of_its_arrays():
    assert n_bytes(values()) == N * D * 4
    rows = sparse.csr_matrix(values())
    assert n_bytes(rows) == rows.nnz * 8 + (N + 1) * 4
    np.testing.assert_array_equal(stack([rows[:3], rows[3:5]]).toarray(), values()[:5])
