"""Matrices of dask chunks: worked on where they lie, in pieces that are bounded."""

import dask
import dask.array as da
import numpy as np
import pytest
from _cells import assert_same, chosen, make_adata, read
from scipy import sparse

from scggml._anndata import lazy as _lazy
from scggml._anndata.features import read_features
from scggml._anndata.lazy import on_chunks, on_samples
from scggml._anndata.parts import check_finite
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.gaussian import Gaussian
from scggml._core.transport.groups import Groups
from scggml._core.transport.mixture import Mixture

CHUNKS = {"rows": (6, -1), "columns": (6, 2), "one": (-1, -1), "uneven": ((1, 12, 7), -1), "single": (1, 1)}


def in_chunks(adata, kind, chunks):
    lazy = adata.copy()
    lazy.X = da.from_array(adata.X, chunks=chunks)
    if kind != "dense":
        lazy.X = lazy.X.map_blocks(getattr(sparse, f"{kind}_matrix"), dtype=adata.X.dtype)
    return lazy


@pytest.fixture
def not_here(monkeypatch):
    """Rows must not be computed for this process."""

    def refuse(self, *args, **options):
        raise AssertionError("rows were computed")

    monkeypatch.setattr(da.Array, "compute", refuse)
    monkeypatch.setattr(da.Array, "__array__", refuse)


OPTIONS = [
    {"summary": Coreset(4)},
    {"summary": Coreset(4), "weights_key": "weight", "mask_var": np.array([True, False, True])},
    {"components": np.array([[1.0, 2.0, -1.0]]), "n_cells": 5},
    {"components": np.array([[1.0, 2.0, -1.0]]), "summary": Coreset(3)},
    {"summary": Groups("label"), "weights_key": "weight"},
    {"summary": Groups("weight", shared=False), "components": np.array([[1.0, 2.0, -1.0]])},
    {"summary": Gaussian(), "weights_key": "weight"},
    {"summary": Mixture(2), "weights_key": "weight"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
def test_samples_are_those_of_memory_to_the_bit(kind, chunks, options, not_here):
    adata = make_adata(np.float32)
    assert_same(read(in_chunks(adata, kind, chunks), **options), read(adata, **options))


@pytest.mark.parametrize("at_once", [1, 60, 2**30])
@pytest.mark.parametrize("n_jobs", [1, 2, None])
def test_any_amount_at_once_and_any_number_of_threads_give_the_same(at_once, n_jobs, monkeypatch):
    adata, computed = make_adata(np.float32), []
    compute = dask.base.compute

    def noting(*tasks, **options):
        computed.append((len(tasks), dask.config.get("num_workers", None)))
        return compute(*tasks, **options)

    monkeypatch.setattr(_lazy, "AT_ONCE", at_once)
    truth = chosen(adata).read(read_features(adata), summary=Coreset(4), rng=np.random.default_rng(0))
    monkeypatch.setattr(dask.base, "compute", noting)
    features = read_features(in_chunks(adata, "csr", (6, -1)))
    found = chosen(adata).read(features, summary=Coreset(4), rng=np.random.default_rng(0), n_jobs=n_jobs)
    assert_same(found, truth)
    assert sum(n for n, _ in computed) == 4
    assert {threads for _, threads in computed} == {n_jobs}
    assert len(computed) == (4 if at_once == 1 else 1 if at_once == 2**30 else len(computed))


def test_the_rows_of_a_sample_are_taken_from_its_chunks_alone():
    adata, touched = make_adata(np.float32), set()

    def note(block, block_info=None):
        touched.add(block_info[0]["chunk-location"][0])
        return block

    lazy = in_chunks(adata, "dense", (5, -1))
    lazy.X = lazy.X.map_blocks(note, dtype=np.float32, meta=np.empty((0, 0), np.float32))
    touched.clear()
    features = read_features(lazy)
    (found,) = on_samples(features, [np.array([1, 3, 12])], lambda block, scale: block * scale, [(2.0,)], 1)
    np.testing.assert_array_equal(found, 2 * adata.X[[1, 3, 12]])
    assert touched == {0, 2}


def test_chunks_come_in_their_order_with_their_rows():
    adata = make_adata(np.float32)
    features = read_features(in_chunks(adata, "csr", ((1, 12, 7), 2)))
    found = list(on_chunks(features, lambda block: block.sum(), 1))
    assert [(rows.start, rows.stop) for rows, _ in found] == [(0, 1), (1, 13), (13, 20)]
    for rows, total in found:
        assert total == pytest.approx(adata.X[rows].sum())


FAULT = r"adata\.X has 4 values .* the first is in cell 'cell5', feature 'g1'"


@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
@pytest.mark.parametrize("options", [{}, {"summary": Coreset(4)}, {"mask_var": np.array([False, True, True])}], ids=str)
def test_values_that_are_not_finite_are_told_as_in_memory(kind, options, not_here):
    adata = make_adata(np.float32)
    adata.X[[17, 5, 5, 11], [1, 2, 1, 1]] = np.nan
    lazy, messages = in_chunks(adata, kind, (6, 2)), []
    for each in (adata, lazy):
        with pytest.raises(ValueError, match=FAULT) as raised:
            read(each, **options)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    with pytest.raises(ValueError, match=FAULT):
        check_finite(read_features(lazy))


def test_chunks_of_unknown_size_are_refused_with_the_next_step():
    adata = make_adata(np.float32)
    features = read_features(adata)
    object.__setattr__(features, "matrix", da.from_array(adata.X)[da.from_array(adata.X[:, 0] >= 0)])
    with pytest.raises(ValueError, match=r"adata\.X has dask chunks of unknown size; call compute_chunk_sizes\(\)"):
        check_finite(features)
