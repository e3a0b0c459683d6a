import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch, Rectangle
from scipy.sparse import csr_matrix

import scggml as sg
from scggml.pl._colors import MISSING, distinct
from scggml.pl._figure import spread
from scggml.pl._plan import MOST, WIDTH, merged, plan_table


@pytest.fixture
def plan():
    """Three cells of a sample (T, T, B) onto two of another (B, NK)."""
    mass = np.array([[0.3, 0.1], [0.0, 0.4], [0.2, 0.0]])
    distance = np.array([[1.0, 2.0], [0.0, 3.0], [0.5, 0.0]])
    kinds = ["B", "NK", "T"]
    return AnnData(
        csr_matrix(mass),
        obs=pd.DataFrame({"type": pd.Categorical(["T", "T", "B"], categories=kinds)}, index=list("abc")),
        var=pd.DataFrame({"type": pd.Categorical(["B", "NK"], categories=kinds)}, index=list("de")),
        layers={"distance": csr_matrix(distance)},
        uns={"plan": {"sample_a": "p1", "sample_b": "p2", "distance": 1.7}},
    )


def test_the_table_adds_up_cells_by_type(plan):
    table = plan_table(plan, "type")
    flows = {(row.type_a, row.type_b): (row.mass, row.distance) for row in table.itertuples()}
    assert flows == {
        ("B", "B"): pytest.approx((0.2, 0.1)),
        ("T", "B"): pytest.approx((0.3, 0.3)),
        ("T", "NK"): pytest.approx((0.5, 1.4)),
    }
    assert list(table["type_a"].cat.categories) == list(table["type_b"].cat.categories) == ["B", "NK", "T"]


def test_types_that_are_text_work_too(plan):
    plan.obs["type"], plan.var["type"] = plan.obs["type"].astype(str), plan.var["type"].astype(str)
    assert len(plan_table(plan, "type")) == 3


def test_bars_are_the_types_and_bands_their_flows(plan):
    ax = sg.pl.plan(plan, "type")
    bars = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    heights = {(round(b.get_x() + WIDTH / 2), round(b.get_height(), 9)) for b in bars}
    assert heights == {(0, 0.2), (0, 0.8), (1, 0.5)}  # B and T; B and NK of 0.5 each
    bands = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    thickness = sorted(
        round(float(band.get_path().vertices[7, 1] - band.get_path().vertices[0, 1]), 9) for band in bands
    )
    assert thickness == [0.2, 0.3, 0.5]
    for band in bands:  # each ends as thick as it starts, on the bars
        vertices = band.get_path().vertices
        assert vertices[4, 1] - vertices[3, 1] == pytest.approx(vertices[7, 1] - vertices[0, 1])
        assert (vertices[0, 0], vertices[3, 0]) == (WIDTH / 2, 1 - WIDTH / 2)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["p1", "p2"]
    assert ax.get_xlabel() == "distance 1.7; 80% of the mass changes its type"
    assert sorted(text.get_text() for text in ax.texts) == ["B", "B", "NK", "T"]


def test_thin_flows_can_be_left_out(plan):
    ax = sg.pl.plan(plan, "type", min_mass=0.25)
    assert len([patch for patch in ax.patches if isinstance(patch, PathPatch)]) == 2


def test_a_plan_from_the_tool_is_drawn(coupled):
    table = plan_table(coupled, "mode")
    assert table["mass"].sum() == pytest.approx(1.0)
    assert table["distance"].sum() == pytest.approx(coupled.uns["plan"]["distance"], rel=1e-9)


def test_many_types_have_a_color_each(plan):
    kinds = [f"t{i}" for i in range(12)]
    big = AnnData(
        csr_matrix(np.eye(12) / 12),
        obs=pd.DataFrame({"type": kinds}, index=kinds),
        var=pd.DataFrame({"type": kinds}, index=kinds),
        layers={"distance": csr_matrix(np.eye(12))},
        uns=plan.uns,
    )
    ax = sg.pl.plan(big, "type")
    drawn = [to_hex(patch.get_facecolor()) for patch in ax.patches if isinstance(patch, Rectangle)]
    assert drawn == 2 * [color.lower() for color in distinct(12)]


