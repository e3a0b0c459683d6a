import itertools

import numpy as np
import pandas as pd
import pytest
from _metrics import rank_by_hand
from matplotlib.colors import to_hex

import scggml as sg
from scggml.pl._colors import FAINT, PLAIN
from scggml.pl._loadings import loadings_table

# The components of the fixture: (3, -2, 0, 1, -4) with squared length 30 and (0.5, 1, -0.25, 0, 0) with 1.3125, which
# are 96 % and 4 % of the metric. Patterns are half as large and of the other sign; shifts have the sign of the weights.


@pytest.fixture
def adata(make_metric):
    return make_metric()


def table_of(adata, *, by="loading", **options):
    given = {"key": "ggml", "components": None, "n_genes": 10, "gene_symbols": None}
    return loadings_table(adata, by=by, **(given | options))


def genes(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def lengths(ax):
    return [bar.get_width() for bar in ax.patches]


# The table


@pytest.mark.parametrize(("by", "scale"), [("loading", 1.0), ("pattern", 0.5)])
def test_the_table_holds_genes_of_each_component_from_one_class_to_the_other(adata, by, scale):
    truth = pd.DataFrame(
        {
            "component": [1] * 4 + [2] * 3,
            "gene": ["g0", "g3", "g1", "g4", "g1", "g0", "g2"],
            "length": scale * np.array([3.0, 1.0, -2.0, -4.0, 1.0, 0.5, -0.25]),
            "higher_in": ["class1", "class1", "class0", "class0", "class1", "class1", "class0"],
        }
    )
    pd.testing.assert_frame_equal(table_of(adata, by=by), truth)


@pytest.mark.parametrize(
    ("n_genes", "found"),
    [(1, ["g4", "g1"]), (2, ["g0", "g4", "g1", "g0"]), (3, ["g0", "g1", "g4", "g1", "g0", "g2"])],
)
@pytest.mark.parametrize("by", ["loading", "pattern"])
def test_the_strongest_genes_are_kept_whatever_their_direction(adata, by, n_genes, found):
    assert table_of(adata, by=by, n_genes=n_genes)["gene"].tolist() == found


def test_the_strongest_of_many_genes_are_kept(make_metric):
    W = np.array([[5, -9, 2, 8, -1, -7, 6, -3, 4.0]])
    table = table_of(make_metric(W), n_genes=6)
    assert table["length"].tolist() == [8.0, 6.0, 5.0, 4.0, -7.0, -9.0]
    assert table["gene"].tolist() == ["g3", "g6", "g0", "g8", "g5", "g1"]


def test_a_component_of_one_direction_has_genes_of_that_direction_only(make_metric):
    assert table_of(make_metric([[1.0, 0.0, 3.0, 2.0]]))["gene"].tolist() == ["g2", "g3", "g0"]


def test_the_shift_says_the_side_and_not_the_loading(adata):
    ranked = adata.uns["ggml_genes"]["table"]
    ranked["shift"] *= -1
    for by, scale in (("loading", 1.0), ("pattern", 0.5)):
        table = table_of(adata, by=by, components=[1])
        assert table["gene"].tolist() == ["g4", "g1", "g3", "g0"]
        assert table["length"].tolist() == [4.0 * scale, 2.0 * scale, -1.0 * scale, -3.0 * scale]


@pytest.mark.parametrize("ranked_by", ["loading", "pattern"])
def test_what_is_drawn_need_not_be_what_genes_were_ranked_by(make_metric, ranked_by):
    adata = make_metric()
    patterns, shifts = np.array([[1.0, 2.0, 3.0, 4.0, 5.0], np.zeros(5)]).T, np.ones((5, 2))
    rank_by_hand(adata, patterns, shifts, by=ranked_by)
    assert table_of(adata, by="pattern", components=[1], n_genes=2)["gene"].tolist() == ["g4", "g3"]
    assert table_of(adata, by="loading", components=[1], n_genes=2)["gene"].tolist() == ["g4", "g0"]


def test_genes_without_a_clear_direction_are_told(make_metric):
    table = table_of(make_metric(unclear=["g0", "g4"]), by="pattern", components=[1])
    assert table["gene"].tolist() == ["g0", "g3", "g1", "g4"]
    assert table["higher_in"].tolist() == ["neither", "class1", "class0", "neither"]


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
    assert table["component"].tolist() == [2]


def test_gene_symbols_name_the_genes(adata):
    adata.var["symbol"] = pd.Categorical(["CD4", "CD8A", "LYZ", "CD8A", "MS4A1"])  # one of them twice
    found = table_of(adata, components=[1], gene_symbols="symbol")
    assert found["gene"].tolist() == ["CD4", "CD8A", "CD8A", "MS4A1"]
    assert found["length"].tolist() == [3.0, 1.0, -2.0, -4.0]


def test_genes_that_took_no_part_have_patterns_and_no_loadings(make_metric):
    adata = make_metric(unused=["g0", "g4"])
    found = table_of(adata)
    assert found["gene"].tolist() == ["g3", "g1", "g1", "g2"]
    assert found["length"].tolist() == [1.0, -2.0, 1.0, -0.25]
    found = table_of(adata, by="pattern", components=[1])
    assert found["gene"].tolist() == ["g0", "g3", "g1", "g4"]
    assert found["length"].tolist() == [1.5, 0.5, -1.0, -2.0]


def test_gene_symbols_stay_with_their_genes_where_others_are_left_out(make_metric):
    adata = make_metric(unused=["g0"])
    adata.var["symbol"] = list("ABCDE")
    assert table_of(adata, components=[1], gene_symbols="symbol")["gene"].tolist() == ["D", "B", "E"]


def test_genes_are_drawn_by_patterns_where_loadings_are_not_known(make_metric):
    adata = make_metric(genes=False)
    found = table_of(adata, by="pattern", components=[1])
    assert found["gene"].tolist() == ["g0", "g3", "g1", "g4"]
    assert found["length"].tolist() == [1.5, 0.5, -1.0, -2.0]
    with pytest.raises(ValueError, match=r'the metric .ggml. has no loadings on genes; pass by="pattern"'):
        sg.pl.loadings(adata, by="loading")


def test_features_that_were_ranked_in_place_of_genes_keep_their_names(make_metric):
    adata = make_metric(genes=False)
    table = adata.uns["ggml_genes"]["table"]
    table["gene"] = table["gene"].str.replace("g", "X_pca_")
    adata.uns["ggml_genes"]["params"]["of_genes"] = False
    adata.var["symbol"] = list("ABCDE")
    for symbols in (None, "symbol"):
        found = table_of(adata, by="pattern", components=[1], gene_symbols=symbols)
        assert found["gene"].tolist() == ["X_pca_0", "X_pca_3", "X_pca_1", "X_pca_4"]


def test_the_metric_of_the_key_is_read(adata, make_metric):
    other = make_metric([[0.0, 0.0, 2.0, 0.0, 0.0]], key="other")
    adata.uns |= {name: other.uns[name] for name in ("other", "other_genes")}
    assert table_of(adata, key="other")["gene"].tolist() == ["g2"]
    (ax,) = sg.pl.loadings(adata, key="other")
    assert (ax.get_title(), lengths(ax)) == ("other1 (100%)", [1.0])


# What is drawn


@pytest.mark.parametrize(("by", "unit"), [("loading", "loading"), ("pattern", "pattern (sd)")])
def test_bars_are_those_of_the_table(adata, by, unit):
    table = table_of(adata, by=by)
    axes = sg.pl.loadings(adata, by=by)
    assert len(axes) == 2
    for ax, component in zip(axes, (1, 2), strict=True):
        part = table[table["component"] == component]
        assert lengths(ax) == part["length"].tolist()
        assert genes(ax) == part["gene"].tolist()
        places = [bar.get_y() + bar.get_height() / 2 for bar in ax.patches]
        np.testing.assert_allclose(places, np.arange(len(part)))
        np.testing.assert_allclose(ax.get_yticks(), places)
        assert ax.get_xlabel() == f"{unit}\n← higher in class0   |   higher in class1 →"


def test_patterns_are_drawn_by_default(adata):
    for one, other in zip(sg.pl.loadings(adata), sg.pl.loadings(adata, by="pattern"), strict=True):
        assert lengths(one) == lengths(other)
        assert one.get_xlabel() == other.get_xlabel()


def test_each_component_names_its_own_ends(adata):
    adata.uns["ggml_genes"]["params"] |= {"high": np.array(["ill", "dead"]), "low": np.array(["well", "well"])}
    ends = [ax.get_xlabel().partition("\n")[2] for ax in sg.pl.loadings(adata)]
    assert ends == ["← higher in well   |   higher in ill →", "← higher in well   |   higher in dead →"]


def test_titles_name_the_component_and_its_share(adata):
    assert [ax.get_title() for ax in sg.pl.loadings(adata)] == ["ggml1 (96%)", "ggml2 (4%)"]
    assert [ax.get_title() for ax in sg.pl.loadings(adata, components=[2, 1])] == ["ggml2 (4%)", "ggml1 (96%)"]


def test_bars_without_a_clear_direction_are_light(make_metric):
    adata = make_metric(unclear=["g0", "g4"])
    colors = [to_hex(bar.get_facecolor()).upper() for bar in sg.pl.loadings(adata)[0].patches]
    assert colors == [FAINT, PLAIN, PLAIN, FAINT]


def test_the_first_gene_stands_on_top_and_bars_are_equally_thick_in_all_panels(adata):
    axes = sg.pl.loadings(adata)
    assert [ax.get_ylim() for ax in axes] == [(3.5, -0.5)] * 2


def test_options_of_the_table_reach_the_plot(adata):
    adata.var["symbol"] = list("ABCDE")
    (ax,) = sg.pl.loadings(adata, by="loading", components=[2], n_genes=2, gene_symbols="symbol")
    assert (genes(ax), lengths(ax)) == (["B", "A"], [1.0, 0.5])


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
    (ax,) = sg.pl.loadings(adata, by="loading", gene_symbols="symbol")
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    boxes = [t.label1.get_window_extent() for t in ax.xaxis.get_major_ticks() if low <= t.get_loc() <= high]
    assert len(boxes) >= 3
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))


