import matplotlib.pyplot as plt
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


@pytest.mark.parametrize(("inches", "seen"), [(4.0, True), (1.6, True), (0.3, False)])
def test_numbers_fit_into_the_fields_of_given_axes(inches, seen):
    figure, ax = plt.subplots(figsize=(inches, inches))
    sg.pl.confusion(cross_validated(), ax=ax)
    figure.canvas.draw()
    assert [text.get_visible() for text in ax.texts] == [seen] * 4
    field = ax.transData.transform([[0, 0], [1, 1]])
    wide, tall = np.abs(np.diff(field, axis=0)[0])
    for text in filter(lambda text: text.get_visible(), ax.texts):
        box = text.get_window_extent()
        assert box.width <= wide
        assert box.height <= tall
