"""Offline enrichment against scipy, term by term, and decoupler for real."""

import time

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from _metrics import rank_by_hand
from _slots import assert_round_trip, assert_same, assert_same_table, slots
from scipy.stats import false_discovery_control, hypergeom, linregress

import scggml as sg
from scggml.ext._query import COLUMNS, plain_name

ANY = {"min_size": 1, "all_results": True}
UP, DOWN, UNCLEAR = "higher in class1", "higher in class0", "no clear direction"


def truth(query, members, domain):
    """Tail of the hypergeometric distribution from its definition in scipy."""
    query, members = set(query) & set(domain), set(members) & set(domain)
    return hypergeom(len(domain), len(members), len(query)).sf(len(query & members) - 1)


def test_every_term_is_that_of_scipy(adata, sets):
    sg.ext.enrich_gmt(adata, sets, **ANY)
    domain = [f"G{i:02d}" for i in range(40)]
    queries = {
        ("ggml1", UP): domain[:8],
        ("ggml1", DOWN): domain[10:16],
        ("ggml2", UP): domain[20:23],
        ("ggml2", UNCLEAR): domain[23:24],
    }
    table = sg.get.enrichment_df(adata)
    assert len(table) == 16
    assert list(dict.fromkeys(zip(table["component"], table["direction"], strict=True))) == list(queries)
    for (component, direction), part in table.groupby(["component", "direction"]):
        query = queries[component, direction]
        p = [truth(query, sets[name], domain) for name in part["native"]]
        np.testing.assert_allclose(part["p_value"], p, rtol=1e-12)
        np.testing.assert_allclose(part["p_adjusted"], false_discovery_control(p), rtol=1e-12)
        assert part["intersection"].tolist() == [
            ",".join(sorted(set(query) & set(sets[name]), key=lambda g: strength(adata, component, g)))
            for name in part["native"]
        ]
        assert (part["p_adjusted"].diff().dropna() >= 0).all()
    np.testing.assert_array_equal(table["significant"], table["p_adjusted"] <= 0.05)
    assert set(table["method"]) == {"hypergeometric BH"}


def strength(adata, component, gene):
    """Rank of a gene: strongest first."""
    table = adata.uns["ggml_genes"]["table"]
    return -abs(table[(table["component"] == component) & (table["gene"] == gene)]["pattern"].item())


@pytest.mark.parametrize(
    ("by", "n_genes", "found"),
    [
        ("pattern", 2, {UP: "G00,G01"}),
        ("pattern", 4, {UP: "G00,G01,G02", DOWN: "G15"}),
        ("loading", 2, {UP: "G07,G06"}),
        ("loading", 4, {UP: "G07,G06,G05", DOWN: "G10"}),
    ],
)
def test_the_strongest_genes_of_a_component_are_taken_whatever_their_direction(adata, by, n_genes, found):
    sg.ext.enrich_gmt(adata, {"all": adata.var_names}, by=by, components=[1], n_genes=n_genes, **ANY)
    table = sg.get.enrichment_df(adata).set_index("direction")
    assert table["intersection"].to_dict() == found
    assert adata.uns["ggml_enrichment"]["params"]["by"] == by


def test_the_columns_are_those_of_gprofiler(adata, sets, gost):
    sg.ext.enrich_gmt(adata, sets, **ANY)
    offline = sg.get.enrichment_df(adata)
    sg.ext.gprofiler(adata, base_url=gost.url, ordered=False, all_results=True)
    online = sg.get.enrichment_df(adata)
    assert list(offline.columns) == list(online.columns) == list(COLUMNS)
    assert offline.dtypes.tolist() == online.dtypes.tolist()
    key = ["component", "direction", "native"]
    both = offline.merge(online, on=key, suffixes=("", "_online"), validate="one_to_one")
    np.testing.assert_allclose(np.minimum(1, both["p_value"] * 4), both["p_adjusted_online"], rtol=1e-12)
    for column in ("term_size", "query_size", "intersection_size", "effective_domain_size", "intersection"):
        assert both[column].tolist() == both[f"{column}_online"].tolist()


@pytest.mark.parametrize("scope", ["custom", "custom_annotated"])
def test_the_domain_is_the_background_or_its_annotated_part(adata, sets, scope):
    few = {"FIRST": sets["FIRST"], "LAST": sets["LAST"]}
    background = [f"G{i:02d}" for i in range(2, 36)]
    sg.ext.enrich_gmt(adata, few, background=background, domain_scope=scope, **ANY)
    domain = background if scope == "custom" else sorted(set(background) & {*few["FIRST"], *few["LAST"]})
    row = sg.get.enrichment_df(adata, component=1, direction=UP).set_index("native").loc["FIRST"]
    assert row["effective_domain_size"] == len(domain)
    assert row["p_value"] == pytest.approx(truth([f"G{i:02d}" for i in range(8)], few["FIRST"], domain), rel=1e-12)


