"""Enrichment in given gene sets, offline."""

from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import t as student

from scggml._anndata.genes import Component, component_names, name_columns
from scggml._anndata.messages import choices, logged, warn
from scggml._anndata.ownership import check_results
from scggml._anndata.ranking import By
from scggml._core.checks import check_choice, check_number, check_whole
from scggml._core.explain.enrichment import over_representation
from scggml._core.explain.significance import benjamini_hochberg
from scggml._docs import documented
from scggml.ext._gene_sets import GeneSets, read_gene_sets
from scggml.ext._gmt import GeneSet
from scggml.ext._query import Query, Question, plain_name, read_question, universe_of, write_answer

Method = Literal["hypergeometric", "ulm", "gsea"]
Scope = Literal["custom", "custom_annotated"]

MANY = 4
"""So many times as many genes have to agree but for letter case as agree, until a message says so."""


@documented
@logged("testing gene sets of files")
def enrich_gmt(
    adata: AnnData,
    gene_sets: GeneSets,
    *,
    by: By = "pattern",
    key: str = "ggml",
    method: Method = "hypergeometric",
    components: Iterable[Component] | None = None,
    n_genes: int = 100,
    max_p_adjusted: float | None = None,
    gene_symbols: str | None = None,
    background: Iterable[str | None] | None = None,
    domain_scope: Scope = "custom",
    min_size: int = 5,
    max_size: int | None = 500,
    user_threshold: float = 0.05,
    all_results: bool = False,
    n_perm: int = 1000,
    rng: int = 0,
    copy: bool = False,
) -> AnnData | None:
    r"""Find gene sets of a GMT file or a dict among the genes of each component, without any network.

    `"hypergeometric"` asks what `gprofiler` asks: are the genes of a set more often than by chance among the `n_genes`
    strongest genes of one direction of a component, such as those higher in one class, compared with all ranked genes?

    .. math:: p = P(X \ge k), \qquad X \sim \operatorname{Hypergeometric}(N, K, n)

    with N genes in the background, K of them in the set, n in the query and k in both. `"ulm"` and `"gsea"` need no
    cut: they compare the patterns (or loadings) of *all* genes inside and outside of a set, with the signs of their
    shifts, by the package `decoupler` (an optional one): a linear model by membership, and the running sum over the
    ranks with `n_perm` permutations of the genes.

    P-values are adjusted after Benjamini and Hochberg for all sets of one query (of one component). They treat genes as
    independent, which genes of one pathway are not, so they rank sets rather than prove them.

    Parameters
    ----------
    adata
        %(adata_ranked)s
    gene_sets
        GMT file (also compressed, `.gmt.gz`, and with the weights of Enrichr, which are ignored), a dict from names to
        lists of genes, or a DataFrame with the set in `"source"` and the gene in `"target"`, a row for each gene, as
        decoupler has them. Genes are named as those of `adata` are (Ensembl ids without or with versions and `_PAR_Y`).
    by
        %(by)s
    key
        %(key_metric)s
    method
        `"hypergeometric"`, `"ulm"` or `"gsea"`.
    components
        %(components)s
    n_genes
        %(n_genes_directions)s
    max_p_adjusted
        %(max_p_adjusted_genes)s
        Only `"hypergeometric"`.
    gene_symbols
        %(gene_symbols)s
    background
        %(background)s
        Only `"hypergeometric"`.
    domain_scope
        `"custom"` counts the background, `"custom_annotated"` those of its genes that are in any set. Only
        `"hypergeometric"`.
    min_size, max_size
        Test sets with this many genes in the background.
    user_threshold
        %(user_threshold)s
    all_results
        %(all_results)s
    n_perm
        Permutations of `"gsea"`.
    rng
        Seed of `"gsea"`.
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written is `.uns["ggml_enrichment"]`, a dict with

    `table`
        DataFrame with the columns of `gprofiler`; `source` is the name of the file, `native` and `name` that of the
        set. With `"ulm"` and `"gsea"` the `direction` is that of the `score` (t-value; normalized enrichment score),
        and `intersection` is empty.
    `params`
        What was asked, with the `method`.

    Raises
    ------
    KeyError
        No such metric or column.
    FileNotFoundError
        No such file.
    TypeError
        Sets of another form, such as a text in place of a list of genes.
    ValueError
        Genes and sets that have no name in common, an invalid file or table, arguments that do not go together; a slot
        of the result that holds something else.
    ImportError
        `"ulm"` and `"gsea"` without the package `decoupler`.

    Warns
    -----
    UserWarning
        Most genes agree only if letter case is ignored; weights that differ, or in a file signs, are ignored; the
        descriptions of a file are genes.

    Examples
    --------
    >>> import scanpy as sc
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic_counts(n_samples=4, n_cells=30, n_genes=80, n_planted=8)
    >>> sc.pp.log1p(adata)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.rank_genes(adata, progress=False)
    >>> planted = adata.uns["synthetic"]["planted_genes"]
    >>> sg.ext.enrich_gmt(adata, {"planted": planted, "others": adata.var_names[:8]}, n_genes=15, all_results=True)
    >>> sg.get.enrichment_df(adata)["effective_domain_size"].unique()
    array([80])

    References
    ----------
    Subramanian et al., *Gene set enrichment analysis*, PNAS 2005; Badia-i-Mompel et al., *decoupleR: ensemble of
    computational methods to infer biological activities from omics data*, Bioinformatics Advances 2022.
    """
    _check(method, domain_scope, background, max_p_adjusted)
    check_whole("min_size", min_size, 1)
    if max_size is not None:
        check_whole("max_size", max_size, min_size, f" (min_size={min_size}), or None for sets of any size")
    check_whole("n_perm", n_perm, 1)
    check_whole("rng", rng, 0, " (the seed)")
    check_number("user_threshold", user_threshold, "a share in (0, 1], such as 0.05", 0, 1 + 1e-12, open_low=True)
    source, sets = read_gene_sets(gene_sets)
    question = read_question(
        adata,
        key,
        by=by,
        components=components,  # type: ignore[arg-type]  # any iterable
        n_genes=n_genes,
        max_p_adjusted=max_p_adjusted,
        gene_symbols=gene_symbols,
    )
    check_results(adata, key, "enrichment", copy=copy)
    universe = universe_of(question, background)
    tested = _within(adata, sets, universe, min_size, max_size)
    if method == "hypergeometric":
        annotated = {gene for gene_set in sets for gene in gene_set.genes}
        domain = set(universe) if domain_scope == "custom" else set(universe) & annotated
        rows = [row for query in question.queries for row in _over(tested, query, domain)]
    else:
        rows = _ranked(tested, question, method, min_size=min_size, n_perm=n_perm, rng=rng)
    for row in rows:
        row |= {"source": source, "highlighted": False, "method": _title(method)}
        row["significant"] = bool(row["p_adjusted"] <= user_threshold)
    params = {
        "method": _title(method),
        "gene_sets": source,
        "n_sets": len(tested),
        "by": by,
        "n_genes": n_genes,
        "max_p_adjusted": max_p_adjusted,
        "gene_symbols": gene_symbols,
        "domain_scope": domain_scope,
        "min_size": min_size,
        "max_size": max_size,
        "user_threshold": float(user_threshold),
    }
    adata = adata.copy() if copy else adata
    write_answer(adata, key, [row for row in rows if all_results or row["significant"]], params)
    return adata if copy else None


