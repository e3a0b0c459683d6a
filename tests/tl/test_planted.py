"""Where labels are plain to see, new donors are ranked without a mistake: planted genes whose dose grows by class."""

from itertools import pairwise

import numpy as np
import pytest
import scanpy as sc

import scggml as sg

METHODS = ["ensemble", "canonical"]


@pytest.fixture(scope="module")
def cohort():
    sizes = {"n_classes": 4, "n_samples": 5, "n_cells": 30, "n_genes": 100, "n_planted": 12, "n_types": 2}
    adata = sg.datasets.synthetic_counts(log_fold_change=2.0, rng=0, **sizes)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=10)
    adata.obs["dose"] = adata.obs["label"].cat.codes.astype(float)
    return adata


def evaluated(adata, label, kind):
    how = {"use_rep": "X_pca", "n_repeats": 1, "progress": False, "n_jobs": 1}
    sg.tl.cross_validate(adata, "sample_id", label, label_kind=kind, methods=METHODS, **how)
    return sg.get.cross_validation(adata)


def test_doses_of_new_donors_are_in_order(cohort):
    found = evaluated(cohort, "dose", "numbers").predictions
    for method in METHODS:
        own = found[found["method"] == method]
        doses = [own.loc[own["label"] == dose, "prediction"] for dose in range(4)]
        for low, high in pairwise(doses):
            assert low.max() < high.min(), method


def test_classes_of_new_donors_are_ranked_without_a_mistake(cohort):
    two = cohort[cohort.obs["label"].isin(["class0", "class3"])].copy()
    found = evaluated(two, "label", "classes")
    np.testing.assert_array_equal(found.summary.loc[METHODS, "auroc"], 1.0)
    np.testing.assert_array_equal(found.summary.loc[METHODS, "balanced_accuracy"], 1.0)
    assert (found.summary.loc[METHODS, "log_loss"] < 0.3).all()
