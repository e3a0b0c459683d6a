import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

import scggml as sg
from scggml._core.cohort import from_clouds
from scggml._core.evaluate.views import Frequencies, MeanEmbedding, _shares, _waves
from scggml._core.samples import class_target, plain_samples


def two_kinds(seed=0, n=24, *, shares=(0.3, 0.7), n_cells=40):
    """Cells of two far groups, whose share differs between the classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    clouds = []
    for label in labels:
        kind = rng.random(n_cells) < shares[label]
        clouds.append(rng.normal(size=(n_cells, 3)) + 20 * kind[:, None])
    return from_clouds(clouds, labels)


@pytest.mark.parametrize("view", [Frequencies(), MeanEmbedding()])
def test_shares_of_groups_predict_new_samples(view):
    known, new = two_kinds(0), two_kinds(1)
    fitted = view.fit(plain_samples(known), class_target(known), rng=np.random.default_rng(0))
    said = fitted.predict(plain_samples(new)).scores
    np.testing.assert_allclose(said.sum(axis=1), 1.0)
    assert (said.argmax(axis=1) == new.labels).mean() >= 0.9
    held_out = fitted.held_out
    assert held_out.shape == (1, 24, 2)
    assert (held_out[0].argmax(axis=1) == known.labels).mean() >= 0.9


@pytest.mark.parametrize("view", [Frequencies(), MeanEmbedding()])
def test_where_nothing_differs_probabilities_stay_near_chance(view):
    known, new = two_kinds(0, shares=(0.5, 0.5)), two_kinds(1, shares=(0.5, 0.5))
    fitted = view.fit(plain_samples(known), class_target(known), rng=np.random.default_rng(0))
    assert np.abs(fitted.predict(plain_samples(new)).scores - 0.5).max() < 0.2


@pytest.mark.parametrize("view", [Frequencies(), MeanEmbedding()])
def test_numbers_are_predicted(view):
    rng = np.random.default_rng(0)
    values = np.linspace(0, 1, 40)
    clouds = [rng.normal(size=(60, 3)) + 20 * (rng.random(60) < v)[:, None] for v in values]
    cohort = from_clouds(clouds)
    target = sg._core.samples.Target("numbers", values, np.array([], dtype=str))
    fitted = view.fit(plain_samples(cohort), target, rng=np.random.default_rng(0))
    assert np.corrcoef(fitted.held_out[0, :, 0], values)[0, 1] > 0.9


def test_frequencies_count_cells_by_weight():
    cohort = two_kinds(n=4)
    rows = _shares(cohort.points, 2, 0)(cohort)
    far = np.add.reduceat((cohort.points.mean(axis=1) > 10) * cohort.weights, cohort.offsets[:-1])
    np.testing.assert_allclose(np.sort(rows**2, axis=1), np.sort(np.stack([far, 1 - far], axis=1), axis=1))


def test_mean_embeddings_estimate_the_maximum_mean_discrepancy():
    cohort = two_kinds(n=6, n_cells=30)
    h = float(np.median(pdist(cohort.points)))
    view = MeanEmbedding(n_features=40000)
    rows = _waves(view, 3, h, 0, np.random.default_rng(0))(cohort)
    found = 2 * cdist(rows, rows, "sqeuclidean") / view.n_features
    K = np.exp(-cdist(cohort.points, cohort.points, "sqeuclidean") / (2 * h**2))
    mean = np.kron(np.eye(6), np.full(30, 1 / 30))
    gram = mean @ K @ mean.T
    truth = np.diag(gram)[:, None] + np.diag(gram)[None] - 2 * gram
    np.testing.assert_allclose(found, truth, atol=0.02)


def test_a_sample_has_the_same_row_whatever_comes_with_it():
    cohort = two_kinds(n=8, n_cells=50)
    view = MeanEmbedding(n_cells=20)
    samples, target = plain_samples(cohort), class_target(cohort)
    fitted = view.fit(samples, target, rng=np.random.default_rng(0))
    every = fitted.predict(samples).scores
    alone = fitted.predict(samples.take(np.array([5]))).scores
    np.testing.assert_allclose(alone[0], every[5])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Frequencies(n_clusters="ten"), TypeError, "n_clusters='ten' is a str; pass a tuple of numbers"),
        (lambda: Frequencies(n_clusters=()), TypeError, "pass a tuple of numbers"),
        (lambda: Frequencies(n_clusters=(1,)), ValueError, "n_clusters"),
        (lambda: Frequencies(n_cells=0), ValueError, "n_cells"),
        (lambda: MeanEmbedding(bandwidths=(0.0,)), ValueError, "bandwidths"),
        (lambda: MeanEmbedding(n_features=0), ValueError, "n_features"),
    ],
)
def test_bad_options_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_single_number_is_a_sequence_of_itself():
    assert Frequencies(n_clusters=5).n_clusters == (5,)
