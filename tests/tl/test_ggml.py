import _thread
import itertools
from typing import get_args

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from _learning import SETTLED, take_steps
from _nulls import null_cohort
from _slots import assert_same, slots
from _threads import no_thread_left
from scipy import sparse

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml._core.learn.canonical import canonical_metric
from scggml._core.learn.choice import SETTINGS
from scggml._core.learn.learner import MethodName
from scggml._core.learn.loss import Anchors
from scggml._core.learn.pair_weights import weigh_pairs
from scggml._core.learn.penalty import PenaltyName
from scggml._core.learn.triplets import InitialName
from scggml._core.transport.solvers import SolverName

QUIET = {"progress": False}
METHODS = [*get_args(MethodName), "settled"]


def learn(adata, method="canonical", **options):
    """By a method and with all else at its default."""
    given = SETTLED if method == "settled" else {"method": method}
    return sg.tl.ggml(adata, "sample_id", "label", **(given | QUIET | options))


def theta(adata, key="ggml"):
    W = adata.uns[key]["components"]
    return W.T @ W


def shuffled(adata, seed=0):
    return adata[np.random.default_rng(seed).permutation(adata.n_obs)].copy()


# The slots


OF_METHOD = {
    "canonical": {"history/eigenvalues", *(f"choice/{name}" for name in ("ridge", "ridge_scale", "shrinkage", "score"))}
    | {"choice/error", "choice/chosen", "choice/reason", "choice/given_up"},
    "settled": {"history/eigenvalues"},
    "triplets": {"history/loss", "history/gradient_norm", "history/active", "margin", "reg", "refined"},
    "paper": {"history/loss", "history/gradient_norm", "history/active", "margin", "reg", "refined"},
}
OF_METHOD["triplets"] |= {path for path in OF_METHOD["canonical"] if path.startswith("choice")}
OF_METHOD["settled"] |= {path for path in OF_METHOD["canonical"] if path.startswith("choice")}
OPTIONS = ("learner", "settled", "reading", "checksums")


