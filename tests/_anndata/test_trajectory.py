"""Shares of cell types, and orders of samples that lie in pieces."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from scggml._anndata.graph import diffusion, pseudotime
from scggml._anndata.trajectory import diffusion_order, log_ratios


def test_logarithms_of_shares_have_mean_zero_and_bear_absent_types():
    counts = np.array([[0.0, 10.0, 30.0], [5.0, 5.0, 5.0]])
    found = log_ratios(counts)
    np.testing.assert_allclose(found.sum(axis=1), 0.0, atol=1e-12)
    assert found[0, 2] - found[0, 1] == pytest.approx(np.log(30.5 / 10.5))
    np.testing.assert_allclose(found[1], 0.0, atol=1e-12)


def test_samples_that_no_walk_reaches_come_last_by_their_distance():
    near = np.random.default_rng(0).normal(size=(10, 2))
    points = np.concatenate([near, near + 1e3])
    D = cdist(points, points)
    plain = pseudotime(diffusion(D, 3, 0), 0)
    order = diffusion_order(D, 0, 3, 0)
    assert order[0] == 0.0
    assert order.max() == 1.0
    assert order[:10].max() < order[10:].min()
    if not np.isfinite(plain).all():  # as in scanpy 1
        assert (np.argsort(order[10:]) == np.argsort(D[0, 10:])).all()
