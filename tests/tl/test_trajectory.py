"""Orders of samples: a planted one is recovered on held-out donors, and one that means nothing names nothing."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _slots import assert_same, slots
from anndata import AnnData
from scipy.stats import false_discovery_control, spearmanr

import scggml as sg

QUIET = {"n_jobs": 1, "progress": False}
KEY = "ggml_held_out"
FOUND = f"{KEY}_trajectory"


def prepared(adata: AnnData) -> AnnData:
    """Log-normalize counts, and learn a metric with and without donors."""
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=15)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", **QUIET)
    sg.tl.cross_fit(adata, **QUIET)
    return adata


@pytest.fixture(scope="module")
def _cells() -> AnnData:
    adata = sg.datasets.synthetic_counts(
        n_classes=4, n_samples=8, n_cells=60, n_genes=200, n_planted=12, log_fold_change=1.5, rng=1
    )
    adata.obs["label"] = adata.obs["label"].cat.as_ordered()
    return prepared(adata)


@pytest.fixture(scope="module")
def _samples(_cells) -> AnnData:
    samples = sg.tl.distances(_cells, held_out=True, **QUIET)
    sg.tl.trajectory(samples, _cells, cell_type_key="cell_type", **QUIET)
    return samples


@pytest.fixture
def cells(_samples, _cells) -> AnnData:
    """Cells with the test of components that the trajectory ran."""
    return _cells.copy()


@pytest.fixture
def samples(_samples) -> AnnData:
    return _samples.copy()


def levels(samples: AnnData) -> np.ndarray:
    """Return the planted level of each sample."""
    return samples.obs["label"].cat.codes.to_numpy()


def test_a_planted_order_is_recovered_with_its_genes(samples, cells):
    found = samples.uns[FOUND]
    order = samples.obs[f"{KEY}_pseudotime"].to_numpy()
    assert found["seen"] == "held out"
    assert found["association"] == pytest.approx(spearmanr(order, levels(samples)).statistic)
    assert found["association"] >= 0.9
    assert found["p_value"] == cells.uns["ggml_components"]["p_any"]  # run by the trajectory
    assert 0 == order.min() <= order.max() == 1
    genes = found["genes"].set_index("gene")
    named = set(genes.index[genes["p_adjusted"] <= 0.05])
    planted = set(cells.uns["synthetic"]["planted_genes"])
    known = spearmanr(samples.X, levels(samples)).pvalue[-1, :-1]  # of the planted levels, which no order knows better
    most = planted & set(samples.var_names[false_discovery_control(known) <= 0.05])
    assert len(named & planted) >= 0.8 * len(most) > 0
    assert len(named - planted) <= 0.15 * len(named)
    up = genes.loc[list(named & planted), "rho"] > 0
    assert (up == (cells.var.loc[up.index, "planted_effect"] > 0)).all()
    types = found["cell_types"].set_index("cell_type")
    assert (types["p_adjusted"] > 0.05).all()  # composition is the same at every level
    np.testing.assert_allclose(types["share"].sum(), 1.0)
    np.testing.assert_allclose(samples.obsm[f"{KEY}_cell_types"].sum(axis=1), 1.0)
    assert "Spearman correlation" in found["verdict"]
    assert f"{len(named)} of 200 genes" in found["verdict"]


def test_no_rate_is_below_the_p_value_of_the_order(samples):
    found = samples.uns[FOUND]
    for table in ("genes", "cell_types"):
        assert found[table]["p_adjusted"].min() >= found["p_value"]


def test_where_labels_mean_nothing_no_gene_is_named():
    adata = sg.datasets.synthetic_counts(n_samples=10, n_cells=40, n_genes=100, n_planted=0, rng=3)
    with pytest.warns(UserWarning, match="do not differ in their mean"):
        prepared(adata)
    samples = sg.tl.distances(adata, held_out=True, **QUIET)
    with pytest.warns(UserWarning, match="no false discovery rate of a gene is below"):
        sg.tl.trajectory(samples, adata, n_perm=99, **QUIET)
    found = samples.uns[FOUND]
    assert found["genes"]["p_adjusted"].min() >= found["p_value"] > 0.05
    assert "No rate is below the p-value of the order" in found["verdict"]


def test_the_order_of_a_component_is_that_of_the_scores(cells, samples):
    sg.tl.trajectory(samples, cells, component="ggml1", n_perm=99, **QUIET)
    own = cells.obs["sample_id"].astype(str)
    scores = pd.Series(cells.obsm["X_ggml_held_out"][:, 0]).groupby(own.to_numpy()).mean()
    assert spearmanr(samples.obs[f"{KEY}_pseudotime"], scores[samples.obs_names]).statistic == pytest.approx(1.0)
    assert samples.uns[FOUND]["params"]["component"] == 1
    assert "cell_types" not in samples.uns[FOUND]
    assert f"{KEY}_cell_types" not in samples.obsm  # those of the trajectory that was there


def test_without_cells_there_is_an_order_and_no_p_value(samples):
    before = samples.obs[f"{KEY}_pseudotime"].copy()
    sg.tl.trajectory(samples, **QUIET)
    found = samples.uns[FOUND]
    np.testing.assert_array_equal(samples.obs[f"{KEY}_pseudotime"], before)
    assert found["genes"]["p_adjusted"].isna().all()
    assert "pass adata" in found["verdict"]


def test_any_stored_distances_are_taken(cells, samples):
    samples.obsp["other_distances"] = samples.obsp[f"{KEY}_distances"].copy()
    sg.tl.trajectory(samples, cells, key="other", label_key="label", n_perm=99, **QUIET)
    found = samples.uns["other_trajectory"]
    assert found["p_value"] == 0.01  # labels permuted, since no label is known to have shaped the distances
    assert found["genes"]["p_value"].isna().all()
    np.testing.assert_array_equal(samples.obs["other_pseudotime"], samples.obs[f"{KEY}_pseudotime"])


def test_a_fixed_metric_is_computed_again_from_some_of_the_cells(cells):
    samples = sg.tl.distances(cells, metric="euclidean", **QUIET)
    sg.tl.trajectory(samples, cells, key="euclidean", n_perm=99, **QUIET)
    found = samples.uns["euclidean_trajectory"]
    assert found["genes"]["p_value"].notna().all()
    assert "seen" not in found


def test_on_training_samples_nothing_is_tested(cells):
    samples = sg.tl.distances(cells, **QUIET)
    sg.tl.trajectory(samples, cells, key="ggml", **QUIET)
    found = samples.uns["ggml_trajectory"]
    assert np.isnan(found["p_value"])
    assert found["genes"]["p_value"].isna().all()
    assert "by construction" in found["verdict"]


def test_the_order_begins_at_the_root(samples):
    root = samples.obs_names[int(np.argmax(samples.obs[f"{KEY}_pseudotime"]))]
    sg.tl.trajectory(samples, root=root, **QUIET)
    assert samples.obs.loc[root, f"{KEY}_pseudotime"] == 0
    assert samples.uns[FOUND]["association"] < -0.8
    assert samples.uns[FOUND]["params"]["root"] == root


def test_rows_of_samples_may_stand_in_any_order(samples):
    turned = samples[::-1].copy()
    sg.tl.trajectory(turned, **QUIET)
    again = turned.obs[f"{KEY}_pseudotime"][samples.obs_names]
    np.testing.assert_allclose(
        again, samples.obs[f"{KEY}_pseudotime"], atol=1e-5
    )  # scanpy computes in single precision


def test_the_same_seed_gives_the_same_numbers_and_a_copy_leaves_the_samples(cells, samples):
    before = samples.copy()
    again = sg.tl.trajectory(samples, cells, cell_type_key="cell_type", copy=True, **QUIET)
    pd.testing.assert_frame_equal(again.uns[FOUND]["genes"], before.uns[FOUND]["genes"])
    assert "ggml_components" in cells.uns
    sg.tl.trajectory(samples, cells, n_perm=19, rng=1, copy=True, **QUIET)
    pd.testing.assert_frame_equal(samples.uns[FOUND]["genes"], before.uns[FOUND]["genes"])


def test_samples_of_one_donor_and_label_count_once(cells, samples):
    samples.obs["donor"] = [f"d{i // 2}" for i in range(samples.n_obs)]
    sg.tl.trajectory(samples, groups_key="donor", **QUIET)
    found = samples.uns[FOUND]["association"]
    order = samples.obs[f"{KEY}_pseudotime"].to_numpy().reshape(-1, 2).mean(axis=1)
    assert found == pytest.approx(spearmanr(order, levels(samples)[::2]).statistic)


def test_samples_with_few_cells_are_ordered_and_not_tested(cells, samples):
    few = cells.obs["sample_id"] == samples.obs_names[3]
    keep = ~few | (few.cumsum() <= 3)
    small = cells[keep.to_numpy()].copy()
    mine = sg.tl.distances(small, held_out=True, **QUIET)
    sg.tl.trajectory(mine, small, cell_type_key="cell_type", n_perm=99, **QUIET)
    assert mine.obs[f"{KEY}_pseudotime"].notna().all()
    assert "31 samples" in mine.uns[FOUND]["verdict"]
    assert mine.obsm[f"{KEY}_cell_types"].iloc[3].isna().all()


def test_where_few_samples_have_enough_cells_nothing_is_tested(cells, samples):
    sg.tl.trajectory(samples, cells, n_folds=61, **QUIET)
    found = samples.uns[FOUND]
    assert found["genes"]["p_value"].isna().all()
    assert "at least 6 samples with a cell in each of n_folds" in found["verdict"]


def test_a_label_of_one_value_is_none(cells, samples):
    samples.obs["site"] = "here"
    sg.tl.trajectory(samples, cells, label_key="site", n_perm=19, **QUIET)
    found = samples.uns[FOUND]
    assert np.isnan(found["association"])
    assert "There is no label" in found["verdict"]
    assert "p_label" not in found["genes"]


def test_donors_of_the_metric_must_be_in_the_samples(cells):
    cells.obs["donor"] = cells.obs["sample_id"].astype(str)
    sg.tl.ggml(cells, "sample_id", "label", use_rep="X_pca", groups_key="donor", n_comps=2, **QUIET)
    sg.tl.cross_fit(cells, n_splits=3, **QUIET)
    samples = sg.tl.distances(cells, held_out=True, **QUIET)
    del samples.obs["donor"]
    with pytest.raises(KeyError, match="groups_key='donor'"):  # or samples of one donor would count as many
        sg.tl.trajectory(samples, cells, **QUIET)


def test_five_pairs_have_no_smaller_rate_than_their_orders_allow():
    adata = sg.datasets.synthetic_counts(n_samples=5, n_cells=40, n_genes=60, n_planted=10, log_fold_change=4.0)
    adata.obs["donor"] = "d" + adata.obs["sample_id"].astype(str).str[-1]
    sc.pp.log1p(adata)
    samples = sg.tl.distances(adata, metric="euclidean", sample_key="sample_id", label_key="label", **QUIET)
    sg.tl.trajectory(samples, adata, key="euclidean", batch_key="donor", groups_key="donor", **QUIET)
    found = samples.uns["euclidean_trajectory"]
    assert found["genes"]["p_adjusted"].min() >= 1 / 32


def test_the_results_survive_a_file(samples, tmp_path):
    samples.write_h5ad(tmp_path / "samples.h5ad")
    back = ad.read_h5ad(tmp_path / "samples.h5ad")
    pd.testing.assert_frame_equal(back.uns[FOUND]["genes"], samples.uns[FOUND]["genes"])
    assert back.uns[FOUND]["verdict"] == samples.uns[FOUND]["verdict"]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"root": "nobody"}, KeyError, "root='nobody' is not in samples.obs_names"),
        ({"key": "other"}, KeyError, "'other_distances'"),
        ({"component": 1}, ValueError, "pass adata"),
        ({"label_key": "stage"}, KeyError, "label_key='stage'"),
        ({"groups_key": "stage"}, KeyError, "groups_key='stage'"),
        ({"batch_key": "stage"}, KeyError, "batch_key='stage'"),
        ({"n_folds": 1}, ValueError, "n_folds=1"),
        ({"n_perm": 0}, ValueError, "n_perm=0"),
        ({"n_neighbors": 1}, ValueError, "n_neighbors=1"),
        ({"copy": "yes"}, TypeError, "copy"),
        ({"cell_type_key": "cell_type"}, ValueError, "cell_type_key='cell_type' is read from the cells: pass adata"),
        ({"layer": "counts"}, ValueError, "layer='counts' is read from the cells: pass adata"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(samples, options, error, says):
    before = slots(samples)
    with pytest.raises(error, match=says):
        sg.tl.trajectory(samples, **QUIET, **options)
    assert_same(slots(samples), before)


def test_cells_of_other_samples_and_another_metric_are_refused(cells, samples):
    with pytest.raises(ValueError, match="are not in adata"):
        sg.tl.trajectory(samples, cells[cells.obs["sample_id"] != samples.obs_names[0]].copy(), **QUIET)
    sg.tl.ggml(cells, "sample_id", "label", use_rep="X_pca", n_comps=2, **QUIET)
    with pytest.raises(ValueError, match="another metric"):
        sg.tl.trajectory(samples, cells, **QUIET)
    with pytest.raises(KeyError, match="cell_type_key='kind'"):
        sg.tl.trajectory(sg.tl.distances(cells, **QUIET), cells, key="ggml", cell_type_key="kind", **QUIET)
    with pytest.raises(ValueError, match="at least 6 samples"):
        sg.tl.trajectory(samples[:5].copy(), **QUIET)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:.*samples have few cells", "ignore:The cells of")
def test_kidneys_are_ordered_at_least_as_well_as_by_their_first_principal_component(data_dir):
    adata = ad.read_h5ad(data_dir / "kidney_igan_pilot.h5ad")
    worst_to_best = ["eGFR<30", "eGFR30-60", "eGFR>60"]
    adata.obs["label"] = pd.Categorical(adata.obs["label"], worst_to_best, ordered=True)
    biopsies = adata.obs.groupby("sample_id", observed=True).size()
    adata = adata[adata.obs["sample_id"].isin(biopsies.index[biopsies >= 10][::3])].copy()  # 180 of 634, for speed
    sc.pp.scale(adata)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X", progress=False)
    sg.tl.cross_fit(adata, n_splits=3, progress=False)
    samples = sg.tl.distances(adata, held_out=True, progress=False)
    sg.tl.trajectory(samples, progress=False)
    means = samples.X - samples.X.mean(axis=0)
    first = np.linalg.svd(means, full_matrices=False)[0][:, 0]
    by_pca = abs(spearmanr(first, levels(samples)).statistic)
    assert samples.uns[FOUND]["association"] >= by_pca + 0.1


def test_a_cell_type_without_a_name_is_refused(samples, cells):
    cells = cells.copy()
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(str).replace({"type0": ""})
    with pytest.raises(ValueError, match=r"adata\.obs\['cell_type'\] .* type is an empty text, .* name it"):
        sg.tl.trajectory(samples, cells, cell_type_key="cell_type", **QUIET)
