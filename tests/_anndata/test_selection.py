"""Which cells of which samples: chosen once, read one sample at a time, asked for what `.obs` says of the samples."""

import importlib
import io
import threading
import tracemalloc
import weakref
from typing import ClassVar

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from _cells import SIZES, assert_same, chosen, clouds, make_adata, read
from anndata import AnnData
from scipy import sparse

from scggml._anndata.features import read_features
from scggml._anndata.selection import as_numbers, as_text, value_order
from scggml._core.samples import check_design
from scggml._core.transport.coreset import Coreset


@pytest.fixture
def adata():
    return make_adata()


def fault(adata, error, message, **arguments):
    with pytest.raises(error, match=message):
        read(adata, **arguments)


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
    assert cohort.classes.tolist() == ["unknown"]


def test_a_view_is_read_as_its_copy_and_stays_a_view(adata):
    view = adata[adata.obs["sample"] != "p0", ["g2", "g0"]]
    cohort = read(view)
    assert view.is_view
    assert_same(cohort, read(view.copy()))
    assert cohort.names.tolist() == ["p2", "p3", "p1"]
    np.testing.assert_array_equal(np.sort(cohort.points[:, 1]), np.sort(view.X[:, 1]))


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


def test_a_list_of_small_samples_can_be_spared(adata):
    assert chosen(adata, min_cells=5, quiet=True).names.tolist() == ["p0", "p1"]  # a warning would be an error


@pytest.mark.parametrize("n_cells", [None, 1, 4, 100])
@pytest.mark.parametrize("min_cells", [1, 4])
def test_rows_are_those_that_the_cohort_was_read_from(adata, n_cells, min_cells):
    selection = chosen(adata, n_cells=n_cells, min_cells=min_cells, quiet=True)
    cohort = selection.read(read_features(adata), rng=np.random.default_rng(0))
    np.testing.assert_array_equal(adata.X[selection.rows], cohort.points)
    np.testing.assert_array_equal(selection.cells()["sample"], np.repeat(cohort.names, cohort.sizes))
    np.testing.assert_array_equal(selection.sizes, cohort.sizes)
    assert all(
        (np.diff(selection.rows[start:stop]) > 0).all()
        for start, stop in zip(cohort.offsets[:-1], cohort.offsets[1:], strict=True)
    )
    owner = [str(selection.names[p]) if p >= 0 else None for p in selection.owner]
    assert owner == [name if name in selection.names else None for name in adata.obs["sample"]]


def test_some_samples_can_be_taken_in_any_order(adata):
    whole = chosen(adata, n_cells=4, weights_key="weight")
    part = whole.take(np.array([3, 0]))
    assert part.names.tolist() == ["p1", "p2"]
    found = part.read(read_features(adata), rng=np.random.default_rng(0))
    assert_same(found, whole.read(read_features(adata), rng=np.random.default_rng(0)).take(np.array([3, 0])))
    assert {str(part.names[p]) for p in part.owner if p >= 0} == {"p1", "p2"}
    assert (part.owner >= 0).sum() == 10


# What `.obs` says of the samples


DONORS = {"p2": "d1", "p0": "d0", "p3": "d1", "p1": "d2"}


def test_codes_come_in_order_of_first_appearance(adata):
    adata.obs["donor"] = adata.obs["sample"].map(DONORS)
    assert chosen(adata).codes("donor", "groups_key").tolist() == [0, 1, 0, 2]
    adata.obs["donor"] = adata.obs["donor"].astype("category")
    assert chosen(adata).take(np.array([3, 2, 1, 0])).codes("donor", "groups_key").tolist() == [0, 1, 2, 1]
    adata.obs["donor"] = pd.Categorical(adata.obs["sample"].map({"p2": 7, "p0": 3, "p3": 7, "p1": 7}))
    assert chosen(adata).codes("donor", "groups_key").tolist() == [0, 1, 0, 0]