def test_sizes_count_in_the_background(adata, sets):
    sg.ext.enrich_gmt(adata, sets, min_size=7, max_size=9, all_results=True)
    assert set(sg.get.enrichment_df(adata)["native"]) == {"LAST", "BOTH"}


def test_significant_sets_alone_are_kept_unless_all_are_asked_for(adata, sets):
    sg.ext.enrich_gmt(adata, sets, min_size=1)
    table = sg.get.enrichment_df(adata)
    assert table[["component", "direction", "native"]].to_numpy().tolist() == [
        ["ggml1", UP, "FIRST"],
        ["ggml1", DOWN, "BOTH"],
    ]


def test_a_file_is_read_as_the_dict(adata, sets, tmp_path):
    path = tmp_path / "sets.v1.gmt"
    path.write_text("".join("\t".join([name, f"about {name}", *genes]) + "\n" for name, genes in sets.items()) + "\n")
    sg.ext.enrich_gmt(adata, sets, **ANY)
    from_dict = sg.get.enrichment_df(adata)
    sg.ext.enrich_gmt(adata, path, **ANY)
    from_file = sg.get.enrichment_df(adata)
    assert set(from_file["source"]) == {"sets.v1"}
    assert from_file["description"].tolist() == [f"about {name}" for name in from_file["native"]]
    same = [c for c in COLUMNS if c not in ("source", "description")]
    pd.testing.assert_frame_equal(from_file[same], from_dict[same])


def test_ensembl_ids_meet_without_their_versions(adata, sets):
    renamed = {name: [f"ENSG000000000{g[1:]}.7" for g in genes] for name, genes in sets.items()}
    sg.ext.enrich_gmt(adata, sets, **ANY)
    plain = sg.get.enrichment_df(adata)
    adata.var["ensembl"] = [f"ENSG000000000{i:02d}.{i + 1}" for i in range(40)]
    sg.ext.enrich_gmt(adata, renamed, gene_symbols="ensembl", **ANY)
    found = sg.get.enrichment_df(adata)
    numbers = found.columns.drop("intersection")
    pd.testing.assert_frame_equal(found[numbers], plain[numbers])
    assert found["intersection"][0] == "ENSG00000000000,ENSG00000000001,ENSG00000000002,ENSG00000000003"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("ENSG00000118729.12", "ENSG00000118729"),
        ("ENSMUSG00000000001.4", "ENSMUSG00000000001"),
        ("ENSG00000118729", "ENSG00000118729"),
        ("ENSG00000182378.15_PAR_Y", "ENSG00000182378"),
        ("ENSG00000182378_PAR_Y", "ENSG00000182378"),
        ("ENSG00000182378.15-PAR-Y", "ENSG00000182378"),  # Seurat has no underscores
        ("ENSGR0000182378.10", "ENSG00000182378"),
        ("AC012345.1", "AC012345.1"),  # a symbol with a dot
        (7157.0, "7157"),
        (np.float32(7157), "7157"),
        (np.float64("nan"), None),
        (" CD4 ", "CD4"),
        (np.str_("CD4"), "CD4"),
        (7157, "7157"),
        (np.nan, None),
        (None, None),
        (pd.NA, None),
        ("", None),
        ("nan", None),
    ],
)
def test_names_as_services_know_them(name, plain):
    found = plain_name(name)
    assert found == plain
    assert found is None or type(found) is str


def test_results_survive_a_file(adata, sets, tmp_path):
    sg.ext.enrich_gmt(adata, sets, **ANY)
    for read in assert_round_trip(adata, tmp_path):
        assert_same_table(sg.get.enrichment_df(read), sg.get.enrichment_df(adata))


# All genes, by decoupler


