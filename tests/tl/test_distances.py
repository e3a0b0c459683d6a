from typing import get_args

import anndata as ad
import dask.array as da
import numpy as np
import ot
import pandas as pd
import pytest
from _slots import assert_same, slots
from _threads import no_thread_left
from scipy import sparse
from scipy.spatial.distance import cdist

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml._core.transport.plans import GroundCost

QUIET = {"progress": False}
SHORT = sg.tl.Triplets(max_iter=3, tol=0)


def direct(X, obs, metric, weights=None):
    """(P, P) by POT and scipy, pair by pair, samples in order of first appearance."""
    names = obs["sample_id"].unique()
    w = np.ones(len(obs)) if weights is None else obs[weights].to_numpy()
    clouds = [
        (X[own].astype(np.float64), w[own] / w[own].sum()) for own in (obs["sample_id"] == name for name in names)
    ]
    out = np.zeros((len(names), len(names)))
    for p, q in zip(*np.triu_indices(len(names), k=1), strict=True):
        (x, a), (y, b) = clouds[p], clouds[q]
        out[p, q] = out[q, p] = ot.emd2(a, b, cdist(x, y, metric))
    return out


def euclidean(adata, **options):
    return sg.tl.distances(adata, **({"metric": "euclidean", "sample_key": "sample_id"} | QUIET | options))


@pytest.fixture
def uneven(adata):
    """Cells in any order, between 3 and 12 of them in a sample."""
    rng = np.random.default_rng(0)
    kept = rng.permutation(adata.n_obs)
    order = adata.obs["sample_id"].cat.codes.to_numpy()[kept]
    return adata[kept[rng.uniform(size=len(kept)) < 0.3 + 0.08 * order]].copy()


# Values


@pytest.mark.parametrize("metric", get_args(GroundCost))
def test_fixed_metrics_are_those_of_scipy(uneven, metric):
    samples = sg.tl.distances(uneven, metric=metric, sample_key="sample_id", **QUIET)
    D = samples.obsp[f"{metric}_distances"]
    np.testing.assert_allclose(D, direct(uneven.X, uneven.obs, metric), rtol=1e-6)
    assert D.dtype == np.float64
    np.testing.assert_array_equal(D, D.T)
    np.testing.assert_array_equal(np.diag(D), 0)
    assert list(samples.obsp) == [f"{metric}_distances"]


@pytest.mark.parametrize("squared", [False, True])
def test_the_learned_metric_is_that_of_the_embedded_cells(uneven, squared):
    sg.tl.ggml(uneven, "sample_id", "label", method=SHORT, n_comps=2, squared=squared, **QUIET)
    samples = sg.tl.distances(uneven, **QUIET)
    truth = direct(uneven.obsm["X_ggml"], uneven.obs, "sqeuclidean" if squared else "euclidean")
    np.testing.assert_allclose(samples.obsp["ggml_distances"], truth, rtol=1e-5)


def test_weights_of_cells_count(uneven):
    uneven.obs["weight"] = np.random.default_rng(0).uniform(0.1, 1.0, uneven.n_obs)
    D = euclidean(uneven, weights_key="weight").obsp["euclidean_distances"]
    np.testing.assert_allclose(D, direct(uneven.X, uneven.obs, "euclidean", "weight"), rtol=1e-6)
    assert not np.allclose(D, euclidean(uneven).obsp["euclidean_distances"], rtol=1e-2)


def test_twice_the_cells_at_half_the_weight_change_nothing(uneven):
    uneven.obs["weight"] = np.random.default_rng(0).uniform(0.1, 1.0, uneven.n_obs)
    copies = uneven[::-1].copy()
    copies.obs_names = copies.obs_names + "-copy"
    twice = ad.concat([uneven, copies])
    twice.obs["weight"] /= 2
    for metric in ("euclidean", "cosine"):
        truth, found = (euclidean(each, metric=metric, weights_key="weight") for each in (uneven, twice))
        np.testing.assert_allclose(found.obsp[f"{metric}_distances"], truth.obsp[f"{metric}_distances"], rtol=1e-9)
        np.testing.assert_allclose(found.X, truth.X, rtol=1e-6)