def test_values_are_text_in_the_order_of_the_samples(adata):
    adata.obs["site"] = pd.Categorical(adata.obs["sample"].map({"p2": 7, "p0": 3, "p3": 7, "p1": 5}))
    assert chosen(adata).values("site", "batch_key").tolist() == ["7", "3", "7", "5"]
    with pytest.raises(KeyError, match="batch_key='plate' is not a column"):
        chosen(adata).values("plate", "batch_key")


def test_samples_that_take_no_part_need_no_value(adata):
    adata.obs["donor"] = adata.obs["sample"].map({name: donor for name, donor in DONORS.items() if name != "p3"})
    assert chosen(adata, min_cells=4, quiet=True).codes("donor", "groups_key").tolist() == [0, 1, 2]
    message = (
        r"adata\.obs\['donor'\] \(groups_key\) is missing for 3 of 20 cells \(the first is 'cell\d+'\); leave these"
    )
    with pytest.raises(ValueError, match=message):
        chosen(adata).codes("donor", "groups_key")


def test_a_sample_of_two_values_is_named_with_both(adata):
    adata.obs["donor"] = adata.obs["sample"].map(DONORS)
    first = adata.obs_names[(adata.obs["sample"] == "p0").to_numpy()][0]
    adata.obs.loc[first, "donor"] = "d9"
    message = (
        r"1 of 4 samples have cells of more than one value in adata\.obs\['donor'\] \(groups_key\): sample 'p0' of "
        r"adata\.obs\['sample'\] has 'd9', 'd0'\. A sample has one; pass another groups_key, or split such samples by"
    )
    with pytest.raises(ValueError, match=message):
        chosen(adata).codes("donor", "groups_key")


def test_a_missing_column_is_answered_with_those_that_are_there(adata):
    message = r"groups_key='donor' is not a column of adata\.obs, which has 'sample', 'label', 'weight'"
    with pytest.raises(KeyError, match=message):
        chosen(adata).codes("donor", "groups_key")


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "Int64", "category"])
def test_numbers_of_samples_may_be_of_any_type(adata, dtype):
    ages = {"p2": 61, "p0": 7, "p3": 33, "p1": 12}
    adata.obs["age"] = adata.obs["sample"].map(ages).astype(dtype)
    assert chosen(adata).numbers("age", "covariate_keys").tolist() == [61.0, 7.0, 33.0, 12.0]


@pytest.mark.parametrize(
    ("values", "bad"),
    [
        (lambda label: label, "'well'"),
        (lambda label: label == "ill", "'False'"),
        (lambda label: label.astype("category"), "'well'"),
    ],
    ids=["text", "bool", "category"],
)
def test_what_is_no_number_is_named_with_the_next_step(adata, values, bad):
    adata.obs["sex"] = values(adata.obs["label"])
    message = rf"adata\.obs\['sex'\] \(covariate_keys\) has {bad}; numbers are needed \(of a category make one, such as"
    with pytest.raises(ValueError, match=message):
        chosen(adata).numbers("sex", "covariate_keys")


def test_categories_of_chosen_cells_keep_their_order(adata):
    adata.obs["type"] = pd.Categorical(["b", "a"] * 10, categories=["b", "unused", "a"])
    selection = chosen(adata, n_cells=3)
    codes, names = selection.categories("type", "cell_type_key")
    assert names.tolist() == ["b", "a"]
    assert codes.tolist() == [row % 2 for row in selection.rows]
    adata.obs["type"] = adata.obs["type"].astype(str)
    codes, names = selection.categories("type", "cell_type_key")
    assert (names.tolist(), codes.tolist()) == (["a", "b"], [1 - row % 2 for row in selection.rows])


def test_a_missing_category_is_refused(adata):
    adata.obs["type"] = [None, *["a"] * 19]
    with pytest.raises(ValueError, match=r"adata\.obs\['type'\] \(cell_type_key\) is missing for 1 of 20 cells"):
        chosen(adata).categories("type", "cell_type_key")
    with pytest.raises(KeyError, match="cell_type_key='kind' is not a column"):
        chosen(adata).categories("kind", "cell_type_key")


