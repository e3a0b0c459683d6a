"""A metric in `.uns`: read, checked, found in other data, written."""

import numpy as np
import pandas as pd
import pytest
from _cells import make_adata
from _metrics import mark, metric_entry
from _slots import assert_same, slots
from anndata import AnnData
from scipy import sparse

from scggml._anndata.features import read_features
from scggml._anndata.keys import Keys
from scggml._anndata.loadings import gene_loadings, match_loadings, pca_axes
from scggml._anndata.metric import (
    check_derived,
    is_metric,
    needs_everything,
    read_metric,
    stored_keys,
)
from scggml._anndata.recording import write_metric
from scggml._core.learn.learner import Learner
from scggml._core.learn.triplets import Triplets
from scggml._core.transport.coreset import Coreset

GENES = ["g0", "g1", "g2", "g3"]
W = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])


def entry(features=GENES, **options):
    components = np.arange(2.0 * len(features)).reshape(2, -1)
    return metric_entry(components, features, singular_values=[2.0, 1.0], sample_key="sample", **options)


@pytest.fixture
def adata():
    X = np.random.default_rng(0).normal(size=(6, 4))
    return AnnData(X, var=pd.DataFrame(index=GENES), uns={"ggml": entry()})


def test_a_metric_is_read_as_it_was_stored(adata):
    learner = Learner(method=Triplets(margin=2.0), squared=True)
    adata.uns["ggml"] = entry(learner=learner, n_cells=7)
    stored = read_metric(adata, "ggml")
    assert stored.key == "ggml"
    np.testing.assert_array_equal(stored.components, adata.uns["ggml"]["components"])
    np.testing.assert_array_equal(stored.singular_values, [2.0, 1.0])
    assert stored.features.tolist() == GENES
    assert stored.learner == stored.settled == learner
    assert (stored.squared, stored.cost) == (True, "sqeuclidean")
    assert (stored.reading.sample_key, stored.reading.label_key, stored.reading.n_cells) == ("sample", "label", 7)
    assert stored.adjustment is None
    assert stored.record is adata.uns["ggml"]


def test_only_metrics_are_listed(adata):
    adata.uns |= {"pca": {"params": {}}, "other": entry(), "text": "components", "neighbors": {"components": 1}}
    assert stored_keys(adata) == ["ggml", "other"]
    assert not is_metric(None)
    assert not is_metric("components")


@pytest.mark.parametrize("there", [None, "text", {"params": {}}])
def test_a_missing_metric_is_answered_with_those_that_are_there(adata, there):
    adata.uns["first"] = adata.uns.pop("ggml")
    if there is not None:
        adata.uns["ggml"] = there
    message = r"No learned metric in adata.uns\['ggml'\]; stored metrics: 'first'\. Learn it with sg\.tl\.ggml\("
    with pytest.raises(KeyError, match=message):
        read_metric(adata, "ggml")


def test_without_any_metric_the_answer_says_so(adata):
    del adata.uns["ggml"]
    with pytest.raises(KeyError, match="stored metrics: nothing"):
        read_metric(adata, "ggml")


# Damaged and edited metrics


def change(name, value):
    def apply(entry):
        entry[name] = value(entry[name]) if callable(value) else value

    return apply


def put(name, place, value):
    def apply(entry):
        entry[name] = np.array(entry[name], dtype=np.float64)
        entry[name][place] = value

    return apply


def option(name, key, value):
    def apply(entry):
        entry[name] = dict(entry[name]) | {key: value}

    return apply


