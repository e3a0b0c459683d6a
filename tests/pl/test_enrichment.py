import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.text import Text

import scggml as sg
from scggml.pl._enrichment import LARGEST, MOST, areas, enrichment_table, shortened

ROWS = [
    ("ggml1", "higher in ill", "R", "a", "HALLMARK_HYPOXIA", 1e-6, 10),
    ("ggml1", "higher in ill", "R", "b", "synapse organization (GO:0050808)", 1e-3, 4),
    ("ggml1", "higher in ill", "G", "c", "third", 0.04, 6),
    ("ggml1", "higher in well", "R", "b", "synapse organization (GO:0050808)", 1e-2, 2),
    ("ggml2", "higher in ill", "R", "d", "not significant", 0.2, 3),
    ("ggml2", "higher in well", "R", "c", "third of another source", 0.03, 8),
]


@pytest.fixture
def adata():
    adata = AnnData(shape=(1, 1))
    columns = ["component", "direction", "source", "native", "name", "p_adjusted", "intersection_size"]
    adata.uns["ggml_enrichment"] = {"table": pd.DataFrame(ROWS, columns=columns), "params": {}}
    return adata


def table_of(adata, **options):
    return enrichment_table(adata, **({"key": "ggml", "n_terms": 5, "max_p_adjusted": 0.05, "sources": None} | options))


def test_the_table_has_a_row_for_each_dot(adata):
    table = table_of(adata)
    assert table[["term", "direction", "size"]].to_numpy().tolist() == [
        ["Hypoxia", "ggml1 higher in ill", 10],
        ["synapse organization", "ggml1 higher in ill", 4],
        ["synapse organization", "ggml1 higher in well", 2],
        ["third", "ggml1 higher in ill", 6],
        ["third of another source", "ggml2 higher in well", 8],
    ]
    np.testing.assert_allclose(table["log_p"], [6, 3, 2, -np.log10(0.04), -np.log10(0.03)])
    assert list(table["direction"].cat.categories) == [
        "ggml1 higher in ill",
        "ggml1 higher in well",
        "ggml2 higher in well",
    ]


def test_a_term_that_one_direction_brings_in_is_drawn_for_all(adata):
    table = table_of(adata, n_terms=1)
    assert table["term"].tolist() == [
        "Hypoxia",
        "synapse organization",
        "synapse organization",
        "third of another source",
    ]


@pytest.mark.parametrize(("n_directions", "n_terms", "shown"), [(8, 5, 5), (9, 5, 4), (40, 5, 1), (50, 1, 1)])
def test_more_sets_than_fit_a_page_are_fewer_of_each_direction(adata, n_directions, n_terms, shown):
    rows = [
        (f"ggml{i}", "higher in ill", "R", f"{i}-{j}", f"set {i}-{j}", 10.0 ** -(9 - j), 4)
        for i in range(n_directions)
        for j in range(6)
    ]
    adata.uns["ggml_enrichment"]["table"] = pd.DataFrame(rows, columns=adata.uns["ggml_enrichment"]["table"].columns)
    table = table_of(adata, n_terms=n_terms)
    most = min(MOST, n_directions * shown)
    assert table["term"].nunique() == most
    assert set(table.groupby("direction", observed=True).size()) == {shown}
    assert set(table["term"]) == {f"set {i}-{j}" for i in range(min(n_directions, most)) for j in range(shown)}
    ax = sg.pl.enrichment(adata, n_terms=n_terms)
    said = f"{most} of {n_directions * n_terms} sets" in ax.texts[0].get_text()
    assert said == (most < n_directions * n_terms)
    assert ax.figure.get_figheight() <= 12


def test_sources_and_the_limit_choose(adata):
    assert table_of(adata, sources=["G"])["term"].tolist() == ["third"]
    assert table_of(adata, max_p_adjusted=1e-3)["term"].tolist() == ["Hypoxia", "synapse organization"]


def test_a_p_value_of_zero_can_be_drawn(adata):
    adata.uns["ggml_enrichment"]["table"].loc[0, "p_adjusted"] = 0.0
    assert np.isfinite(table_of(adata)["log_p"]).all()
    sg.pl.enrichment(adata)