@pytest.mark.parametrize("weights_key", [None, "weight"])
def test_shares_are_those_of_the_chosen_cells(adata, weights_key):
    adata.obs["type"] = np.where(np.arange(20) % 3 == 0, "a", "b")
    selection = chosen(adata, n_cells=4, weights_key=weights_key)
    truth = pd.crosstab(
        selection.cells()["sample"], selection.cells()["type"], values=selection.weights, aggfunc="sum"
    ).fillna(0)
    shares = selection.shares("type", "cell_type_key")
    np.testing.assert_allclose(shares, truth.loc[selection.names, ["a", "b"]])
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


def test_text_numbers_and_orders_of_a_column():
    ages = pd.Series([10, 9, 10])
    assert as_text(ages).tolist() == as_text(ages.astype("category")).tolist() == ["10", "9", "10"]
    assert as_numbers(ages).tolist() == as_numbers(ages.astype("category")).tolist() == [10.0, 9.0, 10.0]
    assert value_order(ages).tolist() == ["9", "10"]
    assert value_order(ages.astype(str)).tolist() == ["10", "9"]
    assert value_order(pd.Series(pd.Categorical(["b", "a"], categories=["b", "x", "a"]))).tolist() == ["b", "a"]
    assert as_numbers(pd.Series(["a"])) is None
    assert as_numbers(pd.Series([True, False])) is None


# What is to be learned


def graded(adata, values, **options):
    adata.obs["grade"] = adata.obs["sample"].map(dict(zip(["p0", "p1", "p2", "p3"], values, strict=True)), **options)
    return chosen(adata)


def test_numbers_with_more_than_two_values_need_a_kind(adata):
    selection = graded(adata, [12, 9, 30, 9])
    message = (
        r"adata\.obs\['grade'\] \(label_key\) holds numbers with 3 different values \(9 to 30\), which can be meant in "
        'three ways. Pass label_kind="numbers" if .*, label_kind="ordered" if .*, or label_kind="classes" if'
    )
    with pytest.raises(ValueError, match=message):
        selection.target("grade", "auto", None)
    numbers = selection.target("grade", "numbers", None)
    assert (numbers.kind, numbers.values.tolist(), numbers.classes.tolist()) == ("numbers", [30, 12, 9, 9], [])
    for kind in ("ordered", "classes"):
        found = selection.target("grade", kind, None)
        assert (found.kind, found.values.tolist(), found.classes.tolist()) == (kind, [2, 1, 0, 0], ["9", "12", "30"])


def test_two_numbers_are_two_classes(adata):
    assert graded(adata, [1, 0, 1, 0]).target("grade", "auto", None).kind == "classes"


def test_an_ordered_categorical_is_ordered_and_the_alphabet_is_no_order(adata):
    selection = graded(adata, ["low", "mid", "top", "mid"])
    assert selection.target("grade", "auto", None).kind == "classes"
    message = (
        r"label_kind=\"ordered\", but adata\.obs\['grade'\] \(label_key\) says nothing about the order of 'low', "
        "'mid', 'top'; alphabetical order is not taken. Pass the levels from low to high"
    )
    with pytest.raises(ValueError, match=message):
        selection.target("grade", "ordered", None)
    adata.obs["grade"] = pd.Categorical(adata.obs["grade"], categories=["top", "mid", "low"], ordered=True)
    found = selection.target("grade", "auto", None)
    assert (found.kind, found.classes.tolist(), found.values.tolist()) == (
        "ordered",
        ["top", "mid", "low"],
        [0, 2, 1, 1],
    )
    assert selection.target("grade", "classes", None).kind == "classes"


@pytest.mark.parametrize("levels", [["top", "mid", "low"], ("top", "mid", "unused", "low")])
def test_a_list_of_levels_is_an_order(adata, levels):
    found = graded(adata, ["low", "mid", "top", "mid"]).target("grade", levels, None)
    assert (found.kind, found.classes.tolist(), found.values.tolist()) == (
        "ordered",
        ["top", "mid", "low"],
        [0, 2, 1, 1],
    )


