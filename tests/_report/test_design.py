"""What goes with a label is named, and what does not is not."""

import numpy as np
import pandas as pd
import pytest

from scggml._report.design import crosstab, suspicions

RNG = np.random.default_rng(0)
LABEL = np.repeat(["ill", "well"], 20)


def table(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"label": LABEL, **columns})


def test_numbers_of_cells_come_first_with_the_auroc_that_they_alone_have() -> None:
    cells = np.r_[RNG.normal(30, 5, 20), RNG.normal(20, 5, 20)]
    age = np.r_[RNG.normal(50, 5, 20), RNG.normal(30, 5, 20)]
    found = suspicions(table(age=age, n_cells=cells), "label", "n_cells")
    assert [one.column for one in found] == ["n_cells", "age"]
    wins = (cells[:20, None] > cells[None, 20:]).mean()
    assert f"AUROC {wins:.2f}" in found[0].text


def test_a_batch_with_one_label_only() -> None:
    batch = np.array(["B1"] * 8 + ["B2"] * 12 + ["B2"] * 20)
    (found,) = suspicions(table(batch=batch), "label", None)
    assert "B1 (8 samples, all ill)" in found.text


@pytest.mark.parametrize(
    "column",
    [
        np.tile(["a", "b"], 20),
        np.tile([1.0, 2.0], 20),
        np.repeat("a", 40),
        np.r_[np.full(39, np.nan), 1.0],
        np.tile([True, False], 20),
    ],
)
def test_what_is_balanced_constant_or_missing_is_no_suspicion(column: np.ndarray) -> None:
    assert suspicions(table(column=column), "label", None) == []


def test_random_columns_are_rarely_named() -> None:
    named = sum(
        len(suspicions(table(x=RNG.normal(size=40), s=RNG.choice(["a", "b", "c"], 40)), "label", None))
        for _ in range(100)
    )
    assert named <= 22  # 200 columns at 5 %


def test_labels_that_are_numbers_are_left_to_covariates() -> None:
    frame = pd.DataFrame({"label": np.arange(10.0), "x": np.arange(10.0)})
    assert suspicions(frame, "label", None) == []


def test_levels_that_are_numbers_are_in_their_order() -> None:
    counts = crosstab(table(score=np.tile(["10", "2", "ND", "1"], 10)), "label", "score")
    assert list(counts["score"]) == ["1", "2", "10", "ND"]
    assert counts[["ill", "well"]].to_numpy().sum() == 40


def test_labels_are_in_their_order_and_may_be_called_as_a_column_is() -> None:
    frame = table(ill=np.tile(["yes", "no"], 20))
    frame["label"] = pd.Categorical(frame["label"], ["well", "ill"], ordered=True)
    counts = crosstab(frame, "label", "ill")
    assert list(counts.columns) == ["ill", "well", "ill"]
    assert counts.to_numpy().tolist() == [["no", 10, 10], ["yes", 10, 10]]
