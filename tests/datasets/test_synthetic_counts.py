import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scggml import datasets


def fold_changes(adata, cell_type, low="class0", high="class1"):
    """Log2 fold change of each gene between two classes, from pseudobulk, and its standard error over the donors."""
    cells = adata[adata.obs["cell_type"] == cell_type]
    mean = cells.to_df().groupby(cells.obs["sample_id"], observed=True).mean()
    label = mean.index.str.split("_").str[0]
    of_low, of_high = np.log2(mean[label == low] + 0.01), np.log2(mean[label == high] + 0.01)
    return of_high.mean() - of_low.mean(), np.sqrt(of_low.var() / len(of_low) + of_high.var() / len(of_high))


@pytest.fixture(scope="module")
def adata():
    return datasets.synthetic_counts(n_samples=12, n_cells=120, n_genes=200, n_planted=16, rng=3)


def test_layout(adata):
    assert adata.shape == (2 * 12 * 120, 200)
    assert sparse.issparse(adata.X)
    assert adata.X.format == "csr"
    assert adata.X.dtype == np.float32
    assert (adata.X.data > 0).all()
    assert (adata.X.data == adata.X.data.round()).all()
    assert list(adata.var_names[:2]) == ["GENE0001", "GENE0002"]
    assert adata.var_names.is_unique
    assert adata.obs_names.is_unique
    assert (adata.obs.groupby("sample_id", observed=True).size() == 120).all()
    assert adata.obs["label"].value_counts().to_dict() == {"class0": 1440, "class1": 1440}
    assert adata.obs["cell_type"].cat.categories.tolist() == ["type0", "type1", "type2", "type3"]


def test_truth_is_told_twice_and_the_same(adata):
    truth, var = adata.uns["synthetic"], adata.var
    assert truth["planted_genes"] == var.index[var["planted"]].tolist()
    np.testing.assert_array_equal(truth["log_fold_changes"], var.loc[truth["planted_genes"], "planted_effect"])
    assert sorted(truth["log_fold_changes"]) == [-2.5] * 8 + [2.5] * 8
    assert (var.loc[~var["planted"], "planted_effect"] == 0).all()
    assert (var.loc[var["planted"], "marker_of"] == "none").all()
    assert truth["planted_type"] == "type0"
    assert truth["seed"] == 3


def test_planted_genes_are_recovered_and_others_are_not(adata):
    found, error = fold_changes(adata, "type0")
    planted, effect = adata.var["planted"], adata.var["planted_effect"]
    z = (found - effect) / error
    assert z.abs().max() < 4.5
    np.testing.assert_allclose(np.sqrt(np.mean(z[~planted] ** 2)), 1, atol=0.2)
    np.testing.assert_allclose(found[planted], effect[planted], atol=0.6)
    # ranked by evidence the planted genes come first, without exception
    ranked = (found / error).abs().sort_values(ascending=False)
    assert set(ranked.index[:16]) == set(adata.uns["synthetic"]["planted_genes"])


@pytest.mark.parametrize("cell_type", ["type1", "type2", "type3"])
def test_planted_genes_differ_in_no_other_type(adata, cell_type):
    found, error = fold_changes(adata, cell_type)
    assert (found / error)[adata.var["planted"]].abs().max() < 4


def test_markers_mark_their_type(adata):
    counts = adata.to_df()
    share = counts.div(counts.sum(axis=1), axis=0).groupby(adata.obs["cell_type"], observed=True).mean()
    for cell_type in share.index:
        own = adata.var["marker_of"] == cell_type
        assert own.sum() == 10
        others = share.drop(index=cell_type).loc[:, own].mean()
        assert (share.loc[cell_type, own] / others).between(4, 12).all()


def test_composition_varies_by_donor_and_not_by_label(adata):
    table = pd.crosstab(adata.obs["sample_id"], adata.obs["cell_type"], normalize="index")
    label = table.index.str.split("_").str[0]
    spread = table.std()
    binomial = np.sqrt(0.25 * 0.75 / 120)
    assert (spread > 1.3 * binomial).all()
    difference = table[label == "class1"].mean() - table[label == "class0"].mean()
    assert (difference.abs() < 3.5 * spread * np.sqrt(2 / 12)).all()


