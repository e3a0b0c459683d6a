"""Every summary with every solver and method: it works, or is refused in one sentence before cells are read."""

import itertools
import re
from pathlib import Path
from typing import get_args

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
from scggml._core.transport.plans import GROUND_COSTS
from scggml._core.transport.solvers import SolverName
from scggml._core.transport.summaries import COMBINATIONS, SUMMARIES, SUMMARY_TRAITS, WHOLE

QUIET = {"progress": False}
OBJECTS = {
    WHOLE: None,
    "coreset": sg.tl.Coreset(8),
    "groups": sg.tl.Groups("mode", shared=False),
    "gaussian": sg.tl.Gaussian(),
    "mixture": sg.tl.Mixture(2),
}
METHODS = {
    "canonical": sg.tl.Canonical(ridge=0.05, ridge_scale="mean"),
    "triplets": sg.tl.Triplets(max_iter=5),
    "paper": sg.tl.Triplets.paper(),
}
ROW = r"\| (?:`None`|\{class\}`~scggml\.tl\.(\w+)`) \| ([^|]+) \| ([^|]+) \| (yes|no) \| ([^|]+) \|$"
UNFINISHED = pytest.mark.filterwarnings("ignore:Learning reached max_iter")


@pytest.fixture(scope="module")
def cohort():
    return sg.datasets.synthetic(n_noise=3, noise_scale=1.0, n_samples=4, n_cells=10)


@pytest.fixture
def composed():
    return compose(0)


def learn(adata, summary, method="canonical", **options):
    options = {"n_comps": 2, "shrinkage": 0.2} | QUIET | options
    sg.tl.ggml(adata, "sample_id", "label", method=METHODS[method], summary=summary, **options)
    return adata


def test_the_table_is_that_of_the_classes():
    assert set(OBJECTS) == set(SUMMARY_TRAITS) == {WHOLE, *SUMMARIES}
    assert {name for name, _, _ in COMBINATIONS} == set(OBJECTS)
    assert {method for *_, method in COMBINATIONS} == set(METHODS)


def test_the_documentation_has_the_table():
    text = (Path(__file__).parents[2] / "docs" / "method.md").read_text(encoding="utf-8")
    rows = {}
    for line in text.splitlines():
        if found := re.match(ROW, line):
            rows[WHOLE if found[1] is None else found[1].lower()] = found.groups()[1:]
    assert set(rows) == set(SUMMARY_TRAITS)
    for name, (sample, atoms, passes, solvers) in rows.items():
        traits = SUMMARY_TRAITS[name]
        assert sample == traits.sample
        assert atoms == {"points": "points", "gaussian": "one Gaussian", "gaussians": "Gaussians"}[traits.atoms]
        assert (passes == "yes") == traits.approximates
        if solvers == "all":
            assert traits.solvers == get_args(SolverName)
        else:
            assert tuple(re.findall(r'solver="(\w+)"', solvers)) == traits.solvers


@UNFINISHED
@pytest.mark.parametrize(("name", "solver", "method"), COMBINATIONS)
def test_a_combination_works_or_is_refused_in_a_sentence(cohort, name, solver, method):
    if solver != "exact":
        pytest.importorskip("torch")
    adata, options = cohort.copy(), {"solver": solver, "method": method}
    if not COMBINATIONS[name, solver, method]:
        text = rf"^summary={type(OBJECTS[name]).__name__}\(.*not with .*Pass one of these, or summary=None"
        broken = adata[:, :0].copy()  # no cells are read: these would be found to have no features
        with pytest.raises(ValueError, match=text):
            learn(broken, OBJECTS[name], **options)
        arguments = {"metric": "euclidean", "sample_key": "sample_id", "solver": solver}
        with pytest.raises(ValueError, match=text):
            sg.tl.distances(broken, summary=OBJECTS[name], **arguments, **QUIET)
        assert "ggml" not in adata.uns
        return
    learn(adata, OBJECTS[name], **options)
    assert read_metric(adata, "ggml").reading.summary == OBJECTS[name]
    history = adata.uns["ggml"]["history"]
    assert all(np.isfinite(history[key]).all() for key in history)
    W = adata.uns["ggml"]["components"]
    assert np.isfinite(W).all()
    assert np.linalg.norm(W) > 0
    D = sg.tl.distances(adata, **QUIET).obsp["ggml_distances"]
    np.testing.assert_array_equal(D, D.T)
    assert (D >= 0).all()
    assert np.isfinite(D).all()
    assert D.max() > 0
    if method != "paper":  # its few epochs begin anywhere
        assert sg.get.metric(adata).gene_importance.idxmax() == "signal"


