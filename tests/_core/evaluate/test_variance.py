"""Shares of the distances against sums of squares, regressions and permutations that are computed one by one."""

from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import binom
from sklearn.linear_model import LinearRegression

from scggml._core.evaluate import variance
from scggml._core.evaluate.variance import Covariate, gower, permuted_rows, share_alone, share_beyond
from scggml._core.labelings import permutation_blocks

N = 24


def categories(codes, name="batch"):
    codes = np.asarray(codes, dtype=float)
    return Covariate(name, "categorical", codes, tuple(f"{name}{i}" for i in range(int(np.nanmax(codes)) + 1)))


def numbers(values, name="age"):
    return Covariate(name, "numeric", np.asarray(values, dtype=float))


def alone(D, covariate, groups=None, n_perm=99, seed=0):
    groups = np.arange(len(D)) if groups is None else groups
    return share_alone(D, covariate, groups, n_perm=n_perm, rng=np.random.default_rng(seed))


def beyond(D, covariate, *given, groups=None, n_perm=99, seed=0):
    groups = np.arange(len(D)) if groups is None else groups
    return share_beyond(D, covariate, given, groups, n_perm=n_perm, rng=np.random.default_rng(seed))


def sums_of_squares(D, codes):
    """Anderson 2001: squared distances over all pairs, and over those within groups."""
    n, total, within = len(D), 0.0, 0.0
    for i in range(n):
        for j in range(i + 1, n):
            total += D[i, j] ** 2 / n
            if codes[i] == codes[j]:
                within += D[i, j] ** 2 / (codes == codes[i]).sum()
    return total, within


def regression_r2(X, Y):
    model = LinearRegression().fit(X, Y)
    centred = Y - Y.mean(axis=0)
    return 1 - ((Y - model.predict(X)) ** 2).sum() / (centred**2).sum()


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(N, 4)) * np.array([3.0, 2.0, 1.0, 0.5])


@pytest.fixture
def age():
    return np.random.default_rng(1).normal(50, 10, size=N)


CODES = np.random.default_rng(2).permutation(np.arange(N) % 3)
LABEL = np.arange(N) % 2


# What is explained


@pytest.mark.parametrize("metric", ["euclidean", "cityblock", "braycurtis"])
def test_one_covariate_of_categories_is_permanova(points, metric):
    D = cdist(np.abs(points), np.abs(points), metric)
    total, within = sums_of_squares(D, CODES)
    found = alone(D, categories(CODES))
    assert found.r2 == pytest.approx(1 - within / total)
    assert found.F == pytest.approx(((total - within) / 2) / (within / (N - 3)))
    assert found.r2_adjusted == pytest.approx(1 - (within / (N - 3)) / (total / (N - 1)))


def test_a_number_is_linear_regression_of_all_coordinates(points, age):
    found = alone(cdist(points, points), numbers(age))
    truth = regression_r2(age[:, None], points)
    assert found.r2 == pytest.approx(truth)
    assert found.r2_adjusted == pytest.approx(1 - (1 - truth) * (N - 1) / (N - 2))
    assert found.F == pytest.approx(truth / ((1 - truth) / (N - 2)))


def test_what_is_beyond_others_is_what_a_regression_gains(points, age):
    D = cdist(points, points)
    label, batch = LABEL[:, None], np.eye(3)[CODES]
    first = regression_r2(np.hstack([label, batch]), points)
    both = regression_r2(np.hstack([label, batch, age[:, None]]), points)
    found = beyond(D, numbers(age), categories(LABEL, "label"), categories(CODES))
    assert found.r2 == pytest.approx(both - first)
    assert found.F == pytest.approx((both - first) / ((1 - both) / (N - 5)))
    adjusted = [1 - (1 - r2) * (N - 1) / (N - 1 - m) for r2, m in ((both, 4), (first, 3))]
    assert found.r2_adjusted == pytest.approx(adjusted[0] - adjusted[1])


def test_shares_do_not_depend_on_units_or_the_order_of_samples(points, age):
    D, order = cdist(points, points), np.random.default_rng(3).permutation(N)
    found = beyond(D, numbers(age), categories(LABEL, "label"))
    scaled = beyond(7 * D, numbers(1000 - 3 * age), categories(1 - LABEL, "label"))
    moved = beyond(D[np.ix_(order, order)], numbers(age[order]), categories(LABEL[order], "label"))
    for other in (scaled, moved):
        assert (other.r2, other.F) == (pytest.approx(found.r2), pytest.approx(found.F))


