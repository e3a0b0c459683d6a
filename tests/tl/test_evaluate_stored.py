"""Evaluating the metric that is stored: its learner, its cells, its design, and features refitted where that can be."""

from contextlib import nullcontext

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from _slots import assert_round_trip

import scggml as sg
from scggml._anndata.evaluation import read_evaluation
from scggml._anndata.subject import CHECKED, read_design, read_subject
from scggml._core.evaluate.classify import knn_votes
from scggml._core.folds import Fold
from scggml._core.transport.ground import GroundMetric, cross_distances

QUIET = {"progress": False, "n_jobs": 1}
FEW = {"n_splits": 3, "n_repeats": 1, "methods": ["ggml", "euclidean", "majority"]} | QUIET
SEEN = "The features {!r} were computed on all cells, held-out ones included."


@pytest.fixture(scope="module")
def _cells():
    adata = sg.datasets.synthetic_counts(n_samples=6, n_cells=20, n_genes=80, n_planted=10, log_fold_change=2.0)
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    adata.var["highly_variable"] = np.arange(80) % 4 > 0
    sc.pp.pca(adata, n_comps=8)
    adata.obsm["X_scVI"] = adata.obsm["X_pca"][:, :5] + 1.0
    return adata


@pytest.fixture
def cells(_cells):
    """12 samples of two classes: log counts, their counts in a layer, a PCA of 60 genes, and another representation."""
    return _cells.copy()


def learn(adata, **options):
    given = {"use_rep": "X_pca", "n_comps": 3, "progress": False}
    sg.tl.ggml(adata, "sample_id", "label", **(given | options))


def read(adata, key="ggml", preprocess="auto", n_cells="auto", **given):
    subject = read_subject(
        adata, None, None, key=key, preprocess=preprocess, mask_var=None, n_cells=n_cells, seed=0, given=given
    )
    return read_evaluation(subject, read_design(adata, subject))


def halves(n):
    return Fold(0, 0, np.arange(0, n, 2), np.arange(1, n, 2))


def held_out_cells(adata, evaluation, fold):
    """Masks of training and held-out cells, sample by sample as an evaluation has them."""
    order = np.concatenate([np.flatnonzero(adata.obs["sample_id"] == name) for name in evaluation.names])
    sample = adata.obs["sample_id"].to_numpy()[order]
    return order, np.isin(sample, evaluation.names[fold.train])


# ---- features


@pytest.mark.parametrize("scaled", [False, True])
def test_a_pca_is_refitted_on_its_genes_to_the_training_cells_of_each_fold(cells, scaled):
    if scaled:
        cells.X = cells.X.toarray()
        sc.pp.scale(cells)
        sc.pp.pca(cells, n_comps=8)
    learn(cells)
    evaluation = read(cells)
    fold = halves(12)
    order, is_training = held_out_cells(cells, evaluation, fold)
    genes = cells[order, cells.var["highly_variable"]].copy()
    step = sg.tl.Preprocess(normalize=False, n_top_genes=None, scale=False, n_comps=8)
    training, held_out = step(genes[is_training].copy(), genes[~is_training].copy())
    found = evaluation.samples(fold).cohort.points
    np.testing.assert_allclose(found[is_training], training, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[~is_training], held_out, rtol=1e-5, atol=1e-5)
    # these are not the stored ones, nor these turned
    stored = cells.obsm["X_pca"][order]
    squares = [((X[~is_training] - X[~is_training].mean(axis=0)) ** 2).sum() for X in (found, stored)]
    assert abs(squares[0] / squares[1] - 1) > 1e-3
    # those of training cells hold nothing of held-out ones
    other = cells.copy()
    other.X = other.X.toarray() if not isinstance(other.X, np.ndarray) else other.X
    row = np.setdiff1d(order[~is_training], np.linspace(0, cells.n_obs - 1, CHECKED).astype(int))[0]
    other.X[row] += 9.0  # a cell that is not among those by which the PCA is recognized
    again = read(other).samples(fold).cohort.points
    np.testing.assert_array_equal(again[is_training], found[is_training])
    assert not np.allclose(again[~is_training], found[~is_training])


def test_the_verdict_of_a_refitted_pca_has_nothing_to_confess(cells):
    learn(cells)
    sg.tl.cross_validate(cells, **FEW)
    assert cells.uns["cross_validation"]["features"] == {"slot": "X_pca", "refitted": True, "seen": False}
    result = sg.get.cross_validation(cells)
    assert result.seen is None
    assert list(result.summary.index) == ["ggml", "euclidean", "majority"]
    assert len(result.verdict.split("\n")) == 3  # two methods, and what so few donors could not show


