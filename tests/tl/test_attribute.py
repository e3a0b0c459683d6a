"""Which cells add to the gap: sums that must be exact, and cell types that must come out."""

import importlib
import itertools

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _learning import SETTLED
from _metrics import metric_entry
from _slots import assert_round_trip, assert_same, slots

import scggml as sg

QUIET = {"progress": False}


def gap(adata, **options):
    """Mean distance between classes less that within, classes counting equally, from the matrix of distances."""
    samples = sg.tl.distances(adata, **(QUIET | options))
    D, labels = samples.obsp["ggml_distances"], samples.obs["label"].astype(str).to_numpy()
    names = sorted(set(labels))
    means = {
        (a, b): np.mean([D[p, q] for p in range(len(D)) for q in range(p) if {labels[p], labels[q]} == {a, b}])
        for a in names
        for b in names
        if a <= b
    }
    between = np.mean([value for (a, b), value in means.items() if a != b])
    within = np.mean([value for (a, b), value in means.items() if a == b])
    return between, within, means


@pytest.mark.parametrize("squared", [False, True])
def test_all_cells_add_up_to_the_gap(adata, squared):
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, squared=squared, **QUIET)
    sg.tl.attribute(adata, **QUIET)
    between, within, _ = gap(adata)
    entry = adata.uns["ggml_attribution"]
    assert entry["between"] == pytest.approx(between, rel=1e-9)
    assert entry["within"] == pytest.approx(within, rel=1e-9)
    assert adata.obs["ggml_attribution"].sum() == pytest.approx(between - within, rel=1e-9)


def test_weights_of_cells_count(learned):
    learned.obs["weight"] = np.random.default_rng(0).uniform(0.1, 1.0, learned.n_obs)
    sg.tl.attribute(learned, weights_key="weight", **QUIET)
    between, within, _ = gap(learned, weights_key="weight")
    assert learned.obs["ggml_attribution"].sum() == pytest.approx(between - within, rel=1e-9)


def test_the_excess_of_all_cells_has_the_gap_as_its_mean(learned):
    sg.tl.attribute(learned, **QUIET)
    by_sample = learned.obs.groupby("sample_id", observed=True)
    means = by_sample["ggml_excess"].mean().groupby(by_sample["label"].first(), observed=True).mean()
    assert means.mean() == pytest.approx(learned.uns["ggml_attribution"]["gap"], rel=1e-9)


def test_the_order_of_the_cells_does_not_matter(learned):
    order = np.random.default_rng(0).permutation(learned.n_obs)
    shuffled = learned[order].copy()
    sg.tl.attribute(learned, **QUIET)
    sg.tl.attribute(shuffled, **QUIET)
    for column in ("ggml_attribution", "ggml_excess"):
        found = shuffled.obs[column][learned.obs_names]
        np.testing.assert_allclose(found, learned.obs[column], rtol=1e-9, atol=1e-12)


def test_cells_that_took_no_part_have_no_numbers(learned):
    learned.obs["sample_id"] = learned.obs["sample_id"].astype(str)
    spare = learned.obs_names[:3]
    learned.obs.loc[spare, "sample_id"] = "tiny"
    with pytest.warns(UserWarning, match="'tiny' \\(3\\)"):
        sg.tl.attribute(learned, n_cells=5, min_cells=4, rng=np.random.default_rng(3), **QUIET)
    found = learned.obs["ggml_attribution"].notna()
    assert not found[spare].any()
    assert (found.groupby(learned.obs["sample_id"]).sum().drop("tiny") == 5).all()
    assert learned.obs["ggml_attribution"].sum() == pytest.approx(learned.uns["ggml_attribution"]["gap"], rel=1e-9)
    with pytest.warns(UserWarning, match="tiny"):
        between, within, _ = gap(learned, n_cells=5, min_cells=4, rng=np.random.default_rng(3))
    assert learned.uns["ggml_attribution"]["gap"] == pytest.approx(between - within, rel=1e-9)


