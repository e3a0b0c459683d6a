"""Expression of genes: brought to a logarithmic scale, and multiplied sample by sample."""

from itertools import pairwise

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _cells import MATRICES
from anndata import AnnData
from scipy import sparse

import scggml as sg
from scggml._anndata.expression import (
    Expression,
    _sums,
    averaged,
    deviations,
    log_normalized,
    read_expression,
    read_sums,
    spread_of,
)
from scggml._anndata.features import read_features
from scggml._anndata.metric import read_metric
from scggml._anndata.selection import select


def raw(dtype=np.float64):
    """30 cells of 4 samples, in turn, with counts of 7 genes; two cells are empty."""
    rng = np.random.default_rng(0)
    X = rng.poisson(rng.uniform(0.2, 4, 7), size=(30, 7)).astype(dtype)
    X[[4, 17]] = 0
    sample = np.array(["p2", "p0", "p3", "p1"])[np.arange(30) % 4]
    sample[:6] = "p0"
    obs = pd.DataFrame({"sample": sample, "weight": rng.uniform(0.5, 2, 30)}, index=[f"c{i}" for i in range(30)])
    obs["label"] = np.where(np.isin(sample, ["p2", "p3"]), "ill", "well")
    return AnnData(X, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(7)]))


def normalized(adata):
    """By scanpy."""
    out = AnnData(np.array(adata.X, dtype=np.float64), obs=adata.obs, var=adata.var)
    with pytest.warns(UserWarning, match="zero counts"):
        sc.pp.normalize_total(out, target_sum=1e4)
    sc.pp.log1p(out)
    return out.X


def samples_of(adata, **options):
    """The rows of each sample and numbers of its cells, of which the weights are the first."""
    selection = select(adata, "sample", rng=np.random.default_rng(0), **options)
    spans = [slice(start, stop) for start, stop in pairwise(selection.offsets)]
    others = np.random.default_rng(1).normal(size=(len(selection.rows), 3))
    numbers = np.column_stack([selection.weights, others])
    return selection, [selection.rows[own] for own in spans], [numbers[own] for own in spans]


# Counts


@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_counts_are_normalized_as_scanpy_does(kind, dtype):
    adata = raw(dtype)
    block = MATRICES[kind](adata.X)
    before = block.copy()
    found = log_normalized(block)
    assert sparse.issparse(found) == sparse.issparse(block)
    values = found.toarray() if sparse.issparse(found) else found
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, normalized(adata), rtol=1e-6)
    np.testing.assert_array_equal(values[[4, 17]], np.zeros((2, 7)))
    assert (block != before).sum() == 0


def test_a_cell_has_ten_thousand_counts():
    found = np.expm1(log_normalized(raw().X)).sum(axis=1)
    np.testing.assert_allclose(np.delete(found, [4, 17]), 1e4)


