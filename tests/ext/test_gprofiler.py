"""The client against real HTTP and real hypergeometric answers."""

import json
import threading
import warnings

import gprofiler as official
import numpy as np
import pandas as pd
import pytest
from _gost import PATH
from _metrics import rank_by_hand
from _slots import assert_round_trip, assert_same, assert_same_table, slots
from scipy.stats import hypergeom

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml._anndata.ranking import refresh_ranking
from scggml.ext._query import COLUMNS

UP, DOWN, UNCLEAR = "ggml1 higher in class1", "ggml1 higher in class0", "ggml2 no clear direction"
UP_2 = "ggml2 higher in class1"
QUICK = {"wait": 0.01, "timeout": 5.0}


def ask(adata, gost, **options):
    return sg.ext.gprofiler(adata, base_url=gost.url, **(QUICK | options))


# What is asked


def test_one_request_holds_all_directions_of_each_component_strongest_first(adata, gost):
    ask(adata, gost)
    assert gost.paths == ["/gprofiler" + PATH]
    assert gost.requests[0]["query"] == {
        UP: [f"G{i:02d}" for i in range(8)],
        DOWN: ["G15", "G14", "G13", "G12", "G11", "G10"],
        UP_2: ["G21", "G20", "G22"],
        UNCLEAR: ["G23"],
    }


@pytest.mark.parametrize(
    ("by", "n_genes", "query"),
    [
        ("pattern", 4, {UP: ["G00", "G01", "G02"], DOWN: ["G15"], UP_2: ["G21", "G20", "G22"], UNCLEAR: ["G23"]}),
        ("pattern", 3, {UP: ["G00", "G01", "G02"], UP_2: ["G21", "G20"], UNCLEAR: ["G23"]}),
        ("loading", 4, {UP: ["G07", "G06", "G05"], DOWN: ["G10"], UP_2: ["G22", "G21", "G20"]}),
    ],
)
def test_the_strongest_genes_of_a_component_are_asked_about_whatever_their_direction(adata, gost, by, n_genes, query):
    ask(adata, gost, by=by, n_genes=n_genes)
    assert gost.requests[0]["query"] == query
    assert adata.uns["ggml_enrichment"]["params"]["by"] == by


def test_the_background_is_all_genes_that_were_ranked(adata, gost):
    ask(adata, gost)
    assert sorted(gost.requests[0]["background"]) == [f"G{i:02d}" for i in range(40)]
    assert gost.requests[0]["domain_scope"] == "custom"


def test_every_option_reaches_the_service(adata, gost):
    ask(
        adata,
        gost,
        components=[2],
        n_genes=2,
        organism="mmusculus",
        sources=np.array(["GO:BP", "REAC"]),
        background=pd.Series(["G20", "G21", np.nan, "ENSG00000118729.4"]),
        domain_scope="custom_annotated",
        ordered=False,
        significance_threshold_method="fdr",
        user_threshold=np.float64(0.5),
        no_iea=np.True_,
        measure_underrepresentation=True,
        highlight=True,
        numeric_namespace="ENTREZGENE_ACC",
    )
    assert gost.requests == [
        {
            "organism": "mmusculus",
            "query": {UP_2: ["G21", "G20"]},
            "sources": ["GO:BP", "REAC"],
            "user_threshold": 0.5,
            "all_results": False,
            "ordered": False,
            "no_evidences": False,
            "combined": False,
            "measure_underrepresentation": True,
            "no_iea": True,
            "domain_scope": "custom_annotated",
            "numeric_ns": "ENTREZGENE_ACC",
            "significance_threshold_method": "fdr",
            "background": ["G20", "G21", "ENSG00000118729"],
            "highlight": True,
        }
    ]


def test_the_genome_is_counted_without_a_background(adata, gost):
    ask(adata, gost, domain_scope="annotated")
    assert gost.requests[0]["background"] == ""