@pytest.mark.parametrize("method", METHODS)
def test_the_documented_slots_are_written_and_no_other(adata, method):
    before = slots(adata)
    assert learn(adata, method, n_comps=2) is None
    new = {path: value for path, value in slots(adata).items() if path not in before}
    assert_same({path: value for path, value in slots(adata).items() if path in before}, before)
    entries = {"components", "singular_values", "features", "class_means", "oriented_to", "converged", "stop"}
    entries |= {"shrinkage", "learned_share", "samples", "labels", "scale", "fingerprint"} | OF_METHOD[method]
    found = {path for path in new if not path.startswith(tuple(f"uns/ggml/{name}/" for name in OPTIONS))}
    assert found == {"obsm/X_ggml", "varm/ggml", *(f"uns/ggml/{name}" for name in entries)}
    assert adata.uns["ggml"].keys() >= set(OPTIONS)
    W = new["uns/ggml/components"]
    assert W.shape == (2, 4)
    np.testing.assert_allclose(new["obsm/X_ggml"], adata.X @ W.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(new["varm/ggml"], W.T)
    assert new["uns/ggml/features"].tolist() == adata.var_names.tolist()
    assert new["uns/ggml/class_means"].shape == (2, 3)
    for path in ("uns/ggml/components", "uns/ggml/singular_values", "obsm/X_ggml", "varm/ggml"):
        assert new[path].dtype == np.float64


def test_the_history_of_steps_has_an_entry_for_each_pass(adata):
    take_steps(adata, init=sg.tl.Canonical(ridge=0.03), max_iter=6)
    history = adata.uns["ggml"]["history"]
    for name in ("loss", "gradient_norm", "active"):
        assert history[name].shape == (6,)
        assert history[name].dtype == np.float64
        assert (history[name] > 0).all()
    assert (history["active"] <= 1).all()
    assert history["loss"][-1] < history["loss"][0]


def test_the_history_of_canonical_variates_has_eigenvalues_for_each_alternation(adata):
    learn(adata, method=sg.tl.Canonical(n_alternations=4), n_comps=2)
    eigenvalues = adata.uns["ggml"]["history"]["eigenvalues"]
    assert eigenvalues.shape == (4, 2)
    assert (np.diff(eigenvalues, axis=1) <= 0).all()


def test_the_arguments_are_stored_and_none_is_left_out(adata):
    adata.obs["weight"] = 1.0
    given = {"penalty": "l21", "reg": 0.2, "margin": 3.0, "anchors": "distinct", "lr": 0.02}
    take_steps(adata, squared=True, n_cells=5, weights_key="weight", rng=4, **given)
    stored = read_metric(adata, "ggml")
    method = sg.tl.Triplets(max_iter=8, tol=0, **given)
    assert stored.learner == sg.tl.Learner(method=method, n_comps=2, squared=True)
    assert adata.uns["ggml"]["reading"] == {
        "sample_key": "sample_id",
        "label_key": "label",
        "label_kind": "auto",
        "weights_key": "weight",
        "n_cells": 5,
        "min_cells": 1,
        "seed": 4,
    }


def test_what_was_decided_is_stored_beside_what_was_asked_for(adata):
    learn(adata)
    stored, choice = read_metric(adata, "ggml"), adata.uns["ggml"]["choice"]
    assert stored.learner == sg.tl.Learner()
    setting = SETTINGS[choice["chosen"]]
    assert [*zip(choice["ridge"], choice["ridge_scale"], choice["shrinkage"], strict=True)] == [
        (each.ridge, each.ridge_scale, each.shrinkage) for each in SETTINGS
    ]
    assert np.isfinite(choice["score"]).all()
    method = sg.tl.Canonical(ridge=setting.ridge, ridge_scale=setting.ridge_scale)
    assert stored.settled == sg.tl.Learner(method=method, shrinkage=setting.shrinkage)
    assert adata.uns["ggml"]["shrinkage"] == setting.shrinkage
    learn(adata, method=method, shrinkage=setting.shrinkage, key_added="again")
    np.testing.assert_array_equal(theta(adata, "again"), theta(adata))
    assert adata.uns["again"]["choice"]["reason"] == "given"


def test_features_without_genes_have_no_loadings(adata):
    adata.obsm["X_scVI"] = adata.X.copy()
    learn(adata, use_rep="X_scVI")
    assert "ggml" not in adata.varm
    assert adata.uns["ggml"]["features"].tolist() == [f"X_scVI_{i}" for i in range(4)]
    assert adata.uns["ggml"]["reading"]["use_rep"] == "X_scVI"


def test_genes_outside_the_mask_have_no_loadings_and_do_not_count(adata):
    adata.var["highly_variable"] = [True, False, True, True]
    masked = adata[:, [0, 2, 3]].copy()
    learn(adata)
    learn(masked)
    np.testing.assert_array_equal(adata.varm["ggml"][[0, 2, 3]], masked.varm["ggml"])
    assert np.isnan(adata.varm["ggml"][1]).all()
    np.testing.assert_array_equal(adata.obsm["X_ggml"], masked.obsm["X_ggml"])
    assert adata.uns["ggml"]["features"].tolist() == masked.var_names.tolist()


def test_loadings_of_a_pca_come_back_on_genes(counts):
    W, PCs = counts.uns["ggml"]["components"], counts.varm["PCs"]
    seen = counts.var["highly_variable"].to_numpy()
    np.testing.assert_allclose(counts.varm["ggml"][seen], (PCs @ W.T)[seen], rtol=1e-12)
    assert np.isnan(counts.varm["ggml"][~seen]).all()
    np.testing.assert_allclose(counts.obsm["X_ggml"], counts.obsm["X_pca"] @ W.T, rtol=1e-5, atol=1e-5)
    # and these loadings give the distances of cells on the genes that the PCA saw
    X = counts.X.toarray()[:, seen].astype(np.float64)
    centred = X - X.mean(axis=0)
    embedded = centred @ counts.varm["ggml"][seen]
    np.testing.assert_allclose(embedded, counts.obsm["X_ggml"], atol=1e-4 * np.abs(embedded).max())


@pytest.mark.parametrize("method", ["settled", "triplets"])
def test_another_key_renames_every_slot(adata, method):
    other = adata.copy()
    learn(adata, method)
    learn(other, method, key_added="tumor")
    renamed = {path.replace("ggml", "tumor"): value for path, value in slots(adata).items()}
    assert_same(slots(other), renamed)


def test_two_keys_stand_side_by_side(adata):
    learn(adata)
    first = slots(adata)
    learn(adata, key_added="tumor", n_comps=1)
    after = slots(adata)
    assert_same({path: after[path] for path in first}, first)
    assert adata.obsm["X_tumor"].shape[1] == 1


def test_a_copy_leaves_the_original_untouched(adata):
    before = slots(adata)
    result = learn(adata, copy=True)
    assert_same(slots(adata), before)
    learn(adata)
    assert_same(slots(result), slots(adata))


def test_learning_again_replaces_all_of_a_stored_metric(adata):
    fresh = adata.copy()
    take_steps(adata, n_cells=4, weights_key="offset", covariate_keys=["offset"], n_comps=3)
    adata.uns["ggml"]["note"] = "of the first run"
    for each in (adata, fresh):
        each.obsm["X_scVI"] = each.X.copy()
        learn(each, use_rep="X_scVI")
    assert_same(slots(adata), slots(fresh))
    assert "ggml" not in adata.varm


def test_a_view_becomes_an_anndata_of_its_own(adata):
    before = slots(adata)
    keep = (adata.obs["label"] != "class2").to_numpy()
    view, copied = adata[keep], adata[keep].copy()
    learn(view)
    learn(copied)
    assert not view.is_view
    assert_same(slots(view), slots(copied))
    assert_same(slots(adata), before)


# The metric


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [{}, {"squared": True, "n_comps": 4}, {"n_comps": 1}], ids=str)
def test_components_are_in_canonical_form(adata, method, options):
    learn(adata, method, **options)
    W, S = adata.uns["ggml"]["components"], adata.uns["ggml"]["singular_values"]
    np.testing.assert_allclose(W @ W.T, np.diag(S**2), atol=1e-12 * S.max() ** 2)
    assert (np.diff(S) <= 0).all()
    assert S[0] > 0
    assert len(W) == options.get("n_comps", 4)  # of up to 5, all that the features can carry


