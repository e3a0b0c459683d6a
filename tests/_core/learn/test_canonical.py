from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from _oracles import (
    cloud,
    dense_variates,
    lp_plans,
    planted_cohort,
    random_cohort,
    relative_error,
    scatter_by_loops,
    theta,
)
from sklearn.decomposition import PCA

from scggml._core import cohort as cohort_module
from scggml._core.cohort import Cohort, from_clouds
from scggml._core.learn import canonical as module
from scggml._core.learn.canonical import (
    FAINT,
    Canonical,
    canonical_variates,
    initial_components,
    orthonormal,
    pair_weights,
    principal_axes,
    scatter,
    some_pairs,
)
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs

COHORT = random_cohort((4, 5, 3, 4, 6), labels=(0, 0, 1, 1, 2), weighted=True)


def components(cohort: Cohort, n_comps: int = 2, **options):
    return Canonical(**options).components(cohort, n_comps, solver=Exact(), n_jobs=1)


def up_to_sign(rows):
    return rows * np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])[:, None]


# Orthonormal rows


@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 7), (4, 4), (6, 2)])
def test_random_rows_are_orthonormal(k, d):
    W = orthonormal(k, d, np.random.default_rng(0))
    assert W.shape == (k, d)
    product = W @ W.T if k <= d else W.T @ W
    np.testing.assert_allclose(product, np.eye(min(k, d)), atol=1e-14)