def test_shuffled_cells_give_the_same_distances_by_name(learned):
    other = learned[np.random.default_rng(0).permutation(learned.n_obs)].copy()
    truth, found = sg.tl.distances(learned, **QUIET), sg.tl.distances(other, **QUIET)
    assert found.obs_names.tolist() != truth.obs_names.tolist()
    assert found.obs_names.tolist() == other.obs["sample_id"].unique().tolist()
    frames = [pd.DataFrame(s.obsp["ggml_distances"], s.obs_names, s.obs_names) for s in (truth, found)]
    pd.testing.assert_frame_equal(frames[1].loc[truth.obs_names, truth.obs_names], frames[0], rtol=1e-6)
    pd.testing.assert_frame_equal(found.obs.loc[truth.obs_names], truth.obs)


def test_a_shifted_cloud_is_as_far_as_the_shift(adata):
    one = adata[adata.obs["sample_id"] == "class0_00"].copy()
    clouds = {f"shift {s}": one.copy() for s in (0, 3, 7)}
    for s, (name, each) in zip((0, 3, 7), clouds.items(), strict=True):
        each.X = each.X + np.float32(s) * np.array([0, 0.6, 0.8, 0], dtype=np.float32)
        each.obs["sample_id"] = name
    D = euclidean(ad.concat(clouds, index_unique="-")).obsp["euclidean_distances"]
    np.testing.assert_allclose(D, [[0, 3, 7], [3, 0, 4], [7, 4, 0]], rtol=1e-5)


# What is taken from where


def test_the_learned_metric_brings_all_its_keys(adata):
    adata.obs["weight"] = np.random.default_rng(0).uniform(0.1, 1.0, adata.n_obs)
    adata.obsm["X_new"] = adata.X[:, ::-1] * np.array([1, 2, 3, 4])
    adata.obs = adata.obs.rename(columns={"sample_id": "patient", "label": "state"})
    options = {"use_rep": "X_new", "weights_key": "weight", "n_comps": 3, "key_added": "mine", "n_cells": 5}
    sg.tl.ggml(adata, "patient", "state", method=SHORT, **options, **QUIET)
    samples = sg.tl.distances(adata, key="mine", **QUIET)
    obs = adata.obs.rename(columns={"patient": "sample_id"})
    used = read_metric(adata, "mine").reading.select(adata).rows
    assert len(used) == 45
    truth = direct(adata.obsm["X_mine"][used], obs.iloc[used], "euclidean", "weight")
    np.testing.assert_allclose(samples.obsp["mine_distances"], truth, rtol=1e-5)  # of the cells it was learned from
    whole = sg.tl.distances(adata, key="mine", n_cells=None, **QUIET).obsp["mine_distances"]
    np.testing.assert_allclose(whole, direct(adata.obsm["X_mine"], obs, "euclidean", "weight"), rtol=1e-5)
    assert samples.var_names.tolist() == adata.var_names.tolist()
    assert samples.obsm["X_new"].shape == (len(samples), 4)
    assert {k: samples.uns["mine_distances"][k] for k in ("metric", "sample_key", "label_key")} == {
        "metric": "mine",
        "sample_key": "patient",
        "label_key": "state",
    }


def test_a_metric_on_a_layer_takes_the_layer(adata):
    adata.layers["cubed"] = adata.X**3
    sg.tl.ggml(adata, "sample_id", "label", method=SHORT, layer="cubed", n_comps=2, **QUIET)
    truth = direct(adata.obsm["X_ggml"], adata.obs, "euclidean")
    np.testing.assert_allclose(sg.tl.distances(adata, **QUIET).obsp["ggml_distances"], truth, rtol=1e-5)


