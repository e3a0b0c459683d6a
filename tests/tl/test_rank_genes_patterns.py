"""Which genes change, in which cells, and which way, as users rank them."""

from functools import cache

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _changes import Written, cohort, learn, with_rep
from _slots import assert_round_trip, assert_same, assert_same_table, slots
from anndata import AnnData
from scipy import sparse

import scggml as sg

QUIET = {"progress": False}
TOLERANCE = {"rtol": 1e-6, "atol": 1e-9}


def ranked(adata, **options):
    sg.tl.rank_genes(adata, **(QUIET | options))
    return adata


def by_gene(adata, column, component=1, **options):
    table = sg.get.rank_genes_df(adata, component=component, **options)
    return table.set_index("gene")[column].loc[adata.var_names].to_numpy()


# All slots, from plans written out


@pytest.mark.parametrize("use_rep", [None, "latent"])
def test_tables_hold_what_is_written_out_from_plans(use_rep):
    adata = ranked(learn(with_rep(cohort()), use_rep=use_rep), cell_type_key="type")
    written, types = Written(adata), adata.obs["type"].to_numpy()
    patterns = written.patterns(written.between())[0]
    np.testing.assert_allclose(adata.varm["ggml_patterns"], patterns.T, **TOLERANCE)
    by_type = written.patterns(written.between(), types, ["B", "T"])
    ends = {(p, q): w * (1 if written.labels[p] == "c1" else -1) for (p, q), w in written.between().items()}
    shifts = written.shifts(ends, types, ["B", "T"])
    for i in range(2):
        np.testing.assert_allclose(by_gene(adata, "pattern", i + 1), patterns[i], **TOLERANCE)
        change = written.bulk("c1") - written.bulk("c0")
        np.testing.assert_allclose(by_gene(adata, "shift", i + 1), change, **TOLERANCE)
        for t, name in enumerate(["B", "T"]):
            np.testing.assert_allclose(by_gene(adata, "pattern", i + 1, cell_type=name), by_type[t, i], **TOLERANCE)
            np.testing.assert_allclose(by_gene(adata, "shift", i + 1, cell_type=name), shifts[t], **TOLERANCE)
    importance = adata.uns["ggml_genes"]["params"]["importance"]
    np.testing.assert_allclose(by_gene(adata, "pattern", None), np.sqrt(importance @ patterns**2), **TOLERANCE)


def test_types_of_a_table_add_up_to_the_table_of_all_cells():
    adata = ranked(learn(with_rep(cohort(classes=3)), use_rep="latent"), cell_type_key="type", contrast=("c2", "c1"))
    for column in ("pattern", "shift"):
        parts = sum(by_gene(adata, column, cell_type=name) for name in ("B", "T"))
        np.testing.assert_allclose(parts, by_gene(adata, column), **TOLERANCE)
    assert list(adata.uns["ggml_genes"]["params"]["high"]) == ["c2", "c2"]
    assert list(adata.uns["ggml_genes"]["params"]["low"]) == ["c1", "c1"]


def test_all_genes_are_ranked_where_the_metric_used_some():
    adata = cohort()
    adata.var["highly_variable"] = np.arange(11) % 3 > 0
    ranked(learn(adata))
    assert sorted(by_gene(adata, "rank")) == list(range(1, 12))
    np.testing.assert_array_equal(np.isnan(by_gene(adata, "loading")), ~adata.var["highly_variable"])
    written = Written(adata)
    np.testing.assert_allclose(adata.varm["ggml_patterns"], written.patterns(written.between())[0].T, **TOLERANCE)
    assert "gene0" in set(sg.get.rank_genes_df(adata, component=1, n_genes=3)["gene"])  # it is not highly variable


def test_a_representation_without_loadings_has_genes():
    adata = ranked(learn(with_rep(cohort()), use_rep="latent"))
    table = sg.get.rank_genes_df(adata)
    assert sorted(table["gene"]) == sorted(adata.var_names)
    assert table["loading"].isna().all()
    assert adata.uns["ggml_genes"]["params"]["of_genes"]
    with pytest.raises(ValueError, match='pass by="pattern"'):
        sg.tl.rank_genes(adata, by="loading", **QUIET)


def test_without_expression_features_are_ranked():
    adata = with_rep(cohort())
    bare = AnnData(obs=adata.obs, var=adata.var, obsm={"latent": adata.obsm["latent"]})
    ranked(learn(bare, use_rep="latent"))
    table = sg.get.rank_genes_df(bare)
    assert sorted(table["gene"]) == [f"latent_{i}" for i in range(4)]
    assert "ggml_patterns" not in bare.varm
    assert not bare.uns["ggml_genes"]["params"]["of_genes"]


