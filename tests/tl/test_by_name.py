"""Genes and features are matched by name where they have one, and recognized where they have none."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _slots import assert_same, slots
from anndata import AnnData

import scggml as sg
from scggml.pl._loadings import loadings_table
from scggml.pl._volcano import volcano_table

QUIET = {"progress": False}


def make(seed: int = 0, *, names: list[str] | None = None) -> AnnData:
    """12 samples of 15 cells and 16 genes in two classes; three genes are raised in one of them."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(12) % 2, 15)
    X = rng.normal(size=(180, 16)) + 0.3 * np.repeat(rng.normal(size=(12, 16)), 15, axis=0)
    X[:, :3] += 2.0 * label[:, None]
    obs = pd.DataFrame({"sample": np.repeat([f"s{i}" for i in range(12)], 15), "label": np.where(label, "ill", "well")})
    obs.index = [f"cell{i}" for i in range(180)]
    return AnnData(X, obs=obs, var=pd.DataFrame(index=names or [f"G{i}" for i in range(16)]))


@pytest.fixture(scope="module")
def _tested() -> AnnData:
    adata = make()
    adata.var["symbol"] = [f"S{i}" for i in range(16)]
    sg.tl.ggml(adata, "sample", "label", n_comps=2, **QUIET)
    sg.tl.gene_stability(adata, 5, n_perm=39, n_jobs=1, **QUIET)
    return adata


@pytest.fixture
def tested(_tested: AnnData) -> AnnData:
    return _tested.copy()


@pytest.fixture(scope="module")
def _on_pca() -> AnnData:
    adata = make()
    sc.pp.pca(adata, n_comps=6)
    sg.tl.ggml(adata, "sample", "label", use_rep="X_pca", n_comps=2, **QUIET)
    return adata


@pytest.fixture
def on_pca(_on_pca: AnnData) -> AnnData:
    return _on_pca.copy()


def without_metric(adata: AnnData) -> AnnData:
    """The cells as if nothing had been learned."""
    out = adata.copy()
    for slots_of, names in ((out.uns, ["ggml"]), (out.varm, ["ggml", "ggml_patterns"]), (out.obsm, ["X_ggml"])):
        for name in names:
            slots_of.pop(name, None)
    return out


# Genes


@pytest.mark.parametrize("order", ["reversed", "sorted", "shuffled"])
@pytest.mark.parametrize("again", [False, True])
def test_what_is_known_of_a_gene_stays_with_it_in_another_order(tested, order, again):
    places = {"reversed": np.arange(16)[::-1], "sorted": np.argsort(tested.var_names)}
    turned = tested[:, places.get(order, np.random.default_rng(0).permutation(16))].copy()
    if again:
        sg.tl.rank_genes(turned, **QUIET)
    given = {"key": "ggml", "gene_symbols": "symbol"}
    for read in (
        lambda adata: sg.get.rank_genes_df(adata, gene_symbols="symbol"),
        lambda adata: sg.get.rank_genes_df(adata, component=1),
        lambda adata: loadings_table(adata, by="pattern", components=[1], n_genes=16, **given),
        lambda adata: loadings_table(adata, by="loading", components=[1], n_genes=16, **given),
        lambda adata: volcano_table(adata, component=1, **given),
        lambda adata: sg.get.metric(adata).loadings.rename_axis("gene").reset_index(),
    ):
        truth, found = (read(adata).set_index("gene") for adata in (tested, turned))
        found = found.loc[truth.index].drop(columns="rank", errors="ignore")
        numbers = list(truth.select_dtypes("number").columns.drop("rank", errors="ignore"))
        np.testing.assert_allclose(found[numbers], truth[numbers], rtol=1e-6, atol=1e-9)
        texts = [name for name in truth if name not in (*numbers, "rank")]
        assert (found[texts].astype(str) == truth[texts].astype(str)).all(axis=None)


