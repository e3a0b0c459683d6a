"""Excess against false discovery rate, to the side of the class in which a gene is higher."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml._anndata.ranking import refresh_ranking
from scggml.pl._volcano import volcano_table

EXCESS = np.array([3.0, 2.0, 0.5, 1.0, 4.0])
RATES = np.array([0.01, 0.02, 0.9, 0.2, 0.01])


@pytest.fixture
def adata(make_metric):
    """Five genes: shifts are (3, -2, 0, 1, -4), see the test of `pl.gene_stability`."""
    patterns = np.array([[-3.0, 2.0, 0.0, -1.0, 4.0]])
    adata = make_metric(-2 * patterns)
    adata.uns["ggml_stability"] = {
        "genes": adata.var_names.to_numpy().astype(object),
        "fingerprint": adata.uns["ggml"]["fingerprint"],
        "excess": EXCESS,
        "p_value": RATES / 2,
        "p_adjusted": RATES,
        "params": {"n_boot": 0, "n_perm": 100, "n_top": 3, "level": 0.9},
    }
    refresh_ranking(adata, read_metric(adata, "ggml"))
    return adata


def table_of(adata, **options):
    given = {"key": "ggml", "component": None, "gene_symbols": None}
    return volcano_table(adata, **(given | options)).set_index("gene")


def test_genes_lie_at_their_excess_on_the_side_of_their_shift(adata):
    table, ranked = table_of(adata, component=1), sg.get.rank_genes_df(adata, component=1).set_index("gene")
    np.testing.assert_allclose(table.loc[adata.var_names, "x"].abs(), EXCESS)
    np.testing.assert_allclose(table.loc[adata.var_names, "y"], -np.log10(RATES))
    moving = ranked.index[ranked["shift"] != 0]
    assert (np.sign(table.loc[moving, "x"]) == np.sign(ranked.loc[moving, "shift"])).all()


def test_sides_are_named_and_sure_genes_too(adata):
    ax = sg.pl.volcano(adata, component=1)
    params = adata.uns["ggml_genes"]["params"]
    low, high = (ax.get_xlabel().index(f"higher in {params[end][0]}") for end in ("low", "high"))
    assert low < high  # from left to right
    named = {text.get_text() for text in ax.texts} - {"training samples"}
    assert named == {"g0", "g1", "g4"}
    assert {text.get_text() for text in sg.pl.volcano(adata, n_genes=1).texts} - {"training samples"} == {"g4"}
    assert [text.get_text() for text in ax.get_legend().get_texts()][:2] == ["FDR ≤ 0.05", "FDR > 0.05"]


def test_symbols_take_the_place_of_names(adata):
    adata.var["symbol"] = [f"S{i}" for i in range(5)]
    assert set(table_of(adata, gene_symbols="symbol").index) == {"S0", "S1", "S2", "S3", "S4"}


def test_names_do_not_overlap_in_the_figure(adata):
    adata.uns["ggml_stability"]["p_adjusted"] = np.full(5, 0.01)
    refresh_ranking(adata, read_metric(adata, "ggml"))
    ax = sg.pl.volcano(adata)
    ax.figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in ax.texts if text.get_text() != "training samples"]
    assert len(boxes) == 5
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert all(ax.get_window_extent().contains(box.x0, box.y0) for box in boxes)


def test_untested_genes_say_what_to_call(make_metric):
    adata = make_metric(np.eye(3, 5))
    with pytest.raises(KeyError, match=r"sg\.tl\.(gene_stability|rank_genes)"):
        sg.pl.volcano(adata)


def test_many_names_stay_apart_and_inside(make_metric):
    """Sixty genes of one rate: as many names as fit, each on a line of its own."""
    adata = make_metric(-np.arange(1.0, 61.0)[None])
    entry = {"genes": adata.var_names.to_numpy().astype(object), "fingerprint": adata.uns["ggml"]["fingerprint"]}
    same = np.full(60, 0.01)
    entry |= {"excess": np.arange(60.0), "p_value": same, "p_adjusted": same, "params": {"n_boot": 0}}
    adata.uns["ggml_stability"] = entry
    refresh_ranking(adata, read_metric(adata, "ggml"))
    ax = sg.pl.volcano(adata, n_genes=60)
    ax.figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in ax.texts if text.get_text() != "training samples"]
    assert 10 < len(boxes) < 40
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    inside = ax.get_window_extent()
    assert all(inside.y0 - 1 <= box.y0 and box.y1 <= inside.y1 + 1 for box in boxes)


def test_names_leave_room_for_the_points(adata):
    adata.var["symbol"] = [f"GENE{i}LONG" for i in range(5)]
    adata.uns["ggml_stability"]["p_adjusted"] = np.full(5, 0.01)
    refresh_ranking(adata, read_metric(adata, "ggml"))
    ax = sg.pl.volcano(adata, gene_symbols="symbol")
    ax.figure.canvas.draw()
    drawn = ax.transData.transform(np.concatenate([part.get_offsets() for part in ax.collections]))
    for text in ax.texts:
        if text.get_text() != "training samples":
            box = Text.get_window_extent(text)
            assert not ((drawn[:, 0] > box.x0) & (drawn[:, 0] < box.x1)).any()
