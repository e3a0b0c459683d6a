import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml._anndata.ranking import refresh_ranking
from scggml.pl._colors import FAINT, PLAIN
from scggml.pl._gene_stability import stability_table
from scggml.pl._loadings import loadings_table

PATTERNS = np.array([[-3.0, 2.0, 0.0, -1.0, 4.0], [-0.5, -1.0, 0.25, 0.0, 0.0]]).T


@pytest.fixture
def adata(make_metric):
    """Five genes: patterns on component 1 are (-3, 2, 0, -1, 4), shifts are against them."""
    adata = make_metric(-2 * PATTERNS.T)
    middle = np.column_stack([PATTERNS, np.linalg.norm(PATTERNS, axis=1)])
    adata.uns["ggml_stability"] = {
        "genes": adata.var_names.to_numpy().astype(object),
        "fingerprint": adata.uns["ggml"]["fingerprint"],
        "lower": middle - 0.5,
        "upper": middle + np.array([0.25, 0.5, 1.0]),
        "frequency": np.linspace(0, 1, 15).reshape(5, 3),
        "excess": np.zeros(5),
        "p_value": np.array([0.001, 0.2, 0.3, 0.4, 0.01]),
        "p_adjusted": np.array([0.005, 0.4, 0.5, 0.5, 0.025]),
        "params": {"n_boot": 10, "n_perm": 50, "n_top": 3, "level": 0.9},
    }
    refresh_ranking(adata, read_metric(adata, "ggml"))
    return adata


def table_of(adata, **options):
    given = {"key": "ggml", "component": None, "n_genes": 20, "alpha": 0.05, "gene_symbols": None}
    return stability_table(adata, **(given | options))


def test_the_table_holds_the_genes_strongest_first(adata):
    table = table_of(adata, component=1)
    assert table["gene"].tolist() == ["g4", "g0", "g1", "g3", "g2"]
    assert table["pattern"].tolist() == [4.0, -3.0, 2.0, -1.0, 0.0]
    assert table["lower"].tolist() == [3.5, -3.5, 1.5, -1.5, -0.5]
    assert table["upper"].tolist() == [4.25, -2.75, 2.25, -0.75, 0.25]
    np.testing.assert_allclose(table["frequency"], np.array([12, 0, 3, 9, 6]) / 14)
    assert table["significant"].tolist() == [True, True, False, False, False]
    assert table_of(adata, alpha=0.01)["significant"].tolist()[:2] == [False, True]
    assert len(table_of(adata, n_genes=2)) == 2


def test_the_whole_metric_comes_by_default(adata):
    table = table_of(adata)
    np.testing.assert_allclose(table["pattern"][:2], [4.0, np.sqrt(9.25)])
    np.testing.assert_allclose(table["upper"] - table["pattern"], 1.0)


