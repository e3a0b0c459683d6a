"""How samples are read: checked when it is made, the same after a file, the same cells whenever it is asked."""

from dataclasses import fields, replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from _cells import assert_same, make_adata
from anndata import AnnData

from scggml._anndata.features import read_features
from scggml._anndata.reading import STORED, Reading, read_target, reread, seed_of
from scggml._core.transport.coreset import Coreset


@pytest.fixture
def adata():
    adata = make_adata()
    place = adata.obs["sample"].str[1:].astype(int)
    adata.obs["donor"] = ["d" + str(p // 2) for p in place]
    adata.obs["site"] = ["s" + str(p % 2) for p in place]
    adata.obs["age"], adata.obs["sex"] = 20.0 + place**2, place % 2
    return adata


FULL = Reading(
    sample_key="sample",
    label_key="label",
    label_kind=("ill", "well"),
    groups_key="donor",
    batch_key="site",
    covariate_keys=("age", "sex"),
    weights_key="weight",
    use_rep="X_pca",
    layer="log",
    n_cells=5,
    min_cells=2,
    summary=Coreset(3, max_iter=4),
    seed=11,
)

OTHERS = {
    "sample_key": ["sample", "patient"],
    "label_key": [None, "label"],
    "label_kind": ["auto", "classes", "ordered", "numbers", ("ill", "well"), ("one",)],
    "reference_class": [None, "ill"],
    "groups_key": [None, "donor"],
    "batch_key": [None, "site"],
    "covariate_keys": [(), ("age",), ("age", "sex")],
    "weights_key": [None, "weight"],
    "use_rep": [None, "X_pca", "X"],
    "layer": [None, "log"],
    "n_cells": [None, 5, np.int64(7)],
    "min_cells": [1, 20],
    "summary": [None, "auto", Coreset(), Coreset(7, max_iter=3)],
    "seed": [0, 2**31 - 1],
}


def grid():
    """The plain one with each value of each entry, and the full one with each value of each entry."""
    yield from (
        replace(base, **{name: value})
        for base in (Reading(sample_key="sample"), FULL)
        for name, values in OTHERS.items()
        for value in values
    )


def test_the_grid_has_every_entry():
    assert list(OTHERS) == [field.name for field in fields(Reading)]


def test_a_reading_survives_files(tmp_path):
    for kind, step in (("h5ad", 1), ("zarr", 7)):  # zarr takes 30 ms for each value
        readings = {f"r{i}": reading for i, reading in enumerate(list(grid())[::step])}
        adata = AnnData(np.zeros((2, 1)), uns={name: reading.to_params() for name, reading in readings.items()})
        getattr(adata, f"write_{kind}")(tmp_path / f"readings.{kind}")
        read = getattr(ad, f"read_{kind}")(tmp_path / f"readings.{kind}")
        for name, reading in readings.items():
            found = Reading.from_params(read.uns[name], name)
            assert found == reading
            for field in fields(Reading):
                value = getattr(found, field.name)
                assert not isinstance(value, np.generic | np.ndarray), field.name


def test_lists_become_tuples_and_a_list_of_levels_text():
    for levels in ([1, 2], (1, 2), np.array([1, 2]), pd.Index([1, 2])):
        assert Reading(sample_key="s", label_kind=levels).label_kind == ("1", "2")
    assert Reading(sample_key="s", covariate_keys=["age"]).covariate_keys == ("age",)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"covariate_keys": "age"}, TypeError, "covariate_keys='age' is a str; pass a list of columns of adata.obs"),
        ({"covariate_keys": None}, TypeError, "covariate_keys=None is a NoneType; pass a list"),
        ({"covariate_keys": {"age"}}, TypeError, r"covariate_keys=\{'age'\} is a set; pass a list"),
        ({"label_kind": {"low", "high"}}, TypeError, r"label_kind=\{.*\} is a set; .* the list of the levels from low"),
        ({"label_kind": {"low": 0}}, TypeError, "is a dict"),
        ({"label_kind": None}, TypeError, r"label_kind=None is a NoneType; choose from \('auto', 'classes', 'ordered'"),
        ({"label_kind": 3}, TypeError, "label_kind=3 is a int"),
        ({"batch_key": "label"}, ValueError, "batch_key and label_key are both 'label'; nothing could be learned"),
        ({"groups_key": "label"}, ValueError, "groups_key and label_key are both 'label'"),
        ({"covariate_keys": ["age", "label"]}, ValueError, "covariate_keys holds the label_key 'label'"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_said(options, error, message):
    with pytest.raises(error, match=message):
        Reading(sample_key="sample", label_key="label", **options)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, r"here does not say how samples were read; it needs at least a sample_key"),
        ("sample", r"here does not say how samples were read"),
        ({"sample_key": "s", "fold": 1}, r"here has an entry 'fold' that is not known; known are 'sample_key'"),
        ({"sample_key": "s", "summary": {"name": "sketch"}}, r"here\['summary'\] names 'sketch', which is not known"),
        (
            {"sample_key": "s", "summary": {"name": "coreset", "n_points": 0, "max_iter": 1}},
            r"here\['summary'\] \(coreset\) is damaged: Coreset: n_points=0",
        ),
        (
            {"sample_key": "s", "label_key": "l", "batch_key": "l"},
            r"here is damaged: batch_key and label_key are both 'l'",
        ),
        ({"sample_key": "s", "label_kind": 3}, r"here is damaged: label_kind=3 is a int"),
    ],
)
def test_a_damaged_reading_is_refused_with_its_slot(params, message):
    with pytest.raises(ValueError, match=message):
        Reading.from_params(params, "here")


