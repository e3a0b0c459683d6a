"""Every solver in every function that takes one, or refused in a sentence before cells are read."""

import anndata
import numpy as np
import pytest

import scggml as sg
from scggml._core.transport.solvers import TRAITS

pytest.importorskip("torch")

NAMES = [name for name in TRAITS if name != "exact"]
OBJECTS = {
    "sinkhorn": sg.tl.Sinkhorn(epsilon=0.05),
    "sinkhorn_divergence": sg.tl.SinkhornDivergence(epsilon=0.05, device="cpu"),
    "unbalanced": sg.tl.Unbalanced(reach=1.5),
}
METHODS = {"canonical": sg.tl.Canonical(ridge=0.05, ridge_scale="mean"), "triplets": sg.tl.Triplets(max_iter=5)}
UNFINISHED = pytest.mark.filterwarnings("ignore:Learning reached max_iter")


@pytest.fixture(scope="module")
def cohort():
    return sg.datasets.synthetic(n_noise=3, noise_scale=1.0, n_samples=4, n_cells=10)


def learned(cohort, solver, method="canonical"):
    adata = cohort.copy()
    sg.tl.ggml(
        adata, "sample_id", "label", method=METHODS[method], n_comps=2, shrinkage=0.2, solver=solver, progress=False
    )
    return adata


@pytest.fixture(scope="module")
def metrics(cohort):
    """A metric learned with each solver."""
    return {name: learned(cohort, name) for name in NAMES}


@UNFINISHED
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_learning_finds_the_signal(name, method, cohort):
    adata = learned(cohort, OBJECTS[name], method)
    assert sg.get.metric(adata).gene_importance.idxmax() == "signal"
    assert adata.uns["ggml"]["learner"]["solver"]["name"] == name


