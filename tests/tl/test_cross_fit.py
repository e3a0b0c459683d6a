"""What is shown of a donor comes from metrics that have not seen it."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _nulls import null_cohort
from _slots import assert_round_trip, assert_same, slots

import scggml as sg
from scggml._anndata.held_out import read_held_out
from scggml._anndata.metric import read_metric

QUIET = {"n_jobs": 1, "progress": False}


def planted(seed=0, **options):
    adata = sg.datasets.synthetic_counts(
        **({"n_samples": 8, "n_cells": 40, "n_genes": 100, "n_planted": 8, "n_types": 3, "rng": seed} | options)
    )
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=12)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=2, progress=False)
    return adata


@pytest.fixture(scope="module")
def _fitted():
    adata = planted()
    sg.tl.cross_fit(adata, n_splits=4, **QUIET)
    return adata


@pytest.fixture
def fitted(_fitted):
    """Sixteen donors, of whose types one differs between the classes, with a cross-fit of four folds."""
    return _fitted.copy()


def test_cells_are_under_the_metric_without_their_fold(fitted):
    found = read_held_out(fitted, read_metric(fitted, "ggml"))
    components, centers = found.fits.single()
    fold = dict(zip(found.names, found.fits.fold, strict=True))
    for i in (0, 100, 500):
        f = fold[str(fitted.obs["sample_id"].iloc[i])]
        truth = components[f] @ fitted.obsm["X_pca"][i].astype(float) - centers[f]
        np.testing.assert_allclose(fitted.obsm["X_ggml_held_out"][i], truth, rtol=1e-5, atol=1e-6)


def test_held_out_class_means_are_those_of_the_samples(fitted):
    entry = fitted.uns["ggml_held_out"]
    scores = fitted.obs[["sample_id", "label"]].assign(z=fitted.obsm["X_ggml_held_out"][:, 0])
    means = scores.groupby(["label", "sample_id"], observed=True)["z"].mean().groupby("label", observed=True).mean()
    np.testing.assert_allclose(entry["class_means"][0], means.to_numpy())
    assert entry["p_values"][0] < 0.05


def test_distances_are_those_of_metrics_that_have_seen_neither_donor(fitted):
    samples = sg.tl.distances(fitted, held_out=True, progress=False)
    D = samples.obsp["ggml_held_out_distances"]
    found = read_held_out(fitted, read_metric(fitted, "ggml"))
    fits, W = found.fits, found.fits.double()
    clouds = [fitted.obsm["X_pca"][(fitted.obs["sample_id"] == name).to_numpy()] for name in samples.obs_names]
    for p, q in ((0, 1), (0, 5), (3, 12), (7, 9)):
        out = {int(fits.fold[p]), int(fits.fold[q])}
        values = [
            sg.get.Metric(
                components=W[e], singular_values=np.ones(2), features=np.arange(W.shape[2]).astype(str), loadings=None
            ).distances([clouds[p], clouds[q]])[0, 1]
            for e, pair in enumerate(fits.left_out[fits.n_folds :])
            if out <= set(pair.tolist())
        ]
        assert len(values) == (1 if len(out) == 2 else fits.n_folds - 1)
        assert D[p, q] == pytest.approx(np.mean(values), rel=1e-5)
    np.testing.assert_array_equal(D, D.T)
    assert samples.uns["ggml_held_out_distances"]["seen"] == "held out"
    assert sg.tl.distances(fitted, progress=False).uns["ggml_distances"]["seen"] == "training"


def test_what_follows_takes_held_out_distances(fitted):
    samples = sg.tl.distances(fitted, held_out=True, progress=False)
    sg.tl.mds(samples, key="ggml_held_out")
    sg.tl.neighbors(samples, key="ggml_held_out", n_neighbors=5)
    ax = sg.pl.embedding(samples, color="label")
    assert "held-out donors" in [text.get_text() for text in ax.texts]
    grid = sg.pl.clustermap(samples, key="ggml_held_out", color="label")
    assert grid.data2d.shape == (16, 16)
    training = sg.tl.distances(fitted, progress=False)
    sg.tl.mds(training)
    assert any("training samples" in text.get_text() for text in sg.pl.embedding(training).texts)


def test_contributions_of_cells_add_up_to_the_held_out_gap(fitted):
    sg.tl.attribute(fitted, cell_type_key="cell_type", held_out=True, n_perm=99, progress=False)
    entry = fitted.uns["ggml_attribution"]
    samples = sg.tl.distances(fitted, held_out=True, progress=False)
    D, labels = samples.obsp["ggml_held_out_distances"], samples.obs["label"].to_numpy()
    between = D[np.ix_(labels == "class0", labels == "class1")].mean()
    within = np.mean([D[np.ix_(labels == c, labels == c)][np.triu_indices(8, 1)].mean() for c in ("class0", "class1")])
    assert entry["gap"] == pytest.approx(between - within, rel=1e-9)
    assert fitted.obs["ggml_attribution"].sum() == pytest.approx(entry["gap"], rel=1e-9)
    types = entry["types"].query("class_a != class_b")
    assert types["excess"].sum() == pytest.approx(entry["gap"], rel=1e-9)
    assert entry["seen"] == "held out"


def test_the_planted_type_has_the_held_out_gap_and_the_only_small_p_value(fitted):
    sg.tl.attribute(fitted, cell_type_key="cell_type", held_out=True, n_perm=199, progress=False)
    types = fitted.uns["ggml_attribution"]["types"].query("class_a != class_b").set_index("cell_type")
    assert types["excess"].idxmax() == "type0"
    assert types.loc["type0", "excess"] > 0.8 * types["excess"].clip(lower=0).sum()
    assert types.loc["type0", "p_adjusted_state"] <= 0.05
    assert (types.loc[["type1", "type2"], "p_adjusted_state"] > 0.05).all()
    parts = types["excess_state"].sum(), types["excess_composition"].sum()
    assert parts[0] > 0.85 * (parts[0] + max(parts[1], 0.0))
    np.testing.assert_allclose(types["excess_state"] + types["excess_composition"], types["excess"], rtol=1e-9)


def test_a_type_that_is_more_frequent_differs_in_composition_and_not_in_state():
    """No gene differs; cells of one type are drawn eight times as often in one class."""
    adata = sg.datasets.synthetic_counts(n_samples=10, n_cells=150, n_genes=100, n_planted=0, n_types=3, rng=0)
    rng = np.random.default_rng(1)
    often = (adata.obs["label"] == "class1") & (adata.obs["cell_type"] == "type0")
    weight = pd.Series(np.where(often, 8.0, 1.0), index=adata.obs_names)
    chosen = [
        rng.choice(cells, 40, replace=False, p=(weight[cells] / weight[cells].sum()).to_numpy())
        for cells in adata.obs.groupby("sample_id", observed=True).groups.values()
    ]
    adata = adata[np.concatenate(chosen)].copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=10)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", **QUIET)
    sg.tl.cross_fit(adata, n_splits=5, **QUIET)
    sg.tl.attribute(adata, cell_type_key="cell_type", held_out=True, n_perm=199, progress=False)
    types = adata.uns["ggml_attribution"]["types"].query("class_a != class_b").set_index("cell_type")
    assert types.loc["type0", "p_adjusted_composition"] <= 0.05
    assert (types["p_adjusted_state"] > 0.05).all()
    state, composition = types["excess_state"].sum(), types["excess_composition"].sum()
    assert composition > 0.85 * (composition + max(state, 0.0))


def test_types_that_make_room_for_others_do_not_differ_in_composition():
    """Genes of one type differ, no share does; yet cells of other types pay for it that its cells have moved away."""
    adata = planted(n_samples=16, n_cells=60, log_fold_change=2.5, n_types=4)
    sg.tl.cross_fit(adata, n_splits=4, **QUIET)
    sg.tl.attribute(adata, cell_type_key="cell_type", held_out=True, n_perm=199, progress=False)
    types = adata.uns["ggml_attribution"]["types"].query("class_a != class_b").set_index("cell_type")
    others = types.drop("type0")
    assert (others["excess_composition"] > 0).any()
    assert (types["p_adjusted_composition"] > 0.05).all()
    assert types.loc["type0", "p_adjusted_state"] <= 0.05


def test_attribution_of_training_samples_warns_where_held_out_donors_differ():
    fitted = planted(log_fold_change=1.8, n_types=4)
    sg.tl.cross_fit(fitted, n_splits=4, **QUIET)
    with pytest.warns(UserWarning, match=r"On the training samples 'type\d' has .* on held-out donors"):
        sg.tl.attribute(fitted, cell_type_key="cell_type", progress=False)
    assert fitted.uns["ggml_attribution"]["seen"] == "training"
    assert "p_value_state" not in fitted.uns["ggml_attribution"]["types"]


def test_types_of_one_class_are_named(fitted):
    fitted.obs["leak"] = np.where(fitted.obs["label"] == "class1", "sick", "any")
    fitted.obs.loc[fitted.obs_names[-5:], "leak"] = "any"
    with pytest.warns(UserWarning, match=r"1 of the 2 types .* occur in one class only: 'sick' \(class1\)"):
        sg.tl.attribute(fitted, cell_type_key="leak", held_out=True, n_perm=9, progress=False)


def test_labels_that_mean_nothing_are_told():
    adata = null_cohort(3, n_donors=16, n_cells=8, n_genes=12)
    sg.tl.ggml(adata, "sample", "label", progress=False)
    with pytest.warns(UserWarning, match="Held-out donors of different 'label' do not differ in their mean on any"):
        sg.tl.cross_fit(adata, n_splits=4, **QUIET)


def test_covariates_are_taken_off_by_each_fit(fitted):
    age = dict(zip(fitted.obs["sample_id"].unique(), np.linspace(20, 80, 16), strict=True))
    fitted.obs["age"] = fitted.obs["sample_id"].map(age).astype(float)
    sg.tl.ggml(fitted, "sample_id", "label", use_rep="X_pca", n_comps=2, covariate_keys=["age"], progress=False)
    sg.tl.cross_fit(fitted, n_splits=4, **QUIET)
    assert fitted.uns["ggml_held_out"]["slopes"].shape == (10, 1, 12)
    sg.tl.attribute(fitted, held_out=True, progress=False)
    gap = fitted.uns["ggml_attribution"]["gap"]
    moved = fitted.copy()
    moved.obsm["X_pca"] = moved.obsm["X_pca"] + 0.05 * (moved.obs["age"].to_numpy() - 50)[:, None]
    sg.tl.ggml(moved, "sample_id", "label", use_rep="X_pca", n_comps=2, covariate_keys=["age"], progress=False)
    sg.tl.cross_fit(moved, n_splits=4, **QUIET)
    sg.tl.attribute(moved, held_out=True, progress=False)
    assert moved.uns["ggml_attribution"]["gap"] == pytest.approx(gap, rel=1e-4)


def test_a_summary_of_all_cells_changes_little(fitted):
    sg.tl.attribute(fitted, held_out=True, summary=None, progress=False)
    gap = fitted.uns["ggml_attribution"]["gap"]
    sg.tl.attribute(fitted, held_out=True, summary=sg.tl.Coreset(25), progress=False)
    assert fitted.obs["ggml_attribution"].sum() == pytest.approx(fitted.uns["ggml_attribution"]["gap"], rel=1e-9)
    assert fitted.uns["ggml_attribution"]["gap"] == pytest.approx(gap, rel=0.15)


def test_cells_of_samples_that_were_left_out_have_no_coordinates():
    adata = planted()
    few = np.flatnonzero(adata.obs["sample_id"] == adata.obs["sample_id"].iloc[0])[5:]
    adata = adata[np.setdiff1d(np.arange(adata.n_obs), few)].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=2, min_cells=10, progress=False)
        sg.tl.cross_fit(adata, n_splits=3, **QUIET)
    assert np.isnan(adata.obsm["X_ggml_held_out"]).any(axis=1).sum() == 5


def test_results_survive_files_and_do_the_same_after_them(fitted, tmp_path):
    truth = sg.tl.distances(fitted, held_out=True, progress=False).obsp["ggml_held_out_distances"]
    for read in assert_round_trip(fitted, tmp_path):
        again = sg.tl.distances(read, held_out=True, progress=False).obsp["ggml_held_out_distances"]
        np.testing.assert_array_equal(again, truth)


def test_the_same_seed_gives_the_same_result_for_any_number_of_processes(fitted):
    again = fitted.copy()
    sg.tl.cross_fit(again, n_splits=4, n_jobs=2, progress=False)
    np.testing.assert_array_equal(again.obsm["X_ggml_held_out"], fitted.obsm["X_ggml_held_out"])


def test_what_is_missing_or_of_another_metric_is_told(fitted):
    other = planted(n_cells=20)
    with pytest.raises(KeyError, match=r"No 'ggml_held_out' in adata\.uns; learn .* with sg\.tl\.cross_fit"):
        sg.tl.distances(other, held_out=True, progress=False)
    sg.tl.ggml(fitted, "sample_id", "label", use_rep="X_pca", n_comps=3, progress=False)
    with pytest.raises(ValueError, match="was computed for another metric"):
        sg.tl.attribute(fitted, held_out=True, progress=False)
    with pytest.raises(ValueError, match="held_out=True goes with the learned metric 'ggml'"):
        sg.tl.distances(fitted, held_out=True, metric="euclidean", progress=False)


def test_samples_that_were_not_there_are_listed(fitted):
    fitted.obs["sample_id"] = fitted.obs["sample_id"].astype(str).replace({str(fitted.obs["sample_id"].iloc[0]): "new"})
    with pytest.raises(ValueError, match="1 of the 16 samples were not there when the metric was cross-fitted: 'new'"):
        sg.tl.distances(fitted, held_out=True, progress=False)


def test_new_samples_are_no_training_samples(fitted):
    new = planted(seed=1)
    new.obsm["X_pca"] = np.asarray(new.X @ fitted.varm["PCs"])
    new.varm["PCs"] = fitted.varm["PCs"].copy()
    new.obs["sample_id"] = "new_" + new.obs["sample_id"].astype(str)
    del new.uns["ggml"], new.varm["ggml"], new.obsm["X_ggml"]
    sg.tl.project(new, fitted)
    assert sg.tl.distances(new, progress=False).uns["ggml_distances"]["seen"] == "other"


def test_a_copy_leaves_the_original_alone(fitted):
    before = slots(fitted)
    copied = sg.tl.cross_fit(fitted, n_splits=3, copy=True, **QUIET)
    assert_same(slots(fitted), before)
    assert isinstance(copied, ad.AnnData)
    assert copied.uns["ggml_held_out"]["params"]["n_splits"] == 3


def test_p_values_of_types_compare_samples_of_one_batch_only():
    """Batches differ strongly, labels not at all: p-values are neither all small nor all 1."""
    p = []
    for seed in range(4):
        adata = null_cohort(seed, n_donors=18, n_cells=8, n_genes=5)
        donors = adata.obs.drop_duplicates("sample").sort_values("label")["sample"]  # both labels in both batches
        adata.obs["batch"] = adata.obs["sample"].map({name: f"b{i % 2}" for i, name in enumerate(donors)})
        adata.X = adata.X + 3.0 * (adata.obs["batch"] == "b0").to_numpy()[:, None]
        adata.obs["type"] = np.where(np.arange(adata.n_obs) % 2, "x", "y")
        sg.tl.ggml(adata, "sample", "label", batch_key="batch", n_comps=2, progress=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            sg.tl.cross_fit(adata, n_splits=3, **QUIET)
            sg.tl.attribute(adata, cell_type_key="type", held_out=True, n_perm=99, progress=False)
        types = adata.uns["ggml_attribution"]["types"].query("class_a != class_b")
        p += types[["p_value_state", "p_value_composition"]].to_numpy().ravel().tolist()
    assert min(p) < 0.6
    assert np.mean(np.array(p) <= 0.05) <= 0.25
    assert max(p) > 0.2


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_held_out_is_true_or_false(fitted, value):
    for call in (sg.tl.distances, sg.tl.attribute):
        with pytest.raises(TypeError, match=r"held_out=.* must be True or False"):
            call(fitted, held_out=value, progress=False)
