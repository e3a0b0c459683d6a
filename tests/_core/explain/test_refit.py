"""Genes of a metric that was learned again, against plans of a linear program and sums written out."""

from dataclasses import replace

import numpy as np
import pytest
from _oracles import cloud, lp_plans, random_cohort
from scipy import sparse
from scipy.linalg import orthogonal_procrustes

from scggml._core.explain.refit import Refit
from scggml._core.learn.canonical import Canonical
from scggml._core.learn.covariates import adjust, estimate
from scggml._core.learn.learner import Learner
from scggml._core.learn.pair_weights import weigh_pairs
from scggml._core.samples import Samples, Target, blind
from scggml._core.transport.pairs import all_pairs

LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])
COHORT = random_cohort((4, 5, 3, 4, 3, 4, 5, 3), d=4, labels=LABELS, weighted=True, shift=0.8)
OWNER = np.repeat(np.arange(8), COHORT.sizes)
BATCH = np.array([0, 0, 0, 1, 1, 1, 1, 0])
W = np.random.default_rng(4).normal(size=(2, 4))
REFERENCE = np.random.default_rng(5).normal(size=(2, 4))
NUMBERS = Target("numbers", np.array([0.5, 2, 3, -1, 2.5, 3, 0, 1]), np.array([]))
RNG = np.random.default_rng(3)
GENES = np.maximum(COHORT.points @ RNG.normal(size=(4, 9)) + RNG.normal(size=(len(OWNER), 9)), 0.0)
DEVIATIONS = RNG.uniform(0.5, 2.0, 9)


def target_of(kind, labels=LABELS):
    return NUMBERS if kind == "numbers" else Target(kind, labels.astype(float), np.array(["a", "b", "c"]))


def refit_of(kind="classes", *, genes=GENES, in_batches=False, covariates=None, **options):
    samples = Samples(blind(COHORT), np.arange(8), batch=BATCH if in_batches else None, covariates=covariates)
    learner = Learner(**({"n_comps": 2} | options))
    settled = replace(learner, method=Canonical(ridge=0.1, ridge_scale="feature"), shrinkage=0.1)
    return Refit(samples, target_of(kind), learner, settled, REFERENCE, genes, DEVIATIONS)


def patterns_by_loops(W, weights, genes=GENES, *, squared=False):
    """Sums over the entries of plans: patterns between labels and within them, in units of the move between them."""
    plans = lp_plans(COHORT, W, squared=squared)
    products, squares = np.zeros((2, 2, 9)), np.zeros((2, 2))
    for (p, q), *shares in zip(weights.pairs, weights.between, weights.within, strict=True):
        x, y = cloud(COHORT, p)[0], cloud(COHORT, q)[0]
        for i, j in np.argwhere(plans[p, q] > 0):
            step, change = W @ (x[i] - y[j]), genes[OWNER == p][i] - genes[OWNER == q][j]
            for kind, share in enumerate(shares):
                products[kind] += share * plans[p, q][i, j] * np.outer(step, change)
                squares[kind] += share * plans[p, q][i, j] * step**2
    between, within = products / np.sqrt(squares[0])[:, None] / DEVIATIONS
    more = np.maximum(squares[0] - squares[1], 0.0)
    return between, within, more / more.sum()


CASES = pytest.mark.parametrize(
    ("kind", "in_batches"), [("classes", False), ("classes", True), ("ordered", True), ("numbers", False)]
)


@pytest.mark.parametrize("genes", [GENES, sparse.csr_array(GENES)], ids=["dense", "sparse"])
@pytest.mark.parametrize("squared", [False, True])
@CASES
def test_patterns_are_sums_over_plans_written_out(kind, in_batches, squared, genes):
    refit = refit_of(kind, genes=genes, in_batches=in_batches, squared=squared)
    weights = weigh_pairs(refit.target, batch=BATCH if in_batches else None)
    for found, truth in zip(
        refit.patterns(W, refit.target), patterns_by_loops(W, weights, squared=squared), strict=True
    ):
        np.testing.assert_allclose(found, truth, rtol=1e-7, atol=1e-10)


