import importlib.util
import warnings

import numpy as np
import pandas as pd
import pytest
from _nulls import null_cohort
from anndata import AnnData
from scipy.spatial.distance import cdist

import scggml as sg
from scggml._core.evaluate.representation import replicate_robustness, retention

QUIET = {"n_jobs": 1, "progress": False}


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(24, 2)) + np.repeat([0.0, 4.0], 12)[:, None]
    obs = pd.DataFrame({"label": np.repeat(["a", "b"], 12), "site": list("xy") * 12, "age": points[:, 0]})
    obs["donor"] = np.arange(24) // 2
    obs.index = [f"p{i}" for i in range(24)]
    found = {"ggml_distances": cdist(points, points), "other_distances": cdist(*[rng.normal(size=(24, 2))] * 2)}
    return AnnData(np.zeros((24, 1)), obs=obs, obsp=found)


def test_the_table_holds_each_score_of_each_distance(samples):
    asked = {"technical": "site", "trajectory_key": "age", "replicate_key": "donor"}
    table = sg.get.representation_scores(samples, {"label": "classification", "age": "regression"}, **asked)
    assert table.columns.tolist() == ["ggml", "other"]
    assert table.index.tolist() == [
        ("information_retention", "label"),
        ("information_retention", "age"),
        ("batch_removal", "site"),
        ("trajectory", "age"),
        ("replicate_robustness", "donor"),
    ]
    for key in ("ggml", "other"):
        D = samples.obsp[f"{key}_distances"]
        site = (samples.obs["site"] == "y").to_numpy(dtype=float)
        assert table.loc[("batch_removal", "site"), key] == 1 - retention(D, site, "classification")
        donors = samples.obs["donor"].to_numpy()
        assert table.loc[("replicate_robustness", "donor"), key] == replicate_robustness(D, donors)
    assert table.loc[("information_retention", "label"), "ggml"] > 0.9
    assert table["other"].iloc[0] < 0.5
    one = sg.get.representation_scores(samples, "label", keys=["other"])
    assert one.columns.tolist() == ["other"]
    assert one.iloc[0, 0] == table["other"].iloc[0]


def test_labels_that_mean_nothing_leak_within_samples_and_not_when_held_out():
    """The metric separates shuffled labels on the samples that it has seen; on others nothing is left."""
    tables = []
    for seed in range(4):
        adata = null_cohort(n_donors=16, n_cells=6, n_genes=30, seed=seed)
        method = sg.tl.Canonical(ridge=0.05, ridge_scale="mean")
        sg.tl.ggml(adata, "sample", "label", method=method, shrinkage=0.0, n_comps=2, progress=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that held-out classes do not differ
            sg.tl.cross_fit(adata, n_splits=4, **QUIET)
        samples = sg.tl.distances(adata, held_out=True, progress=False)
        samples.obsp["ggml_distances"] = sg.tl.distances(adata, progress=False).obsp["ggml_distances"]
        tables.append(sg.get.representation_scores(samples, "label").iloc[0])
    means = pd.DataFrame(tables).mean()
    assert means["ggml"] > 0.9
    assert means["ggml_held_out"] < 0.25


def test_bad_questions_are_answered_with_what_there_is(samples):
    with pytest.raises(ValueError, match="nothing is asked for"):
        sg.get.representation_scores(samples)
    with pytest.raises(ValueError, match="replicate_key='age': no two samples have the same value"):
        sg.get.representation_scores(samples, replicate_key="age")
    with pytest.raises(KeyError, match=r"No 'mine_distances' in samples\.obsp"):
        sg.get.representation_scores(samples, "label", keys=["mine"])


@pytest.mark.skipif(importlib.util.find_spec("patpy") is None, reason="patpy is not installed: pip install patpy")
@pytest.mark.filterwarnings("ignore")
def test_scores_are_those_of_patpy(samples):
    theirs = pytest.importorskip("patpy.tl.evaluation")
    table = sg.get.representation_scores(samples, ["label", "age"], replicate_key="donor")
    for key in ("ggml", "other"):
        D = samples.obsp[f"{key}_distances"]
        for name, task in (("label", "classification"), ("age", "regression")):
            found = theirs.evaluate_representation(D.copy(), samples.obs[name], method="knn", task=task, n_neighbors=3)
            assert table.loc[("information_retention", name), key] == pytest.approx(found["score"])
        names = [f"d{i // 2}_{i % 2}" for i in range(24)]
        truth = theirs.replicate_robustness(pd.DataFrame(D.copy(), index=names, columns=names))
        assert table.loc[("replicate_robustness", "donor"), key] == pytest.approx(truth)