def test_a_metric_on_some_genes_takes_these_even_if_others_are_marked_now(adata):
    adata.var["highly_variable"] = [True, True, False, False]
    sg.tl.ggml(adata, "sample_id", "label", method=SHORT, n_comps=2, **QUIET)
    adata.var["highly_variable"] = [False, False, True, True]
    samples = sg.tl.distances(adata, **QUIET)
    truth = direct(adata.obsm["X_ggml"], adata.obs, "euclidean")
    np.testing.assert_allclose(samples.obsp["ggml_distances"], truth, rtol=1e-5)
    assert sg.tl.distances(adata, genes=False, **QUIET).var_names.tolist() == ["signal", "noise_1"]
    assert samples.var_names.tolist() == adata.var_names.tolist()


def test_another_stored_metric_is_taken_by_its_key(learned):
    method = sg.tl.Triplets(init="pca", max_iter=2, tol=0)
    sg.tl.ggml(learned, "sample_id", "label", method=method, n_comps=1, key_added="pc", **QUIET)
    truth = sg.tl.distances(learned, key="pc", **QUIET)
    for samples in (truth, sg.tl.distances(learned, metric="pc", **QUIET)):
        assert list(samples.obsp) == ["pc_distances"]
        assert_same(slots(samples), slots(truth))
    np.testing.assert_allclose(
        truth.obsp["pc_distances"], direct(learned.obsm["X_pc"], learned.obs, "euclidean"), rtol=1e-5
    )


def test_a_fixed_metric_takes_keys_and_features_of_the_learned_one(adata):
    adata.obsm["X_new"] = adata.X[:, :3] ** 2
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_new", method=SHORT, n_comps=2, **QUIET)
    samples = sg.tl.distances(adata, metric="cityblock", **QUIET)
    np.testing.assert_allclose(
        samples.obsp["cityblock_distances"], direct(adata.obsm["X_new"], adata.obs, "cityblock"), rtol=1e-6
    )


FEATURES = {
    "use_rep": ("X_new", lambda adata: adata.obsm["X_new"]),
    "layer": ("cubed", lambda adata: adata.layers["cubed"]),
    "mask_var": (np.array([False, True, False, True]), lambda adata: adata.X[:, [1, 3]]),
}


@pytest.mark.parametrize("metric_is_stored", [False, True])
@pytest.mark.parametrize("name", FEATURES)
def test_features_of_a_fixed_metric_can_be_chosen(learned, adata, name, metric_is_stored):
    cells = learned if metric_is_stored else adata
    cells.obsm["X_new"], cells.layers["cubed"] = cells.X[:, :3] ** 2, cells.X**3
    value, X = FEATURES[name]
    D = euclidean(cells, **{name: value}).obsp["euclidean_distances"]
    np.testing.assert_allclose(D, direct(X(cells), cells.obs, "euclidean"), rtol=1e-6)


def test_samples_can_be_cells_of_another_column(learned):
    samples = sg.tl.distances(learned, sample_key="mode", **QUIET)
    assert samples.obs_names.tolist() == learned.obs["mode"].unique().tolist()
    obs = learned.obs.assign(sample_id=learned.obs["mode"])
    truth = direct(learned.obsm["X_ggml"], obs, "euclidean")
    np.testing.assert_allclose(samples.obsp["ggml_distances"], truth, rtol=1e-5)


# The AnnData of samples


def test_samples_have_the_columns_that_are_constant_within_them(learned):
    samples = sg.tl.distances(learned, **QUIET)
    assert samples.obs.columns.tolist() == ["sample_id", "label", "offset", "n_cells"]  # not the mode of a cell
    assert samples.obs["n_cells"].tolist() == [12] * 9
    truth = learned.obs.drop_duplicates("sample_id").set_index("sample_id").loc[samples.obs_names]
    for name in ("label", "offset"):
        assert samples.obs[name].dtype == learned.obs[name].dtype
        assert samples.obs[name].tolist() == truth[name].tolist()