def test_the_official_client_sends_and_reads_the_same(adata, gost):
    ask(adata, gost, ordered=True, all_results=True)
    ours = gost.requests[0]
    client = official.GProfiler(base_url=gost.url, return_dataframe=True)
    theirs = client.profile(
        query=ours["query"], background=ours["background"], ordered=True, all_results=True, no_evidences=False
    )
    assert gost.requests[1] == ours
    table = sg.get.enrichment_df(adata)
    key = ["query", "native"]
    table["query"] = table["component"] + " " + table["direction"]
    both = table.merge(theirs, on=key, suffixes=("", "_theirs"), validate="one_to_one")
    assert len(both) == len(table) == len(theirs) == 16
    np.testing.assert_array_equal(both["p_adjusted"], both["p_value_theirs"])
    for column in ("term_size", "query_size", "intersection_size", "precision", "recall", "significant"):
        np.testing.assert_array_equal(both[column], both[f"{column}_theirs"])
    assert both["intersection"].tolist() == [",".join(genes) for genes in both["intersections"]]


def test_versions_are_stripped_and_symbols_are_taken_from_a_column(adata, gost):
    adata.var_names = [f"ENSG{i:011d}.{i % 9 + 1}" for i in range(40)]
    shifts = np.zeros((40, 2))
    shifts[20:23, 1] = [3, 4, 1]
    rank_by_hand(adata, -shifts, shifts)
    with pytest.warns(UserWarning, match="does not know"):
        ask(adata, gost, components=[2])
    assert gost.requests[0]["query"][UP_2] == [f"ENSG{i:011d}" for i in (21, 20, 22)]
    adata.var["symbol"] = pd.Categorical([np.nan if i == 20 else f"G{i:02d}" for i in range(40)])
    with pytest.warns(UserWarning, match="1 of the 3 genes: 'ENSG00000000020'"):
        ask(adata, gost, components=[2], gene_symbols="symbol")
    assert gost.requests[1]["query"][UP_2] == ["G21", "ENSG00000000020", "G22"]


def test_names_that_are_missing_are_not_sent(adata, gost):
    adata.var["symbol"] = [f"G{i:02d}" for i in range(40)]
    adata.var.loc["G21", "symbol"] = "nan"
    adata.var.loc["G22", "symbol"] = " G20 "
    ask(adata, gost, components=[2], gene_symbols="symbol")
    assert gost.requests[0]["query"] == {UP_2: ["G20"], UNCLEAR: ["G23"]}
    assert "nan" not in gost.requests[0]["background"]


def test_of_genes_of_one_name_the_strongest_says_the_direction(adata, gost):
    adata.var["symbol"] = [f"G{i:02d}" for i in range(40)]
    adata.var.loc["G23", "symbol"] = "G21"  # weaker than G21, but stronger than G22
    adata.var.loc["G20", "symbol"] = "G22"
    ask(adata, gost, components=[2], gene_symbols="symbol")
    assert gost.requests[0]["query"] == {UP_2: ["G21", "G22"]}


def give_rates(adata, p):
    """False discovery rates of the genes that the metric used, as they stand in the ranking."""
    adata.uns["ggml_stability"] = {
        "genes": adata.var_names[: len(p)].to_numpy().astype(object),
        "p_adjusted": p,
        "fingerprint": adata.uns["ggml"]["fingerprint"],
    }
    refresh_ranking(adata, read_metric(adata, "ggml"))


def test_significant_genes_alone_are_asked_about(adata, gost):
    give_rates(adata, np.where(np.isin(np.arange(38), [1, 3, 12, 30]), 0.01, 0.5))
    ask(adata, gost, max_p_adjusted=0.05)
    assert gost.requests[0]["query"] == {UP: ["G01", "G03"], DOWN: ["G12"]}
    ask(adata, gost, max_p_adjusted=0.05, n_genes=2)  # of those that are significant
    assert gost.requests[1]["query"] == {UP: ["G01", "G03"]}


def test_nothing_to_ask_sends_nothing_and_gives_an_empty_table(adata, gost, tmp_path):
    give_rates(adata, np.ones(38))
    ask(adata, gost, max_p_adjusted=0.05)
    assert gost.requests == []
    assert list(sg.get.enrichment_df(adata).columns) == list(COLUMNS)
    assert len(sg.get.enrichment_df(adata)) == 0
    assert_round_trip(adata, tmp_path)


# What comes back


