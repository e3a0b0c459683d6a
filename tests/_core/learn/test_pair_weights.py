from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest
from _oracles import random_cohort
from hypothesis import given, settings
from hypothesis import strategies as st

from scggml._core.cohort import from_clouds
from scggml._core.learn.canonical import Canonical
from scggml._core.learn.learner import Learner
from scggml._core.learn.pair_weights import some_pairs, weigh_pairs
from scggml._core.samples import Samples, Target, blind, class_target
from scggml._core.transport.pairs import all_pairs


def cohort(values, shift, *, seed=0, n_cells=10, d=4):
    """Samples whose feature 0 follows `shift`; everything else is noise."""
    rng = np.random.default_rng(seed)
    clouds = [rng.normal(size=(n_cells, d)) + np.eye(d)[0] * s for s in shift]
    return from_clouds(clouds, np.asarray(values, dtype=np.int64))


CLASSES = Target("classes", np.array([0.0, 0, 1, 1, 2, 2]), np.array(["a", "b", "c"]))
ORDERED = Target("ordered", CLASSES.values, CLASSES.classes)
NUMBERS = Target("numbers", np.array([1.0, 1.0, 2.0, 5.0, 2.5, 7.0]), np.array([]))


def weights(target, batch=None, **options):
    found = weigh_pairs(target, batch=batch, **options)
    return {tuple(map(int, p)): (w, b) for p, w, b in zip(found.pairs, found.within, found.between, strict=True)}


def weights_by_loops(target, batch=None, counts=None):
    """Every copy of a sample is written out; of two copies of one sample nothing is learned."""
    y, P = target.values, len(target.values)
    counts = np.ones(P, dtype=int) if counts is None else counts
    copies = [p for p in range(P) for _ in range(counts[p])]
    pairs = [(p, q) for i, p in enumerate(copies) for q in copies[i + 1 :] if p != q]
    apart = [pair for pair in pairs if batch is None or batch[pair[0]] == batch[pair[1]]]
    within, between = defaultdict(float), defaultdict(float)
    if target.kind == "numbers":
        gaps = [abs(y[p] - y[q]) for p, q in pairs if y[p] != y[q]] or [1.0]
        for p, q in pairs:
            within[p, q] += np.exp(-(((y[p] - y[q]) / (np.median(gaps) / 2)) ** 2) / 2)
        for p, q in apart:
            between[p, q] += (y[p] - y[q]) ** 2
    else:
        for found, those, alike in ((within, pairs, True), (between, apart, False)):
            kinds = defaultdict(list)
            for p, q in those:
                if (y[p] == y[q]) == alike:
                    kinds[min(y[p], y[q]), max(y[p], y[q])].append((p, q))
            for (one, two), members in kinds.items():
                for pair in members:
                    found[pair] += (1 if alike or target.kind == "classes" else (one - two) ** 2) / len(members)
    sums = [sum(found.values()) or 1.0 for found in (within, between)]
    used = [pair for pair in all_pairs(P).tolist() if within[tuple(pair)] or between[tuple(pair)]]
    return {(p, q): (within[p, q] / sums[0], between[p, q] / sums[1]) for p, q in used}


def same(found, truth):
    assert found.keys() == truth.keys()
    for pair, both in truth.items():
        np.testing.assert_allclose(found[pair], both, rtol=1e-12, atol=1e-15)


BATCH = np.array([0, 1, 0, 0, 1, 0])
COUNTS = np.array([2, 1, 0, 3, 1, 1])


@pytest.mark.parametrize("counts", [None, COUNTS], ids=["once", "bootstrap"])
@pytest.mark.parametrize("batch", [None, BATCH], ids=["no batch", "batch"])
@pytest.mark.parametrize("target", [CLASSES, ORDERED, NUMBERS], ids=["classes", "ordered", "numbers"])
def test_weights_are_those_written_out(target, batch, counts):
    truth = weights_by_loops(target, batch, counts)
    same(weights(target, batch, counts=counts), truth)
    assert sum(w for w, _ in truth.values()) == pytest.approx(1)
    assert sum(b for _, b in truth.values()) == pytest.approx(1)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)), min_size=3, max_size=8),
    st.sampled_from(["classes", "ordered", "numbers"]),
    st.booleans(),
)
@settings(max_examples=80)
def test_any_design_is_weighed_as_written_out(rows, kind, in_batches):
    values, batch, counts = (np.array(column) for column in zip(*rows, strict=True))
    target = Target(kind, values.astype(float), np.array([] if kind == "numbers" else ["a", "b", "c"]))
    batch = batch if in_batches else None
    truth = weights_by_loops(target, batch, counts)
    if in_batches and not any(b for _, b in truth.values()):
        with pytest.raises(ValueError, match="No batch of batch_key holds training samples with different labels"):
            weights(target, batch, counts=counts)
    else:
        same(weights(target, batch, counts=counts), truth)