@pytest.mark.parametrize("method", METHODS)
def test_components_point_away_from_the_reference_class(adata, method):
    adata.uns = {}
    for reference in (None, "class1"):
        learn(adata, method, reference_class=reference)
        entry = adata.uns["ggml"]
        Z = pd.DataFrame(adata.obsm["X_ggml"]).groupby(adata.obs["sample_id"].to_numpy()).mean()
        label = adata.obs.drop_duplicates("sample_id").set_index("sample_id")["label"].astype(str)[Z.index]
        means = Z.groupby(label.to_numpy()).mean()
        np.testing.assert_allclose(entry["class_means"], means.T, rtol=1e-5, atol=1e-5)
        away = means - means.loc[reference or "class0"]
        for i in range(Z.shape[1]):
            assert away[i].loc[away[i].abs().idxmax()] > 0
            assert entry["oriented_to"][i] == means[i].idxmax()


def test_of_two_classes_the_reference_class_is_at_the_negative_end(adata):
    two = adata[adata.obs["label"] != "class1"].copy()
    for reference, positive in ((None, "class2"), ("class0", "class2"), ("class2", "class0")):
        learn(two, reference_class=reference)
        assert set(two.uns["ggml"]["oriented_to"]) == {positive}


def test_numbers_and_ordered_labels_are_higher_at_the_positive_end(adata):
    adata.obs["age"] = 20.0 + 7 * adata.obs["sample_id"].cat.codes
    sg.tl.ggml(adata, "sample_id", "age", label_kind="numbers", **QUIET)
    slope, correlation = adata.uns["ggml"]["class_means"].T
    assert (slope > 0).all()
    assert ((correlation > 0) & (correlation <= 1)).all()
    assert set(adata.uns["ggml"]["oriented_to"]) == {"higher"}
    Z = pd.DataFrame(adata.obsm["X_ggml"]).groupby(adata.obs["age"].to_numpy()).mean()
    np.testing.assert_allclose(slope, [np.polyfit(Z.index, Z[i], 1)[0] for i in Z], rtol=1e-5)
    learn(adata, label_kind=["class2", "class1", "class0"])
    means = adata.uns["ggml"]["class_means"]
    assert (means[0, 2] - means[0, 0]) > 0
    assert adata.uns["ggml"]["oriented_to"][0] == "class0"


def read(adata, **reading):
    """The samples and the target that a metric was learned from."""
    stored = read_metric(adata, "ggml")
    selection, target = stored.select(adata)
    return stored.samples(selection), target


def canonical_variates(adata, ridge=0.05, n_comps=2):
    samples, target = read(adata)
    options = sg.tl.Canonical(ridge=ridge, ridge_scale="mean")
    found = canonical_metric(options, samples.cohort, weigh_pairs(target), n_comps, solver=sg.tl.Exact())
    return found.components


def assert_same_metric(W, truth, **tolerance):
    """Up to the signs of components."""
    np.testing.assert_allclose(W.T @ W, truth.T @ truth, **({"rtol": 1e-9, "atol": 1e-12} | tolerance))