@pytest.mark.parametrize(
    ("levels", "message"), [(["top", "low"], "it lacks 'mid'"), (["top", "mid", "low", "top"], "names one twice")]
)
def test_a_list_of_levels_holds_each_once(adata, levels, message):
    with pytest.raises(ValueError, match=rf"lists the levels of adata\.obs\['grade'\] .* {message}"):
        graded(adata, ["low", "mid", "top", "mid"]).target("grade", levels, None)


def test_categories_of_numbers_are_names_unless_numbers_are_asked_for(adata):
    selection = graded(adata, [12, 9, 30, 9])
    adata.obs["grade"] = adata.obs["grade"].astype("category")
    assert selection.target("grade", "auto", None).kind == "classes"
    assert selection.target("grade", "numbers", None).values.tolist() == [30, 12, 9, 9]


def test_a_reference_class_is_one_of_the_classes(adata):
    assert chosen(adata).target("label", "auto", "well").reference == 1
    message = (
        r"reference_class='healthy' is not a class of adata\.obs\['label'\] \(label_key\), which has 'ill', 'well'"
    )
    with pytest.raises(ValueError, match=message):
        chosen(adata).target("label", "auto", "healthy")


@pytest.mark.parametrize("kind", ["numbers", "ordered"])
def test_what_has_an_order_has_no_reference_class(adata, kind):
    with pytest.raises(ValueError, match="reference_class='9' has no meaning here"):
        graded(adata, [12, 9, 30, 9]).target("grade", kind, "9")


def test_a_kind_that_is_none_is_answered_with_the_choices(adata):
    message = (
        r"label_kind='ranks' is not known; choose from \('auto', 'classes', 'ordered', 'numbers'\), or list the levels"
    )
    with pytest.raises(ValueError, match=message):
        chosen(adata).target("label", "ranks", None)
    with pytest.raises(ValueError, match=r'label_kind="numbers", but .* does not hold numbers'):
        chosen(adata).target("label", "numbers", None)


# Files on disk and dask chunks


@pytest.fixture(params=["dense", "csr", "csc"])
def on_disk(request, tmp_path):
    """An AnnData in memory and the same on disk."""
    adata = make_adata(np.float32)
    stored = adata.copy()
    if request.param != "dense":
        stored.X = getattr(sparse, f"{request.param}_matrix")(adata.X)
    stored.layers["log"] = stored.X
    stored.write_h5ad(tmp_path / "cohort.h5ad")
    backed = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    yield adata, backed
    backed.file.close()


@pytest.fixture(params=["dense", "csr", "csc"])
def in_chunks(request):
    """An AnnData in memory and the same in dask chunks that no sample fits."""
    adata = make_adata(np.float32)
    lazy = adata.copy()
    lazy.X = da.from_array(adata.X, chunks=(6, 2 if request.param == "dense" else -1))
    if request.param != "dense":
        lazy.X = lazy.X.map_blocks(getattr(sparse, f"{request.param}_matrix"))
    lazy.obsm["lazy"] = lazy.X
    return adata, lazy


