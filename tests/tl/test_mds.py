import numpy as np
import pytest
from _slots import assert_round_trip, assert_same, slots
from anndata import AnnData
from scipy.spatial import procrustes
from scipy.spatial.distance import cdist

import scggml as sg


def cohort(points):
    return AnnData(np.zeros((len(points), 1)), obsp={"ggml_distances": cdist(points, points)})


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(12, 3)) * np.array([5.0, 2.0, 1.0])


def test_points_in_space_come_back_up_to_a_motion(points):
    samples = cohort(points)
    assert sg.tl.mds(samples, n_comps=3) is None
    found = samples.obsm["X_mds"]
    np.testing.assert_allclose(cdist(found, found), samples.obsp["ggml_distances"], atol=1e-9)
    assert procrustes(points, found)[2] < 1e-18
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)


def test_coordinates_are_the_principal_components(points):
    samples = cohort(points)
    sg.tl.mds(samples)
    centred = points - points.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    found = samples.obsm["X_mds"]
    assert found.shape == (12, 2)
    assert found.dtype == np.float64
    np.testing.assert_allclose(np.abs(found), np.abs(left * values)[:, :2], atol=1e-9)
    entry = samples.uns["mds"]
    np.testing.assert_allclose(entry["eigenvalues"], [*values**2, *[0] * 9], atol=1e-9)
    np.testing.assert_allclose(entry["variance_ratio"], values[:2] ** 2 / (values**2).sum(), rtol=1e-9)
    assert entry["key"] == "ggml"


def test_distances_that_no_space_has_show_in_negative_eigenvalues():
    D = np.ones((5, 5)) - np.eye(5)
    D[0, 1:] = D[1:, 0] = 0.5  # a hub as near to all as no point in space is
    samples = AnnData(np.zeros((5, 1)), obsp={"ggml_distances": D})
    sg.tl.mds(samples, n_comps=4)
    values = samples.uns["mds"]["eigenvalues"]
    assert (np.diff(values) <= 1e-12).all()
    assert values[-1] < -0.05
    assert np.isfinite(samples.obsm["X_mds"]).all()
    assert (samples.uns["mds"]["variance_ratio"] >= 0).all()
    assert samples.uns["mds"]["variance_ratio"].sum() == pytest.approx(1.0)


def test_samples_at_the_same_place_stay_there():
    samples = AnnData(np.zeros((4, 1)), obsp={"ggml_distances": np.zeros((4, 4))})
    sg.tl.mds(samples)
    np.testing.assert_array_equal(samples.obsm["X_mds"], 0)
    np.testing.assert_array_equal(samples.uns["mds"]["variance_ratio"], 0)


def test_the_order_of_samples_does_not_matter(points):
    order = np.random.default_rng(1).permutation(12)
    samples, other = cohort(points), cohort(points[order])
    sg.tl.mds(samples)
    sg.tl.mds(other)
    np.testing.assert_allclose(other.obsm["X_mds"], samples.obsm["X_mds"][order], atol=1e-9)


def test_another_key_is_taken(points):
    samples = cohort(points)
    samples.obsp["cosine_distances"] = 2 * samples.obsp["ggml_distances"]
    sg.tl.mds(samples)
    first = samples.obsm["X_mds"].copy()
    sg.tl.mds(samples, key="cosine")
    np.testing.assert_allclose(samples.obsm["X_mds"], 2 * first, atol=1e-9)
    assert samples.uns["mds"]["key"] == "cosine"


def test_a_copy_leaves_the_original_untouched(points):
    samples = cohort(points)
    before = slots(samples)
    result = sg.tl.mds(samples, copy=True)
    assert_same(slots(samples), before)
    sg.tl.mds(samples)
    assert_same(slots(result), slots(samples))


def test_a_view_becomes_an_anndata_of_its_own(points):
    samples = cohort(points)
    before = slots(samples)
    view = samples[:8]
    sg.tl.mds(view)
    assert not view.is_view
    assert view.obsm["X_mds"].shape == (8, 2)
    assert_same(slots(samples), before)


def test_coordinates_survive_a_file(points, tmp_path):
    samples = cohort(points)
    sg.tl.mds(samples)
    assert_round_trip(samples, tmp_path)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (KeyError, r"No 'tumor_distances' in samples\.obsp; distances are stored for 'ggml'", {"key": "tumor"}),
        (ValueError, "n_comps=0 must be between 1 and 11, one less than the number of samples", {"n_comps": 0}),
        (ValueError, "n_comps=12 must be between 1 and 11", {"n_comps": 12}),
        ((TypeError, ValueError), "n_comps=1.5", {"n_comps": 1.5}),
        ((TypeError, ValueError), "n_comps='all'", {"n_comps": "all"}),
        (
            TypeError,
            "n_comps=True must be a whole number between 1 and 11, one less than the number of sam",
            {"n_comps": True},
        ),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(points, error, message, options):
    samples = cohort(points)
    before = slots(samples)
    with pytest.raises(error, match=message):
        sg.tl.mds(samples, **options)
    assert_same(slots(samples), before)
