"""Genes of a metric that was learned again, against plans of a linear program and sums written out."""

from dataclasses import replace

import numpy as np
import pytest
from _oracles import cloud, lp_plans, random_cohort

from scggml._core.explain.refit import Refit
from scggml._core.learn.canonical import Canonical
from scggml._core.learn.covariates import adjust, estimate
from scggml._core.learn.learner import Learner
from scggml._core.learn.pair_weights import weigh_pairs
from scggml._core.samples import Samples, Target, blind

LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])
COHORT = random_cohort((4, 5, 3, 4, 3, 4, 5, 3), d=4, labels=LABELS, weighted=True, shift=0.8)
BATCH = np.array([0, 0, 0, 1, 1, 1, 1, 0])
AXES = np.linalg.qr(np.random.default_rng(3).normal(size=(9, 4)))[0]
W = np.random.default_rng(4).normal(size=(2, 4))
NUMBERS = Target("numbers", np.array([0.5, 2, 3, -1, 2.5, 3, 0, 1]), np.array([]))


def target_of(kind, labels=LABELS):
    return NUMBERS if kind == "numbers" else Target(kind, labels.astype(float), np.array(["a", "b", "c"]))


def refit_of(kind="classes", *, axes=None, in_batches=False, covariates=None, **options):
    samples = Samples(blind(COHORT), np.arange(8), batch=BATCH if in_batches else None, covariates=covariates)
    learner = Learner(**({"n_comps": 2} | options))
    settled = replace(learner, method=Canonical(ridge=0.1, ridge_scale="feature"), shrinkage=0.1)
    return Refit(samples, target_of(kind), learner, settled, axes)


def excess_by_loops(target, batch, axes, *, squared):
    """Each entry of each plan pays T |W move|, of which gene g bears the part (W move) . (W_g move_g) of the square."""
    axes = np.eye(4) if axes is None else axes
    loadings, weights = W @ axes.T, weigh_pairs(target, batch=batch)
    plans = lp_plans(COHORT, W, squared=squared)
    parts, apart = np.zeros(len(axes)), 0.0
    for (p, q), between, within in zip(weights.pairs, weights.between, weights.within, strict=True):
        x, y = cloud(COHORT, p)[0], cloud(COHORT, q)[0]
        for i, j in np.argwhere(plans[p, q] > 0):
            mass, move = plans[p, q][i, j], axes @ (x[i] - y[j])
            whole = loadings @ move
            shares = [whole @ (loadings[:, g] * move[g]) for g in range(len(axes))]
            length = np.linalg.norm(whole)
            parts += (between - within) * mass * np.array(shares) / (1 if squared else length)
            apart += between * mass * length ** (2 if squared else 1)
    return parts / apart


@pytest.mark.parametrize("axes", [None, AXES], ids=["features", "genes"])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize(
    ("kind", "in_batches"), [("classes", False), ("classes", True), ("ordered", True), ("numbers", False)]
)
def test_the_excess_of_genes_is_the_sum_over_plans_written_out(kind, in_batches, squared, axes):
    refit = refit_of(kind, axes=axes, in_batches=in_batches, squared=squared)
    truth = excess_by_loops(refit.target, BATCH if in_batches else None, axes, squared=squared)
    found = refit.excess_under(W, refit.target)
    np.testing.assert_allclose(found, truth, rtol=1e-7, atol=1e-10)
    assert found.sum() < 1


def test_the_excess_of_a_metric_of_nothing_is_nothing():
    refit = refit_of()
    np.testing.assert_array_equal(refit.excess_under(0 * W, refit.target), np.zeros(4))


@pytest.mark.parametrize("axes", [None, AXES], ids=["features", "genes"])
def test_loadings_are_those_of_the_settled_learner_on_these_samples(axes):
    refit, drawn = refit_of(axes=axes), np.array([0, 1, 1, 2, 3, 4, 5, 7])
    truth = refit.settled.learn(
        refit.samples.take(drawn), refit.target.take(drawn), rng=np.random.default_rng(5)
    ).components
    found = refit.loadings(drawn, 5)
    np.testing.assert_allclose(found, truth if axes is None else truth @ axes.T)
    assert found.shape == (2, 4 if axes is None else 9)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_permuted_labels_are_learned_with_settings_decided_again(kind):
    refit = refit_of(kind)
    values = refit.target.values[np.random.default_rng(0).permutation(8)]
    target = replace(refit.target, values=values)
    components = refit.learner.learn(refit.samples, target, rng=np.random.default_rng(6)).components
    np.testing.assert_allclose(refit.excess(values, 6), refit.excess_under(components, target))
    assert not np.allclose(refit.excess(values, 6), refit.excess(refit.target.values, 6))


def test_effects_of_covariates_are_taken_off_as_the_permuted_labels_say():
    covariates = np.random.default_rng(1).normal(size=(8, 1)) + LABELS[:, None]
    refit = refit_of(covariates=covariates)
    for values in (refit.target.values, refit.target.values[::-1].copy()):
        target = replace(refit.target, values=values)
        plain = replace(refit, samples=adjust(refit.samples, estimate(refit.samples, target)))
        np.testing.assert_allclose(refit.excess_under(W, target), plain.excess_under(W, target))
        np.testing.assert_allclose(refit.excess(values, 2), plain.excess(values, 2), rtol=1e-7, atol=1e-10)
    found = refit.excess_under(W, refit.target)
    assert not np.allclose(found, refit_of().excess_under(W, refit.target))


def test_shared_work_changes_no_gene():
    refit = refit_of(axes=AXES)
    shared = replace(refit, samples=refit.learner.with_work(refit.samples, rng=np.random.default_rng(0)))
    values = refit.target.values[::-1].copy()
    np.testing.assert_allclose(shared.excess(values, 3), refit.excess(values, 3), rtol=1e-7, atol=1e-10)
    some = np.array([0, 1, 2, 3, 4, 5])
    np.testing.assert_allclose(shared.loadings(some, 3), refit.loadings(some, 3), atol=1e-8)
