from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from scggml._core.cohort import from_clouds
from scggml._core.evaluate.conformal import conformal_p_values, smallest_alpha, together
from scggml._core.evaluate.ensemble import Ensemble
from scggml._core.evaluate.methods import ByDistance, Learned
from scggml._core.evaluate.views import fit_rows
from scggml._core.learn.learner import Learner
from scggml._core.samples import Samples, class_target, mean_profiles, plain_samples


@dataclass(frozen=True)
class Means:
    """A ridge regression on the mean cell, which leaves donors out in closed form."""

    knows_held_out: ClassVar[bool] = True

    def fit(self, training, target, *, rng):
        return fit_rows([mean_profiles], training, target)


FAST = Ensemble((("means", Means()),))
METRIC = Ensemble((("metric", ByDistance(Learned(Learner(n_comps=1)), classifier="soft_knn")), ("means", Means())))


FIRST = np.eye(4)[0]


def cohort(rng, labels, *, shift=1.5, n_cells=1):
    return from_clouds([rng.normal(size=(n_cells, 4)) + shift * c * FIRST for c in labels], np.asarray(labels))


@pytest.mark.parametrize(("sizes", "alpha"), [((5, 5), 0.2), ((12, 6), 0.2), ((25, 10), 0.1)])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_sets_hold_each_class_as_often_as_promised(sizes, alpha, shift):
    rng, n = np.random.default_rng(0), 100
    labels = np.repeat([0, 1], sizes)
    for c in (0, 1):
        found = []
        for _ in range(n):
            known, new = cohort(rng, labels, shift=shift), cohort(rng, [c], shift=shift)
            p = conformal_p_values(
                FAST, plain_samples(known), class_target(known), plain_samples(new), seed=1, n_jobs=1
            )
            found.append(p[0, c])
        misses = np.mean(np.array(found) <= alpha)
        assert misses <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / n)
        # not by promising too much: p-values are uniform on the multiples of 1 / (n + 1)
        assert misses >= np.floor(alpha * (sizes[c] + 1)) / (sizes[c] + 1) - 3 * np.sqrt(alpha * (1 - alpha) / n)


@pytest.mark.parametrize("ensemble", [FAST, METRIC])
def test_a_clear_sample_has_one_class_and_a_strange_one_none(ensemble):
    rng = np.random.default_rng(0)
    known = cohort(rng, [0, 1] * 12, shift=8.0, n_cells=10)
    new = from_clouds([rng.normal(size=(10, 4)), rng.normal(size=(10, 4)) + 8.0 * FIRST])
    p = conformal_p_values(ensemble, plain_samples(known), class_target(known), plain_samples(new), seed=0, n_jobs=1)
    assert (p[[0, 1], [0, 1]] > 0.1).all()
    assert (p[[0, 1], [1, 0]] <= 1 / 13 + 1e-12).all()


@pytest.mark.parametrize("ensemble", [FAST, METRIC])
def test_the_order_of_known_samples_and_of_new_ones_does_not_matter(ensemble):
    rng = np.random.default_rng(0)
    known, new = cohort(rng, [0, 1] * 8, n_cells=6), cohort(rng, [0, 1, 1], n_cells=6)
    samples, target = plain_samples(known), class_target(known)
    p = conformal_p_values(ensemble, samples, target, plain_samples(new), seed=0, n_jobs=1)
    order, swap = rng.permutation(16), np.array([2, 0, 1])
    other = conformal_p_values(
        ensemble, samples.take(order), target.take(order), plain_samples(new).take(swap), seed=0, n_jobs=1
    )
    np.testing.assert_allclose(other, p[swap])


def test_samples_of_one_donor_count_as_one():
    rng = np.random.default_rng(0)
    known = cohort(rng, np.repeat([0, 1], 12))
    samples = Samples(plain_samples(known).cohort, np.arange(24) // 3)  # four donors of each class
    p = conformal_p_values(FAST, samples, class_target(known), plain_samples(cohort(rng, [0])), seed=0, n_jobs=1)
    np.testing.assert_allclose(15 * p, np.round(15 * p))  # each of three samples has a third
    assert p.min() >= 1 / 5


def test_a_donor_with_one_sample_is_compared_with_samples_of_donors_with_several():
    """The mean of a donor's samples is less extreme than a sample, by which new donors would look strange."""
    rng, n, alpha = np.random.default_rng(0), 150, 0.2
    labels, found = np.repeat([0, 1], 9 * 6), []
    for _ in range(n):
        known, new = cohort(rng, labels, shift=1.0), cohort(rng, [0])
        samples = Samples(plain_samples(known).cohort, np.arange(len(labels)) // 6)
        p = conformal_p_values(FAST, samples, class_target(known), plain_samples(new), seed=0, n_jobs=1)
        found.append(p[0, 0])
    assert np.mean(np.array(found) <= alpha) <= alpha + 2 * np.sqrt(alpha * (1 - alpha) / n)


def test_too_few_donors_rule_nothing_out():
    known = from_clouds([np.full((2, 1), float(i)) for i in (0, 1, 10)], np.array([0, 0, 1]))
    only = Ensemble(METRIC.views[:1])
    new = plain_samples(from_clouds([np.zeros((2, 1))]))
    p = conformal_p_values(only, plain_samples(known), class_target(known), new, seed=0, n_jobs=1)
    assert p[0, 0] == 1.0


def test_the_smallest_error_follows_from_the_donors_of_the_smallest_class():
    target = class_target(cohort(np.random.default_rng(0), np.repeat([0, 1], [9, 6])))
    assert smallest_alpha(target, np.arange(15)) == pytest.approx(1 / 7)
    assert smallest_alpha(target, np.arange(15) // 3) == pytest.approx(1 / 3)


def test_new_samples_are_donors_and_batches_of_their_own():
    rng = np.random.default_rng(0)
    known, new = (plain_samples(cohort(rng, [0, 1], n_cells=3)) for _ in range(2))
    known = Samples(known.cohort, known.groups, composition=np.eye(2), batch=np.array([0, 1]), everything=known.cohort)
    new = Samples(new.cohort, new.groups, composition=np.eye(2)[::-1])
    both = together(known, new)
    assert both.groups.tolist() == [0, 1, 2, 3]
    assert both.batch.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(both.composition, [[1, 0], [0, 1], [0, 1], [1, 0]])
    np.testing.assert_array_equal(both.everything.points, both.cohort.points)
