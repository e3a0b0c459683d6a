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