def test_a_reading_chooses_the_same_cells_each_time(adata):
    reading = replace(FULL, use_rep=None, layer=None, min_cells=4)
    one, two = (reading.select(adata, quiet=True) for _ in range(2))
    np.testing.assert_array_equal(one.rows, two.rows)
    np.testing.assert_array_equal(one.weights, two.weights)
    assert one.names.tolist() == ["p2", "p0", "p1"]
    assert one.sizes.tolist() == [4, 5, 5]
    other = replace(reading, seed=12).select(adata, quiet=True)
    assert one.rows.tolist() != other.rows.tolist()
    with pytest.warns(UserWarning, match="min_cells=4 leaves out 1 of 4"):
        reading.select(adata)
    with pytest.raises(TypeError, match="adata is a DataFrame; an AnnData object is needed"):
        reading.select(adata.obs)


def test_samples_come_with_their_design(adata):
    reading = replace(FULL, use_rep=None, layer=None)
    selection = reading.select(adata)
    samples = reading.samples(selection, read_features(adata), everything=True)
    assert samples.groups.tolist() == [0, 1, 0, 1]
    assert samples.batch.tolist() == [0, 0, 1, 1]
    assert samples.covariates.tolist() == [[24.0, 0.0], [20.0, 0.0], [29.0, 1.0], [21.0, 1.0]]
    assert samples.cohort.sizes.tolist() == [3, 3, 3, 3]
    assert samples.everything.sizes.tolist() == [4, 5, 3, 5]
    assert not samples.cohort.labels.any()
    again = reading.samples(selection, read_features(adata))
    assert_same(again.cohort, samples.cohort)
    assert again.everything is None


def test_without_keys_each_sample_is_a_donor_and_nothing_else_is_known(adata):
    reading = Reading(sample_key="sample")
    samples = reading.samples(reading.select(adata), read_features(adata), everything=True)
    assert samples.groups.tolist() == [0, 1, 2, 3]
    assert samples.batch is None
    assert samples.covariates is None
    assert samples.everything is None  # the cohort has all cells


def test_faults_of_the_design_are_named_before_any_cell_is_read(adata):
    adata.X[:] = np.nan
    for key in ("groups_key", "batch_key", "covariate_keys"):
        reading = Reading(sample_key="sample", **{key: ["weight"] if key == "covariate_keys" else "weight"})
        with pytest.raises(ValueError, match=rf"more than one value in adata\.obs\['weight'\] \({key}\)"):
            reading.samples(reading.select(adata), read_features(adata))


def test_auto_is_settled_by_the_samples_at_hand(adata, monkeypatch):
    reading = Reading(sample_key="sample", summary="auto")
    assert reading.settled(reading.select(adata), 5).summary is None
    monkeypatch.setattr("scggml._core.transport.coreset.CELLS", 5)
    assert reading.settled(reading.select(adata), 501).summary == Coreset(50)
    monkeypatch.setattr("scggml._core.transport.coreset.MANY", 5)
    assert reading.settled(reading.select(adata), 5).summary == Coreset(400)


def test_a_target_needs_a_label_and_two_samples_of_each_class(adata):
    reading = Reading(sample_key="sample")
    with pytest.raises(ValueError, match=r"label_key is needed: the column of adata\.obs with what is to be learned"):
        reading.target(reading.select(adata))
    reading = replace(reading, label_key="label")
    assert read_target(reading, reading.select(adata)).classes.tolist() == ["ill", "well"]
    few = adata[adata.obs["sample"] != "p3"].copy()
    with pytest.raises(
        ValueError, match=r"Class 'ill' of adata\.obs\['label'\] \(label_key\) has a single sample \('p0'\)"
    ):
        read_target(reading, reading.select(few))


def test_each_use_has_a_generator_of_its_own():
    reading = Reading(sample_key="sample", seed=4)
    drawn = reading.learning_rng().integers(2**62, size=3).tolist()
    assert drawn == np.random.default_rng([4, 2]).integers(2**62, size=3).tolist()
    assert drawn == reading.learning_rng().integers(2**62, size=3).tolist()


def test_all_cells_of_all_samples_have_no_weights():
    assert FULL.of_everyone() == replace(FULL, n_cells=None, min_cells=1, weights_key=None)


# Reading again, with other values


def test_stored_and_none_keep_what_was_learned_with():
    kept = {"sample_key": None, "label_key": None, "weights_key": None, "groups_key": None}
    assert reread(FULL, **kept, n_cells=STORED, min_cells=STORED, summary=STORED, seed=STORED) == FULL


def test_other_values_replace_it():
    found = reread(FULL, n_cells=None, min_cells=9, summary=None, seed=3, weights_key="mass", sample_key="patient")
    assert found == replace(
        FULL, n_cells=None, min_cells=9, summary=None, seed=3, weights_key="mass", sample_key="patient"
    )


def test_what_was_said_of_one_label_does_not_go_with_another():
    base = replace(FULL, label_kind="classes", reference_class="ill")
    assert reread(base, label_key="label") == base
    other = reread(base, label_key="state")
    assert (other.label_key, other.label_kind, other.reference_class) == ("state", "auto", None)
    assert reread(FULL, label_key="state").label_kind == "auto"
    with pytest.raises(ValueError, match="batch_key and label_key are both 'site'"):
        reread(FULL, label_key="site")


def test_a_seed_is_a_number_a_generator_or_the_stored_one():
    assert seed_of("stored") == "stored"
    assert seed_of(np.int64(3)) == 3
    assert seed_of(np.random.default_rng(0)) == int(np.random.default_rng(0).integers(2**31))
    for wrong in ("seed", True, 1.5, -1, None):
        with pytest.raises((TypeError, ValueError), match=rf"rng={wrong!r} must be"):
            seed_of(wrong)
