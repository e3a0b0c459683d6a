"""Refits: that they are what they say, and that they tell planted genes from others."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _slots import assert_round_trip, assert_same, slots
from scipy.linalg import orthogonal_procrustes

import scggml as sg
from scggml._anndata.metric import read_stored
from scggml._core.explain.resample import deal_labels
from scggml._core.transport.pairs import all_pairs
from scggml.tl import _gene_stability as module
from scggml.tl._refit import read_refit, run_all

QUICK = {"n_jobs": 1, "progress": False}
SIZES = {"n_genes": 100, "n_planted": 10, "n_samples": 16, "n_cells": 16, "n_types": 2, "log_fold_change": 2.0}


def planted(seed, *, shrinkage="auto", **options):
    """Genes of one type differ between two classes of 16 donors; the metric is canonical on ten scaled components."""
    adata = sg.datasets.synthetic_counts(**(SIZES | options), rng=seed)
    adata.X = adata.X.toarray()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.scale(adata)
    sc.pp.pca(adata, n_comps=10)
    learn(adata, shrinkage=shrinkage)
    return adata


def learn(adata, **options):
    start = sg.tl.Canonical(ridge=0.1)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=2, init=start, progress=False, **options)


@pytest.fixture(scope="module")
def _small():
    return planted(0, n_samples=5, n_cells=8, n_genes=60, n_planted=4)


@pytest.fixture
def small(_small):
    """Ten donors of 8 cells."""
    return _small.copy()


# What it must show


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_genes_are_the_significant_ones(seed):
    adata = planted(seed, shrinkage=0.0)
    sg.tl.gene_stability(adata, 0, n_perm=40, **QUICK)
    found = sg.get.rank_genes_df(adata, max_p_adjusted=0.05)["gene"]
    true = adata.var.loc[found, "planted"]
    assert true.sum() >= 9
    assert (~true).sum() <= 0.1 * len(found)


def test_planted_genes_are_the_significant_ones_of_the_default():
    right = []
    for seed in range(3):
        adata = planted(seed)
        sg.tl.gene_stability(adata, 0, n_perm=40, **QUICK)
        found = sg.get.rank_genes_df(adata, max_p_adjusted=0.05)["gene"]
        right += adata.var.loc[found, "planted"].tolist()
    assert sum(right) >= 27  # of 30
    assert len(right) - sum(right) <= 0.1 * len(right)


def test_genes_that_mean_nothing_are_not_reported():
    """Of 20 cohorts of shuffled labels, one may report genes at 5 %; the deals of one cohort serve as these."""
    adata = planted(3, n_planted=0, n_samples=8, n_cells=8)
    stored = read_stored(adata, "ggml")
    refit = read_refit(adata, stored, sg.tl.Exact())
    rng = np.random.default_rng(0)
    labels, donors = refit.cohort.labels, np.arange(refit.cohort.n_samples)
    numbers = np.stack([refit.excess(deal_labels(labels, donors, rng), 0) for _ in range(40)])
    found = [module.pooled_significance(numbers[b], np.delete(numbers, b, axis=0))[1].min() <= 0.05 for b in range(40)]
    assert sum(found) <= 2


def test_planted_genes_are_stable():
    adata = planted(0)
    sg.tl.gene_stability(adata, 20, n_perm=0, n_top=10, **QUICK)
    table = sg.get.rank_genes_df(adata).set_index("gene")
    is_planted = adata.var["planted"][table.index]
    assert table.loc[is_planted, "frequency"].min() > table.loc[~is_planted, "frequency"].max()
    first = sg.get.rank_genes_df(adata, component=1).set_index("gene")[lambda t: adata.var["planted"][t.index]]
    assert (np.sign(first["lower"]) == np.sign(first["upper"])).all()  # no interval of a planted gene holds 0


@pytest.mark.real
def test_a_cohort_without_signal_has_no_significant_gene(data_dir):
    adata = ad.read_h5ad(data_dir / "onek1k_scdesignpop.h5ad")
    adata = adata[adata.obs["sample_id"].isin(adata.obs["sample_id"].unique()[:20])].copy()
    start = sg.tl.Canonical(ridge=0.1)
    options = {"n_comps": 2, "init": start, "max_iter": 0, "n_cells": 30, "progress": False}
    rng = np.random.default_rng(0)
    dealt = dict(zip(adata.obs["sample_id"].unique(), rng.permutation(np.repeat(["a", "b"], 10)), strict=True))
    adata.obs["dealt"] = adata.obs["sample_id"].map(dealt).astype("category")
    adata.varm["PCs"] = np.linalg.qr(rng.normal(size=(adata.n_vars, 30)))[0]
    sg.tl.ggml(adata, "sample_id", "dealt", use_rep="X_pca", **options)
    sg.tl.gene_stability(adata, 0, n_perm=29, **QUICK)
    assert sg.get.rank_genes_df(adata)["p_adjusted"].min() > 0.05


# That it is what it says


def test_excess_adds_up_to_the_share_of_the_gap(small):
    sg.tl.gene_stability(small, 0, n_perm=19, **QUICK)
    samples = sg.tl.distances(small, progress=False)
    D, labels = samples.obsp["ggml_distances"], samples.obs["label"].to_numpy()
    same = labels[:, None] == labels[None, :]
    first, second = (labels == name for name in np.unique(labels))
    off = ~np.eye(len(D), dtype=bool)
    within = np.mean([D[np.ix_(own, own)][off[np.ix_(own, own)]].mean() for own in (first, second)])
    assert sg.get.rank_genes_df(small)["excess"].sum() == pytest.approx(1 - within / D[~same].mean(), rel=1e-4)


def assert_same_metric(found, truth):
    """Equal up to rotation and scale."""
    thetas = [W.T @ W / np.linalg.norm(W) ** 2 for W in (found, truth)]
    np.testing.assert_allclose(*thetas, rtol=1e-7, atol=1e-10)


def test_a_refit_with_the_stored_parameters_is_the_stored_metric(small):
    for options in (
        {"max_iter": 0},
        {"max_iter": 0, "shrinkage": 0.2},
        {"max_iter": 6, "tol": 0, "reg": 0.3, "penalty": "l21"},
        {"margin": 2.0, "max_iter": 3, "tol": 0},
    ):
        sg.tl.ggml(small, "sample_id", "label", use_rep="X_pca", n_comps=2, progress=False, n_cells=6, rng=5, **options)
        stored = read_stored(small, "ggml")
        refit = read_refit(small, stored, sg.tl.Exact())
        assert_same_metric(refit.components(refit.cohort, 0), stored.components)


@pytest.mark.parametrize("init", ["pca", sg.tl.Canonical(ridge=0.5, n_alternations=2, max_features=7)])
def test_a_refit_starts_as_the_metric_did(small, init):
    sg.tl.ggml(small, "sample_id", "label", use_rep="X_pca", n_comps=2, init=init, max_iter=0, progress=False)
    stored = read_stored(small, "ggml")
    refit = read_refit(small, stored, sg.tl.Exact())
    assert refit.learner.init == init
    assert_same_metric(refit.components(refit.cohort, 0), stored.components)


def test_a_metric_of_coresets_is_learned_again_on_the_same_coresets(small):
    options = {
        "use_rep": "X_pca",
        "n_comps": 2,
        "max_iter": 0,
        "progress": False,
        "summary": sg.tl.Coreset(4, max_iter=3),
    }
    sg.tl.ggml(small, "sample_id", "label", rng=2, **options)
    stored = read_stored(small, "ggml")
    refit = read_refit(small, stored, sg.tl.Exact())
    assert refit.cohort.sizes.tolist() == [4] * 10
    assert_same_metric(refit.components(refit.cohort, 0), stored.components)
    with pytest.warns(UserWarning, match="reached max_iter"):
        sg.tl.ggml(small, "sample_id", "label", refine=1, **(options | {"max_iter": 2}))
    with pytest.raises(ValueError, match=r"was refined on all cells after learning on Coreset\(n_points=4"):
        sg.tl.gene_stability(small, **QUICK)


def test_intervals_and_frequencies_are_those_of_metrics_learned_by_hand(small):
    sg.tl.gene_stability(small, 4, n_perm=0, n_top=5, level=0.5, rng=3, **QUICK)
    found = small.uns["ggml_stability"]
    rng = np.random.default_rng(3)
    rng.integers(2**63, size=4)
    names = small.obs["sample_id"].unique()
    codes = small.obs.drop_duplicates("sample_id")["label"].cat.codes.to_numpy()
    reference = sg.get.metric(small).loadings.to_numpy()
    aligned = []
    for _ in range(4):
        drawn = module.draw_donors(codes, np.arange(10), rng)
        parts = [small[small.obs["sample_id"] == names[p]].copy() for p in drawn]
        again = ad.concat(parts, label="draw", index_unique="-", merge="same")
        again.varm["PCs"] = small.varm["PCs"]
        sg.tl.ggml(
            again,
            "draw",
            "label",
            use_rep="X_pca",
            n_comps=2,
            init=sg.tl.Canonical(ridge=0.1),
            max_iter=0,
            progress=False,
        )
        L = sg.get.metric(again).loadings.to_numpy()
        turn, _ = orthogonal_procrustes(L, reference)
        aligned.append(L @ turn * np.linalg.norm(reference) / np.linalg.norm(L))
    aligned = np.array(aligned)
    np.testing.assert_allclose(found["lower"][:, :2], np.quantile(aligned, 0.25, axis=0), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found["upper"][:, :2], np.quantile(aligned, 0.75, axis=0), rtol=1e-6, atol=1e-8)
    ranks = np.argsort(np.argsort(-np.abs(aligned[..., 0]), axis=1), axis=1)
    np.testing.assert_allclose(found["frequency"][:, 0], (ranks < 5).mean(axis=0))
    whole = np.linalg.norm(aligned, axis=2)
    np.testing.assert_allclose(found["upper"][:, 2], np.quantile(whole, 0.75, axis=0), rtol=1e-6)


def test_the_result_is_the_same_for_any_number_of_processes(small):
    one = sg.tl.gene_stability(small, 3, n_perm=19, n_jobs=1, progress=False, copy=True)
    two = sg.tl.gene_stability(small, 3, n_perm=19, n_jobs=2, progress=False, copy=True)
    assert_same(slots(two), slots(one))
    other = sg.tl.gene_stability(small, 3, n_perm=19, rng=1, copy=True, **QUICK)
    assert not np.array_equal(other.uns["ggml_stability"]["lower"], one.uns["ggml_stability"]["lower"])


def test_labels_of_paired_donors_are_dealt_within_them(small):
    small.obs["donor"] = small.obs["sample_id"].astype(str).str[-2:]  # class0_01 and class1_01 are of one donor
    with pytest.warns(UserWarning, match=r"below 0\.062, since labels can be dealt to these donors in 16 ways only"):
        sg.tl.gene_stability(small, 2, "donor", n_perm=30, **QUICK)
    assert small.uns["ggml_stability"]["params"]["groups_key"] == "donor"


def test_too_few_deals_are_told(small):
    with pytest.warns(UserWarning, match=r"below 0\.2, since n_perm=4\. Raise n_perm"):
        sg.tl.gene_stability(small, 0, n_perm=4, **QUICK)


def test_results_join_the_ranking_and_survive_a_file(small, tmp_path):
    sg.tl.gene_stability(small, 2, n_perm=19, **QUICK)
    table = sg.get.rank_genes_df(small)
    assert list(table.columns[6:]) == ["lower", "upper", "frequency", "excess", "p_value", "p_adjusted"]
    for read in assert_round_trip(small, tmp_path):
        sg.tl.rank_genes(read)  # does not forget what it took long to find
        pd.testing.assert_frame_equal(sg.get.rank_genes_df(read), table)


def test_what_was_found_for_another_metric_is_not_shown(small):
    sg.tl.gene_stability(small, 2, n_perm=0, **QUICK)
    sg.tl.ggml(small, "sample_id", "label", use_rep="X_pca", n_comps=2, shrinkage=0.1, progress=False)
    sg.tl.rank_genes(small)
    assert "lower" not in sg.get.rank_genes_df(small)


def test_genes_themselves_can_be_the_features(small):
    sg.tl.ggml(small, "sample_id", "label", n_comps=1, max_iter=0, progress=False)
    sg.tl.gene_stability(small, 2, n_perm=19, **QUICK)
    assert len(sg.get.rank_genes_df(small)) == 60


def test_features_that_are_no_genes_are_tested_themselves(small):
    del small.varm["PCs"]
    learn(small)
    sg.tl.gene_stability(small, 2, n_perm=19, **QUICK)
    assert sorted(sg.get.rank_genes_df(small)["gene"]) == sorted(f"X_pca_{i}" for i in range(10))


def test_a_pair_that_was_not_solved_is_told(small):
    with pytest.warns(UserWarning, match="stopped before the optimum"):
        sg.tl.gene_stability(small, 2, n_perm=0, solver=sg.tl.Exact(max_iter=3, backend="pot"), **QUICK)


def _warn(number):
    warnings.warn("as before", stacklevel=1)
    return np.full(2, number)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_every_refit_warns_of_is_told_once(n_jobs):
    with pytest.warns(UserWarning, match="as before") as caught:
        found = run_all(_warn, [(1.0,), (2.0,), (3.0,)], n_jobs=n_jobs, progress=None)
    assert len(caught) == 1
    np.testing.assert_array_equal(found, [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])


# What is refused


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_boot": -1}, ValueError, "n_boot=-1 must be at least 0"),
        ({"n_boot": 1}, ValueError, "n_boot=1 and n_perm=100 leave nothing to do"),
        ({"n_boot": 0, "n_perm": 0}, ValueError, "leave nothing to do; pass n_boot >= 2 or n_perm >= 1"),
        ({"n_top": 0}, ValueError, "n_top=0 must be at least 1"),
        ({"level": 1.0}, ValueError, "level=1.0 must be a share in"),
        ({"groups_key": "donor"}, KeyError, "groups_key='donor' is not a column of adata.obs"),
        ({"groups_key": "cell_type"}, ValueError, "samples have cells of more than one donor"),
        ({"key": "other"}, KeyError, "No learned metric"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(small, options, error, message):
    before = slots(small)
    with pytest.raises(error, match=message):
        sg.tl.gene_stability(small, **(QUICK | options))
    assert_same(slots(small), before)


def test_a_metric_from_an_array_cannot_be_learned_again(small):
    sg.tl.ggml(small, "sample_id", "label", use_rep="X_pca", n_comps=2, init=np.eye(2, 10), max_iter=0, progress=False)
    with pytest.raises(ValueError, match="was learned from an array"):
        sg.tl.gene_stability(small, **QUICK)


def test_an_interrupted_run_writes_nothing(small, monkeypatch):
    before = slots(small)
    calls = []

    def interrupt(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.zeros((2, 60))

    monkeypatch.setattr("scggml.tl._refit.Refit.loadings", interrupt)
    with pytest.raises(KeyboardInterrupt), warnings.catch_warnings():
        sg.tl.gene_stability(small, 5, **QUICK)
    assert_same(slots(small), before)


def test_a_draw_of_donors_leaves_no_pair_out():
    """A drawn cohort has as many samples, so as many pairs, as the cohort."""
    labels, groups = np.repeat([0, 1], 4), np.arange(8)
    drawn = module.draw_donors(labels, groups, np.random.default_rng(0))
    assert len(all_pairs(len(drawn))) == 28