def test_a_small_share_does_not_read_as_nothing(make_metric):
    (ax,) = sg.pl.loadings(make_metric([[1.0, 0.0], [0.0, 0.05]]), components=[2])  # 0.25 %
    assert ax.get_title() == "ggml2 (<1%)"


def test_five_components_fill_a_grid_whose_rows_are_as_tall_as_their_genes(make_metric, overlaps):
    W = np.diag(np.arange(9.0, 0.0, -1.0))[[0, 1, 2, 3, 4]]
    W[:3, 3:] += np.arange(1.0, 7.0)  # the first row has panels of seven genes, the second one of three
    W[3:, 5:7] = 0.5
    axes = sg.pl.loadings(make_metric(W), by="loading")
    assert {ax.get_subplotspec().get_gridspec().get_geometry() for ax in axes} == {(2, 3)}
    assert [ax.get_ylim()[0] for ax in axes] == [6.5] * 3 + [2.5] * 2
    np.testing.assert_allclose(axes[0].figure.get_size_inches(), (9.0, 2 * 1.2 + 0.19 * 10))
    assert overlaps(axes[0].figure, *(part for ax in axes for part in (ax.xaxis, ax.yaxis, ax.title))) == []
    thick = [bar.get_window_extent().height for ax in axes for bar in ax.patches]
    np.testing.assert_allclose(thick, thick[0], rtol=1e-3)
    for ax in axes:
        assert overlaps(ax.figure, *ax.get_yticklabels()) == []


