import _thread
from typing import get_args

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from _slots import assert_same, slots
from _threads import no_thread_left
from scipy import sparse

import scggml as sg
from scggml._anndata.read import read_cohort, read_features
from scggml._core.learn.canonical import InitialName
from scggml._core.learn.loss import Anchors
from scggml._core.learn.penalty import PenaltyName
from scggml._core.metric import canonical_form
from scggml._core.transport.exact import SolverName

# a fixed number of plain steps, and no warning that they were few
SHORT = {"max_iter": 8, "tol": 0, "progress": False}


def learn(adata, **options):
    return sg.tl.ggml(adata, "sample_id", "label", **({"n_comps": 2} | SHORT | options))


def theta(adata, key="ggml"):
    W = adata.uns[key]["components"]
    return W.T @ W


def shuffled(adata, seed=0):
    return adata[np.random.default_rng(seed).permutation(adata.n_obs)].copy()


# The slots


def test_the_documented_slots_are_written_and_no_other(adata):
    before = slots(adata)
    assert learn(adata) is None
    new = {path: value for path, value in slots(adata).items() if path not in before}
    assert_same({path: value for path, value in slots(adata).items() if path in before}, before)
    assert {path for path in new if not path.startswith("uns/ggml/params/")} == {
        "obsm/X_ggml",
        "varm/ggml",
        *(
            f"uns/ggml/{name}"
            for name in ("components", "singular_values", "features", "converged", "stop", "refined", "margin", "reg")
        ),
        *(f"uns/ggml/history/{name}" for name in ("loss", "gradient_norm", "active")),
    }
    W = new["uns/ggml/components"]
    assert W.shape == (2, 4)
    np.testing.assert_allclose(new["obsm/X_ggml"], adata.X @ W.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(new["varm/ggml"], W.T)
    assert new["uns/ggml/features"].tolist() == adata.var_names.tolist()
    for path in ("uns/ggml/components", "uns/ggml/singular_values", "obsm/X_ggml", "varm/ggml"):
        assert new[path].dtype == np.float64


def test_the_history_has_an_entry_for_each_pass(adata):
    learn(adata, init=sg.tl.Canonical(ridge=0.03), max_iter=6)
    history = adata.uns["ggml"]["history"]
    for name in ("loss", "gradient_norm", "active"):
        assert history[name].shape == (6,)
        assert history[name].dtype == np.float64
        assert (history[name] > 0).all()
    assert (history["active"] <= 1).all()
    assert history["loss"][-1] < history["loss"][0]


def test_the_arguments_are_stored_and_none_is_left_out(adata):
    learn(adata, penalty="l21", reg=0.2, squared=True, n_cells=5, margin=3.0, anchors="distinct")
    params = adata.uns["ggml"]["params"]
    expected = {"sample_key": "sample_id", "label_key": "label", "n_comps": 2, "penalty": "l21", "reg": 0.2}
    expected |= {"squared": True, "n_cells": 5, "min_cells": 1, "margin": 3.0, "anchors": "distinct", "seed": 0}
    expected |= {"init": "canonical", "lr": 0.1, "max_iter": 8, "tol": 0, "batch_size": 128, "shrinkage": "auto"}
    assert {name: params[name] for name in expected} == expected
    assert None not in params.values()
    assert not {"use_rep", "layer", "weights_key"} & params.keys()


def test_features_without_genes_have_no_loadings(adata):
    adata.obsm["X_scVI"] = adata.X.copy()
    learn(adata, use_rep="X_scVI")
    assert "ggml" not in adata.varm
    assert adata.uns["ggml"]["features"].tolist() == [f"X_scVI_{i}" for i in range(4)]
    assert adata.uns["ggml"]["params"]["use_rep"] == "X_scVI"


def test_genes_outside_the_mask_have_no_loadings_and_no_part(adata):
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


def test_another_key_renames_every_slot(adata):
    other = adata.copy()
    learn(adata)
    learn(other, key_added="tumor")
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
    learn(adata, n_cells=4, weights_key="offset", n_comps=3, max_iter=5)
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


@pytest.mark.parametrize("options", [{}, {"max_iter": 0}, {"init": "orthonormal"}, {"penalty": "l1", "n_comps": 4}])
def test_components_are_in_canonical_form(adata, options):
    learn(adata, **options)
    W, S = adata.uns["ggml"]["components"], adata.uns["ggml"]["singular_values"]
    np.testing.assert_allclose(W @ W.T, np.diag(S**2), atol=1e-12 * S.max() ** 2)
    assert (np.diff(S) <= 0).all()
    assert (np.take_along_axis(W, np.abs(W).argmax(axis=1)[:, None], axis=1) >= 0).all()
    assert S[0] > 0


def canonical_variates(adata, n_comps=2):
    cohort = read_cohort(adata, read_features(adata), "sample_id", "label", rng=np.random.default_rng(0))
    return canonical_form(sg.tl.Canonical().components(cohort, n_comps, solver=sg.tl.Exact()))[0]


def test_without_a_pass_the_metric_is_that_of_canonical_variates(adata):
    learn(adata, max_iter=0, margin=1.0)
    assert adata.uns["ggml"]["history"]["loss"].shape == (1,)
    assert adata.uns["ggml"]["stop"] == "closed form"
    np.testing.assert_allclose(adata.uns["ggml"]["components"], canonical_variates(adata), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("squared", [False, True])
def test_a_scale_free_start_is_one_to_ten_times_the_median_distance_between_classes(adata, squared):
    learn(adata, max_iter=0, squared=squared, shrinkage=0.0)
    samples = sg.tl.distances(adata, progress=False)
    label = samples.obs["label"].to_numpy()
    D = samples.obsp["ggml_distances"]
    assert adata.uns["ggml"]["margin"] == 1.0
    assert 1.0 - 1e-6 <= np.median(D[label[:, None] != label]) <= (100 if squared else 10) + 1e-6
    truth = canonical_variates(adata)
    found = adata.uns["ggml"]["components"]
    np.testing.assert_allclose(found / np.linalg.norm(found), truth / np.linalg.norm(truth), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"squared": True}, {"init": "pca", "penalty": "l1"}], ids=str)