def test_patterns_of_a_metric_of_nothing_are_nothing():
    refit = refit_of()
    between, within, importance = refit.patterns(0 * W, refit.target)
    for found in (between, within, importance):
        np.testing.assert_array_equal(found, 0.0)


@pytest.mark.parametrize("squared", [False, True])
@CASES
def test_drawn_donors_have_the_patterns_of_their_own_metric_turned_onto_the_first(kind, in_batches, squared):
    refit, drawn = refit_of(kind, in_batches=in_batches, squared=squared), np.array([0, 1, 1, 2, 3, 4, 5, 6])
    learned = refit.settled.learn(refit.samples.take(drawn), refit.target.take(drawn), rng=np.random.default_rng(5))
    turn, _ = orthogonal_procrustes(learned.components.T, REFERENCE.T)
    pairs = all_pairs(8)
    pairs = pairs[drawn[pairs[:, 0]] != drawn[pairs[:, 1]]]  # copies of a sample say nothing about its class
    weights = weigh_pairs(refit.target.take(drawn), batch=BATCH[drawn] if in_batches else None, pairs=pairs)
    weights = replace(weights, pairs=np.sort(drawn[weights.pairs], axis=1))
    patterns, _, importance = patterns_by_loops(turn.T @ learned.components, weights, squared=squared)
    found = refit.of_donors(drawn, 5)
    np.testing.assert_allclose(found[:2], patterns, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(found[2], np.sqrt(importance @ patterns**2), rtol=1e-7)


@pytest.mark.parametrize("kind", ["classes", "ordered", "numbers"])
def test_permuted_labels_are_learned_with_settings_decided_again(kind):
    refit = refit_of(kind)
    values = refit.target.values[np.random.default_rng(0).permutation(8)]
    target = replace(refit.target, values=values)
    components = refit.learner.learn(refit.samples, target, rng=np.random.default_rng(6)).components
    between, within, importance = patterns_by_loops(components, weigh_pairs(target))
    truth = np.sqrt(importance @ np.maximum(between * (between - within), 0.0))
    np.testing.assert_allclose(refit.of_labels(values, 6), truth, rtol=1e-6, atol=1e-9)
    assert not np.allclose(truth, refit.of_labels(refit.target.values, 6))


def without_effects(refit, covariates, target):
    """The same samples and genes after the effects of a covariate, by least squares over the means of samples."""
    means = np.stack([cloud(COHORT, p)[1] @ GENES[OWNER == p] for p in range(8)])
    design = np.column_stack([np.eye(3)[target.values.astype(int)], covariates])
    slope = np.linalg.lstsq(design, means, rcond=None)[0][3]
    genes = GENES - np.outer(covariates - covariates.mean(), slope)[OWNER]
    return replace(refit, samples=adjust(refit.samples, estimate(refit.samples, target)), expression=genes)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_effects_of_covariates_are_taken_off_cells_and_genes_as_the_permuted_labels_say(is_sparse):
    covariates = np.random.default_rng(1).normal(size=(8, 1)) + LABELS[:, None]
    refit = refit_of(covariates=covariates, genes=sparse.csr_array(GENES) if is_sparse else GENES)
    for values in (refit.target.values, refit.target.values[::-1].copy()):
        target = replace(refit.target, values=values)
        plain = without_effects(refit, covariates.ravel(), target)
        for found, truth in zip(refit.patterns(W, target), plain.patterns(W, target), strict=True):
            np.testing.assert_allclose(found, truth, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(refit.of_labels(values, 2), plain.of_labels(values, 2), rtol=1e-7, atol=1e-10)
    found = refit.patterns(W, refit.target)[0]
    assert not np.allclose(found, refit_of().patterns(W, refit.target)[0])


def test_shared_work_changes_no_gene():
    refit = refit_of()
    shared = replace(refit, samples=refit.learner.with_work(refit.samples, rng=np.random.default_rng(0)))
    values = refit.target.values[::-1].copy()
    np.testing.assert_allclose(shared.of_labels(values, 3), refit.of_labels(values, 3), rtol=1e-7, atol=1e-10)
    some = np.array([0, 1, 2, 3, 4, 5])
    np.testing.assert_allclose(shared.of_donors(some, 3), refit.of_donors(some, 3), atol=1e-8)