def make_big(plan, n, letters=8):
    """A plan of `n` types, the later the heavier, of which half of the mass moves to the next type."""
    kinds = [f"{i} ".ljust(letters, "x") for i in range(n)]
    mass = np.diag(np.arange(1.0, n + 1)) + np.diag(np.arange(1.0, n), 1)
    return AnnData(
        csr_matrix(mass / mass.sum()),
        obs=pd.DataFrame({"type": pd.Categorical(kinds, categories=kinds)}, index=kinds),
        var=pd.DataFrame({"type": pd.Categorical(kinds, categories=kinds)}, index=kinds),
        layers={"distance": csr_matrix(mass > 0, dtype=float)},
        uns=plan.uns,
    )


def test_of_many_types_the_heaviest_are_drawn_and_the_others_as_one(plan):
    big = make_big(plan, MOST + 5)
    whole = plan_table(big, "type")
    table, others = merged(whole)
    names = big.obs["type"].tolist()
    assert others == "5 other types"
    assert list(table["type_a"].cat.categories) == list(table["type_b"].cat.categories) == [*names[5:], others]
    np.testing.assert_allclose(table[["mass", "distance"]].sum(), whole[["mass", "distance"]].sum())
    flows = table.set_index(["type_a", "type_b"])["mass"]
    inside = whole["type_a"].isin(names[:5]) & whole["type_b"].isin(names[:5])
    assert flows[others, others] == pytest.approx(whole.loc[inside, "mass"].sum())
    assert flows[names[6], names[7]] == whole.set_index(["type_a", "type_b"])["mass"][names[6], names[7]]
    ax = sg.pl.plan(big, "type")
    moved = whole.loc[whole["type_a"].astype(str) != whole["type_b"].astype(str), "mass"].sum()
    assert f"{moved:.0%} of the mass" in ax.get_xlabel()  # with what moves among the others
    (bands,) = {p.get_alpha() for p in ax.patches if to_hex(p.get_facecolor()) == MISSING.lower()} - {None}
    assert bands == 0.35


def test_few_types_are_not_merged(plan):
    table = plan_table(plan, "type")
    assert merged(table)[0] is table
    assert merged(table)[1] is None


@pytest.mark.parametrize("n", [3, 23, 100])
@pytest.mark.parametrize("letters", [8, 40])
def test_the_figure_is_at_most_ten_inches_tall_and_names_do_not_overlap(plan, overlaps, n, letters):
    ax = sg.pl.plan(make_big(plan, n, letters), "type")
    assert ax.figure.get_size_inches()[1] < 10.0
    assert len(ax.texts) == 2 * min(n, MOST + 1)
    assert overlaps(ax.figure, *ax.texts, ax.xaxis) == []
    assert all(text.get_fontsize() > 8.0 for text in ax.texts)


def test_places_of_names_are_near_and_apart():
    np.testing.assert_allclose(spread(np.array([1.0, 5.0, 9.0]), 1.0, 10.0), [1.0, 5.0, 9.0])
    np.testing.assert_allclose(spread(np.array([1.0, 5.0, 5.0]), 1.0, 10.0), [1.0, 4.5, 5.5])
    np.testing.assert_allclose(spread(np.array([0.0, 0.1, 9.9, 10.0]), 1.0, 10.0), [0.5, 1.5, 8.5, 9.5])
    np.testing.assert_allclose(spread(np.zeros(5), 5.0, 10.0), [1.0, 3.0, 5.0, 7.0, 9.0])  # as far as there is room


@pytest.mark.parametrize("slot", ["obs", "var"])
def test_a_missing_column_is_told(plan, slot):
    del getattr(plan, slot)["type"]
    with pytest.raises(KeyError, match=rf"cell_type_key='type' is not a column of plan\.{slot}"):
        sg.pl.plan(plan, "type")


@pytest.mark.parametrize(("slot", "name"), [("uns", "plan"), ("layers", "distance")])
def test_what_is_no_plan_is_told(plan, slot, name):
    del getattr(plan, slot)[name]
    with pytest.raises(KeyError, match=rf"No '{name}' in plan\.{slot}; make it with plan = sg\.tl\.plan"):
        sg.pl.plan(plan, "type")