def test_tables_of_types_add_up(learned):
    sg.tl.attribute(learned, cell_type_key="mode", **QUIET)
    _, _, means = gap(learned)
    entry = learned.uns["ggml_attribution"]
    types, flows = entry["types"], entry["flows"]
    for (a, b), part in types.groupby(["class_a", "class_b"]):
        assert part["distance"].sum() == pytest.approx(means[a, b], rel=1e-9)
        assert part["mass"].sum() == pytest.approx(1.0)
        own = (means[a, a] + means[b, b]) / 2
        assert part["excess"].sum() == pytest.approx(means[a, b] - own, rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(types["same_type"] + types["other_type"], types["distance"], rtol=1e-12)
    np.testing.assert_allclose(
        types["excess_same_type"] + types["excess_other_type"], types["excess"], rtol=1e-9, atol=1e-12
    )
    for (a, b), part in flows.groupby(["class_a", "class_b"]):
        assert part["mass"].sum() == pytest.approx(1.0)
        assert part["distance"].sum() == pytest.approx(means[a, b], rel=1e-9)
    other = types["class_a"] != types["class_b"]
    by_type = types[other].groupby("cell_type")["excess"].sum() / 3  # three pairs of classes
    of_cells = learned.obs.groupby("mode", observed=True)["ggml_attribution"].sum()
    np.testing.assert_allclose(by_type[of_cells.index], of_cells, rtol=1e-9)


def test_pairs_can_be_solved_some_at_a_time(learned, monkeypatch):
    whole = sg.tl.attribute(learned, cell_type_key="mode", copy=True, **QUIET)
    monkeypatch.setattr(importlib.import_module("scggml._anndata.contributions"), "PAIRS", 5)  # of 36
    sg.tl.attribute(learned, cell_type_key="mode", **QUIET)
    np.testing.assert_allclose(learned.obs["ggml_excess"], whole.obs["ggml_excess"], rtol=1e-9, atol=1e-12)
    for name in ("types", "flows"):
        found, truth = (adata.uns["ggml_attribution"][name] for adata in (learned, whole))
        pd.testing.assert_frame_equal(found, truth, rtol=1e-9, atol=1e-12)


def test_mass_that_moves_is_told_from_mass_that_stays(make_two):
    """Class b has half of the x that class a has: half of the mass must become y, and x itself looks the same."""
    adata = make_two(a={"x": 4}, b={"x": 2, "y": 2})
    with pytest.warns(UserWarning, match=r"1 of the 2 types .* occur in one class only: 'y' \(b\)"):
        sg.tl.attribute(adata, cell_type_key="type", **QUIET)
    flows = adata.uns["ggml_attribution"]["flows"]
    flows = flows[flows["class_a"] != flows["class_b"]].set_index(["type_a", "type_b"])
    assert flows["mass"].to_dict() == pytest.approx({("x", "x"): 0.5, ("x", "y"): 0.5})
    assert flows["distance"].to_dict() == pytest.approx({("x", "x"): 0.0, ("x", "y"): 5.0})  # y is 10 away
    types = adata.uns["ggml_attribution"]["types"]
    types = types[types["class_a"] != types["class_b"]].set_index("cell_type")
    assert types.loc["x", "moved"] == pytest.approx(0.25 / 0.75)
    assert types.loc["y", "moved"] == pytest.approx(1.0)
    assert types["excess_same_type"].abs().max() == pytest.approx(0.0)
    assert types["excess_other_type"].to_dict() == pytest.approx({"x": 2.5, "y": 2.5})


def test_a_type_that_looks_different_is_told_from_one_that_is_more_frequent(make_two):
    adata = make_two(a={"x": 2, "y": 2}, b={"x": 2, "y": 2}, shift=3.0)  # x of class b is shifted by 3
    sg.tl.attribute(adata, cell_type_key="type", **QUIET)
    types = adata.uns["ggml_attribution"]["types"]
    types = types[types["class_a"] != types["class_b"]].set_index("cell_type")
    assert types["moved"].to_dict() == pytest.approx({"x": 0.0, "y": 0.0})
    assert types["excess_same_type"].to_dict() == pytest.approx({"x": 1.5, "y": 0.0})
    assert (adata.obs["ggml_excess"].groupby(adata.obs["type"], observed=True).mean().round(9)).to_dict() == {
        "x": 3.0,
        "y": 0.0,
    }


@pytest.fixture
def make_two():
    """Two samples of each of two classes, of cells at 0 (type x) and 10 (type y) on the one axis of the metric."""

    def make(*, a, b, shift=0.0):
        place = {"x": 0.0, "y": 10.0}
        rows = [
            (f"{label}{n}", label, kind, place[kind] + (shift if (label, kind) == ("b", "x") else 0.0))
            for label, kinds in (("a", a), ("b", b))
            for n in range(2)
            for kind, times in kinds.items()
            for _ in range(times)
        ]
        obs = pd.DataFrame(rows, columns=["sample", "label", "type", "z"])
        obs.index = [f"cell{i}" for i in range(len(obs))]
        adata = ad.AnnData(obs["z"].to_numpy()[:, None].copy(), obs=obs.drop(columns="z"))
        adata.uns["ggml"] = metric_entry(np.ones((1, 1)), ["0"], sample_key="sample")
        adata.obsm["X_ggml"] = adata.X.copy()
        return adata

    return make


@pytest.mark.parametrize("seed", range(10))
def test_the_planted_type_comes_first(seed):
    adata = sg.datasets.synthetic_counts(n_samples=6, n_cells=40, n_genes=200, log_fold_change=2.0, rng=seed)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=15)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=2, **QUIET)
    sg.tl.attribute(adata, cell_type_key="cell_type", **QUIET)
    types = adata.uns["ggml_attribution"]["types"]
    types = types[types["class_a"] != types["class_b"]]
    assert types.loc[types["excess"].idxmax(), "cell_type"] == "type0"
    per_cell = adata.obs.groupby("cell_type", observed=True)["ggml_excess"].mean()
    assert per_cell.idxmax() == "type0"


