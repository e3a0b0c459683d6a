"""Enrichment by the web service g:Profiler."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from anndata import AnnData
from gprofiler import GProfiler

from scggml._anndata.genes import Component
from scggml._anndata.messages import choices, logged, warn
from scggml._anndata.ownership import check_results
from scggml._anndata.ranking import By
from scggml._core.checks import check_choice, check_number
from scggml._docs import documented
from scggml.ext._client import BASE_URL, as_client, bounded
from scggml.ext._gost import Answer, read_answer
from scggml.ext._query import read_question, unique, universe_of, write_answer

ThresholdMethod = Literal["g_SCS", "bonferroni", "fdr"]
DomainScope = Literal["known", "annotated", "custom", "custom_annotated"]

LARGEST = 2**26
"""Bytes of an answer, and with all results of that to each query: tens of thousands of terms with their genes."""


@documented
@logged("asking g:Profiler about gene sets")
def gprofiler(
    adata: AnnData,
    *,
    by: By = "pattern",
    key: str = "ggml",
    components: Sequence[Component] | None = None,
    n_genes: int = 100,
    max_p_adjusted: float | None = None,
    gene_symbols: str | None = None,
    organism: str = "hsapiens",
    sources: Sequence[str] | None = None,
    background: Sequence[str | None] | None = None,
    domain_scope: DomainScope = "custom",
    ordered: bool = True,
    significance_threshold_method: ThresholdMethod = "g_SCS",
    user_threshold: float = 0.05,
    no_iea: bool = False,
    measure_underrepresentation: bool = False,
    all_results: bool = False,
    highlight: bool = False,
    numeric_namespace: str = "",
    client: GProfiler | None = None,
    base_url: str = BASE_URL,
    timeout: float = 120.0,
    attempts: int = 4,
    wait: float = 1.0,
    cache_dir: str | Path | None = None,
    expires: float = 30.0,
    refresh: bool = False,
    copy: bool = False,
) -> AnnData | None:
    """Ask g:Profiler (g:GOSt) which gene sets the dominant genes of each component belong to.

    Genes that are higher in one class, those that are higher in the other, and those among the strongest that have no
    clear direction (such as genes that are up in one cell type and down in another) are queries of their own, each
    strongest first, and all queries go in one request. By default the service compares them with the genes that were
    ranked, not with the genome: genes measured in immune cells will not come out as "immune response" by that alone.

    Components, strengths and directions are those of `tl.rank_genes`. Over-representation says that the genes of one
    direction of a component share annotations; it is no test of the component. Let `tl.gene_stability` run first and
    pass `max_p_adjusted` to ask about significant genes only.

    Parameters
    ----------
    adata
        %(adata_ranked)s
        Names of genes can be symbols, Ensembl ids (versions are stripped) and what else the service knows.
    by
        %(by)s
    key
        %(key_metric)s
    components
        %(components)s
    n_genes
        %(n_genes_directions)s
    max_p_adjusted
        %(max_p_adjusted_genes)s
    gene_symbols
        %(gene_symbols)s
        Genes without one go by the latter.
    organism
        Organism id of the service, such as `"hsapiens"`, or the id of an uploaded GMT file (`"gp__..."`).
    sources
        Such as `["GO:BP", "REAC"]`; None for all.
    background
        %(background)s
    domain_scope
        `"custom"` counts the background, `"custom_annotated"` the annotated part of it. `"known"` and `"annotated"`
        count the genome, without a background.
    ordered
        Use the order of the genes: the service then takes the best p-value over all leading parts of a query, so
        `query_size` varies by term.
    significance_threshold_method
        `"g_SCS"` (of g:Profiler, for overlapping terms), `"bonferroni"` or `"fdr"`.
    user_threshold
        %(user_threshold)s
    no_iea
        Leave out electronic annotations of GO.
    measure_underrepresentation
        Ask for too few instead of too many.
    all_results
        %(all_results)s
    highlight
        Let the service mark the driver terms of GO. Not with `ordered`, `all_results` or an uploaded GMT file.
    numeric_namespace
        What numbers among the names are, such as `"ENTREZGENE_ACC"`.
    client
        %(client)s
        The request itself is made here, not by its `profile`, which knows neither `highlight` nor
        `domain_scope="custom_annotated"`, has no end where the service does not answer, and mixes genes up where one
        id has several names.
    base_url
        Where the service is; an archive such as `https://biit.cs.ut.ee/gprofiler_archive3/e113_eg59_p19` pins the data.
        Redirects to another host are not followed.
    timeout
        Seconds that an attempt may take, from the first byte that is sent to the last one that comes.
    attempts
        How often to try if the service cannot be reached, is busy (429) or fails (5xx, no JSON).
    wait
        Seconds before the second try; doubled before each further one.
    cache_dir
        Folder for answers. By default the folder `gprofiler` in the one that the environment variable `SCGGML_DATA`
        names, or else in the cache of the operating system. Kept is what was found to be right.
    expires
        Days for which an answer is used again for the very same request.
    refresh
        Ask again whatever is kept.
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written is `.uns["ggml_enrichment"]`, a dict with

    `table`
        DataFrame, a row for each term and direction of a component: `component`, `direction` (such as "higher in
        cSLE"), `source`, `native` (id of the term), `name`, `description`, `p_adjusted`, `significant`, `term_size`,
        `query_size`, `intersection_size`, `effective_domain_size`, `precision`, `recall`, `intersection` (genes, with
        commas between), `highlighted`, `method`. `p_value` and `score` are NaN: the service hands out adjusted p-values
        only.
    `params`
        What was asked, `version` of the data and `timestamp` of the answer, `unmapped` genes.

    Read it with `sg.get.enrichment_df`, draw it with `sg.pl.enrichment`.

    Raises
    ------
    KeyError
        No such metric or column.
    ValueError
        Arguments that do not go together, or a request that the service refuses, with its reason; a slot of the
        result that holds something else.
    ConnectionError
        No usable answer after all attempts, or one that contradicts itself or the request. Nothing is stored then.

    Warns
    -----
    UserWarning
        Genes that the service does not know are listed; the answer could not be kept, as the folder cannot be written.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.rank_genes(adata, progress=False)
    >>> sg.ext.gprofiler(adata, sources=["GO:BP"], n_genes=50)  # doctest: +SKIP
    >>> sg.get.enrichment_df(adata, component=1)  # doctest: +SKIP

    References
    ----------
    Kolberg et al., *g:Profiler: interoperable web service for functional enrichment analysis and gene identifier
    mapping (2023 update)*, Nucleic Acids Research 2023.
    """
    _check(domain_scope, significance_threshold_method, background)
    if highlight and (ordered or all_results or organism.startswith("gp__")):
        raise ValueError(
            "highlight=True does not go with ordered=True, all_results=True or an uploaded GMT file; g:Profiler marks "
            "driver terms of unordered queries only. Pass ordered=False."
        )
    check_number("user_threshold", user_threshold, "a share in (0, 1], such as 0.05", 0, 1 + 1e-12, open_low=True)
    asked_sources = [] if sources is None else _in_order(sources)
    if sources is not None and not asked_sources:
        raise ValueError("sources=[] asks for nothing; pass names such as ['GO:BP'], or None for all.")
    asked_by = as_client(client, base_url)
    base_url = asked_by.base_url
    service = bounded(
        base_url,
        timeout=timeout,
        attempts=attempts,
        wait=wait,
        expires=expires,
        cache_dir=cache_dir,
        largest=LARGEST,
    )
    question = read_question(
        adata,
        key,
        by=by,
        components=components,
        n_genes=n_genes,
        max_p_adjusted=max_p_adjusted,
        gene_symbols=gene_symbols,
    )
    check_results(adata, key, "enrichment", copy=copy)
    custom = domain_scope.startswith("custom")
    universe = universe_of(question, background)
    payload = {
        "organism": organism,
        "query": {query.name: query.genes for query in question.queries},
        "sources": asked_sources,
        "user_threshold": float(user_threshold),
        "all_results": bool(all_results),
        "ordered": bool(ordered),
        "no_evidences": False,
        "combined": False,
        "measure_underrepresentation": bool(measure_underrepresentation),
        "no_iea": bool(no_iea),
        "domain_scope": domain_scope,
        "numeric_ns": numeric_namespace,
        "significance_threshold_method": significance_threshold_method,
        "background": universe if custom else "",
    } | ({"highlight": True} if highlight else {})
    method = f"g:Profiler {'ordered ' if ordered else ''}{significance_threshold_method}"
    answer = Answer([], "", "", [])
    if question.queries:
        if all_results:
            service = replace(service, largest=LARGEST * len(question.queries))
        url = f"{base_url.rstrip('/')}/api/gost/profile/"
        read = partial(read_answer, question=question, asked=payload, method=method)
        agent = None if client is None else asked_by.user_agent
        answer = service.ask(url, payload, read, refresh=refresh, agent=agent)
    params = {name: value for name, value in payload.items() if name not in ("query", "background")} | {
        "method": method,
        "by": by,
        "n_genes": n_genes,
        "max_p_adjusted": max_p_adjusted,
        "gene_symbols": gene_symbols,
        "base_url": base_url,
        "n_background": len(universe) if custom else None,
        "version": answer.version,
        "timestamp": answer.timestamp,
        "unmapped": answer.unmapped,
    }
    adata = adata.copy() if copy else adata
    write_answer(adata, key, answer.rows, params)
    if answer.unmapped:
        asked = len(unique(gene for query in question.queries for gene in query.genes))
        warn(
            f"g:Profiler ({organism}) does not know {len(answer.unmapped)} of the {asked} genes: "
            f"{choices(answer.unmapped)}. They are ignored; check organism, or pass gene_symbols."
        )
    return adata if copy else None


def _check(domain_scope: str, method: str, background: Sequence[str | None] | None) -> None:
    """Raise for arguments that the service would refuse or, worse, ignore."""
    for name, value, known in (
        ("domain_scope", domain_scope, get_args(DomainScope)),
        ("significance_threshold_method", method, get_args(ThresholdMethod)),
    ):
        check_choice(name, value, known)
    if background is not None and not domain_scope.startswith("custom"):
        raise ValueError(
            f"domain_scope={domain_scope!r} counts the genome, so background is ignored; pass "
            'domain_scope="custom" or no background.'
        )


def _in_order(sources: Iterable[str]) -> list[str]:
    """Return sources as a list; a set is sorted, so that the same question finds its answer on disk."""
    return [str(source) for source in (sorted(sources) if isinstance(sources, Set) else sources)]
