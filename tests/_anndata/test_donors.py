import numpy as np
import pandas as pd
import pytest
from _cells import make_adata

from scggml._anndata.donors import read_groups

SAMPLES = np.array(["p2", "p0", "p3", "p1"])
DONORS = {"p2": "d1", "p0": "d0", "p3": "d1", "p1": "d2"}


def test_samples_of_one_donor_have_one_code_in_order_of_appearance():
    adata = make_adata()
    adata.obs["donor"] = adata.obs["sample"].map(DONORS)
    assert read_groups(adata, "donor", "sample", SAMPLES).tolist() == [0, 1, 0, 2]
    adata.obs["donor"] = adata.obs["donor"].astype("category")
    assert read_groups(adata, "donor", "sample", SAMPLES[::-1]).tolist() == [0, 1, 2, 1]


def test_without_a_key_each_sample_is_a_donor():
    assert read_groups(make_adata(), None, "sample", SAMPLES).tolist() == [0, 1, 2, 3]


def test_samples_that_take_no_part_need_no_donor():
    adata = make_adata()
    adata.obs["donor"] = adata.obs["sample"].map({name: donor for name, donor in DONORS.items() if name != "p3"})
    assert read_groups(adata, "donor", "sample", SAMPLES[[0, 1, 3]]).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"adata\.obs\['donor'\] \(groups_key\) is missing for cell 'cell"):
        read_groups(adata, "donor", "sample", SAMPLES)


def test_a_sample_of_two_donors_is_refused():
    adata = make_adata()
    adata.obs["donor"] = adata.obs["sample"].map(DONORS)
    first = adata.obs_names[(adata.obs["sample"] == "p0").to_numpy()][0]
    adata.obs.loc[first, "donor"] = "d9"
    with pytest.raises(
        ValueError, match=r"1 of 4 samples have cells of more than one donor: sample 'p0' has 'd9', 'd0'"
    ):
        read_groups(adata, "donor", "sample", SAMPLES)


def test_a_missing_column_is_answered_with_those_that_are_there():
    with pytest.raises(
        KeyError, match=r"groups_key='donor' is not a column of adata\.obs, which has 'sample', 'label'"
    ):
        read_groups(make_adata(), "donor", "sample", SAMPLES)


def test_numbers_can_name_donors():
    adata = make_adata()
    adata.obs["donor"] = pd.Categorical(adata.obs["sample"].map({"p2": 7, "p0": 3, "p3": 7, "p1": 7}))
    assert read_groups(adata, "donor", "sample", SAMPLES).tolist() == [0, 1, 0, 0]
