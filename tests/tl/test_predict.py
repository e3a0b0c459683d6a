import re

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _new import measured_again
from _nulls import null_cohort
from _slots import assert_round_trip
from anndata import AnnData

import scggml as sg
from scggml._core.evaluate.ensemble import Ensemble as EnsembleOfMethods
from scggml._core.evaluate.reliability import reliability
from scggml._core.learn.learner import Learner

QUIET = {"progress": False, "n_jobs": 1}


def cohort(seed, n_samples=8, **options):
    return sg.datasets.synthetic(**({"n_noise": 4, "n_samples": n_samples, "n_cells": 8, "rng": seed} | options))


@pytest.fixture(scope="module")
def reference():
    adata = cohort(0)
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    return adata


@pytest.fixture(scope="module")
def predicted(reference):
    return sg.tl.predict(cohort(1), reference, n_splits=4, n_repeats=2, **QUIET)


def test_no_prediction_is_surer_than_the_donors_of_the_reference_can_make_it(reference, predicted):
    samples = reference.obs.drop_duplicates(reference.uns["ggml"]["reading"]["sample_key"])
    n = samples["label"].value_counts().min()
    assert predicted.obsm["prediction"].max() <= (n + 0.5) / (n + 1) + 1e-12


def error(probabilities, truth):
    """Mean distance of confidence and share right."""
    return reliability(truth.astype(np.int64), probabilities, np.arange(len(truth))).error


