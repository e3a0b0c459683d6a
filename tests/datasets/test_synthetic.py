import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from scggml import datasets


@pytest.fixture(scope="module")
def adata():
    return datasets.synthetic(n_samples=4, n_cells=50, n_noise=19, rng=1)


def specific(adata):
    return adata[adata.obs["mode"] == "specific"]


def test_layout(adata):
    assert adata.shape == (3 * 4 * 3 * 50, 20)
    assert adata.X.dtype == np.float32
    assert adata.obs_names.is_unique
    assert list(adata.var_names[:3]) == ["signal", "noise_1", "noise_2"]
    assert adata.var["signal"].tolist() == [True] + [False] * 19
    assert (adata.obs.groupby(["sample_id", "mode"], observed=True).size() == 50).all()
    samples = adata.obs.drop_duplicates("sample_id")
    assert samples["sample_id"].tolist() == [f"class{c}_{s:02d}" for c in range(3) for s in range(4)]
    assert samples["label"].tolist() == [f"class{c}" for c in range(3) for _ in range(4)]


def test_defaults_are_those_of_the_reference():
    adata = datasets.synthetic(n_cells=2)
    assert adata.shape == (3 * 10 * 3 * 2, 2)
    truth = adata.uns["synthetic"]
    assert truth["signal_features"] == ["signal"]
    assert truth["seed"] == 0
    assert truth["noise_scale"] == 10
    np.testing.assert_array_equal(truth["class_means"], [18.75, 25, 31.25])
    np.testing.assert_array_equal(truth["offsets"], np.arange(1.5, 30, 3))


def moments(adata):
    """Mean and standard deviation of each mode (m, 2, d), once class means and offsets are taken off."""
    truth = adata.uns["synthetic"]
    own = (adata.obs["mode"] == "specific").to_numpy()
    X = adata.X.astype(np.float64)
    X[own, 0] -= truth["class_means"][adata.obs["label"].cat.codes[own]]
    X[own, 1:] -= truth["noise_scale"] * adata.obs["offset"].to_numpy()[own, None]
    modes = adata.obs["mode"]
    cells = [X[(modes == mode).to_numpy()] for mode in modes.cat.categories]
    return np.array([[part.mean(axis=0), part.std(axis=0)] for part in cells])


@pytest.mark.parametrize("options", [{}, {"n_noise": 4, "noise_scale": 1}, {"noise_scale": 0.25}])
def test_every_mode_has_the_moments_of_the_design(options):
    adata = datasets.synthetic(n_cells=200, rng=3, **options)
    s = adata.uns["synthetic"]["noise_scale"]
    # the factors: 5/4 on the signal dimension and s on the others, in all modes alike
    wanted = np.array([  # (mode, (mean, sd), (signal, noise))
        [[0, 10 * s], [1.25 * 1.5, s * np.sqrt(25 / 12)]],
        [[1.25 * 0, s * 0], [1.25 * 1.5, s * 1.5]],
        [[1.25 * 40, s * 50], [1.25 * 1.5, s * 1.5]],
    ])  # fmt: skip
    found = moments(adata)
    n = 30 * 200
    for m in range(3):
        for dimension in range(adata.n_vars):
            mean, sd = wanted[m, :, min(dimension, 1)]
            np.testing.assert_allclose(found[m, 0, dimension], mean, atol=4.5 * sd / np.sqrt(n))
            np.testing.assert_allclose(found[m, 1, dimension], sd, rtol=0.05)


def test_the_noise_scale_is_a_factor_of_the_noise_alone():
    one, ten = (datasets.synthetic(n_cells=3, n_noise=2, noise_scale=s).X for s in (1, 10))
    np.testing.assert_array_equal(one[:, 0], ten[:, 0])
    np.testing.assert_allclose(10 * one[:, 1:], ten[:, 1:], rtol=1e-5)


def test_class_means_of_the_signal(adata):
    cells = specific(adata)
    by_class = cells.to_df()["signal"].groupby(cells.obs["label"], observed=True)
    sd = 1.25 * 1.5
    np.testing.assert_allclose(by_class.mean(), 1.25 * np.array([15, 20, 25]), atol=4 * sd / np.sqrt(200))
    np.testing.assert_allclose(by_class.std(), sd, rtol=0.2)


def test_noise_follows_the_offset_and_not_the_label(adata):
    cells = specific(adata)
    noise = cells.X[:, 1:] / 10 - 10 - cells.obs["offset"].to_numpy()[:, None]
    assert np.abs(noise).max() <= 2.5 + 1e-5
    np.testing.assert_allclose(noise.var(axis=0), 25 / 12, rtol=0.2)
    offsets = adata.obs.groupby("label", observed=True)["offset"].unique()
    for label in offsets.index:
        np.testing.assert_array_equal(offsets[label], [1.5, 4.5, 7.5, 10.5])
        # 200 cells per class and noise dimension
        in_class = noise[(cells.obs["label"] == label).to_numpy()]
        np.testing.assert_allclose(in_class.mean(axis=0), 0, atol=4 * np.sqrt(25 / 12 / 200))


