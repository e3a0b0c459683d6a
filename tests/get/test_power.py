import numpy as np
import pandas as pd
import pytest
from _evaluations import CLASSES, NUMBERS, planned

import scggml as sg


def test_all_that_is_stored_comes_back():
    adata = planned()
    entry, found = adata.uns["power"], sg.get.power(adata)
    for name in ("curve", "observed", "power"):
        pd.testing.assert_frame_equal(getattr(found, name), entry[name])
    assert (found.needed, found.low) == (8, 4)
    assert np.isnan(found.high)
    assert found.signal is True
    assert found.donors == dict.fromkeys(CLASSES, 5)
    assert found.n_donors == 10
    assert found.chance == 0.5
    assert found.verdict == "canonical: as said"
    found.curve["value"] = 0.0
    assert (entry["curve"]["value"] > 0).all()


def test_the_table_is_about_the_numbers_that_were_asked_about():
    table = sg.get.power(planned()).table
    assert table["n_donors"].tolist() == [10, 20, 10, 20]
    assert table["metric"].tolist() == ["balanced_accuracy"] * 2 + ["auroc"] * 2
    assert table["power"].tolist() == [0.9, 1.0, 0.9, 1.0]
    assert table["value"].tolist() == pytest.approx([0.72, 0.76, 0.82, 0.86])


def test_other_results_and_damaged_ones_are_told_of():
    with pytest.raises(KeyError, match=r"adata.uns\['other'\] holds no power; stored ones: 'power'.*sg.tl.power"):
        sg.get.power(planned(), key="other")
    damaged = planned()
    damaged.uns["power"]["curve"] = damaged.uns["power"]["curve"].drop(columns="low")
    with pytest.raises(ValueError, match=r"adata.uns\['power'\]\['curve'\] lacks the columns 'low'"):
        sg.get.power(damaged)
    with pytest.raises(ValueError, match="lacks 'power'"):
        sg.get.power(planned(params={"level": 0.05}))
    assert len(NUMBERS) == len(damaged.uns["power"]["power"])
