"""Results into slots, as files can hold them."""

import numpy as np
import pandas as pd
import pytest
from _cells import make_adata
from _slots import assert_round_trip, assert_same, slots
from anndata import AnnData

from scggml._anndata.results import (
    check_result_key,
    params,
    read_entry,
    table,
    write_cells,
    write_obs,
    write_obsm,
    write_obsp,
    write_uns,
    write_varm,
)

WRITERS = {
    "uns/note/a": lambda adata: write_uns(adata, "note", {"a": 1.5}),
    "obsm/Z": lambda adata: write_obsm(adata, "Z", np.ones((adata.n_obs, 2))),
    "obsp/D": lambda adata: write_obsp(adata, "D", np.eye(adata.n_obs)),
    "varm/L": lambda adata: write_varm(adata, "L", np.ones((adata.n_vars, 2))),
    "obs/score": lambda adata: write_obs(adata, {"score": np.arange(adata.n_obs)}),
}


@pytest.mark.parametrize("path", WRITERS)
def test_a_result_goes_into_its_slot_and_no_other(path):
    adata = make_adata()
    before = slots(adata)
    WRITERS[path](adata)
    after = slots(adata)
    assert after.keys() - before.keys() == {path}
    assert_same({name: after[name] for name in before}, before)


@pytest.mark.parametrize("path", WRITERS)
def test_a_view_becomes_an_anndata_of_its_own_without_a_warning(path):
    adata = make_adata()
    before = slots(adata)
    view = adata[:5]
    WRITERS[path](view)
    assert not view.is_view
    assert path in slots(view)
    assert_same(slots(adata), before)


def test_none_takes_away_what_was_there_for_genes():
    adata = make_adata()
    write_varm(adata, "L", np.ones((3, 2)))
    write_varm(adata, "L", None)
    write_varm(adata, "L", None)
    assert "L" not in adata.varm


def test_cells_that_took_no_part_have_no_number():
    adata = make_adata()
    write_cells(adata, "score", np.array([3, 1]), np.array([0.5, 2.0]))
    truth = np.full(20, np.nan)
    truth[[3, 1]] = 0.5, 2.0
    np.testing.assert_array_equal(adata.obs["score"], truth)


def test_a_result_may_replace_one_of_its_kind_and_nothing_else():
    adata = make_adata()
    check_result_key(adata, "cross_validation", "cross_validation")
    adata.uns["cross_validation"] = {"kind": "cross_validation"}
    check_result_key(adata, "cross_validation", "cross_validation")
    for other in ({"kind": "tuning"}, {"params": {}}, pd.DataFrame(), "text", np.ones(2)):
        adata.uns["mine"] = other
        message = (
            r"key_added='mine': adata\.uns\['mine'\] holds something other than a cross validation, .* Pass another"
        )
        with pytest.raises(ValueError, match=message):
            check_result_key(adata, "mine", "cross_validation")
    with pytest.raises(ValueError, match="without '/'"):
        check_result_key(adata, "a/b", "cross_validation")


def test_a_missing_result_is_answered_with_those_that_are_there():
    adata = make_adata()
    adata.uns |= {"first": {"kind": "tuning"}, "pca": {"params": {}}, "other": {"kind": "cross_validation"}}
    assert read_entry(adata, "first", kind="tuning", made_by="tune") is adata.uns["first"]
    message = (
        r"adata\.uns\['other'\] holds no tuning; stored ones: 'first'\. Make one with "
        r"sg\.tl\.tune\(adata, sample_key, label_key, key_added='other'\)"
    )
    with pytest.raises(KeyError, match=message):
        read_entry(adata, "other", kind="tuning", made_by="tune")


def test_arguments_become_plain_values(tmp_path):
    found = params(a=None, n=3, on=True, names=["x", 2], text="t", share=0.5, other=np.int64(3))
    assert {name: value for name, value in found.items() if name != "names"} == {
        "n": 3,
        "on": True,
        "text": "t",
        "share": 0.5,
        "other": 3,
    }
    assert found["names"].tolist() == ["x", "2"]
    adata = AnnData(np.zeros((2, 1)))
    write_uns(adata, "params", found)
    assert_round_trip(adata, tmp_path)


def test_names_of_a_table_are_categories_in_order_of_first_appearance():
    found = table({"method": ["b", "a", "b"], "value": [1.0, 2.0, 3.0]}, names=("method",))
    assert found["method"].cat.categories.tolist() == ["b", "a"]
    assert found["method"].tolist() == ["b", "a", "b"]
    assert found["value"].tolist() == [1.0, 2.0, 3.0]