def test_the_table_holds_the_answer(adata, gost):
    ask(adata, gost, ordered=False, significance_threshold_method="bonferroni", all_results=True)
    table = sg.get.enrichment_df(adata, component=1, direction="higher in class1").set_index("native")
    assert table.index[0] == "FIRST"
    row = table.loc["FIRST"]
    p = hypergeom.sf(3, 40, 6, 8) * 4  # 4 of the 6 genes of the set among 8 of 40, four sets
    assert row["p_adjusted"] == pytest.approx(p, rel=1e-12)
    assert (row["term_size"], row["query_size"], row["intersection_size"]) == (6, 8, 4)
    assert (row["effective_domain_size"], row["precision"], row["recall"]) == (40, 0.5, 4 / 6)
    assert (row["intersection"], row["description"]) == ("G00,G01,G02,G03", "about FIRST")
    assert row["method"] == "g:Profiler bonferroni"
    assert bool(row["significant"]) is bool(p <= 0.05)
    assert np.isnan(row["p_value"])
    assert np.isnan(row["score"])


def test_the_order_of_the_genes_is_what_an_ordered_query_tests(adata, gost):
    ask(adata, gost, all_results=True)
    table = sg.get.enrichment_df(adata, component=1, direction="higher in class1").set_index("native")
    best = min(hypergeom.sf(n - 1, 40, 6, n) for n in range(1, 5))  # the first four are all in the set
    assert table.loc["FIRST", "p_adjusted"] == pytest.approx(4 * best, rel=1e-12)
    assert table.loc["FIRST", "query_size"] == 4


def test_the_release_and_the_time_are_kept(adata, gost, tmp_path):
    ask(adata, gost)
    params = adata.uns["ggml_enrichment"]["params"]
    assert (params["version"], params["timestamp"]) == ("e113_eg59_p19_test", "2025-01-02T03:04:05+0000")
    assert params["n_background"] == 40
    for read in assert_round_trip(adata, tmp_path):
        assert_same_table(sg.get.enrichment_df(read), sg.get.enrichment_df(adata))


def test_unknown_genes_are_named(adata, gost, sets):
    gost.sets = {name: [g for g in genes if g not in ("G01", "G12")] for name, genes in sets.items()}
    with pytest.warns(UserWarning, match=r"\(hsapiens\) does not know 2 of the 18 genes: 'G01', 'G12'"):
        ask(adata, gost)
    assert list(adata.uns["ggml_enrichment"]["params"]["unmapped"]) == ["G01", "G12"]


def test_a_recorded_answer_of_2019_is_understood(adata, gost, data_dir):
    recorded = (data_dir.parent / "gprofiler" / "gost_profile_response_cmgo.json").read_text()
    body = recorded.replace('"query_1"', f'"{UP}"')
    gost.faults = [(200, body.encode())]
    adata.var["symbol"] = ["CASQ2", "CASQ1", "GSTO1", "DMD", "GSTM2", *adata.var_names[5:]]  # what was asked then
    ask(adata, gost, gene_symbols="symbol")
    table = sg.get.enrichment_df(adata)
    assert table["native"].tolist() == ["GO:0014809", "GO:0010881"]
    assert table["p_adjusted"].tolist() == [6.045452804836617e-17, 7.823665557395747e-09]
    assert table["intersection"].tolist() == ["CASQ2,CASQ1,GSTO1,DMD,GSTM2", "CASQ2,GSTO1,DMD,GSTM2"]
    assert table["description"].tolist() == ["", ""]


# Cache


def test_the_same_question_is_sent_once(adata, gost):
    ask(adata, gost)
    first = slots(adata)
    ask(adata, gost)
    assert len(gost.requests) == 1
    assert_same(slots(adata), first)
    ask(adata, gost, refresh=True)
    assert len(gost.requests) == 2


@pytest.mark.parametrize(
    "other", [{"n_genes": 3}, {"organism": "mmusculus"}, {"user_threshold": 0.01}, {"ordered": False}]
)
def test_another_question_is_sent(adata, gost, other):
    ask(adata, gost)
    ask(adata, gost, **other)
    assert len(gost.requests) == 2


def test_an_answer_expires(adata, gost):
    ask(adata, gost)
    ask(adata, gost, expires=0)
    assert len(gost.requests) == 2


