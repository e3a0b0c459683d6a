import gzip
import hashlib
import subprocess
import sys
import time
import tracemalloc

import h5py
import pooch
import pytest

from scggml.datasets._download import _spare_folder, fetch

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


@pytest.mark.parametrize("known", [True, False])
def test_a_cached_file_needs_no_network(cache, h5ad, known):
    cache.mkdir()
    (cache / "here.h5ad").write_bytes(h5ad)
    sha256 = hashlib.sha256(h5ad).hexdigest() if known else None
    path = fetch("http://127.0.0.1:9/here.h5ad", "here.h5ad", sha256=sha256, attempts=1)
    assert path.read_bytes() == h5ad


def test_a_home_folder_in_the_variable_is_found(h5ad, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCGGML_DATA", "~/data")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "here.h5ad").write_bytes(h5ad)
    assert fetch("http://127.0.0.1:9/here.h5ad", "here.h5ad", attempts=1) == tmp_path / "data" / "here.h5ad"


def test_hdf5_of_another_kind_is_no_cohort(server, answer, cache, h5ad, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["matrix"] = [1.0]
    other = (tmp_path / "other.h5").read_bytes()
    cache.mkdir()
    (cache / "a.h5ad").write_bytes(other)
    with pytest.raises(ValueError, match=r"is not the right file.*\(a\.h5ad\) holds no AnnData: it has no obs and var"):
        fetch(server.set("/a.h5ad", answer(other)), "a.h5ad")
    assert fetch(server.set("/a.h5ad", answer(h5ad)), "a.h5ad").read_bytes() == h5ad


@pytest.mark.parametrize("wrong", [b"", b"<html>login</html>", None])
def test_garbage_under_the_name_of_a_file_without_hash_is_not_trusted(server, answer, cache, h5ad, wrong):
    cache.mkdir()
    (cache / "a.h5ad").write_bytes(h5ad[:-100] if wrong is None else wrong)
    with pytest.raises(ConnectionError, match=r"put it there as .*What is there now does not open as HDF5"):
        fetch("http://127.0.0.1:9/a.h5ad", "a.h5ad", attempts=1)
    assert fetch(server.set("/a.h5ad", answer(h5ad)), "a.h5ad").read_bytes() == h5ad
    assert names(cache) == ["a.h5ad", "a.h5ad.sha256"]


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
    assert names(cache) == ["data.h5ad", "data.h5ad.sha256"]


# Faults of the server


@pytest.mark.parametrize("length", [10**6, None])
def test_a_server_that_drips_has_stalled(server, answer, cache, length):
    """It would drip until the test is over; each byte comes long before the timeout."""
    url = server.set("/drip.bin", answer(BODY, length=length, drip=1))
    with pytest.raises(ConnectionError, match=r"/drip.bin: the connection stalled: too little came within 0.3 s"):
        fetch(url, "drip.bin", sha256=SHA256, timeout=0.3, attempts=2, wait=0.0)
    assert len(server.requests) == 2
    assert names(cache) == []


def test_a_download_may_take_longer_than_the_timeout(server, answer, cache):
    whole = BODY + b"x" * 10_000
    url = server.set("/slow.bin", answer(BODY, length=len(whole), drip=100))
    path = fetch(url, "slow.bin", sha256=hashlib.sha256(whole).hexdigest(), timeout=0.5, attempts=1)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("kind", ["plain", "announced", "packed"])
def test_a_file_that_is_too_large_is_given_up(server, answer, cache, kind):
    bomb = gzip.compress(bytes(2**20)) * 128
    told = {
        "plain": answer(BODY, length=None),
        "announced": answer(BODY, length=2**50),
        "packed": answer(bomb, length=None, encoding="gzip"),
    }
    url = server.set("/large.bin", told[kind])
    tracemalloc.start()
    with pytest.raises(ConnectionError, match=r"Could not download .*/large.bin: it is larger than 0 MiB"):
        fetch(url, "large.bin", sha256=SHA256, largest=5000)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()
    assert len(server.requests) == 1
    assert names(cache) == []


def test_a_redirect_to_another_place_needs_the_hash(server, answer, cache, h5ad, monkeypatch):
    url = server.set(
        "/here.h5ad", answer(status=302, location=server.url.replace("127.0.0.1", "localhost") + "/there.h5ad")
    )
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    server.set("/there.h5ad", answer(h5ad))
    with pytest.raises(ConnectionError, match=r"redirects to http://localhost:.*/there\.h5ad, which is another place"):
        fetch(url, "here.h5ad")
    assert server.requests == ["/here.h5ad"]
    assert fetch(url, "here.h5ad", sha256=hashlib.sha256(h5ad).hexdigest()).read_bytes() == h5ad


def test_a_redirect_within_the_server_is_followed(server, answer, cache, h5ad):
    server.set("/there.h5ad", answer(h5ad))
    assert fetch(server.set("/here.h5ad", answer(status=301, location="/there.h5ad")), "here.h5ad").read_bytes() == h5ad


# Faults of the disk


@pytest.fixture
def spare(tmp_path, monkeypatch):
    """The folder where this process puts what the cache cannot hold; the cache itself cannot be made."""
    (tmp_path / "file").write_bytes(b"in the way")
    monkeypatch.setenv("SCGGML_DATA", str(tmp_path / "file" / "folder"))
    monkeypatch.setattr("scggml.datasets._download.tempfile.mkdtemp", lambda prefix: str(tmp_path / prefix))
    _spare_folder.cache_clear()
    yield tmp_path / "scggml-"
    _spare_folder.cache_clear()


@pytest.fixture
def served(server, answer, h5ad):
    """Where a file is served."""
    return server.set("/a.h5ad", answer(h5ad))


def test_a_cache_that_cannot_be_made_loses_no_file(server, answer, h5ad, spare):
    url = server.set("/a.h5ad", answer(h5ad))
    with pytest.warns(
        UserWarning, match=r"a\.h5ad was not kept in .*, until Python ends\. Set .* SCGGML_DATA to a folder"
    ):
        path = fetch(url, "a.h5ad")
    assert path == spare / "a.h5ad"
    assert path.read_bytes() == h5ad
    assert fetch(url, "a.h5ad") == path  # once in a process
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [("ro", "Read-only file system"), ("size=4k", "No space left")])
def test_a_cache_that_is_read_only_or_full_loses_no_file(served, spare, mounted, monkeypatch, fault):
    options, reason = fault
    place = mounted(options)
    monkeypatch.setenv("SCGGML_DATA", str(place))
    with pytest.warns(UserWarning, match=reason):
        path = fetch(served, "a.h5ad")
    assert path == spare / "a.h5ad"
    assert h5py.is_hdf5(path)
    assert names(place) == []


def test_where_nothing_can_be_written_the_way_out_is_told(served, spare):
    spare.write_bytes(b"in the way")
    with pytest.raises(OSError, match=r"a\.h5ad can be kept neither in .*file.* nor in .*Set .* SCGGML_DATA"):
        fetch(served, "a.h5ad")


def test_a_download_that_was_killed_leaves_nothing_for_good(server, answer, cache, h5ad):
    url = server.set("/a.h5ad", answer(h5ad[:5000], length=len(h5ad), stall=True), answer(h5ad))
    code = f"from scggml.datasets._download import fetch; fetch({url!r}, 'a.h5ad')"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        while not (cache.is_dir() and names(cache) and server.requests):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    (left,) = names(cache)
    assert left.startswith("a.h5ad.")
    assert fetch(url, "a.h5ad").read_bytes() == h5ad
    assert names(cache) == ["a.h5ad", "a.h5ad.sha256"]


def flip(path, at):
    """Change one byte of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def test_a_download_that_was_damaged_since_is_noticed_and_replaced(server, answer, cache, h5ad):
    url = server.set("/a.h5ad", answer(h5ad))
    path = fetch(url, "a.h5ad")
    assert (cache / "a.h5ad.sha256").read_text() == hashlib.sha256(h5ad).hexdigest()
    flip(path, h5ad.index(b"\0\0\x80?"))  # a number, 1.0: the file opens as before
    assert fetch(url, "a.h5ad").read_bytes() == h5ad
    assert len(server.requests) == 2
    assert fetch(url, "a.h5ad") == path
    assert len(server.requests) == 2


def test_offline_a_damaged_download_is_named_with_what_to_do(server, answer, cache, h5ad):
    path = fetch(server.set("/a.h5ad", answer(h5ad)), "a.h5ad")
    flip(path, len(h5ad) // 2)
    with pytest.raises(ConnectionError, match=r"What is there now has another hash: .* delete a\.h5ad\.sha256"):
        fetch("http://127.0.0.1:9/a.h5ad", "a.h5ad", wait=0)


@pytest.mark.parametrize("note", [None, b"", b"garbage", b"\xff" * 64])
def test_a_file_without_a_note_that_can_be_read_is_one_put_there_by_hand(cache, h5ad, note):
    cache.mkdir(exist_ok=True)
    (cache / "a.h5ad").write_bytes(h5ad)
    if note is not None:
        (cache / "a.h5ad.sha256").write_bytes(note)
    assert fetch("http://127.0.0.1:9/a.h5ad", "a.h5ad") == cache / "a.h5ad"


def test_a_note_that_cannot_be_written_loses_no_file(served, cache, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scggml.datasets._cached.draft", full)
    assert names(fetch(served, "a.h5ad").parent) == ["a.h5ad"]


@pytest.mark.parametrize("error", [RuntimeError, KeyError, OSError, ValueError])
def test_whatever_h5py_raises_at_a_damaged_file_it_is_downloaded_anew(served, cache, h5ad, monkeypatch, error):
    cache.mkdir(exist_ok=True)
    (cache / "a.h5ad").write_bytes(b"damaged")
    opened, real = [], h5py.File

    def File(path, *args, **options):  # noqa: N802
        opened.append(path)
        if len(opened) == 1:
            raise error("damaged")
        return real(path, *args, **options)

    monkeypatch.setattr("scggml.datasets._cached.h5py.File", File)
    assert fetch(served, "a.h5ad").read_bytes() == h5ad


def test_without_any_temporary_folder_the_way_out_is_told(served, spare, monkeypatch):
    def nowhere(prefix):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("scggml.datasets._download.tempfile.mkdtemp", nowhere)
    with pytest.raises(OSError, match=r"a\.h5ad can be kept neither in .* nor elsewhere .*Set .* SCGGML_DATA"):
        fetch(served, "a.h5ad")


def test_a_cache_in_the_home_of_nobody_is_told(monkeypatch):
    monkeypatch.setenv("SCGGML_DATA", "~nobody_of_that_name/data")
    with pytest.raises(ValueError, match="SCGGML_DATA='~nobody_of_that_name/data': there is no such home folder"):
        fetch("http://127.0.0.1:9/a.h5ad", "a.h5ad")
