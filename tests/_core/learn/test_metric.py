"""A metric by its formula, and the ends of its components by the means of samples, written out."""

from dataclasses import replace

import numpy as np
import ot
import pandas as pd
import pytest
from _oracles import cost_by_loops, random_cohort, theta
from scipy import sparse

from scggml._core.learn.metric import Fit, Metric, checked_clouds, oriented
from scggml._core.metric import canonical_form
from scggml._core.samples import Target

K, D = 2, 5
W = np.random.default_rng(1).standard_normal((K, D))
COMPONENTS, VALUES = canonical_form(W)
METRICS = {squared: Metric(components=COMPONENTS, singular_values=VALUES, squared=squared) for squared in (False, True)}
RNG = np.random.default_rng(0)
CLOUDS = [RNG.normal(size=(n, D)) + p for p, n in enumerate([3, 6, 1, 4])]


# A metric


@pytest.mark.parametrize("squared", [False, True])
def test_the_distance_of_points_is_that_of_the_formula(squared):
    x, y = CLOUDS[0], CLOUDS[1]
    truth = cost_by_loops(x, y, W, squared=squared)
    metric = METRICS[squared]
    np.testing.assert_allclose(metric.distance(x[:, None], y), truth, rtol=1e-12)
    np.testing.assert_allclose(metric.distance(x[0], y[1]), truth[0, 1], rtol=1e-12)
    assert metric.distance(x[0], y[1]).shape == ()
    assert metric.distance(x[0], y).shape == (6,)
    assert metric.distance(list(x[0]), list(x[0])) == 0
    assert metric.cost == ("sqeuclidean" if squared else "euclidean")


def test_a_squared_metric_gives_the_squares_of_the_other():
    x, y = CLOUDS[1][:3], CLOUDS[0]
    np.testing.assert_allclose(METRICS[True].distance(x, y), METRICS[False].distance(x, y) ** 2, rtol=1e-12)


def test_points_are_embedded_by_the_components():
    x = RNG.normal(size=(2, 3, D))
    np.testing.assert_allclose(METRICS[False].transform(x), np.einsum("abj,ij->abi", x, COMPONENTS))
    assert METRICS[False].transform(CLOUDS[0].astype(np.float32)).dtype == np.float64
    np.testing.assert_allclose(METRICS[False].transform([1, 0, 0, 0, 0]), COMPONENTS[:, 0])


@pytest.mark.parametrize("x", [np.zeros((3, 4)), np.zeros(D - 1), 3.0])
def test_points_of_other_features_are_refused(x):
    with pytest.raises(ValueError, match=r"X has shape .*; its last axis must be the 5 features of the metric"):
        METRICS[False].transform(x)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("single", [False, True])
def test_distances_of_clouds_are_those_of_pot(squared, single):
    clouds = [x.astype(np.float32) for x in CLOUDS] if single else CLOUDS
    truth = np.zeros((4, 4))
    for p, x in enumerate(clouds):
        for q, y in enumerate(clouds):
            cost = cost_by_loops(x.astype(float), y.astype(float), W, squared=squared)
            truth[p, q] = 0 if p == q else ot.emd2(ot.unif(len(x)), ot.unif(len(y)), cost)
    found = METRICS[squared].distances(clouds)
    np.testing.assert_allclose(found, truth, rtol=1e-9)
    np.testing.assert_array_equal(found, found.T)


def test_shares_rank_and_importance_are_those_of_the_singular_values():
    metric = METRICS[False]
    shares = VALUES**2 / (VALUES**2).sum()
    np.testing.assert_allclose(metric.shares, shares)
    assert metric.effective_rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    np.testing.assert_allclose(metric.importance, np.diag(theta(W)))


# Clouds


