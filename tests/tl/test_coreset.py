"""Learning and distances on summaries of the samples, through the doors that users take."""

import importlib

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from _learning import SETTLED, take_steps
from _slots import assert_round_trip, assert_same, slots
from scipy import sparse

import scggml as sg
from scggml._anndata.disk import is_on_disk
from scggml._anndata.features import read_features
from scggml._anndata.metric import read_metric
from scggml._anndata.selection import select
from scggml._core.learn.objective import Objective
from scggml._core.samples import labelled
from scggml._core.transport.coreset import MANY, as_summary

QUIET = {"progress": False}


@pytest.fixture(scope="module")
def _many():
    return sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=60, noise_scale=1.0, rng=3)


@pytest.fixture
def many(_many):
    """Nine samples of 180 cells in three classes."""
    return _many.copy()


def learn(adata, **options):
    """Steps from canonical variates of which nothing is to be decided."""
    return take_steps(adata, **({"init": SETTLED["method"], "shrinkage": 0.4} | options))


def exact_loss(adata, key="ggml"):
    """Objective of a stored metric on all cells."""
    entry, stored = adata.uns[key], read_metric(adata, key)
    objective = Objective(entry["margin"], reg=entry["reg"], squared=stored.squared, n_jobs=1)
    selection = stored.reading.select(adata)
    cells = selection.read(read_features(adata), rng=np.random.default_rng(0))
    return objective.evaluate(labelled(cells, stored.reading.target(selection)), stored.components).value


def matrix(samples):
    (name,) = samples.obsp
    return samples.obsp[name]


# Which summary


def test_summary_and_refinement_are_stored(many):
    learn(many, summary=sg.tl.Coreset(20), refine=2)
    stored, entry = read_metric(many, "ggml"), many.uns["ggml"]
    assert stored.reading.summary == sg.tl.Coreset(20)
    assert stored.learner.recipe.refine == 2
    assert entry["refined"] == 3  # two steps, and the metric that they started from
    assert len(entry["history"]["loss"]) == 8 + 3
    learn(many)
    assert "summary" not in many.uns["ggml"]["reading"]
    assert many.uns["ggml"]["refined"] == 0


def test_small_samples_are_taken_whole_by_default_and_large_ones_are_not(many, monkeypatch):
    whole = many.copy()
    learn(many)
    learn(whole, summary=None)
    assert_same(slots(many), slots(whole))
    np.testing.assert_array_equal(
        matrix(sg.tl.distances(many, **QUIET)), matrix(sg.tl.distances(many, summary=None, **QUIET))
    )
    monkeypatch.setattr("scggml._core.transport.coreset.MANY", 180)
    learn(many)
    learn(whole, summary=sg.tl.Coreset(400))
    assert_same(slots(many), slots(whole))
    assert read_metric(many, "ggml").reading.summary == sg.tl.Coreset(400)
    assert MANY == 1000


@pytest.mark.parametrize(
    ("n_samples", "n_cells", "points"),
    [(16, 999, None), (20, 1000, 400), (21, 1000, 200), (200, 5000, 200), (201, 1000, 100)],
)
def test_the_more_samples_there_are_the_fewer_points_stand_for_one(n_samples, n_cells, points):
    wanted = None if points is None else sg.tl.Coreset(points)
    assert as_summary("auto", np.full(n_samples, n_cells), 10) == wanted


