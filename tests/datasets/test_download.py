import gzip
import hashlib
import time

import pooch
import pytest

from scggml.datasets._download import fetch

BODY = bytes(range(256)) * 40
SHA256 = hashlib.sha256(BODY).hexdigest()


def names(folder):
    """Everything in the folder, partial files included."""
    return sorted(path.name for path in folder.iterdir())


def test_good_file_lands_in_the_cache(server, answer, cache):
    path = fetch(server.set("/good.bin", answer(BODY)), "good.bin", sha256=SHA256)
    assert path == cache / "good.bin"
    assert path.read_bytes() == BODY
    assert names(cache) == ["good.bin"]


def test_the_default_cache_is_that_of_the_system(server, answer, tmp_path, monkeypatch):
    monkeypatch.delenv("SCGGML_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    path = fetch(server.set("/good.bin", answer(BODY)), "good.bin", sha256=SHA256)
    assert path == tmp_path / "scggml" / "good.bin"


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_cached_file_needs_no_network(cache, sha256):
    cache.mkdir()
    (cache / "here.bin").write_bytes(BODY)
    path = fetch("http://127.0.0.1:9/here.bin", "here.bin", sha256=sha256, attempts=1)
    assert path.read_bytes() == BODY


def test_a_cached_file_with_a_wrong_hash_is_replaced(server, answer, cache):
    cache.mkdir()
    (cache / "old.bin").write_bytes(b"old")
    path = fetch(server.set("/old.bin", answer(BODY)), "old.bin", sha256=SHA256)
    assert path.read_bytes() == BODY
    assert names(cache) == ["old.bin"]


def test_second_call_asks_the_server_nothing(server, answer, cache):
    url = server.set("/once.bin", answer(BODY))
    assert fetch(url, "once.bin", sha256=SHA256) == fetch(url, "once.bin", sha256=SHA256)
    assert server.requests == ["/once.bin"]


def test_truncated_body(server, answer, cache):
    url = server.set("/cut.bin", answer(BODY, length=len(BODY) + 7))
    with pytest.raises(ConnectionError, match=r"/cut.bin") as error:
        fetch(url, "cut.bin", sha256=SHA256, attempts=2, wait=0.0)
    assert str(len(BODY)) in str(error.value)
    assert names(cache) == []
    assert len(server.requests) == 2


def test_a_body_that_comes_compressed(server, answer, cache):
    url = server.set("/zipped.bin", answer(gzip.compress(BODY), encoding="gzip"))
    assert fetch(url, "zipped.bin", sha256=SHA256, attempts=1).read_bytes() == BODY


def test_broken_off_once(server, answer, cache):
    url = server.set("/once.bin", answer(BODY[:5000], length=len(BODY)), answer(BODY))
    assert fetch(url, "once.bin", sha256=SHA256, wait=0.0).read_bytes() == BODY


def test_wrong_hash(server, answer, cache):
    other = BODY[::-1]
    url = server.set("/wrong.bin", answer(other))
    with pytest.raises(ValueError, match=r"/wrong.bin is not the right file") as error:
        fetch(url, "wrong.bin", sha256=SHA256)
    assert "(wrong.bin)" in str(error.value)
    assert f"expected sha256:{SHA256}" in str(error.value)
    assert f"got {hashlib.sha256(other).hexdigest()}" in str(error.value)
    assert names(cache) == []


@pytest.mark.parametrize("status", [403, 404, 410])
def test_refused_for_good(server, answer, cache, status):
    url = server.set("/gone.bin", answer(b"no", status=status))
    with pytest.raises(FileNotFoundError, match=f"{url}: HTTP {status}"):
        fetch(url, "gone.bin")
    assert len(server.requests) == 1
    assert names(cache) == []


@pytest.mark.parametrize("body", [b"", BODY], ids=["before the body", "within the body"])
def test_stall(server, answer, cache, body):
    url = server.set("/stall.bin", answer(body, length=10**6, stall=True))
    start = time.perf_counter()
    with pytest.raises(ConnectionError, match=r"/stall.bin: the connection stalled"):
        fetch(url, "stall.bin", sha256=SHA256, timeout=0.2, attempts=2, wait=0.0)
    assert time.perf_counter() - start < 5  # the server would stay silent for 10 s
    assert len(server.requests) == 2
    assert names(cache) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_then_success(server, answer, cache, status):
    url = server.set("/busy.bin", answer(b"later", status=status), answer(BODY))
    assert fetch(url, "busy.bin", sha256=SHA256, wait=0.0).read_bytes() == BODY
    assert len(server.requests) == 2


def test_busy_for_ever(server, answer, cache):
    url = server.set("/busy.bin", answer(b"later", status=503))
    with pytest.raises(ConnectionError, match=f"{url}: HTTP 503"):
        fetch(url, "busy.bin", attempts=3, wait=0.0)
    assert len(server.requests) == 3


def test_the_wait_doubles(server, answer, cache, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(ConnectionError):
        fetch(server.set("/busy.bin", answer(status=503)), "busy.bin", attempts=4, wait=0.5)
    assert waits == [0.5, 1.0, 2.0]


def test_offline_names_the_way_out(cache):
    url = "http://127.0.0.1:9/off.bin"
    with pytest.raises(ConnectionError) as error:
        fetch(url, "off.bin", attempts=1)
    for part in (url, str(cache / "off.bin"), "SCGGML_DATA"):
        assert part in str(error.value)
    assert names(cache) == []


def test_interrupted_by_the_user(server, answer, cache):
    url = server.set("/long.h5ad", answer(BODY, interrupt=True))
    with pytest.raises(KeyboardInterrupt):
        fetch(url, "long.h5ad", sha256=SHA256)
    assert names(cache) == []


@pytest.mark.parametrize("length", [-1, None])
def test_without_a_hash_the_file_has_to_open(server, answer, cache, h5ad, length):
    url = server.set("/data.h5ad", answer(h5ad, length=length))
    assert fetch(url, "data.h5ad").read_bytes() == h5ad

    page = server.set("/portal.h5ad", answer(b"<html>Please log in</html>", length=length))
    with pytest.raises(ValueError, match=r"/portal.h5ad .*does not open as HDF5"):
        fetch(page, "portal.h5ad")
    cut = server.set("/cut.h5ad", answer(h5ad[:-100], length=length))
    with pytest.raises(ValueError, match=r"/cut.h5ad .*does not open as HDF5"):
        fetch(cut, "cut.h5ad")
    assert names(cache) == ["data.h5ad"]