def test_predictions_are_those_of_the_stored_learner_on_the_refitted_features(cells):
    learn(cells, method=sg.tl.Canonical(ridge=0.2, ridge_scale="feature"), shrinkage=0.1)
    sg.tl.cross_validate(cells, rng=4, calibrate=False, **(FEW | {"methods": None}))
    result = sg.get.cross_validation(cells)
    assert list(result.summary.index) == ["ggml", "ensemble", "euclidean", "cosine", "pseudobulk", "majority"]
    evaluation = read(cells)
    learner = sg.tl.Learner(method=sg.tl.Canonical(ridge=0.2, ridge_scale="feature"), n_comps=3, shrinkage=0.1)
    table = result.predictions[result.predictions["method"] == "ggml"]
    for number, part in table.groupby("fold"):
        test = np.flatnonzero(np.isin(evaluation.names, part["sample"].astype(str)))
        fold = Fold(0, number, np.setdiff1d(np.arange(12), test), test)
        samples, target = evaluation.samples(fold), evaluation.target.take(fold.train)
        training = samples.take(fold.train)
        W = learner.learn(training, target, rng=np.random.default_rng(0)).components
        metric = GroundMetric(W, "euclidean")
        D = cross_distances(metric, samples.take(test).cohort, training.cohort, solver=sg.tl.Exact(), among=False)
        np.testing.assert_allclose(part.filter(like="p:"), knn_votes(D, target.codes, 2, 3), atol=1e-9)


def test_a_pca_of_a_layer_is_refitted_on_that_layer(cells):
    cells.layers["log"] = cells.X.copy()
    cells.X = cells.layers["counts"].copy()
    learn(cells)
    evaluation = read(cells)
    assert evaluation.seen is None
    order, _ = held_out_cells(cells, evaluation, halves(12))
    truth = cells[order, cells.var["highly_variable"]].layers["log"].toarray()
    np.testing.assert_array_equal(evaluation.cells.X.toarray(), truth)


def spoil(cells, what):
    if what == "other genes in .X":
        cells.X = cells.X[:, ::-1].copy()
    elif what == "no loadings":
        del cells.varm["PCs"]
    elif what == "empty loadings":
        cells.varm["PCs"] = np.zeros_like(cells.varm["PCs"])
    elif what == "other components":
        cells.varm["PCs"] = cells.varm["PCs"][:, :4].copy()
    elif what == "corrected":
        cells.obsm["X_pca"] = cells.obsm["X_pca"] + np.random.default_rng(0).normal(size=(cells.n_obs, 8))
    else:
        cells.X = None


@pytest.mark.parametrize(
    "what", ["other genes in .X", "no loadings", "empty loadings", "other components", "corrected", "no genes"]
)
def test_a_pca_that_is_none_of_the_genes_at_hand_is_taken_as_it_is(cells, what):
    if what == "corrected":
        spoil(cells, what)
        learn(cells)
    else:
        learn(cells)
        spoil(cells, what)
    lost = pytest.warns(UserWarning, match=r"adata\.varm\['PCs'\] has no loadings of use_rep='X_pca', so its PCA")
    with lost if what in ("no loadings", "other components") else nullcontext():
        sg.tl.cross_validate(cells, **FEW)
    assert cells.uns["cross_validation"]["features"] == {"slot": "X_pca", "refitted": False, "seen": True}
    assert sg.get.cross_validation(cells).verdict.split("\n")[-1] == SEEN.format("X_pca")


def test_another_representation_has_seen_the_held_out_cells_and_the_verdict_says_so(cells, tmp_path):
    learn(cells, use_rep="X_scVI")
    sg.tl.cross_validate(cells, **FEW)
    sg.tl.permutation_test(cells, n_permutations=3, n_splits=2, **QUIET)
    sg.tl.tune(cells, space={"shrinkage": [0.4]}, n_splits=2, n_inner_splits=2, **QUIET)
    evaluation = read(cells)
    np.testing.assert_array_equal(
        evaluation.samples(halves(12)).cohort.points,
        cells.obsm["X_scVI"][held_out_cells(cells, evaluation, halves(12))[0]],
    )
    for adata in (cells, *assert_round_trip(cells, tmp_path)):
        for key in ("cross_validation", "tuning"):
            found = sg.get.cross_validation(adata, key=key)
            assert found.seen == "X_scVI"
            assert found.verdict.split("\n")[-1] == SEEN.format("X_scVI")
        assert SEEN.format("X_scVI") in adata.uns["permutation_test"]["verdict"]
        assert adata.uns["permutation_test"]["features"] == {"slot": "X_scVI", "refitted": False, "seen": True}


