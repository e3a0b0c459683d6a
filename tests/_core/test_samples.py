"""What labels mean, what a method may see of samples, and what is refused."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from _oracles import random_cohort

from scggml._core.cohort import from_clouds
from scggml._core.ids import array_target
from scggml._core.samples import (
    LABEL_KINDS,
    LabelKind,
    Samples,
    Target,
    blind,
    check_design,
    class_target,
    join,
    labelled,
    make_target,
    mean_profiles,
    plain_samples,
)

THREE = ["low", "high", "mid", "low", "high", "mid"]


def target(names, numbers=None, levels=None, *, kind="auto", has_order=False, reference=None):
    names = np.array([str(name) for name in names])
    levels = sorted(set(names.tolist())) if levels is None else levels
    numbers = None if numbers is None else np.asarray(numbers, dtype=float)
    return make_target(names, numbers, levels, kind=kind, has_order=has_order, reference=reference, what="the column")


def same(found, kind, values, classes, reference=0):
    assert found.kind == kind
    assert found.values.dtype == np.float64
    np.testing.assert_array_equal(found.values, values)
    assert found.classes.tolist() == list(classes)
    assert found.reference == reference


# Kinds


def test_text_is_classes_in_the_order_of_their_column():
    same(target(THREE), "classes", [1, 0, 2, 1, 0, 2], ["high", "low", "mid"])
    same(target(THREE, levels=["mid", "low", "high"]), "classes", [1, 2, 0, 1, 2, 0], ["mid", "low", "high"])


def test_a_column_with_an_order_is_ordered_where_it_has_three_levels():
    levels = ["low", "mid", "high"]
    same(target(THREE, levels=levels, has_order=True), "ordered", [0, 2, 1, 0, 2, 1], levels)
    same(target(["b", "a", "b", "a"], levels=["b", "a"], has_order=True), "classes", [0, 1, 0, 1], ["b", "a"])
    same(target(THREE, levels=levels, has_order=True, kind="classes"), "classes", [0, 2, 1, 0, 2, 1], levels)
    same(target(["b", "a"], levels=["b", "a"], has_order=True, kind="ordered"), "ordered", [0, 1], ["b", "a"])


def test_numbers_of_two_values_are_classes_and_of_more_they_are_what_is_said():
    two, four = [1, 0, 1, 0], [2.5, 1, 10, 2.5, 3]
    same(target(two, two, ["0", "1"]), "classes", two, ["0", "1"])
    levels = ["1", "2.5", "3", "10"]
    names = ["2.5", "1", "10", "2.5", "3"]
    same(target(names, four, levels, kind="numbers"), "numbers", four, [])
    same(target(names, four, levels, kind="ordered"), "ordered", [1, 0, 3, 1, 2], levels)
    same(target(names, four, levels, kind="classes"), "classes", [1, 0, 3, 1, 2], levels)
    with pytest.raises(ValueError, match="the column holds numbers with 4 different values") as error:
        target(names, four, levels)
    message = str(error.value)
    assert "(1 to 10)" in message
    assert all(f'label_kind="{kind}"' in message for kind in get_args(LabelKind))


def test_listed_levels_are_an_order_and_those_that_do_not_occur_are_left_out():
    levels = ["none", "low", "mid", "high"]
    same(target(THREE, kind=levels), "ordered", [0, 2, 1, 0, 2, 1], levels[1:])
    same(target(THREE, kind=np.array(levels)), "ordered", [0, 2, 1, 0, 2, 1], levels[1:])
    same(target(THREE, kind=tuple(levels), has_order=True), "ordered", [0, 2, 1, 0, 2, 1], levels[1:])
    same(target([3, 1, 3, 1], [3, 1, 3, 1], ["1", "3"], kind=[3, 1]), "ordered", [0, 1, 0, 1], ["3", "1"])


def test_an_order_is_never_taken_from_the_alphabet():
    with pytest.raises(
        ValueError, match=r'label_kind="ordered", but the column says nothing about the order of'
    ) as error:
        target(THREE, kind="ordered")
    assert "label_kind=['high', 'low', 'mid'] in the right order" in str(error.value)


def test_a_reference_is_named_among_classes():
    same(target(THREE, reference="mid"), "classes", [1, 0, 2, 1, 0, 2], ["high", "low", "mid"], reference=2)
    same(target(THREE, reference="high"), "classes", [1, 0, 2, 1, 0, 2], ["high", "low", "mid"], reference=0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "ordinal"}, r"label_kind='ordinal' is not known; choose from \('auto', 'classes', 'ordered', 'numb"),
        ({"kind": ["low", "high"]}, r"label_kind=\['low', 'high'\] lists the levels of the column .* it lacks 'mid'\."),
        ({"kind": ["low", "mid", "low", "high"]}, r"lists the levels of the column .* it names one twice"),
        ({"kind": []}, r"it lacks 'low', 'high', 'mid'\."),
        ({"kind": "numbers"}, r'label_kind="numbers", but the column does not hold numbers'),
        (
            {"reference": "well"},
            r"reference_class='well' is not a class of the column, which has 'high', 'low', 'mid'\.",
        ),
        (
            {"kind": ["low", "mid", "high"], "reference": "mid"},
            r"reference_class='mid' has no meaning here: ordered classes are compared with the lowest one",
        ),
        (
            {"levels": ["low", "mid", "high"], "has_order": True, "reference": "high"},
            r"reference_class='high' has no meaning here: ordered",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(options, text):
    with pytest.raises(ValueError, match=text):
        target(THREE, **options)


@pytest.mark.parametrize(
    ("numbers", "options", "text"),
    [
        ([1, 2, np.inf], {}, r"the column has values that are not finite"),
        ([1, 2, 3], {"reference": "2"}, r"reference_class='2' has no meaning here: numbers have no class to compare"),
        ([2.5, 2.5, 2.5], {}, r"the column has one value only \(2\.5\); there is nothing to learn or to predict"),
    ],
)
def test_numbers_that_teach_nothing_are_refused(numbers, options, text):
    with pytest.raises(ValueError, match=text):
        target(numbers, numbers, kind="numbers", **options)


@pytest.mark.parametrize("kind", ["auto", "classes", ["ill", "well"]])
def test_one_class_is_refused(kind):
    with pytest.raises(ValueError, match=r"the column has one class only \('ill'\); two or more are needed"):
        target(["ill"] * 3, kind=kind)


@pytest.mark.parametrize("kind", [None, 3, True])
def test_a_kind_is_a_text_or_a_list(kind):
    with pytest.raises(
        TypeError, match=rf"label_kind is a {type(kind).__name__}; choose from .* or list the levels from"
    ):
        target(THREE, kind=kind)


# Arrays


@pytest.mark.parametrize("form", [list, np.array, lambda x: np.array(x, dtype=object), pd.Series, tuple])
def test_texts_in_any_form_are_classes_in_the_order_of_the_alphabet(form):
    same(array_target(form(THREE)), "classes", [1, 0, 2, 1, 0, 2], ["high", "low", "mid"])
    same(array_target(form(THREE), ["low", "mid", "high"]), "ordered", [0, 2, 1, 0, 2, 1], ["low", "mid", "high"])


def test_booleans_are_classes_and_no_numbers():
    same(array_target([True, False, True, False]), "classes", [1, 0, 1, 0], ["False", "True"])
    same(array_target(np.array([True, False]), reference="True"), "classes", [1, 0], ["False", "True"], reference=1)
    with pytest.raises(ValueError, match='label_kind="numbers", but labels does not hold numbers'):
        array_target([True, False], "numbers")


@pytest.mark.parametrize("dtype", [int, np.int8, float, np.float32])
def test_numbers_of_any_precision_are_ordered_by_value(dtype):
    values = np.array([10, 9, 2, 10], dtype=dtype)
    same(array_target(values, "numbers"), "numbers", [10, 9, 2, 10], [])
    found = array_target(values, "ordered")
    same(found, "ordered", [2, 1, 0, 2], [str(dtype(x)) for x in (2, 9, 10)])
    with pytest.raises(ValueError, match="labels holds numbers with 3 different values"):
        array_target(values)
    same(array_target(values[1:] > 5), "classes", [1, 0, 1], ["False", "True"])


def test_fractions_keep_their_digits():
    same(array_target([0.1, 1 / 3, 0.1], "classes"), "classes", [0, 1, 0], ["0.1", str(1 / 3)])


@pytest.mark.parametrize(
    "labels",
    [
        ["a", None, "b"],
        ["a", np.nan, "b"],
        [1.0, np.nan, 2.0],
        np.array(["a", np.nan, "b"], dtype=object),
        np.array([1, np.nan, 2], dtype=np.float32),
        pd.Series(["a", None, "b"]),
        pd.array(["a", pd.NA, "b"], dtype="string"),
        pd.Series([1, pd.NA, 2], dtype="Int64"),
        pd.Categorical(["a", None, "b"]),
    ],
    ids=lambda labels: f"{type(labels).__name__}-{getattr(labels, 'dtype', '')}",
)
def test_missing_labels_are_named(labels):
    with pytest.raises(ValueError, match="labels has missing values; each sample needs a label"):
        array_target(labels)


@pytest.mark.parametrize("labels", [[], [["a"], ["b"]], "a", np.zeros((2, 2))])
def test_labels_of_another_shape_are_refused(labels):
    with pytest.raises(ValueError, match=r"labels has shape .*; one label for each sample is needed"):
        array_target(labels)


# Targets


def test_a_target_has_codes_and_a_number_of_classes():
    classes = target(THREE)
    assert classes.codes.tolist() == [1, 0, 2, 1, 0, 2]
    assert classes.codes.dtype == np.int64
    assert classes.n_classes == 3
    numbers = Target("numbers", np.array([2.5, -1.0]), np.array([]))
    assert (numbers.codes.tolist(), numbers.n_classes) == ([0, 0], 0)
    same(classes.take(np.array([2, 0])), "classes", [2, 1], classes.classes)


def test_kinds_are_those_of_the_type():
    assert get_args(LabelKind) == LABEL_KINDS


def test_a_class_of_one_sample_is_named_with_it():
    names = np.array([f"p{i}" for i in range(4)])
    with pytest.raises(
        ValueError, match=r"Class 'b' of labels has a single sample \('p2'\), so nothing can be learned"
    ):
        check_design(array_target(["a", "a", "b", "a"]), names, "labels")
    check_design(array_target(["a", "b", "b", "a"]), names, "labels")
    check_design(array_target([1.0, 2.0, 3.0, 1.0], "numbers"), names, "labels")


# Samples

COHORT = random_cohort((3, 4, 2, 5), d=3, weighted=True)


def full_samples():
    return Samples(
        cohort=blind(COHORT),
        groups=np.array([0, 0, 1, 2]),
        composition=np.arange(8.0).reshape(4, 2),
        batch=np.array([0, 1, 0, 1]),
        covariates=np.arange(4.0)[:, None],
        everything=blind(random_cohort((6, 5, 7, 6), d=3)),
        work="plans",
        positions=np.array([3, 4, 5, 6]),
        types=np.arange(24) % 2,
    )


def test_some_samples_keep_all_that_is_known_of_them():
    whole, order = full_samples(), np.array([2, 0, 2])
    found = whole.take(order)
    assert found.n_samples == 3
    for name in ("groups", "composition", "batch", "covariates", "positions"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name)[order])
    for name in ("cohort", "everything"):
        truth = getattr(whole, name).take(order)
        np.testing.assert_array_equal(getattr(found, name).points, truth.points)
        np.testing.assert_array_equal(getattr(found, name).names, truth.names)
    assert found.work == "plans"
    one, other = [1, 0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1]  # of all cells: seven, six, and the seven again
    assert found.types.tolist() == [*one, *other, *one]
    plain = plain_samples(COHORT).take(order)
    for name in ("composition", "batch", "covariates", "everything", "work", "positions", "types"):
        assert getattr(plain, name) is None
    assert plain.groups.tolist() == [2, 0, 2]


def test_samples_as_cells_are_what_a_summary_stands_for():
    whole = full_samples()
    found = whole.as_cells
    assert found.cohort is whole.everything
    assert (found.everything, found.work, found.positions) == (None, None, None)
    assert len(found.types) == len(found.cohort.points)
    plain = plain_samples(COHORT)
    assert plain.as_cells is plain


def test_nothing_can_be_read_from_the_labels_of_samples():
    found = plain_samples(COHORT).cohort
    assert (found.labels.tolist(), found.classes.tolist()) == ([0] * 4, ["unknown"])
    back = labelled(found, class_target(COHORT))
    np.testing.assert_array_equal(back.labels, COHORT.labels)
    assert back.classes.tolist() == COHORT.classes.tolist()
    numbers = labelled(back, Target("numbers", np.arange(4.0), np.array([])))
    assert (numbers.labels.tolist(), numbers.classes.tolist()) == ([0] * 4, ["unknown"])


def test_mean_profiles_weigh_cells():
    truth = [COHORT.weights[i:j] @ COHORT.points[i:j] for i, j in zip(COHORT.offsets, COHORT.offsets[1:], strict=False)]
    np.testing.assert_allclose(mean_profiles(COHORT), truth, rtol=1e-12)


def test_mean_profiles_of_a_few_samples_at_a_time_are_the_same_to_the_bit(monkeypatch):
    whole = mean_profiles(COHORT)
    for most in (1, 2 * COHORT.n_features * int(COHORT.sizes.max()), 10**6):
        monkeypatch.setattr("scggml._core.samples.BLOCK", most)
        np.testing.assert_array_equal(mean_profiles(COHORT), whole)


def test_joined_cohorts_have_the_classes_of_the_first():
    other = replace(from_clouds([np.ones((2, 3))], np.array([1])), names=np.array(["new"]))
    both = join(COHORT, other)
    np.testing.assert_array_equal(both.offsets, [*COHORT.offsets, COHORT.offsets[-1] + 2])
    assert both.names.tolist() == [*COHORT.names, "new"]
    assert both.labels.tolist() == [*COHORT.labels, 1]
    assert both.classes.tolist() == COHORT.classes.tolist()
