"""Files as people have them hold the same sets as the plain file, or say what is wrong with them."""

import gzip
import re
import zipfile

import pytest

from scggml.ext import _gmt
from scggml.ext._gene_sets import read_gene_sets

PLAIN = "A\tabout A\tG1\tG2\tG3\nB\tabout B\tG4\tG5\n"
SETS = {"A": ["G1", "G2", "G3"], "B": ["G4", "G5"]}


def found(path):
    return {s.name: s.genes for s in read_gene_sets(path)[1]}


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(PLAIN.encode()),
        gzip.compress(PLAIN[:20].encode()) + gzip.compress(PLAIN[20:].encode()),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        gzip.compress(b"\xef\xbb\xbf" + PLAIN.encode()),
        PLAIN.encode("utf-16"),
        PLAIN.replace("about", "\xe9tude \x85").encode("latin-1"),
        PLAIN.replace("about", "one\u2028two\u2029three\x85four\x0bfive\x1csix").encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace("\n", "\t\t\n\n").encode(),
        PLAIN.replace("G1", " G1 ").replace("A\t", "A \t").encode(),
        PLAIN.rstrip().encode(),
        PLAIN.encode("utf-32"),
        PLAIN.replace("G1", '"G1,1.0"').replace("G4", '"G4,.5"').encode(),
        "".join(f'"{field}"' if field.strip() else field for field in re.split(r"(\t|\n)", PLAIN)).encode(),
        PLAIN.replace("G1", "G1\u200b").replace("G2", "\ufeffG2").replace("G4", "G\u00ad4").encode(),
        b"A\t\tG1,1.0\tG2,0.5\tG3,1\nB\t\tG4,2.5e-3\tG5,.5\t\n",
    ],
    ids=[
        "gzip", "two gzips", "mark", "gzip and mark", "utf-16", "latin-1", "no line ends", "windows", "mac",
        "excel", "spaces", "no last line end",
        "utf-32", "quotes of Excel", "all quoted", "no width", "enrichr",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["sets.v1.gmt", "sets.v1.gmt.gz"])
def test_the_same_sets_are_read_from_any_file(tmp_path, data, name):
    path = tmp_path / name  # what is in a file counts, not what it is called
    path.write_bytes(data)
    assert found(path) == SETS
    assert read_gene_sets(path)[0] == "sets.v1"


def test_a_file_is_found_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sets.gmt").write_text(PLAIN)
    assert found("~/sets.gmt") == SETS


def test_descriptions_keep_their_letters(tmp_path):
    (tmp_path / "a.gmt").write_bytes("A\tone\u2028two \u03b2\tG1\n".encode())
    (tmp_path / "b.gmt").write_bytes("A\t\xe9tude\tG1\n".encode("latin-1"))
    assert read_gene_sets(tmp_path / "a.gmt")[1][0].description == "one\u2028two \u03b2"
    assert read_gene_sets(tmp_path / "b.gmt")[1][0].description == "\xe9tude"


def test_a_comma_that_is_no_weight_is_kept(tmp_path):
    (tmp_path / "a.gmt").write_text("A\t\tG1,alpha\tG,2\tHLA-A,B,1.0\n")
    assert found(tmp_path / "a.gmt") == {"A": ["G1,alpha", "G", "HLA-A,B"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"A\tabout A\t\n", "bad.gmt holds no gene sets"),
        (b"", r"bad\.gmt holds no gene sets\. A GMT file has a name"),
        (b"A B C\n", r"bad\.gmt, line 1: 'A B C' has 1 field\(s\)\. A GMT file has a name"),
        (b"A\t\tG1\n\nB,G2\n", "line 3: 'B,G2' has 1 field"),
        (b" \t\tG1\n", "line 1: the set has no name"),
        (b"A\t\tX\nA \t\tY\n", "has 1 names twice, such as 'A'; each set needs its own name"),
        (b"A\t\tX\0\n", "bad.gmt is no text"),
        (b"PK\x03\x04 and so on", "bad.gmt is a zip archive; unpack it"),
        (b"BZh91AY", "is a bzip2 file; unpack it"),
        (gzip.compress(PLAIN.encode(), mtime=0)[:-9], "is a damaged gzip file .*; get it anew"),
        (gzip.compress(PLAIN.encode(), mtime=0)[:15] + b"garbage" * 3, "is a damaged gzip file"),
        (b"<html>\n<body>\tlogin</body></html>", "line 1: '<html>' has 1 field"),
    ],
)
def test_a_file_that_is_no_gmt_is_told_with_its_line(tmp_path, data, message):
    path = tmp_path / "bad.gmt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as raised:
        read_gene_sets(path)
    assert not isinstance(raised.value, UnicodeError)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_gmt, "LARGEST", 2**20)
    path = tmp_path / "bomb.gmt.gz"
    path.write_bytes(gzip.compress(b" " * 2**21))
    with pytest.raises(ValueError, match=r"bomb\.gmt\.gz unpacks to more than 1 MiB"):
        read_gene_sets(path)
    path.write_bytes(b" " * 2**21)
    with pytest.raises(ValueError, match=r"bomb\.gmt\.gz has more than 1 MiB"):
        read_gene_sets(path)


def test_a_real_zip_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.gmt", "w") as file:
        file.writestr("a.gmt", PLAIN)
    with pytest.raises(ValueError, match="zip archive"):
        read_gene_sets(tmp_path / "a.gmt")


def test_signs_of_a_file_that_are_ignored_are_told(tmp_path):
    (tmp_path / "a.gmt").write_text("A\t\tG1,1.0\tG2,-1\n")
    with pytest.warns(UserWarning, match=r"a\.gmt has weights below 0, .* each gene counts alike.* that go down"):
        assert found(tmp_path / "a.gmt") == {"A": ["G1", "G2"]}


@pytest.mark.parametrize("name", [PLAIN * 100, "a" * 300, "a\0b", "~nobody_of_that_name/a.gmt"])
def test_a_text_that_is_no_name_of_a_file_is_told_in_short(name):
    with pytest.raises(FileNotFoundError, match=r"is not a file; pass a GMT file") as raised:
        read_gene_sets(name)
    assert len(str(raised.value)) < 200
