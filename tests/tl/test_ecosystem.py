"""Cells as other tools leave them: joined tables, columns of lists, files, new patients, integer labels."""

import re
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _new import measured_again
from _slots import assert_same, slots
from anndata import AnnData

import scggml as sg

HIDE = {"progress": False}
FEW = {"n_splits": 2, "n_repeats": 1, "n_jobs": 1, "progress": False}
pytestmark = pytest.mark.filterwarnings(
    "ignore:No false discovery rate", "ignore:No component", "ignore:Held-out donors"
)


@pytest.fixture
def adata(_ranked) -> AnnData:
    """Eight samples of two classes with a metric and ranked genes."""
    return _ranked.copy()


def again(adata: Any) -> Any:
    """The patients of an AnnData measured again; what is none stays."""
    whole = type(adata) is AnnData
    return measured_again(adata.to_memory() if adata.isbacked else adata) if whole else adata


FUNCTIONS = {
    "ggml": lambda adata: sg.tl.ggml(adata, "sample_id", "label", n_comps=2, **HIDE),
    "project": lambda adata: sg.tl.project(adata, adata),
    "distances": lambda adata: sg.tl.distances(adata, **HIDE),
    "held-out distances": lambda adata: sg.tl.distances(adata, held_out=True, **HIDE),
    "predict": lambda adata: sg.tl.predict(again(adata), adata, **FEW),
    "cross_validate": lambda adata: sg.tl.cross_validate(adata, "sample_id", "label", methods=["canonical"], **FEW),
    "permutation_test": lambda adata: sg.tl.permutation_test(adata, n_permutations=2, **FEW),
    "tune": lambda adata: sg.tl.tune(adata, space={"n_comps": [1, 2]}, n_inner_splits=2, **FEW),
    "cross_fit": lambda adata: sg.tl.cross_fit(adata, n_splits=4, n_jobs=1, **HIDE),
    "component_test": lambda adata: sg.tl.component_test(adata, n_perm=9, n_jobs=1, **HIDE),
    "rank_genes": lambda adata: sg.tl.rank_genes(adata, **HIDE),
    "gene_stability": lambda adata: sg.tl.gene_stability(adata, 2, n_perm=0, n_jobs=1, **HIDE),
    "attribute": lambda adata: sg.tl.attribute(adata, **HIDE),
    "influence": lambda adata: sg.tl.influence(adata, n_jobs=1, **HIDE),
    "plan": lambda adata: sg.tl.plan(adata, "class0_00", "class1_00"),
}
READING = ("distances", "held-out distances", "predict", "plan")
"""Functions that write nothing into the AnnData of the cells."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_columns_that_nobody_asked_for_have_no_part(adata, name):
    if name == "held-out distances":
        FUNCTIONS["cross_fit"](adata)
    adata.obs["clones"] = [["TRA1", "TRB2"] for _ in range(adata.n_obs)]
    adata.obs["reads"] = [{"a": 1} for _ in range(adata.n_obs)]
    ages = pd.DataFrame({"age": 5}, index=adata.obs_names)
    adata.obs = pd.concat([adata.obs, ages, ages + 1], axis=1)
    found = FUNCTIONS[name](adata)
    assert adata.obs["age"].iloc[0].tolist() == [5, 6]
    if name in READING[:3]:
        assert found.obs["age"].iloc[0].tolist() == [5, 6]
        assert "clones" not in found.obs


# On disk


@pytest.fixture
def backed(adata, tmp_path) -> AnnData:
    FUNCTIONS["cross_fit"](adata)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return sc.read_h5ad(tmp_path / "cells.h5ad", backed="r")


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in READING])
def test_a_view_of_a_file_into_which_nothing_can_be_written(backed, name, monkeypatch):
    monkeypatch.setattr("scggml._anndata.features.Features.block", unread)
    view = backed[backed.obs["sample_id"] != "class0_00"]
    message = r"adata is a view of an AnnData that is backed by a file.* Pass adata = adata\.to_memory\(\), or"
    with pytest.raises(ValueError, match=message):
        FUNCTIONS[name](view)
    assert view.is_view
    monkeypatch.undo()
    if name == "rank_genes":
        FUNCTIONS[name](view.to_memory())


def unread(self, index):
    raise AssertionError("cells were read")


@pytest.mark.parametrize("name", READING)
def test_a_view_of_a_file_from_which_is_read(backed, name):
    chosen = backed.obs["sample_id"] != "class0_01"
    found, truth = FUNCTIONS[name](backed[chosen]), FUNCTIONS[name](backed[chosen].to_memory())
    assert_same(slots(found), slots(truth))


def test_a_file_is_not_copied(backed):
    with pytest.raises(
        ValueError, match=r"copy=True: adata is backed by a file.* Pass copy=False, or adata\.to_memory"
    ):
        sg.tl.ggml(backed, "sample_id", "label", copy=True, **HIDE)
    sg.tl.ggml(backed, "sample_id", "label", n_comps=1, **HIDE)
    assert backed.obsm["X_ggml"].shape == (72, 1)


# New patients


def test_samples_without_a_label_have_distances(adata):
    new = sg.datasets.synthetic(n_noise=3, n_samples=2, n_cells=3, n_classes=1, noise_scale=1.0, rng=1)
    new.obs["sample_id"] = ("new_" + new.obs["sample_id"].astype(str)).astype("category")
    del new.obs["label"]
    both = ad.concat([AnnData(adata.X, obs=adata.obs, var=adata.var), new], join="outer", index_unique="-")
    sg.tl.project(both, adata)
    samples = sg.tl.distances(both, **HIDE)
    known = samples.obs["label"].notna().to_numpy()
    assert known.tolist() == [True] * 8 + [False] * 2
    assert samples.obs.loc[known, "label"].tolist() == [name[:6] for name in samples.obs_names[:8]]
    np.testing.assert_array_equal(
        samples[known].obsp["ggml_distances"], sg.tl.distances(adata, **HIDE).obsp["ggml_distances"]
    )
    sg.tl.mds(samples)
    sg.tl.covariates(samples, n_perm=9)
    for make in (lambda label: label.astype("category"), lambda label: label.where(label.notna(), None)):
        both.obs["label"] = make(both.obs["label"].astype(object))
        assert sg.tl.distances(both, **HIDE).obs["label"].isna().sum() == 2


@pytest.mark.parametrize("of", [slice(0, 1), slice(0, 8)])
def test_a_label_that_is_missing_for_cells_of_a_sample_is_refused(adata, of):
    label = adata.obs["label"].astype(object)
    label.iloc[of] = np.nan
    adata.obs["label"] = label
    with pytest.raises(ValueError, match=r"sample 'class0_00' of adata\.obs\['sample_id'\] has 'missing', 'class0'"):
        sg.tl.distances(adata, **HIDE)


# Labels of any type


def arms(adata, dtype):
    number = adata.obs["sample_id"].astype(str).map(lambda name: 3 if name == "class1_03" else int(name[5]) + 1)
    return number.map({1: 1, 2: 2, 3: 3}).astype(int).astype(dtype) if dtype is not None else number


TYPES = {
    "int32": lambda number: number.astype("int32"),
    "uint8": lambda number: number.astype("uint8"),
    "float32": lambda number: (number / 10).astype("float32"),
    "nullable": lambda number: number.astype("Int64"),
    "text": lambda number: number.astype(str),
    "quotes": lambda number: number.map({1: "a", 2: "b", 3: 'it\'s "c"'}),
    "categories of numbers": lambda number: number.astype("category"),
    "categories of text": lambda number: number.astype(str).astype("category"),
    "ranges": lambda number: pd.cut(number, [0, 1, 2, 3]),
    "ordered": lambda number: number.astype(pd.CategoricalDtype([1, 2, 3], ordered=True)),
    "objects": lambda number: number.astype(object),
    "dates": lambda number: pd.to_datetime("2020-01-01") + pd.to_timedelta(number, unit="D"),
    "periods": lambda number: number.map(lambda day: pd.Period(2000 + day, freq="Y")),
}


@pytest.mark.parametrize("kind", TYPES)
def test_the_code_of_a_message_leaves_out_the_class(adata, kind):
    number = adata.obs["sample_id"].astype(str).map(lambda name: 3 if name == "class1_03" else int(name[5]) + 1)
    adata.obs["arm"] = TYPES[kind](number)
    with pytest.raises(ValueError, match="has a single sample") as found:
        sg.tl.ggml(adata, "sample_id", "arm", label_kind="classes", n_comps=2, **HIDE)
    code = re.search(r"Leave the class out \((adata\[.*\])\) or merge", str(found.value))[1]
    left = eval(code, {"adata": adata})
    assert left.obs_names.tolist() == adata.obs_names[number != 3].tolist()
    sg.tl.ggml(left.copy(), "sample_id", "arm", label_kind="classes", n_comps=2, **HIDE)


@pytest.mark.parametrize("kind", ["text", "categories of text", "bool"])
def test_the_code_of_a_message_makes_numbers(adata, kind):
    sex = adata.obs["sample_id"].astype(str).str[-1].isin(["1", "2"])
    adata.obs["sex"] = {"text": sex.map({True: "f", False: "m"}), "bool": sex}.get(
        kind, sex.astype(str).astype("category")
    )
    given = {"n_comps": 2, "covariate_keys": ["sex"]} | HIDE
    with pytest.raises(ValueError, match=r"adata\.obs\['sex'\] \(covariate_keys\) has .*; numbers are needed") as found:
        sg.tl.ggml(adata, "sample_id", "label", **given)
    adata.obs["sex"] = eval(re.search(r"such as (\(.*\)\.astype\(float\))\)\.", str(found.value))[1], {"adata": adata})
    assert set(adata.obs["sex"]) == {0.0, 1.0}
    sg.tl.ggml(adata, "sample_id", "label", **given)


def test_a_number_whose_square_is_infinite_is_called_too_large(adata):
    adata.obs["age"] = adata.obs["sample_id"].astype(str).map(lambda name: 1e200 if name == "class0_01" else 3.0)
    message = r"has '1e\+200' for sample 'class0_01'; numbers up to 1e\+75, whose squares are finite, are needed"
    with pytest.raises(ValueError, match=message):
        sg.tl.ggml(adata, "sample_id", "label", covariate_keys=["age"], **HIDE)


def test_a_number_without_end_is_left_out_by_the_code_of_the_message(adata):
    adata.obs["age"] = adata.obs["sample_id"].astype(str).map(lambda name: np.inf if name == "class0_01" else 3.0)
    with pytest.raises(ValueError, match=r"has 'inf' for sample 'class0_01'; finite numbers are needed") as found:
        sg.tl.ggml(adata, "sample_id", "label", covariate_keys=["age"], **HIDE)
    left = eval(re.search(r"out \((.*)\)\.$", str(found.value))[1], {"adata": adata})
    assert left.n_obs == 63


def test_the_reference_among_integer_labels(adata):
    adata.obs["arm"] = adata.obs["label"].map({"class0": 1, "class1": 2}).astype("int32")
    for reference in (2, np.int32(2), "2"):
        sg.tl.ggml(adata, "sample_id", "arm", reference_class=reference, n_comps=2, **HIDE)
        assert adata.uns["ggml"]["oriented_to"][0] == "1"


# Principal components


@pytest.fixture
def genes(adata) -> AnnData:
    sc.pp.pca(adata, n_comps=3)
    return adata


def test_loadings_of_components_that_were_cut_off_the_cells(genes):
    cut = genes.copy()
    cut.obsm["X_pca"] = genes.obsm["X_pca"][:, :2]
    sg.tl.ggml(cut, "sample_id", "label", use_rep="X_pca", n_comps=2, **HIDE)
    truth = genes.varm["PCs"][:, :2] @ cut.uns["ggml"]["components"].T
    np.testing.assert_allclose(cut.varm["ggml"], truth, rtol=1e-12)


def test_genes_of_which_an_outer_concatenation_knows_no_loadings(genes):
    genes.varm["PCs"][1] = np.nan
    sg.tl.ggml(genes, "sample_id", "label", use_rep="X_pca", n_comps=2, **HIDE)
    assert np.isnan(genes.varm["ggml"]).all(axis=1).tolist() == [False, True, False, False]
    sg.tl.rank_genes(genes, **HIDE)
    assert sg.get.rank_genes_df(genes, component=1)["loading"].isna().sum() == 1
    sg.tl.gene_stability(genes, 2, n_perm=0, n_jobs=1, **HIDE)
    sg.ext.enrich_gmt(genes, {"some": list(genes.var_names[:2]), "others": list(genes.var_names[2:])}, min_size=1)
    sg.tl.cross_validate(genes, methods=["canonical"], **FEW)


# Other containers


class Modalities:
    """What is known of a MuData without the package: it has modalities and no matrix."""

    def __init__(self, **mod):
        self.mod = mod


@pytest.mark.parametrize(("mod", "which"), [(("atac", "rna"), "rna"), (("prot",), "prot")])
def test_one_of_several_modalities_is_asked_for(adata, mod, which):
    cells = Modalities(**dict.fromkeys(mod, adata))
    message = rf"adata is a Modalities; an AnnData object is needed\. Pass one of its modalities .* mdata\['{which}'\]"
    for name, call in FUNCTIONS.items():
        with pytest.raises(TypeError, match=message):
            call(cells)
        assert name


class Lazy(AnnData):
    """An AnnData whose `.obs` is no table in memory, as that of `read_lazy`, for which xarray would be needed."""

    @property
    def obs(self):
        return {"sample_id": None, "label": None}


def test_a_lazy_table_is_asked_for_in_memory(adata):
    cells = adata
    cells.__class__ = Lazy
    for call in FUNCTIONS.values():
        with pytest.raises(
            TypeError, match=r"adata\.obs is a dict, as anndata\.experimental\.read_lazy .*to_memory\(\)"
        ):
            call(cells)


def test_colors_of_classes_are_those_of_the_cells(adata):
    adata.uns["label_colors"] = ["#112233", "#aabbcc"]
    FUNCTIONS["cross_fit"](adata)
    for name in READING[:3]:
        assert FUNCTIONS[name](adata).uns["label_colors"].tolist() == ["#112233", "#aabbcc"]
    few = adata[adata.obs["label"] == "class1"].copy()
    assert list(sg.tl.distances(few, **HIDE).uns["label_colors"]) == ["#aabbcc"]