def test_a_query_asks_about_the_same_genes_in_another_order(tested):
    sets = {"raised": list(tested.var_names[:3]), "others": list(tested.var_names[3:])}
    turned = tested[:, ::-1].copy()
    sg.tl.rank_genes(turned, **QUIET)
    found = []
    for adata in (tested, turned):
        sg.ext.enrich_gmt(adata, sets, max_p_adjusted=0.05, min_size=1, all_results=True)
        table = sg.get.enrichment_df(adata)
        found.append({name for text in table["intersection"] for name in text.split(",")} - {""})
    assert found[0] == found[1] == {"G0", "G1", "G2"}


def test_genes_that_are_left_keep_their_own_numbers(on_pca):
    adata = on_pca
    sg.tl.gene_stability(adata, 3, n_perm=19, n_jobs=1, **QUIET)
    truth = sg.get.rank_genes_df(adata).set_index("gene")["p_value"]
    few = adata[:, adata.var_names[4:10]].copy()
    sg.tl.rank_genes(few, **QUIET)
    table = sg.get.rank_genes_df(few)
    np.testing.assert_array_equal(table["p_value"], truth[table["gene"]])


def test_genes_that_the_metric_needs_are_named_where_they_are_gone(tested):
    with pytest.raises(ValueError, match="lacks 4 of the 16 features that the metric 'ggml' was learned on: 'G12'"):
        sg.tl.rank_genes(tested[:, :12].copy(), **QUIET)


# Symbols


@pytest.mark.parametrize("kind", ["object", "category"])
def test_genes_without_a_symbol_keep_their_own_name(tested, kind):
    missing = {"G0": None, "G1": np.nan, "G2": "nan", "G3": "", "G4": "  ", "G5": "NA"}
    names = [missing.get(name, f"S{name[1:]}") for name in tested.var_names]
    tested.var["name"] = pd.Series(names, index=tested.var_names, dtype=object).astype(kind)
    symbols = sg.get.rank_genes_df(tested, gene_symbols="name").set_index("gene")["symbol"]
    assert symbols.to_dict() == {f"G{i}": f"G{i}" if i < 6 else f"S{i}" for i in range(16)}


