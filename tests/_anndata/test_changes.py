"""Patterns and shifts of genes, against sums written out from plans in the space of genes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from _changes import Written, cohort, learn, with_rep
from anndata import AnnData
from scipy import sparse
from scipy.stats import ttest_ind, ttest_rel

import scggml as sg
from scggml._anndata.changes import read_changes
from scggml._anndata.metric import read_metric

TOLERANCE = {"rtol": 1e-6, "atol": 1e-9}


def changes_of(adata, **options):
    return read_changes(adata, read_metric(adata, "ggml"), **options)


def assert_same_changes(found, truth, **tolerance):
    for name in ("patterns", "shifts", "t", "p_values"):
        np.testing.assert_allclose(getattr(found, name), getattr(truth, name), **(TOLERANCE | tolerance), err_msg=name)


def signed(weights, labels, high):
    """Weights of pairs, positive if the first sample is at the high end."""
    return {(p, q): w * (1 if labels[p] == high else -1) for (p, q), w in weights.items()}


# Classes


@pytest.mark.parametrize("use_rep", [None, "latent"])
@pytest.mark.parametrize("squared", [False, True])
def test_patterns_are_the_sums_over_plans_written_out(use_rep, squared):
    adata = learn(with_rep(cohort()), use_rep=use_rep, squared=squared)
    found, written = changes_of(adata, cell_type_key="type"), Written(adata)
    np.testing.assert_allclose(found.deviations, written.sd, **TOLERANCE)
    np.testing.assert_allclose(found.whole.patterns, written.patterns(written.between()), **TOLERANCE)
    types = adata.obs["type"].to_numpy()
    assert found.types.tolist() == ["B", "T"]
    truth = written.patterns(written.between(), types, ["B", "T"])
    np.testing.assert_allclose(found.by_type.patterns, truth, **TOLERANCE)
    shifts = written.shifts(signed(written.between(), written.labels, "c1"), types, ["B", "T"])
    np.testing.assert_allclose(found.by_type.shifts[:, 0], shifts, **TOLERANCE)


def test_patterns_of_genes_are_those_of_a_pca_carried_back():
    """Where components hold all of the data, S_b W is the same in either space."""
    adata = cohort()
    values, axes = adata.X - adata.X.mean(axis=0), np.linalg.svd(adata.X - adata.X.mean(axis=0))[2]
    adata.obsm["X_pca"], adata.varm["PCs"] = values @ axes.T, axes.T
    learn(adata, use_rep="X_pca")
    found, written = changes_of(adata), Written(adata, expression=adata.obsm["X_pca"])
    W, between = adata.uns["ggml"]["components"], np.zeros((11, 11))
    for (p, q), weight in written.between().items():
        for a, b in np.argwhere(written.plans[p, q] > 0):
            step = adata.obsm["X_pca"][written.rows[p][a]] - adata.obsm["X_pca"][written.rows[q][b]]
            between += weight * written.plans[p, q][a, b] * np.outer(step, step)
    rho = np.sqrt(np.diag(W @ between @ W.T))
    truth = (adata.varm["PCs"] @ between @ W.T).T / rho[:, None] / found.deviations
    np.testing.assert_allclose(found.whole.patterns[0], truth, **TOLERANCE)


def test_over_all_cells_the_shift_is_the_difference_of_pseudobulk():
    adata = learn(with_rep(cohort()), use_rep="latent")
    found, written = changes_of(adata, cell_type_key="type"), Written(adata)
    np.testing.assert_allclose(found.whole.shifts[0, 0], written.bulk("c1") - written.bulk("c0"), **TOLERANCE)
    assert (found.contrasts[0].high, found.contrasts[0].low) == ("c1", "c0")


def test_the_t_of_all_cells_is_that_of_welch_over_samples():
    """Of fewer than ten genes, which are not moderated."""
    adata = learn(cohort(n_genes=8))
    found, written = changes_of(adata), Written(adata)
    parts = [[written.pseudobulk(s) for s in written.samples if written.labels[s] == c] for c in ("c1", "c0")]
    truth = ttest_ind(*map(np.array, parts), equal_var=False)
    np.testing.assert_allclose(found.whole.t[0, 0], truth.statistic, **TOLERANCE)


def test_types_add_up_to_the_whole():
    adata = learn(with_rep(cohort(classes=3)), use_rep="latent")
    found = changes_of(adata, cell_type_key="type")
    for name in ("patterns", "shifts"):
        total = getattr(found.by_type, name).sum(axis=0)
        np.testing.assert_allclose(total, getattr(found.whole, name)[0], rtol=1e-10, atol=1e-12)


def test_a_single_type_is_the_whole():
    adata = cohort()
    adata.obs["one"] = "all"
    found = changes_of(learn(adata), cell_type_key="one")
    assert_same_changes(found.by_type, found.whole)


def test_three_classes_count_equally_and_each_component_has_its_ends():
    adata = cohort(classes=3)
    adata = adata[adata.obs["sample"] != "s8"].copy()  # one class has fewer samples
    learn(adata, reference_class="c1")
    found, written = changes_of(adata), Written(adata)
    np.testing.assert_allclose(found.whole.patterns, written.patterns(written.between()), **TOLERANCE)
    for i, named in enumerate(adata.uns["ggml"]["oriented_to"]):
        own, high = found.of_component[i], "c0" if named == "c1" else str(named)
        assert (found.contrasts[own].high, found.contrasts[own].low) == (high, "c1")
        np.testing.assert_allclose(found.whole.shifts[0, own], written.bulk(high) - written.bulk("c1"), **TOLERANCE)


@pytest.mark.parametrize("contrast", [("c2", "c0"), ("c0", "c2"), ["c1", "c2"]])
def test_a_contrast_takes_the_pairs_of_two_classes_alone(contrast):
    adata = learn(with_rep(cohort(classes=3)), use_rep="latent")
    found, written = changes_of(adata, contrast=contrast, cell_type_key="type"), Written(adata)
    kept = {pair: w for pair, w in written.between().items() if {written.labels[s] for s in pair} == set(contrast)}
    np.testing.assert_allclose(found.whole.patterns, written.patterns(kept), **TOLERANCE)
    truth = written.bulk(contrast[0]) - written.bulk(contrast[1])
    np.testing.assert_allclose(found.whole.shifts[0], truth[None], **TOLERANCE)
    assert found.of_component.tolist() == [0, 0]
    names = ["B", "T"]
    shifts = written.shifts(signed(kept, written.labels, contrast[0]), adata.obs["type"].to_numpy(), names)
    np.testing.assert_allclose(found.by_type.shifts[:, 0], shifts, **TOLERANCE)


# Labels with an order


def test_ordered_labels_go_from_lower_to_higher_samples():
    adata = learn(cohort(classes=3), "grade")
    found, written = changes_of(adata), Written(adata, "grade")
    steps = {pair: int(written.labels[pair[0]][-1]) - int(written.labels[pair[1]][-1]) for pair in written.plans}
    weights = {pair: w * steps[pair] ** 2 for pair, w in written.between().items()}
    np.testing.assert_allclose(found.whole.patterns, written.patterns(weights), **TOLERANCE)
    total = sum(weights.values())
    truth = sum(
        w / total * np.sign(steps[p, q]) * (written.pseudobulk(p) - written.pseudobulk(q))
        for (p, q), w in weights.items()
    )
    np.testing.assert_allclose(found.whole.shifts[0, 0], truth, **TOLERANCE)
    assert [(one.high, one.low) for one in found.contrasts] == [("grade 2", "grade 0")]


def test_numbers_go_from_lower_to_higher_samples():
    adata = learn(cohort(), "dose", label_kind="numbers")
    found, written = changes_of(adata, cell_type_key="type"), Written(adata, "dose")
    gaps = {(p, q): written.labels[p] - written.labels[q] for p, q in written.plans}
    weights = {pair: gap**2 for pair, gap in gaps.items()}
    np.testing.assert_allclose(found.whole.patterns, written.patterns(weights), **TOLERANCE)
    ends = {pair: w * np.sign(gaps[pair]) for pair, w in weights.items()}
    shifts = written.shifts(ends, adata.obs["type"].to_numpy(), ["B", "T"])
    np.testing.assert_allclose(found.by_type.shifts[:, 0], shifts, **TOLERANCE)
    assert [(one.high, one.low) for one in found.contrasts] == [("high dose", "low dose")]


# Study design


def test_batches_compare_samples_of_one_batch():
    adata = cohort(n_samples=4)
    learn(adata, batch_key="batch")
    found, written = changes_of(adata), Written(adata)
    weights = written.between("batch")
    assert 0 < len(weights) < len(written.between())
    np.testing.assert_allclose(found.whole.patterns, written.patterns(weights), **TOLERANCE)
    shifts = written.shifts(signed(weights, written.labels, "c1"), np.ones(adata.n_obs), [1])
    np.testing.assert_allclose(found.whole.shifts[0], shifts, **TOLERANCE)


def test_pairs_of_samples_have_the_paired_test():
    adata = cohort(n_genes=8, n_samples=5)
    adata.obs["donor"] = [f"d{int(s[1:]) // 2}" for s in adata.obs["sample"]]
    learn(adata, batch_key="donor", groups_key="donor")
    found, written = changes_of(adata), Written(adata)
    ill, well = (np.array([written.pseudobulk(f"s{2 * d + c}") for d in range(5)]) for c in (1, 0))
    truth = ttest_rel(ill, well)
    np.testing.assert_allclose(found.whole.shifts[0, 0], (ill - well).mean(axis=0), **TOLERANCE)
    np.testing.assert_allclose(found.whole.t[0, 0], truth.statistic, **TOLERANCE)
    np.testing.assert_allclose(found.whole.p_values[0, 0], truth.pvalue, **TOLERANCE)


def test_samples_of_one_donor_and_class_are_one_donor():
    """Two samples of each donor instead of one with twice the cells: the same t."""
    adata = cohort(n_genes=8, n_samples=6)
    adata.obs["donor"] = [f"d{int(s[1:]) % 6}" for s in adata.obs["sample"]]  # s0 and s6, both of class c0
    learn(adata, groups_key="donor")
    found, written = changes_of(adata), Written(adata)
    means = [np.mean([written.pseudobulk(f"s{d}"), written.pseudobulk(f"s{d + 6}")], axis=0) for d in range(6)]
    truth = ttest_ind(np.array(means[1::2]), np.array(means[::2]), equal_var=False)
    np.testing.assert_allclose(found.whole.t[0, 0], truth.statistic, **TOLERANCE)


@pytest.mark.parametrize("use_rep", [None, "latent"])
def test_covariates_are_taken_off_the_genes(use_rep):
    adata = cohort(n_samples=4)
    adata.X += 0.1 * adata.obs["age"].to_numpy()[:, None] * np.linspace(-1, 1, 11)
    learn(with_rep(adata), use_rep=use_rep, covariate_keys=["age"])
    first = adata.obs.drop_duplicates("sample").set_index("sample")
    means = np.array([adata.X[adata.obs["sample"] == s].mean(axis=0) for s in first.index])
    design = np.column_stack([first["age"], first["label"] == "c0", first["label"] == "c1"]).astype(float)
    slopes = np.linalg.lstsq(design, means, rcond=None)[0][0]
    shifts = {s: (first["age"][s] - first["age"].mean()) * slopes for s in first.index}
    found, written = changes_of(adata, cell_type_key="type"), Written(adata, shifts=shifts)
    types = adata.obs["type"].to_numpy()
    truth = written.patterns(written.between(), types, ["B", "T"])
    np.testing.assert_allclose(found.by_type.patterns, truth, **TOLERANCE)
    np.testing.assert_allclose(found.whole.shifts[0, 0], written.bulk("c1") - written.bulk("c0"), **TOLERANCE)
    plain = means[first["label"] == "c1"].mean(axis=0) - means[first["label"] == "c0"].mean(axis=0)
    assert np.abs(found.whole.shifts[0, 0] - plain).max() > 0.1


@pytest.mark.parametrize(
    "options", [{"n_cells": 5}, {"weights_key": "weight"}, {"min_cells": 8}, {"n_cells": 6, "weights_key": "weight"}]
)
@pytest.mark.filterwarnings("ignore:min_cells")
def test_cells_are_those_that_the_metric_was_learned_from(options):
    adata = learn(with_rep(cohort(n_samples=4)), use_rep="latent", **options)
    found = changes_of(adata, cell_type_key="type")
    if "min_cells" in options:
        sizes = adata.obs["sample"].value_counts()
        adata = adata[adata.obs["sample"].map(sizes).to_numpy() >= 8].copy()
    written = Written(adata)
    np.testing.assert_allclose(found.deviations, written.sd, **TOLERANCE)
    np.testing.assert_allclose(found.whole.patterns, written.patterns(written.between()), **TOLERANCE)
    np.testing.assert_allclose(found.whole.shifts[0, 0], written.bulk("c1") - written.bulk("c0"), **TOLERANCE)


def test_a_cell_without_weight_changes_nothing():
    adata = cohort()
    adata.obs.loc[adata.obs_names[::6], "weight"] = 0.0
    adata.X[::6, 4] = 1e3
    learn(with_rep(adata), use_rep="latent", weights_key="weight")
    found = changes_of(adata, cell_type_key="type")
    few = adata[adata.obs["weight"] > 0].copy()
    assert_same_changes(changes_of(few, cell_type_key="type").by_type, found.by_type)


# Summaries


def summarized(adata, n_points, **options):
    stored = read_metric(adata, "ggml")
    reading = replace(stored.reading, summary=sg.tl.Coreset(n_points))
    return read_changes(adata, replace(stored, reading=reading), **options)


@pytest.mark.parametrize("weights_key", [None, "weight"])
@pytest.mark.parametrize("cell_type_key", [None, "type"])
def test_points_of_one_cell_each_change_nothing(cell_type_key, weights_key):
    adata = cohort()
    adata.obs.loc[adata.obs_names[::6], "weight"] = 0.0
    learn(with_rep(adata), use_rep="latent", weights_key=weights_key)
    truth = changes_of(adata, cell_type_key=cell_type_key)
    found = summarized(adata, 50, cell_type_key=cell_type_key)
    assert_same_changes(found.whole, truth.whole)
    if cell_type_key:
        assert_same_changes(found.by_type, truth.by_type)


def test_few_points_give_nearly_the_same_changes_and_the_same_pseudobulk():
    adata = learn(with_rep(cohort(n_cells=60)), use_rep="latent")
    truth, found = changes_of(adata, cell_type_key="type"), summarized(adata, 20, cell_type_key="type")
    np.testing.assert_allclose(found.whole.shifts, truth.whole.shifts, **TOLERANCE)
    np.testing.assert_allclose(found.whole.t, truth.whole.t, **TOLERANCE)
    np.testing.assert_allclose(found.deviations, truth.deviations, **TOLERANCE)
    for one, other in ((found.whole, truth.whole), (found.by_type, truth.by_type)):
        for name in ("patterns", "shifts"):
            a, b = getattr(one, name), getattr(other, name)
            for kind in range(len(a)):
                assert np.corrcoef(a[kind].ravel(), b[kind].ravel())[0, 1] > 0.97, name
    np.testing.assert_allclose(found.by_type.patterns.sum(axis=0), found.whole.patterns[0], atol=0.1)


# Laws


def test_the_order_of_the_cells_does_not_matter():
    adata = learn(with_rep(cohort(classes=3)), use_rep="latent")
    other = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
    found, truth = changes_of(other, cell_type_key="type"), changes_of(adata, cell_type_key="type")
    for name in ("whole", "by_type"):
        assert_same_changes(getattr(found, name), getattr(truth, name), rtol=1e-5)


def test_the_scale_of_the_metric_does_not_matter():
    adata = learn(with_rep(cohort()), use_rep="latent")
    stored = read_metric(adata, "ggml")
    truth = read_changes(adata, stored, cell_type_key="type")
    del adata.obsm["X_ggml"]  # of the other metric
    for scale in (1e-3, 7.0):
        found = read_changes(adata, replace(stored, components=scale * stored.components), cell_type_key="type")
        assert_same_changes(found.by_type, truth.by_type)
        np.testing.assert_allclose(found.importance, truth.importance, **TOLERANCE)


def test_the_sign_of_a_component_turns_its_patterns_alone():
    adata = learn(with_rep(cohort()), use_rep="latent")
    stored = read_metric(adata, "ggml")
    truth = read_changes(adata, stored)
    del adata.obsm["X_ggml"]  # of the other metric
    signs = np.array([[1.0], [-1.0]])
    found = read_changes(adata, replace(stored, components=signs * stored.components))
    np.testing.assert_allclose(found.whole.patterns[0], signs * truth.whole.patterns[0], **TOLERANCE)
    np.testing.assert_allclose(found.whole.shifts, truth.whole.shifts, **TOLERANCE)


def test_a_rotated_representation_gives_the_same_genes():
    adata = learn(with_rep(cohort()), use_rep="latent")
    truth = changes_of(adata, cell_type_key="type")
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    adata.obsm["latent"] = adata.obsm["latent"] @ turn.T
    stored = read_metric(adata, "ggml")
    found = read_changes(adata, replace(stored, components=stored.components @ turn.T), cell_type_key="type")
    assert_same_changes(found.by_type, truth.by_type, rtol=1e-5)


def test_a_pca_without_loadings_gives_the_same_genes():
    adata = cohort()
    axes = np.linalg.svd(adata.X - adata.X.mean(axis=0))[2]
    adata.obsm["X_pca"], adata.varm["PCs"] = (adata.X - adata.X.mean(axis=0)) @ axes.T, axes.T
    truth = changes_of(learn(adata, use_rep="X_pca"))
    adata.obsm["turned"] = adata.obsm["X_pca"]
    found = changes_of(learn(adata, use_rep="turned"))
    assert found.names.tolist() == adata.var_names.tolist()
    assert_same_changes(found.whole, truth.whole)


def test_units_of_a_gene_change_its_shift_and_nothing_else():
    adata = learn(with_rep(cohort()), use_rep="latent")
    truth = changes_of(adata, cell_type_key="type").by_type
    adata.X[:, 2] = 3 * adata.X[:, 2] + 100
    found = changes_of(adata, cell_type_key="type").by_type
    np.testing.assert_allclose(found.patterns, truth.patterns, **TOLERANCE)
    np.testing.assert_allclose(found.shifts[..., 2], 3 * truth.shifts[..., 2], **TOLERANCE)
    np.testing.assert_allclose(np.delete(found.shifts, 2, -1), np.delete(truth.shifts, 2, -1), **TOLERANCE)


def test_a_gene_that_never_varies_has_no_pattern_and_no_shift():
    adata = with_rep(cohort())
    adata.X[:, [4, 5]] = [0.0, 0.3]
    found = changes_of(learn(adata, use_rep="latent"), cell_type_key="type")
    np.testing.assert_array_equal(found.deviations[[4, 5]], [0, 0])
    for part in (found.whole, found.by_type):
        np.testing.assert_array_equal(part.patterns[..., [4, 5]], 0)
        np.testing.assert_allclose(part.shifts[..., 4], 0)
    np.testing.assert_allclose(found.whole.shifts[..., 5], 0, atol=1e-12)
    np.testing.assert_array_equal(found.whole.t[..., [4, 5]], 0)


def test_shuffled_genes_have_their_own_changes():
    adata = learn(with_rep(cohort()), use_rep="latent")
    order = np.random.default_rng(0).permutation(adata.n_vars)
    found, truth = changes_of(adata[:, order].copy()), changes_of(adata)
    assert found.names.tolist() == truth.names[order].tolist()
    np.testing.assert_allclose(found.whole.patterns, truth.whole.patterns[..., order], **TOLERANCE)


# Expression


def with_counts(adata):
    rate = np.exp((adata.X - 5) / 2) * 3
    adata.layers["counts"] = np.random.default_rng(4).poisson(rate).astype(float)
    log = np.log1p(adata.layers["counts"] / adata.layers["counts"].sum(axis=1, keepdims=True) * 1e4)
    adata.layers["log"] = log
    return adata


def test_raw_counts_are_brought_to_a_logarithmic_scale():
    adata = learn(with_rep(with_counts(cohort())), use_rep="latent")
    truth = changes_of(adata, layer="log")
    assert not truth.counts
    for matrix in (adata.layers["counts"], sparse.csr_matrix(adata.layers["counts"]).astype(np.float32)):
        adata.X = matrix
        found = changes_of(adata)
        assert found.counts
        np.testing.assert_allclose(found.whole.patterns, truth.whole.patterns, rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(found.whole.shifts, truth.whole.shifts, rtol=1e-5, atol=1e-8)


def test_sparse_genes_and_threads_give_the_same_changes():
    adata = learn(with_rep(with_counts(cohort())), use_rep="latent")
    truth = changes_of(adata, layer="log", n_jobs=1)
    found = changes_of(adata, layer="log", n_jobs=3)
    for name, value in vars(truth.whole).items():
        np.testing.assert_array_equal(getattr(found.whole, name), value)
    adata.layers["sparse"] = sparse.csr_matrix(adata.layers["log"])
    assert_same_changes(changes_of(adata, layer="sparse").whole, truth.whole)


def test_without_expression_the_features_change():
    adata = with_rep(cohort())
    bare = AnnData(obs=adata.obs, var=adata.var, obsm={"latent": adata.obsm["latent"]})
    found = changes_of(learn(bare, use_rep="latent"))
    assert not found.of_genes
    assert found.names.tolist() == [f"latent_{i}" for i in range(4)]
    written = Written(bare, expression=bare.obsm["latent"])
    np.testing.assert_allclose(found.whole.patterns, written.patterns(written.between()), **TOLERANCE)


def test_more_pairs_than_are_solved_at_a_time_add_up(monkeypatch):
    adata = learn(with_rep(cohort()), use_rep="latent")
    truth = changes_of(adata, cell_type_key="type")
    monkeypatch.setattr("scggml._anndata.changes.PAIRS", 4)
    found = changes_of(adata, cell_type_key="type")
    assert_same_changes(found.by_type, truth.by_type)


def test_of_many_pairs_some_are_drawn(monkeypatch):
    adata = learn(with_rep(cohort(n_samples=8)), use_rep="latent")
    truth = changes_of(adata)
    monkeypatch.setattr("scggml._anndata.changes.MOST", 60)
    found = changes_of(adata)
    assert not np.allclose(found.whole.patterns, truth.whole.patterns)
    for name in ("patterns", "shifts"):
        a, b = (np.ravel(getattr(each.whole, name)) for each in (found, truth))
        assert np.corrcoef(a, b)[0, 1] > 0.9


# What cannot be asked


@pytest.mark.parametrize(
    "contrast", [("c1", "c1"), ("c1",), ("c0", "c1", "c0"), ("c0", "c9"), "c0", "c1c0", (), ("c0", None)]
)
def test_a_contrast_names_two_classes(contrast):
    adata = learn(cohort())
    with pytest.raises(ValueError, match=r"contrast=.* must name two classes of adata\.obs\['label'\].*\('c1', 'c0'\)"):
        changes_of(adata, contrast=contrast)


def test_numbers_have_no_contrast():
    adata = learn(cohort(), "dose", label_kind="numbers")
    with pytest.raises(ValueError, match="holds numbers, which have no classes; leave contrast out"):
        changes_of(adata, contrast=("c1", "c0"))


def test_types_must_be_there():
    adata = learn(cohort())
    with pytest.raises(KeyError, match="cell_type_key"):
        changes_of(adata, cell_type_key="other")
    adata.obs["type"] = pd.Series(["B"] * (adata.n_obs - 1) + [None], index=adata.obs_names)
    with pytest.raises(ValueError, match=r"adata\.obs\['type'\] \(cell_type_key\) is missing for 1"):
        changes_of(adata, cell_type_key="type")
