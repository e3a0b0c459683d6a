"""Queries: the genes at either end of each component, and their background."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.genes import Genes, component_names, pick_components, read_genes, read_stability, write_enrichment
from scggml._anndata.messages import choices
from scggml._anndata.metric import StoredMetric, read_metric
from scggml._core.checks import check_whole
from scggml._core.cohort import Floats

Side = Literal["up", "down"]

VERSIONED = re.compile(r"^(ENS[A-Z]*\d{11})\.\d+$")
NO_NAME = frozenset({"", "nan", "NaN", "None", "<NA>"})

COLUMNS = {
    "component": str,
    "side": str,
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


@dataclass(frozen=True)
class Query:
    """Genes of one side of one component, strongest first."""

    component: str
    side: Side
    genes: list[str]

    @property
    def name(self) -> str:
        """Such as "ggml1_up"."""
        return f"{self.component}_{self.side}"


@dataclass(frozen=True)
class Question:
    """All queries of a metric, and their background: the genes that it could have used."""

    stored: StoredMetric
    components: list[int]
    queries: list[Query]
    background: list[str]
    names: list[str | None]
    loadings: Floats


def plain_name(name: object) -> str | None:
    """Return a gene's name as services know it: Ensembl ids without their version; None for a missing name."""
    if name is None or (isinstance(name, float) and np.isnan(name)):
        return None
    text = str(name).strip()
    if text in NO_NAME:
        return None
    found = VERSIONED.match(text)
    return found[1] if found else text


def unique(names: Iterable[str | None]) -> list[str]:
    """Return the names without the missing ones, each once, in their order."""
    return [name for name in dict.fromkeys(names) if name is not None]


def read_question(
    adata: AnnData,
    key: str,
    *,
    components: Sequence[int] | None,
    n_genes: int,
    max_p_adjusted: float | None,
    gene_symbols: str | None,
) -> Question:
    """Return the dominant genes of either side of the components, as names that services know."""
    check_whole("n_genes", n_genes, 1)
    stored = read_metric(adata, key)
    genes = read_genes(adata, stored, gene_symbols)
    if not genes.known:
        raise ValueError(
            f"The metric {key!r} is on features that cannot be mapped to genes "
            f"({choices(stored.features[:3])}, ...), so there is nothing to ask about. Learn it on genes "
            "or on a PCA with its loadings in adata.varm."
        )
    picked = pick_components(stored, components, "no genes to ask about")
    allowed = _allowed(adata, stored, genes, max_p_adjusted)
    names = [plain_name(name) for name in genes.names]
    queries = []
    for number in picked:
        component = component_names(stored)[number - 1]
        loading = np.where(allowed, genes.loadings[:, number - 1], 0.0)
        for side, sign in (("up", 1.0), ("down", -1.0)):
            order = np.argsort(-sign * loading, kind="stable")
            found = unique(names[i] for i in order if sign * loading[i] > 0)[:n_genes]
            if found:
                queries.append(Query(component, side, found))  # type: ignore[arg-type]
    return Question(stored, picked, queries, unique(names), names, genes.loadings)


def _allowed(adata: AnnData, stored: StoredMetric, genes: Genes, max_p_adjusted: float | None) -> Any:
    """Return (n_genes,) which genes may be in a query."""
    if max_p_adjusted is None:
        return np.ones(len(genes.names), dtype=bool)
    found = read_stability(adata, stored)
    if found is None or "p_adjusted" not in found:
        raise ValueError(
            f"max_p_adjusted={max_p_adjusted!r}: genes have no false discovery rates yet; compute them with "
            f"sg.tl.gene_stability(adata, key={stored.key!r})."
        )
    return np.asarray(found["p_adjusted"]) <= max_p_adjusted


def write_answer(adata: AnnData, key: str, rows: list[dict[str, Any]], params: dict[str, Any]) -> None:
    """Write a table of gene sets, most significant first within each side of each component."""
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({name: t for name, t in COLUMNS.items() if t is not str})
    table = table.astype({name: object for name, t in COLUMNS.items() if t is str})
    first = {name: i for i, name in enumerate(dict.fromkeys(table["component"]))}
    order = table.assign(
        component=table["component"].map(first).astype(int), side=(table["side"] == "down").astype(int)
    ).sort_values(["component", "side", "p_adjusted", "p_value"], kind="stable")
    given = {name: value for name, value in params.items() if value is not None}
    write_enrichment(adata, read_metric(adata, key), table.loc[order.index].reset_index(drop=True), given)