def test_random_rows_follow_the_seed():
    one, same, other = (orthonormal(2, 5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_random_rows_prefer_no_orientation_and_no_direction():
    rng = np.random.default_rng(0)
    drawn = np.array([orthonormal(2, 2, rng) for _ in range(2000)])
    assert 0.45 < (np.linalg.det(drawn) > 0).mean() < 0.55
    angles = np.arctan2(drawn[:, 0, 1], drawn[:, 0, 0])
    np.testing.assert_allclose(np.histogram(angles, bins=8, range=(-np.pi, np.pi))[0] / 2000, 1 / 8, atol=0.03)


# Principal axes


def test_principal_axes_are_those_of_the_pca_where_samples_have_one_size():
    cohort = random_cohort((6, 6, 6), d=5, shift=2.0)
    truth = PCA(n_components=3, svd_solver="full").fit(cohort.points).components_
    np.testing.assert_allclose(up_to_sign(principal_axes(cohort, 3)), up_to_sign(truth), atol=1e-12)


def weighted_covariance(cohort):
    """Samples count equally: the mean over samples of their weighted outer products about the mean of their means."""
    clouds = [cloud(cohort, p) for p in range(cohort.n_samples)]
    mean = np.mean([a @ x for x, a in clouds], axis=0)
    return np.mean([sum(w * np.outer(u, u) for u, w in zip(x - mean, a, strict=True)) for x, a in clouds], axis=0)


@pytest.mark.parametrize("block", [1, 20, 2**22])
def test_samples_count_equally_in_principal_axes(monkeypatch, block):
    monkeypatch.setattr(cohort_module, "BLOCK", block)
    vectors = np.linalg.eigh(weighted_covariance(COHORT))[1].T[::-1]
    np.testing.assert_allclose(up_to_sign(principal_axes(COHORT, 3)), up_to_sign(vectors[:3]), atol=1e-10)


def test_more_cells_of_a_sample_do_not_turn_the_principal_axes():
    rng = np.random.default_rng(0)
    narrow, wide = rng.standard_normal((10, 2)) * [1, 5], rng.standard_normal((10, 2)) * [20, 1]
    once, often = from_clouds([narrow, wide]), from_clouds([np.tile(narrow, (50, 1)), wide])
    np.testing.assert_allclose(principal_axes(often, 1), principal_axes(once, 1), atol=1e-10)
    plain = PCA(n_components=1).fit(often.points).components_[0]
    assert abs(plain[1]) > abs(plain[0])
    assert abs(principal_axes(once, 1)[0, 0]) > 0.9


@pytest.mark.parametrize("n_comps", [1, 4, 19])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_of_many_features_the_principal_axes_are_found_without_their_covariance(n_comps, precision):
    rng = np.random.default_rng(0)
    points = (rng.standard_normal((20, 20)) * 0.8 ** np.arange(20) @ rng.standard_normal((20, 2100))).astype(precision)
    cohort = from_clouds([points[:10], points[10:]])
    centered = points.astype(np.float64) - points.astype(np.float64).mean(axis=0)
    truth = np.linalg.svd(centered, full_matrices=False)[2][:n_comps]
    found = principal_axes(cohort, n_comps)
    np.testing.assert_allclose(found @ found.T, np.eye(n_comps), atol=1e-10)
    np.testing.assert_allclose(up_to_sign(found), up_to_sign(truth), atol=1e-8)
    np.testing.assert_array_equal(principal_axes(cohort, n_comps), found)


def test_of_many_features_that_sum_to_one_the_principal_axes_are_found():
    """The vector of ones, a usual start of an eigensolver, is then in the kernel."""
    points = np.random.default_rng(0).dirichlet(np.ones(2100), size=20)
    truth = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][:3]
    found = principal_axes(from_clouds([points[:10], points[10:]]), 3)
    np.testing.assert_allclose(up_to_sign(found), up_to_sign(truth), atol=1e-6)


def test_axes_beyond_the_features_are_zero():
    W = principal_axes(random_cohort(d=3), 5)
    assert W.shape == (5, 3)
    np.testing.assert_allclose(W[:3] @ W[:3].T, np.eye(3), atol=1e-14)
    np.testing.assert_array_equal(W[3:], 0.0)


# Scatter of plans


def test_classes_and_pairs_of_classes_count_equally():
    """Three samples of class 0, one of class 1, two of class 2: 3 + 1 pairs within, 3 + 6 + 2 between."""
    cohort = random_cohort((1,) * 6, labels=(0, 0, 0, 1, 2, 2))
    within, between = pair_weights(cohort, all_pairs(6))
    first, second = cohort.labels[all_pairs(6)].T
    truth_within = {(0, 0): 1 / 6, (2, 2): 1 / 2}
    truth_between = {(0, 1): 1 / 9, (0, 2): 1 / 18, (1, 2): 1 / 6}
    kinds = list(zip(first, second, strict=True))
    np.testing.assert_allclose(within, [truth_within.get(kind, 0.0) for kind in kinds])
    np.testing.assert_allclose(between, [truth_between.get(kind, 0.0) for kind in kinds])


def test_weights_of_pairs_do_not_depend_on_the_order_of_samples():
    cohort = random_cohort((1,) * 5, labels=(1, 0, 1, 0, 0))
    within, between = pair_weights(cohort, all_pairs(5))
    backwards = pair_weights(cohort, all_pairs(5)[:, ::-1])
    np.testing.assert_array_equal(backwards[0], within)
    np.testing.assert_array_equal(backwards[1], between)
    assert within.sum() == pytest.approx(1)
    assert between.sum() == pytest.approx(1)


def test_classes_of_one_sample_have_no_weight_within():
    within, between = pair_weights(random_cohort((1, 1), labels=(0, 1)), all_pairs(2))
    np.testing.assert_array_equal(within, [0.0])
    np.testing.assert_array_equal(between, [1.0])


@pytest.mark.parametrize("held", [1, 4, 4096])
@pytest.mark.parametrize("backend", ["simplex", "pot"])
def test_the_scatter_of_plans_is_the_sum_over_pairs_of_cells(monkeypatch, held, backend):
    monkeypatch.setattr(module, "PAIRS", held)
    pairs = all_pairs(5)
    weights = np.array([0.5, 0.0, 1.0, 0.2, 0.0, 0.3, 0.1, 0.7, 0.9, 0.4])
    transport = Exact(backend=backend).transport(COHORT)
    transport.solve(COHORT.points, pairs, "euclidean")
    truth = lp_plans(COHORT)
    truth = {(p, q): truth[p, q] for p, q in pairs}
    np.testing.assert_allclose(
        scatter(COHORT.points, transport, pairs, weights), scatter_by_loops(COHORT, truth, weights)
    )


# Canonical variates


def scatters_by_loops(cohort, W=None):
    """Between and within: the mean over kinds of pairs of the mean over pairs of the scatter of their plan.

    Plans are optimal for the squared metric.
    """
    kinds = defaultdict(list)
    for (p, q), plan in lp_plans(cohort, W, squared=True).items():
        kind = tuple(sorted((cohort.labels[p], cohort.labels[q])))
        kinds[kind].append(scatter_by_loops(cohort, {(p, q): plan}, [1.0]))
    means = {kind: np.mean(found, axis=0) for kind, found in kinds.items()}
    d = cohort.n_features
    between = [S for (one, two), S in means.items() if one != two]
    within = [S for (one, two), S in means.items() if one == two]
    return np.mean(between, axis=0), np.mean(within, axis=0) if within else np.zeros((d, d))


@pytest.mark.parametrize("n_alternations", [1, 2, 3])
@pytest.mark.parametrize(("n_comps", "ridge"), [(1, 0.1), (3, 0.01)])
def test_components_solve_the_eigenproblem_of_the_plans_of_the_last_metric(n_alternations, n_comps, ridge):
    W = None
    for _ in range(n_alternations):
        between, within = scatters_by_loops(COHORT, W)
        regular = within + ridge * np.trace(within) / 4 * np.eye(4)
        W = dense_variates(between, regular, n_comps, FAINT)
    found = components(COHORT, n_comps, n_alternations=n_alternations, ridge=ridge)
    assert relative_error(theta(found), theta(W)) < 1e-6
    values = np.array([(v @ between @ v) / (v @ regular @ v) for v in found])
    assert (np.diff(values) < 0).all()
    for v, value in zip(found, values, strict=True):
        np.testing.assert_allclose(between @ v, value * (regular @ v), atol=1e-6 * np.abs(between @ v).max())
        assert v @ regular @ v == pytest.approx(max(value - 1, FAINT * values[0]), rel=1e-6)


def random_scatter(d, rank, seed):
    root = np.random.default_rng(seed).standard_normal((d, rank))
    return root @ root.T


@pytest.mark.parametrize("n_comps", [1, 3, 6])
def test_variates_are_those_of_the_dense_problem(n_comps):
    between, within = random_scatter(6, 6, 0), random_scatter(6, 6, 1)
    regular = within + 0.05 * np.trace(within) / 6 * np.eye(6)
    found = canonical_variates(between, within, n_comps, 0.05)
    np.testing.assert_allclose(
        up_to_sign(found), up_to_sign(dense_variates(between, regular, n_comps, FAINT)), rtol=1e-8
    )


def test_variates_beyond_the_features_are_zero():
    found = canonical_variates(random_scatter(3, 3, 0), random_scatter(3, 3, 1), 5, 0.1)
    assert found.shape == (5, 3)
    assert (np.linalg.norm(found[:3], axis=1) > 0).all()
    np.testing.assert_array_equal(found[3:], 0.0)


def test_variates_that_tell_little_are_faint_and_those_that_tell_nothing_are_zero():
    """Two scatters that are diagonal: of lambda 5, 0.5, 0.004 and 0 only the first one exceeds 1."""
    values, spread = np.array([5.0, 0.5, 0.004, 0.0]), np.array([1.0, 2.0, 3.0, 4.0])
    regular = spread + 0.1 * spread.mean()
    found = canonical_variates(np.diag(values * regular), np.diag(spread), 4, 0.1)
    lengths = np.array([4.0, FAINT * 5, FAINT * 5, 0.0])
    np.testing.assert_allclose(np.abs(found), np.diag(np.sqrt(lengths / regular)), atol=1e-12)


def test_a_large_ridge_leaves_the_principal_axes_of_the_scatter_between():
    """No lambda is then above one, so all rows have the length of the faintest."""
    between, within = random_scatter(6, 6, 0), random_scatter(6, 6, 1)
    values, vectors = np.linalg.eigh(between)
    truth = np.sqrt(FAINT * values[-1]) * vectors.T[::-1][:2] / (1e9 * np.trace(within) / 6)
    np.testing.assert_allclose(up_to_sign(canonical_variates(between, within, 2, 1e9)), up_to_sign(truth), rtol=1e-6)


def test_with_more_features_than_cells_the_answer_is_finite_and_continuous():
    cohort = random_cohort((4, 5, 4, 5), d=40)
    W = components(cohort)
    assert np.isfinite(W).all()
    assert np.linalg.matrix_rank(W) == 2
    noise = np.random.default_rng(1).standard_normal(cohort.points.shape)
    nearby = components(replace(cohort, points=cohort.points + 1e-9 * noise))
    assert relative_error(theta(nearby), theta(W)) < 1e-6
    assert (
        relative_error(theta(components(cohort, ridge=0.1 * (1 + 1e-9))), theta(components(cohort, ridge=0.1))) < 1e-6
    )


def test_a_planted_direction_is_reached():
    cohort = planted_cohort(8, gap=2.0, offset=3.0)
    W = components(cohort, 1)
    assert W[0, 0] ** 2 / (W**2).sum() > 0.95
    assert principal_axes(cohort, 1)[0, 0] ** 2 < 0.1


@pytest.mark.parametrize("n_comps", [1, 2, 3])
def test_the_order_of_cells_does_not_change_the_components(n_comps):
    """Also of one component: on a line only the squared cost has one optimal plan."""
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.arange(*ends)) for ends in zip(COHORT.offsets[:-1], COHORT.offsets[1:], strict=True)]
    rows = np.concatenate(rows)
    shuffled = replace(COHORT, points=COHORT.points[rows], weights=COHORT.weights[rows])
    assert relative_error(theta(components(shuffled, n_comps)), theta(components(COHORT, n_comps))) < 1e-9


