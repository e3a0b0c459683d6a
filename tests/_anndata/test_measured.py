"""What is drawn of samples is of the samples, distances and columns that are there, or it is told."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scggml as sg
from scggml._anndata.covariates import read_covariates
from scggml._anndata.drawn import key_of, mds_shares
from scggml._anndata.trajectory import read_trajectory, write_trajectory

ALL = ["covariates", "mds", "trajectory", "tsne"]


@pytest.fixture
def samples() -> AnnData:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(12, 3))
    obs = pd.DataFrame(
        {"label": list("ab") * 6, "age": rng.normal(size=12), "sex": list("mmmfff") * 2, "other": range(12)},
        index=[f"p{i}" for i in range(12)],
    )
    samples = AnnData(np.zeros((12, 1)), obs=obs)
    samples.obsp["ggml_distances"] = np.linalg.norm(points[:, None] - points, axis=2)
    sg.tl.covariates(samples, ["age", "sex"], label_key="label", n_perm=9)
    sg.tl.mds(samples)
    sg.tl.tsne(samples)
    genes = pd.DataFrame({"gene": ["g"], "rho": [1.0], "r2": [1.0], "p_adjusted": [0.01]})
    entry = {"genes": genes, "association": 0.9, "measure": "rho", "p_value": 0.02, "params": {"label_key": "label"}}
    write_trajectory(samples, "ggml", np.linspace(0, 1, 12), entry, None)
    return samples


def read(samples: AnnData, what: str) -> object:
    if what == "covariates":
        return read_covariates(samples, "ggml")
    if what == "tsne":
        return key_of(samples, "tsne")
    return mds_shares(samples) if what == "mds" else read_trajectory(samples, "ggml")


@pytest.mark.parametrize("what", ALL)
def test_what_is_of_the_same_samples_in_any_order_and_file_is_read(samples, what, tmp_path):
    samples.write_h5ad(tmp_path / "s.h5ad")
    for kept in (samples, samples[::-1].copy(), ad.read_h5ad(tmp_path / "s.h5ad")):
        kept.obs["other"] = 0
        assert read(kept, what) is not None
        kept.obsp["ggml_distances"] = kept.obsp["ggml_distances"].astype(np.float32)
        assert read(kept, what) is not None
        del kept.obsp["ggml_distances"]
        assert read(kept, what) is not None


@pytest.mark.parametrize("what", ALL)
def test_distances_that_were_replaced_are_noticed(samples, what):
    samples.obsp["ggml_distances"] = samples.obsp["ggml_distances"] ** 2
    with pytest.raises(ValueError, match=rf"from other distances than .* has now; call sg\.tl\.{what}\(.*\) again"):
        read(samples, what)


@pytest.mark.parametrize("what", ALL)
def test_a_part_of_the_samples_is_told(samples, what):
    with pytest.warns(UserWarning, match=rf"from 12 samples, of which 5 are left; .* call sg\.tl\.{what}"):
        read(samples[:5].copy(), what)


@pytest.mark.parametrize("what", ALL)
def test_other_samples_are_refused(samples, what):
    samples.obs_names = [f"q{i}" for i in range(12)]
    with pytest.raises(ValueError, match=rf"from other samples: 'q0', .* call sg\.tl\.{what}"):
        read(samples, what)


@pytest.mark.parametrize("column", ["label", "age", "sex"])
def test_columns_that_were_edited_are_noticed(samples, column):
    samples.obs[column] = samples.obs[column].to_numpy()[::-1]
    if column == "sex":
        samples.obs[column] = "m"
    with pytest.raises(ValueError, match=rf"before samples\.obs was changed, in '{column}'; call sg\.tl\.covariates"):
        read(samples, "covariates")


@pytest.mark.parametrize("what", ALL)
def test_a_result_of_an_older_version_is_read(samples, what):
    slot = {"covariates": "ggml_covariates", "mds": "mds", "trajectory": "ggml_trajectory", "tsne": "tsne"}[what]
    entry = dict(samples.uns[slot])
    samples.uns[slot] = {name: value for name, value in entry.items() if name not in ("measured", "checksums")}
    samples.obsp["ggml_distances"] = samples.obsp["ggml_distances"] ** 2
    assert read(samples, what) is not None


def test_plots_notice(samples):
    samples.obsp["ggml_distances"] = samples.obsp["ggml_distances"] ** 2
    with pytest.raises(ValueError, match="from other distances"):
        sg.pl.covariates(samples)
    with pytest.raises(ValueError, match="from other distances"):
        sg.pl.embedding(samples)
