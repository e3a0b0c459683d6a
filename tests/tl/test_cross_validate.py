import inspect
import sys
from dataclasses import replace
from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from _nulls import null_cohort
from _slots import assert_round_trip
from joblib import parallel_config
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import scggml as sg
from scggml._anndata.evaluation import read_evaluation
from scggml._anndata.subject import read_design, read_subject
from scggml._core.evaluate.classify import knn_votes
from scggml._core.evaluate.methods import ByDistance, FixedMetric
from scggml._core.evaluate.rivals import RIVALS
from scggml._core.evaluate.run import evaluate_fold
from scggml._core.folds import make_folds
from scggml._core.transport.ground import GroundMetric, cross_distances
from scggml.tl._methods import NAMES, as_methods, as_source

QUIET = {"progress": False, "n_jobs": 1}
BASE = ByDistance(FixedMetric("euclidean"))
CANONICAL = ("canonical", sg.tl.Learner())
USUAL = sg.tl.Canonical(ridge=0.05, ridge_scale="mean")
FAST = ("canonical", "euclidean", "cosine", "pseudobulk", "majority")
DEFAULTS = ("canonical", "ensemble", *FAST[1:])


def evaluate(adata, methods=FAST, *, preprocess=None, n_splits=3, n_repeats=2, groups_key="donor", **options):
    options = QUIET | options
    sg.tl.cross_validate(
        adata,
        "sample",
        "label",
        methods=methods,
        preprocess=preprocess,
        n_splits=n_splits,
        n_repeats=n_repeats,
        groups_key=groups_key,
        **options,
    )
    return sg.get.cross_validation(adata, key=options.get("key_added", "cross_validation"))


def accuracy(result, method):
    return float(result.summary.loc[method, "balanced_accuracy"])


@pytest.fixture
def signal():
    """18 samples of 3 classes that one of four features tells apart."""
    adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=8)
    adata.obs = adata.obs.rename(columns={"sample_id": "sample"})
    adata.obs["donor"] = adata.obs["sample"]
    return adata


# ---- what is computed


def test_predictions_are_those_of_the_main_functions_on_the_training_donors(signal):
    """Each fold by hand: learn with tl.ggml on training donors, take distances with tl.distances, vote."""
    given = {"method": USUAL, "n_comps": 2, "shrinkage": 0.4}  # else folds of the choice would be others
    result = evaluate(signal, {"canonical": sg.tl.Learner(**given)}, n_repeats=1, calibrate=False)
    table = result.predictions.astype({"sample": str})
    for _, part in table.groupby("fold"):
        held_out = list(part["sample"])
        training = signal[~signal.obs["sample"].isin(held_out)].copy()
        sg.tl.ggml(training, "sample", "label", progress=False, **given)
        whole = signal.copy()
        sg.tl.project(whole, training)
        samples = sg.tl.distances(whole, progress=False)
        names = samples.obs_names.to_numpy().astype(str)
        known = ~np.isin(names, held_out)
        D = samples.obsp["ggml_distances"][np.ix_(~known, known)]
        codes = samples.obs["label"].cat.codes.to_numpy()[known].astype(int)
        votes = pd.DataFrame(knn_votes(D, codes, 3, 3), index=names[~known])
        np.testing.assert_allclose(part[["p:class0", "p:class1", "p:class2"]], votes.loc[held_out], atol=1e-9)
        mine = result.distances["canonical"].loc[held_out, names[known]]
        np.testing.assert_allclose(mine, pd.DataFrame(D, index=names[~known]).loc[held_out], rtol=1e-5)


def test_the_default_decides_inside_the_training_donors_of_each_fold(signal):
    result = evaluate(signal, None, n_repeats=1, rng=7, calibrate=False)
    assert list(result.summary.index) == list(DEFAULTS)
    evaluation = read(signal, rng=7)
    for number, part in result.predictions[result.predictions["method"] == "canonical"].groupby("fold"):
        test = np.flatnonzero(np.isin(evaluation.names, part["sample"].astype(str)))
        train = np.setdiff1d(np.arange(18), test)
        samples, target = evaluation.samples(None).take(train), evaluation.target.take(train)
        found = sg.tl.Learner().learn(samples, target, rng=np.random.default_rng([7, 5, 0, number, 0]))
        assert found.choice is not None
        assert np.isfinite(found.choice.scores).all()
        metric = GroundMetric(found.components, "euclidean")
        D = cross_distances(metric, evaluation.samples(None).take(test).cohort, samples.cohort, solver=sg.tl.Exact())
        np.testing.assert_allclose(part.filter(like="p:"), knn_votes(D[:, :12], target.codes, 3, 3), atol=1e-9)


