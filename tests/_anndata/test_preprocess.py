import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

import scggml as sg


@pytest.fixture
def counts():
    adata = sg.datasets.synthetic_counts(n_samples=3, n_cells=30, n_genes=120, n_planted=10)
    return adata[:100].copy(), adata[100:].copy()


def by_hand(training, held_out, n_top_genes, n_comps):
    """The same steps with scanpy on the training cells, applied to the others by formula."""
    first, second = training.copy(), held_out.copy()
    for part in (first, second):
        sc.pp.normalize_total(part, target_sum=1e4)
        sc.pp.log1p(part)
    sc.pp.highly_variable_genes(first, n_top_genes=n_top_genes)
    genes = first.var["highly_variable"].to_numpy()
    chosen = (part[:, genes].X for part in (first, second))
    x, y = (part.toarray() if sparse.issparse(part) else np.asarray(part) for part in chosen)
    mean, std = x.mean(axis=0), x.std(axis=0, ddof=1)
    x, y = (np.clip((part - mean) / std, -10, 10) for part in (x, y))
    axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:n_comps].T
    return (x - x.mean(axis=0)) @ axes, (y - x.mean(axis=0)) @ axes


def test_features_are_those_of_scanpy_on_the_training_cells(counts):
    step = sg.tl.Preprocess(n_top_genes=40, n_comps=6)
    found = step(*(step.prepare(part) for part in counts))
    truth = by_hand(*counts, 40, 6)
    for mine, theirs in zip(found, truth, strict=True):
        signs = np.sign((found[0] * truth[0]).sum(axis=0))  # axes have a sign of their own
        np.testing.assert_allclose(mine, theirs * signs, atol=2e-3)


def test_matrices_of_any_kind_give_the_same(counts):
    step = sg.tl.Preprocess(n_top_genes=40, n_comps=6)
    truth = step(*(step.prepare(part) for part in counts))
    for kind in (sparse.csr_matrix, sparse.csc_matrix, np.asarray):
        parts = []
        for part in counts:
            dense = part.X.toarray() if sparse.issparse(part.X) else part.X
            parts.append(step.prepare(AnnData(kind(dense), var=part.var)))
        for mine, theirs in zip(step(*parts), truth, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-3)


def test_what_is_no_count_is_not_normalized():
    X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    training, held_out = AnnData(X[:15]), AnnData(X[15:])
    step = sg.tl.Preprocess()
    first, second = step(step.prepare(training), step.prepare(held_out))
    mean, std = X[:15].mean(axis=0), X[:15].std(axis=0, ddof=1)
    np.testing.assert_allclose(first, (X[:15] - mean) / std, atol=1e-5)
    np.testing.assert_allclose(second, (X[15:] - mean) / std, atol=1e-5)
    np.testing.assert_array_equal(training.X, X[:15])  # the given cells stay as they are


def features(counts, change, step):
    parts = [part.copy() for part in counts]
    for part in parts:
        part.X = part.X.toarray() if sparse.issparse(part.X) else np.asarray(part.X)
        change(part)
    return step(*(step.prepare(part) for part in parts))


def per_million(adata):
    sc.pp.normalize_total(adata, target_sum=1e6)


def without_ambient(adata):
    adata.X = np.maximum(adata.X - np.random.default_rng(0).random(adata.shape), 0).astype(np.float32)


def test_counts_per_million_are_logged_like_counts(counts):
    step = sg.tl.Preprocess(n_top_genes=40, n_comps=6)
    for mine, truth in zip(features(counts, per_million, step), features(counts, lambda a: None, step), strict=True):
        np.testing.assert_allclose(mine, truth, atol=1e-2)


def test_corrected_counts_are_logged_by_hand_or_by_themselves(counts):
    step = sg.tl.Preprocess(n_top_genes=40, n_comps=6)

    def by_hand(adata):
        without_ambient(adata)
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)

    for mine, truth in zip(features(counts, without_ambient, step), features(counts, by_hand, step), strict=True):
        np.testing.assert_allclose(mine, truth, atol=1e-5)


def test_few_features_with_large_values_may_be_no_genes():
    X = (np.random.default_rng(0).random((30, 6)) * [1e4, 1, 1, 50, 3, 900]).astype(np.float32)
    np.testing.assert_array_equal(sg.tl.Preprocess().prepare(AnnData(X)).X, X)
    assert sg.tl.Preprocess(n_top_genes=4).prepare(AnnData(X)).X.max() < 10  # genes are chosen on logarithms


@pytest.mark.parametrize("change", [per_million, without_ambient, lambda adata: None])
def test_genes_are_not_chosen_on_what_was_not_logged(counts, change):
    with pytest.raises(ValueError, match=r"chooses genes on logarithms, but values reach \d+.*Pass normalize=True"):
        features(counts, change, sg.tl.Preprocess(normalize=False, n_top_genes=40))
    first, _ = features(counts, change, sg.tl.Preprocess(normalize=False, n_top_genes=None, n_comps=6))
    assert first.shape == (100, 6)


def scaled(adata):
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.scale(adata)


def test_scaled_genes_are_all_kept_with_a_warning(counts):
    step = sg.tl.Preprocess(n_top_genes=40, n_comps=None)
    with pytest.warns(UserWarning, match=r"The genes are scaled .*: all 120 are kept\. Pass the layer"):
        first, _ = features(counts, scaled, step)
    every = features(counts, scaled, sg.tl.Preprocess(n_top_genes=None, n_comps=None))[0]
    np.testing.assert_array_equal(first, every)


def test_scaled_genes_are_not_normalized(counts):
    with pytest.raises(ValueError, match=r"normalize=True\): the genes have negative values .* Pass the layer"):
        features(counts, scaled, sg.tl.Preprocess(normalize=True))


def test_features_that_do_not_vary_stay_finite():
    X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    X[:8, 1] = 2.0
    first, second = sg.tl.Preprocess()(AnnData(X[:8]), AnnData(X[8:]))
    assert np.isfinite(first).all()
    assert np.isfinite(second).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalize": "log"}, r"Preprocess\(normalize='log'\): choose from"),
        ({"n_comps": 0}, "Preprocess: n_comps=0 must be at least 1, or None to keep all"),
        ({"n_top_genes": 0}, "n_top_genes=0 must be at least 1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        sg.tl.Preprocess(**options)