def test_a_metric_that_nothing_is_decided_of_is_that_of_canonical_variates(adata):
    learn(adata, "settled", shrinkage=0.0, n_comps=2)
    assert adata.uns["ggml"]["stop"] == "closed form"
    assert_same_metric(adata.uns["ggml"]["components"], canonical_variates(adata))


@pytest.mark.parametrize("squared", [False, True])
def test_a_scale_free_start_is_one_to_ten_times_the_median_distance_between_classes(adata, squared):
    start = sg.tl.Canonical(ridge=0.05, ridge_scale="mean")
    take_steps(adata, init=start, max_iter=1, lr=1e-9, squared=squared, shrinkage=0.0)
    samples = sg.tl.distances(adata, progress=False)
    label = samples.obs["label"].to_numpy()
    D = samples.obsp["ggml_distances"]
    assert adata.uns["ggml"]["margin"] == 1.0
    assert 1.0 - 1e-6 <= np.median(D[label[:, None] != label]) <= (100 if squared else 10) + 1e-6
    truth, found = canonical_variates(adata), adata.uns["ggml"]["components"]
    unit = np.linalg.norm(truth) / np.linalg.norm(found)
    assert_same_metric(found * unit, truth, rtol=1e-5, atol=1e-6 * np.linalg.norm(truth) ** 2)