def test_every_sample_is_predicted_once_in_each_repeat_by_each_method(signal):
    table = evaluate(signal).predictions
    assert (table.groupby(["method", "repeat", "sample"], observed=True).size() == 1).all()
    assert len(table) == len(FAST) * 2 * 18
    probabilities = table.filter(like="p:")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    best = probabilities.to_numpy().argmax(axis=1)
    assert (table["prediction"].astype(str) == np.array(["class0", "class1", "class2"])[best]).all()


def test_scores_are_those_of_the_predictions(signal):
    result = evaluate(signal)
    for (method, repeat), part in result.predictions.groupby(["method", "repeat"], observed=True):
        right = part["label"].astype(str) == part["prediction"].astype(str)
        truth = right.groupby(part["label"].astype(str)).mean().mean()
        s = result.scores
        s = s[(s["method"] == method) & (s["repeat"] == repeat) & (s["metric"] == "balanced_accuracy")]
        assert s["fold"].tolist() == [-1]
        assert s["value"].iloc[0] == pytest.approx(truth)


def test_methods_are_compared_on_the_same_folds(signal):
    table = evaluate(signal).predictions
    folds = table.pivot(index=["repeat", "sample"], columns="method", values="fold")
    assert (folds.nunique(axis=1) == 1).all()


def test_the_difference_of_two_methods_is_that_of_their_balanced_accuracies(signal):
    result = evaluate(signal)
    row = result.differences.iloc[0]
    difference = accuracy(result, row["method"]) - accuracy(result, row["other"])
    assert row["mean"] == pytest.approx(difference)  # folds of equal size
    assert row["low"] <= row["mean"] <= row["high"]


def test_held_out_distances_are_not_symmetric_since_each_row_has_a_metric_of_its_own(signal):
    result = evaluate(signal, ["canonical", "euclidean"], n_repeats=1)
    D = result.distances["euclidean"].to_numpy()
    np.testing.assert_allclose(D, D.T, rtol=1e-5)
    truth = sg.tl.distances(signal, metric="euclidean", sample_key="sample", progress=False)
    np.testing.assert_allclose(D, truth.obsp["euclidean_distances"], rtol=1e-5)
    learned = result.distances["canonical"].to_numpy()
    assert not np.allclose(learned, learned.T, rtol=1e-3)


def test_an_estimator_sees_the_cells_of_each_sample(signal):
    means = FunctionTransformer(lambda clouds: np.stack([cloud.mean(axis=0) for cloud in clouds]))
    model = LogisticRegression(class_weight="balanced", max_iter=2000)
    mine = make_pipeline(means, StandardScaler(), model)
    result = evaluate(signal, {"mine": mine, "pseudobulk": "pseudobulk"})
    assert list(result.summary.index) == ["mine", "pseudobulk"]
    tables = [part.filter(like="p:").to_numpy() for _, part in result.predictions.groupby("method", observed=True)]
    np.testing.assert_allclose(*tables, atol=1e-5)  # pseudobulk is just that


def test_composition_uses_the_shares_of_cell_types():
    adata = null_cohort(n_donors=16, n_cells=10)
    ill = adata.obs["label"].to_numpy() == "c1"
    place = np.tile(np.arange(10), 16)
    adata.obs["type"] = np.where(place < np.where(ill, 7, 3), "T", "B")
    result = evaluate(adata, ["composition", "euclidean"], cell_type_key="type")
    assert accuracy(result, "composition") == 1.0


def test_the_default_methods_follow_what_is_given(signal):
    few = sg.tl.Learner(method=sg.tl.Triplets(max_iter=2, tol=0.0), n_comps=2)
    assert list(as_methods(None, BASE, CANONICAL, composition=False)) == list(DEFAULTS)
    stored = as_methods(None, BASE, ("tumor", few), composition=True)
    assert list(stored) == ["tumor", "ensemble", "euclidean", "cosine", "pseudobulk", "composition", "majority"]
    assert stored["tumor"].source.learner == few
    assert as_methods(["tumor"], BASE, ("tumor", few), composition=False)["tumor"] == stored["tumor"]
    assert accuracy(evaluate(signal, {"few": few}, n_repeats=1), "few") > 0.5