def test_mean_expression_of_genes_is_in_x(learned):
    samples = sg.tl.distances(learned, **QUIET)
    truth = learned.to_df().groupby(learned.obs["sample_id"].to_numpy()).mean().loc[samples.obs_names]
    np.testing.assert_allclose(samples.X, truth, rtol=1e-5)
    assert samples.var_names.tolist() == learned.var_names.tolist()


def test_the_cells_are_not_touched(learned):
    before = slots(learned)
    sg.tl.distances(learned, **QUIET)
    sg.tl.distances(learned, metric="euclidean", n_cells=3, **QUIET)
    assert_same(slots(learned), before)


def test_a_view_stays_a_view(learned):
    view = learned[learned.obs["label"] != "class0"]
    samples = sg.tl.distances(view, **QUIET)
    assert view.is_view
    assert samples.n_obs == 6
    np.testing.assert_allclose(
        samples.obsp["ggml_distances"], sg.tl.distances(learned, **QUIET).obsp["ggml_distances"][3:, 3:], rtol=1e-9
    )


def test_samples_without_labels_have_distances(learned):
    del learned.obs["label"]
    samples = sg.tl.distances(learned, **QUIET)
    assert samples.n_obs == 9
    assert "label_key" not in samples.uns["ggml_distances"]


@pytest.mark.parametrize("kind", ["classes", ["class0", "class1", "class2"]], ids=["classes", "ordered"])
def test_new_samples_may_all_have_one_label_or_another_one(learned, kind):
    """What the label of new samples is does not matter to their distances."""
    sg.tl.ggml(learned, "sample_id", "label", label_kind=kind, n_comps=2, **QUIET)
    truth = sg.tl.distances(learned, **QUIET).obsp["ggml_distances"]
    one = learned[learned.obs["label"] == "class2"].copy()
    found = sg.tl.distances(one, **QUIET)
    np.testing.assert_allclose(found.obsp["ggml_distances"], truth[6:, 6:], rtol=1e-9)
    assert set(found.obs["label"]) == {"class2"}
    one.obs["label"] = "unknown"
    found = sg.tl.distances(one, **QUIET)
    np.testing.assert_allclose(found.obsp["ggml_distances"], truth[6:, 6:], rtol=1e-9)
    one.obs["age"] = one.obs["sample_id"].cat.codes.astype(float)  # numbers need no explanation here
    assert sg.tl.distances(one, label_key="age", **QUIET).uns["ggml_distances"]["label_key"] == "age"


def test_a_generator_and_the_numbers_of_numpy_are_seeds(learned):
    options = {"n_cells": 4} | QUIET
    seed = int(np.random.default_rng(5).integers(2**31))
    runs = [sg.tl.distances(learned, rng=rng, **options) for rng in (np.random.default_rng(5), seed, np.int64(seed))]
    for run in runs[1:]:
        assert_same(slots(run), slots(runs[0]))


def test_effects_of_covariates_are_taken_off_new_samples_too(adata):
    rng = np.random.default_rng(0)
    adata.X = adata.X.astype(np.float64)
    adata.obs["age"] = rng.uniform(20, 80, 9)[adata.obs["sample_id"].cat.codes]
    sg.tl.ggml(adata, "sample_id", "label", covariate_keys=["age"], n_comps=2, **QUIET)
    D = sg.tl.distances(adata, **QUIET).obsp["ggml_distances"]
    np.testing.assert_allclose(D, direct(adata.obsm["X_ggml"], adata.obs, "euclidean"), rtol=1e-6)
    slopes = adata.uns["ggml"]["adjustment"]["slopes"]
    older = adata.copy()
    older.obs["age"] += rng.uniform(0, 40, 9)[adata.obs["sample_id"].cat.codes]
    older.X += (older.obs["age"] - adata.obs["age"]).to_numpy()[:, None] * slopes
    np.testing.assert_allclose(sg.tl.distances(older, **QUIET).obsp["ggml_distances"], D, rtol=1e-6)
    del older.obs["age"]
    with pytest.raises(KeyError, match="covariate_keys='age' is not a column"):
        sg.tl.distances(older, **QUIET)