@pytest.mark.parametrize("options", [{}, {"squared": True}, {"init": "pca", "penalty": "l1"}], ids=str)
def test_the_scale_of_the_data_does_not_matter_to_steps(adata, options):
    other = adata.copy()
    other.X = other.X * np.float32(64)
    take_steps(adata, **options)
    take_steps(other, **options)
    np.testing.assert_allclose(other.obsm["X_ggml"], adata.obsm["X_ggml"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(64 * other.uns["ggml"]["components"], adata.uns["ggml"]["components"], rtol=1e-6)


def test_the_scale_of_the_data_does_not_matter_to_canonical_variates(adata):
    other = adata.copy()
    other.X = other.X * np.float32(64)
    learn(adata)
    learn(other)
    np.testing.assert_allclose(other.obsm["X_ggml"], adata.obsm["X_ggml"], rtol=1e-6, atol=1e-6)
    assert other.uns["ggml"]["choice"]["chosen"] == adata.uns["ggml"]["choice"]["chosen"]


def test_a_start_of_ones_own_is_taken(adata):
    W0 = np.random.default_rng(0).normal(size=(2, 4))
    before = W0.copy()
    take_steps(adata, init=W0, max_iter=1, lr=1e-12, margin=1.0)
    np.testing.assert_allclose(theta(adata), W0.T @ W0, rtol=1e-9)
    take_steps(adata, init=W0, max_iter=3, margin=1.0)
    np.testing.assert_array_equal(W0, before)
    np.testing.assert_array_equal(adata.uns["ggml"]["learner"]["method"]["init"], W0)


STARTS = {"array": np.random.default_rng(0).normal(size=(2, 4)), "canonical": SETTLED["method"], "pca": "pca"}


@pytest.mark.parametrize("margin", [1.0, "auto"])
@pytest.mark.parametrize("init", STARTS)
def test_the_order_of_cells_and_samples_does_not_matter_to_steps(adata, init, margin):
    assert_order_does_not_matter(adata, take_steps, init=STARTS[init], margin=margin, shrinkage=0.4)


def test_the_order_of_cells_and_samples_does_not_matter_to_canonical_variates(adata):
    assert_order_does_not_matter(adata, learn, method="settled")


def assert_order_does_not_matter(adata, call, **options):
    other = shuffled(adata)
    assert other.obs["sample_id"].unique().tolist() != adata.obs["sample_id"].unique().tolist()
    for each in (adata, other):
        each.X = each.X.astype(np.float64)
        call(each, **options)
    np.testing.assert_allclose(theta(other), theta(adata), rtol=1e-6, atol=1e-6 * theta(adata).max())
    for name, values in adata.uns["ggml"]["history"].items():
        np.testing.assert_allclose(other.uns["ggml"]["history"][name], values, rtol=1e-6, err_msg=name)
    found = pd.DataFrame(other.obsm["X_ggml"], index=other.obs_names).loc[adata.obs_names]
    np.testing.assert_allclose(found, adata.obsm["X_ggml"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("call", [take_steps, learn], ids=["steps", "default"])
def test_twice_the_cells_at_half_the_weight_are_the_same_metric(adata, call):
    adata.X = adata.X.astype(np.float64)
    adata.obs["weight"] = np.random.default_rng(0).uniform(0.5, 1.0, adata.n_obs)
    copies = adata[::-1].copy()
    copies.obs_names = copies.obs_names + "-copy"
    twice = ad.concat([adata, copies])
    twice.obs["weight"] /= 2
    for each in (adata, twice):
        call(each, weights_key="weight")
    np.testing.assert_allclose(theta(twice), theta(adata), rtol=1e-6, atol=1e-6 * theta(adata).max())


def test_a_sample_with_one_cell_counts(adata):
    first = adata.obs["sample_id"].iloc[0]
    keep = (adata.obs["sample_id"] != first).to_numpy() | (np.arange(adata.n_obs) == 0)
    one = adata[keep].copy()
    with pytest.warns(UserWarning, match="1 of 9 samples have few cells"):
        learn(one)
    assert np.isfinite(one.obsm["X_ggml"]).all()
    learn(without := adata[adata.obs["sample_id"] != first].copy())
    assert not np.allclose(theta(one), theta(without), rtol=1e-3)


def test_subsampled_learning_embeds_all_cells(adata):
    learn(adata, n_cells=4)
    assert adata.obsm["X_ggml"].shape == (adata.n_obs, 4)
    np.testing.assert_allclose(adata.obsm["X_ggml"], adata.X @ adata.uns["ggml"]["components"].T, rtol=1e-5, atol=1e-5)


def test_a_solver_with_options_may_stand_for_its_name(adata):
    other = adata.copy()
    learn(adata, solver="exact")
    learn(other, solver=sg.tl.Exact(max_iter=1_000_000))
    np.testing.assert_array_equal(theta(other), theta(adata))
    assert other.uns["ggml"]["learner"]["solver"]["max_iter"] == 1_000_000


def test_the_names_of_methods_stand_for_objects(adata):
    methods = {"canonical": sg.tl.Canonical(), "triplets": sg.tl.Triplets(), "paper": sg.tl.Triplets.paper()}
    for name, method in methods.items():
        learn(adata, name)
        learn(adata, method, key_added="object")
        np.testing.assert_array_equal(theta(adata, "object"), theta(adata))
        assert adata.uns["object"]["fingerprint"] == adata.uns["ggml"]["fingerprint"]


def test_the_method_of_the_paper_is_the_published_recipe(adata):
    learn(adata, "paper")
    entry = adata.uns["ggml"]
    assert (entry["margin"], entry["reg"], entry["shrinkage"]) == (10.0, 0.1, 0.0)
    assert len(entry["history"]["loss"]) == 30
    assert "choice" not in entry
    learn(adata, "paper", rng=1, key_added="other")
    assert not np.allclose(theta(adata, "other"), theta(adata), rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        *(("penalty", choice) for choice in get_args(PenaltyName)),
        *(("anchors", choice) for choice in get_args(Anchors)),
        *(("init", choice) for choice in get_args(InitialName)),
        *(("solver", choice) for choice in get_args(SolverName)),
    ],
)
@pytest.mark.parametrize("squared", [False, True])
def test_every_choice_lowers_the_objective(adata, name, choice, squared):
    if name == "solver" and choice != "exact":
        pytest.importorskip("torch")
    take_steps(adata, squared=squared, **({"max_iter": 15, "lr": 0.03} | {name: choice}))
    loss = adata.uns["ggml"]["history"]["loss"]
    assert np.isfinite(adata.obsm["X_ggml"]).all()
    assert loss[-1] < loss[0]


# Study design


def test_effects_of_covariates_are_taken_off_all_cells(adata):
    """Age moves all cells of a sample along noise_1, and is associated with the label."""
    adata.X = adata.X.astype(np.float64)
    codes = adata.obs["label"].cat.codes.to_numpy()
    rng = np.random.default_rng(0)
    adata.obs["age"] = (40 + 10 * codes + rng.integers(0, 20, 9)[adata.obs["sample_id"].cat.codes]).astype(float)
    clean = adata.copy()
    adata.X[:, 1] += 2.0 * adata.obs["age"]
    for each in (adata, clean):
        learn(each, "settled", covariate_keys=["age"], n_cells=9)
    slopes = {name: each.uns["ggml"]["adjustment"]["slopes"][0] for name, each in (("aged", adata), ("clean", clean))}
    np.testing.assert_allclose(slopes["aged"] - slopes["clean"], [0, 2, 0, 0], atol=1e-9)
    np.testing.assert_allclose(theta(adata), theta(clean), rtol=1e-6)
    shift = adata.obsm["X_ggml"] - clean.obsm["X_ggml"]  # the typical age is not moved: a constant is left
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-6)
    D = [sg.tl.distances(each, **QUIET).obsp["ggml_distances"] for each in (adata, clean)]
    np.testing.assert_allclose(*D, rtol=1e-6)


def test_covariates_of_samples_that_are_left_out_are_asked_for_before_any_work(adata):
    adata.obs["age"] = adata.obs["sample_id"].cat.codes.astype(float)
    few = adata[3:].copy()
    few.obs.loc[few.obs["sample_id"] == "class0_00", "age"] = np.nan
    with (
        pytest.warns(UserWarning, match="min_cells=10 leaves out 1 of 9"),
        pytest.raises(ValueError, match=r"adata\.obs\['age'\] \(covariate_keys\) is missing for 9 of 105 cells"),
    ):
        learn(few, min_cells=10, covariate_keys=["age"])
    assert "ggml" not in few.uns


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_that_is_the_label_is_refused(adata, method):
    adata.obs["batch"] = adata.obs["label"]
    message = "No batch of batch_key='batch' holds .* different labels of .*, so batch and label|no .* triplet"
    with pytest.raises(ValueError, match=message):
        learn(adata, method, batch_key="batch")
    assert "ggml" not in adata.uns


def batched(seed, n_donors=24):
    """The batch of a donor moves feature 0 by far, the label feature 1 by less, 5 of 6 have the label of the batch."""
    adata = null_cohort(seed, n_donors=n_donors, n_cells=8)
    donor = adata.obs["donor"].astype(str).str[1:].astype(int).to_numpy()
    batch = donor % 2
    label = np.where(donor % 12 < 10, batch, 1 - batch)
    adata.X[:, 0] += 12.0 * batch
    adata.X[:, 1] += 4.0 * label
    adata.obs["batch"], adata.obs["label"] = np.where(batch, "b1", "b0"), np.where(label, "ill", "well")
    return adata


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", METHODS)
def test_a_planted_batch_effect_is_ignored_with_its_key_and_not_without(seed, method):
    adata = batched(seed)
    given = (SETTLED if method == "settled" else {"method": method}) | QUIET | {"n_comps": 2}
    moved = []
    for batch_key in (None, "batch"):
        sg.tl.ggml(adata, "sample", "label", batch_key=batch_key, **given)
        theta_of = theta(adata)
        # what the batch and the label add to a squared distance
        moved.append(12.0**2 * theta_of[0, 0] / (4.0**2 * theta_of[1, 1]))
    assert moved[0] > 0.9
    assert moved[1] < moved[0] / 10
    assert adata.uns["ggml"]["reading"]["batch_key"] == "batch"


# Seeds and threads


SEEDED = {
    "default": {},
    "drawn": {"n_cells": 5},
    "summary": {"summary": sg.tl.Coreset(4)},
    "paper": {"method": "paper"},
    "batches": {"method": sg.tl.Triplets(max_iter=8, tol=0, batch_size=4)},
    "random start": {"method": sg.tl.Triplets(max_iter=8, tol=0, init="orthonormal")},
    "few pairs": {"method": sg.tl.Canonical(max_pairs=12)},
}


@pytest.mark.parametrize("name", SEEDED)
def test_the_same_seed_gives_the_same_bytes_whatever_the_threads(adata, name):
    runs = []
    for n_jobs in (1, 1, 2, 3, None, -1):
        run = adata.copy()
        learn(run, n_jobs=n_jobs, **SEEDED[name])
        runs.append(slots(run))
    for run in runs[1:]:
        assert_same(run, runs[0])


@pytest.mark.parametrize("name", [name for name in SEEDED if name != "default"])
def test_another_seed_gives_another_metric(adata, name):
    learn(adata, **SEEDED[name])
    learn(adata, **SEEDED[name], rng=1, key_added="other")
    assert not np.allclose(theta(adata, "other"), theta(adata), rtol=1e-6)


def test_a_generator_is_drawn_from_once_and_its_seed_is_stored(adata):
    other, again = adata.copy(), adata.copy()
    rng = np.random.default_rng(3)
    learn(adata, n_cells=5, rng=rng)
    seed = adata.uns["ggml"]["reading"]["seed"]
    assert seed == int(np.random.default_rng(3).integers(2**31))
    learn(other, n_cells=5, rng=seed)
    assert_same(slots(other), slots(adata))
    learn(again, n_cells=5, rng=rng)
    assert again.uns["ggml"]["reading"]["seed"] != seed
    np.testing.assert_array_equal(
        sg.tl.distances(adata, **QUIET).obsp["ggml_distances"], sg.tl.distances(other, **QUIET).obsp["ggml_distances"]
    )


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32])
def test_numbers_of_numpy_are_seeds(adata, kind):
    other = adata.copy()
    learn(adata, n_cells=5, rng=kind(7))
    learn(other, n_cells=5, rng=7)
    assert_same(slots(other), slots(adata))
    assert type(adata.uns["ggml"]["reading"]["seed"]) is int


