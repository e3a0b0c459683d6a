import numpy as np
import pytest

import scggml as sg
from scggml._core.cohort import from_clouds
from scggml._core.evaluate.bagged import out_of_bag
from scggml._core.evaluate.calibrated import Calibrated
from scggml._core.evaluate.methods import ByDistance, FixedMetric, Learned
from scggml._core.learn.bags import mean_metric
from scggml._core.learn.learner import shrunk
from scggml._core.samples import Samples, Target, class_target, labelled, plain_samples
from scggml._core.transport.ground import GroundMetric, cross_distances
from scggml._core.votes import soft_votes

LEARNER = sg.tl.Learner(method=sg.tl.Canonical(ridge=0.05), n_comps=2, shrinkage=0.4, bags=8)
METHOD = ByDistance(Learned(LEARNER), classifier="soft_knn")


def pairs_of_samples(n_donors=10, seed=0):
    """Two samples of each donor."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_donors).repeat(2) % 2
    clouds = [rng.normal(size=(15, 4)) + 1.5 * label * np.eye(4)[0] for label in labels]
    cohort = from_clouds(clouds, labels)
    return Samples(plain_samples(cohort).cohort, np.arange(n_donors).repeat(2)), class_target(cohort)


@pytest.mark.parametrize("work", [False, True])
def test_each_donor_is_predicted_from_the_others_by_the_bags_without_it(work):
    samples, target = pairs_of_samples()
    if work:
        samples = LEARNER.with_work(samples, rng=np.random.default_rng(0))
    found = out_of_bag(METHOD, samples, target, rng=np.random.default_rng(3))
    fit = LEARNER.learn(samples, target, rng=np.random.default_rng(3))
    for donor in range(10):
        own, rest = np.flatnonzero(samples.groups == donor), np.flatnonzero(samples.groups != donor)
        metrics = [W for W, drawn in zip(fit.bags.metrics, fit.bags.drawn, strict=True) if not drawn[own].any()]
        assert 0 < len(metrics) < 8
        others, labels = samples.take(rest), target.take(rest)
        W = shrunk(mean_metric(metrics, 2, labelled(others.cohort, labels)), 0.4, others, labels)[0]
        D = cross_distances(
            GroundMetric(W, "euclidean"), samples.take(own).cohort, others.cohort, solver=METHOD.solver, among=False
        )
        truth = soft_votes(np.argsort(D, axis=1, kind="stable"), labels.codes, 2)
        np.testing.assert_allclose(found[own], truth, atol=1e-12)


def test_calibration_uses_them():
    samples, target = pairs_of_samples()
    found = Calibrated(METHOD, n_repeats=3).fit(samples, target, rng=np.random.default_rng(0))
    assert found.held_out.shape == (1, 20, 2)  # one for each bag that was left out, not one for each repeat


@pytest.mark.parametrize(
    ("method", "n_donors"), [(ByDistance(FixedMetric("euclidean")), 10), (METHOD, 6)], ids=["no bags", "few donors"]
)
def test_folds_are_used_where_bags_cannot_be(method, n_donors):
    samples, target = pairs_of_samples(n_donors)
    assert out_of_bag(method, samples, target, rng=np.random.default_rng(0)) is None
    found = Calibrated(method, n_splits=3, n_repeats=2).fit(samples, target, rng=np.random.default_rng(0))
    assert found.held_out.shape == (2, 2 * n_donors, 2)


def test_numbers_are_predicted_too():
    samples, _ = pairs_of_samples(12)
    target = Target("numbers", samples.groups.astype(float), np.array([], dtype=str))
    found = out_of_bag(METHOD, samples, target, rng=np.random.default_rng(0))
    assert found.shape == (24, 1)
    assert np.isfinite(found).all()
