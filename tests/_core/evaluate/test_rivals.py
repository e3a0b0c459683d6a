"""Rivals against what they are in a few plain lines."""

from dataclasses import replace

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scggml._core.cohort import from_clouds
from scggml._core.evaluate.classify import kernel_logistic, knn_mean, knn_votes
from scggml._core.evaluate.methods import Blend, ByDistance, FixedMetric, Majority, Profiles, needs_of
from scggml._core.evaluate.rivals import RIVALS, SAMPLE_DISTANCES, BySampleDistance, Clr, Gloscope, Pilot, rival
from scggml._core.samples import Samples, Target, blind, type_profiles

RNG = np.random.default_rng(0)
SIZES = (6, 5, 8, 7, 4, 9)
CLOUDS = [RNG.normal(size=(n, 3)) + p % 2 for p, n in enumerate(SIZES)]
# type 2 is missing in sample 0 and 4; type 3 is that of a held-out sample alone
TYPES = [RNG.permutation(np.resize([0, 1] if p in (0, 4) else [0, 1, 2], n)) for p, n in enumerate(SIZES)]
TYPES[1][0] = 3
SHARES = np.array([np.bincount(types, minlength=4) / len(types) for types in TYPES])
WHOLE = Samples(blind(from_clouds(CLOUDS)), np.arange(6), composition=SHARES, types=np.concatenate(TYPES))
TRAIN, TEST = np.array([0, 2, 3, 5]), np.array([4, 1])
TARGET = Target("classes", np.array([0.0, 0.0, 1.0, 1.0]), np.array(["a", "b"]))
NUMBERS = Target("numbers", np.array([1.0, 2.0, 9.0, 3.0]), np.array([]))
BASE = ByDistance(FixedMetric("euclidean"), n_neighbors=2)


def predict(method, samples=WHOLE, target=TARGET):
    return method.fit(samples.take(TRAIN), target, rng=np.random.default_rng(0)).predict(samples.take(TEST))


def logistic(rows):
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    return model.fit(rows[TRAIN], [0, 0, 1, 1]).predict_proba(rows[TEST])


def profiles():
    means = np.full((6, 4, 3), np.nan)
    for p, (cloud, types) in enumerate(zip(CLOUDS, TYPES, strict=True)):
        for t in np.unique(types):
            means[p, t] = cloud[types == t].mean(axis=0)
    return means


def test_profiles_by_type_are_means_and_missing_where_there_are_no_cells():
    np.testing.assert_allclose(type_profiles(WHOLE), profiles(), rtol=1e-12)
    rows = np.array([4, 1, 4])
    np.testing.assert_allclose(type_profiles(WHOLE.take(rows)), profiles()[rows], rtol=1e-12)
    weights = np.concatenate([RNG.dirichlet(np.ones(n)) for n in SIZES])
    weighted = replace(WHOLE, cohort=replace(WHOLE.cohort, weights=weights))
    cells = WHOLE.types[:6] == 1
    truth = np.average(CLOUDS[0][cells], axis=0, weights=weights[:6][cells])
    np.testing.assert_allclose(type_profiles(weighted)[0, 1], truth)


def test_pseudobulk_by_type_fills_gaps_from_the_training_samples():
    means = profiles()
    usual = np.array([np.nan_to_num(np.nanmean(means[TRAIN, t], axis=0)) if t < 3 else np.zeros(3) for t in range(4)])
    rows = np.where(np.isnan(means), usual, means)
    rows[:, 3] = 0.0  # no training sample has it
    found = predict(Profiles("cell_type_pseudobulk"))
    np.testing.assert_allclose(found.scores, logistic(rows.reshape(6, -1)))
    assert found.distances is None


def test_clr_is_the_aitchison_distance_of_counts_and_half_a_cell():
    counts = SHARES * np.array(SIZES)[:, None] + 0.5
    z = np.log(counts) - np.log(counts).mean(axis=1, keepdims=True)
    D = cdist(z[TEST], z[np.concatenate([TRAIN, TEST])])
    found = predict(BySampleDistance(Clr(), n_neighbors=2))
    np.testing.assert_allclose(found.distances, D, atol=1e-12)
    np.testing.assert_allclose(found.scores, knn_votes(D[:, :4], TARGET.codes, 2, 2))