def test_the_rank_is_that_of_the_points_that_stand_for_the_cells(composed):
    n = composed.n_obs
    said = rf"between 1 and \d, the rank of adata\.X \(\d+ points that stand for {n} cells, 4 of 4 features vary\)"
    with pytest.raises(ValueError, match=said):
        learn(composed, sg.tl.Groups("type"), n_comps=4)


@pytest.mark.parametrize("summary", [sg.tl.Groups("type"), sg.tl.Groups("type", shared=False)], ids=repr)
def test_groups_survive_files_and_give_the_same_distances(composed, tmp_path, summary):
    adata = learn(composed, summary)
    truth = sg.tl.distances(adata, **QUIET).obsp["ggml_distances"]
    for read in assert_round_trip(adata, tmp_path):
        assert read_metric(read, "ggml").reading.summary == summary
        np.testing.assert_array_equal(sg.tl.distances(read, **QUIET).obsp["ggml_distances"], truth)


def test_shared_groups_tell_classes_apart_by_composition(composed):
    options = {"sample_key": "sample_id", "label_key": "label", "preprocess": None} | QUIET
    learner = sg.tl.Learner(method=METHODS["canonical"], n_comps=1, shrinkage=0.2)
    chosen = {"mine": learner, "euclidean": "euclidean"}
    sg.tl.cross_validate(composed, methods=chosen, n_splits=2, n_repeats=1, summary=sg.tl.Groups("type"), **options)
    assert sg.get.cross_validation(composed).summary["balanced_accuracy"]["mine"] > 0.7


def test_in_a_fold_centroids_are_those_of_the_training_samples(composed):
    """Cells of held-out samples move no training sample: where they lie decides nothing about the others."""
    found = []
    for shift in (0.0, 50.0):
        adata = composed.copy()
        adata.X[(adata.obs["sample_id"] == adata.obs["sample_id"].iloc[0]).to_numpy()] += shift
        reading = Reading(sample_key="sample_id", label_key="label", summary=sg.tl.Groups("type"))
        subject = Subject(reading, read_features(adata), None, None, sg.tl.Learner(), None)
        evaluation = read_evaluation(subject, read_design(adata, subject))
        n = len(evaluation.names)
        fold = Fold(0, 0, np.arange(1, n), np.array([0]))
        found.append((evaluation.samples(fold).cohort, evaluation.samples(None).cohort))
    np.testing.assert_array_equal(found[0][0].points, found[1][0].points)
    assert np.abs(found[0][1].points - found[1][1].points).max() > 1


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda obs: obs.drop(columns="type"), KeyError, r"Groups: key"),
        (
            lambda obs: obs.assign(type=[None, *obs["type"][1:]]),
            ValueError,
            r"'type'\] \(Groups: key\) is missing for 1",
        ),
    ],
)
def test_a_cell_without_group_is_refused_before_cells_are_read(composed, change, error, text):
    composed.obs = change(composed.obs)
    broken = composed.copy()
    broken.X[0, 0] = np.nan  # would be found as soon as cells are read
    with pytest.raises(error, match=text):
        learn(broken, sg.tl.Groups("type"))
    with pytest.raises(error, match=text):
        sg.tl.cross_validate(broken, "sample_id", "label", summary=sg.tl.Groups("type"), preprocess=None, **QUIET)


GAUSSIAN = {"summary": sg.tl.Gaussian()} | QUIET