def test_the_global_state_of_numpy_is_neither_read_nor_changed(adata):
    other = adata.copy()
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    learn(adata, "paper", n_cells=5)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    learn(other, "paper", n_cells=5)
    np.testing.assert_array_equal(theta(other), theta(adata))


# Where the matrix is


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "csr_array"])
def test_a_sparse_matrix_gives_the_same_metric(adata, kind):
    adata.X[adata.X < 0] = 0
    other = adata.copy()
    other.X = getattr(sparse, kind)(adata.X)
    learn(adata)
    learn(other)
    assert_same(slots(other), slots(adata))
    assert sparse.issparse(other.X)


@pytest.mark.parametrize("used", [4, 3, 1])
@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
def test_a_file_on_disk_gives_the_same_metric(adata, kind, used, tmp_path):
    adata.var["highly_variable"] = np.arange(4) >= 4 - used
    stored = adata.copy()
    if kind != "dense":
        stored.X = getattr(sparse, f"{kind}_matrix")(adata.X)
    stored.write_h5ad(tmp_path / "cohort.h5ad")
    learn(adata)
    backed = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    learn(backed)
    assert backed.isbacked
    for name in ("obsm", "varm", "uns"):
        ours, theirs = ({p: v for p, v in slots(each).items() if p.startswith(name)} for each in (backed, adata))
        assert_same(ours, theirs)
    backed.file.close()


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_matrix_in_chunks_gives_the_same_metric(adata, kind):
    lazy = adata.copy()
    lazy.X = da.from_array(adata.X, chunks=(25, -1))
    if kind == "sparse":
        lazy.X = lazy.X.map_blocks(sparse.csr_matrix)
    learn(adata)
    learn(lazy)
    assert_same(slots(lazy), slots(adata))
    assert isinstance(lazy.X, da.Array)


