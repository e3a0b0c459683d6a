"""Gene sets from a GMT file, as people have them: compressed, from Windows, from Excel, with weights of Enrichr."""

import gzip
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from scggml._anndata.messages import choices, warn
from scggml._arguments import shown
from scggml.ext._query import plain_name, unique

LARGEST = 2**28  # bytes of text; all of MSigDB has a tenth
FORM = "A GMT file has a name, a description and genes on each line, with tabs between."
GZIP = b"\x1f\x8b"
PACKED = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"(\xb5/\xfd": "a zstd file",
}
LINE_END = re.compile(r"\r\n|\n|\r")  # str.splitlines would cut at U+2028 and U+0085, too
WEIGHTED = re.compile(r"(.+),([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
"""A gene and the weight that Enrichr writes behind it ("GENE,1.0")."""


@dataclass(frozen=True)
class GeneSet:
    """A named set of genes."""

    name: str
    description: str
    genes: list[str]


def read_gmt(path: Path) -> tuple[str, list[GeneSet]]:
    """Return the name of the collection, which is that of the file, and its sets."""
    if not _is_file(path):
        raise FileNotFoundError(f"gene_sets={shown(str(path))} is not a file; pass a GMT file or a dict of gene lists.")
    sets, opposed = [], False
    for number, line in enumerate(LINE_END.split(_text(path)), start=1):
        if not line.strip():
            continue
        fields = [_without_quotes(field) for field in line.split("\t")]
        if len(fields) < 3:
            raise ValueError(f"{path}, line {number}: {line[:60]!r} has {len(fields)} field(s). {FORM}")
        name = fields[0].strip()
        if not name:
            raise ValueError(f"{path}, line {number}: the set has no name. {FORM}")
        weighted = [WEIGHTED.fullmatch(gene.strip()) for gene in fields[2:]]
        opposed |= any(found is not None and found[2].startswith("-") for found in weighted)
        genes = unique(
            plain_name(gene if found is None else found[1]) for gene, found in zip(fields[2:], weighted, strict=True)
        )
        sets.append(GeneSet(name, fields[1].strip(), genes))
    if not any(s.genes for s in sets):
        raise ValueError(f"{path} holds no gene sets. {FORM}")
    check_names(sets, str(path))
    if opposed:
        warn_of_weights(f"{path} has weights below 0", "the weights")
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).stem, sets


def warn_of_weights(what: str, which: str) -> None:
    """Warn of weights and signs, which no test of sets knows."""
    warn(
        f"{what}, but its sets are tested as they are: each gene counts alike, whatever its weight and its sign. Leave "
        f"out the genes that do not belong, make sets of those that go up and of those that go down, or drop {which}."
    )


def check_names(sets: list[GeneSet], where: str) -> None:
    """Raise unless each set has a name of its own."""
    twice = [name for name, times in Counter(s.name for s in sets).items() if times > 1]
    if twice:
        raise ValueError(
            f"{where} has {len(twice)} names twice, such as {choices(twice[:3])}; each set needs its own name."
        )


def _text(path: Path) -> str:
    """Return the text of a file: unpacked, and decoded as its first bytes and its letters say."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} has more than {LARGEST >> 20} MiB, which no collection of gene sets has. {FORM}")
    raw = path.read_bytes()
    for start, kind in PACKED.items():
        if raw.startswith(start):
            raise ValueError(f"{path} is {kind}; unpack it, and pass the text or a .gmt.gz.")
    if raw.startswith(GZIP):
        raw = _unpacked(path)
    if raw.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):  # before UTF-16, which begins as one of these
        return raw.decode("utf-32", errors="replace")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):  # "Unicode text" of Excel
        return raw.decode("utf-16", errors="replace")
    if b"\0" in raw:
        raise ValueError(f"{path} is no text. {FORM}")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # names of genes are ASCII; letters of descriptions may be others in truth


def _unpacked(path: Path) -> bytes:
    """Return what is in a gzip file, up to a limit: a small file can hold more than any memory."""
    try:
        with gzip.open(path) as file:
            raw = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is a damaged gzip file ({error}); get it anew.") from error
    if len(raw) > LARGEST:
        raise ValueError(f"{path} unpacks to more than {LARGEST >> 20} MiB, which no collection of gene sets has.")
    return raw


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a text that is too long for a name
        return False


def _without_quotes(field: str) -> str:
    """Return a field without the quotes in which Excel puts one that holds a comma or a quote."""
    text = field.strip()
    quoted = len(text) > 1 and text.startswith('"') and text.endswith('"')
    return text[1:-1].replace('""', '"') if quoted else field