def test_new_samples_get_their_labels_with_probabilities_that_mean_it(predicted):
    truth = predicted.obs["label"].cat.codes.to_numpy()
    probabilities = predicted.obsm["prediction"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert (probabilities.argmax(axis=1) == truth).mean() >= 0.95
    assert error(probabilities, truth) <= 0.1
    assert (predicted.obs["prediction"].astype(str) == predicted.obs["label"].astype(str)).mean() >= 0.95
    assert not predicted.obs["unlike_reference"].any()


def blurred(seed, n_donors):
    """Two classes that overlap: a donor's mean follows N(-1, 1) or N(1, 1), so that 84 % can be told."""
    adata = null_cohort(seed, n_donors=n_donors, n_cells=12, n_genes=3)
    shift = np.where(adata.obs["label"].to_numpy() == "c1", 1.0, -1.0)
    adata.X[:, 0] += shift
    return adata


@pytest.mark.filterwarnings("ignore:.*unlike any sample")
def test_probabilities_of_classes_that_overlap_are_calibrated_on_donors_that_were_never_seen():
    known, new = blurred(0, 50), blurred(1, 120)
    sg.tl.ggml(known, "sample", "label", n_comps=1, progress=False)
    samples = sg.tl.predict(new, known, n_neighbors=5, n_repeats=2, **QUIET)
    truth = samples.obs["label"].cat.codes.to_numpy()
    probabilities = samples.obsm["prediction"]
    assert 0.7 < (probabilities.argmax(axis=1) == truth).mean() < 0.95
    assert error(probabilities, truth) <= 0.1
    assert samples.uns["prediction"]["calibration_error"] <= 0.15
    assert samples.obs["unlike_reference"].mean() <= 0.05


@pytest.mark.filterwarnings("ignore:.*unlike any sample")
def test_random_labels_are_not_predicted_with_confidence():
    known, new = null_cohort(0, n_donors=24), null_cohort(1, n_donors=40)
    sg.tl.ggml(known, "sample", "label", n_comps=2, progress=False)
    samples = sg.tl.predict(new, known, **QUIET)
    assert samples.obs["probability"].mean() < 0.75


def test_neighbors_explain_a_prediction(reference, predicted):
    both = cohort(1)
    sg.tl.project(both, reference)
    entry = predicted.uns["prediction"]
    assert entry["neighbors"].shape == (24, 3)
    labels = reference.obs.groupby("sample_id", observed=True)["label"].first()
    for names, found, text in zip(
        entry["neighbors"], entry["neighbor_labels"], predicted.obs["neighbors"], strict=True
    ):
        assert [labels[name] for name in names] == list(found)
        assert text == ", ".join(f"{name} ({labels[name]})" for name in names)
    assert (np.diff(entry["neighbor_distances"], axis=1) >= 0).all()


def test_a_donor_from_another_disease_is_flagged(reference):
    new = cohort(2, n_samples=2)
    ill = new.obs["sample_id"] == "class0_00"
    new.X[ill.to_numpy(), 1:] += 60  # strange where the metric does not look
    with pytest.warns(UserWarning, match="1 of 6 samples are unlike any sample of the reference.*'class0_00'"):
        samples = sg.tl.predict(new, reference, n_splits=3, n_repeats=1, **QUIET)
    assert samples.obs["unlike_reference"].tolist() == [name == "class0_00" for name in samples.obs_names]


def test_samples_that_were_measured_again_are_nearest_to_themselves(reference):
    new = measured_again(reference, 1e-4)
    atol = 1e-4 * np.linalg.norm(reference.uns["ggml"]["components"]) * 2  # cells are moved by that, in the metric
    samples = sg.tl.predict(new, reference, n_cells=None, n_splits=3, n_repeats=1, **QUIET)
    assert (samples.uns["prediction"]["neighbors"][:, 0] == samples.obs_names).all()
    np.testing.assert_allclose(samples.uns["prediction"]["neighbor_distances"][:, 0], 0.0, atol=atol)


def test_it_works_on_principal_components_that_both_have_or_the_reference_alone():
    known = sg.datasets.synthetic_counts(n_samples=6, n_cells=20, n_genes=80, n_planted=20, rng=0)
    sc.pp.normalize_total(known)
    sc.pp.log1p(known)
    sc.pp.pca(known, n_comps=8)
    sg.tl.ggml(known, "sample_id", "label", use_rep="X_pca", n_comps=2, progress=False)
    new = measured_again(known[known.obs["sample_id"].isin(known.obs["sample_id"].unique()[:2])].copy())
    samples = sg.tl.predict(new, known, n_splits=3, n_repeats=1, **QUIET)
    assert samples.n_obs == 2

    genes_alone = AnnData(new.X, obs=new.obs, var=new.var[[]])
    again = sg.tl.predict(genes_alone, known, n_splits=3, n_repeats=1, **QUIET)
    np.testing.assert_allclose(again.obsm["prediction"], samples.obsm["prediction"], rtol=1e-2)
    np.testing.assert_allclose(again.obsm["X_pca"], samples.obsm["X_pca"], rtol=1e-3, atol=1e-3)
    assert not genes_alone.obsm

    known.X = known.X.expm1()
    with pytest.raises(ValueError, match=r"adata\.obsm lacks 'X_pca'.* not on the scale that its PCA saw"):
        sg.tl.predict(genes_alone, known, n_splits=3, n_repeats=1, **QUIET)


def test_the_same_seed_gives_the_same_and_all_survives_a_file(reference, predicted, tmp_path):
    again = sg.tl.predict(cohort(1), reference, n_splits=4, n_repeats=2, **QUIET)
    np.testing.assert_array_equal(again.obsm["prediction"], predicted.obsm["prediction"])
    again.obs["neighbors"] = again.obs["neighbors"].astype("category")
    assert_round_trip(again, tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": sg.tl.Triplets(max_iter=3, tol=0.0, margin=2.0, reg=0.05, init="orthonormal"), "squared": True},
        {"method": sg.tl.Triplets(max_iter=3, tol=0.0, init=sg.tl.Canonical(ridge=0.2), penalty="l21")},
        {"method": sg.tl.Triplets(max_iter=2, tol=0.0, init=np.eye(2, 5), batch_size=None)},
        {"method": sg.tl.Canonical(n_alternations=2), "shrinkage": 0.1, "solver": sg.tl.Exact(backend="pot")},
    ],
)
def test_the_calibration_learns_as_the_metric_was_learned(options, monkeypatch):
    adata = cohort(0, n_samples=3)
    options = {"n_comps": 2} | options
    sg.tl.ggml(adata, "sample_id", "label", progress=False, **options)
    learners, learn = [], Learner.learn

    def noted(self, *args, **kwargs):
        learners.append(self)
        return learn(self, *args, **kwargs)

    monkeypatch.setattr(Learner, "learn", noted)
    assert sg.tl.predict(cohort(1, n_samples=1), adata, n_splits=3, n_repeats=1, **QUIET).n_obs == 3
    assert learners == [sg.tl.Learner(**options)] * 3


