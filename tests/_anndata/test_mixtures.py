"""Mixtures in `.uns`: read in every form that fits, refused by slot and value in every other."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scggml._anndata.mixtures import (
    check_input,
    check_same,
    counts_of,
    given_mark,
    read_mixtures,
    write_mixtures,
)
from scggml._core.cohort import from_clouds
from scggml._core.learn.choice import summarize
from scggml._core.transport.mixture import Mixture, mixtures_of

NAMES = np.array(["b", "a"])
FEATURES = np.array(["x", "y"])
MINE = Mixture(key="mine")


@pytest.fixture
def entry():
    """Three Gaussians of "a", one of "b" and one of a sample that nobody asks for."""
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(5, 2, 2))
    return {
        "sample": ["a", "b", "a", "c", "a"],
        "weights": [0.25, 1.0, 0.5, 7.0, 0.25],
        "means": rng.normal(size=(5, 2)),
        "covariances": roots @ roots.transpose(0, 2, 1),
    }


def holding(entry):
    return AnnData(np.zeros((2, 2)), uns={"mine": entry})


def test_samples_have_their_rows_in_their_order(entry):
    b, a = read_mixtures(holding(entry), "mine", NAMES, FEATURES)
    np.testing.assert_array_equal(a.weights, [0.25, 0.5, 0.25])
    np.testing.assert_array_equal(a.means, entry["means"][[0, 2, 4]])
    np.testing.assert_array_equal(a.covariances, entry["covariances"][[0, 2, 4]])
    np.testing.assert_array_equal(b.means, entry["means"][[1]])


def test_variances_are_diagonal_covariances(entry):
    entry["covariances"] = np.diagonal(entry["covariances"], axis1=1, axis2=2)
    b, _ = read_mixtures(holding(entry), "mine", NAMES, FEATURES)
    np.testing.assert_array_equal(b.covariances, [np.diag(entry["covariances"][1])])


def test_features_are_matched_by_name_and_others_are_left_out(entry):
    wide = entry | {
        "means": np.insert(entry["means"][:, ::-1], 1, 9.0, axis=1),
        "covariances": np.insert(np.insert(entry["covariances"][:, ::-1, ::-1], 1, 0.0, axis=1), 1, 0.0, axis=2),
        "features": ["y", "other", "x"],
    }
    found, truth = (read_mixtures(holding(each), "mine", NAMES, FEATURES) for each in (wide, entry))
    for one, other in zip(found, truth, strict=True):
        np.testing.assert_array_equal(one.means, other.means)
        np.testing.assert_array_equal(one.covariances, other.covariances)


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series, pd.Categorical])
def test_names_of_samples_come_in_any_form(entry, kind):
    entry["sample"] = kind(entry["sample"])
    assert len(read_mixtures(holding(entry), "mine", NAMES, FEATURES)[1].weights) == 3
    entry["sample"] = kind([1, 2, 1, 3, 1])
    assert len(read_mixtures(holding(entry), "mine", np.array(["1"]), FEATURES)[0].weights) == 3


def without(name):
    return lambda entry: {key: value for key, value in entry.items() if key != name}


def with_(name, change):
    def changed(entry):
        value = np.array(entry[name])
        change(value)
        return entry | {name: value}

    return changed


def put(where, value):
    def change(array):
        array[where] = value

    return change


FAULTS = {
    "no mapping": (lambda _: [1, 2], TypeError, r"adata.uns\['mine'\] is a list; pass a dict with a row for each"),
    **{
        f"no {name}": (without(name), ValueError, rf"'mine'\].*'?{name}'?.*pass a dict with a row for each Gaussian")
        for name in ("sample", "weights", "means", "covariances")
    },
    "too few weights": (lambda entry: entry | {"weights": [1.0]}, ValueError, r"'weights'\] has shape \(1,\)"),
    "means of another width": (
        lambda entry: entry | {"means": np.zeros((5, 3))},
        ValueError,
        r"'covariances'\] has shape \(5, 2, 2\), where numbers of shape \(5, 3, 3\) is needed",
    ),
    "text": (lambda entry: entry | {"weights": list("vwxyz")}, ValueError, r"'weights'\] holds .*numbers are needed"),
    "NaN": (with_("means", put((1, 0), np.nan)), ValueError, r"'means'\] has 1 values that are NaN or infinite"),
    "negative weight": (with_("weights", put(2, -0.5)), ValueError, r"'weights'\] has -0.5 in row 2; weights are at"),
    "sum of weights": (
        with_("weights", put(0, 0.3)),
        ValueError,
        r"'weights'\] sums to 1.05 in sample 'a'; the weights of a sample sum to 1",
    ),
    "not symmetric": (with_("covariances", put((3, 0, 1), 50)), ValueError, r"is not symmetric in row 3; pass \(S"),
    "no covariance": (
        with_("covariances", put(4, [[1.0, 2.0], [2.0, 1.0]])),
        ValueError,
        r"'covariances'\] has the variance -1 in some direction in row 4; a covariance is positive",
    ),
    "no sample b": (
        lambda entry: entry | {"sample": list("aaaca")},
        ValueError,
        r"'sample'\] lacks 1 of the 2 samples that are read: 'b'. Add their Gaussians, or leave",
    ),
    "other features": (
        lambda entry: entry | {"features": ["x", "z"]},
        ValueError,
        r"'features'\] lacks 1 of the 2 features that are read: 'y'. Pass the use_rep",
    ),
    "another number of features": (
        lambda entry: entry | {"means": np.zeros((5, 3)), "covariances": np.ones((5, 3))},
        ValueError,
        r"'means'\] has 3 features, but 2 are read \('x', 'y'\). Pass the use_rep, layer or mask_var",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_does_not_fit_is_refused_by_slot_and_value(entry, name):
    change, error, text = FAULTS[name]
    adata = holding(change(entry))
    with pytest.raises(error, match=text):
        read_mixtures(adata, "mine", NAMES, FEATURES)


def test_a_name_that_is_not_there_lists_what_is(entry):
    with pytest.raises(
        KeyError, match=r"Mixture: key='other' is not in adata.uns, which has 'mine'. Write your mixtures"
    ):
        read_mixtures(holding(entry), "other", NAMES, FEATURES)


@pytest.fixture
def cohort():
    rng = np.random.default_rng(1)
    cells = from_clouds([rng.normal(size=(n, 2)) for n in (20, 1, 9)])
    return summarize(cells, Mixture(2), rng)


def test_what_is_written_is_read_and_notices_changes(cohort):
    adata = AnnData(np.zeros((1, 2)))
    write_mixtures(adata, "mine", cohort, fingerprint="of a metric", features=FEATURES)
    owner, truth = mixtures_of(cohort)
    found = read_mixtures(adata, "mine", cohort.names, FEATURES)
    assert [len(each.weights) for each in found] == list(counts_of(cohort)) == list(np.bincount(owner)) == [2, 1, 2]
    np.testing.assert_allclose(np.concatenate([each.means for each in found]), truth.means)
    adata.uns["mine"]["means"] = adata.uns["mine"]["means"] + 1
    with pytest.raises(ValueError, match=r"adata.uns\['mine'\] was changed after it was written, in 'means'"):
        read_mixtures(adata, "mine", cohort.names, FEATURES)


def test_covariances_without_room_are_not_written(cohort, monkeypatch):
    monkeypatch.setattr("scggml._anndata.mixtures.ROOM", 10)
    adata = AnnData(np.zeros((1, 2)))
    write_mixtures(adata, "mine", cohort, fingerprint="of a metric")
    assert "mine" not in adata.uns


def test_other_mixtures_than_a_metric_was_learned_on_are_noticed(entry):
    adata = holding(entry)
    mark = given_mark(adata, MINE, NAMES)
    check_same(adata, MINE, NAMES, mark, "again")
    entry["means"] = entry["means"].copy()
    entry["means"][3] += 1  # of a sample that it was not learned on
    check_same(adata, MINE, NAMES, mark, "again")
    entry["means"][0] += 1e-6
    with pytest.raises(ValueError, match=r"adata.uns\['mine'\] has other mixtures than when the metric was.* or again"):
        check_same(adata, MINE, NAMES, mark, "again")
    check_same(adata, MINE, np.array(["b", "new"]), mark, "again")  # those of other samples
    assert given_mark(adata, Mixture(3), NAMES) is None


def test_a_metric_does_not_replace_the_mixtures_that_it_reads():
    check_input(Mixture(key="mine"), "ggml")
    with pytest.raises(ValueError, match=r"reads adata.uns\['ggml_mixture'\], which belongs to the metric key_added="):
        check_input(Mixture(key="ggml_mixture"), "ggml")
