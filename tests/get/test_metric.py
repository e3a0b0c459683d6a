import numpy as np
import pandas as pd
import pytest
from _metrics import metric_entry
from anndata import AnnData
from scipy.spatial.distance import cdist

import scggml as sg

W = np.array([[3.0, 0.0, 0.0, 4.0], [0.0, 2.0, 0.0, 0.0]])
GENES = ["g0", "g1", "g2", "g3"]


@pytest.fixture
def adata():
    return AnnData(
        np.random.default_rng(0).normal(size=(6, 4)),
        var=pd.DataFrame(index=GENES),
        varm={"ggml": W.T.copy()},
        uns={"ggml": metric_entry(W, GENES)},
    )


@pytest.fixture
def metric(adata):
    return sg.get.metric(adata)


def test_a_metric_holds_what_was_stored(metric):
    np.testing.assert_array_equal(metric.components, W)
    np.testing.assert_array_equal(metric.singular_values, [5.0, 2.0])
    assert metric.features.tolist() == GENES
    pd.testing.assert_frame_equal(metric.loadings, pd.DataFrame(W.T, index=GENES, columns=["ggml1", "ggml2"]))


def test_a_metric_shows_its_size_and_not_all_of_its_numbers(metric):
    assert repr(metric) == "Metric: 2 components of 4 features"
    learned = sg.tl.Learner(n_comps=1, squared=True).fit(
        [[[0.0, 1.0], [1.0, 0.0]], [[5.0, 1.0], [6.0, 3.0]]] * 2, list("abab")
    )
    assert repr(learned) == "Metric: 1 component of 2 features, squared"


def test_points_are_embedded_whatever_the_axes_before_the_last(metric, adata):
    np.testing.assert_allclose(metric.transform(adata.X), adata.X @ W.T)
    np.testing.assert_allclose(metric.transform(adata.X[0]), W @ adata.X[0])
    np.testing.assert_allclose(metric.transform(adata.X.reshape(2, 3, 4)), (adata.X @ W.T).reshape(2, 3, 2))
    np.testing.assert_allclose(metric.transform([[1, 0, 0, 0]]), [[3, 0]])
    assert metric.transform(adata.X.astype(np.float32)).dtype == np.float64


def test_distances_are_broadcast(metric, adata):
    X = adata.X
    truth = cdist(X @ W.T, X @ W.T)
    np.testing.assert_allclose(metric.distance(X[:, None], X[None, :]), truth)
    np.testing.assert_allclose(metric.distance(X, X[0]), truth[0])
    np.testing.assert_allclose(metric.distance(X[1], X[0]), truth[0, 1])
    assert metric.distance(X[1], X[0]).shape == ()
    assert metric.distance([1, 0, 0, 0], [0, 0, 0, 0]) == 3.0


def test_a_distance_is_the_root_of_the_quadratic_form(metric, adata):
    x, y = adata.X[:2]
    theta = W.T @ W
    np.testing.assert_allclose(metric.distance(x, y) ** 2, (x - y) @ theta @ (x - y))


def test_importance_is_the_diagonal_of_theta(metric):
    expected = pd.Series([9.0, 4.0, 0.0, 16.0], index=GENES, name="importance")
    pd.testing.assert_series_equal(metric.gene_importance, expected)


def test_genes_that_took_no_part_have_no_importance(adata):
    W, used = adata.uns["ggml"]["components"], [0, 1, 3]
    adata.uns["ggml"] = metric_entry(W[:, used], [GENES[i] for i in used])
    adata.varm["ggml"][2] = np.nan
    importance = sg.get.metric(adata).gene_importance
    assert importance.index.tolist() == ["g0", "g1", "g3"]
    assert importance.tolist() == [9.0, 4.0, 16.0]


def test_without_genes_importance_is_that_of_the_features(adata):
    del adata.varm["ggml"]
    metric = sg.get.metric(adata)
    assert metric.loadings is None
    assert metric.gene_importance.to_dict() == {"g0": 9.0, "g1": 4.0, "g2": 0.0, "g3": 16.0}


