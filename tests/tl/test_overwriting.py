"""Nothing that others have written is replaced: not in slots that derive from a key, not in columns of `.obs`."""

import numpy as np
import pytest
from _new import measured_again
from _slots import assert_same, slots
from anndata import AnnData

import scggml as sg
from scggml._anndata.ownership import check_results, results_of

HIDE = {"progress": False}
SETS = {"some": ["signal_0", "noise_0", "noise_1"], "others": ["noise_1", "noise_2"]}
pytestmark = pytest.mark.filterwarnings(
    "ignore:No false discovery rate", "ignore:No component", "ignore:Held-out donors"
)


@pytest.fixture
def adata(_ranked) -> AnnData:
    """Eight samples of two classes with a metric and ranked genes."""
    return _ranked.copy()


@pytest.fixture
def samples(_ranked) -> AnnData:
    return sg.tl.distances(_ranked, **HIDE)


OF_CELLS = {
    "metric": lambda adata, **how: sg.tl.ggml(adata, "sample_id", "label", n_comps=2, **HIDE, **how),
    "mixture": lambda adata, **how: sg.tl.ggml(
        adata, "sample_id", "label", n_comps=2, summary=sg.tl.Mixture(2), **HIDE, **how
    ),
    "held_out": lambda adata, **how: sg.tl.cross_fit(adata, n_splits=4, n_jobs=1, **HIDE, **how),
    "components": lambda adata, **how: sg.tl.component_test(adata, n_perm=9, n_jobs=1, **HIDE, **how),
    "genes": lambda adata, **how: sg.tl.rank_genes(adata, **HIDE, **how),
    "stability": lambda adata, **how: sg.tl.gene_stability(adata, 2, n_perm=0, n_jobs=1, **HIDE, **how),
    "attribution": lambda adata, **how: sg.tl.attribute(adata, **HIDE, **how),
    "influence": lambda adata, **how: sg.tl.influence(adata, n_jobs=1, **HIDE, **how),
    "enrichment": lambda adata, **how: sg.ext.enrich_gmt(adata, SETS, min_size=1, **how),
}
OF_SAMPLES = {
    "covariates": lambda samples, **how: sg.tl.covariates(samples, n_perm=9, **how),
    "trajectory": lambda samples, **how: sg.tl.trajectory(samples, n_perm=9, **HIDE, **({"key": "ggml"} | how)),
    "mds": sg.tl.mds,
    "tsne": sg.tl.tsne,
}
CALLS = OF_CELLS | OF_SAMPLES
SLOTS = [
    (name, where, slot)
    for name in CALLS
    for where, slot in (("uns", results_of("ggml")[name].record), *results_of("ggml")[name].others)
]


def put(adata, where, name):
    values = {
        "uns": {"params": {"a": 1}},
        "obs": "mine",
        "obsm": np.ones((adata.n_obs, 2)),
        "varm": np.ones((adata.n_vars, 2)),
    }
    getattr(adata, where)[name] = values[where]


@pytest.mark.parametrize(("name", "where", "slot"), SLOTS)
def test_what_others_stored_is_not_replaced(adata, samples, name, where, slot):
    of = samples if name in OF_SAMPLES else adata
    result = results_of("ggml")[name]
    of.uns.pop(result.record, None)
    for other, taken in result.others:
        if taken in getattr(of, other):
            del getattr(of, other)[taken]
    put(of, where, slot)
    if name not in ("metric", "mixture", "covariates", "trajectory", "mds", "tsne"):
        of.uns["ggml"] = adata.uns["ggml"]
    before = slots(of)
    owner = "samples" if name in OF_SAMPLES else "adata"
    with pytest.raises(
        ValueError, match=rf"key(_added)?='ggml': {owner}\.{where}\['{slot}'\] holds something .* del {owner}"
    ):
        CALLS[name](of)
    assert_same(slots(of), before)


@pytest.mark.parametrize("name", CALLS)
def test_what_we_have_stored_may_be_replaced(adata, samples, name):
    of = samples if name in OF_SAMPLES else adata
    CALLS[name](of)
    result = results_of("ggml")[name]
    assert result.is_ours(of)
    check_results(of, "ggml", name)


def test_a_metric_is_not_replaced_by_a_result_of_another_key(adata):
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, key_added="ggml_components", **HIDE)
    with pytest.raises(ValueError, match=r"adata\.uns\['ggml_components'\] holds something that is not a result of sg"):
        OF_CELLS["components"](adata)
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, key_added="ggml_held_out", **HIDE)
    before = slots(adata)
    for name in ("held_out", "metric"):  # learning anew clears the cells of a cross-fit
        with pytest.raises(ValueError, match="ggml_held_out"):
            OF_CELLS[name](adata)
    assert_same(slots(adata), before)


@pytest.mark.parametrize("key", ["ggml", "ggml_genes", "pca"])
@pytest.mark.parametrize("function", ["cross_validate", "permutation_test", "tune"])
def test_a_result_of_an_evaluation_replaces_one_of_its_kind_only(adata, function, key):
    adata.uns["pca"] = {"params": {}}
    before = slots(adata)
    with pytest.raises(ValueError, match=rf"key_added='{key}': adata\.uns\['{key}'\] holds something other than a"):
        getattr(sg.tl, function)(adata, "sample_id", "label", key_added=key, **HIDE)
    assert_same(slots(adata), before)


# Features