def test_another_base_url_is_another_question(adata, gost):
    ask(adata, gost)
    sg.ext.gprofiler(adata, base_url=gost.url.replace("/gprofiler", "/gprofiler_archive3/e111"), **QUICK)
    assert gost.paths == ["/gprofiler" + PATH, "/gprofiler_archive3/e111" + PATH]


def test_a_broken_file_in_the_cache_is_asked_anew(adata, gost, tmp_path):
    folder = tmp_path / "elsewhere"
    ask(adata, gost, cache_dir=folder)
    (file,) = folder.iterdir()
    file.write_text(file.read_text()[:50])
    ask(adata, gost, cache_dir=folder)
    assert len(gost.requests) == 2
    assert json.loads(file.read_text())["meta"]["version"] == "e113_eg59_p19_test"


# Faults of the service


@pytest.mark.parametrize(
    "fault", [(503, b""), (429, b'{"message": "slow down"}'), (500, b""), (200, b"<html>"), (200, b"[]")]
)
def test_a_fault_that_passes_is_waited_out(adata, gost, fault):
    gost.faults = [fault, fault]
    ask(adata, gost)
    assert len(gost.requests) == 3
    assert len(sg.get.enrichment_df(adata)) > 0


FINAL = [
    ([(503, b"")] * 2, {}, ConnectionError, r"g:Profiler gave no usable answer at http.*HTTP 503 .*\(attempts: 2\)"),
    ([(200, b"not JSON")] * 2, {}, ConnectionError, "its answer is no JSON: 'not JSON'"),
    ([(0, b"")] * 2, {"timeout": 0.2}, ConnectionError, r"no answer within 0\.2 s"),
    ([(400, b'{"message": "Unknown organism"}')], {}, ValueError, r"refuses .* HTTP 400 .*\(Unknown organism\)"),
    ([(404, b"")], {}, ValueError, "HTTP 404"),
    ([(200, b'{"result": []}')], {}, ConnectionError, r"another form than documented .* it holds 'result'"),
    (
        [(200, b'{"result": [{"query": "ggml2 higher in class1"}], "meta": {"genes_metadata": {"query": {}}}}')],
        {},
        ConnectionError,
        "form",
    ),
]


@pytest.mark.parametrize("case", FINAL)
def test_a_fault_that_stays_is_told_and_nothing_is_written(adata, gost, case):
    faults, options, error, message = case
    ask(adata, gost, components=[2])
    before = slots(adata)
    gost.faults = list(faults)
    n = len(gost.requests)
    with pytest.raises(error, match=message):
        ask(adata, gost, attempts=2, **options)
    assert len(gost.requests) - n == len(faults)
    assert_same(slots(adata), before)


def test_a_service_that_is_not_there_is_told(adata, gost):
    with pytest.raises(ConnectionError, match=r"gave no usable answer at http://127\.0\.0\.1:9/api"):
        sg.ext.gprofiler(adata, base_url="http://127.0.0.1:9", attempts=2, **QUICK)
    assert "ggml_enrichment" not in adata.uns


def test_the_server_is_given_the_time_that_it_asks_for(adata, gost, monkeypatch):
    waits = []
    monkeypatch.setattr("scggml.ext._service.time.sleep", waits.append)
    gost.faults, gost.headers = [(429, b""), (503, b""), (503, b"")], {"Retry-After": "3"}
    ask(adata, gost, wait=2.0)
    assert waits == [3.0, 4.0, 8.0]