@pytest.mark.parametrize("by", ["pattern", "loading"])
def test_ulm_is_the_regression_of_the_signed_strengths_on_membership(adata, sets, by):
    pytest.importorskip("decoupler")
    few = {name: sets[name] for name in ("FIRST", "LAST", "BOTH")}
    sg.ext.enrich_gmt(adata, few, method="ulm", by=by, **ANY)
    table = sg.get.enrichment_df(adata)
    assert len(table) == 6
    for component, part in table.groupby("component"):
        ranked = sg.get.rank_genes_df(adata, component=int(component[-1])).set_index("gene")
        ranked = ranked[ranked[by].notna()]  # the metric does not weigh the others at all
        genes, signed = ranked.index, ranked[by].abs() * np.sign(ranked["shift"])
        fits = [linregress(genes.isin(few[name]).astype(float), signed) for name in part["native"]]
        np.testing.assert_allclose(part["score"], [fit.slope / fit.stderr for fit in fits], rtol=1e-6)
        np.testing.assert_allclose(part["p_value"], [fit.pvalue for fit in fits], rtol=1e-6)
        np.testing.assert_allclose(part["p_adjusted"], false_discovery_control(part["p_value"]), rtol=1e-6)
        assert part["direction"].tolist() == [UP if fit.slope >= 0 else DOWN for fit in fits]
    assert set(table["method"]) == {"decoupler ulm BH"}


def test_gsea_tells_the_ends_from_the_middle(adata):
    pytest.importorskip("decoupler")
    signed = np.stack([np.linspace(3, -3, 40), np.zeros(40)], axis=1)
    rank_by_hand(adata, signed * np.resize([[1], [-1]], (40, 1)), np.sign(signed))
    genes = adata.var_names.to_numpy()
    sets = {"top": genes[:6], "bottom": genes[34:], "spread": genes[1:38:6]}
    sg.ext.enrich_gmt(adata, sets, method="gsea", components=[1], **ANY)
    table = sg.get.enrichment_df(adata).set_index("native")
    assert (table.loc["top", "direction"], table.loc["bottom", "direction"]) == (UP, DOWN)
    assert table.loc[["top", "bottom"], "p_adjusted"].max() < 0.01
    assert table.loc["spread", "p_adjusted"] > 0.2
    first = sg.get.enrichment_df(adata)
    sg.ext.enrich_gmt(adata, sets, method="gsea", components=[1], **ANY)
    pd.testing.assert_frame_equal(sg.get.enrichment_df(adata), first)


def test_a_missing_decoupler_is_told_with_what_to_install(adata, sets, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "decoupler", None)
    with pytest.raises(ImportError, match=r"needs the package decoupler: pip install 'scggml\[enrichment\]'"):
        sg.ext.enrich_gmt(adata, sets, method="ulm")