def test_classes_and_pairs_of_classes_count_equally():
    """Three samples of class 0, one of class 1, two of class 2: 3 + 1 pairs within, 3 + 6 + 2 between."""
    codes = np.array([0, 0, 0, 1, 2, 2])
    found = weigh_pairs(Target("classes", codes.astype(float), np.array(["a", "b", "c"])))
    np.testing.assert_array_equal(found.pairs, all_pairs(6))
    first, second = codes[all_pairs(6)].T
    truth_within = {(0, 0): 1 / 6, (2, 2): 1 / 2}
    truth_between = {(0, 1): 1 / 9, (0, 2): 1 / 18, (1, 2): 1 / 6}
    kinds = list(zip(first, second, strict=True))
    np.testing.assert_allclose(found.within, [truth_within.get(kind, 0.0) for kind in kinds])
    np.testing.assert_allclose(found.between, [truth_between.get(kind, 0.0) for kind in kinds])


def test_weights_of_pairs_do_not_depend_on_the_order_of_samples():
    target = class_target(random_cohort((1,) * 5, labels=(1, 0, 1, 0, 0)))
    found = weigh_pairs(target)
    backwards = weigh_pairs(target, pairs=all_pairs(5)[:, ::-1])
    np.testing.assert_array_equal(backwards.pairs, found.pairs[:, ::-1])
    np.testing.assert_array_equal(backwards.within, found.within)
    np.testing.assert_array_equal(backwards.between, found.between)
    assert found.within.sum() == pytest.approx(1)
    assert found.between.sum() == pytest.approx(1)


def test_classes_of_one_sample_have_no_weight_within():
    found = weigh_pairs(Target("classes", np.array([0.0, 1.0]), np.array(["a", "b"])))
    np.testing.assert_array_equal(found.within, [0.0])
    np.testing.assert_array_equal(found.between, [1.0])


def test_of_some_pairs_each_kind_counts_as_among_all():
    pairs = np.array([[0, 1], [0, 2], [0, 3], [1, 4], [2, 3], [4, 5]])
    found = weights(CLASSES, pairs=pairs)
    assert found.keys() == {*map(tuple, pairs.tolist())}
    assert [found[pair][0] for pair in ((0, 1), (2, 3), (4, 5))] == pytest.approx([1 / 3] * 3)
    assert [found[pair][1] for pair in ((0, 2), (0, 3), (1, 4))] == pytest.approx([1 / 4, 1 / 4, 1 / 2])


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


def test_with_batches_pairs_of_classes_count_equally_among_the_pairs_that_count():
    """Classes a and b meet once in a batch, a and c four times: both meetings weigh one half."""
    target = Target("classes", np.array([0.0, 0, 0, 1, 2, 2]), np.array(["a", "b", "c"]))
    found = weights(target, np.array([0, 1, 1, 0, 1, 1]))
    assert {pair: b for pair, (_, b) in found.items() if b} == pytest.approx(
        {(0, 3): 1 / 2} | dict.fromkeys(product((1, 2), (4, 5)), 1 / 8)
    )


def test_a_batch_that_is_the_label_cannot_be_told_from_it():
    with pytest.raises(ValueError, match="No batch of batch_key holds training samples with different labels"):
        weights(CLASSES, CLASSES.codes)


@pytest.mark.parametrize(
    "learner", [Learner(n_comps=1), Learner(n_comps=1, method=Canonical(ridge=0.05, ridge_scale="mean"), shrinkage=0.4)]
)
def test_a_metric_for_numbers_follows_the_feature_that_they_move(learner):
    values = np.linspace(0, 6, 12)
    made = blind(cohort(np.zeros(12), values))
    target = Target("numbers", values, np.array([]))
    samples = Samples(made, np.arange(12))
    W = learner.learn(samples, target, rng=np.random.default_rng(0)).components
    assert abs(W[0, 0]) > 0.9 * np.linalg.norm(W)


# Many pairs


def kinds_of(codes, pairs):
    return [tuple(sorted(pair)) for pair in codes[pairs].tolist()]


@pytest.mark.parametrize("most", [3, 7, 30, 59, 60, 100])
def test_about_as_many_pairs_as_asked_for_are_drawn_of_all_kinds_alike(most):
    codes = np.array([0] * 2 + [1] * 4 + [2] * 6)
    every, pairs = all_pairs(12), some_pairs(codes, most, np.random.default_rng(0))
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    assert {*map(tuple, pairs)} <= {*map(tuple, every)}
    if most >= len(every):
        np.testing.assert_array_equal(pairs, every)
        return
    there, drawn = Counter(kinds_of(codes, every)), Counter(kinds_of(codes, pairs))
    if most < len(there):  # one pair of each of some kinds
        assert set(drawn.values()) == {1}
        assert len(pairs) == most
        assert sum(codes[p] == codes[q] for p, q in pairs) == most // 2
        return
    assert drawn.keys() == there.keys()
    level = max(drawn.values())
    assert all(drawn[kind] == min(there[kind], level) for kind in there)
    assert most - len(there) < len(pairs) <= most


def test_with_a_thousand_classes_the_pairs_drawn_decide_how_many_there_are():
    codes = np.random.default_rng(0).permutation(2000) % 1000
    pairs = some_pairs(codes, 5000, np.random.default_rng(1))
    assert len(pairs) == 5000
    alike = codes[pairs[:, 0]] == codes[pairs[:, 1]]
    assert alike.sum() == 1000  # each class has one pair of its own
    assert len(np.unique(np.sort(codes[pairs[~alike]], axis=1), axis=0)) == 4000


def test_pairs_are_drawn_only_where_there_are_too_many():
    rng = np.random.default_rng(0)
    some_pairs(np.arange(5) % 2, 10, rng)
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state
