"""The interface of patpy, with patpy's own classes and functions where it is installed."""

import inspect
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform

import scggml as sg

NEEDS = pytest.mark.skipif(find_spec("patpy") is None, reason="patpy is not installed: pip install patpy")
GIVEN = {"layer": "X", "n_splits": 3, "seed": 1}


def cells():
    adata = sg.datasets.synthetic(n_classes=2, n_noise=3, n_samples=6, n_cells=8)
    adata.obs["age"] = adata.obs["sample_id"].cat.codes.to_numpy() * 2.0
    return adata


@pytest.fixture(scope="module")
def fitted():
    model = sg.tl.PatpyMethod("sample_id", "label", "classification", **GIVEN)
    model.prepare_anndata(cells())
    return model


def test_samples_are_those_of_patpy_in_its_order(fitted):
    adata = fitted.adata
    assert fitted.samples.tolist() == adata.obs["sample_id"].unique().tolist()
    assert fitted.labels["label"].tolist() == [str(name)[:6] for name in fitted.samples]
    assert fitted.labels.index.tolist() == fitted.samples.tolist()


def test_distances_are_the_held_out_ones_and_a_copy(fitted):
    found = fitted.calculate_distance_matrix()
    truth = sg.tl.distances(fitted.adata, held_out=True, progress=False).obsp["ggml_held_out_distances"]
    np.testing.assert_array_equal(found, truth)
    np.fill_diagonal(found, 9.0)  # as patpy does
    np.testing.assert_array_equal(fitted.calculate_distance_matrix(), truth)
    with pytest.raises(ValueError, match=r"dist='cosine'.*sg\.tl\.distances\(adata, metric='cosine'\)"):
        fitted.calculate_distance_matrix("cosine")


def test_without_held_out_they_are_those_of_the_metric_itself():
    model = sg.tl.PatpyMethod("sample_id", ["label"], ["classification"], held_out=False, key="mine", **GIVEN)
    model.prepare_anndata(cells())
    truth = sg.tl.distances(model.adata, key="mine", progress=False).obsp["mine_distances"]
    np.testing.assert_array_equal(model.calculate_distance_matrix(), truth)
    assert "mine_held_out" not in model.adata.uns


def test_representations_have_the_distances(fitted):
    found = fitted.get_sample_representations()
    assert found.index.tolist() == fitted.samples.tolist()
    assert list(found.columns[:2]) == ["dim_0", "dim_1"]
    samples = sg.tl.distances(fitted.adata, held_out=True, progress=False)
    sg.tl.mds(samples, key="ggml_held_out", n_comps=found.shape[1])
    np.testing.assert_allclose(found, samples.obsm["X_mds"])
    assert np.corrcoef(pdist(found), squareform(fitted.calculate_distance_matrix()))[0, 1] > 0.9
    assert fitted.sample_representation is found


def test_classes_are_predicted_of_donors_that_are_held_out(fitted):
    found = fitted.predict("label")
    assert found.columns.tolist() == ["prob_class0", "prob_class1", "label_pred"]
    assert found.index.tolist() == fitted.samples.tolist()
    np.testing.assert_allclose(found.iloc[:, :2].sum(axis=1), 1)
    assert (found["label_pred"].to_numpy() == fitted.labels["label"].astype(str).to_numpy()).mean() > 0.9
    table = sg.get.cross_validation(fitted.adata, key="ggml_predictions").predictions.set_index("sample")
    np.testing.assert_array_equal(table.loc[found.index.astype(str), "p:class1"], found["prob_class1"])
    with pytest.raises(ValueError, match="label='age' was not learned, but 'label' was"):
        fitted.predict("age")


def test_importance_is_that_of_attribution_and_kept(fitted):
    found = fitted.get_cell_importance()
    assert found.index.equals(fitted.adata.obs_names)
    assert found.columns.tolist() == ["label_importance"]
    truth = sg.tl.attribute(fitted.adata, held_out=True, n_perm=0, progress=False, copy=True).obs["ggml_excess"]
    np.testing.assert_allclose(found["label_importance"], truth)
    fitted.adata.obs["label_importance"] = 1.0
    assert (fitted.get_cell_importance()["label_importance"] == 1.0).all()
    np.testing.assert_allclose(fitted.get_cell_importance(force=True)["label_importance"], truth)


@pytest.mark.parametrize("task", ["regression", "ranking"])
def test_numbers_are_predicted_as_a_series(task):
    model = sg.tl.PatpyMethod("sample_id", "age", task, **GIVEN)
    model.prepare_anndata(cells())
    found = model.predict("age")
    assert isinstance(found, pd.Series)
    assert (found.name, found.index.tolist()) == ("age", model.samples.tolist())
    assert np.corrcoef(found, model.labels["age"])[0, 1] > 0.5
    assert model.adata.uns["ggml"]["reading"]["label_kind"] == "numbers"