def test_importance_of_a_pca_is_that_of_genes(adata):
    PCs = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 2)))[0]
    components = np.array([[2.0, 0.0], [0.0, 1.0]])
    adata.uns["ggml"] = metric_entry(components, ["X_pca_0", "X_pca_1"], use_rep="X_pca")
    adata.varm["ggml"] = PCs @ components.T
    metric = sg.get.metric(adata)
    np.testing.assert_allclose(metric.gene_importance, np.diag(PCs @ components.T @ components @ PCs.T))
    assert metric.gene_importance.index.tolist() == GENES
    assert metric.transform(np.zeros(2)).shape == (2,)


def test_shares_and_effective_rank_follow_from_singular_values(metric):
    np.testing.assert_allclose(metric.shares, np.array([25, 4]) / 29)
    entropy = -(25 / 29 * np.log(25 / 29) + 4 / 29 * np.log(4 / 29))
    assert metric.effective_rank == pytest.approx(np.exp(entropy))


@pytest.mark.parametrize(("values", "rank"), [([1.0, 0.0], 1.0), ([2.0, 2.0], 2.0), ([0.0, 0.0], 0.0)])
def test_the_effective_rank_counts_equal_components(adata, values, rank):
    adata.uns["ggml"] = metric_entry(W, GENES, singular_values=values)
    assert sg.get.metric(adata).effective_rank == pytest.approx(rank)


def test_another_key_is_taken_and_names_the_loadings(adata):
    adata.uns["tumor"], adata.varm["tumor"] = adata.uns.pop("ggml"), adata.varm.pop("ggml")
    assert sg.get.metric(adata, key="tumor").loadings.columns.tolist() == ["tumor1", "tumor2"]


def test_a_learned_metric_is_read_from_its_slots(tmp_path):
    adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=4)
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    metric = sg.get.metric(adata)
    np.testing.assert_allclose(metric.transform(adata.X), adata.obsm["X_ggml"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(metric.gene_importance, (adata.varm["ggml"] ** 2).sum(axis=1))
    assert metric.gene_importance.idxmax() == "signal"
    np.testing.assert_allclose(np.linalg.norm(metric.components, axis=1), metric.singular_values, rtol=1e-10)


def test_reading_changes_nothing_that_is_stored(adata, metric):
    metric.loadings.iloc[:] = 0
    np.testing.assert_array_equal(adata.varm["ggml"], W.T)
    with pytest.raises(AttributeError):
        metric.components = W


def test_a_missing_metric_is_answered_with_those_that_are_there(adata):
    with pytest.raises(KeyError, match=r"No learned metric in adata\.uns\['tumor'\]; stored metrics: 'ggml'"):
        sg.get.metric(adata, key="tumor")


@pytest.mark.parametrize("shape", [(4, 3), (3,), (4, 1), ()])
def test_points_of_other_features_are_refused_with_their_shape(metric, shape):
    message = rf"has shape \({', '.join(map(str, shape))}.*\); its last axis must be the 4 features of the metric"
    for name, call in {
        "X": metric.transform,
        "x": lambda X: metric.distance(X, np.zeros(4)),
        "y": lambda X: metric.distance(np.zeros(4), X),
    }.items():
        with pytest.raises(ValueError, match=f"^{name} {message}"):
            call(np.zeros(shape))


def test_genes_of_a_table_are_matched_by_name(metric, adata):
    table = adata.to_df()
    np.testing.assert_array_equal(metric.transform(table.iloc[:, ::-1]), metric.transform(adata.X))
    assert metric.distance(table.iloc[0, ::-1], table.iloc[0]) == 0.0
    with pytest.raises(ValueError, match="X does not have the 4 features of the metric: it lacks 'g0'"):
        metric.transform(table.iloc[:, 1:])


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"loadings": np.ones((4, 2))},
            TypeError,
            r"Metric: loadings is a ndarray of shape \(4, 2\); pass a DataFrame of",
        ),
        ({"features": None}, TypeError, "Metric: features is None; pass a list of the names of the 4 features"),
        ({"squared": 1}, TypeError, "Metric: squared=1 must be True or False"),
    ],
)
def test_options_of_a_metric_are_checked_when_it_is_made(options, error, text):
    given = {"components": W, "singular_values": [5.0, 2.0], "features": GENES, "loadings": None}
    with pytest.raises(error, match=text):
        sg.get.Metric(**(given | options))
