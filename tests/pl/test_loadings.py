import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import scggml as sg
from scggml.pl._loadings import loadings_table

# The components of the fixture: (3, -2, 0, 1, -4) with squared length 30 and (0.5, 1, -0.25, 0, 0) with 1.3125
SHARES = [30 / 31.3125, 1.3125 / 31.3125]


@pytest.fixture
def adata(make_metric):
    return make_metric()


def table_of(adata, *, key="ggml", components=None, n_genes=10, gene_symbols=None):
    return loadings_table(adata, key=key, components=components, n_genes=n_genes, gene_symbols=gene_symbols)


def genes(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def lengths(ax):
    return [bar.get_width() for bar in ax.patches]


# The table


def test_the_table_holds_falling_loadings_of_each_component(adata):
    truth = pd.DataFrame(
        {
            "component": [1] * 4 + [2] * 3,
            "gene": ["g0", "g3", "g1", "g4", "g1", "g0", "g2"],
            "loading": [3.0, 1.0, -2.0, -4.0, 1.0, 0.5, -0.25],
            "share": [SHARES[0]] * 4 + [SHARES[1]] * 3,
        }
    )
    pd.testing.assert_frame_equal(table_of(adata), truth)


@pytest.mark.parametrize(
    ("n_genes", "found"),
    [(1, ["g0", "g4", "g1", "g2"]), (2, ["g0", "g3", "g1", "g4", "g1", "g0", "g2"])],
)
def test_the_strongest_genes_of_each_sign_are_kept(adata, n_genes, found):
    assert table_of(adata, n_genes=n_genes)["gene"].tolist() == found


def test_the_strongest_of_many_genes_are_kept(make_metric):
    W = np.array([[5, -9, 2, 8, -1, -7, 6, -3, 4.0]])
    table = table_of(make_metric(W), n_genes=3)
    assert table["loading"].tolist() == [8.0, 6.0, 5.0, -3.0, -7.0, -9.0]
    assert table["gene"].tolist() == ["g3", "g6", "g0", "g7", "g5", "g1"]


def test_a_component_of_one_sign_has_genes_of_that_sign_only(make_metric):
    assert table_of(make_metric([[1.0, 0.0, 3.0, 2.0]]))["gene"].tolist() == ["g2", "g3", "g0"]


@pytest.mark.parametrize("components", [[2], [2, 1], (1,), range(1, 3)])
def test_components_come_in_the_order_asked_for(adata, components):
    assert list(dict.fromkeys(table_of(adata, components=components)["component"])) == list(components)


@pytest.mark.parametrize(("squared", "drawn"), [(3.02, [1, 2]), (2.98, [1])])
def test_by_default_a_component_is_drawn_from_three_percent_on(make_metric, squared, drawn):
    # shares 3.02 % and 2.98 % of a total of 100
    W = [[np.sqrt(100 - squared), 0.0], [0.0, np.sqrt(squared)]]
    assert table_of(make_metric(W))["component"].unique().tolist() == drawn


def test_a_component_below_three_percent_is_drawn_when_asked_for(make_metric):
    table = table_of(make_metric([[10.0, 0.0], [0.0, 0.1]]), components=[2])
    assert table["gene"].tolist() == ["g1"]
    np.testing.assert_allclose(table["share"], 0.01 / 100.01)


def test_gene_symbols_name_the_genes(adata):
    adata.var["symbol"] = pd.Categorical(["CD4", "CD8A", "LYZ", "CD8A", "MS4A1"])  # one of them twice
    found = table_of(adata, components=[1], gene_symbols="symbol")
    assert found["gene"].tolist() == ["CD4", "CD8A", "CD8A", "MS4A1"]
    assert found["loading"].tolist() == [3.0, 1.0, -2.0, -4.0]


def test_genes_that_took_no_part_are_left_out(adata):
    adata.varm["ggml"][[0, 4]] = np.nan
    found = table_of(adata)
    assert found["gene"].tolist() == ["g3", "g1", "g1", "g2"]
    assert found["loading"].tolist() == [1.0, -2.0, 1.0, -0.25]


def test_gene_symbols_stay_with_their_genes_where_others_are_left_out(adata):
    adata.var["symbol"] = list("ABCDE")
    adata.varm["ggml"][0] = np.nan
    assert table_of(adata, components=[1], gene_symbols="symbol")["gene"].tolist() == ["D", "B", "E"]


def test_features_are_named_where_genes_are_not_known(make_metric):
    found = table_of(make_metric(genes=False), components=[1])
    assert found["gene"].tolist() == ["X_pca_0", "X_pca_3", "X_pca_1", "X_pca_4"]
    assert found["loading"].tolist() == [3.0, 1.0, -2.0, -4.0]


def test_loadings_on_genes_go_before_those_on_features(make_metric):
    adata = make_metric([[3.0, -1.0]])
    adata.varm["ggml"] = np.array([[-5.0], [7.0]])
    assert table_of(adata)["loading"].tolist() == [7.0, -5.0]


def test_the_metric_of_the_key_is_read(adata, make_metric):
    other = make_metric([[0.0, 0.0, 2.0, 0.0, 0.0]], key="other")
    adata.uns["other"], adata.varm["other"] = other.uns["other"], other.varm["other"]
    assert table_of(adata, key="other")["gene"].tolist() == ["g2"]
    (ax,) = sg.pl.loadings(adata, key="other")
    assert (ax.get_title(), lengths(ax)) == ("other1 (100%)", [2.0])


# What is drawn


def test_bars_are_those_of_the_table(adata):
    table = table_of(adata)
    axes = sg.pl.loadings(adata)
    assert len(axes) == 2
    for ax, component in zip(axes, (1, 2), strict=True):
        part = table[table["component"] == component]
        assert lengths(ax) == part["loading"].tolist()
        assert genes(ax) == part["gene"].tolist()
        places = [bar.get_y() + bar.get_height() / 2 for bar in ax.patches]
        np.testing.assert_allclose(places, np.arange(len(part)))
        np.testing.assert_allclose(ax.get_yticks(), places)
        assert ax.get_xlabel() == "loading"


def test_titles_name_the_component_and_its_share(adata):
    assert [ax.get_title() for ax in sg.pl.loadings(adata)] == ["ggml1 (96%)", "ggml2 (4%)"]
    assert [ax.get_title() for ax in sg.pl.loadings(adata, components=[2, 1])] == ["ggml2 (4%)", "ggml1 (96%)"]


def test_signs_have_a_color_each(adata):
    colors = [to_hex(bar.get_facecolor()) for bar in sg.pl.loadings(adata)[0].patches]
    assert colors == ["#d55e00", "#d55e00", "#0072b2", "#0072b2"]


def test_the_first_gene_stands_on_top_and_bars_are_equally_thick_in_all_panels(adata):
    axes = sg.pl.loadings(adata)
    assert [ax.get_ylim() for ax in axes] == [(3.5, -0.5)] * 2


def test_options_of_the_table_reach_the_plot(adata):
    adata.var["symbol"] = list("ABCDE")
    (ax,) = sg.pl.loadings(adata, components=[2], n_genes=1, gene_symbols="symbol")
    assert (genes(ax), lengths(ax)) == (["B", "C"], [1.0, -0.25])


def test_the_figure_is_wider_for_long_names(adata):
    adata.var["symbol"] = ["glom_distance_to_closest_glom", *"BCDE"]
    axes = sg.pl.loadings(adata, components=[1], gene_symbols="symbol")
    np.testing.assert_allclose(axes[0].figure.get_size_inches()[0], 3.0 + 0.075 * 19)
    axes[0].figure.canvas.draw()
    assert axes[0].get_window_extent().width > 1.5 * axes[0].figure.dpi


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_labels_of_the_ticks_do_not_touch(make_metric, size):
    adata = make_metric(size * np.array([[0.28, -0.36, 0.1, 0.37, -0.3]]))
    adata.var["symbol"] = ["glom_distance_to_closest_glom", *"BCDE"]
    (ax,) = sg.pl.loadings(adata, gene_symbols="symbol")
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    boxes = [t.label1.get_window_extent() for t in ax.xaxis.get_major_ticks() if low <= t.get_loc() <= high]
    assert len(boxes) >= 3
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))