def test_ordered_categories_are_ranked_in_their_order():
    adata = sg.datasets.synthetic(n_classes=2, n_noise=3, n_samples=9, n_cells=8)
    levels = ["low", "middle", "high"]
    codes = adata.obs["sample_id"].cat.codes.to_numpy() // 6
    adata.obs["stage"] = pd.Categorical(np.array(levels)[codes], categories=levels, ordered=True)
    model = sg.tl.PatpyMethod("sample_id", "stage", "ranking", **GIVEN)
    model.prepare_anndata(adata)
    assert model.predict("stage").columns.tolist() == ["prob_low", "prob_middle", "prob_high", "stage_pred"]


def test_of_several_labels_the_first_is_learned():
    with pytest.warns(UserWarning, match="label_keys has 2 labels; the metric is learned from 'label'"):
        model = sg.tl.PatpyMethod("sample_id", ["label", "age"], ["classification", "regression"])
    assert (model.label_keys, model.tasks) == (["label", "age"], ["classification", "regression"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tasks": "cluster"}, ValueError, "'cluster' is not known; choose from 'classification'"),
        ({"tasks": []}, ValueError, "pass a label and, for each, a task"),
        ({"label_keys": 3}, TypeError, "label_keys=3 is a int; pass a name, or a list of names"),
    ],
)
def test_bad_arguments_are_named(options, error, message):
    given = {"sample_key": "sample_id", "label_keys": "label", "tasks": "classification"} | options
    with pytest.raises(error, match=message):
        sg.tl.PatpyMethod(**given)


@pytest.mark.parametrize("call", ["calculate_distance_matrix", "get_sample_representations", "get_cell_importance"])
def test_nothing_is_asked_of_a_method_that_is_not_fitted(call):
    with pytest.raises(RuntimeError, match=r"not fitted; call prepare_anndata\(adata\) first"):
        getattr(sg.tl.PatpyMethod("sample_id", "label", "classification"), call)()


def test_it_works_without_patpy_and_says_what_needs_it():
    code = (
        "import sys; sys.modules['patpy'] = None\n"
        "import scggml as sg\n"
        "sg.tl.PatpyMethod('a', 'b', 'regression')\n"
        "try:\n    sg.tl.PatpyMethod.subclass()\n"
        "except ImportError as error:\n    print(error)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "needs the package patpy: pip install patpy" in out.stdout


# With patpy


@NEEDS
def test_arguments_and_methods_are_those_of_patpy():
    SupervisedSampleMethod = pytest.importorskip("patpy.tl.supervised").SupervisedSampleMethod
    theirs = inspect.signature(SupervisedSampleMethod.__init__).parameters
    own = inspect.signature(sg.tl.PatpyMethod.__init__).parameters
    assert list(own)[: len(theirs)] == list(theirs)
    assert {name: own[name].default for name in theirs} == {name: p.default for name, p in theirs.items()}
    for name in (
        "prepare_anndata",
        "calculate_distance_matrix",
        "predict",
        "get_cell_importance",
        "get_sample_representations",
    ):
        one, other = (inspect.signature(getattr(kind, name)) for kind in (SupervisedSampleMethod, sg.tl.PatpyMethod))
        assert [(p.name, p.default) for p in one.parameters.values()] == [
            (p.name, p.default) for p in other.parameters.values()
        ]


@NEEDS
@pytest.mark.filterwarnings("ignore")
def test_patpys_own_functions_take_it():
    SupervisedSampleMethod = pytest.importorskip("patpy.tl.supervised").SupervisedSampleMethod
    evaluate_representation = pytest.importorskip("patpy.tl.evaluation").evaluate_representation
    model = sg.tl.PatpyMethod.subclass()(
        sample_key="sample_id", label_keys=["label"], tasks=["classification"], **GIVEN
    )
    assert isinstance(model, SupervisedSampleMethod)
    model.prepare_anndata(cells())
    D = model.calculate_distance_matrix()
    result = evaluate_representation(D, model.labels["label"], method="knn", task="classification", n_neighbors=3)
    assert result["score"] > 0.5
    coordinates = model.embed(method="MDS")
    assert coordinates.shape == (12, 2)
    model.plot_embedding(method="MDS", metadata_cols=["label"])
    model.plot_clustermap(model.calculate_distance_matrix())
    model.get_sample_representations()
    model.fine_tune("label", "classification")
    probe = model.fit_linear_probe("label", test_size=0.5)
    assert probe["accuracy"] >= 0.5
    assert model.predict("label").shape == (12, 3)
    assert model.get_cell_importance().shape == (model.adata.n_obs, 1)
