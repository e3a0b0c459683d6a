import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _slots import assert_round_trip, assert_same, assert_same_table, slots

import scggml as sg

QUIET = {"n_jobs": 1, "progress": False}
COLUMNS = ["component", "gene", "pattern", "shift", "t", "higher_in", "loading", "share", "rank"]
OF_TYPES = ["component", "cell_type", "gene", "pattern", "shift", "t", "higher_in", "rank"]


def table_of(adata, key="ggml"):
    return adata.uns[f"{key}_genes"]["table"]


def rank(adata, **options):
    sg.tl.rank_genes(adata, **(QUIET | options))


def test_the_table_has_a_row_for_each_gene_and_component(counts):
    rank(counts)
    table = table_of(counts)
    assert list(table.columns) == COLUMNS
    assert list(table["component"].unique()) == ["ggml1", "ggml2", "ggml3", "ggml"]
    loadings = sg.get.metric(counts).loadings
    assert len(loadings) == 75  # the highly variable ones
    for i, name in enumerate(("ggml1", "ggml2", "ggml3")):
        part = table[table["component"] == name].set_index("gene")
        assert sorted(part.index) == sorted(counts.var_names)
        assert part["loading"].isna().sum() == 25
        used = part["loading"].dropna()
        pd.testing.assert_series_equal(used.sort_index(), loadings[name].sort_index(), check_names=False)
        np.testing.assert_array_equal(part.loc[counts.var_names, "pattern"], counts.varm["ggml_patterns"][:, i])


def test_pca_metrics_are_carried_back_to_genes(counts):
    rank(counts)
    whole = sg.get.rank_genes_df(counts).set_index("gene").loc[counts.var_names]
    W = counts.uns["ggml"]["components"]
    L = W @ counts.varm["PCs"].T
    used = counts.var["highly_variable"].to_numpy()
    truth = np.where(used, np.diag(L.T @ L), np.nan)
    np.testing.assert_allclose(whole["loading"], np.sqrt(truth), rtol=1e-6)
    np.testing.assert_allclose(whole["share"], truth / np.trace(L.T @ L), rtol=1e-6)


def test_shares_add_up(counts):
    rank(counts)
    table = table_of(counts)
    by_gene = table[table["component"] != "ggml"].groupby("gene")["share"].sum(min_count=1)
    whole = table[table["component"] == "ggml"].set_index("gene")["share"]
    pd.testing.assert_series_equal(by_gene.sort_index(), whole.sort_index(), check_names=False)
    assert whole.sum() == pytest.approx(1.0)
    by_component = table.groupby("component", observed=True)["share"].sum()
    np.testing.assert_allclose(by_component[["ggml1", "ggml2", "ggml3"]], sg.get.metric(counts).shares, rtol=1e-5)


@pytest.mark.parametrize("by", ["pattern", "loading"])
def test_the_strongest_gene_comes_first(counts, by):
    rank(counts, by=by)
    assert counts.uns["ggml_genes"]["params"]["by"] == by
    for _, part in table_of(counts).groupby("component", observed=True):
        assert part["rank"].tolist() == list(range(1, 101))
        assert (part[by].abs().dropna().diff().dropna() <= 0).all()
        assert part[by].isna().sum() == part[by].isna()[-25:].sum() == (25 if by == "loading" else 0)