@pytest.mark.parametrize("design", [{"label_kind": ["class0", "class1", "class2"]}, {"batch_key": "batch"}], ids=str)
def test_all_cells_add_up_to_the_gap_of_the_study_design(adata, design):
    adata.obs["batch"] = pd.Categorical(adata.obs["sample_id"].str[-1].isin(["0", "1"]).map({True: "b0", False: "b1"}))
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, **design, **QUIET)
    sg.tl.attribute(adata, **QUIET)
    samples = sg.tl.distances(adata, **QUIET)
    D, label = samples.obsp["ggml_distances"], samples.obs["label"].cat.codes.to_numpy()
    batch = samples.obs["batch"].to_numpy()
    means = {}
    for a, b in itertools.combinations_with_replacement(range(3), 2):
        pairs = [(p, q) for p, q in itertools.combinations(range(9), 2) if {label[p], label[q]} == {a, b}]
        if "batch_key" in design and a != b:
            pairs = [(p, q) for p, q in pairs if batch[p] == batch[q]]
        means[a, b] = np.mean([D[pair] for pair in pairs])
    steps = {(a, b): (a - b) ** 2 if "label_kind" in design else 1 for a, b in means if a != b}
    between = sum(steps[pair] * means[pair] for pair in steps) / sum(steps.values())
    within = np.mean([means[a, a] for a in range(3)])
    entry = adata.uns["ggml_attribution"]
    assert (entry["between"], entry["within"]) == pytest.approx((between, within), rel=1e-9)
    assert adata.obs["ggml_attribution"].sum() == pytest.approx(between - within, rel=1e-9)


def test_numbers_have_no_classes_to_attribute_to(adata):
    adata.obs["age"] = 20.0 + adata.obs["sample_id"].cat.codes
    sg.tl.ggml(adata, "sample_id", "age", label_kind="numbers", n_comps=2, **QUIET)
    before = slots(adata)
    with pytest.raises(
        ValueError, match=r"label_key='age' holds numbers, .* Pass a label_key with classes, such as ranges"
    ):
        sg.tl.attribute(adata, **QUIET)
    assert_same(slots(adata), before)
    sg.tl.attribute(adata, label_key="label", **QUIET)
    assert adata.uns["ggml_attribution"]["params"]["label_key"] == "label"


def test_results_survive_a_file(learned, tmp_path):
    sg.tl.attribute(learned, cell_type_key="mode", **QUIET)
    assert_round_trip(learned, tmp_path)


