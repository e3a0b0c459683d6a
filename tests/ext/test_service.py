"""The client against a service and a disk that fail in all ways."""

import gzip
import json
import os
import subprocess
import threading
import time
import tracemalloc

import numpy as np
import pytest
from _gost import Gost, serve
from _slots import assert_same, assert_same_table, slots

import scggml as sg

QUICK = {"wait": 0.01, "timeout": 5.0}


def ask(adata, gost, **options):
    sg.ext.gprofiler(adata, base_url=gost.url, **(QUICK | options))
    return sg.get.enrichment_df(adata)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "answers"


@pytest.fixture
def right(adata, gost):
    """The answer without any fault, and the server as if it had not been asked."""
    found = ask(adata.copy(), gost)
    gost.requests.clear()
    return found


def reply(handler, body, *, status=200, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


# Answers that are not as documented


def term(**changes):
    """Change the first row."""

    def change(answer):
        for name, value in changes.items():
            if value is ...:
                del answer["result"][0][name]
            else:
                answer["result"][0][name] = value

    return change


def twice(answer):
    answer["result"].append(answer["result"][0] | {"p_value": 0.001})


def unknown_gene(answer):
    query = answer["meta"]["genes_metadata"]["query"]["ggml1 higher in class1"]
    query["mapping"] = {"OTHER": query["ensgs"]}


def meta(**changes):
    return lambda answer: answer["meta"].update(changes)


def whole(**changes):
    return lambda answer: answer.update(changes)


MALFORMED = [
    (term(p_value=7), r"result\[0\]: p_value=7; it should be a number in \[0, 1\]"),
    (term(p_value=-1e-9), "p_value=-1e-09"),
    (term(p_value=True), "p_value=True"),
    (term(p_value="0.01"), "p_value='0.01'"),
    (term(p_value=None), "p_value=None"),
    (term(p_value=...), "p_value is missing"),
    (term(term_size=-5), r"term_size=-5; it should be a count"),
    (term(term_size=2.5), r"term_size=2\.5"),
    (term(term_size="6"), "term_size='6'"),
    (term(term_size=10**400), "term_size=a number with too many digits"),
    (term(term_size=3), "intersection_size=4 is above term_size=3"),
    (term(query_size=3), "intersection_size=4 is above query_size=3"),
    (term(effective_domain_size=5), "term_size=6 is above effective_domain_size=5"),
    (term(intersection_size=True), "intersection_size=True"),
    (term(intersection_size=...), "intersection_size is missing"),
    (term(significant="false"), r"significant='false'; it should be a bool"),
    (term(significant=0), "significant=0"),
    (term(significant=...), "significant is missing"),
    (term(highlighted="no"), "highlighted='no'"),
    (term(precision=1.5), r"precision=1\.5"),
    (term(recall=-0.5), r"recall=-0\.5"),
    (term(native=7), "native=7; it should be a str"),
    (term(native=""), "native is empty"),
    (term(name=None), "name=None"),
    (term(source=...), "source is missing"),
    (term(name="a\0b"), "name holds what is no letter"),
    (term(description="\ud800"), "description holds what is no letter"),
    (term(description=["a"]), "description=a list of 1"),
    (term(query="query_1"), "query='query_1' was not asked"),
    (term(query=None), "query=None"),
    (term(intersections=[["IDA"]]), "intersections are not a list of codes for each of the"),
    (term(intersections="IDA"), "intersections='IDA'"),
    (whole(result={}), "result=a dict of 0; it should be a list"),
    (whole(result=[[]]), r"result\[0\] is a list of 0, not an object"),
    (whole(meta=[]), "meta=a list of 0; it should be a dict"),
    (meta(genes_metadata=None), "genes_metadata=None"),
    (meta(genes_metadata={"query": {"ggml1 higher in class1": []}}), "for a query, not an object"),
    (meta(genes_metadata={"query": {"ggml1 higher in class1": {"ensgs": [7]}}}), "ensgs=a list of 1 is not a list of"),
    (lambda answer: answer["meta"]["genes_metadata"].update(failed="G1"), "failed='G1' is not a list of names"),
    (
        meta(genes_metadata={"query": {"ggml1 higher in class1": {"mapping": {"\ud800": []}}}}),
        "mapping holds what is no",
    ),
    (meta(version=7), "version=7"),
    (term(p_value=0.9, significant=True), r"p_value=0\.9 is called significant=True at 0\.05"),
    (term(p_value=1e-9, significant=False), "p_value=1e-09 is called significant=False"),
    (twice, "is a second 'FIRST' of TEST for one query"),
    (
        term(query_size=10**6, term_size=10**6, effective_domain_size=10**7),
        "query_size=1000000, but the query has 8 ids",
    ),
    (term(query_size=8, effective_domain_size=7), "query_size=8 is above effective_domain_size=7"),
    (term(intersection_size=0, query_size=8, precision=0, recall=0), "intersection_size=0, but 4 ids are listed"),
    (term(intersections=[["IDA"]] + 7 * [[]]), "intersection_size=4, but 1 ids are listed"),
    (term(precision=0.123), r"precision=0\.123 is not intersection_size / query_size = 4 / 4"),
    (term(recall=0), "recall=0 is not intersection_size / term_size = 4 / 6"),
    (unknown_gene, "gene 'OTHER' was not asked in query='ggml1 higher in class1'"),
    (meta(genes_metadata={"query": {}}), "genes_metadata says nothing about query="),
]


@pytest.mark.parametrize(("change", "message"), MALFORMED, ids=[message for _, message in MALFORMED])
def test_an_answer_that_cannot_be_is_neither_stored_nor_kept(adata, gost, folder, change, message):
    before = slots(adata)

    def wrong(handler):
        answer = gost.answer(gost.requests[-1])
        answer["result"].sort(key=lambda row: row["native"] != "FIRST")
        change(answer)
        reply(handler, json.dumps(answer).encode())

    gost.faults = [wrong]
    with pytest.raises(ConnectionError, match=f"another form than documented .*{message}.* Nothing was stored"):
        ask(adata, gost, cache_dir=folder)
    assert_same(slots(adata), before)
    assert not folder.exists()
    assert len(gost.requests) == 1
    assert len(ask(adata, gost, cache_dir=folder)) > 0
    assert len(gost.requests) == 2


def test_a_source_that_was_not_asked_is_refused(adata, gost, folder):
    gost.faults = [
        lambda handler: reply(handler, json.dumps(gost.answer(gost.requests[-1] | {"sources": []})).encode())
    ]
    with pytest.raises(ConnectionError, match="source='TEST' was not asked, but GO:BP, REAC"):
        ask(adata, gost, cache_dir=folder, sources=(name for name in ["GO:BP", "REAC"]))
    assert not folder.exists()


def changed(gost, change):
    """An answer of which something was changed."""

    def answer(handler):
        answer = gost.answer(gost.requests[-1])
        answer["result"].sort(key=lambda row: row["native"] != "FIRST")
        change(answer)
        reply(handler, json.dumps(answer).encode())

    return answer


def spelled(answer):
    for query in answer["meta"]["genes_metadata"]["query"].values():
        query["mapping"] = {f"NS:{gene.lower()}.1": found for gene, found in query["mapping"].items()}


def several_ids(answer):
    query = answer["meta"]["genes_metadata"]["query"]["ggml1 higher in class1"]
    query["mapping"]["G00"] = ["ENSG2", *query["mapping"]["G00"]]
    query["ensgs"].insert(0, "ENSG2")
    for row in answer["result"]:
        if row["query"] == "ggml1 higher in class1":
            row["intersections"].insert(0, ["IDA"])


@pytest.mark.parametrize(
    "change", [term(precision=0.995, recall=0.67), term(p_value=0.05 * (1 + 1e-9)), spelled, several_ids]
)
def test_what_a_service_may_round_or_spell_or_list_is_no_contradiction(adata, gost, folder, change):
    gost.faults = [changed(gost, change)]
    ask(adata, gost, cache_dir=folder)
    assert len(gost.requests) == 1


@pytest.mark.parametrize("status", [201, 202, 204, 206])
def test_a_success_without_the_whole_answer_is_none(adata, gost, folder, status):
    gost.faults = [
        (
            status,
            json.dumps(
                gost.answer(
                    {
                        "query": {},
                        "background": [],
                        "sources": [],
                        "ordered": True,
                        "all_results": True,
                        "user_threshold": 0.05,
                    }
                )
            ).encode(),
        )
    ]
    with pytest.raises(ConnectionError, match=f"HTTP {status}"):
        ask(adata, gost, cache_dir=folder, attempts=1)
    assert not folder.exists()


def test_a_redirect_to_no_address_is_refused_as_such(adata, gost, folder):
    gost.faults, gost.headers = [(307, b"")], {"Location": "http://[bad"}
    with pytest.raises(ConnectionError, match=r"it redirects to http://\[bad, which is another place"):
        ask(adata, gost, cache_dir=folder)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_times_may_be_numbers_of_numpy(adata, gost, folder, kind):
    gost.faults = [(503, b"")]
    sg.ext.gprofiler(
        adata, base_url=gost.url, cache_dir=folder, timeout=kind(5), wait=kind(0), expires=kind(1), attempts=np.int64(2)
    )
    assert len(gost.requests) == 2


def test_a_set_of_sources_is_the_same_question_in_any_order(adata, gost, folder):
    for names in ({"TEST", "B", "A"}, ["A", "B", "TEST"]):
        ask(adata, gost, cache_dir=folder, sources=names)
    assert [request["sources"] for request in gost.requests] == [["A", "B", "TEST"]]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_no_answer(adata, gost, folder, number):
    def wrong(handler):
        answer = gost.answer(gost.requests[-1])
        answer["result"][0]["p_value"] = float(number.lower())
        reply(handler, json.dumps(answer).encode())

    gost.faults = [wrong]
    with pytest.raises(ConnectionError, match="its answer is no JSON"):
        ask(adata, gost, cache_dir=folder, attempts=1)
    assert not folder.exists()


def test_json_that_is_nested_too_deep_is_no_answer(adata, gost):
    gost.faults = [(200, b'{"a":' * 100_000)]
    with pytest.raises(ConnectionError, match="its answer is no JSON"):
        ask(adata, gost, attempts=1)


def test_entries_that_are_not_known_are_ignored(adata, gost, right):
    def more(handler):
        answer = gost.answer(gost.requests[-1]) | {"news": 1}
        for row in answer["result"]:
            row |= {"group_id": 7, "goshv": 0.5}
        reply(handler, json.dumps(answer).encode())

    gost.faults = [more]
    assert_same_table(ask(adata, gost, refresh=True), right)


# Size


BOMB = gzip.compress(bytes(2**20)) * 256  # 0.3 MB that unpack to 256 MiB


def bomb(handler):
    reply(handler, BOMB, Content_Encoding="gzip")


def packed_twice(handler):
    reply(handler, gzip.compress(BOMB), Content_Encoding="gzip, gzip")


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(2**12):
        handler.wfile.write(b" " * 2**16)


def announced(handler):
    reply(handler, b"{", Content_Length=str(2**40))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (bomb, "it is larger than 1 MiB unpacked"),
        (endless, "it is larger than 1 MiB"),
        (announced, "it is larger than 1 MiB"),
        (packed_twice, "it is packed as 'gzip, gzip', which was not asked for"),
    ],
)
def test_an_answer_that_is_too_large_is_given_up_before_it_is_in_memory(adata, gost, monkeypatch, fault, message):
    monkeypatch.setattr("scggml.ext._gprofiler.LARGEST", 2**20)
    before = slots(adata)
    gost.faults = [fault]
    tracemalloc.start()
    with pytest.raises(ConnectionError, match=message):
        ask(adata, gost, attempts=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26
    assert len(gost.requests) == 1
    assert_same(slots(adata), before)


def test_an_answer_that_is_too_large_is_not_asked_for_again(adata, gost, monkeypatch):
    monkeypatch.setattr("scggml.ext._gprofiler.LARGEST", 2**10)
    with pytest.raises(ConnectionError, match=r"larger than .* ask about fewer components, n_genes or sources"):
        ask(adata, gost, attempts=3)
    assert len(gost.requests) == 1


def test_all_results_may_take_as_much_for_each_query(adata, gost, monkeypatch):
    monkeypatch.setattr("scggml.ext._gprofiler.LARGEST", 2**13)
    ask(adata, gost, all_results=True)
    assert len(gost.requests[0]["query"]) == 4


def test_an_answer_that_comes_packed_is_read(adata, gost, right):
    def packed(handler):
        assert handler.headers["Accept-Encoding"] == "gzip"
        reply(handler, gzip.compress(json.dumps(gost.answer(gost.requests[-1])).encode()), Content_Encoding="gzip")

    gost.faults = [packed]
    assert_same_table(ask(adata, gost, refresh=True), right)


def test_a_long_page_with_a_refusal_is_a_refusal(adata, gost):
    gost.faults = [(404, b" " * 2**21)]
    with pytest.raises(ValueError, match=r"refuses the request .* HTTP 404"):
        ask(adata, gost)


# Time


def drips(gost, *, before):
    """A server that sends a byte now and then, from some place on, until the test is over."""

    def drip(handler):
        handler.wfile.write(before)
        while not gost.over.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    return drip


@pytest.mark.parametrize(
    "before",
    [
        b"HTTP/1.1 200 OK\r\nX-Header: ",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
        b"HTTP/1.1 503 Busy\r\n\r\n",
    ],
    ids=["header", "body", "body of known length", "chunk", "failure"],
)
def test_a_server_that_drips_is_not_waited_for(adata, gost, before):
    """It would drip until the test is over; each byte comes long before the timeout."""
    gost.faults = [drips(gost, before=before)] * 2
    threads = threading.active_count()
    with pytest.raises(ConnectionError, match=r"no answer within 0\.3 s, or a part of it only \(attempts: 2\)"):
        ask(adata, gost, timeout=0.3, attempts=2)
    assert len(gost.requests) == 2
    assert not gost.over.is_set()
    assert threading.active_count() <= threads + 2  # those of the server
    assert "ggml_enrichment" not in adata.uns


def test_after_a_drip_the_next_attempt_is_read(adata, gost, right):
    gost.faults = [drips(gost, before=b"HTTP/1.1 200 OK\r\n\r\n")]
    assert_same_table(ask(adata, gost, timeout=2.0, refresh=True), right)
    assert len(gost.requests) == 2


@pytest.mark.parametrize("wait", ["nan", "inf", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"])
def test_a_wait_that_is_no_number_is_not_waited_for(adata, gost, monkeypatch, wait):
    waits = []
    monkeypatch.setattr("scggml.ext._service.time.sleep", waits.append)
    gost.faults, gost.headers = [(503, b"")], {"Retry-After": wait}
    ask(adata, gost, wait=1.0)
    assert waits == [1.0]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_told_and_nothing_is_sent_there(adata, gost, status, sets):
    other = Gost(sets)
    with serve(other) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        gost.faults = [lambda handler: reply(handler, b"", status=status, Location=f"{other.url}/api/gost/profile/")]
        with pytest.raises(ConnectionError, match=f"redirects to {other.url}.*another place.*Check base_url"):
            ask(adata, gost)
        http.shutdown()
        thread.join()
    assert other.requests == []
    assert len(gost.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_service_is_followed_with_the_question(adata, gost, status, right):
    gost.faults = [lambda handler: reply(handler, b"", status=status, Location="/new/api/gost/profile/")]
    assert_same_table(ask(adata, gost, refresh=True), right)
    assert gost.paths[-1] == "/new/api/gost/profile/"
    assert gost.requests[0] == gost.requests[1]


def test_redirects_without_end_are_told(adata, gost):
    gost.faults = [lambda handler: reply(handler, b"", status=307, Location="/again")] * 20
    with pytest.raises(ConnectionError, match="redirects more than 5 times"):
        ask(adata, gost, attempts=1)


# What is on disk


def garbage(file):
    file.write_bytes(os.urandom(1000))


def cut(file):
    file.write_bytes(file.read_bytes()[:-20])


def nothing(file):
    file.write_bytes(b"")


def impossible(file):
    answer = json.loads(file.read_bytes())
    answer["result"][0]["p_value"] = 7
    file.write_text(json.dumps(answer))


def text_for_a_flag(file):
    file.write_text(file.read_text().replace('"significant": true', '"significant": "false"'))


def not_a_number(file):
    answer = json.loads(file.read_bytes())
    answer["result"][0]["p_value"] = float("nan")
    file.write_text(json.dumps(answer))


def without_result(file):
    file.write_text(json.dumps({k: v for k, v in json.loads(file.read_bytes()).items() if k != "result"}))


def another_question(file):
    answer = json.loads(file.read_bytes())
    answer["scggml_asked"] = "0" * 64
    file.write_text(json.dumps(answer))


def pipe(file):
    file.unlink()
    os.mkfifo(file)


def of_tomorrow(file):
    os.utime(file, (time.time() + 1e8,) * 2)


SPOILED = [garbage, cut, nothing, impossible, text_for_a_flag, not_a_number, without_result, another_question, pipe]


@pytest.mark.parametrize("spoil", [*SPOILED, of_tomorrow])
def test_what_is_wrong_under_a_kept_name_is_asked_anew(adata, gost, folder, right, spoil):
    ask(adata, gost, cache_dir=folder)
    (file,) = folder.iterdir()
    spoil(file)
    assert_same_table(ask(adata, gost, cache_dir=folder), right)
    assert len(gost.requests) == 2
    assert_same_table(ask(adata, gost, cache_dir=folder), right)
    assert len(gost.requests) == 2


def test_a_folder_under_a_kept_name_loses_no_answer(adata, gost, folder, right):
    ask(adata, gost, cache_dir=folder)
    (file,) = folder.iterdir()
    file.unlink()
    file.mkdir()
    with pytest.warns(UserWarning, match="is used, but was not kept in"):
        assert_same_table(ask(adata, gost, cache_dir=folder), right)
    assert list(folder.iterdir()) == [file]


@pytest.mark.parametrize("place", ["file", "file/folder"])
def test_a_folder_that_cannot_be_made_loses_no_answer(adata, gost, tmp_path, right, place):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.warns(UserWarning, match=r"is used, but was not kept in .*file.*Pass cache_dir, or set .* SCGGML_DATA"):
        assert_same_table(ask(adata, gost, cache_dir=tmp_path / place), right)
    assert (tmp_path / "file").read_bytes() == b"in the way"


@pytest.mark.parametrize(("options", "reason"), [("ro", "Read-only file system"), ("size=4k", "No space left")])
def test_a_folder_that_is_read_only_or_full_loses_no_answer(adata, gost, mounted, options, reason):
    place = mounted(options)
    if options != "ro":
        (place / "filler").write_bytes(bytes(4096))
    before = list(place.iterdir())
    with pytest.warns(UserWarning, match=f"is used, but was not kept in .*{reason}"):
        table = ask(adata, gost, cache_dir=place)
    assert list(place.iterdir()) == before
    assert_same_table(table, ask(adata, gost))


def test_an_answer_in_a_folder_that_became_read_only_is_used(adata, gost, mounted, right):
    place = mounted("size=1m")
    ask(adata, gost, cache_dir=place)
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    assert_same_table(ask(adata, gost, cache_dir=place), right)
    assert len(gost.requests) == 1


# Arguments


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"base_url": 7}, TypeError, "base_url=7 is a int; pass a text"),
        ({"base_url": "biit.cs.ut.ee/gprofiler"}, ValueError, "base_url='biit.cs.ut.ee/gprofiler' must be an address"),
        ({"base_url": "file:///etc"}, ValueError, "must be an address"),
        ({"timeout": 1e300}, ValueError, r"timeout=1e\+300 must be a positive number of seconds, below 1e6"),
        ({"wait": 1e300}, ValueError, r"wait=1e\+300 must be a number of seconds, below 1e6"),
        ({"cache_dir": 7}, TypeError, "cache_dir=7 is a int; pass a text or None"),
    ],
)
def test_places_that_are_none_are_told(adata, options, error, message):
    with pytest.raises(error, match=message):
        sg.ext.gprofiler(adata, **options)