# What is refused


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"gene_sets": {}}, ValueError, "gene_sets is empty"),
        ({"gene_sets": "no/such.gmt"}, FileNotFoundError, r"gene_sets='no/such\.gmt' is not a file"),
        (
            {"gene_sets": {"a": ["X1", "X2"]}},
            ValueError,
            "no name in common: sets hold names such as 'X1', 'X2', the metric",
        ),
        ({"gene_sets": {"a": ["S01", "S02"]}}, ValueError, r"Pass gene_symbols='symbol'\."),
        ({"min_size": 100}, ValueError, r"None of the 4 gene sets has between min_size=100 and max_size=500 .* has 40"),
        (
            {"method": "camera"},
            ValueError,
            r"method='camera' is not known; choose from \('hypergeometric', 'ulm', 'gsea'\)",
        ),
        ({"method": "ulm", "background": ["G01"]}, ValueError, "background is ignored"),
        ({"domain_scope": "known"}, ValueError, "domain_scope='known' is not known"),
        ({"min_size": 0}, ValueError, "min_size=0 must be at least 1"),
        ({"gene_symbols": "name"}, KeyError, "gene_symbols='name' is not a column"),
        ({"by": "weight"}, ValueError, r"by='weight' is not known; choose from \('pattern', 'loading'\)"),
        ({"components": [3]}, ValueError, r"components=\[3\]: the metric 'ggml' has components 1 to 2"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(adata, sets, options, error, message):
    adata.var["symbol"] = [f"S{i:02d}" for i in range(40)]
    before = slots(adata)
    with pytest.raises(error, match=message):
        sg.ext.enrich_gmt(adata, **({"gene_sets": sets} | options))
    assert_same(slots(adata), before)


def test_genes_that_were_not_ranked_are_asked_for(adata, sets):
    del adata.uns["ggml_genes"]
    with pytest.raises(KeyError, match=r"No 'ggml_genes' in adata\.uns; rank the genes first with sg\.tl\.rank_genes"):
        sg.ext.enrich_gmt(adata, sets)


# Names that agree but for their letters


def test_sets_of_human_and_genes_of_mouse_are_told_apart(adata, sets):
    adata.var["mouse"] = [f"g{i:02d}" for i in range(40)]
    before = slots(adata)
    with pytest.raises(ValueError, match=r"no name in common: .* agree but for letter case, such as 'G00' in the sets"):
        sg.ext.enrich_gmt(adata, sets, gene_symbols="mouse", **ANY)
    assert_same(slots(adata), before)
    sg.ext.enrich_gmt(adata, sets, **ANY)
    assert len(sg.get.enrichment_df(adata)) == 16


def test_a_few_names_that_agree_by_chance_do_not_hide_that_most_differ_in_case(adata, sets):
    adata.var["mouse"] = ["G00", *(f"g{i:02d}" for i in range(1, 40))]
    with pytest.warns(
        UserWarning, match=r"Of 40 genes of the sets only 1 are among the 40 .* 40 agree but for letter case"
    ):
        sg.ext.enrich_gmt(adata, sets, gene_symbols="mouse", **ANY)
    with pytest.raises(
        ValueError, match=r"None of the 4 gene sets has between min_size=5 .* agree but for letter case"
    ):
        sg.ext.enrich_gmt(adata, sets, gene_symbols="mouse")


def test_names_that_differ_otherwise_are_no_matter_of_case(adata, sets):
    sets["OTHER"] = [f"X{i}" for i in range(1000)] + ["g01"]
    sg.ext.enrich_gmt(adata, sets, **ANY)  # a warning would be an error


def test_a_column_of_ids_with_versions_is_named(adata):
    adata.var["ensembl"] = [f"ENSG000000000{i:02d}.{i + 1}" for i in range(40)]
    with pytest.raises(ValueError, match=r"Pass gene_symbols='ensembl'"):
        sg.ext.enrich_gmt(adata, {"A": ["ENSG00000000001", "ENSG00000000002"]})


def test_a_table_is_read_as_the_dict(adata, sets):
    net = pd.DataFrame([(name, gene, 1.0) for name, genes in sets.items() for gene in genes])
    sg.ext.enrich_gmt(adata, sets, **ANY)
    from_dict = sg.get.enrichment_df(adata)
    sg.ext.enrich_gmt(adata, net.set_axis(["source", "target", "weight"], axis=1), **ANY)
    assert_same_table(sg.get.enrichment_df(adata), from_dict)


# Real cohorts and gene sets


@pytest.mark.real
@pytest.mark.parametrize(
    "gmt", ["h.all.v7.5.1.symbols.gmt", "c2.cp.reactome.v7.5.1.symbols.gmt", "GO_BP_orgHsegdb.gmt"]
)
@pytest.mark.parametrize("cohort", ["gbm_panobinostat_lemur", "autism_velmeshev"])
def test_real_gene_sets_agree_with_scipy_in_seconds(data_dir, cohort, gmt):
    adata = ad.read_h5ad(data_dir / f"{cohort}.h5ad")
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    if adata.n_vars > 2000:
        sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    sc.pp.pca(adata, n_comps=20)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=2, n_cells=40, progress=False)
    sg.tl.rank_genes(adata, progress=False)
    path = data_dir.parent / "genesets" / gmt
    start = time.perf_counter()
    sg.ext.enrich_gmt(adata, path, all_results=True)
    assert time.perf_counter() - start < 10
    table = sg.get.enrichment_df(adata)
    domain = adata.var_names
    first = sg.get.rank_genes_df(adata, component=1, n_genes=100)
    members = {line.split("\t")[0]: line.split("\t")[2:] for line in path.read_text().splitlines()}
    for end in first["higher_in"].unique():
        query = first["gene"][first["higher_in"] == end]
        direction = UNCLEAR if end == "neither" else f"higher in {end}"
        part = table[(table["component"] == "ggml1") & (table["direction"] == direction)]
        p = [truth(query, members[name], domain) for name in part["native"]]
        assert len(p) >= 3
        np.testing.assert_allclose(part["p_value"], p, rtol=1e-9)
        np.testing.assert_allclose(part["p_adjusted"], false_discovery_control(p), rtol=1e-9)


@pytest.mark.parametrize("first", ["G00", "G35"])
def test_a_file_without_descriptions_is_told(adata, tmp_path, first):
    path = tmp_path / "a.gmt"
    path.write_text(f"A\t{first}\tG01\tG02\tG03\nB\tabout B\tG04\tG05\tG35\n")
    with pytest.warns(
        UserWarning, match=f"In 1 of 2 gene sets .* description, .* such as '{first}' in 'A'.*empty field"
    ):
        sg.ext.enrich_gmt(adata, path, min_size=1)


def test_a_description_that_repeats_the_name_of_a_set_is_one(adata, tmp_path):
    path = tmp_path / "a.gmt"
    path.write_text("G00\tG00\tG01\tG02\tG03\n")
    sg.ext.enrich_gmt(adata, path, min_size=1)
