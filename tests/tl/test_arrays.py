"""`Learner.fit` on plain arrays gives the numbers of `tl.ggml` on the same cells, to the bit."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scggml as sg

SIZES = (9, 4, 12, 7, 5, 10, 8, 6, 11, 4, 9, 7)
LABELS = {
    "classes": (["ill", "well", "mild"] * 4, {}),
    "two classes": (["b", "a"] * 6, {"reference_class": "b"}),
    "ordered": (["low", "top", "mid"] * 4, {"label_kind": ["low", "mid", "top"]}),
    "ordered numbers": ([10, 9, 30] * 4, {"label_kind": "ordered"}),
    "numbers": ([0.5 * p**2 % 7 for p in range(12)], {"label_kind": "numbers"}),
}
# codes of donors and batches must not depend on their names
DONORS = [f"d{d}" for d in (7, 7, 10, 10, 3, 3, 5, 5, 1, 1, 2, 2)]
SITES = ["z", "z", "z", "a", "a", "a"] * 2
METHODS = {
    "canonical": "canonical",
    "triplets": sg.tl.Triplets(max_iter=20, tol=0.0),
    "mini-batches": sg.tl.Triplets(max_iter=5, tol=0.0, batch_size=5, init="orthonormal"),
    "paper": "paper",
}


def cohort(dtype, labels):
    """Clouds of 12 samples, and the same cells as an AnnData in which samples take turns."""
    rng = np.random.default_rng(0)
    moved = np.unique(np.array(labels), return_inverse=True)[1]
    clouds = [
        (rng.normal(size=(n, 5)) * [1, 4, 2, 1, 3] + 2.0 * moved[p] * np.eye(5)[0]).astype(dtype)
        for p, n in enumerate(SIZES)
    ]
    owner = np.repeat(np.arange(len(SIZES)), SIZES)
    place = np.concatenate([np.arange(n) for n in SIZES])
    turn = np.lexsort([owner, place])  # the first cell of each sample, then the second of each
    obs = pd.DataFrame({"sample": [f"p{100 - p}" for p in owner]}, index=[f"cell{i}" for i in range(len(owner))])
    for name, values in (("label", labels), ("donor", DONORS), ("site", SITES)):
        obs[name] = np.array(values)[owner]
    return clouds, AnnData(np.concatenate(clouds)[turn], obs=obs.iloc[turn])


def assert_same_bits(adata, metric, squared=False):
    entry = adata.uns["ggml"]
    assert metric.components.tobytes() == entry["components"].tobytes()
    assert metric.singular_values.tobytes() == entry["singular_values"].tobytes()
    assert metric.squared is squared


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("method", METHODS)
def test_arrays_give_the_same_numbers_to_the_bit(method, labels, dtype):
    values, design = LABELS[labels]
    clouds, adata = cohort(dtype, values)
    learner = sg.tl.Learner(method=METHODS[method], n_comps=3)
    given = {"method": METHODS[method], "n_comps": 3, "progress": False} | design
    if method == "paper" and labels not in ("classes", "two classes"):
        for call in (
            lambda: learner.fit(clouds, values, **design),
            lambda: sg.tl.ggml(adata, "sample", "label", **given),
        ):
            with pytest.raises(ValueError, match="draws triplets of classes"):
                call()
        return
    sg.tl.ggml(adata, "sample", "label", rng=5, **given)
    assert_same_bits(adata, learner.fit(clouds, values, rng=5, **design))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("design", ["donors", "sites", "both"])
def test_donors_and_batches_are_the_same_whatever_their_names(method, design, dtype):
    values, _ = LABELS["classes"]
    clouds, adata = cohort(dtype, values)
    learner = sg.tl.Learner(method=METHODS[method])
    arrays = ({"groups": DONORS} if design != "sites" else {}) | ({"batch": SITES} if design != "donors" else {})
    keys = ({"groups_key": "donor"} if design != "sites" else {}) | (
        {"batch_key": "site"} if design != "donors" else {}
    )
    sg.tl.ggml(adata, "sample", "label", method=METHODS[method], progress=False, **keys)
    assert_same_bits(adata, learner.fit(clouds, values, **arrays))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32])
@pytest.mark.parametrize(
    "options",
    [{"squared": True}, {"shrinkage": 0.2}, {"shrinkage": 0.0, "n_comps": 2}, {"solver": sg.tl.Exact(backend="pot")}],
    ids=str,
)
def test_options_that_all_methods_share_are_the_same(options, dtype):
    values, _ = LABELS["classes"]
    clouds, adata = cohort(dtype, values)
    sg.tl.ggml(adata, "sample", "label", progress=False, **options)
    assert_same_bits(adata, sg.tl.Learner(**options).fit(clouds, values), squared=options.get("squared", False))


def test_distances_and_coordinates_are_the_same():
    values, _ = LABELS["classes"]
    clouds, adata = cohort(np.float64, values)
    sg.tl.ggml(adata, "sample", "label", n_comps=2, progress=False)
    metric = sg.tl.Learner(n_comps=2).fit(clouds, values)
    samples = sg.tl.distances(adata, progress=False)
    np.testing.assert_allclose(metric.distances(clouds), samples.obsp["ggml_distances"], rtol=1e-12)
    first = (adata.obs["sample"] == "p100").to_numpy()
    np.testing.assert_allclose(metric.transform(clouds[0]), adata.obsm["X_ggml"][first], rtol=1e-12)


def test_a_generator_is_drawn_from_as_in_the_main_function():
    values, _ = LABELS["classes"]
    clouds, adata = cohort(np.float64, values)
    sg.tl.ggml(adata, "sample", "label", method="paper", rng=np.random.default_rng(8), progress=False)
    assert_same_bits(adata, sg.tl.Learner(method="paper").fit(clouds, values, rng=np.random.default_rng(8)))


def test_tables_are_matched_by_the_names_of_the_first():
    values, _ = LABELS["classes"]
    clouds, _ = cohort(np.float64, values)
    names = list("edcba")
    tables = [pd.DataFrame(x, columns=names) for x in clouds]
    turned = [tables[0], *(table[sorted(names)] for table in tables[1:])]
    truth = sg.tl.Learner(n_comps=2).fit(clouds, values)
    metric = sg.tl.Learner(n_comps=2).fit(turned, values)
    assert truth.features is None
    assert metric.features.tolist() == names
    assert metric.components.tobytes() == truth.components.tobytes()
    np.testing.assert_array_equal(metric.distances(turned[::-1]), truth.distances(clouds[::-1]))
    np.testing.assert_array_equal(metric.transform(turned[1]), truth.transform(clouds[1]))
    mixed = sg.tl.Learner(n_comps=2).fit([*clouds[:3], *tables[3:]], values)
    assert mixed.components.tobytes() == truth.components.tobytes()
    with pytest.raises(
        ValueError, match=r"clouds\[1\] does not have the 5 features of the first table: it lacks 'e' and"
    ):
        sg.tl.Learner().fit([tables[0], tables[1].rename(columns={"e": "x"}), *tables[2:]], values)


@pytest.mark.parametrize("method", ["canonical", "triplets", "paper"])
def test_more_components_than_cells_can_carry_are_refused(method):
    values, _ = LABELS["classes"]
    clouds, _ = cohort(np.float64, values)
    with pytest.raises(ValueError, match=r"n_comps=6 is not between 1 and 5, the rank of clouds .*; pass n_comps=5"):
        sg.tl.Learner(method=method, n_comps=6).fit(clouds, values)
    flat = [x @ np.eye(5)[:2].T @ np.ones((2, 4)) for x in clouds]
    with pytest.raises(
        ValueError, match=r"n_comps=2 is not between 1 and 1, the rank of clouds .*, 4 of 4 features vary"
    ):
        sg.tl.Learner(method=method, n_comps=2).fit(flat, values)
    with pytest.raises(ValueError, match=r"clouds has values up to .*, whose squares vanish"):
        sg.tl.Learner(method=method).fit([1e-90 * x for x in clouds], values)


def test_an_ordered_categorical_is_ordered_as_in_an_anndata():
    values, _ = LABELS["ordered"]
    clouds, adata = cohort(np.float64, values)
    order = pd.CategoricalDtype(["low", "mid", "top"], ordered=True)
    adata.obs["label"] = adata.obs["label"].astype(order)
    sg.tl.ggml(adata, "sample", "label", progress=False)
    assert_same_bits(adata, sg.tl.Learner().fit(clouds, pd.Categorical(values, dtype=order)))


@pytest.mark.parametrize("name", ["groups", "batch"])
def test_masked_and_missing_donors_and_batches_are_refused(name):
    values, _ = LABELS["classes"]
    clouds, _ = cohort(np.float64, values)
    with pytest.raises(TypeError, match=f"{name} is a masked array; pass a "):
        sg.tl.Learner().fit(clouds, values, **{name: np.ma.masked_equal([0, 1] * 6, 0)})
    with pytest.raises(ValueError, match=f"{name} has missing values; each sample needs a "):
        sg.tl.Learner().fit(clouds, values, **{name: [None, None, *range(10)]})
