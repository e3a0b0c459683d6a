import itertools

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex

import scggml as sg
from scggml.pl._colors import FAINT, PLAIN
from scggml.pl._covariates import covariates_table

NAMES = ["label", "batch", "age", "sex", "one"]
WHITE = "#ffffff"


def stored(*, seen="training", names=NAMES, label="label", **columns):
    """Samples with a table by hand: batch is found both ways, age alone, sex not, and `one` was not measured."""
    table = {
        "covariate": pd.Series(names, dtype=object),
        "n_samples": [20, 20, 14, 20, 20],
        "r2_adjusted": [0.3, 0.5, 0.2, -0.05, np.nan],
        "r2_null95": [0.06, 0.07, 0.08, 0.09, np.nan],
        "p_adjusted": [0.001, 0.002, 0.03, 0.7, np.nan],
        "r2_adjusted_given_label": [0.1, 0.4, 0.02, -0.01, np.nan],
        "r2_null95_given_label": [0.05, 0.04, 0.03, np.nan, np.nan],
        "p_adjusted_given_label": [0.2, 0.002, 0.06, 0.5, np.nan],
    } | columns
    params = {} if label is None else {"label_key": label}
    entry = {"table": pd.DataFrame(table), "params": params} | ({} if seen is None else {"seen": seen})
    return AnnData(np.zeros((20, 1)), uns={"ggml_covariates": entry})


def bars(ax):
    """Value, place, face and edge of each bar, from above."""
    found = [
        (b.get_width(), b.get_y() + b.get_height() / 2, to_hex(b.get_facecolor()), to_hex(b.get_edgecolor()))
        for b in ax.patches
    ]
    return sorted(found, key=lambda bar: bar[1])


def texts(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def test_the_largest_shares_come_first_and_what_was_not_measured_is_left_out():
    table = covariates_table(stored(), "ggml")
    assert table["name"].tolist() == ["batch", "label", "age (14 of 20)", "sex"]
    assert table["label"].tolist() == [False, True, False, False]
    np.testing.assert_array_equal(table["alone_share"], [0.5, 0.3, 0.2, -0.05])
    np.testing.assert_array_equal(table["beyond_share"], [0.4, 0.1, 0.02, -0.01])
    np.testing.assert_array_equal(table["beyond_null95"], [0.04, 0.05, 0.03, np.nan])
    assert table["alone_found"].tolist() == [True, True, True, False]
    assert table["beyond_found"].tolist() == [True, False, False, False]


def test_bars_are_light_alone_dark_beyond_the_label_and_filled_where_found():
    ax = sg.pl.covariates(stored())
    light, dark = FAINT.lower(), PLAIN.lower()
    found = bars(ax)
    assert [bar[0] for bar in found] == [0.5, 0.4, 0.3, 0.1, 0.2, 0.02, -0.05, -0.01]
    assert [bar[3] for bar in found] == [light, dark] * 4
    assert [bar[2] for bar in found] == [light, dark, light, WHITE, light, WHITE, WHITE, WHITE]
    assert ax.get_xlabel() == "adjusted share of the squared distances"


def test_ticks_stand_at_the_quantiles_of_permutations_over_their_bars():
    ax = sg.pl.covariates(stored())
    lines = [line.get_xydata() for line in ax.lines if line.get_xdata()[0] != 0]
    assert [line[0, 0] for line in lines] == [0.07, 0.04, 0.06, 0.05, 0.08, 0.03, 0.09]
    places = [bar[1] for bar in bars(ax)][: len(lines)]
    np.testing.assert_allclose([line[:, 1].mean() for line in lines], places)


def test_the_label_is_bold():
    ax = sg.pl.covariates(stored())
    weights = {text.get_text(): text.get_fontweight() for text in ax.get_yticklabels()}
    assert weights == {"batch": "normal", "label": "bold", "age (14 of 20)": "normal", "sex": "normal"}


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ("training", ["training samples\nthe label's share is no evidence"]),
        ("held out", ["held-out donors"]),
        ("other", []),
        (None, []),
    ],
)
def test_a_note_says_whether_the_metric_was_learned_on_the_samples(seen, said):
    assert [text.get_text() for text in sg.pl.covariates(stored(seen=seen)).texts] == said


def test_the_legend_says_what_is_drawn():
    legend = [text.get_text() for text in sg.pl.covariates(stored()).get_legend().texts]
    assert legend == [
        "alone",
        "beyond the label\n(the label: beyond others)",
        "false discovery rate > 5%",
        "95% of permutations below",
    ]
    without = stored(label=None, r2_adjusted_given_label=[np.nan] * 5)
    legend = [text.get_text() for text in sg.pl.covariates(without).get_legend().texts]
    assert legend == ["alone", "false discovery rate > 5%", "95% of permutations below"]
    assert len(bars(sg.pl.covariates(without))) == 4


@pytest.mark.parametrize("n", [1, 2, 5, 14])
def test_nothing_overlaps_and_all_is_inside_of_a_column_of_a_journal(n):
    names = [f"covariate number {i}" for i in range(n)]
    columns = {
        name: [0.01] * n for name in ("r2_adjusted", "r2_null95", "r2_adjusted_given_label", "r2_null95_given_label")
    } | {"p_adjusted": [0.5] * n, "p_adjusted_given_label": [0.5] * n, "n_samples": [20] * n}
    ax = sg.pl.covariates(stored(names=names, label=names[0], **columns))
    figure = ax.figure
    figure.canvas.draw()
    assert figure.get_size_inches()[0] == 3.5
    parts = [*ax.get_yticklabels(), *ax.get_xticklabels(), ax.xaxis.label, ax.get_legend(), *ax.texts]
    boxes = [part.get_window_extent() for part in parts]
    for box in boxes:
        assert figure.bbox.x0 <= box.x0 + 1
        assert box.x1 - 1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 + 1
        assert box.y1 - 1 <= figure.bbox.y1
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)


def test_what_was_computed_is_drawn():
    adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    samples = sg.tl.distances(adata, metric="euclidean", sample_key="sample_id", label_key="label", progress=False)
    samples.obs["age"] = np.linspace(30, 60, samples.n_obs)
    sg.tl.covariates(samples, key="euclidean", n_perm=99)
    table = samples.uns["euclidean_covariates"]["table"].set_index("covariate")
    ax = sg.pl.covariates(samples, key="euclidean")
    order = table["r2_adjusted"].dropna().sort_values(ascending=False)
    assert texts(ax) == list(order.index)
    np.testing.assert_allclose([bar[0] for bar in bars(ax) if bar[3] == FAINT.lower()], order)


def test_a_missing_result_is_answered_with_the_next_step():
    message = r"No 'other_covariates' in samples.uns; stored for 'ggml'.*sg.tl.covariates\(samples, key='other'\)"
    with pytest.raises(KeyError, match=message):
        sg.pl.covariates(stored(), key="other")


def test_nothing_measured_is_said():
    with pytest.raises(ValueError, match=r"No covariate of samples.uns\['ggml_covariates'\] could be measured"):
        sg.pl.covariates(stored(r2_adjusted=[np.nan] * 5))