def test_counts_are_overdispersed_as_stated():
    # One donor, one type: all cells share the rates. With the library's log sd 0.3 and dispersion 0.3,
    # var = mean + (1.3 exp(0.09) - 1) mean^2.
    adata = datasets.synthetic_counts(n_classes=1, n_samples=1, n_cells=4000, n_genes=40, n_planted=0, n_types=1, rng=2)
    counts = adata.X.toarray().astype(float)
    mean, variance = counts.mean(axis=0), counts.var(axis=0)
    excess = ((variance - mean) / mean**2)[mean > 1]
    np.testing.assert_allclose(np.median(excess), 1.3 * np.exp(0.09) - 1, rtol=0.1)
    library = counts.sum(axis=1)
    np.testing.assert_allclose(np.median(library), 3 * 40, rtol=0.35)  # up to the donor's effects


def test_the_dose_grows_by_class():
    adata = datasets.synthetic_counts(
        n_classes=3, n_samples=8, n_cells=60, n_genes=80, n_planted=8, n_types=2, log_fold_change=1.0, rng=4
    )
    planted = adata.var["planted"]
    effect = adata.var.loc[planted, "planted_effect"]
    assert sorted(effect) == [-1.0] * 4 + [1.0] * 4
    step, _ = fold_changes(adata, "type0")
    two, _ = fold_changes(adata, "type0", high="class2")
    np.testing.assert_allclose(step[planted], effect, atol=0.7)
    np.testing.assert_allclose(two[planted], 2 * effect, atol=0.7)


@pytest.mark.parametrize("nothing", [{"n_planted": 0}, {"n_planted": 6, "log_fold_change": 0.0}])
def test_negative_control(nothing):
    adata = datasets.synthetic_counts(n_samples=6, n_cells=60, n_genes=60, n_types=2, **nothing)
    assert (adata.var["planted_effect"] == 0).all()
    found, error = fold_changes(adata, "type0")
    assert (found / error).abs().max() < 4.5


def test_seeds():
    small = {"n_samples": 2, "n_cells": 10, "n_genes": 50, "n_planted": 4}
    first = datasets.synthetic_counts(**small, rng=5)
    for rng in (5, np.random.default_rng(5)):
        again = datasets.synthetic_counts(**small, rng=rng)
        for part in ("data", "indices", "indptr"):
            assert getattr(first.X, part).tobytes() == getattr(again.X, part).tobytes()
        pd.testing.assert_frame_equal(first.obs, again.obs)
        pd.testing.assert_frame_equal(first.var, again.var)
    other = datasets.synthetic_counts(**small, rng=6)
    assert (first.X != other.X).nnz > 0
    assert first.uns["synthetic"]["planted_genes"] != other.uns["synthetic"]["planted_genes"]


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("n_classes", 0, "whole number"),
        ("n_cells", "many", "whole number"),
        ("n_planted", -1, "whole number"),
        ("n_planted", 26, "more than a quarter"),
        ("n_types", 21, "too few for n_types=21"),
        ("log_fold_change", np.inf, "must be a finite number"),
    ],
)
def test_bad_values(name, value, match):
    with pytest.raises(ValueError, match=match) as error:
        datasets.synthetic_counts(**{"n_genes": 100, name: value})
    assert f"{name}={value!r}" in str(error.value)


@pytest.mark.parametrize("n_planted", [0, 3])
@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")  # the present default of anndata
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_round_trip(tmp_path, kind, n_planted):
    adata = datasets.synthetic_counts(n_samples=2, n_cells=5, n_genes=30, n_planted=n_planted)
    path = tmp_path / f"cohort.{kind}"
    getattr(adata, f"write_{kind}")(path)
    again = getattr(ad, f"read_{kind}")(path)
    np.testing.assert_array_equal(again.X.toarray(), adata.X.toarray())
    pd.testing.assert_frame_equal(again.obs, adata.obs)
    pd.testing.assert_frame_equal(again.var, adata.var)
    for name, value in adata.uns["synthetic"].items():
        np.testing.assert_array_equal(again.uns["synthetic"][name], value)