def test_a_single_sample_has_a_distance_of_zero(adata):
    one = adata[adata.obs["sample_id"] == "class0_00"].copy()
    np.testing.assert_array_equal(euclidean(one).obsp["euclidean_distances"], [[0.0]])


# Subsampling, threads, storage


def test_all_cells_are_taken_unless_asked_otherwise(learned):
    few = sg.tl.distances(learned, n_cells=4, **QUIET)
    assert few.obs["n_cells"].tolist() == [4] * 9
    again, other = (sg.tl.distances(learned, n_cells=4, rng=seed, **QUIET) for seed in (0, 1))
    assert_same(slots(again), slots(few))
    assert not np.allclose(other.obsp["ggml_distances"], few.obsp["ggml_distances"], rtol=1e-3)


def test_small_samples_are_left_out_with_a_list_on_the_callers_line(learned):
    few = learned[3:].copy()
    with pytest.warns(UserWarning, match=r"min_cells=10 leaves out 1 of 9 samples .* 'class0_00' \(9\)") as caught:
        samples = sg.tl.distances(few, min_cells=10, **QUIET)
    assert caught[0].filename == __file__
    assert samples.obs_names.tolist() == learned.obs["sample_id"].unique().tolist()[1:]
    truth = sg.tl.distances(learned, **QUIET).obsp["ggml_distances"][1:, 1:]
    np.testing.assert_allclose(samples.obsp["ggml_distances"], truth, rtol=1e-9)


def test_the_number_of_threads_changes_no_bit(learned):
    truth = slots(sg.tl.distances(learned, n_jobs=1, **QUIET))
    for n_jobs in (2, 3, None):
        assert_same(slots(sg.tl.distances(learned, n_jobs=n_jobs, **QUIET)), truth)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "backed", "dask"])
def test_the_storage_of_the_matrix_changes_no_bit(learned, kind, tmp_path):
    truth = slots(sg.tl.distances(learned, **QUIET))
    other = learned.copy()
    if kind == "backed":
        learned.write_h5ad(tmp_path / "cohort.h5ad")
        other = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    elif kind == "dask":
        other.X = da.from_array(learned.X, chunks=(25, 3))
    else:
        other.X = getattr(sparse, kind)(learned.X)
    assert_same(slots(sg.tl.distances(other, **QUIET)), truth)
    if kind == "backed":
        other.file.close()


@pytest.mark.parametrize("progress", [False, True])
def test_progress_is_shown_on_demand(learned, capsys, progress):
    sg.tl.distances(learned, progress=progress)
    assert ("ggml distances" in capsys.readouterr().err) == progress


def test_an_interruption_comes_through_and_leaves_no_thread(learned):
    class Interrupting(sg.tl.Exact):
        def solve(self, a, b, cost):
            raise KeyboardInterrupt

    before = slots(learned)
    with no_thread_left(), pytest.raises(KeyboardInterrupt):
        sg.tl.distances(learned, solver=Interrupting(backend="pot"), n_jobs=2, **QUIET)
    assert_same(slots(learned), before)