def test_genes_of_one_name_with_several_symbols_keep_their_own_name(on_pca):
    sg.tl.rank_genes(on_pca, **QUIET)
    on_pca.var["name"] = [f"S{i}" for i in range(16)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        on_pca.var_names = ["G1", *on_pca.var_names[1:]]
    symbols = sg.get.rank_genes_df(on_pca, gene_symbols="name").set_index("gene")["symbol"]
    assert symbols["G1"] == "G1"
    assert symbols["G2"] == "S2"


@pytest.mark.parametrize(("given", "error"), [("nothing", KeyError), (3, TypeError), (["symbol"], TypeError)])
def test_a_column_of_symbols_that_is_none_is_named(tested, given, error):
    with pytest.raises(error, match=r"gene_symbols=.*column of adata\.var"):
        sg.get.rank_genes_df(tested, gene_symbols=given)


# Names that are not unique


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_a_metric_on_components_needs_no_unique_genes():
    adata = make(names=[*(f"G{i}" for i in range(15)), "G3"])
    sc.pp.pca(adata, n_comps=5)
    sg.tl.ggml(adata, "sample", "label", use_rep="X_pca", n_comps=2, **QUIET)
    query = without_metric(adata)[:60].copy()
    sg.tl.project(query, adata)
    np.testing.assert_allclose(query.obsm["X_ggml"], adata.obsm["X_ggml"][:60], rtol=1e-12)
    np.testing.assert_array_equal(query.varm["ggml"], adata.varm["ggml"])
    other = without_metric(adata)[:60, ::-1].copy()
    with pytest.warns(UserWarning, match="several genes named 'G3', which get no loadings"):
        sg.tl.project(other, adata)
    known = other.var_names != "G3"
    np.testing.assert_array_equal(other.varm["ggml"][known], adata.varm["ggml"][::-1][known])
    assert np.isnan(other.varm["ggml"][~known]).all()


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_genes_of_one_name_are_named_where_genes_are_needed():
    adata = make(names=[*(f"G{i}" for i in range(15)), "G3"])
    sc.pp.pca(adata, n_comps=5)
    sg.tl.ggml(adata, "sample", "label", use_rep="X_pca", n_comps=2, **QUIET)
    query = without_metric(adata)
    del query.obsm["X_pca"]
    with pytest.raises(ValueError, match=r"several features named 'G3', .*var_names_make_unique"):
        sg.tl.project(query, adata)
    with pytest.raises(ValueError, match=r"several genes of one name, .*var_names_make_unique"):
        sg.tl.gene_stability(adata, 2, n_perm=0, n_jobs=1, **QUIET)


# Features of a slot


USES = {
    "project": sg.tl.project,
    "predict": lambda query, reference: sg.tl.predict(query, reference, n_splits=2, n_repeats=1, n_jobs=1, **QUIET),
}


def fails(function, adata, *more, message):
    before = slots(adata)
    with pytest.raises(ValueError, match=message):
        function(adata, *more)
    assert_same(slots(adata), before)


@pytest.mark.parametrize("name", USES)
def test_a_pca_of_its_own_is_recognized_by_its_loadings(on_pca, name):
    query = make(1)
    sc.pp.pca(query, n_comps=6)
    message = (
        r"adata\.obsm\['X_pca'\] comes from another PCA than the one that the metric 'ggml' was learned on: "
        r"adata\.varm\['PCs'\] has other loadings for \d+ of 16 genes .* delete adata\.obsm\['X_pca'\] and call sg\.tl"
    )
    fails(USES[name], query, on_pca, message=message)
    del query.obsm["X_pca"]
    sg.tl.project(query, on_pca)
    moved = make(1).X @ on_pca.varm["PCs"]
    truth = (moved - make(0).X.mean(axis=0) @ on_pca.varm["PCs"]) @ on_pca.uns["ggml"]["components"].T
    np.testing.assert_allclose(query.obsm["X_ggml"], truth, atol=1e-6)


def test_a_metric_that_was_handed_on_recognizes_another_pca(on_pca):
    query = make(1)
    sc.pp.pca(query, n_comps=6)
    query.uns["ggml"] = on_pca.uns["ggml"]
    fails(lambda adata: sg.tl.distances(adata, **QUIET), query, message="comes from another PCA")


@pytest.mark.parametrize("name", USES)
def test_a_pca_without_loadings_is_taken_in_silence_only_where_the_genes_confirm_it(on_pca, name):
    query = make(1)[:, ::-1].copy()
    query.obsm["X_pca"] = (query.X - on_pca.X.mean(axis=0)[::-1]) @ on_pca.varm["PCs"][::-1]
    USES[name](query, on_pca)  # a warning is an error here
    message = r"adata\.varm lacks 'PCs', the loadings of adata\.obsm\['X_pca'\], so .* delete adata\.obsm\['X_pca'\]"
    other = make(1)
    sc.pp.pca(other, n_comps=6)
    del other.varm["PCs"]
    without_genes = query[:, :8].copy()
    for doubtful in (other, without_genes):
        with pytest.warns(UserWarning, match=message):
            USES[name](doubtful, on_pca)


def test_cells_on_the_axes_of_the_reference_are_taken(on_pca):
    query = make(1)[:, ::-1].copy()
    query.varm["PCs"] = on_pca.varm["PCs"][::-1].astype(np.float32)
    query.obsm["X_pca"] = (query.X - on_pca.X.mean(axis=0)[::-1]) @ query.varm["PCs"]
    sg.tl.project(query, on_pca)
    truth = query.obsm["X_pca"] @ on_pca.uns["ggml"]["components"].T
    np.testing.assert_allclose(query.obsm["X_ggml"], truth, rtol=1e-9, atol=1e-9)
    assert sg.tl.distances(query, **QUIET).n_obs == 12


@pytest.mark.parametrize("name", USES)
def test_more_components_than_the_metric_has_are_refused(on_pca, name):
    query = make(1)
    query.obsm["X_pca"] = np.random.default_rng(0).normal(size=(180, 9))
    message = r"adata\.obsm\['X_pca'\] has 9 components and the metric 'ggml' was learned on 6, .* by position"
    fails(USES[name], query, on_pca, message=message)


FOLLOW = {
    "distances": lambda adata: sg.tl.distances(adata, **QUIET),
    "rank_genes": lambda adata: sg.tl.rank_genes(adata, **QUIET),
    "attribute": lambda adata: sg.tl.attribute(adata, **QUIET),
    "cross_fit": lambda adata: sg.tl.cross_fit(adata, n_splits=3, n_jobs=1, **QUIET),
    "plan": lambda adata: sg.tl.plan(adata, "s0", "s1"),
    "predict": lambda adata: sg.tl.predict(make(), adata, n_splits=2, n_repeats=1, n_jobs=1, **QUIET),
}


@pytest.mark.parametrize("name", FOLLOW)
def test_features_that_changed_since_are_recognized(tested, on_pca, name):
    sc.pp.scale(tested)
    message = r"adata\.X is no longer what adata\.obsm\['X_ggml'\] was computed from: cell 'cell\d+' would be at "
    fails(FOLLOW[name], tested, message=message)
    on_pca.obsm["X_pca"] = sc.pp.pca(on_pca.X[:, 3:], n_comps=6)
    message = r"adata\.obsm\['X_pca'\] is no longer what adata\.obsm\['X_ggml'\] was computed from: .* learn it again"
    fails(FOLLOW[name], on_pca, message=message)


def test_features_in_less_precision_or_other_order_are_the_same(tested, on_pca):
    for adata in (tested, on_pca):
        truth = sg.tl.distances(adata, **QUIET)
        other = adata[::-1, ::-1].copy()
        other.X = other.X.astype(np.float32)
        if "X_pca" in other.obsm:
            other.obsm["X_pca"] = other.obsm["X_pca"].astype(np.float32)
        found = sg.tl.distances(other, **QUIET)[truth.obs_names]
        np.testing.assert_allclose(found.obsp["ggml_distances"], truth.obsp["ggml_distances"], rtol=1e-4)


def test_cells_are_projected_again_after_their_features_were_mended(tested):
    query = without_metric(tested)[:60].copy()
    query.X = query.X * 10
    sg.tl.project(query, tested)
    query.X = query.X / 10
    fails(FOLLOW["distances"], query, message="call sg.tl.project again")
    sg.tl.project(query, tested)
    np.testing.assert_allclose(query.obsm["X_ggml"], tested.obsm["X_ggml"][:60], rtol=1e-9)


def test_features_are_recognized_beside_covariates():
    adata = make()
    adata.obs["age"] = np.repeat(np.random.default_rng(1).uniform(20, 80, 12), 15)
    adata.X += 0.05 * adata.obs["age"].to_numpy()[:, None]
    sg.tl.ggml(adata, "sample", "label", covariate_keys=["age"], n_comps=2, **QUIET)
    assert sg.tl.distances(adata, **QUIET).n_obs == 12
    sc.pp.scale(adata)
    fails(FOLLOW["distances"], adata, message=r"adata\.X is no longer what adata\.obsm\['X_ggml'\] was computed from")


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_genes_of_one_name_are_not_told_apart_by_their_place():
    names = ["G0", "G0", *(f"G{i}" for i in range(2, 16))]
    reference, query = make(names=names), make(1, names=names)
    sg.tl.ggml(reference, "sample", "label", n_comps=2, shrinkage=0.3, n_jobs=1, **QUIET)
    sg.tl.distances(reference, **QUIET)  # those that were learned on are where they were
    message = r"adata\.var_names has several features named 'G0', so it is ambiguous which one is meant"
    for place in (np.arange(16), np.r_[1, 0, 2:16], np.arange(16)[::-1]):
        fails(sg.tl.project, query[:, place].copy(), reference, message=message)
