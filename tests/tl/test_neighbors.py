import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _slots import assert_round_trip, assert_same, slots
from anndata import AnnData
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

import scggml as sg


def cohort(n=24, key="ggml", seed=0):
    """Samples at random points in the plane, in two clumps, with their distances."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 2)) + 4 * (np.arange(n) % 2)[:, None]
    samples = AnnData(np.column_stack([points, points[:, :1]]))
    samples.obs["label"] = pd.Categorical((np.arange(n) % 2).astype(str))
    samples.obsm["points"] = points
    samples.obsp[f"{key}_distances"] = cdist(points, points)
    return samples


@pytest.mark.parametrize("n", [4, 9, 24])
@pytest.mark.parametrize("n_neighbors", [2, 3, 8, 15])
def test_neighbors_are_those_of_brute_force_and_as_many_as_in_scanpy(n, n_neighbors):
    samples = cohort(n)
    sg.tl.neighbors(samples, n_neighbors=n_neighbors)
    D, found = samples.obsp["ggml_distances"], samples.obsp["distances"].toarray()
    others = min(n_neighbors, n) - 1  # the sample itself is the first of its neighbors
    for p in range(n):
        nearest = np.argsort(D[p])[1 : others + 1]
        assert set(np.flatnonzero(found[p])) == set(nearest)
        np.testing.assert_allclose(found[p, nearest], D[p, nearest], rtol=1e-6)


@pytest.mark.parametrize("n_neighbors", [5, 15])
def test_the_graph_is_that_of_scanpy_on_points_with_these_distances(n_neighbors):
    samples = cohort()
    sg.tl.neighbors(samples, n_neighbors=n_neighbors)
    truth = AnnData(obsm={"points": samples.obsm["points"]})
    sc.pp.neighbors(truth, n_neighbors=n_neighbors, use_rep="points")
    for slot in ("connectivities", "distances"):
        found, expected = samples.obsp[slot].toarray(), truth.obsp[slot].toarray()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=slot)
    assert samples.uns["neighbors"].keys() == truth.uns["neighbors"].keys()
    assert samples.uns["neighbors"]["params"]["n_neighbors"] == n_neighbors


def test_connectivities_are_symmetric_weights():
    samples = cohort()
    sg.tl.neighbors(samples, n_neighbors=6)
    C = samples.obsp["connectivities"].toarray()
    np.testing.assert_allclose(C, C.T, rtol=1e-6)
    assert (C >= 0).all()
    assert (C <= 1).all()
    assert (np.diag(C) == 0).all()
    assert (C.sum(axis=1) > 0).all()


def test_distances_of_another_key_are_taken():
    samples = cohort(key="cosine")
    other = cohort()
    sg.tl.neighbors(samples, key="cosine", n_neighbors=6)
    sg.tl.neighbors(other, n_neighbors=6)
    np.testing.assert_array_equal(samples.obsp["distances"].toarray(), other.obsp["distances"].toarray())


def test_a_copy_leaves_the_original_untouched():
    samples = cohort()
    before = slots(samples)
    result = sg.tl.neighbors(samples, copy=True)
    assert_same(slots(samples), before)
    assert sg.tl.neighbors(samples) is None
    assert_same(slots(result), slots(samples))


@pytest.mark.parametrize("rng", [7, np.int64(7), np.random.default_rng(0)])
def test_the_seed_is_stored_for_what_follows(rng):
    samples = cohort()
    sg.tl.neighbors(samples, rng=rng)
    seed = samples.uns["neighbors"]["params"]["random_state"]
    assert seed == (7 if not isinstance(rng, np.random.Generator) else int(np.random.default_rng(0).integers(2**31)))


def test_a_view_becomes_an_anndata_of_its_own():
    samples = cohort()
    before = slots(samples)
    view = samples[:9]
    sg.tl.neighbors(view)
    assert not view.is_view
    assert view.obsp["distances"].shape == (9, 9)
    assert_same(slots(samples), before)


def test_only_the_slots_of_the_graph_are_written():
    samples = cohort()
    before = slots(samples)
    sg.tl.neighbors(samples)
    after = slots(samples)
    assert_same({path: after[path] for path in before}, before)
    new = {path for path in after.keys() - before.keys() if not path.startswith("uns/neighbors/")}
    assert new == {"obsp/distances", "obsp/connectivities"}


def test_scanpy_works_on_the_graph():
    samples = cohort()
    sg.tl.neighbors(samples, n_neighbors=6)
    sc.tl.umap(samples)
    sc.tl.leiden(samples, flavor="igraph", n_iterations=2, resolution=0.05)
    sc.tl.diffmap(samples, n_comps=5)
    samples.uns["iroot"] = 0
    sc.tl.dpt(samples, n_dcs=5)
    assert samples.obsm["X_umap"].shape == (24, 2)
    assert np.isfinite(samples.obsm["X_umap"]).all()
    # the two clumps are found, and pseudotime grows with the distance from the root within the first
    labels = samples.obs["label"].to_numpy()
    for community in samples.obs["leiden"].unique():
        assert len(set(labels[samples.obs["leiden"] == community])) == 1
    time = samples.obs["dpt_pseudotime"].to_numpy()
    assert time[0] == 0
    assert np.isfinite(time[labels == "0"]).all()


@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
def test_umap_lays_out_a_graph_of_many_pieces():
    clumps = 20 * np.repeat(np.eye(8), 3, axis=0)
    samples = AnnData(clumps + np.random.default_rng(0).normal(size=clumps.shape))
    samples.obsp["ggml_distances"] = cdist(samples.X, samples.X)
    sg.tl.neighbors(samples, n_neighbors=3)
    assert connected_components(samples.obsp["connectivities"])[0] == 8
    sc.tl.umap(samples)
    assert np.isfinite(samples.obsm["X_umap"]).all()


@pytest.mark.parametrize("n", [3, 4, 5])
def test_scanpy_works_on_the_smallest_cohorts(n):
    samples = cohort(n)
    sg.tl.neighbors(samples)
    sc.tl.umap(samples, init_pos="random")
    sc.tl.leiden(samples, flavor="igraph", n_iterations=2)
    assert np.isfinite(samples.obsm["X_umap"]).all()
    assert samples.obs["leiden"].notna().all()


def test_samples_at_the_same_place_have_a_graph():
    samples = cohort(6)
    samples.obsp["ggml_distances"] = np.zeros((6, 6))
    sg.tl.neighbors(samples, n_neighbors=3)
    assert np.isfinite(samples.obsp["connectivities"].toarray()).all()


def test_the_graph_survives_a_file(tmp_path):
    samples = cohort()
    sg.tl.neighbors(samples)
    for read in assert_round_trip(samples, tmp_path):
        sc.tl.leiden(read, flavor="igraph", n_iterations=2)
        assert read.obs["leiden"].nunique() > 1


def test_a_learned_cohort_has_neighbors_of_its_own_class(learned):
    samples = sg.tl.distances(learned, progress=False)
    sg.tl.neighbors(samples, n_neighbors=3)
    label = samples.obs["label"].to_numpy()
    rows, columns = samples.obsp["distances"].nonzero()
    assert (label[rows] == label[columns]).mean() > 0.9


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (KeyError, r"No 'tumor_distances' in samples\.obsp; distances are stored for 'ggml'", {"key": "tumor"}),
        (ValueError, "n_neighbors=1 must be at least 2; a sample is its own first neighbor", {"n_neighbors": 1}),
        (ValueError, "n_neighbors=0 must be at least 2", {"n_neighbors": 0}),
        ((TypeError, ValueError), "n_neighbors=2.5", {"n_neighbors": 2.5}),
        ((TypeError, ValueError), "n_neighbors='all'", {"n_neighbors": "all"}),
        (TypeError, "n_neighbors=True", {"n_neighbors": True}),
        (TypeError, "rng='seed' must be a whole number", {"rng": "seed"}),
        (TypeError, "rng=True must be a whole number", {"rng": True}),
        (ValueError, "rng=-1 must be at least 0", {"rng": -1}),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(error, message, options):
    samples = cohort()
    before = slots(samples)
    with pytest.raises(error, match=message):
        sg.tl.neighbors(samples, **options)
    assert_same(slots(samples), before)


def test_two_samples_are_too_few():
    with pytest.raises(ValueError, match="samples has 2 rows; a neighbor graph needs at least 3 samples"):
        sg.tl.neighbors(cohort(2))