@pytest.mark.filterwarnings("ignore:.*unlike any sample")
def test_donors_with_several_samples_are_held_out_together():
    known = null_cohort(0, n_donors=10, per_donor=2, n_cells=5)
    classes = known.obs.groupby("donor", observed=True)["label"].first()
    place = pd.Series(np.arange(10), index=classes.index)
    for start, label in enumerate(("c0", "c1")):  # neighbors along the axis are of the other class
        place[classes == label] = np.arange(start, 10, 2)
    known.X[:, 0] += 30 * known.obs["donor"].map(place).astype(int)
    sg.tl.ggml(known, "sample", "label", n_comps=1, shrinkage=1.0, progress=False)  # the first principal axis
    new = null_cohort(5, n_donors=4)
    options = {"n_neighbors": 1, "n_splits": 10} | QUIET
    apart = sg.tl.predict(new, known, groups_key="donor", **options).uns["prediction"]["held_out_accuracy"]
    mixed = sg.tl.predict(new, known, **options).uns["prediction"]["held_out_accuracy"]
    assert mixed > 0.9 > apart + 0.2  # a second sample of the donor gives the label away


def test_what_predicts_is_what_was_validated(reference, monkeypatch):
    """`tl.predict` and the row of `cross_validate` have equal views, and predict by the same fit of these."""
    seen, fit = [], EnsembleOfMethods.fit

    def noted(self, training, target, **how):
        seen.append((self, training, target))
        return fit(self, training, target, **how)

    monkeypatch.setattr(EnsembleOfMethods, "fit", noted)
    sg.tl.cross_validate(reference, methods=["ensemble"], preprocess=None, n_splits=3, n_repeats=1, **QUIET)
    samples = sg.tl.predict(cohort(1), reference, **QUIET)
    (row, *_), predicts = seen[0], seen[-1][0]
    assert [name for name, _ in row.views] == [name for name, _ in predicts.views]
    assert (row.n_splits, row.n_repeats) == (predicts.n_splits, predicts.n_repeats)
    (_, one), (_, other) = row.views[0], predicts.views[0]
    assert (one.classifier, one.solver) == (other.classifier, other.solver)
    assert one.source.learner == other.source.learner
    assert row.views[1:] == predicts.views[1:]
    _, training, target = seen[-1]
    alone = fit(predicts, training, target, rng=np.random.default_rng([0, 4]))
    np.testing.assert_allclose(alone.weights, samples.uns["prediction"]["view_weights"])
    assert alone.held_out.shape == (1, 24, 3)


def test_each_view_says_what_it_says_and_weighs_what_it_has_shown(predicted):
    entry = predicted.uns["prediction"]
    assert list(entry["views"]) == ["ggml", "pseudobulk", "frequencies", "embedding"]
    assert entry["view_weights"].sum() == pytest.approx(1.0)
    together = np.einsum("v,vnc->nc", entry["view_weights"], entry["view_scores"])
    np.testing.assert_allclose(together, predicted.obsm["prediction"])


