"""Refits: that they are what they say, and that they tell planted genes from others."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _metrics import mark
from _slots import assert_round_trip, assert_same, assert_same_table, slots
from scipy import stats
from scipy.linalg import orthogonal_procrustes

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml._anndata.points import read_points
from scggml._core.explain.refit import Refit
from scggml._core.explain.significance import align, pooled_significance
from scggml._core.labelings import draw_donors, permutation_blocks, permute
from scggml._core.learn.canonical import canonical_metric
from scggml._core.learn.pair_weights import weigh_pairs
from scggml._core.learn.shrinkage import shrink
from scggml._core.transport.pairs import all_pairs

# what is refitted is what these look at, most often in cohorts without any signal
pytestmark = pytest.mark.filterwarnings("ignore:No component of the metric 'ggml' shows more")

QUICK = {"n_jobs": 1, "progress": False}
USUAL = sg.tl.Canonical(ridge=0.1, ridge_scale="mean")
SIZES = {"n_genes": 100, "n_samples": 16, "n_cells": 16, "n_types": 2, "log_fold_change": 2.0}


def planted(seed, *, n_planted=10, learned=None, **options):
    """Genes of one type differ between two classes of 16 donors; the metric is canonical on ten scaled components."""
    adata = sg.datasets.synthetic_counts(**(SIZES | options), n_planted=n_planted, rng=seed)
    adata.X = adata.X.toarray()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.scale(adata)
    sc.pp.pca(adata, n_comps=10)
    learn(adata, **({} if learned is None else learned))
    return adata


def learn(adata, **options):
    given = {"use_rep": "X_pca", "n_comps": 2, "method": USUAL, "shrinkage": 0.4, "progress": False}
    sg.tl.ggml(adata, "sample_id", "label", **(given | options))


DEFAULT = {"method": "canonical", "shrinkage": "auto"}


def read_training(adata, *, shared=False):
    """The samples of the stored metric as it was learned from them, and their labels."""
    stored = read_metric(adata, "ggml")
    selection, target = stored.select(adata)
    samples = stored.samples(selection)
    if shared:
        samples = stored.settled.with_work(samples, rng=np.random.default_rng(0))
    return samples, target


def read_refit(adata, *, shared=False):
    """The samples of the stored metric as they are for refits, how it was learned, and their genes."""
    stored = read_metric(adata, "ggml")
    points = read_points(adata, stored, 100, rng=np.random.default_rng(0))
    samples = points.samples
    if shared:
        samples = stored.settled.with_work(samples, rng=np.random.default_rng(0))
    given = (stored.learner, stored.settled, stored.components, points.expression, points.deviations)
    return stored, Refit(samples, points.target, *given)


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
    adata = planted(seed, learned={"shrinkage": 0.0})
    sg.tl.gene_stability(adata, 0, n_perm=40, **QUICK)
    found = sg.get.rank_genes_df(adata, max_p_adjusted=0.05)["gene"]
    true = adata.var.loc[found, "planted"]
    assert true.sum() >= 9
    assert (~true).sum() <= 0.1 * len(found)


def test_planted_genes_are_the_significant_ones_of_the_default():
    right = []
    for seed in range(3):
        adata = planted(seed, learned=DEFAULT)
        sg.tl.gene_stability(adata, 0, n_perm=40, **QUICK)
        found = sg.get.rank_genes_df(adata, max_p_adjusted=0.05)["gene"]
        right += adata.var.loc[found, "planted"].tolist()
    assert sum(right) >= 27  # of 30
    assert len(right) - sum(right) <= 0.1 * len(right)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, DEFAULT])
def test_genes_that_mean_nothing_are_not_reported(options):
    """Of 20 cohorts with permuted labels, one may report genes at 5 %; 40 permutations of one cohort serve as these."""
    adata = planted(3, n_planted=0, n_samples=8, n_cells=8, learned=options)
    _, refit = read_refit(adata, shared=True)
    rng, labels = np.random.default_rng(0), refit.target.values
    blocks = permutation_blocks(labels, np.arange(16), np.zeros(16))
    numbers = np.stack([refit.of_labels(permute(labels, blocks, rng), seed) for seed in range(40)])
    found = [pooled_significance(numbers[b], np.delete(numbers, b, axis=0))[1].min() <= 0.05 for b in range(40)]
    assert sum(found) <= 2


def test_planted_genes_are_stable():
    adata = planted(0)
    sg.tl.gene_stability(adata, 20, n_perm=0, n_top=10, **QUICK)
    table = sg.get.rank_genes_df(adata).set_index("gene")
    is_planted = adata.var["planted"][table.index]
    assert table.loc[is_planted, "frequency"].min() > table.loc[~is_planted, "frequency"].max()
    first = sg.get.rank_genes_df(adata, component=1).set_index("gene")[lambda t: adata.var["planted"][t.index]]
    assert (first["lower"] <= first["upper"]).all()
    assert (np.sign(first["lower"]) == np.sign(first["upper"])).all()  # no interval of a planted gene holds 0


@pytest.mark.real
def test_a_cohort_without_signal_has_no_significant_gene(data_dir):
    adata = ad.read_h5ad(data_dir / "onek1k_scdesignpop.h5ad")
    adata = adata[adata.obs["sample_id"].isin(adata.obs["sample_id"].unique()[:20])].copy()
    options = {"n_comps": 2, "n_cells": 30, "progress": False}
    rng = np.random.default_rng(0)
    random = dict(zip(adata.obs["sample_id"].unique(), rng.permutation(np.repeat(["a", "b"], 10)), strict=True))
    adata.obs["random"] = adata.obs["sample_id"].map(random).astype("category")
    adata.varm["PCs"] = np.linalg.qr(rng.normal(size=(adata.n_vars, 30)))[0]
    sg.tl.ggml(adata, "sample_id", "random", use_rep="X_pca", **options)
    sg.tl.gene_stability(adata, 0, n_perm=29, **QUICK)
    assert sg.get.rank_genes_df(adata)["p_adjusted"].min() > 0.05


# That it is what it says


def moved(adata, W, plan):
    """Sums over the entries of the plan of two samples: moves along components times changes of genes, and squares."""
    a, b = (adata[names] for names in (plan.obs_names, plan.var_names))
    x, y = (part.obsm["X_pca"].astype(np.float64) @ W.T for part in (a, b))
    products, squares = np.zeros((len(W), adata.n_vars)), np.zeros(len(W))
    for i, j in zip(*plan.X.nonzero(), strict=True):
        step, mass = x[i] - y[j], plan.X[i, j]
        products += mass * np.outer(step, a.X[i].astype(np.float64) - b.X[j])
        squares += mass * step**2
    return products, squares


def mean_moves(adata, W):
    """Means of these sums over pairs of donors with different labels, and with one (labels counting equally)."""
    labels = adata.obs.groupby("sample_id", observed=True)["label"].first()
    every = {}
    for p, one in enumerate(labels.index):
        for other in labels.index[:p]:
            every.setdefault(frozenset(labels[[one, other]]), []).append(moved(adata, W, sg.tl.plan(adata, one, other)))
    means = {kind: [np.mean(part, axis=0) for part in zip(*found, strict=True)] for kind, found in every.items()}
    within = [found for kind, found in means.items() if len(kind) == 1]
    return means[frozenset(labels)], [np.mean(part, axis=0) for part in zip(*within, strict=True)]


def test_the_excess_is_what_patterns_are_beyond_those_within_labels(small):
    """Of the stored metric, whose settings are given: the true labels lead to it once more."""
    sg.tl.gene_stability(small, 0, n_perm=19, **QUICK)
    (between, squares), (within, alike) = mean_moves(small, small.uns["ggml"]["components"])
    X = small.X.astype(np.float64)
    sizes = small.obs["sample_id"].map(small.obs["sample_id"].value_counts()).astype(float).to_numpy()
    mean = np.average(X, axis=0, weights=1 / sizes)
    sd = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=1 / sizes))
    a, b = (part / np.sqrt(squares)[:, None] / sd for part in (between, within))
    more = np.maximum(squares - alike, 0)
    truth = np.sqrt(more / more.sum() @ np.maximum(a * (a - b), 0))
    found = sg.get.rank_genes_df(small).set_index("gene").loc[small.var_names]
    np.testing.assert_allclose(found["excess"], truth, rtol=1e-4, atol=1e-5)
    for i in (1, 2):
        pattern = sg.get.rank_genes_df(small, component=i).set_index("gene").loc[small.var_names, "pattern"]
        np.testing.assert_allclose(pattern, a[i - 1], rtol=1e-4, atol=1e-5)


TRIPLETS = sg.tl.Triplets(max_iter=6, tol=0.0, reg=0.3, penalty="l21")


@pytest.mark.parametrize(
    "options",
    [
        {"n_cells": 6},
        DEFAULT | {"n_cells": 6},
        {"shrinkage": 0.0, "squared": True},
        {"method": sg.tl.Canonical(ridge=0.5, ridge_scale="feature", n_alternations=2, max_features=7)},
        {"method": TRIPLETS, "n_cells": 6},
        {"method": sg.tl.Triplets(max_iter=3, tol=0.0, margin=2.0, init=USUAL)},
        {"method": sg.tl.Triplets(max_iter=3, tol=0.0, init="pca")},
        {"method": sg.tl.Triplets(max_iter=3, tol=0.0, init=np.eye(2, 10) + 0.1)},
        {"summary": sg.tl.Coreset(4, max_iter=3)},
        {"method": sg.tl.Triplets(max_iter=3, tol=0.0, refine=2), "summary": sg.tl.Coreset(4)},
        {"batch_key": "batch", "weights_key": "weight", "min_cells": 2},
        {"covariate_keys": ["age"]},
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_a_refit_is_the_stored_metric(small, options, shared):
    """On the same cells, whether or not work is shared; settings that were decided are kept."""
    numbers = np.random.default_rng(0).permuted(np.arange(10))
    small.obs["age"] = small.obs["sample_id"].cat.codes.map(dict(enumerate(numbers)))
    small.obs["batch"] = (small.obs["sample_id"].cat.codes % 2).astype(str)
    small.obs["weight"] = np.random.default_rng(0).uniform(size=small.n_obs)
    learn(small, rng=5, **options)
    stored, refit = read_refit(small, shared=shared)
    truth = stored.components
    samples, target = read_training(small, shared=shared)
    found = align(stored.settled.learn(samples, target, rng=np.random.default_rng(0)).components, truth)
    np.testing.assert_allclose(found.T @ found, truth.T @ truth, rtol=1e-6, atol=1e-8 * np.abs(truth).max() ** 2)
    if "summary" not in options:  # refits are on all cells of small samples
        found, truth = refit.of_donors(np.arange(10), 0), refit.patterns(truth, target)[0]
        np.testing.assert_allclose(found[:2], truth, rtol=1e-4, atol=1e-5)


def test_a_metric_of_coresets_is_learned_again_on_the_same_coresets(small):
    summary = sg.tl.Coreset(4, max_iter=3)
    learn(small, rng=2, summary=summary)
    samples, _ = read_training(small)
    assert samples.cohort.sizes.tolist() == [4] * 10
    assert samples.everything is None
    learn(small, rng=2, summary=sg.tl.Coreset(4), method=sg.tl.Triplets(max_iter=2, tol=0.0, refine=1))
    samples, _ = read_training(small)
    assert samples.everything.sizes.tolist() == [8] * 10
    learn(small, rng=2, summary=summary, use_rep=None)
    _, refit = read_refit(small)
    assert refit.samples.cohort.sizes.tolist() == [4] * 10


def by_hand(refit, adata, W, drawn, weights):
    """Patterns along a metric from plans of its pairs, and the importance of its components."""
    samples = adata.obs["sample_id"].cat.categories
    products, squares, alike = np.zeros((len(W), adata.n_vars)), np.zeros(len(W)), np.zeros(len(W))
    turned = adata.copy()
    turned.uns["ggml"] = turned.uns["ggml"] | {"components": W}
    turned.uns["ggml"]["fingerprint"] = mark(turned.uns["ggml"])
    del turned.obsm["X_ggml"]  # of the other metric
    for (p, q), between, within in zip(weights.pairs, weights.between, weights.within, strict=True):
        parts = moved(turned, W, sg.tl.plan(turned, samples[drawn[p]], samples[drawn[q]]))
        products += between * parts[0]
        squares += between * parts[1]
        alike += within * parts[1]
    more = np.maximum(squares - alike, 0)
    return products / np.sqrt(squares)[:, None] / refit.deviations, more / more.sum()


def test_intervals_and_frequencies_are_those_of_metrics_learned_by_hand(small):
    sg.tl.gene_stability(small, 4, n_perm=0, n_top=5, level=0.5, rng=3, **QUICK)
    found = small.uns["ggml_stability"]
    rng = np.random.default_rng(3)
    rng.integers(2**63, size=4)
    stored, refit = read_refit(small)
    target, reference = refit.target, stored.components
    every, whole = [], []
    for _ in range(4):
        drawn = draw_donors(target.codes, np.arange(10), rng)
        cohort, pairs = refit.samples.cohort.take(drawn), all_pairs(10)
        pairs = pairs[drawn[pairs[:, 0]] != drawn[pairs[:, 1]]]  # copies of a sample say nothing about its class
        weights = weigh_pairs(target.take(drawn), pairs=pairs)
        W = shrink(canonical_metric(USUAL, cohort, weights, 2, solver=sg.tl.Exact()).components, 0.4, cohort)
        turn, _ = orthogonal_procrustes(W.T, reference.T)
        patterns, importance = by_hand(refit, small, turn.T @ W, drawn, weights)
        every.append(patterns.T)
        whole.append(np.sqrt(importance @ patterns**2))
    every, whole = np.array(every), np.array(whole)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(found["lower"][:, :2], np.quantile(every, 0.25, axis=0), **close)
    np.testing.assert_allclose(found["upper"][:, :2], np.quantile(every, 0.75, axis=0), **close)
    ranks = np.argsort(np.argsort(-np.abs(every[..., 0]), axis=1), axis=1)
    np.testing.assert_allclose(found["frequency"][:, 0], (ranks < 5).mean(axis=0))
    np.testing.assert_allclose(found["upper"][:, 2], np.quantile(whole, 0.75, axis=0), **close)
    ranks = np.argsort(np.argsort(-whole, axis=1), axis=1)
    np.testing.assert_allclose(found["frequency"][:, 2], (ranks < 5).mean(axis=0))


def test_the_result_is_the_same_for_any_number_of_processes(small):
    one = sg.tl.gene_stability(small, 3, n_perm=19, n_jobs=1, progress=False, copy=True)
    two = sg.tl.gene_stability(small, 3, n_perm=19, n_jobs=2, progress=False, copy=True)
    assert_same(slots(two), slots(one))
    other = sg.tl.gene_stability(small, 3, n_perm=19, rng=1, copy=True, **QUICK)
    assert not np.array_equal(other.uns["ggml_stability"]["lower"], one.uns["ggml_stability"]["lower"])


@pytest.mark.parametrize("seeds", [(np.int64(4), 4), (np.random.default_rng(7), np.random.default_rng(7))])
def test_the_same_seed_gives_the_same_result_whatever_its_type(small, seeds):
    first, second = (
        sg.tl.gene_stability(small, 3, n_perm=19, rng=seed, n_jobs=n_jobs, progress=False, copy=True)
        for seed, n_jobs in zip(seeds, (1, 2), strict=True)
    )
    assert_same(slots(first), slots(second))
    seed = first.uns["ggml_stability"]["params"]["seed"]
    again = sg.tl.gene_stability(small, 3, n_perm=19, rng=seed, copy=True, **QUICK)
    assert_same(slots(again), slots(first))  # what was drawn from a generator is stored


def test_labels_of_paired_donors_are_permuted_within_them(small):
    small.obs["donor"] = small.obs["sample_id"].astype(str).str[-2:]  # class0_01 and class1_01 are of one donor
    with pytest.warns(UserWarning, match=r"below 0\.062, since the labels of these donors can be permuted in 16 ways"):
        sg.tl.gene_stability(small, 2, "donor", n_perm=30, **QUICK)
    assert small.uns["ggml_stability"]["params"]["groups_key"] == "donor"


def test_too_few_permutations_are_told(small):
    with pytest.warns(UserWarning, match=r"below 0\.2, since n_perm=4\. Raise n_perm"):
        sg.tl.gene_stability(small, 0, n_perm=4, **QUICK)


def test_results_join_the_ranking_and_survive_a_file(small, tmp_path):
    sg.tl.gene_stability(small, 2, n_perm=19, **QUICK)
    table = sg.get.rank_genes_df(small)
    assert list(table.columns[9:]) == ["lower", "upper", "frequency", "excess", "p_value", "p_adjusted"]
    for read in assert_round_trip(small, tmp_path):
        assert_same_table(sg.get.rank_genes_df(read), table)
        sg.tl.rank_genes(read, **QUICK)  # does not forget what it took long to find
        pd.testing.assert_frame_equal(sg.get.rank_genes_df(read), table)


@pytest.mark.parametrize("options", [{"by": "loading"}, {"cell_type_key": "cell_type"}])
def test_genes_that_are_ranked_stay_as_they_are(small, options):
    sg.tl.rank_genes(small, **options, **QUICK)
    before = small.uns["ggml_genes"]
    sg.tl.gene_stability(small, 2, n_perm=19, **QUICK)
    after = small.uns["ggml_genes"]
    table = before["table"]
    pd.testing.assert_frame_equal(after["table"][list(table)], table)
    assert {"lower", "p_adjusted"} <= set(after["table"])
    assert after["params"] == before["params"] or after["params"] is before["params"]
    if "cell_type_key" in options:
        pd.testing.assert_frame_equal(after["types"], before["types"])


def test_genes_of_a_contrast_are_not_mixed_with_refits_of_all_labels(small):
    sg.tl.rank_genes(small, contrast=("class0", "class1"), **QUICK)
    with pytest.raises(ValueError, match=r"Genes are ranked between 'class0' and 'class1' alone, .* without contrast"):
        sg.tl.gene_stability(small, 2, n_perm=0, **QUICK)
    sg.tl.rank_genes(small, **QUICK)
    sg.tl.gene_stability(small, 2, n_perm=0, **QUICK)
    assert "lower" in small.uns["ggml_genes"]["table"]
    sg.tl.rank_genes(small, contrast=("class0", "class1"), **QUICK)
    assert "lower" not in small.uns["ggml_genes"]["table"]


def test_genes_of_a_layer_are_learned_again_on_it(small):
    small.layers["noise"] = np.random.default_rng(0).normal(size=small.shape)
    sg.tl.rank_genes(small, layer="noise", **QUICK)
    sg.tl.gene_stability(small, 20, n_perm=0, **QUICK)
    table = sg.get.rank_genes_df(small, component=1)
    inside = (table["pattern"] >= table["lower"]) & (table["pattern"] <= table["upper"])
    assert inside.mean() >= 0.9
    sg.tl.rank_genes(small, **QUICK)
    assert "lower" not in small.uns["ggml_genes"]["table"]


def test_genes_that_are_not_ranked_are(small):
    sg.tl.gene_stability(small, 2, n_perm=0, **QUICK)
    found = sg.get.rank_genes_df(small)
    sg.tl.rank_genes(small, **QUICK)
    pd.testing.assert_frame_equal(sg.get.rank_genes_df(small), found)
    assert small.varm["ggml_patterns"].shape == (60, 2)


def test_what_was_found_for_another_metric_is_not_shown(small):
    sg.tl.gene_stability(small, 2, n_perm=0, **QUICK)
    learn(small, shrinkage=0.1)
    sg.tl.rank_genes(small, **QUICK)
    assert "lower" not in sg.get.rank_genes_df(small)


def test_genes_themselves_can_be_the_features(small):
    sg.tl.ggml(small, "sample_id", "label", n_comps=1, progress=False)
    sg.tl.gene_stability(small, 2, n_perm=19, **QUICK)
    assert len(sg.get.rank_genes_df(small)) == 60


def test_genes_of_a_metric_without_loadings_are_tested(small):
    sg.tl.gene_stability(small, 2, n_perm=19, **QUICK)
    truth = sg.get.rank_genes_df(small)
    del small.varm["PCs"], small.uns["ggml_genes"]
    with pytest.warns(UserWarning, match="no loadings on genes"):
        learn(small)
    sg.tl.gene_stability(small, 2, n_perm=19, **QUICK)
    table = sg.get.rank_genes_df(small)
    assert table["loading"].isna().all()
    numbers = ["pattern", "lower", "upper", "frequency", "excess", "p_value", "p_adjusted"]
    pd.testing.assert_frame_equal(table[["gene", *numbers]], truth[["gene", *numbers]])


def test_features_are_tested_where_there_is_no_expression(small):
    small.X = None
    sg.tl.gene_stability(small, 2, n_perm=19, **QUICK)
    table = sg.get.rank_genes_df(small)
    assert sorted(table["gene"]) == sorted(f"X_pca_{i}" for i in range(10))
    assert table[["lower", "upper", "p_adjusted"]].notna().all(axis=None)


def test_a_pair_that_was_not_solved_is_told(small):
    with pytest.warns(UserWarning, match="stopped before the optimum"):
        learn(small, solver=sg.tl.Exact(max_iter=3, backend="pot"))
    with pytest.warns(UserWarning, match="stopped before the optimum"):
        sg.tl.rank_genes(small, **QUICK)
    with pytest.warns(UserWarning, match="stopped before the optimum") as caught:
        sg.tl.gene_stability(small, 2, n_perm=0, **QUICK)
    assert len({str(warning.message) for warning in caught}) == len(caught)  # each is told once


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
        ({"groups_key": "cell_type"}, ValueError, "samples have cells of more than one value in .*'cell_type'"),
        ({"key": "other"}, KeyError, "No learned metric"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(small, options, error, message):
    before = slots(small)
    with pytest.raises(error, match=message):
        sg.tl.gene_stability(small, **(QUICK | options))
    assert_same(slots(small), before)


def test_an_interrupted_run_writes_nothing(small, monkeypatch):
    before = slots(small)
    calls = []

    def interrupt(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.zeros((3, 60))

    monkeypatch.setattr("scggml._core.explain.refit.Refit.of_donors", interrupt)
    with pytest.raises(KeyboardInterrupt), warnings.catch_warnings():
        sg.tl.gene_stability(small, 5, **QUICK)
    assert_same(slots(small), before)


def test_a_draw_of_donors_leaves_no_pair_out():
    """A drawn cohort has as many samples, so as many pairs, as the cohort."""
    labels, groups = np.repeat([0, 1], 4), np.arange(8)
    drawn = draw_donors(labels, groups, np.random.default_rng(0))
    assert len(all_pairs(len(drawn))) == 28


# ---- bags of the metric


def learn_bags(adata, bags):
    learner = sg.tl.Learner(method=USUAL, n_comps=2, shrinkage=0.4, bags=bags)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", method=learner, progress=False)


def test_bags_take_the_place_of_draws():
    adata = planted(0, n_genes=60)
    learn_bags(adata, 30)
    sg.tl.gene_stability(adata, n_perm=0, **QUICK)
    found = adata.uns["ggml_stability"]
    assert found["params"]["n_boot"] == 30
    assert found["params"]["bags"]

    # one bag by hand: what was learned from its donors alone, turned onto the metric
    stored, (samples, target) = read_metric(adata, "ggml"), read_training(adata)
    points = read_points(adata, stored, 100, rng=np.random.default_rng(0))
    refit = points.refit(stored, rng=np.random.default_rng(0), n_jobs=1)
    positions = np.flatnonzero(stored.bags.drawn[4])
    plain = sg.tl.Learner(method=USUAL, n_comps=2, shrinkage=0.4)
    W = plain.learn(samples.take(positions), target.take(positions), rng=np.random.default_rng(0)).components
    truth = refit.patterns(align(W, stored.components), target, stored.bags.drawn[4].astype(int))[0]
    every = np.stack([refit.of_bag(W, drawn) for W, drawn in zip(stored.bags.metrics, stored.bags.drawn, strict=True)])
    np.testing.assert_allclose(every[4, :2], truth, atol=1e-8)
    half = stats.t.ppf(0.975, 29) * np.sqrt(12 / 4) * every.std(axis=0, ddof=1)  # 12 of 16 donors
    np.testing.assert_allclose(found["upper"], (every.mean(axis=0) + half).T, atol=1e-8)

    # and their intervals are about as wide as those of draws of the same donors
    learn(adata)
    sg.tl.gene_stability(adata, 40, n_perm=0, **QUICK)
    other = adata.uns["ggml_stability"]
    assert not other["params"]["bags"]
    ratio = (found["upper"] - found["lower"]) / (other["upper"] - other["lower"])
    assert 0.8 < np.median(ratio) < 1.6
    assert np.corrcoef(found["frequency"][:, -1], other["frequency"][:, -1])[0, 1] > 0.9


def test_draws_that_are_asked_for_are_made_with_bags_too():
    adata = planted(0, n_genes=40, n_planted=4)
    learn_bags(adata, 2)
    sg.tl.gene_stability(adata, 3, n_perm=0, **QUICK)
    params = adata.uns["ggml_stability"]["params"]
    assert (params["n_boot"], bool(params["bags"])) == (3, False)
    sg.tl.gene_stability(adata, n_perm=0, groups_key="sample_id", **QUICK)  # bags know the donors of the metric only
    assert not adata.uns["ggml_stability"]["params"]["bags"]


@pytest.mark.parametrize("kept", [[0, 1, 2, 16, 17, 18], [0, 1, 2, *range(16, 32)]])
def test_bags_that_hold_a_donor_always_do_not_take_the_place_of_draws(kept):
    adata = planted(0, n_genes=40, n_planted=4)
    names = adata.obs["sample_id"].cat.categories[kept]
    few = adata[adata.obs["sample_id"].isin(names)].copy()
    learn_bags(few, 12)
    sg.tl.gene_stability(few, n_perm=0, **QUICK)
    found = few.uns["ggml_stability"]
    assert (found["params"]["n_boot"], bool(found["params"]["bags"])) == (100, False)
    assert (found["upper"] > found["lower"]).all()


def test_bags_are_those_of_the_samples_that_are_there():
    adata = planted(0, n_genes=40, n_planted=4)
    learn_bags(adata, 8)
    sg.tl.gene_stability(adata, n_perm=0, **QUICK)
    renamed = adata.copy()
    samples = renamed.obs["sample_id"].cat.categories
    renamed.obs["sample_id"] = renamed.obs["sample_id"].cat.reorder_categories(samples[::-1])
    sg.tl.gene_stability(renamed, n_perm=0, **QUICK)
    np.testing.assert_allclose(renamed.uns["ggml_stability"]["upper"], adata.uns["ggml_stability"]["upper"])
    fewer = adata[adata.obs["sample_id"] != samples[0]].copy()
    sg.tl.gene_stability(fewer, n_perm=0, **QUICK)
    assert not fewer.uns["ggml_stability"]["params"]["bags"]
