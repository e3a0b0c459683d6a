"""What a test of components says in words, and that it is known of one metric only."""

import re
from dataclasses import replace

import numpy as np
import pytest
from _metrics import metric_entry
from anndata import AnnData

from scggml._anndata.forms import sealed
from scggml._anndata.metric import read_metric
from scggml._anndata.tested import real_components, verdict, write_component_test
from scggml._core.evaluate.component_test import ComponentTest


def found(p_values, order=(1, 0, 2), smallest=0.01):
    return ComponentTest(
        np.array(order), np.full(len(p_values), 2.0), np.array(p_values), smallest, np.ones(3, dtype=bool), 0.05
    )


@pytest.mark.parametrize(
    ("p_values", "start"),
    [
        ([0.3], r"No component tells the labels apart .* \(ggml2 p = 0\.3\): nothing that this metric shows"),
        (
            [0.01, 0.3],
            r"1 of 3 components is real \(ggml2 p = 0\.01, ggml1 p = 0\.3\)\. The other 2 are not",
        ),
        ([0.01, 0.02, 0.3], r"2 of 3 components are real .*\. The other one is not"),
        ([0.01, 0.02, 0.03], r"3 of 3 components are real \(.*\)\. No p-value below 0\.01 is possible"),
    ],
)
def test_the_verdict_counts_and_says_what_is_possible(p_values, start):
    text = verdict(found(p_values), "ggml")
    assert text.endswith("No p-value below 0.01 is possible with these donors and permutations.")
    assert re.match(start, text)


def test_cells_that_differ_where_no_component_shows_it_are_said():
    hidden = replace(found([0.01]), own=np.array([True, False, True]))
    assert hidden.p_any == 1.0
    text = verdict(hidden, "ggml")
    assert text.startswith("The cells differ between the labels (ggml2 p = 0.01), but no component shows it: ggml2 was")
    assert "Nothing that this metric shows is a finding." in text
    assert found([0.01]).p_any == 0.01


def test_results_are_by_component_and_of_the_metric_as_it_is():
    adata = AnnData(np.zeros((3, 2)))
    adata.uns["ggml"] = metric_entry(np.diag([3.0, 2.0]), ["a", "b"])
    stored = read_metric(adata, "ggml")
    assert real_components(adata, stored) is None
    write_component_test(adata, stored, found([0.01, 0.4], order=(1, 0)), n_perm=99, seed=7)
    entry = adata.uns["ggml_components"]
    assert (entry["p_any"], entry["params"]) == (0.01, {"n_perm": 99, "level": 0.05, "seed": 7})
    assert entry["real"].tolist() == [False, True]
    np.testing.assert_array_equal(entry["p_values"], [0.4, 0.01])
    assert real_components(adata, stored).tolist() == [False, True]
    adata.uns["ggml_components"] = sealed(entry | {"fingerprint": "another"})  # as one of another metric has it
    assert real_components(adata, stored) is None
