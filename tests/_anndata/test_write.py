import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from _cells import MATRICES, SIZES, make_adata
from _slots import assert_same, slots
from anndata import AnnData

from scggml._anndata import read as _read
from scggml._anndata.keys import Keys
from scggml._anndata.read import read_cohort, read_features
from scggml._anndata.write import embed_cells, gene_loadings, samples_adata, write_metric

W = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
ENTRY = {"components": W, "converged": True}


@pytest.fixture
def adata():
    return make_adata()


def to_samples(adata, *, use_rep=None, **options):
    features = read_features(adata, use_rep=use_rep)
    cohort = read_cohort(adata, features, "sample", None, rng=np.random.default_rng(0), **options)
    return samples_adata(adata, cohort, features, "sample")


# Cells in the learned space


@pytest.mark.parametrize("rows", [1, 6, 20, 4096])
@pytest.mark.parametrize("kind", MATRICES)
def test_cells_are_embedded_by_a_product_in_any_number_of_pieces(adata, kind, rows, monkeypatch):
    truth = adata.X @ W.T
    adata.X = MATRICES[kind](adata.X)
    monkeypatch.setattr(_read, "ROWS", rows)
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


# Gene loadings


@pytest.mark.parametrize("use_rep", [None, "X"])
def test_features_that_are_genes_are_their_own_loadings(adata, use_rep):
    np.testing.assert_array_equal(gene_loadings(adata, read_features(adata), W, use_rep), W.T)


def test_genes_that_took_no_part_have_no_loading(adata):
    features = read_features(adata, mask_var=np.array([True, False, True]))
    loadings = gene_loadings(adata, features, W[:, :2], None)
    np.testing.assert_array_equal(loadings, [[1.0, 0.5], [np.nan, np.nan], [2.0, 0.0]])


@pytest.mark.parametrize(("use_rep", "slot"), [("X_pca", "PCs"), ("my_pca", "my_pca")])
def test_loadings_of_a_pca_are_carried_back_to_genes(adata, use_rep, slot):
    axes = np.array([[1.0, 0.0], [0.0, 0.0], [0.6, -0.8]])  # the PCA did not see the second gene
    adata.obsm[use_rep], adata.varm[slot] = adata.X @ axes, axes
    loadings = gene_loadings(adata, read_features(adata, use_rep=use_rep), W[:, :2], use_rep)
    np.testing.assert_allclose(loadings[[0, 2]], (axes @ W[:, :2].T)[[0, 2]])
    assert np.isnan(loadings[1]).all()


@pytest.mark.parametrize("varm", [{}, {"PCs": np.ones((3, 3))}, {"X_other": np.ones((3, 2))}], ids=str)
def test_features_that_cannot_be_mapped_to_genes_have_no_loadings(adata, varm):
    adata.obsm["X_pca"], adata.varm = adata.X[:, :2], varm
    assert gene_loadings(adata, read_features(adata, use_rep="X_pca"), W[:, :2], "X_pca") is None


def test_another_representation_does_not_take_the_loadings_of_the_pca(adata):
    adata.obsm["X_harmony"], adata.varm["PCs"] = adata.X, np.eye(3)
    assert gene_loadings(adata, read_features(adata, use_rep="X_harmony"), W, "X_harmony") is None


# The slots of a metric


def test_a_metric_is_written_into_three_slots_and_no_other(adata):
    before = slots(adata)
    write_metric(adata, Keys("tumor"), entry=ENTRY, embedded=adata.X @ W.T, loadings=W.T)
    after = slots(adata)
    new = {"uns/tumor/components": W, "uns/tumor/converged": np.array(True)}
    new |= {"obsm/X_tumor": adata.X @ W.T, "varm/tumor": W.T}
    assert_same(after, before | new)


def test_loadings_of_an_earlier_metric_do_not_stay(adata):
    write_metric(adata, Keys(), entry=ENTRY, embedded=adata.X @ W.T, loadings=W.T)
    write_metric(adata, Keys(), entry=ENTRY, embedded=adata.X @ W.T, loadings=None)
    assert "ggml" not in adata.varm
    assert "X_ggml" in adata.obsm


def test_a_view_becomes_an_anndata_of_its_own_without_a_warning(adata):
    before = slots(adata)
    view = adata[:5]
    write_metric(view, Keys(), entry=ENTRY, embedded=np.zeros((5, 2)), loadings=W.T)
    assert not view.is_view
    assert view.obsm["X_ggml"].shape == (5, 2)
    assert view.uns.keys() == {"ggml"}
    assert view.varm.keys() == {"ggml"}
    assert_same(slots(adata), before)


# The AnnData of samples


def test_samples_come_in_order_of_first_appearance_with_their_number_of_cells(adata):
    samples = to_samples(adata)
    assert samples.obs_names.tolist() == list(SIZES)
    assert samples.obs["n_cells"].tolist() == list(SIZES.values())
    assert to_samples(adata, n_cells=4).obs["n_cells"].tolist() == [4, 4, 3, 4]