def test_the_options_of_a_learner_are_those_of_the_main_function():
    ours = inspect.signature(sg.tl.Learner).parameters
    main = inspect.signature(sg.tl.ggml).parameters
    shared = set(ours) - {"bags"}  # of a Learner alone, which the main function takes as its method
    assert shared < set(main)
    assert all(ours[name].default == main[name].default for name in shared)
    assert as_source("canonical").learner == sg.tl.Learner()
    assert as_source("paper").learner == sg.tl.Learner(method=sg.tl.Triplets.paper())


def test_what_the_main_function_and_an_evaluation_share_has_one_name_and_one_default_each():
    main = inspect.signature(sg.tl.ggml).parameters
    design = {"label_kind", "reference_class", "groups_key", "batch_key", "covariate_keys", "weights_key", "min_cells"}
    for function in (sg.tl.cross_validate, sg.tl.permutation_test, sg.tl.tune):
        ours = inspect.signature(function).parameters
        assert design | {"use_rep", "layer", "mask_var", "n_cells", "summary"} <= set(ours) & set(main)
        assert [name for name in ours if ours[name].default is inspect.Parameter.empty] == ["adata"]


@pytest.mark.parametrize("classifier", ["knn", "kernel_logistic"])
@pytest.mark.parametrize("method", ["canonical", "blend", "euclidean"])
def test_every_classifier_works_on_every_kind_of_distance(signal, method, classifier):
    result = evaluate(signal, [method], classifier=classifier, n_repeats=1)
    assert np.isfinite(result.predictions.filter(like="p:").to_numpy()).all()
    if method == "canonical":
        assert accuracy(result, method) >= 0.9


def test_shrinkage_goes_from_the_learned_to_the_euclidean_metric(signal):
    d = signal.n_vars
    methods = {f"{s}": sg.tl.Learner(method=USUAL, n_comps=d, shrinkage=s) for s in (0.0, 0.5, 1.0)}
    result = evaluate(signal, methods | {"euclidean": "euclidean"}, n_repeats=1)
    whole = (result.distances["1.0"] / result.distances["euclidean"]).to_numpy()
    # with all components theta is a multiple of I, by the variances of the training cells of the row's fold
    np.testing.assert_allclose(np.nanmin(whole, axis=1), np.nanmax(whole, axis=1), rtol=1e-5)
    assert not np.allclose(result.distances["0.5"], result.distances["1.0"], rtol=1e-2)


# ---- nothing leaks


def test_predictions_do_not_depend_on_the_labels_of_held_out_samples():
    adata = null_cohort(n_donors=12)
    design = read(adata)
    names = ["canonical", "blend", "pseudobulk", "majority"]
    methods = as_methods(names, BASE, CANONICAL, composition=False)
    for fold in make_folds(design.target, design.groups, n_splits=3, n_repeats=1, rng=np.random.default_rng(0)):
        lied = design.target.values.copy()
        lied[fold.test] = 1 - lied[fold.test]
        other = type(design.target)("classes", lied, design.target.classes)
        samples = design.samples(fold)
        truth, found = (evaluate_fold(samples, target, fold, methods, 0) for target in (design.target, other))
        for name in methods:
            np.testing.assert_array_equal(found[name].prediction.scores, truth[name].prediction.scores)


def read(adata, *, preprocess=None, groups_key="donor", rng=0):
    subject = read_subject(
        adata,
        "sample",
        "label",
        key="ggml",
        preprocess=preprocess,
        mask_var=None,
        n_cells=None,
        seed=rng,
        given={"groups_key": groups_key},
    )
    return read_evaluation(subject, read_design(adata, subject))


def test_features_of_training_cells_do_not_depend_on_held_out_cells():
    adata = sg.datasets.synthetic_counts(n_samples=4, n_cells=20, n_genes=80, n_planted=8)
    adata.obs = adata.obs.rename(columns={"sample_id": "sample"})
    step = sg.tl.Preprocess(n_top_genes=40, n_comps=5)
    design = read(adata, groups_key=None, preprocess=step)
    fold = make_folds(design.target, design.groups, n_splits=2, n_repeats=1, rng=np.random.default_rng(0))[0]
    truth = design.samples(fold).take(fold.train).cohort.points
    changed = adata.copy()
    changed.X = changed.X.toarray() if hasattr(changed.X, "toarray") else changed.X
    held_out = changed.obs["sample"].isin(design.names[fold.test]).to_numpy()
    changed.X[held_out] = np.random.default_rng(1).poisson(5.0, size=changed.X[held_out].shape)
    again = read(changed, groups_key=None, preprocess=step)
    np.testing.assert_allclose(again.samples(fold).take(fold.train).cohort.points, truth, atol=1e-4)
    new, old = (each.samples(fold).take(fold.test).cohort.points for each in (again, design))
    assert not np.allclose(new, old)


