import numpy as np
import pytest

from scggml._core.cohort import from_clouds
from scggml._core.learn import bags as module
from scggml._core.learn.bags import Bags, draw_bags, mean_metric
from scggml._core.learn.learner import Learner
from scggml._core.learn.spectrum import Covariance
from scggml._core.samples import Target, class_target, plain_samples


def cohort(n=12, d=6):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    shift = np.eye(d)[0]
    return from_clouds([rng.normal(size=(15, d)) * np.linspace(1, 3, d) + 2 * c * shift for c in labels], labels)


def test_bags_hold_seven_in_ten_donors_of_each_class_with_all_of_their_samples():
    groups = np.arange(40) // 2  # two samples of each donor
    target = Target("classes", (groups % 2).astype(float), np.array(["a", "b"]))
    for bag in draw_bags(target, groups, 5, np.random.default_rng(0)):
        assert len(np.unique(bag)) == len(bag)
        counts = np.bincount(groups[bag], minlength=20)
        assert set(counts) == {0, 2}
        assert (np.bincount(np.flatnonzero(counts) % 2) == 7).all()


@pytest.mark.parametrize("n_donors", [4, 7, 10, 21])
def test_each_donor_is_left_out_about_as_often(n_donors):
    values = np.repeat([0.0, 1.0], n_donors)
    target = Target("classes", values, np.array(["a", "b"]))
    bags = draw_bags(target, np.arange(2 * n_donors), 12, np.random.default_rng(0))
    times = 12 - np.bincount(np.concatenate(bags), minlength=2 * n_donors)
    assert times.min() >= 1
    assert np.ptp(times) <= 1


def test_bags_know_who_was_left_out():
    bags = Bags.of(
        [np.eye(3)[:2], np.eye(3)[:1], np.eye(3)[1:]], [np.array([0, 1]), np.array([1]), np.array([2])], 2, 3
    )
    np.testing.assert_array_equal(bags.without(np.array([0])), [np.diag([1, 0, 0])[:2], np.eye(3)[1:]])
    assert len(bags.without(np.arange(3))) == 0


def test_a_class_keeps_two_samples():
    target = Target("classes", np.array([0.0, 0, 1, 1, 1]), np.array(["a", "b"]))
    for bag in draw_bags(target, np.arange(5), 20, np.random.default_rng(0)):
        assert (np.bincount(target.codes[bag]) >= 2).all()


@pytest.mark.parametrize("k", [1, 3])
def test_the_mean_is_that_of_the_matrices_at_rank_k(k):
    cells, rng = cohort(), np.random.default_rng(1)
    metrics = [rng.normal(size=(k, 6)) * 10.0**b for b in range(4)]
    C = Covariance(cells)(np.eye(6))
    variances = [np.trace(W @ C @ W.T) for W in metrics]
    theta = np.mean(variances) * np.mean([W.T @ W / v for W, v in zip(metrics, variances, strict=True)], axis=0)
    values, vectors = np.linalg.eigh(theta)
    root = vectors * np.sqrt(np.maximum(values, 0))  # theta = root root^T
    axes = np.linalg.eigh(root.T @ C @ root)[1][:, ::-1][:, :k]
    truth = root @ axes @ axes.T @ root.T
    W = mean_metric(metrics, k, cells)
    np.testing.assert_allclose(W.T @ W, truth, atol=1e-10)


def test_a_metric_without_variance_is_left_out():
    cells = cohort()
    W = np.eye(6)[:2]
    found = mean_metric([W, np.zeros((2, 6))], 2, cells)
    scale = np.linalg.norm(found) / np.linalg.norm(W)
    np.testing.assert_allclose(found.T @ found, scale**2 * W.T @ W, atol=1e-12)


@pytest.mark.parametrize("work", [False, True])
def test_bags_of_all_donors_give_the_metric_of_all_donors(monkeypatch, work):
    monkeypatch.setattr(module, "SHARE", 1.0)
    cells = cohort()
    samples, target, learner = plain_samples(cells), class_target(cells), Learner(n_comps=2, shrinkage=0.3)
    if work:
        samples = learner.with_work(samples, rng=np.random.default_rng(0))
    one = learner.learn(samples, target, rng=np.random.default_rng(0)).components
    other = Learner(n_comps=2, shrinkage=0.3, bags=3).learn(samples, target, rng=np.random.default_rng(0)).components
    np.testing.assert_allclose(other.T @ other, one.T @ one, atol=1e-8)


def test_bags_survive_a_file_and_are_checked():
    learner = Learner(bags=12)
    assert Learner.from_params(learner.to_params()) == learner
    assert Learner.from_params(Learner().to_params()).bags is None
    with pytest.raises(ValueError, match="bags=1 must be"):
        Learner(bags=1)
