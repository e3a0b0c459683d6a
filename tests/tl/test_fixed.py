"""Fixed metrics by name, as functions and as matrices, in distances and in evaluations."""

from functools import partial

import numpy as np
import ot
import pandas as pd
import pytest
from _nulls import null_cohort
from scipy.spatial.distance import cdist

import scggml as sg
from scggml.tl._fixed import FIXED, as_fixed

QUIET = {"sample_key": "sample", "progress": False, "n_jobs": 1}
ROOT = np.array([[2.0, 1.0, 0.0, 0.0], [0.0, 0.5, 0.0, 1.0]])
M = ROOT.T @ ROOT


@pytest.fixture
def cells():
    return null_cohort(n_donors=6, n_cells=5)


def manhattan(x, y, scale=1.0):
    return scale * cdist(x, y, "cityblock")


def direct(adata, cost):
    """Transport between samples pair by pair."""
    names = adata.obs["sample"].unique()
    clouds = [adata.X[(adata.obs["sample"] == name).to_numpy()] for name in names]
    return np.array([[ot.emd2([], [], cost(x, y)) for y in clouds] for x in clouds])


def measured(adata, metric, **options):
    samples = sg.tl.distances(adata, metric=metric, **(QUIET | options))
    (slot,) = samples.obsp
    return slot, samples.obsp[slot], samples


def test_a_function_of_two_arrays_is_the_ground_cost(cells):
    slot, D, samples = measured(cells, manhattan)
    assert slot == "manhattan_distances"
    assert samples.uns[slot]["metric"] == "manhattan"
    np.testing.assert_allclose(D, direct(cells, manhattan), rtol=1e-6, atol=1e-9)
    assert measured(cells, lambda x, y: 3 * manhattan(x, y))[0] == "function_distances"
    slot, twice, _ = measured(cells, partial(manhattan, scale=2.0))
    assert slot == "partial_distances"
    np.testing.assert_allclose(twice, 2 * D, rtol=1e-6)


def test_the_correlation_distance_is_that_of_scipy(cells):
    slot, D, _ = measured(cells, "correlation")
    assert slot == "correlation_distances"
    np.testing.assert_allclose(D, direct(cells, lambda x, y: cdist(x, y, "correlation")), rtol=1e-6, atol=1e-9)


