import numpy as np
import pandas as pd
import pytest
from _cells import GENES, MATRICES, assert_same, clouds, make_adata, read
from scipy import sparse

from scggml._anndata.read import read_features
from scggml._core.transport.coreset import Coreset


@pytest.fixture
def adata():
    return make_adata()


# Samples, cells and labels


def test_a_sample_owns_its_cells_in_order_of_first_appearance(adata):
    cohort = read(adata)
    assert cohort.names.tolist() == ["p2", "p0", "p3", "p1"]
    assert cohort.sizes.tolist() == [4, 7, 3, 6]
    for p, name in enumerate(cohort.names):
        own = adata.X[(adata.obs["sample"] == name).to_numpy()]
        np.testing.assert_array_equal(cohort.points[cohort.offsets[p] : cohort.offsets[p + 1]], own)
    assert cohort.classes.tolist() == ["ill", "well"]
    assert cohort.labels.tolist() == [1, 0, 0, 1]


def test_cells_weigh_the_same_within_a_sample(adata):
    cohort = read(adata)
    np.testing.assert_allclose(cohort.weights, np.repeat(1 / cohort.sizes, cohort.sizes))


def test_shuffled_cells_are_the_same_cohort(adata):
    truth = clouds(read(adata, weights_key="weight"))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(adata.n_obs)
        found = clouds(read(adata[order].copy(), weights_key="weight"))
        assert found.keys() == truth.keys()
        for name, (label, points, weights) in truth.items():
            assert found[name][:2] == (label, points)
            np.testing.assert_allclose(found[name][2], weights, rtol=1e-12)


IDS = {
    "text": lambda codes: [f"p{c}" for c in codes],
    "string": lambda codes: pd.array([f"p{c}" for c in codes], dtype="string"),
    "categorical": lambda codes: pd.Categorical([f"p{c}" for c in codes]),
    "unused categories": lambda codes: pd.Categorical.from_codes(codes + 1, ["x", "p0", "p1", "p2", "p3", "y"]),
    "integer": lambda codes: codes,
    "integer with a mask": lambda codes: pd.array(codes, dtype="Int64"),
    "integer categories": lambda codes: pd.Categorical(codes, categories=[3, 1, 7, 0, 2]),
    "float": lambda codes: codes / 2,
}


@pytest.mark.parametrize("kind", IDS)
def test_sample_ids_of_any_type_are_the_same_samples(adata, kind):
    truth = read(adata)
    codes = adata.obs["sample"].str[1:].astype(int).to_numpy()
    adata.obs["sample"] = IDS[kind](codes)
    cohort = read(adata)
    expected = {"integer": str, "integer with a mask": str, "integer categories": str, "float": lambda c: str(c / 2)}
    name = expected.get(kind, lambda c: f"p{c}")
    assert cohort.names.tolist() == [name(int(text[1:])) for text in truth.names]
    assert cohort.names.dtype.kind == "U"
    for part in ("points", "weights", "offsets", "labels"):
        np.testing.assert_array_equal(getattr(cohort, part), getattr(truth, part))


def test_boolean_ids_make_two_samples(adata):
    adata.obs["sample"] = adata.obs["label"] == "ill"
    cohort = read(adata)
    assert cohort.names.tolist() == ["False", "True"]
    assert cohort.sizes.tolist() == [10, 10]


NUMBERS = {"ill": 10, "well": 9}


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (lambda label: label, ["ill", "well"]),
        (lambda label: pd.Categorical(label, categories=["well", "other", "ill"]), ["well", "ill"]),
        (lambda label: pd.Categorical(label, categories=["well", "ill"], ordered=True), ["well", "ill"]),
        (lambda label: label.map(NUMBERS), ["9", "10"]),
        (lambda label: label.map(NUMBERS).astype("Int64"), ["9", "10"]),
        (lambda label: label.map(NUMBERS) / 4, ["2.25", "2.5"]),
        (lambda label: label == "ill", ["False", "True"]),
        (lambda label: pd.Categorical(label == "ill", categories=[True, False]), ["True", "False"]),
        (lambda label: pd.Categorical(label.map(NUMBERS).astype(np.float32) / 3), ["3.0", "3.3333333"]),
        (lambda label: pd.cut(label.map(NUMBERS), [0, 9, 20]), ["(0, 9]", "(9, 20]"]),
        (
            lambda label: pd.Categorical(pd.to_datetime(label.map({"ill": "2021-01-01", "well": "2020-01-01"}))),
            ["2020-01-01", "2021-01-01"],
        ),
    ],
)
def test_classes_come_in_the_order_of_categories_or_numbers_or_letters(adata, values, classes):
    first = values(pd.Series(["ill"]))[0]
    truth = clouds(read(adata))
    adata.obs["label"] = values(adata.obs["label"])
    cohort = read(adata)
    assert cohort.classes.tolist() == classes
    is_ill = cohort.classes[cohort.labels] == str(first).removesuffix(" 00:00:00")
    assert dict(zip(cohort.names, is_ill, strict=True)) == {name: truth[name][0] == "ill" for name in truth}


