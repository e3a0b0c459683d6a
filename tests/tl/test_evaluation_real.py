"""Real cohorts come out as what they are."""

import anndata as ad
import pytest

import scggml as sg

QUIET = {"progress": False, "n_jobs": 1}


def evaluate(adata, methods, **options):
    sg.tl.cross_validate(adata, "sample_id", "label", methods=methods, n_cells=40, **(QUIET | options))
    return sg.get.cross_validation(adata)


@pytest.mark.real
@pytest.mark.parametrize("name", ["autism_velmeshev", "onek1k_scdesignpop"])
def test_cohorts_without_signal_are_said_to_have_none_or_a_weak_one(data_dir, name):
    adata = ad.read_h5ad(data_dir / f"{name}.h5ad")
    found = evaluate(adata, ["canonical", "euclidean", "pseudobulk", "majority"], n_repeats=1)
    *methods, limits = found.verdict.split("\n")
    assert limits.startswith(f"With {adata.obs['sample_id'].nunique()} donors (")
    for line in methods:
        assert "no evidence that the labels can be predicted" in line or "weak signal" in line
    assert (found.summary["balanced_accuracy"] < 0.72).all()


@pytest.mark.real
def test_a_cohort_with_a_clear_signal_is_said_to_have_it(data_dir):
    adata = ad.read_h5ad(data_dir / "hiv_flowtype.h5ad")
    # the interval of a single repeat, out of five folds, would be wide
    found = evaluate(adata, ["canonical", "euclidean", "pseudobulk", "majority"], n_repeats=3)
    assert found.summary.loc["canonical", "balanced_accuracy"] > 0.8
    assert found.verdict.startswith("canonical: strong signal")


@pytest.mark.real
def test_paired_samples_stay_together_and_few_labelings_are_said_to_be_few(data_dir):
    adata = ad.read_h5ad(data_dir / "gbm_panobinostat_lemur.h5ad")
    sg.tl.permutation_test(
        adata, "sample_id", "label", groups_key="patient_id", n_permutations=40, n_cells=30, method="euclidean", **QUIET
    )
    found = adata.uns["permutation_test"]
    assert found["n_labelings"] == 16  # 5 pairs; half of the 32 labelings are the other half under other names
    assert found["smallest_p"] == 1 / 16
    assert found["p_value"] >= 1 / 16
