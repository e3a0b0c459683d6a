"""A file is whole or not there, whatever happens to who writes it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from scggml._web.drafts import draft


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def child(code, *args):
    """A fresh interpreter that runs the code, and says when it is where the test wants it."""
    code = f"import sys, time\nfrom pathlib import Path\nfrom scggml._web.drafts import draft\n{code}"
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True)


WRITES_AND_WAITS = """
with draft(Path(sys.argv[1])) as file:
    file.write(b"half"), file.flush()
    print("there", flush=True)
    time.sleep(60)
"""


def test_a_file_takes_the_place_of_the_old_one_at_the_end(tmp_path):
    path = tmp_path / "new" / "a.json"
    for text in (b"first", b"second"):
        with draft(path) as file:
            file.write(text)
            assert text == b"first" or path.read_bytes() == b"first"
        assert path.read_bytes() == text
        assert names(path.parent) == ["a.json"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with pytest.raises(error), draft(path) as file:  # noqa: PT012
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


def test_what_a_killed_process_left_is_removed_by_the_next_that_writes(tmp_path):
    """A process that lives keeps its draft, and ends it well."""
    killed, alive = (child(WRITES_AND_WAITS, tmp_path / name) for name in ("killed.json", "alive.json"))
    with killed, alive:
        assert [process.stdout.readline() for process in (killed, alive)] == ["there\n"] * 2
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(names(tmp_path)) == 2
        (tmp_path / "mine.part").write_bytes(b"a file of the user")
        with draft(tmp_path / "a.json") as file:
            file.write(b"whole")
        kept = names(tmp_path)
        assert len(kept) == 3
        assert kept[0] == "a.json"
        assert kept[1].startswith("alive.json.")
        assert kept[2] == "mine.part"
        alive.kill()


def test_processes_that_write_the_same_file_at_once_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "a.json"
    code = """
for _ in range(100):
    with draft(Path(sys.argv[1])) as file:
        for _ in range(10):
            file.write(sys.argv[2].encode() * 1000), file.flush()
"""
    with child(code, path, "a") as first, child(code, path, "b") as second:
        seen = set()
        while first.poll() is None or second.poll() is None:
            if path.exists():
                seen.add(path.read_bytes())
            time.sleep(0.001)
    assert (first.returncode, second.returncode) == (0, 0)
    assert seen <= {b"a" * 10_000, b"b" * 10_000}
    assert names(tmp_path) == ["a.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
def test_without_locks_a_draft_counts_as_abandoned_after_a_day(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError("no locks here")

    monkeypatch.setattr("fcntl.flock", unsupported)
    young, old = (tmp_path / f"{name}.{'0' * 32}.part" for name in ("young", "old"))
    young.touch()
    old.touch()
    os.utime(old, (time.time() - 1e5,) * 2)
    with draft(tmp_path / "a.json"):
        pass
    assert names(tmp_path) == ["a.json", young.name]