def test_samples_without_a_value_are_left_out(points, age):
    D, there = cdist(points, points), np.arange(N) % 4 > 0
    missing, label = np.where(there, age, np.nan), categories(LABEL, "label")
    part = D[np.ix_(there, there)]
    assert alone(D, numbers(missing)) == alone(part, numbers(age[there]))
    assert beyond(D, numbers(missing), label) == beyond(part, numbers(age[there]), categories(LABEL[there], "label"))
    other = numbers(np.where(np.arange(N) == 1, np.nan, age), "other")
    rows = there & (np.arange(N) != 1)
    found = beyond(D, numbers(missing**2), label, other)
    both = regression_r2(np.stack([LABEL, age, age**2], axis=1)[rows], points[rows])
    assert found.r2 == pytest.approx(both - regression_r2(np.stack([LABEL, age], axis=1)[rows], points[rows]))


def test_the_centred_matrix_is_that_of_inner_products(points):
    centred = points - points.mean(axis=0)
    np.testing.assert_allclose(gower(cdist(points, points)), centred @ centred.T, atol=1e-9)


@pytest.mark.parametrize(
    ("covariate", "given"),
    [
        (categories(LABEL), categories(LABEL, "label")),
        (categories(np.arange(N)), None),
        (categories(np.zeros(N)), None),
        (numbers(np.full(N, 3.7)), None),
        (numbers(np.where(np.arange(N) < 2, 1.0 + np.arange(N), np.nan)), None),
        (numbers(np.full(N, np.nan)), categories(LABEL, "label")),
    ],
    ids=["same", "names", "one", "constant", "two", "missing"],
)
def test_nothing_is_told_where_nothing_can_be(points, covariate, given):
    D = cdist(points, points)
    assert (alone(D, covariate) if given is None else beyond(D, covariate, given)) is None


def test_samples_at_one_place_leave_nothing_to_explain(age):
    assert alone(np.zeros((N, N)), numbers(age)) is None


def test_classes_at_two_places_are_explained_wholly():
    D = (LABEL[:, None] != LABEL).astype(float)
    found = alone(D, categories(LABEL), n_perm=19)
    assert (found.r2, found.F, found.p_value) == (pytest.approx(1), np.inf, 1 / 20)


# Permutations


def test_the_p_value_is_that_of_all_permutations():
    points, values = np.random.default_rng(5).normal(size=(6, 2)), np.array([1.0, 2.0, 4.0, 3.0, 9.0, 5.0])
    points[:, 0] += 0.5 * values
    every = np.array([regression_r2(values[list(order), None], points) for order in permutations(range(6))])
    truth = (every >= every[0] - 1e-9).mean()
    found = alone(cdist(points, points), numbers(values), n_perm=9999)
    assert found.p_value == pytest.approx(truth, abs=4 * np.sqrt(truth / 9999))
    adjusted = 1 - (1 - every) * 5 / 4
    assert found.null95 == pytest.approx(np.quantile(adjusted, 0.95), abs=0.05)


def test_beyond_classes_values_are_permuted_within_them():
    points, label = np.random.default_rng(6).normal(size=(7, 2)), np.array([0, 0, 0, 1, 1, 1, 1])
    values = np.array([1.0, 2.0, 4.0, 30.0, 39.0, 35.0, 31.0])
    points[:, 0] += 0.1 * values
    orders = [[*a, *b] for a in permutations(range(3)) for b in permutations(range(3, 7))]
    every = np.array([regression_r2(np.stack([values[order], label], axis=1), points) for order in orders])
    truth = (every >= every[0] - 1e-9).mean()
    found = beyond(cdist(points, points), numbers(values), categories(label, "label"), n_perm=9999)
    assert found.p_value == pytest.approx(truth, abs=4 * np.sqrt(truth / 9999))