# Convergence


def test_convergence_is_told(learned):
    entry = learned.uns["ggml"]
    assert entry["converged"] is True
    assert entry["stop"] == "converged"
    assert len(entry["history"]["loss"]) < 300


def test_passes_that_were_too_few_are_a_warning_and_the_metric_is_kept(adata):
    message = r"reached max_iter=3 before it converged; .* sg\.pl\.history\(adata\), then raise max_iter, tol or lr"
    with pytest.warns(UserWarning, match=message) as caught:
        learn(adata, sg.tl.Triplets(max_iter=3))
    assert caught[0].filename == __file__
    assert adata.uns["ggml"]["converged"] is False
    assert adata.uns["ggml"]["stop"] == "max_iter"
    assert adata.obsm["X_ggml"].shape == (adata.n_obs, 4)


def test_samples_that_are_left_out_are_a_warning_of_the_callers_line(adata):
    few = adata[3:].copy()
    with pytest.warns(UserWarning, match=r"min_cells=10 leaves out 1 of 9 samples .* 'class0_00' \(9\)") as caught:
        learn(few, "settled", min_cells=10)
    assert caught[0].filename == __file__
    learn(without := adata[adata.obs["sample_id"] != "class0_00"].copy(), "settled")
    np.testing.assert_array_equal(theta(few), theta(without))
    assert few.obsm["X_ggml"].shape == (few.n_obs, 4)


def test_features_on_unlike_scales_are_a_warning_of_the_callers_line(adata):
    adata.X[:, 2] *= 1000
    message = r"1 of the 4 features of adata\.X have a standard deviation more than 100 times .*'noise_2' \("
    with pytest.warns(UserWarning, match=message) as caught:
        learn(adata)
    assert caught[0].filename == __file__
    adata.var["highly_variable"] = [True, True, False, True]
    learn(adata)  # a warning would be an error


def test_pairs_that_are_not_optimal_are_a_warning_with_their_names(adata):
    with pytest.warns(UserWarning, match=r"stopped before the optimum for .* \('class0_00', 'class0_01'\)"):
        learn(adata, "settled", solver=sg.tl.Exact(max_iter=1, backend="pot"))