def test_without_labels_there_is_one_class(adata):
    cohort = read(adata, label_key=None)
    assert cohort.labels.tolist() == [0, 0, 0, 0]
    assert cohort.classes.tolist() == ["all"]


# Where the features are


def test_features_from_every_slot_are_the_same_points(adata):
    truth = read(adata)
    X, adata.X = adata.X, np.zeros(adata.shape)
    adata.layers["log"] = X
    adata.obsm["array"], adata.obsm["sparse"] = X, sparse.csr_matrix(X)
    adata.obsm["csc"], adata.obsm["csr_array"] = sparse.csc_matrix(X), sparse.csr_array(X)
    adata.obsm["frame"] = pd.DataFrame(X, index=adata.obs_names, columns=["a", "b", "c"])
    assert_same(read(adata, layer="log"), truth)
    for name in ("array", "sparse", "csc", "csr_array", "frame"):
        assert_same(read(adata, use_rep=name), truth)
    assert not read(adata).points.any()


def test_features_have_names(adata):
    adata.layers["log"] = adata.X
    adata.obsm["X_pca"] = adata.X[:, :2]
    adata.obsm["frame"] = pd.DataFrame(adata.X, index=adata.obs_names, columns=["a", "b", "c"])
    assert read_features(adata).names.tolist() == GENES
    assert read_features(adata, layer="log").names.tolist() == GENES
    assert read_features(adata, use_rep="X").names.tolist() == GENES
    assert read_features(adata, use_rep="X_pca").names.tolist() == ["X_pca_0", "X_pca_1"]
    assert read_features(adata, use_rep="frame").names.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("kind", MATRICES)
def test_every_layout_of_a_matrix_is_read_alike(adata, kind):
    truth = read(adata)
    masked = read(adata, mask_var=np.array([True, False, True]))
    adata.X = MATRICES[kind](adata.X)
    assert_same(read(adata), truth)
    assert_same(read(adata, mask_var=np.array([True, False, True])), masked)


TYPES = [("f4", "f4"), ("f8", "f8"), ("i4", "f8"), ("u2", "f8"), ("i8", "f8"), ("bool", "f8")]


@pytest.mark.parametrize(
    ("dtype", "precision", "kind"),
    [("f2", "f4", "C order"), *((*pair, kind) for pair in TYPES for kind in ("C order", "csr_matrix", "csc_array"))],
)
def test_values_of_any_type_keep_their_precision(dtype, precision, kind):
    adata = make_adata()
    adata.X = np.abs(adata.X).astype(dtype)
    truth = adata.X.astype(precision)
    adata.X = MATRICES[kind](adata.X)
    cohort = read(adata)
    assert cohort.points.dtype == np.dtype(precision)
    rows = np.concatenate([np.flatnonzero(adata.obs["sample"] == name) for name in cohort.names])
    np.testing.assert_array_equal(cohort.points, truth[rows])


def test_a_view_is_read_as_its_copy_and_stays_a_view(adata):
    view = adata[adata.obs["sample"] != "p0", ["g2", "g0"]]
    cohort = read(view)
    assert view.is_view
    assert_same(cohort, read(view.copy()))
    assert cohort.names.tolist() == ["p2", "p3", "p1"]
    np.testing.assert_array_equal(np.sort(cohort.points[:, 1]), np.sort(view.X[:, 1]))


# Which genes


def test_highly_variable_genes_are_taken_where_they_are_marked(adata):
    assert read_features(adata, mask_var="auto").names.tolist() == GENES
    adata.var["highly_variable"] = [True, False, True]
    for mask in ("auto", "highly_variable", np.array([True, False, True]), adata.var["highly_variable"]):
        assert read_features(adata, mask_var=mask).names.tolist() == ["g0", "g2"]
        np.testing.assert_array_equal(read(adata, mask_var=mask).points, read(adata).points[:, [0, 2]])
    assert read_features(adata, mask_var=None).names.tolist() == GENES