def test_a_preprocess_function_never_sees_the_labels_of_held_out_cells():
    seen = []

    def step(training, held_out):
        shared = set(training.obs["donor"]) & set(held_out.obs["donor"])
        seen.append(("label" in training.obs, "label" in held_out.obs, shared))
        return training.X, held_out.X

    evaluate(null_cohort(), ["euclidean"], preprocess=step)
    assert seen == [(True, False, set())] * 6


SEEDS = range(20)


@pytest.mark.slow
def test_a_feature_that_is_the_donors_id_does_not_help():
    """Two samples of each donor share an id: split by sample it gives the label away, split by donor it does not."""
    honest, leaked = [], []
    for seed in SEEDS:
        adata = null_cohort(seed, n_donors=10, per_donor=2, n_cells=3)
        adata.X[:, 0] = 10 * adata.obs["donor"].str[1:].astype(int)
        result = evaluate(adata, ["canonical", "euclidean", "pseudobulk"], n_repeats=1)
        honest.append(result.summary["balanced_accuracy"])
        if seed < 3:
            split = evaluate(adata, ["euclidean"], n_repeats=1, n_splits=5, n_neighbors=1, groups_key=None)
            leaked.append(accuracy(split, "euclidean"))
    assert np.mean(leaked) > 0.9
    means = pd.concat(honest, axis=1).mean(axis=1)
    assert means.between(0.30, 0.60).all(), means


def test_a_duplicated_donor_is_refused_and_stays_at_chance_where_the_copies_are_one_donor():
    adata = null_cohort(0, n_donors=10, n_cells=8)
    copy = adata.copy()
    copy.obs["sample"] = copy.obs["sample"].astype(str) + "_copy"
    copy.obs_names += "_copy"
    both = ad.concat([adata, copy])
    assert accuracy(evaluate(both, ["euclidean"], n_repeats=1, n_neighbors=1), "euclidean") <= 0.8
    with pytest.raises(ValueError, match=r"Samples 's\d' and 's\d_copy' share 8 cells but count as different donors"):
        evaluate(both, ["euclidean"], groups_key=None)
    with pytest.raises(ValueError, match="share 8 cells"):  # also where few of the cells are drawn
        evaluate(both, ["euclidean"], groups_key=None, n_cells=2)


def select(training, held_out, labels, n=10):
    """The genes whose means differ most between the labels."""
    groups = [training.X[labels == name] for name in np.unique(labels)]
    gap = np.abs(groups[0].mean(axis=0) - groups[1].mean(axis=0)) / training.X.std(axis=0)
    best = np.argsort(gap)[-n:]
    return training.X[:, best], held_out.X[:, best]


def test_genes_chosen_on_all_donors_leak_and_chosen_in_the_fold_do_not():
    leaked, honest = [], []
    for seed in range(8):
        adata = null_cohort(seed, n_donors=16, n_cells=3, n_genes=500)
        labels = adata.obs["label"].to_numpy()
        chosen = adata.copy()[:, :10].copy()
        chosen.X = select(adata, adata, labels)[0]
        leaked.append(accuracy(evaluate(chosen, ["pseudobulk"], n_repeats=1), "pseudobulk"))

        def step(training, held_out):
            return select(training, held_out, training.obs["label"].to_numpy())

        honest.append(accuracy(evaluate(adata, ["pseudobulk"], preprocess=step, n_repeats=1), "pseudobulk"))
    assert np.mean(leaked) > 0.9
    assert 0.3 < np.mean(honest) < 0.65


