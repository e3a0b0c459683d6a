"""Components are tested one after another; what was found is removed before the next one is looked for."""

from dataclasses import replace

import numpy as np
import pytest

from scggml._core.cohort import from_clouds
from scggml._core.evaluate import component_test as module
from scggml._core.evaluate.component_test import ComponentTest, best_of, component_test, movement, removed
from scggml._core.ids import array_target
from scggml._core.learn import shared
from scggml._core.learn.learner import Learner
from scggml._core.samples import Samples, blind, mean_profiles
from scggml._core.transport.products import project

LEARNER = Learner(n_comps=3, shrinkage=0.0)


def study(deltas, *, n=8, seed=0, batch=None):
    """Donors of one class for each row of `deltas`, in six correlated features."""
    rng = np.random.default_rng(seed)
    deltas = np.asarray(deltas, dtype=float)
    mixing = np.linalg.cholesky(0.5 * np.eye(6) + 0.5)
    labels = np.repeat(np.arange(len(deltas)), n)
    clouds = [
        np.pad(deltas[label], (0, 6 - len(deltas[label])))
        + (0.4 * rng.normal(size=6) + rng.normal(size=(15, 6))) @ mixing.T
        for label in labels
    ]
    samples = Samples(blind(from_clouds(clouds)), np.arange(len(labels)), batch=batch)
    return samples, array_target([f"c{label}" for label in labels])


def run(samples, target, n_perm=39, seed=0):
    fit = LEARNER.learn(samples, target, rng=np.random.default_rng(seed))
    given = {"n_perm": n_perm, "level": 0.05, "rng": np.random.default_rng(seed), "n_jobs": 1}
    return component_test(LEARNER, samples, target, fit.components, fit.learned_share, **given)


def test_two_classes_that_differ_by_a_shift_have_one_component():
    found = run(*study([[0.0], [1.5]]))
    assert found.n_real == 1
    assert len(found.p_values) == 2
    assert found.p_values[0] == pytest.approx(1 / 40)


def test_three_classes_on_a_line_have_one_component_and_in_a_triangle_two():
    assert run(*study([[0.0], [1.5], [3.0]])).n_real == 1
    assert run(*study([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])).n_real == 2


def test_labels_that_mean_nothing_have_none():
    found = [run(*study([[0.0], [0.0]], seed=seed), seed=seed).n_real for seed in range(8)]
    assert sum(n > 0 for n in found) <= 1


def test_the_test_ends_at_the_first_component_that_is_not_real():
    order = np.array([2, 0, 1])
    own = np.ones(3, dtype=bool)
    found = ComponentTest(order, np.array([3.0, 2.0, 2.0]), np.array([0.01, 0.2, 0.01]), 0.01, own, 0.05)
    assert found.n_real == 1
    assert replace(found, eigenvalues=np.array([0.9, 2.0, 2.0])).n_real == 0  # no farther than within labels
    assert replace(found, p_values=np.array([0.01, 0.02, 0.05])).n_real == 3
    assert replace(found, own=np.array([True, True, False])).n_real == 0  # filled in by shrinkage


def test_five_pairs_say_that_no_smaller_p_value_is_possible():
    samples, target = study([[0.0], [3.0]], n=5, batch=np.tile(np.arange(5), 2))
    found = run(samples, target, n_perm=99)
    assert found.smallest == pytest.approx(1 / 16)
    assert found.p_values.min() >= 1 / 16
    assert found.n_real == 0


def test_removed_components_are_0_and_take_the_difference_of_the_classes_with_them():
    samples, target = study([[0.0], [2.0]])
    W = LEARNER.learn(samples, target, rng=np.random.default_rng(0)).components[:1]
    patterns, between, within = movement(samples, target, W, LEARNER, rng=np.random.default_rng(0), n_jobs=1)
    assert between[0] > 2 * within[0]
    left = removed(samples, W, patterns)
    np.testing.assert_allclose(project(left.cohort.points, W), 0.0, atol=1e-9)
    means = [mean_profiles(part.cohort) for part in (samples, left)]
    apart = [np.linalg.norm(m[target.codes == 1].mean(axis=0) - m[target.codes == 0].mean(axis=0)) for m in means]
    assert apart[1] < 0.25 * apart[0]
    along = project(samples.cohort.points, np.eye(6))  # a projection along W leaves more of it
    flat = along - np.outer(along @ W[0], W[0]) / (W[0] @ W[0])
    sums = np.add.reduceat(flat, samples.cohort.offsets[:-1], axis=0) / 15
    plain = np.linalg.norm(sums[target.codes == 1].mean(axis=0) - sums[target.codes == 0].mean(axis=0))
    assert apart[1] < plain


def test_a_component_that_shrinkage_filled_in_is_not_real_although_the_cells_differ():
    """Two strong axes without relation to the labels are all that a metric of two components shows."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 8)
    clouds = [
        np.hstack([10 * rng.normal(size=(20, 2)), rng.normal(size=(20, 3)) + 1.5 * label * np.eye(3)[0]])
        for label in labels
    ]
    samples, target = Samples(blind(from_clouds(clouds)), np.arange(16)), array_target(labels.astype(str))
    learner = Learner(method=LEARNER.method, shrinkage=0.95, n_comps=2)
    fit = learner.learn(samples, target, rng=rng)
    assert fit.learned_share.max() < 0.5
    given = {"n_perm": 39, "level": 0.05, "rng": rng, "n_jobs": 1}
    found = component_test(learner, samples, target, fit.components, fit.learned_share, **given)
    assert found.p_values[0] <= 0.05  # the cells do differ
    assert found.n_real == 0


def test_the_best_of_several_statistics_has_an_exact_p_value():
    rng = np.random.default_rng(0)
    p = [best_of(rng.normal(size=(20, 3)))[1] for _ in range(2000)]
    for level in (0.05, 0.1, 0.5):
        assert np.mean(np.array(p) <= level) <= level + 3 * np.sqrt(level / 2000)
    best, p_value = best_of(np.vstack([[0.0, 9.0], rng.normal(size=(19, 2))]))
    assert (best.tolist(), p_value) == ([1], 0.1)  # another one is the first in the other column


def test_in_large_cohorts_permutations_share_the_plans_of_drawn_pairs(monkeypatch):
    samples, target = study([[0.0], [1.5]], n=20)
    truth = run(samples, target)
    solved = []
    begin = shared.euclidean_start
    monkeypatch.setattr(shared, "euclidean_start", lambda c, pairs, **o: solved.append(pairs) or begin(c, pairs, **o))
    monkeypatch.setattr(module, "MOST_PAIRS", 200)
    found = run(samples, target)
    assert [len(pairs) for pairs in solved] == [200] * len(found.p_values)  # once for each component that is tested
    assert found.n_real == truth.n_real == 1
    assert found.p_values[0] == truth.p_values[0] == pytest.approx(1 / 40)
