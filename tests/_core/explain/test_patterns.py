"""Patterns and shifts of genes, and their error over donors, against sums written out, closed forms and simulations."""

from dataclasses import replace

import numpy as np
import pytest
from _oracles import random_cohort
from scipy.special import digamma, polygamma
from scipy.stats import t as student
from scipy.stats import ttest_ind, ttest_rel

from scggml._core.explain.patterns import (
    Contrast,
    Moves,
    changes,
    contrasts_of,
    excess_patterns,
    moderated,
    moves,
    standardized,
    strengths,
    t_values,
)
from scggml._core.learn.pair_weights import PairWeights, weigh_pairs
from scggml._core.samples import Target
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_plans

COHORT = random_cohort((3, 5, 4, 6, 2, 4), d=3, labels=(0, 1, 2, 0, 1, 2), weighted=True)
PAIRS = all_pairs(6)
OWNER = np.repeat(np.arange(6), COHORT.sizes)
Z = COHORT.points @ np.random.default_rng(1).normal(size=(3, 2))
TYPES = np.random.default_rng(2).integers(3, size=len(Z))


def weights_of(seed=3):
    """Some pairs count as different, some as alike, some as neither."""
    within, between = np.random.default_rng(seed).uniform(size=(2, len(PAIRS)))
    between[[1, 4, 7]] = 0.0
    within[[0, 4]] = 0.0
    return PairWeights(PAIRS, within / within.sum(), between / between.sum())


def some_contrasts():
    found = np.random.default_rng(4).normal(size=(3, len(PAIRS)))
    found[:, 2] = 0.0
    found[2] = 0.0
    return [Contrast("a", "b", row) for row in found]


PLANS = solve_plans(COHORT, Z, PAIRS, "euclidean", solver=Exact(), n_jobs=1)


def moves_by_loops(types, n_types):
    weights, contrasts = weights_of(), some_contrasts()
    along, shifted = np.zeros((len(Z), n_types, 2)), np.zeros((len(Z), n_types, 3))
    between, within = np.zeros(2), np.zeros(2)
    for s, t, mass, pair in zip(PLANS.source, PLANS.target, PLANS.mass, PLANS.owner, strict=True):
        step = Z[s] - Z[t]
        for kind in (0, 0) if types is None else (types[s], types[t]):
            along[s, kind] += mass * weights.between[pair] * step / 2
            along[t, kind] -= mass * weights.between[pair] * step / 2
            for c, contrast in enumerate(contrasts):
                shifted[s, kind, c] += mass * contrast.weights[pair] / 2
                shifted[t, kind, c] -= mass * contrast.weights[pair] / 2
        for i in range(2):
            between[i] += mass * weights.between[pair] * step[i] ** 2
            within[i] += mass * weights.within[pair] * step[i] ** 2
    return Moves(along, shifted, between, within)


def assert_same_moves(found, truth, **tolerance):
    for name, value in vars(truth).items():
        np.testing.assert_allclose(getattr(found, name), value, **({"rtol": 1e-10, "atol": 1e-14} | tolerance))


# Moves


@pytest.mark.parametrize(("types", "n_types"), [(None, 1), (TYPES, 3), (TYPES, 5)])
def test_moves_are_sums_over_the_entries_of_plans(types, n_types):
    found = moves(Z, PLANS, weights_of(), some_contrasts(), types=types, n_types=n_types)
    assert_same_moves(found, moves_by_loops(types, n_types))


def test_types_add_up_to_the_whole():
    weights, contrasts = weights_of(), some_contrasts()
    whole = moves(Z, PLANS, weights, contrasts)
    parts = moves(Z, PLANS, weights, contrasts, types=TYPES, n_types=3)
    for name in ("along", "shifted"):
        total = getattr(parts, name).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(total, getattr(whole, name), rtol=1e-12, atol=1e-15)


def test_moves_without_a_contrast_have_no_direction():
    found = moves(Z, PLANS, weights_of())
    assert found.shifted.shape == (len(Z), 1, 0)
    np.testing.assert_allclose(found.along, moves_by_loops(None, 1).along, rtol=1e-10, atol=1e-14)


