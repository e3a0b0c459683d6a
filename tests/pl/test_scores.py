"""Scores are the means of the cells of each sample; held-out ones come first."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import scggml as sg
from scggml.pl._colors import FAINT, OKABE_ITO, PLAIN

QUIET = {"n_jobs": 1, "progress": False}


@pytest.fixture(scope="module")
def _learned():
    adata = sg.datasets.synthetic(n_noise=3, n_samples=5, n_cells=10)
    adata = adata[adata.obs["label"].isin(["class0", "class1"])].copy()
    adata.obs["sample_id"] = adata.obs["sample_id"].cat.remove_unused_categories()
    adata.obs["age"] = adata.obs["sample_id"].cat.codes.astype(float)
    adata.obs["batch"] = pd.Categorical(np.where(adata.obs["sample_id"].cat.codes % 2, "x", "y"))
    adata.obs["donor"] = pd.Categorical("d" + (adata.obs["sample_id"].cat.codes % 5).astype(str))
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, **QUIET)
    return adata


@pytest.fixture
def adata(_learned):
    return _learned.copy()


def points(ax):
    return ax.collections[0].get_offsets().data


def means(adata, slot, column=0):
    cells = pd.Series(adata.obsm[slot][:, column].astype(float), index=adata.obs["sample_id"].astype(str).to_numpy())
    return cells.groupby(level=0).mean()


def test_points_are_the_means_of_the_cells_by_class(adata):
    ax = sg.pl.scores(adata)
    truth = means(adata, "X_ggml")
    assert np.sort(points(ax)[:, 1]) == pytest.approx(np.sort(truth))
    labels = adata.obs.drop_duplicates("sample_id").set_index("sample_id")["label"]
    for place, name in enumerate(("class0", "class1")):
        inside = np.abs(points(ax)[:, 0] - place) < 0.5
        assert np.sort(points(ax)[inside, 1]) == pytest.approx(np.sort(truth[labels.index[labels == name]]))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["class0", "class1"]
    medians = [line.get_ydata()[0] for line in ax.lines if to_hex(line.get_color()) == PLAIN.lower()]
    assert medians == pytest.approx([truth[labels.index[labels == name]].median() for name in ("class0", "class1")])
    assert any("training samples" in text.get_text() for text in ax.texts)


def test_held_out_scores_come_first(adata):
    sg.tl.cross_fit(adata, n_splits=5, **QUIET)
    ax = sg.pl.scores(adata)
    assert np.sort(points(ax)[:, 1]) == pytest.approx(np.sort(means(adata, "X_ggml_held_out")))
    assert [text.get_text() for text in ax.texts] == ["held-out donors"]
    ax = sg.pl.scores(adata, held_out=False)
    assert np.sort(points(ax)[:, 1]) == pytest.approx(np.sort(means(adata, "X_ggml")))
    second = sg.pl.scores(adata, component=2)
    assert np.sort(points(second)[:, 1]) == pytest.approx(np.sort(means(adata, "X_ggml_held_out", 1)))


def test_classes_have_their_colors_or_those_of_a_column(adata):
    adata.uns["label_colors"] = np.array(["#112233", "#445566"], dtype=object)
    ax = sg.pl.scores(adata)
    assert {to_hex(color) for color in ax.collections[0].get_facecolors()} == {"#112233", "#445566"}
    ax = sg.pl.scores(adata, color="batch")
    assert {to_hex(color) for color in ax.collections[0].get_facecolors()} == {c.lower() for c in OKABE_ITO[:2]}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["batch", "x", "y"]
    ax = sg.pl.scores(adata, color="age")
    assert sorted(ax.collections[0].get_array().tolist()) == sorted(set(adata.obs["age"]))


def test_samples_of_one_donor_are_joined(adata):
    sg.tl.ggml(adata, "sample_id", "label", n_comps=1, groups_key="donor", **QUIET)

    def joined(**options):
        ax = sg.pl.scores(adata, **options)
        return [len(line.get_xdata()) for line in ax.lines if to_hex(line.get_color()) == FAINT.lower()]

    assert joined() == [2] * 5
    assert joined(paired=False) == []
    sg.tl.ggml(adata, "sample_id", "label", n_comps=1, **QUIET)
    assert joined() == []


def test_lines_of_a_donor_go_from_left_to_right(adata):
    adata = adata[np.argsort(-adata.obs["sample_id"].cat.codes.to_numpy(), kind="stable")].copy()
    sg.tl.ggml(adata, "sample_id", "label", n_comps=1, groups_key="donor", **QUIET)
    ax = sg.pl.scores(adata)
    joined = [line for line in ax.lines if to_hex(line.get_color()) == FAINT.lower()]
    assert all((np.diff(line.get_xdata()) > 0).all() for line in joined)
    known = {tuple(np.round(point, 6)) for point in points(ax)}
    assert all(tuple(np.round(point, 6)) in known for line in joined for point in line.get_xydata())


def test_a_view_of_few_samples_is_drawn(adata):
    few = adata[adata.obs["sample_id"].isin(["class0_00", "class1_01"])]
    assert len(points(sg.pl.scores(few))) == 2


def test_numbers_are_on_the_axis(adata):
    sg.tl.ggml(adata, "sample_id", "age", label_kind="numbers", n_comps=1, **QUIET)
    ax = sg.pl.scores(adata)
    assert sorted(points(ax)[:, 0]) == sorted(set(adata.obs["age"]))
    assert ax.get_xlabel() == "age"


def test_many_long_names_do_not_overlap(adata, overlaps):
    names = {f"class{i}": f"a long name of a group of patients {i}" for i in range(12)}
    many = sg.datasets.synthetic_counts(n_classes=12, n_samples=2, n_cells=8, n_genes=40, n_planted=4, n_types=1)
    many.obs["label"] = many.obs["label"].cat.rename_categories(names)
    many.X = np.log1p(many.X.toarray())
    sg.tl.ggml(many, "sample_id", "label", n_comps=1, **QUIET)
    ax = sg.pl.scores(many)
    ax.figure.canvas.draw()
    box = ax.get_window_extent()
    assert box.height > 2 * ax.figure.dpi
    assert ax.get_tightbbox().x0 >= 0
    ticks = [tick for tick in ax.get_xticklabels() if tick.get_text()]
    assert max(tick.get_window_extent().y1 for tick in ticks) <= box.y0 + 1


def test_what_is_missing_is_named(adata):
    with pytest.raises(KeyError, match=r"sg\.tl\.cross_fit"):
        sg.pl.scores(adata, held_out=True)
    with pytest.raises(ValueError, match="components 1 to 2"):
        sg.pl.scores(adata, component=3)
    with pytest.raises(KeyError, match="'site' is not a column of adata"):
        sg.pl.scores(adata, color="site")
    adata.obs["phase"] = np.where(np.arange(adata.n_obs) % 2, "G1", "S")
    with pytest.raises(ValueError, match="several values in sample"):
        sg.pl.scores(adata, color="phase")


@pytest.mark.parametrize("options", [{"held_out": "yes"}, {"paired": 1}])
def test_flags_are_true_or_false(adata, options):
    with pytest.raises(TypeError, match="must be True or False"):
        sg.pl.scores(adata, **options)


def test_numbers_that_are_all_missing_are_drawn(adata):
    adata.obs["age"] = np.nan
    assert len(points(sg.pl.scores(adata, color="age"))) == 10
