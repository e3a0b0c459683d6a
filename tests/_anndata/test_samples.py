"""The AnnData of samples, and the distances that it holds."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from _cells import SIZES, make_adata
from _slots import assert_same, slots
from anndata import AnnData
from scipy.sparse import csr_matrix

from scggml._anndata.features import read_features
from scggml._anndata.samples import read_distances, samples_adata, write_distances
from scggml._anndata.selection import select
from scggml._core.transport.coreset import Coreset


@pytest.fixture
def adata():
    return make_adata()


def to_samples(adata, *, use_rep=None, summary=None, genes=False, **options):
    rng = np.random.default_rng(0)
    features = read_features(adata, use_rep=use_rep)
    selection = select(adata, "sample", rng=rng, **options)
    cohort = selection.read(features, summary=summary, rng=rng)
    return samples_adata(selection, cohort, features.names, slot=use_rep, genes=genes, n_jobs=1)


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


def test_the_number_of_cells_does_not_replace_a_column_of_that_name(adata):
    adata.obs["n_cells"] = 1000
    samples = to_samples(adata)
    assert samples.obs["n_cells"].tolist() == [1000] * 4
    assert samples.obs["scggml_n_cells"].tolist() == list(SIZES.values())


def test_columns_of_one_name_come_along(adata):
    adata.obs = pd.concat([adata.obs, pd.DataFrame({"age": 5, "weight": 6}, index=adata.obs_names)], axis=1)
    adata.obs["age "] = 7
    adata.obs.columns = [*adata.obs.columns[:-1], "age"]
    samples = to_samples(adata)
    assert samples.obs.columns.tolist() == ["sample", "label", "age", "weight", "age", "n_cells"]
    assert samples.obs.to_numpy()[:, 2:5].tolist() == [[5, 6, 7]] * 4


@pytest.mark.parametrize("value", [["a"], {"a": 1}, np.ones(2), {"a"}], ids=str)
def test_columns_of_values_that_cannot_be_compared_are_left_out(adata, value):
    adata.obs["clones"] = [value] * adata.n_obs
    assert to_samples(adata).obs.columns.tolist() == ["sample", "label", "n_cells"]


def test_mean_profiles_have_the_names_of_the_features(adata):
    samples = to_samples(adata)
    assert samples.var_names.tolist() == adata.var_names.tolist()
    truth = pd.DataFrame(adata.X).groupby(adata.obs["sample"].to_numpy()).mean().loc[samples.obs_names]
    np.testing.assert_allclose(samples.X, truth, rtol=1e-12)
    adata.obsm["X_pca"] = adata.X[:, 1:]
    assert to_samples(adata, use_rep="X_pca").var_names.tolist() == ["X_pca_0", "X_pca_1"]
    np.testing.assert_allclose(to_samples(adata, use_rep="X_pca").X, truth.iloc[:, 1:], rtol=1e-12)


def test_samples_hold_genes_whatever_the_features_are(adata):
    adata.obsm["X_pca"] = adata.X[:, 1:]
    adata.X = np.where(adata.X > 0, adata.X + 0.5, 0.0)  # no counts
    samples = to_samples(adata, use_rep="X_pca", genes=True)
    cells = pd.DataFrame(adata.X).groupby(adata.obs["sample"].to_numpy())
    np.testing.assert_allclose(samples.X, cells.mean().loc[samples.obs_names], rtol=1e-12)
    shares = (pd.DataFrame(adata.X) > 0).groupby(adata.obs["sample"].to_numpy()).mean().loc[samples.obs_names]
    np.testing.assert_allclose(samples.layers["fraction"], shares, rtol=1e-12)
    assert samples.var_names.tolist() == adata.var_names.tolist()
    truth = to_samples(adata, use_rep="X_pca")
    np.testing.assert_allclose(samples.obsm["X_pca"], truth.X, rtol=1e-12)
    adata.X = None
    assert to_samples(adata, use_rep="X_pca", genes=True).var_names.tolist() == ["X_pca_0", "X_pca_1"]


def test_sparse_and_backed_genes_are_the_same(adata, tmp_path):
    adata.X = np.where(adata.X > 0, adata.X, 0.0)
    truth = to_samples(adata, genes=True)
    adata.X = csr_matrix(adata.X)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    for each in (adata, ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")):
        found = to_samples(each, genes=True)
        np.testing.assert_allclose(found.X, truth.X, rtol=1e-12)
        np.testing.assert_allclose(found.layers["fraction"], truth.layers["fraction"], rtol=1e-12)


def test_colors_of_labels_go_to_the_samples(adata):
    adata.obs["label"] = pd.Categorical(adata.obs["label"], categories=["unused", *adata.obs["label"].unique()])
    adata.uns["label_colors"] = ["#000000", "#ff0000", "#00ff00", "#0000ff"][: len(adata.obs["label"].cat.categories)]
    samples = to_samples(adata)
    names = samples.obs["label"].cat.categories
    truth = dict(zip(adata.obs["label"].cat.categories, adata.uns["label_colors"], strict=True))
    assert samples.uns["label_colors"].tolist() == [truth[name] for name in names]
    adata.uns["label_colors"] = ["#000000"]
    assert "label_colors" not in to_samples(adata).uns


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


def test_a_summary_stands_for_the_same_cells(adata):
    whole, few = to_samples(adata), to_samples(adata, summary=Coreset(2))
    pd.testing.assert_frame_equal(few.obs, whole.obs)
    np.testing.assert_allclose(few.X, whole.X)


# Distances


def test_distances_are_written_with_how_they_were_computed():
    samples = AnnData(np.zeros((3, 1)))
    D = 1 - np.eye(3)
    write_distances(samples, "ggml", D, {"metric": "ggml"})
    assert list(samples.obsp) == ["ggml_distances"]
    entry = samples.uns["ggml_distances"]
    assert (entry["metric"], set(entry)) == ("ggml", {"metric", "near", "checksums"})
    np.testing.assert_array_equal(entry["near"]["distances"], np.ones((3, 2)))
    np.testing.assert_array_equal(read_distances(samples, "ggml"), D)


def test_distances_are_read_from_the_slot_of_their_key():
    samples = AnnData(np.zeros((3, 1)))
    D = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]], dtype=np.float32)
    samples.obsp["ggml_distances"], samples.obsp["cosine_distances"] = D, 2 * D
    np.testing.assert_array_equal(read_distances(samples, "ggml"), D)
    np.testing.assert_array_equal(read_distances(samples, "cosine"), 2 * D)
    assert read_distances(samples, "ggml").dtype == np.float64


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ((0, 1), r"has 5 from sample '0' to '1' and 1 back, which must be equal; compute it again with .*distances"),
        ((2, 2), r"has 5 from sample '2' to itself, which must be 0; compute it again with samples = sg.tl.distances"),
    ],
)
def test_numbers_that_are_no_distances_are_refused(place, said):
    samples, D = AnnData(np.zeros((3, 1))), 1 - np.eye(3)
    D[place] = 5
    samples.obsp["ggml_distances"] = D
    with pytest.raises(ValueError, match=said):
        read_distances(samples, "ggml")


def test_distances_that_were_changed_are_noticed_in_any_order_and_selection(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(9, 3))
    D = np.linalg.norm(points[:, None] - points[None], axis=-1)
    samples = AnnData(np.zeros((9, 1)), obs=pd.DataFrame(index=[f"p{i}" for i in rng.permutation(9)]))
    write_distances(samples, "ggml", D, {"metric": "ggml"})
    for rows in (slice(None), rng.permutation(9), [3, 1, 7, 5], [2], [0, 4]):
        part = samples[rows].copy()
        np.testing.assert_array_equal(read_distances(part, "ggml"), part.obsp["ggml_distances"])
    samples.write_h5ad(tmp_path / "samples.h5ad")
    back = ad.read_h5ad(tmp_path / "samples.h5ad")
    back.obsp["ggml_distances"] = back.obsp["ggml_distances"].astype(np.float32)
    read_distances(back, "ggml")
    order = np.roll(np.arange(9), 1)
    for changed in (2 * D, 0 * D, np.floor(D), D[np.ix_(order, order)]):
        for rows in (slice(None), rng.permutation(9)[:6]):
            other = samples[rows].copy()
            other.obsp["ggml_distances"] = changed[rows][:, rows]
            with pytest.raises(
                ValueError, match=r"samples\.obsp\['ggml_distances'\] was changed after it was written: "
            ):
                read_distances(other, "ggml")


def test_missing_distances_are_answered_with_those_that_are_there():
    samples = AnnData(np.zeros((3, 1)))
    samples.obsp["cosine_distances"] = samples.obsp["tumor_distances"] = samples.obsp["connectivities"] = np.eye(3)
    message = r"No 'ggml_distances' in samples.obsp; distances are stored for 'cosine', 'tumor'\. Pass one .* key"
    with pytest.raises(KeyError, match=message):
        read_distances(samples, "ggml")


def test_without_any_distances_the_next_step_is_named():
    message = (
        r"'ggml_distances' .* no distances are stored\. Compute them with samples = sg\.tl\.distances\(adata\) and"
    )
    with pytest.raises(KeyError, match=message):
        read_distances(AnnData(np.zeros((3, 1))), "ggml")


def test_the_graph_of_neighbors_is_not_listed_as_distances():
    # scanpy calls its sparse graph "distances"; no key leads there
    samples = AnnData(np.zeros((3, 1)))
    samples.obsp["distances"] = np.eye(3)
    with pytest.raises(KeyError, match="no distances are stored"):
        read_distances(samples, "ggml")