def test_the_order_and_the_names_of_classes_do_not_change_the_components():
    order = np.array([3, 0, 4, 2, 1])
    renamed = replace(COHORT.take(order), labels=np.array([2, 0, 1])[COHORT.labels[order]])
    assert relative_error(theta(components(renamed)), theta(components(COHORT))) < 1e-9


@pytest.mark.parametrize(("factor", "shift"), [(1e3, 0.0), (1e-9, 0.0), (1.0, 1e6), (1e3, -1e8)])
def test_scale_divides_and_translation_leaves_the_components(factor, shift):
    moved = components(replace(COHORT, points=factor * COHORT.points + shift))
    assert relative_error(theta(factor * moved), theta(components(COHORT))) < 1e-6


def test_single_precision_points_give_the_bits_of_the_same_double_precision_points():
    single = replace(COHORT, points=COHORT.points.astype(np.float32))
    double = replace(single, points=single.points.astype(np.float64))
    for max_features in (2, 2048):
        one, two = (components(cohort, max_features=max_features) for cohort in (single, double))
        assert one.tobytes() == two.tobytes()


def flat(d=8, rank=3):
    """Clouds that vary in few of many dimensions."""
    cohort = random_cohort((8, 8, 8, 8), d=rank)
    lift = np.random.default_rng(5).standard_normal((rank, d))
    return replace(cohort, points=cohort.points @ lift + 1.0)