DAMAGED = {
    **{
        f"no {name}": (lambda entry, name=name: entry.pop(name), rf"lacks '{name}'\.")
        for name in ("learner", "settled", "reading", "fingerprint")
    },
    "NaN": (put("components", (0, 1), np.nan), r"\['components'\] has shape \(2, 4\) or values that are not finite"),
    "infinite": (
        put("singular_values", 0, np.inf),
        r"\['singular_values'\] has shape \(2,\) or values that are not finite",
    ),
    "text": (change("components", "large"), r"\['components'\] does not hold numbers; the metric is damaged"),
    "one axis": (change("components", np.ones(4)), r"\['components'\] has shape \(4,\) or"),
    "too few features": (
        change("features", np.array(["g0", "g1"], dtype=object)),
        r"\['features'\] has shape \(2,\) beside components of shape \(2, 4\); the metric is damaged",
    ),
    "too many values": (
        change("singular_values", np.ones(3)),
        r"\['singular_values'\] has shape \(3,\) beside components of shape \(2, 4\)",
    ),
    "other components": (put("components", (1, 2), 7.0), "was changed after it was learned"),
    "other singular values": (put("singular_values", 0, 7.0), "was changed after it was learned"),
    "other features": (
        change("features", np.array(["x", *GENES[1:]], dtype=object)),
        "was changed after it was learned",
    ),
    "other features in order": (change("features", lambda f: f[::-1]), "was changed after it was learned"),
    "other cost": (option("learner", "squared", True), "was changed after it was learned"),
    "other shrinkage": (option("settled", "shrinkage", 0.1), "was changed after it was learned"),
    "other reading": (option("reading", "n_cells", 3), "was changed after it was learned"),
    "unknown option": (
        option("learner", "margin", 1.0),
        r"\['learner'\]: learner \(learner\) has an entry 'margin' that is not known; known are method, n_comps",
    ),
    "unknown method": (
        option("learner", "method", {"name": "deep"}),
        r"\['learner'\]: learner\['method'\] names 'deep', which is not known here; known are 'canonical', 'triplets'",
    ),
    "option out of range": (
        option("learner", "method", {"name": "canonical", "ridge": -1.0}),
        r"\['learner'\]: learner\['method'\] \(canonical\) is damaged: ",
    ),
    "a learner that is none": (
        change("learner", "canonical"),
        r"\['learner'\]: learner is 'canonical'; options with a name",
    ),
    "options of another kind": (
        change("settled", {"name": "coreset", "n_points": 5, "max_iter": 1, "device": "cpu"}),
        r"\['settled'\]: learner holds options of a Coreset; those of a Learner are needed",
    ),
    "a reading that is none": (change("reading", {}), r"\['reading'\] does not say how samples were read"),
    "unknown entry of the reading": (
        option("reading", "fold", 3),
        r"\['reading'\] has an entry 'fold' that is not known",
    ),
    "a reading out of order": (
        option("reading", "batch_key", "label"),
        r"\['reading'\] is damaged: batch_key and label_key are both 'label'",
    ),
    "an adjustment that is none": (
        lambda entry: entry.update(adjustment={"slopes": np.ones((1, 4))}),
        r"\['adjustment'\] lacks 'slopes' or 'center'; the metric is damaged",
    ),
    "an adjustment of another shape": (
        lambda entry: entry.update(adjustment={"slopes": np.ones((1, 3)), "center": np.ones(1)}),
        r"\['adjustment'\]\['slopes'\] has shape \(1, 3\) beside 1 covariates and 4 features",
    ),
    "an adjustment of another metric": (
        lambda entry: entry.update(adjustment={"slopes": np.ones((1, 4)), "center": np.ones(1)}),
        "was changed after it was learned",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_metric_is_refused_with_its_slot_and_the_next_step(adata, name):
    damage, message = DAMAGED[name]
    damage(adata.uns["ggml"])
    next_step = r"Learn it with sg\.tl\.ggml\(adata, sample_key, label_key, key_added='ggml'\)\."
    with pytest.raises(ValueError, match=rf"adata\.uns\['ggml'\].*{message}.*{next_step}$"):
        read_metric(adata, "ggml")


@pytest.mark.parametrize(
    "foreign", [{"components": 1}, {"params": {}}, "text", np.ones((2, 4)), pd.DataFrame()], ids=type
)
def test_what_another_package_stored_is_no_metric(adata, foreign):
    adata.uns["ggml"] = foreign
    with pytest.raises(
        KeyError, match=r"No learned metric in adata\.uns\['ggml'\]; stored metrics: nothing\. Learn it"
    ):
        read_metric(adata, "ggml")


def test_the_fingerprint_is_that_of_the_content_whatever_its_types(adata):
    given = adata.uns["ggml"]
    given["features"] = pd.array(GENES, dtype="string")
    given["components"] = given["components"].astype(np.int64)  # whole numbers here
    given["reading"] = {name: np.array(value) for name, value in given["reading"].items()}
    assert read_metric(adata, "ggml").fingerprint == entry()["fingerprint"]


def test_the_fingerprint_changes_with_all_that_a_metric_computes_with():
    others = [
        entry(["g0", "g1", "g2", "g4"]),
        entry(learner=Learner(squared=True)),
        entry(learner=Learner(method=Triplets(init=np.eye(2, 4)))),
        entry(learner=Learner(method=Triplets(init=2 * np.eye(2, 4)))),
        entry(n_cells=5),
        entry(seed=1),
        entry(summary=Coreset(5)),
        entry(covariate_keys=("age",)),
        entry(covariate_keys=("age", "sex")),
        entry(label_kind=("low", "high")),
        entry(),
    ]
    assert len({each["fingerprint"] for each in others}) == len(others)
    assert all(mark(each) == each["fingerprint"] for each in others)


def test_what_was_derived_from_another_metric_is_refused(adata):
    stored = read_metric(adata, "ggml")
    slot, call = "adata.uns['ggml_attribution']", "sg.tl.attribute(adata)"
    check_derived(None, stored, slot, call)
    check_derived({"fingerprint": stored.fingerprint}, stored, slot, call)
    message = (
        r"adata\.uns\['ggml_attribution'\] was computed for another metric than adata\.uns\['ggml'\] is now; call "
        r"sg\.tl\.attribute\(adata\) again"
    )
    for other in ({"fingerprint": "0123"}, {}):
        with pytest.raises(ValueError, match=message):
            check_derived(other, stored, slot, call)


def test_all_cells_are_asked_for_where_passes_over_them_are():
    assert needs_everything(Learner(method=Triplets(refine=1)))
    assert not needs_everything(Learner(method=Triplets()))
    assert not needs_everything(Learner())


# Features of a stored metric in other data


MATRICES = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "csr_array": sparse.csr_array}


@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize("columns", [[0, 1, 2, 3], [3, 1, 0, 2]], ids=["same order", "shuffled"])
@pytest.mark.parametrize("n_more", [0, 2])
def test_genes_are_found_by_name_in_any_order(adata, kind, columns, n_more):
    stored = read_metric(adata, "ggml")
    X = np.hstack([adata.X, np.full((6, n_more), np.nan)])
    names = [*GENES, "more0", "more1"][: 4 + n_more]
    order = [*range(4, 4 + n_more), *columns]  # the additional ones come first
    other = AnnData(MATRICES[kind](X[:, order]), var=pd.DataFrame(index=[names[i] for i in order]))
    features = stored.locate(other)
    assert features.names.tolist() == GENES
    np.testing.assert_array_equal(features.rows(np.arange(6)), adata.X)
    np.testing.assert_array_equal(features.rows(np.array([1, 4])), adata.X[[1, 4]])


def test_genes_of_a_layer_are_found_by_name(adata):
    adata.uns["ggml"] = entry(layer="log")
    adata.layers["log"] = 10 * adata.X
    other = adata[:, ::-1].copy()
    features = read_metric(adata, "ggml").locate(other)
    np.testing.assert_array_equal(features.rows(np.arange(6)), adata.layers["log"])
    assert features.slot == "adata.layers['log']"


def test_columns_of_a_data_frame_are_found_by_name(adata):
    adata.uns["ggml"] = entry(["b", "a"], use_rep="scores")
    frame = pd.DataFrame(np.arange(18.0).reshape(6, 3), index=adata.obs_names, columns=["a", "b", "c"])
    adata.obsm["scores"] = frame
    features = read_metric(adata, "ggml").locate(adata)
    np.testing.assert_array_equal(features.rows(np.arange(6)), frame[["b", "a"]])


def test_missing_features_are_named_with_the_next_step(adata):
    stored = read_metric(adata, "ggml")
    message = (
        r"adata\.X lacks 2 of the 4 features that the metric 'ggml' was learned on: 'g1', 'g3'\. Add them, or learn .* "
        "both data sets share"
    )
    with pytest.raises(ValueError, match=message):
        stored.locate(adata[:, ["g2", "g0"]].copy())


def test_a_long_list_of_missing_features_is_cut(adata):
    adata.uns["ggml"] = entry([f"g{i}" for i in range(1000)])
    with pytest.raises(ValueError, match=r"lacks 996 of the 1000 .*'g23', \.\.\.") as error:
        read_metric(adata, "ggml").locate(adata)
    assert len(str(error.value)) < 500


def test_too_few_principal_components_are_named(adata):
    adata.uns["ggml"] = entry([f"X_pca_{i}" for i in range(3)], use_rep="X_pca")
    adata.obsm["X_pca"] = adata.X[:, :2]
    with pytest.raises(ValueError, match=r"adata\.obsm\['X_pca'\] lacks 1 of the 3 features .*'X_pca_2'"):
        read_metric(adata, "ggml").locate(adata)


# Gene loadings


@pytest.fixture
def cells():
    return make_adata()


@pytest.mark.parametrize("use_rep", [None, "X"])
def test_features_that_are_genes_are_their_own_loadings(cells, use_rep):
    np.testing.assert_array_equal(gene_loadings(cells, read_features(cells), W, use_rep), W.T)


def test_genes_that_took_no_part_have_no_loading(cells):
    features = read_features(cells, mask_var=np.array([True, False, True]))
    loadings = gene_loadings(cells, features, W[:, :2], None)
    np.testing.assert_array_equal(loadings, [[1.0, 0.5], [np.nan, np.nan], [2.0, 0.0]])


@pytest.mark.parametrize(("use_rep", "slot"), [("X_pca", "PCs"), ("my_pca", "my_pca")])
def test_loadings_of_a_pca_are_carried_back_to_genes(cells, use_rep, slot):
    axes = np.array([[1.0, 0.0], [0.0, 0.0], [0.6, -0.8]])  # the PCA did not see the second gene
    cells.obsm[use_rep], cells.varm[slot] = cells.X @ axes, axes
    loadings = gene_loadings(cells, read_features(cells, use_rep=use_rep), W[:, :2], use_rep)
    np.testing.assert_allclose(loadings[[0, 2]], (axes @ W[:, :2].T)[[0, 2]])
    assert np.isnan(loadings[1]).all()


@pytest.mark.parametrize("varm", [{}, {"PCs": np.ones((3, 1))}, {"X_other": np.ones((3, 2))}], ids=str)
def test_features_that_cannot_be_mapped_to_genes_have_no_loadings(cells, varm):
    cells.obsm["X_pca"], cells.varm = cells.X[:, :2], varm
    assert gene_loadings(cells, read_features(cells, use_rep="X_pca"), W[:, :2], "X_pca") is None


def test_another_representation_does_not_take_the_loadings_of_the_pca(cells):
    cells.obsm["X_harmony"], cells.varm["PCs"] = cells.X, np.eye(3)
    assert gene_loadings(cells, read_features(cells, use_rep="X_harmony"), W, "X_harmony") is None


def test_axes_of_a_pca_are_found_where_scanpy_puts_them(cells):
    cells.varm["PCs"], cells.varm["my_pca"] = np.eye(3), 2 * np.eye(3)
    np.testing.assert_array_equal(pca_axes(cells, "X_pca", 3), np.eye(3))
    np.testing.assert_array_equal(pca_axes(cells, "my_pca", 3), 2 * np.eye(3))
    assert pca_axes(cells, "X_scVI", 3) is None


def test_the_first_axes_of_a_pca_belong_to_the_components_that_are_left(cells):
    axes = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    cells.varm["PCs"], cells.obsm["X_pca"] = axes, (cells.X @ axes)[:, :2]
    np.testing.assert_array_equal(pca_axes(cells, "X_pca", 2), axes[:, :2])
    assert pca_axes(cells, "X_pca", 4) is None
    loadings = gene_loadings(cells, read_features(cells, use_rep="X_pca"), W[:, :2], "X_pca")
    np.testing.assert_allclose(loadings[:2], axes[:2, :2] @ W[:, :2].T)
    assert np.isnan(loadings[2]).all()  # on the component that was cut off


def test_genes_that_an_outer_concatenation_filled_up_were_not_seen_by_the_pca(cells):
    cells.varm["PCs"] = np.array([[1.0, 0.0], [np.nan, np.nan], [0.6, -0.8]])
    np.testing.assert_array_equal(pca_axes(cells, "X_pca", 2), [[1.0, 0.0], [0.0, 0.0], [0.6, -0.8]])


def test_loadings_of_a_reference_are_matched_by_gene(cells):
    reference, loadings = cells[:, [2, 0]].copy(), np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(match_loadings(cells, reference, loadings), [[3, 4], [np.nan, np.nan], [1, 2]])


# The slots of a metric


ENTRY = {"components": W, "converged": True}


def test_a_metric_is_written_into_three_slots_and_no_other(cells):
    before = slots(cells)
    write_metric(cells, Keys("tumor"), entry=ENTRY, embedded=cells.X @ W.T, loadings=W.T)
    after = slots(cells)
    new = {"uns/tumor/components": W, "uns/tumor/converged": np.array(True)}
    new |= {"obsm/X_tumor": cells.X @ W.T, "varm/tumor": W.T}
    assert_same(after, before | new)


def test_loadings_of_an_earlier_metric_do_not_stay(cells):
    write_metric(cells, Keys(), entry=ENTRY, embedded=cells.X @ W.T, loadings=W.T)
    write_metric(cells, Keys(), entry=ENTRY, embedded=cells.X @ W.T, loadings=None)
    assert "ggml" not in cells.varm
    assert "X_ggml" in cells.obsm


def test_a_view_becomes_an_anndata_of_its_own_without_a_warning(cells):
    before = slots(cells)
    view = cells[:5]
    write_metric(view, Keys(), entry=ENTRY, embedded=np.zeros((5, 2)), loadings=W.T)
    assert not view.is_view
    assert view.obsm["X_ggml"].shape == (5, 2)
    assert view.uns.keys() == {"ggml"}
    assert view.varm.keys() == {"ggml"}
    assert_same(slots(cells), before)
