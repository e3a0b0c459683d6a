import numpy as np
import pandas as pd
import pytest
from _evaluations import planned

from scggml._anndata.planned import needed_text, read_power, score_text


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        ([24, 16, 40], "80% of cohorts of 24 donors or more [16 to 40]"),
        ([24, 16, np.nan], "80% of cohorts of 24 donors or more [16 to more than 60]"),
        (
            [np.nan, 30, np.nan],
            "no number of donors up to 60, twice those of this cohort (at least 30 would be needed)",
        ),
        ([np.nan] * 3, "no number of donors up to 60, twice those of this cohort"),
    ],
)
def test_the_donors_needed_are_said_in_words(needed, said):
    assert needed_text(np.array(needed, dtype=float), 0.8, 60).endswith(said)


def test_scores_are_said_with_their_interval():
    curve = pd.DataFrame({"metric": ["auroc"], "n_donors": [8], "value": [0.784], "low": [0.7], "high": [0.861]})
    assert score_text(curve, "auroc", 8) == "AUROC 0.78 [0.70, 0.86]"
    assert score_text(curve, "auroc", 8, name=False) == "0.78 [0.70, 0.86]"


def test_a_plan_is_read_after_a_check_of_its_form():
    assert read_power(planned(), "power")["n_donors"] == 10
    with pytest.raises(ValueError, match=r"needed.*shape"):
        read_power(planned(needed=np.zeros(2)), "power")
