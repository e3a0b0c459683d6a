import numpy as np
import pytest
import scanpy as sc
from _slots import assert_round_trip, assert_same, slots
from anndata import AnnData
from scipy.spatial.distance import cdist

import scggml as sg


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(15, 3)) + np.repeat([0.0, 9.0, 18.0], 5)[:, None]
    return AnnData(np.zeros((15, 3)), obsp={"ggml_distances": cdist(points, points)})


def test_neighbors_by_the_stored_distances_are_neighbors_in_the_plane(samples):
    assert sg.tl.tsne(samples) is None
    found = samples.obsm["X_tsne"]
    assert (found.shape, found.dtype) == ((15, 2), np.float64)
    near = cdist(found, found)
    np.fill_diagonal(near, np.inf)
    assert (near.argmin(axis=1) // 5 == np.arange(15) // 5).all()
    entry = samples.uns["tsne"]
    assert (entry["key"], entry["perplexity"]) == ("ggml", 14 / 3)
    assert 0 < entry["kl_divergence"] < 1


def test_another_key_and_perplexity_are_taken(samples):
    order = np.random.default_rng(1).permutation(15)
    samples.obsp["other_distances"] = samples.obsp["ggml_distances"][np.ix_(order, order)]
    sg.tl.tsne(samples, key="other", perplexity=3)
    near = cdist(*[samples.obsm["X_tsne"]] * 2)
    np.fill_diagonal(near, np.inf)
    assert (order[near.argmin(axis=1)] // 5 == order // 5).all()
    assert (samples.uns["tsne"]["key"], samples.uns["tsne"]["perplexity"]) == ("other", 3.0)


def test_it_is_drawn_and_knows_where_it_comes_from(samples):
    sg.tl.tsne(samples)
    ax = sg.pl.embedding(samples, basis="tsne")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("TSNE1", "TSNE2")
    samples.obsp["ggml_distances"] = 2 * samples.obsp["ggml_distances"]
    with pytest.raises(ValueError, match=r"X_tsne.*other distances .* call sg\.tl\.tsne\(samples, key='ggml'\) again"):
        sg.pl.embedding(samples, basis="tsne")


def test_what_scanpy_made_of_mean_profiles_is_drawn_and_not_replaced(samples):
    samples.X = np.random.default_rng(0).normal(size=(15, 3)).astype(np.float32)
    sc.tl.tsne(samples, use_rep="X", perplexity=4)
    sg.pl.embedding(samples, basis="tsne")
    before = slots(samples)
    with pytest.raises(
        ValueError, match=r"samples\.uns\['tsne'\] holds something that is not a result of sg\.tl\.tsne"
    ):
        sg.tl.tsne(samples)
    assert_same(slots(samples), before)


def test_a_copy_leaves_the_original_untouched(samples):
    before = slots(samples)
    result = sg.tl.tsne(samples, copy=True)
    assert_same(slots(samples), before)
    sg.tl.tsne(samples)
    assert_same(slots(result), slots(samples))


def test_coordinates_survive_a_file(samples, tmp_path):
    sg.tl.tsne(samples)
    assert_round_trip(samples, tmp_path)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (KeyError, r"No 'tumor_distances' in samples\.obsp; distances are stored for 'ggml'", {"key": "tumor"}),
        (ValueError, "perplexity=15 must be a number of neighbors of at least 1 and below 15", {"perplexity": 15}),
        (ValueError, "perplexity=0.5 must be", {"perplexity": 0.5}),
        (TypeError, "perplexity='all' must be", {"perplexity": "all"}),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(samples, error, message, options):
    before = slots(samples)
    with pytest.raises(error, match=message):
        sg.tl.tsne(samples, **options)
    assert_same(slots(samples), before)


def test_cohorts_without_neighbors_are_refused(samples):
    with pytest.raises(ValueError, match=r"samples has 3 rows; t-SNE needs at least 4 samples"):
        sg.tl.tsne(samples[:3].copy())
    samples.obsp["ggml_distances"] = np.zeros((15, 15))
    with pytest.raises(ValueError, match=r"All distances 'ggml' of samples are 0"):
        sg.tl.tsne(samples)
