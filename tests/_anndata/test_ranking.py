"""Tables of ranked genes: how they change, what they weigh, and what is known of their stability."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from _metrics import metric_entry
from anndata import AnnData

from scggml._anndata.changes import GeneChanges
from scggml._anndata.metric import read_metric
from scggml._anndata.ranking import (
    DIRECTED,
    check_loadings,
    gene_table,
    has_ranking,
    read_ranking,
    read_stability,
    refresh_ranking,
    type_table,
    with_stability,
    write_ranking,
)
from scggml._core.explain.patterns import Changes, Contrast

PLAIN = ["component", "gene", "pattern", "shift", "t", "higher_in", "loading", "share", "rank"]
STABILITY = ["lower", "upper", "frequency", "excess", "p_value", "p_adjusted"]
IMPORTANCE = np.array([0.75, 0.25])
ENDS = [Contrast("ill", "well", np.ones(1)), Contrast("dead", "well", np.ones(1))]


@pytest.fixture
def adata():
    """A metric on the two components of a PCA of five genes, of which the last took no part."""
    axes = np.zeros((5, 2))
    axes[:4] = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 2)))[0]
    W = np.array([[3.0, 1.0], [0.1, -0.3]])
    adata = AnnData(np.zeros((3, 5)), var=pd.DataFrame(index=list("ABCDE")))
    loadings = axes @ W.T
    loadings[4] = np.nan
    adata.varm["ggml"] = loadings
    adata.uns["ggml"] = metric_entry(W, ["X_pca_0", "X_pca_1"], use_rep="X_pca")
    return adata


def changes(n_types, n_contrasts, n_genes, seed):
    rng = np.random.default_rng(seed)
    shifts, t = rng.normal(size=(2, n_types, n_contrasts, n_genes))
    p = rng.choice([DIRECTED / 2, DIRECTED, 2 * DIRECTED], size=shifts.shape)
    return Changes(rng.normal(size=(n_types, 2, n_genes)), shifts, t, p)


def found_in(names="ABCDE", *, n_contrasts=2, of_genes=True):
    """Changes of some genes, over all cells and in two types; component 2 goes from well to dead."""
    names = np.array(list(names))
    return GeneChanges(
        names=names,
        whole=changes(1, n_contrasts, len(names), 1),
        by_type=changes(2, n_contrasts, len(names), 2),
        types=np.array(["T", "B"]),
        contrasts=ENDS[:n_contrasts],
        of_component=np.arange(2) % n_contrasts,
        importance=IMPORTANCE,
        deviations=np.ones(len(names)),
        counts=False,
        of_genes=of_genes,
        seen="training",
    )


def table_of(adata, by="pattern", found=None):
    stored = read_metric(adata, "ggml")
    return with_stability(gene_table(adata, stored, by, found_in() if found is None else found), adata, stored)


def part_of(table, component, names="ABCDE"):
    return table[table["component"] == component].set_index("gene").loc[list(names)]


def test_a_gene_has_its_pattern_and_shift_on_each_component(adata):
    table, found = table_of(adata), found_in()
    assert list(table.columns) == PLAIN
    assert list(table["component"].cat.categories) == ["ggml1", "ggml2", "ggml"]
    for i, name in enumerate(["ggml1", "ggml2"]):
        part = part_of(table, name)
        np.testing.assert_array_equal(part["pattern"], found.whole.patterns[0, i])
        np.testing.assert_array_equal(part["shift"], found.whole.shifts[0, i])
        np.testing.assert_array_equal(part["t"], found.whole.t[0, i])
        np.testing.assert_array_equal(part["loading"], adata.varm["ggml"][:, i])
        ends = np.where(part["shift"] > 0, ENDS[i].high, "well")
        certain = found.whole.p_values[0, i] <= DIRECTED
        assert part["higher_in"].tolist() == np.where(certain, ends, "neither").tolist()
    assert set(table["higher_in"]) == {"ill", "dead", "well", "neither"}


def test_the_whole_metric_weighs_components_by_their_importance(adata):
    found, table = found_in(), table_of(adata)
    whole = part_of(table, "ggml")
    truth = np.sqrt(0.75 * found.whole.patterns[0, 0] ** 2 + 0.25 * found.whole.patterns[0, 1] ** 2)
    np.testing.assert_allclose(whole["pattern"], truth)
    np.testing.assert_allclose(whole["loading"], np.linalg.norm(adata.varm["ggml"], axis=1))
    assert whole[["shift", "t"]].isna().all(axis=None)  # of two directions
    assert set(whole["higher_in"]) == {"neither"}
    one = found_in(n_contrasts=1)
    whole = part_of(table_of(adata, found=one), "ggml")
    np.testing.assert_array_equal(whole["shift"], one.whole.shifts[0, 0])
    assert {"ill", "well"} & set(whole["higher_in"])


def test_shares_are_those_of_the_loadings(adata):
    table = table_of(adata)
    squares = adata.varm["ggml"] ** 2
    for name, truth in zip(["ggml1", "ggml2", "ggml"], [*squares.T, squares.sum(axis=1)], strict=True):
        np.testing.assert_allclose(part_of(table, name)["share"], truth / np.nansum(squares))


@pytest.mark.parametrize("by", ["pattern", "loading"])
def test_genes_are_ranked_by_what_was_asked_for(adata, by):
    table = table_of(adata, by)
    for _, part in table.groupby("component", observed=True):
        assert part["rank"].tolist() == [1, 2, 3, 4, 5]
        sizes = part[by].abs()
        assert (sizes.dropna().diff().dropna() <= 0).all()
        if by == "loading":
            assert part["gene"].iloc[-1] == "E"  # which the metric did not use


def test_genes_of_one_name_keep_their_own_numbers(adata):
    adata.var_names = list("AABBA")
    table = table_of(adata, found=found_in("AABBA"))
    part = table[table["component"] == "ggml1"]
    found = found_in().whole.patterns[0, 0]
    truth = dict(zip(found, adata.varm["ggml"][:, 0], strict=True))
    for pattern, loading in zip(part["pattern"], part["loading"], strict=True):
        np.testing.assert_array_equal(loading, truth[pattern])


def test_features_in_place_of_genes_have_the_components_as_loadings(adata):
    del adata.varm["ggml"]
    W = read_metric(adata, "ggml").components
    names = ["X_pca_0", "X_pca_1"]
    table = table_of(adata, "loading", found_in(names, of_genes=False))
    for i, name in enumerate(["ggml1", "ggml2"]):
        np.testing.assert_array_equal(part_of(table, name, names)["loading"], W[i])


def test_genes_that_a_metric_cannot_be_mapped_to_have_patterns_alone(adata):
    del adata.varm["ggml"]
    table = table_of(adata)
    assert table[["loading", "share"]].isna().all(axis=None)
    np.testing.assert_array_equal(part_of(table, "ggml1")["pattern"], found_in().whole.patterns[0, 0])
    with pytest.raises(ValueError, match=r'by="loading": the metric .* cannot be mapped to genes; pass by="pattern"'):
        check_loadings(adata, read_metric(adata, "ggml"), "loading")


def test_types_have_a_table_of_components_that_carry_a_part_ranked_by_t(adata):
    found = found_in()
    table = type_table(adata, read_metric(adata, "ggml"), found)
    assert list(table.columns) == ["component", "cell_type", "gene", "pattern", "shift", "t", "higher_in", "rank"]
    assert set(table["component"]) == {"ggml1"}  # the other carries 0.1 / 10.1 of the metric
    assert list(table["cell_type"].cat.categories) == ["T", "B"]
    for number, name in enumerate(["T", "B"]):
        part = table[table["cell_type"] == name]
        assert part["rank"].tolist() == [1, 2, 3, 4, 5]
        assert (part["t"].abs().diff().dropna() <= 0).all()
        part = part.set_index("gene").loc[list("ABCDE")]
        np.testing.assert_array_equal(part["pattern"], found.by_type.patterns[number, 0])
        np.testing.assert_array_equal(part["shift"], found.by_type.shifts[number, 0])
        np.testing.assert_array_equal(part["t"], found.by_type.t[number, 0])


# What was found by learning again


def stability(adata, names="ABCD", **more):
    """Found for the metric as it is: by gene and component, the whole metric last."""
    number = np.arange(float(len(names)))
    spread = np.stack([number, number + 10, number + 20], axis=1)
    return {
        "genes": np.array(list(names), dtype=object),
        "lower": spread,
        "upper": spread + 1,
        "frequency": spread / 100,
        "excess": number,
        "p_value": number / 10,
        "p_adjusted": number / 5,
        "fingerprint": read_metric(adata, "ggml").fingerprint,
    } | more


def test_stability_of_another_metric_is_none(adata):
    stored = read_metric(adata, "ggml")
    assert read_stability(adata, stored) is None
    adata.uns["ggml_stability"] = stability(adata)
    assert read_stability(adata, stored) is adata.uns["ggml_stability"]
    adata.uns["ggml_stability"] = stability(adata, fingerprint="0123")
    assert read_stability(adata, stored) is None
    for other in ({"p_value": np.ones(4)}, "text", pd.DataFrame()):
        adata.uns["ggml_stability"] = other
        with pytest.warns(
            UserWarning, match=r"adata\.uns\['ggml_stability'\] is no result of sg\.tl\.gene_stab.* Rename"
        ):
            assert read_stability(adata, stored) is None


def test_stability_follows_its_genes(adata):
    adata.uns["ggml_stability"] = stability(adata)
    table = table_of(adata[:, list("DBE")].copy(), found=found_in("DBE"))
    for i, name in enumerate(["ggml1", "ggml2", "ggml"]):
        part = part_of(table, name, "DBE")
        np.testing.assert_array_equal(part["lower"], [3 + 10 * i, 1 + 10 * i, np.nan])
        np.testing.assert_array_equal(part["p_value"], [0.3, 0.1, np.nan])
    adata.uns["ggml_stability"] = stability(adata, "CA")
    np.testing.assert_array_equal(part_of(table_of(adata), "ggml1")["p_value"], [0.1, np.nan, 0, np.nan, np.nan])
    adata.uns["ggml_stability"] = stability(adata, "AABB")
    with pytest.raises(ValueError, match=r"adata\.uns\['ggml_stability'\] has several genes of one name, .* again"):
        table_of(adata)


@pytest.mark.parametrize("by", ["pattern", "loading"])
def test_the_table_has_what_is_known_of_the_stability_of_each_gene(adata, by):
    assert list(table_of(adata, by).columns) == PLAIN
    adata.uns["ggml_stability"] = stability(adata)
    table = table_of(adata, by)
    assert list(table.columns) == [*PLAIN, *STABILITY]
    for i, name in enumerate(["ggml1", "ggml2", "ggml"]):
        part = part_of(table, name, "ABCD")
        assert part["lower"].tolist() == [10 * i + g for g in range(4)]
        np.testing.assert_allclose(part["frequency"], [i / 10 + g / 100 for g in range(4)])
        assert part["p_value"].tolist() == [0.0, 0.1, 0.2, 0.3]
    adata.uns["ggml_stability"]["fingerprint"] = "0123"
    assert list(table_of(adata, by).columns) == PLAIN


def test_stability_that_is_new_takes_the_place_of_what_was_known(adata):
    adata.uns["ggml_stability"] = stability(adata)
    table = table_of(adata)
    adata.uns["ggml_stability"] = {
        name: value for name, value in stability(adata).items() if name not in ("lower", "upper", "frequency")
    } | {"excess": np.arange(4.0) + 5}
    after = with_stability(table, adata, read_metric(adata, "ggml"))
    assert list(after.columns) == [*PLAIN, "excess", "p_value", "p_adjusted"]
    assert part_of(after, "ggml2", "ABCD")["excess"].tolist() == [5, 6, 7, 8]
    pd.testing.assert_frame_equal(after[PLAIN], table[PLAIN])


# Slots


def write(adata, by="pattern", **more):
    found = replace(found_in(), **more)
    write_ranking(adata, read_metric(adata, "ggml"), found, by, {"layer": "logged"})
    return found


def test_what_is_written_is_read(adata):
    assert not has_ranking(adata, read_metric(adata, "ggml"))
    found = write(adata)
    ranking = read_ranking(adata, "ggml")
    assert has_ranking(adata, read_metric(adata, "ggml"))
    assert (ranking.by, ranking.of_genes, ranking.params["layer"]) == ("pattern", True, "logged")
    assert (ranking.ends(1), ranking.ends(2)) == (("ill", "well"), ("dead", "well"))
    pd.testing.assert_frame_equal(ranking.table, table_of(adata))
    pd.testing.assert_frame_equal(ranking.types, type_table(adata, read_metric(adata, "ggml"), found))
    assert (ranking.of("ggml2")["component"] == "ggml2").all()
    np.testing.assert_array_equal(adata.varm["ggml_patterns"], found.whole.patterns[0].T)
    np.testing.assert_array_equal(ranking.params["importance"], IMPORTANCE)
    write(adata, by_type=None)
    assert read_ranking(adata, "ggml").types is None


def test_features_in_place_of_genes_leave_no_patterns_of_genes(adata):
    write(adata)
    del adata.varm["ggml"]
    write_ranking(adata, read_metric(adata, "ggml"), found_in(["X_pca_0", "X_pca_1"], of_genes=False), "pattern", {})
    assert "ggml_patterns" not in adata.varm
    assert not read_ranking(adata, "ggml").of_genes


def test_a_ranking_of_another_metric_is_none(adata):
    write(adata)
    adata.uns["ggml"] = metric_entry(np.eye(2), ["X_pca_0", "X_pca_1"], use_rep="X_pca")
    stored = read_metric(adata, "ggml")
    assert not has_ranking(adata, stored)
    with pytest.raises(ValueError, match=r"was computed for another metric .* call sg\.tl\.rank_genes"):
        read_ranking(adata, "ggml")


def test_stability_is_added_to_a_table_that_is_there(adata):
    write(adata, "loading")
    before = read_ranking(adata, "ggml")
    adata.uns["ggml_stability"] = stability(adata)
    refresh_ranking(adata, read_metric(adata, "ggml"))
    assert list(read_ranking(adata, "ggml").table.columns) == PLAIN  # of another layer
    adata.uns["ggml_stability"] |= {"params": {"layer": "logged"}}
    refresh_ranking(adata, read_metric(adata, "ggml"))
    after = read_ranking(adata, "ggml")
    assert list(after.table.columns) == [*PLAIN, *STABILITY]
    pd.testing.assert_frame_equal(after.table[PLAIN], before.table)
    assert after.by == "loading"
    pd.testing.assert_frame_equal(after.types, before.types)