def test_a_small_share_does_not_read_as_nothing(make_metric):
    (ax,) = sg.pl.loadings(make_metric([[1.0, 0.0], [0.0, 0.05]]), components=[2])  # 0.25 %
    assert ax.get_title() == "ggml2 (<1%)"


@pytest.mark.parametrize(("n_genes", "height"), [(1, 1.38), (10, 1.76)])
def test_the_figure_grows_with_the_genes(adata, n_genes, height):
    axes = sg.pl.loadings(adata, n_genes=n_genes)
    np.testing.assert_allclose(axes[0].figure.get_size_inches(), (6.0, height))


# What is refused


@pytest.mark.parametrize("components", [[0], [3], [1, 9], [-1], []])
def test_a_component_that_is_not_there_is_refused(adata, components):
    shown = str(components).replace("[", r"\[").replace("]", r"\]")
    with pytest.raises(ValueError, match=rf"^components={shown}: the metric 'ggml' has components 1 to 2\.$"):
        sg.pl.loadings(adata, components=components)


@pytest.mark.parametrize("n_genes", [0, -1])
def test_fewer_than_one_gene_is_refused(adata, n_genes):
    with pytest.raises(ValueError, match=rf"^n_genes={n_genes} must be at least 1\.$"):
        sg.pl.loadings(adata, n_genes=n_genes)


def test_a_missing_column_of_symbols_is_answered_with_those_that_are_there(adata):
    adata.var["symbol"] = list("ABCDE")
    message = r"gene_symbols='name' is not a column of adata\.var, which has 'symbol'\."
    with pytest.raises(KeyError, match=message):
        sg.pl.loadings(adata, gene_symbols="name")


def test_gene_symbols_are_refused_where_genes_are_not_known(make_metric):
    with pytest.raises((KeyError, ValueError), match="gene_symbols"):
        sg.pl.loadings(make_metric(genes=False), gene_symbols="name")


# Components that carry nothing


def test_a_component_of_zeros_is_drawn_empty(make_metric):
    (ax,) = sg.pl.loadings(make_metric([[3.0, -1.0], [0.0, 0.0]]), components=[2])
    assert (ax.get_title(), lengths(ax)) == ("ggml2 (0%)", [])


def test_every_component_asked_for_has_a_panel(make_metric):
    axes = sg.pl.loadings(make_metric([[3.0, -1.0], [0.0, 0.0]]), components=[1, 2])
    assert len(axes) == 2


def test_a_metric_of_zeros_is_refused_in_words_of_its_own(make_metric):
    with pytest.raises(ValueError, match="metric") as error:
        sg.pl.loadings(make_metric([[0.0, 0.0]]))
    assert "components=[]" not in str(error.value)


def test_a_component_asked_for_twice_has_each_bar_once_in_a_panel(adata):
    for ax in sg.pl.loadings(adata, components=[1, 1]):
        assert lengths(ax) == [3.0, 1.0, -2.0, -4.0]
