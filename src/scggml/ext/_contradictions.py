"""Terms that contradict themselves or what was asked: refused, while what a service may round or leave out passes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from scggml.ext._query import Query
from scggml.ext._service import MalformedError

ROUNDED = 0.0051
"""How far a share of two decimals is from the exact one."""

NEAR = 1e-6
"""Share of the threshold within which rounding decides what is significant."""

VERSION = re.compile(r"\.\d+$")


def check_row(row: Mapping[str, Any], asked: Mapping[str, Any], n_ids: int, n_listed: int | None, where: str) -> None:
    """Raise for numbers of a term that contradict each other, or the request.

    Parameters
    ----------
    n_ids
        How many ids the service found for the query.
    n_listed
        How many of them it lists as part of the term, None if it lists none for any term.
    """
    _check_sizes(row, n_ids, where)
    if n_listed is not None:
        _check_listed(row, n_ids, n_listed, where)
    threshold = asked["user_threshold"]
    p, significant = row["p_adjusted"], row["significant"]
    if p > threshold * (1 + NEAR) if significant else p < threshold * (1 - NEAR):
        raise MalformedError(f"{where}: p_value={p:.4g} is called significant={significant} at {threshold:.4g}")
    sources = asked["sources"]
    # an uploaded file is a source of its own, and "GO" stands for its three parts
    if sources and not asked["organism"].startswith("gp__") and not _is_of(row["source"], sources):
        raise MalformedError(f"{where}: source={row['source']!r} was not asked, but {', '.join(sources)}")


def check_once(rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise where a query has one term twice."""
    seen = set()
    for place, row in enumerate(rows):
        term = tuple(row[name] for name in ("component", "direction", "source", "native", "name"))
        if term in seen:
            raise MalformedError(f"result[{place}] is a second {row['native']!r} of {row['source']} for one query")
        seen.add(term)


def check_asked(genes: Sequence[str], query: Query) -> None:
    """Raise for a gene that is no part of the query, whatever case, version or namespace the service writes."""
    known = {spelling for gene in query.genes for spelling in _spellings(gene)}
    for gene in genes:
        if known.isdisjoint(_spellings(gene)):
            raise MalformedError(f"mapping: gene {gene[:60]!r} was not asked in query={query.name!r}")


def _check_sizes(row: Mapping[str, Any], n_ids: int, where: str) -> None:
    for part, whole in (
        ("intersection_size", "term_size"),
        ("intersection_size", "query_size"),
        ("term_size", "effective_domain_size"),
        ("query_size", "effective_domain_size"),
    ):
        if row[part] > row[whole]:
            raise MalformedError(f"{where}: {part}={row[part]} is above {whole}={row[whole]}")
    if row["query_size"] > n_ids:
        raise MalformedError(f"{where}: query_size={row['query_size']}, but the query has {n_ids} ids")
    for name, whole in (("precision", "query_size"), ("recall", "term_size")):
        if row[whole] and abs(row[name] - row["intersection_size"] / row[whole]) > ROUNDED:
            raise MalformedError(
                f"{where}: {name}={row[name]:.4g} is not intersection_size / {whole} = "
                f"{row['intersection_size']} / {row[whole]}"
            )


def _check_listed(row: Mapping[str, Any], n_ids: int, n_listed: int, where: str) -> None:
    # Ids behind the best leading part of an ordered query, or outside of the background, are not counted, but may be
    # listed; all others are counted if they are listed.
    size, free = row["intersection_size"], n_ids - row["query_size"]
    if not size <= n_listed <= size + free:
        raise MalformedError(f"{where}: intersection_size={size}, but {n_listed} ids are listed as part of the term")


def _is_of(source: str, sources: Sequence[str]) -> bool:
    found = source.casefold()
    return any(found == name.casefold() or found.startswith(f"{name.casefold()}:") for name in sources)


def _spellings(gene: str) -> set[str]:
    """Return what a gene may be called: in any case, without its version, and without the namespace of a number."""
    plain = gene.strip().casefold()
    names = {plain, plain.rpartition(":")[2]}
    return names | {VERSION.sub("", name) for name in names}
