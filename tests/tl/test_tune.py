import sys

import numpy as np
import pytest
from _nulls import null_cohort
from _slots import assert_round_trip

import scggml as sg

QUIET = {"progress": False, "n_jobs": 1}
QUICK = {"preprocess": None, "n_splits": 3, "n_inner_splits": 2, "groups_key": "donor"} | QUIET


def run(adata, space, **options):
    sg.tl.tune(adata, "sample", "label", space=space, **(QUICK | options))
    return adata.uns["tuning"]


def planted(n_donors=18, others=4):
    """The label moves one feature of four; the others differ more, and between donors only."""
    adata = null_cohort(0, n_donors=n_donors, n_cells=8)
    adata.X[:, 1:] *= others
    adata.X[:, 0] += np.where(adata.obs["label"].to_numpy() == "c1", 5.0, 0.0)
    return adata


def test_a_setting_that_works_is_chosen_over_one_that_does_not():
    found = run(planted(others=8), {"shrinkage": [1.0, 0.0]})
    assert found["best"] == {"shrinkage": 0.0}
    assert found["choices"].query("chosen")["setting"].tolist() == ["shrinkage=0.0"] * 4
    summary = scores(found)
    assert summary["tuned"] >= 0.9
    assert summary["untuned"] < summary["tuned"] - 0.1


def scores(found):
    table = found["scores"].astype({"method": str, "metric": str})
    return table[table["metric"] == "balanced_accuracy"].groupby("method")["value"].mean()


def test_the_reported_score_is_honest_where_the_best_inner_score_is_not():
    """Without signal the best of many settings looks good inside; outside it is at chance."""
    space = {"n_comps": [1, 2, 3, 4], "ridge": [0.01, 1.0], "n_neighbors": [1, 3, 5]}
    space |= {"ridge_scale": ["mean"], "shrinkage": [0.4]}  # nothing is left to be decided in each fit
    inner, outer = [], []
    for seed in range(6):
        found = run(null_cohort(seed, n_donors=12, n_cells=3), space, rng=seed)
        folds = found["choices"].query("fold >= 0")
        inner.append(folds.query("chosen")["inner_score"].mean())
        outer.append(scores(found)["tuned"])
    assert np.mean(inner) > np.mean(outer) + 0.05
    assert 0.3 < np.mean(outer) < 0.6


def test_the_inner_choice_is_stored_for_each_outer_fold_and_for_all_donors():
    found = run(planted(), {"n_comps": [1, 2], "n_neighbors": [1, 3]})
    table = found["choices"]
    assert table.groupby(["repeat", "fold"]).size().tolist() == [4] * 4
    assert table.groupby(["repeat", "fold"])["chosen"].sum().tolist() == [1] * 4
    for _, part in table.groupby(["repeat", "fold"]):
        assert part["inner_score"].max() == part.loc[part["chosen"], "inner_score"].iloc[0]
    assert set(found["best"]) == {"n_comps", "n_neighbors"}


def test_random_search_tries_as_many_settings_as_it_may():
    found = run(planted(), {"n_comps": [1, 2, 3], "ridge": [0.01, 0.1, 1.0]}, search="random", n_trials=4)
    assert found["choices"].groupby("fold").size().tolist() == [4] * 4
    again = run(planted(), {"n_comps": [1, 2, 3], "ridge": [0.01, 0.1, 1.0]}, search="random", n_trials=4)
    assert again["choices"].equals(found["choices"])


def test_optuna_finds_what_works():
    optuna = pytest.importorskip("optuna")
    level = optuna.logging.get_verbosity()
    found = run(planted(), {"shrinkage": [1.0, 0.9, 0.0]}, search="optuna", n_trials=8)
    assert found["best"]["shrinkage"] < 1.0
    assert optuna.logging.get_verbosity() == level
    again = run(planted(), {"shrinkage": [1.0, 0.9, 0.0]}, search="optuna", n_trials=8)
    assert again["choices"].equals(found["choices"])


def test_the_result_reads_as_a_cross_validation_and_survives_a_file(tmp_path):
    adata = planted()
    run(adata, {"n_comps": [1, 2]})
    truth = sg.get.cross_validation(adata, key="tuning")
    assert list(truth.summary.index) == ["tuned", "untuned", "majority"]
    for read in assert_round_trip(adata, tmp_path):
        assert sg.get.cross_validation(read, key="tuning").verdict == truth.verdict
        assert sg.pl.tuning(read).get_xlabel() == "held-out balanced accuracy"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"space": {"magic": [1]}}, ValueError, "space has an option 'magic' that is not known; choose from 'method'"),
        ({"space": {"n_comps": []}}, ValueError, r"space\['n_comps'\] is \[\]; a list of values to try"),
        ({"space": {"n_comps": [2, 8, 99]}}, ValueError, r"n_comps'\] has \[8, 99\], but the features have rank 4"),
        ({"space": {"n_comps": [0]}}, ValueError, "n_comps=0 must be at least 1"),
        ({"space": {}}, ValueError, "space is empty"),
        ({"space": {"ridge": [-1.0]}}, ValueError, "ridge=-1.0 must be"),
        (
            {"space": {"ridge": [1.0], "method": [sg.tl.Canonical()]}},
            ValueError,
            "space has 'method' beside options of a method",
        ),
        ({"space": {"margin": [1.0]}}, ValueError, "space has an option 'margin' that is not known"),
        ({"search": "best"}, ValueError, "search='best' is not known"),
        ({"n_trials": 3}, ValueError, "n_trials=3: a grid tries all combinations"),
        ({"n_inner_splits": 1}, ValueError, "n_inner_splits=1 must be at least 2"),
    ],
)
def test_bad_input_is_named(options, error, message):
    adata = null_cohort(0)
    with pytest.raises(error, match=message):
        run(adata, **({"space": {"n_comps": [1]}} | options))
    assert "tuning" not in adata.uns


def test_without_optuna_the_way_to_it_is_named(monkeypatch):
    monkeypatch.setattr(sys.modules["scggml.tl._tune"], "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install optuna"):
        run(null_cohort(0), {"n_comps": [1]}, search="optuna")