# Bad input


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (KeyError, r"No learned metric in adata\.uns\['tumor'\]; stored metrics: 'ggml'\. Learn it", {"key": "tumor"}),
        (
            KeyError,
            r"metric='euclid' is neither a fixed metric \('euclidean', 'sqeuclidean', 'cosine', 'cityblock', "
            r"'chebyshev'\) nor a learned one in adata\.uns \('ggml'\)",
            {"metric": "euclid"},
        ),
        (
            ValueError,
            "learned metric 'ggml' has features of its own; use_rep and layer go with a fixed metric",
            {"use_rep": "X_ggml"},
        ),
        (ValueError, "learned metric 'ggml' has features of its own", {"layer": "log"}),
        (ValueError, "learned metric 'ggml' has features of its own", {"mask_var": np.array([True] * 4)}),
        (
            KeyError,
            r"sample_key='patient' is not a column of adata\.obs, which has 'sample_id'",
            {"sample_key": "patient"},
        ),
        (KeyError, r"label_key='state' is not a column of adata\.obs, which has", {"label_key": "state"}),
        (KeyError, r"weights_key='mass' is not a column of adata\.obs", {"weights_key": "mass"}),
        (KeyError, r"use_rep='X_new' is not in adata\.obsm", {"metric": "euclidean", "use_rep": "X_new"}),
        (KeyError, r"layer='log' is not in adata\.layers", {"metric": "euclidean", "layer": "log"}),
        (KeyError, r"mask_var='hvg' is not a column of adata\.var", {"metric": "euclidean", "mask_var": "hvg"}),
        (ValueError, "solver='fast' is not known", {"solver": "fast"}),
        (ValueError, r"more than one value in adata\.obs\['mode'\] \(label_key\)", {"label_key": "mode"}),
        *(((TypeError, ValueError), f"n_cells={n!r}", {"n_cells": n}) for n in (0, -1, 2.5, "all")),
        *(((TypeError, ValueError), f"min_cells={n!r}", {"min_cells": n}) for n in (0, -1, 2.5, "all", True)),
        *(((TypeError, ValueError), f"n_jobs={n!r}", {"n_jobs": n}) for n in (0, -2, 1.5, "all", True)),
        *(((TypeError, ValueError), f"rng={n!r} must be", {"rng": n}) for n in (-1, 1.5, "seed", None, True)),
        (TypeError, "summary is a int; pass", {"summary": 5}),
        (ValueError, "min_cells=13: none of the 9 samples has as many; the largest has 12", {"min_cells": 13}),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(learned, error, message, options):
    before = slots(learned)
    with pytest.raises(error, match=message):
        sg.tl.distances(learned, **QUIET, **options)
    assert_same(slots(learned), before)


def test_without_any_metric_the_sample_key_is_asked_for(adata):
    message = r"sample_key is needed: adata\.uns\['ggml'\] holds no learned metric .* \('sample_id', 'label', 'mode'"
    with pytest.raises(ValueError, match=message):
        sg.tl.distances(adata, metric="euclidean", **QUIET)


def test_without_any_metric_the_default_says_how_to_learn_one(adata):
    with pytest.raises(KeyError, match=r"stored metrics: nothing\. Learn it with sg\.tl\.ggml\("):
        sg.tl.distances(adata, sample_key="sample_id", **QUIET)


def test_values_that_are_not_finite_are_found(learned):
    learned.X[5, 1] = np.nan
    with pytest.raises(ValueError, match=r"adata\.X has 1 values that are NaN .* cell 'cell5', feature 'noise_1'"):
        sg.tl.distances(learned, **QUIET)


def test_genes_that_are_gone_are_named(learned):
    message = r"adata\.X lacks 1 of the 4 features that the metric 'ggml' was learned on: 'noise_2'"
    with pytest.raises(ValueError, match=message):
        sg.tl.distances(learned[:, ["signal", "noise_1", "noise_3"]], **QUIET)


def test_genes_in_another_order_are_found_by_name(learned):
    truth = sg.tl.distances(learned, **QUIET)
    found = sg.tl.distances(learned[:, [2, 0, 3, 1]], **QUIET)
    assert found.var_names.tolist() == learned.var_names[[2, 0, 3, 1]].tolist()
    assert_same(slots(found[:, truth.var_names].copy()), slots(truth))