@pytest.mark.parametrize("slot", ["X_pca", "pca"])
def test_a_metric_does_not_take_the_place_of_its_features(adata, slot):
    adata.obsm[slot] = np.asarray(adata.X[:, :2])
    before = slots(adata)
    for use_rep in (slot, None):
        with pytest.raises(ValueError, match=rf"key_added='pca': .*adata\.obsm\['{slot}'\].* Pass another key_added"):
            sg.tl.ggml(adata, "sample_id", "label", use_rep=use_rep, key_added="pca", **HIDE)
    assert_same(slots(adata), before)


def test_a_metric_on_the_cells_of_another_one_does_not_replace_these(adata):
    before = slots(adata)
    with pytest.raises(ValueError, match=r"key_added='ggml': .* the place of adata\.obsm\['X_ggml'\] \(use_rep\), its"):
        sg.tl.ggml(adata, "sample_id", "label", use_rep="X_ggml", key_added="ggml", **HIDE)
    assert_same(slots(adata), before)


# Keys


BAD = [
    "",
    " ",
    ".",
    "..",
    "a/b",
    "/",
    "a\\b",
    "a\nb",
    "a\0b",
    "\ud800",
    "x" * 201,
    None,
    3,
    True,
    ["ggml"],
    b"ggml",
    ("a",),
]


@pytest.mark.parametrize("key", BAD, ids=ascii)
@pytest.mark.parametrize("function", ["ggml", "cross_validate", "permutation_test", "tune"])
def test_what_files_cannot_hold_is_no_key(adata, function, key):
    error, said = (ValueError, "without '/'") if isinstance(key, str) else (TypeError, "pass a name such as 'ggml'")
    before = slots(adata)
    with pytest.raises(error, match=rf"^key_added=.*{said}"):
        getattr(sg.tl, function)(adata, "sample_id", "label", key_added=key, **HIDE)
    assert_same(slots(adata), before)


@pytest.mark.parametrize("key", [None, 3, True, ["ggml"], b"ggml"], ids=repr)
@pytest.mark.parametrize(
    "name", [*(name for name in CALLS if name not in ("metric", "mixture")), "predict", "distances", "project", "plan"]
)
def test_a_key_that_is_read_is_text(adata, samples, name, key):
    calls = CALLS | {
        "predict": lambda adata, **how: sg.tl.predict(adata, adata, **HIDE, **how),
        "distances": lambda adata, **how: sg.tl.distances(adata, **HIDE, **how),
        "project": lambda adata, **how: sg.tl.project(adata, adata, **how),
        "plan": lambda adata, **how: sg.tl.plan(adata, "class0_00", "class0_01", **how),
    }
    with pytest.raises(TypeError, match=r"^key=.* pass a name such as 'ggml'"):
        calls[name](samples if name in OF_SAMPLES else adata, key=key)


# Columns of the user


def per_sample(adata, make):
    return adata.obs["sample_id"].astype(str).map(make)


@pytest.mark.parametrize(
    "name", ["n_cells", "depth", "prediction", "probability", "low", "neighbors", "novelty", "fold"]
)
def test_a_label_keeps_its_column_whatever_its_name(adata, name):
    adata.obs[name] = adata.obs["label"].to_numpy()
    adata.obs["total_counts"] = 100.0
    truth = per_sample(adata, lambda sample: sample[:6]).to_numpy()
    sg.tl.ggml(adata, "sample_id", name, n_comps=2, key_added="own", **HIDE)
    samples = sg.tl.distances(adata, key="own", **HIDE)
    assert adata.obs[name].tolist() == truth.tolist()
    assert samples.obs[name].tolist() == [sample[:6] for sample in samples.obs_names]
    ours = {column: samples.obs[column].tolist() for column in samples.obs if column.endswith(("n_cells", "depth"))}
    where = {each: f"scggml_{each}" if each == name else each for each in ("n_cells", "depth")}
    assert ours.pop(where["n_cells"]) == [9] * 8
    assert ours.pop(where["depth"]) == [100.0] * 8
    assert list(ours) == [each for each in ("n_cells", "depth") if each == name]


def test_sizes_of_samples_are_found_beside_columns_of_the_user(adata):
    adata.obs["n_cells"] = per_sample(adata, lambda sample: int(sample[-1]) + 5)
    samples = sg.tl.distances(adata, **HIDE)
    samples.obs["scggml_n_cells"] = np.arange(8) + 3
    sg.tl.covariates(samples, n_perm=9)
    assert {"n_cells", "scggml_n_cells"} <= set(samples.uns["ggml_covariates"]["table"]["covariate"])


TAKEN = ["prediction", "probability", "neighbors", "novelty", "unlike_reference"]


@pytest.mark.parametrize("name", TAKEN)
def test_predictions_do_not_replace_columns_of_the_user(adata, name):
    new = measured_again(adata)
    new.obs[name] = new.obs["label"].to_numpy()
    before = slots(new)
    message = rf"adata\.obs\['{name}'\] has one value in each sample.*Rename it: (adata\.obs = .*\))\."
    with pytest.raises(ValueError, match=message) as found:
        sg.tl.predict(new, adata, n_jobs=1, **HIDE)
    assert_same(slots(new), before)
    exec(str(found.value).split("Rename it: ")[1][:-1], {"adata": new})
    samples = sg.tl.predict(new, adata, n_splits=2, n_repeats=1, n_jobs=1, **HIDE)
    assert samples.obs[f"other_{name}"].astype(str).tolist() == [sample[:6] for sample in samples.obs_names]


def test_columns_that_differ_within_samples_are_in_nobodys_way(adata):
    new = measured_again(adata)
    new.obs["prediction"] = np.arange(new.n_obs)
    samples = sg.tl.predict(new, adata, n_splits=2, n_repeats=1, n_jobs=1, **HIDE)
    assert set(samples.obs["prediction"]) <= {"class0", "class1"}
