"""Names of genes in another namespace, or of their orthologs in another organism."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
from gprofiler import GProfiler

from scggml._anndata.messages import choices, warn
from scggml._docs import documented
from scggml.ext._client import BASE_URL, as_client, bounded, call
from scggml.ext._gost import read_entry, read_text
from scggml.ext._query import plain_name, unique
from scggml.ext._service import Hints, MalformedError

LARGEST = 2**27
"""Bytes of an answer: a genome of genes, each with its description."""

HINTS = Hints("organism, target and base_url", "genes", "")

NOTHING = ("N/A", "None", "nan", "")
"""What the service says where there is no gene."""

COLUMNS = ("gene", "converted", "name", "description", "ensembl", "namespaces", "n_converted")


@documented
def convert_genes(
    genes: Sequence[str],
    *,
    organism: str = "hsapiens",
    target: str = "ENSG",
    numeric_namespace: str = "ENTREZGENE_ACC",
    client: GProfiler | None = None,
    base_url: str = BASE_URL,
    timeout: float = 120.0,
    attempts: int = 4,
    wait: float = 1.0,
    cache_dir: str | Path | None = None,
    expires: float = 30.0,
    refresh: bool = False,
) -> pd.DataFrame:
    """Ask g:Profiler for the names of genes in another namespace (g:Convert) or organism (g:Orth).

    The request is that of the client gprofiler-official, bounded in time and size, with retries, and kept on disk.

    Parameters
    ----------
    genes
        Symbols, Ensembl ids, and what else the service knows; a gene that stands twice is asked once.
    organism
        Organism of the genes, such as `"hsapiens"` or `"mmusculus"`.
    target
        A namespace such as `"ENSG"`, `"HGNC"` (symbols), `"MGI"` or `"ENTREZGENE_ACC"`; or another organism, such as
        `"hsapiens"` for the human orthologs of mouse genes. Ids of organisms are in small letters, those of namespaces
        are not.
    numeric_namespace
        What numbers among the genes are.
    client
        %(client)s
    base_url, timeout, attempts, wait, cache_dir, expires, refresh
        As in `gprofiler`.

    Returns
    -------
    DataFrame, a row for each gene and what it was converted to, in the order of `genes`; a gene that is not known, or
    has no ortholog, has one row in which the rest is missing.

    `gene`
        As it was passed.
    `converted`
        Its name in the namespace, or the Ensembl id of the ortholog.
    `name`, `description`
        Symbol and description of what it was converted to.
    `ensembl`
        Ensembl id of the gene itself, for orthologs; missing otherwise.
    `namespaces`
        In which the gene was found, with commas between.
    `n_converted`
        Number of rows of the gene with a result: 0, 1, or more where the name is ambiguous.

    Raises
    ------
    TypeError
        `genes` that are no texts, or a client that is none.
    ValueError
        No genes, or a request that the service refuses, such as an unknown organism, with its reason.
    ConnectionError
        No usable answer after all attempts, or one that contradicts the request.

    Warns
    -----
    UserWarning
        Genes that were not converted are listed.

    Examples
    --------
    >>> import scggml as sg
    >>> sg.ext.convert_genes(["Cd4", "Ptprc"], organism="mmusculus", target="hsapiens")  # doctest: +SKIP
        gene        converted   name  ...
    0    Cd4  ENSG00000010610    CD4  ...
    1  Ptprc  ENSG00000081237  PTPRC  ...
    >>> table = sg.ext.convert_genes(adata.var_names, target="HGNC")  # doctest: +SKIP
    >>> adata.var["symbol"] = table.groupby("gene")["name"].first()[adata.var_names]  # doctest: +SKIP

    References
    ----------
    Kolberg et al., *g:Profiler: interoperable web service for functional enrichment analysis and gene identifier
    mapping (2023 update)*, Nucleic Acids Research 2023.
    """
    names = _names(genes)
    for name, value in (("organism", organism), ("target", target)):
        if not value.strip():
            raise ValueError(f"{name}={value!r} is empty; pass an id such as 'hsapiens'.")
    found = as_client(client, base_url)
    service = bounded(
        found.base_url,
        timeout=timeout,
        attempts=attempts,
        wait=wait,
        expires=expires,
        cache_dir=cache_dir,
        largest=LARGEST,
        hints=HINTS,
    )
    asked = Asked(unique(names.values()), numeric_namespace)
    orthologs = target.islower()
    arguments: dict[str, Any] = {"query": asked.genes, "organism": organism, "numeric_namespace": numeric_namespace}
    rows: list[dict[str, Any]] = []
    if asked.genes:
        rows = call(
            found,
            "orth" if orthologs else "convert",
            service,
            partial(read_conversion, asked=asked, orthologs=orthologs),
            refresh=refresh,
            **arguments,
            **({"target": target} if orthologs else {"target_namespace": target}),
        )
    table = _table(names, asked, rows, orthologs=orthologs)
    lost = table.loc[table["converted"].isna(), "gene"].tolist()
    if lost:
        warn(
            f"g:Profiler ({organism}) has no {target} for {len(lost)} of the {len(names)} genes: {choices(lost)}. "
            "Check organism and target."
        )
    return table


@dataclass(frozen=True)
class Asked:
    """Genes of a request, as the service knows names, and the namespace that it may write before numbers."""

    genes: list[str]
    numeric_namespace: str

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {gene.casefold(): gene for gene in reversed(self.genes)} | {gene: gene for gene in self.genes}

    def find(self, incoming: str) -> str | None:
        """Return the gene that the service means, which may write it in other letters; None if it was not asked."""
        text = incoming.removeprefix(f"{self.numeric_namespace}:")
        return self._folded.get(text) or self._folded.get(text.casefold())


def _names(genes: Sequence[str]) -> dict[str, str | None]:
    """Return each gene, and its name as the service knows it: without the version of an Ensembl id."""
    listed = list(genes)
    if not listed:
        raise ValueError("genes is empty; pass names, such as adata.var_names.")
    return {gene: plain_name(gene) for gene in listed}


def read_conversion(answer: dict[str, Any], *, asked: Asked, orthologs: bool) -> None:
    """Raise `MalformedError` unless an answer is as documented and about the genes that were asked."""
    read_entry(answer, "meta", dict, "the answer")
    texts = ("name", "description", "namespaces", *(("ortholog_ensg",) if orthologs else ()))
    for place, row in enumerate(read_entry(answer, "result", list, "the answer")):
        where = f"result[{place}]"
        if not isinstance(row, dict):
            raise MalformedError(f"{where} is a {type(row).__name__}, not an object")
        gene = read_text(row, "incoming", where)
        if asked.find(gene) is None:
            raise MalformedError(f"{where}: incoming={gene[:60]!r} was not asked")
        read_text(row, "converted", where, default="None")
        for name in texts:
            read_text(row, name, where, default="None")


def _table(
    names: Mapping[str, str | None], asked: Asked, rows: Sequence[Mapping[str, Any]], *, orthologs: bool
) -> pd.DataFrame:
    """Return a row for each gene and result, in the order in which genes were passed."""
    found: dict[str | None, list[tuple[str | None, ...]]] = {gene: [] for gene in asked.genes}
    about: dict[str | None, str | None] = {}
    for row in rows:
        gene = asked.find(str(row["incoming"]))
        about[gene] = about.get(gene) or _told(row.get("namespaces"))
        # of an ortholog `converted` is the gene itself, by its Ensembl id
        to, own = ("ortholog_ensg", _told(row.get("converted"))) if orthologs else ("converted", None)
        each = (_told(row.get(to)), _told(row.get("name")), _told(row.get("description")), own)
        if each[0] is not None and each not in found[gene]:
            found[gene].append(each)
    none = [(None, None, None, None)]
    table = [
        (gene, *each, about.get(name), len(found.get(name, [])))
        for gene, name in names.items()
        for each in found.get(name) or none
    ]
    return pd.DataFrame(table, columns=list(COLUMNS)).astype(dict.fromkeys(COLUMNS[:-1], object))


def _told(value: Any) -> str | None:
    """Return what the service says, or None where it says that there is nothing."""
    return None if value is None or str(value) in NOTHING else str(value)