def test_any_boolean_column_selects_genes(adata):
    adata.var["chosen"] = [False, False, True]
    adata.var["nullable"] = pd.array([False, False, True], dtype="boolean")
    adata.layers["log"] = 2 * adata.X
    assert read(adata, mask_var="chosen").points.shape == (20, 1)
    assert_same(read(adata, mask_var="nullable"), read(adata, mask_var="chosen"))
    np.testing.assert_array_equal(
        read(adata, layer="log", mask_var="chosen").points, 2 * read(adata, mask_var="chosen").points
    )


def test_highly_variable_genes_have_no_part_in_a_representation(adata):
    adata.var["highly_variable"] = [True, False, False]
    adata.obsm["X_pca"] = adata.X
    assert read(adata, use_rep="X_pca", mask_var="auto").n_features == 3


# Subsampling, weights, small samples


def test_subsampling_draws_cells_of_the_sample_without_repeats(adata):
    cohort = read(adata, n_cells=5)
    assert cohort.sizes.tolist() == [4, 5, 3, 5]  # samples with fewer keep all
    whole = clouds(read(adata))
    for name, (label, points, weights) in clouds(cohort).items():
        assert label == whole[name][0]
        assert all(point in whole[name][1] for point in points)
        assert len({tuple(point) for point in points}) == len(points)
        np.testing.assert_allclose(weights, 1 / len(points))
    assert clouds(cohort)["p3"] == whole["p3"]


def test_subsampling_follows_the_seed(adata):
    first = read(adata, n_cells=3)
    assert_same(read(adata, n_cells=3), first)
    others = [read(adata, n_cells=3, seed=seed).points for seed in range(1, 4)]
    assert all(not np.array_equal(points, first.points) for points in others)


def test_more_cells_than_there_are_takes_all(adata):
    assert_same(read(adata, n_cells=100), read(adata))


def test_subsampling_reaches_every_cell(adata):
    drawn = np.concatenate([read(adata, n_cells=2, seed=seed).points[:, 0] for seed in range(40)])
    assert set(drawn) == set(range(20))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_weights_are_normalized_within_samples(adata, scale):
    adata.obs["weight"] *= scale
    cohort = read(adata, weights_key="weight")
    for p, name in enumerate(cohort.names):
        own = adata.obs.loc[adata.obs["sample"] == name, "weight"].to_numpy()
        rows = slice(cohort.offsets[p], cohort.offsets[p + 1])
        np.testing.assert_allclose(cohort.weights[rows], own / own.sum(), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["f4", "i8", "bool", "Float64", "Int64"])
def test_weights_may_be_of_any_number_type(adata, dtype):
    adata.obs["weight"] = (np.arange(20) % 3 + 1 if dtype != "bool" else np.arange(20) % 5 > 0).astype(dtype.lower())
    truth = read(adata, weights_key="weight").weights
    adata.obs["weight"] = pd.array(adata.obs["weight"], dtype=dtype)
    np.testing.assert_allclose(read(adata, weights_key="weight").weights, truth)


def test_the_weights_of_drawn_cells_are_their_own(adata):
    cohort = read(adata, weights_key="weight", n_cells=2)
    by_cell = dict(zip(adata.X[:, 0], adata.obs["weight"], strict=True))
    for p in range(4):
        rows = slice(cohort.offsets[p], cohort.offsets[p + 1])
        own = np.array([by_cell[cell] for cell in cohort.points[rows, 0]])
        np.testing.assert_allclose(cohort.weights[rows], own / own.sum())


def test_samples_with_few_cells_are_left_out_with_a_list(adata):
    message = r"min_cells=5 leaves out 2 of 4 samples \(cells in brackets\): 'p2' \(4\), 'p3' \(3\)\."
    with pytest.warns(UserWarning, match=message):
        cohort = read(adata, min_cells=5)
    assert cohort.names.tolist() == ["p0", "p1"]
    whole = clouds(read(adata))
    assert clouds(cohort) == {name: whole[name] for name in ("p0", "p1")}


def test_no_sample_is_left_out_without_a_warning(adata):
    assert read(adata, min_cells=3).n_samples == 4  # a warning would be an error


def test_cells_are_counted_before_subsampling(adata):
    with pytest.warns(UserWarning, match="leaves out 1 of 4"):
        cohort = read(adata, min_cells=4, n_cells=2)
    assert cohort.sizes.tolist() == [2, 2, 2]


# Projected cells and summaries


