import numpy as np
import pytest

from scggml._core.cohort import from_clouds
from scggml._core.learn.canonical import Canonical
from scggml._core.learn.learner import LearnedMetric
from scggml._core.learn.pair_weights import signal_weights
from scggml._core.samples import Samples, Target, blind
from scggml._core.transport.exact import Exact


def cohort(values, shift, *, seed=0, n_cells=10, d=4):
    """Samples whose feature 0 follows `shift`; everything else is noise."""
    rng = np.random.default_rng(seed)
    clouds = [rng.normal(size=(n_cells, d)) + np.eye(d)[0] * s for s in shift]
    return from_clouds(clouds, np.asarray(values, dtype=np.int64))


CLASSES = Target("classes", np.array([0.0, 0, 1, 1, 2, 2]), np.array(["a", "b", "c"]))
ORDERED = Target("ordered", CLASSES.values, CLASSES.classes)


def weights(target, batch=None):
    made = cohort(target.codes, target.values)
    pairs, within, between = signal_weights(made, target, batch)
    return {tuple(map(int, pair)): (w, b) for pair, w, b in zip(pairs, within, between, strict=True)}


def test_plain_classes_give_the_canonical_variates_of_the_main_function():
    made = cohort(CLASSES.codes, 2 * CLASSES.values)
    weighted = signal_weights(made, CLASSES, None)
    W = Canonical().components(made, 2, solver=Exact(), n_jobs=1, weighted=weighted)
    np.testing.assert_allclose(W, Canonical().components(made, 2, solver=Exact(), n_jobs=1), atol=1e-9)


def test_ordered_classes_weigh_pairs_by_the_square_of_their_steps():
    plain, ordered = weights(CLASSES), weights(ORDERED)
    assert ordered[0, 4][1] / ordered[0, 2][1] == pytest.approx(4.0)
    assert plain[0, 4][1] == plain[0, 2][1]
    assert ordered[0, 1][0] == plain[0, 1][0]


def test_numbers_weigh_pairs_by_their_difference():
    found = weights(Target("numbers", np.array([1.0, 1.0, 2.0, 5.0]), np.array([])))
    assert found[0, 1][1] == 0.0
    assert found[0, 3][1] / found[0, 2][1] == pytest.approx(16.0)
    assert found[0, 1][0] > found[0, 2][0] > found[0, 3][0]


def test_weights_do_not_depend_on_the_unit_of_numbers():
    values = np.array([1.0, 1.5, 2.0, 5.0])
    one, other = (weights(Target("numbers", unit * values, np.array([]))) for unit in (1.0, 365.0))
    for pair, both in one.items():
        np.testing.assert_allclose(other[pair], both)


def test_with_batches_only_samples_of_one_batch_are_taken_apart():
    batch = np.array([0, 1, 0, 1, 0, 1])
    found = weights(CLASSES, batch)
    assert all(batch[p] == batch[q] for (p, q), (_, b) in found.items() if b > 0)
    assert found[0, 1][0] > 0  # what differs between batches of one class is spread within it
    assert (0, 3) not in found  # neither alike nor to be taken apart: not solved at all


def test_a_batch_that_is_the_label_cannot_be_told_from_it():
    with pytest.raises(ValueError, match="No batch of batch_key holds training samples with different labels"):
        weights(CLASSES, CLASSES.codes)


def test_a_metric_for_numbers_follows_the_feature_that_they_move():
    values = np.linspace(0, 6, 12)
    made = blind(cohort(np.zeros(12), values))
    target = Target("numbers", values, np.array([]))
    samples = Samples(made, np.arange(12))
    W = LearnedMetric(n_comps=1).learn(samples, target, rng=np.random.default_rng(0)).components
    assert abs(W[0, 0]) > 0.9 * np.linalg.norm(W)


@pytest.mark.parametrize(("kind", "batch"), [("ordered", None), ("classes", np.zeros(6, dtype=int))])
def test_gradient_steps_on_weighted_pairs_are_refused(kind, batch):
    target = Target(kind, CLASSES.values, CLASSES.classes)
    samples = Samples(blind(cohort(target.codes, target.values)), np.arange(6), batch=batch)
    with pytest.raises(ValueError, match="pass max_iter=0 and a canonical init"):
        LearnedMetric(max_iter=3).learn(samples, target, rng=np.random.default_rng(0))
