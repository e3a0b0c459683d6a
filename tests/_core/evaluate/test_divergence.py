"""Divergences by nearest neighbors against closed forms and a slow one by the formula."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from scggml._core.cohort import from_clouds
from scggml._core.evaluate.divergence import symmetric_divergences


def directed(x, y, k):
    """The estimator as it is written down."""
    rho = np.sort(cdist(x, x), axis=1)[:, k]  # the cell itself comes first
    nu = np.sort(cdist(x, y), axis=1)[:, k - 1]
    return x.shape[1] * np.mean(np.log(nu / rho)) + np.log(len(y) / (len(x) - 1))


def test_it_is_the_formula_with_as_many_neighbors_as_both_samples_have():
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(n, 3)) * s for n, s in ((40, 1.0), (9, 2.0), (30, 0.5))]
    others = [rng.normal(size=(n, 3)) + 1 for n in (50, 12)]
    found = symmetric_divergences(from_clouds(clouds), from_clouds(others), spread=1.0)
    for p, x in enumerate(clouds):
        for q, y in enumerate(others):
            k = min(25, len(x) - 1, len(y) - 1)
            np.testing.assert_allclose(found[p, q], directed(x, y, k) + directed(y, x, k), rtol=1e-9)


def truth(shift, scale, d):
    """Of N(0, 1) from N(m, s^2) and back, in d dimensions."""
    forth = np.log(scale) + (1 + shift**2) / (2 * scale**2) - 0.5
    back = -np.log(scale) + (scale**2 + shift**2) / 2 - 0.5
    return d * (forth + back)


def estimate(shift, scale, n, k):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) * scale + shift
    return symmetric_divergences(from_clouds([x]), from_clouds([y]), spread=1.0, n_neighbors=k)[0, 0]


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.0, 1.0), (0.5, 1.2), (0.7, 0.8)])
def test_it_estimates_the_divergence_of_gaussians(shift, scale):
    assert estimate(shift, scale, 20_000, 1) == pytest.approx(truth(shift, scale, 2), rel=0.06, abs=0.08)


def test_its_bias_shrinks_with_more_cells():
    """Many neighbors smooth tails away, which lowers the estimate."""
    errors = [truth(1.0, 1.0, 2) - estimate(1.0, 1.0, n, 25) for n in (1000, 4000, 16_000)]
    assert errors[0] > 1.3 * errors[1] > 1.69 * errors[2] > 0


def test_it_ignores_units_and_the_order_of_cells():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(40, 2)) + 0.3
    one = symmetric_divergences(from_clouds([x]), from_clouds([y]), spread=1.0)
    moved = symmetric_divergences(from_clouds([7 * x[::-1] + 3]), from_clouds([7 * y + 3]), spread=7.0)
    np.testing.assert_allclose(one, moved, rtol=1e-9)
    np.testing.assert_allclose(one.T, symmetric_divergences(from_clouds([y]), from_clouds([x]), spread=1.0))


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_copies_of_cells_leave_it_finite(spread):
    same = np.zeros((5, 2))
    found = symmetric_divergences(from_clouds([same]), from_clouds([same, same + 1]), spread=spread)
    assert np.isfinite(found).all()
    assert found[0, 1] > found[0, 0]


def test_a_sample_of_one_cell_is_named():
    one = from_clouds([np.ones((3, 2)), np.ones((1, 2))])
    with pytest.raises(ValueError, match=r"Sample '1' has a single cell.*min_cells=2"):
        symmetric_divergences(one, one, spread=1.0)
