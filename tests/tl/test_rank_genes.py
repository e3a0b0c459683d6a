import numpy as np
import pandas as pd
import pytest
from _slots import assert_round_trip, assert_same, slots

import scggml as sg

COLUMNS = ["component", "gene", "loading", "sign", "share", "rank"]


def test_the_table_has_a_row_for_each_gene_and_component(counts):
    sg.tl.rank_genes(counts)
    table = counts.uns["ggml_genes"]
    assert list(table.columns) == COLUMNS
    loadings = sg.get.metric(counts).loadings
    assert len(loadings) == 75  # the highly variable ones
    assert list(table["component"].unique()) == ["ggml1", "ggml2", "ggml3", "ggml"]
    for name in ("ggml1", "ggml2", "ggml3"):
        part = table[table["component"] == name].set_index("gene")
        pd.testing.assert_series_equal(part["loading"].sort_index(), loadings[name].sort_index(), check_names=False)
        np.testing.assert_array_equal(part["sign"], np.sign(part["loading"]))


def test_pca_metrics_are_carried_back_to_genes(counts):
    sg.tl.rank_genes(counts)
    whole = sg.get.rank_genes_df(counts).set_index("gene")
    W = counts.uns["ggml"]["components"]
    L = W @ counts.varm["PCs"].T
    truth = pd.Series(np.diag(L.T @ L), index=counts.var_names)[whole.index]
    np.testing.assert_allclose(whole["loading"], np.sqrt(truth), rtol=1e-6)
    np.testing.assert_allclose(whole["share"], truth / np.trace(L.T @ L), rtol=1e-6)
    assert (whole["sign"] == 0).all()


def test_shares_add_up(counts):
    sg.tl.rank_genes(counts)
    table = counts.uns["ggml_genes"]
    by_gene = table[table["component"] != "ggml"].groupby("gene")["share"].sum()
    whole = table[table["component"] == "ggml"].set_index("gene")["share"]
    pd.testing.assert_series_equal(by_gene.sort_index(), whole.sort_index(), check_names=False)
    assert whole.sum() == pytest.approx(1.0)
    by_component = table.groupby("component")["share"].sum()
    np.testing.assert_allclose(by_component[["ggml1", "ggml2", "ggml3"]], sg.get.metric(counts).shares, rtol=1e-5)


def test_the_strongest_gene_comes_first(counts):
    sg.tl.rank_genes(counts)
    for _, part in counts.uns["ggml_genes"].groupby("component"):
        assert part["rank"].tolist() == list(range(1, 76))
        assert (part["loading"].abs().diff().dropna() <= 0).all()


def test_a_rotated_metric_has_the_same_ranking_as_a_whole(counts):
    sg.tl.rank_genes(counts)
    before = sg.get.rank_genes_df(counts)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    counts.varm["ggml"] = counts.varm["ggml"] @ turn
    sg.tl.rank_genes(counts)
    after = sg.get.rank_genes_df(counts)
    assert after["gene"].tolist() == before["gene"].tolist()
    np.testing.assert_allclose(after["share"], before["share"], rtol=1e-10)


def test_features_that_are_no_genes_are_ranked_themselves(counts):
    del counts.varm["ggml"]
    sg.tl.rank_genes(counts)
    W = counts.uns["ggml"]["components"]
    table = sg.get.rank_genes_df(counts)
    assert table["gene"][0] == f"X_pca_{np.argmax((W**2).sum(axis=0))}"
    assert len(table) == 10


def test_the_table_survives_a_file(counts, tmp_path):
    sg.tl.rank_genes(counts)
    for read in assert_round_trip(counts, tmp_path):
        pd.testing.assert_frame_equal(sg.get.rank_genes_df(read), sg.get.rank_genes_df(counts))


def test_a_positive_loading_is_that_of_a_gene_that_is_higher_at_the_positive_end(counts):
    """A gene that is twice as high in one class, all else the same."""
    sg.tl.rank_genes(counts)
    first = sg.get.rank_genes_df(counts, component=1).set_index("gene")["loading"]
    end = counts.uns["ggml"]["oriented_to"][0]
    at_end = (counts.obs["label"] == end).to_numpy()
    change = counts.to_df()[at_end].mean() - counts.to_df()[~at_end].mean()
    planted = counts.var_names[counts.var["planted"] & counts.var["highly_variable"]]
    strongest = first[planted].abs().nlargest(3).index
    assert (np.sign(first[strongest]) == np.sign(change[strongest])).all()


def test_what_was_found_for_another_metric_is_not_in_the_table(counts):
    sg.tl.gene_stability(counts, 2, n_perm=19, n_jobs=1, progress=False)
    sg.tl.rank_genes(counts)
    assert {"lower", "p_value"} <= set(counts.uns["ggml_genes"].columns)
    sg.tl.ggml(counts, "sample_id", "label", use_rep="X_pca", n_comps=2, progress=False)
    sg.tl.rank_genes(counts)
    assert list(counts.uns["ggml_genes"].columns) == COLUMNS


def test_stability_follows_its_genes(counts):
    sg.tl.gene_stability(counts, 2, n_perm=19, n_jobs=1, progress=False)
    truth = counts.uns["ggml_genes"].set_index(["component", "gene"])
    few = counts[:, counts.var_names[::-2]].copy()
    sg.tl.rank_genes(few)
    table = few.uns["ggml_genes"].set_index(["component", "gene"])
    assert len(table) < len(truth)
    for name in ("loading", "lower", "upper", "frequency", "excess", "p_value", "p_adjusted"):
        pd.testing.assert_series_equal(table[name], truth.loc[table.index, name])


def test_a_key_of_its_own(learned):
    learned.uns["tumor"] = learned.uns["ggml"]
    learned.varm["tumor"] = learned.varm["ggml"]
    sg.tl.rank_genes(learned, key="tumor")
    assert set(learned.uns["tumor_genes"]["component"]) == {"tumor", "tumor1", "tumor2"}


def test_a_copy_leaves_the_original_alone(learned):
    before = slots(learned)
    copied = sg.tl.rank_genes(learned, copy=True)
    assert_same(slots(learned), before)
    assert "ggml_genes" in copied.uns
    with pytest.raises(KeyError, match="No learned metric"):
        sg.tl.rank_genes(learned, key="other")
