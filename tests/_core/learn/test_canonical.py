from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from _oracles import (
    dense_variates,
    lp_plans,
    planted_cohort,
    random_cohort,
    relative_error,
    scatter_by_loops,
    theta,
)

from scggml._core.cohort import Cohort, from_clouds
from scggml._core.learn import scatter as module
from scggml._core.learn.canonical import (
    FAINT,
    Canonical,
    canonical_metric,
    canonical_variates,
)
from scggml._core.learn.pair_weights import some_pairs, weigh_pairs
from scggml._core.learn.scatter import euclidean_start
from scggml._core.learn.spectrum import principal_axes
from scggml._core.samples import class_target
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs

COHORT = random_cohort((4, 5, 3, 4, 6), labels=(0, 0, 1, 1, 2), weighted=True)


def variates(cohort: Cohort, n_comps: int = 2, **options):
    method = Canonical(**({"ridge": 0.05, "ridge_scale": "mean"} | options))
    return canonical_metric(method, cohort, weigh_pairs(class_target(cohort)), n_comps, solver=Exact())


def components(cohort: Cohort, n_comps: int = 2, **options):
    return variates(cohort, n_comps, **options).components


def up_to_sign(rows):
    return rows * np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])[:, None]


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


@pytest.mark.parametrize("scale", ["mean", "feature"])
@pytest.mark.parametrize("n_alternations", [1, 3])
def test_few_cells_with_many_features_have_the_components_of_all_features(monkeypatch, scale, n_alternations):
    """16 cells span 15 of 40 dimensions: their axes give what the problem of size 40 x 40 gives."""
    rng = np.random.default_rng(0)
    clouds = [rng.standard_normal((4, 40)) * np.linspace(0.2, 3, 40) + (i % 2) for i in range(4)]
    cohort = from_clouds(clouds, np.arange(4) % 2)
    options = {"ridge_scale": scale, "n_alternations": n_alternations, "ridge": 0.02}
    found = variates(cohort, 3, **options)
    monkeypatch.setattr(module, "centred", lambda cohort, most: (cohort.points - cohort.points.mean(axis=0), None))
    truth = variates(cohort, 3, **options)
    assert relative_error(theta(found.components), theta(truth.components)) < 1e-8
    np.testing.assert_allclose(found.eigenvalues, truth.eigenvalues, rtol=1e-8)


def random_scatter(d, rank, seed):
    root = np.random.default_rng(seed).standard_normal((d, rank))
    return root @ root.T


@pytest.mark.parametrize("n_comps", [1, 3, 6])
def test_variates_are_those_of_the_dense_problem(n_comps):
    between, within = random_scatter(6, 6, 0), random_scatter(6, 6, 1)
    regular = within + 0.05 * np.trace(within) / 6 * np.eye(6)
    found, values = canonical_variates(between, within, n_comps, 0.05)
    np.testing.assert_allclose(
        up_to_sign(found), up_to_sign(dense_variates(between, regular, n_comps, FAINT)), rtol=1e-8
    )
    np.testing.assert_allclose(values, np.sort(np.linalg.eigvals(np.linalg.solve(regular, between)))[::-1][:n_comps])


def test_variates_beyond_the_features_are_zero():
    found, values = canonical_variates(random_scatter(3, 3, 0), random_scatter(3, 3, 1), 5, 0.1)
    assert found.shape == (5, 3)
    assert (np.linalg.norm(found[:3], axis=1) > 0).all()
    np.testing.assert_array_equal(found[3:], 0.0)
    assert values.shape == (5,)
    assert (values[:3] > 0).all()
    np.testing.assert_array_equal(values[3:], 0.0)


def test_variates_that_tell_little_are_faint_and_those_that_tell_nothing_are_zero():
    """Two scatters that are diagonal: of lambda 5, 0.5, 0.004 and 0 only the first one exceeds 1."""
    values, spread = np.array([5.0, 0.5, 0.004, 0.0]), np.array([1.0, 2.0, 3.0, 4.0])
    regular = spread + 0.1 * spread.mean()
    found, eigenvalues = canonical_variates(np.diag(values * regular), np.diag(spread), 4, 0.1)
    lengths = np.array([4.0, FAINT * 5, FAINT * 5, 0.0])
    np.testing.assert_allclose(np.abs(found), np.diag(np.sqrt(lengths / regular)), atol=1e-12)
    np.testing.assert_allclose(eigenvalues, values, atol=1e-12)