# Sums


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", MATRICES)
def test_sums_of_samples_are_those_written_out(kind, dtype, counts):
    adata = raw(dtype)
    truth = normalized(adata) if counts else adata.X.astype(np.float64)
    adata.X = MATRICES[kind](adata.X)
    _, rows, numbers = samples_of(adata, weights_key="weight")
    found = list(read_sums(Expression(read_features(adata), counts), rows, numbers, 1))
    assert len(found) == 4
    for sums, own, factors in zip(found, rows, numbers, strict=True):
        np.testing.assert_allclose(sums.products, factors.T @ truth[own], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(sums.squares, factors[:, 0] @ truth[own] ** 2, rtol=1e-6)
        np.testing.assert_allclose(sums.totals, factors.sum(axis=0))


@pytest.mark.parametrize("kind", ["C order", "csr_matrix", "csc_matrix"])
def test_a_file_gives_the_sums_of_memory(kind, tmp_path):
    adata = raw(np.float32)
    adata.X = MATRICES[kind](adata.X)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    _, rows, numbers = samples_of(adata)
    for counts in (False, True):
        truth = read_sums(Expression(read_features(adata), counts), rows, numbers, 1)
        found = read_sums(Expression(read_features(backed), counts), rows, numbers, 2)
        for one, other in zip(found, truth, strict=True):
            for name, value in vars(other).items():
                np.testing.assert_array_equal(getattr(one, name), value)
    backed.file.close()


@pytest.mark.parametrize("kind", ["C order", "csr_matrix"])
def test_any_number_of_threads_gives_the_same_bits(kind):
    adata = raw(np.float32)
    adata.X = MATRICES[kind](adata.X)
    selection, rows, numbers = samples_of(adata)
    expression = Expression(read_features(adata), True)
    first, second, third = (list(read_sums(expression, rows, numbers, n_jobs)) for n_jobs in (1, 2, 4))
    for one, other, more in zip(first, second, third, strict=True):
        for name, value in vars(one).items():
            np.testing.assert_array_equal(getattr(other, name), value)
            np.testing.assert_array_equal(getattr(more, name), value)
    spreads = [spread_of(expression, selection, n_jobs) for n_jobs in (1, 3)]
    np.testing.assert_array_equal(*spreads)


def test_many_cells_are_multiplied_a_part_at_a_time(monkeypatch):
    adata = raw()
    _, rows, numbers = samples_of(adata)
    expression = Expression(read_features(adata), True)
    truth = list(read_sums(expression, rows, numbers, 1))
    monkeypatch.setattr("scggml._anndata.expression.ROWS", 3)
    for found, one in zip(read_sums(expression, rows, numbers, 1), truth, strict=True):
        np.testing.assert_allclose(found.products, one.products, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.squares, one.squares, rtol=1e-12)


@pytest.mark.parametrize("kind", ["C order", "csr_matrix"])
@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named_with_its_place(kind, counts, bad):
    adata = raw()
    adata.X[[9, 21, 22], [3, 1, 0]] = bad
    adata.X = MATRICES[kind](adata.X)
    _, rows, numbers = samples_of(adata)
    sums = read_sums(Expression(read_features(adata), counts), rows, numbers, 2)
    with pytest.raises(ValueError, match=r"adata\.X has 3 values that are NaN or infinite.* cell 'c9', feature 'g3'"):
        list(sums)


def test_cells_that_are_not_used_may_hold_anything():
    adata = raw()
    _, rows, numbers = samples_of(adata)
    adata.X[rows[0][0]] = np.nan
    rows, numbers = [rows[0][1:], *rows[1:]], [numbers[0][1:], *numbers[1:]]
    sums = read_sums(Expression(read_features(adata), True), rows, numbers, 1)
    assert all(np.isfinite(one.products).all() for one in sums)


# Means and spreads


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("kind", ["C order", "csr_array"])
def test_means_by_shares_are_those_written_out(kind, counts):
    adata = raw()
    truth = normalized(adata) if counts else adata.X
    adata.X = MATRICES[kind](adata.X)
    _, rows, _ = samples_of(adata)
    rng = np.random.default_rng(2)
    shares = [sparse.csr_array(rng.uniform(size=(2, len(own))) * rng.integers(2, size=(2, len(own)))) for own in rows]
    found = list(averaged(Expression(read_features(adata), counts), rows, shares, 2))
    for mean, own, share in zip(found, rows, shares, strict=True):
        assert mean.dtype == np.float32
        values = mean.toarray() if sparse.issparse(mean) else mean
        np.testing.assert_allclose(values, share.toarray() @ truth[own], rtol=1e-5)


@pytest.mark.parametrize("counts", [False, True])
def test_the_spread_of_genes_counts_samples_equally(counts):
    adata = raw()
    adata.X[:, 5] = 0  # never varies
    values = normalized(adata) if counts else adata.X
    selection, rows, numbers = samples_of(adata, weights_key="weight")
    mean = np.mean([own[:, 0] @ values[cells] for cells, own in zip(rows, numbers, strict=True)], axis=0)
    squares = [own[:, 0] @ (values[cells] - mean) ** 2 for cells, own in zip(rows, numbers, strict=True)]
    found = spread_of(Expression(read_features(adata), counts), selection, 1)
    np.testing.assert_allclose(found, np.sqrt(np.mean(squares, axis=0)), rtol=1e-6)
    assert found[5] == 0


def test_a_spread_of_rounding_is_none():
    means = np.array([3.0, 1 / 3, 0.0, 2.0])
    squares = np.array([9.0 * (1 + 1e-14), 1 / 9 * (1 - 1e-15), 0.0, 5.0])
    np.testing.assert_array_equal(deviations(means, squares), [0, 0, 0, 1])


# What is taken for expression


def learned(adata, **options):
    sg.tl.ggml(adata, "sample", "label", progress=False, **options)
    return read_metric(adata, "ggml")


def with_rep(adata):
    adata.obsm["latent"] = np.random.default_rng(3).normal(size=(adata.n_obs, 3))
    return adata


@pytest.mark.parametrize("kind", ["C order", "csr_matrix"])
def test_whole_numbers_above_1_are_raw_counts(kind):
    adata = with_rep(raw())
    stored = learned(adata, use_rep="latent")
    counts, log = adata.X.copy(), normalized(adata)
    for values, truth in (
        (counts, True),
        (counts.astype(np.int32), True),
        (log, False),
        ((counts > 0).astype(float), False),
        (counts - 1, False),
        (counts + 0.5, False),
    ):
        adata.X = MATRICES[kind](values)
        found = read_expression(adata, stored)
        assert (found.counts, found.of_genes, found.n_genes) == (truth, True, 7)


def test_a_layer_takes_the_place_of_x():
    adata = with_rep(raw())
    adata.layers["log"], adata.layers["raw"] = normalized(adata), adata.X.copy()
    stored = learned(adata, use_rep="latent")
    assert read_expression(adata, stored, "raw").counts
    found = read_expression(adata, stored, "log")
    assert not found.counts
    np.testing.assert_array_equal(found.features.rows(np.arange(30)), adata.layers["log"])
    with pytest.raises(KeyError, match=r"layer='other' is not in adata\.layers"):
        read_expression(adata, stored, "other")


def test_a_metric_of_a_layer_takes_it_again():
    adata = raw()
    adata.layers["log"] = normalized(adata)
    stored = learned(adata, layer="log", n_comps=2)
    assert read_expression(adata, stored).features.slot == "adata.layers['log']"


def test_all_genes_are_read_where_the_metric_used_some():
    adata = raw()
    adata.X = normalized(adata)
    adata.var["highly_variable"] = np.arange(7) % 2 == 0
    stored = learned(adata, n_comps=2)
    assert len(stored.features) == 4
    assert read_expression(adata, stored).features.names.tolist() == adata.var_names.tolist()


def test_without_expression_features_stand_for_genes():
    adata = with_rep(raw())
    adata.layers["raw"] = adata.X
    adata = AnnData(obs=adata.obs, var=adata.var, obsm=dict(adata.obsm), layers=dict(adata.layers))
    assert adata.X is None
    stored = learned(adata, use_rep="latent")
    found = read_expression(adata, stored)
    assert (found.of_genes, found.counts) == (False, False)
    assert found.features.names.tolist() == ["latent_0", "latent_1", "latent_2"]
    assert read_expression(adata, stored, "raw").of_genes


def unaligned(values):
    """Return the same numbers where no number of their size begins, as in what comes from another process."""
    out = np.empty(values.nbytes + 2, dtype=np.uint8)[2:].view(values.dtype).reshape(values.shape)
    out[...] = values
    assert not out.flags.aligned
    return out


@pytest.mark.parametrize("n_factors", [1, 2, 5])
@pytest.mark.parametrize("n_cells", [7, 60, 250])
def test_sums_have_the_same_bits_wherever_and_in_any_order_in_memory(n_cells, n_factors):
    rng = np.random.default_rng(0)
    block = np.where(rng.random((n_cells, 41)) < 0.5, 0, rng.normal(size=(n_cells, 41))).astype(np.float32)
    factors = rng.normal(size=(n_cells, n_factors))
    others = [(values, np.asfortranarray(values), unaligned(values)) for values in (block, factors)]
    found = [_sums(b, f) for b in others[0] for f in others[1]]
    assert len({sums.products.tobytes() for sums in found}) == 1
    assert len({sums.squares.tobytes() for sums in found}) == 1