@UNFINISHED
@pytest.mark.parametrize("name", NAMES)
def test_an_objective_of_triplets_falls(name, cohort):
    adata = cohort.copy()
    method = sg.tl.Triplets(max_iter=15, init="pca")
    sg.tl.ggml(adata, "sample_id", "label", method=method, n_comps=2, shrinkage=0.0, solver=name, progress=False)
    loss = adata.uns["ggml"]["history"]["loss"]
    assert loss[-1] < 0.9 * loss[0]


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.parametrize("name", NAMES)
def test_a_metric_keeps_its_solver_in_a_file(name, form, cohort, tmp_path):
    adata = learned(cohort, OBJECTS[name])
    path = tmp_path / f"adata.{form}"
    getattr(adata, f"write_{form}")(path)
    found = getattr(anndata, f"read_{form}")(path)
    before, after = (sg.tl.distances(each, progress=False) for each in (adata, found))
    np.testing.assert_array_equal(after.obsp["ggml_distances"], before.obsp["ggml_distances"])
    exact = sg.tl.distances(found, solver="exact", progress=False)
    assert not np.allclose(after.obsp["ggml_distances"], exact.obsp["ggml_distances"], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_distances_of_a_stored_and_of_a_fixed_metric(name, metrics):
    adata = metrics[name]
    options = {"metric": "euclidean", "progress": False}
    found, exact = (sg.tl.distances(adata, solver=solver, **options) for solver in (name, "exact"))
    one, other = (samples.obsp["euclidean_distances"] for samples in (found, exact))
    off = ~np.eye(len(one), dtype=bool)
    assert np.corrcoef(one[off], other[off])[0, 1] > 0.9
    assert (one[off] >= 0).all()
    if name == "sinkhorn":
        assert (one >= other * (1 - 1e-12)).all()


@pytest.mark.parametrize("name", NAMES)
def test_evaluations_run(name, cohort):
    learner = sg.tl.Learner(method=METHODS["canonical"], n_comps=1, shrinkage=0.2, solver=name)
    options = {"sample_key": "sample_id", "label_key": "label", "progress": False}
    adata = cohort.copy()
    sg.tl.cross_validate(adata, methods={"mine": learner}, n_splits=2, n_repeats=1, preprocess=None, **options)
    assert sg.get.cross_validation(adata).summary["balanced_accuracy"]["mine"] > 0.6
    sg.tl.permutation_test(adata, method=learner, n_permutations=5, n_splits=2, preprocess=None, **options)
    assert adata.uns["permutation_test"]["null"].shape == (5,)


@pytest.mark.parametrize("name", NAMES)
def test_contributions_add_up_or_are_refused(name, metrics):
    adata = metrics[name].copy()
    if not TRAITS[name].adds_up:
        with pytest.raises(ValueError, match=r"tl.attribute splits a distance .*\['exact', 'sinkhorn'\]"):
            sg.tl.attribute(adata, progress=False)
        sg.tl.attribute(adata, solver="sinkhorn", progress=False)
        return
    sg.tl.attribute(adata, progress=False)
    entry = adata.uns["ggml_attribution"]
    D = sg.tl.distances(adata, progress=False)
    labels = D.obs["label"].to_numpy()
    between = D.obsp["ggml_distances"][labels[:, None] != labels].mean()
    assert entry["between"] == pytest.approx(between, rel=0.02)  # faint entries of plans are dropped


@pytest.mark.parametrize("name", NAMES)
def test_plans_couple_two_samples_or_are_refused(name, metrics):
    adata = metrics[name]
    first, second = adata.obs["sample_id"].unique()[:2]
    if TRAITS[name].coupling == "cross":
        with pytest.raises(ValueError, match=r"SinkhornDivergence has no plan of its own"):
            sg.tl.plan(adata, first, second)
        return
    plan = sg.tl.plan(adata, first, second)
    paid = plan.X.multiply(plan.layers["distance"]).sum()
    if name == "unbalanced":
        assert 0.3 < plan.X.sum() < 0.99
        assert paid < plan.uns["plan"]["distance"]
    else:
        assert plan.X.sum() == pytest.approx(1)
        assert paid == pytest.approx(plan.uns["plan"]["distance"])


@pytest.mark.parametrize("name", NAMES)
def test_what_follows_from_a_metric_follows_from_one_of_any_solver(name, metrics):
    adata = metrics[name].copy()
    sg.tl.rank_genes(adata, progress=False)
    assert sg.get.rank_genes_df(adata).iloc[0]["gene"] == "signal"
    sg.tl.component_test(adata, n_perm=5, progress=False)
    sg.tl.influence(adata, progress=False)
    sg.tl.cross_fit(adata, n_splits=4, progress=False)
    held_out = sg.tl.distances(adata, held_out=True, progress=False)
    assert np.isfinite(held_out.obsp["ggml_held_out_distances"]).all()


def test_arrays_take_a_solver():
    rng = np.random.default_rng(0)
    clouds = [rng.normal([2 * (i % 2), 0, 0], size=(20, 3)) for i in range(8)]
    for solver in OBJECTS.values():
        metric = sg.tl.Learner(n_comps=1, solver=solver).fit(clouds, ["a", "b"] * 4)
        assert metric.importance.argmax() == 0


def test_without_torch_the_message_says_what_to_install(cohort, monkeypatch):
    from scggml._core.transport import devices  # noqa: PLC0415 - of this test alone

    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    devices.place_of.cache_clear()
    text = r'pip install "scggml\[torch\]"'
    broken = cohort[:, :0].copy()  # no cells are read: these would be found to have no features
    with pytest.raises(ImportError, match=text):
        sg.tl.ggml(broken, "sample_id", "label", solver="sinkhorn", progress=False)
    with pytest.raises(ImportError, match=text):
        sg.tl.distances(broken, metric="euclidean", sample_key="sample_id", solver="unbalanced", progress=False)
    with pytest.raises(ImportError, match=text):
        sg.tl.cross_validate(broken, "sample_id", "label", methods=[sg.tl.Learner(solver="sinkhorn")])
    assert sg.tl.Learner(solver="sinkhorn").to_params()["solver"]["name"] == "sinkhorn"
    devices.place_of.cache_clear()