@pytest.mark.parametrize(("n_genes", "height"), [(1, 1.39), (2, 1.58), (10, 1.96)])
def test_the_figure_grows_with_the_genes(adata, n_genes, height):
    axes = sg.pl.loadings(adata, n_genes=n_genes)
    np.testing.assert_allclose(axes[0].figure.get_size_inches(), (6.0, height))


def test_components_have_names(adata):
    by_name, by_number = (sg.pl.loadings(adata, components=asked) for asked in (["ggml2", 1], [2, 1]))
    for one, other in zip(by_name, by_number, strict=True):
        assert one.get_title() == other.get_title()
        assert [bar.get_width() for bar in one.patches] == [bar.get_width() for bar in other.patches]


# What is refused


@pytest.mark.parametrize("components", [[0], [3], [1, 9], [-1], []])
def test_a_component_that_is_not_there_is_refused(adata, components):
    shown = str(components).replace("[", r"\[").replace("]", r"\]")
    with pytest.raises(
        ValueError, match=rf"^components={shown}: the metric 'ggml' has components 1 to 2 \('ggml1', 'ggml2'\)\.$"
    ):
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


def test_genes_by_something_else_are_refused(adata):
    with pytest.raises(ValueError, match=r"^by='weight' is not known; choose from \('pattern', 'loading'\)\.$"):
        sg.pl.loadings(adata, by="weight")


def test_genes_that_were_not_ranked_are_asked_for(adata):
    del adata.uns["ggml_genes"]
    with pytest.raises(KeyError, match=r"rank the genes first with sg\.tl\.rank_genes\(adata, key='ggml'\)"):
        sg.pl.loadings(adata)


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
    for ax in sg.pl.loadings(adata, by="loading", components=[1, 1]):
        assert lengths(ax) == [3.0, 1.0, -2.0, -4.0]