def _title(method: str) -> str:
    """Return the method as it stands in the table."""
    return {"hypergeometric": "hypergeometric BH", "ulm": "decoupler ulm BH", "gsea": "decoupler gsea BH"}[method]


def _check(method: str, scope: str, background: object, max_p_adjusted: object) -> None:
    for name, value, known in (("method", method, get_args(Method)), ("domain_scope", scope, get_args(Scope))):
        check_choice(name, value, known)
    given = [
        name for name, value in (("background", background), ("max_p_adjusted", max_p_adjusted)) if value is not None
    ]
    if method != "hypergeometric" and given:
        raise ValueError(f"method={method!r} ranks all genes, so {given[0]} is ignored; leave it out.")


def _tell_descriptions(sets: list[GeneSet], genes: set[str]) -> None:
    """Warn of descriptions that are genes: a file without descriptions loses the first gene of each set.

    One that repeats the name of its set, such as that of a transcription factor, is a description.
    """
    odd = [s for s in sets if s.description and s.description != s.name and plain_name(s.description) in genes]
    if odd:
        warn(
            f"In {len(odd)} of {len(sets)} gene sets the second field, the description, is the name of a gene, such as "
            f"{odd[0].description!r} in {odd[0].name!r}. If the file has no descriptions, each set has lost its first "
            "gene: put an empty field there (name, tab, tab, genes), or pass a dict of gene lists."
        )


def _within(
    adata: AnnData, sets: list[GeneSet], universe: list[str], min_size: int, max_size: int | None
) -> list[GeneSet]:
    """Return the sets restricted to the background, those of the sizes to be tested."""
    known = set(universe)
    cut = [GeneSet(s.name, s.description, [gene for gene in s.genes if gene in known]) for s in sets]
    every = {gene for s in sets for gene in s.genes}
    shared, but_for_case = len(every & known), _but_for_case(every, known)
    if not shared:
        raise ValueError(
            f"Gene sets and genes have no name in common: sets hold names such as {choices(sorted(every)[:3])}, the "
            f"metric {choices(universe[:3])}. {but_for_case or _other_names(adata, every)}"
        )
    _tell_descriptions(sets, known | every)
    tested = [s for s in cut if min_size <= len(s.genes) <= (len(known) if max_size is None else max_size)]
    if not tested:
        largest = max(len(s.genes) for s in cut)
        raise ValueError(
            f"None of the {len(sets)} gene sets has between min_size={min_size} and max_size={max_size} genes in the "
            f"background of {len(known)}; the largest has {largest}. {but_for_case}".rstrip()
        )
    if but_for_case:
        warn(
            f"Of {len(every)} genes of the sets only {shared} are among the {len(known)} of the metric. {but_for_case}"
        )
    return tested