def test_a_rotated_representation_has_the_same_ranking(counts):
    rank(counts)
    before = table_of(counts)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0]
    counts.obsm["X_turned"] = counts.obsm["X_pca"] @ turn
    sg.tl.ggml(counts, "sample_id", "label", use_rep="X_turned", n_comps=3, progress=False)
    rank(counts)
    after = table_of(counts)
    for name in ("ggml1", "ggml"):
        one, other = (t[t["component"] == name].set_index("gene").loc[counts.var_names] for t in (before, after))
        np.testing.assert_allclose(other["pattern"], one["pattern"], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(other["shift"], one["shift"], rtol=1e-6)
    assert after["loading"].isna().all()


def test_features_are_ranked_where_there_is_no_expression(counts):
    counts.X = None
    rank(counts)
    W = counts.uns["ggml"]["components"]
    assert not counts.uns["ggml_genes"]["params"]["of_genes"]
    assert "ggml_patterns" not in counts.varm
    table = sg.get.rank_genes_df(counts)
    assert sorted(table["gene"]) == sorted(f"X_pca_{i}" for i in range(10))
    table = table.set_index("gene").loc[[f"X_pca_{i}" for i in range(10)]]
    np.testing.assert_allclose(table["loading"], np.linalg.norm(W, axis=0))


@pytest.mark.parametrize("options", [{}, {"cell_type_key": "cell_type", "contrast": ["class1", "class0"]}])
def test_the_tables_survive_a_file(counts, tmp_path, options):
    rank(counts, **options)
    for read in assert_round_trip(counts, tmp_path):
        assert_same_table(sg.get.rank_genes_df(read), sg.get.rank_genes_df(counts))
        if options:
            found, truth = (sg.get.rank_genes_df(a, component=1, cell_type="type0") for a in (read, counts))
            assert_same_table(found, truth)


def test_a_gene_is_higher_where_its_mean_is(counts):
    rank(counts)
    first = sg.get.rank_genes_df(counts, component=1).set_index("gene")
    end = counts.uns["ggml"]["oriented_to"][0]
    means = counts.to_df().groupby(counts.obs["sample_id"], observed=True).mean()
    at_end = counts.obs.groupby("sample_id", observed=True)["label"].first() == end
    change = means[at_end].mean() - means[~at_end].mean()
    np.testing.assert_allclose(first["shift"], change[first.index], rtol=1e-5, atol=1e-6)
    (other,) = {"class0", "class1"} - {end}
    rank(counts, cell_type_key="cell_type")  # over all cells no gene is sure with so few samples
    typed = sg.get.rank_genes_df(counts, component=1, cell_type="type0").set_index("gene")
    named = typed[typed["higher_in"] != "neither"]
    assert len(named) > 0
    cells = counts[counts.obs["cell_type"] == "type0"]
    means = cells.to_df().groupby(cells.obs["label"], observed=True).mean()
    change = means.loc[end] - means.loc[other]
    assert (named["higher_in"] == np.where(change[named.index] > 0, end, other)).all()


@pytest.mark.parametrize("column", ["pattern", "loading"])
def test_a_positive_pattern_or_loading_is_that_of_a_gene_that_is_higher_at_the_positive_end(counts, column):
    """A gene that is twice as high in one class, all else the same."""
    rank(counts)
    first = sg.get.rank_genes_df(counts, component=1).set_index("gene")[column]
    end = counts.uns["ggml"]["oriented_to"][0]
    at_end = (counts.obs["label"] == end).to_numpy()
    change = counts.to_df()[at_end].mean() - counts.to_df()[~at_end].mean()
    planted = counts.var_names[counts.var["planted"] & counts.var["highly_variable"]]
    strongest = first[planted].abs().nlargest(3).index
    assert (np.sign(first[strongest]) == np.sign(change[strongest])).all()


def test_planted_genes_are_the_strongest_whether_or_not_the_metric_used_them(counts):
    rank(counts, cell_type_key="cell_type")
    planted = counts.var["planted"]
    assert planted.sum() == 10
    assert not counts.var["highly_variable"][planted].all()
    for options in ({}, {"component": 1}):
        assert planted[sg.get.rank_genes_df(counts, n_genes=11, **options)["gene"]].sum() == 10
    # in cells of the type where they were planted
    first = sg.get.rank_genes_df(counts, component=1, cell_type="type0", n_genes=10)
    assert planted[first["gene"]].all()
    assert (first["higher_in"] != "neither").sum() >= 8


def test_genes_are_ranked_by_type(counts):
    rank(counts, cell_type_key="cell_type")
    entry = counts.uns["ggml_genes"]
    types, table = entry["types"], entry["table"]
    assert list(types.columns) == OF_TYPES
    assert entry["params"]["cell_type_key"] == "cell_type"
    known = counts.obs["cell_type"].cat.categories.tolist()
    components = types["component"].unique()
    assert len(types) == len(known) * 100 * len(components)
    for name in components:
        whole = table[table["component"] == name].set_index("gene")[["pattern", "shift"]]
        parts = types[types["component"] == name]
        added = parts.groupby("gene")[["pattern", "shift"]].sum().loc[whole.index]
        np.testing.assert_allclose(added, whole, rtol=1e-6, atol=1e-9)
    for _, part in types.groupby(["component", "cell_type"], observed=True):
        assert part["rank"].tolist() == list(range(1, 101))
        assert (part["t"].abs().diff().dropna() <= 0).all()
    without = table.drop(columns="rank")
    rank(counts)
    assert "types" not in counts.uns["ggml_genes"]  # those of an earlier call are gone
    pd.testing.assert_frame_equal(table_of(counts).drop(columns="rank"), without)


def test_a_layer_takes_the_place_of_x(counts):
    rank(counts)
    truth = table_of(counts)
    counts.layers["logged"], counts.X = counts.X.copy(), counts.X * 0
    rank(counts, layer="logged")
    pd.testing.assert_frame_equal(table_of(counts), truth)
    assert counts.uns["ggml_genes"]["params"]["layer"] == "logged"


def test_raw_counts_are_ranked_as_if_they_were_normalized():
    adata = sg.datasets.synthetic_counts(n_samples=4, n_cells=15, n_genes=60, n_planted=6)
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=8)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=2, progress=False)
    rank(adata)
    truth = table_of(adata)
    rank(adata, layer="counts")
    found = table_of(adata)
    assert adata.uns["ggml_genes"]["params"]["log_normalized"]
    numbers = ["pattern", "shift", "t"]
    one, other = (t.set_index(["component", "gene"])[numbers].sort_index() for t in (found, truth))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_contrast_is_the_direction_of_all_components(learned):
    rank(learned)
    ends = learned.uns["ggml_genes"]["params"]
    assert set(ends["low"]) == {"class0"}  # the reference
    assert ends["high"].tolist() == [str(name) for name in learned.uns["ggml"]["oriented_to"]]
    rank(learned, contrast=("class2", "class1"))
    params, table = learned.uns["ggml_genes"]["params"], table_of(learned)
    assert (set(params["high"]), set(params["low"])) == ({"class2"}, {"class1"})
    assert list(params["contrast"]) == ["class2", "class1"]
    assert set(table["higher_in"]) <= {"class2", "class1", "neither"}
    means = learned.to_df().groupby(learned.obs["label"], observed=True).mean()  # samples are of one size
    for name in ("ggml1", "ggml2", "ggml"):
        shift = table[table["component"] == name].set_index("gene")["shift"]
        truth = (means.loc["class2"] - means.loc["class1"])[shift.index]
        np.testing.assert_allclose(shift, truth, rtol=1e-5, atol=1e-6)


