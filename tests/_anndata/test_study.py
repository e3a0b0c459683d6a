"""What is known of samples that are ordered: labels with an order, and units that count once."""

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.reading import Reading
from scggml._anndata.study import Label, Study, read_label


def samples(**obs: object) -> AnnData:
    table = pd.DataFrame(obs)
    table.index = table.index.astype(str)
    return AnnData(np.zeros((len(table), 1)), obs=table)


def test_an_ordered_categorical_keeps_its_order_and_missing_values_stay_missing():
    column = pd.Categorical(["low", "high", None, "mid"], ["low", "mid", "high"], ordered=True)
    label = read_label(samples(grade=column), "grade", None)
    assert label.ordered
    np.testing.assert_array_equal(label.values, [0, 2, np.nan, 1])
    assert label.levels == ("low", "mid", "high")
    np.testing.assert_array_equal(label.known, [True, True, False, True])


def test_a_metric_says_the_order_of_levels_and_the_first_class():
    adata = samples(grade=["b", "a", "c", "b"])
    plain = read_label(adata, "grade", None)
    assert not plain.ordered
    np.testing.assert_array_equal(plain.values, [1, 0, 2, 1])
    listed = read_label(adata, "grade", Reading(sample_key="s", label_key="grade", label_kind=("c", "b", "a")))
    assert listed.ordered
    np.testing.assert_array_equal(listed.values, [1, 2, 0, 1])
    reference = read_label(adata, "grade", Reading(sample_key="s", label_key="grade", reference_class="b"))
    np.testing.assert_array_equal(reference.values, [0, 1, 2, 0])
    other = read_label(adata, "grade", Reading(sample_key="s", label_key="stage", reference_class="b"))
    np.testing.assert_array_equal(other.values, plain.values)


def test_numbers_and_two_classes_have_an_order():
    label = read_label(samples(age=[30.0, 20.0, np.nan, 50.0]), "age", None)
    assert label.ordered
    np.testing.assert_array_equal(label.values, [30, 20, np.nan, 50])
    assert read_label(samples(sex=["f", "m", "f"]), "sex", None).ordered
    assert read_label(samples(sex=["f"]), None, None) is None


def test_an_order_begins_where_the_label_is_lowest():
    label = Label("grade", np.array([0.0, 1.0, 2.0, np.nan]), True)
    assert label.is_late(np.array([1.0, 2.0, 3.0, 0.0]))
    assert not label.is_late(np.array([3.0, 2.0, 1.0, 9.0]))
    assert label.is_late(np.ones(4))  # nothing to choose
    classes = Label("kind", np.array([0.0, 2.0, 1.0, 0.0]), False, ("a", "b", "c"))
    assert classes.is_late(np.array([0.0, 1.0, 1.0, 0.0]))
    assert not classes.is_late(np.array([1.0, 0.0, 0.0, 1.0]))


def test_samples_of_one_donor_label_and_batch_are_a_unit():
    label = Label("kind", np.array([0.0, 0.0, 1.0, 1.0, 0.0]), True)
    study = Study(label, np.array([0, 0, 0, 1, 2]), np.array([0, 0, 0, 0, 0]))
    np.testing.assert_array_equal(study.codes, [0, 0, 1, 2, 3])
    values = np.arange(10.0).reshape(5, 2)
    np.testing.assert_allclose(study.merge(values), [[1, 2], [4, 5], [6, 7], [8, 9]])
    np.testing.assert_allclose(study.merge(np.stack([values, -values]))[1], [[-1, -2], [-4, -5], [-6, -7], [-8, -9]])
    np.testing.assert_allclose(study.merge_orders(np.arange(5.0)), [0.5, 2, 3, 4])
    # donors of one label exchange it with each other, a donor of two among its own samples
    assert sorted(map(sorted, study.blocks)) == [[0, 1], [2, 3]]


def test_units_of_different_batches_do_not_change_places():
    study = Study(None, np.arange(4), np.array([0, 0, 1, 1]))
    assert sorted(map(sorted, study.blocks)) == [[0, 1], [2, 3]]
    part = study.take(np.array([0, 3]))
    np.testing.assert_array_equal(part.batch, [0, 1])
