"""Queries: the genes of each component by the class in which they are higher, and their background."""

import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any
from unicodedata import category

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.genes import NO_NAME, Component, component_names, name_of_genes, pick_components, write_enrichment
from scggml._anndata.metric import StoredMetric, read_metric
from scggml._anndata.ranking import NEITHER, By, check_by, read_ranking
from scggml._core.checks import check_rate, check_whole
from scggml._core.cohort import Floats

ENSEMBL = re.compile(r"(ENS[A-Z]*\d{11})(?:\.\d+)?(?:[_-]PAR[_-]Y)?")
PAR_Y = re.compile(r"ENSGR(\d{10})(?:\.\d+)?")  # what GENCODE called the copies on chromosome Y before release 25

COLUMNS = {
    "component": str,
    "direction": str,
    "source": str,
    "native": str,
    "name": str,
    "description": str,
    "p_value": float,
    "p_adjusted": float,
    "significant": bool,
    "score": float,
    "term_size": int,
    "query_size": int,
    "intersection_size": int,
    "effective_domain_size": int,
    "precision": float,
    "recall": float,
    "intersection": str,
    "highlighted": bool,
    "method": str,
}
"""Columns of every table of gene sets, whoever made it."""


UNCLEAR = "no clear direction"


@dataclass(frozen=True)
class Query:
    """Genes of one direction of one component, strongest first."""

    component: str
    direction: str
    genes: list[str]

    @property
    def name(self) -> str:
        """Such as "ggml1 higher in cSLE"."""
        return f"{self.component} {self.direction}"


@dataclass(frozen=True)
class Question:
    """All queries of a metric, and their background: the genes that were ranked.

    Parameters
    ----------
    names, scores
        (n,) names of all genes, and (n, n_components) what they were ranked by, with the sign of their shift.
    ends
        Directions of positive and of negative scores, by component.
    """

    stored: StoredMetric
    components: list[int]
    queries: list[Query]
    background: list[str]
    names: list[str | None]
    scores: Floats
    ends: list[tuple[str, str]]


def plain_name(name: object) -> str | None:
    """Return a gene's name as services know it: Ensembl ids without version and `_PAR_Y`; None for a missing name."""
    if name is None or (isinstance(name, float | np.floating) and np.isnan(name)):
        return None
    if isinstance(name, float | np.floating) and float(name).is_integer():
        return str(int(name))  # numbers of Entrez in a column that lacks some
    text = _visible(str(name)).strip()
    if text in NO_NAME:
        return None
    if found := ENSEMBL.fullmatch(text):
        return found[1]
    return f"ENSG0{found[1]}" if (found := PAR_Y.fullmatch(text)) else text


def _visible(text: str) -> str:
    """Return a text without what has no width, such as what web pages put into names where a line may break."""
    return text if text.isascii() else "".join(letter for letter in text if category(letter) != "Cf")


def unique(names: Iterable[str | None]) -> list[str]:
    """Return the names without the missing ones, each once, in their order."""
    return [name for name in dict.fromkeys(names) if name is not None]