@pytest.mark.parametrize("progress", [False, True])
@pytest.mark.parametrize(("method", "shown"), [("paper", "learning"), ("canonical", "canonical variates")])
def test_progress_is_shown_on_demand(adata, capsys, progress, method, shown):
    learn(adata, method, progress=progress)
    found = capsys.readouterr()
    assert found.out == ""
    assert (shown in found.err) == progress
    assert progress or found.err == ""


# Interruption


def interrupt_after(monkeypatch, n_calls, interrupt):
    """Stop in the given solution of a pair."""
    calls, solve = [], sg.tl.Exact.solve

    def counting(self, a, b, cost):
        calls.append(1)
        if len(calls) == n_calls:
            interrupt()
        return solve(self, a, b, cost)

    monkeypatch.setattr(sg.tl.Exact, "solve", counting)


def in_the_worker():
    raise KeyboardInterrupt


INTERRUPTS = {"in a worker": in_the_worker, "in the main thread": _thread.interrupt_main}


@pytest.mark.parametrize("n_calls", [5, 400], ids=["at the start", "in a pass"])
@pytest.mark.parametrize("where", INTERRUPTS)
@pytest.mark.parametrize("stored", [False, True], ids=["nothing stored", "a metric stored"])
def test_an_interruption_leaves_no_half_written_slot_and_no_thread(adata, where, n_calls, stored, monkeypatch):
    if stored:
        learn(adata, n_comps=1)
    before = slots(adata)
    with monkeypatch.context() as patch:
        interrupt_after(patch, n_calls, INTERRUPTS[where])
        with no_thread_left(), pytest.raises(KeyboardInterrupt):
            take_steps(adata, solver=sg.tl.Exact(backend="pot"), max_iter=50, n_jobs=2)
    assert_same(slots(adata), before)
    learn(adata)  # and the next call is none the worse


def test_an_error_of_the_solver_comes_through(adata, monkeypatch):
    def fail():
        raise FloatingPointError("on purpose")

    before = slots(adata)
    interrupt_after(monkeypatch, 50, fail)
    with no_thread_left(), pytest.raises(FloatingPointError, match="on purpose"):
        learn(adata, solver=sg.tl.Exact(backend="pot"), n_jobs=2)
    assert_same(slots(adata), before)


def test_the_way_of_the_steps_is_stored_and_survives_a_file(tmp_path):
    adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    method = sg.tl.Triplets(max_iter=5, tol=0.0, keep_history=True)
    sg.tl.ggml(adata, "sample_id", "label", method=method, n_comps=2, shrinkage=0, progress=False)
    found = adata.uns["ggml"]["history"]
    assert found["components"].shape == (5, 2, 4)
    steps = [np.linalg.norm(after - before) for before, after in itertools.pairwise(found["components"])]
    assert min(steps) > 0
    adata.write_h5ad(tmp_path / "adata.h5ad")
    again = ad.read_h5ad(tmp_path / "adata.h5ad")
    assert sg.get.metric(again).components.shape == (2, 4)
    np.testing.assert_array_equal(again.uns["ggml"]["history"]["components"], found["components"])
    assert adata.uns["ggml"]["learner"]["method"]["keep_history"]
    assert not adata.uns["ggml"]["settled"]["method"]["keep_history"]  # refits of many kinds keep none


def test_a_learner_is_a_method_with_options_of_its_own(tmp_path):
    adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    learner = sg.tl.Learner(n_comps=2, shrinkage=0.2, bags=3)
    sg.tl.ggml(adata, "sample_id", "label", method=learner, progress=False)
    assert sg.get.metric(adata).components.shape == (2, 4)
    assert sg.get.metric(adata).gene_importance.idxmax() == "signal"
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, shrinkage=0.2, key_added="one", progress=False)
    assert not np.allclose(adata.uns["ggml"]["components"], adata.uns["one"]["components"])
    assert adata.uns["ggml"]["learner"]["bags"] == 3
    adata.write_h5ad(tmp_path / "adata.h5ad")
    again = ad.read_h5ad(tmp_path / "adata.h5ad")
    sg.tl.cross_validate(again, methods=["ggml"], n_splits=3, n_repeats=1, n_jobs=1, progress=False)
    assert sg.get.cross_validation(again).summary.loc["ggml", "balanced_accuracy"] >= 0.9
    with pytest.raises(ValueError, match="n_comps=3: method is a Learner, which has its own n_comps; pass it there"):
        sg.tl.ggml(adata, "sample_id", "label", method=learner, n_comps=3)
    with pytest.raises(TypeError, match="shrinkage"):
        sg.tl.ggml(adata, "sample_id", "label", method=learner, shrinkage=np.array([0.1, 0.2]))
