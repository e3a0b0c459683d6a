import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scggml._anndata.metric import is_metric, read_stored, stored_features, stored_keys

GENES = ["g0", "g1", "g2", "g3"]


def entry(features=GENES, **params):
    return {
        "components": np.arange(2.0 * len(features)).reshape(2, -1),
        "singular_values": np.array([2.0, 1.0]),
        "features": np.array(features, dtype=object),
        "params": {"squared": False, "sample_key": "sample"} | params,
    }


@pytest.fixture
def adata():
    X = np.random.default_rng(0).normal(size=(6, 4))
    return AnnData(X, var=pd.DataFrame(index=GENES), uns={"ggml": entry()})


def test_a_metric_is_read_as_it_was_stored(adata):
    stored = read_stored(adata, "ggml")
    assert stored.key == "ggml"
    np.testing.assert_array_equal(stored.components, adata.uns["ggml"]["components"])
    np.testing.assert_array_equal(stored.singular_values, [2.0, 1.0])
    assert stored.features.tolist() == GENES
    assert stored.squared is False
    assert stored.param("sample_key") == "sample"


def test_an_argument_that_was_not_given_is_none(adata):
    assert read_stored(adata, "ggml").param("use_rep") is None


def test_the_squared_cost_is_remembered_as_a_bool(adata):
    adata.uns["ggml"]["params"]["squared"] = np.True_  # as h5ad gives it back
    assert read_stored(adata, "ggml").squared is True


def test_only_metrics_are_listed(adata):
    adata.uns |= {"pca": {"params": {}}, "other": entry(), "text": "components", "neighbors": {"components": 1}}
    assert stored_keys(adata) == ["ggml", "other"]
    assert not is_metric(None)
    assert not is_metric("components")


@pytest.mark.parametrize("there", [None, "text", {"params": {}}])
def test_a_missing_metric_is_answered_with_those_that_are_there(adata, there):
    adata.uns["first"] = adata.uns.pop("ggml")
    if there is not None:
        adata.uns["ggml"] = there
    message = r"No learned metric in adata.uns\['ggml'\]; stored metrics: 'first'\. Learn one with sg\.tl\.ggml\("
    with pytest.raises(KeyError, match=message):
        read_stored(adata, "ggml")


def test_without_any_metric_the_answer_says_so(adata):
    del adata.uns["ggml"]
    with pytest.raises(KeyError, match="stored metrics: nothing"):
        read_stored(adata, "ggml")


# Features of a stored metric in other data


MATRICES = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "csr_array": sparse.csr_array}


@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize("columns", [[0, 1, 2, 3], [3, 1, 0, 2]], ids=["same order", "shuffled"])
@pytest.mark.parametrize("n_more", [0, 2])
def test_genes_are_found_by_name_in_any_order(adata, kind, columns, n_more):
    stored = read_stored(adata, "ggml")
    X = np.hstack([adata.X, np.full((6, n_more), np.nan)])
    names = [*GENES, "more0", "more1"][: 4 + n_more]
    order = [*range(4, 4 + n_more), *columns]  # the additional ones come first
    other = AnnData(MATRICES[kind](X[:, order]), var=pd.DataFrame(index=[names[i] for i in order]))
    features = stored_features(other, stored)
    assert features.names.tolist() == GENES
    np.testing.assert_array_equal(features.rows(np.arange(6)), adata.X)
    np.testing.assert_array_equal(features.rows(np.array([1, 4])), adata.X[[1, 4]])


def test_genes_of_a_layer_are_found_by_name(adata):
    adata.uns["ggml"] = entry(layer="log")
    adata.layers["log"] = 10 * adata.X
    other = adata[:, ::-1].copy()
    features = stored_features(other, read_stored(adata, "ggml"))
    np.testing.assert_array_equal(features.rows(np.arange(6)), adata.layers["log"])
    assert features.slot == "adata.layers['log']"


def test_columns_of_a_data_frame_are_found_by_name(adata):
    adata.uns["ggml"] = entry(["b", "a"], use_rep="scores")
    frame = pd.DataFrame(np.arange(18.0).reshape(6, 3), index=adata.obs_names, columns=["a", "b", "c"])
    adata.obsm["scores"] = frame
    features = stored_features(adata, read_stored(adata, "ggml"))
    np.testing.assert_array_equal(features.rows(np.arange(6)), frame[["b", "a"]])


def test_missing_features_are_named_with_the_next_step(adata):
    stored = read_stored(adata, "ggml")
    message = (
        r"adata\.X lacks 2 of the 4 features that the metric 'ggml' was learned on: 'g1', 'g3'\. Add them, or learn .* "
        "both data sets share"
    )
    with pytest.raises(ValueError, match=message):
        stored_features(adata[:, ["g2", "g0"]].copy(), stored)


def test_a_long_list_of_missing_features_is_cut(adata):
    adata.uns["ggml"] = entry([f"g{i}" for i in range(1000)])
    with pytest.raises(ValueError, match=r"lacks 996 of the 1000 .*'g23', \.\.\.") as error:
        stored_features(adata, read_stored(adata, "ggml"))
    assert len(str(error.value)) < 500


def test_too_few_principal_components_are_named(adata):
    adata.uns["ggml"] = entry([f"X_pca_{i}" for i in range(3)], use_rep="X_pca")
    adata.obsm["X_pca"] = adata.X[:, :2]
    with pytest.raises(ValueError, match=r"adata\.obsm\['X_pca'\] lacks 1 of the 3 features .*'X_pca_2'"):
        stored_features(adata, read_stored(adata, "ggml"))