def test_many_cells_with_many_features_are_summarized_by_few_points(monkeypatch):
    """The same where genes are sparse: one sample at a time is made dense."""
    rng = np.random.default_rng(0)
    X = rng.poisson(0.3, (12 * 60, 30)).astype(np.float32)
    X[: len(X) // 2, 3] += 2
    X /= 2  # no counts
    obs = {"sample": [f"s{i // 60}" for i in range(720)], "label": ["ab"[i // 360] for i in range(720)]}
    adata = ad.AnnData(sparse.csr_matrix(X), obs=pd.DataFrame(obs, index=np.arange(720).astype(str)))
    dense = ad.AnnData(X, obs=adata.obs.copy())
    for name, value in (("WIDE", 29), ("CELLS", 700)):
        monkeypatch.setattr(f"scggml._core.transport.coreset.{name}", value)
    for each in (adata, dense):
        sg.tl.ggml(each, "sample", "label", **QUIET)
    assert read_metric(adata, "ggml").reading.summary == sg.tl.Coreset(50)
    np.testing.assert_array_equal(adata.uns["ggml"]["components"], dense.uns["ggml"]["components"])
    assert np.abs(adata.uns["ggml"]["components"]).sum(axis=0).argmax() == 3
    whole = dense.copy()
    sg.tl.ggml(whole, "sample", "label", summary=None, **QUIET)
    assert "summary" not in whole.uns["ggml"]["reading"]


def test_a_summary_of_as_many_points_as_cells_changes_nothing(many):
    whole = many.copy()
    learn(many, summary=sg.tl.Coreset(180), refine=0)
    learn(whole)
    found, truth = (slots(each) for each in (many, whole))
    assert found.pop("uns/ggml/reading/summary/n_points") == 180
    for path in (
        *(f"uns/ggml/reading/summary/{name}" for name in ("name", "max_iter", "device")),
        "uns/ggml/fingerprint",
    ):
        found.pop(path)
    del truth["uns/ggml/fingerprint"]
    assert_same(found, truth)


@pytest.mark.parametrize("call", [learn, lambda adata, **options: sg.tl.distances(adata, **QUIET, **options)])
@pytest.mark.parametrize(
    ("summary", "error", "text"),
    [
        (5, TypeError, r'summary is a int; pass "auto", None \(all cells\) or a Coreset\(n_points\)'),
        ("all", ValueError, r"summary='all' is not known; pass \"auto\", None"),
        (sg.tl.Coreset, TypeError, r"summary is a type; pass"),
    ],
)
def test_what_is_no_summary_is_refused_and_nothing_is_written(learned, call, summary, error, text):
    before = slots(learned)
    with pytest.raises(error, match=text):
        call(learned, summary=summary)
    assert_same(slots(learned), before)


@pytest.mark.parametrize(
    ("refine", "error"), [(-1, ValueError), (2.5, TypeError), ("all", TypeError), (None, TypeError)]
)
def test_a_number_of_passes_that_is_none_is_refused(learned, refine, error):
    before = slots(learned)
    with pytest.raises(error, match=rf"refine={refine!r} must be .* passes over all cells"):
        learn(learned, refine=refine)
    assert_same(slots(learned), before)


# What it changes


def test_distances_on_a_summary_are_near_those_on_all_cells(many):
    learn(many)
    truth = matrix(sg.tl.distances(many, **QUIET))
    off = ~np.eye(9, dtype=bool)
    errors = []
    for n_points in (10, 40, 150):
        D = matrix(sg.tl.distances(many, summary=sg.tl.Coreset(n_points), **QUIET))
        np.testing.assert_array_equal(D, D.T)
        errors.append(np.abs(D - truth)[off].max() / truth[off].max())
    assert errors[0] > errors[1] > errors[2] > 0
    assert errors[1] < 0.1


def test_counts_and_profiles_are_of_the_cells(many):
    found = sg.tl.distances(many, metric="euclidean", sample_key="sample_id", summary=sg.tl.Coreset(10), **QUIET)
    truth = sg.tl.distances(many, metric="euclidean", sample_key="sample_id", **QUIET)
    np.testing.assert_array_equal(found.obs["n_cells"], truth.obs["n_cells"])
    np.testing.assert_allclose(found.X, truth.X, rtol=1e-6)
    assert (matrix(found) != matrix(truth)).any()


def test_the_seed_decides(many):
    def run(rng):
        adata = many.copy()
        learn(adata, summary=sg.tl.Coreset(20), refine=1, rng=rng)
        return slots(adata), sg.tl.distances(adata, summary=sg.tl.Coreset(20), rng=rng, **QUIET).obsp["ggml_distances"]

    one, same, other = run(0), run(0), run(1)
    assert_same(one[0], same[0])
    assert one[1].tobytes() == same[1].tobytes()
    assert one[1].tobytes() != other[1].tobytes()


def test_threads_change_no_byte(many):
    def run(n_jobs):
        adata = many.copy()
        learn(adata, summary=sg.tl.Coreset(20), refine=2, n_jobs=n_jobs)
        samples = sg.tl.distances(adata, summary=sg.tl.Coreset(20), n_jobs=n_jobs, **QUIET)
        return slots(adata), slots(samples)

    truth = run(1)
    for n_jobs in (2, 3):
        for found, expected in zip(run(n_jobs), truth, strict=True):
            assert_same(found, expected)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("refine", [1, 10])
@pytest.mark.parametrize("options", [{}, {"margin": 2.0, "lr": 0.02}], ids=["auto", "absolute"])
def test_refinement_never_makes_the_metric_worse_on_all_cells(many, refine, squared, options):
    options = options | {"summary": sg.tl.Coreset(8), "squared": squared, "tol": 1e-3, "max_iter": 10, "shrinkage": 0.0}
    plain, refined = many.copy(), many.copy()
    for adata, passes in ((plain, 0), (refined, refine)):
        with pytest.warns(UserWarning, match="max_iter=10 before it converged"):
            learn(adata, refine=passes, **options)
    assert exact_loss(refined) <= exact_loss(plain) * (1 + 1e-12)
    assert refine == 1 or exact_loss(refined) < exact_loss(plain)
    recorded = refined.uns["ggml"]["history"]["loss"][-refined.uns["ggml"]["refined"] :]
    assert exact_loss(refined) == pytest.approx(recorded.min(), rel=1e-9)
    assert recorded[0] == pytest.approx(exact_loss(plain), rel=1e-9)


def test_refinement_without_a_summary_is_none(many):
    other = many.copy()
    learn(many, refine=3)
    learn(other)
    found, truth = slots(many), slots(other)
    for name in ("learner", "settled"):
        assert found.pop(f"uns/ggml/{name}/method/refine") == 3
        assert truth.pop(f"uns/ggml/{name}/method/refine") == 0
    assert found.pop("uns/ggml/fingerprint") != truth.pop("uns/ggml/fingerprint")
    assert_same(found, truth)


def test_weights_and_uneven_samples(many):
    rng = np.random.default_rng(0)
    adata = many[rng.random(many.n_obs) < rng.uniform(0.02, 0.4, 9)[many.obs["sample_id"].cat.codes]].copy()
    adata.obs["weight"] = np.where(rng.random(adata.n_obs) < 0.5, 0.0, 10.0 ** rng.uniform(-6, 0, adata.n_obs))
    learn(adata, summary=sg.tl.Coreset(30), weights_key="weight", refine=1)
    truth = matrix(sg.tl.distances(adata, **QUIET))
    D = matrix(sg.tl.distances(adata, summary=sg.tl.Coreset(30), **QUIET))
    assert np.isfinite(adata.obsm["X_ggml"]).all()
    np.testing.assert_allclose(D, truth, atol=0.2 * truth.max())


def test_what_is_stored_survives_a_file(many, tmp_path):
    learn(many, summary=sg.tl.Coreset(20), refine=2)
    for read in assert_round_trip(many, tmp_path):
        assert matrix(sg.tl.distances(read, **QUIET)).tobytes() == matrix(sg.tl.distances(many, **QUIET)).tobytes()


def test_a_small_sample_that_is_left_out_is_told_of_once(many):
    keep = np.ones(many.n_obs, dtype=bool)
    keep[np.flatnonzero(many.obs["sample_id"] == many.obs["sample_id"].iloc[0])[4:]] = False
    adata = many[keep].copy()
    with pytest.warns(UserWarning, match="min_cells=10 leaves out 1 of 9 samples") as caught:
        learn(adata, summary=sg.tl.Coreset(20), refine=1, min_cells=10)
    assert len(caught) == 1


# Files larger than memory


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_a_cohort_on_disk_is_learned_one_sample_at_a_time(many, tmp_path, kind, monkeypatch):
    truth = many.copy()
    learn(truth, summary=sg.tl.Coreset(20))
    getattr(many, f"write_{kind}")(tmp_path / f"cohort.{kind}")
    stored = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r") if kind == "h5ad" else lazy(tmp_path, many)
    asked, rows = [], type(read_features(many)).block

    def noting(self, index):
        asked.append(len(index))
        return rows(self, index)

    monkeypatch.setattr(type(read_features(many)), "block", noting)
    rng = np.random.default_rng(0)
    cohort = select(stored, "sample_id", rng=rng).read(read_features(stored), summary=sg.tl.Coreset(20), rng=rng)
    assert asked == ([180] * 9 if kind == "h5ad" else [])  # dask summarizes where the chunks lie
    assert cohort.points.shape == (180, 4)
    monkeypatch.undo()
    samples = sg.tl.distances(stored, metric="euclidean", sample_key="sample_id", summary=sg.tl.Coreset(20), **QUIET)
    whole = sg.tl.distances(many, metric="euclidean", sample_key="sample_id", summary=sg.tl.Coreset(20), **QUIET)
    assert matrix(samples).tobytes() == matrix(whole).tobytes()
    if kind == "zarr":
        learn(stored, summary=sg.tl.Coreset(20))
        np.testing.assert_array_equal(stored.uns["ggml"]["components"], truth.uns["ggml"]["components"])
    else:
        stored.file.close()


@pytest.mark.parametrize("kept", [2**30, 1000])
@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
def test_a_small_file_is_read_once_and_gives_the_same_bytes(many, tmp_path, kind, kept, monkeypatch):
    options = {"summary": sg.tl.Coreset(20), "n_cells": 50}  # so that all cells are checked, too
    if kind != "dense":
        many.X = getattr(sparse, f"{kind}_matrix")(np.where(np.abs(many.X) > 1, many.X, 0))
    many.write_h5ad(tmp_path / "cohort.h5ad")
    learn(many, **options)
    stored = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    asked, block = [], type(read_features(many)).block

    def noting(self, index):
        if is_on_disk(self.matrix):
            asked.append(len(index))
        return block(self, index)

    monkeypatch.setattr(type(read_features(many)), "block", noting)
    monkeypatch.setattr(importlib.import_module("scggml._anndata.disk"), "KEPT", kept)
    learn(stored, **options)
    found, truth = ({path: part for path, part in slots(a).items() if path[0] != "X"} for a in (stored, many))
    assert_same(found, truth)
    if kind == "csc":  # read as a whole
        assert asked == []
    elif kept > 1000:
        assert asked == [many.n_obs]
    else:
        assert sum(asked) > many.n_obs
    stored.file.close()


def lazy(folder, adata):
    """The same cells with a matrix of dask chunks on a zarr store."""
    da = pytest.importorskip("dask.array")
    stored = adata.copy()
    stored.X = da.from_zarr(str(folder / "cohort.zarr"), component="X")
    return stored
