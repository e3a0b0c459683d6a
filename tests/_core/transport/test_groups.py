"""Shared supports: centroids and shares by a slow oracle, distances by the numbers of the reference."""

import numpy as np
import pytest

from scggml._core.cohort import from_clouds
from scggml._core.learn.choice import summarize
from scggml._core.transport.exact import Exact
from scggml._core.transport.groups import Groups, present
from scggml._core.transport.pairs import distance_matrix

SIZES = (9, 5, 12)


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    cohort = from_clouds([rng.normal(size=(n, 3)) for n in SIZES])
    weights = rng.uniform(0.1, 1.0, len(cohort.points))
    weights[[2, 11]] = 0.0
    weights /= np.repeat(np.add.reduceat(weights, cohort.offsets[:-1]), SIZES)
    return type(cohort)(**(vars(cohort) | {"weights": weights}))


@pytest.fixture
def groups():
    """Group 3 has cells of the last sample only; group 1 has one cell of the first sample, which has no weight."""
    codes = np.random.default_rng(1).choice([0, 2], 26)
    codes[2], codes[20:23], codes[9] = 1, 3, 1
    return codes


def summarized(cells, groups, training=None, **options):
    summary = Groups("type", **options)
    cohort = summarize(cells, summary, np.random.default_rng(0), groups=groups)
    spans = cells.spans(np.arange(cells.n_samples))
    codes = [present(groups[own], cells.weights[own]) for own in spans]
    return summary.share(cohort, np.concatenate(codes), training), codes


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("training", [None, [0, 1]])
def test_centroids_and_shares_are_those_of_a_loop_over_cells(cells, groups, shared, training):
    cohort, codes = summarized(cells, groups, training and np.array(training), shared=shared)
    owner = np.repeat(np.arange(3), SIZES)
    for p, own in enumerate(codes):
        rows = cohort.spans(np.array([p]))[0]
        assert set(own) == {g for g, s, w in zip(groups, owner, cells.weights, strict=True) if s == p and w > 0}
        assert cohort.weights[rows].sum() == pytest.approx(1)
        for place, g in enumerate(own):
            mine = (owner == p) & (groups == g)
            known = (groups == g) & np.isin(owner, training or [0, 1, 2])
            counted = mine if not shared else known if cells.weights[known].sum() > 0 else groups == g
            center = np.average(cells.points[counted], axis=0, weights=cells.weights[counted])
            np.testing.assert_allclose(cohort.points[rows][place], center, atol=1e-12)
            assert cohort.weights[rows][place] == pytest.approx(cells.weights[mine].sum())


def test_samples_of_equal_shares_are_the_same_and_their_own_means_are_not(cells, groups):
    two = cells.take(np.array([0, 0]))
    two.points[SIZES[0] :] += 1.0
    own = np.tile(groups[: SIZES[0]], 2)
    for shared, apart in ((True, 0.0), (False, np.sqrt(3))):
        cohort, _ = summarized(two, own, shared=shared)
        D = distance_matrix(cohort, "euclidean", solver=Exact(), n_jobs=1)
        assert D[0, 1] == pytest.approx(apart, abs=1e-12)


def test_groups_of_one_cell_are_the_cells(cells):
    cohort, _ = summarized(cells, np.arange(26))
    kept = cells.weights > 0
    np.testing.assert_allclose(cohort.points, cells.points[kept])
    np.testing.assert_allclose(cohort.weights, cells.weights[kept])
