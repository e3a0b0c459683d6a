import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scggml._anndata.as_patpy import is_ordered, labels_of, place_of, samples_of


@pytest.fixture
def adata():
    obs = pd.DataFrame({"sample": list("bbaacc"), "label": list("xxyyxx"), "age": [3, 3, 1, 1, 2, 2]})
    obs.index = [f"cell{i}" for i in range(6)]
    return AnnData(np.zeros((6, 2)), obs=obs, obsm={"X_pca": np.ones((6, 1))}, layers={"logs": np.ones((6, 2))})


def test_samples_and_labels_stand_in_order_of_first_appearance(adata):
    assert samples_of(adata, "sample").tolist() == ["b", "a", "c"]
    found = labels_of(adata, "sample", ["label", "age"])
    assert found.index.tolist() == ["b", "a", "c"]
    assert found.to_numpy().tolist() == [["x", 3], ["y", 1], ["x", 2]]


def test_a_label_that_varies_within_a_sample_is_refused(adata):
    adata.obs["label"] = list("xyyyxx")
    with pytest.raises(ValueError, match=r"adata\.obs\['label'\] \(label_keys\) has several values in 1 samples.*'b'"):
        labels_of(adata, "sample", ["label"])
    with pytest.raises(KeyError, match="sex"):
        labels_of(adata, "sample", ["sex"])


def test_a_layer_of_patpy_is_found_where_it_is(adata):
    assert place_of(adata, "X_pca") == {"use_rep": "X_pca", "layer": None}
    assert place_of(adata, "logs") == {"use_rep": None, "layer": "logs"}
    assert place_of(adata, "X") == place_of(adata, None) == {"use_rep": None, "layer": None}
    with pytest.raises(ValueError, match=r"layer='X_scVI' is neither in adata\.obsm \('X_pca'\) nor in adata\.layers"):
        place_of(adata, "X_scVI")


def test_ordered_categories_have_an_order():
    assert is_ordered(pd.Series(pd.Categorical(["a", "b"], ordered=True)))
    assert not is_ordered(pd.Series(["a", "b"]))
