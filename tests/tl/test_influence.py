"""Donors that are unlike the others are named, and a metric without each of them is what learning gives."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

import scggml as sg
from scggml._core.explain.influence import similarity

QUIET = {"n_jobs": 1, "progress": False}


def cohort(seed: int = 0, *, shifted: str | None = None) -> AnnData:
    """Twenty donors; some genes of one of them are raised or lowered four-fold."""
    adata = sg.datasets.synthetic_counts(n_samples=10, n_cells=40, n_genes=200, n_planted=10, rng=seed)
    if shifted is not None:
        rng, own = np.random.default_rng(seed), (adata.obs["sample_id"] == shifted).to_numpy()
        X = adata.X.toarray()
        X[np.ix_(own, np.arange(0, 200, 8))] *= rng.choice([4.0, 0.0], 25)
        adata.X = sparse.csr_matrix(X)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=10)
    return adata


@pytest.fixture(scope="module")
def _shifted() -> AnnData:
    adata = cohort(shifted="class0_03")
    with pytest.warns(UserWarning, match="unlike those of all others: 'class0_03'"):
        sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", **QUIET)
    sg.tl.influence(adata, **QUIET)
    return adata


@pytest.fixture
def shifted(_shifted) -> AnnData:
    return _shifted.copy()


def test_the_donor_that_is_another_one_is_named(shifted):
    found = shifted.uns["ggml_influence"]
    assert list(found["named"]) == ["class0_03"]
    table = found["table"].set_index("donor")
    assert "unlike" in table.loc["class0_03", "reason"]
    assert table["strangeness"].idxmax() == "class0_03"
    assert (table.drop("class0_03")["reason"] == "").all()
    assert "class0_03 (its cells are unlike those of others)" in found["verdict"]


def test_in_a_clean_cohort_nobody_is_named():
    adata = cohort(seed=2)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", **QUIET)  # without a warning
    sg.tl.influence(adata, **QUIET)
    found = adata.uns["ggml_influence"]
    assert len(found["named"]) == 0
    assert found["verdict"].endswith("No donor stands out.")


def test_the_metric_without_a_donor_is_that_of_learning_without_it(shifted):
    # all cells are points, so both see the same; the setting is that of the stored metric
    stored = shifted.uns["ggml"]
    chosen = stored["choice"]
    setting = {name: chosen[name][chosen["chosen"]] for name in ("ridge", "ridge_scale", "shrinkage")}
    rest = shifted[shifted.obs["sample_id"] != "class1_05"].copy()
    method = sg.tl.Canonical(ridge=float(setting["ridge"]), ridge_scale=str(setting["ridge_scale"]))
    with pytest.warns(UserWarning, match="unlike"):
        sg.tl.ggml(
            rest, "sample_id", "label", use_rep="X_pca", method=method, shrinkage=float(setting["shrinkage"]), **QUIET
        )
    truth = similarity(rest.uns["ggml"]["components"], stored["components"])
    table = shifted.uns["ggml_influence"]["table"].set_index("donor")
    assert table.loc["class1_05", "similarity"] == pytest.approx(truth, abs=1e-6)


def test_genes_that_enter_and_leave_are_as_many(shifted):
    table = shifted.uns["ggml_influence"]["table"]
    counts = [
        table[name].map(lambda names: len(names.split(", ")) if names else 0) for name in ("genes_in", "genes_out")
    ]
    assert (counts[0] == counts[1]).all()
    assert counts[0].max() <= 20
    for genes in table["genes_in"]:
        assert set(genes.split(", ")) - {""} <= set(shifted.var_names)


def test_donors_with_several_samples_are_left_out_as_wholes(shifted):
    shifted.obs["donor"] = shifted.obs["sample_id"].astype(str).str.replace("_0[0-4]", "_a", regex=True).str[:8]
    donors = shifted.obs["sample_id"].astype(str)
    shifted.obs["donor"] = donors.where(~donors.isin(["class0_00", "class0_01"]), "twin")
    with pytest.warns(UserWarning, match="unlike"):
        sg.tl.ggml(shifted, "sample_id", "label", use_rep="X_pca", groups_key="donor", **QUIET)
    sg.tl.influence(shifted, **QUIET)
    table = shifted.uns["ggml_influence"]["table"].set_index("donor")
    assert len(table) == 19
    assert table.loc["twin", "n_samples"] == 2
    assert table.loc["twin", "n_cells"] == 80
    assert table.loc["twin", "label"] == "class0"


def test_the_same_seed_gives_the_same_numbers_for_any_number_of_jobs(shifted):
    before = shifted.uns["ggml_influence"]["table"].copy()
    again = sg.tl.influence(shifted, n_jobs=2, progress=False, copy=True)
    pd.testing.assert_frame_equal(again.uns["ggml_influence"]["table"], before)


def test_the_result_survives_a_file_and_is_refused_after_learning_anew(shifted, tmp_path):
    shifted.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    assert list(back.uns["ggml_influence"]["named"]) == ["class0_03"]
    assert len(sg.pl.influence(back)) == 4
    with pytest.warns(UserWarning, match="unlike"):
        sg.tl.ggml(shifted, "sample_id", "label", use_rep="X_pca", n_comps=2, **QUIET)
    with pytest.raises(ValueError, match="another metric"):
        sg.pl.influence(shifted)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"n_genes": 0}, "n_genes=0"), ({"level": 0}, "level=0"), ({"level": 2.0}, "level=2.0")],
)
def test_bad_arguments_are_named(shifted, options, says):
    with pytest.raises(ValueError, match=says):
        sg.tl.influence(shifted, **QUIET, **options)


def test_too_few_donors_are_refused(learned):
    names = learned.obs["sample_id"].unique()
    small = learned[learned.obs["sample_id"].isin([*names[:2], *names[3:6]])].copy()
    sg.tl.ggml(small, "sample_id", "label", n_comps=1, **QUIET)
    with pytest.raises(ValueError, match="at least 6 are needed"):
        sg.tl.influence(small, **QUIET)
    two = learned[learned.obs["sample_id"] != names[2]].copy()
    sg.tl.ggml(two, "sample_id", "label", n_comps=1, **QUIET)
    with pytest.raises(ValueError, match="class 'class0' has 1 samples"):
        sg.tl.influence(two, **QUIET)


def test_samples_with_few_cells_are_listed_before_learning():
    adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=60)
    few = (adata.obs["sample_id"] == adata.obs["sample_id"].iloc[0]).cumsum() > 4
    keep = ~((adata.obs["sample_id"] == adata.obs["sample_id"].iloc[0]) & few)
    with pytest.warns(UserWarning, match=r"1 of 12 samples have few cells \(the median has 180\)"):
        sg.tl.ggml(adata[keep.to_numpy()].copy(), "sample_id", "label", n_comps=1, **QUIET)