def test_clouds_are_arrays_of_single_or_double_precision():
    found = checked_clouds([[[1, 2]], np.ones((3, 2), np.float32), np.ones((2, 2), np.float16), np.ones((1, 2))])
    assert [x.dtype for x in found] == [np.float64, np.float32, np.float32, np.float64]
    assert [x.shape for x in found] == [(1, 2), (3, 2), (2, 2), (1, 2)]
    assert checked_clouds([np.full((1, 2), 1e30, np.float32)])[0].dtype == np.float64  # squares must be finite
    assert len(checked_clouds(np.ones((4, 3, 2)))) == 4
    assert len(checked_clouds((np.ones((3, 2)),))) == 1


@pytest.mark.parametrize(
    ("clouds", "text"),
    [
        ([], r"clouds is a list of arrays \(n_cells, n_features\), one for each sample"),
        ("cells", r"clouds is a list of arrays"),
        (None, r"clouds is a list of arrays"),
        ({"a": np.ones((2, 2))}, r"clouds is a list of arrays"),
        ([np.ones((2, 2)), np.ones(2)], r"clouds\[1\] has shape \(2,\) and dtype float64; numbers of shape"),
        ([np.ones((0, 2))], r"clouds\[0\] has shape \(0, 2\)"),
        ([np.ones((2, 0))], r"clouds\[0\] has shape \(2, 0\)"),
        ([np.array([["a"]])], r"clouds\[0\] has shape \(1, 1\) and dtype <U1"),
        ([np.ones((2, 2), bool)], r"clouds\[0\] has shape \(2, 2\) and dtype bool"),
        ([sparse.csr_array(np.eye(2))], r"clouds\[0\] is sparse \(csr_array\); pass numbers"),
        ([np.ones((2, 2)), np.ones((2, 3))], r"clouds\[1\] has 3 features, clouds\[0\] has 2\."),
        ([np.ones((2, 2)), np.array([[1, np.nan]])], r"clouds\[1\] has values that are NaN or infinite"),
        ([np.array([[np.inf, 1]])], r"clouds\[0\] has values that are NaN or infinite"),
    ],
)
def test_what_is_wrong_with_a_cloud_is_named(clouds, text):
    with pytest.raises(ValueError, match=text):
        checked_clouds(clouds)


def test_clouds_of_other_features_than_the_metric_are_refused():
    with pytest.raises(ValueError, match="clouds have 3 features; the metric has 5 features"):
        METRICS[False].distances([np.ones((2, 3))] * 2)


# Tables

NAMES = ["d", "a", "c", "e", "b"]
NAMED = Metric(components=COMPONENTS, singular_values=VALUES, features=NAMES)
TABLES = [pd.DataFrame(x, columns=NAMES) for x in CLOUDS]


@pytest.mark.parametrize("metric", [NAMED, METRICS[False]], ids=["named", "nameless"])
def test_columns_of_tables_are_matched_by_name(metric):
    turned = [table[sorted(NAMES)] for table in TABLES[1:]]
    np.testing.assert_array_equal(metric.distances([TABLES[0], *turned]), METRICS[False].distances(CLOUDS))
    x, y = TABLES[0].iloc[0], TABLES[1].iloc[1, ::-1]
    assert metric.distance(x, y) == METRICS[False].distance(CLOUDS[0][0], CLOUDS[1][1])
    np.testing.assert_array_equal(metric.distance(TABLES[0], [x, x[::-1], x])[0], 0)


def test_a_metric_with_names_takes_tables_in_any_order_and_arrays_in_its_own():
    truth = METRICS[False].transform(CLOUDS[0])
    for X in (CLOUDS[0], TABLES[0], TABLES[0][sorted(NAMES)], [row for _, row in TABLES[0][sorted(NAMES)].iterrows()]):
        np.testing.assert_array_equal(NAMED.transform(X), truth)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: NAMED.transform(TABLES[0].rename(columns={"a": "x"})),
            "^X does not have the 5 .* of the metric: it lack",
        ),
        (
            lambda: NAMED.transform(pd.DataFrame(CLOUDS[0])),
            r"^X does not .* or X\.to_numpy\(\) to match them by position",
        ),
        (lambda: NAMED.distance(CLOUDS[0][0], TABLES[0].iloc[0, 1:]), "^y does not have .* it lacks 'd'"),
        (lambda: NAMED.distances([CLOUDS[0], TABLES[1].iloc[:, 1:]]), r"^clouds\[1\] does not have .* it lacks 'd'"),
        (
            lambda: METRICS[True].distances([TABLES[0], TABLES[1].iloc[:, 1:]]),
            "features of the first table: it lacks 'd'",
        ),
    ],
)
def test_tables_with_other_columns_are_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()