def test_shared_modes_are_shared(adata):
    for mode, signal, noise in (("shared_1", 0, 0), ("shared_2", 50, 500)):
        cells = adata[adata.obs["mode"] == mode]
        frame = cells.to_df().groupby(cells.obs["label"], observed=True)
        sd = np.array([1.25 * 1.5, 10 * 1.5])
        error = sd / np.sqrt(200)
        np.testing.assert_allclose(frame["signal"].mean(), signal, atol=4 * error[0])
        np.testing.assert_allclose(frame.mean().drop(columns="signal"), noise, atol=4.5 * error[1])
        np.testing.assert_allclose(frame["signal"].std(), sd[0], rtol=0.3)
        np.testing.assert_allclose(frame.std().drop(columns="signal"), sd[1], rtol=0.3)


def nearest(adata, features):
    """Nearest other sample by optimal transport with equal weights, which is an assignment."""
    names = adata.obs["sample_id"].cat.categories
    clouds = [adata.X[(adata.obs["sample_id"] == name).to_numpy()][:, features] for name in names]
    distances = np.full((len(clouds), len(clouds)), np.inf)
    for p, q in zip(*np.triu_indices(len(clouds), 1), strict=True):
        cost = cdist(clouds[p], clouds[q])
        distances[p, q] = distances[q, p] = cost[linear_sum_assignment(cost)].mean()
    return distances.argmin(axis=1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", [{}, {"n_noise": 100, "noise_scale": 1.0}])
def test_euclidean_transport_is_misled_and_the_signal_is_not(seed, options):
    adata = datasets.synthetic(n_samples=4, n_cells=12, rng=seed, **options)
    samples = adata.obs.drop_duplicates("sample_id")
    label, offset = samples["label"].to_numpy(), samples["offset"].to_numpy()
    euclidean = nearest(adata, slice(None))
    assert (offset[euclidean] == offset).all()
    assert (label[euclidean] != label).all()
    assert (label[nearest(adata, slice(0, 1))] == label).all()


def test_seeds():
    small = {"n_samples": 2, "n_cells": 3, "n_noise": 4}
    first = datasets.synthetic(**small, rng=5)
    np.testing.assert_array_equal(first.X, datasets.synthetic(**small, rng=5).X)
    np.testing.assert_array_equal(first.X, datasets.synthetic(**small, rng=np.random.default_rng(5)).X)
    assert not np.array_equal(first.X, datasets.synthetic(**small, rng=6).X)
    generator = np.random.default_rng(5)
    datasets.synthetic(**small, rng=generator)
    second = datasets.synthetic(**small, rng=generator)
    assert not np.array_equal(first.X, second.X)
    assert "seed" not in second.uns["synthetic"]


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 0), (2, 3, 1, 4, 1), (8, 20, 5, 2, 3)])
def test_other_sizes(sizes):
    names = ("n_classes", "n_samples", "n_modes", "n_cells", "n_noise")
    adata = datasets.synthetic(**dict(zip(names, sizes, strict=True)))
    assert adata.shape == (np.prod(sizes[:4]), 1 + sizes[4])
    assert adata.obs["sample_id"].nunique() == sizes[0] * sizes[1]
    assert adata.obs["mode"].nunique() == sizes[2]
    assert {name: adata.uns["synthetic"][name] for name in names} == dict(zip(names, sizes, strict=True))
    # no shared cloud lies within the range of the specific ones
    own = specific(adata).X
    shared = adata[adata.obs["mode"] != "specific"].X
    assert not ((shared > own.min(axis=0)) & (shared < own.max(axis=0))).any()


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_classes", 0), ("n_samples", -1), ("n_modes", 0), ("n_cells", 2.5), ("n_noise", -1), ("n_cells", True)],
)
def test_bad_sizes(name, value):
    with pytest.raises(ValueError, match=f"{name}={value!r} .* whole number"):
        datasets.synthetic(**{name: value})


@pytest.mark.parametrize("value", [0, -1.0, np.inf, np.nan])
def test_bad_noise_scale(value):
    with pytest.raises(ValueError, match=r"noise_scale=.* must be a positive number"):
        datasets.synthetic(noise_scale=value)


@pytest.mark.parametrize("value", ["10", None, True])
def test_noise_scale_of_the_wrong_type(value):
    with pytest.raises(TypeError, match=r"noise_scale=.* must be a positive number"):
        datasets.synthetic(noise_scale=value)


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")  # the present default of anndata
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_round_trip(tmp_path, kind):
    adata = datasets.synthetic(n_classes=2, n_samples=2, n_cells=3, n_noise=2)
    path = tmp_path / f"cohort.{kind}"
    getattr(adata, f"write_{kind}")(path)
    again = getattr(ad, f"read_{kind}")(path)
    np.testing.assert_array_equal(again.X, adata.X)
    pd.testing.assert_frame_equal(again.obs, adata.obs)
    pd.testing.assert_frame_equal(again.var, adata.var)
    for name, value in adata.uns["synthetic"].items():
        np.testing.assert_array_equal(again.uns["synthetic"][name], value)