def test_raw_counts_are_brought_to_a_logarithmic_scale():
    adata = sg.datasets.synthetic_counts(n_samples=3, n_cells=20, n_genes=40, n_planted=5)
    counts = adata.X.copy()
    adata.layers["log"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=1e4, layer="log")
    sc.pp.log1p(adata, layer="log")
    adata.obsm["latent"] = np.asarray(adata.layers["log"].toarray() if sparse.issparse(counts) else adata.layers["log"])
    sg.tl.ggml(adata, "sample_id", "label", use_rep="latent", n_comps=2, **QUIET)
    found, truth = ranked(adata.copy()), ranked(adata.copy(), layer="log")
    assert found.uns["ggml_genes"]["params"]["log_normalized"]
    assert not truth.uns["ggml_genes"]["params"]["log_normalized"]
    np.testing.assert_allclose(found.varm["ggml_patterns"], truth.varm["ggml_patterns"], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal((found.X != counts).sum(), 0)


def test_genes_of_one_name_are_ranked_each():
    adata = with_rep(cohort())
    truth = ranked(learn(adata, use_rep="latent")).varm["ggml_patterns"]
    adata.var_names = [f"gene{g // 2}" for g in range(11)]
    ranked(adata)
    np.testing.assert_allclose(adata.varm["ggml_patterns"], truth)
    table = sg.get.rank_genes_df(adata, component=1)
    assert len(table) == 11
    np.testing.assert_allclose(np.sort(table["pattern"]), np.sort(truth[:, 0]))


@pytest.mark.parametrize("unseen", [1, 4])
def test_genes_of_one_name_have_their_own_loadings(unseen):
    """Two genes have a name that the PCA saw one of."""
    adata = cohort(n_genes=6)
    axes = np.random.default_rng(0).normal(size=(6, 3))
    axes[unseen] = 0
    adata.obsm["X_pca"], adata.varm["PCs"] = (adata.X - 5) @ axes, axes
    adata.var_names = ["a", "x", "b", "c", "x", "d"]
    ranked(learn(adata, use_rep="X_pca"))
    patterns, loadings = adata.varm["ggml_patterns"][:, 0], adata.varm["ggml"][:, 0]
    table = sg.get.rank_genes_df(adata, component=1).set_index("pattern").loc[patterns]
    assert table["gene"].tolist() == adata.var_names.tolist()
    np.testing.assert_array_equal(table["loading"], loadings)


@pytest.mark.parametrize("contrast", [None, ("c1", "c0")])
def test_tables_survive_files(contrast, tmp_path):
    adata = ranked(learn(with_rep(cohort()), use_rep="latent"), cell_type_key="type", contrast=contrast)
    for read in assert_round_trip(adata, tmp_path):
        for options in ({}, {"component": 1}, {"component": 1, "cell_type": "T"}):
            assert_same_table(sg.get.rank_genes_df(read, **options), sg.get.rank_genes_df(adata, **options))


@pytest.mark.parametrize("as_sparse", [False, True])
def test_a_file_that_stays_on_disk_gives_the_same_genes(as_sparse, tmp_path):
    adata = learn(with_rep(cohort()), use_rep="latent")
    adata.X = sparse.csr_matrix(adata.X) if as_sparse else adata.X
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    ranked(backed, cell_type_key="type")
    ranked(adata, cell_type_key="type")
    np.testing.assert_array_equal(backed.varm["ggml_patterns"], adata.varm["ggml_patterns"])
    for options in ({"component": 1}, {"component": 1, "cell_type": "T"}):
        assert_same_table(sg.get.rank_genes_df(backed, **options), sg.get.rank_genes_df(adata, **options))
    backed.file.close()


def test_a_copy_leaves_the_original_alone():
    adata = learn(with_rep(cohort()), use_rep="latent")
    before = slots(adata)
    copied = sg.tl.rank_genes(adata, cell_type_key="type", copy=True, **QUIET)
    assert_same(slots(adata), before)
    assert {"ggml_genes"} <= set(copied.uns)
    assert "ggml_patterns" in copied.varm
    ranked(adata, cell_type_key="type")
    assert_same(slots(adata), slots(copied))


def test_nothing_is_written_where_something_is_wrong():
    adata = learn(with_rep(cohort()), use_rep="latent")
    adata.X[3, 4] = np.nan
    before = slots(adata)
    with pytest.raises(ValueError, match=r"adata\.X has 1 values that are NaN.*'cell3', feature 'gene4'"):
        sg.tl.rank_genes(adata, **QUIET)
    adata.X[3, 4] = 0.0
    before = slots(adata)
    for options, message in (
        ({"by": "sign"}, "by='sign' is not known"),
        ({"contrast": ("c1", "c7")}, "must name two classes"),
        ({"n_jobs": 0}, "n_jobs"),
    ):
        with pytest.raises(ValueError, match=message):
            sg.tl.rank_genes(adata, **(QUIET | options))
    for options, message in (({"cell_type_key": "x"}, "cell_type_key"), ({"layer": "x"}, "layer"), ({"key": "x"}, "x")):
        with pytest.raises(KeyError, match=message):
            sg.tl.rank_genes(adata, **(QUIET | options))
    assert_same(slots(adata), before)
    ranked(adata, cell_type_key="type")
    with pytest.raises(ValueError, match=r"cell_type='NK' is not one of the types.*'B', 'T'"):
        sg.get.rank_genes_df(adata, component=1, cell_type="NK")


# Directions


@cache
def planted(kind, seed):
    """Twenty donors of 80 cells of three types; the first eight of sixty genes differ between classes.

    "opposite": up in type t0 and down in type t1; "spread": 2.5 times as wide in one class, about the same mean;
    "shift": up in all cells.
    """
    rng = np.random.default_rng(seed)
    cells, obs = [], []
    for c in (0, 1):
        for s in range(10):
            kinds = rng.integers(3, size=80)
            x = rng.normal(size=(80, 60)) + 0.25 * rng.normal(size=60)
            x[:, 20:23] += 3 * np.eye(3)[kinds]
            if kind == "spread":
                x[:, :8] *= 1 + 1.5 * c
            elif kind == "opposite":
                x[:, :8] += 1.5 * c * (1.0 * (kinds == 0) - (kinds == 1))[:, None]
            else:
                x[:, :8] += 0.8 * c
            cells.append(x)
            obs += [(f"s{c}{s}", f"c{c}", f"t{t}") for t in kinds]
    table = pd.DataFrame(obs, columns=["sample", "label", "type"], index=[f"cell{i}" for i in range(1600)])
    adata = AnnData(np.concatenate(cells).astype(np.float32), obs=table)
    sg.tl.ggml(adata, "sample", "label", **QUIET)
    return ranked(adata, cell_type_key="type")


def directions(adata, **options):
    return by_gene(adata, "higher_in", **options)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_gene_that_is_up_in_one_type_and_down_in_another_has_two_directions(seed):
    adata = planted("opposite", seed)
    for cell_type, sign, name in (("t0", 1, "c1"), ("t1", -1, "c0")):
        assert (np.sign(by_gene(adata, "shift", cell_type=cell_type)[:8].astype(float)) == sign).all()
        named = directions(adata, cell_type=cell_type)[:8]
        assert set(named) <= {name, "neither"}
        assert (named == name).sum() >= 6
    assert (directions(adata)[:8] == "neither").all()
    assert (by_gene(adata, "rank")[:8] <= 8).all()  # without a direction, but it changes


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_gene_that_is_up_in_all_cells_has_one_direction(seed):
    adata = planted("shift", seed)
    for options in ({}, {"cell_type": "t0"}, {"cell_type": "t1"}, {"cell_type": "t2"}):
        assert (directions(adata, **options)[:8] == "c1").all()
    assert (by_gene(adata, "rank")[:8] <= 8).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_gene_that_differs_in_spread_alone_has_no_direction(seed):
    adata = planted("spread", seed)
    assert (directions(adata)[:8] == "neither").all()
    assert (by_gene(adata, "rank")[:8] <= 8).sum() >= 6  # most of them are found
    named = [directions(adata, cell_type=name)[:8] != "neither" for name in ("t0", "t1", "t2")]
    assert np.mean(named) <= 0.02  # by chance


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_genes_that_do_not_change_have_directions_by_chance_alone(seed):
    adata = planted("opposite", seed)
    others = [*range(8, 20), *range(23, 60)]
    named = [directions(adata, cell_type=name)[others] != "neither" for name in ("t0", "t1", "t2")]
    assert np.mean(named) <= 0.03


@pytest.mark.parametrize("reference", ["c0", "c1"])
def test_directions_do_not_depend_on_the_reference(reference):
    adata = cohort(n_samples=6, n_cells=20)
    learn(adata, reference_class=reference)
    ranked(adata)
    found = directions(adata)
    assert (found[0], found[1]) == ("c1", "c0")
    other = "c0" if reference == "c1" else "c1"
    change = [adata.X[adata.obs["label"] == name].mean(axis=0) for name in (other, reference)]
    strong = [0, 1, 2]
    np.testing.assert_array_equal(np.sign(by_gene(adata, "shift"))[strong], np.sign(change[0] - change[1])[strong])