def test_what_was_found_for_another_metric_is_not_in_the_table(counts):
    sg.tl.gene_stability(counts, 2, n_perm=19, **QUIET)
    rank(counts)
    assert {"lower", "p_value"} <= set(table_of(counts).columns)
    sg.tl.ggml(counts, "sample_id", "label", use_rep="X_pca", n_comps=2, progress=False)
    rank(counts)
    assert list(table_of(counts).columns) == COLUMNS


def test_stability_follows_its_genes(counts):
    sg.tl.gene_stability(counts, 2, n_perm=19, **QUIET)
    truth = table_of(counts).set_index(["component", "gene"])
    few = counts[:, counts.var_names[::-2]].copy()
    rank(few)
    table = table_of(few).set_index(["component", "gene"])
    assert len(table) == len(truth) / 2
    for name in ("loading", "lower", "upper", "frequency", "excess", "p_value", "p_adjusted"):
        pd.testing.assert_series_equal(table[name], truth.loc[table.index, name])
    for name in ("pattern", "shift"):
        np.testing.assert_allclose(table[name], truth.loc[table.index, name], rtol=1e-9, atol=1e-12)


def test_a_key_of_its_own(learned):
    learned.uns["tumor"] = learned.uns["ggml"]
    learned.varm["tumor"] = learned.varm["ggml"]
    rank(learned, key="tumor")
    assert set(table_of(learned, "tumor")["component"]) == {"tumor", "tumor1", "tumor2"}
    assert learned.varm["tumor_patterns"].shape == (4, 2)
    assert "ggml_genes" not in learned.uns


