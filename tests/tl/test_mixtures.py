"""Mixtures through public calls: written, read, kept in files, evaluated, and what follows from a metric of them."""

import itertools

import numpy as np
import ot
import pytest
from _composed import compose
from _slots import assert_round_trip

import scggml as sg
from scggml._anndata.evaluation import read_evaluation
from scggml._anndata.features import read_features
from scggml._anndata.metric import read_metric
from scggml._anndata.reading import Reading
from scggml._anndata.subject import Subject, read_design
from scggml._core.folds import Fold

QUIET = {"progress": False}
METHOD = sg.tl.Canonical(ridge=0.05, ridge_scale="mean")
FITTED = [sg.tl.Mixture(2), sg.tl.Mixture(), sg.tl.Mixture(3, shared=True)]


@pytest.fixture(scope="module")
def made():
    """Twelve samples of two classes and three modes, whose shares differ by chance; one feature of four is planted."""
    adata = sg.datasets.synthetic(n_noise=3, noise_scale=1.0, n_samples=6, n_cells=24, n_classes=2)
    rng = np.random.default_rng(0)
    kept = np.sort(rng.choice(adata.n_obs, adata.n_obs * 3 // 4, replace=False))
    return adata[kept].copy()


@pytest.fixture
def cohort(made):
    return made.copy()


def learn(adata, summary, **options):
    options = {"n_comps": 2, "shrinkage": 0.2, "method": METHOD} | QUIET | options
    sg.tl.ggml(adata, "sample_id", "label", summary=summary, **options)
    return adata


def as_input(entry, key="mine", **changes):
    """What a user writes who knows nothing of scggml."""
    kept = {name: np.asarray(entry[name]) for name in ("sample", "weights", "means", "covariances")}
    return {key: kept | changes}


@pytest.mark.parametrize("summary", FITTED, ids=repr)
def test_mixtures_survive_files_and_give_the_distances_of_pot(cohort, tmp_path, summary):
    adata = learn(cohort, summary, squared=True)
    found = sg.tl.distances(adata, **QUIET)
    D, entry = found.obsp["ggml_distances"], adata.uns["ggml_mixture"]
    W, owner = adata.uns["ggml"]["components"], np.asarray(entry["sample"])
    parts = [
        (entry["weights"][own], entry["means"][own] @ W.T, W @ entry["covariances"][own] @ W.T)
        for own in (owner == name for name in found.obs_names)
    ]
    for (p, (a, m, S)), (q, (b, n, T)) in itertools.combinations(enumerate(parts), 2):
        assert D[p, q] == pytest.approx(float(ot.gmm.gmm_ot_loss(m, n, S, T, a, b)), rel=1e-5, abs=1e-6 * D.max())
    learned = found.uns["ggml_mixture"]
    np.testing.assert_allclose(learned["means"], np.concatenate([means for _, means, _ in parts]), atol=1e-9)
    np.testing.assert_allclose(learned["covariances"], np.concatenate([S for *_, S in parts]), atol=1e-9)
    folder = tmp_path / "samples"
    folder.mkdir()
    assert_round_trip(found, folder)
    for read in assert_round_trip(adata, tmp_path):
        assert read_metric(read, "ggml").reading.summary == summary
        np.testing.assert_array_equal(sg.tl.distances(read, **QUIET).obsp["ggml_distances"], D)


@pytest.mark.parametrize("summary", FITTED, ids=repr)
def test_mixtures_that_are_read_are_those_that_were_fitted(cohort, tmp_path, summary):
    adata = learn(cohort, summary)
    adata.uns |= as_input(adata.uns["ggml_mixture"])
    learn(adata, sg.tl.Mixture(key="mine"), key_added="read")
    assert "read_mixture" not in adata.uns
    names = sg.tl.distances(adata, **QUIET), sg.tl.distances(adata, key="read", **QUIET)
    D, E = names[0].obsp["ggml_distances"], names[1].obsp["read_distances"]
    np.testing.assert_allclose(E, D, rtol=1e-5, atol=1e-6 * D.max())
    for read in assert_round_trip(adata, tmp_path):
        np.testing.assert_array_equal(sg.tl.distances(read, key="read", **QUIET).obsp["read_distances"], E)
    learn(adata, sg.tl.Mixture(key="ggml_mixture"), key_added="same")
    np.testing.assert_allclose(adata.uns["same"]["components"], adata.uns["read"]["components"], atol=1e-6)


def test_the_planted_direction_is_that_of_the_mixtures_alone(cohort):
    """Mixtures that say nothing of the cells: the label is in the mean of one Gaussian of each sample, along y."""
    rng = np.random.default_rng(1)
    names = cohort.obs["sample_id"].unique()
    label = cohort.obs.groupby("sample_id", observed=True)["label"].first()
    high = np.array([label[name] == label.iloc[0] for name in names])
    means = np.stack([np.zeros((12, 4)), np.full((12, 4), 20.0)], axis=1) + 0.3 * rng.normal(size=(12, 2, 4))
    means[high, 0, 1] += 2.0
    roots = rng.normal(size=(24, 4, 4)) * 0.3
    adata = cohort
    adata.uns["mine"] = {
        "sample": np.repeat(names.astype(str), 2),
        "weights": np.full(24, 0.5),
        "means": means.reshape(24, 4),
        "covariances": roots @ roots.transpose(0, 2, 1),
    }
    learn(adata, sg.tl.Mixture(key="mine"), n_comps=1, shrinkage=0.0)
    axis = adata.uns["ggml"]["components"][0]
    assert abs(axis[1]) / np.linalg.norm(axis) > 0.9


def test_mixtures_that_changed_under_a_metric_are_refused(cohort):
    adata = learn(cohort, FITTED[0])
    adata.uns |= as_input(adata.uns["ggml_mixture"])
    learn(adata, sg.tl.Mixture(key="mine"), key_added="read")
    adata.uns["mine"]["means"] = adata.uns["mine"]["means"] + np.arange(4)
    for call in (sg.tl.distances, sg.tl.rank_genes, sg.tl.component_test):
        with pytest.raises(
            ValueError, match=r"adata.uns\['mine'\] has other mixtures than when the metric was learned"
        ):
            call(adata, key="read", **QUIET)
    learn(adata, sg.tl.Mixture(key="mine"), key_added="read")
    sg.tl.distances(adata, key="read", **QUIET)


def test_the_mixtures_of_a_metric_go_with_it(cohort):
    adata = learn(cohort, FITTED[0])
    before = adata.uns["ggml_mixture"]["fingerprint"]
    assert before == adata.uns["ggml"]["fingerprint"]
    learn(adata, FITTED[0], shrinkage=0.5)
    assert adata.uns["ggml_mixture"]["fingerprint"] == adata.uns["ggml"]["fingerprint"] != before
    learn(adata, None)
    assert "ggml_mixture" not in adata.uns
    adata.uns["ggml_mixture"] = {"mine": 1}  # of the user: learning without mixtures leaves it alone
    learn(adata, None)
    assert adata.uns["ggml_mixture"] == {"mine": 1}
    with pytest.raises(ValueError, match=r"adata.uns\['ggml_mixture'\] holds something that is not a result of"):
        learn(adata, FITTED[0])
    with pytest.raises(ValueError, match=r"reads adata.uns\['ggml_mixture'\], which belongs to the metric"):
        learn(adata, sg.tl.Mixture(key="ggml_mixture"))


def test_faults_of_mixtures_are_found_before_cells_are_read(cohort):
    broken = learn(cohort, FITTED[0])
    broken.X = broken.X.copy()
    broken.X[0, 0] = np.nan  # would be found as soon as cells are read
    entry = broken.uns["ggml_mixture"]
    broken.uns |= as_input(entry, weights=np.asarray(entry["weights"]) / 2)
    broken.uns |= as_input(entry, "narrow", means=entry["means"][:, :2], covariances=entry["covariances"][:, :2, :2])
    options = {"preprocess": None} | QUIET
    for key, text in (("mine", r"'weights'\] sums to 0.5"), ("narrow", r"'means'\] has 2 features, but 4 are read")):
        summary = sg.tl.Mixture(key=key)
        with pytest.raises(ValueError, match=text):
            learn(broken, summary, key_added="other")
        with pytest.raises(ValueError, match=text):
            sg.tl.distances(broken, metric="euclidean", sample_key="sample_id", summary=summary, **QUIET)
        with pytest.raises(ValueError, match=text):
            sg.tl.cross_validate(broken, "sample_id", "label", summary=summary, **options)


def test_mixtures_that_are_read_do_not_go_with_features_of_folds(cohort):
    adata = learn(cohort, FITTED[0])
    text = r"^summary=Mixture\(.*preprocess would fit others in each fold. Pass preprocess=None, or Mixture\(n\)"
    with pytest.raises(ValueError, match=text):
        sg.tl.cross_validate(adata, "sample_id", "label", summary=sg.tl.Mixture(key="ggml_mixture"), **QUIET)


@pytest.mark.parametrize("summary", [*FITTED, sg.tl.Mixture(key="mine")], ids=repr)
def test_mixtures_are_evaluated_with_all_methods_of_default(cohort, summary):
    learn(cohort, FITTED[0], key_added="first")
    cohort.uns |= as_input(cohort.uns["first_mixture"])
    options = {"preprocess": None, "n_splits": 2, "summary": summary} | QUIET
    learner = sg.tl.Learner(method=METHOD, n_comps=1, shrinkage=0.2)
    methods = {"mine": learner, "euclidean": "euclidean", "pseudobulk": "pseudobulk"}
    sg.tl.cross_validate(cohort, "sample_id", "label", n_repeats=1, methods=methods, **options)
    found = sg.get.cross_validation(cohort).summary["balanced_accuracy"]
    assert set(found.index) == set(methods)
    if not summary.shared:  # three shared Gaussians are the modes, of which classes have the same shares
        assert found["mine"] > 0.7
    sg.tl.permutation_test(cohort, "sample_id", "label", method=learner, n_permutations=5, **options)
    assert cohort.uns["permutation_test"]["null"].shape == (5,)


def test_shared_gaussians_tell_classes_apart_by_their_shares():
    adata, summary = compose(0), FITTED[2]
    methods = {"mine": sg.tl.Learner(method=METHOD, n_comps=1, shrinkage=0.2), "euclidean": "euclidean"}
    options = {"preprocess": None, "n_splits": 2, "n_repeats": 1, "methods": methods, "summary": summary} | QUIET
    sg.tl.cross_validate(adata, "sample_id", "label", **options)
    assert sg.get.cross_validation(adata).summary["balanced_accuracy"]["mine"] > 0.7


def test_features_of_folds_have_mixtures_of_their_own(cohort):
    options = {"n_splits": 2, "n_repeats": 1, "summary": FITTED[0], "methods": ["canonical", "euclidean"]} | QUIET
    sg.tl.cross_validate(cohort, "sample_id", "label", preprocess=sg.tl.Preprocess(normalize=False), **options)
    assert sg.get.cross_validation(cohort).summary["balanced_accuracy"]["canonical"] > 0.5


def test_in_a_fold_shared_gaussians_are_those_of_the_training_samples(cohort):
    """Cells of held-out samples move no training sample: where they lie decides nothing about the others."""
    found = []
    for shift in (0.0, 50.0):
        adata = cohort.copy()
        adata.X[(adata.obs["sample_id"] == adata.obs["sample_id"].iloc[0]).to_numpy()] += shift
        reading = Reading(sample_key="sample_id", label_key="label", summary=FITTED[2])
        subject = Subject(reading, read_features(adata), None, None, sg.tl.Learner(), None)
        evaluation = read_evaluation(subject, read_design(adata, subject))
        assert evaluation.fitted_in_folds
        n = len(evaluation.names)
        training = np.arange(1, n)
        cohorts = (evaluation.samples(fold).cohort for fold in (Fold(0, 0, training, np.array([0])), None))
        found.append([each.take(training) for each in cohorts])
    np.testing.assert_array_equal(found[0][0].points, found[1][0].points)
    apart = [np.average(each.points, axis=0, weights=each.weights) for each in (found[0][1], found[1][1])]
    assert np.abs(apart[0] - apart[1]).max() > 0.1


def of_means(rng=0):
    return sg.datasets.synthetic(n_noise=3, noise_scale=1.0, n_samples=4, n_cells=20, rng=rng)


@pytest.mark.parametrize(("made_of", "summary"), [(of_means, FITTED[0]), (compose, FITTED[2])])
def test_what_follows_from_a_metric_of_mixtures(made_of, summary):
    adata = learn(made_of(0), summary)
    sg.tl.rank_genes(adata, **QUIET)
    assert len(sg.get.rank_genes_df(adata))
    if made_of is of_means:
        assert sg.get.rank_genes_df(adata).iloc[0]["gene"] == "signal"
    sg.tl.component_test(adata, n_perm=5, **QUIET)
    sg.tl.influence(adata, **QUIET)
    sg.tl.gene_stability(adata, 2, n_perm=0, n_jobs=1, **QUIET)
    sg.tl.cross_fit(adata, n_splits=4, **QUIET)
    held_out = sg.tl.distances(adata, held_out=True, **QUIET).obsp["ggml_held_out_distances"]
    assert np.isfinite(held_out).all()
    assert held_out.max() > 0
    samples = sg.tl.predict(made_of(1), adata, n_splits=2, n_repeats=1, n_jobs=1, **QUIET)
    assert (samples.obs["prediction"].astype(str) == samples.obs["label"].astype(str)).mean() > 0.7
    with pytest.raises(ValueError, match=r"tl.attribute shares .* summary=Mixture\("):
        sg.tl.attribute(adata, **QUIET)
    one, other = adata.obs["sample_id"].unique()[:2]
    assert sg.tl.plan(adata, one, other).X.sum() == pytest.approx(1)
    space = {"shrinkage": [0.2, 0.6]}
    sg.tl.tune(adata, space=space, preprocess=None, n_splits=2, n_inner_splits=2, n_jobs=1, **QUIET)
    assert "shrinkage" in str(adata.uns["tuning"]["best"])
    sg.tl.attribute(adata, summary=None, **QUIET)
    assert np.isfinite(adata.uns["ggml_attribution"]["between"])


def test_new_samples_bring_mixtures_of_their_own(cohort):
    adata = learn(cohort, FITTED[0])
    adata.uns |= as_input(adata.uns["ggml_mixture"])
    learn(adata, sg.tl.Mixture(key="mine"), key_added="read")
    new = sg.datasets.synthetic(n_noise=3, noise_scale=1.0, n_samples=2, n_cells=20, n_classes=2, rng=1)
    with pytest.raises(KeyError, match=r"Mixture: key='mine' is not in adata.uns"):
        sg.tl.predict(new, adata, key="read", **QUIET)
    learn(new, FITTED[0])
    new.uns |= as_input(new.uns["ggml_mixture"])
    samples = sg.tl.predict(new, adata, key="read", n_splits=2, n_repeats=1, n_jobs=1, **QUIET)
    assert (samples.obs["prediction"].astype(str) == samples.obs["label"].astype(str)).mean() > 0.7


def test_weights_batches_and_covariates_go_with_mixtures(cohort):
    rng = np.random.default_rng(2)
    cohort.obs["weight"] = rng.uniform(0.5, 2.0, cohort.n_obs)
    names = cohort.obs["sample_id"].astype(str)
    cohort.obs["age"] = names.map({name: float(i % 5) for i, name in enumerate(names.unique())})
    adata = learn(cohort, FITTED[0], weights_key="weight", covariate_keys=["age"])
    entry = adata.uns["ggml_mixture"]
    first = entry["sample"][0]
    own = (names == first).to_numpy()
    mean = np.average(cohort.X[own], axis=0, weights=cohort.obs["weight"][own])
    rows = entry["sample"] == first
    np.testing.assert_allclose(entry["weights"][rows] @ entry["means"][rows], mean, atol=1e-5)
    assert np.isfinite(sg.tl.distances(adata, **QUIET).obsp["ggml_distances"]).all()