def _but_for_case(every: set[str], known: set[str]) -> str:
    """Return what to do if many more genes agree once upper and lower case are the same, as between mouse and human."""
    ours = {name.casefold(): name for name in known}
    agree = sorted(gene for gene in every if gene.casefold() in ours)
    if len(agree) < MANY * max(1, len(every & known)):
        return ""
    gene = next(gene for gene in agree if gene not in known)
    return (
        f"{len(agree)} agree but for letter case, such as {gene!r} in the sets and {ours[gene.casefold()]!r} in the "
        'metric: symbols of human ("TP53") and of mouse ("Tp53")? Take gene sets of the organism of the cells, or pass '
        "gene_symbols, a column of adata.var with names as the sets have them."
    )


def _other_names(adata: AnnData, every: set[str]) -> str:
    """Return where in `.var` the names of the sets are found, if anywhere."""
    shared = {name: len(every & {plain_name(v) for v in values}) for name, values in name_columns(adata).items()}
    best = max(shared, key=lambda name: shared[name], default=None)
    return f"Pass gene_symbols={best!r}." if best and shared[best] else "Rename one of them."


def _over(sets: list[GeneSet], query: Query, domain: set[str]) -> list[dict[str, Any]]:
    """Return the rows of one query, all sets."""
    asked = [gene for gene in query.genes if gene in domain]
    inside = set(asked)
    members = [domain.intersection(s.genes) for s in sets]
    sizes = np.array([len(genes) for genes in members])
    hits = np.array([len(inside & genes) for genes in members])
    p = over_representation(hits, sizes, len(asked), len(domain))
    adjusted = benjamini_hochberg(p)
    return [
        {
            "component": query.component,
            "direction": query.direction,
            "native": s.name,
            "name": s.name,
            "description": s.description,
            "p_value": p[i],
            "p_adjusted": adjusted[i],
            "score": float("nan"),
            "term_size": sizes[i],
            "query_size": len(asked),
            "intersection_size": hits[i],
            "effective_domain_size": len(domain),
            "precision": hits[i] / max(len(asked), 1),
            "recall": hits[i] / max(sizes[i], 1),
            "intersection": ",".join(gene for gene in asked if gene in members[i]),
        }
        for i, s in enumerate(sets)
    ]


def _ranked(
    sets: list[GeneSet], question: Question, method: str, *, min_size: int, n_perm: int, rng: int
) -> list[dict[str, Any]]:
    """Return the rows of the tests on all genes: a t-value or normalized enrichment score by component and set."""
    try:
        import decoupler as dc  # noqa: PLC0415 - optional and slow to load
    except ImportError as error:
        raise ImportError(
            f"method={method!r} needs the package decoupler: pip install 'scggml[enrichment]', or pass "
            'method="hypergeometric".'
        ) from error
    names = pd.Series(question.names, dtype=object)
    kept = (names.notna() & ~names.duplicated()).to_numpy()
    components = [component_names(question.stored)[i - 1] for i in question.components]
    data = pd.DataFrame(question.scores[kept].T, index=components, columns=names[kept])
    net = pd.DataFrame([(s.name, gene, 1.0) for s in sets for gene in s.genes], columns=["source", "target", "weight"])
    options = {"times": n_perm, "seed": rng + 1} if method == "gsea" else {}
    # decoupler takes the seed 0 for "do not permute"
    scores, adjusted = getattr(dc.mt, method)(data, net, tmin=min_size, empty=False, **options)
    by_name = {s.name: s for s in sets}
    rows = []
    for component, (up, down) in zip(components, question.ends, strict=True):
        for name in scores.columns:
            score, size = float(scores.loc[component, name]), len(by_name[name].genes)
            p = 2 * student.sf(abs(score), data.shape[1] - 2) if method == "ulm" else float("nan")
            rows.append(
                {
                    "component": component,
                    "direction": up if score >= 0 else down,
                    "native": name,
                    "name": name,
                    "description": by_name[name].description,
                    "p_value": p,
                    "p_adjusted": float(adjusted.loc[component, name]),
                    "score": score,
                    "term_size": size,
                    "query_size": data.shape[1],
                    "intersection_size": size,
                    "effective_domain_size": data.shape[1],
                    "precision": size / data.shape[1],
                    "recall": 1.0,
                    "intersection": "",
                }
            )
    return rows
