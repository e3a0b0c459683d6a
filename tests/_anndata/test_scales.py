"""On which scale genes are, wherever in the matrix that can be seen, and what is said of it."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

import scggml as sg
from scggml._anndata.features import read_features
from scggml._anndata.scales import look, scale_of, warn_of_scales
from scggml._core.cohort import from_clouds


@pytest.mark.parametrize(
    ("values", "truth"),
    [
        ([[0.0, 3.0]], "counts"),
        ([[7, 1]], "counts"),
        ([[0.0, 0.5]], "log"),
        ([[0.0, 0.5, 19.9]], "log"),
        ([[0.0, 0.5, 20.1]], "linear"),
        ([[-1.0, 2.0]], "scaled"),
        ([[-0.5, 200.0]], "scaled"),
    ],
)
@pytest.mark.parametrize("kind", [np.array, sparse.csr_matrix])
def test_the_scale_of_genes_is_recognized(values, truth, kind):
    assert scale_of(kind(np.array(values, dtype=np.float32))) == truth


def test_one_value_that_is_not_whole_is_seen_wherever_it_is():
    X = np.random.default_rng(0).poisson(2.0, (300, 50)).astype(np.float32)
    X[-1, -1] = 2.5
    assert scale_of(X) == "log"


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_scaling_without_centering_is_recognized_by_its_variances(kind):
    adata = sg.datasets.synthetic_counts(n_samples=6, n_cells=30, n_genes=150, n_planted=10)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    assert scale_of(kind(adata.X.toarray() if sparse.issparse(adata.X) else adata.X)) == "log"
    sc.pp.scale(adata, zero_center=False)
    assert scale_of(kind(adata.X.toarray() if sparse.issparse(adata.X) else adata.X)) == "scaled"


def corrected(n_genes=120, low=-3.0):
    """Counts that a correction has lowered, some below 0."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(2.0, 2.0, n_genes), (60, n_genes))
    return (20.0 * counts + rng.uniform(low, 0.0, (60, n_genes))).astype(np.float32)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_corrected_counts_with_negative_ones_are_no_scaled_values(kind):
    X = corrected()
    assert scale_of(kind(X)) == "corrected"
    assert scale_of(kind(X[:, :50])) == "scaled"  # few features may be measures of any kind
    assert scale_of(kind((X - X.mean(axis=0)) / X.std(axis=0))) == "scaled"
    assert scale_of(kind(50 * (X - X.mean(axis=0)))) == "scaled"  # residuals
    other = sg.datasets.synthetic(n_noise=199, n_samples=2, n_cells=30).X
    assert scale_of(kind(other)) == scale_of(kind(20 * other)) == "scaled"  # features of any kind


@pytest.mark.parametrize("order", ["shallow cells first", "deep cells first", "mixed"])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_cells_all_over_the_matrix_are_looked_at(order, kind):
    rng = np.random.default_rng(0)
    X = rng.poisson(np.where(np.arange(2000) < 1000, 0.01, 5.0)[:, None], (2000, 20)).astype(np.float32)
    rows = {"shallow cells first": np.arange(2000), "deep cells first": np.arange(2000)[::-1]}
    adata = AnnData(kind(X[rows.get(order, rng.permutation(2000))]))
    found = look(read_features(adata))
    assert found.scale == "counts"
    assert found.high > 5
    assert found.countable


def test_cells_on_disk_are_looked_at_in_few_runs(tmp_path):
    AnnData(np.random.default_rng(0).poisson(3.0, (900, 6)).astype(np.float32)).write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    found = look(read_features(backed))
    assert (found.scale, found.low, found.n_genes) == ("counts", 0.0, 6)
    backed.file.close()


SAID = {
    "counts": r"adata\.X looks like raw counts \(whole numbers up to \d+\)",
    "linear": r"adata\.X has values up to [\de+.]+, too large for logarithms: it looks like corrected counts or",
    "corrected": r"adata\.X has values from -[\d.]+ to \d+\.?\d* that are not centered: .* np\.clip\(adata\.X, 0",
}


def cohort(kind, n_genes=120):
    adata = sg.datasets.synthetic_counts(n_samples=4, n_cells=20, n_genes=n_genes, n_planted=10)
    adata.obsm["X_log"] = np.log1p(adata.X.toarray() if sparse.issparse(adata.X) else adata.X)
    dense = adata.obsm["X_log"] * 0 + np.expm1(adata.obsm["X_log"])
    noise = np.random.default_rng(0).uniform(0, 3, dense.shape)
    changed = {"counts": dense, "linear": dense * 20 + noise, "corrected": dense * 20 - noise + 1}
    adata.X = np.rint(dense) if kind == "counts" else changed[kind]
    return adata


@pytest.mark.parametrize("kind", SAID)
def test_genes_that_were_not_logged_are_told_of(kind):
    with pytest.warns(UserWarning, match=SAID[kind]):
        sg.tl.ggml(cohort(kind), "sample_id", "label", n_comps=2, shrinkage=0.5, progress=False)
    with pytest.warns(UserWarning, match=SAID[kind]):
        sg.tl.distances(cohort(kind), sample_key="sample_id", metric="euclidean", genes=False, progress=False)