def test_a_gaussian_survives_files_and_gives_the_distances_of_pot(cohort, tmp_path):
    adata = learn(cohort.copy(), sg.tl.Gaussian())
    found = sg.tl.distances(adata, **QUIET)
    D, samples = found.obsp["ggml_distances"], adata.obs["sample_id"].unique()
    cells = [adata.obsm["X_ggml"][(adata.obs["sample_id"] == name).to_numpy()] for name in samples]
    moments = [(Z.mean(axis=0), np.cov(Z.T, bias=True)) for Z in cells]
    for (p, one), (q, other) in itertools.combinations(enumerate(moments), 2):
        truth = ot.gaussian.bures_wasserstein_distance(one[0], other[0], one[1], other[1])
        assert D[p, q] == pytest.approx(float(truth), rel=1e-6)
    for place, (mean, covariance) in enumerate(moments):
        np.testing.assert_allclose(found.obsm["ggml_means"][place], mean, atol=1e-9)
        np.testing.assert_allclose(found.obsm["ggml_covariances"][place], covariance, atol=1e-9)
    folder = tmp_path / "samples"
    folder.mkdir()
    assert_round_trip(found, folder)
    for read in assert_round_trip(adata, tmp_path):
        assert read_metric(read, "ggml").reading.summary == sg.tl.Gaussian()
        np.testing.assert_array_equal(sg.tl.distances(read, **QUIET).obsp["ggml_distances"], D)