OPTIONS = [{}, {"n_cells": 2}, {"mask_var": np.array([True, False, True])}, {"weights_key": "weight"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_file_on_disk_is_read_as_if_it_were_in_memory(on_disk, options):
    adata, backed = on_disk
    assert_same(read(backed, **options), read(adata, **options))
    assert backed.isbacked


def test_a_view_on_a_file_is_read_as_if_it_were_in_memory(on_disk):
    adata, backed = on_disk
    keep = (adata.obs["sample"] != "p0").to_numpy()
    assert_same(read(backed[keep, ["g2", "g0"]]), read(adata[keep, ["g2", "g0"]]))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_chunks_are_read_as_if_they_were_in_memory(in_chunks, options):
    adata, lazy = in_chunks
    assert_same(read(lazy, **options), read(adata, **options))
    assert isinstance(lazy.X, da.Array)
    if "mask_var" not in options:
        assert_same(read(lazy, use_rep="lazy", **options), read(adata, **options))


class Recorder:
    """A matrix that notes how many rows are asked for at a time."""

    def __init__(self, matrix):
        self.matrix, self.asked = matrix, []

    def __getattr__(self, name):
        return getattr(self.matrix, name)

    def __getitem__(self, index):
        self.asked.append(index.stop - index.start if isinstance(index, slice) else len(index))
        return self.matrix[index]


def recorded(adata, **options):
    features = read_features(adata)
    recorder = Recorder(features.matrix)
    object.__setattr__(features, "matrix", recorder)
    chosen(adata, **options).read(features, rng=np.random.default_rng(0))
    return recorder.asked


def test_a_file_on_disk_is_read_sample_by_sample_where_samples_lie_in_one_piece(tmp_path, monkeypatch):
    adata = make_adata(np.float32)
    adata = adata[np.argsort(adata.obs["sample"].map(dict(zip(SIZES, range(4), strict=True))), kind="stable")].copy()
    adata.write_h5ad(tmp_path / "cohort.h5ad")
    backed = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    monkeypatch.setattr(importlib.import_module("scggml._anndata.disk"), "RUN", 1)  # so few cells are no long way
    assert recorded(backed) == list(SIZES.values())
    assert recorded(backed, n_cells=5) == [4, 5, 3, 5]
    backed.file.close()


def test_a_file_on_disk_is_read_in_its_own_order_where_samples_are_scattered(on_disk):
    _, backed = on_disk
    # Compressed columns are in memory by then.
    assert recorded(backed) == ([] if getattr(backed.X, "format", None) == "csc" else [20, 20])


@pytest.mark.parametrize(
    ("kind", "where"), [("csr", "memory"), ("csc", "memory"), ("dense", "disk"), ("csr", "disk"), ("csc", "disk")]
)
def test_no_more_than_a_sample_is_dense_at_a_time(tmp_path, kind, where):
    n_samples, n, d = 20, 100, 1000
    X = sparse.random(n_samples * n, d, density=0.002, format="csr", dtype=np.float32, random_state=0)
    adata = AnnData(X.toarray() if kind == "dense" else X.asformat(kind))
    adata.obs["sample"] = np.tile(np.arange(n_samples), n)
    adata.obs["label"] = adata.obs["sample"] % 2
    if where == "disk":
        adata.write_h5ad(tmp_path / "cohort.h5ad")
        adata = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    everything = n_samples * n * d * 4
    tracemalloc.start()
    try:
        cohort = read(adata, n_cells=5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        adata.file.close()
    assert cohort.points.nbytes == everything // 20
    assert peak < everything / 5


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
    monkeypatch.setattr("scggml._core.transport.coreset.POINTS", ((4, 2),))
    assert read(adata, summary="auto").sizes.tolist() == sizes


# Faults


def test_a_missing_sample_key_is_answered_with_the_columns(adata):
    del adata.obs["sample"]
    fault(adata, KeyError, r"sample_key='sample' is not a column of adata\.obs, which has 'label', 'weight'\.")


def test_a_missing_label_key_is_answered_with_the_columns(adata):
    message = r"label_key='lable' is not a column of adata\.obs, which has 'sample', 'label', 'weight'\."
    fault(adata, KeyError, message, label_key="lable")


def test_a_missing_weights_key_is_answered_with_the_columns(adata):
    message = r"weights_key='mass' is not a column of adata\.obs, which has 'sample', 'label', 'weight'\."
    fault(adata, KeyError, message, weights_key="mass")


def test_a_sample_with_two_labels_is_named_with_both(adata):
    adata.obs.loc[adata.obs_names[adata.obs["sample"] == "p0"][2:4], "label"] = "well"
    message = (
        r"1 of 4 samples have cells of more than one value in adata\.obs\['label'\] \(label_key\): sample 'p0' of "
        r"adata\.obs\['sample'\] has 'ill', 'well'\. A sample has one; pass another label_key, or split such samples"
    )
    fault(adata, ValueError, message)


def test_all_samples_with_two_labels_are_counted(adata):
    adata.obs["label"] = np.arange(20) % 3
    fault(adata, ValueError, "4 of 4 samples have cells of more than one value")


@pytest.mark.parametrize("key", ["sample", "label"])
@pytest.mark.parametrize(
    "values",
    [
        lambda column: column.where(np.arange(20) > 2, np.nan),
        lambda column: column.where(np.arange(20) > 2, None),
        lambda column: pd.Categorical(column.where(np.arange(20) > 2)),
        lambda column: column.astype("string").where(np.arange(20) > 2),
        lambda column: column.map({"p0": 0.0, "p1": 1.0, "ill": 0.0, "well": 1.0}).where(np.arange(20) > 2, np.nan),
    ],
    ids=["nan", "None", "categorical", "string", "float"],
)
def test_missing_ids_and_labels_are_counted_with_the_first_cell(adata, key, values):
    adata.obs[key] = values(adata.obs[key])
    n = int(adata.obs[key].isna().sum())
    first = adata.obs_names[adata.obs[key].isna()][0]
    message = (
        rf"adata\.obs\['{key}'\] \({key}_key\) is missing for {n} of 20 cells \(the first is '{first}'\); "
        rf"leave these cells out with adata\[adata\.obs\['{key}'\]\.notna\(\)\]"
    )
    fault(adata, ValueError, message)


def test_the_text_nan_is_a_name_like_any_other(adata):
    adata.obs["sample"] = adata.obs["sample"].replace("p3", "nan")
    assert "nan" in read(adata).names


def test_the_sample_is_not_its_own_label(adata):
    message = "sample_key and label_key are both 'sample'; the label is the class of a sample, not its name"
    fault(adata, ValueError, message, label_key="sample")


def test_one_class_only_is_refused_with_its_name(adata):
    message = (
        r"adata\.obs\['label'\] \(label_key\) has one class only \('ill'\); two or more are needed\. Pass the column"
    )
    with pytest.raises(ValueError, match=message):
        read(adata[adata.obs["label"] == "ill"])


def single(adata, **options):
    selection = chosen(adata, **options)
    target = selection.target("label", "auto", None)
    check_design(target, selection.names, "adata.obs['label'] (label_key)")


def test_a_class_with_one_sample_is_refused_with_both_names(adata):
    message = (
        r"Class 'ill' of adata\.obs\['label'\] \(label_key\) has a single sample \('p0'\), so nothing can be learned "
        r"about distances within it\. Leave the class out or merge it with another"
    )
    with pytest.raises(ValueError, match=message):
        single(adata[adata.obs["sample"] != "p3"])
    with pytest.raises(ValueError, match=r"Class 'ill' .* single sample"):
        single(adata, min_cells=4, quiet=True)
    single(adata)  # two classes of two samples pass


def test_duplicated_cell_names_are_counted_with_the_next_step(adata):
    names = adata.obs_names.to_numpy().copy()
    names[[4, 5, 6]] = "cell3"
    adata.obs_names = names
    message = (
        r"adata\.obs_names has 3 duplicated names \(the first is 'cell3'\); call adata\.obs_names_make_unique\(\) first"
    )
    fault(adata, ValueError, message)


@pytest.mark.parametrize("name", ["n_cells", "min_cells"])
@pytest.mark.parametrize("number", [0, -1, 2.5, "5", np.nan, True])
def test_numbers_of_cells_are_whole_and_positive(adata, name, number):
    fault(adata, (TypeError, ValueError), rf"{name}={number!r}", **{name: number})


def test_numpy_integers_are_numbers_of_cells(adata):
    assert_same(read(adata, n_cells=np.int64(3), min_cells=np.int32(1)), read(adata, n_cells=3, min_cells=1))


def test_too_few_cells_everywhere_is_refused_with_the_largest_sample(adata):
    message = "min_cells=8: none of the 4 samples has as many; the largest has 7"
    fault(adata, ValueError, message, min_cells=8)


def test_an_anndata_without_cells_is_refused(adata):
    fault(adata[:0].copy(), ValueError, r"adata has no cells|0 cells|no samples")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            lambda w: w.where(w.index != "cell7", -1.0),
            "negative or not finite for 1 cells; the first is 'cell7' with -1",
        ),
        (lambda w: w.where(w.index != "cell7", np.nan), "negative or not finite for 1 cells; .* 'cell7' with nan"),
        (lambda w: w.where(w.index != "cell7", np.inf), "negative or not finite for 1 cells; .* 'cell7' with inf"),
        (lambda w: w.astype("Float64").mask(w.index == "cell7"), "'cell7' with nan"),
        (lambda w: w.astype(str) + "x", r"adata\.obs\['weight'\] \(weights_key\) does not hold numbers"),
        (lambda w: pd.Categorical(["low"] * 20), r"adata\.obs\['weight'\] \(weights_key\) does not hold numbers"),
    ],
)
def test_weights_that_are_none_are_refused(adata, values, message):
    adata.obs["weight"] = values(adata.obs["weight"])
    fault(adata, ValueError, message, weights_key="weight")