# Options


def test_a_metric_of_lists_is_one_of_arrays():
    found = Metric(components=COMPONENTS.tolist(), singular_values=VALUES.tolist(), features=pd.Index(NAMES))
    np.testing.assert_array_equal(found.transform(CLOUDS[0]), METRICS[False].transform(CLOUDS[0]))
    assert found.features.tolist() == NAMES


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"components": COMPONENTS * np.nan}, ValueError, "Metric: components has 10 values that are NaN or infinite"),
        (
            {"components": COMPONENTS[0]},
            ValueError,
            r"Metric: components has shape \(5,\); pass an array \(k, n_features",
        ),
        ({"components": "W"}, ValueError, "Metric: components has shape .* and dtype <U1"),
        ({"singular_values": VALUES[:1]}, ValueError, r"Metric: singular_values has shape \(1,\) .* pass 2 numbers"),
        ({"singular_values": -VALUES}, ValueError, "pass 2 numbers of at least 0, the norms of the rows"),
        ({"squared": "no"}, TypeError, "Metric: squared='no' must be True or False"),
        (
            {"features": ["a"]},
            ValueError,
            r"Metric: features has shape \(1,\); pass a list of the names of the 5 features",
        ),
        ({"features": "abcde"}, ValueError, r"Metric: features has shape \(\); pass"),
    ],
)
def test_options_of_a_metric_are_checked_when_it_is_made(options, error, text):
    with pytest.raises(error, match=text):
        Metric(**({"components": COMPONENTS, "singular_values": VALUES} | options))


def test_points_that_do_not_pair_up_are_named_with_their_shapes():
    with pytest.raises(
        ValueError, match=r"x has shape \(3, 5\) and y has \(6, 5\), which do not pair up; pass as many"
    ):
        METRICS[False].distance(CLOUDS[0], CLOUDS[1])


# Which way components point

COHORT = random_cohort((3, 4, 5, 3, 4, 5, 2, 3), d=D, labels=(0, 1, 2, 0, 1, 2, 0, 1), weighted=True, seed=3)
CODES = COHORT.labels


def classes(reference=0, codes=CODES, kind="classes"):
    return Target(kind, codes.astype(float), np.array(["a", "b", "c"])[: codes.max() + 1], reference)


def means_by_loops(components):
    """(P, k) weighted mean of the projected cells of each sample."""
    out = np.zeros((COHORT.n_samples, len(components)))
    for p in range(COHORT.n_samples):
        for i in range(COHORT.offsets[p], COHORT.offsets[p + 1]):
            out[p] += COHORT.weights[i] * (components @ COHORT.points[i])
    return out


def class_means_by_loops(components, codes):
    means = means_by_loops(components)
    return np.array([[means[codes == c, i].mean() for c in np.unique(codes)] for i in range(len(components))])


TARGETS = {
    "classes": classes(),
    "of another reference": classes(2),
    "two classes": classes(codes=CODES % 2),
    "two classes, the other reference": classes(1, codes=CODES % 2),
    "ordered": classes(kind="ordered"),
    "numbers": Target("numbers", np.array([3.0, -1, 0.5, 8, 2, 2, -4, 1]), np.array([])),
}


@pytest.mark.parametrize("flip", [np.eye(3), -np.eye(3), np.linalg.qr(RNG.normal(size=(3, 3)))[0]])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_form_is_canonical_whatever_the_signs_it_came_with(target, flip):
    V = np.random.default_rng(2).standard_normal((3, D))
    found = oriented(flip @ V, COHORT, target)
    truth = oriented(V, COHORT, target)
    canonical, values = canonical_form(V)
    np.testing.assert_allclose(found[1], values)
    np.testing.assert_allclose(np.abs(found[0]), np.abs(canonical), atol=1e-12)
    np.testing.assert_allclose(found[0], truth[0], atol=1e-12)
    np.testing.assert_allclose(found[2], truth[2], atol=1e-12)
    assert found[3] == truth[3]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reference", [0, 1])
