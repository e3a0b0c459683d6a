import numpy as np
import pytest
from _evaluations import cross_validated

import scggml as sg
from scggml.pl._confusion import confusion_table


def test_the_table_counts_samples_as_a_mean_over_repeats():
    table = confusion_table(cross_validated(), "cross_validation", "canonical")
    assert table.index.tolist() == table.columns.tolist() == ["ill", "well"]
    assert table.to_numpy().tolist() == [[1.5, 0.5], [0.0, 2.0]]
    assert table.attrs["method"] == "canonical"


def test_classes_that_are_never_predicted_have_a_column_of_zeros():
    assert confusion_table(cross_validated(), "cross_validation", "majority")["well"].tolist() == [0.0, 0.0]


def test_rows_are_drawn_as_shares_of_the_true_class():
    ax = sg.pl.confusion(cross_validated(), method="euclidean")
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.75, 0.25], [0.75, 0.25]])
    assert [text.get_text() for text in ax.texts] == ["75%\n(1.5)", "25%\n(0.5)", "75%\n(1.5)", "25%\n(0.5)"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("predicted", "true", "euclidean")


def test_the_first_method_is_the_default_and_others_are_named():
    assert sg.pl.confusion(cross_validated()).get_title() == "canonical"
    with pytest.raises(KeyError, match=r"method='ggml' was not evaluated; choose from 'canonical', 'euclid"):
        sg.pl.confusion(cross_validated(), method="ggml")


def test_numbers_have_no_confusion():
    with pytest.raises(ValueError, match="The labels are numbers"):
        sg.pl.confusion(cross_validated(classes=np.array([], dtype=object), probabilities=np.zeros((24, 1))))
