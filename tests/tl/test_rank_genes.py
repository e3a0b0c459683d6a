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
