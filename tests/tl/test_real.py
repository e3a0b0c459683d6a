"""The main job on four real cohorts: markers, genes through a PCA, components without genes, and many small samples."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from _slots import assert_round_trip, assert_same, slots
from anndata import AnnData

import scggml as sg

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore:adata.varm.'PCs'. is missing"),  # of a cohort that comes with components alone
    pytest.mark.filterwarnings("ignore:The cells of", "ignore:.* samples have few cells"),  # as they do have
]

QUIET = {"progress": False}
START = {"ridge": 0.03, "ridge_scale": "mean"}
STEPS = {"method": sg.tl.Triplets(init=sg.tl.Canonical(**START)), "shrinkage": 0.4}
FEW_PAIRS = sg.tl.Canonical(**START, max_pairs=100)
"""A start that leaves something to learn where there are hundreds of samples."""


@dataclass(frozen=True)
class Case:
    """A prepared cohort and how to learn on it; a draw of its cells keeps the tests quick."""

    adata: AnnData
    sample_key: str
    label_key: str
    options: dict
    n_samples: int

    def learn(self, **options) -> AnnData:
        return sg.tl.ggml(
            self.adata,
            self.sample_key,
            self.label_key,
            copy=True,
            **(QUIET | STEPS | self.options | options),
        )


def markers(data_dir: Path) -> Case:
    adata = ad.read_h5ad(data_dir / "bcrxl_catalyst.h5ad")
    return Case(adata, "sample_id", "label", {"n_cells": 50}, n_samples=16)


def genes(data_dir: Path) -> Case:
    adata = ad.read_h5ad(data_dir / "autism_velmeshev.h5ad")
    del adata.obsm["X_pca"]  # from counts on, as a user would
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    sc.pp.pca(adata, n_comps=30)
    return Case(adata, "sample_id", "label", {"n_cells": 40, "use_rep": "X_pca"}, n_samples=23)


def pcs(data_dir: Path) -> Case:
    adata = ad.read_h5ad(data_dir / "covid_stephenson_gloscope.h5ad")
    return Case(adata, "sample_id", "label", {"n_cells": 50, "use_rep": "X_pca"}, n_samples=20)


def biopsies(data_dir: Path) -> Case:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCGGML_DATA", str(data_dir / "downloads"))
        adata = sg.datasets.kidney_igan()
    sc.pp.scale(adata)
    return Case(adata, "sampleID", "status", {"n_cells": 8, "method": sg.tl.Triplets(init=FEW_PAIRS)}, n_samples=634)


COHORTS: dict[str, Callable[[Path], Case]] = {
    "bcrxl_catalyst": markers,
    "autism_velmeshev": genes,
    "covid_stephenson_gloscope": pcs,
    "kidney_igan": biopsies,
}


@pytest.fixture(scope="module")
def cases(data_dir) -> Callable[[str], tuple[Case, AnnData]]:
    """Each cohort is prepared and learned on once, on two threads."""
    made: dict[str, tuple[Case, AnnData]] = {}

    def get(name: str) -> tuple[Case, AnnData]:
        if name not in made:
            case = COHORTS[name](data_dir)
            made[name] = case, case.learn(n_jobs=2)
        return made[name]

    return get


@pytest.fixture(params=COHORTS)
def run(request, cases) -> tuple[Case, AnnData]:
    return cases(request.param)


def part_of(case: Case, learned: AnnData, n_each: int) -> AnnData:
    """The cells of the first samples of each class."""
    first = case.adata.obs.drop_duplicates(case.sample_key).groupby(case.label_key, observed=True).head(n_each)
    return learned[learned.obs[case.sample_key].isin(first[case.sample_key])].copy()


def content(adata: AnnData) -> dict[str, bytes]:
    """What learning wrote, as bytes; the number of threads is not a part of it."""
    written = AnnData(obsm={"X_ggml": adata.obsm["X_ggml"]}, uns={"ggml": adata.uns["ggml"]})
    return {path: value.tobytes() for path, value in slots(written).items()}


def test_learning_converges_and_every_cell_has_coordinates(run):
    case, learned = run
    stored = learned.uns["ggml"]
    assert stored["converged"]
    assert stored["stop"] == "converged"
    assert case.adata.obs[case.sample_key].nunique() == case.n_samples
    assert stored["history"]["loss"].min() < 0.95 * stored["history"]["loss"][0]
    use_rep = case.options.get("use_rep")
    features = np.asarray(learned.X if use_rep is None else learned.obsm[use_rep], dtype=np.float64)
    np.testing.assert_allclose(learned.obsm["X_ggml"], features @ stored["components"].T, rtol=1e-4, atol=1e-5)


def test_cells_and_samples_survive_files(run, tmp_path):
    case, learned = run
    part = part_of(case, learned, 3)
    samples = sg.tl.distances(part, n_cells=50, **QUIET)
    del part.X  # the counts of a whole transcriptome are no result
    for found, folder in ((part, tmp_path / "cells"), (samples, tmp_path / "samples")):
        folder.mkdir()
        assert_round_trip(found, folder)


@pytest.mark.parametrize("name", [name for name in COHORTS if name != "kidney_igan"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads(cases, name, n_jobs):
    case, learned = cases(name)
    assert content(case.learn(n_jobs=n_jobs)) == content(learned)


def test_the_same_seed_gives_the_same_bytes_in_mini_batches(cases):
    case, _ = cases("kidney_igan")
    method = sg.tl.Triplets(init=FEW_PAIRS, max_iter=2, tol=0)
    runs = [content(case.learn(n_jobs=n_jobs, method=method)) for n_jobs in (1, 2, 2)]
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("name", COHORTS)
def test_the_default_gives_the_same_bytes_and_survives_files(cases, name, tmp_path):
    case, _ = cases(name)
    first, second = (case.learn(method="canonical", shrinkage="auto", n_jobs=n_jobs) for n_jobs in (1, 2))
    stored = first.uns["ggml"]
    assert (stored["stop"], stored["converged"]) == ("closed form", True)
    assert np.isfinite(stored["choice"]["score"]).all()
    use_rep = case.options.get("use_rep")
    features = np.asarray(first.X if use_rep is None else first.obsm[use_rep], dtype=np.float64)
    np.testing.assert_allclose(first.obsm["X_ggml"], features @ stored["components"].T, rtol=1e-4, atol=1e-5)
    assert_same(slots(second), slots(first))
    assert_round_trip(first, tmp_path)


def test_distances_are_those_of_pot(run):
    case, learned = run
    part = part_of(case, learned, 2)
    found, truth = (
        sg.tl.distances(part, n_cells=100, summary=None, solver=solver, **QUIET).obsp["ggml_distances"]
        for solver in (sg.tl.Exact(), sg.tl.Exact(backend="pot"))
    )
    assert truth.max() > 0.1
    np.testing.assert_allclose(found, truth, rtol=1e-6, atol=1e-9)


def test_stimulated_b_cells_carry_the_metric_of_bcrxl(cases):
    # Bodenmiller et al. 2012: the B-cell receptor raises pS6 and lowers pNFkB in B cells, which CD20 marks.
    _, learned = cases("bcrxl_catalyst")
    metric = sg.get.metric(learned)
    assert {"CD20", "pNFkB", "pS6"} <= set(metric.gene_importance.nlargest(5).index)
    first = dict(zip(learned.var_names, learned.varm["ggml"][:, 0], strict=True))
    assert np.sign(first["pS6"]) == np.sign(first["pErk"]) == -np.sign(first["pNFkB"])


def test_loadings_of_a_pca_come_back_on_its_genes(cases):
    _, learned = cases("autism_velmeshev")
    loadings, seen = learned.varm["ggml"], learned.var["highly_variable"].to_numpy()
    assert np.isnan(loadings[~seen]).all()
    assert np.isfinite(loadings[seen]).all()
    # cells from their genes: the same coordinates but for the center that the PCA takes away
    rest = learned.X[:, seen] @ loadings[seen] - learned.obsm["X_ggml"]
    np.testing.assert_allclose(rest, np.broadcast_to(rest.mean(axis=0), rest.shape), atol=1e-3)


def test_components_without_genes_have_no_loadings_on_genes(cases):
    _, learned = cases("covid_stephenson_gloscope")
    assert "ggml" not in learned.varm
    assert sg.get.metric(learned).gene_importance.index.tolist() == [f"X_pca_{i}" for i in range(50)]