def test_all_that_arrives_has_left():
    found = moves(Z, PLANS, weights_of(), some_contrasts(), types=TYPES, n_types=3)
    np.testing.assert_allclose(found.along.sum(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(found.shifted.sum(axis=0), 0, atol=1e-14)


def test_pairs_solved_in_parts_add_up():
    weights, contrasts, found = weights_of(), some_contrasts(), []
    for part in (slice(0, 4), slice(4, 5), slice(5, None)):
        plans = solve_plans(COHORT, Z, PAIRS[part], "euclidean", solver=Exact(), n_jobs=1)
        own = PairWeights(PAIRS[part], weights.within[part], weights.between[part])
        ends = [replace(contrast, weights=contrast.weights[part]) for contrast in contrasts]
        found.append(moves(Z, plans, own, ends, types=TYPES, n_types=3))
    assert_same_moves(found[0] + found[1] + found[2], moves_by_loops(TYPES, 3))


def test_a_sample_shifts_by_its_own_weights():
    """All of the mass of a sample moves in each of its pairs, so only the weights of its pairs are left."""
    target = Target("classes", COHORT.labels.astype(float), COHORT.classes)
    contrasts, _ = contrasts_of(target, weigh_pairs(target), ("class1",))
    found = moves(Z, PLANS, weigh_pairs(target), contrasts)
    truth = COHORT.weights * np.array([-1 / 2, 1 / 2, 0, -1 / 2, 1 / 2, 0])[OWNER]
    np.testing.assert_allclose(found.shifted[:, 0, 0], truth, atol=1e-14)


def test_importance_is_what_moves_more_between_labels_than_within():
    def of(between, within):
        return Moves(Z, Z, np.array(between), np.array(within)).importance

    np.testing.assert_allclose(of([3.0, 5.0, 1.0], [1.0, 4.0, 2.0]), [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(of([3.0, 1.0], [3.0, 2.0]), [0.75, 0.25])
    np.testing.assert_array_equal(of([0.0, 0.0], [0.0, 0.0]), [0, 0])


# Contrasts


def classes(codes, names, reference=0):
    return Target("classes", np.array(codes, dtype=float), np.array(names), reference)


def contrast_by_loops(weights, high, low, of):
    """Weights of the pairs of samples between two classes, of sum 1."""
    truth = np.zeros(len(weights.pairs))
    for e, (p, q) in enumerate(weights.pairs):
        if {of[p], of[q]} == {high, low}:
            truth[e] = weights.between[e] * (1 if of[p] == high else -1)
    return truth / np.abs(truth).sum()


@pytest.mark.parametrize("batch", [None, np.array([0, 0, 1, 1, 0, 1])])
def test_the_direction_of_two_classes_is_from_the_reference_to_the_other(batch):
    target = classes([0, 1, 1, 0, 0, 1], ["ill", "well"], reference=1)
    weights = weigh_pairs(target, batch=batch)
    (found,), of_component = contrasts_of(target, weights, ("ill", "ill", ""))
    assert (found.high, found.low) == ("ill", "well")
    assert of_component.tolist() == [0, 0, 0]
    of = target.classes[target.codes]
    np.testing.assert_allclose(found.weights, contrast_by_loops(weights, "ill", "well", of))


def test_each_component_goes_from_the_reference_to_the_class_at_its_positive_end():
    target = classes([0, 1, 2, 2, 0, 1, 2], ["a", "b", "c"], reference=1)
    weights = weigh_pairs(target)
    found, of_component = contrasts_of(target, weights, ("c", "a", "c"))
    assert [(one.high, one.low) for one in found] == [("c", "b"), ("a", "b")]
    assert of_component.tolist() == [0, 1, 0]
    of = target.classes[target.codes]
    for one in found:
        np.testing.assert_allclose(one.weights, contrast_by_loops(weights, one.high, one.low, of))


@pytest.mark.parametrize("oriented_to", ["", "b", "of another time"])
def test_a_component_that_points_to_the_reference_or_nowhere_takes_the_first_other_class(oriented_to):
    target = classes([0, 1, 2, 0, 1, 2], ["a", "b", "c"], reference=1)
    found, of_component = contrasts_of(target, weigh_pairs(target), (oriented_to, "c"))
    assert [(one.high, one.low) for one in found] == [("a", "b"), ("c", "b")]
    assert of_component.tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["classes", "ordered"])
def test_a_chosen_pair_is_that_of_all_components(kind):
    target = replace(classes([0, 1, 2, 0, 1, 2], ["a", "b", "c"]), kind=kind)
    weights = weigh_pairs(target)
    (found,), of_component = contrasts_of(target, weights, ("b", "c"), ("b", "c"))
    assert (found.high, found.low) == ("b", "c")
    assert of_component.tolist() == [0, 0]
    truth = contrast_by_loops(weights, "b", "c", target.classes[target.codes])
    np.testing.assert_allclose(found.weights, truth)


@pytest.mark.parametrize("kind", ["ordered", "numbers"])
def test_labels_with_an_order_go_from_lower_to_higher_samples(kind):
    values = np.array([0, 2, 1, 1, 0, 2.0])
    target = Target(kind, values, np.array(["low", "mid", "top"] if kind == "ordered" else []))
    weights = weigh_pairs(target)
    (found,), of_component = contrasts_of(target, weights, ("a", "b"), label="age")
    assert (found.high, found.low) == (("top", "low") if kind == "ordered" else ("high age", "low age"))
    assert of_component.tolist() == [0, 0]
    truth = np.array([w * np.sign(values[p] - values[q]) for (p, q), w in zip(PAIRS, weights.between, strict=True)])
    np.testing.assert_allclose(found.weights, truth / np.abs(truth).sum())


def test_two_classes_that_are_in_no_batch_together_have_a_contrast_of_zeros():
    target = classes([0, 1, 0, 1, 2, 2], ["a", "b", "c"])
    weights = weigh_pairs(target, batch=np.array([0, 0, 0, 0, 1, 0]))
    weights = replace(weights, between=np.where((target.codes[weights.pairs] == 2).any(axis=1), 0, weights.between))
    (found,), _ = contrasts_of(target, weights, ("c",))
    assert not found.weights.any()


# Changes of genes


def test_patterns_are_in_standard_deviations_for_a_move_of_the_root_mean_square():
    products = np.random.default_rng(0).normal(size=(2, 3, 4))
    found = Moves(Z, Z, np.array([4.0, 0.0, 0.25]), np.zeros(3))
    deviations = np.array([2.0, 0.0, 1.0, 0.5])
    patterns = standardized(products, found, deviations)
    for t, i, g in np.ndindex(products.shape):
        rho = np.sqrt(found.between[i])
        truth = products[t, i, g] / (rho * deviations[g]) if rho * deviations[g] > 0 else 0
        assert patterns[t, i, g] == pytest.approx(truth)


def test_a_component_that_moves_by_rounding_alone_has_no_pattern():
    found = Moves(Z, Z, np.array([1.0, 1e-14]), np.zeros(2))
    patterns = standardized(np.ones((1, 2, 3)), found, np.ones(3))
    np.testing.assert_array_equal(patterns, [[[1, 1, 1], [0, 0, 0]]])
    nothing = standardized(np.zeros((1, 2, 3)), replace(found, between=np.zeros(2)), np.ones(3))
    np.testing.assert_array_equal(nothing, np.zeros((1, 2, 3)))


def test_a_gene_changes_in_the_whole_metric_by_the_importance_of_components():
    patterns, importance = np.array([[3.0, 0.0, -1.0], [4.0, 2.0, 1.0]]), np.array([0.75, 0.25])
    truth = [np.sqrt(0.75 * 9 + 0.25 * 16), np.sqrt(0.25 * 4), 1.0]
    np.testing.assert_allclose(strengths(patterns, importance), truth)


def test_the_excess_is_what_a_gene_changes_beyond_what_it_does_within_labels():
    patterns, within = np.random.default_rng(1).normal(size=(2, 3, 6))
    importance, truth = np.array([0.5, 0.3, 0.2]), np.zeros(6)
    for i, g in np.ndindex(3, 6):
        square, alike = patterns[i, g] ** 2, patterns[i, g] * within[i, g]
        truth[g] += importance[i] * max(square - alike, 0)
    np.testing.assert_allclose(excess_patterns(patterns, within, importance), np.sqrt(truth))
    np.testing.assert_allclose(excess_patterns(patterns, 0 * within, importance), strengths(patterns, importance))
    np.testing.assert_array_equal(excess_patterns(patterns, patterns, importance), np.zeros(6))


def test_changes_hold_the_shift_of_each_type_and_contrast_with_its_error():
    rng = np.random.default_rng(5)
    products, parts, masses = rng.normal(size=(2, 2, 4)), rng.normal(size=(8, 2, 3, 4)), rng.normal(size=(8, 2, 3))
    design, deviations = np.eye(2)[np.arange(8) % 2], np.array([1.0, 2, 3, 4])
    found = moves(Z, PLANS, weights_of())
    out = changes(products, parts, masses, design=design, found=found, deviations=deviations)
    np.testing.assert_array_equal(out.patterns, standardized(products, found, deviations))
    for kind, contrast in np.ndindex(2, 3):
        truth = sum(parts[p, kind, contrast] for p in range(8))
        np.testing.assert_allclose(out.shifts[kind, contrast], truth)
        t, p_values = t_values(parts[:, kind, contrast], masses[:, kind, contrast], design)
        np.testing.assert_array_equal(out.t[kind, contrast], t)
        np.testing.assert_array_equal(out.p_values[kind, contrast], p_values)


# The error over donors; fewer than ten genes are not moderated


def two_classes(n_low, n_high):
    """Masses and design of donors of equal masses within classes."""
    codes = np.repeat([0, 1], [n_low, n_high])
    return np.where(codes == 1, 1 / n_high, -1 / n_low), np.eye(2)[codes], codes


@pytest.mark.parametrize("sizes", [(3, 3), (4, 7), (12, 5)])
def test_two_classes_of_equal_masses_have_the_statistic_of_welch(sizes):
    masses, design, codes = two_classes(*sizes)
    means = np.random.default_rng(0).normal(size=(len(codes), 6)) * (1 + codes[:, None]) + codes[:, None]
    t, p_values = t_values(masses[:, None] * means, masses, design)
    truth = ttest_ind(means[codes == 1], means[codes == 0], equal_var=False).statistic
    np.testing.assert_allclose(t, truth, rtol=1e-10)
    if sizes[0] == sizes[1]:
        np.testing.assert_allclose(p_values, 2 * student.sf(np.abs(truth), sum(sizes) - 2), rtol=1e-10)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_pairs_in_batches_have_the_paired_test(n):
    codes, batch = np.tile([0, 1], n), np.repeat(np.arange(n), 2)
    masses = np.where(codes == 1, 1, -1) / n
    rng = np.random.default_rng(1)
    means = rng.normal(size=(2 * n, 5)) + 10 * rng.normal(size=(n, 5))[batch] + 0.5 * codes[:, None]
    design = np.hstack([np.eye(2)[codes], np.eye(n)[batch]])
    t, p_values = t_values(masses[:, None] * means, masses, design)
    truth = ttest_rel(means[codes == 1], means[codes == 0])
    np.testing.assert_allclose(t, truth.statistic, rtol=1e-8)
    np.testing.assert_allclose(p_values, truth.pvalue, rtol=1e-8)


def test_unequal_masses_are_those_of_the_formula():
    rng = np.random.default_rng(2)
    codes = np.array([0, 0, 0, 1, 1, 1, 1])
    masses, design = rng.uniform(0.1, 1, 7) * np.where(codes, 1, -1), np.eye(2)[codes]
    parts = rng.normal(size=(7, 4))
    M = masses[:, None] * design
    hat = M @ np.linalg.inv(M.T @ M) @ M.T
    rest = parts - hat @ parts
    variances = sum(rest[p] ** 2 / (1 - hat[p, p]) for p in range(7))
    ratios = t_values(parts, masses, design)[0] / (parts.sum(axis=0) / np.sqrt(variances))
    np.testing.assert_allclose(ratios, ratios[0])  # a factor of all genes may correct the expectation
    assert 0.5 < ratios[0] < 2


@pytest.mark.parametrize(("scale", "sign"), [(1e-6, 1), (1e6, 1), (-1, -1)])
def test_units_do_not_matter(scale, sign):
    masses, design, codes = two_classes(4, 5)
    parts = masses[:, None] * np.random.default_rng(3).normal(size=(len(codes), 30))
    t, p_values = t_values(parts, masses, design)
    other = t_values(scale * parts, masses, design)
    np.testing.assert_allclose(other[0], sign * t, rtol=1e-8)
    np.testing.assert_allclose(other[1], p_values, rtol=1e-8)


def test_a_level_that_all_donors_share_is_no_error():
    masses, design, codes = two_classes(4, 5)
    means = np.random.default_rng(4).normal(size=(len(codes), 6))
    t = t_values(masses[:, None] * means, masses, design)[0]
    np.testing.assert_allclose(t_values(masses[:, None] * (means + 5), masses, design)[0], t, rtol=1e-8)


def test_donors_without_mass_do_not_count():
    masses, design, codes = two_classes(4, 5)
    means = np.random.default_rng(5).normal(size=(len(codes), 6))
    truth = t_values(masses[:, None] * means, masses, design)
    more, wider = np.append(masses, [0, 0]), np.vstack([design, np.eye(2)])
    found = t_values(more[:, None] * np.vstack([means, means[:2] + 9]), more, wider)
    np.testing.assert_allclose(found, truth, rtol=1e-10)


@pytest.mark.parametrize("sizes", [(1, 1), (0, 2), (2, 0)])
def test_too_few_donors_tell_nothing_about_the_error(sizes):
    codes = np.repeat([0, 1], sizes)
    masses = np.where(codes, 0.5, -0.5)
    if 0 in sizes:
        masses[0] = 0.0
    t, p_values = t_values(np.ones((len(codes), 3)), masses, np.eye(2)[codes])
    assert np.isnan(t).all()
    assert np.isnan(p_values).all()


def test_no_donor_at_all_has_any_mass():
    t, p_values = t_values(np.zeros((4, 3)), np.zeros(4), np.eye(2)[[0, 0, 1, 1]])
    assert np.isnan([t, p_values]).all()


@pytest.mark.parametrize("n_genes", [3, 30])
def test_parts_that_are_equal_have_a_t_of_0(n_genes):
    masses, design, codes = two_classes(3, 4)
    means = np.random.default_rng(6).normal(size=(len(codes), n_genes))
    means[:, 1] = 0.1  # no donor differs
    means[:, 2] = 0.0
    t, p_values = t_values(masses[:, None] * means, masses, design)
    np.testing.assert_array_equal(t[1:3], [0, 0])
    np.testing.assert_array_equal(p_values[1:3], [1, 1])
    assert t[0] != 0


def test_a_donor_that_is_alone_in_its_batch_changes_nothing():
    codes, batch = np.array([0, 1, 0, 1, 0, 1, 1]), np.array([0, 0, 1, 1, 2, 2, 3])
    masses = np.where(codes, 1, -1) / 3.0
    means = np.random.default_rng(7).normal(size=(7, 4))
    design = np.hstack([np.eye(2)[codes], np.eye(4)[batch]])
    parts = masses[:, None] * means
    parts[6] = 0  # its pairs have no weight
    masses[6] = 0
    found = t_values(parts, masses, design)
    truth = ttest_rel(means[[1, 3, 5]], means[[0, 2, 4]])
    np.testing.assert_allclose(found, [truth.statistic, truth.pvalue], rtol=1e-8)


@pytest.mark.parametrize("n", [3, 10])
@pytest.mark.parametrize("spread", ["alike", "of ten degrees", "of two degrees"])
def test_p_values_under_the_null_are_those_they_claim_to_be(n, spread):
    rng = np.random.default_rng(8)
    masses, design, codes = two_classes(n, n)
    shares = []
    for _ in range(10):
        free = {"alike": np.inf, "of ten degrees": 10, "of two degrees": 2}[spread]
        deviations = np.ones(2000) if free == np.inf else np.sqrt(free / rng.chisquare(free, 2000))
        means = rng.normal(size=(len(codes), 2000)) * deviations + rng.normal(size=2000)
        shares.append((t_values(masses[:, None] * means, masses, design)[1] < 0.05).mean())
    assert 0.02 <= np.mean(shares) <= 0.06  # the larger one with and without moderation: rather too large
    assert np.mean([share <= 0.06 for share in shares]) >= 0.8


@pytest.mark.parametrize("sizes", [(3, 12), (2, 10), (11, 33)])
def test_p_values_of_classes_of_unequal_size_are_not_too_small(sizes):
    rng = np.random.default_rng(9)
    masses, design, codes = two_classes(*sizes)
    drawn = [rng.normal(size=(len(codes), 2000)) for _ in range(10)]
    shares = [np.mean(t_values(masses[:, None] * means, masses, design)[1] < 0.05) for means in drawn]
    assert np.mean(shares) <= 0.06


@pytest.mark.parametrize("paired", [False, True])
def test_p_values_of_donors_of_unequal_masses_are_not_too_small(paired):
    """As the cells of a type are, of which donors have few or many."""
    rng, shares = np.random.default_rng(10), []
    codes, batch = np.tile([0, 1], 8), np.repeat(np.arange(8), 2)
    design = np.hstack([np.eye(2)[codes], np.eye(8)[batch]]) if paired else np.eye(2)[codes]
    for _ in range(20):
        sizes = np.exp(rng.normal(size=8)[batch] if paired else rng.normal(size=16))
        masses = np.where(codes, sizes, -sizes) / sizes.sum()
        means = rng.normal(size=(16, 1000))
        shares.append(np.mean(t_values(masses[:, None] * means, masses, design)[1] < 0.05))
    assert np.mean(shares) <= 0.06


# Moderation


def drawn_variances(d0, s0, free, n=20_000, seed=0):
    """True variances from the inverse chi-squared distribution, and those observed."""
    rng = np.random.default_rng(seed)
    true = d0 * s0**2 / rng.chisquare(d0, n)
    return true, true * rng.chisquare(free, n) / free


@pytest.mark.parametrize("free", [2, 4, 18])
@pytest.mark.parametrize("d0", [4, 12])
def test_moderation_finds_the_distribution_that_variances_come_from(d0, free):
    s0 = 1.5
    true, observed = drawn_variances(d0, s0, free)
    found, free_in_all = moderated(observed, free)
    prior = free_in_all - free
    assert prior == pytest.approx(d0, rel=0.15)
    common = ((prior + free) * found - free * observed) / prior
    np.testing.assert_allclose(common, common[0], rtol=1e-8)
    assert common[0] == pytest.approx(s0**2, rel=0.05)
    np.testing.assert_array_equal(np.argsort(found), np.argsort(observed))
    error = [np.mean((np.log(values) - np.log(true)) ** 2) for values in (found, observed)]
    assert error[0] < error[1]


@pytest.mark.parametrize("free", [2, 7])
def test_variances_that_differ_by_no_more_than_chance_become_one(free):
    alike = np.full(50, 3.0)
    found, free_in_all = moderated(alike, free)
    truth = 3.0 * np.exp(np.log(free / 2) - digamma(free / 2))  # the logarithm of a variance is too low on average
    np.testing.assert_allclose(found, truth)
    assert free_in_all > 1e4
    observed = np.random.default_rng(1).chisquare(free, 20_000) / free
    found, free_in_all = moderated(observed, free)
    np.testing.assert_allclose(found, 1.0, rtol=0.15)
    assert free_in_all > 100


def test_variances_that_differ_beyond_measure_stay_as_they_are():
    observed = np.exp(np.linspace(-2000, 700, 40))
    found, free_in_all = moderated(observed, 4)
    assert np.isfinite(found).all()
    assert free_in_all == pytest.approx(4, abs=0.02)
    np.testing.assert_allclose(found[-5:], observed[-5:], rtol=0.01)


def test_few_genes_tell_nothing_about_each_other():
    observed = np.random.default_rng(2).chisquare(3, 12)
    observed[:3] = 0.0
    found, free_in_all = moderated(observed, 3)  # nine vary
    np.testing.assert_array_equal(found, observed)
    assert free_in_all == 3


def test_genes_that_never_vary_neither_gain_variance_nor_count():
    observed = drawn_variances(6, 1.0, 4, n=100)[1]
    found, free_in_all = moderated(np.append(observed, [0.0, 0.0]), 4)
    truth = moderated(observed, 4)
    np.testing.assert_array_equal(found[:-2], truth[0])
    np.testing.assert_array_equal(found[-2:], [0, 0])
    assert free_in_all == truth[1]


def test_moments_of_the_logarithms_are_those_of_the_model():
    """The equations of Smyth (2004), solved with the degrees of freedom that were found."""
    observed = drawn_variances(5, 2.0, 6, n=500)[1]
    found, free_in_all = moderated(observed, 6)
    half = (free_in_all - 6) / 2
    logs = np.log(observed)
    assert np.var(logs, ddof=1) == pytest.approx(polygamma(1, 3) + polygamma(1, half), rel=1e-8)
    common = ((2 * half + 6) * found - 6 * observed)[0] / (2 * half)
    mean = np.log(common) + digamma(3) - np.log(3) - digamma(half) + np.log(half)
    assert logs.mean() == pytest.approx(mean, rel=1e-8)