def test_a_large_ridge_leaves_the_principal_axes_of_the_scatter_between():
    """No lambda is then above one, so all rows have the length of the faintest."""
    between, within = random_scatter(6, 6, 0), random_scatter(6, 6, 1)
    values, vectors = np.linalg.eigh(between)
    truth = np.sqrt(FAINT * values[-1]) * vectors.T[::-1][:2] / (1e9 * np.trace(within) / 6)
    found, eigenvalues = canonical_variates(between, within, 2, 1e9)
    np.testing.assert_allclose(up_to_sign(found), up_to_sign(truth), rtol=1e-6)
    np.testing.assert_allclose(eigenvalues, values[::-1][:2] / (1e9 * np.trace(within) / 6), rtol=1e-6)


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
        ({"ridge": 0.0}, r'Canonical: ridge=0\.0 must be "auto" or a positive number; 0\.001 to 0\.1 are usual\.'),
        ({"ridge": np.nan}, r'Canonical: ridge=nan must be "auto" or a positive number'),
        ({"ridge": np.inf}, r'Canonical: ridge=inf must be "auto" or a positive number'),
        ({"ridge_scale": "trace"}, r"Canonical: ridge_scale='trace' is not known; choose from \('auto', 'mean', 'fea"),
        ({"n_alternations": 0}, r"Canonical: n_alternations=0 must be at least 1; 3 are usual\."),
        ({"max_features": 0}, r"Canonical: max_features=0 must be at least 1; the default is 2048\."),
        ({"max_pairs": 0}, r"Canonical: max_pairs=0 must be at least 1 pair of samples; the default is 20000\."),
    ],
)
def test_options_that_mean_nothing_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        Canonical(**options)


@pytest.mark.parametrize("options", [{"ridge": "small"}, {"ridge": None}, {"ridge": True}, {"n_alternations": 2.0}])
def test_options_of_another_kind_are_refused(options):
    with pytest.raises(TypeError, match=f"Canonical: {next(iter(options))}="):
        Canonical(**options)


def test_what_is_still_to_be_decided_is_known():
    decided = [Canonical(ridge=r, ridge_scale=s).is_fixed for r in ("auto", 0.1) for s in ("auto", "mean", "feature")]
    assert decided == [False, False, False, False, True, True]
    with pytest.raises(ValueError, match="ridge_scale is still to be decided"):
        components(COHORT, ridge_scale="auto")


# A ridge that does not see the units of features


@pytest.mark.parametrize("n_alternations", [1, 2, 3])
@pytest.mark.parametrize(("n_comps", "ridge"), [(1, 0.1), (3, 0.001)])
def test_a_ridge_by_feature_is_a_share_of_the_variance_of_each(n_alternations, n_comps, ridge):
    W = None
    for _ in range(n_alternations):
        between, within = scatters_by_loops(COHORT, W)
        W = dense_variates(between, within + ridge * np.diag(np.diag(within)), n_comps, FAINT)
    found = components(COHORT, n_comps, n_alternations=n_alternations, ridge=ridge, ridge_scale="feature")
    assert relative_error(theta(found), theta(W)) < 1e-6


def test_with_a_ridge_by_feature_units_of_features_only_divide_their_loadings():
    units = np.array([1e-2, 1.0, 7.0, 1e2, 1.0, 50.0])
    between, within = random_scatter(6, 6, 0), random_scatter(6, 6, 1)
    other = [np.outer(units, units) * S for S in (between, within)]
    plain, values = canonical_variates(between, within, 3, 0.1, "feature")
    scaled, same = canonical_variates(*other, 3, 0.1, "feature")
    np.testing.assert_allclose(up_to_sign(scaled * units), up_to_sign(plain), rtol=1e-8)
    np.testing.assert_allclose(same, values, rtol=1e-8)
    assert not np.allclose(canonical_variates(*other, 3, 0.1)[1], canonical_variates(between, within, 3, 0.1)[1])


def test_a_small_feature_that_tells_classes_apart_is_found_by_a_ridge_by_feature():
    """Among features a hundred times as large: the ridge of their mean variance drowns it."""
    rng = np.random.default_rng(0)
    labels = np.arange(10) % 2
    clouds = [rng.standard_normal((12, 6)) + 2 * np.eye(6)[0] * c for c in labels]
    cohort = from_clouds([x * np.array([1, 100, 100, 100, 100, 100]) for x in clouds], labels)
    by_mean, by_feature = (components(cohort, 1, ridge_scale=scale)[0] for scale in ("mean", "feature"))
    spread = cohort.points.std(axis=0)
    shares = [(w * spread) ** 2 / ((w * spread) ** 2).sum() for w in (by_mean, by_feature)]
    assert shares[0][0] < 0.1
    assert shares[1][0] > 0.8