def test_beyond_several_covariates_residuals_are_permuted(points, age, monkeypatch):
    moves = np.stack([np.random.default_rng(seed).permutation(N) for seed in range(200)])
    monkeypatch.setattr(variance, "permuted_rows", lambda *_: moves)
    Z = np.stack([age, age**2], axis=1)
    found = beyond(cdist(points, points), categories(CODES), numbers(age), numbers(age**2, "square"), n_perm=200)
    fitted = LinearRegression().fit(Z, points).predict(Z)
    F, shares, total = [], [], ((points - points.mean(axis=0)) ** 2).sum()
    for move in [np.arange(N), *moves]:
        Y = fitted + (points - fitted)[np.argsort(move)]
        squares = [
            ((Y - LinearRegression().fit(X, Y).predict(X)) ** 2).sum() for X in (Z, np.hstack([Z, np.eye(3)[CODES]]))
        ]
        F.append(((squares[0] - squares[1]) / 2) / (squares[1] / (N - 5)))
        shares.append((N - 1) / total * (squares[0] / (N - 3) - squares[1] / (N - 5)))
    assert found.F == pytest.approx(F[0])
    assert found.p_value == pytest.approx((1 + (np.array(F[1:]) >= F[0] - 1e-9).sum()) / 201)
    assert found.null95 == pytest.approx(np.quantile(shares[1:], 0.95))


def test_permutations_of_singles_are_permutations():
    moves = permuted_rows([[np.array([i]) for i in range(5)]], 5, 600, np.random.default_rng(0))
    assert (np.sort(moves, axis=1) == np.arange(5)).all()
    assert len(np.unique(moves, axis=0)) > 110  # of 120


def test_donors_of_one_size_move_as_wholes():
    units = [np.array([0, 3]), np.array([1, 4]), np.array([2, 5])]
    moves = permuted_rows([units], 6, 50, np.random.default_rng(0))
    assert (moves[:, 3:] - moves[:, :3] == 3).all()
    assert (np.sort(moves, axis=1) == np.arange(6)).all()


def test_donors_of_different_sizes_get_the_value_of_another_one():
    values, groups = np.array([5.0, 5, 5, 7, 7, 9]), np.array([0, 0, 0, 1, 1, 2])
    blocks = permutation_blocks(values, groups, np.zeros(6, dtype=np.int64))
    for row in values[permuted_rows(blocks, 6, 50, np.random.default_rng(0))]:
        assert [len(set(row[groups == g])) for g in range(3)] == [1, 1, 1]
        assert sorted(row[[0, 3, 5]]) == [5, 7, 9]


def test_samples_of_a_donor_are_no_replicates():
    """Two samples each of donors that differ: a covariate of donors looks significant if samples are permuted."""
    free, whole = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        donors = np.repeat(np.arange(8), 4)
        points = rng.normal(size=(8, 2))[donors] + 0.2 * rng.normal(size=(32, 2))
        D, covariate = cdist(points, points), numbers(rng.normal(size=8)[donors])
        free.append(alone(D, covariate, seed=seed).p_value)
        whole.append(alone(D, covariate, donors, seed=seed).p_value)
    assert np.mean(np.array(free) <= 0.05) > 0.3
    assert (np.array(whole) <= 0.05).sum() <= binom.ppf(0.999, 60, 0.05)


def test_a_covariate_of_donors_is_permuted_among_paired_donors_beyond_the_label():
    """Both classes in each donor: donors move as wholes, so each class keeps its values."""
    rng = np.random.default_rng(0)
    donors, label = np.repeat(np.arange(12), 2), np.tile([0, 1], 12)
    age = np.repeat(rng.normal(size=12), 2)
    points = np.stack([age + 0.1 * rng.normal(size=24), 5.0 * label], axis=1)
    found = beyond(cdist(points, points), numbers(age), categories(label, "label"), groups=donors)
    assert found.p_value == 0.01
    within = beyond(cdist(points, points), categories(label, "label"), numbers(age), groups=donors)
    assert within.p_value == 0.01


