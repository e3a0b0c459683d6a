"""Values whose squares leave the range of numbers are named before anything is computed."""

import numpy as np
import pandas as pd
import pytest
from _slots import assert_same, slots
from anndata import AnnData
from scipy import sparse

import scggml as sg

QUIET = {"progress": False}


def make(dtype: type = np.float64) -> AnnData:
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(8) % 2, 6)
    X = rng.normal(size=(48, 5)) + label[:, None]
    obs = pd.DataFrame({"sample": np.repeat([f"s{i}" for i in range(8)], 6), "label": np.where(label, "ill", "well")})
    obs.index = [f"cell{i}" for i in range(48)]
    return AnnData(X.astype(dtype), obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(5)]))


def learn(adata, **options):
    sg.tl.ggml(adata, "sample", options.pop("label", "label"), n_comps=2, **QUIET, **options)


def fails(adata, message, function=learn, **options):
    before = slots(adata)
    with pytest.raises(ValueError, match=message):
        function(adata, **options)
    assert_same(slots(adata), before)


@pytest.mark.parametrize("value", [1e160, -1e160, 1e300])
@pytest.mark.parametrize("kind", ["dense", "sparse", "representation"])
def test_a_value_whose_square_overflows_is_named(kind, value):
    adata = make()
    adata.X[7, 2] = value
    options = {}
    if kind == "sparse":
        adata.X = sparse.csr_matrix(adata.X)
    if kind == "representation":
        adata.obsm["X_scVI"], options["use_rep"] = adata.X, "X_scVI"
    message = rf"has 1 values that are above 1e\+75, whose squares overflow \({value:g}\); .* cell 'cell7', feature"
    fails(adata, message.replace("+3", r"\+3").replace("+1", r"\+1"), **options)


EVALUATE = {
    "cross_validate": {"methods": ["canonical", "majority"], "n_splits": 2, "n_repeats": 1},
    "permutation_test": {"n_permutations": 9, "n_splits": 2},
}


@pytest.mark.parametrize("name", EVALUATE)
def test_an_evaluation_names_it_too(name):
    adata = make()
    adata.obsm["X_scVI"] = adata.X * 1e160

    def run(adata):
        options = EVALUATE[name] | {"use_rep": "X_scVI", "n_jobs": 1}
        getattr(sg.tl, name)(adata, "sample", "label", **options, **QUIET)

    fails(adata, r"adata\.obsm\['X_scVI'\] has 240 values that are above 1e\+75", run)


def test_clouds_and_numbers_of_samples_are_named_too():
    clouds = [np.full((3, 2), value) for value in (1.0, 1e160, 2.0, 3.0)]
    with pytest.raises(ValueError, match=r"clouds\[1\] has values that are above 1e\+75, whose squares overflow"):
        sg.tl.Learner(n_comps=1).fit(clouds, ["a", "b"] * 2)
    adata = make()
    adata.obs["age"] = np.repeat(np.arange(8) * 1e160, 6)
    fails(
        adata,
        r"adata\.obs\['age'\] \(label_key\) has values above 1e\+75, whose squares overflow",
        label="age",
        label_kind="numbers",
    )
    fails(
        adata,
        r"adata\.obs\['age'\] \(covariate_keys\) has '1e\+160' for sample 's1'; numbers up to 1e\+75, whose",
        covariate_keys=["age"],
    )


def test_values_whose_squares_vanish_are_named():
    adata = make()
    adata.X *= 1e-160
    fails(adata, r"adata\.X has values up to \d\.\d+e-160, whose squares vanish; multiply them by a number")


@pytest.mark.parametrize("unit", [1e-30, 1e30, 1e70])
def test_values_in_range_give_the_same_metric_in_any_unit(unit):
    one, other = make(), make()
    other.X *= unit
    for adata in (one, other):
        learn(adata, shrinkage=0.3, method=sg.tl.Canonical(ridge=1.0))
    D, E = (sg.tl.distances(adata, **QUIET).obsp["ggml_distances"] for adata in (one, other))
    np.testing.assert_allclose(E / E.max(), D / D.max(), rtol=1e-6)
