from dataclasses import FrozenInstanceError, fields

import pytest

from scggml._anndata.keys import Keys

SLOTS = (
    "metric",
    "cells",
    "loadings",
    "patterns",
    "distances",
    "genes",
    "stability",
    "attribution",
    "excess",
    "enrichment",
    "pseudotime",
    "trajectory",
    "cell_types",
    "influence",
    "means",
    "covariances",
)


def test_the_default_key_names_the_documented_slots():
    keys = Keys()
    assert {name: getattr(keys, name) for name in SLOTS} == {
        "metric": "ggml",
        "cells": "X_ggml",
        "loadings": "ggml",
        "patterns": "ggml_patterns",
        "distances": "ggml_distances",
        "genes": "ggml_genes",
        "stability": "ggml_stability",
        "attribution": "ggml_attribution",
        "excess": "ggml_excess",
        "enrichment": "ggml_enrichment",
        "pseudotime": "ggml_pseudotime",
        "trajectory": "ggml_trajectory",
        "cell_types": "ggml_cell_types",
        "influence": "ggml_influence",
        "means": "ggml_means",
        "covariances": "ggml_covariances",
    }


def test_another_key_renames_every_slot():
    default, other = Keys(), Keys("tumor")
    for name in SLOTS:
        assert getattr(other, name) == getattr(default, name).replace("ggml", "tumor")
        assert "tumor" in getattr(other, name)


def test_keys_cannot_be_changed():
    assert [field.name for field in fields(Keys)] == ["key"]
    with pytest.raises(FrozenInstanceError):
        Keys().key = "other"