@pytest.mark.parametrize("where", ["X", "layer", "column"])
def test_samples_know_how_deeply_their_cells_were_sequenced(where):
    counts = sg.datasets.synthetic_counts(n_samples=2, n_cells=6, n_genes=20, n_planted=2, n_types=1)
    totals = np.asarray(counts.X.sum(axis=1)).ravel()
    truth = pd.Series(totals).groupby(counts.obs["sample_id"].astype(str).to_numpy()).mean()
    adata = counts.copy()
    if where != "X":
        adata.X = np.log1p(counts.X.toarray())
    if where == "layer":
        adata.layers["counts"] = counts.X
    elif where == "column":
        adata.obs["total_counts"] = totals
    adata.obsm["X_other"] = np.log1p(counts.X.toarray())
    given = {"metric": "euclidean", "sample_key": "sample_id", "use_rep": "X_other", "progress": False}
    samples = sg.tl.distances(adata, **given)
    np.testing.assert_allclose(samples.obs["depth"], truth[samples.obs_names], rtol=1e-6)
    adata.X, adata.obs["depth"] = np.log1p(counts.X.toarray()), 7.0  # a column of the samples stays
    assert (sg.tl.distances(adata, **given).obs["depth"] == 7.0).all()


def test_samples_of_scaled_expression_do_not_know_their_depth():
    adata = sg.datasets.synthetic(n_noise=3, n_samples=2, n_cells=6)
    samples = sg.tl.distances(adata, metric="euclidean", sample_key="sample_id", progress=False)
    assert "depth" not in samples.obs


# Costs between cells from elsewhere


@pytest.fixture
def costly():
    adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    adata.obsp["mine"] = cdist(adata.X, adata.X, "cityblock")
    return adata


def test_costs_of_cells_give_the_distances_of_their_metric(costly):
    costly = costly[np.random.default_rng(0).permutation(costly.n_obs)].copy()
    given = {"sample_key": "sample_id", "progress": False}

    def cityblock(x, y):
        return cdist(x, y, "cityblock")

    for more in ({}, {"n_cells": 6, "rng": 3}, {"solver": "sinkhorn"}):
        found = sg.tl.distances(costly, metric="mine", **given, **more)
        truth = sg.tl.distances(costly, metric=cityblock, **given, **more)
        np.testing.assert_allclose(found.obsp["mine_distances"], truth.obsp["cityblock_distances"], rtol=1e-9)
    assert list(found.obsm) == []
    np.testing.assert_allclose(found.X, truth.X)
    assert sg.tl.distances(costly, metric="mine", genes=False, **given).shape == (9, 0)


def test_costs_of_cells_go_beside_a_stored_metric(costly):
    costly.obsm["X_rep"] = costly.X.copy()
    summary = sg.tl.Coreset(4)
    sg.tl.ggml(costly, "sample_id", "label", use_rep="X_rep", n_comps=2, summary=summary, progress=False)
    samples = sg.tl.distances(costly, metric="mine", progress=False)
    truth = sg.tl.distances(costly, metric="cityblock", summary=None, progress=False)
    np.testing.assert_allclose(samples.obsp["mine_distances"], truth.obsp["cityblock_distances"], rtol=1e-6)
    assert list(samples.obsm) == []
    assert "features" not in samples.uns["mine_distances"]
    sg.tl.mds(samples, key="mine")
    sg.tl.trajectory(samples, key="mine", progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_rep": "X"}, r"metric='mine' names the costs between cells in adata\.obsp, which need no features"),
        ({"summary": sg.tl.Coreset(3)}, r"summary=Coreset.* adata\.obsp\['mine'\] knows the costs of cells alone"),
        ({"metric": "yours"}, r"nor costs of cells in adata\.obsp \('mine'\)"),
    ],
)
def test_what_costs_of_cells_cannot_go_with_is_refused(costly, options, message):
    with pytest.raises((KeyError, ValueError), match=message):
        sg.tl.distances(costly, **({"metric": "mine", "sample_key": "sample_id", "progress": False} | options))
