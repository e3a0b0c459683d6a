import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.spatial.distance import cdist

from scggml._anndata.representation import tasks_of, trajectory_of, usual_task, values_of


@pytest.fixture
def samples():
    points = np.linspace(0, 30, 31)[:, None]
    obs = pd.DataFrame({"sex": list("mf") * 15 + ["m"], "age": np.arange(31.0), "grade": ["low"] * 31})
    obs["stage"] = pd.Categorical(np.repeat(["b", "a"], [20, 11]), categories=["b", "a"], ordered=True)
    obs["site"] = pd.Categorical(["x", None, "y"] * 10 + ["x"])
    obs.index = [f"p{i}" for i in range(31)]
    return AnnData(np.zeros((31, 1)), obs=obs, obsp={"ggml_distances": cdist(points, points)})


def test_tasks_are_read_from_the_columns_or_given(samples):
    assert tasks_of(samples, ["sex", "age", "stage", "site"], "relevant") == {
        "sex": "classification",
        "age": "regression",
        "stage": "ranking",
        "site": "classification",
    }
    assert tasks_of(samples, "age", "relevant") == {"age": "regression"}
    assert tasks_of(samples, {"age": "ranking"}, "relevant") == {"age": "ranking"}
    assert usual_task(pd.Series([True, False])) == "classification"
    with pytest.raises(ValueError, match="relevant: 'age' has the task 'cluster'; choose from 'classification'"):
        tasks_of(samples, {"age": "cluster"}, "relevant")
    with pytest.raises(TypeError, match=r"relevant=3 is a int; pass columns of samples\.obs"):
        tasks_of(samples, 3, "relevant")


def test_samples_without_a_value_are_left_out(samples):
    values, known = values_of(samples, "site", "classification", "technical")
    assert known.tolist() == [i for i in range(31) if i % 3 != 1]
    assert values[:3].tolist() == [0, 1, 0]
    assert values_of(samples, "stage", "ranking", "relevant")[0][[0, 30]].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("sex", "ranking", "samples.obs\\['sex'\\] holds no numbers"),
        ("site", "regression", "samples.obs\\['site'\\] has categories without an order"),
        ("grade", "classification", "samples.obs\\['grade'\\] has fewer than two different values"),
    ],
)
def test_values_without_the_order_that_a_task_needs_are_refused(samples, name, task, message):
    with pytest.raises(ValueError, match=message):
        values_of(samples, name, task, "relevant")


def test_pseudotime_along_a_line_is_its_order(samples):
    every, values = np.arange(31), np.arange(31.0)
    assert trajectory_of(samples, "ggml", values, every, root=None, seed=0) > 0.95
    assert trajectory_of(samples, "ggml", values, every, root="p30", seed=0) < -0.95
    with pytest.raises(KeyError, match="root='p99' is no sample with a value"):
        trajectory_of(samples, "ggml", values, every, root="p99", seed=0)
