"""Answers of g:GOSt: read as documented, or refused before anything is kept or written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scggml.ext._contradictions import check_asked, check_once, check_row
from scggml.ext._query import Query, Question, plain_name, unique
from scggml.ext._service import MalformedError

MOST = 2**40  # genes; what is above is no count


@dataclass(frozen=True)
class Answer:
    """Rows of the table of gene sets, and what the service says about them."""

    rows: list[dict[str, Any]]
    version: str
    timestamp: str
    unmapped: list[str]


def read_answer(answer: dict[str, Any], question: Question, asked: Mapping[str, Any], method: str) -> Answer:
    """Return the rows of the table, and what the service says about its answer, or raise `MalformedError`.

    Parameters
    ----------
    asked
        Options of the request, which the answer may not contradict.
    """
    queries = {query.name: query for query in question.queries}
    meta = read_entry(answer, "meta", dict, "the answer")
    about = read_entry(meta, "genes_metadata", dict, "meta")
    found = read_entry(about, "query", dict, "genes_metadata")
    genes = {name: _query_genes(found[name], query) for name, query in queries.items() if name in found}
    rows = list[dict[str, Any]]()
    for place, term in enumerate(read_entry(answer, "result", list, "the answer")):
        where = f"result[{place}]"
        if not isinstance(term, dict):
            raise MalformedError(f"{where} is {_short(term)}, not an object")
        name = read_text(term, "query", where)
        if name not in queries:
            raise MalformedError(f"{where}: query={name!r} was not asked")
        if name not in genes:
            raise MalformedError(f"genes_metadata says nothing about query={name!r}, of which {where} is")
        rows.append(_row(term, queries[name], genes[name], asked, where) | {"method": method})
    check_once(rows)
    failed = _texts(about.get("failed") or [], "failed")
    return Answer(
        rows,
        read_text(meta, "version", "meta", default=""),
        read_text(meta, "timestamp", "meta", default=""),
        sorted(unique(map(plain_name, failed))),
    )


def _query_genes(about: Any, query: Query) -> list[str]:
    """Return the gene of the query that each of its Ensembl ids stands for."""
    if not isinstance(about, dict):
        raise MalformedError(f"genes_metadata holds {_short(about)} for a query, not an object")
    mapping = list(read_entry(about, "mapping", dict, "a query", default={}).items())
    check_asked(_texts([gene for gene, _ in mapping], "mapping"), query)
    names = {ensembl: gene for gene, found in reversed(mapping) for ensembl in _texts(found, "mapping")}
    return [names.get(ensembl, ensembl) for ensembl in _texts(about.get("ensgs", []), "ensgs")]


def _row(term: dict[str, Any], query: Query, genes: list[str], asked: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the row of a term, whose numbers have to be possible."""
    counts = ("term_size", "query_size", "intersection_size", "effective_domain_size")
    listed = _listed(term, genes, where)
    row = {
        "component": query.component,
        "direction": query.direction,
        "source": read_text(term, "source", where),
        "native": read_text(term, "native", where),
        "name": read_text(term, "name", where),
        "description": read_text(term, "description", where, default=""),
        "p_value": float("nan"),
        "p_adjusted": _share(term, "p_value", where),
        "significant": read_entry(term, "significant", bool, where),
        "score": float("nan"),
        **{name: _count(term, name, where) for name in counts},
        "precision": _share(term, "precision", where),
        "recall": _share(term, "recall", where),
        "intersection": ",".join(unique(listed or [])),
        "highlighted": read_entry(term, "highlighted", bool, where, default=False),
    }
    check_row(row, asked, len(genes), None if listed is None else len(listed), where)
    return row


def _listed(term: dict[str, Any], genes: list[str], where: str) -> list[str] | None:
    """Return the gene of each id of a query that is in the term: those with codes of evidence; None without codes."""
    evidence = read_entry(term, "intersections", list, where, default=[])
    if not evidence:
        return None
    if len(evidence) != len(genes) or not all(isinstance(codes, list | type(None)) for codes in evidence):
        raise MalformedError(f"{where}: intersections are not a list of codes for each of the {len(genes)} genes")
    return [gene for gene, codes in zip(genes, evidence, strict=True) if codes]


def read_entry(holder: dict[str, Any], name: str, kind: type, where: str, *, default: Any = None) -> Any:
    """Return an entry of one type; where it is missing or null the default, if there is one."""
    value = holder.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, kind):
        raise MalformedError(f"{where}: {_given(holder, name)}; it should be a {kind.__name__}")
    return value


def read_text(holder: dict[str, Any], name: str, where: str, *, default: str | None = None) -> str:
    """Return an entry that is a text which files can hold, and not empty unless there is a default."""
    text: str = read_entry(holder, name, str, where, default=default)
    _check_text(text, f"{where}: {name}")
    if not text and default is None:
        raise MalformedError(f"{where}: {name} is empty")
    return text


def _texts(values: Any, name: str) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise MalformedError(f"{name}={_short(values)} is not a list of names")
    for value in values:
        _check_text(value, name)
    return values


def _check_text(text: str, where: str) -> None:
    """Raise for a text that no file can hold."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise MalformedError(f"{where} holds what is no letter")


def _share(term: dict[str, Any], name: str, where: str) -> float:
    value = term.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:  # nor is NaN
        raise MalformedError(f"{where}: {_given(term, name)}; it should be a number in [0, 1]")
    return float(value)


def _count(term: dict[str, Any], name: str, where: str) -> int:
    value: Any = term.get(name)
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not 0 <= value <= MOST:
        raise MalformedError(f"{where}: {_given(term, name)}; it should be a count")
    return int(value)


def _given(holder: dict[str, Any], name: str) -> str:
    return f"{name}={_short(holder[name])}" if name in holder else f"{name} is missing"


def _short(value: Any) -> str:
    """Return the beginning of a value; a large one is not written out."""
    if isinstance(value, dict | list):
        return f"a {type(value).__name__} of {len(value)}"
    return "a number with too many digits" if isinstance(value, int) and abs(value) > MOST else repr(value)[:60]