def test_reducing_features_without_loss_of_variance_changes_nothing():
    cohort = flat()
    assert relative_error(theta(components(cohort, max_features=4)), theta(components(cohort))) < 1e-6


def test_reducing_features_with_more_features_than_cells_changes_nothing():
    cohort = random_cohort((3, 4, 3, 4), d=30)
    assert relative_error(theta(components(cohort, max_features=20)), theta(components(cohort))) < 1e-6


def test_reduced_features_are_the_leading_principal_axes():
    cohort = random_cohort((8, 8, 8, 8), d=6, shift=3.0)
    axes = principal_axes(cohort, 3)
    W = components(cohort, max_features=3)
    assert np.linalg.norm(W) > 0
    np.testing.assert_allclose(W @ axes.T @ axes, W, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_samples_that_are_all_the_same_cloud_are_refused(seed):
    rng = np.random.default_rng(seed)
    same = rng.standard_normal((6, 4)) + 3
    cohort = from_clouds([rng.permutation(same) for _ in range(4)], np.array([0, 0, 1, 1]))
    with pytest.raises(ValueError, match="All samples of the cohort are the same point cloud: there is no difference"):
        components(cohort)


@pytest.mark.parametrize("seed", range(5))
def test_copies_within_classes_leave_the_difference_between_them(seed):
    """No spread within: the scale of the ridge comes from the scatter between, which has one direction."""
    rng = np.random.default_rng(seed)
    same, shift = rng.standard_normal((6, 4)) + 3, np.array([3.0, 0.0, 4.0, 0.0])
    copies = [rng.permutation(same) for _ in range(2)] + [rng.permutation(same) + shift for _ in range(2)]
    W = components(from_clouds(copies, np.array([0, 0, 1, 1])), 2, n_alternations=1, ridge=0.1)
    # between = s s^T, ridge 0.1 |s|^2 / 4 = 0.625: lambda = 40 along s, and 0 across it
    np.testing.assert_allclose(up_to_sign(W[:1]), np.sqrt(39 / 0.625) * shift[None] / 5, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(W[1:], 0.0, atol=1e-12)


def test_one_sample_a_class_is_enough():
    cohort = random_cohort((6, 7, 8), labels=(0, 1, 2))
    between, within = scatters_by_loops(cohort)
    assert not within.any()
    truth = dense_variates(between, 0.1 * np.trace(between) / 4 * np.eye(4), 2, FAINT)
    assert relative_error(theta(components(cohort, n_alternations=1, ridge=0.1)), theta(truth)) < 1e-6


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ridge": 0.0}, r"Canonical\(ridge=0\.0\): the ridge is a positive number; 0\.01 to 0\.1 are usual\."),
        ({"ridge": np.nan}, r"Canonical\(ridge=nan\): the ridge is a positive number"),
        ({"n_alternations": 0}, r"Canonical\(n_alternations=0\): at least 1; 3 are usual\."),
        ({"max_features": 0}, r"Canonical\(max_features=0\): at least 1; the default is 2048\."),
        ({"max_pairs": 0}, r"max_pairs=0 must be at least 1 pair of samples; the default is 20000\."),
    ],
)
def test_options_that_mean_nothing_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        Canonical(**options)