def test_the_scale_of_the_data_does_not_matter(adata, options):
    other = adata.copy()
    other.X = other.X * np.float32(64)
    learn(adata, **options)
    learn(other, **options)
    np.testing.assert_allclose(other.obsm["X_ggml"], adata.obsm["X_ggml"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(64 * other.uns["ggml"]["components"], adata.uns["ggml"]["components"], rtol=1e-6)


def test_a_start_of_ones_own_is_taken(adata):
    W0 = np.random.default_rng(0).normal(size=(2, 4))
    before = W0.copy()
    learn(adata, init=W0, max_iter=0, margin=1.0)
    np.testing.assert_allclose(theta(adata), W0.T @ W0, rtol=1e-12)
    learn(adata, init=W0, max_iter=3, margin=1.0)
    np.testing.assert_array_equal(W0, before)
    assert adata.uns["ggml"]["params"]["init"] == "array"


@pytest.mark.parametrize("margin", [1.0, "auto"])
@pytest.mark.parametrize("init", ["array", "canonical", "pca"])
def test_the_order_of_cells_and_samples_does_not_matter(adata, init, margin):
    start = np.random.default_rng(0).normal(size=(2, 4)) if init == "array" else init
    other = shuffled(adata)
    assert other.obs["sample_id"].unique().tolist() != adata.obs["sample_id"].unique().tolist()
    for each in (adata, other):
        each.X = each.X.astype(np.float64)
        learn(each, init=start, margin=margin)
    np.testing.assert_allclose(theta(other), theta(adata), rtol=1e-6, atol=1e-6 * theta(adata).max())
    history = [each.uns["ggml"]["history"]["loss"] for each in (adata, other)]
    np.testing.assert_allclose(*history, rtol=1e-6)
    found = pd.DataFrame(other.obsm["X_ggml"], index=other.obs_names).loc[adata.obs_names]
    np.testing.assert_allclose(found, adata.obsm["X_ggml"], rtol=1e-5, atol=1e-5)


def test_twice_the_cells_at_half_the_weight_are_the_same_metric(adata):
    adata.X = adata.X.astype(np.float64)
    adata.obs["weight"] = np.random.default_rng(0).uniform(0.5, 1.0, adata.n_obs)
    copies = adata[::-1].copy()
    copies.obs_names = copies.obs_names + "-copy"
    twice = ad.concat([adata, copies])
    twice.obs["weight"] /= 2
    for each in (adata, twice):
        learn(each, weights_key="weight")
    np.testing.assert_allclose(theta(twice), theta(adata), rtol=1e-6, atol=1e-6 * theta(adata).max())


def test_a_sample_with_one_cell_takes_part(adata):
    first = adata.obs["sample_id"].iloc[0]
    keep = (adata.obs["sample_id"] != first).to_numpy() | (np.arange(adata.n_obs) == 0)
    one = adata[keep].copy()
    learn(one)
    assert np.isfinite(one.obsm["X_ggml"]).all()
    learn(without := adata[adata.obs["sample_id"] != first].copy())
    assert not np.allclose(theta(one), theta(without), rtol=1e-3)


def test_subsampled_learning_embeds_all_cells(adata):
    learn(adata, n_cells=4)
    assert adata.obsm["X_ggml"].shape == (adata.n_obs, 2)
    np.testing.assert_allclose(adata.obsm["X_ggml"], adata.X @ adata.uns["ggml"]["components"].T, rtol=1e-5, atol=1e-5)


OTHER_OPTIONS = {
    "n_comps": 3,
    "margin": 5.0,
    "penalty": "l1",
    "reg": 1.0,
    "squared": True,
    "anchors": "distinct",
    "n_cells": 6,
    "weights_key": "weight",
    "init": "orthonormal",
    "lr": 0.03,
    "max_iter": 4,
    "batch_size": 6,
    "mask_var": np.array([True, True, True, False]),
    "layer": "cubed",
    "use_rep": "cubed",
}


@pytest.mark.parametrize("name", OTHER_OPTIONS)
def test_no_option_is_mute(adata, name):
    adata.obs["weight"] = np.random.default_rng(0).uniform(0.1, 1.0, adata.n_obs)
    adata.layers["cubed"] = adata.obsm["cubed"] = (adata.X / 10) ** 3
    learn(adata)
    learn(adata, **{name: OTHER_OPTIONS[name]}, key_added="other")
    found, truth = adata.obsm["X_other"], adata.obsm["X_ggml"]
    assert found.shape != truth.shape or not np.allclose(found, truth, rtol=1e-4)


def test_a_solver_with_options_may_stand_for_its_name(adata):
    other = adata.copy()
    learn(adata, solver="exact")
    learn(other, solver=sg.tl.Exact(max_iter=1_000_000))
    np.testing.assert_array_equal(theta(other), theta(adata))
    assert other.uns["ggml"]["params"]["solver"].startswith("Exact(max_iter=1000000, backend='simplex'")


def test_canonical_variates_may_have_options(adata):
    learn(adata, max_iter=0)
    learn(adata, max_iter=0, init=sg.tl.Canonical(), key_added="same")
    learn(adata, max_iter=0, init=sg.tl.Canonical(ridge=10.0), key_added="ridge")
    np.testing.assert_array_equal(theta(adata, "same"), theta(adata))
    assert not np.allclose(theta(adata, "ridge"), theta(adata), rtol=1e-2)
    assert "ridge=10.0" in adata.uns["ridge"]["params"]["init"]


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
    learn(adata, squared=squared, max_iter=15, lr=0.03, **{name: choice})
    loss = adata.uns["ggml"]["history"]["loss"]
    assert np.isfinite(adata.obsm["X_ggml"]).all()
    assert loss[-1] < loss[0]


# Seeds and threads


@pytest.mark.parametrize("options", [{}, {"n_cells": 5}, {"batch_size": 4}, {"init": "orthonormal"}], ids=str)
def test_the_same_seed_gives_the_same_bytes_whatever_the_threads(adata, options):
    runs = []
    for n_jobs in (1, 1, 2, 3, None, -1):
        run = adata.copy()
        learn(run, n_jobs=n_jobs, **options)
        runs.append(slots(run))
    for run in runs[1:]:
        assert_same(run, runs[0])


@pytest.mark.parametrize("options", [{"n_cells": 5}, {"batch_size": 4}, {"init": "orthonormal"}], ids=str)
def test_another_seed_gives_another_metric(adata, options):
    learn(adata, **options)
    learn(adata, **options, rng=1, key_added="other")
    assert not np.allclose(theta(adata, "other"), theta(adata), rtol=1e-6)


def test_a_seed_and_its_generator_give_the_same_metric(adata):
    other = adata.copy()
    learn(adata, n_cells=5, rng=3)
    learn(other, n_cells=5, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(theta(other), theta(adata))
    assert adata.uns["ggml"]["params"]["seed"] == 3
    assert "seed" not in other.uns["ggml"]["params"]


def test_the_global_state_of_numpy_has_no_part(adata):
    other = adata.copy()
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    learn(adata, n_cells=5, init="orthonormal")
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    learn(other, n_cells=5, init="orthonormal")
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


@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
def test_a_file_on_disk_gives_the_same_metric(adata, kind, tmp_path):
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
        learn(adata, max_iter=3, tol=1e-3)
    assert caught[0].filename == __file__
    assert adata.uns["ggml"]["converged"] is False
    assert adata.uns["ggml"]["stop"] == "max_iter"
    assert adata.obsm["X_ggml"].shape == (adata.n_obs, 2)


def test_samples_that_are_left_out_are_a_warning_of_the_callers_line(adata):
    few = adata[3:].copy()
    with pytest.warns(UserWarning, match=r"min_cells=10 leaves out 1 of 9 samples .* 'class0_00' \(9\)") as caught:
        learn(few, min_cells=10)
    assert caught[0].filename == __file__
    learn(without := adata[adata.obs["sample_id"] != "class0_00"].copy())
    np.testing.assert_array_equal(theta(few), theta(without))
    assert few.obsm["X_ggml"].shape == (few.n_obs, 2)


def test_pairs_that_are_not_optimal_are_a_warning_with_their_names(adata):
    with pytest.warns(UserWarning, match=r"stopped before the optimum for .* \('class0_00', 'class0_01'\)"):
        learn(adata, solver=sg.tl.Exact(max_iter=1, backend="pot"), max_iter=1)


@pytest.mark.parametrize("progress", [False, True])
def test_progress_is_shown_on_demand(adata, capsys, progress):
    learn(adata, progress=progress)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("learning" in shown.err and "loss=" in shown.err) == progress
    assert progress or shown.err == ""


# Interruption


def interrupting_solver(n_calls, interrupt):
    calls = []

    class Interrupting(sg.tl.Exact):
        def solve(self, a, b, cost):
            calls.append(1)
            if len(calls) == n_calls:
                interrupt()
            return super().solve(a, b, cost)

    return Interrupting(backend="pot")


def in_the_worker():
    raise KeyboardInterrupt


INTERRUPTS = {"in a worker": in_the_worker, "in the main thread": _thread.interrupt_main}


@pytest.mark.parametrize("n_calls", [5, 400], ids=["at the start", "in a pass"])
@pytest.mark.parametrize("where", INTERRUPTS)
@pytest.mark.parametrize("stored", [False, True], ids=["nothing stored", "a metric stored"])
def test_an_interruption_leaves_no_half_written_slot_and_no_thread(adata, where, n_calls, stored):
    if stored:
        learn(adata, n_comps=1)
    before = slots(adata)
    solver = interrupting_solver(n_calls, INTERRUPTS[where])
    with no_thread_left(), pytest.raises(KeyboardInterrupt):
        learn(adata, solver=solver, max_iter=50, n_jobs=2)
    assert_same(slots(adata), before)
    learn(adata)  # and the next call is none the worse


def test_an_error_of_the_solver_comes_through(adata):
    def fail():
        raise FloatingPointError("on purpose")

    before = slots(adata)
    with no_thread_left(), pytest.raises(FloatingPointError, match="on purpose"):
        learn(adata, solver=interrupting_solver(50, fail), n_jobs=2)
    assert_same(slots(adata), before)