@pytest.mark.slow
def test_random_labels_are_predicted_as_chance_by_all_methods():
    methods = {name: name for name in (*FAST, "blend")}
    methods["steps"] = sg.tl.Learner(method=sg.tl.Triplets(max_iter=5, tol=0.0), n_comps=2)
    methods["shrunk"] = sg.tl.Learner(n_comps=2, shrinkage=0.3)
    found = [
        evaluate(null_cohort(seed, n_donors=12, n_cells=4), methods, n_repeats=1).summary["balanced_accuracy"]
        for seed in SEEDS
    ]
    table = pd.concat(found, axis=1)
    # 12 donors: the standard deviation of a balanced accuracy is 0.14, that of the mean of 20 is 0.03
    assert table.mean(axis=1).between(0.36, 0.60).all(), table.mean(axis=1)
    assert (table.loc["majority"] == 0.5).all()


# ---- kinds of runs


def test_the_same_seed_gives_the_same_result_on_any_backend(signal):
    truth = evaluate(signal, ["canonical", "pseudobulk"], rng=3)
    with parallel_config("threading", n_jobs=2):
        found = evaluate(signal, ["canonical", "pseudobulk"], rng=3, n_jobs=None)
    pd.testing.assert_frame_equal(found.predictions, truth.predictions)
    other = evaluate(signal, ["canonical", "pseudobulk"], rng=4)
    assert not other.predictions["sample"].equals(truth.predictions["sample"])


def test_seeds_may_be_of_numpy_and_generators(signal):
    truth = evaluate(signal, ["canonical"], rng=5, n_repeats=1)
    found = evaluate(signal, ["canonical"], rng=np.int64(5), n_repeats=1)
    pd.testing.assert_frame_equal(found.predictions, truth.predictions)
    drawn = [evaluate(signal, ["canonical"], rng=np.random.default_rng(3), n_repeats=1) for _ in range(2)]
    pd.testing.assert_frame_equal(drawn[0].predictions, drawn[1].predictions)
    again = evaluate(signal, ["canonical"], rng=signal.uns["cross_validation"]["params"]["seed"], n_repeats=1)
    pd.testing.assert_frame_equal(again.predictions, drawn[0].predictions)


def test_processes_give_the_same_result(signal):
    truth = evaluate(signal, ["canonical"], n_repeats=1)
    found = evaluate(signal, ["canonical"], n_repeats=1, n_jobs=2)
    pd.testing.assert_frame_equal(found.predictions, truth.predictions)


def test_what_was_stored_survives_a_file(signal, tmp_path):
    truth = evaluate(signal, ["canonical", "pseudobulk"])
    for read_back in assert_round_trip(signal, tmp_path):
        found = sg.get.cross_validation(read_back)
        pd.testing.assert_frame_equal(found.summary, truth.summary)
        assert found.verdict == truth.verdict
        pd.testing.assert_frame_equal(found.distances["canonical"], truth.distances["canonical"])


def test_nothing_but_the_result_is_written(signal):
    before = set(signal.uns), list(signal.obs), signal.X.copy()
    copy = sg.tl.cross_validate(
        signal, "sample", "label", methods=["majority"], preprocess=None, n_splits=3, copy=True, **QUIET
    )
    assert (set(signal.uns), list(signal.obs)) == before[:2]
    np.testing.assert_array_equal(signal.X, before[2])
    assert set(copy.uns) - before[0] == {"cross_validation"}


def test_leaving_one_donor_out(signal):
    result = evaluate(signal, ["canonical"], split="leave_one_group_out")
    assert result.predictions["fold"].tolist() == list(range(18))
    assert "ari" not in result.summary
    assert accuracy(result, "canonical") >= 0.9


def test_single_splits_are_scored_on_what_they_hold_out():
    adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=8, noise_scale=40.0, rng=1)
    adata.obs = adata.obs.rename(columns={"sample_id": "sample"})
    adata.obs["site"] = np.array(["a", "b"])[adata.obs["sample"].cat.codes % 2]
    options = {"groups_key": None, "technical_keys": ["site"], "n_repeats": 3, "train_size": 2 / 3}
    result = evaluate(adata, ["canonical", "euclidean", "majority"], **options)
    said = result.predictions[result.predictions["method"] == "euclidean"]
    assert said.groupby("repeat").size().tolist() == [6, 6, 6]
    assert (said["fold"] == 0).all()
    scores = result.scores[(result.scores["method"] == "euclidean") & (result.scores["fold"] == -1)]
    for name, score in (
        ("balanced_accuracy", balanced_accuracy_score),
        ("macro_f1", partial(f1_score, average="macro")),
    ):
        truth = [score(part["label"].astype(str), part["prediction"].astype(str)) for _, part in said.groupby("repeat")]
        assert min(truth) < 1
        np.testing.assert_allclose(scores[scores["metric"] == name]["value"], truth)
    removed = scores[scores["metric"] == "batch_removal:site"]["value"]
    assert ((removed >= 0) & (removed <= 1)).all()
    held_out = result.labels.index.isin(said["sample"])
    assert 6 < held_out.sum() < 18
    D = result.distances["euclidean"]
    assert D[held_out].notna().all(axis=None)
    assert D[~held_out].isna().all(axis=None)
    own = sg.tl.distances(adata, metric="euclidean", sample_key="sample", progress=False).obsp["euclidean_distances"]
    np.testing.assert_allclose(D[held_out], own[held_out], rtol=1e-5)


