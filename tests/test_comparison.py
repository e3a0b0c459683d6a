"""The table of `benchmarks/comparison.py`: entries, the judge of rivals from elsewhere, intervals, and a small run."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import ot
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator

import scggml as sg
from scggml._core.transport.solvers import SOLVERS
from scggml._core.transport.summaries import COMBINATIONS, SUMMARIES

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def compared(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import _compared  # noqa: PLC0415

    return _compared


@pytest.fixture
def reported(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import _comparison_report  # noqa: PLC0415

    return _comparison_report


def test_the_rows_are_all_that_there_is(compared):
    rows = compared.entries(False)
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    assert names[0] == "canonical"
    assert {row.solver for row in rows} == set(SOLVERS)
    assert {row.summary for row in rows} == {"cells", *SUMMARIES, compared.OWN_CENTERS}
    assert set(compared.RIVALS) | set(compared.PACKAGES) < set(names)
    every = {(row.summary, row.solver, row.method) for row in compared.entries(True)}
    assert {key for key, legal in COMBINATIONS.items() if legal} < every
    assert not {key for key, legal in COMBINATIONS.items() if not legal} & every


def test_each_rival_has_an_environment(compared):
    import _rivals  # noqa: PLC0415

    assert set(_rivals.RIVALS) == set(compared.PACKAGES)


def test_cells_carry_the_label_of_their_sample(compared):
    import _rivals  # noqa: PLC0415

    data = _rivals.small()
    data = data._replace(cells=data.cells + 100.0 * data.owner[:, None])
    X, y, unit = _rivals.drawn(data, 30, np.random.default_rng(0))
    assert X.shape == (30, 5)
    assert X.var(axis=0).mean() == pytest.approx(1)
    owner = np.round((X * unit)[:, 0] / 100 + 2.5).astype(int)
    np.testing.assert_array_equal(np.bincount(owner), [5] * 6)
    np.testing.assert_array_equal(y, data.labels[owner])


def test_what_was_learned_elsewhere_is_judged_by_exact_transport(compared):
    rng = np.random.default_rng(0)
    training, test = ([rng.normal(size=(n, 4)) for n in sizes] for sizes in ([5, 8, 6, 7], [6, 9]))
    W = rng.normal(size=(2, 4))
    fitted = compared.Elsewhere(None).take({"W": W}, training, np.array([0, 1, 0, 1]))
    truth = np.array([[ot.emd2([], [], cdist(x @ W.T, y @ W.T)) for y in training] for x in test])
    np.testing.assert_allclose(fitted.distances(test), truth, rtol=1e-9)
    votes = fitted.predict_proba(test)
    assert votes.shape == (2, 2)
    np.testing.assert_allclose(votes.sum(axis=1), 1)

    centers = rng.normal(size=(3, 4))
    cost = cdist(centers, centers) ** 3
    fitted = compared.Elsewhere(None).take({"centers": centers, "cost": cost}, training, np.array([0, 1, 0, 1]))
    shares = [
        [np.bincount(cdist(cloud, centers).argmin(axis=1), minlength=3) / len(cloud) for cloud in part]
        for part in (test, training)
    ]
    truth = np.array([[ot.emd2(a, b, cost) for b in shares[1]] for a in shares[0]])
    np.testing.assert_allclose(fitted.distances(test), truth, rtol=1e-9, atol=1e-12)


class Recorder(BaseEstimator):
    """Hand on the cells that each fold was given."""

    def __init__(self, seen):
        self.seen = seen

    def __sklearn_clone__(self):
        return Recorder(self.seen)

    def fit(self, clouds, y):
        self.seen.append(clouds)
        self.n_classes = len(set(y))
        return self

    def predict_proba(self, clouds):
        self.seen.append(clouds)
        return np.full((len(clouds), self.n_classes), 1 / self.n_classes)


def test_all_rows_see_the_same_cells_of_the_same_folds(compared):
    adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=20, n_classes=2)
    config = {"cells": 7, "points": 4, "repeats": 2, "seed": 3}
    folds, cells = [], []
    for entry in (compared.Entry("itml"), compared.Entry("wda"), compared.Entry("canonical", "exact", "gaussian")):
        seen = []
        method = sg.tl.Learner(shrinkage=0.4) if entry.learned else Recorder(seen)
        compared.validate(adata, entry, method, config, 3)
        folds.append(sg.get.cross_validation(adata).predictions[["repeat", "fold", "sample"]])
        cells.append([cloud for clouds in seen for cloud in clouds])
    pd.testing.assert_frame_equal(folds[0], folds[1])
    pd.testing.assert_frame_equal(folds[0], folds[2])
    assert len(cells[0]) == len(cells[1]) == 2 * 3 * 12
    assert {cloud.shape for cloud in cells[0]} == {(7, 4)}
    for one, other in zip(*cells[:2], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_limit_of_time_is_kept(compared):
    def wait():
        with compared.at_most(1):
            time.sleep(60)

    with pytest.raises(TimeoutError, match="took more than 1 s"):
        wait()


def test_differences_are_paired_over_the_cohorts_of_both(reported):
    scores = pd.DataFrame(
        [[0.7, 0.8, 0.6, 0.9], [0.8, 0.8, 0.5, np.nan], [np.nan, np.nan, np.nan, np.nan]],
        index=["canonical", "other", "nothing"],
        columns=list("abcd"),
    )
    assert reported.differences(scores.loc[["canonical"]]).empty
    assert reported.differences(scores.loc[["other"]]).empty  # nothing to compare with
    found = reported.differences(scores)
    assert list(found.index) == ["other"]
    row = found.loc["other"]
    truth = stats.ttest_rel([0.8, 0.8, 0.5], [0.7, 0.8, 0.6]).confidence_interval(0.95)
    assert (row["cohorts"], row["better"], row["worse"]) == (3, 1, 1)
    assert row["mean"] == pytest.approx(0)
    assert (row["low"], row["high"]) == (pytest.approx(truth.low), pytest.approx(truth.high))


@pytest.fixture
def cohorts(tmp_path):
    """Return a folder of two small cohorts, one of which has no cell types."""
    folder = tmp_path / "cohorts"
    folder.mkdir()
    adata = sg.datasets.synthetic(n_noise=3, noise_scale=1.0, n_samples=6, n_cells=20, n_classes=2)
    adata.write_h5ad(folder / "plain.h5ad")
    adata.obs["cell_type"] = adata.obs["mode"]
    adata.write_h5ad(folder / "typed.h5ad")
    return folder


def run_quickly(folder, *options):
    script = [sys.executable, str(BENCHMARKS / "comparison.py"), str(folder), "--quick", *options]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_small_table_is_made_goes_on_and_says_what_is_missing(cohorts, tmp_path, compared):
    import comparison  # noqa: PLC0415

    out, shown = tmp_path / "table.csv", tmp_path / "shown"
    rows = ("canonical", "clr", "Scarvelis and Solomon")
    told = run_quickly(cohorts, "--out", str(out), "--rows", *rows[:1])
    assert "2 of 2 entries are to be measured" in told
    told = run_quickly(cohorts, "--out", str(out), "--rows", *rows, "--report", str(shown))
    assert "4 of 6 entries are to be measured" in told
    found = pd.read_csv(out).set_index(["name", "cohort"])
    assert len(found) == 6
    assert found.loc[("clr", "plain"), "reason"] == "no cell types"
    assert set(found.loc["Scarvelis and Solomon", "reason"]) == {"needs time steps"}
    good = found[found["reason"].isna()]
    assert set(good.index) == {("canonical", "plain"), ("canonical", "typed"), ("clr", "typed")}
    assert good["balanced_accuracy"].between(0, 1).all()
    assert found.loc["canonical", "balanced_accuracy"].min() > 0.8
    assert (good["seconds"] > 0).all()
    assert (good["MB"] >= 0).all()
    text = pd.read_csv(shown / "comparison_balanced_accuracy.csv", index_col="row")
    assert text.loc["clr", "plain"] == "no types"
    assert set(text.loc["Scarvelis and Solomon"]) == {"time steps"}
    assert (shown / "comparison.png").stat().st_size > 5000
    settings = {name: int(found[name].iloc[0]) for name in comparison.SETTINGS}
    assert len(comparison.known(out, settings)) == 6
    with pytest.raises(SystemExit, match=r"was made with seed=\[0\], not 1"):
        comparison.known(out, settings | {"seed": 1})


@pytest.mark.slow
def test_a_process_that_dies_leaves_a_reason_and_is_followed_by_another(tmp_path, compared):
    import comparison  # noqa: PLC0415

    (tmp_path / "broken.h5ad").write_bytes(b"no such file")
    adata = sg.datasets.synthetic(n_noise=2, n_samples=4, n_cells=10, n_classes=2)
    adata.write_h5ad(tmp_path / "whole.h5ad")
    paths = [tmp_path / "broken.h5ad", tmp_path / "whole.h5ad"]
    config = {"entry": {"method": "majority", "solver": "exact", "summary": "cells"}, "cap": 60, "seed": 0}
    config |= comparison.QUICK
    broken, whole = comparison.measured(compared.Entry("majority"), paths, config)
    assert broken["cohort"] == "broken"
    assert broken["reason"].startswith("failed: ")
    assert whole["balanced_accuracy"] == pytest.approx(0.5)