def test_pilot_is_transport_between_shares_by_the_angles_of_the_training_means():
    means, shares = profiles()[TRAIN], SHARES[TRAIN]
    centers = np.nansum(shares[:, :, None] * means, axis=0)[:3] / shares.sum(axis=0)[:3, None]
    cost = np.ones((4, 4))  # type 3 has no mean
    cost[:3, :3] = cdist(centers, centers, "cosine")
    np.fill_diagonal(cost, 0)
    order = np.concatenate([TRAIN, TEST])
    truth = [[ot.emd2(SHARES[p], SHARES[q], cost) for q in order] for p in TEST]
    np.testing.assert_allclose(predict(BySampleDistance(Pilot())).distances, truth, atol=1e-9)


def test_gloscope_is_never_negative_and_zero_to_itself():
    D = predict(BySampleDistance(Gloscope())).distances
    assert (D >= 0).all()
    assert D[[0, 1], [4, 5]].tolist() == [0.0, 0.0]
    assert D[0, 5] == D[1, 4]


def test_gloscope_tells_samples_of_other_densities():
    rng = np.random.default_rng(1)
    clouds = [rng.normal(size=(60, 2)) * (1 + 2 * (p % 2)) for p in range(8)]
    samples = Samples(blind(from_clouds(clouds)), np.arange(8))
    target = Target("classes", np.arange(6) % 2.0, np.array(["a", "b"]))
    fitted = BySampleDistance(Gloscope()).fit(samples.take(np.arange(6)), target, rng=rng)
    assert fitted.predict(samples.take(np.array([6, 7]))).scores.argmax(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize("name", SAMPLE_DISTANCES)
def test_every_distance_goes_with_every_classifier_and_with_numbers(name):
    near = predict(rival(name, BASE), target=NUMBERS)
    np.testing.assert_allclose(near.scores[:, 0], knn_mean(near.distances[:, :4], NUMBERS.values, 2))
    between = SAMPLE_DISTANCES[name].between(WHOLE.take(TRAIN))
    known = between(WHOLE.take(TRAIN), WHOLE.take(TRAIN))
    truth = kernel_logistic(near.distances[:, :4], known, TARGET.codes, 2)
    np.testing.assert_allclose(predict(rival(name, replace(BASE, classifier="kernel_logistic"))).scores, truth)


@pytest.mark.parametrize("name", RIVALS)
def test_a_held_out_sample_does_not_change_the_prediction_of_another(name):
    fitted = rival(name, BASE).fit(WHOLE.take(TRAIN), TARGET, rng=np.random.default_rng(0))
    both = fitted.predict(WHOLE.take(TEST)).scores
    np.testing.assert_allclose(fitted.predict(WHOLE.take(TEST[:1])).scores, both[:1], atol=1e-12)
    np.testing.assert_allclose(both.sum(axis=1), 1.0)


def test_what_a_method_needs_is_what_its_parts_need():
    needs = {name: set(needs_of(rival(name, BASE))) for name in RIVALS}
    assert needs == {
        "pseudobulk": set(),
        "cell_type_pseudobulk": {"cell_types", "cells"},
        "composition": {"cell_types"},
        "clr": {"cell_types"},
        "gloscope": {"cells", "equal_weights"},
        "pilot": {"cell_types", "cells"},
        "lfda": {"classes"},
        "nca": {"classes"},
        "majority": set(),
    }
    blend = replace(BASE, source=Blend((FixedMetric("cosine"), rival("nca", BASE).source)))
    assert needs_of(blend) == {"classes"}
    assert needs_of(BASE) == needs_of(Majority()) == frozenset()


@pytest.mark.parametrize("name", ["composition", "clr", "pilot", "cell_type_pseudobulk"])
def test_cell_types_that_are_missing_are_asked_for(name):
    plain = Samples(WHOLE.cohort, WHOLE.groups)
    with pytest.raises(ValueError, match="pass cell_type_key"):
        predict(rival(name, BASE), plain)