def test_of_two_classes_the_reference_is_at_the_negative_end(reference, seed):
    V, codes = np.random.default_rng(seed).standard_normal((3, D)), CODES % 2
    components, _, class_means, names = oriented(V, COHORT, classes(reference, codes=codes))
    np.testing.assert_allclose(class_means, class_means_by_loops(components, codes), rtol=1e-10, atol=1e-12)
    assert (class_means[:, reference] < class_means[:, 1 - reference]).all()
    assert names == ("ba"[reference],) * 3


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reference", [0, 1, 2])
def test_of_more_classes_the_one_farthest_from_the_reference_is_above_it(reference, seed):
    V = np.random.default_rng(seed).standard_normal((3, D))
    components, _, class_means, names = oriented(V, COHORT, classes(reference))
    np.testing.assert_allclose(class_means, class_means_by_loops(components, CODES), rtol=1e-10, atol=1e-12)
    for means, name in zip(class_means, names, strict=True):
        away = means - means[reference]
        assert away[np.abs(away).argmax()] > 0
        assert name == "abc"[means.argmax()]


@pytest.mark.parametrize("seed", range(4))
def test_the_higher_of_ordered_labels_are_at_the_positive_end(seed):
    V = np.random.default_rng(seed).standard_normal((3, D))
    components, _, class_means, names = oriented(V, COHORT, classes(kind="ordered"))
    np.testing.assert_allclose(class_means, class_means_by_loops(components, CODES), rtol=1e-10, atol=1e-12)
    means = means_by_loops(components)
    assert all(np.corrcoef(CODES, column)[0, 1] > 0 for column in means.T)
    assert names == tuple("abc"[row.argmax()] for row in class_means)


@pytest.mark.parametrize("seed", range(4))
def test_of_numbers_slope_and_correlation_are_noted_and_positive(seed):
    V, numbers = np.random.default_rng(seed).standard_normal((3, D)), TARGETS["numbers"]
    components, _, found, names = oriented(V, COHORT, numbers)
    means = means_by_loops(components)
    slopes = [np.polyfit(numbers.values, column, 1)[0] for column in means.T]
    correlations = [np.corrcoef(numbers.values, column)[0, 1] for column in means.T]
    np.testing.assert_allclose(found, np.stack([slopes, correlations], axis=1), rtol=1e-9)
    assert (found > 0).all()
    assert names == ("higher",) * 3


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_where_the_labels_say_nothing_the_largest_loading_is_positive(target):
    same = replace(COHORT, points=np.tile(COHORT.points[:1], (len(COHORT.points), 1)))
    components, _, noted, names = oriented(W, same, target)
    np.testing.assert_allclose(components, COMPONENTS, atol=1e-12)
    assert np.isfinite(noted).all()
    assert len(names) == K
    if target.kind == "numbers":
        np.testing.assert_allclose(noted, 0.0, atol=1e-12)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_components_of_nothing_have_no_direction_and_no_nan(target):
    components, values, noted, names = oriented(np.vstack([W[:1], 0 * W]), COHORT, target)
    np.testing.assert_allclose(components[1:], 0.0, atol=1e-12)
    np.testing.assert_allclose(values[1:], 0.0, atol=1e-12)
    np.testing.assert_allclose(noted[1:], 0.0, atol=1e-12)
    assert len(names) == 3


def test_only_the_limit_of_passes_means_that_learning_went_on():
    given = {
        "components": COMPONENTS,
        "singular_values": VALUES,
        "class_means": np.zeros((2, 2)),
        "oriented_to": ("a",),
        "learned_share": np.ones(2),
    }
    stops = ("converged", "closed form", "max_iter", "no active triplet")
    assert [Fit(stop=stop, **given).converged for stop in stops] == [True, True, False, True]
