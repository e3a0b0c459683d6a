"""Few points of each sample with the expression of their genes."""

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml._anndata.points import read_points

QUIET = {"progress": False}


def cells(*, counts=False, is_sparse=False):
    """Six samples of 12 to 17 cells, in turn, with 9 genes and a representation of three dimensions."""
    rng = np.random.default_rng(0)
    sample = rng.permutation(np.repeat(np.arange(6), range(12, 18)))
    X = rng.poisson(2 + sample[:, None] % 2 * (np.arange(9) < 3), size=(len(sample), 9)).astype(np.float64)
    X = X if counts else X / 2 + 0.25 * (X > 0)
    obs = pd.DataFrame({"sample": [f"s{s}" for s in sample], "label": np.where(sample % 2, "ill", "well")})
    obs["weight"], obs["age"] = rng.uniform(0.5, 2, len(obs)), sample * 1.5
    obs.index = [f"c{i}" for i in range(len(obs))]
    adata = AnnData(sparse.csr_matrix(X) if is_sparse else X, obs=obs)
    adata.obsm["latent"] = X[:, :3] + rng.normal(size=(len(X), 3))
    return adata


def learn(adata, **options):
    sg.tl.ggml(adata, "sample", "label", **(QUIET | options))
    return read_metric(adata, "ggml")


def points_of(adata, stored, n_points=100, seed=0, n_jobs=1):
    return read_points(adata, stored, n_points, rng=np.random.default_rng(seed), n_jobs=n_jobs)


def dense(values):
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


def own_cells(adata, name):
    return np.flatnonzero(adata.obs["sample"] == name)


def normalized(adata):
    out = AnnData(dense(adata.X), obs=adata.obs)
    sc.pp.normalize_total(out, target_sum=1e4)
    sc.pp.log1p(out)
    return out.X


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("counts", [False, True])
def test_few_cells_are_points_with_their_expression(counts, is_sparse):
    adata = cells(counts=counts, is_sparse=is_sparse)
    found = points_of(adata, learn(adata, use_rep="latent"))
    truth = normalized(adata) if counts else dense(adata.X)
    assert sparse.issparse(found.expression) == is_sparse
    assert found.names.tolist() == adata.var_names.tolist()
    cohort = found.samples.cohort
    for p, name in enumerate(cohort.names):
        own, rows = slice(cohort.offsets[p], cohort.offsets[p + 1]), own_cells(adata, name)
        np.testing.assert_allclose(cohort.points[own], adata.obsm["latent"][rows])
        np.testing.assert_allclose(dense(found.expression)[own], truth[rows], rtol=1e-6)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("weights_key", [None, "weight"])
def test_the_points_of_many_cells_have_the_mean_expression_of_their_samples(weights_key, is_sparse):
    adata = cells(is_sparse=is_sparse)
    if weights_key:
        adata.obs.loc[adata.obs_names[::5], "weight"] = 0.0
    found = points_of(adata, learn(adata, use_rep="latent", weights_key=weights_key), 5)
    cohort = found.samples.cohort
    assert cohort.sizes.tolist() == [5] * 6
    for p, name in enumerate(cohort.names):
        own, rows = slice(cohort.offsets[p], cohort.offsets[p + 1]), own_cells(adata, name)
        w = adata.obs["weight"].to_numpy()[rows] if weights_key else np.ones(len(rows))
        for points, values in ((cohort.points, adata.obsm["latent"]), (dense(found.expression), dense(adata.X))):
            np.testing.assert_allclose(cohort.weights[own] @ points[own], w @ values[rows] / w.sum(), rtol=1e-5)


def test_expression_goes_to_the_point_that_stands_for_the_cell():
    """Genes that are the representation itself must come out as the points."""
    adata = cells()
    adata.X[:, :3] = adata.obsm["latent"]
    for n_points in (100, 4):
        found = points_of(adata, learn(adata, use_rep="latent"), n_points)
        np.testing.assert_allclose(found.expression[:, :3], found.samples.cohort.points, rtol=1e-5, atol=1e-6)


def test_a_cell_without_weight_keeps_its_expression():
    adata = cells()
    adata.obs.loc[adata.obs_names[::4], "weight"] = 0.0
    found = points_of(adata, learn(adata, use_rep="latent", weights_key="weight"))
    cohort = found.samples.cohort
    rows = np.concatenate([own_cells(adata, name) for name in cohort.names])
    np.testing.assert_allclose(found.expression, adata.X[rows], rtol=1e-6)


@pytest.mark.parametrize("n_points", [100, 6])
def test_a_metric_of_genes_has_its_genes_as_expression(n_points):
    adata = cells()
    adata.var["highly_variable"] = np.arange(9) % 3 < 2
    found = points_of(adata, learn(adata, n_comps=2), n_points)
    assert found.names.tolist() == adata.var_names[adata.var["highly_variable"]].tolist()
    np.testing.assert_array_equal(found.expression, found.samples.cohort.points)
    assert len(found.deviations) == 6


@pytest.mark.parametrize("use_rep", [None, "latent"])
@pytest.mark.parametrize("n_points", [100, 6])
def test_deviations_are_those_of_all_cells(use_rep, n_points):
    adata = cells()
    found = points_of(adata, learn(adata, use_rep=use_rep, n_comps=2), n_points)
    parts = [adata.X[own_cells(adata, name)] for name in found.samples.cohort.names]
    mean = np.mean([part.mean(axis=0) for part in parts], axis=0)
    truth = np.sqrt(np.mean([((part - mean) ** 2).mean(axis=0) for part in parts], axis=0))
    np.testing.assert_allclose(found.deviations, truth)


def test_a_summary_of_the_metric_is_no_larger_than_it_was():
    adata = cells()
    found = points_of(adata, learn(adata, use_rep="latent", summary=sg.tl.Coreset(4)), 10)
    assert found.samples.cohort.sizes.tolist() == [4] * 6


def test_samples_keep_labels_batches_and_covariates():
    adata = cells()
    adata.obs["batch"] = np.where(adata.obs["sample"].isin(["s0", "s1", "s2"]), "one", "two")
    stored = learn(adata, use_rep="latent", batch_key="batch", covariate_keys=["age"])
    found = points_of(adata, stored, 5)
    first = adata.obs.drop_duplicates("sample").set_index("sample").loc[found.samples.cohort.names]
    np.testing.assert_array_equal(found.target.classes[found.target.codes], first["label"])
    np.testing.assert_array_equal(found.samples.covariates[:, 0], first["age"])
    np.testing.assert_array_equal(found.samples.batch, pd.factorize(first["batch"])[0])


def test_threads_and_the_same_seed_change_nothing():
    adata = cells(counts=True, is_sparse=True)
    stored = learn(adata, use_rep="latent")
    one, two = points_of(adata, stored, 5), points_of(adata, stored, 5, n_jobs=2)
    np.testing.assert_array_equal(one.samples.cohort.points, two.samples.cohort.points)
    np.testing.assert_array_equal(dense(one.expression), dense(two.expression))
    np.testing.assert_array_equal(one.deviations, two.deviations)
    other = points_of(adata, stored, 5, seed=1)
    assert not np.array_equal(one.samples.cohort.points, other.samples.cohort.points)