def read_question(
    adata: AnnData,
    key: str,
    *,
    by: By,
    components: Sequence[Component] | None,
    n_genes: int,
    max_p_adjusted: float | None,
    gene_symbols: str | None,
) -> Question:
    """Return the strongest genes of the components by their direction, as names that services know."""
    check_whole("n_genes", n_genes, 1)
    if max_p_adjusted is not None:
        check_rate("max_p_adjusted", max_p_adjusted)
    check_by(by)
    stored = read_metric(adata, key)
    ranking = read_ranking(adata, key)
    if not ranking.of_genes:
        raise ValueError(
            f"The features of the metric {key!r} were ranked in place of genes, as adata.X is empty, so there is "
            "nothing to ask about. Rank the genes of a layer: sg.tl.rank_genes(adata, layer=...)."
        )
    if ranking.table[by].isna().all():
        raise ValueError(
            f'by={by!r}: the metric {key!r} is on features that cannot be mapped to genes; pass by="pattern", which '
            "needs the expression of the cells alone."
        )
    picked = pick_components(adata, stored, components, "no genes to ask about")
    known = name_of_genes(adata, gene_symbols, as_text=True)
    queries, scores = list[Query](), list[Floats]()
    ends = list(map(ranking.ends, picked))
    first_table = ranking.of(component_names(stored)[0])
    every = first_table.loc[first_table[by].notna(), "gene"]  # the metric does not weigh the others at all
    for number, (high, low) in zip(picked, ends, strict=True):
        component = component_names(stored)[number - 1]
        table = ranking.of(component)
        strength = table[by].abs().fillna(0.0).to_numpy()
        signed = pd.Series(strength * np.sign(table["shift"].to_numpy()), index=table.index)
        scores.append(_in_order(signed[table[by].notna()], table["gene"][table[by].notna()], every))
        order = np.argsort(-strength, kind="stable")
        order = order[(strength[order] > 0) & _allowed(table, key, max_p_adjusted)[order]]
        names = [plain_name(known.get(gene, gene)) for gene in table["gene"]]
        first = unique(names[i] for i in order)[:n_genes]
        ends_of = table["higher_in"].astype(str).to_numpy()
        higher = {names[i]: ends_of[i] for i in order[::-1]}  # of several genes of one name the strongest says it
        for direction, end in ((higher_in(high), high), (higher_in(low), low), (UNCLEAR, NEITHER)):
            found = [name for name in first if higher[name] == end]
            if found:
                queries.append(Query(component, direction, found))
    names_of_all = [plain_name(known.get(gene, gene)) for gene in every]
    named = [(higher_in(high), higher_in(low)) for high, low in ends]
    return Question(stored, picked, queries, unique(names_of_all), names_of_all, np.stack(scores, axis=1), named)


def universe_of(question: Question, background: Iterable[str | None] | None) -> list[str]:
    """Return the genes that could have been found: those of the metric, or those that the user names."""
    if background is None:
        return question.background
    given = unique(plain_name(name) for name in background)
    if isinstance(background, Set):  # so that the same question finds its answer on disk
        given.sort()
    if not given:
        raise ValueError("background=[] names no gene; pass the genes that could have been found, or None for all.")
    return given


def higher_in(end: str) -> str:
    """Return a direction as it stands in tables."""
    return f"higher in {end}"


def _in_order(values: pd.Series, genes: pd.Series, wanted: pd.Series) -> Floats:
    """Return the values of genes in another order; the n-th gene of a name is the n-th there."""
    index = pd.MultiIndex.from_arrays([genes, genes.groupby(genes).cumcount()])
    order = pd.MultiIndex.from_arrays([wanted, wanted.groupby(wanted).cumcount()])
    return values.to_numpy()[index.get_indexer(order)]


def _allowed(table: pd.DataFrame, key: str, max_p_adjusted: float | None) -> Any:
    """Return (n_genes,) which genes may be in a query."""
    if max_p_adjusted is None:
        return np.ones(len(table), dtype=bool)
    if "p_adjusted" not in table:
        raise ValueError(
            f"max_p_adjusted={max_p_adjusted!r}: genes have no false discovery rates yet; compute them with "
            f"sg.tl.gene_stability(adata, key={key!r})."
        )
    return table["p_adjusted"].to_numpy() <= max_p_adjusted


def write_answer(adata: AnnData, key: str, rows: list[dict[str, Any]], params: dict[str, Any]) -> None:
    """Write a table of gene sets, most significant first within each direction of each component."""
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({name: t for name, t in COLUMNS.items() if t is not str})
    table = table.astype({name: object for name, t in COLUMNS.items() if t is str})
    first = {name: i for i, name in enumerate(dict.fromkeys(table["component"]))}
    directions = {name: i for i, name in enumerate(dict.fromkeys(table["direction"]))}
    order = table.assign(
        component=table["component"].map(first).astype(int), direction=table["direction"].map(directions).astype(int)
    ).sort_values(["component", "direction", "p_adjusted", "p_value"], kind="stable")
    given = {name: value for name, value in params.items() if value is not None}
    write_enrichment(adata, read_metric(adata, key), table.loc[order.index].reset_index(drop=True), given)
