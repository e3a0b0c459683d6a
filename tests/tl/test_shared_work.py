"""What no label enters is done once for all refits of the same cells."""

import numpy as np
import pytest
from _nulls import null_cohort

import scggml as sg
from scggml._anndata import evaluation
from scggml._core.learn import choice, shared
from scggml._core.transport.warm import Warm

QUIET = {"progress": False, "n_jobs": 1}
SOLVED = {"shared": shared, "choice": choice}


@pytest.fixture
def counted(monkeypatch):
    """How often Euclidean plans of a cohort were solved, by the module that asked for them; and all pairs of plans."""
    counts = dict.fromkeys((*SOLVED, "pairs"), 0)

    def counting(name, function):
        def count(*args, **kwargs):
            counts[name] += 1
            return function(*args, **kwargs)

        return count

    for name, module in SOLVED.items():
        monkeypatch.setattr(module, "euclidean_start", counting(name, module.euclidean_start))
    solve = Warm.solve

    def counting_pairs(self, points, pairs, cost):
        counts["pairs"] += len(pairs)
        return solve(self, points, pairs, cost)

    monkeypatch.setattr(Warm, "solve", counting_pairs)
    return counts


@pytest.fixture
def learned():
    """16 donors of 8 cells in two classes, with the default metric on four features."""
    adata = null_cohort(0, n_donors=16, n_cells=8)
    adata.X[:, 0] += np.where(adata.obs["label"] == "c1", 2.0, 0.0)
    sg.tl.ggml(adata, "sample", "label", progress=False)
    return adata


JOBS = {
    "permuted labels": lambda adata, n: sg.tl.gene_stability(adata, 0, n_perm=n, **QUIET),
    "bootstraps": lambda adata, n: sg.tl.gene_stability(adata, n, n_perm=0, **QUIET),
    "both": lambda adata, n: sg.tl.gene_stability(adata, n, n_perm=n, **QUIET),
    "evaluations": lambda adata, n: sg.tl.permutation_test(adata, n_permutations=n, n_splits=2, **QUIET),
    "folds": lambda adata, n: sg.tl.cross_validate(adata, n_splits=2, n_repeats=n, **QUIET),
}


@pytest.mark.filterwarnings("ignore:No false discovery rate")
@pytest.mark.filterwarnings("ignore:No component of the metric")
@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("method", ["canonical", sg.tl.Triplets(max_iter=2, tol=0.0)])
def test_euclidean_plans_are_solved_once_however_many_refits_there_are(learned, counted, job, method):
    sg.tl.ggml(learned, "sample", "label", method=method, progress=False)
    sg.tl.component_test(learned, **QUIET)  # which has plans of its own
    for n in (2, 5):
        counted.update(dict.fromkeys(counted, 0))
        JOBS[job](learned, n)
        assert (counted["shared"], counted["choice"]) == (1, 0)


def test_shared_folds_predict_what_folds_on_their_own_do(learned, monkeypatch):
    method = sg.tl.Canonical(ridge=0.05, ridge_scale="mean")
    sg.tl.ggml(learned, "sample", "label", method=method, shrinkage=0.4, progress=False)
    options = QUIET | {"n_splits": 3, "n_repeats": 2}
    sg.tl.cross_validate(learned, key_added="shared", **options)
    monkeypatch.setattr("scggml.tl._cross_validate._shared", lambda evaluation, *_: evaluation.samples(None))
    sg.tl.cross_validate(learned, key_added="alone", **options)
    one, two = learned.uns["shared"], learned.uns["alone"]
    np.testing.assert_allclose(one["distances"], two["distances"], rtol=1e-6)
    np.testing.assert_allclose(one["probabilities"], two["probabilities"], rtol=1e-6)


def test_the_order_of_learners_changes_no_method(learned):
    """Work is shared by the first learner; another one with other limits does its own."""
    one, two = sg.tl.Learner(n_comps=1), sg.tl.Learner(n_comps=2, solver=sg.tl.Exact(backend="pot"))
    options = QUIET | {"n_splits": 3, "n_repeats": 1, "preprocess": None}
    found = []
    for methods in ({"one": one, "two": two, "euclidean": "euclidean"}, {"euclidean": "euclidean", "two": two}):
        sg.tl.cross_validate(learned, "sample", "label", methods=methods, **options)
        found.append(sg.get.cross_validation(learned).distances)
    for name in ("two", "euclidean"):
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-6)


def test_samples_are_summarized_once_for_all_folds(learned, monkeypatch):
    found, summarize = [], evaluation.summarize
    monkeypatch.setattr(evaluation, "summarize", lambda *args, **how: found.append(1) or summarize(*args, **how))
    options = QUIET | {"n_splits": 2, "n_repeats": 3}
    sg.tl.cross_validate(learned, "sample", "label", preprocess=None, summary=sg.tl.Coreset(5), **options)
    assert len(found) == 1


@pytest.mark.parametrize("n_repeats", [1, 3])
def test_folds_of_a_prediction_share_the_plans_of_the_reference(learned, counted, n_repeats):
    new = null_cohort(1, n_donors=4, n_cells=8)
    sg.tl.predict(new, learned, n_repeats=n_repeats, **QUIET)
    assert (counted["shared"], counted["choice"]) == (1, 0)


def test_large_samples_are_decided_on_by_fewer_points_that_are_solved_once_more(counted):
    adata = null_cohort(0, n_donors=8, n_cells=2 * choice.MOST_CELLS)
    sg.tl.ggml(adata, "sample", "label", progress=False)
    counted.update(dict.fromkeys(counted, 0))
    sg.tl.permutation_test(adata, n_permutations=3, n_splits=2, summary=None, **QUIET)
    assert (counted["shared"], counted["choice"]) == (2, 0)


@pytest.mark.filterwarnings("ignore:No component of the metric")
def test_a_refit_solves_the_alternations_after_the_first_alone(learned, counted):
    """Of three alternations: a single fit solves all, a refit two, with the pairs of its training samples."""
    method = sg.tl.Canonical(ridge=0.05, ridge_scale="mean")
    counted.update(dict.fromkeys(counted, 0))
    sg.tl.ggml(learned, "sample", "label", method=method, shrinkage=0.4, progress=False)
    assert counted["pairs"] == 3 * 120
    counted.update(dict.fromkeys(counted, 0))
    sg.tl.rank_genes(learned, **QUIET)
    assert counted["pairs"] == 120
    sg.tl.component_test(learned, **QUIET)
    counted.update(dict.fromkeys(counted, 0))
    with pytest.warns(UserWarning, match="No false discovery rate"):
        sg.tl.gene_stability(learned, 0, n_perm=4, **QUIET)
    # once for all, and for the true and four permuted labelings two alternations and the plans of what genes add
    assert counted["pairs"] <= 120 + 5 * 3 * 120
    assert counted["pairs"] >= 120 + 5 * 2 * 120


@pytest.mark.filterwarnings("ignore:No component of the metric")
def test_effects_of_covariates_follow_the_labels_so_nothing_is_shared(learned, counted):
    learned.obs["age"] = learned.obs["donor"].astype(str).str[1:].astype(float) % 5
    sg.tl.ggml(learned, "sample", "label", covariate_keys=["age"], progress=False)
    sg.tl.component_test(learned, **QUIET)
    counted.update(dict.fromkeys(counted, 0))
    with pytest.warns(UserWarning, match="No false discovery rate"):
        sg.tl.gene_stability(learned, 0, n_perm=2, **QUIET)
    assert counted["shared"] == 0
    assert counted["choice"] == 3