def test_cells_without_types_have_no_tables(learned):
    sg.tl.attribute(learned, **QUIET)
    assert set(learned.uns["ggml_attribution"]) == {
        "between",
        "within",
        "gap",
        "seen",
        "params",
        "fingerprint",
        "checksums",
    }


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"key": "other"}, KeyError, "No learned metric"),
        ({"cell_type_key": "type"}, KeyError, "cell_type_key='type' is not a column of adata.obs"),
        ({"cell_type_key": "holes"}, ValueError, "is missing for 2 of 108 cells"),
        ({"label_key": "one"}, ValueError, "has one class only"),
        ({"n_cells": 0}, ValueError, "n_cells=0 must be at least 1"),
        ({"n_jobs": 0}, ValueError, "n_jobs=0 must be at least 1"),
        ({"rng": "seed"}, TypeError, "rng='seed' must be a whole number"),
        ({"rng": True}, TypeError, "rng=True must be a whole number"),
        ({"summary": 5}, TypeError, "summary is a int"),
        ({"solver": "fast"}, ValueError, "solver='fast' is not known"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(learned, options, error, message):
    learned.obs["holes"] = pd.Categorical([None, None] + ["x"] * (learned.n_obs - 2))
    learned.obs["one"] = "all"
    before = slots(learned)
    with pytest.raises(error, match=message):
        sg.tl.attribute(learned, **(QUIET | options))
    assert_same(slots(learned), before)


def test_a_view_becomes_an_adata_of_its_own(learned):
    view = learned[learned.obs["label"] != "class2"]
    sg.tl.attribute(view, cell_type_key="mode", **QUIET)
    sg.tl.rank_genes(view, **QUIET)
    assert not view.is_view
    assert view.obs["ggml_attribution"].sum() == pytest.approx(view.uns["ggml_attribution"]["gap"], rel=1e-9)
    assert "ggml_attribution" not in learned.obs


def test_a_copy_leaves_the_original_alone(learned):
    before = slots(learned)
    copied = sg.tl.attribute(learned, copy=True, **QUIET)
    assert_same(slots(learned), before)
    assert "ggml_attribution" in copied.obs


def gate(adata):
    """Cell types of the CyTOF panel by thresholds on its lineage markers."""
    X = adata.to_df()
    rules = {
        "T": X["CD3"] > 1.5,
        "myeloid": (X["CD33"] > 1) | (X["CD14"] > 1.5),
        "B": (X["CD20"] > 1) | ((X["IgM"] > 1) & (X["HLA-DR"] > 1)),
    }
    return pd.Categorical(np.select(list(rules.values()), list(rules), "other"))


@pytest.mark.real
def test_stimulated_cells_show_the_known_markers_with_their_signs(data_dir):
    """Bodenmiller et al. 2012: the B cell receptor raises pS6 and pErk and lowers pNFkB, most of all in B cells."""
    adata = ad.read_h5ad(data_dir / "bcrxl_catalyst.h5ad")
    adata.obs["cell_type"] = gate(adata)
    states = (adata.var["marker_class"] == "state").to_numpy()
    shifts = {}
    for name, cells in (("all", adata), ("B", adata[adata.obs["cell_type"] == "B"].copy())):
        sg.tl.ggml(cells, "sample_id", "label", n_comps=2, n_cells=60, mask_var=states, **SETTLED, **QUIET)
        sg.tl.gene_stability(cells, 0, "patient_id", n_perm=19, n_jobs=1, **QUIET)
        table = sg.get.rank_genes_df(cells, component=1).set_index("gene")
        z = pd.Series(cells.obsm["X_ggml"][:, 0]).groupby(cells.obs["label"].to_numpy()).mean()
        shifts[name] = table["loading"] * np.sign(z["BCRXL"] - z["Ref"])
        assert (shifts[name][["pS6", "pErk"]] > 0).all()
        assert shifts[name]["pNFkB"] < 0
        toward = 1 if cells.uns["ggml_genes"]["params"]["high"][0] == "BCRXL" else -1
        assert (toward * table["shift"][["pS6", "pErk"]] > 0).all()
        assert table["higher_in"][["pS6", "pNFkB"]].tolist() == ["BCRXL", "Ref"]
        top = table.sort_values("excess", ascending=False).index
        assert {"pS6", "pNFkB"} <= set(top[:4])
        assert top[0] == {"all": "pNFkB", "B": "pS6"}[name]
    assert "pErk" in top[:4]

    sg.tl.attribute(adata, cell_type_key="cell_type", n_cells=60, **QUIET)
    assert adata.obs["ggml_attribution"].sum() == pytest.approx(adata.uns["ggml_attribution"]["gap"], rel=1e-9)