def test_genes_that_were_ranked_by_loadings_are_drawn_by_patterns(adata):
    before = table_of(adata, component=1)
    ranked = adata.uns["ggml_genes"]["table"]
    adata.uns["ggml_genes"]["table"] = ranked.iloc[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(table_of(adata, component=1), before)


def test_genes_that_refits_did_not_see_have_no_interval(adata):
    entry = adata.uns["ggml_stability"]
    for name in ("genes", "lower", "upper", "frequency", "excess", "p_value", "p_adjusted"):
        entry[name] = entry[name][:4]
    refresh_ranking(adata, read_metric(adata, "ggml"))
    table = table_of(adata, component=1)
    assert table["gene"].tolist() == ["g4", "g0", "g1", "g3", "g2"]
    assert table.iloc[0][["lower", "upper", "frequency", "p_adjusted"]].isna().all()
    assert not table["significant"][0]
    sg.pl.gene_stability(adata, component=1)


def test_what_is_drawn_is_the_table(adata):
    table = table_of(adata, component=1)
    left, right = sg.pl.gene_stability(adata, component=1)
    np.testing.assert_allclose([line.get_xdata() for line in left.lines[:5]], table[["lower", "upper"]])
    np.testing.assert_allclose(left.collections[0].get_offsets(), np.c_[table["pattern"], np.arange(5)])
    assert [label.get_text() for label in left.get_yticklabels()] == table["gene"].tolist()
    np.testing.assert_allclose([bar.get_width() for bar in right.patches], table["frequency"])
    colors = [PLAIN, PLAIN, FAINT, FAINT, FAINT]
    assert [to_hex(bar.get_facecolor()).upper() for bar in right.patches] == colors
    assert (left.get_title(), left.get_xlabel()) == ("ggml1", "pattern (sd), 90% interval")
    assert right.get_xlabel() == "refits with it in the top 3"
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["FDR ≤ 0.05", "FDR > 0.05"]


def test_without_rates_there_is_no_legend(adata):
    for name in ("p_value", "p_adjusted", "excess"):
        del adata.uns["ggml_stability"][name]
    refresh_ranking(adata, read_metric(adata, "ggml"))
    _, right = sg.pl.gene_stability(adata)
    assert right.get_legend() is None
    assert {to_hex(bar.get_facecolor()).upper() for bar in right.patches} == {FAINT}


def test_symbols_are_shown(adata):
    adata.var["symbol"] = ["CD4", "CD8A", None, "LYZ", "CD8A"]
    assert table_of(adata, component=1, gene_symbols="symbol")["gene"].tolist() == ["CD8A", "CD4", "CD8A", "LYZ", "g2"]


def test_rates_without_intervals_are_not_enough(adata):
    del adata.uns["ggml_stability"]["lower"]
    message = r"No intervals of .*'ggml_stability'.*sg\.tl\.gene_stability\(adata, key='ggml', n_boot=100\)"
    with pytest.raises(KeyError, match=message):
        sg.pl.gene_stability(adata)


def test_intervals_of_a_metric_that_was_learned_again_are_not_drawn(adata, make_metric):
    adata.uns["ggml"] = make_metric(2 * adata.uns["ggml"]["components"]).uns["ggml"]
    with pytest.raises(KeyError, match="No intervals of the metric 'ggml'"):
        sg.pl.gene_stability(adata)


def test_fewer_than_one_gene_is_refused(adata):
    with pytest.raises(ValueError, match=r"^n_genes=0 must be at least 1\.$"):
        sg.pl.gene_stability(adata, n_genes=0)


# Bars of `pl.loadings`


def bars_of(adata, **options):
    given = {"by": "pattern", "key": "ggml", "components": [1], "n_genes": 10, "gene_symbols": None}
    return loadings_table(adata, **(given | options))


def test_bars_carry_the_intervals_of_patterns_turned_to_their_side(adata):
    (ax,) = sg.pl.loadings(adata, components=[1])
    table = bars_of(adata)
    assert table["gene"].tolist() == ["g0", "g3", "g1", "g4"]
    assert table["length"].tolist() == [3.0, 1.0, -2.0, -4.0]  # patterns are -3, -1, 2 and 4
    np.testing.assert_allclose(table["lower"], table["length"] - 0.25)
    np.testing.assert_allclose(table["upper"], table["length"] + 0.5)
    segments = np.array(ax.collections[0].get_segments())
    np.testing.assert_allclose(segments[:, :, 0], table[["lower", "upper"]])
    np.testing.assert_allclose(segments[:, 0, 1], np.arange(4))
    (ax,) = sg.pl.loadings(adata, components=[1], stability=False)
    assert len(ax.collections) == 0


def test_bars_that_are_not_turned_have_the_intervals_as_they_are(adata):
    table = adata.uns["ggml_genes"]["table"]
    table["shift"] = table["pattern"]
    bars = bars_of(adata)
    assert bars["length"].tolist() == [4.0, 2.0, -1.0, -3.0]
    np.testing.assert_allclose(bars["lower"], bars["length"] - 0.5)
    np.testing.assert_allclose(bars["upper"], bars["length"] + 0.25)


def test_loadings_have_no_intervals(adata):
    assert "lower" not in bars_of(adata, by="loading")
    (ax,) = sg.pl.loadings(adata, by="loading", components=[1])
    assert len(ax.collections) == 0


def test_rates_alone_give_bars_no_intervals(adata):
    for name in ("lower", "upper", "frequency"):
        del adata.uns["ggml_stability"][name]
    refresh_ranking(adata, read_metric(adata, "ggml"))
    (ax,) = sg.pl.loadings(adata, components=[1])
    assert len(ax.collections) == 0


def test_bars_of_a_metric_that_was_learned_again_are_not_drawn(adata, make_metric):
    adata.uns["ggml"] = make_metric(2 * adata.uns["ggml"]["components"]).uns["ggml"]
    with pytest.raises(ValueError, match=r"was computed for another metric .* call sg\.tl\.rank_genes\(adata"):
        sg.pl.loadings(adata, components=[1])