def test_colors_begin_at_p_values_of_one_also_where_all_are(adata):
    adata.uns["ggml_enrichment"]["table"]["p_adjusted"] = 1.0
    ax = sg.pl.enrichment(adata, max_p_adjusted=1.0)
    assert ax.collections[0].get_clim() == (0.0, 1.0)


def test_what_is_drawn_is_the_table(adata):
    table = table_of(adata)
    ax = sg.pl.enrichment(adata)
    terms, directions = (
        [label.get_text() for label in labels] for labels in (ax.get_yticklabels(), ax.get_xticklabels())
    )
    dots = ax.collections[0]
    drawn = [(terms[int(y)], directions[int(x)]) for x, y in dots.get_offsets()]
    assert drawn == list(zip(table["term"], table["direction"].astype(str), strict=True))
    np.testing.assert_allclose(dots.get_array(), table["log_p"])
    np.testing.assert_allclose(dots.get_sizes(), LARGEST * table["size"] / 10)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first term stands on top
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["genes", "2", "6", "10"]


def test_dots_of_one_size_have_one_entry(adata):
    adata.uns["ggml_enrichment"]["table"]["intersection_size"] = 3
    texts = sg.pl.enrichment(adata).get_legend().get_texts()
    assert [text.get_text() for text in texts] == ["genes", "3"]


def test_the_area_of_a_dot_is_proportional_to_the_number_of_genes():
    sizes = np.array([11, 14, 7])
    np.testing.assert_allclose(areas(sizes, sizes) / sizes, LARGEST / 14)


def test_the_legend_of_sizes_shows_dots_as_large_as_those_drawn(adata):
    ax = sg.pl.enrichment(adata)
    handles = ax.get_legend().legend_handles[1:]
    shown = {int(handle.get_label()): handle.get_markersize() ** 2 for handle in handles}
    assert shown == pytest.approx({n: LARGEST * n / 10 for n in (2, 6, 10)})


@pytest.mark.parametrize("letters", [8, 48])
@pytest.mark.parametrize("n", [1, 3, 30])
@pytest.mark.parametrize("own", [True, False])
def test_legend_color_bar_and_labels_do_not_overlap(adata, overlaps, n, letters, own):
    rows = [
        ("ggml1", "higher in ill", "R", f"{i}", f"{i} ".ljust(letters, "x"), 0.01 / (i + 1), i + 1) for i in range(n)
    ]
    table = adata.uns["ggml_enrichment"]["table"]
    adata.uns["ggml_enrichment"]["table"] = pd.DataFrame(rows, columns=table.columns)
    ax = sg.pl.enrichment(adata, n_terms=n, ax=None if own else plt.figure(figsize=(5.0, 9.0)).subplots(3, 1)[0])
    (bar,) = ax.child_axes
    (title,) = bar.findobj(lambda part: isinstance(part, Text) and "adjusted" in part.get_text())
    assert overlaps(ax.figure, ax.get_legend(), bar, ax.xaxis, ax.yaxis, *ax.texts) == []
    assert overlaps(ax.figure, title, bar.patch, *bar.get_xticklabels()) == []
    if own:
        assert overlaps(ax.figure, *ax.get_yticklabels()) == []
        figure, box = ax.figure.bbox, bar.get_tightbbox()
        assert figure.x0 <= box.x0 <= box.x1 <= figure.x1
        assert figure.y0 <= box.y0 <= box.y1 <= figure.y1


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("HALLMARK_TNFA_SIGNALING_VIA_NFKB", "Tnfa signaling via nfkb"),
        ("cell cycle", "cell cycle"),
        ("mitochondrial genome maintenance (GO:0000002)", "mitochondrial genome maintenance"),
        ("x" * 60, "x" * 47 + "…"),
        ("RNA", "RNA"),
    ],
)
def test_names_are_shown_in_short(name, shown):
    assert shortened(name) == shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_p_adjusted": 1e-9}, "No gene set has an adjusted p-value of at most 1e-09 .6 of 6 rows"),
        ({"sources": ["KEGG"]}, "sources='KEGG' is no source of the stored gene sets, which has 'R', 'G'"),
        ({"n_terms": 0}, "n_terms=0 must be at least 1"),
    ],
)
def test_nothing_to_draw_is_told(adata, options, message):
    with pytest.raises(ValueError, match=message):
        sg.pl.enrichment(adata, **options)