def test_a_sample_without_any_weight_is_named(adata):
    adata.obs.loc[adata.obs["sample"] == "p3", "weight"] = 0.0
    message = r"weights of sample 'p3' in adata\.obs\['weight'\] sum to 0"
    fault(adata, ValueError, message, weights_key="weight")


def test_single_cells_without_weight_are_kept(adata):
    adata.obs.loc["cell0", "weight"] = 0.0
    cohort = read(adata, weights_key="weight")
    assert cohort.sizes.sum() == 20
    assert (cohort.weights == 0).sum() == 1


# Summaries in threads


def uneven(n_samples=9, d=6, seed=0):
    """Samples of 1 to 90 cells, in turn as they come."""
    rng = np.random.default_rng(seed)
    sizes = rng.permutation(np.linspace(1, 90, n_samples).astype(int))
    samples = rng.permutation(np.repeat(np.arange(n_samples), sizes))
    adata = AnnData(sparse.random(len(samples), d, 0.4, "csr", np.float32, rng, data_rvs=rng.standard_normal))
    adata.obs["sample"], adata.obs["weight"] = samples.astype(str), rng.uniform(0, 1, len(samples))
    return adata


@pytest.mark.parametrize("components", [None, np.ones((1, 6))], ids=["cells", "projected"])
@pytest.mark.parametrize("sparsely", [True, False])
def test_any_number_of_threads_gives_the_same_bytes_and_draws(sparsely, components):
    adata = uneven()
    if not sparsely:
        adata.X = adata.X.toarray()
    selection, results = chosen(adata, weights_key="weight"), set()
    for n_jobs in (1, 2, 3, None):
        rng = np.random.default_rng(5)
        found = selection.read(read_features(adata), summary=Coreset(20), components=components, rng=rng, n_jobs=n_jobs)
        arrays = (found.points, found.weights, found.offsets, found.origin.profiles, found.origin.counts)
        results.add((*(array.tobytes() for array in arrays), rng.integers(2**62)))
    assert len(results) == 1
    truth, rng = [], np.random.default_rng(5)
    for cells in np.split(np.arange(len(selection.rows)), selection.offsets[1:-1]):
        block = np.asarray(read_features(adata).rows(selection.rows[cells]))
        block = block if components is None else block.astype(float) @ components.T
        truth.append(Coreset(20).summarize(block, selection.weights[cells], rng)[0])
    np.testing.assert_allclose(found.points, np.concatenate(truth), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_faults_of_all_samples_are_counted_in_any_number_of_threads(n_jobs):
    adata = uneven()
    adata.X = adata.X.toarray()
    adata.X[[200, 30, 77], [1, 4, 0]] = np.nan
    message = r"adata\.X has 3 values that are NaN or infinite; the first is in cell '30', feature '4'\."
    with pytest.raises(ValueError, match=message):
        chosen(adata).read(read_features(adata), summary=Coreset(20), rng=np.random.default_rng(0), n_jobs=n_jobs)


class Sparse(sparse.csr_matrix):
    """A sparse matrix that notes what is made dense, and how much of it is in use."""

    made: ClassVar[list[int]] = []
    alive: ClassVar[list[int]] = [0, 0]
    lock = threading.Lock()

    def toarray(self, *args, **options):
        with self.lock:
            self.made.append(self.shape[0])
            self.alive[0] += 1
            self.alive[1] = max(self.alive)
        out = super().toarray(*args, **options).view(Counted)
        weakref.finalize(out, self.forget)
        return out

    @classmethod
    def forget(cls):
        with cls.lock:
            cls.alive[0] -= 1


class Counted(np.ndarray):
    """An array that can be referred to weakly."""


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_no_more_than_a_sample_is_dense_for_each_thread(n_jobs, monkeypatch):
    monkeypatch.setattr(Sparse, "made", [])
    monkeypatch.setattr(Sparse, "alive", [0, 0])
    adata = uneven(20)
    features = read_features(adata)
    object.__setattr__(features, "matrix", Sparse(features.matrix))
    selection = chosen(adata)
    selection.read(features, summary=Coreset(1), rng=np.random.default_rng(0), n_jobs=n_jobs)
    assert sorted(Sparse.made) == sorted(selection.sizes)
    assert Sparse.alive[0] == 0
    assert 1 <= Sparse.alive[1] <= n_jobs


@pytest.mark.parametrize(
    ("summary", "keep", "shown"), [(Coreset(5), 3, True), (None, 3, False), (Coreset(5), 1, False)]
)
def test_a_bar_shows_the_summaries_of_several_samples(summary, keep, shown, monkeypatch):
    module, bars = importlib.import_module("scggml._anndata.selection"), []

    class Bar(module.tqdm):
        def __init__(self, **options):
            super().__init__(**options, file=io.StringIO())
            bars.append((self, self.disable))

    monkeypatch.setattr(module, "tqdm", Bar)
    adata = uneven()
    selection = chosen(adata).take(np.arange(keep))
    selection.read(read_features(adata), summary=summary, rng=np.random.default_rng(0), progress="coresets")
    ((bar, disabled),) = bars
    assert disabled != shown
    if shown:
        assert (bar.total, bar.n, bar.desc, bar.unit, bar.leave) == (3, 3, "coresets", "sample", False)


def test_folds_split_the_cells_of_each_sample_and_keep_their_weights():
    adata = make_adata()
    selection = chosen(adata, weights_key="weight")
    found = selection.folds(2, np.random.default_rng(0))
    for rest, own in found:
        assert sorted([*rest.rows, *own.rows]) == sorted(selection.rows)
        for part in (rest, own):
            assert list(part.names) == list(selection.names)
            np.testing.assert_allclose(np.add.reduceat(part.weights, part.offsets[:-1]), 1.0)
            whole = dict(zip(selection.rows, selection.weights, strict=True))
            for start, stop in zip(part.offsets[:-1], part.offsets[1:], strict=True):
                original = np.array([whole[row] for row in part.rows[start:stop]])
                np.testing.assert_allclose(part.weights[start:stop], original / original.sum())
    assert set(found[0][1].rows).isdisjoint(found[1][1].rows)


@pytest.mark.parametrize("kind", ["datetime64[s]", "timedelta64[s]"])
def test_dates_are_no_weights(adata, kind):
    adata.obs["when"] = pd.Series(np.arange(1, adata.n_obs + 1).astype(kind), index=adata.obs_names)
    with pytest.raises(
        ValueError, match=r"adata\.obs\['when'\] \(weights_key\) does not hold numbers, but .*start\) / unit"
    ):
        chosen(adata, weights_key="when")


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e308])
def test_the_scale_of_weights_does_not_matter(adata, scale):
    adata.obs["weight"] = np.linspace(0.5, 1.0, adata.n_obs)
    truth = chosen(adata, weights_key="weight").weights
    adata.obs["weight"] *= scale
    np.testing.assert_allclose(chosen(adata, weights_key="weight").weights, truth, rtol=1e-12)
