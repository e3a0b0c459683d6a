import numpy as np
import pytest
from _hard import cohort_of
from hypothesis import given, settings
from hypothesis import strategies as st

from scggml._core.transport.coreset import MANY, Coreset, as_summary, centers_of
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_distances
from scggml._core.transport.plans import GROUND_COSTS, ground_cost


def cells(n=300, d=4, seed=0):
    rng = np.random.default_rng(seed)
    w = rng.uniform(0.1, 1, n)
    return rng.standard_normal((n, d)) + 3 * rng.integers(0, 3, (n, 1)), w / w.sum()


def summarize(points, weights, seed=0, **options):
    return Coreset(**options).summarize(points, weights, np.random.default_rng(seed))


@given(st.integers(1, 60), st.integers(1, 3), st.integers(1, 20), st.integers(0, 1000))
@settings(max_examples=80)
def test_mass_and_mean_of_the_cells_are_kept(n, d, n_points, seed):
    ties, holes = seed % 2, seed % 3 == 0
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 2, (n, d)).astype(float) if ties else rng.standard_normal((n, d)) + 50
    w = rng.uniform(1e-6, 1, n) * (rng.random(n) < 0.5 if holes else 1)
    w[rng.integers(n)] = 1
    w /= w.sum()
    centers, mass = summarize(points, w, seed, n_points=n_points)
    assert len(centers) == len(mass) <= n_points
    assert (mass > 0).all() or n <= n_points
    assert mass.sum() == pytest.approx(1, rel=1e-13)
    np.testing.assert_allclose(mass @ centers, w @ points, rtol=1e-12, atol=1e-13)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 1000))
@settings(max_examples=40)
def test_owners_say_which_cells_a_center_stands_for(n, n_points, seed):
    rng = np.random.default_rng(seed)
    points, w = rng.standard_normal((n, 3)), rng.uniform(0.1, 1, n) * (rng.random(n) < 0.7)
    w[rng.integers(n)] = 1
    w /= w.sum()
    coreset = Coreset(n_points)
    centers, mass = coreset.summarize(points, w, np.random.default_rng(seed))
    owners = coreset.owners(points, w, np.random.default_rng(seed))
    assert (owners[w == 0] == -1).all()
    assert (owners[w > 0] >= 0).all()
    found = np.unique(owners[w > 0])
    assert len(found) == len(centers)
    for center, share, code in zip(centers, mass, found, strict=True):
        own = owners == code
        assert share == pytest.approx(w[own].sum(), rel=1e-12)
        np.testing.assert_allclose(center, np.average(points[own], axis=0, weights=w[own]), rtol=1e-10, atol=1e-12)


def test_owners_without_cells_leave_no_center():
    points, w = np.arange(8.0).reshape(4, 2), np.array([0.1, 0.2, 0.3, 0.4])
    centers, mass = centers_of(points, w, np.array([3, 0, 3, 0]))
    np.testing.assert_allclose(mass, [0.6, 0.4])
    np.testing.assert_allclose(centers, [np.array([2, 3]) / 3 + np.array([6, 7]) * 2 / 3, [3, 4]])


def test_a_center_is_the_mean_of_the_cells_that_are_nearest_to_it():
    x, w = cells()
    centers, mass = summarize(x, w, n_points=3, max_iter=300)
    owner = ground_cost(x, centers, "euclidean").argmin(axis=1)
    for c in range(3):
        own = owner == c
        assert mass[c] == pytest.approx(w[own].sum(), rel=1e-12)
        np.testing.assert_allclose(centers[c], np.average(x[own], axis=0, weights=w[own]), rtol=1e-12)


@pytest.mark.parametrize("cost", [c for c in GROUND_COSTS if c not in ("cosine", "sqeuclidean")])
@pytest.mark.parametrize("n_points", [1, 5, 40])
def test_no_distance_is_off_by_more_than_the_way_of_the_cells_to_their_centers(n_points, cost):
    clouds = [cells(200, seed=p) for p in range(4)]
    whole = cohort_of([x for x, _ in clouds], [w for _, w in clouds])
    small = [summarize(x, w, p, n_points=n_points) for p, (x, w) in enumerate(clouds)]
    short = cohort_of([x for x, _ in small], [w for _, w in small])
    pairs = all_pairs(4)
    D, E = (solve_distances(c, c.points, pairs, cost, solver=Exact(), n_jobs=1) for c in (whole, short))
    both = cohort_of(
        [x for pair in zip(clouds, small, strict=True) for x, _ in pair],
        [w for pair in zip(clouds, small, strict=True) for _, w in pair],
    )
    own = np.array([[2 * p, 2 * p + 1] for p in range(4)])
    way = solve_distances(both, both.points, own, cost, solver=Exact(), n_jobs=1)
    assert (np.abs(D - E) <= way[pairs].sum(axis=1) * (1 + 1e-9)).all()
    assert way.min() > 0