@pytest.mark.parametrize("kind", ["counts", "linear"])
def test_expression_of_genes_is_brought_to_logarithms_whatever_counts_are(kind):
    truth = cohort("counts")
    truth.X = np.log1p(1e4 * truth.X / truth.X.sum(axis=1, keepdims=True))
    adata = cohort("counts")
    if kind == "linear":
        adata.X = adata.X / adata.X.sum(axis=1, keepdims=True) * 1e6
    for each in (truth, adata):
        options = {"use_rep": "X_log", "n_comps": 2, "shrinkage": 0.5}
        sg.tl.ggml(each, "sample_id", "label", **options, progress=False)
        sg.tl.rank_genes(each, progress=False)
    np.testing.assert_allclose(adata.varm["ggml_patterns"], truth.varm["ggml_patterns"], rtol=1e-5, atol=1e-7)


def test_counts_in_half_precision_are_summed_in_double():
    found = {}
    for dtype in (np.float16, np.float32):
        adata = cohort("counts", n_genes=60)
        adata.X = np.minimum(adata.X * 300 + 300, 2000).astype(dtype)
        assert adata.X.astype(float).sum(axis=1).max() > np.finfo(np.float16).max
        sg.tl.ggml(adata, "sample_id", "label", use_rep="X_log", n_comps=2, shrinkage=0.5, progress=False)
        sg.tl.rank_genes(adata, progress=False)
        found[dtype] = [adata.varm["ggml_patterns"], sg.tl.distances(adata, progress=False).obs["depth"]]
    np.testing.assert_allclose(*[one[0] for one in found.values()], rtol=1e-4)
    np.testing.assert_allclose(*[one[1] for one in found.values()])


@pytest.mark.filterwarnings("ignore:.*unlike any sample of the reference")
@pytest.mark.parametrize("change", ["counts", "scaled", "none"])
@pytest.mark.parametrize("use", ["project", "predict"])
def test_new_cells_on_another_scale_are_told_of(change, use):
    adata = sg.datasets.synthetic_counts(n_samples=9, n_cells=20, n_genes=40, n_planted=5)
    adata.X = adata.X.toarray() if sparse.issparse(adata.X) else adata.X
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    late = adata.obs["sample_id"].str.endswith(("06", "07", "08")).to_numpy()
    reference, new = adata[~late].copy(), adata[late].copy()
    sg.tl.ggml(reference, "sample_id", "label", n_comps=2, shrinkage=0.5, progress=False)
    assert reference.uns["ggml"]["scale"] == "logarithms"
    if change == "counts":
        new.X = new.layers["counts"]
    elif change == "scaled":
        new.X = (new.X - new.X.mean(axis=0)) / np.maximum(new.X.std(axis=0), 1e-6)

    def call():
        if use == "project":
            return sg.tl.project(new, reference)
        return sg.tl.predict(new, reference, n_splits=2, n_repeats=1, n_jobs=1, progress=False)

    if change == "none":
        call()  # a warning is an error here
        return
    said = {"counts": "counts", "scaled": "centered values"}[change]
    with pytest.warns(UserWarning, match=rf"adata\.X holds {said} .* 'ggml' was learned on logarithms: .* same steps"):
        call()


# Scales


def of_scales(*scales):
    """A table of features with these standard deviations, and its one sample."""
    points = np.random.default_rng(0).normal(size=(500, len(scales)))
    points = (points - points.mean(axis=0)) / points.std(axis=0) * scales
    adata = ad.AnnData(points, var=pd.DataFrame(index=[f"g{i}" for i in range(len(scales))]))
    return read_features(adata), from_clouds([points])


def test_a_feature_on_another_scale_is_named_with_its_own():
    message = (
        r"1 of the 5 features of adata\.X have a standard deviation more than 100 times that of the median feature "
        r"\(1\): 'g3' \(101\)\. Distances are then mostly theirs; scale the features \(sc\.pp\.scale\)"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        warn_of_scales(*of_scales(1, 1, 2, 101, 0.01))
    (ours,) = [one for one in caught if "standard deviation" in str(one.message)]  # anndata may have something to say
    assert ours.filename == __file__


@pytest.mark.parametrize("scales", [(1, 1, 99), (1, 99, 1e-3), (0, 0, 1), (1, 500), (0, 1, 500, 0), (3,)], ids=str)
def test_features_of_like_scales_are_not_told_of(scales):
    warn_of_scales(*of_scales(*scales))  # a warning would be an error


def test_a_long_list_of_large_features_is_cut():
    with pytest.warns(UserWarning, match=r"7 of the 17 .*'g14' \(1e\+03\), \.\.\.\. Distances") as caught:
        warn_of_scales(*of_scales(*[1.0] * 10, *[1000.0] * 7))
    assert "g15" not in str(caught[0].message)