def test_a_matrix_is_the_mahalanobis_distance_that_it_defines(cells):
    slot, D, samples = measured(cells, M)
    assert slot == "matrix_distances"
    truth = direct(cells, lambda x, y: cdist(x @ ROOT.T, y @ ROOT.T))
    np.testing.assert_allclose(D, truth, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(measured(cells, np.eye(4))[1], measured(cells, "euclidean")[1], rtol=1e-7)
    # what is written of the samples are their features, not those under the matrix
    np.testing.assert_allclose(samples.X, measured(cells, "euclidean")[2].X)


def test_a_table_is_matched_by_the_names_of_the_features(cells):
    table = pd.DataFrame(M, index=cells.var_names, columns=cells.var_names)
    order = cells.var_names[[2, 0, 3, 1]]
    extra = table.reindex(index=[*order, "other"], columns=[*order, "other"], fill_value=0.0)
    truth = measured(cells, M)[1]
    np.testing.assert_allclose(measured(cells, table.loc[order, order])[1], truth, rtol=1e-7)
    lacking = table.loc[order[:3], order[:3]]
    with pytest.raises(ValueError, match=r"metric lacks 1 of the 4 features: 'g1'"):
        measured(cells, lacking)
    np.testing.assert_allclose(measured(cells, extra)[1], truth, rtol=1e-7)


def test_a_stored_metric_keeps_its_key(cells):
    options = {"n_comps": 1, "progress": False, "summary": None}
    sg.tl.ggml(cells, "sample", "label", key_added="canberra", **options)
    learned = sg.tl.distances(cells, metric="canberra", key="canberra", progress=False)
    assert "fingerprint" in learned.uns["canberra_distances"]
    slot, D, _ = measured(cells, lambda x, y: cdist(x, y, "canberra"), key="canberra")
    function = partial(manhattan)
    function.__name__ = "canberra"
    assert measured(cells, function, key="canberra")[0] == "given_canberra_distances"
    assert slot == "function_distances"
    assert not np.allclose(D, learned.obsp["canberra_distances"])


def test_a_metric_gives_the_same_in_coordinates_and_neighbors(cells):
    samples = measured(cells, M)[2]
    sg.tl.mds(samples, key="matrix")
    sg.tl.neighbors(samples, key="matrix", n_neighbors=3)
    assert samples.obsm["X_mds"].shape[0] == 6
    assert samples.obsp["connectivities"].shape == (6, 6)


def test_distances_of_others_are_read_by_the_key_that_they_are_stored_under(cells):
    _, D, samples = measured(cells, M)
    order = samples.obs_names[::-1]
    table = pd.DataFrame(D[::-1, ::-1], index=order, columns=order)
    samples.obsp["other_distances"] = table.loc[samples.obs_names, samples.obs_names].to_numpy()
    sg.tl.mds(samples, key="matrix")
    truth = samples.obsm["X_mds"].copy()
    sg.tl.mds(samples, key="other")
    np.testing.assert_allclose(samples.obsm["X_mds"], truth)
    sg.tl.neighbors(samples, key="other", n_neighbors=3)


def test_every_name_is_a_fixed_metric_and_others_are_none():
    assert all(as_fixed(name).name == name for name in FIXED)
    for other in ("ggml", "mahalanobis", "euclid", None, 3, dict, object()):
        assert as_fixed(other) is None


FAULTS = [
    (3, TypeError, "metric=3 is a int; pass a name such as 'euclidean'"),
    ("mahalanobis", KeyError, "metric='mahalanobis' is neither a fixed metric"),
    (np.ones(4), ValueError, r"metric has shape \(4,\); pass a \(d, d\) matrix"),
    (np.ones((2, 4)), ValueError, r"metric has shape \(2, 4\).*W\.T @ W"),
    (np.eye(3), ValueError, r"metric has shape \(3, 3\), and the cells have 4 features"),
    (np.triu(np.ones((4, 4))), ValueError, r"not symmetric: \[0, 1\] is 1 and \[1, 0\] is 0"),
    (np.diag([1.0, 1.0, 1.0, -0.5]), ValueError, r"metric has the eigenvalue -0\.5"),
    (np.zeros((4, 4)), ValueError, "metric is 0 throughout"),
    (np.diag([1.0, 1.0, 1.0, np.nan]), ValueError, r"the first is metric\[3, 3\]"),
    (pd.DataFrame(np.eye(4), index=list("abcd")), ValueError, "rows and columns of different names"),
    (lambda x, y: -manhattan(x, y), ValueError, "costs that are negative"),
]


@pytest.mark.parametrize(("metric", "error", "message"), FAULTS, ids=[message for *_, message in FAULTS])
def test_what_is_no_metric_is_named(cells, metric, error, message):
    with pytest.raises(error, match=message):
        measured(cells, metric)


def test_a_divergence_of_a_function_is_refused_before_cells_are_read(cells):
    cells.X[0, 0] = np.nan  # would be found next
    with pytest.raises(ValueError, match="SinkhornDivergence needs cells at places"):
        measured(cells, manhattan, solver="sinkhorn_divergence")


def evaluate(adata, methods):
    options = {"n_splits": 3, "n_repeats": 1, "n_jobs": 1, "progress": False, "preprocess": None}
    sg.tl.cross_validate(adata, "sample", "label", methods=methods, **options)
    return adata.uns["cross_validation"]


def test_in_an_evaluation_they_are_transport_with_that_cost(cells):
    methods = {"own": manhattan, "name": "cityblock", "M": np.eye(4), "euclidean": "euclidean", "r": "correlation"}
    found = evaluate(cells, methods | {"canberra": "canberra", "blend": sg.tl.Blend([manhattan, np.eye(4)])})
    D = dict(zip(found["distance_methods"], found["distances"], strict=True))
    np.testing.assert_allclose(D["own"], D["name"], rtol=1e-5)
    np.testing.assert_allclose(D["M"], D["euclidean"], rtol=1e-5)
    for name in ("correlation", "canberra"):
        truth = direct(cells, lambda x, y, name=name: cdist(x, y, name))
        np.testing.assert_allclose(D["r" if name == "correlation" else name], truth, rtol=1e-5, atol=1e-7)


def test_a_function_goes_beside_learned_metrics_that_share_their_plans(cells):
    found = evaluate(cells, {"own": manhattan, "canonical": "canonical"})
    assert list(found["distance_methods"]) == ["own", "canonical"]


def test_a_table_has_no_order_of_features_in_an_evaluation(cells):
    with pytest.raises(TypeError, match=r"metric is a DataFrame.*metric\.to_numpy\(\)"):
        evaluate(cells, {"M": pd.DataFrame(np.eye(4))})


def test_a_matrix_of_another_size_is_named_in_an_evaluation(cells):
    with pytest.raises(ValueError, match=r"metric has shape \(3, 3\), and the cells have 4 features"):
        evaluate(cells, {"M": np.eye(3)})
