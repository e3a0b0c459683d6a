"""What was found for one metric is not shown for another: every result knows the metric that it belongs to."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from _metrics import mark

import scggml as sg
from scggml._anndata.forms import sealed
from scggml._anndata.metric import read_metric
from scggml._anndata.ranking import refresh_ranking

QUIET = {"progress": False}


@pytest.fixture
def explained(counts):
    """A metric with all that is derived from it."""
    sg.tl.rank_genes(counts, cell_type_key="cell_type", **QUIET)
    sg.tl.gene_stability(counts, 2, n_perm=19, n_jobs=1, **QUIET)
    sg.tl.attribute(counts, cell_type_key="cell_type", **QUIET)
    sets = {"planted": list(counts.var_names[counts.var["planted"]]), "others": list(counts.var_names[50:60])}
    sg.ext.enrich_gmt(counts, sets, n_genes=10)
    return counts


def learn_again(adata):
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=2, **QUIET)


def change_the_cost(adata):
    """The same W with squared distances."""
    entry, learner = dict(adata.uns["ggml"]), replace(read_metric(adata, "ggml").learner, squared=True)
    entry["learner"] = learner.to_params()
    adata.uns["ggml"] = entry | {"fingerprint": mark(entry)}


def change_the_cells(adata):
    """The same W of cells that were read in another way."""
    entry = dict(adata.uns["ggml"])
    entry["reading"] = dict(entry["reading"]) | {"n_cells": 10}
    adata.uns["ggml"] = entry | {"fingerprint": mark(entry)}


READERS = {
    "genes": (sg.get.rank_genes_df, r"call sg\.tl\.rank_genes\(adata, key='ggml'\) again"),
    "genes of a type": (
        lambda adata: sg.get.rank_genes_df(adata, component=1, cell_type="type0"),
        r"call sg\.tl\.rank_genes\(adata, key='ggml'\) again",
    ),
    "bars": (lambda adata: sg.pl.loadings(adata, show=False), r"call sg\.tl\.rank_genes\(adata, key='ggml'\) again"),
    "intervals": (lambda adata: sg.pl.gene_stability(adata, show=False), r"sg\.tl\.gene_stability\(adata, key='ggml'"),
    "cells": (lambda adata: sg.pl.attribution(adata, show=False), r"call sg\.tl\.attribute\(adata, key='ggml'\) again"),
    "gene sets": (sg.get.enrichment_df, r"call sg\.ext\.gprofiler\(adata, key='ggml'\) or"),
    "significant genes": (
        lambda adata: sg.ext.enrich_gmt(adata, {"x": list(adata.var_names[:9])}, max_p_adjusted=0.05),
        r"call sg\.tl\.rank_genes\(adata, key='ggml'\) again",
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_what_belongs_to_the_metric_is_shown(explained, name):
    if name == "significant genes":
        explained.uns["ggml_stability"] = sealed(explained.uns["ggml_stability"] | {"p_adjusted": np.zeros(100)})
        refresh_ranking(explained, read_metric(explained, "ggml"))
    READERS[name][0](explained)
    plt.close("all")


@pytest.mark.parametrize("change", [learn_again, change_the_cost, change_the_cells])
@pytest.mark.parametrize("name", READERS)
def test_what_belongs_to_another_metric_is_refused_with_the_call_to_run_again(explained, name, change):
    change(explained)
    read, call = READERS[name]
    with pytest.raises((KeyError, ValueError), match=call):
        read(explained)
    plt.close("all")


@pytest.mark.parametrize("change", [learn_again, change_the_cost, change_the_cells])
def test_the_table_of_genes_has_nothing_of_another_metric(explained, change):
    change(explained)
    sg.tl.rank_genes(explained, **QUIET)
    table = explained.uns["ggml_genes"]["table"]
    plain = ["component", "gene", "pattern", "shift", "t", "higher_in", "loading", "share", "rank"]
    assert list(table.columns) == plain
    assert "types" not in explained.uns["ggml_genes"]
    with pytest.raises(ValueError, match=r"no false discovery rates yet; compute them with sg\.tl\.gene_stab"):
        READERS["significant genes"][0](explained)


def test_learning_the_same_again_keeps_what_was_found(explained):
    sg.tl.ggml(explained, "sample_id", "label", use_rep="X_pca", n_comps=3, **QUIET)
    for name, (read, _) in READERS.items():
        if name != "significant genes":
            read(explained)
    plt.close("all")