def test_squared_distances_of_gaussians_are_squares(cohort):
    adata = learn(cohort.copy(), sg.tl.Gaussian(), squared=True)
    sample = {"sample_key": "sample_id"}
    D = sg.tl.distances(adata, **QUIET).obsp["ggml_distances"]
    key = adata.obsm["X_ggml"]
    adata.obsm["X_own"] = key
    plain = sg.tl.distances(adata, metric="euclidean", use_rep="X_own", **GAUSSIAN, **sample)
    np.testing.assert_allclose(D, plain.obsp["euclidean_distances"] ** 2, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cost", [cost for cost in GROUND_COSTS if cost not in ("euclidean", "sqeuclidean")])
def test_a_ground_cost_without_closed_form_is_refused_before_cells_are_read(cohort, cost):
    text = rf"^summary=Gaussian\(\) has a closed form under 'euclidean' and 'sqeuclidean' alone, not under '{cost}'"
    broken = cohort.copy()
    broken.X[0, 0] = np.nan
    with pytest.raises(ValueError, match=text):
        sg.tl.distances(broken, metric=cost, sample_key="sample_id", **GAUSSIAN)
    for methods in ([cost], {"mine": sg.tl.Blend(["canonical", cost])}):
        with pytest.raises(ValueError, match=text):
            sg.tl.cross_validate(broken, "sample_id", "label", methods=methods, preprocess=None, **GAUSSIAN)


@pytest.mark.parametrize("summary", [sg.tl.Gaussian(), sg.tl.Mixture(2)], ids=repr)
def test_no_function_and_no_other_metric_has_a_closed_form_whatever_its_name(cohort, summary):
    def euclidean(x, y):
        return np.abs(x[:, None] - y).sum(axis=2)

    for metric, called in ((euclidean, "euclidean"), ("correlation", "'correlation'"), ("canberra", "'canberra'")):
        with pytest.raises(ValueError, match=rf"has a closed form under .* alone, not under {called}\. Pass"):
            sg.tl.distances(cohort, metric=metric, sample_key="sample_id", summary=summary, **QUIET)
    chosen = {"mine": sg.tl.Blend([euclidean])}
    with pytest.raises(ValueError, match=r"alone, not under euclidean\. Pass"):
        sg.tl.cross_validate(
            cohort, "sample_id", "label", methods=chosen, n_splits=2, preprocess=None, summary=summary, **QUIET
        )


def test_a_learner_with_a_solver_is_refused_before_cells_are_read(cohort):
    pytest.importorskip("torch")
    broken = cohort.copy()
    broken.X[0, 0] = np.nan
    learner, text = sg.tl.Learner(solver="sinkhorn"), r"summary=Gaussian\(\) goes with solver= .*not with Sinkhorn"
    options = ({"methods": {"mine": learner}}, {"method": learner})
    for call, given in zip((sg.tl.cross_validate, sg.tl.permutation_test), options, strict=True):
        with pytest.raises(ValueError, match=text):
            call(broken, "sample_id", "label", preprocess=None, **given, **GAUSSIAN)


def test_what_follows_from_a_metric_of_gaussians(cohort):
    adata = learn(cohort.copy(), sg.tl.Gaussian())
    sg.tl.rank_genes(adata, **QUIET)
    assert sg.get.rank_genes_df(adata).iloc[0]["gene"] == "signal"
    sg.tl.component_test(adata, n_perm=5, **QUIET)
    sg.tl.influence(adata, **QUIET)
    sg.tl.cross_fit(adata, n_splits=4, **QUIET)
    held_out = sg.tl.distances(adata, held_out=True, **QUIET).obsp["ggml_held_out_distances"]
    assert np.isfinite(held_out).all()
    assert held_out.max() > 0
    new = sg.datasets.synthetic(n_noise=3, noise_scale=1.0, n_samples=2, n_cells=10, rng=1)
    samples = sg.tl.predict(new, adata, n_splits=2, n_repeats=1, n_jobs=1, **QUIET)
    assert (samples.obs["prediction"].astype(str) == samples.obs["label"].astype(str)).mean() > 0.7
    with pytest.raises(ValueError, match=r"tl.attribute shares .* summary=Gaussian\(\)"):
        sg.tl.attribute(adata, **QUIET)


def test_gaussians_are_evaluated_with_all_methods_of_default(cohort):
    adata, options = cohort.copy(), {"preprocess": None, "n_splits": 2} | GAUSSIAN
    sg.tl.cross_validate(adata, "sample_id", "label", n_repeats=1, **options)
    found = sg.get.cross_validation(adata).summary["balanced_accuracy"]
    assert list(found.index) == ["canonical", "ensemble", "euclidean", "pseudobulk", "majority"]
    assert found["canonical"] > 0.6
    method = sg.tl.Learner(method=METHODS["canonical"], n_comps=1, shrinkage=0.2)
    sg.tl.permutation_test(adata, "sample_id", "label", method=method, n_permutations=5, **options)
    assert adata.uns["permutation_test"]["null"].shape == (5,)


def test_equal_shares_of_shared_groups_leave_nothing_to_learn(cohort):
    """Each sample of the cohort has the same number of cells in each mode."""
    with pytest.raises(ValueError, match=r"no difference to learn from. \(Samples on shared .*shared=False\)"):
        learn(cohort.copy(), sg.tl.Groups("mode"))


def test_contributions_of_cells_are_refused_where_no_cell_has_a_share(composed):
    adata = learn(composed, sg.tl.Groups("type"))
    with pytest.raises(ValueError, match=r"tl.attribute shares .* summary=Groups\(key='type'.*Pass summary=None"):
        sg.tl.attribute(adata, **QUIET)
    sg.tl.attribute(adata, summary=None, **QUIET)
    assert np.isfinite(adata.uns["ggml_attribution"]["between"])


def test_what_follows_from_a_metric_of_groups(composed):
    adata = learn(composed, sg.tl.Groups("type"))
    sg.tl.rank_genes(adata, **QUIET)
    sg.tl.component_test(adata, n_perm=5, **QUIET)
    sg.tl.cross_fit(adata, n_splits=4, **QUIET)
    held_out = sg.tl.distances(adata, held_out=True, **QUIET).obsp["ggml_held_out_distances"]
    assert np.isfinite(held_out).all()
    assert held_out.max() > 0
    samples = sg.tl.predict(compose(1), adata, n_splits=2, n_repeats=1, n_jobs=1, **QUIET)
    assert (samples.obs["prediction"].astype(str) == samples.obs["label"].astype(str)).mean() > 0.7