def test_a_wrong_answer_is_not_kept(adata, gost):
    gost.faults = [(200, b"[1]")]
    with pytest.raises(ConnectionError, match="JSON list"):
        ask(adata, gost, attempts=1)
    ask(adata, gost)
    assert len(gost.requests) == 2


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domain_scope": "genome"}, r"domain_scope='genome' is not known; choose from \('known', 'annotated'"),
        ({"significance_threshold_method": "BH"}, "significance_threshold_method='BH' is not known"),
        ({"domain_scope": "known", "background": ["G01"]}, "background is ignored"),
        ({"highlight": True}, "highlight=True does not go with ordered=True"),
        ({"highlight": True, "ordered": False, "organism": "gp__abc"}, "uploaded GMT file"),
        ({"components": [3]}, r"components=\[3\]: the metric 'ggml' has components 1 to 2"),
        ({"n_genes": 0}, "n_genes=0 must be at least 1"),
        ({"by": "weight"}, r"by='weight' is not known; choose from \('pattern', 'loading'\)"),
        ({"max_p_adjusted": 0.05}, "genes have no false discovery rates yet"),
        ({"timeout": 0}, "timeout=0 must be a positive number"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused_before_anything_is_sent(adata, gost, options, message):
    with pytest.raises(ValueError, match=message):
        ask(adata, gost, **options)
    assert gost.requests == []


def test_loadings_of_features_that_are_no_genes_are_refused(adata, gost):
    ranked = adata.uns["ggml_genes"]
    ranked["table"][["loading", "share"]] = np.nan
    with pytest.raises(ValueError, match=r"cannot be mapped to genes; pass by=\"pattern\", which needs the expression"):
        ask(adata, gost, by="loading")
    ask(adata, gost)
    assert len(gost.requests[0]["query"]) == 4


def test_features_that_were_ranked_in_place_of_genes_are_refused(adata, gost):
    adata.uns["ggml_genes"]["params"]["of_genes"] = False
    with pytest.raises(ValueError, match=r"ranked in place of genes, .* sg\.tl\.rank_genes\(adata, layer=\.\.\.\)"):
        ask(adata, gost)


def test_genes_that_were_not_ranked_are_asked_for(adata, gost):
    del adata.uns["ggml_genes"]
    with pytest.raises(KeyError, match=r"rank the genes first with sg\.tl\.rank_genes\(adata, key='ggml'\)"):
        ask(adata, gost)
    assert gost.requests == []


def test_a_copy_leaves_the_original_alone(adata, gost):
    before = slots(adata)
    copied = ask(adata, gost, copy=True)
    assert_same(slots(adata), before)
    assert "ggml_enrichment" in copied.uns


def test_threads_do_not_disturb_each_other(adata, gost):
    """Two sessions that ask the same at once both get the answer, and one whole file is kept."""
    with warnings.catch_warnings():
        threads = [threading.Thread(target=ask, args=(adata.copy(), gost)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    ask(adata, gost)
    assert len(gost.requests) <= 4
    assert len(sg.get.enrichment_df(adata)) > 0


def test_a_client_says_where_the_service_is(adata, gost):
    truth = adata.copy()
    sg.ext.gprofiler(truth, base_url=gost.url, wait=0.01, timeout=5.0)
    agents = []

    def answer(handler):
        agents.append(handler.headers["User-Agent"])
        body = json.dumps(gost.answer(gost.requests[-1])).encode()
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(body)

    gost.faults = [answer]
    sg.ext.gprofiler(adata, client=official.GProfiler(base_url=gost.url, user_agent="a lab"), refresh=True)
    assert len(agents) == 1
    assert agents[0].endswith("/a lab")
    assert_same_table(sg.get.enrichment_df(adata), sg.get.enrichment_df(truth))
    assert adata.uns["ggml_enrichment"]["params"]["base_url"] == gost.url
    with pytest.raises(ValueError, match="another one; pass one of the two"):
        sg.ext.gprofiler(adata, client=official.GProfiler(base_url=gost.url), base_url="http://127.0.0.1:1/other")


def test_native_columns_are_those_of_the_client(adata, gost):
    sg.ext.gprofiler(adata, base_url=gost.url, all_results=True, wait=0.01, timeout=5.0)
    native, ours = sg.get.enrichment_df(adata, native=True), sg.get.enrichment_df(adata)
    asked = gost.requests[-1]
    client = official.GProfiler(base_url=gost.url, return_dataframe=True)
    truth = client.profile(
        query=asked["query"],
        background=asked["background"],
        all_results=True,
        ordered=asked["ordered"],
        no_evidences=False,
        user_threshold=0.05,
    )
    assert [name for name in truth.columns if name not in ("parents", "evidences")] == list(native.columns)
    keys = ["query", "native"]
    found = native.sort_values(keys).reset_index(drop=True)
    said = truth.sort_values(keys).reset_index(drop=True)[native.columns]
    pd.testing.assert_frame_equal(found, said, check_dtype=False)
    assert native["p_value"].tolist() == ours["p_adjusted"].tolist()