COLUMNS = {
    "category": lambda s: pd.Categorical(s.map({"p0": "a", "p1": "b", "p2": "a", "p3": "b"}), categories=["b", "a"]),
    "ordered": lambda s: pd.Categorical(s, categories=["p3", "p2", "p1", "p0"], ordered=True),
    "integer": lambda s: s.str[1:].astype("int16"),
    "nullable": lambda s: s.str[1:].astype("Int64").where(s != "p0"),
    "float": lambda s: s.str[1:].astype("float32"),
    "missing": lambda s: s.str[1:].astype(float).where(s != "p0"),
    "all missing": lambda s: np.full(len(s), np.nan),
    "bool": lambda s: s > "p1",
    "text": lambda s: s + "!",
    "string": lambda s: (s + "!").astype("string"),
    "date": lambda s: pd.to_datetime("2020-01-0" + (s.str[1:].astype(int) + 1).astype(str)),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_that_are_constant_within_samples_keep_values_and_type(adata, name):
    adata.obs[name] = COLUMNS[name](adata.obs["sample"])
    samples = to_samples(adata)
    truth = adata.obs.drop_duplicates("sample").set_index("sample")[name].rename_axis(None)
    pd.testing.assert_series_equal(samples.obs[name], truth)


def test_columns_that_vary_within_a_sample_are_left_out(adata):
    first = np.flatnonzero(adata.obs["sample"] == "p0")[0]
    adata.obs["number"] = np.where(np.arange(20) == first, 1, 0)
    adata.obs["missing once"] = np.where(np.arange(20) == first, np.nan, 0.0)
    adata.obs["missing else"] = np.where(np.arange(20) == first, 0.0, np.nan)
    adata.obs["category"] = pd.Categorical(np.where(np.arange(20) == first, "a", "b"))
    assert to_samples(adata).obs.columns.tolist() == ["sample", "label", "n_cells"]


def test_categories_of_left_out_samples_are_left_out(adata):
    adata.obs["sample"] = pd.Categorical(adata.obs["sample"], categories=["x", "p3", "p2", "p1", "p0"])
    adata.uns["sample_colors"] = ["red"] * 5
    with pytest.warns(UserWarning, match="leaves out 2 of 4"):
        samples = to_samples(adata, min_cells=5)
    assert samples.obs_names.tolist() == ["p0", "p1"]
    assert samples.obs["sample"].cat.categories.tolist() == ["p1", "p0"]
    assert samples.obs["sample"].tolist() == ["p0", "p1"]


def test_a_column_may_vary_in_samples_that_are_left_out(adata):
    adata.obs["batch"] = np.where(adata.obs["sample"] == "p3", np.arange(20), 0)
    with pytest.warns(UserWarning, match="leaves out 1 of 4"):
        assert to_samples(adata, min_cells=4).obs["batch"].tolist() == [0, 0, 0]


def test_a_column_of_that_name_gives_way_to_the_number_of_cells(adata):
    adata.obs["n_cells"] = 1000
    assert to_samples(adata).obs["n_cells"].tolist() == list(SIZES.values())


def test_mean_profiles_have_the_names_of_the_features(adata):
    samples = to_samples(adata)
    assert samples.var_names.tolist() == adata.var_names.tolist()
    truth = pd.DataFrame(adata.X).groupby(adata.obs["sample"].to_numpy()).mean().loc[samples.obs_names]
    np.testing.assert_allclose(samples.X, truth, rtol=1e-12)
    adata.obsm["X_pca"] = adata.X[:, 1:]
    assert to_samples(adata, use_rep="X_pca").var_names.tolist() == ["X_pca_0", "X_pca_1"]
    np.testing.assert_allclose(to_samples(adata, use_rep="X_pca").X, truth.iloc[:, 1:], rtol=1e-12)


def test_mean_profiles_are_weighted(adata):
    samples = to_samples(adata, weights_key="weight")
    for name in SIZES:
        own = (adata.obs["sample"] == name).to_numpy()
        truth = np.average(adata.X[own], axis=0, weights=adata.obs["weight"][own])
        np.testing.assert_allclose(samples[name].X[0], truth, rtol=1e-12)


def test_integer_sample_ids_become_names(adata):
    adata.obs["sample"] = adata.obs["sample"].str[1:].astype(int)
    samples = to_samples(adata)
    assert samples.obs_names.tolist() == ["2", "0", "3", "1"]
    assert samples.obs["sample"].tolist() == [2, 0, 3, 1]


def test_the_input_is_not_touched(adata):
    adata.obs["sample"] = pd.Categorical(adata.obs["sample"], categories=["x", "p3", "p2", "p1", "p0"])
    before = slots(adata)
    samples = to_samples(adata)
    samples.obs["label"] = "other"
    assert_same(slots(adata), before)
    assert isinstance(samples, AnnData)