# The choice


def start(init, n_comps=2, seed=0):
    return initial_components(init, COHORT, n_comps, solver=Exact(), rng=np.random.default_rng(seed))


def test_starts_have_names_options_or_numbers():
    np.testing.assert_array_equal(start("canonical"), components(COHORT))
    np.testing.assert_array_equal(start(Canonical(ridge=0.5)), components(COHORT, ridge=0.5))
    np.testing.assert_array_equal(start("pca"), principal_axes(COHORT, 2))
    np.testing.assert_array_equal(start("orthonormal", seed=3), orthonormal(2, 4, np.random.default_rng(3)))


def test_a_start_by_numbers_is_copied_in_double_precision():
    mine = np.arange(8, dtype=np.float32).reshape(2, 4)
    found = start(mine)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, mine)
    double = mine.astype(np.float64)
    assert not np.shares_memory(start(double), double)


# Many pairs


def kinds_of(cohort, pairs):
    return [tuple(sorted(pair)) for pair in cohort.labels[pairs].tolist()]


@pytest.mark.parametrize("most", [3, 7, 30, 59, 60, 100])
def test_about_as_many_pairs_as_asked_for_are_drawn_of_all_kinds_alike(most):
    cohort = random_cohort(sizes=(2,) * 12, labels=[0] * 2 + [1] * 4 + [2] * 6)
    every, pairs = all_pairs(12), some_pairs(cohort, most, np.random.default_rng(0))
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    assert {*map(tuple, pairs)} <= {*map(tuple, every)}
    if most >= len(every):
        np.testing.assert_array_equal(pairs, every)
        return
    there, drawn = Counter(kinds_of(cohort, every)), Counter(kinds_of(cohort, pairs))
    assert drawn.keys() == there.keys()
    level = max(drawn.values())
    assert all(drawn[kind] == min(there[kind], level) for kind in there)
    assert max(most, len(there)) - len(there) < len(pairs) <= max(most, len(there))


def test_drawn_pairs_give_nearly_the_metric_of_all():
    cohort = random_cohort(sizes=(6,) * 40, d=4, shift=2.0)
    options = {"solver": Exact(), "n_jobs": 1}
    whole = Canonical().components(cohort, 1, **options)
    some = [
        Canonical(max_pairs=300).components(cohort, 1, rng=np.random.default_rng(seed), **options) for seed in (0, 0, 1)
    ]
    cosine = [abs((W @ whole.T).item()) / np.linalg.norm(W) / np.linalg.norm(whole) for W in some]
    assert min(cosine) > 0.99
    np.testing.assert_array_equal(some[0], some[1])
    assert not np.allclose(some[0], some[2], rtol=1e-6)
