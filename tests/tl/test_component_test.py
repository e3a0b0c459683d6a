"""Real components in the slots, in words and in figures."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _nulls import null_cohort
from _slots import assert_round_trip

import scggml as sg

QUIET = {"n_jobs": 1, "progress": False}


def planted(**options):
    adata = sg.datasets.synthetic_counts(n_samples=8, n_cells=30, n_genes=100, n_planted=8, n_types=2, rng=0)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=10)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", **(QUIET | options))
    return adata


def test_a_planted_difference_is_one_component(tmp_path):
    adata = planted()
    sg.tl.component_test(adata, n_perm=39, **QUIET)
    entry = adata.uns["ggml_components"]
    assert entry["real"].tolist() == [True, False, False, False, False]
    assert entry["p_values"][0] == pytest.approx(1 / 40)
    assert entry["verdict"].startswith("1 of 5 components is real (ggml1 p = 0.025")
    for read in assert_round_trip(adata, tmp_path):
        assert read.uns["ggml_components"]["verdict"] == entry["verdict"]


def test_figures_and_queries_take_real_components():
    adata = planted()
    sg.tl.rank_genes(adata, progress=False)
    before = len(sg.pl.loadings(adata))
    sg.tl.component_test(adata, n_perm=39, **QUIET)
    axes = sg.pl.loadings(adata)
    assert (before, len(axes)) == (5, 1)
    assert axes[0].get_title().startswith("ggml1")
    sets = {"first": adata.var_names[:20]}
    sg.ext.enrich_gmt(adata, sets, all_results=True)
    assert set(sg.get.enrichment_df(adata)["component"]) == {"ggml1"}


def test_auto_keeps_the_real_ones_and_a_second_axis_to_draw_on():
    adata = planted(n_comps="auto")
    assert adata.obsm["X_ggml"].shape[1] == 2
    assert adata.uns["ggml_components"]["real"].tolist() == [True, False]
    share = adata.uns["ggml"]["learned_share"]
    assert share[0] > 0.8 > share[1]
    assert adata.uns["ggml"]["learner"]["n_comps"] == 2
    sg.tl.cross_fit(adata, n_splits=3, **QUIET)  # refits learn two components, too
    assert adata.obsm["X_ggml_held_out"].shape[1] == 2


def test_a_cohort_without_signal_has_none_in_words():
    adata = null_cohort(3, n_donors=16, n_cells=8, n_genes=12)
    with pytest.warns(UserWarning, match="No component tells the labels apart more than those of permuted labels do"):
        sg.tl.ggml(adata, "sample", "label", n_comps="auto", **QUIET)
    assert not adata.uns["ggml_components"]["real"].any()


NOTHING = "shows more than those of permuted labels do"


def test_no_gene_or_type_is_surer_than_the_components():
    adata = null_cohort(3, n_donors=16, n_cells=8, n_genes=12)
    adata.obs["type"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "x", "y"))
    sg.tl.ggml(adata, "sample", "label", n_comps=2, **QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # held out no component has a direction
        sg.tl.cross_fit(adata, n_splits=4, **QUIET)
    with pytest.warns(UserWarning, match=NOTHING):
        sg.tl.gene_stability(adata, 0, n_perm=39, **QUIET)
    entry = adata.uns["ggml_components"]  # the test ran for this, at its defaults
    assert entry["params"]["n_perm"] == 199
    assert entry["p_any"] > 0.05
    assert sg.get.rank_genes_df(adata)["p_adjusted"].min() >= entry["p_any"]
    again = adata.copy()
    sg.tl.component_test(again, rng=entry["params"]["seed"], **QUIET)
    np.testing.assert_array_equal(again.uns["ggml_components"]["p_values"], entry["p_values"])
    with pytest.warns(UserWarning, match=NOTHING):
        sg.tl.attribute(adata, cell_type_key="type", held_out=True, n_perm=19, progress=False)
    types = adata.uns["ggml_attribution"]["types"].query("class_a != class_b")
    assert types[["p_adjusted_state", "p_adjusted_composition"]].to_numpy().min() >= entry["p_any"]


def test_a_test_that_has_run_is_not_run_again():
    adata = planted()
    sg.tl.component_test(adata, n_perm=39, **QUIET)
    sg.tl.gene_stability(adata, 0, n_perm=99, **QUIET)
    assert adata.uns["ggml_components"]["params"]["n_perm"] == 39
    assert sg.get.rank_genes_df(adata)["p_adjusted"].min() == pytest.approx(1 / 40)


def test_a_test_of_few_permutations_does_not_hide_genes():
    adata = planted()
    sg.tl.component_test(adata, n_perm=9, **QUIET)
    sg.tl.gene_stability(adata, 0, n_perm=49, **QUIET)
    assert sg.get.rank_genes_df(adata)["p_adjusted"].min() == pytest.approx(1 / 50)
    assert adata.uns["ggml_components"]["params"]["n_perm"] == 199


def test_a_test_of_other_donors_is_neither_read_nor_kept():
    adata = planted()
    codes = adata.obs["sample_id"].cat.codes
    adata.obs["donor"] = pd.Categorical("d" + (codes // 2).astype(str))
    sg.tl.component_test(adata, **QUIET)
    before = adata.uns["ggml_components"]["p_any"]
    sg.tl.gene_stability(adata, 0, groups_key="donor", n_perm=19, **QUIET)
    assert adata.uns["ggml_components"]["p_any"] == before
    least = sg.get.rank_genes_df(adata)["p_adjusted"].min()
    assert least >= 1 / 35  # eight donors of two classes, four of each
    adata.obs["other"] = pd.Categorical(np.where(codes % 2, "x", "y"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        sg.tl.cross_fit(adata, n_splits=4, **QUIET)
        adata.obs["type"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "x", "y"))
        sg.tl.attribute(adata, label_key="other", cell_type_key="type", held_out=True, n_perm=19, progress=False)
    assert adata.uns["ggml_components"]["p_any"] == before  # which says nothing about the other label


def test_an_older_test_is_run_again():
    adata = planted()
    sg.tl.component_test(adata, **QUIET)
    del adata.uns["ggml_components"]["p_any"]
    sg.tl.gene_stability(adata, 0, n_perm=19, **QUIET)
    assert "p_any" in adata.uns["ggml_components"]


def test_a_copy_gets_the_test_and_the_original_does_not():
    adata = planted()
    copied = sg.tl.gene_stability(adata, 0, n_perm=19, copy=True, **QUIET)
    assert "ggml_components" in copied.uns
    assert "ggml_components" not in adata.uns


def test_learned_shares_are_1_without_shrinkage_and_fall_with_it():
    shares = [planted(shrinkage=share).uns["ggml"]["learned_share"] for share in (0.0, 0.4, 1.0)]
    np.testing.assert_allclose(shares[0], 1.0, rtol=1e-6)
    assert 0.5 < shares[1][0] < 1.0
    np.testing.assert_allclose(shares[2], 0.0, atol=1e-6)


def test_a_test_of_another_metric_is_not_used():
    adata = planted()
    sg.tl.component_test(adata, n_perm=39, **QUIET)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=3, **QUIET)
    sg.tl.rank_genes(adata, progress=False)
    assert len(sg.pl.loadings(adata)) == 3


@pytest.mark.parametrize(
    ("options", "message"), [({"n_perm": 0}, "n_perm=0 must be at least 1"), ({"level": 1.5}, "level=1.5")]
)
def test_bad_input_is_refused(options, message):
    adata = planted()
    with pytest.raises(ValueError, match=message):
        sg.tl.component_test(adata, **QUIET, **options)


def test_another_word_than_auto_is_answered_with_the_choices():
    with pytest.raises(ValueError, match=r"n_comps=.all. is not known; pass a number"):
        planted(n_comps="all")
