import numpy as np
import pytest
from _slots import assert_round_trip
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

import scggml as sg


@pytest.fixture
def names(learned):
    ids = learned.obs["sample_id"].astype(str).unique()
    return str(ids[5]), str(ids[1])


def test_the_plan_couples_both_samples_at_their_distance(learned, names):
    plan = sg.tl.plan(learned, *names)
    samples = sg.tl.distances(learned, progress=False)
    truth = samples.obsp["ggml_distances"][samples.obs_names.get_loc(names[0]), samples.obs_names.get_loc(names[1])]
    assert plan.X.multiply(plan.layers["distance"]).sum() == pytest.approx(truth, rel=1e-9)
    assert plan.uns["plan"]["distance"] == pytest.approx(truth, rel=1e-9)
    np.testing.assert_allclose(np.asarray(plan.X.sum(axis=1)).ravel(), 1 / 12, rtol=1e-9)
    np.testing.assert_allclose(np.asarray(plan.X.sum(axis=0)).ravel(), 1 / 12, rtol=1e-9)
    assert plan.X.nnz <= 12 + 12 - 1


def test_the_plan_is_the_assignment_where_samples_have_equal_sizes(learned, names):
    plan = sg.tl.plan(learned, *names)
    Z = [learned[learned.obs["sample_id"] == name].obsm["X_ggml"] for name in names]
    C = cdist(*Z)
    rows, columns = linear_sum_assignment(C)
    assert plan.uns["plan"]["distance"] == pytest.approx(C[rows, columns].mean(), rel=1e-9)
    at = plan.X.tocoo()
    np.testing.assert_allclose(plan.layers["distance"].tocsr()[at.row, at.col].A1, C[at.row, at.col], rtol=1e-9)


def test_rows_and_columns_are_the_cells_by_name_in_any_order(learned, names):
    shuffled = learned[np.random.default_rng(0).permutation(learned.n_obs)].copy()
    for adata in (learned, shuffled):
        plan = sg.tl.plan(adata, *names)
        for frame, name in ((plan.obs, names[0]), (plan.var, names[1])):
            cells = adata.obs_names[(adata.obs["sample_id"] == name).to_numpy()]
            assert list(frame.index) == list(cells)
            assert frame["mode"].tolist() == adata.obs.loc[cells, "mode"].tolist()
    straight = sg.tl.plan(learned, *names).to_df()
    np.testing.assert_allclose(plan.to_df().loc[straight.index, straight.columns], straight, atol=1e-12)


def test_the_other_way_round_is_the_transpose(learned, names):
    one, other = sg.tl.plan(learned, *names), sg.tl.plan(learned, *names[::-1])
    assert one.uns["plan"]["distance"] == pytest.approx(other.uns["plan"]["distance"], rel=1e-12)
    assert one.shape == other.shape[::-1]
    assert list(one.obs_names) == list(other.var_names)


def test_weights_are_the_margins(learned, names):
    learned.obs["weight"] = np.random.default_rng(0).uniform(0.1, 1.0, learned.n_obs)
    plan = sg.tl.plan(learned, *names, weights_key="weight")
    for margin, name in ((plan.X.sum(axis=1), names[0]), (plan.X.sum(axis=0), names[1])):
        own = learned.obs.loc[learned.obs["sample_id"] == name, "weight"].to_numpy()
        np.testing.assert_allclose(np.asarray(margin).ravel(), own / own.sum(), rtol=1e-9)


def test_a_squared_metric_has_squared_distances(adata):
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, squared=True, progress=False)
    names = adata.obs["sample_id"].astype(str).unique()[[0, 4]]
    plan = sg.tl.plan(adata, *names)
    Z = [adata[adata.obs["sample_id"] == name].obsm["X_ggml"] for name in names]
    at = plan.X.tocoo()
    truth = cdist(*Z, "sqeuclidean")[at.row, at.col]
    np.testing.assert_allclose(plan.layers["distance"].tocsr()[at.row, at.col].A1, truth, rtol=1e-9)


def test_the_plan_survives_a_file(learned, names, tmp_path):
    assert_round_trip(sg.tl.plan(learned, *names), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("p9", 1), {}, ValueError, r"No sample 'p9' in adata\.obs\['sample_id'\], which has 'class0_"),
        ((0, 0), {}, ValueError, "are both 'class0_"),
        ((0, 1), {"sample_key": "donor"}, KeyError, "sample_key='donor' is not a column"),
        ((0, 1), {"key": "other"}, KeyError, "No learned metric"),
    ],
)
def test_bad_input_is_refused(learned, arguments, options, error, message):
    ids = learned.obs["sample_id"].astype(str).unique()
    named = [ids[a] if isinstance(a, int) else a for a in arguments]
    with pytest.raises(error, match=message):
        sg.tl.plan(learned, *named, **options)
