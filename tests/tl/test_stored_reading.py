"""A metric that was learned with everything: what follows uses all of it that it can use, and nothing else."""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from _metrics import mark
from _nulls import null_cohort
from anndata import AnnData

import scggml as sg
from scggml._anndata.metric import StoredMetric, read_metric
from scggml._anndata.reading import Reading
from scggml._core.learn.learner import Learner

QUIET = {"progress": False, "n_jobs": 1}
LEVELS = ["mild", "moderate", "severe"]
SOLVER = sg.tl.Exact(max_iter=77_777, backend="pot")
SMALL = "s23"
"""A sample with fewer cells than were asked for."""


def make(seed: int) -> AnnData:
    """Two samples of each of 12 donors, of 5 to 9 cells but for one of 3; grade, age and site move features."""
    adata = null_cohort(seed, n_donors=12, per_donor=2, n_cells=9)
    rng = np.random.default_rng(100 + seed)
    donor = adata.obs["donor"].astype(str).str[1:].astype(int).to_numpy()
    sample = adata.obs["sample"].astype(str).str[1:].astype(int).to_numpy()
    grade = donor % 3
    adata.obs["grade"] = pd.Categorical.from_codes(grade, LEVELS)
    adata.obs["sex"] = pd.Categorical(np.where(donor % 2, "f", "m"))
    adata.obs["age"] = rng.uniform(20, 80, 24)[sample]
    adata.obs["months"] = rng.uniform(0, 24, 24)[sample]
    adata.obs["site"] = pd.Categorical(np.where(donor < 6, "a", "b"))
    adata.obs["weight"] = rng.uniform(0.2, 1.0, adata.n_obs)
    adata.X[:, 0] += 1.5 * grade + 0.05 * adata.obs["age"]
    adata.X[:, 1] += 2.0 * (donor < 6)
    rank = np.arange(adata.n_obs) % 9
    kept = rank < np.where(adata.obs["sample"] == SMALL, 3, 5 + sample % 5)
    return adata[kept].copy()


@pytest.fixture(scope="module")
def learned() -> AnnData:
    adata = make(0)
    with pytest.warns(UserWarning, match=f"min_cells=4 leaves out 1 of 24 samples .*{SMALL}"):
        sg.tl.ggml(
            adata,
            "sample",
            "grade",
            method=sg.tl.Canonical(ridge=0.1, ridge_scale="feature"),
            n_comps=3,
            squared=True,
            shrinkage=0.3,
            solver=SOLVER,
            summary=sg.tl.Coreset(4),
            n_cells=6,
            min_cells=4,
            weights_key="weight",
            label_kind=LEVELS,
            groups_key="donor",
            batch_key="site",
            covariate_keys=["age"],
            rng=3,
            progress=False,
        )
    return adata


@pytest.fixture(scope="module")
def new() -> AnnData:
    """Other donors."""
    adata = make(1)
    adata.obs_names = "new_" + adata.obs_names
    return adata


def stored(adata: AnnData) -> StoredMetric:
    return read_metric(adata, "ggml")


# What follows a metric, as numbers


def of_distances(adata: AnnData, new: AnnData) -> list:
    samples = sg.tl.distances(adata, **QUIET)
    return [samples.obsp["ggml_distances"], samples.X, samples.obs["n_cells"]]


def of_project(adata: AnnData, new: AnnData) -> list:
    new = sg.tl.project(new, adata, copy=True)
    return [new.obsm["X_ggml"]]


def of_predict(adata: AnnData, new: AnnData) -> list:
    samples = sg.tl.predict(new, adata, n_splits=2, n_repeats=1, **QUIET)
    found = samples.uns["prediction"]
    return [samples.obsm["prediction"], found["neighbor_distances"], samples.obs["novelty"], found["held_out_accuracy"]]


def of_attribute(adata: AnnData, new: AnnData) -> list:
    found = sg.tl.attribute(adata, copy=True, **QUIET)
    entry = found.uns["ggml_attribution"]
    return [found.obs["ggml_attribution"], found.obs["ggml_excess"], entry["between"], entry["within"]]


def refused_plan(adata: AnnData) -> float:
    with pytest.raises(ValueError, match=f"No sample '{SMALL}' with at least 4 cells"):
        sg.tl.plan(adata, "s3", SMALL)
    return np.nan


def of_plan(adata: AnnData, new: AnnData) -> list:
    plan = sg.tl.plan(adata, "s3", "s14")
    is_there = stored(adata).reading.min_cells <= 3
    small = sg.tl.plan(adata, "s3", SMALL).uns["plan"]["distance"] if is_there else refused_plan(adata)
    return [plan.X.toarray(), plan.layers["distance"].toarray(), small]


def of_gene_stability(adata: AnnData, new: AnnData) -> list:
    found = sg.tl.gene_stability(adata, 3, n_perm=9, copy=True, **QUIET).uns["ggml_stability"]
    return [found[name] for name in ("lower", "upper", "frequency", "excess", "p_value")]


def of_cross_validate(adata: AnnData, new: AnnData) -> list:
    options = {"methods": ["ggml"], "n_splits": 3, "n_repeats": 1} | QUIET
    found = sg.tl.cross_validate(adata, copy=True, **options).uns["cross_validation"]
    scores = found["scores"][found["scores"]["metric"] != "seconds"]
    return [found["distances"], found["probabilities"], scores["value"]]


def of_permutation_test(adata: AnnData, new: AnnData) -> list:
    found = sg.tl.permutation_test(adata, n_permutations=9, n_splits=3, copy=True, **QUIET).uns["permutation_test"]
    return [found["observed"], found["null"], found["p_value"]]