def test_a_feature_that_is_constant_within_classes_is_no_fault():
    points = COHORT.points.copy()
    points[:, 2] = np.repeat(COHORT.labels, COHORT.sizes)
    found = variates(replace(COHORT, points=points), 2, ridge_scale="feature")
    assert np.isfinite(found.components).all()
    assert np.isfinite(found.eigenvalues).all()
    assert np.abs(found.components[0]).argmax() == 2


# The record


def test_eigenvalues_of_each_alternation_are_those_of_its_scatters():
    found = variates(COHORT, 2)
    assert found.eigenvalues.shape == (3, 2)
    W = None
    for values in found.eigenvalues:
        between, within = scatters_by_loops(COHORT, W)
        regular = within + 0.05 * np.trace(within) / 4 * np.eye(4)
        truth = np.sort(np.linalg.eigvals(np.linalg.solve(regular, between)).real)[::-1][:2]
        np.testing.assert_allclose(values, truth, rtol=1e-6)
        W = dense_variates(between, regular, 2, FAINT)


# What refits share


@pytest.mark.parametrize("held", [3, 4096])
@pytest.mark.parametrize("max_features", [3, 2048])
@pytest.mark.parametrize("scale", ["mean", "feature"])
def test_a_shared_start_gives_the_metric_from_scratch(monkeypatch, scale, max_features, held):
    monkeypatch.setattr(module, "PAIRS", held)
    options = Canonical(ridge=0.05, ridge_scale=scale, max_features=max_features)
    weights = weigh_pairs(class_target(COHORT))
    start = euclidean_start(COHORT, all_pairs(5), solver=Exact(), max_features=max_features)
    truth = canonical_metric(options, COHORT, weights, 2, solver=Exact())
    assert start.by_pair is None
    assert start.for_many().by_pair.shape[0] == 10
    for known in (start, start, start.for_many()):
        found = canonical_metric(options, COHORT, weights, 2, solver=Exact(), start=known)
        np.testing.assert_allclose(found.components, truth.components, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.eigenvalues, truth.eigenvalues, rtol=1e-12)


def test_a_shared_start_serves_any_labels_and_any_part_of_the_pairs():
    pairs = all_pairs(5)
    start = euclidean_start(COHORT, pairs[::-1].copy(), solver=Exact(), max_features=2048)
    for labels in ([0, 1, 0, 1, 1], [1, 1, 0, 0, 1]):
        target = class_target(replace(COHORT, labels=np.array(labels), classes=np.array(["a", "b"])))
        weights = weigh_pairs(target, counts=np.array([1, 0, 1, 1, 1]))
        options = Canonical(ridge=0.05, ridge_scale="mean")
        truth = canonical_metric(options, COHORT, weights, 2, solver=Exact())
        found = canonical_metric(options, COHORT, weights, 2, solver=Exact(), start=start)
        np.testing.assert_allclose(found.components, truth.components, rtol=0, atol=1e-12)


def test_a_pair_that_the_start_does_not_know_is_a_fault():
    start = euclidean_start(COHORT, all_pairs(5)[:-1], solver=Exact(), max_features=2048)
    options = Canonical(ridge=0.05, ridge_scale="mean")
    with pytest.raises(ValueError, match="A pair of samples was not solved at the start that refits share"):
        canonical_metric(options, COHORT, weigh_pairs(class_target(COHORT)), 2, solver=Exact(), start=start)


# Many pairs


def test_drawn_pairs_give_nearly_the_metric_of_all():
    cohort = random_cohort(sizes=(6,) * 40, d=4, shift=2.0)
    options, target = Canonical(ridge=0.05, ridge_scale="mean"), class_target(cohort)
    whole = components(cohort, 1)
    some = []
    for seed in (0, 0, 1):
        pairs = some_pairs(target.codes, 300, np.random.default_rng(seed))
        some.append(canonical_metric(options, cohort, weigh_pairs(target, pairs=pairs), 1, solver=Exact()).components)
    cosine = [abs((W @ whole.T).item()) / np.linalg.norm(W) / np.linalg.norm(whole) for W in some]
    assert min(cosine) > 0.99
    np.testing.assert_array_equal(some[0], some[1])
    assert not np.allclose(some[0], some[2], rtol=1e-6)