def test_more_points_are_closer_to_the_truth():
    x, w = cells(600)
    errors = []
    for n_points in (5, 50, 500):
        centers, mass = summarize(x, w, n_points=n_points)
        pair = cohort_of([x, centers], [w, mass])
        errors.append(solve_distances(pair, pair.points, all_pairs(2), "euclidean", solver=Exact())[0])
    assert errors[0] > 1.5 * errors[1] > 1.5**2 * errors[2]


def test_a_sample_with_few_cells_keeps_them_all():
    x, w = cells(20)
    for n_points in (20, 21, 500):
        centers, mass = summarize(x, w, n_points=n_points)
        np.testing.assert_array_equal(centers, x)
        np.testing.assert_array_equal(mass, w)


def test_a_sample_with_few_different_cells_has_no_more_points_than_these():
    x = np.repeat(np.eye(3), [10, 20, 30], axis=0)
    centers, mass = summarize(x, np.full(60, 1 / 60), n_points=10)
    assert 1 <= len(centers) <= 10
    assert (np.abs(centers[:, None] - np.eye(3)).sum(axis=2).min(axis=1) < 1e-15).all()
    held = [mass[(centers[:, axis] == 1)].sum() for axis in range(3)]
    np.testing.assert_allclose(held, np.array([10, 20, 30]) / 60, rtol=1e-12)


def test_fewer_cells_with_weight_than_points():
    x, w = cells(100)
    w[7:] = 0
    w /= w.sum()
    centers, mass = summarize(x, w, n_points=20)
    np.testing.assert_array_equal(centers, x[:7])
    np.testing.assert_array_equal(mass, w[:7])


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_points_keep_their_precision_and_weights_are_double(precision):
    x, w = cells()
    centers, mass = summarize(x.astype(precision), w, n_points=10)
    assert centers.dtype == precision
    assert mass.dtype == np.float64
    np.testing.assert_allclose(mass @ centers, w @ x, rtol=1e-6 if precision is np.float32 else 1e-12)


def test_the_seed_decides_and_one_sample_draws_once_whatever_it_is_like():
    x, w = cells()
    one, same, other = (summarize(x, w, seed, n_points=10)[0] for seed in (0, 0, 1))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()
    states = []
    for n in (300, 5):
        rng = np.random.default_rng(0)
        Coreset(10).summarize(x[:n], w[:n], rng)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1]


def test_cells_and_weights_are_left_alone():
    x, w = cells()
    before = x.copy(), w.copy()
    summarize(x, w, n_points=10)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(w, before[1])


def test_auto_takes_fewer_points_in_large_cohorts():
    assert as_summary("auto", np.full(200, 1000), 50) == Coreset(200)
    assert as_summary("auto", np.full(201, 1000), 50) == Coreset(100)
    assert as_summary("auto", np.full(201, 999), 50) is None


def test_auto_takes_few_points_where_cells_and_features_are_many():
    """Genes of 21 samples of 200 cells; of 50 principal components, or of few cells, all cells are taken."""
    assert as_summary("auto", np.full(21, 200), 501) == Coreset(50)
    assert as_summary("auto", np.full(3, 2000), 2000) == Coreset(50)
    assert as_summary("auto", np.full(21, 200), 500) is None
    assert as_summary("auto", np.full(20, 200), 2000) is None


@pytest.mark.parametrize(
    ("sizes", "large"), [([MANY] * 3, True), ([MANY - 1] * 3, False), ([1, MANY, 10**6], True), ([1, 1, 10**6], False)]
)
def test_auto_goes_by_the_median_sample(sizes, large):
    assert as_summary("auto", np.array(sizes), 50) == (Coreset(400) if large else None)
    assert as_summary(None, np.array(sizes), 50) is None
    assert as_summary(Coreset(7), np.array(sizes), 50) == Coreset(7)


@pytest.mark.parametrize(
    ("summary", "error", "text"),
    [
        ("all", ValueError, r'summary=\'all\' is not known; pass "auto", None \(all cells\) or a Coreset\(n_points\)'),
        (5, TypeError, r'summary is a int; pass "auto", None \(all cells\) or a Coreset\(n_points\)'),
        (Coreset, TypeError, r"summary is a type; pass"),
    ],
)
def test_what_is_no_summary_is_refused(summary, error, text):
    with pytest.raises(error, match=text):
        as_summary(summary, np.array([5]), 50)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"n_points": 0}, ValueError, r"Coreset: n_points=0 must be at least 1 point; 100 to 200 are usual"),
        ({"n_points": -3}, ValueError, r"Coreset: n_points=-3 must be at least 1 point"),
        ({"n_points": 2.5}, TypeError, r"Coreset: n_points=2\.5 must be a whole number"),
        ({"max_iter": 0}, ValueError, r"Coreset: max_iter=0 must be at least 1 pass; the default is 10"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, error, text):
    with pytest.raises(error, match=text):
        Coreset(**options)
