import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from scggml._core.evaluate.classify import kernel_logistic, knn_mean, knn_votes


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return rng.normal(size=(30, 2)), rng.normal(size=(12, 2))


def between(a, b):
    return np.linalg.norm(a[:, None] - b[None], axis=2)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_with_equal_classes_it_is_the_nearest_neighbor_classifier_of_scikit_learn(points, k):
    known, new = points
    codes = np.arange(30) % 2
    truth = KNeighborsClassifier(k).fit(known, codes).predict_proba(new)
    np.testing.assert_allclose(knn_votes(between(new, known), codes, 2, k), truth, atol=1e-5)


def test_a_vote_counts_one_over_the_size_of_its_class():
    D = np.array([[1.0, 2.0, 3.0, 9.0, 9.0, 9.0]])
    codes = np.array([0, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(knn_votes(D, codes, 2, 3), [[1 / (1 + 2 / 5), (2 / 5) / (1 + 2 / 5)]], atol=1e-5)


def test_the_nearest_decides_a_tie():
    codes = np.array([0, 1, 2])
    for order in ([3.0, 1.0, 2.0], [2.0, 3.0, 1.0]):
        assert knn_votes(np.array([order]), codes, 3, 3).argmax() == int(np.argmin(order))


def test_more_neighbors_than_samples_are_all_samples():
    votes = knn_votes(np.array([[1.0, 2.0]]), np.array([0, 1]), 2, 50)
    np.testing.assert_allclose(votes, [[0.5, 0.5]], atol=1e-5)
    assert votes.argmax() == 0


def test_numbers_are_the_mean_of_the_neighbors(points):
    known, new = points
    values = np.linspace(0, 1, 30)
    truth = KNeighborsRegressor(4).fit(known, values).predict(new)
    np.testing.assert_allclose(knn_mean(between(new, known), values, 4), truth)


def test_kernel_logistic_separates_what_is_apart_whatever_the_unit(points):
    known, new = points
    codes = (known[:, 0] > 0).astype(int)
    probabilities = kernel_logistic(between(new, known), between(known, known), codes, 2)
    assert np.mean((probabilities[:, 1] > 0.5) == (new[:, 0] > 0)) >= 0.9
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    other = kernel_logistic(1e3 * between(new, known), 1e3 * between(known, known), codes, 2)
    np.testing.assert_allclose(other, probabilities, atol=1e-4)