def test_a_copy_leaves_the_original_alone(learned):
    before = slots(learned)
    copied = sg.tl.rank_genes(learned, copy=True, **QUIET)
    assert_same(slots(learned), before)
    assert "ggml_genes" in copied.uns
    assert "ggml_patterns" in copied.varm
    with pytest.raises(KeyError, match="No learned metric"):
        sg.tl.rank_genes(learned, key="other", **QUIET)


def test_the_result_is_the_same_for_any_number_of_threads(counts):
    one, two = (
        sg.tl.rank_genes(counts, cell_type_key="cell_type", n_jobs=n, copy=True, progress=False) for n in (1, 2)
    )
    assert_same(slots(two), slots(one))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"by": "weight"}, ValueError, r"by='weight' is not known; choose from \('pattern', 'loading'\)"),
        ({"n_jobs": 0}, ValueError, "n_jobs=0 must be at least 1"),
        ({"cell_type_key": "type"}, KeyError, "cell_type_key='type' is not a column of adata.obs"),
        ({"cell_type_key": "holes"}, ValueError, "is missing for 2 of 108 cells"),
        ({"layer": "raw"}, KeyError, "layer='raw'"),
        ({"contrast": ("class1", "other")}, ValueError, r"must name two classes of adata.obs\['label'\], which has 'c"),
        ({"contrast": ("class1", "class1")}, ValueError, "must name two classes"),
        ({"contrast": "class1"}, ValueError, "contrast='class1' must name two classes"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(learned, options, error, message):
    learned.obs["holes"] = pd.Categorical([None, None] + ["x"] * (learned.n_obs - 2))
    before = slots(learned)
    with pytest.raises(error, match=message):
        rank(learned, **options)
    assert_same(slots(learned), before)


def test_loadings_of_a_metric_that_has_none_are_refused_and_nothing_is_written(learned):
    del learned.varm["ggml"]
    learned.obsm["X_other"] = learned.X[:, ::-1] / 2
    sg.tl.ggml(learned, "sample_id", "label", use_rep="X_other", n_comps=2, progress=False)
    before = slots(learned)
    with pytest.raises(ValueError, match=r'by="loading": the metric .* cannot be mapped to genes; pass by="pattern"'):
        rank(learned, by="loading")
    assert_same(slots(learned), before)


@pytest.mark.parametrize("contrast", [5, "class0", ("class0",), ("class0", "class0"), ("a", "b")])
def test_a_contrast_names_two_classes_in_order(counts, contrast):
    with pytest.raises(ValueError, match=r"contrast=.* must name two classes of adata\.obs\['label'\], .* such as"):
        sg.tl.rank_genes(counts, contrast=contrast, progress=False)


def test_a_set_has_no_order_of_classes(counts):
    with pytest.raises(TypeError, match=r"contrast=.* is a set, whose order is not the same in each run; pass a list"):
        sg.tl.rank_genes(counts, contrast={"class0", "class1"}, progress=False)
