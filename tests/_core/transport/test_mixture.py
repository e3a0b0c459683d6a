"""Mixtures of samples: their moments, those that all samples share, and those that are given."""

from dataclasses import replace

import numpy as np
import pytest

from scggml._core.cohort import from_clouds
from scggml._core.learn.choice import summarize
from scggml._core.samples import join
from scggml._core.transport.exact import Exact
from scggml._core.transport.gaussian import moments
from scggml._core.transport.groups import Groups, present
from scggml._core.transport.mixture import Gaussians, Mixture, mixtures_of
from scggml._core.transport.pairs import distance_matrix

SIZES = (40, 25, 3, 1)


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    cohort = from_clouds([rng.normal(size=(n, 3)) + 4 * rng.integers(2, size=(n, 1)) for n in SIZES])
    weights = rng.uniform(0.1, 1.0, len(cohort.points))
    weights[[2, 50]] = 0.0
    return replace(cohort, weights=weights / np.repeat(np.add.reduceat(weights, cohort.offsets[:-1]), SIZES))


@pytest.mark.parametrize("summary", [Mixture(1), Mixture(4), Mixture(), Mixture(max_n=2)], ids=repr)
def test_a_mixture_has_the_mean_and_the_covariance_of_its_cells(cells, summary):
    found = summarize(cells, summary, np.random.default_rng(0))
    for one, other in zip(moments(found), moments(cells), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)
    owner, parts = mixtures_of(found)
    counts = np.bincount(owner)
    assert (
        counts <= np.minimum(summary.most(np.array(SIZES), 3), summary.max_n if summary.n == "bic" else summary.n)
    ).all()
    assert counts[3] == 1
    assert (found.sizes <= summary.most(np.array(SIZES), 3)).all()
    np.testing.assert_allclose(np.bincount(owner, parts.weights), 1)
    assert np.linalg.eigvalsh(parts.covariances).min() > -1e-10


def test_the_number_is_chosen_sample_by_sample():
    rng = np.random.default_rng(1)
    clouds = [rng.normal(size=(120, 2)), np.repeat([[0.0], [9.0], [18.0]], 40, axis=0) + rng.normal(size=(120, 2))]
    owner, _ = mixtures_of(summarize(from_clouds(clouds), Mixture(), rng))
    assert list(np.bincount(owner)) == [1, 3]


def test_mixtures_come_back_from_what_they_are_written_as(cells):
    found = summarize(cells, Mixture(3), np.random.default_rng(0))
    owner, parts = mixtures_of(found)
    given = [
        Gaussians(parts.weights[own], parts.means[own], parts.covariances[own])
        for own in (owner == p for p in range(4))
    ]
    again = summarize(cells, Mixture(key="there"), np.random.default_rng(0), given=given)
    others, back = mixtures_of(again)
    np.testing.assert_array_equal(others, owner)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(back, name), getattr(parts, name), atol=1e-10)
    D, E = (distance_matrix(each, "euclidean", solver=Exact()) for each in (found, again))
    np.testing.assert_allclose(D, E, rtol=1e-7)


def test_shared_gaussians_differ_in_weights_alone(cells):
    found = Mixture(3, shared=True).share(cells, 0)
    owner, parts = mixtures_of(found)
    different = {tuple(np.round(mean, 8)) for mean in parts.means}
    assert len(different) <= 3
    np.testing.assert_allclose(np.bincount(owner, parts.weights), 1)
    # each sample counts equally: all Gaussians together have the mean of the means of samples
    pooled = parts.weights @ parts.means / cells.n_samples
    np.testing.assert_allclose(pooled, moments(cells)[0].mean(axis=0), atol=1e-10)


def test_held_out_cells_move_no_shared_gaussian(cells):
    training = np.array([0, 2])
    moved = replace(cells, points=cells.points.copy())
    moved.points[SIZES[0] : SIZES[0] + SIZES[1]] += 50.0
    parts = [mixtures_of(Mixture(3, shared=True).share(each, 0, training).take(training))[1] for each in (cells, moved)]
    np.testing.assert_array_equal(parts[0].means, parts[1].means)
    np.testing.assert_array_equal(parts[0].weights, parts[1].weights)


@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean"])
def test_shared_gaussians_without_extent_are_groups(cost):
    rng = np.random.default_rng(2)
    places = rng.normal(size=(4, 3))
    codes = [
        rng.choice(4, size=n, p=p)
        for n, p in ((30, (0.4, 0.3, 0.2, 0.1)), (20, (0.1, 0.2, 0.3, 0.4)), (9, (0, 0, 1, 0)))
    ]
    cells = from_clouds([places[own] for own in codes])
    groups = np.concatenate(codes)
    summary = Groups("type")
    points = summarize(cells, summary, rng, groups=groups)
    own = [present(groups[span], cells.weights[span]) for span in cells.spans(np.arange(3))]
    truth = summary.share(points, np.concatenate(own))
    found = Mixture(4, shared=True).share(cells, 3)
    assert np.linalg.norm(mixtures_of(found)[1].covariances) < 1e-12
    D, E = (distance_matrix(each, cost, solver=Exact()) for each in (found, truth))
    np.testing.assert_allclose(D, E, atol=1e-7)


def test_cohorts_are_joined_with_their_gaussians(cells):
    found = summarize(cells, Mixture(2), np.random.default_rng(0))
    both = join(found.take(np.array([1, 0])), found.take(np.array([2, 3])))
    D = distance_matrix(found, "euclidean", solver=Exact())
    at = np.array([1, 0, 2, 3])
    np.testing.assert_allclose(distance_matrix(both, "euclidean", solver=Exact()), D[np.ix_(at, at)], rtol=1e-9)


def test_mixtures_that_are_there_are_not_fitted():
    for options in ({"n": 3}, {"shared": True}, {"max_n": 4}):
        with pytest.raises(ValueError, match=r"Mixture: key='mine' reads mixtures that are there already.*Pass key"):
            Mixture(key="mine", **options)
