import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from scggml._core.evaluate.representation import replicate_robustness, retention

POINTS = np.random.default_rng(0).normal(size=(30, 3)) * [5.0, 1.0, 1.0]


@pytest.fixture
def distances():
    return cdist(POINTS, POINTS)


def without(distances, i):
    others = np.delete(np.arange(len(distances)), i)
    return others, distances[np.ix_(others, others)], distances[[i]][:, others]


@pytest.mark.parametrize("n_neighbors", [1, 3, 5])
@pytest.mark.parametrize("signal", [True, False])
def test_classes_are_told_as_by_scikit_learn_with_each_sample_left_out(distances, n_neighbors, signal):
    codes = np.random.default_rng(1).integers(3, size=30)
    if signal:
        codes = np.digitize(POINTS[:, 0], np.quantile(POINTS[:, 0], [1 / 3, 2 / 3]))
    said = []
    for i in range(30):
        others, D, row = without(distances, i)
        machine = KNeighborsClassifier(n_neighbors, metric="precomputed", weights="distance").fit(D, codes[others])
        said.append(machine.predict(row)[0])
    truth = max(0.0, 1.5 * (f1_score(codes, said, average="macro") - 1 / 3))
    assert retention(distances, codes.astype(float), "classification", n_neighbors) == pytest.approx(truth)
    assert (truth > 0.5) == signal


@pytest.mark.parametrize("task", ["regression", "ranking"])
def test_numbers_are_told_as_by_scikit_learn_with_each_sample_left_out(distances, task):
    values = POINTS[:, 0] + 2.0 * np.random.default_rng(1).normal(size=30)
    said = []
    for i in range(30):
        others, D, row = without(distances, i)
        machine = KNeighborsRegressor(3, metric="precomputed", weights="distance").fit(D, values[others])
        said.append(machine.predict(row)[0])
    truth = spearmanr(values, said).statistic
    assert 0.3 < truth < 1
    assert retention(distances, values, task) == pytest.approx(truth)
    assert retention(distances, np.random.default_rng(2).normal(size=30), task) < 0.5


def test_samples_at_the_same_place_alone_count():
    D = cdist(*[np.array([[0.0], [0.0], [1.0], [5.0], [5.0], [6.0]])] * 2)
    values = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    assert retention(D, values, "classification", 2) == pytest.approx(
        2 * (f1_score([1, 1, 0, 0, 0, 1], [1, 1, 1, 0, 0, 0], average="macro") - 0.5)
    )


def test_replicates_count_the_samples_that_are_nearer():
    D = cdist(*[np.array([[0.0], [1.0], [3.0], [7.0], [20.0]])] * 2)
    assert replicate_robustness(D, np.array([0, 0, 1, 1, 2])) == 1 - (0 + 0 + 2 + 0) / 4
    assert replicate_robustness(D, np.array([0, 1, 1, 0, 2])) == 1 - (2 + 1 + 0 + 2) / 4
    assert replicate_robustness(D, np.array([0, 0, 0, 0, 0])) == 1.0