USES = {
    of_distances: {"weights", "min_cells", "n_cells", "seed", "summary", "squared", "covariates"},
    of_project: {"covariates"},
    of_attribute: {"weights", "min_cells", "n_cells", "seed", "summary", "squared", "covariates"}
    | {"order", "batch", "label"},
    of_plan: {"weights", "min_cells", "n_cells", "seed", "squared", "covariates"},
}
EVERYTHING = {"weights", "min_cells", "n_cells", "seed", "summary", "squared", "covariates", "order", "batch", "groups"}
EVERYTHING |= {"label", "components", "method", "shrinkage"}
SLOW = (of_predict, of_gene_stability, of_cross_validate, of_permutation_test)
USES |= dict.fromkeys(SLOW, EVERYTHING)

CHANGES: dict[str, Callable[[Reading, Learner], tuple[Reading, Learner]]] = {
    "weights": lambda reading, learner: (replace(reading, weights_key=None), learner),
    "min_cells": lambda reading, learner: (replace(reading, min_cells=1), learner),
    "n_cells": lambda reading, learner: (replace(reading, n_cells=5), learner),
    "seed": lambda reading, learner: (replace(reading, seed=4), learner),
    "summary": lambda reading, learner: (replace(reading, summary=sg.tl.Coreset(3)), learner),
    "squared": lambda reading, learner: (reading, replace(learner, squared=False)),
    "order": lambda reading, learner: (replace(reading, label_kind=(LEVELS[1], LEVELS[0], LEVELS[2])), learner),
    "batch": lambda reading, learner: (replace(reading, batch_key=None), learner),
    "groups": lambda reading, learner: (replace(reading, groups_key=None), learner),
    "covariates": lambda reading, learner: (replace(reading, covariate_keys=("months",)), learner),
    "label": lambda reading, learner: (replace(reading, label_key="sex", label_kind="classes"), learner),
    "components": lambda reading, learner: (reading, replace(learner, n_comps=1)),
    "method": lambda reading, learner: (
        reading,
        replace(learner, method=sg.tl.Canonical(ridge=9.0, ridge_scale="mean")),
    ),
    "shrinkage": lambda reading, learner: (reading, replace(learner, shrinkage=0.9)),
}


def changed(adata: AnnData, name: str) -> AnnData:
    """The same metric with one entry of what is stored beside it changed."""
    adata = adata.copy()
    entry, metric = dict(adata.uns["ggml"]), stored(adata)
    for slot, given in (("learner", metric.learner), ("settled", metric.settled)):
        reading, learner = CHANGES[name](metric.reading, given)
        assert (reading, learner) != (metric.reading, given)
        entry |= {slot: learner.to_params(), "reading": reading.to_params()}
    adata.uns["ggml"] = entry | {"fingerprint": mark(entry)}
    return adata


def name_of(function: Callable[[AnnData, AnnData], list]) -> str:
    return function.__name__.removeprefix("of_")


def same(found: list, truth: list) -> bool:
    return all(
        np.shape(one) == np.shape(other) and np.allclose(one, other, rtol=1e-9, equal_nan=True)
        for one, other in zip(found, truth, strict=True)
    )


def call(function: Callable[[AnnData, AnnData], list], adata: AnnData, new: AnnData) -> list:
    with warnings.catch_warnings():
        for said in (
            "min_cells=4 leaves out",
            "No false discovery rate",
            "No component of",
            ".* are unlike any sample of the reference",
            ".* samples have other labels",
        ):
            warnings.filterwarnings("ignore", message=said)
        return function(adata, new)


@pytest.mark.parametrize(
    "function", [pytest.param(f, marks=pytest.mark.slow) if f in SLOW else f for f in USES], ids=name_of
)
def test_what_follows_uses_all_that_was_stored_and_nothing_else(function, learned, new):
    truth = call(function, learned, new)
    assert same(call(function, learned, new), truth)
    uses = {name for name in CHANGES if not same(call(function, changed(learned, name), new), truth)}
    assert uses == USES[function]


@pytest.mark.parametrize("function", USES, ids=name_of)
def test_what_follows_uses_the_stored_solver(function, learned, new, monkeypatch):
    used = []
    for name in ("solve", "distances", "transport"):
        method = getattr(sg.tl.Exact, name)

        def noting(self, *args, method=method, **options):
            used.append(self)
            return method(self, *args, **options)

        monkeypatch.setattr(sg.tl.Exact, name, noting)
    call(function, learned, new)
    assert set(used) == (set() if function is of_project else {SOLVER})


def test_what_is_given_replaces_what_was_stored(learned):
    """A call with all of it given on a metric that stored nothing is the call without any on one that stored it all."""
    plain = learned.copy()
    entry = dict(plain.uns["ggml"])
    reading = Reading(
        sample_key="sample", label_key="grade", covariate_keys=["age"], batch_key="site", label_kind=LEVELS
    )
    entry["reading"] = reading.to_params()
    plain.uns["ggml"] = entry | {"fingerprint": mark(entry)}
    given = {"weights_key": "weight", "n_cells": 6, "min_cells": 4, "summary": sg.tl.Coreset(4), "rng": 3}
    calls = ((plain, given), (learned, {}))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="min_cells=4 leaves out 1 of 24")
        samples = [sg.tl.distances(adata, **options, **QUIET) for adata, options in calls]
        cells = [sg.tl.attribute(adata, copy=True, **options, **QUIET) for adata, options in calls]
    np.testing.assert_array_equal(*(each.obsp["ggml_distances"] for each in samples))
    np.testing.assert_array_equal(*(each.obs["ggml_attribution"] for each in cells))