def test_one_split_has_a_verdict_without_an_interval(signal):
    result = evaluate(signal, ["canonical", "majority"], n_repeats=1, train_size=0.5)
    assert result.verdict.startswith("canonical: balanced accuracy 1.00, chance 0.33; one split has no interval")


def test_batch_removal_tells_whether_distances_know_the_batch():
    adata = null_cohort(n_donors=16, n_cells=6)
    batch = adata.obs["donor"].str[1:].astype(int) % 2
    adata.obs["batch"] = batch.map({0: "b0", 1: "b1"})
    adata.X[:, 1] += 20 * batch
    result = evaluate(adata, ["euclidean", "pseudobulk"], technical_keys=["batch"])
    assert result.summary.loc["euclidean", "batch_removal:batch"] == pytest.approx(0.0)
    assert np.isnan(result.summary.loc["pseudobulk", "batch_removal:batch"])


# ---- bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"methods": ["magic"]}, ValueError, "method 'magic' is not known; choose from 'canonical', 'triplets'"),
        ({"methods": []}, ValueError, "methods is empty"),
        ({"methods": {"x": 3}}, TypeError, "A method is a int; pass a name"),
        ({"methods": ["composition"]}, ValueError, "'composition' needs cell types; pass cell_type_key"),
        ({"groups_key": "nobody"}, KeyError, "groups_key='nobody' is not a column of adata.obs"),
        ({"groups_key": "cell"}, ValueError, "samples have cells of more than one value in adata.obs\\['cell'\\]"),
        ({"batch_key": "hole"}, ValueError, "adata.obs\\['hole'\\] \\(batch_key\\) is missing for 1 of 72 cells"),
        ({"preprocess": "none"}, ValueError, "preprocess='none' is not known"),
        ({"preprocess": 3}, TypeError, "preprocess is a int"),
        ({"preprocess": lambda a, b: (a.X, a.X)}, ValueError, "preprocess returned arrays of shape"),
        ({"preprocess": lambda a, b: (a.X * np.nan, b.X)}, ValueError, "NaN or infinite for training cells"),
        ({"label_kind": "colors"}, ValueError, "label_kind='colors' is not known"),
        ({"label_kind": "numbers"}, ValueError, "\\(label_key\\) does not hold numbers"),
        ({"label_kind": "ordered"}, ValueError, "alphabetical order is not taken"),
        ({"label_kind": ["c0"]}, ValueError, "it lacks 'c1'"),
        ({"reference_class": "c7"}, ValueError, "reference_class='c7' is not a class"),
        ({"n_splits": 40}, ValueError, "n_splits=40 is more than the 12 groups"),
        ({"n_neighbors": 0}, ValueError, "n_neighbors=0 must be at least 1"),
        ({"classifier": "svm"}, ValueError, "classifier='svm' is not known"),
        ({"rng": -1}, ValueError, "rng=-1 must be at least 0"),
        ({"technical_keys": "site"}, KeyError, "technical_keys='site' is not a column of adata.obs"),
        ({"covariate_keys": ["age"]}, KeyError, "covariate_keys='age' is not a column of adata.obs"),
        ({"covariate_keys": "age"}, TypeError, "covariate_keys='age' is a str; pass a list of columns"),
        ({"covariate_keys": ["label"]}, ValueError, "whose effect is to be learned"),
        ({"batch_key": "label"}, ValueError, "batch_key and label_key are both 'label'"),
        ({"split": "leave_one_batch_out"}, ValueError, "needs a batch_key with two or more batches"),
        ({"train_size": 0.99}, ValueError, "train_size=0.99 learns from 12 of 12 groups"),
        ({"n_cells": 0}, ValueError, "n_cells=0 must be at least 1"),
    ],
)
def test_bad_input_is_named(options, error, message):
    adata = null_cohort()
    adata.obs["cell"] = adata.obs_names
    adata.obs["hole"] = ["b"] * (adata.n_obs - 1) + [None]
    with pytest.raises(error, match=message):
        evaluate(adata, **({"methods": ["euclidean"]} | options))
    assert "cross_validation" not in adata.uns


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_values_that_are_not_finite_are_named_with_their_place(kind):
    adata = null_cohort()
    adata.X[[9, 7, 9], [0, 2, 1]] = np.nan
    adata.X = kind(adata.X)
    for preprocess in (None, "auto"):
        with pytest.raises(
            ValueError, match=r"adata.X has 3 values that are NaN or infinite; the first is in cell 'cell7'"
        ):
            evaluate(adata, preprocess=preprocess)