def test_genes_are_taken_as_they_are(cells):
    learn(cells, use_rep=None)
    evaluation = read(cells)
    order, _ = held_out_cells(cells, evaluation, halves(12))
    truth = cells[order, cells.var["highly_variable"]].X.toarray()
    np.testing.assert_array_equal(evaluation.samples(halves(12)).cohort.points, truth)
    sg.tl.cross_validate(cells, **FEW)
    assert cells.uns["cross_validation"]["features"] == {"slot": "X", "refitted": False, "seen": False}
    with pytest.warns(UserWarning, match="looks like raw counts"):
        learn(cells, use_rep=None, layer="counts", mask_var=None, key_added="counted")
    with pytest.warns(UserWarning, match="looks like raw counts"):
        sg.tl.cross_validate(cells, key="counted", key_added="other", **(FEW | {"methods": ["counted"]}))
    assert cells.uns["other"]["features"] == {"slot": "counts", "refitted": False, "seen": False}
    assert list(sg.get.cross_validation(cells, key="other").summary.index) == ["counted"]


def test_another_preprocessing_can_be_asked_for(cells):
    learn(cells)
    evaluation = read(cells, preprocess=sg.tl.Preprocess(n_top_genes=30, n_comps=4))
    assert evaluation.samples(halves(12)).cohort.points.shape[1] == 4
    assert evaluation.seen is None
    assert read(cells, preprocess=None).seen == "X_pca"


# ---- learner, cells and design


def test_cells_and_design_are_those_of_the_metric_unless_others_are_given(cells):
    cells.obs["site"] = (cells.obs["sample_id"].cat.codes % 2).astype(str)
    cells.obs["age"] = cells.obs["sample_id"].cat.codes.astype(float) % 5
    cells.obs["weight"] = np.random.default_rng(0).uniform(size=cells.n_obs)
    design = {"batch_key": "site", "covariate_keys": ["age"], "weights_key": "weight", "reference_class": "class1"}
    learn(cells, n_cells=7, summary=sg.tl.Coreset(5), rng=8, **design)
    reading = read(cells).reading
    stored = cells.uns["ggml"]["reading"]
    assert reading.to_params().keys() == stored.keys()
    for name, value in reading.to_params().items():
        np.testing.assert_equal(value, stored[name])
    evaluation = read(cells)
    assert evaluation.samples(halves(12)).cohort.sizes.tolist() == [5] * 12
    assert evaluation.target.reference == 1
    assert evaluation.batch is not None
    assert evaluation.covariates.shape == (12, 1)
    other = read(cells, n_cells=None, groups_key="site", summary=sg.tl.Coreset(3))
    assert other.samples(halves(12)).cohort.sizes.tolist() == [3] * 12
    assert (other.reading.n_cells, other.reading.groups_key) == (None, "site")
    assert other.reading.batch_key == "site"


def test_the_metric_can_be_one_among_methods_of_ones_own(cells):
    learn(cells, key_added="tumor")
    methods = {"mine": "tumor", "bare": sg.tl.Learner(shrinkage=0.0), "euclidean": "euclidean"}
    sg.tl.cross_validate(cells, key="tumor", **(FEW | {"methods": methods}))
    assert list(sg.get.cross_validation(cells).summary.index) == list(methods)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"key": "other"}, KeyError, "No learned metric in adata.uns\\['other'\\]; stored metrics: 'ggml'"),
        ({"sample_key": "sample_id"}, ValueError, "sample_key='sample_id' and label_key=None: pass both, or neither"),
        ({"use_rep": "X_scVI"}, ValueError, "has features of its own; use_rep goes with sample_key and label_key"),
        ({"layer": "counts"}, ValueError, "has features of its own; layer goes with"),
        ({"mask_var": "highly_variable"}, ValueError, "has features of its own; mask_var goes with"),
        ({"groups_key": "donor"}, KeyError, "groups_key='donor' is not a column"),
    ],
)
@pytest.mark.parametrize("function", [sg.tl.cross_validate, sg.tl.permutation_test, sg.tl.tune])
def test_bad_input_is_named(cells, function, options, error, message):
    learn(cells)
    with pytest.raises(error, match=message):
        function(cells, **(QUIET | options))
    assert set(cells.uns) & {"cross_validation", "permutation_test", "tuning"} == set()


def test_without_any_metric_the_call_that_learns_one_is_named(cells):
    with pytest.raises(KeyError, match=r"Learn it with sg\.tl\.ggml\(adata, sample_key, label_key"):
        sg.tl.cross_validate(cells, **QUIET)


def test_a_file_on_disk_is_evaluated_as_one_in_memory(cells, tmp_path):
    learn(cells)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    sg.tl.cross_validate(cells, **FEW)
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    sg.tl.cross_validate(backed, **FEW)
    found, truth = (each.uns["cross_validation"] for each in (backed, cells))
    np.testing.assert_array_equal(found["distances"], truth["distances"])
    assert found["features"] == truth["features"]
    backed.file.close()
