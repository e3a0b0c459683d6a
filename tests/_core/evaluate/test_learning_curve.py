"""Learning curves, held to curves that are known, to Jeffreys' interval and to simulated cohorts."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import beta, norm

from scggml._core.evaluate.learning_curve import EXPONENTS, Observed, fit_power_law, observe
from scggml._core.evaluate.prediction import Prediction
from scggml._core.evaluate.run import HeldOut
from scggml._core.evaluate.subsets import Units, donors_of, draw_subsets, success, units_of
from scggml._core.samples import Target

SIZES = np.array([4.0, 6.0, 10.0, 16.0, 24.0, 36.0])


@pytest.mark.parametrize("place", [0, 6, 12])
def test_a_power_law_is_found_again(place):
    c = EXPONENTS[place]
    values = 0.9 - 0.3 * (SIZES / 4) ** -c
    found = fit_power_law(SIZES, values[None], np.ones(6), 1e-12)
    np.testing.assert_allclose(found.at(SIZES)[0], values, atol=1e-4)
    np.testing.assert_allclose(found.at(np.array([72.0]))[0], 0.9 - 0.3 * 18**-c, atol=2e-3)


def test_the_fit_is_the_best_within_its_bounds():
    rng = np.random.default_rng(0)
    values = np.clip(0.95 - 0.8 / SIZES + rng.normal(0, 0.04, (8, 6)), 0, 1)
    values[0], values[1] = np.linspace(0.8, 0.6, 6), np.linspace(0.9, 1.0, 6)  # falling; straight up to 1
    weights, noise = rng.uniform(0.5, 1.5, 6), 4e-4
    weights /= weights.mean()
    found = fit_power_law(SIZES, values, weights, noise)
    for i, y in enumerate(values):
        best = np.inf
        for c in EXPONENTS:

            def misfit(p, c=c, y=y):
                return (weights * (y - p[0] + p[1] * (SIZES / 36) ** -c) ** 2).sum() / noise + (np.log(c) / 0.7) ** 2

            best = min(best, minimize(misfit, [0.9, 0.1], bounds=[(0, 1), (0, None)]).fun)
        c, at = found.exponent[i], found.at(SIZES)[i]
        mine = (weights * (y - at) ** 2).sum() / noise + (np.log(c) / 0.7) ** 2
        assert mine <= best + 1e-4 * (1 + best)
        assert found.end[i] <= 1
        assert found.drop[i] >= 0
        assert (np.diff(found.at(np.arange(4.0, 80.0))[i]) >= -1e-12).all()
    np.testing.assert_allclose(np.diff(found.at(SIZES)[0]), 0, atol=1e-12)  # a falling curve is a constant


@pytest.mark.parametrize(("n", "right"), [(20, 20), (20, 15), (9, 0)])
def test_donors_that_are_recognized_or_not_give_the_interval_of_jeffreys(n, right):
    units = Units(np.arange(n), np.zeros(n, dtype=np.int64), np.arange(n))
    values = np.repeat([1.0, 0.0], [right, n - right])[:, None]
    observed = Observed(np.array([10]), units, values, (5,), np.array([n]), 1.0, 0.0, 1e-4)
    found = np.quantile(observed.resample(40000, np.random.default_rng(0)), [0.025, 0.5, 0.975])
    np.testing.assert_allclose(found, beta.ppf([0.025, 0.5, 0.975], right + 0.5, n - right + 0.5), atol=0.006)


def test_what_the_donors_to_learn_from_change_is_found_again():
    """Donors with a rate of their own, and draws whose score moves with the training donors that they have."""
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], 30)
    target = Target("classes", codes.astype(float), np.array(["a", "b"]))
    donors = donors_of(target, np.arange(60), None)
    units = units_of(target, donors)
    kappas = []
    for _ in range(30):
        use, rate = rng.normal(0, 0.5, 60), rng.uniform(0.6, 0.8, 60)
        folds = draw_subsets(donors, ["a", "b"], n_sizes=4, n_draws=20, rng=rng)
        tables, sizes = [], []
        for place in range(4):
            own = [fold for fold in folds if fold.fold == place]
            table = np.full((len(own), 60), np.nan)
            for r, fold in enumerate(own):
                table[r, fold.test] = rate[fold.test] + use[fold.train].mean() + rng.normal(0, 0.1, len(fold.test))
            tables.append(table)
            sizes.append(len(own[0].train))
        kappas.append(60 * observe(tables, np.array(sizes), units, 60, 0.5).common)
    assert np.mean(kappas) == pytest.approx(0.25, rel=0.25)  # V_n = 0.5^2 / n


def test_intervals_hold_the_truth_in_simulated_cohorts():
    """Nearest centroids of normal donors: the truth is that of 2000 training sets in closed form for each."""
    d, shift, n_cohorts = 5, 2.8, 40
    rng = np.random.default_rng(3)

    def centroids(X, y):
        return np.stack([X[y == c].mean(axis=0) for c in (0, 1)])

    def cohort(n):
        y = np.repeat([0, 1], n // 2)
        X = rng.normal(size=(n, d))
        X[:, 0] += shift * y
        return X, y

    def right(centers):
        w = centers[1] - centers[0]
        middle = w @ centers.mean(axis=0)
        size = np.linalg.norm(w)
        return (norm.cdf(middle / size) + norm.cdf((shift * w[0] - middle) / size)) / 2

    truth = {n: np.mean([right(centroids(*cohort(n))) for _ in range(2000)]) for n in (20, 40, 80)}
    covered, width, means = dict.fromkeys(truth, 0), [], []
    for _ in range(n_cohorts):
        X, y = cohort(40)
        target = Target("classes", y.astype(float), np.array(["a", "b"]))
        donors = donors_of(target, np.arange(40), None)
        units = units_of(target, donors)
        folds = draw_subsets(donors, ["a", "b"], n_sizes=6, n_draws=20, rng=rng)
        tables, sizes = [], []
        for place in range(6):
            own = [fold for fold in folds if fold.fold == place]
            sizes.append(len(own[0].train))
            said = []
            for fold in own:
                centers = centroids(X[fold.train], y[fold.train])
                D = ((X[fold.test][:, None] - centers) ** 2).sum(axis=-1)
                said.append(success(HeldOut(fold, Prediction(-D), 0.0), target, units))
            tables.append(np.stack(said))
        observed = observe(tables, np.array(sizes), units, 40, 0.5)
        curves = observed.fit_all(observed.resample(400, rng)).at(np.array(list(truth)))
        low, high = np.quantile(curves, [0.025, 0.975], axis=0)
        means.append(observed.fit().at(np.array(list(truth)))[0])
        width.append(high[1] - low[1])
        for n, a, b in zip(truth, low, high, strict=True):
            covered[n] += a <= truth[n] <= b
    assert min(covered.values()) >= 34  # of 40; 95 % are 38 +- 1.4
    error = np.std(means, axis=0) / np.sqrt(n_cohorts)
    assert (np.abs(np.mean(means, axis=0) - list(truth.values())) <= 3.5 * error).all()
    assert np.mean(width) < 0.2
    assert np.mean(width) < 6 * np.std(means, axis=0)[1]  # no wider than it must be
