import numpy as np
import pytest

from scggml._core.votes import NEIGHBORS, clipped, soft_votes


@pytest.mark.parametrize("m", [2, 7])
def test_votes_are_the_mean_over_numbers_of_neighbors_by_hand(m):
    rng = np.random.default_rng(0)
    codes = np.array([0, 0, 1, 1, 1, 2, 2])
    counts = np.bincount(codes)
    nearest = np.stack([rng.permutation(7) for _ in range(5)])[:, :m]
    truth = np.zeros((5, 3))
    for i, row in enumerate(nearest):
        for k in NEIGHBORS:
            part = np.zeros(3)
            for q in row[:k]:
                part[codes[q]] += 1 / counts[codes[q]]
            truth[i] += part / part.sum() / len(NEIGHBORS)
    np.testing.assert_allclose(soft_votes(nearest, codes, 3), truth)


def test_no_share_is_so_small_that_its_logarithm_decides_alone():
    shares = clipped(np.array([[1.0, 0.0], [0.5, 0.5]]))
    np.testing.assert_allclose(shares, [[0.975, 0.025], [0.5, 0.5]])