def test_with_components_the_points_are_the_projected_cells(adata):
    W = np.random.default_rng(0).standard_normal((2, 3))
    for dtype in (np.float64, np.float32):
        adata.X = adata.X.astype(dtype)
        whole, found = read(adata, weights_key="weight"), read(adata, weights_key="weight", components=W)
        assert found.points.dtype == np.float64
        np.testing.assert_allclose(found.points, whole.points.astype(np.float64) @ W.T, rtol=1e-12, atol=1e-12)
        for name in ("weights", "offsets", "labels", "names"):
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
        np.testing.assert_array_equal(found.origin.profiles, whole.origin.profiles)


def sample_sums(cohort, values):
    return np.add.reduceat(values, cohort.offsets[:-1], axis=0)


@pytest.mark.parametrize("components", [None, np.array([[1.0, -2.0, 0.5]])], ids=["cells", "projected"])
@pytest.mark.parametrize("weights_key", [None, "weight"])
def test_a_summary_keeps_mass_means_counts_and_profiles(adata, weights_key, components):
    options = {"weights_key": weights_key, "components": components}
    whole, found = read(adata, **options), read(adata, summary=Coreset(4), **options)
    assert found.sizes.tolist() == [4, 4, 3, 4]
    assert found.counts.tolist() == whole.counts.tolist() == [4, 7, 3, 6]
    np.testing.assert_array_equal(found.origin.profiles, whole.origin.profiles)
    np.testing.assert_allclose(sample_sums(found, found.weights), 1.0, rtol=1e-12)
    means = [sample_sums(c, c.weights[:, None] * c.points) for c in (found, whole)]
    np.testing.assert_allclose(means[0], means[1], rtol=1e-12, atol=1e-12)
    for p in (0, 2):  # samples with as few cells keep them
        rows = [slice(c.offsets[p], c.offsets[p + 1]) for c in (found, whole)]
        np.testing.assert_array_equal(found.points[rows[0]], whole.points[rows[1]])
    for name in ("labels", "names", "classes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_profiles_are_the_weighted_means_of_all_features(adata):
    cohort = read(adata, weights_key="weight", summary=Coreset(2), components=np.ones((1, 3)))
    for p, name in enumerate(cohort.names):
        own = (adata.obs["sample"] == name).to_numpy()
        truth = np.average(adata.X[own], axis=0, weights=adata.obs["weight"][own])
        np.testing.assert_allclose(cohort.origin.profiles[p], truth, rtol=1e-12)


def test_what_a_sample_is_like_does_not_change_the_summary_of_the_next(adata):
    other = adata.copy()
    other.X[(adata.obs["sample"] == "p0").to_numpy()] += 7
    one, two = read(adata, summary=Coreset(3)), read(other, summary=Coreset(3))
    for p in (0, 2, 3):
        rows = slice(one.offsets[p], one.offsets[p + 1])
        np.testing.assert_array_equal(one.points[rows], two.points[rows])


def test_fewer_centers_than_asked_for_leave_no_gap(adata):
    adata.X[(adata.obs["sample"] == "p0").to_numpy()] = 2.0
    cohort = read(adata, summary=Coreset(5))
    assert cohort.sizes.tolist() == [4, 1, 3, 5]
    assert len(cohort.points) == len(cohort.weights) == 13
    np.testing.assert_array_equal(cohort.points[4], 2.0)
    np.testing.assert_allclose(sample_sums(cohort, cohort.weights), 1.0)


def test_values_that_are_not_finite_are_found_before_they_are_summarized(adata):
    adata.X[5, 1] = np.nan
    with pytest.raises(
        ValueError, match=r"adata\.X has 1 values that are NaN or infinite; the first is in cell 'cell5'"
    ):
        read(adata, summary=Coreset(2))
    with pytest.raises(
        ValueError, match=r"adata\.X has 1 values that are NaN or infinite; the first is in cell 'cell5'"
    ):
        read(adata, summary=Coreset(2), components=np.ones((1, 3)))


@pytest.mark.parametrize(("large", "sizes"), [(6, [4, 7, 3, 6]), (5, [2, 2, 2, 2])])
def test_auto_summarizes_where_the_median_sample_is_large(adata, monkeypatch, large, sizes):
    monkeypatch.setattr("scggml._core.transport.coreset.MANY", large)  # the median sample has 5 cells
    monkeypatch.setattr("scggml._core.transport.coreset.POINTS", (2, 2))
    assert read(adata, summary="auto").sizes.tolist() == sizes