def test_the_metric_alone_and_views_of_your_own(reference):
    new = cohort(1, n_samples=2)
    options = {"n_splits": 3} | QUIET
    alone = sg.tl.predict(new, reference, method="metric", **options)
    assert list(alone.uns["prediction"]["views"]) == ["ggml"]
    mine = sg.tl.Ensemble({"ggml": "ggml", "coarse": sg.tl.Frequencies(n_clusters=3)}, n_splits=3)
    both = sg.tl.predict(new, reference, method=mine, **options)
    assert list(both.uns["prediction"]["views"]) == ["ggml", "coarse"]
    np.testing.assert_allclose(both.uns["prediction"]["view_scores"][0], alone.uns["prediction"]["view_scores"][0])
    with pytest.raises(ValueError, match="method='votes' is not known; choose from"):
        sg.tl.predict(new, reference, method="votes", **options)


@pytest.mark.filterwarnings("ignore:.*unlike any sample")
def test_shares_of_cell_types_join_where_a_key_is_given(reference):
    known, new = reference.copy(), cohort(1, n_samples=2)
    for adata in (known, new):
        adata.obs["type"] = np.where(np.arange(adata.n_obs) % 3, "T", "B")
    found = sg.tl.predict(new, known, cell_type_key="type", n_splits=3, **QUIET)
    assert list(found.uns["prediction"]["views"])[-1] == "composition"
    new.obs.loc[new.obs_names[:2], "type"] = "NK"
    with pytest.raises(ValueError, match=r"types that no sample of the reference has: 'NK'. Name them as"):
        sg.tl.predict(new, known, cell_type_key="type", n_splits=3, **QUIET)
    known.obs.loc[known.obs["label"] == "class0", "type"] = "abnormal"
    with pytest.warns(UserWarning, match=r"types of adata.obs\['type'\] occur in one class only: 'abnormal'"):
        sg.tl.predict(new[new.obs["type"] != "NK"].copy(), known, cell_type_key="type", n_splits=3, **QUIET)


def test_sets_of_classes_where_abstaining_is_asked_for(reference):
    new = cohort(1, n_samples=2)
    found = sg.tl.predict(new, reference, abstain=0.2, n_splits=3, **QUIET)
    p = found.obsm["prediction_p_values"]
    assert p.shape == (6, 3)
    classes = np.array(["class0", "class1", "class2"])
    assert found.obs["possible"].tolist() == [", ".join(classes[row > 0.2]) for row in p]
    assert found.obs["abstains"].tolist() == [(row > 0.2).sum() != 1 for row in p]
    assert (p[np.arange(6), found.obs["label"].cat.codes] > 0.2).mean() >= 0.5
    with pytest.warns(UserWarning, match=r"no error below 0\.111 can be promised.*pass abstain=0\.112 or more"):
        sg.tl.predict(new, reference, abstain=0.05, n_splits=3, **QUIET)
    with pytest.raises(ValueError, match=r"abstain=1\.5 must be an error rate between 0 and 1"):
        sg.tl.predict(new, reference, abstain=1.5, **QUIET)


def test_bad_input_is_named(reference):
    new = cohort(1, n_samples=1)
    with pytest.raises(KeyError, match=re.escape("No learned metric in adata.uns['other']")):
        sg.tl.predict(new, reference, key="other", **QUIET)
    with pytest.raises(KeyError, match="groups_key='nobody' is not a column"):
        sg.tl.predict(new, reference, groups_key="nobody", **QUIET)
    with pytest.raises(ValueError, match="lacks 1 of the 5 features"):
        sg.tl.predict(new[:, :4].copy(), reference, **QUIET)
    with pytest.raises(KeyError, match="sample_key='s' is not a column"):
        sg.tl.predict(new, reference, sample_key="s", **QUIET)
    with pytest.raises(ValueError, match=r"n_neighbors=31 is more than the 24 samples of the reference; pass at most"):
        sg.tl.predict(new, reference, n_neighbors=31, **QUIET)
    assert isinstance(new.obs, pd.DataFrame)
