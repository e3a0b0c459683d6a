"""Names of genes by the client of g:Profiler, against a server that speaks its protocol and fails in all ways."""

import json
import threading
import time

import gprofiler
import pandas as pd
import pytest
import requests
from _gost import serve
from _names import Names
from gprofiler import GProfiler

import scggml as sg

QUICK = {"wait": 0.01, "timeout": 5.0}
COLUMNS = ["gene", "converted", "name", "description", "ensembl", "namespaces", "n_converted"]


@pytest.fixture
def names(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SCGGML_DATA", str(tmp_path / "cache"))
    names = Names({})
    with serve(names) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield names
        names.over.set()
        http.shutdown()
        thread.join()


def convert(names, genes, **options):
    return sg.ext.convert_genes(genes, **({"base_url": names.url} | QUICK | options))


def test_a_name_becomes_that_of_the_namespace(names):
    table = convert(names, ["PTPRC", "CD4", "PTPRC"])
    assert list(table.columns) == COLUMNS
    assert table["gene"].tolist() == ["PTPRC", "CD4"]
    assert table["converted"].tolist() == ["ENSG00000081237", "ENSG00000010610"]
    assert table["description"].tolist() == ["about PTPRC", "about CD4"]
    assert table["namespaces"].tolist() == ["HGNC,UNIPROT_GN"] * 2
    assert table["ensembl"].isna().all()
    assert names.paths == ["/gprofiler/api/convert/convert"]
    (asked,) = names.requests
    assert asked == {
        "organism": "hsapiens",
        "query": ["PTPRC", "CD4"],
        "target": "ENSG",
        "numeric_ns": "ENTREZGENE_ACC",
        "output": "json",
    }


def test_it_is_what_the_client_itself_says(names):
    truth = GProfiler(base_url=names.url, return_dataframe=True).convert(query=["CD4", "MULTI"])
    found = convert(names, ["CD4", "MULTI"])
    assert names.requests[0] | {"numeric_ns": ""} == names.requests[1] | {"numeric_ns": ""}
    assert found["gene"].tolist() == truth["incoming"].tolist() == ["CD4", "MULTI", "MULTI"]
    assert found["converted"].tolist() == truth["converted"].tolist()
    assert found["n_converted"].tolist() == [1, 2, 2]


def test_mouse_genes_become_human_ones(names):
    with pytest.warns(UserWarning, match=r"g:Profiler \(mmusculus\) has no hsapiens for 1 of the 3 genes: 'Xist'"):
        table = convert(names, ["Xist", "Cd4", "Ptprc"], organism="mmusculus", target="hsapiens")
    assert names.paths == ["/gprofiler/api/orth/orth"]
    assert table["gene"].tolist() == ["Xist", "Cd4", "Ptprc"]
    assert table["name"].tolist()[1:] == ["CD4", "PTPRC"]
    assert table["converted"].tolist()[1:] == ["ENSG00000010610", "ENSG00000081237"]
    assert table["ensembl"].tolist()[1:] == ["ENSMUSG00000023274", "ENSMUSG00000026395"]
    assert table.loc[0, ["converted", "name", "description"]].isna().all()
    assert table["n_converted"].tolist() == [0, 1, 1]


def test_versions_are_stripped_and_every_gene_gets_a_row(names):
    genes = ["ENSG00000010610.15", "ENSG00000010610.9", "NONSENSE", "nan"]
    with pytest.warns(UserWarning, match="for 2 of the 4 genes: 'NONSENSE', 'nan'"):
        table = convert(names, pd.Index(genes), target="HGNC")
    assert names.requests[0]["query"] == ["ENSG00000010610", "NONSENSE"]
    assert table["gene"].tolist() == genes
    assert table["name"].tolist()[:2] == ["CD4", "CD4"]
    assert table.loc[2:, "converted"].isna().all()


def test_the_service_may_write_names_in_other_letters(names):
    names.upper = True
    table = convert(names, ["Cd4", "Ptprc"], organism="mmusculus", target="hsapiens")
    assert table["gene"].tolist() == ["Cd4", "Ptprc"]
    assert table["name"].tolist() == ["CD4", "PTPRC"]


def test_genes_without_a_name_are_not_asked_about(names):
    with pytest.warns(UserWarning, match="1 of the 1 genes"):
        assert convert(names, ["nan"])["n_converted"].tolist() == [0]
    assert names.requests == []


def test_a_client_says_where_the_service_is_and_who_asks(names):
    agents = []
    client = GProfiler(base_url=f"{names.url}/", user_agent="a lab", return_dataframe=True)
    client.meta = "before"

    def agent(handler):
        agents.append(handler.headers["User-Agent"])
        body = json.dumps(names.answer(names.requests[-1])).encode()
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(body)

    names.faults = [agent]
    table = sg.ext.convert_genes(["CD4"], client=client, **QUICK)
    assert table["converted"].tolist() == ["ENSG00000010610"]
    assert agents == [f"gprofiler-python {gprofiler.__version__}/a lab"]
    assert client.meta == "before"
    assert gprofiler.gprofiler.requests is requests  # the package itself is as it was


def test_an_answer_is_kept_and_asked_for_anew(names):
    one, two = convert(names, ["CD4"]), convert(names, ["CD4"])
    pd.testing.assert_frame_equal(one, two)
    assert len(names.requests) == 1
    convert(names, ["CD4"], refresh=True)
    convert(names, ["CD4"], target="HGNC")
    assert len(names.requests) == 3


def test_what_passes_is_tried_again(names):
    names.faults = [(503, b""), (429, b""), (200, b"<html>")]
    assert convert(names, ["CD4"])["converted"].tolist() == ["ENSG00000010610"]
    assert len(names.requests) == 4


def test_a_service_that_says_nothing_is_left(names):
    names.faults = [(0, b""), (0, b"")]
    start = time.perf_counter()
    with pytest.raises(ConnectionError, match=r"no answer within 0\.3 s.*attempts: 2"):
        convert(names, ["CD4"], timeout=0.3, attempts=2)
    assert time.perf_counter() - start < 5


def test_the_reason_of_a_refusal_is_told(names):
    names.faults = [(400, b'{"message": "Organism hsapien not found"}')]
    message = r"refuses the request.*HTTP 400.*Organism hsapien not found.*Check organism, target and base_url"
    with pytest.raises(ValueError, match=message):
        convert(names, ["CD4"], organism="hsapien")
    assert len(names.requests) == 1


def test_an_answer_without_end_is_refused(names, monkeypatch):
    monkeypatch.setattr("scggml.ext._convert_genes.LARGEST", 1000)
    names.faults = [(200, b"[" + b" " * 5000)]
    with pytest.raises(ConnectionError, match=r"larger than 0 MiB.*ask about fewer genes"):
        convert(names, ["CD4"])


MALFORMED = [
    ({"incoming": "OTHER"}, "incoming='OTHER' was not asked"),
    ({"incoming": None}, "incoming=None; it should be a str"),
    ({"converted": 7}, "converted=7; it should be a str"),
    ({"name": ["CD4"]}, "name=a list of 1"),
    ({"namespaces": "a\0b"}, "namespaces holds what is no letter"),
]


@pytest.mark.parametrize(("changes", "message"), MALFORMED, ids=[message for _, message in MALFORMED])
def test_an_answer_of_another_form_is_neither_returned_nor_kept(names, changes, message):
    names.changes = changes
    with pytest.raises(ConnectionError, match=rf"another form than documented.*result\[0\].*{message}"):
        convert(names, ["CD4"])
    names.changes = {}
    assert convert(names, ["CD4"])["n_converted"].tolist() == [1]


@pytest.mark.parametrize("body", [b'{"result": []}', b'{"meta": {}, "result": {}}', b'{"meta": {}, "result": [1]}'])
def test_an_answer_without_its_parts_is_refused(names, body):
    names.faults = [(200, body)]
    with pytest.raises(ConnectionError, match="another form than documented"):
        convert(names, ["CD4"])


@pytest.mark.parametrize(
    ("genes", "options", "error", "message"),
    [
        ([], {}, ValueError, "genes is empty"),
        ("CD4", {}, TypeError, "genes='CD4' is one text"),
        (["CD4", 7], {}, TypeError, "genes=7 is a int; pass a text in the list"),
        (["CD4"], {"organism": " "}, ValueError, "organism=' ' is empty"),
        (["CD4"], {"target": ""}, ValueError, "target='' is empty"),
        (["CD4"], {"timeout": 0}, ValueError, "timeout=0 must be"),
        (["CD4"], {"attempts": 0}, ValueError, "attempts=0 must be"),
        (["CD4"], {"client": "biit"}, TypeError, "client='biit'"),
        (["CD4"], {"client": GProfiler}, TypeError, "client"),
        (["CD4"], {"client": GProfiler(base_url="http://one")}, ValueError, "another one; pass one of the two"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_asked(names, genes, options, error, message):
    with pytest.raises(error, match=message):
        convert(names, genes, **options)
    assert names.requests == []


def test_a_client_that_asks_in_another_way_is_no_silent_wait(names, monkeypatch):
    monkeypatch.setattr(GProfiler, "convert", lambda self, **_: [])
    with pytest.raises(RuntimeError, match=r"GProfiler\.convert did not ask by requests\.post"):
        convert(names, ["CD4"])