def test_one_class_only_is_refused():
    adata = null_cohort()
    adata.obs["label"] = "same"
    with pytest.raises(ValueError, match=r"\(label_key\) has one class only \('same'\); two or more are needed"):
        evaluate(adata)


def test_every_name_is_a_method():
    methods = as_methods(NAMES, BASE, CANONICAL, composition=True)
    assert list(methods) == list(NAMES)


TYPED = ("composition", "clr", "cell_type_pseudobulk", "pilot")
CELLS = {"summary": sg.tl.Groups("type"), "cell_type_key": "type"}


@pytest.mark.parametrize("name", RIVALS)
def test_every_rival_finds_what_it_looks_at(name):
    """Cells of type b are shifted in one class; or types are what classes differ by, and cells say nothing."""
    adata = null_cohort(n_donors=20, n_cells=20)
    other = (adata.obs["label"] == adata.obs["label"].iloc[0]).to_numpy()
    by_cells = name in ("pseudobulk", "cell_type_pseudobulk", "gloscope", "lfda", "nca")
    share = np.where(other & (not by_cells), 6, 2)
    adata.obs["type"] = np.where(np.arange(adata.n_obs) % 8 < share, "b", "a")
    moved = other if by_cells else (adata.obs["type"] == "b").to_numpy()
    adata.X[moved, 0] += 6.0
    result = evaluate(adata, [name], n_repeats=1, cell_type_key="type")
    np.testing.assert_allclose(result.predictions.filter(like="p:").sum(axis=1), 1.0)
    assert accuracy(result, name) >= 0.9 if name != "majority" else accuracy(result, name) <= 0.5


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        *[(name, {}, f"The method '{name}' needs cell types; pass cell_type_key, or leave it out") for name in TYPED],
        ("pilot", CELLS, r"needs the cells themselves, not summary=Groups.*summary=None"),
        (
            "cell_type_pseudobulk",
            CELLS,
            "pseudobulk' needs the cells themselves",
        ),
        ("gloscope", CELLS, "'gloscope' needs the cells themselves"),
        ("gloscope", {"weights_key": "weight"}, "needs cells that count alike, not weights_key='weight'"),
        ("nca", {"label_kind": "numbers"}, "'nca' needs labels that are classes, and these are numbers"),
        (sg.tl.Blend(["euclidean", "lfda"]), {"label_kind": "numbers"}, "'mine' needs labels that are classes"),
    ],
)
def test_what_a_rival_cannot_do_with_is_said_before_cells_are_read(signal, monkeypatch, method, options, message):
    signal.obs["type"], signal.obs["weight"] = "a", 1.0
    if "label_kind" in options:
        signal.obs["label"] = signal.obs["label"].astype("category").cat.codes.astype(float)
    module = sys.modules[sg.tl.cross_validate.__module__]
    monkeypatch.setattr(module, "draws", lambda *_, **__: pytest.fail("cells were read"))
    methods = [method] if isinstance(method, str) else {"mine": method}
    with pytest.raises(ValueError, match=message):
        evaluate(signal, methods, **options)


def test_a_rival_has_the_classifier_that_is_asked_for(signal):
    signal.obs["type"] = np.where(np.arange(signal.n_obs) % 3, "a", "b")
    for name in ("gloscope", "clr", "pilot", "lfda"):
        base = replace(BASE, classifier="kernel_logistic", n_neighbors=5)
        found = as_methods([name], base, CANONICAL, composition=True)[name]
        assert (found.classifier, found.n_neighbors) == ("kernel_logistic", 5)