def test_nothing_to_permute_has_no_p_value(points):
    donors = np.repeat([0, 1], N // 2)  # two donors, one of each category: renaming them changes nothing
    found = alone(cdist(points, points), categories(donors), donors)
    assert np.isfinite(found.F)
    assert np.isnan([found.p_value, found.null95]).all()


def test_many_permutations_are_done_in_blocks(points, age, monkeypatch):
    def shares():
        D = cdist(points, points)
        found = alone(D, categories(CODES)), beyond(D, numbers(age), categories(LABEL, "label"), categories(CODES))
        return np.array([list(vars(share).values()) for share in found])

    whole = shares()
    monkeypatch.setattr(variance, "BLOCK", 15 * N)
    np.testing.assert_allclose(shares(), whole, rtol=1e-9)


# Truth and chance


def cohort(seed, *, batch=0.0, age=0.0, label=0.0, spread=1.0, n=30):
    """Points with planted effects of a batch and an age that are associated with the label."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % 2
    batches = np.where(rng.random(n) < 0.3, rng.integers(0, 2, n), classes)
    batches[:4] = 1 - classes[:4]  # the two are never the same
    ages = rng.normal(size=n) + classes
    points = rng.normal(size=(n, 4)) * np.where(classes == 1, spread, 1.0)[:, None]
    for column, effect in enumerate((batch * batches, age * ages, label * classes)):
        points[:, column] += effect
    return cdist(points, points), categories(classes, "label"), categories(batches), numbers(ages)


def rejected(p_values):
    """Whether the share of p-values up to 0.05 is one that chance gives, up to 1 in 1000."""
    n = (np.array(p_values) <= 0.05).sum()
    return binom.ppf(0.001, len(p_values), 0.05) <= n <= binom.ppf(0.999, len(p_values), 0.05)


def test_null_covariates_have_uniform_p_values_alone():
    found = []
    for seed in range(200):
        D, *_ = cohort(seed)
        noise = np.random.default_rng(1000 + seed)
        found.append(alone(D, numbers(noise.normal(size=30)), seed=seed).p_value)
        found.append(alone(D, categories(noise.integers(0, 3, 30)), seed=seed).p_value)
    assert rejected(found[::2])
    assert rejected(found[1::2])
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_covariates_that_follow_the_label_alone_have_uniform_p_values_beyond_it():
    """Also where one class is wider than the other, as patients often are."""
    found = []
    for seed in range(200):
        D, label, batch, age = cohort(seed, label=4.0, spread=3.0)
        found += [beyond(D, batch, label, seed=seed).p_value, beyond(D, age, label, seed=seed).p_value]
    assert rejected(found[::2])
    assert rejected(found[1::2])


def test_a_label_that_means_nothing_has_uniform_p_values_beyond_the_others():
    found = []
    for seed in range(200):
        D, label, batch, age = cohort(seed, batch=4.0, age=2.0)
        found.append(beyond(D, label, batch, age, seed=seed).p_value)
    assert rejected(found)


def test_planted_effects_are_told_apart():
    found = {"batch": [], "age": [], "label": [], "alone": []}
    for seed in range(20):
        D, label, batch, age = cohort(seed, batch=4.0)
        found["alone"].append(alone(D, label).p_value <= 0.05)  # it follows the batch
        found["batch"].append(beyond(D, batch, label).p_value <= 0.05)
        found["age"].append(beyond(D, age, label).p_value <= 0.05)
        found["label"].append(beyond(D, label, batch, age).p_value <= 0.05)
    assert min(sum(found["batch"]), sum(found["alone"])) >= 15
    assert max(sum(found["age"]), sum(found["label"])) <= 4


def test_equal_shares_below_0_are_ties():
    """Distances that are not Euclidean can have a negative share; here that of the true groups is the smallest."""
    D = np.array([[0, 5, 1, 1], [5, 0, 1, 1], [1, 1, 0, 5], [1, 1, 5, 0]], dtype=float)
    found = share_alone(D, categories([0, 0, 1, 1]), np.arange(4), n_perm=200, rng=np.random.default_rng(0))
    assert found.F < 0
    assert found.p_value == 1.0


def test_a_share_beyond_others_that_explain_nothing_is_at_most_1():
    """Few samples, and others with almost as many columns: their own adjusted share is far below 0."""
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 6)
    points = rng.normal(size=(12, 2)) * 0.2 + 5.0 * label[:, None]
    others = [categories(np.tile([0, 1, 2, 3, 4, 5], 2), "donor")]
    options = {"n_perm": 99, "rng": rng}
    found = share_beyond(cdist(points, points), categories(label, "label"), others, np.arange(12), **options)
    assert 0.9 < found.r2_adjusted <= 1.0
    assert found.r2 <= 1.0
